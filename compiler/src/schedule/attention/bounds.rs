//! Which sources a row can see, as far as the mask says it with an affine comparison of positions: `index(source) <=
//! index(time)`, a window, a fixed prefix. Only conjuncts of masks that give −∞ count; whatever else the mask says is evaluated.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::Axis;

use crate::graph::{Affine, Kind, NodeId, Region, at_most_zero};
use crate::kernel::{Reg, Writer};

/// Bounds of the sources that rows can see. Each is `slope · row + offset`, the slope 0 or 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first source beyond.
    upper: Vec<(bool, i64)>,
    /// The first source.
    lower: Vec<(bool, i64)>,
}

impl Bounds {
    /// What the mask of some scores says.
    pub fn of(body: &Region, score: NodeId, time: Axis, source: Axis) -> Self {
        let mut bounds = Self::default();
        let mut at = score;
        while let Some(&[mask, x, other]) = operands(body, at, Elementwise::SELECT)
            && number(body, other) == Some(f64::NEG_INFINITY)
        {
            bounds.conjuncts(body, mask, time, source);
            at = x;
        }
        bounds
    }

    /// Whether all rows may see all sources, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.upper.is_empty() && self.lower.is_empty()
    }

    fn conjuncts(&mut self, body: &Region, mask: NodeId, time: Axis, source: Axis) {
        if let Some(&[a, b]) = operands(body, mask, Elementwise::AND) {
            self.conjuncts(body, a, time, source);
            self.conjuncts(body, b, time, source);
            return;
        }
        if let Some(Affine { source: s, time: t, constant }) = at_most_zero(body, mask, time, source) {
            match (s, t) {
                (1, 0 | -1) => self.upper.push((t == -1, 1 - constant)),
                (-1, 0 | 1) => self.lower.push((t == 1, constant)),
                _ => {}
            }
        }
    }

    /// The first source that no row up to `last` sees.
    pub fn end(&self, w: &mut Writer, last: Reg, size: Reg) -> Reg {
        let zero = w.int(0);
        let end = self.upper.iter().fold(size, |end, bound| {
            let at = place(w, *bound, last);
            w.map(Elementwise::MIN, &[end, at])
        });
        w.map(Elementwise::MAX, &[end, zero])
    }

    /// The first source that a row from `first` on sees.
    pub fn start(&self, w: &mut Writer, first: Reg) -> Reg {
        let zero = w.int(0);
        self.lower.iter().fold(zero, |start, bound| {
            let at = place(w, *bound, first);
            w.map(Elementwise::MAX, &[start, at])
        })
    }
}

fn place(w: &mut Writer, (slope, offset): (bool, i64), row: Reg) -> Reg {
    let offset = w.int(offset);
    if slope { w.add(row, offset) } else { offset }
}

fn operands(body: &Region, id: NodeId, op: Elementwise) -> Option<&[NodeId]> {
    match &body[id].kind {
        Kind::Op(Op::Map(own)) if *own == op => Some(&body[id].operands),
        _ => None,
    }
}

fn number(body: &Region, id: NodeId) -> Option<f64> {
    match body[id].kind {
        Kind::Op(Op::Constant(Number(value), ..)) => Some(value),
        _ => None,
    }
}
