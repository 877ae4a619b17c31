//! `weft build`: an executable that stands alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use weft_compiler::link;
use weft_runtime::plan::{Data, Plan};

use super::compiled::CompileArgs;
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: an executable, what is in it, and what it does
  weft build shakespeare.weft -o shakespeare
  ./shakespeare info
  ./shakespeare train
  ./shakespeare generate --prompt 'ROMEO:'

It needs a C compiler as a linker, and the executable nothing but the C library.";

#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    pub compile: CompileArgs,
    /// The executable [default: the specification's name without `.weft`]
    #[arg(long, short, value_name = "EXE")]
    pub output: Option<PathBuf>,
    /// Code that checks every access to memory
    #[arg(long)]
    pub checked: bool,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn build(args: &BuildArgs) -> Outcome {
    let specification = args.compile.load(&args.shown)?;
    let subject = args.compile.subject(&specification)?;
    let options = args.compile.options(args.checked)?;
    let mut watcher = args.compile.watcher();
    let compiled = specification.compile(&subject, &options, &mut |name, text, time| watcher.stage(name, text, time));
    watcher.finish()?;
    let mut compiled = compiled?;
    absolute(&mut compiled.plan)?;
    link::executable(&compiled, &options.cpu, &output(args)?)?;
    Ok(0)
}

/// Where the executable goes.
fn output(args: &BuildArgs) -> Result<PathBuf> {
    if let Some(path) = &args.output {
        return Ok(path.clone());
    }
    let spec = &args.compile.spec;
    let name = spec.file_stem().filter(|name| Some(*name) != spec.file_name());
    name.map(PathBuf::from)
        .context("the specification's name does not end in `.weft`: say with -o where the executable goes")
}

/// The executable finds its text from any folder.
fn absolute(plan: &mut Plan) -> Result<()> {
    if let Some(Data::Text { paths, .. }) = plan.recipe.as_mut().map(|recipe| &mut recipe.data) {
        for path in paths {
            *path = std::path::absolute(Path::new(path))?.display().to_string();
        }
    }
    Ok(())
}
