//! `weft test`: runs the `test` items of specifications.

mod evaluate;
mod found;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};
use weft_compiler::compile::{self, Failure, Options, Specification};
use weft_compiler::lower;
use weft_compiler::target::cpu::Cpu;
use weft_dsl::ast;
use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::render::to_json;
use weft_runtime::console::Color;

use super::{FAILED, Outcome, Shown, report};

pub const EXAMPLE: &str = "\
Example: all tests of two specifications; those about masks; the same by the interpreter, in 64-bit floats
  weft test attention.weft losses.weft
  weft test attention.weft --only mask
  weft test attention.weft --only mask --interpret

A test is an item of a specification:
  test \"a rotation keeps lengths\" {
    x = normal[time = 5, key = 8]()
    assert near(sum[key](x * x), sum[key](rotate(x) * rotate(x)), 1e-6)
  }";

#[derive(Args, Clone, Debug)]
pub struct TestArgs {
    /// The specifications
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<PathBuf>,
    /// Only tests with this text in their names
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Interpret the graphs in 64-bit floats instead of compiling them
    #[arg(long)]
    pub interpret: bool,
    /// Draw parameters and random numbers from this seed
    #[arg(long, value_name = "SEED", default_value_t = 0, hide_default_value = true)]
    pub seed: u64,
    /// Compile as written: neither rewrite nor fuse
    #[arg(long, conflicts_with = "interpret")]
    pub no_optimise: bool,
    /// Check every access to memory
    #[arg(long, conflicts_with = "interpret")]
    pub checked: bool,
    /// Results and faults as JSON, one test a line, on standard output
    #[arg(long)]
    pub json: bool,
    /// Colours in what is printed: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true, value_name = "WHEN")]
    pub color: Color,
}

/// How many tests came to what.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    left_out: u64,
}

pub fn test(args: &TestArgs) -> Outcome {
    let (start, mut tally) = (Instant::now(), Tally::default());
    let mut code = 0;
    for spec in &args.specs {
        match compile::load(spec) {
            Ok(specification) => args.all_of(&specification, &mut tally)?,
            Err(failure) => {
                report(&failure, &args.shown());
                code = FAILED;
            }
        }
    }
    let Tally { passed, failed, left_out } = tally;
    if args.json {
        println!("{}", json!({ "passed": passed, "failed": failed, "left_out": left_out }));
    } else {
        let rest = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
        println!("{passed} passed, {failed} failed{rest} ({:.2} s)", start.elapsed().as_secs_f64());
    }
    if let (Some(text), 0, 0) = (&args.only, passed + failed, code) {
        return Err(anyhow!("no test has `{text}` in its name").into());
    }
    Ok(if failed > 0 { FAILED } else { code })
}

impl TestArgs {
    /// How messages are shown.
    pub fn shown(&self) -> Shown {
        Shown { json: self.json, color: self.color }
    }

    fn all_of(&self, specification: &Specification, tally: &mut Tally) -> Result<(), Failure> {
        let options = Options {
            optimise: !self.no_optimise,
            checked: self.checked,
            validate: self.checked || cfg!(debug_assertions),
            ..Options::of(Cpu::host())
        };
        for test in specification.program.tests() {
            if self.only.as_ref().is_some_and(|text| !test.name.node.contains(text)) {
                tally.left_out += 1;
                continue;
            }
            let start = Instant::now();
            let outcome = self.one(specification, test, &options);
            let passed = matches!(&outcome, Ok(faults) if faults.is_empty());
            *(if passed { &mut tally.passed } else { &mut tally.failed }) += 1;
            self.say(specification, test, outcome, start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// What a test finds wrong.
    fn one(&self, specification: &Specification, test: &ast::Test, options: &Options) -> Result<Vec<Diagnostic>, Failure> {
        let program = &specification.program;
        let lowered = lower::test(program, test, specification);
        let mut lowered = lowered.map_err(|faults| Failure::Faults(faults, program.sources().clone()))?;
        let claims = std::mem::take(&mut lowered.claims);
        let found = match self.interpret {
            true => evaluate::interpreted(&lowered, self.seed)?,
            false => evaluate::compiled(lowered, options, self.seed)?,
        };
        Ok(found::faults(&claims, &found)?)
    }

    /// Says what a test came to.
    fn say(&self, specification: &Specification, test: &ast::Test, outcome: Result<Vec<Diagnostic>, Failure>, seconds: f64) {
        let (sources, name) = (specification.program.sources(), &test.name.node);
        let line = |sign: &str| println!("{sign}  {name}");
        let failure = match outcome {
            Ok(faults) if faults.is_empty() && !self.json => return line("ok    "),
            Ok(faults) => Failure::Faults(faults, sources.clone()),
            Err(failure) => failure,
        };
        if self.json {
            let faults: Vec<Value> = match &failure {
                Failure::Faults(faults, sources) => faults.iter().map(|fault| to_json(fault, sources)).collect(),
                Failure::Other(error) => vec![json!({ "severity": "error", "message": format!("{error:#}") })],
            };
            let file = sources.get(test.name.span.file).map(|source| source.path.as_str());
            let ok = faults.is_empty();
            println!("{}", json!({ "file": file, "test": name, "ok": ok, "seconds": seconds, "faults": faults }));
            return;
        }
        line("FAILED");
        report(&failure, &self.shown());
    }
}
