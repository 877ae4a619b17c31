//! Which sources a row can see, as far as the mask says it with an affine comparison of positions: `index(source) <=
//! index(time)`, a window, a prefix. Only conjuncts of masks that give −∞ count; whatever else the mask says is evaluated.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axis, Elem};

use crate::graph::{Kind, NodeId, Region};
use crate::kernel::{Dtype, Reg, Writer};
use crate::schedule::{Env, Exprs};

/// Bounds of the sources that rows can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first source beyond.
    upper: Option<Edge>,
    /// The first source.
    lower: Option<Edge>,
}

/// Where what a row can see begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Edge {
    /// `slope · row + offset + value`, the slope 0 or 1, the value one of the body's that is the same for all rows.
    At(bool, i64, Option<NodeId>),
    /// The smaller.
    Least(Box<[Edge; 2]>),
    /// The larger.
    Most(Box<[Edge; 2]>),
}

impl Edge {
    /// Whether it goes along with the row.
    fn moves(&self) -> bool {
        match self {
            Edge::At(slope, ..) => *slope,
            Edge::Least(edges) | Edge::Most(edges) => edges.iter().any(Edge::moves),
        }
    }

    /// For a row.
    fn place(&self, w: &mut Writer, e: &mut Exprs, env: &Env, row: Reg) -> Reg {
        let mut both = |w: &mut Writer, op, edges: &[Edge; 2]| {
            let (a, b) = (edges[0].place(w, e, env, row), edges[1].place(w, e, env, row));
            w.map(op, &[a, b])
        };
        match self {
            Edge::Least(edges) => both(w, Elementwise::MIN, edges),
            Edge::Most(edges) => both(w, Elementwise::MAX, edges),
            Edge::At(slope, offset, value) => {
                let mut at = w.int(*offset);
                if *slope {
                    at = w.add(row, at);
                }
                match value {
                    Some(value) => {
                        let value = e.eval_as(w, *value, env, Dtype::I64);
                        w.add(at, value)
                    }
                    None => at,
                }
            }
        }
    }
}

impl Edge {
    /// The first row whose edge lies beyond a source.
    fn beyond(&self, w: &mut Writer, e: &mut Exprs, env: &Env, source: Reg) -> Reg {
        let mut both = |w: &mut Writer, op, edges: &[Edge; 2]| {
            let (a, b) = (edges[0].beyond(w, e, env, source), edges[1].beyond(w, e, env, source));
            w.map(op, &[a, b])
        };
        match self {
            Edge::Least(edges) => both(w, Elementwise::MAX, edges),
            Edge::Most(edges) => both(w, Elementwise::MIN, edges),
            Edge::At(slope, ..) => {
                let zero = w.int(0);
                let first = self.place(w, e, env, zero);
                if *slope {
                    let (distance, one) = (w.sub(source, first), w.int(1));
                    return w.add(distance, one);
                }
                let (before, never) = (w.map(Elementwise::LT, &[source, first]), w.int(i64::from(u32::MAX)));
                w.map(Elementwise::SELECT, &[before, zero, never])
            }
        }
    }
}

/// Both, where both are known.
fn both(a: Option<Edge>, b: Option<Edge>, join: fn(Box<[Edge; 2]>) -> Edge) -> Option<Edge> {
    Some(join(Box::new([a?, b?])))
}

/// Both, or the one that is known.
fn either(a: Option<Edge>, b: Option<Edge>, join: fn(Box<[Edge; 2]>) -> Edge) -> Option<Edge> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(Box::new([a, b]))),
        (a, b) => a.or(b),
    }
}

/// `source · s + time · t + constant + sign · value`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Affine {
    source: i64,
    time: i64,
    constant: i64,
    value: Option<(i64, NodeId)>,
}

impl Affine {
    /// With another, so many times; none where both have a value.
    fn plus(self, other: Affine, times: i64) -> Option<Affine> {
        let value = match (self.value, other.value) {
            (Some(_), Some(_)) => return None,
            (own, other) => own.or(other.map(|(sign, node)| (sign * times, node))),
        };
        Some(Affine {
            source: self.source + times * other.source,
            time: self.time + times * other.time,
            constant: self.constant + times * other.constant,
            value,
        })
    }
}

impl Bounds {
    /// What the mask of some scores says; `heads` are the axes of keys.
    pub fn of(body: &Region, score: NodeId, heads: &[Axis], time: Axis, source: Axis) -> Self {
        let mut bounds = Self::default();
        let mut at = score;
        while let Some(&[mask, x, other]) = operands(body, at, Elementwise::SELECT)
            && number(body, other) == Some(f64::NEG_INFINITY)
        {
            bounds = bounds.and(Self::said(body, mask, heads, time, source));
            at = x;
        }
        bounds
    }

