//! A model of the library from the files that others publish: configuration and weights.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{Field, Imported, Program, Session, TypesOnly, Unfit, fields_of_files, quoted};
use weft_dsl::library;
use weft_dsl::parse::parse;
use weft_dsl::span::FileId;
use weft_runtime::nearest::nearest;
use weft_runtime::plan::Plan;
use weft_runtime::weights;

use crate::compile::{Failure, Specification};

mod training;
pub use training::{Training, recipe};

/// What a folder's configuration is called.
pub(crate) const CONFIG: &str = "config.json";

/// What a folder's weights are called where they are one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// What the imported model is called in its specification.
const NAME: &str = "Imported";

/// A model of the library whose `weights` item says that it is for a file.
#[derive(Clone, Debug)]
struct Candidate {
    /// As `use` says it: `std.llama`.
    module: String,
    model: String,
    layout: String,
    field: String,
    files: Vec<Field>,
    /// Whether it is one that the user gave.
    own: bool,
}

/// Which model a folder is read as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The model, where the configuration does not say.
    pub model: Option<&'a str>,
    /// A specification whose models come before those of the library.
    pub with: Option<&'a Path>,
    /// Fields of the configuration that no model knows and that do not matter.
    pub ignored: &'a [String],
}

/// Reads a folder as a specification that lies at `to`: its text, and the model's name. Of several models for its files, that is the first
/// that its configuration fits.
///
/// # Errors
/// No model is for the file, or the file says what the model cannot be.
pub fn import(folder: &Path, to: &Path, wanted: Wanted<'_>) -> std::result::Result<(String, String), Failure> {
    let path = folder.join(CONFIG);
    let config = read(&path)?;
    let candidates = candidates(wanted.with, to)?;
    let (mut misfits, mut fault) = (Vec::new(), None);
    for candidate in chosen(candidates, &config, wanted.model).with_context(|| path.display().to_string())? {
        match imported(&candidate, (&config, wanted.ignored), &path, to) {
            Ok(Ok(imported)) => return Ok((text(&imported, &candidate, folder, to)?, candidate.model)),
            // Who gives a model means it.
            Err(failure) if candidate.own => return Err(failure),
            Err(failure) => fault = fault.or(Some(failure)),
            Ok(Err(wrong)) => misfits.push(format!(
                "{} does not fit `{}` of {}:\n  {}",
                path.display(),
                candidate.model,
                candidate.module,
                wrong.join("\n  ")
            )),
        }
    }
    Err(fault.unwrap_or_else(|| anyhow::anyhow!(misfits.join("\n")).into()))
}

/// A model as a configuration makes it, or why it cannot.
fn imported(
    candidate: &Candidate,
    (config, ignored): (&Field, &[String]),
    path: &Path,
    to: &Path,
) -> std::result::Result<std::result::Result<Imported, Vec<String>>, Failure> {
    let Candidate { module, model, layout, .. } = candidate;
    let read = |name: &str| std::fs::read_to_string(home(to).join(name)).ok();
    let (program, faults) = Program::load(&to.display().to_string(), &format!("use {module}: {model}\n"), &read);
    let failed = |faults| Failure::Faults(faults, program.sources().clone());
    if !faults.is_empty() {
        return Err(failed(faults));
    }
    let no_data = weft_dsl::elaborate::NoData;
    let mut session = Session::new(&program, TypesOnly::default(), false, &no_data);
    match session.imported(model, layout, config, ignored) {
        Ok(imported) => Ok(Ok(imported)),
        Err(Unfit::File(wrong)) => Ok(Err(wrong)),
        Err(Unfit::Faults(faults)) => {
            let said = |fault: Diagnostic| fault.note(format!("this is what {} comes to", path.display()));
            Err(failed(faults.into_iter().map(said).collect()))
        }
    }
}

/// Checks every name and shape of the weights of an imported specification, by their headers alone. Gives the number of parameters.
///
/// # Errors
/// The files do not fit the model.
pub fn check(specification: &Specification) -> std::result::Result<u64, Failure> {
    let plan = specification.parameters(NAME, &[])?;
    let (layout, path) = plan.weights.clone().context("the specification does not say where its weights lie")?;
    weights::check(&plan, Path::new(&path), &layout)?;
    Ok(count(&plan))
}

fn count(plan: &Plan) -> u64 {
    let elements = |param: &weft_runtime::plan::Param| {
        param.stack.iter().chain(param.axes.iter().map(|(_, size)| size)).product::<u64>()
    };
    plan.params.iter().map(elements).sum()
}

/// A configuration file.
pub(crate) fn read(path: &Path) -> Result<Field> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let json: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    ensure!(json.is_object(), "{} has no fields", path.display());
    Ok(field(&json))
}

fn field(json: &serde_json::Value) -> Field {
    use serde_json::Value;
    match json {
        Value::Null => Field::Null,
        Value::Bool(b) => Field::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(n) => Field::Int(n),
            None => Field::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Field::Text(text.clone()),
        Value::Array(items) => Field::List(items.iter().map(field).collect()),
        Value::Object(fields) => Field::Record(fields.iter().map(|(name, value)| (name.clone(), field(value))).collect()),
    }
}

