//! What a test's assertions find: by machine code in this process, or by the interpreter in 64-bit floats.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use weft_compiler::compile::{self, Options};
use weft_compiler::graph::{Array, Bindings, Sizes, Source, eval};
use weft_compiler::lower;
use weft_compiler::plan::Slots;
use weft_runtime::exec::Machine;
use weft_runtime::initialise::drawn;
use weft_runtime::step::{self, Specials};
use weft_runtime::tensor::{Data, Tensor};

use crate::commands::compiled::loaded;

/// Tensors by name.
pub type Tensors = Vec<(String, Tensor)>;

/// Compiles a test and runs it on one thread; parameters and random numbers are drawn from the seed.
pub fn compiled(test: lower::Test, options: &Options, seed: u64) -> Result<Tensors> {
    let output = compile::programs("test", &test.parameters, vec![test.program], options, &mut |_, _, _| {})?;
    let (compiled, _code) = loaded(output)?;
    let mut machine = Machine::new(compiled, 1, options.checked)?;
    machine.initialise(seed)?;
    step::run(&mut machine, "test", &Vec::new(), &Specials { step: 1, seed, ..Specials::default() })
}

/// Interprets a test; parameters and random numbers are those of [`compiled`].
pub fn interpreted(test: &lower::Test, seed: u64) -> Result<Tensors> {
    let graph = &test.program.graph;
    let mut slots = Slots::default();
    slots.declare(&test.parameters)?;
    let sizes = Sizes::new(&graph.axes, &HashMap::new());
    let mut bindings = Bindings::default();
    for input in &graph.inputs {
        let data = match (&input.source, input.name.as_str()) {
            (Source::Parameter(parameter), _) => {
                let own = slots.params.iter().find(|own| own.path == parameter.path);
                drawn(own.with_context(|| format!("`{}` is not declared", parameter.path))?, seed)?
            }
            (Source::Supplied, "seed") => vec![f64::from(step::seed_word(seed))],
            (Source::Supplied, "step") => vec![1.0],
            (Source::Supplied, "micro") => vec![0.0],
            (_, other) => bail!("a test takes no input, and `{other}` is one"),
        };
        bindings.inputs.insert(input.name.clone(), Array::from_order(&sizes.dims(&input.axes)?, data)?);
    }
    let mut found = Tensors::new();
    for (value, output) in eval(graph, &bindings)?.iter().zip(&graph.outputs) {
        let dims = sizes.dims(&output.axes)?;
        let shape = dims.iter().map(|dim| dim.1).collect();
        found.push((output.name.clone(), Tensor::new(shape, Data::F64(value.in_order(&dims)?))?));
    }
    Ok(found)
}
