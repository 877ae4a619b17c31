//! `weft export`: a model in the files that others read.

use std::path::PathBuf;

use clap::Args;
use weft_compiler::compile::{Subject, load};
use weft_compiler::export;
use weft_dsl::elaborate::Setting;
use weft_runtime::train::{Files, usual_folder};

use super::compiled::setting;
use super::{Outcome, Shown};

pub const EXAMPLE: &str = "\
Example: what was trained, as transformers reads it
  weft export bert.weft --weights runs/bert/weights.safetensors -o models/bert
  python -c \"from transformers import AutoModelForMaskedLM as M; M.from_pretrained('models/bert')\"";

#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The specification
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// The folder to write config.json and model.safetensors into
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// The parameters (safetensors) [default: where the specification says]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which recipe or model [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub item: Option<String>,
    /// Configuration: `--set depth=4`
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, Setting)>,
    /// Whose names, where the model has several [default: the first]
    #[arg(long, value_name = "NAME")]
    pub layout: Option<String>,
    #[command(flatten)]
    pub shown: Shown,
}

pub fn export(args: &ExportArgs) -> Outcome {
    let specification = load(&args.spec)?;
    args.shown.diagnostics(&specification.warnings, specification.program.sources());
    let (Subject::Model(item, _) | Subject::Recipe(item)) = specification.subject(args.item.as_deref())?;
    // What training left comes before what the specification names, as where a model is run.
    let usual = Files::of(&usual_folder(&item)).weights;
    let trained = (args.weights.is_none() && usual.exists()).then_some(usual);
    if let Some(trained) = &trained {
        eprintln!("weights: {}", trained.display());
    }
    let what = export::Export {
        item: &item,
        settings: &args.set,
        weights: args.weights.as_deref().or(trained.as_deref()),
        layout: args.layout.as_deref(),
        folder: &args.output,
    };
    export::export(&specification, &what)?;
    println!("{}: config.json, model.safetensors", args.output.display());
    Ok(0)
}
