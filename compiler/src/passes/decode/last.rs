//! One place of a value, computed alone: the place is taken as early as everything is one value for each place.

use std::collections::HashMap;

use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use crate::graph::{Kind, NodeId, RegionBuilder};
use crate::passes::decode::walk::touched;

/// A place of an axis.
pub struct Place {
    /// The axis.
    pub axis: Axis,
    /// The place.
    pub at: Size,
    /// The axis of the one place.
    pub one: Axis,
}

/// A value at a place alone.
pub fn take(out: &mut RegionBuilder, axes: &Axes, value: NodeId, place: &Place) -> NodeId {
    let mut made = HashMap::new();
    at(out, axes, value, place, &mut made)
}

fn at(out: &mut RegionBuilder, axes: &Axes, id: NodeId, place: &Place, made: &mut HashMap<NodeId, NodeId>) -> NodeId {
    if !out.ty(id).has(place.axis) {
        return id;
    }
    if let Some(&new) = made.get(&id) {
        return new;
    }
    let node = out.region()[id].clone();
    let new = match &node.kind {
        Kind::Op(Op::Constant(value, elem, over)) => {
            let over = over.iter().map(|&a| if a == place.axis { place.one } else { a }).collect();
            out.op(axes, Op::Constant(*value, *elem, over), &[])
        }
        Kind::Op(op) if !node.operands.is_empty() && !touched(op).contains(&place.axis) => {
            let operands: Vec<NodeId> = node.operands.iter().map(|&o| at(out, axes, o, place, made)).collect();
            out.op(axes, op.clone(), &operands)
        }
        _ => out.op(axes, Op::Slice(place.axis, place.at.clone(), place.one), &[id]),
    };
    made.insert(id, new);
    new
}
