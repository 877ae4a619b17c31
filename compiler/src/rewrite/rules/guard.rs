//! When a one-liner may fire.

use egg::{Id, Subst, Var};
use weft_dsl::types::Axis;

use crate::rewrite::analysis::{Space, ty};

/// A condition on what the variables of a rule stand for. Variables are letters.
#[derive(Clone, Copy, Debug)]
pub enum Guard {
    /// All of these hold.
    All(&'static [Guard]),
    /// The values of the first together have strictly fewer axes than those of the second.
    Smaller(&'static str, &'static str),
    /// They do not.
    NotSmaller(&'static str, &'static str),
    /// Is no number, or one whose reciprocal is a normal number in every float type.
    Invertible(&'static str),
}

impl Guard {
    /// No condition.
    pub const ALWAYS: Guard = Guard::All(&[]);

    /// Whether it holds.
    pub fn holds(&self, space: &Space, of: &Subst) -> bool {
        match self {
            Guard::All(list) => list.iter().all(|g| g.holds(space, of)),
            Guard::Smaller(few, many) => smaller(&axes(space, of, few), &axes(space, of, many)),
            Guard::NotSmaller(few, many) => !smaller(&axes(space, of, few), &axes(space, of, many)),
            Guard::Invertible(name) => class(of, name).is_none_or(|id| {
                space[id].data.value.is_none_or(|v| (v.abs() as f32).is_normal() && (v.abs().recip() as f32).is_normal())
            }),
        }
    }
}

fn smaller(few: &[Axis], many: &[Axis]) -> bool {
    few.len() < many.len() && few.iter().all(|a| many.contains(a))
}

/// The axes that the values of some variables have together.
fn axes(space: &Space, of: &Subst, names: &str) -> Vec<Axis> {
    let mut all: Vec<Axis> =
        names.split(' ').filter_map(|name| class(of, name)).flat_map(|id| ty(space, id).axes.iter().copied()).collect();
    all.sort();
    all.dedup();
    all
}

fn class(of: &Subst, name: &str) -> Option<Id> {
    let name: Var = format!("?{name}").parse().ok()?;
    of.get(name).copied()
}
