//! Means over a batch: kept as a sum and a weight, so that a batch may be taken in parts.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;

use super::super::{Kind, Node, NodeId, Source};
use super::{Builder, Mean, Value};

impl Builder {
    /// The means that were taken outside of loops, in order.
    pub fn means(&self) -> &[Mean] {
        &self.means
    }

    /// From now on, means over a batch are divided by totals that the run supplies (`total.0`, `total.1`, …): the sums of
    /// [`Builder::batch_weights`] over the micro-batches of a step.
    pub fn divide_by_totals(&mut self, totals: bool) {
        self.totals = totals;
    }

    /// The weights of the means so far that were taken over a batch, in order.
    pub fn batch_weights(&self) -> Vec<NodeId> {
        self.means.iter().map(|m| m.weight).filter(|&w| self.counts_batch(w)).collect()
    }

    /// The weight of the first mean over a batch that a value is computed from.
    pub fn weight_of(&self, value: &Value) -> Option<NodeId> {
        let reached = self.ancestors(self.closed(value));
        let over_batch = |m: &&Mean| self.counts_batch(m.weight) && reached[m.result.0 as usize];
        self.means.iter().find(over_batch).map(|m| m.weight)
    }

    /// Whether a value is a sum of means over a batch, each times something that does not depend on the batch: the shares of
    /// micro-batches then add up to the value over all of it.
    pub fn adds_up(&self, value: &Value) -> bool {
        self.is_share(self.closed(value))
    }

    fn is_share(&self, node: NodeId) -> bool {
        if self.means.iter().any(|m| m.result == node && self.counts_batch(m.weight)) {
            return true;
        }
        let Node { kind, operands, .. } = &self.frames[0].region.region()[node];
        match (kind, operands.as_slice()) {
            (Kind::Op(Op::Map(Elementwise::ADD | Elementwise::SUB)), &[a, b]) => self.is_share(a) && self.is_share(b),
            (Kind::Op(Op::Map(Elementwise::NEG)), &[a]) => self.is_share(a),
            (Kind::Op(Op::Map(Elementwise::MUL)), &[a, b]) => {
                self.is_share(a) && !self.reads_batch(b) || self.is_share(b) && !self.reads_batch(a)
            }
            (Kind::Op(Op::Map(Elementwise::DIV)), &[a, b]) => self.is_share(a) && !self.reads_batch(b),
            _ => false,
        }
    }

    /// Whether a node is computed from a field of the batch or from its size.
    fn reads_batch(&self, node: NodeId) -> bool {
        let region = self.frames[0].region.region();
        let reached = self.ancestors(node);
        region.iter().filter(|(id, _)| reached[id.0 as usize]).any(|(_, node)| match &node.kind {
            Kind::Argument(number) => matches!(self.inputs[*number as usize].source, Source::Port),
            Kind::Op(Op::Extent(size)) => size.known().is_none(),
            _ => false,
        })
    }

    /// The nodes of the body that a node is computed from, itself included.
    fn ancestors(&self, node: NodeId) -> Vec<bool> {
        let region = self.frames[0].region.region();
        let mut reached = vec![false; region.nodes.len()];
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut reached[id.0 as usize], true) {
                open.extend(&region[id].operands);
            }
        }
        reached
    }

    /// Whether a mean's weight is a scalar that depends on the batch.
    pub(super) fn counts_batch(&self, weight: NodeId) -> bool {
        let region = self.frames[0].region.region();
        let mut open = vec![weight];
        while let Some(id) = open.pop() {
            match &region[id].kind {
                Kind::Argument(_) => return region[weight].ty.axes.is_empty(),
                Kind::Op(Op::Extent(size)) if size.known().is_none() => return region[weight].ty.axes.is_empty(),
                _ => open.extend(&region[id].operands),
            }
        }
        false
    }
}
