//! `bench`: how long a program takes, for comparisons in one run with another system.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use super::{Common, Exit, count, load_weights, of_inputs};
use crate::data::Batch;
use crate::exec::{Compiled, Machine};
use crate::step::{self, Specials};
use crate::weights;

/// Options of `bench`.
#[derive(Args, Clone, Debug, Default)]
pub struct BenchArgs {
    /// The program: a function, or `train_step`
    #[arg(value_name = "PROGRAM", default_value = "forward")]
    pub program: String,
    /// Its inputs by name (safetensors)
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// The parameters (safetensors) [default: drawn]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
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
    let inputs = weights::read_tensors(&args.inputs)?;
    match &args.weights {
        Some(path) => load_weights(&mut machine, Some(path), &args.common)?,
        None => machine.initialise(0)?,
    }
    let mut done = 0;
    // The first run lays out memory.
    of_inputs(once(&mut machine, args, &inputs, &mut done), Some(&args.inputs))?;
    if args.on_request {
        for line in std::io::stdin().lock().lines() {
            line?;
            let times =
                (0..args.repeat).map(|_| once(&mut machine, args, &inputs, &mut done)).collect::<Result<Vec<_>>>()?;
            println!("{}", times.iter().map(|ms| format!("{ms:.4}")).collect::<Vec<_>>().join(" "));
        }
        return Ok(Exit::Done);
    }
    machine.set_profile(args.common.profile.is_some());
    let mut times = (0..args.repeat).map(|_| once(&mut machine, args, &inputs, &mut done)).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{}: median {median:.3} ms, least {least:.3}, most {most:.3}, {} runs", args.program, times.len());
    args.common.report(&mut machine)?;
    Ok(Exit::Done)
}

/// One run, in milliseconds.
fn once(machine: &mut Machine, args: &BenchArgs, inputs: &Batch, done: &mut u64) -> Result<f64> {
    *done += 1;
    let specials = Specials { step: *done, ..Specials::default() };
    let start = Instant::now();
    let outputs = step::run(machine, &args.program, inputs, &specials)?;
    let time = start.elapsed().as_secs_f64() * 1e3;
    drop(outputs);
    Ok(time)
}
