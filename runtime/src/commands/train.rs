//! `train`: from drawn or given parameters, or from a checkpoint, to trained ones.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::{Common, Exit, count, default_folder, recipe, training_source};
use crate::exec::{Compiled, Machine};
use crate::interrupt;
use crate::peak;
use crate::step::{self, Specials};
use crate::train::{self, End, Files, Settings};
use crate::weights;

/// Options of `train`.
#[derive(Args, Clone, Debug, Default)]
pub struct TrainArgs {
    /// Start from these parameters (safetensors) instead of drawing them
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub weights: Option<PathBuf>,
    /// Train on given tensors [steps, batch, …], a slice a step; without --steps on each once
    #[arg(long, value_name = "FILE")]
    pub batches: Option<PathBuf>,
    /// Text files instead of those that the specification names; with --batches only their end is used, to evaluate
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Steps in all [default: as the specification says]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count::<u64>)]
    pub steps: Option<u64>,
    /// Seed of everything drawn by chance [default: as the specification says]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count::<u64>)]
    pub seed: Option<u64>,
    /// Folder for checkpoint.safetensors, weights.safetensors, metrics.jsonl and loss.svg [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the checkpoint in the folder; the result is that of an unbroken run
    #[arg(long)]
    pub resume: bool,
    /// Options of every command
    #[command(flatten)]
    pub common: Common,
}

/// Trains as the recipe and the options say.
///
/// # Errors
/// Anything that keeps it from training on, in words.
pub fn train(compiled: Compiled, args: &TrainArgs) -> Result<Exit> {
    let recipe = recipe(&compiled.plan)?;
    let source = training_source(&compiled.plan, &recipe, args.batches.as_deref(), &args.data)?;
    let out = args.out.clone().unwrap_or_else(|| default_folder(&compiled.plan));
    let files = Files::of(&out);
    let steps = source.named(steps(args, recipe.steps, source.steps()))?;
    if args.resume && !files.checkpoint.exists() && files.earlier.exists() {
        bail!(
            "{} is not there to resume from, but {}, which an earlier run left, is: rename it to go on with that run, or start \
             anew without --resume",
            files.checkpoint.display(),
            files.earlier.display()
        );
    }

    let mut machine = args.common.machine(compiled)?;
    if let Some(peak) = peak::of_training(machine.plan(), machine.threads())? {
        args.common.say(&format!("memory: {}", peak.here()));
    }
    interrupt::listen("finishing this step, then saving; press Ctrl-C again to stop at once");
    let mut resumed = None;
    if args.resume && files.checkpoint.exists() {
        let progress = train::resume(&mut machine, &source, &files.checkpoint, args.seed)?;
        if progress.step < steps {
            args.common.say(&format!("going on after step {} of {steps}", progress.step));
        }
        resumed = Some(progress);
    } else {
        if args.resume {
            args.common.say(&format!("{} is not there yet: starting at the beginning", files.checkpoint.display()));
        }
        machine.initialise(args.seed.unwrap_or(recipe.seed))?;
        start_from(&mut machine, args)?;
    }
    let seed = resumed.as_ref().map_or(args.seed.unwrap_or(recipe.seed), |progress| progress.seed);
    let done = resumed.as_ref().map_or(0, |progress| progress.step);
    let settings = Settings { steps, seed, out, resumed, quiet: args.common.quiet };
    let end = train::train(&mut machine, &source, &recipe, &settings)?;
    args.common.report(&mut machine)?;
    Ok(match end {
        End::Finished if args.resume && done > 0 && done >= steps => {
            args.common.say(&format!(
                "already at step {done}, and {steps} were asked for: no step was done; --steps with a larger number goes on. \
                 The weights are in {}",
                files.weights.display()
            ));
            Exit::Done
        }
        End::Finished => {
            args.common.say(&format!(
                "trained {steps} steps: {}, {}, {}",
                files.weights.display(),
                files.metrics.display(),
                files.curve.display()
            ));
            Exit::Done
        }
        End::Interrupted => Exit::Interrupted,
    })
}

/// Fills the parameters from the file that was named, or from where the specification says that the model's weights lie.
fn start_from(machine: &mut Machine, args: &TrainArgs) -> Result<()> {
    match (&args.weights, machine.plan().weights.clone()) {
        (Some(path), _) => weights::load(machine, path, None),
        (None, Some((layout, path))) => {
            args.common.say(&format!("weights: {path}"));
            weights::load(machine, Path::new(&path), Some(&layout))
        }
        (None, None) => Ok(()),
    }
}

/// Computes the loss and its gradients on the first batch, changing nothing, and writes them to a file: `loss` and `grad.PATH`.
/// The plan needs the program `gradients`.
///
/// # Errors
/// Anything that keeps it from computing them, in words.
pub fn gradients(compiled: Compiled, args: &TrainArgs, to: &Path) -> Result<Exit> {
    let recipe = recipe(&compiled.plan)?;
    let source = training_source(&compiled.plan, &recipe, args.batches.as_deref(), &args.data)?;
    let seed = args.seed.unwrap_or(recipe.seed);
    let mut machine = args.common.machine(compiled)?;
    machine.initialise(seed)?;
    start_from(&mut machine, args)?;
    let specials = Specials { step: 1, seed, ..Specials::default() };
    let found = source.named(step::run(&mut machine, "gradients", &source.batch(seed, 0)?, &specials))?;
    weights::write_tensors(to, &found)?;
    Ok(Exit::Done)
}

/// Steps in all: as asked, else each given batch once but no more than the recipe has, else those of the recipe.
fn steps(args: &TrainArgs, recipe: u64, given: Option<u64>) -> Result<u64> {
    let Some(given) = given else {
        return Ok(args.steps.unwrap_or(recipe));
    };
    let steps = args.steps.unwrap_or(given.min(recipe));
    ensure!(steps <= given, "{steps} steps are asked for, and the file of batches holds {given}");
    if args.steps.is_none() && given != recipe {
        args.common.say(&format!("training {steps} steps: the batches are for {given}, the recipe for {recipe}"));
    }
    Ok(steps)
}
