//! `bench`: how long a program takes, for comparisons in one run with another system.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use super::generate::{rows, save};
use super::{Common, Exit, count, load_weights, of_inputs};
use crate::data::Batch;
use crate::exec::{Compiled, Machine};
use crate::generate::{Request, generate};
use crate::plan::Role;
use crate::sample::Sampling;
use crate::step::{self, Specials};
use crate::weights;

/// Options of `bench`.
#[derive(Args, Clone, Debug, Default)]
pub struct BenchArgs {
    /// The program: a function, or `train_step`
    #[arg(value_name = "PROGRAM", default_value = "forward")]
    pub program: String,
    /// Its inputs by name (safetensors); of `decode`: prompts, as `generate --ids` takes them
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// The parameters (safetensors) [default: drawn]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Of `decode`: how many tokens are added, each the most likely one, the prompts' places included in the time
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub tokens: usize,
    /// Of `decode`: where the sequences go (safetensors)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How often it runs
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = count::<u64>)]
    pub repeat: u64,
    /// Run that often for each line that comes in on standard input, and answer with a line of milliseconds
    #[arg(long)]
    pub on_request: bool,
    /// Options of every command
    #[command(flatten)]
    pub common: Common,
}

/// Times a program.
///
/// # Errors
/// Anything that keeps it from running, in words.
pub fn bench(compiled: Compiled, args: &BenchArgs) -> Result<Exit> {
    ensure!(args.repeat > 0, "--repeat must be at least 1");
    let mut machine = args.common.machine(compiled)?;
    machine.program(&args.program)?;
    let work = Work::of(args)?;
    match &args.weights {
        Some(path) => load_weights(&mut machine, Some(path), &args.common)?,
        None => machine.initialise(0)?,
    }
    let mut done = 0;
    // The first run lays out memory.
    of_inputs(once(&mut machine, args, &work, &mut done), Some(&args.inputs))?;
    if args.on_request {
        for line in std::io::stdin().lock().lines() {
            line?;
            let times = (0..args.repeat).map(|_| once(&mut machine, args, &work, &mut done)).collect::<Result<Vec<_>>>()?;
            println!("{}", times.iter().map(|ms| format!("{ms:.4}")).collect::<Vec<_>>().join(" "));
        }
        return Ok(Exit::Done);
    }
    machine.set_profile(args.common.profile.is_some());
    let mut times = (0..args.repeat).map(|_| once(&mut machine, args, &work, &mut done)).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{}: median {median:.3} ms, least {least:.3}, most {most:.3}, {} runs", args.program, times.len());
    args.common.report(&mut machine)?;
    if let Work::Texts(prompts) = &work {
        memory_speed(&mut machine, prompts, args.tokens, median)?;
    }
    Ok(Exit::Done)
}

/// One run, in milliseconds.
fn once(machine: &mut Machine, args: &BenchArgs, work: &Work, done: &mut u64) -> Result<f64> {
    *done += 1;
    let inputs = match work {
        Work::Inputs(inputs) => inputs,
        Work::Texts(prompts) => return writes(machine, args, prompts),
    };
    let specials = Specials { step: *done, ..Specials::default() };
    let start = Instant::now();
    let outputs = step::run(machine, &args.program, inputs, &specials)?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    drop(outputs);
    Ok(time)
}

/// What is timed.
enum Work {
    /// A program.
    Inputs(Batch),
    /// Writing on behind prompts.
    Texts(Vec<Vec<i32>>),
}

impl Work {
    fn of(args: &BenchArgs) -> Result<Self> {
        if args.program == "decode" {
            return of_inputs(rows(&args.inputs), Some(&args.inputs)).map(Work::Texts);
        }
        Ok(Work::Inputs(weights::read_tensors(&args.inputs)?))
    }
}

/// Writes on behind prompts, in milliseconds.
fn writes(machine: &mut Machine, args: &BenchArgs, prompts: &[Vec<i32>]) -> Result<f64> {
    let mut texts = prompts.to_vec();
    let vocabulary = usize::MAX;
    let request = Request { prompts, tokens: args.tokens, sampling: Sampling::GREEDY, seed: 0, vocabulary, end: None };
    let start = Instant::now();
    generate(machine, &request, &mut |added| {
        texts.iter_mut().zip(added.tokens).for_each(|(text, token)| text.extend(token));
        Ok(true)
    })?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    if let Some(file) = &args.output {
        save(file, prompts, &texts, &vec![Vec::new(); texts.len()])?;
    }
    Ok(time)
}

/// Says how much of the parameters' memory a token reads in a second, and how much can be read.
fn memory_speed(machine: &mut Machine, prompts: &[Vec<i32>], tokens: usize, median: f64) -> Result<()> {
    let held = machine.plan().slots.iter().filter(|slot| matches!(slot.role, Role::Param(_)));
    let bytes: u64 = held.map(|slot| slot.len * crate::bind::width(slot.dtype) as u64).sum();
    let (gigabytes, places) = (bytes as f64 / 1e9, tokens.max(1) as f64);
    let needed = gigabytes * places / (median / 1e3);
    let can = machine.read_speed()? / 1e9;
    println!(
        "{:.3} ms a token for {} rows; the parameters ({gigabytes:.3} GB) once a token: {needed:.2} GB/s, {:.1} % of the {can:.2} \
         GB/s that can be read",
        median / places,
        prompts.len(),
        100.0 * needed / can
    );
    Ok(())
}
