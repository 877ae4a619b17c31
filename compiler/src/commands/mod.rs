//! The commands of `weft`, one file each.

mod shown;

mod compiled;

mod ablation;
mod build;

mod check;

mod explain;

mod export;

mod fmt;

mod graph;

mod import;

mod info;

mod new;

mod run;

mod test;

mod tune;

use std::ffi::OsString;
use std::panic::PanicHookInfo;

use clap::{Parser, Subcommand};
use weft_compiler::compile::Failure;
use weft_runtime::console;

use shown::{Shown, report};

/// What a command comes to: what the process returns, or why nothing came of it.
type Outcome = Result<i32, Failure>;

/// What the process returns where the specification or something else is at fault.
const FAILED: i32 = 1;

const EXAMPLE: &str = "\
Example: from nothing to a model that writes
  weft new hello
  weft train hello/hello.weft
  weft generate hello/hello.weft --tokens 100
  weft build hello/hello.weft -o hello.exe";

/// Compiles models: from a specification to an executable that trains, evaluates and generates.
#[derive(Parser, Debug)]
#[command(name = "weft", version, after_help = EXAMPLE, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Begin a project: a folder with a small specification that trains in seconds
    #[command(after_help = new::EXAMPLE)]
    New(new::NewArgs),
    /// Say what is wrong with specifications
    #[command(after_help = check::EXAMPLE)]
    Check(check::CheckArgs),
    /// Put specifications into the one layout
    #[command(after_help = fmt::EXAMPLE)]
    Fmt(fmt::FmtArgs),
    /// Compute a function of a model on given tensors
    #[command(after_help = run::RUN_EXAMPLE)]
    Run(run::RunArgs),
    /// Train a model; writes checkpoint, weights, metrics and a loss curve
    #[command(after_help = run::TRAIN_EXAMPLE)]
    Train(run::TrainArgs),
    /// Print the loss on held-out text or on given batches
    #[command(after_help = run::EVALUATE_EXAMPLE)]
    Evaluate(run::EvaluateArgs),
    /// Print text that follows a prompt
    #[command(after_help = run::GENERATE_EXAMPLE)]
    Generate(run::GenerateArgs),
    /// Say how long a program takes
    #[command(after_help = run::BENCH_EXAMPLE)]
    Bench(run::BenchArgs),
    /// Run the tests of specifications
    #[command(after_help = test::EXAMPLE)]
    Test(test::TestArgs),
    /// Make an executable that stands alone
    #[command(after_help = build::EXAMPLE)]
    Build(build::BuildArgs),
    /// Make a specification of a model that others publish
    #[command(after_help = import::EXAMPLE)]
    Import(import::ImportArgs),
    /// Write a model as others read it: config.json and weights
    #[command(after_help = export::EXAMPLE)]
    Export(export::ExportArgs),
    /// Show the kernels that a specification becomes
    #[command(after_help = graph::EXAMPLE)]
    Graph(graph::GraphArgs),
    /// Show a specification's parameters, functions and recipe
    #[command(after_help = info::EXAMPLE)]
    Info(info::InfoArgs),
    /// Explain a code of an error
    #[command(after_help = explain::EXAMPLE)]
    Explain(explain::ExplainArgs),
}

/// Runs a command line (the first argument is the command itself) and gives what the process returns: 0 done, 1 failed, 2 asked
/// wrongly, 130 interrupted. Failures are printed.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    let command = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help that cannot be printed has no reader.
            let _ = error.print();
            return error.exit_code();
        }
    };
    let shown = command.shown();
    shown.choose_colors();
    let outcome = match &command {
        Command::New(args) => new::new(args),
        Command::Check(args) => check::check(args),
        Command::Fmt(args) => fmt::fmt(args),
        Command::Run(args) => run::run(args),
        Command::Train(args) => run::train(args),
        Command::Evaluate(args) => run::evaluate(args),
        Command::Generate(args) => run::generate(args),
        Command::Bench(args) => run::bench(args),
        Command::Test(args) => test::test(args),
        Command::Build(args) => build::build(args),
        Command::Import(args) => import::import(args),
        Command::Export(args) => export::export(args),
        Command::Graph(args) => graph::graph(args),
        Command::Info(args) => info::info(args),
        Command::Explain(args) => explain::explain(args),
    };
    outcome.unwrap_or_else(|failure| {
        report(&failure, &shown);
        FAILED
    })
}

impl Command {
    /// How the command's messages are shown.
    fn shown(&self) -> Shown {
        match self {
            Command::New(args) => args.shown.clone(),
            Command::Check(args) => args.shown.clone(),
            Command::Fmt(args) => args.shown.clone(),
            Command::Run(args) => Shown { json: args.json, color: args.runtime.common.color },
            Command::Train(args) => Shown { json: args.json, color: args.runtime.common.color },
            Command::Evaluate(args) => Shown { json: args.runtime.json, color: args.runtime.common.color },
            Command::Generate(args) => Shown { json: args.json, color: args.runtime.common.color },
            Command::Bench(args) => Shown { json: args.json, color: args.runtime.common.color },
            Command::Test(args) => args.shown(),
            Command::Build(args) => args.shown.clone(),
            Command::Import(args) => args.shown.clone(),
            Command::Export(args) => args.shown.clone(),
            Command::Graph(args) => args.shown.clone(),
            Command::Info(args) => args.shown.clone(),
            Command::Explain(args) => args.shown.clone(),
        }
    }
}

/// Says of a panic that it is ours.
pub fn report_fault(panic: &PanicHookInfo) {
    if let Some(why) = console::excused(panic) {
        console::error(&anyhow::anyhow!(why));
        std::process::exit(FAILED);
    }
    let what = panic.payload_as_str().unwrap_or("no reason is given");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    eprintln!(
        "error: this is a fault of weft {}, not of yours: {what}{place}\n\
         please report it with the specification and the command; RUST_BACKTRACE=1 adds where it came from",
        env!("CARGO_PKG_VERSION")
    );
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        for line in ["weft run a.weft", "weft run a.weft pooled --set depth=2 --inputs i", "weft graph a.weft --dot"] {
            Cli::try_parse_from(line.split(' ')).unwrap();
        }
        for line in ["weft", "weft trian a.weft", "weft check", "weft build", "weft run a.weft --set depth"] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_help_has_an_example() {
        for command in Cli::command().get_subcommands_mut().filter(|command| command.get_name() != "help") {
            assert!(command.render_long_help().to_string().contains("Example"), "{}", command.get_name());
        }
    }
}
