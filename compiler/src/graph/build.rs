//! The graph's builder: what elaboration makes values with when a program is compiled.
//!
//! Each open loop has a frame, a region of its own. A value of an outer frame that is used within becomes an argument of the
//! inner one, through every frame between; so regions stay closed. Operators without operands are made again instead, which
//! keeps numbers and positions where rewrites can see them.

#[cfg(test)]
mod tests;

mod means;

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::{Emit, Parameter};
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::{Graph, Input, Kind, NodeId, Output, Region, RegionBuilder, Scan, Sink, Source, results};

/// A value of the program being built: a node of one of the open frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// How many loops are around it.
    pub depth: usize,
    /// The node within its frame.
    pub node: NodeId,
}

/// A mean over items, as a sum and a weight: nodes of the graph's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean {
    /// The sum.
    pub sum: NodeId,
    /// What it is divided by.
    pub weight: NodeId,
    /// Their quotient.
    pub result: NodeId,
}

/// Builds a graph.
#[derive(Clone, Debug)]
pub struct Builder {
    axes: Axes,
    inputs: Vec<Input>,
    /// Nodes of the inputs by name.
    known: HashMap<String, NodeId>,
    /// The program's body, then the open loops, outermost first.
    frames: Vec<Frame>,
    means: Vec<Mean>,
    /// A mean of scalars over nothing is 0.
    guarded: bool,
    outputs: Vec<(Output, NodeId)>,
}

/// A region being built. Its arguments are numbered as they come up and put in the order of [`Scan`] at its end.
#[derive(Clone, Debug, Default)]
struct Frame {
    region: RegionBuilder,
    /// The loop's axis; the program's body has none.
    axis: Option<Axis>,
    /// What the arguments are, in order of making.
    arguments: Vec<Argument>,
}

/// Where an argument of a loop's body comes from: a node of the frame around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Argument {
    Carried(usize, NodeId),
    Sliced(NodeId),
    Invariant(NodeId),
}

impl Argument {
    fn outer(self) -> NodeId {
        match self {
            Argument::Carried(_, node) | Argument::Sliced(node) | Argument::Invariant(node) => node,
        }
    }
}

impl Frame {
    /// The argument that stands for a node of the frame around this one.
    fn argument(&mut self, from: Argument, ty: Type) -> NodeId {
        if let Some(number) = self.arguments.iter().position(|&a| a == from) {
            return self.region.node(Kind::Argument(number as u32), Vec::new(), ty);
        }
        self.arguments.push(from);
        self.region.argument(ty)
    }
}

impl Builder {
    /// An empty program over some axes.
    pub fn new(axes: Axes) -> Self {
        Self {
            axes,
            inputs: Vec::new(),
            known: HashMap::new(),
            frames: vec![Frame::default()],
            means: Vec::new(),
            guarded: false,
            outputs: Vec::new(),
        }
    }

    /// Goes on from a graph: its inputs, nodes and outputs stay, under their numbers.
    pub fn resume(graph: Graph) -> Self {
        let mut builder = Self::new(graph.axes);
        let argument = |id: &(NodeId, &super::Node)| match id.1.kind {
            Kind::Argument(number) => Some((number, id.0)),
            _ => None,
        };
        let arguments: HashMap<u32, NodeId> = graph.body.iter().filter_map(|n| argument(&n)).collect();
        let named = |(i, input): (usize, &Input)| Some((input.name.clone(), *arguments.get(&(i as u32))?));
        builder.known = graph.inputs.iter().enumerate().filter_map(named).collect();
        builder.outputs = graph.outputs.into_iter().zip(graph.body.outputs.iter().copied()).collect();
        builder.inputs = graph.inputs;
        builder.frames[0].region = RegionBuilder::from(graph.body);
        builder
    }

    /// A node of the program's body as a value.
    pub fn root(&self, node: NodeId) -> Value {
        Value { depth: 0, node }
    }

    /// An argument of the program. Asking again for a name gives the same one.
    pub fn argument(&mut self, input: Input) -> Value {
        if let Some(&node) = self.known.get(&input.name) {
            return self.root(node);
        }
        let node = self.frames[0].region.argument(Type::new(input.elem, input.axes.iter().copied()));
        self.known.insert(input.name.clone(), node);
        self.inputs.push(input);
        self.root(node)
    }

    /// Optimizer state of a parameter, under a name such as `m`: as large as the parameter, the same number everywhere at first.
    pub fn state(&mut self, of: &Parameter, name: &str, start: Number) -> Value {
        let axes = [of.stack.as_slice(), &of.axes].concat();
        self.argument(Input::new(format!("{}/{name}", of.path), Elem::Float, axes, Source::State(of.path.clone(), start)))
    }

    /// A sum over micro-batches.
    pub fn accumulator(&mut self, name: &str, elem: Elem, axes: &[Axis]) -> Value {
        self.argument(Input::new(name, elem, axes.to_vec(), Source::Accumulator))
    }

