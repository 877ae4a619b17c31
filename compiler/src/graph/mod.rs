//! The graph: one form for every stage between the language and machine code.
//!
//! A graph is a *region* of nodes over the axes of a program. A node's type is its element type and its set of named axes; axes
//! have no order, and operands align by axis, so there is no transpose, broadcast or contiguous operator. The meaning of each
//! operator is stated on [`Op`]; what [`eval`] computes in f64 is the truth that everything else is measured against.
//!
//! Regions are closed: what a nested region needs comes in through its node's operands. So a region can be hashed, compared,
//! moved and evaluated by itself.

mod affine;
mod array;
mod build;
mod dot;
mod inserted;
mod orders;
mod eval;
pub mod philox;
pub mod random;
mod text;
mod validate;

pub use affine::{Affine, at_most_zero};
pub use array::{Array, Misshapen};
pub use build::{Builder, Mean, Value};
pub use dot::dot;
pub use eval::{Bindings, EvalError, Sizes, eval, eval_region};
pub use inserted::{inserted, yielded};
pub use orders::Orders;
pub use text::{parse, print, print_region};
pub use validate::validate;

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::Parameter;
use weft_dsl::op::{Misfit, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

/// A node of a region: its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An operator.
    Op(Op),
    /// The region's argument with this number.
    Argument(u32),
    /// Repetition over an axis with carried values.
    Scan(Box<Scan>),
    /// Nodes that become one kernel.
    Fused(Box<Fused>),
    /// One result of a node that has several.
    Project(u32),
}

/// A repeated block or a scan: the body runs once for each place on the axis.
///
/// Operands, and the body's arguments: `carried` values that each step hands to the next, then `sliced` values that have the axis
/// and of which the body sees one slice, then values that stay the same. The body's outputs: the carried values for the next
/// step, then yields. Results: the last carried values, then the yields joined along the axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// The axis walked along.
    pub axis: Axis,
    /// From the last place to the first.
    pub reverse: bool,
    /// How many carried values.
    pub carried: usize,
    /// How many sliced operands.
    pub sliced: usize,
    /// One step.
    pub body: Region,
}

/// Nodes that become one kernel. The operands are the body's arguments; the results are its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fused {
    /// How the kernel is built.
    pub form: Form,
    /// What it computes.
    pub body: Region,
}

/// The forms of kernel. The form never changes what is computed, only how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Elementwise work and reductions over rows or columns, in loops.
    Loops,
    /// One contraction, with elementwise work on its operands and on its result.
    Product,
    /// Softmax-weighted contraction in tiles, without its scores in memory.
    Attention,
    /// The derivative of an attention, its scores computed again in tiles.
    AttentionBackward,
    /// A scatter-add.
    Scatter,
    /// Places put in order.
    Order,
}

/// A node: what it is, what it reads, what it gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// What it reads; earlier nodes of the same region.
    pub operands: Vec<NodeId>,
    /// Its type. Of a node with several results, the first one's; those are read through [`Kind::Project`] alone.
    pub ty: Type,
}

/// Nodes in an order in which each comes after what it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Region {
    /// The nodes. Arguments may stand anywhere before their use; each number at most once.
    pub nodes: Vec<Node>,
    /// Types of the arguments.
    pub arguments: Vec<Type>,
    /// What it gives.
    pub outputs: Vec<NodeId>,
}

/// A whole program: a region whose arguments are `inputs` and whose outputs go to `outputs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Every axis of it.
    pub axes: Axes,
    /// The arguments of the body.
    pub inputs: Vec<Input>,
    /// What it computes. Its arguments are the inputs, perhaps without axes that are known to be one long.
    pub body: Region,
    /// Where the body's outputs go.
    pub outputs: Vec<Output>,
}

/// An argument of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The argument's name, the parameter's path, or `PATH/m` for optimizer state.
    pub name: String,
    /// What it holds.
    pub elem: Elem,
    /// Its axes, in the order of files.
    pub axes: Vec<Axis>,
    /// Of whole numbers: they are places on this axis, or this one.
    pub within: Option<(Axis, i64)>,
    /// Where it comes from.
    pub source: Source,
}

impl Input {
    /// An argument that may be anything of its kind.
    pub fn new(name: impl Into<String>, elem: Elem, axes: Vec<Axis>, source: Source) -> Self {
        Self { name: name.into(), elem, axes, within: None, source }
    }

    /// A parameter.
    pub fn parameter(parameter: &Parameter) -> Self {
        let axes = [parameter.stack.as_slice(), &parameter.axes].concat();
        Self::new(&parameter.path, Elem::Float, axes, Source::Parameter(parameter.clone()))
    }
}

/// Where an argument of a program comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The caller.
    Port,
    /// The run itself: `seed`, `step`, `micro`, `sum.0`, `weight.0`.
    Supplied,
    /// A parameter's storage.
    Parameter(Parameter),
    /// Optimizer state of a parameter (its path), with its start.
    State(String, Number),
    /// Sums over micro-batches.
    Accumulator,
    /// What is kept of the places of a text while it is written.
    Kept,
}

/// A result of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its axes, in the order of files. The value may lack some: it is the same along them.
    pub axes: Vec<Axis>,
    /// Where it goes.
    pub sink: Sink,
}

/// Where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To the caller.
    Port,
    /// Over the storage of the input with this number: a parameter, its state, an accumulator.
    Update(u32),
}

impl std::ops::Index<NodeId> for Region {
    type Output = Node;
    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

impl Region {
    /// All nodes with their ids, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId(i as u32), n))
    }

    /// The types of the outputs.
    pub fn results(&self) -> Vec<Type> {
        self.outputs.iter().map(|&o| self[o].ty.clone()).collect()
    }

