//! `generate`: text that follows a prompt, printed as it comes.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Common, Exit, count, load_weights, tokenizer};
use crate::console;
use crate::exec::Compiled;
use crate::generate::{self, Request};
use crate::interrupt;
use crate::sample::Sampling;
use crate::tokenizer::Stream;

/// Options of `generate`.
#[derive(Args, Clone, Debug, Default)]
pub struct GenerateArgs {
    /// The parameters (safetensors) [default: those that training left in runs/NAME]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// What the text follows
    #[arg(long, default_value = "\n", hide_default_value = true, value_name = "TEXT")]
    pub prompt: String,
    /// How many tokens to add
    #[arg(long, default_value_t = 200, value_name = "N", allow_negative_numbers = true, value_parser = count::<usize>)]
    pub tokens: usize,
    /// Above 1 bolder, below 1 more likely text
    #[arg(long, default_value_t = 1.0, value_name = "T", allow_negative_numbers = true)]
    pub temperature: f64,
    /// Choose among the K most likely tokens
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = count::<usize>)]
    pub top_k: Option<usize>,
    /// Choose among the most likely tokens that together reach this probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Seed of the draws
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true, value_parser = count::<u64>)]
    pub seed: u64,
    /// Always take the most likely token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    pub greedy: bool,
    /// Options of every command
    #[command(flatten)]
    pub common: Common,
}

/// Generates and prints.
///
/// # Errors
/// Anything that keeps it from generating, in words.
pub fn generate(compiled: Compiled, args: &GenerateArgs) -> Result<Exit> {
    let tokenizer = tokenizer(&compiled.plan)?;
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p };
    let sampling = if args.greedy { Sampling::GREEDY } else { sampling };
    sampling.check()?;
    let mut machine = args.common.machine(compiled)?;
    let (prompt, unknown) = tokenizer.encode_prompt(&args.prompt)?;
    if !unknown.is_empty() {
        console::warning(&format!("the model does not know {}: left out of the prompt", listed(&unknown)));
    }
    ensure!(!prompt.is_empty(), "the prompt has no token that the model knows: pass another with --prompt TEXT");
    load_weights(&mut machine, args.weights.as_deref(), &args.common)?;
    interrupt::listen("stopping");

    let mut out = io::stdout().lock();
    let mut show =
        |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("the text cannot be printed");
    show(&tokenizer.decode(&prompt)?)?;
    let mut stream = Stream::after(&prompt);
    let request = Request { prompt: &prompt, tokens: args.tokens, sampling, seed: args.seed, vocabulary: tokenizer.size() };
    generate::generate(&mut machine, &request, &mut |token| {
        show(&stream.push(&tokenizer, token)?)?;
        Ok(!interrupt::asked())
    })?;
    show(&stream.finish(&tokenizer)?)?;
    show("\n")?;
    args.common.report(&mut machine)?;
    Ok(if interrupt::asked() { Exit::Interrupted } else { Exit::Done })
}

fn listed(characters: &[char]) -> String {
    let all: Vec<String> = characters.iter().map(|c| format!("{c:?}")).collect();
    all.join(", ")
}
