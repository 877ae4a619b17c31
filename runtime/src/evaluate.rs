//! The loss and metrics on text that was held out, or on given batches: each over all items that it counts.

use anyhow::{Context, Result, ensure};

use crate::bind::fixed;
use crate::console::thousands;
use crate::data::{self, Batch, Source};
use crate::exec::Machine;
use crate::interrupt;
use crate::plan::{Program, Recipe};
use crate::step::{Outcome, Specials, run_scalars};

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// `loss` and `metric.NAME`, each over the items that it counts; without a metric that counts none.
    pub mean: Outcome,
    /// Number of items that the loss counts.
    pub weight: f64,
    /// What they are a part of.
    pub seen: Seen,
}

/// How much an evaluation went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Rows of its batches.
    pub rows: u64,
    /// Tokens of them, where they are text.
    pub tokens: Option<u64>,
}

impl Score {
    /// What the means are over, in words: `109,195 tokens`.
    pub fn over(&self) -> String {
        let weight = self.weight as u64;
        let counted = thousands(weight);
        match self.seen {
            Seen { tokens: Some(all), .. } if weight == all => format!("{counted} tokens"),
            Seen { rows, tokens: Some(_) } if weight == rows => format!("{counted} sequences"),
            Seen { tokens: Some(all), .. } => format!("{counted} of {} tokens", thousands(all)),
            Seen { rows, tokens: None } if weight == rows => format!("{counted} rows"),
            Seen { rows, tokens: None } => format!("{counted} places in {} rows", thousands(rows)),
        }
    }
}

/// Evaluates with the programs `loss`, which gives the sums and weights of a batch, and `score`, which takes their totals. `tick`
/// hears of each batch: how many are done, of how many. `None` if Ctrl-C came between. What is drawn comes from the recipe's seed, so that runs with other seeds are measured by the same.
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
    let rows = usize::try_from(recipe.rows())?.max(1);
    let (asked, seed) = (recipe.evaluate_batches, recipe.seed);
    let count = source.held_out_batches(asked, rows)?;
    let mut totals = Outcome::default();
    let (mut rows_seen, mut tokens) = (0, 0);
    let of_text = source.evaluated_text().is_some();
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
            let values = run_scalars(machine, "loss", &batch, &specials);
            totals.add(if of_text { values? } else { source.named(values)? });
            rows_seen += batch.first().map_or(0, |(_, tensor)| tensor.shape.first().copied().unwrap_or(1) as u64);
            tokens += data::tokens(&batch);
        }
        tick(index + 1, count);
    }
    let specials = Specials { step: 1, seed, totals, ..Specials::default() };
    let values = Outcome { values: run_scalars(machine, "score", &Vec::new(), &specials)? };
    let weight = values.get("weight.loss").context("`score` gives no output `weight.loss`")?;
    ensure!(weight > 0.0, "the evaluation counted nothing: every position is ignored");
    let seen = Seen { rows: rows_seen, tokens: of_text.then_some(tokens) };
    Ok(Some(Score { mean: values.counted(), weight, seen }))
}

/// Whether a batch has the sizes that a program is fixed to. The rest of a text that fills no whole sequence is left out where
/// the specification fixes the length of sequences.
fn fits(program: &Program, batch: &Batch) -> bool {
    program.inputs.iter().all(|port| {
        let Some((_, tensor)) = batch.iter().find(|(name, _)| *name == port.name) else {
            return true;
        };
        let sizes = port.axes.iter().zip(&tensor.shape);
        sizes.into_iter().all(|((_, size), &found)| fixed(size).is_none_or(|n| n == found as i64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_has_a_unit() {
        let over = |weight: f64, rows: u64, tokens: Option<u64>| {
            Score { mean: Outcome::default(), weight, seen: Seen { rows, tokens } }.over()
        };
        assert_eq!(over(109_195.0, 1_707, Some(109_195)), "109,195 tokens");
        assert_eq!(over(1_024.0, 107, Some(6_830)), "1,024 of 6,830 tokens");
        assert_eq!(over(107.0, 107, Some(6_830)), "107 sequences");
        assert_eq!((over(96.0, 96, None), over(480.0, 96, None)), ("96 rows".into(), "480 places in 96 rows".into()));
    }
}
