//! Finds softmax and log-sum-exp in what defines them.
//!
//! Plain `exp(x) / Σ exp(x)` is found first, whatever `x` is; that a largest value was subtracted for the sake of numbers is then
//! seen in `x`, since a shift that is the same along the axes changes nothing. A mask may stand on the exponentials (0 where it
//! does not hold) or on `x` (−∞): the first becomes the second. Everywhere a fully masked softmax is 0.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::{Axis, Elem};

use super::simplify::Simplifier;
use crate::graph::NodeId;

impl Simplifier<'_> {
    /// A softmax or a log-sum-exp, where the operation completes one or one gets simpler.
    pub(super) fn softmax_rules(&mut self, op: &Op, operands: &[NodeId]) -> Option<NodeId> {
        match (op, operands) {
            (Op::Map(Elementwise::DIV), &[top, bottom]) => self.quotient(top, bottom),
            (Op::Map(Elementwise::MUL), &[a, b]) => self.times_inverse(a, b).or_else(|| self.times_inverse(b, a)),
            (Op::Map(Elementwise::SELECT), &[mask, value, zero]) if self.is(zero, 0.0) => self.masked_quotient(mask, value),
            (Op::Map(Elementwise::LOG), &[x]) => self.log(x),
            (Op::Map(Elementwise::ADD), &[a, b]) => self.shift_back(a, b).or_else(|| self.shift_back(b, a)),
            (Op::Map(Elementwise::SUB), &[w, l]) => self.log_softmax(w, l),
            (Op::Softmax(over), &[x]) => {
                let x = self.unshifted(x, over)?;
                Some(self.op(op.clone(), &[x]))
            }
            _ => None,
        }
    }

    fn as_exp(&self, id: NodeId) -> Option<NodeId> {
        self.as_map(id, Elementwise::EXP).map(|o| o[0])
    }

    /// `select(mask, x, other)`: the mask and `x`.
    fn as_masked(&self, id: NodeId, other: f64) -> Option<(NodeId, NodeId)> {
        let &[mask, x, rest] = self.as_map(id, Elementwise::SELECT)? else { return None };
        self.is(rest, other).then_some((mask, x))
    }

    fn as_sum(&self, id: NodeId) -> Option<(Vec<Axis>, NodeId)> {
        match self.as_unary(id)? {
            (Op::Reduce(Monoid::Sum, over), x) => Some((over.clone(), x)),
            _ => None,
        }
    }

    fn mask(&mut self, mask: NodeId, x: NodeId) -> NodeId {
        let x = self.float(x);
        let nothing = self.scalar(f64::NEG_INFINITY, Elem::Float);
        self.map(Elementwise::SELECT, &[mask, x, nothing])
    }

    fn float(&mut self, x: NodeId) -> NodeId {
        self.op(Op::Cast(Elem::Float), &[x])
    }

    /// `exp(x) / Σ exp(x)`, also with both exponentials masked, and where only the sum is but `x` has that mask itself.
    fn quotient(&mut self, top: NodeId, bottom: NodeId) -> Option<NodeId> {
        let (over, summed) = self.as_sum(bottom)?;
        if let Some(x) = self.as_exp(top) {
            let whole = top == summed;
            let by_itself = self.as_masked(summed, 0.0).is_some_and(|(mask, e)| e == top && self.has_mask(x, mask));
            if !whole && !by_itself {
                return None;
            }
            let x = self.float(x);
            return Some(self.op(Op::Softmax(over), &[x]));
        }
        let (mask, e) = self.as_masked(top, 0.0).filter(|_| top == summed)?;
        let x = self.as_exp(e)?;
        let x = self.mask(mask, x);
        Some(self.op(Op::Softmax(over), &[x]))
    }

    /// Whether `x`, but for a shift, is −∞ wherever the mask does not hold.
    fn has_mask(&self, x: NodeId, mask: NodeId) -> bool {
        let base = self.as_map(x, Elementwise::SUB).map_or(x, |o| o[0]);
        self.as_masked(base, f64::NEG_INFINITY).is_some_and(|(own, _)| own == mask)
    }

    /// `exp(x) · (1 / Σ exp(x))`.
    fn times_inverse(&mut self, e: NodeId, inverse: NodeId) -> Option<NodeId> {
        let &[one, sum] = self.as_map(inverse, Elementwise::DIV)? else { return None };
        if self.is(one, 1.0) { self.quotient(e, sum) } else { None }
    }

    /// `select(mask, exp(x) / Σ select(mask, exp(x), 0), 0)`, and `select(mask, softmax(select(mask, x, −∞)), 0)`.
    fn masked_quotient(&mut self, mask: NodeId, value: NodeId) -> Option<NodeId> {
        if let Some((Op::Softmax(_), x)) = self.as_unary(value) {
            return self.as_masked(x, f64::NEG_INFINITY).filter(|(own, _)| *own == mask).map(|_| value);
        }
        let &[top, bottom] = self.as_map(value, Elementwise::DIV)? else { return None };
        let (over, summed) = self.as_sum(bottom)?;
        let x = self.as_exp(top)?;
        self.as_masked(summed, 0.0).filter(|&(own, e)| own == mask && e == top)?;
        let x = self.mask(mask, x);
        Some(self.op(Op::Softmax(over), &[x]))
    }

    /// Without a shift by a largest value.
    fn unshifted(&mut self, x: NodeId, over: &[Axis]) -> Option<NodeId> {
        if let Some((mask, inner)) = self.as_masked(x, f64::NEG_INFINITY) {
            let inner = self.unshifted(inner, over)?;
            return Some(self.mask(mask, inner)).filter(|&y| self.b.ty(y) == self.b.ty(x));
        }
        let &[base, shift] = self.as_map(x, Elementwise::SUB)? else { return None };
        let harmless = self.lacks(shift, over) && self.is_largest(shift) && self.b.ty(base) == self.b.ty(x);
        harmless.then_some(base)
    }

    /// A largest value, perhaps kept from the gradient, perhaps guarded against −∞.
    fn is_largest(&self, id: NodeId) -> bool {
        match self.as_unary(id) {
            Some((Op::Reduce(Monoid::Max, _), _)) => return true,
            Some((Op::StopGradient, x)) => return self.is_largest(x),
            _ => {}
        }
        if let Some(&[_, a, b]) = self.as_map(id, Elementwise::SELECT) {
            return (self.is(a, 0.0) && self.is_largest(b)) || (self.is(b, 0.0) && self.is_largest(a));
        }
        false
    }

    /// `log Σ exp(x)`, also masked; `log softmax(x)`.
    fn log(&mut self, x: NodeId) -> Option<NodeId> {
        if let Some((Op::Softmax(over), x)) = self.as_unary(x) {
            // Not of masked values: a row of nothing is −∞ as it stands and would be NaN.
            let over = over.clone();
            self.as_masked(x, f64::NEG_INFINITY).is_none().then_some(())?;
            let sum = self.op(Op::LogSumExp(over), &[x]);
            return Some(self.map(Elementwise::SUB, &[x, sum]));
        }
        let (over, summed) = self.as_sum(x)?;
        let x = match self.as_masked(summed, 0.0) {
            Some((mask, e)) => {
                let x = self.as_exp(e)?;
                self.mask(mask, x)
            }
            None => {
                let x = self.as_exp(summed)?;
                self.float(x)
            }
        };
        Some(self.op(Op::LogSumExp(over), &[x]))
    }

    fn as_log_sum(&self, id: NodeId) -> Option<(Vec<Axis>, NodeId)> {
        match self.as_unary(id)? {
            (Op::LogSumExp(over), x) => Some((over.clone(), x)),
            _ => None,
        }
    }

    /// `logsumexp(x − m) + m`, where `m` is the same along the axes.
    fn shift_back(&mut self, sum: NodeId, m: NodeId) -> Option<NodeId> {
        let (over, shifted) = self.as_log_sum(sum)?;
        let x = self.less(shifted, m, &over)?;
        Some(self.op(Op::LogSumExp(over), &[x]))
    }

    /// The `x` of `x − m`, masked as that is.
    fn less(&mut self, shifted: NodeId, m: NodeId, over: &[Axis]) -> Option<NodeId> {
        if let Some((mask, inner)) = self.as_masked(shifted, f64::NEG_INFINITY) {
            let x = self.less(inner, m, over)?;
            return Some(self.mask(mask, x));
        }
        let &[x, shift] = self.as_map(shifted, Elementwise::SUB)? else { return None };
        (shift == m && self.lacks(m, over)).then_some(x)
    }

    /// `(x − m) − logsumexp(x − m)`, where `m` is the same along the axes.
    fn log_softmax(&mut self, w: NodeId, sum: NodeId) -> Option<NodeId> {
        let (over, shifted) = self.as_log_sum(sum)?;
        let &[x, m] = self.as_map(w, Elementwise::SUB)? else { return None };
        let under = self.less(shifted, m, &over)?;
        let sum = self.op(Op::LogSumExp(over), &[under]);
        Some(self.map(Elementwise::SUB, &[x, sum]))
    }
}
