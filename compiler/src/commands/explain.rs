//! `weft explain`: what a code of an error means.

use anyhow::{Result, bail};
use clap::Args;
use weft_dsl::codes::{self, CODES, Code};
use weft_runtime::console::heading;
use weft_runtime::nearest::hint;

use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: all codes, and one of them
  weft explain
  weft explain W0001";

#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The code, as in `error[W0001]` [default: all are listed]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn explain(args: &ExplainArgs) -> Outcome {
    match &args.code {
        None => CODES.iter().for_each(|row| println!("{}  {}", row.code, row.title)),
        Some(code) => print!("{}", text(find(code)?)),
    }
    Ok(0)
}

fn find(code: &str) -> Result<&'static Code> {
    match codes::lookup(code) {
        Some(row) => Ok(row),
        None => bail!("there is no code `{code}`{}; `weft explain` lists all", hint(code, CODES.iter().map(|row| row.code))),
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
