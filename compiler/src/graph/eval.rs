//! The oracle: what a graph means, in f64. Everything else is measured against it; it is also the constant folder.
//!
//! It takes operators in order, one array for each value, and never looks for a faster form. A graph that comes from outside
//! gives an error where it is at fault, never a panic.

mod operators;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use super::array::volume;
use super::{Array, Graph, Kind, Misshapen, Region, Scan};

/// What a graph is evaluated with.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// The free sizes.
    pub sizes: HashMap<String, i64>,
    /// The arguments by the names of the graph's inputs.
    pub inputs: HashMap<String, Array>,
}

/// Why a graph has no value.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalError {
    /// A free size that the bindings lack.
    UnknownSize(String),
    /// A size that is negative or does not divide.
    Size(String),
    /// An argument is missing or is not what the graph takes: its name, why.
    Input(String, String),
    /// An index outside its axis: the index, the axis' size.
    OutOfRange(f64, usize),
    /// The graph is not well formed, or too large.
    Malformed(String),
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::UnknownSize(name) => write!(f, "the size `{name}` is not bound"),
            EvalError::Size(why) | EvalError::Malformed(why) => f.write_str(why),
            EvalError::Input(name, why) => write!(f, "input `{name}`: {why}"),
            EvalError::OutOfRange(index, size) => {
                write!(f, "index {index} is outside an axis of size {size}")
            }
        }
    }
}

impl std::error::Error for EvalError {}

impl From<Misshapen> for EvalError {
    fn from(why: Misshapen) -> Self {
        EvalError::Malformed(why.0)
    }
}

fn malformed<T>(why: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Malformed(why.into()))
}

/// The sizes of a program's axes under a binding of its free sizes.
#[derive(Clone, Debug)]
pub struct Sizes {
    bound: HashMap<String, i64>,
    /// One for each axis. An axis that nothing uses may have no size.
    axes: Vec<Result<usize, EvalError>>,
}

impl Sizes {
    /// Works out each axis' size.
    pub fn new(axes: &Axes, bound: &HashMap<String, i64>) -> Self {
        let mut sizes = Self { bound: bound.clone(), axes: Vec::new() };
        sizes.axes = axes.iter().map(|(_, info)| sizes.length(&info.size)).collect();
        sizes
    }

    /// How long an axis is.
    ///
    /// # Errors
    /// The axis is unknown or its size is.
    pub fn axis(&self, axis: Axis) -> Result<usize, EvalError> {
        self.axes.get(axis.0 as usize).cloned().unwrap_or_else(|| malformed(format!("there is no axis {}", axis.0)))
    }

    /// Axes with their sizes, in the given order.
    ///
    /// # Errors
    /// As [`Sizes::axis`]; also where an array of them were too large.
    pub fn dims(&self, axes: &[Axis]) -> Result<Vec<(Axis, usize)>, EvalError> {
        let dims = axes.iter().map(|&a| Ok((a, self.axis(a)?))).collect::<Result<Vec<_>, EvalError>>()?;
        volume(&dims)?;
        Ok(dims)
    }

    /// The value of a size.
    ///
    /// # Errors
    /// A free size is not bound, or an exact division has a remainder.
    pub fn value(&self, size: &Size) -> Result<i64, EvalError> {
        let free = size.substitute(&|name| self.bound.get(name).map(|&n| Size::of(n)));
        let free = free.map_err(|why| EvalError::Size(format!("the size {size} does not divide: {why:?}")))?;
        free.known().ok_or_else(|| match free.variables().first() {
            Some(name) => EvalError::UnknownSize(name.to_string()),
            None => EvalError::Size(format!("the size {size} has no value")),
        })
    }

    /// The value of a size that counts something.
    fn length(&self, size: &Size) -> Result<usize, EvalError> {
        let value = self.value(size)?;
        usize::try_from(value).map_err(|_| EvalError::Size(format!("the size {size} is negative: {value}")))
    }
}

/// The outputs of a graph, each with all the axes that it is declared with.
///
/// # Errors
/// Bindings that do not fit the graph, an index out of range, or a graph that is not well formed.
pub fn eval(graph: &Graph, bindings: &Bindings) -> Result<Vec<Array>, EvalError> {
    let sizes = Sizes::new(&graph.axes, &bindings.sizes);
    let mut arguments = Vec::new();
    for (input, ty) in graph.inputs.iter().zip(&graph.body.arguments) {
        let fault = |why: String| EvalError::Input(input.name.clone(), why);
        let array = bindings.inputs.get(&input.name).ok_or_else(|| fault("it is missing".into()))?;
        let mut dims = sizes.dims(&input.axes)?;
        dims.sort();
        if array.dims() != dims || Ok(array.data.len()) != volume(&dims) {
            return Err(fault(format!("its axes are {:?} where {dims:?} belong", array.dims())));
        }
        if let Elem::Index(axis) = input.elem {
            let size = sizes.axis(axis)?;
            array.data.iter().try_for_each(|&i| operators::position(i, size).map(drop))?;
        }
        arguments.push(Rc::new(Array::from_order(&sizes.dims(&ty.axes)?, array.data.clone())?));
    }
    let values = eval_region(&sizes, &graph.body, &arguments)?;
    if values.len() != graph.outputs.len() {
        return malformed("the body's outputs are not as many as the graph's");
    }
    let whole = |(value, output): (Rc<Array>, &super::Output)| Ok(value.broadcast(&sizes.dims(&output.axes)?)?);
    values.into_iter().zip(&graph.outputs).map(whole).collect()
}

