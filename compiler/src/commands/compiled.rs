//! Options of every command that compiles, and compiling as they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use weft_compiler::compile::{self, Failure, Options, Output, Specification, Subject};
use weft_compiler::passes::{PIPELINE, REWRITE};
use weft_compiler::schedule::product::tuning::Tuning;
use weft_compiler::target::cpu::{Cpu, Loaded};
use weft_dsl::elaborate::Setting;
use weft_runtime::exec::Compiled;
use weft_runtime::whole_file;

use super::Shown;
use super::tune::{Tuned, path_of};

/// Options of every command that compiles.
#[derive(Args, Clone, Debug)]
pub struct CompileArgs {
    /// The specification
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// Which recipe or model [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub item: Option<String>,
    /// Configuration: `--set batch=4`
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, Setting)>,
    #[arg(long, value_name = "STAGE", value_delimiter = ',', help = dump_help())]
    pub dump: Vec<String>,
    /// Write dumps into files of this folder instead
    #[arg(long, value_name = "DIR", requires = "dump")]
    pub dump_dir: Option<PathBuf>,
    /// Say how long each stage took
    #[arg(long)]
    pub timings: bool,
    /// Compile as written: neither rewrite nor fuse
    #[arg(long)]
    pub no_optimise: bool,
    /// Train in so much memory, such as 2GB, the process itself not counted: what does not fit is made in chunks or computed again
    #[arg(long, value_name = "LIMIT", value_parser = bytes)]
    pub memory: Option<u64>,
    /// The processor: native, x86-64, x86-64-v2, x86-64-v3, x86-64-v4,
    /// x86-64-v4-amx (products of float32 on the matrix unit), aarch64
    #[arg(long, value_name = "NAME", default_value = "native", hide_default_value = true)]
    pub target_cpu: String,
    /// What `weft build --tune` found [default: beside the specification, with the ending `.tuned.json`]
    #[arg(long, value_name = "FILE")]
    pub tuned: Option<PathBuf>,
}

/// The stages are those of the compiler, whichever it has.
fn dump_help() -> String {
    let passes: Vec<&str> = PIPELINE.iter().map(|pass| pass.name).collect();
    format!("Print what a stage made: lower, {}, fuse, plan, code; of one program: forward.fuse", passes.join(", "))
}

/// The code of what does not fit.
const SIZES: &str = "W0205";

/// `2GB`, `1500 MB`, `1.5GiB`
fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1048576.0,
        "gib" => 1073741824.0,
        _ => return Err(format!("`{unit}` is no unit of memory: write 2GB or 1500MB")),
    };
    let number: f64 = number.trim().parse().map_err(|_| "write a number and a unit: 2GB or 1500MB".to_string())?;
    if number.is_finite() && number >= 0.0 {
        Ok((number * factor) as u64)
    } else {
        Err("that is no amount of memory".into())
    }
}

/// `name=value`
pub fn setting(text: &str) -> Result<(String, Setting), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), Setting::parse(value.trim()))),
        _ => Err("it is written NAME=VALUE".into()),
    }
}

impl CompileArgs {
    /// Reads and checks the specification; says its warnings.
    pub fn load(&self, shown: &Shown) -> Result<Specification, Failure> {
        let specification = compile::load(&self.spec)?;
        shown.diagnostics(&specification.warnings, specification.program.sources());
        Ok(specification)
    }

    /// What is compiled; of a recipe, data that does not fit it is a fault. Data that cannot be read is one where it is needed.
    pub fn subject(&self, specification: &Specification) -> Result<Subject, Failure> {
        let subject = specification.subject(self.item.as_deref())?;
        if let Subject::Recipe(name) = &subject {
            let program = &specification.program;
            let mut faults = program.check_recipe_data(name, &self.set, specification);
            faults.retain(|fault| fault.code == SIZES);
            if !faults.is_empty() {
                return Err(Failure::Faults(faults, program.sources().clone()));
            }
        }
        Ok(subject)
    }

    /// How it is compiled.
    pub fn options(&self, checked: bool) -> Result<Options> {
        let cpu = Cpu::named(&self.target_cpu)?;
        Ok(Options {
            settings: self.set.clone(),
            optimise: !self.no_optimise,
            checked,
            // Each pass is checked where somebody looks for a fault.
            validate: checked || cfg!(debug_assertions),
            memory: self.memory,
            tuning: self.tuning(&cpu)?,
            ..Options::of(cpu)
        })
    }

