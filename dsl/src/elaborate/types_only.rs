//! The checker's values: a type and nothing else.

use crate::emit::{Emit, Parameter};
use crate::op::Op;
use crate::types::{Axes, Axis, Elem, Type};

/// Emits types.
#[derive(Clone, Debug, Default)]
pub struct TypesOnly {
    axes: Axes,
    loops: Vec<Axis>,
}

impl Emit for TypesOnly {
    type Value = Type;

    fn axes(&mut self) -> &mut Axes {
        &mut self.axes
    }

    fn type_of(&self, value: &Type) -> Type {
        value.clone()
    }

    fn op(&mut self, op: Op, operands: &[Type]) -> Type {
        let types: Vec<_> = operands.iter().collect();
        // The elaborator has asked already and reported what does not fit.
        op.infer(&types, &self.axes).unwrap_or_else(|_| Type::scalar(Elem::Float))
    }

    fn input(&mut self, _: &str, elem: Elem, axes: &[Axis]) -> Type {
        Type::new(elem, axes.iter().copied())
    }

    fn parameter(&mut self, parameter: &Parameter) -> Type {
        Type::new(Elem::Float, parameter.stack.iter().chain(&parameter.axes).copied())
    }

    fn begin_loop(&mut self, axis: Axis, carried: &[Type]) -> Vec<Type> {
        self.loops.push(axis);
        carried.to_vec()
    }

    fn slice(&mut self, value: &Type, axis: Axis) -> Type {
        value.without(&[axis])
    }

    fn end_loop(&mut self, next: &[Type], yields: &[Type]) -> Vec<Type> {
        let axis = self.loops.pop();
        let joined = yields.iter().map(|y| axis.map_or_else(|| y.clone(), |axis| y.with(&[axis])));
        next.iter().cloned().chain(joined).collect()
    }

    fn mean(&mut self, sum: &Type, weight: &Type) -> Type {
        sum.with(&weight.axes)
    }

    fn supplied(&mut self, _: &str, elem: Elem) -> Type {
        Type::scalar(elem)
    }
}
