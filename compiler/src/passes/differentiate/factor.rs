//! The derivative of an activation as one factor.
//!
//! Where elementwise work leads from one value `u` to one value `y` and nothing between is used elsewhere, the cotangent of `u` is
//! that of `y` times `dy/du`, and `dy/du` is a value of the forward pass alone: for `gelu` an expression of an `erf` and an `exp`.
//! Written so, what is kept for the gradient of a scan can be `dy/du` instead of `u` ([`super::keep`]): as many bytes, computed
//! beside `y` from the same `erf`, and the backward pass multiplies where it would compute the activation again.
//!
//! The factor is the same rules pulled with the cotangent 1, so each of its steps rounds as the chain of rules does. It is infinite
//! or not a number only where the chain is, too, or where `dy/du` itself is beyond the floats.

use std::collections::BTreeSet;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::Axes;

use super::activity::Activity;
use super::cotangent::Cotangents;
use super::{rows, rules};
use crate::graph::{Kind, NodeId, Region, RegionBuilder};

/// What of a region may lie within an activation.
pub struct Inner {
    /// The nodes that a cotangent of each comes from; none where one comes from elsewhere, or is asked for.
    users: Vec<Option<Vec<NodeId>>>,
}

impl Inner {
    /// Of a region in which `ends` get cotangents from outside or are asked for theirs.
    pub fn of(region: &Region, activity: &Activity, ends: impl Iterator<Item = NodeId>) -> Self {
        let mut users = vec![Some(Vec::new()); region.nodes.len()];
        for (id, node) in region.iter() {
            for (i, operand) in node.operands.iter().enumerate() {
                let of = &mut users[operand.0 as usize];
                match &node.kind {
                    Kind::Op(_) if !passes(region, activity, id, i) => {}
                    Kind::Op(Op::Map(_)) => of.iter_mut().for_each(|of| of.push(id)),
                    _ => *of = None,
                }
            }
        }
        for end in ends {
            users[end.0 as usize] = None;
        }
        Self { users }
    }

    /// The value from which the activation that ends in `y` starts, and the nodes of the activation, the last first. None where
    /// that is a single operator, or linear: then its rule is as good.
    fn activation(&self, region: &Region, activity: &Activity, y: NodeId) -> Option<(NodeId, Vec<NodeId>)> {
        let mut within = vec![y];
        let mut open: BTreeSet<NodeId> = sources(region, activity, y).collect();
        let mut found = None;
        while let Some(&next) = open.last() {
            if open.len() == 1 && region[next].ty.axes == region[y].ty.axes {
                found = Some((next, within.len()));
            }
            let is_map = matches!(region[next].kind, Kind::Op(Op::Map(_)));
            let users = self.users[next.0 as usize].as_ref().filter(|_| is_map);
            if !users.is_some_and(|users| users.iter().all(|user| within.contains(user))) {
                break;
            }
            open.remove(&next);
            open.extend(sources(region, activity, next));
            within.push(next);
        }
        let (start, count) = found?;
        within.truncate(count);
        let bends = within.iter().any(|&id| bends(region, activity, id));
        (count > 1 && bends).then_some((start, within))
    }

    /// Where an activation ends in `y`: the value it starts from, and the part of that one's cotangent that comes from the
    /// cotangent `g` of `y`.
    pub fn pull(
        &self,
        axes: &Axes,
        b: &mut RegionBuilder,
        activity: &Activity,
        y: NodeId,
        g: NodeId,
    ) -> Option<(NodeId, NodeId)> {
        let (start, within) = self.activation(b.region(), activity, y)?;
        let mut cotangents = Cotangents::default();
        let one = b.number(1.0);
        cotangents.add(axes, b, y, one);
        for id in within {
            if let Some(g) = cotangents.of(id) {
                rules::pull_all(axes, b, activity, &mut cotangents, id, g);
            }
        }
        let factor = cotangents.of(start)?;
        Some((start, b.map(axes, Elementwise::MUL, &[g, factor])))
    }
}

/// Whether a cotangent passes from a node to one of its operands.
fn passes(region: &Region, activity: &Activity, id: NodeId, operand: usize) -> bool {
    let node = &region[id];
    let passes = node.kind.op().is_some_and(|op| rules::passes(op, operand));
    passes && activity.is(id) && activity.is(node.operands[operand])
}

/// The operands of a node that a cotangent passes to.
fn sources<'a>(region: &'a Region, activity: &'a Activity, id: NodeId) -> impl Iterator<Item = NodeId> + 'a {
    let operands = region[id].operands.iter().enumerate();
    operands.filter(move |&(i, _)| passes(region, activity, id, i)).map(|(_, &operand)| operand)
}

/// Whether the derivative of an elementwise node changes with what the cotangents go to.
fn bends(region: &Region, activity: &Activity, id: NodeId) -> bool {
    let node = &region[id];
    let moves = |i: usize| activity.is(node.operands[i]);
    let Kind::Op(Op::Map(op)) = &node.kind else { return false };
    (0..node.operands.len()).any(|i| moves(i) && rows::bends(*op, i, &moves))
}