    /// The file with what was measured.
    pub fn tuned(&self) -> PathBuf {
        self.tuned.clone().unwrap_or_else(|| path_of(&self.spec))
    }

    /// What was measured on this machine.
    fn tuning(&self, cpu: &Cpu) -> Result<Arc<Tuning>> {
        let here = Tuned::read(&self.tuned())?.here(cpu)?;
        Ok(here.unwrap_or_else(|other| {
            if let Some(other) = other {
                eprintln!("note: {} is not used here: it was tuned on {other}", self.tuned().display());
            }
            Arc::default()
        }))
    }

    /// What watches the stages.
    pub fn watcher(&self) -> Watcher<'_> {
        Watcher {
            args: self,
            started: Instant::now(),
            times: Vec::new(),
            seen: Vec::new(),
            dumped: vec![false; self.dump.len()],
            failed: None,
        }
    }
}

/// Loads the code of what was compiled. The code is to outlive every machine that runs it.
pub fn loaded(output: Output) -> Result<(Compiled, Loaded)> {
    let Output { plan, objects, .. } = output;
    let loaded = Loaded::new(&objects, &plan.kernels)?;
    let kernels = plan.kernels.iter().map(|name| loaded.kernel(name).with_context(|| format!("no kernel `{name}`")));
    let kernels = kernels.collect::<Result<Vec<_>>>()?;
    Ok((Compiled { plan, kernels }, loaded))
}

/// Dumps stages and takes their times.
pub struct Watcher<'a> {
    args: &'a CompileArgs,
    started: Instant,
    times: Vec<(String, Duration)>,
    seen: Vec<String>,
    dumped: Vec<bool>,
    failed: Option<anyhow::Error>,
}

impl Watcher<'_> {
    /// To be called as each stage ends.
    pub fn stage(&mut self, name: &str, text: &dyn Fn() -> String, time: Duration) {
        self.times.push((name.into(), time));
        let last = name.rsplit('.').next().unwrap_or(name);
        if !self.seen.iter().any(|seen| seen == last) {
            self.seen.push(last.into());
        }
        let mut asked = false;
        for (dump, dumped) in self.args.dump.iter().zip(&mut self.dumped) {
            if dump == name || dump == last {
                (asked, *dumped) = (true, true);
            }
        }
        if asked && self.failed.is_none() {
            self.failed = write(name, &text(), self.args.dump_dir.as_deref()).err();
        }
    }

    /// Says the times, and whether every dump that was asked for came about.
    pub fn finish(self) -> Result<()> {
        if self.args.timings {
            let width = self.times.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, time) in &self.times {
                eprintln!("{name:<width$}  {:>9.1} ms", time.as_secs_f64() * 1e3);
            }
            let total = self.started.elapsed().as_secs_f64();
            let rewriting = self.times.iter().filter(|(name, _)| name.ends_with(REWRITE));
            let rewriting: f64 = rewriting.map(|(_, time)| time.as_secs_f64()).sum();
            eprintln!("compiled in {:.1} ms, of which rewriting {:.1} %", total * 1e3, 100.0 * rewriting / total);
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let unknown = self.args.dump.iter().zip(&self.dumped).find(|(_, dumped)| !**dumped);
        ensure!(
            unknown.is_none(),
            "there is no stage `{}` here; there are {}",
            unknown.map_or("", |(name, _)| name),
            self.seen.join(", ")
        );
        Ok(())
    }
}

/// Prints a dump, or writes it into a file of its name.
fn write(name: &str, text: &str, folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else {
        println!("== {name}\n{}", text.trim_end());
        return Ok(());
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    whole_file::write_bytes(&folder.join(format!("{name}.txt")), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn amounts_of_memory() {
        let read = ["2GB", "1500 MB", "1.5GiB", "64", "0.5gb"].map(|text| bytes(text).unwrap());
        assert_eq!(read, [2_000_000_000, 1_500_000_000, 1_610_612_736, 64, 500_000_000]);
        assert!(["GB", "2 apples", "-1GB", "nanGB"].iter().all(|text| bytes(text).is_err()));
    }
}
