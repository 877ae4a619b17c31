//! Which sources a row can see, as far as the mask says it with an affine comparison of positions: `index(source) <=
//! index(time)`, a window, a fixed prefix. Only conjuncts of masks that give −∞ count; whatever else the mask says is evaluated.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::Axis;

use crate::graph::{Kind, NodeId, Region};
use crate::kernel::{Reg, Writer};

/// Bounds of the sources that rows can see. Each is `slope · row + offset`, the slope 0 or 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first source beyond.
    upper: Vec<(bool, i64)>,
    /// The first source.
    lower: Vec<(bool, i64)>,
}

/// `source · s + time · t + constant`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Affine {
    source: i64,
    time: i64,
    constant: i64,
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

    /// Share of all pairs of a row and a source that rows can see, taken for long rows: half where the end moves with the row.
    pub fn share(&self) -> f64 {
        if self.upper.iter().any(|&(moves, _)| moves) { 0.5 } else { 1.0 }
    }

    fn conjuncts(&mut self, body: &Region, mask: NodeId, time: Axis, source: Axis) {
        if let Some(&[a, b]) = operands(body, mask, Elementwise::AND) {
            self.conjuncts(body, a, time, source);
            self.conjuncts(body, b, time, source);
            return;
        }
        let forms = [
            (Elementwise::LE, false, 0),
            (Elementwise::LT, false, 1),
            (Elementwise::GE, true, 0),
            (Elementwise::GT, true, 1),
        ];
        for (op, turned, more) in forms {
            let Some(&[a, b]) = operands(body, mask, op) else { continue };
            let (a, b) = if turned { (b, a) } else { (a, b) };
            let of = |id: NodeId| affine(body, id, time, source);
            let (Some(a), Some(b)) = (of(a), of(b)) else { continue };
            // source · s + time · t + constant <= 0
            let (s, t, constant) = (a.source - b.source, a.time - b.time, a.constant - b.constant + more);
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

/// A value as an affine function of the positions, its numbers whole.
fn affine(body: &Region, id: NodeId, time: Axis, source: Axis) -> Option<Affine> {
    let node = &body[id];
    let Kind::Op(op) = &node.kind else { return None };
    let of = |i: usize| affine(body, node.operands[i], time, source);
    let whole = |value: f64| {
        let fits = value.fract() == 0.0 && value.abs() < f64::from(1 << 30);
        fits.then_some(Affine { source: 0, time: 0, constant: value as i64 })
    };
    let sum = |a: Affine, b: Affine, times: i64| Affine {
        source: a.source + times * b.source,
        time: a.time + times * b.time,
        constant: a.constant + times * b.constant,
    };
    match op {
        Op::Index(axis) if *axis == source => Some(Affine { source: 1, time: 0, constant: 0 }),
        Op::Index(axis) if *axis == time => Some(Affine { source: 0, time: 1, constant: 0 }),
        Op::Constant(Number(value), ..) => whole(*value),
        Op::Extent(size) => size.known().and_then(|n| whole(n as f64)),
        Op::Cast(_) => of(0),
        Op::Map(Elementwise::ADD) => Some(sum(of(0)?, of(1)?, 1)),
        Op::Map(Elementwise::SUB) => Some(sum(of(0)?, of(1)?, -1)),
        Op::Map(Elementwise::NEG) => Some(sum(Affine { source: 0, time: 0, constant: 0 }, of(0)?, -1)),
        _ => None,
    }
}
