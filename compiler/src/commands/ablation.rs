//! What each set of rewrite rules is worth: a program with all of them and without one, in turns.

use std::path::Path;

use anyhow::Result;
use weft_compiler::compile::{Failure, Options, Output, Specification, Subject};
use weft_compiler::rewrite;
use weft_compiler::survey;
use weft_compiler::target::cpu::Cpu;
use weft_runtime::cli::{Bench, BenchArgs};

use super::Outcome;
use super::compiled::loaded;
use super::run::{GRADIENTS, timed_with};

/// How often two programs take turns …
const PAIRS: usize = 20;
/// … so that the median of the ratios lies between the ratios of this rank from below and from above with 95 %.
const RANK: usize = 6;
/// A turn takes at least so many milliseconds.
const TURN: f64 = 50.0;

/// Prints how the time of a program changes without each set.
pub fn measure(specification: &Specification, subject: &Subject, program: &str, inputs: &Path) -> Outcome {
    let options = Options { gradients: program == GRADIENTS, ..Options::of(Cpu::host()) };
    let wanted = timed_with(program);
    let compile = |without: Option<usize>| -> Result<Output, Failure> {
        specification.compile_only(subject, &wanted, &Options { without, ..options.clone() }, &mut |_, _, _| {})
    };
    let args = BenchArgs { program: program.into(), inputs: inputs.into(), tokens: 128, ..BenchArgs::default() };
    let fired = fired(specification, subject, &wanted, &options)?;
    let whole = compile(None)?;
    let same = |other: &Output| other.objects == whole.objects && format!("{:?}", other.plan) == format!("{:?}", whole.plan);
    println!("{program}: without");
    // The program beside itself tells what the others' changes are to be read against.
    compare("nothing", "how far two equal programs lie apart", [compile(None)?, compile(None)?], &args)?;
    for (number, name) in rewrite::sets().enumerate() {
        let rules = rewrite::rules_of(number).filter(|rule| fired.contains(rule)).collect::<Vec<_>>().join(", ");
        let rules = if rules.is_empty() { "no rule fires".into() } else { rules };
        let without = compile(Some(number))?;
        match same(&without) {
            true => println!("{name:<13} the same code: {rules}"),
            false => compare(name, &rules, [compile(None)?, without], &args)?,
        }
    }
    Ok(0)
}

/// Prints how the time of the second program differs from that of the first. Both begin anew, so that they do the same.
fn compare(name: &str, rules: &str, outputs: [Output; 2], args: &BenchArgs) -> Result<()> {
    let [with, without] = outputs;
    let ((with, _code), (without, _other)) = (loaded(with)?, loaded(without)?);
    let (mut with, mut without) = (Bench::new(with, args)?, Bench::new(without, args)?);
    let first = with.times(2)?[1];
    without.times(2)?;
    let ratios = ratios(&mut with, &mut without, (TURN / first).ceil() as u64)?;
    let percent = |rank: usize| 100.0 * (ratios[rank] - 1.0);
    let median = (percent(PAIRS / 2 - 1) + percent(PAIRS / 2)) / 2.0;
    let (low, high) = (percent(RANK - 1), percent(PAIRS - RANK));
    println!("{name:<13} {median:+.1} % ({low:+.1} … {high:+.1}) of {first:.2} ms: {rules}");
    Ok(())
}

/// The rules that make something new in the wanted programs.
fn fired(
    specification: &Specification,
    subject: &Subject,
    wanted: &dyn Fn(&str) -> bool,
    options: &Options,
) -> Result<Vec<&'static str>, Failure> {
    let reports = survey::rewrites(specification, subject, wanted, options)?;
    let regions = reports.into_iter().flat_map(|(_, report)| report.regions);
    Ok(regions.flat_map(|region| region.fired).map(|(name, _, _)| name).collect())
}

/// The ratios of the times of two programs in turns, the least first; who begins changes.
fn ratios(with: &mut Bench, without: &mut Bench, runs: u64) -> Result<Vec<f64>> {
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let turn = |bench: &mut Bench| Ok(bench.times(runs)?.iter().sum::<f64>());
        let ratio = if pair % 2 == 0 {
            let before: Result<f64> = turn(with);
            turn(without)? / before?
        } else {
            let before: Result<f64> = turn(without);
            before? / turn(with)?
        };
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios)
}
