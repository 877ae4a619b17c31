//! What a value over sources is behind the new place and outside of the text, where that is the same known number: what a mask
//! rules out is −∞ in a softmax and 0 in a sum, and so counts for nothing.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axis, Elem};

use super::value::Value;
use super::walk::Frame;
use crate::graph::{Affine, Kind, NodeId, at_most_zero};

impl Frame<'_> {
    /// The number that an operation gives there.
    pub fn beyond(&self, id: NodeId, op: &Op, values: &[Value]) -> Option<f64> {
        if self.causal(id).is_some() {
            return Some(0.0);
        }
        let of = |i: usize| values[i].beyond().or_else(|| self.number(self.region[id].operands[i]));
        let infinite = |i: usize| of(i) == Some(f64::NEG_INFINITY);
        match op {
            Op::Map(Elementwise::AND | Elementwise::MUL) if of(0) == Some(0.0) || of(1) == Some(0.0) => Some(0.0),
            Op::Map(Elementwise::DIV) if of(0) == Some(0.0) => Some(0.0),
            Op::Map(Elementwise::SUB) if infinite(0) => Some(f64::NEG_INFINITY),
            Op::Map(Elementwise::ADD | Elementwise::MIN) if infinite(0) || infinite(1) => Some(f64::NEG_INFINITY),
            Op::Map(Elementwise::SELECT) => match of(0) {
                Some(chosen) => of(if chosen != 0.0 { 1 } else { 2 }),
                None => of(1).filter(|_| of(1) == of(2)),
            },
            Op::Map(op) => {
                let numbers: Vec<f64> = (0..values.len()).map(of).collect::<Option<_>>()?;
                Some((op.row().eval)(&numbers)).filter(|n| !n.is_nan())
            }
            Op::Softmax(over) if over.iter().any(|&a| self.time.is_source(a)) => Some(0.0),
            Op::Contract(_) => (of(0) == Some(0.0) || of(1) == Some(0.0)).then_some(0.0),
            Op::Reduce(monoid, _) => of(0).filter(|n| *n == monoid.identity()),
            Op::Cast(elem) if *elem != Elem::Int => of(0),
            Op::StopGradient | Op::Rename(..) | Op::Split(..) | Op::Merge(..) => of(0),
            _ => None,
        }
    }

    /// The value of a scalar that is known.
    fn number(&self, id: NodeId) -> Option<f64> {
        let node = &self.region[id];
        match &node.kind {
            Kind::Op(Op::Constant(Number(value), ..)) => Some(*value),
            Kind::Op(Op::Extent(size)) => size.known().map(|n| n as f64),
            Kind::Op(Op::Cast(Elem::Float) | Op::StopGradient) => self.number(node.operands[0]),
            Kind::Op(Op::Map(op)) if node.ty.axes.is_empty() => {
                let operands: Vec<f64> = node.operands.iter().map(|&o| self.number(o)).collect::<Option<_>>()?;
                Some((op.row().eval)(&operands))
            }
            _ => None,
        }
    }

    /// A comparison that no source behind the new place fulfils: the axes, and what it says.
    fn causal(&self, id: NodeId) -> Option<(Axis, Axis, Affine)> {
        let axes = &self.region[id].ty.axes;
        let new = axes.iter().copied().find(|&a| self.time.is_new(a))?;
        let source = axes.iter().copied().find(|&a| self.time.is_source(a))?;
        let says = at_most_zero(self.region, id, new, source)?;
        // Behind the new place, source − time is 1 or more.
        (says.source == 1 && says.time == -1 && says.constant >= 0).then_some((new, source, says))
    }

    /// A causal comparison where rows begin anywhere: the source is also text. A place before the text sees itself, so that
    /// nothing is a softmax of nothing.
    pub fn within_text(&mut self, id: NodeId, beyond: Option<f64>) -> Result<Option<NodeId>, String> {
        let (Some((new, source, says)), Some(0.0), Some(start)) = (self.causal(id), beyond, self.start) else {
            return Ok(None);
        };
        let (at, seen) = (self.position(new)?, self.position(source)?);
        let more = self.emit(Op::Constant(Number(says.constant as f64), Elem::Int, Vec::new()), &[])?;
        let bound = if says.constant == 0 { seen } else { self.emit(Op::Map(Elementwise::ADD), &[seen, more])? };
        let causal = self.emit(Op::Map(Elementwise::LE), &[bound, at])?;
        let text = self.emit(Op::Map(Elementwise::GE), &[seen, start])?;
        let own = self.emit(Op::Map(Elementwise::EQ), &[seen, at])?;
        let text = self.emit(Op::Map(Elementwise::OR), &[text, own])?;
        self.emit(Op::Map(Elementwise::AND), &[causal, text]).map(Some)
    }
}
