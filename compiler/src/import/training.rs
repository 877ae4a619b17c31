//! A recipe for an imported model: its own loss of given batches.

use std::path::Path;

use anyhow::Context;
use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{NoData, Session, Taken, TypesOnly};
use weft_dsl::types::Elem;
use weft_runtime::plan::Program;
use weft_runtime::tensor_file::TensorFile;

use super::NAME;
use crate::compile::{Failure, Specification};
use crate::graph::{Input, Kind, NodeId, Source};
use crate::lower;

/// A model's own loss among its results.
const LOSS: &str = "loss";
/// The program of a model's nameless function.
const FORWARD: &str = "forward";

/// How an imported model is trained.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// Its batches: tensors `[steps, batch, …]`.
    pub batches: &'a Path,
    /// What its optimizer is brought in by: `use …`.
    pub uses: &'a str,
    /// Its optimizer.
    pub optimizer: &'a str,
}

/// An objective and a recipe for the imported specification at `to`: its own loss of the tensors that the batches have. The recipe bears
/// the file's name, so that what it trains is not taken for another's.
///
/// # Errors
/// The batches are not the model's, or it has no loss of its own.
pub fn recipe(to: &Path, text: &str, training: &Training<'_>) -> std::result::Result<String, Failure> {
    let Training { batches, uses, optimizer } = *training;
    let specification = crate::compile::specification(to, text)?;
    let no_data = NoData;
    let mut session = Session::new(&specification.program, TypesOnly::default(), true, &no_data);
    let failed = |faults| Failure::Faults(faults, specification.program.sources().clone());
    let model = session.model(NAME, &[]).map_err(failed)?;
    let takes = session.takes(&model);
    let gives = session.call(&model, None).map_err(failed)?.outputs;
    if gives.iter().all(|output| output.name != LOSS) {
        return Err(anyhow::anyhow!("`{}` has no `loss` of its own: write an objective for it", model.name).into());
    }
    let file = TensorFile::open(batches)?;
    let mut fields: Vec<Taken> = Vec::new();
    let (mut steps, mut batch) = (0, 0);
    for entry in file.entries() {
        let named = takes.iter().find(|taken| taken.name == entry.name).with_context(|| {
            let names: Vec<String> = takes.iter().map(|taken| format!("`{}`", taken.name)).collect();
            format!("{} has `{}`, and the model takes {}", batches.display(), entry.name, names.join(", "))
        })?;
        match entry.shape {
            [first, second, ..] if entry.shape.len() == named.axes + 1 => (steps, batch) = (*first, *second),
            shape => {
                let wanted = named.ty.replacen('[', "[steps, ", 1);
                let (place, name) = (batches.display(), entry.name);
                return Err(anyhow::anyhow!("`{name}` of {place} has the shape {shape:?}, where {wanted} is needed").into());
            }
        }
        fields.push(named.clone());
    }
    if let Some(missing) = takes.iter().find(|taken| taken.needed && !fields.contains(taken)) {
        let (place, name, ty) = (batches.display(), &missing.name, &missing.ty);
        return Err(anyhow::anyhow!("{place} lacks `{name}`, which `{}` needs: {ty}", model.name).into());
    }
    let targets = targets(&specification).map_err(failed)?;
    if !targets.is_empty() && !fields.iter().any(|field| targets.contains(&field.name)) {
        let listed: Vec<String> = targets.iter().map(|name| format!("`{name}`")).collect();
        let what = listed.join(" or ");
        return Err(anyhow::anyhow!(
            "{} has nothing for the loss to compare with: `{}` learns from {what}",
            batches.display(),
            model.name
        )
        .into());
    }
    let over: Vec<String> = fields.iter().map(|field| format!("{}: {}", field.name, field.ty)).collect();
    let given: Vec<String> = fields.iter().map(|field| format!("{0}: {0}", field.name)).collect();
    let (over, given) = (over.join(", "), given.join(", "));
    let stem = to.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // With something before it, any name is one that nothing else has.
    let name = format!("tune_{}", stem.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let text = format!(
        "{uses}\n{text}\nobjective own_loss(model) over ({over}) {{\n  loss = model({given}).loss\n}}\n\n\
         train {name} {{\n  data = batches()\n  model = {NAME}\n  objective = own_loss()\n  optimizer = {optimizer}\n  \
         clip = 1.0\n  batch = {batch}\n  steps = {steps}\n}}\n"
    );
    Ok(weft_dsl::format::format(&text).map_err(|faults| anyhow::anyhow!("the recipe cannot be read: {faults:?}"))?)
}

/// What a model's `loss` reads of what may be given and is no part of its other results: that which it is to come to.
fn targets(specification: &Specification) -> std::result::Result<Vec<String>, Vec<Diagnostic>> {
    let host = NoData;
    let functions = lower::model(&specification.program, NAME, &[], &host, Some(None))?.functions;
    let program = |name: &str| functions.iter().find(|function| function.name == name).map(|function| &function.graph);
    let (Some(needed), Some(open)) = (program(FORWARD), program(&Program::with_options(FORWARD))) else {
        return Ok(Vec::new());
    };
    let region = &open.body;
    let of_loss = |wanted: bool| -> Vec<NodeId> {
        let outputs = open.outputs.iter().zip(&region.outputs);
        outputs.filter(|(output, _)| (output.name == LOSS) == wanted).map(|(_, &node)| node).collect()
    };
    let [loss, others] = [true, false].map(|wanted| region.read_by(&of_loss(wanted)));
    let own = region.iter().filter(|(id, _)| loss[id.0 as usize] && !others[id.0 as usize]);
    let own = own.filter_map(|(_, node)| match node.kind {
        Kind::Argument(number) => Some(&open.inputs[number as usize]),
        _ => None,
    });
    let own: Vec<&Input> = own.filter(|input| input.source == Source::Port && input.elem != Elem::Bool).collect();
    let is_needed = |own: &&Input| needed.inputs.iter().any(|input| input.name == own.name);
    // What must be given is enough.
    Ok(if own.iter().any(is_needed) { Vec::new() } else { own.into_iter().map(|input| input.name.clone()).collect() })
}
