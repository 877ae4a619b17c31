//! `weft info`: parameters, functions and the recipe.

use clap::Args;
use weft_runtime::cli;

use super::compiled::CompileArgs;
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: what a specification holds, and what changes with smaller batches
  weft info shakespeare.weft
  weft info shakespeare.weft --set batch=4";

#[derive(Args, Clone, Debug)]
pub struct InfoArgs {
    #[command(flatten)]
    pub compile: CompileArgs,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn info(args: &InfoArgs) -> Outcome {
    let specification = args.compile.load(&args.shown)?;
    let subject = args.compile.subject(&specification)?;
    let options = args.compile.options(false)?;
    let mut watcher = args.compile.watcher();
    let planned = specification.plan(&subject, &|_| true, &options, &mut |name, text, time| watcher.stage(name, text, time));
    watcher.finish()?;
    Ok(cli::info(&planned?.0)?.code())
}
