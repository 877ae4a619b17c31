//! `generate`: text that follows a prompt, printed as it comes; several prompts at once; indices in and out of files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::{Common, Exit, count, load_weights, of_inputs, tokenizer};
use crate::console;
use crate::exec::Compiled;
use crate::generate::{self, Request};
use crate::interrupt;
use crate::sample::Sampling;
use crate::tensor::{Data, Tensor};
use crate::tensor_file::{read_tensors, write_tensors};
use crate::tokenizer::{Stream, Tokenizer};
use crate::weights;
use crate::whole_file;

/// Options of `generate`.
#[derive(Args, Clone, Debug, Default)]
pub struct GenerateArgs {
    /// The parameters (safetensors) [default: those that training left in runs/NAME]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// What the text follows; several are continued together, each text printed when all are done
    #[arg(long, default_value = "\n", hide_default_value = true, value_name = "TEXT")]
    pub prompt: Vec<String>,
    /// How texts become tokens (tokenizer.json) [default: as the recipe says, or the one beside the weights]
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    pub tokenizer: Option<PathBuf>,
    /// Indices instead of text: `ids` or the only tensor of the file (safetensors), a prompt a row
    #[arg(long, value_name = "FILE", conflicts_with = "prompt", requires = "output")]
    pub ids: Option<PathBuf>,
    /// What the model takes besides, such as what its encoder reads, by name (safetensors): a row for each prompt
    #[arg(long, value_name = "FILE")]
    pub given: Option<PathBuf>,
    /// Where `sequences` and the `logits` of each token go (safetensors)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A row ends with the token of this index, such as the tokenizer's end of a text; the rest of its sequence is 0 [default: each row
    /// has all its tokens]
    #[arg(long, value_name = "INDEX")]
    pub end: Option<i32>,
    /// How many tokens to add; beyond the model's positions, it sees the last that it has positions for
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
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p };
    let sampling = if args.greedy { Sampling::GREEDY } else { sampling };
    sampling.check()?;
    args.output.as_deref().map(whole_file::check).transpose()?;
    let (tokenizer, marked) = match args.ids {
        None => tokenizer(&compiled.plan, args.tokenizer.as_deref()).map(|(tokenizer, marked)| (Some(tokenizer), marked))?,
        Some(_) => (None, false),
    };
    let mut machine = args.common.machine(compiled)?;
    let prompts = match (&args.ids, &tokenizer) {
        (Some(file), _) => of_inputs(rows(file), Some(file))?,
        (None, Some(tokenizer)) => args.prompt.iter().map(|text| encoded(tokenizer, marked, text)).collect::<Result<_>>()?,
        (None, None) => Vec::new(),
    };
    load_weights(&mut machine, args.weights.as_deref(), &args.common)?;
    if let Some(why) = &machine.plan().no_decode {
        console::warning(&format!("the whole text is computed again for each token: {why}"));
    }
    interrupt::listen("stopping");

    let vocabulary = tokenizer.as_ref().map_or(usize::MAX, Tokenizer::size);
    let given = args.given.as_deref().map(weights::read_tensors).transpose()?.unwrap_or_default();
    let (tokens, seed, end) = (args.tokens, args.seed, args.end);
    let request = Request { prompts: &prompts, given, tokens, sampling, seed, vocabulary, end };
    // One text is shown as it comes.
    let mut shown = match (&tokenizer, prompts.as_slice()) {
        (Some(tokenizer), [prompt]) => Some((tokenizer, Stream::after(prompt))),
        _ => None,
    };
    if let Some((tokenizer, _)) = &shown {
        show(&tokenizer.decode(&prompts[0])?)?;
    }
    let mut texts = prompts.clone();
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
    generate::generate(&mut machine, &request, &mut |added| {
        texts.iter_mut().zip(added.tokens).for_each(|(text, token)| text.extend(token));
        if let (Some((tokenizer, stream)), Some(token)) = (&mut shown, added.tokens[0]) {
            show(&stream.push(tokenizer, token)?)?;
        }
        if args.output.is_some() {
            logits.iter_mut().zip(added.logits).for_each(|(all, row)| all.extend(row));
        }
        Ok(!interrupt::asked())
    })?;
    match (shown, &tokenizer) {
        (Some((tokenizer, stream)), _) => show(&format!("{}\n", stream.finish(tokenizer)?))?,
        (None, Some(tokenizer)) => texts.iter().try_for_each(|text| show(&format!("{}\n", tokenizer.decode(text)?)))?,
        (None, None) => {}
    }
    if let Some(file) = &args.output {
        save(file, &prompts, &texts, &logits)?;
    }
    args.common.report(&mut machine)?;
    Ok(if interrupt::asked() { Exit::Interrupted } else { Exit::Done })
}

