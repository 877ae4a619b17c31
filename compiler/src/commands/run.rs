//! `weft run`, `train`, `evaluate`, `generate` and `bench`: what an executable would do, in this process.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use weft_compiler::compile::{Options, Subject};
use weft_compiler::target::cpu::Cpu;
use weft_runtime::cli;
use weft_runtime::exec::Compiled;
use weft_runtime::plan::Program;

use super::compiled::{CompileArgs, loaded};
use super::{Outcome, Shown};

pub const RUN_EXAMPLE: &str = "\
Example: logits for given tokens (a tensor named as the function's argument), then another function
  weft run gpt.weft --weights weights.safetensors --inputs tokens.safetensors --output logits.safetensors
  weft run bert.weft pooled --weights weights.safetensors --inputs tokens.safetensors

`weft info` lists the functions with their arguments and results.";

pub const TRAIN_EXAMPLE: &str = "\
Example: train, go on after Ctrl-C, and look at the curve
  weft train shakespeare.weft --out runs/first
  weft train shakespeare.weft --out runs/first --resume
  xdg-open runs/first/loss.svg

Ctrl-C finishes the step and saves; a second Ctrl-C stops at once.";

pub const EVALUATE_EXAMPLE: &str = "\
Example: the loss on the held-out end of the text
  weft evaluate shakespeare.weft --weights runs/first/weights.safetensors";

pub const GENERATE_EXAMPLE: &str = "\
Example: 300 tokens after a prompt, a little on the safe side
  weft generate shakespeare.weft --prompt 'ROMEO:' --tokens 300 --temperature 0.8 --top-k 40";

pub const BENCH_EXAMPLE: &str = "\
Example: where a training step spends its time
  weft bench gpt.weft train_step --inputs batch.safetensors --profile";

/// Declares the arguments of a command: those of compiling, then those of the runtime's command.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident = $runtime:ty $(, $json:ident)?;)*) => {$(
        $(#[$doc])*
        // The runtime's arguments are a group of the same name.
        #[derive(Args, Clone, Debug)]
        #[group(skip)]
        pub struct $name {
            #[command(flatten)]
            pub compile: CompileArgs,
            #[command(flatten)]
            pub runtime: $runtime,
            $(
                /// Faults of the specification as JSON, one a line, on standard output
                #[arg(long)]
                pub $json: bool,
            )?
        }
    )*};
}

arguments! {
    /// Arguments of `weft run`.
    RunArgs = cli::RunArgs, json;
    /// Arguments of `weft evaluate`, whose `--json` is that of the result too.
    EvaluateArgs = cli::EvaluateArgs;
    /// Arguments of `weft generate`.
    GenerateArgs = cli::GenerateArgs, json;
    /// Arguments of `weft bench`.
    BenchArgs = cli::BenchArgs, json;
}

/// Arguments of `weft train`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct TrainArgs {
    #[command(flatten)]
    pub compile: CompileArgs,
    #[command(flatten)]
    pub runtime: cli::TrainArgs,
    /// Write the loss and the gradients of the first batch into a file (safetensors), and do not train
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "resume", "steps"])]
    pub gradients: Option<PathBuf>,
    /// Faults of the specification as JSON, one a line, on standard output
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &RunArgs) -> Outcome {
    let function = args.runtime.function.as_deref().unwrap_or("forward");
    let common = &args.runtime.common;
    let with_options = Program::with_options(function);
    let wanted = |name: &str| name == function || name == with_options;
    let what = What { of_model: true, ..What::of(&args.compile, args.json, common, &wanted) };
    what.in_process(|compiled| cli::run(compiled, &args.runtime))
}

pub fn train(args: &TrainArgs) -> Outcome {
    let common = &args.runtime.common;
    if let Some(to) = &args.gradients {
        let wanted = |name: &str| name == GRADIENTS;
        let what = What { gradients: true, ..What::of(&args.compile, args.json, common, &wanted) };
        return what.in_process(|compiled| cli::gradients(compiled, &args.runtime, to));
    }
    // All programs, as in an executable: the checkpoints of the two are then of one plan.
    What::of(&args.compile, args.json, common, &|_| true).in_process(|compiled| cli::train(compiled, &args.runtime))
}

