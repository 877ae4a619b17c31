//! The loss on text that was held out, or on given batches: averaged by the number of counted items.

use anyhow::{Context, Result, ensure};

use crate::data::{Batch, Source};
use crate::exec::Machine;
use crate::interrupt;
use crate::plan::{Program, Recipe, Size};
use crate::step::{Outcome, Specials, run_scalars};

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// `loss` and `metric.NAME`, averaged over counted items.
    pub mean: Outcome,
    /// Number of counted items.
    pub weight: f64,
}

/// Evaluates with the program `loss`. `tick` hears of each batch: how many are done, of how many. `None` if Ctrl-C came
/// between. What is drawn comes from the recipe's seed, so that runs with other seeds are measured by the same.
///
/// # Errors
/// A held-out text that is too short, and data that does not fit the program.
pub fn evaluate(
    machine: &mut Machine,
    source: &Source,
    recipe: &Recipe,
    tick: &mut dyn FnMut(u64, u64),
) -> Result<Option<Score>> {
    // Rows as a micro-batch has them, which fit into memory.
    let rows = usize::try_from(recipe.batch.div_ceil(recipe.accumulate.max(1)))?.max(1);
    let (asked, seed) = (recipe.evaluate_batches, recipe.seed);
    let count = source.held_out_batches(asked, rows)?;
    let (mut sum, mut total) = (Outcome::default(), 0.0);
    for index in 0..count {
        if interrupt::asked() {
            return Ok(None);
        }
        for batch in source.held_out_batch(seed, asked, rows, index)? {
            if !fits(machine.program("loss")?, &batch) {
                continue;
            }
            // No chance acts in an evaluation; the seed is there for objectives that draw, as masking does.
            let specials = Specials { step: index + 1, seed, ..Specials::default() };
            let values = run_scalars(machine, "loss", &batch, &specials)?;
            let (weights, means): (Vec<_>, Vec<_>) = values.into_iter().partition(|(name, _)| name == "weight");
            let weight = weights.first().context("`loss` gives no output `weight`")?.1;
            // A batch of nothing but padding has no mean.
            if weight > 0.0 {
                sum.add(&means, weight);
                total += weight;
            }
        }
        tick(index + 1, count);
    }
    ensure!(total > 0.0, "the evaluation counted nothing: every position is ignored");
    for (_, value) in &mut sum.values {
        *value /= total;
    }
    Ok(Some(Score { mean: sum, weight: total }))
}

/// Whether a batch has the sizes that a program is fixed to. The rest of a text that fills no whole sequence is left out where
/// the specification fixes the length of sequences.
fn fits(program: &Program, batch: &Batch) -> bool {
    let fixed = |size: &Size| match size.terms.as_slice() {
        [] => Some(0),
        [(n, variables)] if variables.is_empty() => Some(*n),
        _ => None,
    };
    program.inputs.iter().all(|port| {
        let Some((_, tensor)) = batch.iter().find(|(name, _)| *name == port.name) else {
            return true;
        };
        let sizes = port.axes.iter().zip(&tensor.shape);
        sizes.into_iter().all(|((_, size), &found)| fixed(size).is_none_or(|n| n == found as i64))
    })
}
