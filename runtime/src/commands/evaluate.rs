//! `evaluate`: the loss on held-out text or on given batches.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use super::{Common, Exit, load_weights, recipe, source};
use crate::data::Source;
use crate::evaluate::evaluate as score;
use crate::exec::Compiled;
use crate::interrupt;
use crate::step::check_idle;

/// Options of `evaluate`.
#[derive(Args, Clone, Debug, Default)]
pub struct EvaluateArgs {
    /// The parameters (safetensors) [default: those that training left in runs/NAME]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Evaluate on given tensors [steps, batch, …]
    #[arg(long, value_name = "FILE")]
    pub batches: Option<PathBuf>,
    /// Evaluate on the last part of these text files instead of those that the specification names
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "batches")]
    pub data: Vec<PathBuf>,
    /// Print one line of JSON, with all digits
    #[arg(long)]
    pub json: bool,
    /// Options of every command
    #[command(flatten)]
    pub common: Common,
}

/// Evaluates and prints the means.
///
/// # Errors
/// Anything that keeps it from evaluating, in words.
pub fn evaluate(compiled: Compiled, args: &EvaluateArgs) -> Result<Exit> {
    let recipe = recipe(&compiled.plan)?;
    let source = source(&compiled.plan, &recipe, args.batches.as_deref(), &args.data)?;
    let mut machine = args.common.machine(compiled)?;
    if let Source::Given { .. } = source {
        source.named(check_idle(&machine, &["loss"], &source.batch(0, 0)?))?;
    }
    load_weights(&mut machine, args.weights.as_deref(), &args.common)?;
    interrupt::listen("stopping");
    let Some(found) = score(&mut machine, &source, &recipe, &mut |_, _| {})? else {
        return Ok(Exit::Interrupted);
    };
    args.common.report(&mut machine)?;
    if args.json {
        let mut line: Map<String, Value> = found.mean.values.iter().map(|(n, v)| (n.clone(), Value::from(*v))).collect();
        line.insert("weight".into(), found.weight.into());
        println!("{}", Value::Object(line));
    } else {
        for (name, value) in &found.mean.values {
            println!("{:<16} {value:.4}", name.strip_prefix("metric.").unwrap_or(name));
        }
        println!("{:<16} {}", "over", found.over());
    }
    Ok(Exit::Done)
}
