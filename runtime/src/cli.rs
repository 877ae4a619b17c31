//! The command line of an executable.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use crate::commands::{
    Bench, BenchArgs, Common, EvaluateArgs, Exit, GenerateArgs, RunArgs, TrainArgs, bench, evaluate, generate, gradients,
    info, run, train,
};
use crate::console;
use crate::exec::Compiled;

/// What `--help` shows at the end of each command: an example of a model in an executable `model`.
const TRAIN_EXAMPLE: &str = "\
Example: train, go on after Ctrl-C, and look at the curve
  model train --out runs/first
  model train --out runs/first --resume
  xdg-open runs/first/loss.svg

Ctrl-C finishes the step and saves; a second Ctrl-C stops at once.";

const EVALUATE_EXAMPLE: &str = "\
Example: the loss on the held-out end of the text
  model evaluate --weights runs/first/weights.safetensors";

const GENERATE_EXAMPLE: &str = "\
Example: 300 tokens after a prompt, a little on the safe side
  model generate --weights runs/first/weights.safetensors --prompt 'ROMEO:' --tokens 300 --temperature 0.8 --top-k 40";

const RUN_EXAMPLE: &str = "\
Example: logits for given tokens (a tensor named as the function's argument)
  model run --weights weights.safetensors --inputs tokens.safetensors --output logits.safetensors

`info` lists the functions with their arguments and results.";

const BENCH_EXAMPLE: &str = "\
Example: where a training step spends its time
  model bench train_step --inputs batch.safetensors --profile";

const INFO_EXAMPLE: &str = "\
Example:
  model info";

/// A model compiled by Weft.
#[derive(Parser, Debug)]
#[command(
    version = concat!("compiled by weft ", env!("CARGO_PKG_VERSION")),
    about = "A model compiled by Weft: trains, evaluates, generates, computes",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Train the model; writes checkpoint, weights, metrics and a loss curve
    #[command(after_help = TRAIN_EXAMPLE)]
    Train(TrainArgs),
    /// Print the loss on held-out text or on given batches
    #[command(after_help = EVALUATE_EXAMPLE)]
    Evaluate(EvaluateArgs),
    /// Print text that follows a prompt
    #[command(after_help = GENERATE_EXAMPLE)]
    Generate(GenerateArgs),
    /// Compute a function of the model on given tensors
    #[command(after_help = RUN_EXAMPLE)]
    Run(RunArgs),
    /// Measure how long a program takes, kernel by kernel
    #[command(after_help = BENCH_EXAMPLE)]
    Bench(BenchArgs),
    /// Show parameters, functions and the recipe
    #[command(after_help = INFO_EXAMPLE)]
    Info,
}

impl Command {
    fn common(&self) -> Option<&Common> {
        match self {
            Command::Train(args) => Some(&args.common),
            Command::Evaluate(args) => Some(&args.common),
            Command::Generate(args) => Some(&args.common),
            Command::Run(args) => Some(&args.common),
            Command::Bench(args) => Some(&args.common),
            Command::Info => None,
        }
    }
}

/// Runs an executable's command line (the first argument is the executable) and gives what the process returns: 0 done,
/// 1 failed, 2 asked wrongly, 130 interrupted. Failures are printed.
pub fn main(compiled: Compiled, args: impl Iterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.collect();
    let parsed = command(&args)
        .display_name(&compiled.plan.name)
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help that cannot be printed has no reader.
            let _ = error.print();
            return error.exit_code();
        }
    };
    if let Some(common) = command.common() {
        console::set_color(common.color);
    }
    let result = match &command {
        Command::Train(args) => train(compiled, args),
        Command::Evaluate(args) => evaluate(compiled, args),
        Command::Generate(args) => generate(compiled, args),
        Command::Run(args) => run(compiled, args),
        Command::Bench(args) => bench(compiled, args),
        Command::Info => info(&compiled.plan),
    };
    match result {
        Ok(exit) => exit.code(),
        Err(error) => {
            console::error(&error);
            1
        }
    }
}

/// The commands, their examples written with the executable's own name.
fn command(args: &[OsString]) -> clap::Command {
    let path = args.first().map(Path::new).unwrap_or(Path::new("model"));
    // As the user typed it, so that the example can be copied.
    let typed = path.display().to_string();
    Cli::command().mut_subcommands(|sub| {
        let Some(help) = sub.get_after_help() else {
            return sub;
        };
        let help = help.to_string().replace("  model ", &format!("  {typed} "));
        sub.after_help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        let Command::Train(args) = parse("m train --data a.txt b.txt --steps 5 --threads 2 -q --color never").unwrap()
        else {
            panic!()
        };
        assert_eq!((args.data.len(), args.steps, args.common.threads, args.common.quiet), (2, Some(5), Some(2), true));
        let Command::Run(args) = parse("m run pooled --weights w --inputs i --output o").unwrap() else { panic!() };
        assert_eq!(args.function.as_deref(), Some("pooled"));
    }

    #[test]
    fn asking_wrongly_is_2_and_help_is_0() {
        let code = |line: &str| parse(line).unwrap_err().exit_code();
        for line in [
            "m",
            "m trian",
            "m train --stps 5",
            "m generate --greedy --top-k 3",
            "m train --threads 0",
            "m train --weights w --resume",
            "m train --steps -5",
        ] {
            assert_eq!(code(line), 2, "{line}");
        }
        assert_eq!((code("m --help"), code("m train --help"), code("m --version")), (0, 0, 0));
    }

    #[test]
    fn negative_counts_are_told_what_they_should_be() {
        for line in ["m generate --tokens -5", "m generate --top-k -5", "m train --steps -5", "m run --draw -5"] {
            let said = parse(line).unwrap_err().to_string();
            assert!(said.contains("a whole number is needed, 0 or more") && !said.contains("-- -5"), "{said}");
        }
    }

    #[test]
    fn every_help_has_an_example() {
        for command in Cli::command().get_subcommands_mut().filter(|command| command.get_name() != "help") {
            assert!(command.render_long_help().to_string().contains("Example"), "{}", command.get_name());
        }
    }
}
