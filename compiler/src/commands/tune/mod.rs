//! `weft build --tune`: the blocks of a program's products are measured in it, and what is faster is remembered.
//!
//! Every product is varied in the same way at a time, so that a handful of whole programs are compiled, however many products there
//! are; a program's own profile then tells the time of each product in the caches and among the threads that it will have.

mod file;
mod measure;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use weft_compiler::compile::{Failure, Options, Output, Specification, Subject};
use weft_compiler::schedule::product::tuning::{Choice, Tuning, VARIATIONS};
use weft_runtime::cli::{Bench, BenchArgs};
use weft_runtime::plan::{Plan, Recipe};
use weft_runtime::progress;

use super::run::{runs_here, timed_with};
pub use file::{Tuned, path_of};
use measure::{Candidate, Turns};

/// Options of tuning.
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    /// Measure which blocks of its matrix products are fastest in a program, and remember them [default PROGRAM: a step of training,
    /// or `forward`]
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true)]
    pub tune: Option<Option<String>>,
    /// The program's inputs by name (safetensors); of `decode`: prompts [default: made up, of the recipe's sizes]
    #[arg(long, value_name = "FILE", requires = "tune")]
    pub inputs: Option<PathBuf>,
}

/// So often at most, products are varied from what was found before.
const PASSES: usize = 2;
/// Tokens that are written in a measurement at most.
const TOKENS: usize = 64;
/// What another choice must gain.
const GAIN: f64 = 0.02;
/// What it must gain of that when it is measured again.
const CONFIRMED: f64 = 0.01;
/// Products that take less than this share of the time are left alone.
const SHARE: f64 = 0.002;

/// What is tuned.
pub struct Tuner<'a> {
    pub specification: &'a Specification,
    pub subject: &'a Subject,
    pub options: &'a Options,
    pub args: &'a TuneArgs,
}

/// A product that is faster in other blocks.
struct Better {
    choice: Choice,
    /// Time by the choice before, in milliseconds, and by this.
    times: [f64; 2],
}

