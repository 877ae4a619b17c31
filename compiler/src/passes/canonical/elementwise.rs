//! Rules for elementwise operations.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Elem, Type};

use super::simplify::Simplifier;
use crate::graph::NodeId;

/// Integers beyond this are not exact in f64.
const EXACT: f64 = (1u64 << 53) as f64;

impl Simplifier<'_> {
    /// A simpler form of an elementwise operation.
    pub(super) fn map_rules(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        self.fold(op, operands)
            .or_else(|| self.narrow(op, operands))
            .or_else(|| self.neutral(op, operands))
            .or_else(|| self.sign_rules(op, operands))
            .or_else(|| self.logic_rules(op, operands))
            .or_else(|| self.select_rules(op, operands))
            .or_else(|| self.sort_operands(op, operands))
    }

    /// All operands constant.
    fn fold(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        let values = operands.iter().map(|&o| self.value(o)).collect::<Option<Vec<f64>>>()?;
        let types: Vec<&Type> = operands.iter().map(|&o| self.b.ty(o)).collect();
        let ty = Op::Map(op).infer(&types, self.axes).ok()?;
        let value = (op.row().eval)(&values);
        if ty.elem != Elem::Float && !(value.is_finite() && value.abs() <= EXACT) {
            return None;
        }
        Some(self.constant(value, ty.elem, &ty.axes))
    }

    /// Operands that repeat along axes which the result has from another operand need not have them.
    fn narrow(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        (0..operands.len()).find_map(|i| {
            let mut narrower = operands.to_vec();
            narrower[i] = self.narrower(operands[i])?;
            let ty = |ids: &[NodeId]| {
                let types: Vec<&Type> = ids.iter().map(|&o| self.b.ty(o)).collect();
                Op::Map(op).infer(&types, self.axes).ok()
            };
            (ty(&narrower) == ty(operands)).then(|| self.map(op, &narrower))
        })
    }

    /// The same value on fewer axes: of a constant, or of something that has been multiplied by ones.
    pub(super) fn narrower(&mut self, id: NodeId) -> Option<NodeId> {
        let ty = self.b.ty(id).clone();
        if let Some(value) = self.value(id) {
            return (!ty.axes.is_empty()).then(|| self.scalar(value, ty.elem));
        }
        let &[a, b] = self.as_map(id, Elementwise::MUL)? else { return None };
        let one = |s: &Self, of: NodeId, other: NodeId| s.is(of, 1.0) && s.b.ty(other).elem == ty.elem;
        match () {
            () if one(self, b, a) => Some(a),
            () if one(self, a, b) => Some(b),
            () => None,
        }
    }

    /// Operations with a neutral or absorbing operand. `x · 0` stays: it is NaN where `x` is not finite.
    fn neutral(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        let &[a, b] = operands else { return None };
        match op {
            Elementwise::ADD if self.is(b, 0.0) => Some(a),
            Elementwise::ADD if self.is(a, 0.0) => Some(b),
            Elementwise::SUB if self.is(b, 0.0) => Some(a),
            Elementwise::MUL if self.is(b, 1.0) => Some(a),
            Elementwise::MUL if self.is(a, 1.0) => Some(b),
            Elementwise::DIV | Elementwise::POW | Elementwise::IDIV if self.is(b, 1.0) => Some(a),
            _ => None,
        }
    }

    fn sign_rules(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        let negated = |s: &Self, id: NodeId| s.as_map(id, Elementwise::NEG).map(|o| o[0]);
        match (op, operands) {
            (Elementwise::NEG, &[a]) => {
                if let Some(inner) = negated(self, a) {
                    return Some(inner);
                }
                let &[x, y] = self.as_map(a, Elementwise::SUB)? else { return None };
                Some(self.map(Elementwise::SUB, &[y, x]))
            }
            (Elementwise::ADD, &[a, b]) => {
                if let Some(b) = negated(self, b) {
                    return Some(self.map(Elementwise::SUB, &[a, b]));
                }
                let a = negated(self, a)?;
                Some(self.map(Elementwise::SUB, &[b, a]))
            }
            (Elementwise::SUB, &[a, b]) => {
                let b = negated(self, b)?;
                Some(self.map(Elementwise::ADD, &[a, b]))
            }
            (Elementwise::SUB, _) if self.is(operands[0], 0.0) => Some(self.map(Elementwise::NEG, &operands[1..])),
            (Elementwise::MUL | Elementwise::DIV, &[a, b]) if self.is(b, -1.0) => Some(self.map(Elementwise::NEG, &[a])),
            (Elementwise::MUL | Elementwise::DIV, &[a, b]) => {
                let (a, b) = (negated(self, a)?, negated(self, b)?);
                Some(self.map(op, &[a, b]))
            }
            _ => None,
        }
    }

    fn logic_rules(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        match (op, operands) {
            (Elementwise::NOT, &[a]) => {
                if let Some(inner) = self.as_map(a, Elementwise::NOT) {
                    return Some(inner[0]);
                }
                // Of integers only: neither `a < b` nor `a >= b` holds of a NaN.
                let turned = [
                    (Elementwise::LT, Elementwise::LE),
                    (Elementwise::LE, Elementwise::LT),
                    (Elementwise::EQ, Elementwise::NE),
                    (Elementwise::NE, Elementwise::EQ),
                ];
                turned.into_iter().find_map(|(from, to)| {
                    let &[x, y] = self.as_map(a, from)? else { return None };
                    let whole = self.b.ty(x).elem.is_integer() && self.b.ty(y).elem.is_integer();
                    let ordered = matches!(from, Elementwise::LT | Elementwise::LE);
                    (whole || !ordered).then(|| self.map(to, &if ordered { [y, x] } else { [x, y] }))
                })
            }
            (Elementwise::GT, &[a, b]) => Some(self.map(Elementwise::LT, &[b, a])),
            (Elementwise::GE, &[a, b]) => Some(self.map(Elementwise::LE, &[b, a])),
            (Elementwise::AND | Elementwise::OR, &[a, b]) => {
                let neutral = if op == Elementwise::AND { 1.0 } else { 0.0 };
                let absorbing = 1.0 - neutral;
                let all = || self.b.ty(a).with(&self.b.ty(b).axes).axes;
                match () {
                    () if a == b || self.is(b, neutral) => Some(a),
                    () if self.is(a, neutral) => Some(b),
                    () if self.is(a, absorbing) || self.is(b, absorbing) => {
                        let over = all();
                        Some(self.constant(absorbing, Elem::Bool, &over))
                    }
                    () => None,
                }
            }
            _ => None,
        }
    }

    fn select_rules(&mut self, op: Elementwise, operands: &[NodeId]) -> Option<NodeId> {
        if let (Elementwise::ADD, &[a, b]) = (op, operands) {
            return self.masked_sum(a, b).or_else(|| self.masked_sum(b, a));
        }
        let (Elementwise::SELECT, &[c, a, b]) = (op, operands) else { return None };
        let chosen = match self.value(c) {
            Some(known) => Some(if known == 0.0 { b } else { a }),
            None => (a == b).then_some(a),
        };
        if let Some(value) = chosen {
            return Some(self.repeated(value, &[c, a, b]));
        }
        // Masked values have −∞ last.
        let nothing = f64::NEG_INFINITY;
        if self.is(a, nothing) && !self.is(b, nothing) {
            let not = self.map(Elementwise::NOT, &[c]);
            return Some(self.map(Elementwise::SELECT, &[not, b, a]));
        }
        if let Some(&[inner]) = self.as_map(c, Elementwise::NOT)
            && !self.is(b, nothing)
        {
            return Some(self.map(Elementwise::SELECT, &[inner, b, a]));
        }
        if let Some(&[c2, a2, b2]) = self.as_map(a, Elementwise::SELECT) {
            if c2 == c {
                return Some(self.map(Elementwise::SELECT, &[c, a2, b]));
            }
            let alike = self.value(b).is_some_and(|b| self.value(b2).is_some_and(|b2| b.to_bits() == b2.to_bits()));
            if b2 == b || alike {
                let both = self.map(Elementwise::AND, &[c, c2]);
                return Some(self.map(Elementwise::SELECT, &[both, a2, b]));
            }
        }
        let &[c2, a2, b2] = self.as_map(b, Elementwise::SELECT)? else { return None };
        if a2 == a {
            let either = self.map(Elementwise::OR, &[c, c2]);
            return Some(self.map(Elementwise::SELECT, &[either, a, b2]));
        }
        (c2 == c).then(|| self.map(Elementwise::SELECT, &[c, a, b2]))
    }

    /// A value that repeats along the axes of others: floats as a product with ones.
    fn repeated(&mut self, value: NodeId, along: &[NodeId]) -> NodeId {
        let ty = self.b.ty(value).clone();
        let missing: Vec<_> = along.iter().flat_map(|&o| self.b.ty(o).without(&ty.axes).axes).collect();
        if missing.is_empty() || ty.elem != Elem::Float {
            return value;
        }
        let ones = self.constant(1.0, Elem::Float, &missing);
        self.map(Elementwise::MUL, &[value, ones])
    }

    /// `select(m, x, −∞) + y` is masked as a whole; a mask that is added has `x = 0`.
    fn masked_sum(&mut self, masked: NodeId, y: NodeId) -> Option<NodeId> {
        let &[m, x, nothing] = self.as_map(masked, Elementwise::SELECT)? else { return None };
        self.is(nothing, f64::NEG_INFINITY).then_some(())?;
        let sum = self.map(Elementwise::ADD, &[x, y]);
        Some(self.map(Elementwise::SELECT, &[m, sum, nothing]))
    }
}
