//! `bench`: how long a program takes, for comparisons in one run with another system.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::generate::{rows, sequences};
use super::{Common, Exit, count, load_weights, of_inputs};
use crate::data::Batch;
use crate::exec::{Compiled, Machine};
use crate::generate::{Request, generate};
use crate::made_up;
use crate::plan::{Program, Recipe, Role};
use crate::sample::Sampling;
use crate::step::{self, Specials};
use crate::tensor_file::write_tensors;
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
    /// How often it runs
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true, value_parser = count::<u64>)]
    pub repeat: u64,
    /// Answer lines of standard input: `go N` with the milliseconds of N runs, `save FILE` with those of one whose outputs go into
    /// the file, `ceilings` with what this machine can do
    #[arg(long, conflicts_with = "repeat")]
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
    let mut bench = Bench::new(compiled, args)?;
    if args.on_request {
        for line in stdin().lock().lines() {
            let answer = bench.answer(&line?)?;
            writeln!(stdout().lock(), "{answer}").context("the answer cannot be written")?;
        }
        return Ok(Exit::Done);
    }
    // The first run lays out memory.
    of_inputs(bench.run(), Some(&args.inputs))?;
    bench.machine.set_profile(args.common.profile.is_some());
    let mut times = bench.times(args.repeat)?;
    times.sort_by(f64::total_cmp);
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{}: median {median:.3} ms, least {least:.3}, most {most:.3}, {} runs", args.program, times.len());
    args.common.report(&mut bench.machine)?;
    bench.tokens.sort_by(f64::total_cmp);
    if let (Work::Texts(prompts), Some(&token)) = (&bench.work, bench.tokens.get(bench.tokens.len() / 2)) {
        memory_speed(&mut bench.machine, prompts, token)?;
    }
    Ok(Exit::Done)
}

/// A program that is timed.
pub struct Bench<'a> {
    /// What it runs on.
    pub machine: Machine,
    args: &'a BenchArgs,
    work: Work,
    /// How often it ran: the step of training.
    done: u64,
    /// Milliseconds of each token behind the first, in each run that wrote several.
    tokens: Vec<f64>,
}

impl<'a> Bench<'a> {
    /// Reads inputs and weights.
    ///
    /// # Errors
    /// A program that is not there, files that do not fit it.
    pub fn new(compiled: Compiled, args: &'a BenchArgs) -> Result<Self> {
        Self::doing(compiled, args, Work::of(args)?)
    }

    /// As [`Bench::new`], with inputs that are made up, of the recipe's sizes. A recipe's steps are whole ones, in micro-batches too.
    ///
    /// # Errors
    /// Sizes that no recipe says.
    pub fn made_up(compiled: Compiled, args: &'a BenchArgs) -> Result<Self> {
        let plan = &compiled.plan;
        let recipe = plan.recipe.as_ref();
        if args.program == "decode" {
            let prompt = recipe.and_then(|recipe| recipe.size("time")).context("no recipe says how long a text is")?;
            let prefill = plan.programs.iter().find(|program| program.name == "prefill");
            let prompt = made_up::prompt(prefill.context("there is no program `prefill`")?, (prompt / 2).max(1))?;
            return Self::doing(compiled, args, Work::Texts(vec![prompt]));
        }
        let steps = recipe.filter(|_| Recipe::STEP.contains(&args.program.as_str()));
        let known = |name: &str| match (name, steps) {
            ("batch", Some(recipe)) => i64::try_from(recipe.batch).ok(),
            _ => recipe.and_then(|recipe| recipe.size(name)),
        };
        let runs = |name: &str| if steps.is_some() { Recipe::STEP.contains(&name) } else { name == args.program };
        let programs: Vec<&Program> = plan.programs.iter().filter(|program| runs(&program.name)).collect();
        let batch = made_up::batch(&programs, &known)?;
        let work = match steps {
            Some(recipe) => Work::Steps(batch, recipe.accumulate),
            None => Work::Inputs(batch),
        };
        Self::doing(compiled, args, work)
    }

    fn doing(compiled: Compiled, args: &'a BenchArgs, work: Work) -> Result<Self> {
        let mut machine = args.common.machine(compiled)?;
        if matches!(work, Work::Inputs(_)) {
            machine.function(&args.program)?;
        }
        match &args.weights {
            Some(path) => load_weights(&mut machine, Some(path), &args.common)?,
            None => machine.initialise(0)?,
        }
        Ok(Self { machine, args, work, done: 0, tokens: Vec::new() })
    }