impl Tuner<'_> {
    /// Measures, and gives what is known then. What changed is said.
    pub fn tune(&self, asked: Option<&str>) -> Result<Tuning, Failure> {
        runs_here(&self.options.cpu)?;
        let known = &*self.options.tuning;
        let mut tuning = known.clone();
        let mut program = String::new();
        for pass in 1..=PASSES {
            let codes = self.codes(asked, &tuning, pass)?;
            program = main_program(&codes[0].plan, asked)?;
            if codes[0].products.iter().flatten().next().is_none() {
                println!("{program}: there is no product in it to tune");
                return Ok(tuning);
            }
            let args = self.bench_args(&program, &codes[0].plan);
            let mut turns = self.turns(&args, codes)?;
            let times = turns.times(&format!("{program}: measuring, pass {pass}"))?;
            let better = times.better(&turns, GAIN);
            if better.is_empty() {
                break;
            }
            tuning.chosen.extend(better.into_iter().map(|(name, better)| (name, better.choice)));
        }
        self.confirmed(&program, known, tuning)
    }

    /// Measures what was found beside what held before, and leaves what is truly better.
    fn confirmed(&self, program: &str, before: &Tuning, mut after: Tuning) -> Result<Tuning, Failure> {
        let changed = |tuning: &Tuning| -> BTreeSet<String> {
            let differs =
                |(name, choice): (&String, &Choice)| (before.chosen.get(name) != Some(choice)).then(|| name.clone());
            tuning.chosen.iter().filter_map(differs).collect()
        };
        if changed(&after).is_empty() {
            println!("{program}: no product is faster otherwise");
            return Ok(after);
        }
        let codes = vec![self.compile(Some(program), before, None)?, self.compile(Some(program), &after, None)?];
        let args = self.bench_args(program, &codes[0].plan);
        let mut turns = self.turns(&args, codes)?;
        let times = turns.times(&format!("{program}: measuring the result"))?;
        let better = times.better(&turns, CONFIRMED);
        for name in changed(&after) {
            if !better.contains_key(&name) {
                match before.chosen.get(&name) {
                    Some(choice) => after.chosen.insert(name, *choice),
                    None => after.chosen.remove(&name),
                };
            }
        }
        if better.is_empty() {
            println!("{program}: no product is faster otherwise");
            return Ok(after);
        }
        let [old, new] = turns.whole()?;
        println!(
            "{program}: {} of {} products are faster otherwise; {old:.2} → {new:.2} ms ({:+.1} %)",
            better.len(),
            turns.products(0).len(),
            100.0 * (new / old - 1.0)
        );
        let earlier = turns.products(0);
        for (name, Better { choice, times: [old, new] }) in &better {
            let change = 100.0 * (new / old - 1.0);
            println!("  {name}: {old:.3} → {new:.3} ms ({change:+.1} %): {}", shown(&earlier[name.as_str()], choice));
        }
        Ok(after)
    }

    /// The program as it is, and with each variation that changes it.
    fn codes(&self, asked: Option<&str>, tuning: &Tuning, pass: usize) -> Result<Vec<Output>, Failure> {
        let bar = progress::bar(0, VARIATIONS.len() as u64 + 1, false);
        bar.set_message(format!("compiling, pass {pass}"));
        let mut codes: Vec<Output> = Vec::new();
        for variation in std::iter::once(None).chain((0..VARIATIONS.len()).map(Some)) {
            let code = self.compile(asked, tuning, variation)?;
            if codes.iter().all(|known| known.products != code.products) {
                codes.push(code);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(codes)
    }

    fn compile(&self, asked: Option<&str>, tuning: &Tuning, variation: Option<usize>) -> Result<Output, Failure> {
        let options = Options { tuning: tuning.trying(variation), ..self.options.clone() };
        let trains = matches!(self.subject, Subject::Recipe(_));
        let wanted = |name: &str| match asked {
            None if trains => Recipe::STEP.contains(&name),
            Some(asked) if Recipe::STEP.contains(&asked) => Recipe::STEP.contains(&name),
            asked => timed_with(asked.unwrap_or("forward"))(name),
        };
        self.specification.compile_only(self.subject, &wanted, &options, &mut |_, _, _| {})
    }

    fn bench_args(&self, program: &str, plan: &Plan) -> BenchArgs {
        // Behind a prompt that is half a text, the other half.
        let time = plan.recipe.as_ref().and_then(|recipe| recipe.size("time"));
        BenchArgs {
            program: program.into(),
            inputs: self.args.inputs.clone().unwrap_or_default(),
            tokens: time.map_or(TOKENS, |time| TOKENS.min(time as usize / 2)).max(1),
            ..BenchArgs::default()
        }
    }

    fn turns<'b>(&self, args: &'b BenchArgs, codes: Vec<Output>) -> Result<Turns<'b>> {
        let candidates = codes.into_iter().map(Candidate::new).collect::<Result<_>>()?;
        Turns::new(candidates, |compiled| match self.args.inputs {
            Some(_) => Bench::new(compiled, args),
            None => Bench::made_up(compiled, args).context("give inputs with `--inputs FILE`"),
        })
    }
}

/// What is timed of a plan's programs.
fn main_program(plan: &Plan, asked: Option<&str>) -> Result<String> {
    let has = |name: &str| plan.programs.iter().any(|program| program.name == name);
    let found = asked.filter(|name| has(name)).or_else(|| Recipe::STEP.into_iter().find(|name| has(name)));
    let first = plan.programs.first().map(|program| program.name.as_str());
    Ok(found.or(first).context("there is no program to tune")?.into())
}

/// What differs between two choices.
fn shown(old: &Choice, new: &Choice) -> String {
    let mut out = Vec::new();
    for (what, old, new) in [("rows", old.rows, new.rows), ("columns", old.columns, new.columns), ("sum", old.sum, new.sum)]
    {
        if old != new {
            out.push(format!("{what} {old} → {new}"));
        }
    }
    if old.in_place != new.in_place {
        out.push("rows packed".into());
    }
    out.join(", ")
}