    /// Which nodes some of them are computed of, themselves included.
    pub fn read_by(&self, from: &[NodeId]) -> Vec<bool> {
        let mut read = vec![false; self.nodes.len()];
        from.iter().for_each(|id| read[id.0 as usize] = true);
        for (id, node) in self.iter().rev() {
            if read[id.0 as usize] {
                node.operands.iter().for_each(|o| read[o.0 as usize] = true);
            }
        }
        read
    }

    /// How often each node is read, outputs included.
    pub fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0; self.nodes.len()];
        for id in self.nodes.iter().flat_map(|n| &n.operands).chain(&self.outputs) {
            uses[id.0 as usize] += 1;
        }
        uses
    }
}

impl Kind {
    /// The operator, where it is one.
    pub fn op(&self) -> Option<&Op> {
        match self {
            Kind::Op(op) => Some(op),
            _ => None,
        }
    }
}

/// Grows a region node by node; equal nodes are made once.
#[derive(Clone, Debug, Default)]
pub struct RegionBuilder {
    region: Region,
    known: HashMap<(Kind, Vec<NodeId>), NodeId>,
}

impl RegionBuilder {
    /// An empty region.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from a region.
    pub fn from(region: Region) -> Self {
        let known = region.iter().map(|(id, n)| ((n.kind.clone(), n.operands.clone()), id)).collect();
        Self { region, known }
    }

    /// Adds an argument.
    pub fn argument(&mut self, ty: Type) -> NodeId {
        let number = self.region.arguments.len() as u32;
        self.region.arguments.push(ty.clone());
        self.node(Kind::Argument(number), Vec::new(), ty)
    }

    /// Adds a node whose type is known.
    pub fn node(&mut self, kind: Kind, operands: Vec<NodeId>, ty: Type) -> NodeId {
        let key = (kind, operands);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = NodeId(self.region.nodes.len() as u32);
        self.region.nodes.push(Node { kind: key.0.clone(), operands: key.1.clone(), ty });
        self.known.insert(key, id);
        id
    }

    /// Adds an operation.
    pub fn try_op(&mut self, axes: &Axes, op: Op, operands: &[NodeId]) -> Result<NodeId, Misfit> {
        let types: Vec<&Type> = operands.iter().map(|&o| &self.region[o].ty).collect();
        let ty = op.infer(&types, axes)?;
        Ok(self.node(Kind::Op(op), operands.to_vec(), ty))
    }

    /// Adds an operation that fits by construction.
    ///
    /// # Panics
    /// Where it does not fit: a fault of the compiler.
    pub fn op(&mut self, axes: &Axes, op: Op, operands: &[NodeId]) -> NodeId {
        let shown = format!("{op:?}");
        self.try_op(axes, op, operands).unwrap_or_else(|misfit| {
            let types: Vec<_> = operands.iter().map(|&o| axes.show(&self.region[o].ty)).collect();
            panic!("{shown} does not fit {types:?}: {misfit:?}")
        })
    }

    /// An elementwise operation.
    pub fn map(&mut self, axes: &Axes, op: Elementwise, operands: &[NodeId]) -> NodeId {
        self.op(axes, Op::Map(op), operands)
    }

    /// A float scalar.
    pub fn number(&mut self, value: f64) -> NodeId {
        self.node(Kind::Op(Op::Constant(Number(value), Elem::Float, Vec::new())), Vec::new(), Type::scalar(Elem::Float))
    }

    /// Adds a node with several results (or one) and gives a value for each.
    pub fn several(&mut self, kind: Kind, operands: Vec<NodeId>, results: &[Type]) -> Vec<NodeId> {
        let Some(first) = results.first() else {
            return Vec::new();
        };
        let node = self.node(kind, operands, first.clone());
        results.iter().enumerate().map(|(i, ty)| self.node(Kind::Project(i as u32), vec![node], ty.clone())).collect()
    }

    /// Makes a scan or a kernel another that gives more: the same results with the same numbers, and further ones after them. Nodes keep
    /// their ids.
    pub fn widen(&mut self, several: NodeId, kind: Kind) {
        let node = &mut self.region.nodes[several.0 as usize];
        let before = std::mem::replace(&mut node.kind, kind.clone());
        let operands = node.operands.clone();
        self.known.remove(&(before, operands.clone()));
        self.known.insert((kind, operands), several);
    }

    /// The type of a node.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.region[id].ty
    }

    /// What has been built.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Ends it.
    pub fn finish(mut self, outputs: Vec<NodeId>) -> Region {
        self.region.outputs = outputs;
        self.region
    }
}

/// The results of a node that has several.
pub fn results(kind: &Kind) -> Option<Vec<Type>> {
    match kind {
        Kind::Fused(fused) => Some(fused.body.results()),
        Kind::Scan(scan) => {
            let mut types = scan.body.results();
            for ty in types.iter_mut().skip(scan.carried) {
                *ty = ty.with(&[scan.axis]);
            }
            Some(types)
        }
        Kind::Op(_) | Kind::Argument(_) | Kind::Project(_) => None,
    }
}

/// Whether an operator's value at a place needs its operands at few places alone.
pub fn is_inline(op: &Op) -> bool {
    match op {
        Op::Constant(..)
        | Op::Index(_)
        | Op::Extent(_)
        | Op::Random(..)
        | Op::Map(_)
        | Op::Cast(_)
        | Op::StopGradient
        | Op::Rename(..)
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Slice(..)
        | Op::Pad(..)
        | Op::Insert(..)
        | Op::Concat(..)
        | Op::Lookup(_) => true,
        Op::Reduce(..)
        | Op::ArgMax(_)
        | Op::Order(..)
        | Op::Contract(_)
        | Op::ScatterAdd(..)
        | Op::Softmax(_)
        | Op::LogSumExp(_) => false,
    }
}
