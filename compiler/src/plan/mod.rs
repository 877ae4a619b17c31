//! From a region of kernels to a program of the plan: buffers, steps, lifetimes.

mod beside;
mod layout;
mod lifetimes;
mod packed;
mod sizes;
mod steps;
mod updates;
mod work;

pub use beside::apart;
pub use layout::Layouts;

use std::collections::HashMap;

use anyhow::{Context, Result};
use weft_dsl::size::Size;
use weft_dsl::types::{Axis, Elem, Type};
use weft_runtime::plan::{self, Buffer, Limit, Place, Port, Program};

use crate::graph::{Graph, Sink, Source};
use crate::kernel::{Dtype, Kernel};
use crate::lower::SizeLimit;
use crate::schedule::{Layout, Machine, dtype};
use steps::{Planner, Ref};

/// Kernels of all programs, each once.
#[derive(Default)]
pub struct Kernels {
    /// With their symbols.
    pub list: Vec<(String, Kernel)>,
    known: HashMap<Kernel, u32>,
}

impl Kernels {
    /// The number of a kernel; `hint` becomes part of its symbol.
    pub fn number(&mut self, kernel: Kernel, hint: &str) -> u32 {
        if let Some(&number) = self.known.get(&kernel) {
            return number;
        }
        let number = self.list.len() as u32;
        self.list.push((format!("weft_{hint}_{number}"), kernel.clone()));
        self.known.insert(kernel, number);
        number
    }
}

/// Storage that outlives a program's run, shared by all programs of a plan.
#[derive(Default)]
pub struct Slots {
    /// By number.
    pub list: Vec<plan::Slot>,
    /// Parameters by number.
    pub params: Vec<plan::Param>,
}

/// Plans one program. The graph is fused.
pub fn program(
    name: &str,
    graph: &Graph,
    limits: &[SizeLimit],
    machine: &Machine,
    kernels: &mut Kernels,
    slots: &mut Slots,
) -> Result<Program> {
    let mut planner = Planner::new(&graph.axes, Layouts::of(graph), machine, kernels, slots);
    let mut inputs = Vec::new();
    let (mut storage, mut arguments) = (Vec::new(), Vec::new());
    for (input, ty) in graph.inputs.iter().zip(&graph.body.arguments) {
        let place = match &input.source {
            Source::Port | Source::Supplied => Place::Input,
            source => Place::Slot(planner.slots.number(graph, input, source)?),
        };
        let is_port = place == Place::Input;
        let buffer = planner.buffer(ty, place, &[])?;
        if is_port {
            let supplied = matches!(input.source, Source::Supplied);
            let name = if supplied { format!("${}", input.name) } else { input.name.clone() };
            let port = planner.port(&name, &input.axes, bound(graph, input), buffer)?;
            inputs.push(Port { or: input.within.map(|(_, other)| other), ..port });
        }
        storage.push(buffer);
        arguments.push(Ref::whole(buffer, layout(&input.axes, ty)));
    }
    planner.writes = graph
        .outputs
        .iter()
        .filter_map(|output| match output.sink {
            Sink::Update(input) => planner.slot(&arguments[input as usize]),
            Sink::Port => None,
        })
        .collect();
    let slots: Vec<Option<u32>> = arguments.iter().map(|argument| planner.slot(argument)).collect();
    Planner::read_plain(&graph.body, &slots, &mut planner.plain);
    let (order, in_place) = updates::order(graph);
    let mut outputs = Vec::new();
    let mut targets = Vec::new();
    let mut waiting = Vec::new();
    for ((output, &node), in_place) in graph.outputs.iter().zip(&graph.body.outputs).zip(in_place) {
        let ty = &graph.body[node].ty;
        let buffer = match output.sink {
            Sink::Port => {
                let buffer = planner.buffer(ty, Place::Output, &[])?;
                outputs.push(planner.port(&output.name, &output.axes, None, buffer)?);
                buffer
            }
            Sink::Update(input) => storage[input as usize],
        };
        let target = Ref::whole(buffer, layout(&output.axes, ty));
        if in_place {
            targets.push(target);
        } else {
            let place = planner.new_place(ty)?;
            waiting.push((ty, place.clone(), target));
            targets.push(place);
        }
    }
    planner.region(&graph.body, &order, &arguments, &targets).with_context(|| format!("in the program `{name}`"))?;
    for (ty, from, to) in waiting {
        planner.copy(ty, &from, &to)?;
    }
    let limits = limits
        .iter()
        .map(|(size, at_most, why)| {
            let (size, at_most) = (planner.sizes.convert(size)?, planner.sizes.convert(at_most)?);
            Ok(Limit { size, at_most, why: why.clone() })
        })
        .collect::<Result<_>>()?;
    let writes = planner.writes.clone();
    let (mut buffers, homes, steps, sizes) = planner.finish();
    lifetimes::assign(&mut buffers, &homes, &steps);
    Ok(Program { name: name.into(), sizes, inputs, outputs, limits, writes, buffers, steps })
}

