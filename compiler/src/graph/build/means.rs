//! Means over a batch: kept as a sum and a weight, so that a batch may be taken in parts, and may be empty.
//!
//! What an objective gives is a function of the sums and weights of its means. Several batches are measured by adding those up
//! and taking the function once ([`Builder::with_totals`]); the gradient over several micro-batches is the sum of the gradients
//! of their shares ([`Builder::share`]).

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::Elem;

use super::super::{Kind, Node, NodeId, Source};
use super::{Builder, Mean, Value};

impl Builder {
    /// From now on, a mean of scalars over nothing is 0 and passes no gradient, rather than not a number.
    pub fn guard_means(&mut self) {
        self.guarded = true;
    }

    /// The means that were taken outside of loops, in order.
    pub fn means(&self) -> &[Mean] {
        &self.means
    }

    /// The means that these values are functions of, beside what does not depend on the batch: all scalar means over the batch
    /// and, as means over batches that count as one each, those of the values that are no such function.
    pub fn measured(&mut self, values: &[Value]) -> Vec<Mean> {
        // A model may give more than is asked of it, such as a loss of its own.
        let mut used = vec![false; self.frames[0].region.region().nodes.len()];
        for value in values {
            let reached = self.reached(self.closed(value), &[]);
            used.iter_mut().zip(reached).for_each(|(used, reached)| *used |= reached);
        }
        self.means.retain(|mean| used[mean.result.0 as usize]);
        let mut means = self.over_batch();
        for value in values {
            let node = self.closed(value);
            if self.reads_batch(node, &means) {
                let weight = self.number(1.0, Elem::Float).node;
                means.push(Mean { sum: node, weight, result: node });
            }
        }
        means
    }

    /// How much a value counts: the largest weight of the means that it is computed from; 1 where it is from none.
    pub fn weight_of(&mut self, value: &Value, means: &[Mean]) -> Value {
        let reached = self.reached(self.closed(value), means);
        let of = means.iter().filter(|m| reached[m.result.0 as usize]).map(|m| Value { depth: 0, node: m.weight });
        let largest = of.reduce(|a, b| self.op(Op::Map(Elementwise::MAX), &[a, b]));
        largest.unwrap_or_else(|| self.number(1.0, Elem::Float))
    }

    /// Brings values over to another program on the same axes, where the run supplies the sums and weights of these means
    /// (`sum.0`, `weight.0`, …). Gives the values and the means there.
    pub fn with_totals(&self, values: &[Value], means: &[Mean], to: &mut Builder) -> (Vec<Value>, Vec<Mean>) {
        let mut totals = Vec::new();
        for number in 0..means.len() {
            let sum = to.supplied(&format!("sum.{number}"), Elem::Float);
            let weight = to.supplied(&format!("weight.{number}"), Elem::Float);
            let result = to.mean(&sum, &weight);
            totals.push(Mean { sum: sum.node, weight: weight.node, result: result.node });
        }
        let mut moved: HashMap<NodeId, NodeId> =
            means.iter().map(|m| m.result).zip(totals.iter().map(|m| m.result)).collect();
        for value in values {
            let reached = self.reached(self.closed(value), means);
            for (id, node) in self.frames[0].region.region().iter().filter(|(id, _)| reached[id.0 as usize]) {
                if moved.contains_key(&id) {
                    continue;
                }
                let there = match &node.kind {
                    Kind::Argument(number) => to.argument(self.inputs[*number as usize].clone()).node,
                    kind => {
                        let operands = node.operands.iter().map(|o| moved[o]).collect();
                        to.frames[0].region.node(kind.clone(), operands, node.ty.clone())
                    }
                };
                moved.insert(id, there);
            }
        }
        (values.iter().map(|value| to.root(moved[&value.node])).collect(), totals)
    }

    /// A micro-batch's share of a value, where shares add up to it: the value is then a sum of means over the batch, each times
    /// something that does not depend on the batch, and of terms that do not depend on it either. Means are divided by the
    /// weights of the whole batch, which the run supplies (`weight.0`, …); the other terms count with the first micro-batch.
    pub fn share(&mut self, value: &Value) -> Option<Value> {
        let means = self.over_batch();
        self.share_of(self.closed(value), &means)
    }

