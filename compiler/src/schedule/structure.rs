//! Operators that move values without computing: they become other positions of their operands.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Axis, Elem};

use super::dtype;
use super::expr::Exprs;
use super::position::{Env, Position};
use crate::graph::{Kind, NodeId};
use crate::kernel::{Dtype, Reg, Writer};

impl Exprs<'_> {
    /// A rename, split, merge, slice, pad, join or lookup.
    pub(super) fn structural(&mut self, w: &mut Writer, node: NodeId, op: &Op, env: &Env) -> Reg {
        let body = self.body;
        let operands = &body[node].operands;
        let at = |axis: Axis| env.get(axis);
        match op {
            Op::Rename(from, to) => match at(*to) {
                Some(p) => self.eval(w, operands[0], &env.with(*from, p)),
                None => self.fail(w, node, "has no position"),
            },
            Op::Split(whole, parts) => match self.joined(w, parts, env) {
                Some(p) => self.eval(w, operands[0], &env.with(*whole, p)),
                None => self.fail(w, node, "has no position"),
            },
            Op::Merge(parts, whole) => match at(*whole) {
                Some(p) => {
                    let inner = self.parted(w, parts, p, env);
                    self.eval(w, operands[0], &inner)
                }
                None => self.fail(w, node, "has no position"),
            },
            Op::Slice(from, start, to) => match at(*to) {
                Some(p) => {
                    let aligned = start.known().is_some_and(|n| n % i64::from(self.lanes) == 0);
                    let start = self.sizes.reg(w, start);
                    let p = p.shifted(w, start, aligned);
                    self.eval(w, operands[0], &env.with(*from, p))
                }
                None => self.fail(w, node, "has no position"),
            },
            Op::Pad(from, start, to, number) => match at(*to) {
                Some(p) => {
                    let start = self.sizes.reg(w, start);
                    let (inside, inner) = self.within(w, *from, start, p, env);
                    let value = self.eval(w, operands[0], &inner);
                    let around = w.constant(dtype(&body[node].ty), 1, number.0);
                    w.map(Elementwise::SELECT, &[inside, value, around])
                }
                None => self.fail(w, node, "has no position"),
            },
            Op::Insert(part, start, whole) => match at(*whole) {
                Some(p) => {
                    let start = self.sizes.reg(w, start);
                    let (inside, inner) = self.within(w, *part, start, p, env);
                    let own = dtype(&body[node].ty);
                    let (new, old) = (self.eval_as(w, operands[1], &inner, own), self.eval_as(w, operands[0], env, own));
                    w.map(Elementwise::SELECT, &[inside, new, old])
                }
                None => self.fail(w, node, "has no position"),
            },
            Op::Concat(parts, whole) => match at(*whole) {
                Some(p) => self.concat(w, node, parts, p, env),
                None => self.fail(w, node, "has no position"),
            },
            Op::Lookup(axis) => {
                if let Some((base, true)) = self.counting(w, operands[1], env) {
                    return self.eval(w, operands[0], &env.with(*axis, Position::Run(base)));
                }
                let index = self.eval(w, operands[1], env);
                let p = if w.shape(index).lanes > 1 {
                    Position::Vector(index)
                } else {
                    Position::Scalar(w.convert(index, Dtype::I64))
                };
                self.eval(w, operands[0], &env.with(*axis, p))
            }
            _ => self.fail(w, node, "does not only move values"),
        }
    }

    /// An integer whose lanes follow one another: the first (I64 scalar), and whether lanes differ at all. None where they follow
    /// otherwise.
    pub fn counting(&mut self, w: &mut Writer, node: NodeId, env: &Env) -> Option<(Reg, bool)> {
        let body = self.body;
        let n = &body[node];
        if !n.ty.axes.iter().any(|&a| env.get(a).is_some_and(Position::is_vector)) {
            let value = self.eval(w, node, env);
            return Some((w.convert(value, Dtype::I64), false));
        }
        match (&n.kind, n.operands.as_slice()) {
            (Kind::Op(Op::Index(axis)), _) => match env.get(*axis) {
                Some(Position::Lanes(base) | Position::Run(base)) => Some((base, true)),
                _ => None,
            },
            (Kind::Op(Op::Cast(Elem::Int | Elem::Index(_))), &[x]) if body[x].ty.elem != Elem::Float => {
                self.counting(w, x, env)
            }
            (Kind::Op(Op::Map(op @ (Elementwise::ADD | Elementwise::SUB))), &[a, b]) => {
                let ((a, up), (b, also)) = (self.counting(w, a, env)?, self.counting(w, b, env)?);
                let follows = up && !also || *op == Elementwise::ADD && !up && also;
                follows.then(|| (w.map(*op, &[a, b]), true))
            }
            _ => None,
        }
    }

    /// The position on a whole of positions on its parts.
    fn joined(&mut self, w: &mut Writer, parts: &[Axis], env: &Env) -> Option<Position> {
        let (&last, outer) = parts.split_last()?;
        let mut all = Vec::new();
        for &part in parts {
            all.push(env.get(part)?);
        }
        let whole_lanes = |axis: Axis, e: &Self| e.axes.size(axis).known().is_some_and(|n| n % i64::from(e.lanes) == 0);
        let inner = env.get(last)?;
        if outer.is_empty() {
            return Some(inner);
        }
        // Σ position · volume of the parts within.
        let mut sum: Option<Reg> = None;
        for (&part, p) in outer.iter().zip(&all) {
            let at = p.places(w, self.lanes);
            let size = self.extent(w, part);
            sum = Some(match sum {
                Some(sum) => {
                    let scaled = w.mul(sum, size);
                    w.add(scaled, at)
                }
                None => at,
            });
        }
        let (sum, size) = (sum?, self.extent(w, last));
        let base = w.mul(sum, size);
        if w.shape(base).lanes > 1 {
            let at = inner.places(w, self.lanes);
            return Some(Position::Vector(w.add(base, at)));
        }
        Some(inner.shifted(w, base, whole_lanes(last, self)))
    }

    /// Positions on the parts of a position on their whole.
    fn parted(&mut self, w: &mut Writer, parts: &[Axis], whole: Position, env: &Env) -> Env {
        let mut env = env.clone();
        let mut rest = whole;
        for (i, &part) in parts.iter().enumerate().rev() {
            if i == 0 {
                env.set(part, rest);
                break;
            }
            let (outer, inner) = self.divided(w, rest, part);
            env.set(part, inner);
            rest = outer;
        }
        env
    }

    /// Quotient and remainder by the size of an axis.
    fn divided(&mut self, w: &mut Writer, at: Position, part: Axis) -> (Position, Position) {
        let lanes = i64::from(self.lanes);
        let known = self.axes.size(part).known();
        let size = self.extent(w, part);
        let div_mod = |w: &mut Writer, at: Reg| {
            let (at, size) = (at, w.convert(size, w.shape(at).dtype));
            (w.map(Elementwise::IDIV, &[at, size]), w.map(Elementwise::MOD, &[at, size]))
        };
        match at {
            Position::Scalar(at) => {
                let (q, r) = div_mod(w, at);
                (Position::Scalar(q), Position::Scalar(r))
            }
            // Aligned lanes never cross the border of a part that is a whole number of vectors.
            Position::Lanes(base) if known.is_some_and(|n| n > 0 && n % lanes == 0) => {
                let (q, r) = div_mod(w, base);
                (Position::Scalar(q), Position::Lanes(r))
            }
            // Lanes cross the border of a part at least as long as a vector at most once.
            Position::Lanes(base) | Position::Run(base) if known.is_some_and(|n| n >= lanes) => {
                let (q, r) = div_mod(w, base);
                let iota = w.iota(Dtype::I64, self.lanes);
                let r = w.add(r, iota);
                let wraps = w.map(Elementwise::GE, &[r, size]);
                let (less, one) = (w.sub(r, size), w.int(1));
                let more = w.add(q, one);
                let q = w.map(Elementwise::SELECT, &[wraps, more, q]);
                let r = w.map(Elementwise::SELECT, &[wraps, less, r]);
                (Position::Vector(q), Position::Vector(r))
            }
            Position::Lanes(_) | Position::Run(_) | Position::Vector(_) => {
                let at = at.places(w, self.lanes);
                let (q, r) = div_mod(w, at);
                (Position::Vector(q), Position::Vector(r))
            }
        }
    }

    /// The position `at - start` on an axis: whether it is there, and where what it holds may be read.
    fn within(&mut self, w: &mut Writer, axis: Axis, start: Reg, at: Position, env: &Env) -> (Reg, Env) {
        let (zero, size) = (w.int(0), self.extent(w, axis));
        let back = w.sub(zero, start);
        let p = at.shifted(w, back, false);
        let places = p.places(w, self.lanes);
        let (above, below) = (w.map(Elementwise::GE, &[places, zero]), w.map(Elementwise::LT, &[places, size]));
        let inside = w.map(Elementwise::AND, &[above, below]);
        (inside, env.guarded(w, inside).with(axis, p))
    }

    fn concat(&mut self, w: &mut Writer, node: NodeId, parts: &[Axis], at: Position, env: &Env) -> Reg {
        let body = self.body;
        let mut start = weft_dsl::size::Size::of(0);
        let mut joined: Option<Reg> = None;
        for (&part, &operand) in parts.iter().zip(&body[node].operands) {
            let from = self.sizes.reg(w, &start);
            let (inside, inner) = self.within(w, part, from, at, env);
            let value = self.eval_as(w, operand, &inner, dtype(&body[node].ty));
            joined = Some(match joined {
                Some(before) => w.map(Elementwise::SELECT, &[inside, value, before]),
                None => value,
            });
            start = start + self.axes.size(part).clone();
        }
        match joined {
            Some(value) => value,
            None => self.fail(w, node, "joins nothing"),
        }
    }
}