    /// The answer to a line of standard input.
    fn answer(&mut self, line: &str) -> Result<String> {
        let words = |times: &[f64]| times.iter().map(|ms| format!("{ms:.4}")).collect::<Vec<_>>().join(" ");
        match line.split_once(' ').unwrap_or((line, "")) {
            ("go", count) => Ok(words(&self.times(count.parse().with_context(|| format!("`{line}`: how often?"))?)?)),
            ("save", file) => {
                let (time, outputs) = of_inputs(self.run(), Some(&self.args.inputs))?;
                write_tensors(Path::new(file), &outputs)?;
                Ok(words(&[time]))
            }
            ("ceilings", "") => {
                let ceilings = self.machine.ceilings()?;
                Ok(serde_json::json!({
                    "operations": ceilings.operations,
                    "products": ceilings.products,
                    "bandwidth": ceilings.bandwidth,
                    "parameters": parameters(&self.machine),
                    "token": self.tokens.last(),
                })
                .to_string())
            }
            _ => bail!("`{line}` is none of `go N`, `save FILE`, `ceilings`"),
        }
    }

    /// So many runs, each in milliseconds.
    ///
    /// # Errors
    /// Inputs that do not fit the program.
    pub fn times(&mut self, count: u64) -> Result<Vec<f64>> {
        (0..count).map(|_| Ok(self.run()?.0)).collect()
    }

    /// One run: its milliseconds and its outputs.
    fn run(&mut self) -> Result<(f64, Batch)> {
        self.done += 1;
        let inputs = match &self.work {
            Work::Inputs(inputs) => inputs,
            Work::Steps(batch, accumulate) => {
                let start = Instant::now();
                step::step(&mut self.machine, batch, self.done, 0, *accumulate)?;
                return Ok((start.elapsed().as_secs_f64() * 1e3, Batch::new()));
            }
            Work::Texts(prompts) => {
                let (first, all, outputs) = writes(&mut self.machine, self.args.tokens, prompts)?;
                self.tokens.extend((self.args.tokens > 1).then(|| (all - first) / (self.args.tokens - 1) as f64));
                return Ok((all, outputs));
            }
        };
        let specials = Specials { step: self.done, ..Specials::default() };
        let outputs = step::run(&mut self.machine, &self.args.program, inputs, &specials)?;
        // What is done with the outputs is the caller's: here they are copied, gradients of all weights too.
        Ok((self.machine.took.as_secs_f64() * 1e3, outputs))
    }
}

/// What is timed.
enum Work {
    /// A program.
    Inputs(Batch),
    /// Steps of training, each in so many micro-batches.
    Steps(Batch, u64),
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

/// Writes on behind prompts: milliseconds to the first token and to the last, and the sequences.
fn writes(machine: &mut Machine, tokens: usize, prompts: &[Vec<i32>]) -> Result<(f64, f64, Batch)> {
    let mut texts = prompts.to_vec();
    let vocabulary = usize::MAX;
    let given = Batch::new();
    let request = Request { prompts, given, tokens, sampling: Sampling::GREEDY, seed: 0, vocabulary, end: None };
    let start = Instant::now();
    let time = || start.elapsed().as_secs_f64() * 1e3;
    let mut first = None;
    generate(machine, &request, &mut |added| {
        first.get_or_insert_with(time);
        texts.iter_mut().zip(added.tokens).for_each(|(text, token)| text.extend(token));
        Ok(true)
    })?;
    let all = time();
    Ok((first.unwrap_or(all), all, vec![("sequences".into(), sequences(prompts, &texts)?)]))
}

/// Bytes of all parameters.
fn parameters(machine: &Machine) -> u64 {
    let held = machine.plan().slots.iter().filter(|slot| matches!(slot.role, Role::Param(_)));
    held.map(|slot| slot.len * crate::bind::width(slot.dtype) as u64).sum()
}

/// Says how much of the parameters' memory a token behind the first, which takes so many milliseconds, reads in a second, and how
/// much can be read.
fn memory_speed(machine: &mut Machine, prompts: &[Vec<i32>], token: f64) -> Result<()> {
    let gigabytes = parameters(machine) as f64 / 1e9;
    let needed = gigabytes / (token / 1e3);
    let can = machine.read_speed()? / 1e9;
    println!(
        "{token:.3} ms a token behind the first for {} rows; the parameters ({gigabytes:.3} GB) once a token: {needed:.2} GB/s, \
         {:.1} % of the {can:.2} GB/s that can be read",
        prompts.len(),
        100.0 * needed / can
    );
    Ok(())
}
