//! How a cotangent passes through each structural operator.
//!
//! The rules are the transposes of the operators' Jacobians; a rule gives a cotangent that may have axes which the operand
//! lacks, and [`pull`] sums over those.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use super::activity::Activity;
use super::cotangent::{Cotangents, constant, spread, total};
use super::rows;
use crate::graph::{NodeId, RegionBuilder};

/// Whether a cotangent passes from a node of this operator to the operand; both being floats.
pub fn passes(op: &Op, operand: usize) -> bool {
    match op {
        Op::Map(map) => rows::passes(*map, operand),
        Op::Constant(..) | Op::Index(_) | Op::Extent(_) | Op::Random(..) | Op::StopGradient => false,
        Op::ArgMax(_) | Op::Order(..) => false,
        Op::Reduce(Monoid::All | Monoid::Any, _) => false,
        Op::Lookup(_) | Op::ScatterAdd(..) => operand == 0,
        Op::Reduce(..)
        | Op::Cast(_)
        | Op::Contract(_)
        | Op::Rename(..)
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Slice(..)
        | Op::Pad(..)
        | Op::Insert(..)
        | Op::Concat(..)
        | Op::Softmax(_)
        | Op::LogSumExp(_) => true,
    }
}

/// Adds to the cotangents of the active operands of node `y`, whose cotangent is `g`.
pub fn pull_all(axes: &Axes, b: &mut RegionBuilder, activity: &Activity, cotangents: &mut Cotangents, y: NodeId, g: NodeId) {
    for (i, operand) in b.region()[y].operands.clone().into_iter().enumerate() {
        if activity.is(operand)
            && let Some(part) = pull(axes, b, y, i, g)
        {
            cotangents.add(axes, b, operand, part);
        }
    }
}

/// The cotangent of an operand of node `y` from the cotangent `g` of `y`; none where nothing passes.
fn pull(axes: &Axes, b: &mut RegionBuilder, y: NodeId, operand: usize, g: NodeId) -> Option<NodeId> {
    let node = b.region()[y].clone();
    let op = node.kind.op()?;
    if !passes(op, operand) {
        return None;
    }
    let x = node.operands[operand];
    let x_axes = b.ty(x).axes.clone();
    let has = |b: &RegionBuilder, axis: Axis| b.ty(g).has(axis);
    // The axes that `g` stands for and the operand lacks: by default those of the result.
    let mut stray: Vec<Axis> = node.ty.axes.iter().copied().filter(|a| !x_axes.contains(a)).collect();
    let part = match op {
        Op::Map(map) => rows::pull(axes, b, *map, y, operand, g)?,
        Op::Cast(_) => g,
        Op::Reduce(monoid, over) => reduction(axes, b, *monoid, over, x, y, g)?,
        Op::Contract(over) => {
            let other = node.operands[1 - operand];
            let both: Vec<_> = node.ty.axes.iter().chain(over).copied().filter(|a| !x_axes.contains(a)).collect();
            return Some(product(axes, b, g, other, &both));
        }
        Op::Rename(from, to) => {
            stray.retain(|a| a != to);
            if has(b, *to) { b.op(axes, Op::Rename(*to, *from), &[g]) } else { g }
        }
        Op::Split(whole, parts) => {
            stray.retain(|a| !parts.contains(a));
            if parts.iter().any(|&p| has(b, p)) {
                let g = spread(axes, b, g, parts);
                b.op(axes, Op::Merge(parts.clone(), *whole), &[g])
            } else {
                g
            }
        }
        Op::Merge(parts, whole) => {
            stray.retain(|a| a != whole);
            if has(b, *whole) { b.op(axes, Op::Split(*whole, parts.clone()), &[g]) } else { g }
        }
        Op::Slice(from, start, to) => {
            stray.retain(|a| a != to);
            let g = spread(axes, b, g, &[*to]);
            b.op(axes, Op::Pad(*to, start.clone(), *from, Number(0.0)), &[g])
        }
        Op::Pad(from, start, to, _) => {
            stray.retain(|a| a != to);
            if has(b, *to) { b.op(axes, Op::Slice(*to, start.clone(), *from), &[g]) } else { g }
        }
        Op::Insert(part, start, whole) if operand == 0 => {
            let g = spread(axes, b, g, &[*whole]);
            let nothing = b.op(axes, Op::Constant(Number(0.0), Elem::Float, vec![*part]), &[]);
            b.op(axes, Op::Insert(*part, start.clone(), *whole), &[g, nothing])
        }
        Op::Insert(part, start, whole) => {
            stray.retain(|a| a != whole);
            if has(b, *whole) { b.op(axes, Op::Slice(*whole, start.clone(), *part), &[g]) } else { g }
        }
        Op::Concat(parts, whole) => {
            stray.retain(|a| a != whole);
            // What another operand has along an axis of this part's name is not this part: here the value is the same along it.
            let g = if node.ty.has(parts[operand]) { total(axes, b, g, &[parts[operand]]) } else { g };
            let start = parts[..operand].iter().fold(Size::of(0), |sum, &p| sum + axes.size(p).clone());
            if has(b, *whole) { b.op(axes, Op::Slice(*whole, start, parts[operand]), &[g]) } else { g }
        }
        Op::Lookup(axis) => {
            let index = node.operands[1];
            stray.clear();
            looked_up(axes, b, *axis, index, &x_axes, g)
        }
        Op::ScatterAdd(axis, over) => {
            let index = node.operands[1];
            stray.retain(|a| a != axis);
            stray.extend(over.iter().copied().filter(|a| !x_axes.contains(a)));
            if has(b, *axis) { b.op(axes, Op::Lookup(*axis), &[g, index]) } else { g }
        }
        Op::Softmax(over) => {
            // Jᵀ g = y · (g − Σ y g)
            let weighted = b.map(axes, Elementwise::MUL, &[y, g]);
            let mean = b.op(axes, Op::Reduce(Monoid::Sum, over.clone()), &[weighted]);
            let centred = b.map(axes, Elementwise::SUB, &[g, mean]);
            b.map(axes, Elementwise::MUL, &[y, centred])
        }
        Op::LogSumExp(over) => {
            let weight = b.op(axes, Op::Softmax(over.clone()), &[x]);
            b.map(axes, Elementwise::MUL, &[g, weight])
        }
        Op::Constant(..) | Op::Index(_) | Op::Extent(_) | Op::Random(..) | Op::StopGradient => return None,
        Op::ArgMax(_) | Op::Order(..) => return None,
    };
    Some(total(axes, b, part, &stray))
}

