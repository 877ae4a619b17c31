//! Cotangents while they are gathered.
//!
//! A cotangent may lack axes of the value it belongs to: it is then the same along them. So the derivative of a sum is a
//! number, and nothing is spread before something needs it.

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{Kind, NodeId, RegionBuilder};

/// What has been gathered for each value.
#[derive(Default)]
pub struct Cotangents {
    known: HashMap<NodeId, NodeId>,
}

impl Cotangents {
    /// Adds a part.
    pub fn add(&mut self, axes: &Axes, builder: &mut RegionBuilder, value: NodeId, part: NodeId) {
        let sum = match self.known.get(&value) {
            Some(&so_far) => builder.map(axes, Elementwise::ADD, &[so_far, part]),
            None => part,
        };
        self.known.insert(value, sum);
    }

    /// The sum of the parts so far.
    pub fn of(&self, value: NodeId) -> Option<NodeId> {
        self.known.get(&value).copied()
    }
}

/// A float constant on some axes.
pub fn constant(builder: &mut RegionBuilder, value: f64, axes: &[Axis]) -> NodeId {
    let ty = Type::new(Elem::Float, axes.iter().copied());
    builder.node(Kind::Op(Op::Constant(Number(value), Elem::Float, ty.axes.clone())), Vec::new(), ty)
}

/// The same value with all of these axes.
pub fn spread(axes: &Axes, builder: &mut RegionBuilder, value: NodeId, over: &[Axis]) -> NodeId {
    let missing: Vec<_> = over.iter().copied().filter(|&a| !builder.ty(value).has(a)).collect();
    if missing.is_empty() {
        return value;
    }
    let ones = constant(builder, 1.0, &missing);
    builder.map(axes, Elementwise::MUL, &[value, ones])
}

/// `Σ` over axes; along those the value lacks it is a multiple.
pub fn total(axes: &Axes, builder: &mut RegionBuilder, value: NodeId, over: &[Axis]) -> NodeId {
    let (present, missing): (Vec<_>, Vec<_>) = over.iter().copied().partition(|&a| builder.ty(value).has(a));
    let mut sum = value;
    if !missing.is_empty() {
        let times = length(axes, builder, &missing);
        sum = builder.map(axes, Elementwise::MUL, &[sum, times]);
    }
    if present.is_empty() { sum } else { builder.op(axes, Op::Reduce(Monoid::Sum, present), &[sum]) }
}

/// How many places some axes have, as a float.
fn length(axes: &Axes, builder: &mut RegionBuilder, over: &[Axis]) -> NodeId {
    let size = axes.volume(over);
    match size.known() {
        Some(known) => builder.number(known as f64),
        None => {
            let extent = builder.op(axes, Op::Extent(size), &[]);
            builder.op(axes, Op::Cast(Elem::Float), &[extent])
        }
    }
}
