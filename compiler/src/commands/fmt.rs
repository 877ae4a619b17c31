//! `weft fmt`: the one layout.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use weft_compiler::compile::Failure;
use weft_dsl::format::format;
use weft_dsl::sources::Sources;
use weft_runtime::whole_file;

use super::{FAILED, Outcome, Shown, report};

pub const EXAMPLE: &str = "\
Example: format in place; only ask whether it is so already; format what an editor sends
  weft fmt gpt.weft
  weft fmt --check *.weft
  weft fmt - <gpt.weft";

#[derive(Args, Clone, Debug)]
pub struct FmtArgs {
    /// The specifications; `-` reads standard input and prints the result
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<PathBuf>,
    /// Change nothing; name the files that would change, and fail if there are any
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn fmt(args: &FmtArgs) -> Outcome {
    let mut code = 0;
    for path in &args.specs {
        match one(path, args.check) {
            Ok(true) => {}
            Ok(false) => code = FAILED,
            Err(failure) => {
                report(&failure, &args.shown);
                code = FAILED;
            }
        }
    }
    Ok(code)
}

/// Formats a file; whether all is as it should be.
fn one(path: &Path, check: bool) -> Result<bool, Failure> {
    let from_input = path.as_os_str() == "-";
    let text = read(path, from_input)?;
    let formatted = format(&text).map_err(|faults| {
        let mut sources = Sources::new();
        sources.add(if from_input { "standard input".into() } else { path.display().to_string() }, text.as_str());
        Failure::Faults(faults, sources)
    })?;
    if check {
        if formatted != text {
            println!("{}", path.display());
        }
        return Ok(formatted == text);
    }
    if from_input {
        print!("{formatted}");
    } else if formatted != text {
        whole_file::write_bytes(path, formatted.as_bytes())?;
    }
    Ok(true)
}

fn read(path: &Path, from_input: bool) -> Result<String> {
    if from_input {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read the specification `{}`", path.display()))
}
