//! `weft explain`: what a code of an error means; which rewrites a specification undergoes; what is kept while a text is written.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use weft_compiler::compile::{self, Options};
use weft_compiler::passes::decode::{Kept, Places};
use weft_compiler::rewrite::FREE;
use weft_compiler::survey;
use weft_compiler::target::cpu::Cpu;
use weft_dsl::codes::{self, CODES, Code};
use weft_dsl::elaborate::Setting;
use weft_runtime::console::{heading, thousands};

use super::ablation::{self, MeasureArgs};
use super::compiled::setting;
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: all codes, and one of them
  weft explain
  weft explain W0001
Example: which rewrite rules fired in each program, and what they are predicted to gain
  weft explain --rewrites gpt.weft --program train_step
Example: what each set of rules is worth in the time of a program
  weft explain --rewrites gpt.weft --measure --program train_step --inputs batch.safetensors
Example: what is kept of each token while a text is written, and why
  weft explain --decode gpt.weft";

#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The code, as in `error[W0001]` [default: all are listed]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Say which rewrite rules fired in a specification's programs, and the predicted gain
    #[arg(long, value_name = "SPEC", conflicts_with = "code")]
    pub rewrites: Option<PathBuf>,
    /// Say what a specification's model keeps of each token while a text is written, or why it cannot
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["code", "rewrites"])]
    pub decode: Option<PathBuf>,
    /// Which recipe or model of it [default: the only one]
    #[arg(long, value_name = "NAME", conflicts_with = "code")]
    pub item: Option<String>,
    /// Which program of it [default: all]
    #[arg(long, value_name = "NAME", requires = "rewrites")]
    pub program: Option<String>,
    /// Configuration: `--set batch=4`
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, requires = "rewrites")]
    pub set: Vec<(String, Setting)>,
    #[command(flatten)]
    pub measured: MeasureArgs,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn explain(args: &ExplainArgs) -> Outcome {
    if let Some(spec) = &args.rewrites {
        return rewrites(spec, args);
    }
    if let Some(spec) = &args.decode {
        return decode(spec, args);
    }
    match &args.code {
        None => CODES.iter().for_each(|row| println!("{}  {}", row.code, row.title)),
        Some(code) => print!("{}", text(find(code)?)),
    }
    Ok(0)
}

/// Prints what the rewriter finds in each program as it enters the rewriter: after the passes that release what is not needed.
fn rewrites(spec: &Path, args: &ExplainArgs) -> Outcome {
    let specification = compile::load(spec)?;
    args.shown.diagnostics(&specification.warnings, specification.program.sources());
    let subject = specification.subject(args.item.as_deref())?;
    let options = Options { settings: args.set.clone(), ..Options::of(Cpu::host()) };
    if let (true, Some(program)) = (args.measured.measure, &args.program) {
        return ablation::measure(&specification, &subject, options, program, &args.measured, args.shown.json);
    }
    let wanted = |name: &str| args.program.as_deref().is_none_or(|program| program == name);
    for (program, report) in survey::rewrites(&specification, &subject, &wanted, &options)? {
        println!("{}\n{report}", heading(&program));
    }
    println!(
        "Predictions rank rewrites; they are no times to expect: of one core, with sizes that a run decides (batch, time) as {FREE}."
    );
    Ok(0)
}

/// Prints what is kept of each place of a text.
fn decode(spec: &Path, args: &ExplainArgs) -> Outcome {
    let specification = compile::load(spec)?;
    args.shown.diagnostics(&specification.warnings, specification.program.sources());
    let subject = specification.subject(args.item.as_deref())?;
    let kept = match specification.kept(&subject)? {
        Ok(kept) => kept,
        Err(why) => {
            println!("Nothing is kept; the whole text is computed again for each token:\n{why}");
            return Ok(0);
        }
    };
    let mut windows: Vec<i64> = kept.iter().filter_map(|kept| kept.places.window()).collect();
    windows.sort_unstable();
    windows.dedup();
    let windows = windows.into_iter().map(|n| (Places::Last(n), format!("each of the last {n} tokens alone"), "token"));
    let every = (Places::Every, "each token of a text".to_string(), "token");
    let end = (Places::End, "the last token alone".to_string(), "text");
    let given = (Places::Given, "what is given with the prompt".to_string(), "text, times the sizes that a run decides");
    for (places, what, unit) in [every].into_iter().chain(windows).chain([end, given]) {
        let mut all = None;
        for kept in kept.iter().filter(|kept| kept.places == places) {
            if all.is_none() {
                println!("Of {what} is kept, in every repetition:");
            }
            let Kept { axes, of, reader, .. } = kept;
            let shape: Vec<String> = axes.iter().map(|(name, size)| format!("{name} {size}")).collect();
            let bytes = kept.bytes();
            all = Some(all.unwrap_or(0) + bytes);
            println!("  [{}]  {} bytes\n    made with {of}, for {reader}", shape.join(", "), thousands(bytes));
        }
        if let Some(all) = all {
            println!("{} bytes a {unit}", thousands(all));
        }
    }
    println!(
        "Products and reductions are kept behind the last of them that concerns one token alone; positions are computed again."
    );
    Ok(0)
}

fn find(code: &str) -> Result<&'static Code> {
    match codes::lookup(code) {
        Some(row) => Ok(row),
        None => {
            let near = codes::nearest(code).map(|row| format!("; the nearest is {}: {}", row.code, row.title));
            bail!("there is no code `{code}`{}; `weft explain` lists all", near.unwrap_or_default())
        }
    }
}

/// A code, its explanation, and an example of it with its cure.
fn text(row: &Code) -> String {
    let mut text = format!("{}\n\n", heading(&format!("{}: {}", row.code, row.title)));
    for line in wrapped(row.explanation) {
        text += &format!("{line}\n");
    }
    for (title, example) in [("Has it:", row.wrong), ("Has it not:", row.right)] {
        text += &format!("\n{}\n", heading(title));
        for line in example.trim_end().lines() {
            text += format!("  {line}").trim_end();
            text += "\n";
        }
    }
    text
}

/// Paragraphs in lines of at most 80 characters.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 80;
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
    }
    lines
}