    /// Sends a value to the caller; axes in written order, of which the value may lack some.
    pub fn output(&mut self, name: &str, axes: &[Axis], value: &Value) {
        let output = Output { name: name.into(), axes: axes.to_vec(), sink: Sink::Port };
        self.outputs.push((output, self.closed(value)));
    }

    /// Writes a value over the storage of an argument: a parameter, its state, an accumulator.
    ///
    /// # Panics
    /// Where `target` is no argument of the program: a fault of the compiler.
    pub fn update(&mut self, target: &Value, value: &Value) {
        let node = self.closed(target);
        let Kind::Argument(number) = self.frames[0].region.region()[node].kind else {
            panic!("only an argument of the program is updated, not {target:?}");
        };
        let Input { name, axes, .. } = &self.inputs[number as usize];
        let output = Output { name: name.clone(), axes: axes.clone(), sink: Sink::Update(number) };
        self.outputs.push((output, self.closed(value)));
    }

    /// Ends the program: outputs that were added before, then these, which go to the caller.
    ///
    /// # Panics
    /// Within a loop: a fault of the compiler.
    pub fn finish(mut self, outputs: Vec<(String, Vec<Axis>, Value)>) -> Graph {
        assert!(self.frames.len() == 1, "a loop is still open");
        for (name, axes, value) in outputs {
            self.output(&name, &axes, &value);
        }
        let (outputs, nodes) = self.outputs.into_iter().unzip();
        let body = self.frames.swap_remove(0).region.finish(nodes);
        Graph { axes: self.axes, inputs: self.inputs, body, outputs }
    }

    /// The node of a value that lies outside all loops.
    fn closed(&self, value: &Value) -> NodeId {
        assert!(value.depth == 0, "{value:?} is a value of a loop's body, not of the program");
        value.node
    }

    /// A value's node in a frame at its own depth or deeper; a number or position also in one further out.
    fn local(&mut self, value: Value, depth: usize) -> NodeId {
        if value.depth == depth {
            return value.node;
        }
        let node = &self.frames[value.depth].region.region()[value.node];
        if let (Kind::Op(op @ (Op::Constant(..) | Op::Index(_) | Op::Extent(_))), ty) = (&node.kind, &node.ty) {
            let (kind, ty) = (Kind::Op(op.clone()), ty.clone());
            return self.frames[depth].region.node(kind, Vec::new(), ty);
        }
        assert!(value.depth < depth, "{value:?} is a value of a loop that is closed");
        let outer = self.local(value, depth - 1);
        let ty = self.frames[depth - 1].region.ty(outer).clone();
        self.frames[depth].argument(Argument::Invariant(outer), ty)
    }

    fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// The number that a scalar operator gives, where its operands are all written numbers.
    fn folded(&self, op: &Op, operands: &[NodeId], depth: usize) -> Option<Op> {
        let region = self.frames[depth].region.region();
        let number = |&id: &NodeId| match &region[id].kind {
            Kind::Op(Op::Constant(number, _, axes)) if axes.is_empty() => Some(number.0),
            _ => None,
        };
        let numbers = operands.iter().map(number).collect::<Option<Vec<_>>>()?;
        let value = match (op, numbers.as_slice()) {
            (Op::Map(op), numbers) if numbers.len() == op.row().arity => (op.row().eval)(numbers),
            (Op::Cast(Elem::Float), &[x]) => x,
            (Op::Cast(Elem::Int), &[x]) => x as i64 as f64,
            _ => return None,
        };
        let types: Vec<_> = operands.iter().map(|&id| &region[id].ty).collect();
        let elem = op.infer(&types, &self.axes).ok()?.elem;
        Some(Op::Constant(Number(value), elem, Vec::new()))
    }

    /// Gives a value the axes of a type: a carried value must have those it had before the step.
    ///
    /// # Panics
    /// Where it has others or holds something else: a fault of elaboration.
    fn widened(&mut self, node: NodeId, ty: &Type, depth: usize) -> NodeId {
        let region = &mut self.frames[depth].region;
        let own = region.ty(node).clone();
        if own == *ty {
            return node;
        }
        let missing: Vec<_> = ty.axes.iter().copied().filter(|&a| !own.has(a)).collect();
        assert!(
            own.with(&missing) == *ty,
            "a carried value changes from {} to {}",
            self.axes.show(ty),
            self.axes.show(&own)
        );
        let holds = region.op(&self.axes, Op::Constant(Number(1.0), Elem::Bool, missing), &[]);
        region.map(&self.axes, Elementwise::SELECT, &[holds, node, node])
    }
}

impl Emit for Builder {
    type Value = Value;

    fn axes(&mut self) -> &mut Axes {
        &mut self.axes
    }

    fn type_of(&self, value: &Value) -> Type {
        self.frames[value.depth].region.ty(value.node).clone()
    }

    fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        let depth = self.depth();
        let operands: Vec<_> = operands.iter().map(|&v| self.local(v, depth)).collect();
        let op = self.folded(&op, &operands, depth).unwrap_or(op);
        let operands = if matches!(op, Op::Constant(..)) { Vec::new() } else { operands };
        Value { depth, node: self.frames[depth].region.op(&self.axes, op, &operands) }
    }

    fn input(&mut self, name: &str, elem: Elem, axes: &[Axis]) -> Value {
        self.argument(Input::new(name, elem, axes.to_vec(), Source::Port))
    }

    fn keep_within(&mut self, name: &str, axis: Axis, or: i64) {
        self.inputs.iter_mut().filter(|input| input.name == name).for_each(|input| input.within = Some((axis, or)));
    }

    fn parameter(&mut self, parameter: &Parameter) -> Value {
        self.argument(Input::parameter(parameter))
    }

    fn begin_loop(&mut self, axis: Axis, carried: &[Value]) -> Vec<Value> {
        let depth = self.depth();
        let carried: Vec<_> = carried.iter().map(|&v| self.local(v, depth)).collect();
        let mut frame = Frame { axis: Some(axis), ..Frame::default() };
        let mut inner = Vec::new();
        for (number, &outer) in carried.iter().enumerate() {
            let ty = self.frames[depth].region.ty(outer).clone();
            let node = frame.argument(Argument::Carried(number, outer), ty);
            inner.push(Value { depth: depth + 1, node });
        }
        self.frames.push(frame);
        inner
    }

    /// # Panics
    /// Where no open loop is over the axis: a fault of elaboration.
    fn slice(&mut self, value: &Value, axis: Axis) -> Value {
        let depth =
            self.frames.iter().rposition(|f| f.axis == Some(axis)).expect("a slice lies within a loop over its axis");
        let outer = self.local(*value, depth - 1);
        let ty = self.frames[depth - 1].region.ty(outer).clone();
        // The same in each step where the value lacks the axis.
        let from = if ty.has(axis) { Argument::Sliced(outer) } else { Argument::Invariant(outer) };
        let node = self.frames[depth].argument(from, ty.without(&[axis]));
        Value { depth, node }
    }

    /// # Panics
    /// Where no loop is open: a fault of elaboration.
    fn end_loop(&mut self, next: &[Value], yields: &[Value]) -> Vec<Value> {
        let depth = self.depth();
        let next: Vec<_> = next.iter().map(|&v| self.local(v, depth)).collect();
        let yields: Vec<_> = yields.iter().map(|&v| self.local(v, depth)).collect();
        let mut outputs = Vec::new();
        for (number, &node) in next.iter().enumerate() {
            let ty = self.frames[depth].region.region().arguments[number].clone();
            outputs.push(self.widened(node, &ty, depth));
        }
        outputs.extend(yields);
        let frame = self.frames.pop().expect("a frame is open");
        let axis = frame.axis.expect("a loop is open");
        let mut body = frame.region.finish(outputs);
        let operands = arranged(&mut body, &frame.arguments);
        let sliced = frame.arguments.iter().filter(|a| matches!(a, Argument::Sliced(_))).count();
        let kind = Kind::Scan(Box::new(Scan { axis, reverse: false, carried: next.len(), sliced, body }));
        let types = results(&kind).unwrap_or_default();
        let nodes = self.frames[depth - 1].region.several(kind, operands, &types);
        nodes.into_iter().map(|node| Value { depth: depth - 1, node }).collect()
    }

    fn mean(&mut self, sum: &Value, weight: &Value) -> Value {
        let scalar = self.type_of(sum).axes.is_empty() && self.type_of(weight).axes.is_empty();
        let divisor = if self.guarded && self.depth() == 0 && scalar {
            // Weights are counts. Over nothing the sum is 0, and so are its derivatives.
            let one = self.number(1.0, Elem::Float);
            self.op(Op::Map(Elementwise::MAX), &[*weight, one])
        } else {
            *weight
        };
        let result = self.op(Op::Map(Elementwise::DIV), &[*sum, divisor]);
        if self.depth() == 0 {
            self.means.push(Mean { sum: sum.node, weight: weight.node, result: result.node });
        }
        result
    }

    fn supplied(&mut self, name: &str, elem: Elem) -> Value {
        // The run supplies a step as a float, whoever asks first: rates are functions of it, random numbers are keyed by it.
        let own = if name == "step" { Elem::Float } else { elem };
        let value = self.argument(Input::new(name, own, Vec::new(), Source::Supplied));
        if self.type_of(&value).elem == elem { value } else { self.op(Op::Cast(elem), &[value]) }
    }
}

/// Puts a body's arguments in the order carried, sliced, invariant, and gives the operands that belong to them.
fn arranged(body: &mut Region, arguments: &[Argument]) -> Vec<NodeId> {
    let mut order: Vec<usize> = (0..arguments.len()).collect();
    order.sort_by_key(|&i| match arguments[i] {
        Argument::Carried(..) => (0, i),
        Argument::Sliced(_) => (1, i),
        Argument::Invariant(_) => (2, i),
    });
    for node in &mut body.nodes {
        if let Kind::Argument(number) = &mut node.kind {
            *number = order.iter().position(|&old| old == *number as usize).unwrap_or_default() as u32;
        }
    }
    body.arguments = order.iter().map(|&i| body.arguments[i].clone()).collect();
    order.iter().map(|&i| arguments[i].outer()).collect()
}
