//! Contractions: factors move out of them and into their smaller operand, and what one operand alone has of a summed axis is summed
//! first.

use egg::Id;
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axis;

use super::{Form, Rule, Sort};
use crate::rewrite::analysis::{Space, add, lacks, map, maps, structural, ty};
use crate::rewrite::cost::{nonempty, volume};

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule { name: "scale-out-of-contract", sort: Sort::Real, form: Form::Structure(is_contract, scale_out) },
    Rule { name: "scale-into-contract",   sort: Sort::Real, form: Form::Structure(is_product,  scale_in) },
    Rule { name: "contract-own-axis",     sort: Sort::Real, form: Form::Structure(is_contract, own_axis) },
];

fn is_contract(op: &Op) -> bool {
    matches!(op, Op::Contract(_))
}

fn is_product(op: &Op) -> bool {
    matches!(op, Op::Map(Elementwise::MUL))
}

/// The contractions of a class, with the operands in both orders: over which axes, of what. Empty sums stay as they are.
pub(super) fn contractions(space: &Space, class: Id) -> Vec<(Vec<Axis>, Id, Id)> {
    let mut found = Vec::new();
    for (op, operands) in structural(space, class) {
        if let Op::Contract(over) = op
            && nonempty(&space.analysis.axes, &over)
        {
            found.push((over.clone(), operands[0], operands[1]));
            found.push((over, operands[1], operands[0]));
        }
    }
    found
}

/// `Σ_k (s·a)·b` ⇒ `s · Σ_k a·b`, where `s` lacks `k`.
fn scale_out(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, scaled, b) in contractions(space, class) {
        for operands in maps(space, scaled, Elementwise::MUL) {
            for (s, a) in [(operands[0], operands[1]), (operands[1], operands[0])] {
                if lacks(space, s, &over) {
                    let made =
                        add(space, Op::Contract(over.clone()), &[a, b]).and_then(|c| map(space, Elementwise::MUL, &[s, c]));
                    equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
                }
            }
        }
    }
    equal
}

/// `s · Σ_k a·b` ⇒ `Σ_k (s·a)·b`, where `a` has the axes of `s` and is smaller than the result.
fn scale_in(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for operands in maps(space, class, Elementwise::MUL) {
        for (s, product) in [(operands[0], operands[1]), (operands[1], operands[0])] {
            for (over, a, b) in contractions(space, product) {
                let axes = &space.analysis.axes;
                let fits = ty(space, s).axes.iter().all(|&x| ty(space, a).has(x)) && lacks(space, s, &over);
                let small = volume(axes, &ty(space, a).axes) < volume(axes, &ty(space, class).axes);
                if fits && small {
                    let made = map(space, Elementwise::MUL, &[s, a])
                        .and_then(|sa| add(space, Op::Contract(over.clone()), &[sa, b]));
                    equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
                }
            }
        }
    }
    equal
}

/// `Σ_{k,l} a·b` ⇒ `Σ_k a·(Σ_l b)`, where `a` lacks `l`.
fn own_axis(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (over, a, b) in contractions(space, class) {
        let (own, shared): (Vec<Axis>, Vec<Axis>) = over.iter().partition(|&&k| !ty(space, a).has(k));
        if own.is_empty() {
            continue;
        }
        let Some(sum) = add(space, Op::Reduce(Monoid::Sum, own), &[b]) else { continue };
        let made = if shared.is_empty() {
            map(space, Elementwise::MUL, &[a, sum])
        } else {
            add(space, Op::Contract(shared), &[a, sum])
        };
        equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
    }
    equal
}
