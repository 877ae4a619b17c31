//! Renames float towards what reads them, so that what is computed under two names is computed once.

use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axis;

use egg::Id;

use super::{Form, Rule, Sort};
use crate::rewrite::analysis::{Space, add, structural, ty};
use crate::rewrite::language::Symbol;

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    Rule { name: "rename-after-map",    sort: Sort::Exact, form: Form::Structure(|op| matches!(op, Op::Map(_)),       after_map) },
    Rule { name: "rename-after-reduce", sort: Sort::Exact, form: Form::Structure(|op| matches!(op, Op::Reduce(..)),   after_reduce) },
];

/// The renames that make a class: from, to, of what.
fn renames(space: &Space, id: Id) -> Vec<(Axis, Axis, Id)> {
    let renamed = |(op, operands): (Op, Vec<Id>)| match op {
        Op::Rename(from, to) => Some((from, to, operands[0])),
        _ => None,
    };
    structural(space, id).into_iter().filter_map(renamed).collect()
}

/// `f(rename x, rename y, z)` ⇒ `rename f(x, y, z)`, where `z` has neither axis.
fn after_map(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    let nodes: Vec<_> = space[class].nodes.iter().filter(|n| matches!(n.symbol, Symbol::Map(_))).cloned().collect();
    for node in nodes {
        let Symbol::Map(op) = node.symbol else { continue };
        let mut ways: Vec<(Axis, Axis)> =
            node.children.iter().flat_map(|&c| renames(space, c)).map(|(from, to, _)| (from, to)).collect();
        ways.sort();
        ways.dedup();
        for (from, to) in ways {
            let beneath = |&c: &Id| {
                let named = renames(space, c).into_iter().find(|r| (r.0, r.1) == (from, to)).map(|r| r.2);
                named.or_else(|| (!ty(space, c).has(from) && !ty(space, c).has(to)).then_some(c))
            };
            let Some(operands) = node.children.iter().map(beneath).collect::<Option<Vec<_>>>() else { continue };
            let made = add(space, Op::Map(op), &operands).and_then(|inner| add(space, Op::Rename(from, to), &[inner]));
            equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
        }
    }
    equal
}

/// A reduction of a renamed value: of the value, under the old name. The order of the terms stays.
fn after_reduce(space: &mut Space, class: Id) -> Vec<(Id, Id)> {
    let mut equal = Vec::new();
    for (op, operands) in structural(space, class) {
        let Op::Reduce(monoid, over) = op else { continue };
        for (from, to, x) in renames(space, operands[0]) {
            let made = if over.contains(&to) {
                // Of several axes, the order in which they are walked may hang on their names.
                (over.len() == 1 || !matches!(monoid, Monoid::Sum | Monoid::Product))
                    .then(|| over.iter().map(|&a| if a == to { from } else { a }).collect())
                    .and_then(|over| add(space, Op::Reduce(monoid, over), &[x]))
            } else {
                add(space, Op::Reduce(monoid, over.clone()), &[x]).and_then(|r| add(space, Op::Rename(from, to), &[r]))
            };
            equal.extend(made.filter(|&m| ty(space, m) == ty(space, class)).map(|m| (class, m)));
        }
    }
    equal
}