    /// Whether all rows may see all sources, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.upper.is_none() && self.lower.is_none()
    }

    /// Share of all pairs of a row and a source that rows can see, taken for long rows: half where the end moves with the row.
    pub fn share(&self) -> f64 {
        if self.upper.as_ref().is_some_and(Edge::moves) { 0.5 } else { 1.0 }
    }

    fn and(self, other: Self) -> Self {
        Self { upper: either(self.upper, other.upper, Edge::Least), lower: either(self.lower, other.lower, Edge::Most) }
    }

    fn or(self, other: Self) -> Self {
        Self { upper: both(self.upper, other.upper, Edge::Most), lower: both(self.lower, other.lower, Edge::Least) }
    }

    fn said(body: &Region, mask: NodeId, heads: &[Axis], time: Axis, source: Axis) -> Self {
        let of = |id: NodeId| Self::said(body, id, heads, time, source);
        if let Some(&[a, b]) = operands(body, mask, Elementwise::AND) {
            return of(a).and(of(b));
        }
        if let Some(&[a, b]) = operands(body, mask, Elementwise::OR) {
            return of(a).or(of(b));
        }
        let forms = [
            (Elementwise::LE, false, 0),
            (Elementwise::LT, false, 1),
            (Elementwise::GE, true, 0),
            (Elementwise::GT, true, 1),
        ];
        let mut bounds = Self::default();
        for (op, turned, more) in forms {
            let Some(&[a, b]) = operands(body, mask, op) else { continue };
            let (a, b) = if turned { (b, a) } else { (a, b) };
            let of = |id: NodeId| affine(body, id, heads, time, source);
            // source · s + time · t + constant ± value <= 0
            let Some(d) = of(a).zip(of(b)).and_then(|(a, b)| a.plus(b, -1)) else { continue };
            let (constant, value) = (d.constant + more, d.value.map(|(_, node)| node));
            match (d.source, d.time, d.value.map(|(sign, _)| sign)) {
                (1, 0 | -1, None | Some(-1)) => bounds.upper = Some(Edge::At(d.time == -1, 1 - constant, value)),
                (-1, 0 | 1, None | Some(1)) => bounds.lower = Some(Edge::At(d.time == 1, constant, value)),
                _ => {}
            }
        }
        bounds
    }

    /// The first source that no row up to `last` sees, at most `size`; `env` has the positions of the head.
    pub fn end(&self, w: &mut Writer, e: &mut Exprs, env: &Env, last: Reg, size: Reg) -> Reg {
        let Some(edge) = &self.upper else { return size };
        let (zero, end) = (w.int(0), edge.place(w, e, env, last));
        let end = w.map(Elementwise::MIN, &[end, size]);
        w.map(Elementwise::MAX, &[end, zero])
    }

    /// Of the rows `from..to`, those that may see one of the sources `first` to `last`.
    pub fn rows(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        env: &Env,
        (first, last): (Reg, Reg),
        (mut from, mut to): (Reg, Reg),
    ) -> (Reg, Reg) {
        if let Some(edge) = &self.upper {
            let sees = edge.beyond(w, e, env, first);
            from = w.map(Elementwise::MAX, &[from, sees]);
        }
        if let Some(edge) = &self.lower {
            let ends = edge.beyond(w, e, env, last);
            to = w.map(Elementwise::MIN, &[to, ends]);
        }
        (from, to)
    }

    /// The first source that a row from `first` on sees.
    pub fn start(&self, w: &mut Writer, e: &mut Exprs, env: &Env, first: Reg) -> Reg {
        let zero = w.int(0);
        let Some(edge) = &self.lower else { return zero };
        let start = edge.place(w, e, env, first);
        w.map(Elementwise::MAX, &[start, zero])
    }
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
fn affine(body: &Region, id: NodeId, heads: &[Axis], time: Axis, source: Axis) -> Option<Affine> {
    let node = &body[id];
    // An integer that is the same for all rows of a head: the length of a prefix.
    let same = matches!(node.ty.elem, Elem::Int | Elem::Index(_)) && node.ty.axes.iter().all(|a| heads.contains(a));
    let value = || same.then_some(Affine { value: Some((1, id)), ..Affine::default() });
    let Kind::Op(op) = &node.kind else { return value() };
    let of = |i: usize| affine(body, node.operands[i], heads, time, source);
    let none = Affine::default();
    let whole = |value: f64| {
        let fits = value.fract() == 0.0 && value.abs() < f64::from(1 << 30);
        fits.then_some(Affine { constant: value as i64, ..none })
    };
    let known = match op {
        Op::Index(axis) if *axis == source => Some(Affine { source: 1, ..none }),
        Op::Index(axis) if *axis == time => Some(Affine { time: 1, ..none }),
        Op::Constant(Number(value), ..) => whole(*value),
        Op::Extent(size) => size.known().and_then(|n| whole(n as f64)),
        Op::Cast(_) => of(0),
        Op::Map(Elementwise::ADD) => of(0).zip(of(1)).and_then(|(a, b)| a.plus(b, 1)),
        Op::Map(Elementwise::SUB) => of(0).zip(of(1)).and_then(|(a, b)| a.plus(b, -1)),
        Op::Map(Elementwise::NEG) => of(0).and_then(|a| none.plus(a, -1)),
        _ => None,
    };
    known.or_else(value)
}
