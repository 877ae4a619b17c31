//! Builds a region through the rules: what is asked for is given in its simplest known form.

use std::collections::HashSet;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::order::Mark;
use crate::graph::{Kind, NodeId, RegionBuilder};

/// A region builder that simplifies.
pub struct Simplifier<'a> {
    /// The axes of the program.
    pub axes: &'a Axes,
    /// What has been built.
    pub b: RegionBuilder,
    /// What the first of its nodes are computed by.
    pub(super) marks: Vec<Mark>,
    /// Those that several nodes read of the region that is rebuilt.
    pub(super) shared: HashSet<NodeId>,
}

impl<'a> Simplifier<'a> {
    /// An empty region.
    pub fn new(axes: &'a Axes) -> Self {
        Self { axes, b: RegionBuilder::new(), marks: Vec::new(), shared: HashSet::new() }
    }

    /// A value equal to the operation on the operands, which must fit.
    ///
    /// A rule may answer with a value of another type, such as one that lacks an axis along which the result would repeat: it is
    /// then not taken.
    pub fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        let op = ordered(op);
        let types: Vec<&Type> = operands.iter().map(|&o| self.b.ty(o)).collect();
        if let Ok(ty) = op.infer(&types, self.axes)
            && let Some(better) = self.better(&op, operands)
            && *self.b.ty(better) == ty
        {
            return better;
        }
        self.b.op(self.axes, op, operands)
    }

    fn better(&mut self, op: &Op, operands: &[NodeId]) -> Option<NodeId> {
        self.softmax_rules(op, operands).or_else(|| match op {
            Op::Map(map) => self.map_rules(*map, operands),
            _ => self.structure_rules(op, operands),
        })
    }

    /// An elementwise operation.
    pub fn map(&mut self, op: Elementwise, operands: &[NodeId]) -> NodeId {
        self.op(Op::Map(op), operands)
    }

    /// A scalar.
    pub fn scalar(&mut self, value: f64, elem: Elem) -> NodeId {
        self.constant(value, elem, &[])
    }

    /// The same everywhere on some axes.
    pub fn constant(&mut self, value: f64, elem: Elem, axes: &[Axis]) -> NodeId {
        let ty = Type::new(elem, axes.iter().copied());
        self.b.node(Kind::Op(Op::Constant(Number(value), elem, ty.axes.clone())), Vec::new(), ty)
    }

    /// The value of a constant, whatever its axes.
    pub fn value(&self, id: NodeId) -> Option<f64> {
        match self.b.region()[id].kind.op()? {
            Op::Constant(value, ..) => Some(value.0),
            _ => None,
        }
    }

    /// Whether it is this constant; zeros of either sign are equal.
    pub fn is(&self, id: NodeId, value: f64) -> bool {
        self.value(id) == Some(value)
    }

    /// The operands, where it is this elementwise operation.
    pub fn as_map(&self, id: NodeId, op: Elementwise) -> Option<&[NodeId]> {
        let node = &self.b.region()[id];
        (node.kind.op()? == &Op::Map(op)).then_some(&node.operands)
    }

    /// The operator and its only operand.
    pub fn as_unary(&self, id: NodeId) -> Option<(&Op, NodeId)> {
        let node = &self.b.region()[id];
        match (node.kind.op()?, node.operands.as_slice()) {
            (op, &[operand]) => Some((op, operand)),
            _ => None,
        }
    }

    /// Whether a value is the same along all of these axes.
    pub fn lacks(&self, id: NodeId, axes: &[Axis]) -> bool {
        !axes.iter().any(|&a| self.b.ty(id).has(a))
    }

    /// Whether it is a float.
    pub fn is_float(&self, id: NodeId) -> bool {
        self.b.ty(id).elem == Elem::Float
    }
}

/// Sets of axes have one order.
fn ordered(op: Op) -> Op {
    let sorted = |mut axes: Vec<Axis>| {
        axes.sort();
        axes.dedup();
        axes
    };
    match op {
        Op::Constant(value, elem, axes) => Op::Constant(value, elem, sorted(axes)),
        Op::Reduce(monoid, axes) => Op::Reduce(monoid, sorted(axes)),
        Op::Contract(axes) => Op::Contract(sorted(axes)),
        Op::ScatterAdd(axis, axes) => Op::ScatterAdd(axis, sorted(axes)),
        Op::Softmax(axes) => Op::Softmax(sorted(axes)),
        Op::LogSumExp(axes) => Op::LogSumExp(sorted(axes)),
        op => op,
    }
}