/// Prints at once.
fn show(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("the text cannot be printed")
}

/// The indices of a prompt; `marked` as the tokenizer begins texts.
fn encoded(tokenizer: &Tokenizer, marked: bool, text: &str) -> Result<Vec<i32>> {
    let (prompt, unknown) =
        if marked { (tokenizer.encode_begun(text)?, Vec::new()) } else { tokenizer.encode_prompt(text)? };
    if !unknown.is_empty() {
        console::warning(&format!("the model does not know {}: left out of the prompt", listed(&unknown)));
    }
    ensure!(!prompt.is_empty(), "the prompt has no token that the model knows: pass another with --prompt TEXT");
    Ok(prompt)
}

/// The rows of a file with indices.
pub(super) fn rows(file: &Path) -> Result<Vec<Vec<i32>>> {
    let tensors = read_tensors(file)?;
    let found = match tensors.as_slice() {
        [one] => Some(one),
        several => several.iter().find(|(name, _)| name == "ids"),
    };
    let (name, tensor) = found.context("there is no tensor `ids`")?;
    let index = |x: i64| i32::try_from(x).with_context(|| format!("`{name}`: {x} exceeds 32 bits"));
    let indices: Vec<i32> = match &tensor.data {
        Data::I64(x) => x.iter().map(|&x| index(x)).collect::<Result<_>>()?,
        Data::I32(x) => x.clone(),
        other => bail!("`{name}` holds {}, not indices", other.kind()),
    };
    match *tensor.shape.as_slice() {
        [_, length] | [length] if length > 0 => Ok(indices.chunks(length).map(<[i32]>::to_vec).collect()),
        _ => bail!("`{name}` has the shape {:?}; it needs [rows, time]", tensor.shape),
    }
}

/// Writes what was generated.
fn save(file: &Path, prompts: &[Vec<i32>], texts: &[Vec<i32>], logits: &[Vec<f32>]) -> Result<()> {
    let added = added(prompts, texts);
    let count = logits.first().map_or(0, Vec::len).checked_div(added).unwrap_or(0);
    let tensors = [
        ("sequences".to_string(), sequences(prompts, texts)?),
        ("logits".to_string(), Tensor::f32(&[texts.len(), added, count], logits.concat())?),
    ];
    write_tensors(file, &tensors)
}

/// The most tokens that were added to a prompt.
fn added(prompts: &[Vec<i32>], texts: &[Vec<i32>]) -> usize {
    texts.iter().zip(prompts).map(|(text, prompt)| text.len() - prompt.len()).max().unwrap_or(0)
}

/// Texts as one tensor: `[rows, the longest prompt and what was added]`; rows that have ended are filled with 0.
pub(super) fn sequences(prompts: &[Vec<i32>], texts: &[Vec<i32>]) -> Result<Tensor> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + added(prompts, texts);
    let filled = texts.iter().flat_map(|text| text.iter().copied().chain(std::iter::repeat(0)).take(longest)).collect();
    Tensor::i32(&[texts.len(), longest], filled)
}

fn listed(characters: &[char]) -> String {
    let all: Vec<String> = characters.iter().map(|c| format!("{c:?}")).collect();
    all.join(", ")
}
