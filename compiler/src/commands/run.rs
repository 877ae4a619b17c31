//! `weft run`, `train`, `evaluate` and `generate`: what an executable would do, in this process.

use anyhow::{Context, Result, ensure};
use clap::Args;
use weft_compiler::compile::{Failure, Output, Subject};
use weft_compiler::target::cpu::{Cpu, Loaded};
use weft_runtime::cli;
use weft_runtime::exec::Compiled;

use super::compiled::CompileArgs;
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
    /// Arguments of `weft train`.
    TrainArgs = cli::TrainArgs, json;
    /// Arguments of `weft evaluate`, whose `--json` is that of the result too.
    EvaluateArgs = cli::EvaluateArgs;
    /// Arguments of `weft generate`.
    GenerateArgs = cli::GenerateArgs, json;
}

pub fn run(args: &RunArgs) -> Outcome {
    let function = args.runtime.function.as_deref().unwrap_or("forward");
    let common = &args.runtime.common;
    let shown = Shown { json: args.json, color: common.color };
    in_process(&args.compile, &shown, common.checked, &|name| name == function, |compiled| cli::run(compiled, &args.runtime))
}

pub fn train(args: &TrainArgs) -> Outcome {
    let common = &args.runtime.common;
    let shown = Shown { json: args.json, color: common.color };
    // All programs, as in an executable: the checkpoints of the two are then of one plan.
    in_process(&args.compile, &shown, common.checked, &|_| true, |compiled| cli::train(compiled, &args.runtime))
}

pub fn evaluate(args: &EvaluateArgs) -> Outcome {
    let common = &args.runtime.common;
    let shown = Shown { json: args.runtime.json, color: common.color };
    in_process(&args.compile, &shown, common.checked, &|name| name == "loss", |compiled| {
        cli::evaluate(compiled, &args.runtime)
    })
}

pub fn generate(args: &GenerateArgs) -> Outcome {
    let common = &args.runtime.common;
    let shown = Shown { json: args.json, color: common.color };
    in_process(&args.compile, &shown, common.checked, &|name| name == "forward", |compiled| {
        cli::generate(compiled, &args.runtime)
    })
}

/// Compiles the wanted programs, loads their code, and has a command of the runtime use them.
fn in_process(
    args: &CompileArgs,
    shown: &Shown,
    checked: bool,
    wanted: &dyn Fn(&str) -> bool,
    command: impl FnOnce(Compiled) -> Result<cli::Exit>,
) -> Outcome {
    let specification = args.load(shown)?;
    let subject = args.subject(&specification)?;
    let options = args.options(checked)?;
    runs_here(&options.cpu)?;
    let mut watcher = args.watcher();
    let output =
        specification.compile_only(&subject, wanted, &options, &mut |name, text, time| watcher.stage(name, text, time));
    watcher.finish()?;
    let Output { plan, objects } = explained(output, &subject)?;
    // The code is freed after the command, which ends its machine and its threads before it returns.
    let loaded = Loaded::new(&objects, &plan.kernels)?;
    let kernels = plan.kernels.iter().map(|name| loaded.kernel(name).with_context(|| format!("no kernel `{name}`")));
    let kernels = kernels.collect::<Result<Vec<_>>>()?;
    Ok(command(Compiled { plan, kernels })?.code())
}

/// A model without a recipe has no programs of training.
fn explained(output: Result<Output, Failure>, subject: &Subject) -> Result<Output, Failure> {
    output.map_err(|failure| match (failure, subject) {
        (Failure::Other(error), Subject::Model(name, _)) => Failure::Other(error.context(format!("in the model `{name}`"))),
        (failure, _) => failure,
    })
}

/// Code for another processor can be built, but not run here.
fn runs_here(cpu: &Cpu) -> Result<()> {
    let host = Cpu::host();
    let has = host.features();
    let lacks: Vec<String> = cpu.features().into_iter().filter(|feature| !has.contains(feature)).collect();
    ensure!(cpu.triple == host.triple, "code for {} cannot run here; `weft build` can make it", cpu.triple);
    ensure!(lacks.is_empty(), "this processor lacks what code for {} needs: {}", cpu.name, lacks.join(", "));
    Ok(())
}
