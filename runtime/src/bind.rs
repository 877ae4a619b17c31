//! From the shapes of inputs to the values of a program's sizes, and from tensors to the elements that kernels read.

use crate::nearest::hint;
use crate::plan::{CAPACITY, Dtype, PAST, Port, Program, Size, of_ring};
use crate::tensor::{Data, Tensor};
use anyhow::{Context, Result, bail, ensure};

/// The value of a size.
///
/// # Errors
/// When it is negative or exceeds `i64`, or names a variable that the program lacks.
pub fn value(size: &Size, values: &[i64]) -> Result<i64> {
    let value = signed(size, values)?;
    ensure!(value >= 0, "a size comes to {value}; it cannot be negative");
    Ok(value)
}

/// The value of a size that may be negative, such as a stride.
///
/// # Errors
/// When it exceeds `i64`, or names a variable that the program lacks.
pub fn signed(size: &Size, values: &[i64]) -> Result<i64> {
    let mut sum = Some(0i64);
    for (coefficient, variables) in &size.terms {
        let mut product = Some(*coefficient);
        for &variable in variables {
            let factor = *values.get(variable as usize).context("the plan names a size variable that it lacks")?;
            product = product.and_then(|p| p.checked_mul(factor));
        }
        sum = sum.zip(product).and_then(|(s, p)| s.checked_add(p));
    }
    sum.context("a size exceeds 64 bits")
}

/// One tensor for each of [`Program::inputs`], from tensors by name in any order.
///
/// # Errors
/// When one is missing, unknown or given twice.
pub fn in_order<'t>(program: &Program, given: &[(&str, &'t Tensor)]) -> Result<Vec<&'t Tensor>> {
    let known = || program.inputs.iter().map(|port| port.name.as_str());
    for (number, (name, _)) in given.iter().enumerate() {
        if !known().any(|port| port == *name) {
            let all: Vec<String> = known().map(|n| format!("`{n}`")).collect();
            let all = if all.is_empty() { "nothing".to_string() } else { all.join(", ") };
            bail!("`{}` has no input `{name}`{} (it takes {all})", program.name, hint(name, known()));
        }
        ensure!(given[..number].iter().all(|(other, _)| other != name), "input `{name}` is given twice");
    }
    let find = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, tensor)| *tensor);
    let ports = program.inputs.iter().map(|port| {
        find(&port.name).with_context(|| {
            let axes = show_axes(program, port);
            format!("`{}` needs the input `{}` with the axes {axes}; it is not given", program.name, port.name)
        })
    });
    ports.collect()
}

/// The values of a program's sizes: each axis that is one variable (or a multiple of one, plus a constant) gives its value, and
/// then all axes are checked. `inputs` has one tensor for each of [`Program::inputs`]; `given` are values of sizes that inputs do not
/// tell.
///
/// # Errors
/// When a tensor has another number of axes or another size than its port, or a limit is exceeded.
pub fn sizes(program: &Program, inputs: &[&Tensor], given: &[(&str, i64)]) -> Result<Vec<i64>> {
    for (port, tensor) in program.inputs.iter().zip(inputs) {
        ensure!(
            port.axes.len() == tensor.shape.len(),
            "input `{}` has the axes {}, found a tensor of shape {:?}",
            port.name,
            show_axes(program, port),
            tensor.shape
        );
    }
    let pairs: Vec<(&Port, &Tensor)> = program.inputs.iter().zip(inputs.iter().copied()).collect();
    let given = |name: &str| given.iter().find(|(n, _)| *n == name).map(|&(_, value)| value);
    let value_of = |name: &String| given(name).or_else(|| of_ring(name, given(PAST)?, given(CAPACITY)?));
    let (values, origins) = solved(&pairs, program.sizes.iter().map(value_of).collect());
    let values: Vec<i64> = values
        .into_iter()
        .zip(&program.sizes)
        .map(|(value, name)| value.with_context(|| format!("no input of `{}` tells the size `{name}`", program.name)))
        .collect::<Result<_>>()?;
    for (port, axis, size, found) in axes(&pairs) {
        let expected = value(size, &values)?;
        if expected as u64 != found as u64 {
            let mut message = format!("input `{}`, axis `{axis}`: expected {expected}, found {found}", port.name);
            if let Some(&variable) = size.terms.iter().flat_map(|(_, variables)| variables).next()
                && let Some((origin, origin_axis)) = origins[variable as usize]
            {
                let (name, value) = (&program.sizes[variable as usize], values[variable as usize]);
                message += &format!(" (`{name}` is {value} in axis `{origin_axis}` of `{origin}`)");
            }
            bail!(message);
        }
    }
    for limit in &program.limits {
        let (found, most) = (signed(&limit.size, &values)?, signed(&limit.at_most, &values)?);
        let [name, most_name] = [&limit.size, &limit.at_most].map(|size| show_size(program, size));
        let why = &limit.why;
        if fixed(&limit.size).is_some() {
            ensure!(found <= most, "`{most_name}` is {most}, at least {found} is needed: {why}");
        }
        ensure!(found <= most, "`{name}` is {found}, at most {most} is possible: {why}");
    }
    Ok(values)
}

