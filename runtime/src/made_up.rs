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

/// A prompt of so many tokens for the program that takes prompts.
///
/// # Errors
/// A program that takes none.
pub fn prompt(program: &Program, tokens: i64) -> Result<Vec<i32>> {
    let ids = program.inputs.iter().find(|port| port.bound.is_some() && port.or.is_none()).context("it takes no tokens")?;
    let vocabulary = ids.bound.as_ref().map_or(Ok(1), |bound| value(bound, &vec![1; program.sizes.len()]))?;
    let stream = Stream::new(0, &ids.name);
    Ok((0..tokens as u64).map(|i| stream.below(i, vocabulary as u64) as i32).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Buffer, Place};

    #[test]
    fn inputs_have_their_shapes_and_bounds() {
        let fixed = |n: i64| Size { terms: vec![(n, vec![])] };
        let batch_of = || Size { terms: vec![(1, vec![0])] };
        let port = |name: &str, axes: Vec<(String, Size)>, bound: Option<Size>, buffer: u32| Port {
            name: name.into(),
            axes,
            bound,
            or: None,
            buffer,
        };
        let rows = || vec![("batch".to_string(), batch_of()), ("time".to_string(), fixed(3))];
        let buffer = |dtype: Dtype| Buffer { dtype, len: fixed(0), place: Place::Input };
        let program = Program {
            sizes: vec!["batch".into()],
            inputs: vec![port("ids", rows(), Some(fixed(7)), 0), port("x", rows(), None, 1), port("$step", vec![], None, 1)],
            buffers: vec![buffer(Dtype::I32), buffer(Dtype::F32)],
            ..Program::default()
        };
        let made = batch(&[&program, &program], &|name| (name == "batch").then_some(50)).unwrap();
        assert_eq!(made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ids", "x"]);
        assert!(made.iter().all(|(_, tensor)| tensor.shape == [50, 3]));
        let ids = made[0].1.to_i64().unwrap();
        assert_eq!((ids.iter().min(), ids.iter().max()), (Some(&0), Some(&6)));
        let unknown = batch(&[&program], &|_| None).unwrap_err();
        assert!(format!("{unknown:#}").contains("nothing says how large `batch` is"), "{unknown:#}");
    }
}
