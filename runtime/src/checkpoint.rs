//! Checkpoints: parameters, optimizer state and progress in one safetensors file, in logical layouts.

use crate::exec::Machine;
use crate::params;
use crate::plan::{Dtype, Plan, Role};
use crate::tensor_file::{Entry, TensorFile, Written, write};
use crate::weights::{CHECKPOINT, STATES, written};
use anyhow::{Context, Result, ensure};
use safetensors::Dtype as FileDtype;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const VERSION: &str = "1";

/// How far training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Batches consumed: the next batch is this one.
    pub cursor: u64,
    /// Seed of everything drawn by chance.
    pub seed: u64,
    /// What the training loop wants back, such as metrics so far.
    pub metrics: serde_json::Value,
}

/// Writes parameters, optimizer state and progress, whole.
///
/// # Errors
/// When the file cannot be written; an older one is left as it was.
pub fn save(machine: &Machine, progress: &Progress, path: &Path) -> Result<()> {
    let plan = machine.plan();
    let mut tensors = written(machine, &params::native_layout(plan)?)?;
    for (number, slot) in states(plan) {
        tensors.push(Written {
            name: slot.name.clone(),
            dtype: file_dtype(slot.dtype),
            shape: state_shape(plan, number),
            bytes: Box::new(move || Cow::Borrowed(machine.slot(number))),
        });
    }
    let names: Vec<&str> = states(plan).map(|(_, slot)| slot.name.as_str()).collect();
    let metadata = BTreeMap::from([
        (CHECKPOINT.to_string(), VERSION.to_string()),
        (STATES.to_string(), serde_json::to_string(&names)?),
        ("model".to_string(), plan.name.clone()),
        ("fingerprint".to_string(), format!("{:016x}", plan.fingerprint)),
        ("progress".to_string(), serde_json::to_string(progress)?),
    ]);
    write(path, &metadata, tensors)
}

/// Reads what [`save`] wrote, back into the slots; accumulators become zero.
///
/// # Errors
/// When it is no whole checkpoint of this very plan; nothing is touched then.
pub fn load(machine: &mut Machine, path: &Path) -> Result<Progress> {
    let file = TensorFile::open(path)?;
    let progress = check_header(machine.plan(), &file).with_context(|| format!("cannot resume from {}", path.display()))?;
    let entries: HashMap<&str, Entry<'_>> = file.entries().map(|entry| (entry.name, entry)).collect();
    // Where each tensor goes: slot and first byte.
    let mut places: Vec<(Entry<'_>, usize, usize)> = Vec::new();
    let plan = machine.plan();
    let slots = params::slots(plan)?;
    let mut expect = |name: &str, slot: usize, start: usize, shape: &[u64]| {
        let entry = entries.get(name).with_context(|| format!("it lacks `{name}`"))?;
        let fits = entry.dtype == file_dtype(plan.slots[slot].dtype)
            && entry.shape.iter().map(|&size| size as u64).eq(shape.iter().copied());
        ensure!(fits, "its `{name}` is {} {:?}, expected {shape:?}", entry.dtype, entry.shape);
        places.push((entry.clone(), slot, start));
        Ok(())
    };
    let native = params::native_layout(plan)?;
    let mut check = || {
        for stored in &native.tensors {
            let slot = slots[stored.param as usize];
            let size = params::elements(&plan.params[stored.param as usize])? * crate::bind::width(plan.slots[slot].dtype);
            expect(&stored.name, slot, stored.index as usize * size, &stored.shape)?;
        }
        states(plan).try_for_each(|(number, slot)| expect(&slot.name, number, 0, &state_shape(plan, number)))
    };
    check().with_context(|| format!("cannot resume from {}", path.display()))?;
    ensure!(
        places.len() == entries.len(),
        "cannot resume from {}: it has tensors that are none of the plan's",
        path.display()
    );
    for (entry, slot, start) in places {
        machine.slot_mut(slot)[start..start + entry.bytes.len()].copy_from_slice(entry.bytes);
    }
    machine.clear_accumulators();
    Ok(progress)
}

/// The progress that a checkpoint of this plan tells, without its tensors.
fn check_header(plan: &Plan, file: &TensorFile) -> Result<Progress> {
    let tell = |key: &str| file.metadata().get(key).map_or("", String::as_str);
    ensure!(file.metadata().contains_key(CHECKPOINT), "it is no checkpoint (weights alone are given with --weights)");
    ensure!(tell(CHECKPOINT) == VERSION, "it is a checkpoint of version {}, expected {VERSION}", tell(CHECKPOINT));
    let fingerprint = format!("{:016x}", plan.fingerprint);
    ensure!(
        tell("fingerprint") == fingerprint,
        "it was made by another specification (`{}`, {}) than this one (`{}`, {fingerprint}); \
         its parameters alone can be loaded with --weights where their names and shapes agree",
        tell("model"),
        tell("fingerprint"),
        plan.name
    );
    serde_json::from_str(tell("progress")).context("its progress cannot be read")
}

fn states(plan: &Plan) -> impl Iterator<Item = (usize, &crate::plan::Slot)> {
    plan.slots.iter().enumerate().filter(|(_, slot)| matches!(slot.role, Role::State { .. }))
}

/// State with one element for each of its parameter's has the parameter's shape, `[stack…, axes…]`; other state is flat.
fn state_shape(plan: &Plan, slot: usize) -> Vec<u64> {
    let held = &plan.slots[slot];
    if let Role::State { param, .. } = held.role {
        let param = &plan.params[param as usize];
        let shape: Vec<u64> = param.stack.iter().copied().chain(param.axes.iter().map(|&(_, size)| size)).collect();
        if shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size)) == Some(held.len) {
            return shape;
        }
    }
    vec![held.len]
}

fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F32 => FileDtype::F32,
        Dtype::F64 => FileDtype::F64,
        Dtype::I32 => FileDtype::I32,
        Dtype::Bool => FileDtype::BOOL,
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
