//! What a value over sources is behind the new place and outside of the text, where that is the same known number: what a mask
//! rules out is −∞ in a softmax and 0 in a sum, and so counts for nothing.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axis, Elem};

use super::value::{Beyond, Value};
use super::walk::Frame;
use crate::graph::{Affine, Kind, NodeId, at_most_zero};

impl Frame<'_> {
    /// What an operation gives there.
    pub fn beyond(&self, id: NodeId, op: &Op, values: &[Value]) -> Beyond {
        let known = |i: usize| self.number(self.region[id].operands[i]);
        let at = |d: i64, i: usize| values[i].beyond().before.filter(|b| b.1 <= d).map(|b| b.0);
        let says = self.compared(id);
        let causal = says.filter(Compared::is_causal).map(|_| 0.0);
        let after = causal.or_else(|| self.there(op, values.len(), &|i| values[i].beyond().after.or_else(|| known(i))));
        let mut distances: Vec<i64> = values.iter().filter_map(|v| v.beyond().before.map(|b| b.1)).collect();
        distances.sort_unstable();
        let before = says.and_then(|s| s.window()).map(|window| (0.0, window)).or_else(|| {
            let mut found =
                distances.into_iter().map(|d| (self.there(op, values.len(), &|i| at(d, i).or_else(|| known(i))), d));
            found.find_map(|(value, d)| Some((value?, d)))
        });
        Beyond { after, before }
    }

    /// The number that an operation gives where its operands are known numbers.
    fn there(&self, op: &Op, count: usize, of: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
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
                let numbers: Vec<f64> = (0..count).map(of).collect::<Option<_>>()?;
                Some((op.row().eval)(&numbers)).filter(|n| !n.is_nan())
            }
            Op::Softmax(over) if over.iter().any(|&a| self.time.is_source(a)) => infinite(0).then_some(0.0),
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

    /// A comparison of a source's place with a new one's.
    fn compared(&self, id: NodeId) -> Option<Compared> {
        let axes = &self.region[id].ty.axes;
        let new = axes.iter().copied().find(|&a| self.time.is_new(a))?;
        let source = axes.iter().copied().find(|&a| self.time.is_source(a))?;
        let says = at_most_zero(self.region, id, new, source)?;
        Some(Compared { new, source, says })
    }

    /// A causal comparison where not all that is kept is text, because rows begin anywhere or a ring is not full: the source is
    /// also text. A place before the text sees itself, so that nothing is a softmax of nothing.
    pub fn within_text(&mut self, id: NodeId) -> Result<Option<NodeId>, String> {
        let Some(Compared { new, source, says }) = self.compared(id).filter(Compared::is_causal) else { return Ok(None) };
        let start = match self.start {
            Some(start) => start,
            None if self.time.turns(source).is_some() => self.emit(Op::Constant(Number(0.0), Elem::Int, Vec::new()), &[])?,
            None => return Ok(None),
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

/// What a comparison says of a new place and a source.
#[derive(Clone, Copy)]
struct Compared {
    new: Axis,
    source: Axis,
    says: Affine,
}

impl Compared {
    /// Whether no source behind the new place fulfils it: there, source − time is 1 or more.
    fn is_causal(&self) -> bool {
        self.says.source == 1 && self.says.time == -1 && self.says.constant >= 0
    }

    /// How far before the new place no source fulfils it any more.
    fn window(&self) -> Option<i64> {
        (self.says.source == -1 && self.says.time == 1).then_some(1 - self.says.constant)
    }
}
