//! `weft graph`: the kernels that a specification becomes, as text or as a picture.

use std::path::PathBuf;

use clap::Args;
use weft_compiler::graph::{dot, print};
use weft_runtime::whole_file;

use super::compiled::CompileArgs;
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: a picture of a model, and the text of its training step
  weft graph gpt.weft --dot | dot -Tsvg >gpt.svg
  weft graph gpt.weft --text --program train_step";

#[derive(Args, Clone, Debug)]
pub struct GraphArgs {
    #[command(flatten)]
    pub compile: CompileArgs,
    /// Which program: `forward`, a function, `train_step`, `loss` [default: forward]
    #[arg(long, value_name = "NAME", default_value = "forward", hide_default_value = true)]
    pub program: String,
    /// For Graphviz: kernels are boxes, a repeated layer is one box (this is the default)
    #[arg(long, conflicts_with = "text")]
    pub dot: bool,
    /// As text that reads back
    #[arg(long)]
    pub text: bool,
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn graph(args: &GraphArgs) -> Outcome {
    args.output.as_deref().map(whole_file::check).transpose()?;
    let specification = args.compile.load(&args.shown)?;
    let subject = args.compile.subject(&specification)?;
    let options = args.compile.options(false)?;
    let mut watcher = args.compile.watcher();
    let wanted = |name: &str| name == args.program;
    let graphs = specification.graphs(&subject, &wanted, &options, &mut |name, text, time| watcher.stage(name, text, time));
    watcher.finish()?;
    let text: String = graphs?.iter().map(|(name, graph)| if args.text { print(graph) } else { dot(name, graph) }).collect();
    match &args.output {
        Some(path) => whole_file::write_bytes(path, text.as_bytes())?,
        None => print!("{text}"),
    }
    Ok(0)
}