/// The models that say which files they are for: those of `with`, and the library's.
fn candidates(with: Option<&Path>, to: &Path) -> std::result::Result<Vec<Candidate>, Failure> {
    let mut all = Vec::new();
    if let Some(file) = with {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let module = module(file, to)?;
        let (_, faults) = parse(FileId(0), &text);
        if !faults.is_empty() {
            let mut sources = weft_dsl::sources::Sources::new();
            sources.add(file.display().to_string(), text.as_str());
            return Err(Failure::Faults(faults, sources));
        }
        let of_file = candidates_of(&module, &text).into_iter();
        all.extend(of_file.map(|candidate| Candidate { own: true, ..candidate }));
        if all.is_empty() {
            let place = file.display();
            return Err(
                anyhow::anyhow!("{place}: no `weights … for MODEL where …` says what files its models are for").into()
            );
        }
    }
    let of_library = |name| candidates_of(&format!("std.{name}"), library::library(name).unwrap_or_default());
    all.extend(library::names().flat_map(of_library));
    Ok(all)
}

/// The models of a file that say which files they are for.
fn candidates_of(module: &str, text: &str) -> Vec<Candidate> {
    let (file, _) = parse(FileId(0), text);
    let said = fields_of_files(&file).into_iter().map(|(model, layout, field, files)| Candidate {
        module: module.into(),
        model: model.into(),
        layout: layout.into(),
        field,
        files,
        own: false,
    });
    said.collect()
}

/// The folder that a file lies in.
fn home(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What `use` calls a file in the specification at `to`.
fn module(file: &Path, to: &Path) -> Result<String> {
    let place = beside(file, to)?;
    let name = place.strip_suffix(".weft").with_context(|| format!("{} is no .weft file", file.display()))?;
    let usable = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    ensure!(
        name.split('/').all(usable),
        "`use` cannot name {} in {}: write the specification beside it (`-o`)",
        file.display(),
        to.display()
    );
    Ok(name.replace('/', "."))
}

/// The models for a configuration.
fn chosen(all: Vec<Candidate>, config: &Field, wanted: Option<&str>) -> Result<Vec<Candidate>> {
    if let Some(wanted) = wanted {
        let models = all.iter().map(|c| c.model.as_str());
        let hint = weft_runtime::nearest::hint(wanted, models);
        let mut named: Vec<Candidate> = all.iter().filter(|c| c.model == wanted).cloned().collect();
        named.sort_by_key(|candidate| !candidate.files.contains(config.at(&candidate.field)));
        ensure!(!named.is_empty(), "there is no model `{wanted}`{hint}");
        return Ok(named);
    }
    let found: Vec<_> =
        all.iter().filter(|candidate| candidate.files.contains(config.at(&candidate.field))).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut fields: Vec<&str> = all.iter().map(|candidate| candidate.field.as_str()).collect();
    fields.sort_unstable();
    fields.dedup();
    let said: Vec<String> = fields.iter().map(|path| format!("`{path}` is {}", config.at(path))).collect();
    let known: std::collections::BTreeSet<String> = all.iter().flat_map(|c| &c.files).map(Field::to_string).collect();
    let near = fields.iter().flat_map(|path| nearest(&config.at(path).to_string(), known.iter().map(String::as_str)));
    let near: Vec<&str> = near.take(3).collect();
    let near = if near.is_empty() { String::new() } else { format!("; the nearest that it knows: {}", near.join(", ")) };
    bail!(
        "no model of the library is for this: {}{near}\n  --as MODEL takes one of the library all the same, \
         --with FILE one of your own",
        said.join(", ")
    )
}

/// The specification.
fn text(imported: &Imported, candidate: &Candidate, folder: &Path, to: &Path) -> Result<String> {
    let mut modules: Vec<&str> = imported.uses.iter().map(|(module, _)| module.as_str()).collect();
    modules.dedup();
    let mut out = String::new();
    for module in modules {
        let names: Vec<&str> =
            imported.uses.iter().filter(|(own, _)| own == module).map(|(_, name)| name.as_str()).collect();
        out.push_str(&format!("use {module}: {}\n", names.join(", ")));
    }
    let place = beside(folder, to)?;
    let Candidate { layout, .. } = candidate;
    out.push_str(&format!("\nmodel {NAME} = {} {{\n  weights = {layout}({})\n}}\n", imported.text, quoted(&place)));
    match weft_dsl::format::format(&out) {
        Ok(text) => Ok(text),
        Err(faults) => bail!("the specification cannot be read: {faults:?}\n{out}"),
    }
}

/// The way to a folder from the folder of a file that is to be written.
fn beside(folder: &Path, file: &Path) -> Result<String> {
    let absolute = |path: &Path| std::fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()));
    let (folder, home) = (absolute(folder)?, absolute(home(file))?);
    let (theirs, ours): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (folder.components().collect(), home.components().collect());
    let shared = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
    let up = ours[shared..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(theirs[shared..].iter().copied()).collect();
    let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path };
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
