//! How much memory training takes, before it begins.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::bind::width;
use crate::memory::{resident, written};
use crate::plan::{Place, Plan, Program, Recipe, Role};
use crate::prepare::prepare;

/// The memory of training at its peak, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Parameters.
    pub parameters: u64,
    /// What the optimizer keeps of them, and sums over micro-batches.
    pub state: u64,
    /// Values of a step, where most of them are alive.
    pub values: u64,
    /// What threads work in.
    pub scratch: u64,
    /// What the process is besides: its code, the plan, the data. Only a process that is about to train knows ([`Peak::here`]).
    pub process: u64,
}

impl Peak {
    /// All of it.
    pub fn total(&self) -> u64 {
        let parts = [self.parameters, self.state, self.values, self.scratch, self.process];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// With what this process holds by now, of which nothing may be counted already.
    pub fn here(self) -> Self {
        Self { process: resident(), ..self }
    }
}

impl std::fmt::Display for Peak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [all, parameters, state] = [self.total(), self.parameters, self.state].map(shown);
        write!(
            f,
            "{all} ({parameters} of parameters, {state} of the optimizer, {} of activations and gradients",
            shown(self.values.saturating_add(self.scratch))
        )?;
        if self.process > 0 {
            write!(f, ", {} of the process and its data", shown(self.process))?;
        }
        f.write_str(")")
    }
}

/// `2.41 GB`
pub fn shown(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let bytes = bytes as f64;
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes >= *unit).unwrap_or((1e3, "kB"));
    let digits = if bytes / unit < 10.0 {
        2
    } else if bytes / unit < 100.0 {
        1
    } else {
        0
    };
    format!("{:.digits$} {name}", bytes / unit)
}

/// The memory that training as the recipe says takes with some threads; none where the plan does not train, or its sizes are not
/// those of a recipe.
///
/// # Errors
/// When the plan contradicts itself.
pub fn of_training(plan: &Plan, threads: usize) -> Result<Option<Peak>> {
    let Some(recipe) = &plan.recipe else { return Ok(None) };
    let programs: Vec<&Program> = plan.programs.iter().filter(|program| trains(recipe, &program.name)).collect();
    let mut peak = Peak::default();
    let mut slots = BTreeSet::new();
    for program in &programs {
        let Some(sizes) = program.sizes.iter().map(|name| recipe.size(name)).collect::<Option<Vec<i64>>>() else {
            return Ok(None);
        };
        let prepared = prepare(plan, program, &sizes)?;
        peak.values = peak.values.max(written(prepared.arena) as u64);
        peak.scratch = peak.scratch.max(prepared.scratch.saturating_mul(threads) as u64);
        slots.extend(program.buffers.iter().filter_map(|buffer| match buffer.place {
            Place::Slot(slot) => Some(slot as usize),
            Place::Arena { .. } | Place::Input | Place::Output | Place::Constant(_) => None,
        }));
    }
    for slot in slots.into_iter().filter_map(|slot| plan.slots.get(slot)) {
        let bytes = slot.len.saturating_mul(width(slot.dtype) as u64);
        match slot.role {
            Role::Param(_) => peak.parameters = peak.parameters.saturating_add(bytes),
            Role::State { .. } | Role::Accumulator => peak.state = peak.state.saturating_add(bytes),
            Role::Prepared { .. } | Role::Kept => peak.values = peak.values.saturating_add(bytes),
        }
    }
    Ok((!programs.is_empty()).then_some(peak))
}

/// A size of training that the recipe does not tell, so that nobody knows how much it takes.
pub fn unknown_size(plan: &Plan) -> Option<&str> {
    let recipe = plan.recipe.as_ref()?;
    let sizes = plan.programs.iter().filter(|program| trains(recipe, &program.name)).flat_map(|program| &program.sizes);
    sizes.map(String::as_str).find(|name| recipe.size(name).is_none())
}

/// Whether training runs a program.
fn trains(recipe: &Recipe, program: &str) -> bool {
    match program {
        "loss" | "score" => recipe.evaluate_every > 0,
        _ => Recipe::STEP.contains(&program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_three_digits() {
        assert_eq!([2_414_000_000, 31_200_000, 999_000, 5].map(shown), ["2.41 GB", "31.2 MB", "999 kB", "0.01 kB"]);
    }
}
