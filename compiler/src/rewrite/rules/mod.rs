//! The rules, in staged sets: named one-liners over elementwise operators, and rules of structure.
//!
//! A rule is *exact* (the same bits) or *real*: equal over the reals, with no NaN or infinity where the source is finite, as far as
//! its operands are neither subnormal nor so large that an intermediate value overflows. No rule makes a graph worse without
//! another needing it, and none only swaps operands: a commutative operator of a left side is matched in both orders instead.
//! Variables of a one-liner hold floats or truth values; integers are the canonicaliser's.

mod arrangement;
mod contractions;
mod functions;
mod guard;
mod identities;
mod joined;
pub(super) mod matching;
mod reductions;
mod renames;

use std::sync::LazyLock;

use egg::{Id, Rewrite};
use weft_dsl::op::Op;

use super::analysis::{Knowledge, Space};
use super::language::ENode;
pub use guard::Guard;
pub use matching::rule_of;

/// How well a rule keeps values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The same bits; a NaN may be another NaN.
    Exact,
    /// Equal over the reals, and finite where the source is.
    Real,
}

impl std::fmt::Display for Sort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Sort::Exact => "exact",
            Sort::Real => "real",
        })
    }
}

/// A rule.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// How well it keeps values.
    pub sort: Sort,
    /// What it does.
    pub form: Form,
}

/// What a rule does.
#[derive(Clone, Copy)]
pub enum Form {
    /// Wherever the first pattern is and the guard holds, so is the second.
    Algebra(&'static str, &'static str, Guard),
    /// Wherever a class has an operator of this kind: pairs of classes that are equal.
    Structure(fn(&Op) -> bool, fn(&mut Space, Id) -> Vec<(Id, Id)>),
}

/// `"name" sort "left" => "right" if guard;` a line.
macro_rules! algebra {
    ($($name:literal $sort:ident $left:literal => $right:literal $(if $guard:expr)?;)*) => {
        &[$(crate::rewrite::rules::Rule {
            name: $name,
            sort: crate::rewrite::rules::Sort::$sort,
            form: crate::rewrite::rules::Form::Algebra($left, $right, algebra!(@guard $($guard)?)),
        }),*]
    };
    (@guard) => { crate::rewrite::rules::Guard::ALWAYS };
    (@guard $guard:expr) => { $guard };
}
use algebra;

/// A set of rules that is run until it gives nothing new, or until its rounds are over.
pub struct Stage {
    /// Its rules.
    pub rules: Vec<&'static Rule>,
    /// The most rounds.
    pub rounds: usize,
    /// The rules as egg takes them.
    pub rewrites: Vec<Rewrite<ENode, Knowledge>>,
}

/// The stages, in order. Each also has the rules of those before it.
pub static STAGES: LazyLock<Vec<Stage>> = LazyLock::new(|| {
    let sets: [(usize, &[&[Rule]]); 3] = [
        (4, &[identities::RULES, functions::RULES]),
        (3, &[renames::RULES, reductions::RULES, contractions::RULES, joined::RULES]),
        (4, &[arrangement::RULES]),
    ];
    let mut before: Vec<&Rule> = Vec::new();
    sets.iter()
        .map(|&(rounds, lists)| {
            before.extend(lists.iter().copied().flatten());
            let rewrites = before.iter().flat_map(|rule| matching::rewrites(rule)).collect();
            Stage { rules: before.clone(), rounds, rewrites }
        })
        .collect()
});

/// All rules.
pub fn all() -> &'static [&'static Rule] {
    STAGES.last().map_or(&[], |stage| &stage.rules)
}
