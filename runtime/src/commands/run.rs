//! `run`: any function of the model on given tensors.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::{Common, Exit, count, load_weights, of_inputs, texts};
use crate::exec::Compiled;
use crate::optional::with_options;
use crate::step::{self, Specials, check_idle};
use crate::tensor::Tensor;
use crate::weights;
use crate::whole_file;

/// Options of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// The function [default: the nameless one]
    #[arg(value_name = "FN")]
    pub function: Option<String>,
    /// The parameters (safetensors) [default: those that training left in runs/NAME]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Draw the parameters from this seed instead of reading them
    #[arg(long, value_name = "SEED", conflicts_with = "weights", allow_negative_numbers = true, value_parser = count::<u64>)]
    pub draw: Option<u64>,
    /// The function's arguments by name (safetensors)
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// A text a line, as the function's indices
    #[arg(long, value_name = "FILE", conflicts_with = "inputs")]
    pub texts: Option<PathBuf>,
    /// How texts become tokens (tokenizer.json) [default: as the recipe says, or the one beside the weights]
    #[arg(long, value_name = "FILE", requires = "texts")]
    pub tokenizer: Option<PathBuf>,
    /// Where its results go by name (safetensors) [default: their shapes and first values are printed]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Options of every command
    #[command(flatten)]
    pub common: Common,
}

/// Runs a function.
///
/// # Errors
/// Anything that keeps it from running, in words.
pub fn run(compiled: Compiled, args: &RunArgs) -> Result<Exit> {
    args.output.as_deref().map(whole_file::check).transpose()?;
    let mut machine = args.common.machine(compiled)?;
    let function = args.function.as_deref().unwrap_or("forward");
    machine.function(function)?;
    let inputs = match &args.texts {
        Some(file) => texts::read(&machine, function, file, args.tokenizer.as_deref())?,
        None => args.inputs.as_deref().map(weights::read_tensors).transpose()?.unwrap_or_default(),
    };
    let program = machine.program(function)?;
    let missing: Vec<String> = program
        .inputs
        .iter()
        .filter(|port| !port.name.starts_with('$') && inputs.iter().all(|(name, _)| *name != port.name))
        .map(|port| format!("`{}`", port.name))
        .collect();
    match &args.inputs {
        Some(path) => ensure!(
            missing.is_empty(),
            "`{function}` takes {}, which {} lacks: it gives {}",
            missing.join(", "),
            path.display(),
            step::names(&inputs)
        ),
        None => ensure!(
            missing.is_empty(),
            "`{function}` takes {}: pass tensors of these names with --inputs FILE.safetensors",
            missing.join(", ")
        ),
    }
    let (function, inputs, given) = of_inputs(with_options(&machine, function, inputs), args.inputs.as_deref())?;
    let function = function.as_str();
    of_inputs(check_idle(&machine, &[function], &inputs), args.inputs.as_deref())?;
    match args.draw {
        Some(seed) => machine.initialise(seed)?,
        None => load_weights(&mut machine, args.weights.as_deref(), &args.common)?,
    }
    let specials = Specials { step: 1, seed: args.draw.unwrap_or_default(), given, ..Specials::default() };
    let outputs = of_inputs(step::run(&mut machine, function, &inputs, &specials), args.inputs.as_deref())?;
    match &args.output {
        Some(path) => weights::write_tensors(path, &outputs)?,
        None => outputs.iter().for_each(|(name, tensor)| println!("{}", summary(name, tensor))),
    }
    args.common.report(&mut machine)?;
    Ok(Exit::Done)
}

/// `NAME [shape] kind: first values`.
fn summary(name: &str, tensor: &Tensor) -> String {
    const SHOWN: usize = 6;
    let values: Vec<String> = tensor.to_f64().iter().take(SHOWN).map(|value| format!("{value}")).collect();
    let more = if tensor.len() > SHOWN { " …" } else { "" };
    format!("{name} {:?} {}: {}{more}", tensor.shape, tensor.data.kind(), values.join(" "))
}
