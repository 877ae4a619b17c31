//! Accumulators: how a reduction's value grows along a pass, and how lanes and vectors in flight are joined at its end.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axis;

use crate::graph::{Kind, NodeId, Region};
use crate::kernel::{Dtype, Reg, Writer};
use crate::schedule::position::Env;
use crate::schedule::simplify::identity;
use crate::schedule::{Exprs, dtype};

/// A reduction as a pass computes it.
#[derive(Clone, Copy, Debug)]
pub struct Accumulator {
    /// The reduction.
    pub node: NodeId,
    how: How,
    /// What is accumulated; sums that have no axes grow in F64.
    dtype: Dtype,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Join(Monoid),
    /// `Σ a · b`
    Dot,
    /// The largest value and its place.
    First(Axis),
}

impl Accumulator {
    /// How a reduction is accumulated; `None` where the node is not one that loops compute.
    pub fn new(body: &Region, node: NodeId) -> Option<Self> {
        let n = &body[node];
        let value = dtype(&body[*n.operands.first()?].ty);
        let (how, dtype) = match &n.kind {
            Kind::Op(Op::Reduce(monoid, _)) => {
                let sums = matches!(monoid, Monoid::Sum | Monoid::Product);
                (How::Join(*monoid), if sums { dtype(&n.ty) } else { value })
            }
            Kind::Op(Op::Contract(_)) => (How::Dot, dtype(&n.ty)),
            Kind::Op(Op::ArgMax(axis)) => (How::First(*axis), value),
            _ => return None,
        };
        Some(Self { node, how, dtype })
    }

    /// Registers of one.
    pub fn width(&self) -> usize {
        match self.how {
            How::Join(_) | How::Dot => 1,
            How::First(_) => 2,
        }
    }

    fn monoid(&self) -> Monoid {
        match self.how {
            How::Join(monoid) => monoid,
            How::Dot => Monoid::Sum,
            How::First(_) => Monoid::Max,
        }
    }

    /// Before the first value.
    pub fn start(&self, w: &mut Writer, lanes: u16) -> Vec<Reg> {
        let value = w.constant(self.dtype, lanes, self.identity());
        match self.how {
            How::Join(_) | How::Dot => vec![value],
            How::First(_) => vec![value, w.constant(Dtype::I32, lanes, 0.0)],
        }
    }

    fn identity(&self) -> f64 {
        identity(self.monoid(), self.dtype == Dtype::I32).0
    }

    /// With the value at a position. Lanes that do not exist add nothing where lanes are to be joined (`across`).
    pub fn step(&self, w: &mut Writer, exprs: &mut Exprs, env: &Env, before: &[Reg], across: bool) -> Vec<Reg> {
        let lanes = w.shape(before[0]).lanes;
        let mask = env.mask.filter(|_| across && lanes > 1);
        let operands = exprs.body[self.node].operands.clone();
        let existing = |w: &mut Writer, exprs: &mut Exprs, node: NodeId, other: f64| {
            let value = exprs.eval_as(w, node, env, self.dtype);
            match mask {
                Some(mask) => {
                    let other = w.constant(self.dtype, lanes, other);
                    let value = w.splat(value, lanes);
                    w.map(Elementwise::SELECT, &[mask, value, other])
                }
                None => w.splat(value, lanes),
            }
        };
        match self.how {
            How::Join(monoid) => {
                let value = existing(w, exprs, operands[0], self.identity());
                vec![w.map(monoid.join(), &[before[0], value])]
            }
            How::Dot => {
                let (a, b) = (existing(w, exprs, operands[0], 0.0), existing(w, exprs, operands[1], 0.0));
                vec![w.fma(a, b, before[0])]
            }
            How::First(axis) => {
                let value = existing(w, exprs, operands[0], self.identity());
                let Some(at) = env.get(axis) else { return before.to_vec() };
                let at = at.places(w, exprs.lanes);
                let at = w.convert(at, Dtype::I32);
                let better = w.map(Elementwise::GT, &[value, before[0]]);
                let at = w.splat(at, lanes);
                let value = w.map(Elementwise::SELECT, &[better, value, before[0]]);
                vec![value, w.map(Elementwise::SELECT, &[better, at, before[1]])]
            }
        }
    }

    /// Vectors in flight joined, halves against halves, and then their lanes where `across`; in the dtype of the node.
    pub fn finish(&self, w: &mut Writer, body: &Region, mut flights: Vec<Vec<Reg>>, across: bool) -> Reg {
        while flights.len() > 1 {
            let half = flights.len().div_ceil(2);
            let upper = flights.split_off(half);
            for (a, b) in flights.iter_mut().zip(upper) {
                *a = self.join(w, a, &b);
            }
        }
        let last = flights.pop().unwrap_or_default();
        let own = dtype(&body[self.node].ty);
        match (self.how, across) {
            (How::Join(_) | How::Dot, true) => {
                let value = w.fold(self.monoid(), last[0]);
                w.convert(value, own)
            }
            (How::Join(_) | How::Dot, false) => w.convert(last[0], own),
            (How::First(_), false) => last[1],
            (How::First(_), true) if w.shape(last[0]).lanes == 1 => last[1],
            (How::First(_), true) => {
                let largest = w.fold(Monoid::Max, last[0]);
                let equal = w.map(Elementwise::EQ, &[last[0], largest]);
                let none = w.constant(Dtype::I32, w.shape(last[1]).lanes, f64::from(i32::MAX));
                let places = w.map(Elementwise::SELECT, &[equal, last[1], none]);
                w.fold(Monoid::Min, places)
            }
        }
    }

    fn join(&self, w: &mut Writer, a: &[Reg], b: &[Reg]) -> Vec<Reg> {
        match self.how {
            How::Join(_) | How::Dot => vec![w.map(self.monoid().join(), &[a[0], b[0]])],
            How::First(_) => {
                let (more, same) = (w.map(Elementwise::GT, &[b[0], a[0]]), w.map(Elementwise::EQ, &[b[0], a[0]]));
                let earlier = w.map(Elementwise::LT, &[b[1], a[1]]);
                let tie = w.map(Elementwise::AND, &[same, earlier]);
                let take = w.map(Elementwise::OR, &[more, tie]);
                let select = |w: &mut Writer, i: usize| w.map(Elementwise::SELECT, &[take, b[i], a[i]]);
                vec![select(w, 0), select(w, 1)]
            }
        }
    }
}
