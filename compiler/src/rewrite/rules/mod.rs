//! The rules, in staged sets: named one-liners over elementwise operators, and rules of structure.
//!
//! A rule is *exact* (the same bits) or *real*: equal over the reals, with no NaN or infinity where the source is finite, as far as
//! its operands are neither subnormal nor so large that an intermediate value overflows. No rule makes a graph worse without
//! another needing it, and none only swaps operands: a commutative operator of a left side is matched in both orders instead.
//! Variables of a one-liner hold floats or truth values; integers are the canonicaliser's.

mod arrangement;
mod contractions;
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

/// A set of rules for one purpose.
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// Its rules.
    pub rules: &'static [Rule],
    /// The stage that it comes in with.
    stage: usize,
}

const fn set(name: &'static str, stage: usize, rules: &'static [Rule]) -> Set {
    Set { name, rules, stage }
}

/// All sets.
pub static SETS: [Set; 6] = [
    set("identities", 0, identities::RULES),
    set("renames", 1, renames::RULES),
    set("reductions", 1, reductions::RULES),
    set("contractions", 1, contractions::RULES),
    set("joined", 1, joined::RULES),
    set("arrangement", 2, arrangement::RULES),
];

/// The most rounds of each stage.
const ROUNDS: [usize; 3] = [4, 3, 4];

/// Rules that are run until they give nothing new, or until their rounds are over.
pub struct Stage {
    /// The most rounds.
    pub rounds: usize,
    /// The rules as egg takes them: those of this stage and of all before it.
    pub rewrites: Vec<Rewrite<ENode, Knowledge>>,
}

/// The stages, in order.
pub static STAGES: LazyLock<Vec<Stage>> = LazyLock::new(|| stages(None));

/// The stages without the set of a number, or with all.
pub fn stages(without: Option<usize>) -> Vec<Stage> {
    let stage = |(number, &rounds): (usize, &usize)| {
        let sets = SETS.iter().enumerate().filter(|(at, set)| set.stage <= number && Some(*at) != without);
        Stage { rounds, rewrites: sets.flat_map(|(_, set)| set.rules).flat_map(matching::rewrites).collect() }
    };
    ROUNDS.iter().enumerate().map(stage).collect()
}

/// All rules.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    SETS.iter().flat_map(|set| set.rules)
}
