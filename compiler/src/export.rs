//! A model in the files that others read: configuration and weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use weft_dsl::elaborate::{Field, Session, Setting, TypesOnly, Unfit};
use weft_runtime::exec::{Compiled, Machine};
use weft_runtime::plan::Plan;
use weft_runtime::{weights, whole_file};

use crate::compile::{Failure, Specification};
use crate::import::{self, CONFIG, WEIGHTS};
use crate::lower;

/// Files of a model's folder that say how texts become tokens and how it writes.
const BESIDE: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
    "generation_config.json",
];

/// What is written.
pub struct Export<'a> {
    /// A model of the specification, or the one that a recipe trains.
    pub item: &'a str,
    /// Its configuration.
    pub settings: &'a [(String, Setting)],
    /// Where the parameters are; where the specification says, if nobody does.
    pub weights: Option<&'a Path>,
    /// The names to write.
    pub layout: Option<&'a str>,
    /// Where to.
    pub folder: &'a Path,
}

/// Writes a folder that others read.
///
/// # Errors
/// Nothing says how others call the model's parts, or they cannot say what it is; the weights do not fit.
pub fn export(specification: &Specification, export: &Export<'_>) -> std::result::Result<(), Failure> {
    let program = &specification.program;
    let plan = specification.parameters(export.item, export.settings)?;
    let known: Vec<&str> = plan.layouts.iter().map(|layout| layout.name.as_str()).collect();
    let layout = match (export.layout, known.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [name, ..]) => (*name).to_owned(),
        (None, []) => return Err(anyhow::anyhow!("nothing says how others call the parts of `{}`", export.item).into()),
    };
    let mut session = Session::new(program, TypesOnly::default(), false, specification);
    let failed = |faults| Failure::Faults(faults, program.sources().clone());
    let model = lower::made(&mut session, program, export.item, export.settings).map_err(failed)?;
    let before = plan.weights.as_ref().filter(|(own, _)| *own == layout).map(|(_, folder)| Path::new(folder).to_path_buf());
    let said = before.as_ref().and_then(|folder| import::read(&folder.join(CONFIG)).ok());
    let config = session.exported(&model, &layout, said.as_ref()).map_err(|unfit| match unfit {
        Unfit::Faults(faults) => failed(faults),
        Unfit::File(wrong) => {
            anyhow::anyhow!("`{}` cannot be said in {CONFIG}:\n  {}", export.item, wrong.join("\n  ")).into()
        }
    })?;
    let beside = |folder: &Path| BESIDE.iter().map(|name| folder.join(name)).filter(|file| file.is_file()).collect();
    Ok(write(plan, &config, &layout, export, &before.as_deref().map_or(Vec::new(), beside))?)
}

/// Writes weights, configuration, and a copy of each of `beside`.
fn write(plan: Plan, config: &Field, layout: &str, export: &Export<'_>, beside: &[PathBuf]) -> Result<()> {
    let said = plan.weights.clone();
    let mut machine = Machine::new(Compiled { plan, kernels: Vec::new() }, 1, false)?;
    match (export.weights, said) {
        (Some(path), _) => weights::load(&mut machine, path, None)?,
        (None, Some((own, path))) => weights::load(&mut machine, Path::new(&path), Some(&own))?,
        (None, None) => anyhow::bail!("nothing says where the parameters are: pass --weights FILE"),
    }
    std::fs::create_dir_all(export.folder).with_context(|| format!("cannot make the folder {}", export.folder.display()))?;
    let (to, config_to) = (export.folder.join(WEIGHTS), export.folder.join(CONFIG));
    let copies: Vec<(&PathBuf, PathBuf)> =
        beside.iter().filter_map(|from| Some((from, export.folder.join(from.file_name()?)))).collect();
    for path in copies.iter().map(|(_, copy)| copy).chain([&to, &config_to]) {
        ensure!(!path.exists(), "{} is there already; nothing was changed", path.display());
    }
    weights::save(&machine, &to, Some(layout))?;
    let text = serde_json::to_string_pretty(&json(config))? + "\n";
    whole_file::write_bytes(&config_to, text.as_bytes())?;
    for (from, copy) in copies {
        std::fs::copy(from, copy).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn json(field: &Field) -> serde_json::Value {
    use serde_json::Value;
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => (*b).into(),
        Field::Int(n) => (*n).into(),
        Field::Float(x) => (*x).into(),
        Field::Text(text) => text.as_str().into(),
        Field::List(items) => items.iter().map(json).collect(),
        Field::Record(fields) => Value::Object(fields.iter().map(|(name, field)| (name.clone(), json(field))).collect()),
    }
}
