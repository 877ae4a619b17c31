//! Rules for casts, reductions, contractions and the operators that only move values.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axis, Elem, Type};

use super::simplify::Simplifier;
use crate::graph::NodeId;

impl Simplifier<'_> {
    /// A simpler form of an operation that is not elementwise.
    pub(super) fn structure_rules(&mut self, op: &Op, operands: &[NodeId]) -> Option<NodeId> {
        match (op, operands) {
            (Op::Cast(elem), &[x]) => self.cast(*elem, x),
            (Op::StopGradient, &[x]) => {
                let settled =
                    self.value(x).is_some() || !self.is_float(x) || matches!(self.as_unary(x), Some((Op::StopGradient, _)));
                settled.then_some(x)
            }
            (Op::Reduce(monoid, over), &[x]) => self.reduce(*monoid, over, x),
            (Op::Contract(over), &[a, b]) => self.contract(over, a, b),
            (Op::Rename(from, to), &[x]) => self.rename_rules(*from, *to, x),
            (Op::Split(whole, parts), &[x]) => match (parts.as_slice(), self.as_unary(x)) {
                (&[part], _) => Some(self.rename(*whole, part, x)),
                (_, Some((Op::Merge(merged, w), inner))) if w == whole && merged == parts => Some(inner),
                _ => None,
            },
            (Op::Merge(parts, whole), &[x]) => match (parts.as_slice(), self.as_unary(x)) {
                (&[part], _) => Some(self.rename(part, *whole, x)),
                (_, Some((Op::Split(w, split), inner))) if w == whole && split == parts => Some(inner),
                _ => None,
            },
            (Op::Slice(from, start, to), &[x]) => self.slice(*from, start, *to, x),
            (Op::Pad(from, start, to, _), &[x]) => {
                let whole = start.known() == Some(0) && self.same_size(*from, *to);
                whole.then(|| self.rename(*from, *to, x))
            }
            (Op::Concat(parts, whole), &[x]) => Some(self.rename(parts[0], *whole, x)),
            (Op::LogSumExp(over), &[x]) if over.is_empty() => Some(x),
            _ => None,
        }
    }

    fn same_size(&self, a: Axis, b: Axis) -> bool {
        self.axes.size(a) == self.axes.size(b)
    }

    /// The same values with an axis called otherwise.
    fn rename(&mut self, from: Axis, to: Axis, x: NodeId) -> NodeId {
        if from == to { x } else { self.op(Op::Rename(from, to), &[x]) }
    }

    fn cast(&mut self, elem: Elem, x: NodeId) -> Option<NodeId> {
        let ty = self.b.ty(x).clone();
        if ty.elem == elem {
            return Some(x);
        }
        if let Some(value) = self.value(x) {
            let value = match elem {
                Elem::Float => value,
                Elem::Int => value.trunc(),
                Elem::Bool | Elem::Index(_) => return None,
            };
            return value.is_finite().then(|| self.constant(value, elem, &ty.axes));
        }
        let (&Op::Cast(through), inner) = self.as_unary(x)? else { return None };
        // What the first cast keeps whole: truth values as numbers, integers as integers.
        let source = self.b.ty(inner).elem;
        let whole = match source {
            Elem::Bool => through != Elem::Bool && elem != Elem::Bool,
            Elem::Int | Elem::Index(_) => through.is_integer(),
            Elem::Float => through == Elem::Float,
        };
        whole.then(|| self.op(Op::Cast(elem), &[inner]))
    }

    fn reduce(&mut self, monoid: Monoid, over: &[Axis], x: NodeId) -> Option<NodeId> {
        if over.is_empty() {
            return Some(x);
        }
        match self.as_unary(x) {
            Some((Op::Reduce(inner, axes), y)) if *inner == monoid => {
                let all = axes.iter().chain(over).copied().collect();
                return Some(self.op(Op::Reduce(monoid, all), &[y]));
            }
            // What is reduced needs no other name.
            Some((&Op::Rename(from, to), y)) if over.contains(&to) => {
                let axes = over.iter().map(|&a| if a == to { from } else { a }).collect();
                return Some(self.op(Op::Reduce(monoid, axes), &[y]));
            }
            _ => {}
        }
        if monoid != Monoid::Sum {
            return None;
        }
        // What something else reads too is there anyway, and the rest of its sum is the smaller one.
        if let Some(Op::Contract(inner)) = self.b.region()[x].kind.op().filter(|_| !self.shared.contains(&x)) {
            let all = inner.iter().chain(over).copied().collect();
            let operands = self.b.region()[x].operands.clone();
            return Some(self.op(Op::Contract(all), &operands));
        }
        if let Some(picked) = self.pick(over, x) {
            return Some(picked);
        }
        // A sum of products is a contraction where the product is larger than each of its operands.
        let &[a, b] = self.as_map(x, Elementwise::MUL)? else { return None };
        let all = self.b.ty(x).axes.len();
        let grows = self.b.ty(a).axes.len() < all && self.b.ty(b).axes.len() < all;
        (grows && self.is_float(a) && self.is_float(b)).then(|| self.op(Op::Contract(over.to_vec()), &[a, b]))
    }

    /// `Σ select(index(axis) == i, x, 0)` is `x[axis: i]`, where `i` is known to be in range.
    fn pick(&mut self, over: &[Axis], x: NodeId) -> Option<NodeId> {
        let &[here, value, zero] = self.as_map(x, Elementwise::SELECT)? else { return None };
        let &[a, b] = self.as_map(here, Elementwise::EQ)? else { return None };
        if !self.is(zero, 0.0) {
            return None;
        }
        let (axis, index) = [(a, b), (b, a)].into_iter().find_map(|(place, index)| {
            let place = match self.as_unary(place) {
                Some((Op::Cast(Elem::Int), inner)) => inner,
                _ => place,
            };
            let Some(&Op::Index(axis)) = self.b.region()[place].kind.op() else { return None };
            Some((axis, index))
        })?;
        let index = match self.as_unary(index) {
            Some((Op::Cast(Elem::Int), inner)) => inner,
            _ => index,
        };
        let Elem::Index(of) = self.b.ty(index).elem else { return None };
        let fits =
            over.contains(&axis) && self.same_size(of, axis) && self.b.ty(value).has(axis) && self.lacks(index, &[axis]);
        if !fits {
            return None;
        }
        let picked = self.op(Op::Lookup(axis), &[value, index]);
        let rest = over.iter().copied().filter(|&a| a != axis).collect();
        Some(self.op(Op::Reduce(Monoid::Sum, rest), &[picked]))
    }

    fn contract(&mut self, over: &[Axis], a: NodeId, b: NodeId) -> Option<NodeId> {
        if over.is_empty() {
            return Some(self.map(Elementwise::MUL, &[a, b]));
        }
        let plain = self.narrower(a).filter(|_| self.value(a).is_none());
        if let Some(narrow) = plain
            && self.contracts_to(over, [narrow, b], [a, b])
        {
            return Some(self.op(Op::Contract(over.to_vec()), &[narrow, b]));
        }
        let plain = self.narrower(b).filter(|_| self.value(b).is_none());
        if let Some(narrow) = plain
            && self.contracts_to(over, [a, narrow], [a, b])
        {
            return Some(self.op(Op::Contract(over.to_vec()), &[a, narrow]));
        }
        let mut sorted = [a, b];
        self.sort(&mut sorted);
        Some(self.b.op(self.axes, Op::Contract(over.to_vec()), &sorted))
    }

    /// Whether a contraction has the same type with other operands.
    fn contracts_to(&self, over: &[Axis], new: [NodeId; 2], old: [NodeId; 2]) -> bool {
        let ty = |ids: [NodeId; 2]| {
            let types: Vec<&Type> = ids.iter().map(|&o| self.b.ty(o)).collect();
            Op::Contract(over.to_vec()).infer(&types, self.axes).ok()
        };
        ty(new).is_some() && ty(new) == ty(old)
    }

    fn rename_rules(&mut self, from: Axis, to: Axis, x: NodeId) -> Option<NodeId> {
        let ty = self.b.ty(x).clone();
        if let Some(value) = self.value(x) {
            return Some(self.constant(value, ty.elem, &ty.without(&[from]).with(&[to]).axes));
        }
        let (op, inner) = self.as_unary(x)?;
        match op.clone() {
            Op::Rename(first, middle) if middle == from => Some(self.rename(first, to, inner)),
            Op::Slice(whole, start, part) if part == from && !self.b.ty(inner).has(to) => {
                Some(self.op(Op::Slice(whole, start, to), &[inner]))
            }
            _ => None,
        }
    }

    fn slice(&mut self, from: Axis, start: &Size, to: Axis, x: NodeId) -> Option<NodeId> {
        if start.known() == Some(0) && self.same_size(from, to) {
            return Some(self.rename(from, to, x));
        }
        if let Some(value) = self.value(x) {
            let ty = self.b.ty(x).clone();
            return Some(self.constant(value, ty.elem, &ty.without(&[from]).with(&[to]).axes));
        }
        let node = self.b.region()[x].clone();
        match (node.kind.op()?, node.operands.as_slice()) {
            (Op::Slice(whole, first, middle), &[inner]) if *middle == from && !self.b.ty(inner).has(to) => {
                Some(self.op(Op::Slice(*whole, first.clone() + start.clone(), to), &[inner]))
            }
            (Op::Pad(part, first, whole, _), &[inner]) if *whole == from && first == start && self.same_size(*part, to) => {
                Some(self.rename(*part, to, inner))
            }
            (Op::Concat(parts, whole), operands) if *whole == from => {
                let mut at = Size::of(0);
                for (&part, &operand) in parts.iter().zip(operands) {
                    if at == *start && self.same_size(part, to) {
                        let clear = part == to || !self.b.ty(operand).has(to);
                        return clear.then(|| self.rename(part, to, operand));
                    }
                    at = at + self.axes.size(part).clone();
                }
                None
            }
            _ => None,
        }
    }
}
