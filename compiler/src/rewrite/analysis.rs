//! What is known of a class: its type, and its value where it is the same number everywhere.

use std::collections::BTreeSet;

use egg::{Analysis, DidMerge, EGraph, Id};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Misfit, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::language::{ENode, Operators, Symbol};

/// An e-graph of one region.
pub type Space = EGraph<ENode, Knowledge>;

/// What is known of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its type: every node of a class has the same.
    pub ty: Type,
    /// A float that it holds everywhere.
    pub value: Option<f64>,
}

/// What an e-graph knows beside its classes.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// The axes of the program; rules may make further ones.
    pub axes: Axes,
    /// Its operators.
    pub operators: Operators,
    /// The first rewrite that was ill-typed: a fault of the compiler, and the region is left as it was.
    pub fault: Option<String>,
    /// Groups of products that have been joined: a rule that makes an axis fires once for each.
    pub joined: BTreeSet<Vec<Id>>,
}

impl Knowledge {
    /// Panics where tests would see it; elsewhere the first fault is kept for the report.
    fn report(&mut self, fault: String) {
        if cfg!(debug_assertions) {
            panic!("{fault}");
        }
        self.fault.get_or_insert(fault);
    }
}

impl Analysis<ENode> for Knowledge {
    type Data = Facts;

    fn make(space: &mut Space, node: &ENode, _: Id) -> Facts {
        match infer(space, node.symbol, &node.children) {
            Ok(ty) => Facts { value: value(space, node, &ty), ty },
            Err(misfit) => {
                let fault = format!("`{node}` does not fit its operands: {misfit:?}");
                space.analysis.report(fault);
                Facts { ty: Type::scalar(Elem::Float), value: None }
            }
        }
    }

    fn merge(&mut self, a: &mut Facts, b: Facts) -> DidMerge {
        if a.ty != b.ty {
            let shown = (self.axes.show(&a.ty), self.axes.show(&b.ty));
            self.report(format!("a rewrite makes {} equal to {}", shown.0, shown.1));
        }
        let (had, gives) = (a.value.is_some(), b.value.is_some());
        a.value = a.value.or(b.value);
        DidMerge(!had && gives, had && !gives)
    }

    /// A scalar whose value is known is also that number.
    fn modify(space: &mut Space, id: Id) {
        let Facts { ty, value: Some(value) } = &space[id].data else { return };
        if ty.elem == Elem::Float && ty.axes.is_empty() {
            let number = ENode { symbol: Symbol::Number(Number(*value)), children: Vec::new() };
            if space.lookup(number.clone()).is_none_or(|known| space.find(known) != space.find(id)) {
                let number = space.add(number);
                space.union(id, number);
            }
        }
    }
}

fn value(space: &Space, node: &ENode, ty: &Type) -> Option<f64> {
    let known = |id: &Id| space[*id].data.value;
    match node.symbol {
        Symbol::Number(number) => Some(number.0),
        Symbol::Map(op) if ty.elem == Elem::Float => {
            let operands = node.children.iter().map(known).collect::<Option<Vec<_>>>()?;
            Some((op.row().eval)(&operands)).filter(|v| v.is_finite())
        }
        Symbol::Op(_) => match space.analysis.operators.structural(node.symbol)? {
            Op::Constant(number, Elem::Float, _) => Some(number.0),
            Op::Rename(..) => known(&node.children[0]),
            _ => None,
        },
        Symbol::Map(_) | Symbol::Opaque(_) => None,
    }
}

/// The type that a node would have.
pub fn infer(space: &Space, symbol: Symbol, children: &[Id]) -> Result<Type, Misfit> {
    let types: Vec<&Type> = children.iter().map(|&c| ty(space, c)).collect();
    infer_of(space, symbol, &types)
}

/// The type that a symbol gives for operands of some types.
pub fn infer_of(space: &Space, symbol: Symbol, types: &[&Type]) -> Result<Type, Misfit> {
    let (axes, operators) = (&space.analysis.axes, &space.analysis.operators);
    match operators.hidden(symbol) {
        Some((_, ty)) => Ok(ty.clone()),
        None => operators.op(symbol).map_or(Err(Misfit::Arity(0)), |op| op.infer(types, axes)),
    }
}

/// The type of a class.
pub fn ty(space: &Space, id: Id) -> &Type {
    &space[id].data.ty
}

/// Whether a class is the same along all of some axes.
pub fn lacks(space: &Space, id: Id, axes: &[Axis]) -> bool {
    axes.iter().all(|&a| !ty(space, id).has(a))
}

/// Adds a node, unless it would be ill-typed.
pub fn add(space: &mut Space, op: Op, children: &[Id]) -> Option<Id> {
    let symbol = space.analysis.operators.symbol(op);
    infer(space, symbol, children).ok()?;
    Some(space.add(ENode { symbol, children: children.to_vec() }))
}

/// Adds an elementwise node, unless it would be ill-typed.
pub fn map(space: &mut Space, op: Elementwise, children: &[Id]) -> Option<Id> {
    add(space, Op::Map(op), children)
}

/// The nodes of a class that are neither elementwise nor opaque: operators and operands.
pub fn structural(space: &Space, id: Id) -> Vec<(Op, Vec<Id>)> {
    let operators = &space.analysis.operators;
    space[id].nodes.iter().filter_map(|n| Some((operators.structural(n.symbol)?.clone(), n.children.clone()))).collect()
}

/// The operands of each node of a class that applies an elementwise operator.
pub fn maps(space: &Space, id: Id, op: Elementwise) -> Vec<Vec<Id>> {
    space[id].nodes.iter().filter(|n| n.symbol == Symbol::Map(op)).map(|n| n.children.clone()).collect()
}
