//! Blocks that were measured, in place of those that the cost model chooses.
//!
//! A [`Choice`] is all of a product's blocks that may be chosen freely. Measuring tries [`VARIATIONS`] of the choice that holds; what
//! was found is told to schedules by [`Tuning`], under names that say what a product is and not where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weft_dsl::types::Axes;
use weft_runtime::random::hash;

use super::blocks::Blocks;
use super::problem::{Along, Problem};
use crate::kernel::Kernel;

/// How much of a product is done at a time, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Rows of a tile.
    pub rows: u32,
    /// Columns of a tile.
    pub columns: u32,
    /// Places of the summed dimension that are taken at a time.
    pub sum: u32,
    /// Whether rows are read where they lie, which not all can be; otherwise they are packed.
    pub in_place: bool,
}

/// A product whose blocks were told or tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// What it is, equal in all programs that have it: sizes, and a number that its kernel gives.
    pub name: String,
    /// Its blocks.
    pub choice: Choice,
    /// Whether [`Tuning::chosen`] has it.
    pub tuned: bool,
}

/// What is known of products besides the cost model's estimates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Blocks by a product's name.
    pub chosen: BTreeMap<String, Choice>,
    /// Whether products say what they are: to be measured.
    pub named: bool,
    /// Which of [`VARIATIONS`] is tried in all of them.
    pub variation: Option<usize>,
}

/// A change of a choice, in words.
pub type Variation = (&'static str, fn(&mut Choice));

/// What is tried: each blocking dimension halved and doubled, rows packed.
pub const VARIATIONS: &[Variation] = &[
    ("half the rows", |c| c.rows /= 2),
    ("twice the rows", |c| c.rows *= 2),
    ("half the columns", |c| c.columns /= 2),
    ("twice the columns", |c| c.columns *= 2),
    ("half the sum", |c| c.sum /= 2),
    ("twice the sum", |c| c.sum *= 2),
    ("rows packed", |c| c.in_place = false),
];

/// The most that a tile may have of each dimension, and elements of scratch memory: a choice may come from a file.
const MOST: [u32; 3] = [4096, 8192, 8192];
const MOST_SCRATCH: u64 = 1 << 21;

impl Tuning {
    /// The same, to be measured with a variation.
    pub fn trying(&self, variation: Option<usize>) -> Arc<Self> {
        Arc::new(Self { named: true, variation, ..self.clone() })
    }

    /// Whether products are to be named at all.
    pub(super) fn is_needed(&self) -> bool {
        self.named || !self.chosen.is_empty()
    }

    /// The blocks of a product, where they are not the model's.
    pub(super) fn product(&self, name: String, model: Choice) -> Product {
        let chosen = self.chosen.get(&name);
        let mut choice = chosen.copied().unwrap_or(model);
        if let Some((_, vary)) = self.variation.and_then(|number| VARIATIONS.get(number)) {
            vary(&mut choice);
        }
        Product { name, choice, tuned: chosen.is_some() }
    }
}

impl Choice {
    /// That of some blocks.
    pub(super) fn of(problem: &Problem, blocks: &Blocks) -> Self {
        let in_place = problem.rows_in_place().is_some() && !blocks.tiles;
        Self { rows: blocks.mc, columns: blocks.nc, sum: blocks.kc, in_place }
    }

    /// The blocks nearest to the choice that a product can have; `model` where it asks for far too much memory.
    pub(super) fn blocks(&self, problem: &Problem, model: &Blocks) -> Blocks {
        let lanes = u32::from(model.lanes);
        let few = problem.few().is_some();
        let step = if problem.a_along == Along::Own { lanes.max(model.mr) } else { model.mr };
        let width = match few {
            true => lanes.max(8),
            false if model.tiles => model.mr,
            false => lanes,
        };
        let near = |wanted: u32, all: Option<i64>, most: u32, step: u32| {
            let all = all.map_or(most, |n| n.clamp(1, i64::from(most)) as u32);
            wanted.clamp(1, all).next_multiple_of(step)
        };
        let [m, n, k] = [&problem.rows, &problem.columns, &problem.sum].map(|group| group.volume().known());
        let mc = if few { model.mc } else { near(self.rows, m, MOST[0], step) };
        let (nc, kc) = (near(self.columns, n, MOST[1], width), near(self.sum, k, MOST[2], width));
        let [rows, columns, sum] = [mc, nc, kc].map(u64::from);
        let scratch = rows * columns + (rows + columns) * (sum + u64::from(lanes));
        if scratch > MOST_SCRATCH { *model } else { Blocks { mc, nc, kc, ..*model } }
    }
}

/// What a product is called, given the kernel that the cost model makes of it.
pub(super) fn name(problem: &Problem, axes: &Axes, kernel: &Kernel) -> String {
    let dimensions = [&problem.batch, &problem.rows, &problem.columns, &problem.sum].map(|group| {
        let size = group.volume();
        axes.typically(&size).map_or(size.to_string(), |n| n.to_string())
    });
    let hash = hash(&format!("{kernel:?}"));
    let [batch, rows, columns, sum] = dimensions;
    let batch = if batch == "1" { String::new() } else { format!("{batch} of ") };
    format!("{batch}{rows} x {columns} by {sum}, {hash:016x}")
}

#[cfg(test)]
mod tests;
