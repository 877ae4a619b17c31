//! Executables as users have them: linked, started with a command line, looked at from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use weft_compiler::compile::Options;
use weft_compiler::link;
use weft_compiler::target::cpu::Cpu;

use crate::engine::{shown, specification};

/// Compiles the only recipe or model of a specification into an executable.
///
/// # Errors
/// Its faults; no linker.
pub fn build(spec: &Path, to: &Path) -> Result<()> {
    build_for(spec, None, "native", to)
}

/// Compiles a recipe or model, or the only one, into an executable for a processor.
///
/// # Errors
/// Faults of the specification; no linker.
pub fn build_for(spec: &Path, item: Option<&str>, processor: &str, to: &Path) -> Result<()> {
    let specification = specification(spec)?;
    let cpu = Cpu::named(processor)?;
    let options = Options { validate: true, ..Options::of(cpu.clone()) };
    let compiled = specification.compile(&specification.subject(item)?, &options, &mut |_, _, _| {}).map_err(shown)?;
    link::executable(&compiled, &cpu, to)
}

/// A command without a terminal, in a folder, that nobody's environment changes the words of.
pub fn command(program: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    command
}

/// What a command said on standard error, where it ended with a status.
///
/// # Errors
/// It ended otherwise.
pub fn said(output: &Output, status: i32) -> Result<String> {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(status), "it ended with {}, expected {status}: {words}", output.status);
    Ok(words)
}

/// Every file below a folder with its content, by path.
///
/// # Errors
/// One cannot be read.
pub fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let content = fs::read(&path).with_context(|| path.display().to_string())?;
                found.push((path.strip_prefix(folder)?.to_path_buf(), content));
            }
        }
    }
    found.sort();
    Ok(found)
}
