//! Random graphs, computed in several ways.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use weft_compiler::compile::{Options, programs};
use weft_compiler::graph::random::random_graph;
use weft_compiler::graph::{Bindings, Graph, Kind, NodeId, Region, RegionBuilder, Scan, Sink, Sizes, Source, eval};
use weft_compiler::lower::Lowered;
use weft_compiler::target::cpu::Cpu;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::Elem;
use weft_runtime::tensor::{Data, Tensor};

use crate::compare::floats;
use crate::native::Native;

/// A graph with what it is computed from.
pub struct Sample {
    /// The graph.
    pub graph: Graph,
    /// Its sizes and inputs.
    pub bindings: Bindings,
}

/// The outputs of a graph by name, row-major in their written order; storage that was updated counts as an output.
pub type Outputs = Vec<(String, Vec<f64>)>;

impl Sample {
    /// The same for the same seed and number of nodes.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let (mut graph, bindings) = random_graph(seed, nodes);
        // Sizes of a model are known; those of a batch are known in every other graph.
        let known = |name: &str| {
            let free = seed.is_multiple_of(2) && ["batch", "seq", "words"].contains(&name);
            bindings.sizes.get(name).filter(|_| !free).map(|&n| Size::of(n))
        };
        let resize = |size: &Size| size.substitute(&known).unwrap_or_else(|_| size.clone());
        graph.axes.resize(&mut |size| resize(size));
        graph.body = settled(&graph.body, &resize);
        Self { graph, bindings }
    }

    fn order(&self, number: usize) -> &[weft_dsl::types::Axis] {
        let output = &self.graph.outputs[number];
        match output.sink {
            Sink::Port => &output.axes,
            Sink::Update(input) => &self.graph.inputs[input as usize].axes,
        }
    }

    /// What the interpreter says of a graph of the same inputs and outputs.
    ///
    /// # Errors
    /// It has no value.
    pub fn interpreted(&self, graph: &Graph) -> Result<Outputs> {
        let sizes = Sizes::new(&graph.axes, &self.bindings.sizes);
        let values = eval(graph, &self.bindings)?;
        let ordered = |(number, value): (usize, &weft_compiler::graph::Array)| {
            let data = value.in_order(&sizes.dims(self.order(number))?).map_err(|why| anyhow::anyhow!(why.0))?;
            Ok((graph.outputs[number].name.clone(), data))
        };
        values.iter().enumerate().map(ordered).collect()
    }

    /// Machine code for it.
    ///
    /// # Errors
    /// It is not compiled.
    pub fn compiled(&self, optimise: bool, checked: bool, threads: usize) -> Result<Native> {
        let options = Options { optimise, checked, validate: true, ..Options::of(Cpu::host()) };
        let lowered = Lowered { name: "sample".into(), graph: self.graph.clone(), limits: Vec::new() };
        let output = programs("sample", &Graph::default(), vec![lowered], &options, &mut |_, _, _| {})?;
        Native::of(output.plan, &output.objects, threads, checked)
    }

    /// What machine code says of it, from the same start each time.
    ///
    /// # Errors
    /// The machine refuses.
    pub fn run(&self, native: &mut Native) -> Result<Outputs> {
        let sizes = Sizes::new(&self.graph.axes, &self.bindings.sizes);
        let mut given = Vec::new();
        for input in &self.graph.inputs {
            let dims = sizes.dims(&input.axes)?;
            let array = self.bindings.inputs.get(&input.name).with_context(|| format!("`{}` is not bound", input.name))?;
            let data = array.in_order(&dims).map_err(|why| anyhow::anyhow!(why.0))?;
            match input.source {
                Source::Port | Source::Supplied => {
                    let shape = dims.iter().map(|d| d.1).collect();
                    let supplied = input.source == Source::Supplied;
                    let name = if supplied { format!("${}", input.name) } else { input.name.clone() };
                    let data = match input.elem {
                        Elem::Float => Data::F64(data),
                        _ => Data::I64(data.iter().map(|&x| x as i64).collect()),
                    };
                    given.push((name, Tensor { shape, data }));
                }
                _ => store(native, &input.name, &data)?,
            }
        }
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let ports = native.machine.run("sample", &given)?;
        let one = |output: &weft_compiler::graph::Output| -> Result<(String, Vec<f64>)> {
            let data = match output.sink {
                Sink::Port => {
                    floats(&ports.iter().find(|(name, _)| *name == output.name).context("an output is missing")?.1)
                }
                Sink::Update(_) => stored(native, &output.name)?,
            };
            Ok((output.name.clone(), data))
        };
        self.graph.outputs.iter().map(one).collect()
    }
}