/// The axes of tensors: the port, the axis' name, the size it has there, how long it is.
fn axes<'a>(pairs: &[(&'a Port, &'a Tensor)]) -> impl Iterator<Item = (&'a Port, &'a str, &'a Size, usize)> {
    pairs.iter().flat_map(|&(port, tensor)| {
        port.axes.iter().zip(&tensor.shape).map(move |((axis, size), &found)| (port, axis.as_str(), size, found))
    })
}

/// Where a size was read: the input and its axis.
type Origin<'a> = Option<(&'a str, &'a str)>;

/// What tensors tell of the sizes, some of which may be known before, and where each is read.
pub fn solved<'a>(pairs: &[(&'a Port, &'a Tensor)], mut values: Vec<Option<i64>>) -> (Vec<Option<i64>>, Vec<Origin<'a>>) {
    let mut origins = vec![None; values.len()];
    // Single variables first: their message is the plainer one when axes contradict each other.
    for single in [true, false] {
        let mut progress = true;
        while progress {
            progress = false;
            for (port, axis, size, found) in axes(pairs) {
                if let Some((variable, value)) = solve(size, found, &values, single) {
                    values[variable] = Some(value);
                    origins[variable] = Some((port.name.as_str(), axis));
                    progress = true;
                }
            }
        }
    }
    (values, origins)
}

/// The value of a size that depends on no variable.
pub fn fixed(size: &Size) -> Option<i64> {
    size.terms.iter().all(|(_, variables)| variables.is_empty()).then(|| size.terms.iter().map(|(n, _)| n).sum())
}

/// The only unknown of `size = found`, where it occurs once and linearly.
fn solve(size: &Size, found: usize, values: &[Option<i64>], single: bool) -> Option<(usize, i64)> {
    if single && !matches!(&size.terms[..], [(1, variables)] if variables.len() == 1) {
        return None;
    }
    let mut rest = i64::try_from(found).ok()?;
    let mut unknown: Option<(usize, i64)> = None;
    for (coefficient, variables) in &size.terms {
        let mut product = *coefficient;
        let mut open = None;
        for &variable in variables {
            match *values.get(variable as usize)? {
                Some(value) => product = product.checked_mul(value)?,
                None if open.is_none() => open = Some(variable as usize),
                None => return None,
            }
        }
        match open {
            None => rest = rest.checked_sub(product)?,
            Some(variable) if unknown.is_none() => unknown = Some((variable, product)),
            Some(_) => return None,
        }
    }
    let (variable, factor) = unknown?;
    let exact = factor != 0 && rest.checked_rem(factor)? == 0 && rest.checked_div(factor)? >= 0;
    // Not exact: the check of all axes reports it, once something else has told the variable.
    exact.then(|| (variable, rest / factor))
}

/// A size in the user's names: `2 time + 1`.
pub fn show_size(program: &Program, size: &Size) -> String {
    let terms = size.terms.iter().map(|(coefficient, variables)| {
        let names = variables.iter().map(|&v| program.sizes.get(v as usize).map_or("?", String::as_str));
        let number = (*coefficient != 1 || variables.is_empty()).then(|| coefficient.to_string());
        number.into_iter().chain(names.map(str::to_string)).collect::<Vec<_>>().join(" ")
    });
    let text = terms.collect::<Vec<_>>().join(" + ");
    if text.is_empty() { "0".to_string() } else { text }
}

/// A port's axes: `[batch, time]`, with the size where it is another than the axis's own name.
pub fn show_axes(program: &Program, port: &Port) -> String {
    let axes = port.axes.iter().map(|(name, size)| {
        let size = show_size(program, size);
        if *name == size { size } else { format!("{name} {size}") }
    });
    format!("[{}]", axes.collect::<Vec<_>>().join(", "))
}

/// Bytes of an element.
pub fn width(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 => 8,
        Dtype::F32 | Dtype::I32 => 4,
        Dtype::Bool => 1,
    }
}

