//! `weft build`: an executable that stands alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Args;
use weft_compiler::link;
use weft_compiler::schedule::product::tuning::Tuning;
use weft_compiler::target::cpu::Cpu;
use weft_runtime::plan::{Data, Plan};
use weft_runtime::whole_file;

use super::compiled::CompileArgs;
use super::tune::{TuneArgs, Tuned, Tuner};
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: an executable, what is in it, and what it does
  weft build shakespeare.weft -o shakespeare
  ./shakespeare info
  ./shakespeare train
  ./shakespeare generate --prompt 'ROMEO:'

Example: with the blocks of matrix products that are fastest on this machine, measured in a step of training
  weft build shakespeare.weft --tune
What is faster is remembered in shakespeare.tuned.json, by processor, number of threads (WEFT_THREADS) and product: whatever is
compiled of the specification later uses it, and measures nothing. Other programs can be tuned too; one whose sizes no recipe says
needs inputs of the sizes that count:
  weft build bert.weft --tune=forward --inputs tokens.safetensors

Without -o it is named as the specification, with `.out` where a folder of that name is in the way.
It needs a C compiler as a linker, and the executable nothing but the C library.";

#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    pub compile: CompileArgs,
    /// The executable [default: the specification's name without `.weft`, or with `.out` if that is a folder]
    #[arg(long, short, value_name = "EXE")]
    pub output: Option<PathBuf>,
    /// Code that checks every access to memory
    #[arg(long, conflicts_with = "tune")]
    pub checked: bool,
    #[command(flatten)]
    pub tune: TuneArgs,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn build(args: &BuildArgs) -> Outcome {
    let to = output(args)?;
    whole_file::check(&to)?;
    if args.tune.tune.is_some() {
        whole_file::check(&args.compile.tuned())?;
    }
    let specification = args.compile.load(&args.shown)?;
    let subject = args.compile.subject(&specification)?;
    let mut options = args.compile.options(args.checked)?;
    if let Some(program) = &args.tune.tune {
        let tuner = Tuner { specification: &specification, subject: &subject, options: &options, args: &args.tune };
        let tuning = tuner.tune(program.as_deref())?;
        if tuning != *options.tuning {
            remember(&args.compile.tuned(), &options.cpu, &tuning)?;
            options.tuning = Arc::new(tuning);
        }
    }
    let mut watcher = args.compile.watcher();
    let compiled = specification.compile(&subject, &options, &mut |name, text, time| watcher.stage(name, text, time));
    watcher.finish()?;
    let mut compiled = compiled?;
    absolute(&mut compiled.plan)?;
    link::executable(&compiled, &options.cpu, &to)?;
    let size = std::fs::metadata(&to).with_context(|| format!("cannot look at {}", to.display()))?.len();
    let tuned = compiled.products.iter().flatten().filter(|product| product.tuned).count();
    let tuned = if tuned > 0 { format!(", {tuned} products as tuned") } else { String::new() };
    eprintln!("{}: {:.1} MB{tuned}", to.display(), size as f64 / 1e6);
    Ok(0)
}

/// Writes what was found into its file, beside what that has of other machines.
fn remember(path: &Path, cpu: &Cpu, tuning: &Tuning) -> Result<()> {
    let mut tuned = Tuned::read(path)?;
    tuned.remember(cpu, tuning)?;
    tuned.write(path)?;
    eprintln!("remembered in {}", path.display());
    Ok(())
}

/// Where the executable goes, found before anything is compiled.
fn output(args: &BuildArgs) -> Result<PathBuf> {
    if let Some(path) = &args.output {
        ensure!(!path.is_dir(), "{} is a folder: name another file with -o", path.display());
        return Ok(path.clone());
    }
    let spec = &args.compile.spec;
    let name = spec.file_stem().filter(|name| Some(*name) != spec.file_name());
    let name = name.context("the specification's name does not end in `.weft`: say with -o where the executable goes")?;
    Ok(free(PathBuf::from(name)))
}

/// A name beside that of a folder: `weft new hello` makes a folder that `weft build hello/hello.weft` must not run into.
fn free(mut name: PathBuf) -> PathBuf {
    if name.is_dir() {
        name.as_mut_os_string().push(".out");
    }
    name
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (taken, open) = (folder.path().join("hello"), folder.path().join("other.v2"));
        std::fs::create_dir(&taken).unwrap();
        assert_eq!(free(taken), folder.path().join("hello.out"));
        assert_eq!(free(open.clone()), open);
    }
}