/// The cotangent of what is reduced.
fn reduction(
    axes: &Axes,
    b: &mut RegionBuilder,
    monoid: Monoid,
    over: &[Axis],
    x: NodeId,
    y: NodeId,
    g: NodeId,
) -> Option<NodeId> {
    let zero = b.number(0.0);
    let one = b.number(1.0);
    match monoid {
        Monoid::Sum => Some(g),
        Monoid::Max | Monoid::Min => {
            // Equals share it, as in PyTorch's `amax`.
            let largest = b.map(axes, Elementwise::EQ, &[x, y]);
            let ones = b.map(axes, Elementwise::SELECT, &[largest, one, zero]);
            let count = b.op(axes, Op::Reduce(Monoid::Sum, over.to_vec()), &[ones]);
            let share = b.map(axes, Elementwise::DIV, &[g, count]);
            Some(b.map(axes, Elementwise::SELECT, &[largest, share, zero]))
        }
        Monoid::Product => {
            // The product of the others, which is not y / x where x is 0: with one 0 it is the product of the rest at that
            // place and 0 elsewhere, with more it is 0 everywhere.
            let null = b.map(axes, Elementwise::EQ, &[x, zero]);
            let ones = b.map(axes, Elementwise::SELECT, &[null, one, zero]);
            let count = b.op(axes, Op::Reduce(Monoid::Sum, over.to_vec()), &[ones]);
            let safe = b.map(axes, Elementwise::SELECT, &[null, one, x]);
            let rest = b.op(axes, Op::Reduce(Monoid::Product, over.to_vec()), &[safe]);
            let without = b.map(axes, Elementwise::DIV, &[rest, safe]);
            let none = b.map(axes, Elementwise::EQ, &[count, zero]);
            let single = b.map(axes, Elementwise::EQ, &[count, one]);
            let here = b.map(axes, Elementwise::AND, &[single, null]);
            let counts = b.map(axes, Elementwise::OR, &[none, here]);
            let others = b.map(axes, Elementwise::SELECT, &[counts, without, zero]);
            Some(b.map(axes, Elementwise::MUL, &[g, others]))
        }
        Monoid::All | Monoid::Any => None,
    }
}

/// `Σ_{over} g · other`.
pub(super) fn product(axes: &Axes, b: &mut RegionBuilder, g: NodeId, other: NodeId, over: &[Axis]) -> NodeId {
    let (present, missing): (Vec<_>, Vec<_>) = over.iter().copied().partition(|&a| b.ty(g).has(a) || b.ty(other).has(a));
    let result = if present.is_empty() {
        b.map(axes, Elementwise::MUL, &[g, other])
    } else {
        b.op(axes, Op::Contract(present), &[g, other])
    };
    total(axes, b, result, &missing)
}

/// The cotangent of a table (with the axes `table`) that was looked up along `axis`.
fn looked_up(axes: &Axes, b: &mut RegionBuilder, axis: Axis, index: NodeId, table: &[Axis], g: NodeId) -> NodeId {
    let over: Vec<_> = b.ty(index).axes.iter().copied().filter(|a| !table.contains(a)).collect();
    if !over.is_empty() {
        return b.op(axes, Op::ScatterAdd(axis, over), &[g, index]);
    }
    // Each place of the table's other axes picks one element: no sum is needed.
    let place = b.op(axes, Op::Index(axis), &[]);
    let here = b.map(axes, Elementwise::EQ, &[place, index]);
    let zero = constant(b, 0.0, &[]);
    debug_assert!(matches!(b.ty(index).elem, Elem::Index(_)));
    b.map(axes, Elementwise::SELECT, &[here, g, zero])
}
