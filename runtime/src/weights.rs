//! Parameters from and to files, in our names or somebody else's.

use crate::exec::Machine;
use crate::fit::{check_layout, fitting, layout_named};
use crate::gather::{self, Float};
use crate::params;
use crate::plan::{Dtype, Layout, Plan, Stored};
use crate::tensor_file::{Entry, Written, write};
use crate::tensor_files::TensorFiles;
use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype as FileDtype;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub use crate::tensor_file::{read_tensors, write_tensors};

/// The entry of a file's metadata that makes it a checkpoint; its value is the version.
pub(crate) const CHECKPOINT: &str = "weft_checkpoint";

/// The entry of a checkpoint's metadata that names its tensors of optimizer state, as a list in JSON: a program without an
/// optimizer, or with another one, takes its parameters all the same.
pub(crate) const STATES: &str = "states";

/// Fills every parameter from a safetensors file in our names (`native`) or a layout's; `None` takes the one whose names
/// match most. Elements may be f16, bf16, f32 or f64. A checkpoint's optimizer state is passed over.
///
/// # Errors
/// When a tensor is missing, unknown, misshapen or of another type: all problems in one message. No parameter is touched then.
pub fn load(machine: &mut Machine, path: &Path, layout: Option<&str>) -> Result<()> {
    load_except(machine, path, layout, &[])
}

/// As [`load`], but passes over tensors of the names `ignored` (such as stored tables that the model computes itself).
///
/// # Errors
/// As for [`load`], and when the file has no tensor of an ignored name.
pub fn load_except(machine: &mut Machine, path: &Path, layout: Option<&str>, ignored: &[String]) -> Result<()> {
    let file = TensorFiles::open(path)?;
    let entries: HashMap<&str, Entry<'_>> = file.entries().map(|entry| (entry.name, entry)).collect();
    let states = states(file.metadata()).with_context(|| format!("{} is no whole checkpoint", path.display()))?;
    let layout = fitting(machine.plan(), &entries, layout, ignored, &states)
        .with_context(|| format!("{} does not fit `{}`", path.display(), machine.plan().name))?;
    let slots = params::slots(machine.plan())?;
    for stored in &layout.tensors {
        let param = machine.plan().params[stored.param as usize].clone();
        let slot = slots[stored.param as usize];
        let dtype = machine.plan().slots[slot].dtype;
        let (shape, _) = params::piece(&param, stored)?;
        let size = shape.iter().product::<u64>() as usize * crate::bind::width(dtype);
        let start = stored.index as usize * size;
        let entry = &entries[stored.name.as_str()];
        let Some(float) = Float::of(entry.dtype) else { bail!("`{}` holds no floats", entry.name) };
        gather::load(float, entry.bytes, stored, &shape, dtype, &mut machine.slot_mut(slot)[start..start + size]);
    }
    Ok(())
}

/// Checks that files, a file or a folder, hold every parameter under the names of a layout, by their headers.
///
/// # Errors
/// As for [`load`].
pub fn check(plan: &Plan, path: &Path, layout: &str) -> Result<()> {
    let files = TensorFiles::open(path)?;
    let entries: HashMap<&str, Entry<'_>> = files.entries().map(|entry| (entry.name, entry)).collect();
    fitting(plan, &entries, Some(layout), &[], &[]).with_context(|| format!("{} does not fit", path.display()))?;
    Ok(())
}

/// The tensors of a file that are optimizer state; none where it is no checkpoint.
fn states(metadata: Option<&HashMap<String, String>>) -> Result<Vec<String>> {
    let metadata = metadata.filter(|metadata| metadata.contains_key(CHECKPOINT));
    let names = metadata.and_then(|metadata| metadata.get(STATES));
    names.map_or(Ok(Vec::new()), |names| serde_json::from_str(names).context("its list of states cannot be read"))
}

/// Writes every parameter to a safetensors file, in our names (`None` or `native`) or a layout's.
///
/// # Errors
/// When there is no such layout or the file cannot be written; an older one is left as it was.
pub fn save(machine: &Machine, path: &Path, layout: Option<&str>) -> Result<()> {
    let layout = layout_named(machine.plan(), layout.unwrap_or("native"))?;
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write(path, &metadata, written(machine, &layout)?)
}

/// Every parameter as tensors of a layout.
pub(crate) fn written<'m>(machine: &'m Machine, layout: &Layout) -> Result<Vec<Written<'m>>> {
    let plan = machine.plan();
    check_layout(plan, layout)?;
    let slots = params::slots(plan)?;
    // The pieces of each stored tensor, in the layout's order of names.
    let mut order: Vec<&str> = Vec::new();
    let mut pieces: HashMap<&str, Vec<&Stored>> = HashMap::new();
    for stored in &layout.tensors {
        let pieces = pieces.entry(&stored.name).or_default();
        if pieces.is_empty() {
            order.push(&stored.name);
        }
        pieces.push(stored);
    }
    let mut out = Vec::with_capacity(order.len());
    for name in order {
        let pieces = &pieces[name];
        let dtype = plan.slots[slots[pieces[0].param as usize]].dtype;
        let width = crate::bind::width(dtype);
        let whole: u64 = pieces[0].shape.iter().product();
        let mut covered = 0;
        let mut parts = Vec::new();
        for stored in pieces {
            let param = &plan.params[stored.param as usize];
            let slot = slots[stored.param as usize];
            ensure!(
                plan.slots[slot].dtype == dtype && stored.shape == pieces[0].shape,
                "layout `{}` contradicts itself about `{name}`",
                layout.name
            );
            let (shape, _) = params::piece(param, stored)?;
            let elements = shape.iter().product::<u64>() as usize;
            covered += elements as u64;
            let start = stored.index as usize * elements * width;
            let bytes = &machine.slot(slot)[start..start + elements * width];
            parts.push(((*stored).clone(), shape, bytes));
        }
        ensure!(covered == whole, "layout `{}` gives {covered} of the {whole} elements of `{name}`", layout.name);
        let shape = pieces[0].shape.clone();
        let bytes: Box<dyn Fn() -> Cow<'m, [u8]> + 'm> = Box::new(move || match &parts[..] {
            [(stored, shape, bytes)] if gather::is_contiguous(stored, shape) => Cow::Borrowed(*bytes),
            parts => {
                let mut out = vec![0; whole as usize * width];
                for (stored, shape, bytes) in parts {
                    gather::save(bytes, stored, shape, width, &mut out);
                }
                Cow::Owned(out)
            }
        });
        let dtype = if dtype == Dtype::F64 { FileDtype::F64 } else { FileDtype::F32 };
        out.push(Written { name: name.to_string(), dtype, shape, bytes });
    }
    Ok(out)
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
