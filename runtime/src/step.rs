//! One optimizer step: the whole batch at once, or micro-batches whose gradients add up.

use anyhow::{Context, Result, bail, ensure};

use crate::data::{self, Batch};
use crate::exec::Machine;
use crate::nearest::hint;
use crate::tensor::Tensor;

/// What a step or an evaluation says of itself: `loss`, `grad_norm`, `rate`, `metric.NAME`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Names and values, in the program's order.
    pub values: Vec<(String, f64)>,
}

impl Outcome {
    /// One value by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
    }

    /// The loss.
    ///
    /// # Errors
    /// The program gives none.
    pub fn loss(&self) -> Result<f64> {
        self.get("loss").context("the program gives no output `loss`")
    }

    /// Adds the values to those of the same names.
    pub fn add(&mut self, values: Vec<(String, f64)>) {
        for (name, value) in values {
            match self.values.iter_mut().find(|(found, _)| *found == name) {
                Some((_, sum)) => *sum += value,
                None => self.values.push((name, value)),
            }
        }
    }

    /// What is to be reported: without the weights (`weight.NAME`), and without the values whose weight is 0, which were
    /// computed from nothing.
    pub fn counted(&self) -> Self {
        let counts = |name: &str| !name.starts_with("weight.") && self.get(&format!("weight.{name}")) != Some(0.0);
        Self { values: self.values.iter().filter(|(name, _)| counts(name)).cloned().collect() }
    }
}

/// Scalars that a program may ask for beside the fields of a batch.
#[derive(Clone, Debug, Default)]
pub struct Specials {
    /// `$step`, from 1.
    pub step: u64,
    /// `$seed`.
    pub seed: u64,
    /// `$micro`: which micro-batch.
    pub micro: u64,
    /// `$sum.0`, `$weight.0`, …: what programs gave for several batches under these names, added up.
    pub totals: Outcome,
    /// `$given.NAME`: the optional arguments that are given.
    pub given: Vec<String>,
    /// `$start`: where the text of each row begins.
    pub start: Vec<i32>,
    /// Sizes that no input tells.
    pub sizes: Vec<(String, i64)>,
}

impl Specials {
    fn get(&self, name: &str) -> Option<Tensor> {
        Some(match name {
            "$step" => Tensor::scalar(self.step as f64),
            "$seed" => Tensor::scalar_i32(seed_word(self.seed)),
            "$micro" => Tensor::scalar_i32(self.micro as i32),
            "$start" => Tensor::i32(&[self.start.len()], self.start.clone()).ok()?,
            name if name.starts_with("$given.") => {
                let name = &name["$given.".len()..];
                Tensor::scalar_i32(self.given.iter().any(|given| given == name).into())
            }
            total => Tensor::scalar(self.totals.get(total.strip_prefix('$')?)?),
        })
    }
}

/// A seed as kernels take it: both halves folded into one word.
pub fn seed_word(seed: u64) -> i32 {
    (seed ^ (seed >> 32)) as u32 as i32
}

/// Runs a program on a batch and the special scalars, of which it gets what it asks for.
///
/// # Errors
/// A field that the batch does not hold, and whatever the machine refuses.
pub fn run(machine: &mut Machine, program: &str, batch: &Batch, specials: &Specials) -> Result<Vec<(String, Tensor)>> {
    let mut scalars: Vec<(String, Tensor)> = Vec::new();
    let mut fields: Vec<(&str, &Tensor)> = Vec::new();
    for port in &machine.program(program)?.inputs {
        if let Some(scalar) = specials.get(&port.name) {
            scalars.push((port.name.clone(), scalar));
        } else if let Some((name, tensor)) = batch.iter().find(|(name, _)| *name == port.name) {
            fields.push((name, tensor));
        } else {
            bail!("`{program}` needs `{}`, which the data does not give: it gives {}", port.name, names(batch));
        }
    }
    fields.extend(scalars.iter().map(|(name, tensor)| (name.as_str(), tensor)));
    let sizes: Vec<(&str, i64)> = specials.sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    machine.run_sized(program, &fields, &sizes).with_context(|| format!("in `{}`", program.trim_end_matches('?')))
}

/// As [`run`], where all outputs are scalars.
///
/// # Errors
/// As [`run`]; an output that is no scalar.
pub fn run_scalars(machine: &mut Machine, program: &str, batch: &Batch, specials: &Specials) -> Result<Vec<(String, f64)>> {
    let outputs = run(machine, program, batch, specials)?;
    let scalar = |(name, tensor): (String, Tensor)| match tensor.to_scalar() {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(error.context(format!("`{program}` gives `{name}`, which should be a scalar"))),
    };
    outputs.into_iter().map(scalar).collect()
}

/// Does the optimizer step `step` (from 1) on a whole batch. Where a batch counts nothing, its gradient is 0 and the outcome holds
/// no loss.
///
/// # Errors
/// Data that does not fit the programs.
pub fn step(machine: &mut Machine, batch: &Batch, step: u64, seed: u64, accumulate: u64) -> Result<Outcome> {
    let mut specials = Specials { step, seed, ..Specials::default() };
    if accumulate <= 1 {
        return Ok(Outcome { values: run_scalars(machine, "train_step", batch, &specials)? }.counted());
    }
    let parts = data::split(batch, accumulate)?;
    for (micro, part) in parts.iter().enumerate() {
        specials.micro = micro as u64;
        specials.totals.add(run_scalars(machine, "weigh", part, &specials)?);
    }
    machine.clear_accumulators();
    let mut sums = Outcome::default();
    for (micro, part) in parts.iter().enumerate() {
        specials.micro = micro as u64;
        sums.add(run_scalars(machine, "accumulate", part, &specials)?);
    }
    specials.totals.values.extend(sums.values);
    Ok(Outcome { values: run_scalars(machine, "update", &Vec::new(), &specials)? }.counted())
}

/// Whether a batch holds what programs need.
///
/// # Errors
/// Names the first field that is missing.
pub fn check_needed(machine: &Machine, programs: &[&str], batch: &Batch) -> Result<()> {
    for name in programs {
        let fields = machine.program(name)?.inputs.iter().filter(|port| !port.name.starts_with('$'));
        for port in fields {
            ensure!(
                batch.iter().any(|(found, _)| *found == port.name),
                "`{name}` needs `{}`, which the data does not give: it gives {}",
                port.name,
                names(batch)
            );
        }
    }
    Ok(())
}

/// Whether every field of a batch is needed by one of the programs.
///
/// # Errors
/// Names the first field that is idle, and what may have been meant.
pub fn check_idle(machine: &Machine, programs: &[&str], batch: &Batch) -> Result<()> {
    let mut known = Vec::new();
    for name in programs {
        let inputs = &machine.program(name)?.inputs;
        known.extend(inputs.iter().map(|port| port.name.as_str()).filter(|name| !name.starts_with('$')));
    }
    known.sort_unstable();
    known.dedup();
    for (name, _) in batch {
        ensure!(
            known.contains(&name.as_str()),
            "the data gives `{name}`, which nothing here takes{}",
            hint(name, known.iter().copied())
        );
    }
    Ok(())
}

/// The fields of a batch, for messages.
pub(crate) fn names(batch: &Batch) -> String {
    let names: Vec<String> = batch.iter().map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
