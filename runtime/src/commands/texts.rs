//! Lines of a file as what a function reads: their tokens, and which places are none.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::data::Batch;
use crate::exec::Machine;
use crate::optional::optional_ports;
use crate::plan::{Dtype, Plan, Port, Program, Recipe};
use crate::tensor::Tensor;

/// A row for each line of a file, as long as the longest: the function's only indices, and its truth values of the same axes, which say
/// where there is text.
///
/// # Errors
/// A file that cannot be read, no tokenizer, or a function that takes something else.
pub fn read(machine: &Machine, function: &str, file: &Path, tokenizer: Option<&Path>) -> Result<Batch> {
    let plan = machine.plan();
    let needed = machine.program(function)?;
    let ids = indices(needed, function)?;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (tokenizer, _) = super::tokenizer(plan, tokenizer)?;
    let encode = |(number, line): (usize, &str)| {
        let tokens = tokenizer.encode_marked(line).and_then(|tokens| {
            ensure!(!tokens.is_empty(), "it has no token");
            Ok(tokens)
        });
        tokens.with_context(|| format!("line {} of {}", number + 1, file.display()))
    };
    let rows: Vec<Vec<i32>> = text.lines().enumerate().map(encode).collect::<Result<_>>()?;
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    ensure!(longest > 0, "{} has no text", file.display());
    let shape = [rows.len(), longest];
    let padding = i64::from(tokenizer.padding());
    let padded = |row: &Vec<i32>| {
        let tokens: Vec<i64> = row.iter().map(|&token| i64::from(token)).collect();
        [tokens, vec![padding; longest - row.len()]].concat()
    };
    let mut inputs = vec![(ids.name.clone(), Tensor::i64(&shape, rows.iter().flat_map(padded).collect())?)];
    match mask(plan, needed, &ids) {
        Some(mask) => {
            let there = |row: &Vec<i32>| [vec![1; row.len()], vec![0; longest - row.len()]].concat();
            inputs.push((mask.name, Tensor::i64(&shape, rows.iter().flat_map(there).collect())?));
        }
        None => ensure!(
            rows.iter().all(|row| row.len() == longest),
            "the lines of {} have unequal numbers of tokens, and `{function}` takes nothing that says which are there",
            file.display()
        ),
    }
    Ok(inputs)
}

/// The only input that a function cannot do without: indices of texts.
fn indices(program: &Program, function: &str) -> Result<Port> {
    let inputs: Vec<&Port> = program.inputs.iter().filter(|port| !port.name.starts_with('$')).collect();
    match inputs[..] {
        [port] if kind(program, port) == Some(Dtype::I32) && is_text(port) => Ok(port.clone()),
        _ => {
            let names: Vec<String> = inputs.iter().map(|port| format!("`{}`", port.name)).collect();
            bail!("`--texts` gives a function its only indices, of [batch, time]; `{function}` takes {}", names.join(", "))
        }
    }
}

/// Whether a port holds a row for each text, whatever its axes are called but the one as the other.
fn is_text(port: &Port) -> bool {
    matches!(port.axes.as_slice(), [(rows, _), (places, _)] if rows != Recipe::TIME && places != Recipe::BATCH)
}

/// The truth values that go with indices, where a function takes any.
fn mask(plan: &Plan, needed: &Program, ids: &Port) -> Option<Port> {
    let name = Program::with_options(&needed.name);
    let open = plan.programs.iter().find(|program| program.name == name)?;
    let axes = |port: &Port| port.axes.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let fits = |port: &Port| kind(open, port) == Some(Dtype::Bool) && axes(port) == axes(ids);
    optional_ports(needed, open).into_iter().find(fits)
}

fn kind(program: &Program, port: &Port) -> Option<Dtype> {
    program.buffers.get(port.buffer as usize).map(|buffer| buffer.dtype)
}