pub fn evaluate(args: &EvaluateArgs) -> Outcome {
    let runtime = &args.runtime;
    let wanted = |name: &str| ["loss", "score"].contains(&name);
    What::of(&args.compile, runtime.json, &runtime.common, &wanted).in_process(|compiled| cli::evaluate(compiled, runtime))
}

pub fn generate(args: &GenerateArgs) -> Outcome {
    let common = &args.runtime.common;
    // Either what keeps places, or the whole text again and again.
    let rows = args.runtime.prompt.len() > 1 || args.runtime.ids.is_some();
    let wanted = |name: &str| match name {
        "forward" | "prefill" | "decode" => true,
        "prefill_rows" | "decode_rows" => rows,
        _ => false,
    };
    let what = What { of_model: true, ..What::of(&args.compile, args.json, common, &wanted) };
    what.in_process(|compiled| cli::generate(compiled, &args.runtime))
}

pub fn bench(args: &BenchArgs) -> Outcome {
    let common = &args.runtime.common;
    let program = args.runtime.program.as_str();
    let wanted = timed_with(program);
    let what =
        What { of_model: true, gradients: program == GRADIENTS, ..What::of(&args.compile, args.json, common, &wanted) };
    what.in_process(|compiled| cli::bench(compiled, &args.runtime))
}

/// A program that is added where it is asked for.
pub const GRADIENTS: &str = "gradients";

/// The programs that run where one is timed: texts begin with their prompts, and go on one by one or together.
pub fn timed_with(program: &str) -> impl Fn(&str) -> bool {
    let texts = program == "decode";
    move |name| name == program || texts && matches!(name, "prefill" | "prefill_rows" | "decode_rows")
}

/// What is compiled for a command, and how its messages are shown.
struct What<'a> {
    compile: &'a CompileArgs,
    json: bool,
    common: &'a cli::Common,
    /// Which programs.
    wanted: &'a dyn Fn(&str) -> bool,
    /// With the program `gradients`.
    gradients: bool,
    /// A model is enough; else a recipe is needed.
    of_model: bool,
}

impl<'a> What<'a> {
    fn of(compile: &'a CompileArgs, json: bool, common: &'a cli::Common, wanted: &'a dyn Fn(&str) -> bool) -> Self {
        Self { compile, json, common, wanted, gradients: false, of_model: false }
    }

    /// Compiles the wanted programs, loads their code, and has a command of the runtime use them.
    fn in_process(&self, command: impl FnOnce(Compiled) -> Result<cli::Exit>) -> Outcome {
        let specification = self.compile.load(&Shown { json: self.json, color: self.common.color })?;
        let subject = self.compile.subject(&specification)?;
        // Functions are those of a model or of a recipe's model.
        has_programs(&subject, !self.of_model)?;
        let options = Options { gradients: self.gradients, ..self.compile.options(self.common.checked)? };
        runs_here(&options.cpu)?;
        let mut watcher = self.compile.watcher();
        let output = specification.compile_only(&subject, self.wanted, &options, &mut |name, text, time| {
            watcher.stage(name, text, time);
        });
        watcher.finish()?;
        // The code is freed after the command, which ends its machine and its threads before it returns.
        let (compiled, _code) = loaded(output?)?;
        Ok(command(compiled)?.code())
    }
}

/// Only a recipe has programs of training.
fn has_programs(subject: &Subject, needs_recipe: bool) -> Result<()> {
    match subject {
        Subject::Model(name, _) if needs_recipe => {
            bail!("`{name}` is a model; this needs a recipe: a `train` item in the specification")
        }
        Subject::Model(..) | Subject::Recipe(_) => Ok(()),
    }
}

/// Code for another processor can be built, but not run here.
pub fn runs_here(cpu: &Cpu) -> Result<()> {
    let host = Cpu::host();
    let has = host.features();
    let lacks: Vec<String> = cpu.features().into_iter().filter(|feature| !has.contains(feature)).collect();
    ensure!(cpu.triple == host.triple, "code for {} cannot run here, where it is {}", cpu.triple, host.triple);
    ensure!(lacks.is_empty(), "this processor lacks what code for {} needs: {}", cpu.name, lacks.join(", "));
    Ok(())
}