/// Where an input's elements lie as the kernels read them, unaligned; none where they must be converted or checked.
pub fn lying(dtype: Dtype, tensor: &Tensor) -> Option<*mut u8> {
    match (dtype, &tensor.data) {
        (Dtype::F32, Data::F32(v)) if cfg!(target_endian = "little") => Some(v.as_ptr().cast_mut().cast()),
        _ => None,
    }
}

/// Writes an input's elements as the kernels read them, little endian; `bound` is the value of [`Port::bound`].
///
/// Floats take f32 or f64, integers and indices i64 or i32, booleans any integer (nonzero is true).
///
/// # Errors
/// When the tensor's type does not fit, an index is out of bounds or an integer exceeds 32 bits.
pub fn write_input(port: &Port, bound: Option<i64>, dtype: Dtype, tensor: &Tensor, out: &mut [u8]) -> Result<()> {
    ensure!(out.len() == tensor.len() * width(dtype), "the buffer of input `{}` has another length", port.name);
    let integer = |at: usize, x: i64| -> Result<[u8; 4]> {
        let place = || place(&tensor.shape, at);
        match bound {
            Some(bound) if (x < 0 || x >= bound) && port.or != Some(x) => {
                let besides = port.or.map_or(String::new(), |other| format!(" and is not {other}"));
                bail!("input `{}`{}: the index {x} is outside 0..{bound}{besides}", port.name, place())
            }
            _ => {}
        }
        let narrow = i32::try_from(x);
        Ok(narrow.with_context(|| format!("input `{}`{}: {x} exceeds 32 bits", port.name, place()))?.to_le_bytes())
    };
    match (dtype, &tensor.data) {
        (Dtype::F32, Data::F32(v)) => put(out, v, f32::to_le_bytes),
        (Dtype::F32, Data::F64(v)) => put(out, v, |x| (x as f32).to_le_bytes()),
        (Dtype::F64, Data::F32(v)) => put(out, v, |x| f64::from(x).to_le_bytes()),
        (Dtype::F64, Data::F64(v)) => put(out, v, f64::to_le_bytes),
        (Dtype::I32, Data::I64(v)) => {
            for (at, (place, &x)) in out.chunks_exact_mut(4).zip(v).enumerate() {
                place.copy_from_slice(&integer(at, x)?);
            }
        }
        (Dtype::I32, Data::I32(v)) => {
            for (at, (place, &x)) in out.chunks_exact_mut(4).zip(v).enumerate() {
                place.copy_from_slice(&integer(at, i64::from(x))?);
            }
        }
        (Dtype::Bool, Data::Bool(v)) => put(out, v, |x| [u8::from(x != 0)]),
        (Dtype::Bool, Data::I64(v)) => put(out, v, |x| [u8::from(x != 0)]),
        (Dtype::Bool, Data::I32(v)) => put(out, v, |x| [u8::from(x != 0)]),
        (Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool, data) => {
            let wanted = match dtype {
                Dtype::F32 | Dtype::F64 => "floats (f32 or f64)",
                Dtype::I32 => "integers (i64 or i32)",
                Dtype::Bool => "booleans (bool or integers)",
            };
            bail!("input `{}` takes {wanted}, found {}", port.name, data.kind());
        }
    }
    Ok(())
}

fn put<T: Copy, const N: usize>(out: &mut [u8], values: &[T], convert: impl Fn(T) -> [u8; N]) {
    for (place, &value) in out.chunks_exact_mut(N).zip(values) {
        place.copy_from_slice(&convert(value));
    }
}

/// ` at [1, 3]`; nothing for a scalar.
fn place(shape: &[usize], at: usize) -> String {
    if shape.is_empty() {
        return String::new();
    }
    let mut rest = at;
    let mut indices = vec![0; shape.len()];
    for (index, &size) in indices.iter_mut().zip(shape).rev() {
        *index = rest % size;
        rest /= size;
    }
    format!(" at {indices:?}")
}

/// An output's elements as a tensor.
///
/// # Errors
/// When the bytes are not those of the shape.
pub fn read_output(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    let data = match dtype {
        Dtype::F32 => Data::F32(get(bytes, f32::from_le_bytes)),
        Dtype::F64 => Data::F64(get(bytes, f64::from_le_bytes)),
        Dtype::I32 => Data::I32(get(bytes, i32::from_le_bytes)),
        Dtype::Bool => Data::Bool(bytes.to_vec()),
    };
    Tensor::new(shape.to_vec(), data)
}

fn get<T, const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
