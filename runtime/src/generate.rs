//! Tokens behind prompts, one at a time for each row.

use anyhow::{Context, Result};

use crate::data::Batch;
use crate::exec::Machine;
use crate::sample::Sampling;
use crate::writing::{Logits, Writing};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Indices of the prompts, at least one each; they may differ in length.
    pub prompts: &'a [Vec<i32>],
    /// What the model takes besides, such as what its encoder reads: a row for each prompt.
    pub given: Batch,
    /// How many tokens to add to each.
    pub tokens: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// Seed of the draws; each row has its own.
    pub seed: u64,
    /// Only tokens below are chosen: the tokenizer has no text for others.
    pub vocabulary: usize,
    /// A row ends with this token.
    pub end: Option<i32>,
}

/// A token for each row.
#[derive(Debug)]
pub struct Added<'a> {
    /// The tokens; none for a row that has ended.
    pub tokens: &'a [Option<i32>],
    /// The logits that they were chosen from.
    pub logits: &'a Logits,
}

/// Adds tokens to prompts and gives each step's to `emit`, which ends it early by answering `false`.
///
/// # Errors
/// A model that does not turn indices into logits, a prompt without tokens, numbers that are none.
pub fn generate(machine: &mut Machine, request: &Request, emit: &mut dyn FnMut(&Added) -> Result<bool>) -> Result<()> {
    request.sampling.check()?;
    let mut ended = vec![false; request.prompts.len()];
    let mut open: Option<Writing> = None;
    let mut last: Vec<i32> = Vec::new();
    for step in 0..request.tokens {
        let logits = match &mut open {
            Some(writing) => writing.add(machine, &last)?,
            None => {
                let (writing, logits) = Writing::begin(machine, request.prompts, request.given.clone(), request.tokens)?;
                open = Some(writing);
                logits
            }
        };
        let mut tokens = Vec::with_capacity(ended.len());
        for (row, logits) in logits.iter().enumerate() {
            let position = (request.prompts[row].len() + step) as u64;
            let seed = request.seed.wrapping_add(row as u64);
            let token = match ended[row] {
                true => None,
                false => {
                    let known = &logits[..logits.len().min(request.vocabulary)];
                    let token = request.sampling.choose(known, seed, position)?;
                    Some(i32::try_from(token).context("a token's index is too large")?)
                }
            };
            ended[row] |= token.is_none() || token == request.end;
            tokens.push(token);
        }
        if !emit(&Added { tokens: &tokens, logits: &logits })? || ended.iter().all(|&ended| ended) {
            break;
        }
        last = tokens.into_iter().map(Option::unwrap_or_default).collect();
    }
    Ok(())
}
