//! What code that was compiled to check itself has found, in the plan's names.

use crate::launch::Fault;
use crate::plan::{Place, Plan, Program};
use crate::prepared::{Op, Prepared};

/// A kernel's access out of bounds.
pub fn describe(plan: &Plan, program: &Program, prepared: &Prepared, fault: Fault) -> anyhow::Error {
    let Some(&Op::Launch { kernel, args, .. }) = prepared.ops.get(fault.op) else {
        return anyhow::anyhow!("a kernel of `{}` met an access out of bounds", program.name);
    };
    let buffer = prepared.args[args.0..args.1].get(fault.arg).map(|arg| arg.buffer);
    let port = program.inputs.iter().chain(&program.outputs).find(|port| Some(port.buffer as usize) == buffer);
    let place = match (buffer.map(|number| &program.buffers[number].place), port) {
        (_, Some(port)) => format!("`{}`", port.name),
        (Some(Place::Slot(slot)), None) => format!("`{}`", plan.slots[*slot as usize].name),
        (Some(_), None) => format!("buffer {}", buffer.unwrap_or_default()),
        (None, None) => "no buffer".to_string(),
    };
    anyhow::anyhow!(
        "kernel `{}` of `{}`: the index {} of argument {} ({place}) is out of bounds",
        plan.kernels[kernel],
        program.name,
        fault.index,
        fault.arg
    )
}
