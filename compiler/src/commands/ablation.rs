//! What each set of rewrite rules is worth: a program with all of them and without one, in turns.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use weft_compiler::compile::{Failure, Options, Output, Specification, Subject};
use weft_compiler::rewrite;
use weft_compiler::survey;
use weft_runtime::cli::{Bench, BenchArgs, Common};
use weft_runtime::exec::Compiled;

use super::Outcome;
use super::compiled::loaded;
use super::run::{GRADIENTS, timed_with};

/// A turn takes at least so many milliseconds.
const TURN: f64 = 50.0;
/// So often two programs get memory anew: which pages they have is worth a tenth of their time.
const MEMORIES: u16 = 4;

/// Options of a measurement.
#[derive(Args, Clone, Debug)]
pub struct MeasureArgs {
    /// Time a program with all sets of rewrite rules and without each, in turns; with --json a line for each set
    #[arg(long, requires = "rewrites", requires = "inputs", requires = "program")]
    pub measure: bool,
    /// Its inputs by name (safetensors); of `decode`: prompts, behind which 128 tokens are written
    #[arg(long, value_name = "FILE", requires = "measure")]
    pub inputs: Option<PathBuf>,
    /// The parameters (safetensors) [default: drawn]
    #[arg(long, value_name = "FILE", requires = "measure")]
    pub weights: Option<PathBuf>,
    /// How often two programs take turns
    #[arg(long, value_name = "N", requires = "measure", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pairs: u16,
    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N", requires = "measure", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Prints how the time of a program changes without each set.
pub fn measure(
    specification: &Specification,
    subject: &Subject,
    options: Options,
    program: &str,
    args: &MeasureArgs,
    json: bool,
) -> Outcome {
    let options = Options { gradients: program == GRADIENTS, ..options };
    let wanted = timed_with(program);
    let compile = |without: Option<usize>| -> Result<Output, Failure> {
        specification.compile_only(subject, &wanted, &Options { without, ..options.clone() }, &mut |_, _, _| {})
    };
    let bench = BenchArgs {
        program: program.into(),
        inputs: args.inputs.clone().unwrap_or_default(),
        weights: args.weights.clone(),
        tokens: 128,
        common: Common { threads: args.threads, ..Common::default() },
        ..BenchArgs::default()
    };
    let fired = fired(specification, subject, &wanted, &options)?;
    let whole = compile(None)?;
    let same = |other: &Output| other.objects == whole.objects && format!("{:?}", other.plan) == format!("{:?}", whole.plan);
    let say = |name: &str, rules: &[&str], times: Option<Times>| match json {
        true => println!("{}", times.unwrap_or_default().json(name, rules)),
        false => println!("{}", line(name, rules, times)),
    };
    if !json {
        println!("{program}: without");
    }
    // The program beside itself tells what the others' changes are to be read against.
    say("nothing", &[], Some(Times::of([compile(None)?, compile(None)?], &bench, args.pairs)?));
    for (number, name) in rewrite::sets().enumerate() {
        let rules: Vec<_> = rewrite::rules_of(number).filter(|rule| fired.contains(rule)).collect();
        let without = compile(Some(number))?;
        let times = (!same(&without)).then(|| Times::of([compile(None)?, without], &bench, args.pairs)).transpose()?;
        say(name, &rules, times);
    }
    Ok(0)
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

/// Times of two programs in turns; none of two that are the same.
#[derive(Default)]
struct Times {
    /// Milliseconds of a run of the first, the least first.
    first: Vec<f64>,
    /// Of each turn, the second's ÷ the first's, the least first.
    ratios: Vec<f64>,
}

impl Times {
    /// Of two programs that begin anew, so that they do the same; who begins a turn changes.
    fn of(outputs: [Output; 2], args: &BenchArgs, pairs: u16) -> Result<Self, Failure> {
        let [with, without] = outputs;
        let ((with, _code), (without, _other)) = (loaded(with)?, loaded(without)?);
        let mut times = Self::default();
        let memories = pairs.min(MEMORIES);
        for memory in 0..memories {
            let begin = |of: &Compiled| -> Result<Bench> {
                let mut bench = Bench::new(Compiled { plan: of.plan.clone(), kernels: of.kernels.clone() }, args)?;
                bench.times(1)?;
                Ok(bench)
            };
            let (mut with, mut without) = (begin(&with)?, begin(&without)?);
            let runs = (TURN / with.times(1)?[0]).ceil() as u64;
            without.times(1)?;
            let turn = |bench: &mut Bench| -> Result<f64> { Ok(bench.times(runs)?.iter().sum::<f64>() / runs as f64) };
            for pair in pairs * memory / memories..pairs * (memory + 1) / memories {
                let (a, b) = if pair % 2 == 0 {
                    let a = turn(&mut with)?;
                    (a, turn(&mut without)?)
                } else {
                    let b = turn(&mut without)?;
                    (turn(&mut with)?, b)
                };
                times.first.push(a);
                times.ratios.push(b / a);
            }
        }
        times.first.sort_by(f64::total_cmp);
        times.ratios.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// A set's line for programs.
    fn json(&self, name: &str, rules: &[&str]) -> serde_json::Value {
        json!({"without": name, "rules": rules, "ms": self.first, "ratios": self.ratios})
    }
}

/// A set's line for people: the median of the ratios, between which ratios it lies with 95 % (of few: all), and the time.
fn line(name: &str, rules: &[&str], times: Option<Times>) -> String {
    let rules = match (name, rules) {
        ("nothing", _) => "how far two equal programs lie apart".into(),
        (_, []) => "no rule fires".into(),
        (_, rules) => rules.join(", "),
    };
    let Some(Times { first, ratios }) = times else { return format!("{name:<13} the same code: {rules}") };
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    let (outside, last) = (outside(ratios.len()), ratios.len() - 1);
    let (low, high) = (percent(ratios[outside]), percent(ratios[last - outside]));
    format!("{name:<13} {:+.1} % ({low:+.1} … {high:+.1}) of {:.2} ms: {rules}", percent(median(&ratios)), median(&first))
}

/// The middle of ordered values.
fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// How many of so many ordered values may be left out at either end so that the median lies between the others with 95 %.
fn outside(count: usize) -> usize {
    let (mut below, mut rank, mut exactly) = (0.0, 0, 0.5f64.powi(count as i32));
    while rank < count / 2 && below + exactly <= 0.025 {
        below += exactly;
        exactly *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    rank.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_the_others() {
        // Tables of the sign test: 20 values leave 5 out on either side, 40 leave 13.
        assert_eq!([1, 2, 5, 6, 9, 20, 24, 40].map(outside), [0, 0, 0, 0, 1, 5, 6, 13]);
        assert_eq!([median(&[2.0]), median(&[1.0, 4.0]), median(&[1.0, 2.0, 9.0])], [2.0, 2.5, 2.0]);
        let times = Times { first: vec![2.0, 3.0], ratios: vec![0.99, 1.05] };
        let said = times.json("units", &["a"]).to_string();
        assert_eq!(said, r#"{"ms":[2.0,3.0],"ratios":[0.99,1.05],"rules":["a"],"without":"units"}"#);
        assert_eq!(line("units", &["a", "b"], Some(times)), "units         +2.0 % (-1.0 … +5.0) of 2.50 ms: a, b");
        assert_eq!(line("units", &[], None), "units         the same code: no rule fires");
    }
}
