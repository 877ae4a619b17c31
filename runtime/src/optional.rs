//! Arguments that a function can do without: where one is given, the program that takes them all is run.

use crate::bind;
use crate::data::Batch;
use crate::exec::Machine;
use crate::plan::{Dtype, Port, Program};
use crate::tensor::{Data, Tensor, product};
use anyhow::{Context, Result};

impl Program {
    /// The name of the program that computes a function with its optional arguments as inputs: it asks for each, as `$given.NAME`,
    /// whether it is given.
    pub fn with_options(function: &str) -> String {
        format!("{function}?")
    }

    /// Whether a program of this name takes the optional arguments of a function.
    pub fn takes_options(name: &str) -> bool {
        name.ends_with('?')
    }
}

/// The inputs that a function's program with options has beyond those that it needs.
pub fn optional_ports(needed: &Program, open: &Program) -> Vec<Port> {
    let is_needed = |port: &Port| needed.inputs.iter().any(|other| other.name == port.name);
    open.inputs.iter().filter(|port| !port.name.starts_with('$') && !is_needed(port)).cloned().collect()
}

/// The program that computes a function on what is given, its inputs, and which optional arguments are among these. Those that are
/// not given are zeros, which the program does not look at.
///
/// # Errors
/// An unknown function; an argument that is not given, and whose size nothing that is given tells.
pub fn with_options(machine: &Machine, function: &str, mut inputs: Batch) -> Result<(String, Batch, Vec<String>)> {
    let needed = machine.program(function)?;
    let name = Program::with_options(function);
    let Some(open) = machine.plan().programs.iter().find(|program| program.name == name) else {
        return Ok((function.to_owned(), inputs, Vec::new()));
    };
    let optional = optional_ports(needed, open);
    let is_given = |port: &Port| inputs.iter().any(|(name, _)| *name == port.name);
    let (given, absent): (Vec<Port>, Vec<Port>) = optional.into_iter().partition(is_given);
    if given.is_empty() {
        return Ok((function.to_owned(), inputs, Vec::new()));
    }
    let pairs: Vec<(&Port, &Tensor)> = open
        .inputs
        .iter()
        .filter_map(|port| inputs.iter().find(|(name, _)| *name == port.name).map(|(_, tensor)| (port, tensor)))
        .collect();
    let (sizes, _) = bind::solved(&pairs, vec![None; open.sizes.len()]);
    let zeros = absent.iter().map(|port| Ok((port.name.clone(), zeros(open, port, &sizes)?)));
    let zeros = zeros.collect::<Result<Batch>>()?;
    inputs.extend(zeros);
    Ok((name, inputs, given.into_iter().map(|port| port.name).collect()))
}

/// A tensor of zeros for an input.
fn zeros(program: &Program, port: &Port, sizes: &[Option<i64>]) -> Result<Tensor> {
    let mut shape = Vec::new();
    for (axis, size) in &port.axes {
        let mut variables = size.terms.iter().flat_map(|(_, variables)| variables);
        let known = variables.all(|&variable| sizes.get(variable as usize).is_some_and(Option::is_some));
        let values: Vec<i64> = sizes.iter().map(|size| size.unwrap_or_default()).collect();
        let length = known.then(|| bind::value(size, &values));
        shape.push(length.with_context(|| {
            format!(
                "`{}` is not given, and nothing that is given tells how long its axis `{axis}` is: give it too",
                port.name
            )
        })?? as usize);
    }
    let length = product(&shape).with_context(|| format!("the input `{}` is too large", port.name))?;
    let dtype = program.buffers.get(port.buffer as usize).map_or(Dtype::F32, |buffer| buffer.dtype);
    let data = match dtype {
        Dtype::F32 => Data::F32(vec![0.0; length]),
        Dtype::F64 => Data::F64(vec![0.0; length]),
        Dtype::I32 => Data::I32(vec![0; length]),
        Dtype::Bool => Data::Bool(vec![0; length]),
    };
    Tensor::new(shape, data)
}
