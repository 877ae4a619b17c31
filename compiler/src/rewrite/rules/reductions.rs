//! What is the same along a summed axis is taken out of the sum.

use egg::Id;
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axis;

use super::{Form, Rule, Sort};
use crate::rewrite::analysis::{Space, add, lacks, map, maps, structural, ty};
use crate::rewrite::cost::nonempty;

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule { name: "sum-of-scaled",   sort: Sort::Real, form: Form::Structure(is_sum, of_scaled) },
    Rule { name: "sum-of-quotient", sort: Sort::Real, form: Form::Structure(is_sum, of_quotient) },
    Rule { name: "sum-of-negated",  sort: Sort::Real, form: Form::Structure(is_sum, of_negated) },
];

fn is_sum(op: &Op) -> bool {
    matches!(op, Op::Reduce(Monoid::Sum, _))
}

/// The sums of a class: over which axes, of what. An empty sum is 0 whatever its factors are, and stays.
fn sums(space: &Space, class: Id) -> Vec<(Vec<Axis>, Id)> {
    let sum = |(op, operands): (Op, Vec<Id>)| match op {
        Op::Reduce(Monoid::Sum, over) if nonempty(&space.analysis.axes, &over) => Some((over, operands[0])),
        _ => None,
    };
    structural(space, class).into_iter().filter_map(sum).collect()
}

fn total(space: &mut Space, over: &[Axis], x: Id) -> Option<Id> {
    add(space, Op::Reduce(Monoid::Sum, over.to_vec()), &[x])
}

/// `Σ_k s·x` ⇒ `s · Σ_k x`.
fn of_scaled(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, product) in sums(space, class) {
        for operands in maps(space, product, Elementwise::MUL) {
            for (s, x) in [(operands[0], operands[1]), (operands[1], operands[0])] {
                if lacks(space, s, &over) {
                    let made = total(space, &over, x).and_then(|sum| map(space, Elementwise::MUL, &[s, sum]));
                    equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
                }
            }
        }
    }
    equal
}

/// `Σ_k x/c` ⇒ `(Σ_k x) / c`.
fn of_quotient(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, quotient) in sums(space, class) {
        for operands in maps(space, quotient, Elementwise::DIV) {
            if lacks(space, operands[1], &over) {
                let made =
                    total(space, &over, operands[0]).and_then(|sum| map(space, Elementwise::DIV, &[sum, operands[1]]));
                equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
            }
        }
    }
    equal
}

/// `Σ_k −x` ⇒ `−Σ_k x`.
fn of_negated(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, negated) in sums(space, class) {
        for operands in maps(space, negated, Elementwise::NEG) {
            let made = total(space, &over, operands[0]).and_then(|sum| map(space, Elementwise::NEG, &[sum]));
            equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
        }
    }
    equal
}
