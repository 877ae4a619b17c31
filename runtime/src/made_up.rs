//! Made-up inputs: for the time that a program takes, most values are as good as any.

use anyhow::{Context, Result};

use crate::bind::{show_size, value};
use crate::data::Batch;
use crate::plan::{Dtype, Port, Program, Size};
use crate::random::Stream;
use crate::tensor::{Data, Tensor};

/// A tensor for each input that programs have, but for what the runtime supplies: indices and floats are drawn (uniform, normal),
/// integers are 1, truth values true. `size` gives the value of a size by its name.
///
/// # Errors
/// A size without a value.
pub fn batch(programs: &[&Program], size: &dyn Fn(&str) -> Option<i64>) -> Result<Batch> {
    let mut batch = Batch::new();
    for program in programs {
        let values: Vec<Option<i64>> = program.sizes.iter().map(|name| size(name)).collect();
        for port in program.inputs.iter().filter(|port| !port.name.starts_with('$')) {
            if batch.iter().all(|(name, _)| *name != port.name) {
                let made = tensor(program, port, &values).with_context(|| format!("the input `{}`", port.name))?;
                batch.push((port.name.clone(), made));
            }
        }
    }
    Ok(batch)
}

fn tensor(program: &Program, port: &Port, values: &[Option<i64>]) -> Result<Tensor> {
    let known = |size: &Size| -> Result<i64> {
        let variables = size.terms.iter().flat_map(|(_, variables)| variables);
        let all = variables.map(|&v| values.get(v as usize).copied().flatten()).collect::<Option<Vec<i64>>>();
        all.with_context(|| format!("nothing says how large `{}` is", show_size(program, size)))?;
        value(size, &values.iter().map(|value| value.unwrap_or(0)).collect::<Vec<_>>())
    };
    let shape: Vec<usize> = port.axes.iter().map(|(_, size)| Ok(known(size)? as usize)).collect::<Result<_>>()?;
    let (stream, len) = (Stream::new(0, &port.name), shape.iter().product::<usize>() as u64);
    let data = match (program.buffers[port.buffer as usize].dtype, &port.bound) {
        (Dtype::I32 | Dtype::Bool, None) => Data::I64(vec![1; len as usize]),
        (Dtype::I32 | Dtype::Bool, Some(bound)) => {
            let bound = known(bound)? as u64;
            Data::I64((0..len).map(|i| stream.below(i, bound) as i64).collect())
        }
        (Dtype::F32 | Dtype::F64, _) => Data::F32((0..len).map(|i| stream.normal(i) as f32).collect()),
    };
    Tensor::new(shape, data)
}