/// The outputs of a region for some arguments.
///
/// # Errors
/// As [`eval`].
pub fn eval_region(sizes: &Sizes, region: &Region, arguments: &[Rc<Array>]) -> Result<Vec<Rc<Array>>, EvalError> {
    let mut left = readers(region)?;
    let mut values: Vec<Vec<Rc<Array>>> = Vec::with_capacity(region.nodes.len());
    for (id, node) in region.iter() {
        if left[id.0 as usize] == 0 {
            values.push(Vec::new());
            continue;
        }
        let of = |id: super::NodeId| -> Result<&[Rc<Array>], EvalError> {
            values.get(id.0 as usize).map_or_else(|| malformed("a node is read before it is made"), |v| Ok(v.as_slice()))
        };
        let only = |id: super::NodeId| match of(id)? {
            [one, ..] => Ok(one.clone()),
            [] => malformed("a node without results is read"),
        };
        let operands = || node.operands.iter().map(|&o| only(o)).collect::<Result<Vec<_>, _>>();
        let results = match &node.kind {
            Kind::Op(op) => vec![Rc::new(operators::apply(op, &operands()?, sizes)?)],
            Kind::Argument(number) => match arguments.get(*number as usize) {
                Some(argument) => vec![argument.clone()],
                None => return malformed(format!("there is no argument {number}")),
            },
            Kind::Scan(scan) => eval_scan(sizes, scan, &operands()?)?,
            Kind::Fused(fused) => eval_region(sizes, &fused.body, &operands()?)?,
            Kind::Project(number) => {
                let several = node.operands.first().map(|&o| of(o)).transpose()?.unwrap_or(&[]);
                match several.get(*number as usize) {
                    Some(value) => vec![value.clone()],
                    None => return malformed(format!("there is no result {number}")),
                }
            }
        };
        values.push(results);
        // Nothing reads an array after its last use; whole models would fill the memory with dead ones.
        for operand in &node.operands {
            let at = operand.0 as usize;
            left[at] -= 1;
            if left[at] == 0
                && let Some(dead) = values.get_mut(at)
            {
                dead.clear();
            }
        }
    }
    let outputs = region.outputs.iter().map(|o| values[o.0 as usize].first().cloned());
    outputs.map(|value| value.map_or_else(|| malformed("an output without a value"), Ok)).collect()
}

/// How often each node is read on the way to the outputs. Passes leave nodes behind that nothing reads.
fn readers(region: &Region) -> Result<Vec<u32>, EvalError> {
    let mut readers = vec![0u32; region.nodes.len()];
    let read = |ids: &[super::NodeId], readers: &mut [u32]| {
        ids.iter().try_for_each(|id| match readers.get_mut(id.0 as usize) {
            Some(count) => {
                *count += 1;
                Ok(())
            }
            None => malformed(format!("there is no node {}", id.0)),
        })
    };
    read(&region.outputs, &mut readers)?;
    for (id, node) in region.iter().rev() {
        if readers[id.0 as usize] > 0 {
            read(&node.operands, &mut readers)?;
        }
    }
    Ok(readers)
}

/// The last carried values, then the joined yields.
fn eval_scan(sizes: &Sizes, scan: &Scan, operands: &[Rc<Array>]) -> Result<Vec<Rc<Array>>, EvalError> {
    let steps = sizes.axis(scan.axis)?;
    let Some((moving, invariant)) = operands.split_at_checked(scan.carried.saturating_add(scan.sliced)) else {
        return malformed("a scan has too few operands");
    };
    let (start, sliced) = moving.split_at(scan.carried);
    let sliced = sliced.iter().map(|x| slices(x, scan.axis, steps)).collect::<Result<Vec<_>, _>>()?;
    let Some(yields) = scan.body.outputs.get(scan.carried..) else {
        return malformed("a scan's body gives too few carried values");
    };
    let yielded = yields
        .iter()
        .map(|o| scan.body.nodes.get(o.0 as usize).map_or_else(|| malformed("no such output"), |n| sizes.dims(&n.ty.axes)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<Vec<Vec<f64>>> = vec![Vec::new(); yielded.len()];
    let mut carried = start.to_vec();
    for step in 0..steps {
        let at = if scan.reverse { steps - 1 - step } else { step };
        let mut arguments = carried;
        arguments.extend(sliced.iter().map(|slices| slices[at].clone()));
        arguments.extend_from_slice(invariant);
        carried = eval_region(sizes, &scan.body, &arguments)?;
        for ((value, dims), parts) in carried.drain(scan.carried..).zip(&yielded).zip(&mut parts) {
            parts.push(value.in_order(dims)?);
        }
    }
    let mut results = carried;
    for (mut parts, dims) in parts.into_iter().zip(yielded) {
        if scan.reverse {
            parts.reverse();
        }
        let joined = [vec![(scan.axis, steps)], dims].concat();
        results.push(Rc::new(Array::from_order(&joined, parts.concat())?));
    }
    Ok(results)
}

/// An array's slices along an axis, without the axis.
fn slices(x: &Array, axis: Axis, count: usize) -> Result<Vec<Rc<Array>>, EvalError> {
    if x.size(axis) != Some(count) {
        return malformed("a sliced operand lacks the scan's axis");
    }
    let rest: Vec<_> = x.dims().into_iter().filter(|d| d.0 != axis).collect();
    let size = volume(&rest)?;
    let data = x.in_order(&[vec![(axis, count)], rest.clone()].concat())?;
    let slice = |i: usize| Ok(Rc::new(Array::from_order(&rest, data[i * size..(i + 1) * size].to_vec())?));
    (0..count).map(slice).collect()
}