/// How a value lies whose declared axes are these; it may lack some that are one long.
fn layout(axes: &[Axis], ty: &Type) -> Layout {
    Layout(axes.iter().copied().filter(|&a| ty.has(a)).collect())
}

/// One more than the largest index that an input may hold: what comes from outside is checked before it is used.
fn bound(graph: &Graph, input: &crate::graph::Input) -> Option<Size> {
    let axis = match input.elem {
        Elem::Index(axis) => Some(axis),
        Elem::Float | Elem::Int | Elem::Bool => input.within.map(|(axis, _)| axis),
    };
    axis.map(|axis| graph.axes.size(axis).clone())
}

impl Slots {
    /// Makes a slot for each input of a graph of parameters.
    pub fn declare(&mut self, parameters: &Graph) -> Result<()> {
        parameters.inputs.iter().try_for_each(|input| self.number(parameters, input, &input.source).map(drop))
    }

    /// The number of a slot for something prepared, made when first met.
    fn prepared(&mut self, slot: plan::Slot) -> u32 {
        let at = self.list.iter().position(|s| *s == slot).unwrap_or_else(|| {
            self.list.push(slot);
            self.list.len() - 1
        });
        at as u32
    }

    /// The slot of an input, made when first met.
    fn number(&mut self, graph: &Graph, input: &crate::graph::Input, source: &Source) -> Result<u32> {
        if let Some(at) = self.list.iter().position(|s| s.name == input.name) {
            return Ok(at as u32);
        }
        let dtype = stored(dtype(&Type::new(input.elem, input.axes.iter().copied())))?;
        if *source == Source::Kept {
            self.list.push(plan::Slot { name: input.name.clone(), dtype, len: 0, role: plan::Role::Kept });
            return Ok(self.list.len() as u32 - 1);
        }
        let length = |axis: &Axis| {
            let size = graph.axes.size(*axis);
            size.known().map(|n| n as u64).with_context(|| format!("`{}` has the unknown size `{size}`", input.name))
        };
        let lengths: Vec<u64> = input.axes.iter().map(length).collect::<Result<_>>()?;
        let role = match source {
            Source::Parameter(parameter) => {
                let stack = parameter.stack.len();
                self.params.push(plan::Param {
                    path: parameter.path.clone(),
                    stack: lengths[..stack].to_vec(),
                    axes: input.axes[stack..]
                        .iter()
                        .map(|&a| graph.axes[a].name.clone())
                        .zip(lengths[stack..].to_vec())
                        .collect(),
                    init: match parameter.start {
                        weft_dsl::emit::Start::Constant(value) => plan::Init::Constant(value),
                        weft_dsl::emit::Start::Normal { std } => plan::Init::Normal { std },
                        weft_dsl::emit::Start::Uniform { bound } => plan::Init::Uniform { bound },
                    },
                    trainable: true,
                });
                plan::Role::Param(self.params.len() as u32 - 1)
            }
            Source::State(parameter, start) => {
                let param =
                    self.params.iter().position(|p| p.path == *parameter).context("state of an unknown parameter")?;
                plan::Role::State { param: param as u32, start: start.0 }
            }
            Source::Accumulator => plan::Role::Accumulator,
            Source::Port | Source::Supplied | Source::Kept => unreachable!("they have no slot of a known size"),
        };
        self.list.push(plan::Slot { name: input.name.clone(), dtype, len: lengths.iter().product(), role });
        Ok(self.list.len() as u32 - 1)
    }
}

/// The plan's name of a dtype.
fn stored(dtype: Dtype) -> Result<plan::Dtype> {
    Ok(match dtype {
        Dtype::F32 => plan::Dtype::F32,
        Dtype::F64 => plan::Dtype::F64,
        Dtype::I32 => plan::Dtype::I32,
        Dtype::Bool => plan::Dtype::Bool,
        Dtype::I64 => anyhow::bail!("no value of a specification is a 64-bit integer"),
    })
}

impl Planner<'_> {
    fn port(&mut self, name: &str, axes: &[Axis], bound: Option<Size>, buffer: u32) -> Result<Port> {
        let bound = bound.map(|size| self.sizes.convert(&size)).transpose()?;
        let axes = axes
            .iter()
            .map(|&a| Ok((self.axes[a].name.clone(), self.sizes.convert(&self.axes[a].size)?)))
            .collect::<Result<_>>()?;
        Ok(Port { name: name.into(), axes, bound, or: None, buffer })
    }

    /// A new buffer for values of a type.
    pub(super) fn buffer(&mut self, ty: &Type, place: Place, stack: &[Size]) -> Result<u32> {
        let volume = self.axes.volume(&ty.axes) * stack.iter().cloned().product();
        let len = self.sizes.convert(&volume)?;
        self.buffers.push(Buffer { dtype: stored(dtype(ty))?, len, place });
        self.homes.push(self.open.clone());
        Ok(self.buffers.len() as u32 - 1)
    }
}
