//! Products one operand of which is there in segments alone.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::Axis;

use crate::graph::{Kind, NodeId, Region};

/// A contraction with an operand `select(from <= index(slot) and index(slot) < to, value, 0)`, where `from` and `to` have one axis,
/// the *group*: for each place of the group the value is there on one run of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The operand.
    pub masked: NodeId,
    /// The mask and the comparisons that it is made of.
    pub mask: [NodeId; 3],
    /// What the operand is within the segment.
    pub value: NodeId,
    /// The axis that segments are runs of.
    pub slot: Axis,
    /// The axis that has a segment for each place.
    pub group: Axis,
    /// Where each segment begins.
    pub from: NodeId,
    /// Where it ends.
    pub to: NodeId,
}

/// The segments of a contraction: it is summed over the group and keeps the slots, or the other way round.
pub fn segments(region: &Region, product: NodeId) -> Option<Segments> {
    let Kind::Op(Op::Contract(over)) = &region[product].kind else { return None };
    let &[a, b] = region[product].operands.as_slice() else { return None };
    let map = |id: NodeId, op: Elementwise| match (&region[id].kind, region[id].operands.as_slice()) {
        (Kind::Op(Op::Map(own)), operands) if *own == op => Some(operands),
        _ => None,
    };
    let compared = |id: NodeId, op: Elementwise| match (map(id, op), map(id, op).map(|o| &region[o[0]].kind)) {
        (Some(&[_, bound]), Some(&Kind::Op(Op::Index(slot)))) => Some((slot, bound)),
        _ => None,
    };
    [(a, b), (b, a)].into_iter().find_map(|(masked, other)| {
        let &[inside, value, zero] = map(masked, Elementwise::SELECT)? else { return None };
        let Kind::Op(Op::Constant(number, ..)) = region[zero].kind else { return None };
        let &[after, before] = map(inside, Elementwise::AND)? else { return None };
        let ((slot, from), (end, to)) = (compared(after, Elementwise::GE)?, compared(before, Elementwise::LT)?);
        let &[group] = region[from].ty.axes.as_slice() else { return None };
        let kept_apart = |kept: Axis, summed: Axis| {
            over.contains(&summed) && !over.contains(&kept) && region[other].ty.has(summed) && !region[other].ty.has(kept)
        };
        let fits = number.0 == 0.0
            && slot == end
            && region[to].ty.axes == [group]
            && !region[value].ty.has(group)
            && (kept_apart(slot, group) || kept_apart(group, slot));
        fits.then_some(Segments { masked, mask: [inside, after, before], value, slot, group, from, to })
    })
}
