//! `weft import`: a specification from the files of a model that others publish.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use weft_compiler::{compile, import};
use weft_runtime::whole_file;

use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: what a folder of transformers holds, as a specification, and what it computes
  weft import models/bert -o bert.weft
  weft run bert.weft --inputs tokens.safetensors

With a model of your own, in a file that says which files it is for (`weights … for MODEL where …`)
  weft import models/mine --with mine.weft

With a recipe, to train it further
  weft import models/bert -o bert.weft --train batches.safetensors
  weft train bert.weft --batches batches.safetensors

The folder has a config.json and its weights, model.safetensors or several with an index. The specification says what
was read; the weights stay where they are.";

#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The folder with config.json and the weights
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The specification to write [default: the folder's name, here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The model of the library to take, where config.json does not say
    #[arg(long = "as", value_name = "MODEL")]
    pub model: Option<String>,
    /// A specification with models besides those of the library
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// A field of config.json that the model does not know, and that changes no numbers
    #[arg(long, value_name = "FIELD")]
    pub ignore: Vec<String>,
    /// Write a recipe too, which trains by the model's own loss on such batches (safetensors: tensors [steps, batch, …]); dropout is not
    /// taken over
    #[arg(long, value_name = "BATCHES")]
    pub train: Option<PathBuf>,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn import(args: &ImportArgs) -> Outcome {
    let to = place(args)?;
    let wanted = import::Wanted { model: args.model.as_deref(), with: args.with.as_deref(), ignored: &args.ignore };
    let (text, model) = import::import(&folder(args), &to, wanted)?;
    let specification = compile::specification(&to, &text)?;
    let parameters = import::check(&specification)?;
    let (text, next) = match &args.train {
        Some(batches) => {
            let training = import::Training { batches, uses: "use std.optimizers: adamw", optimizer: "adamw(rate: 5e-5)" };
            let next = format!("train {} --batches {}", to.display(), batches.display());
            (import::recipe(&to, &text, &training)?, next)
        }
        None => (text, format!("run {} --inputs FILE", to.display())),
    };
    whole_file::write_bytes(&to, text.as_bytes())?;
    let to = to.display();
    println!("{to}: {model}, {parameters} parameters, all there\n\nNow:\n  weft info {to}\n  weft {next}");
    Ok(0)
}

/// The folder that is meant: also by its config.json.
fn folder(args: &ImportArgs) -> PathBuf {
    let named = &args.folder;
    let parent = || named.parent().map(Path::to_path_buf).filter(|parent| !parent.as_os_str().is_empty());
    if named.is_file() { parent().unwrap_or_else(|| ".".into()) } else { named.clone() }
}

/// Where the specification goes: what is there already is replaced where somebody says so.
fn place(args: &ImportArgs) -> Result<PathBuf> {
    if let Some(output) = &args.output {
        whole_file::check(output)?;
        return Ok(output.clone());
    }
    let folder = std::fs::canonicalize(folder(args)).with_context(|| format!("cannot read {}", args.folder.display()))?;
    let name = folder.file_name().and_then(|name| name.to_str()).context("the folder has no name: pass -o NAME.weft")?;
    let to = Path::new(&format!("{name}.weft")).to_path_buf();
    ensure!(!to.exists(), "{} is there already: `-o {}` replaces it", to.display(), to.display());
    Ok(to)
}
