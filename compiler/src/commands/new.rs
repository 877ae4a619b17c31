//! `weft new`: a folder with a small specification that trains in seconds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use weft_dsl::elaborate::Program;
use weft_runtime::whole_file;

use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: a small model of text, trained and tried
  weft new hello
  weft train hello/hello.weft
  weft generate hello/hello.weft --tokens 100";

const SPECIFICATION: &str = include_str!("new/model.weft");

/// The files, `NAME` standing for the project's name.
const FILES: &[(&str, &str)] = &[
    ("NAME.weft", SPECIFICATION),
    ("data/text.txt", include_str!("new/text.txt")),
    ("README.md", include_str!("new/README.md")),
];

#[derive(Args, Clone, Debug)]
pub struct NewArgs {
    /// The folder; its last part names the specification and its recipe
    #[arg(value_name = "NAME")]
    pub name: PathBuf,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn new(args: &NewArgs) -> Outcome {
    let spec = write(&args.name)?;
    let spec = spec.display();
    println!("{spec}\n\nNow:\n  weft train {spec}\n  weft generate {spec}");
    Ok(0)
}

/// Writes the project and gives its specification.
fn write(folder: &Path) -> Result<PathBuf> {
    let name = name(folder)?;
    let (program, mut faults) = Program::load(name, &SPECIFICATION.replace("NAME", name), &|_| None);
    if faults.is_empty() {
        faults = program.check();
    }
    ensure!(faults.is_empty(), "`{name}` cannot name a project: it means something else in specifications");
    fs::create_dir_all(folder.join("data")).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // All or nothing: what is there already is left alone.
    let places: Vec<(PathBuf, String)> =
        FILES.iter().map(|(path, text)| (folder.join(path.replace("NAME", name)), text.replace("NAME", name))).collect();
    for (path, _) in &places {
        ensure!(!path.exists(), "{} is there already; nothing was changed", path.display());
    }
    for (path, text) in &places {
        whole_file::write_bytes(path, text.as_bytes())?;
    }
    Ok(folder.join(format!("{name}.weft")))
}

/// The project's name, which must be a name of the language too.
fn name(folder: &Path) -> Result<&str> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    ensure!(plain, "`{name}` cannot name a project: use small letters, digits and `_`, a letter first");
    Ok(name)
}