fn store(native: &mut Native, name: &str, data: &[f64]) -> Result<()> {
    // What no kernel reads has no slot.
    let Some(slot) = native.machine.slot_index(name) else { return Ok(()) };
    let wide = native.machine.slot_f64(slot).is_some();
    let bytes: Vec<u8> =
        data.iter().flat_map(|&x| if wide { x.to_le_bytes().to_vec() } else { (x as f32).to_le_bytes().to_vec() }).collect();
    let to = native.machine.slot_mut(slot);
    ensure!(to.len() == bytes.len(), "`{name}` has {} bytes where {} belong", to.len(), bytes.len());
    to.copy_from_slice(&bytes);
    Ok(())
}

fn stored(native: &Native, name: &str) -> Result<Vec<f64>> {
    let slot = native.machine.slot_index(name).with_context(|| format!("there is no slot `{name}`"))?;
    match (native.machine.slot_f32(slot), native.machine.slot_f64(slot)) {
        (Some(x), _) => Ok(x.iter().map(|&x| f64::from(x)).collect()),
        (_, Some(x)) => Ok(x.to_vec()),
        (None, None) => bail!("`{name}` holds no floats"),
    }
}

/// The same region with sizes settled, and with the nodes of made-up kernels in it instead of the kernels: real ones are made by
/// fusion alone.
fn settled(source: &Region, resize: &dyn Fn(&Size) -> Size) -> Region {
    let mut out = RegionBuilder::new();
    for ty in &source.arguments {
        out.argument(ty.clone());
    }
    let arguments: Vec<NodeId> = (0..source.arguments.len() as u32).map(NodeId).collect();
    let outputs = inlined(source, &arguments, resize, &mut out);
    out.finish(outputs)
}

/// Writes the nodes of a region into another, given its arguments; gives its outputs.
fn inlined(source: &Region, arguments: &[NodeId], resize: &dyn Fn(&Size) -> Size, out: &mut RegionBuilder) -> Vec<NodeId> {
    let mut new: Vec<NodeId> = Vec::new();
    let mut several: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (id, node) in source.iter() {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        let made = match &node.kind {
            Kind::Argument(number) => arguments[*number as usize],
            Kind::Fused(fused) => {
                let outputs = inlined(&fused.body, &operands, resize, out);
                let first = outputs[0];
                several.insert(id, outputs);
                first
            }
            Kind::Project(number) => match several.get(&node.operands[0]) {
                Some(outputs) => outputs[*number as usize],
                None => out.node(node.kind.clone(), operands, node.ty.clone()),
            },
            Kind::Scan(scan) => {
                let body = settled(&scan.body, resize);
                out.node(Kind::Scan(Box::new(Scan { body, ..(**scan).clone() })), operands, node.ty.clone())
            }
            Kind::Op(op) => {
                let op = match op {
                    Op::Extent(size) => Op::Extent(resize(size)),
                    Op::Slice(from, start, to) => Op::Slice(*from, resize(start), *to),
                    Op::Pad(from, start, to, value) => Op::Pad(*from, resize(start), *to, *value),
                    other => other.clone(),
                };
                out.node(Kind::Op(op), operands, node.ty.clone())
            }
        };
        new.push(made);
    }
    source.outputs.iter().map(|o| new[o.0 as usize]).collect()
}
