//! One order for operands that may change places.
//!
//! It follows from what the operands are computed by, not from names or from the order in which things were written. Only values
//! that are computed alike, such as two inputs of the same kind, come in the order of their axes and numbers.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::Elem;

use super::simplify::Simplifier;
use crate::graph::{Kind, Node, NodeId};

/// What a node is computed by: without the axes and numbers that are only names, and with them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    shape: u64,
    whole: u64,
}

impl Simplifier<'_> {
    /// Operands that may change places in their order, and chains of `and` and of `or` as one, each truth value once.
    pub(super) fn sort_operands(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        if !op.commutes() {
            return None;
        }
        let chains = matches!(op, Elementwise::AND | Elementwise::OR);
        let (mut open, mut parts) = (operands.to_vec(), Vec::new());
        while let Some(id) = open.pop() {
            match self.as_map(id, op).filter(|_| chains) {
                Some(inner) => open.extend_from_slice(inner),
                None => parts.push(id),
            }
        }
        self.sort(&mut parts);
        if chains {
            parts.dedup();
        }
        let axes = self.axes;
        parts.into_iter().reduce(|all, part| self.b.map(axes, op, &[all, part]))
    }

    /// Constants last, and what has more axes before what is spread along them.
    pub(super) fn sort(&mut self, ids: &mut [NodeId]) {
        self.mark_all();
        ids.sort_by_key(|&id| (self.value(id).is_some(), Reverse(self.b.ty(id).axes.len()), self.marks[id.0 as usize]));
    }

    /// Marks the nodes that were made since the last time.
    fn mark_all(&mut self) {
        for node in &self.b.region().nodes[self.marks.len()..] {
            let of = |part: fn(&Mark) -> u64| node.operands.iter().map(|o| part(&self.marks[o.0 as usize])).collect();
            let (shapes, wholes): (Vec<u64>, Vec<u64>) = (of(|m| m.shape), of(|m| m.whole));
            let (mut shape, mut whole) = (DefaultHasher::new(), DefaultHasher::new());
            hash_shape(node, &mut shape);
            shapes.hash(&mut shape);
            (&node.kind, wholes).hash(&mut whole);
            self.marks.push(Mark { shape: shape.finish(), whole: whole.finish() });
        }
    }
}

/// What a node does, but for its axes, its number as an argument and names of sizes.
fn hash_shape(node: &Node, hash: &mut DefaultHasher) {
    let elem = |elem: Elem| std::mem::discriminant(&elem);
    (elem(node.ty.elem), node.ty.axes.len(), std::mem::discriminant(&node.kind)).hash(hash);
    match &node.kind {
        Kind::Op(op) => {
            std::mem::discriminant(op).hash(hash);
            match op {
                Op::Constant(value, ..) => value.hash(hash),
                Op::Extent(size) => size.known().hash(hash),
                Op::Map(op) => op.name().hash(hash),
                Op::Order(_, _, way) => way.hash(hash),
                Op::Reduce(monoid, over) => (monoid, over.len()).hash(hash),
                Op::Contract(over) | Op::ScatterAdd(_, over) | Op::Softmax(over) | Op::LogSumExp(over) => {
                    over.len().hash(hash)
                }
                Op::Slice(_, start, _) | Op::Insert(_, start, _) => start.known().hash(hash),
                Op::Pad(_, start, _, value) => (start.known(), value).hash(hash),
                Op::Random(distribution, ..) => distribution.hash(hash),
                Op::Split(_, parts) | Op::Merge(parts, _) | Op::Concat(parts, _) => parts.len().hash(hash),
                Op::Index(_) | Op::Cast(_) | Op::StopGradient | Op::ArgMax(_) | Op::Rename(..) | Op::Lookup(_) => {}
            }
        }
        Kind::Scan(scan) => (scan.reverse, scan.carried, scan.sliced, scan.body.nodes.len()).hash(hash),
        Kind::Fused(fused) => (fused.form, fused.body.nodes.len()).hash(hash),
        Kind::Project(number) => number.hash(hash),
        Kind::Argument(_) => {}
    }
}