    fn share_of(&mut self, node: NodeId, means: &[Mean]) -> Option<Value> {
        if let Some(number) = means.iter().position(|m| m.result == node) {
            let sum = means[number].sum;
            // What is summed up must not depend on the other rows of the batch.
            let reached = self.reached(sum, &[]);
            if self.means.iter().any(|m| reached[m.result.0 as usize] && self.mixes_rows(m)) {
                return None;
            }
            let total = self.supplied(&format!("weight.{number}"), Elem::Float);
            return Some(self.mean(&self.root(sum), &total));
        }
        let value = self.root(node);
        if !self.reads_batch(node, &[]) {
            let micro = self.supplied("micro", Elem::Int);
            let (first, nothing) = (self.number(0.0, Elem::Int), self.number(0.0, Elem::Float));
            let is_first = self.op(Op::Map(Elementwise::EQ), &[micro, first]);
            return Some(self.op(Op::Map(Elementwise::SELECT), &[is_first, value, nothing]));
        }
        let Node { kind: Kind::Op(Op::Map(op)), operands, .. } = self.frames[0].region.region()[node].clone() else {
            return None;
        };
        let steady = |builder: &Self, node: NodeId| !builder.reads_batch(node, &[]);
        let operands = match (op, operands.as_slice()) {
            (Elementwise::ADD | Elementwise::SUB, &[a, b]) => vec![self.share_of(a, means)?, self.share_of(b, means)?],
            (Elementwise::NEG, &[a]) => vec![self.share_of(a, means)?],
            (Elementwise::MUL | Elementwise::DIV, &[a, b]) if steady(self, b) => {
                vec![self.share_of(a, means)?, self.root(b)]
            }
            (Elementwise::MUL, &[a, b]) if steady(self, a) => vec![self.root(a), self.share_of(b, means)?],
            _ => return None,
        };
        Some(self.op(Op::Map(op), &operands))
    }

    /// The scalar means over the batch, in order.
    fn over_batch(&self) -> Vec<Mean> {
        let scalar = |m: &&Mean| self.frames[0].region.ty(m.result).axes.is_empty();
        self.means.iter().filter(scalar).filter(|m| self.mixes_rows(m)).copied().collect()
    }

    /// Whether a mean is taken over the rows of a batch: what counts depends on the batch, and the result lacks the rows' axis,
    /// which is the first of each field.
    fn mixes_rows(&self, mean: &Mean) -> bool {
        let fields = self.inputs.iter().filter(|input| input.source == Source::Port);
        let rows: Vec<_> = fields.filter_map(|f| f.axes.first()).flat_map(|&a| self.axes.size(a).variables()).collect();
        let result = &self.frames[0].region.ty(mean.result).axes;
        let has_rows = result.iter().any(|&a| self.axes.size(a).variables().iter().any(|v| rows.contains(v)));
        !has_rows && self.reads_batch(mean.weight, &[])
    }

    /// Whether a node is computed from a field of the batch or from its size, other than through these means.
    fn reads_batch(&self, node: NodeId, means: &[Mean]) -> bool {
        let reached = self.reached(node, means);
        let reads = |(id, node): (NodeId, &Node)| {
            let of_batch = match &node.kind {
                Kind::Argument(number) => self.inputs[*number as usize].source == Source::Port,
                Kind::Op(Op::Extent(size)) => size.known().is_none(),
                _ => node.ty.axes.iter().any(|&axis| self.axes.size(axis).known().is_none()),
            };
            of_batch && reached[id.0 as usize] && means.iter().all(|m| m.result != id)
        };
        self.frames[0].region.region().iter().any(reads)
    }

    /// The nodes of the body that a node is computed from, itself included: up to these means, but nothing behind them.
    fn reached(&self, node: NodeId, means: &[Mean]) -> Vec<bool> {
        let region = self.frames[0].region.region();
        let mut reached = vec![false; region.nodes.len()];
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut reached[id.0 as usize], true) && means.iter().all(|m| m.result != id) {
                open.extend(&region[id].operands);
            }
        }
        reached
    }

    /// A number as a value.
    pub(super) fn number(&mut self, value: f64, elem: Elem) -> Value {
        self.op(Op::Constant(Number(value), elem, Vec::new()), &[])
    }
}
