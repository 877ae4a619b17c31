//! Values that are affine functions of the positions on two axes, as masks compare them.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::Axis;

use super::{Kind, NodeId, Region};

/// `source · s + time · t + constant`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// What a place further on the source's axis adds.
    pub source: i64,
    /// What a place further on the axis of time adds.
    pub time: i64,
    /// At the first places.
    pub constant: i64,
}

/// What a comparison says, where it is one of affine functions: `affine <= 0`.
pub fn at_most_zero(body: &Region, id: NodeId, time: Axis, source: Axis) -> Option<Affine> {
    let Kind::Op(Op::Map(op)) = body[id].kind else { return None };
    let (turned, more) = match op {
        Elementwise::LE => (false, 0),
        Elementwise::LT => (false, 1),
        Elementwise::GE => (true, 0),
        Elementwise::GT => (true, 1),
        _ => return None,
    };
    let &[a, b] = body[id].operands.as_slice() else { return None };
    let (a, b) = if turned { (b, a) } else { (a, b) };
    let (a, b) = (affine(body, a, time, source)?, affine(body, b, time, source)?);
    Some(Affine { source: a.source - b.source, time: a.time - b.time, constant: a.constant - b.constant + more })
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
