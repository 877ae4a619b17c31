//! Finds what must lie in one scan.

use std::collections::BTreeSet;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::elements;
use crate::graph::{Kind, Node, NodeId, Region};

/// Values of a region that a scan over an axis can make.
pub struct Island {
    /// The axis of the batch that the scan walks.
    pub axis: Axis,
    /// The nodes that each step computes, `sums` included, in order.
    pub members: BTreeSet<NodeId>,
    /// Those among them that are sums over the axis: carried, and read by nothing within.
    pub sums: BTreeSet<NodeId>,
}

impl Island {
    /// The values along an axis that hang together with a large one and are about as large, what lies between them, and what is computed from
    /// them; none where they cannot all be made one place of the axis after another, or one of them is needed whole.
    pub fn around(axes: &Axes, region: &Region, axis: Axis, seed: NodeId) -> Option<Self> {
        let readers = readers(region);
        let enough = elements(axes, &region[seed].ty.axes).map(|all| all / 2);
        let large = |id: NodeId| region[id].ty.has(axis) && elements(axes, &region[id].ty.axes) >= enough;
        let mut island = Self { axis, members: BTreeSet::new(), sums: BTreeSet::new() };
        let mut open = vec![seed];
        while let Some(id) = open.pop() {
            if !island.members.insert(id) {
                continue;
            }
            let node = &region[id];
            if !is_local(axes, region, node, axis) {
                return None;
            }
            open.extend(node.operands.iter().copied().filter(|&o| large(o)));
            if !large(id) {
                continue;
            }
            if region.outputs.contains(&id) {
                return None;
            }
            for &reader in &readers[id.0 as usize] {
                if region[reader].ty.has(axis) {
                    open.push(reader);
                } else if is_sum(&region[reader], axis) {
                    island.sums.insert(reader);
                } else {
                    return None;
                }
            }
        }
        island.members.extend(&island.sums);
        island.close(axes, region, &readers)
    }

    /// Adds what lies between members.
    fn close(mut self, axes: &Axes, region: &Region, readers: &[Vec<NodeId>]) -> Option<Self> {
        let mut after = vec![false; region.nodes.len()];
        for (id, node) in region.iter() {
            after[id.0 as usize] = node.operands.iter().any(|o| after[o.0 as usize] || self.members.contains(o));
        }
        let mut before = vec![false; region.nodes.len()];
        for (id, _) in region.iter().rev() {
            let read = &readers[id.0 as usize];
            before[id.0 as usize] = read.iter().any(|r| before[r.0 as usize] || self.members.contains(r));
        }
        for (id, node) in region.iter().filter(|(id, _)| after[id.0 as usize] && before[id.0 as usize]) {
            if !node.ty.has(self.axis) || !is_local(axes, region, node, self.axis) {
                return None;
            }
            self.members.insert(id);
        }
        // A sum is there when all steps are done.
        let whole = self.members.iter().flat_map(|&m| &region[m].operands).all(|o| !self.sums.contains(o));
        whole.then_some(self)
    }
}

/// The nodes that read each node.
fn readers(region: &Region) -> Vec<Vec<NodeId>> {
    let mut readers = vec![Vec::new(); region.nodes.len()];
    for (id, node) in region.iter() {
        node.operands.iter().for_each(|o| readers[o.0 as usize].push(id));
    }
    readers
}

/// Whether an operator does at each place of an axis what it would do were that the only one: it means something without the
/// axis, and its type is then that without the axis.
fn is_local(axes: &Axes, region: &Region, node: &Node, axis: Axis) -> bool {
    let Kind::Op(op) = &node.kind else { return false };
    let types: Vec<Type> = node.operands.iter().map(|&o| region[o].ty.without(&[axis])).collect();
    let types: Vec<&Type> = types.iter().collect();
    within(op, axis).infer(&types, axes) == Ok(node.ty.without(&[axis]))
}

/// The operator for one place of an axis.
pub fn within(op: &Op, axis: Axis) -> Op {
    match op {
        Op::Constant(value, elem, over) => {
            Op::Constant(*value, *elem, over.iter().copied().filter(|&a| a != axis).collect())
        }
        op => op.clone(),
    }
}

/// Whether a node sums over an axis.
fn is_sum(node: &Node, axis: Axis) -> bool {
    let sums = matches!(&node.kind, Kind::Op(Op::Reduce(Monoid::Sum, over) | Op::Contract(over)) if over.contains(&axis));
    sums && node.ty.elem == Elem::Float
}

/// What of a sum is done for one place of the axis; none where that is its operand itself.
pub fn part(op: &Op, axis: Axis) -> Option<Op> {
    let rest = |over: &[Axis]| over.iter().copied().filter(|&a| a != axis).collect::<Vec<_>>();
    match op {
        Op::Contract(over) if over.len() == 1 => Some(Op::Map(Elementwise::MUL)),
        Op::Contract(over) => Some(Op::Contract(rest(over))),
        Op::Reduce(_, over) if over.len() == 1 => None,
        Op::Reduce(monoid, over) => Some(Op::Reduce(*monoid, rest(over))),
        op => Some(op.clone()),
    }
}
