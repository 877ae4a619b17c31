//! Products that share an operand: several contractions of one value with several weights are one contraction with the weights
//! side by side, and slices of its result.
//!
//! The weights are put together where the region computes, which costs their bytes; the price says whether reading the shared
//! operand once is worth that.

use egg::Id;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::Axis;

use super::contractions::contractions;
use super::{Form, Rule, Sort};
use crate::rewrite::analysis::{Space, add, structural, ty};

pub(super) const RULES: &[Rule] = &[Rule {
    name: "products-of-one-operand",
    sort: Sort::Exact,
    form: Form::Structure(|op| matches!(op, Op::Contract(_)), joined),
}];

/// A contraction that can stand beside others: its class, its weight, the weight's own axis.
struct Column {
    class: Id,
    weight: Id,
    axis: Axis,
}

/// `Σ_k x·v`, `Σ_k x·w` ⇒ slices of `Σ_k x·concat(v, w)`; `v` and `w` have `k` and one axis each that `x` lacks.
fn joined(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, x, _) in contractions(space, class) {
        let mut columns: Vec<Column> = Vec::new();
        for other in space.classes().map(|c| c.id).collect::<Vec<_>>() {
            columns.extend(column(space, other, &over, x));
        }
        columns.sort_by_key(|c| (c.weight, c.class));
        columns.dedup_by_key(|c| c.weight);
        let key: Vec<Id> = [x].into_iter().chain(columns.iter().map(|c| c.weight)).collect();
        if columns.len() > 1 && space.analysis.joined.insert(key) {
            equal.extend(join(space, &over, x, &columns).unwrap_or_default());
        }
    }
    equal
}

/// A class as a contraction of `x` over some axes with a weight.
fn column(space: &Space, class: Id, over: &[Axis], x: Id) -> Option<Column> {
    let with = |(axes, first, weight): (Vec<Axis>, Id, Id)| {
        let own = ty(space, weight).without(over).axes;
        let has = over.iter().all(|&k| ty(space, weight).has(k) && ty(space, x).has(k));
        // A weight that was joined by this rule is not joined again.
        let whole = || structural(space, weight).iter().any(|(op, _)| matches!(op, Op::Concat(..)));
        match own.as_slice() {
            &[axis] if axes == over && first == x && has && !ty(space, x).has(axis) && !whole() => {
                Some(Column { class, weight, axis })
            }
            _ => None,
        }
    };
    contractions(space, class).into_iter().find_map(with)
}

fn join(space: &mut Space, over: &[Axis], x: Id, columns: &[Column]) -> Option<Vec<(Id, Id)>> {
    let sizes: Vec<Size> = columns.iter().map(|c| space.analysis.axes.size(c.axis).clone()).collect();
    let total = sizes.iter().fold(Size::of(0), |sum, size| sum + size.clone());
    let name = space.analysis.axes[columns[0].axis].name.clone();
    let outer = space.analysis.axes[columns[0].axis].outer;
    let whole = space.analysis.axes.fresh(&name, total, outer);
    let weights: Vec<Id> = columns.iter().map(|c| c.weight).collect();
    let weight = add(space, Op::Concat(columns.iter().map(|c| c.axis).collect(), whole), &weights)?;
    let product = add(space, Op::Contract(over.to_vec()), &[x, weight])?;
    let mut start = Size::of(0);
    let mut equal = Vec::new();
    for (column, size) in columns.iter().zip(sizes) {
        let slice = add(space, Op::Slice(whole, start.clone(), column.axis), &[product])?;
        start = start + size;
        if ty(space, slice) == ty(space, column.class) {
            equal.push((column.class, slice));
        }
    }
    Some(equal)
}
