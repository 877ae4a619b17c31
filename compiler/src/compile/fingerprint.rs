//! What a checkpoint is compared by.

use weft_runtime::plan::{self, Plan};
use weft_runtime::random::hash;

/// A number that differs where parameters, programs or the recipe's size differ (FNV-1a, 64 bits).
pub fn fingerprint(plan: &Plan) -> u64 {
    let programs: Vec<_> = plan.programs.iter().map(|p| (&p.name, &p.inputs, &p.outputs)).collect();
    let recipe = plan.recipe.as_ref().map(|r| (&r.name, r.batch, r.time, r.accumulate, r.seed));
    // What is prepared of slots depends on the processor, and no checkpoint holds it.
    let slots: Vec<_> = plan.slots.iter().filter(|slot| !matches!(slot.role, plan::Role::Prepared { .. })).collect();
    hash(&format!("{:?}{:?}{slots:?}{programs:?}{recipe:?}", plan.name, plan.params))
}
