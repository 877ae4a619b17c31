//! Evaluates the nodes of a fused body at a position.
//!
//! A node's value depends on the positions of its type's axes alone, so values are remembered by node and positions and each is
//! emitted once; a remembered register is used while the block that assigned it is open. Reductions are not evaluated here: the
//! schedule computes them and says their values with [`Exprs::preset`] or [`Exprs::stored`].

use std::collections::HashMap;

use weft_dsl::elementwise::{Elementwise, Signature};
use weft_dsl::op::{Distribution, Op};
use weft_dsl::types::{Axes, Axis, Elem};

use super::position::{Address, Env, Position, address, load, store};
use super::sizes::SizeTable;
use super::{Layout, Unschedulable, dtype};
use crate::graph::{Kind, NodeId, Region, is_inline};
use crate::kernel::{Block, Dtype, Place, Reg, Writer};

/// A node at the positions of its axes; then the masks, where they matter.
type Key = (NodeId, Vec<Position>, Option<Reg>, Option<Reg>);

/// The evaluator of one kernel's body. Argument `i` of the body is argument `i` of the kernel.
pub struct Exprs<'a> {
    /// The nodes.
    pub body: &'a Region,
    /// Their axes.
    pub axes: &'a Axes,
    /// Size parameters of the kernel.
    pub sizes: SizeTable,
    /// Lanes of a vector position.
    pub lanes: u16,
    inputs: &'a [Layout],
    memo: HashMap<Key, (Reg, Block)>,
    presets: HashMap<(NodeId, Vec<Position>), (Reg, Block)>,
    stored: HashMap<NodeId, (Place, Layout)>,
    fault: Option<Unschedulable>,
}

impl<'a> Exprs<'a> {
    /// An evaluator of a body whose arguments lie in memory in these orders.
    pub fn new(body: &'a Region, axes: &'a Axes, inputs: &'a [Layout], lanes: u16) -> Self {
        Self {
            body,
            axes,
            sizes: SizeTable::new(),
            lanes,
            inputs,
            memo: HashMap::new(),
            presets: HashMap::new(),
            stored: HashMap::new(),
            fault: None,
        }
    }

    /// The size parameters, or why the body cannot be evaluated in this way.
    pub fn finish(self) -> Result<SizeTable, Unschedulable> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.sizes),
        }
    }

    /// Says a node's value at the positions of its axes in `env`, while the current block is open.
    pub fn preset(&mut self, w: &Writer, node: NodeId, env: &Env, value: Reg) {
        if let Some(positions) = self.positions(node, env) {
            self.presets.insert((node, positions), (value, w.block()));
        }
    }

    /// Says that a node's values lie in memory from now on, in this order; axes of the node that the order lacks stay where they
    /// were when the values were written.
    pub fn stored(&mut self, node: NodeId, place: Place, layout: Layout) {
        self.stored.insert(node, (place, layout));
    }

    /// The node's value: a scalar where it does not depend on lanes, otherwise a vector of [`Self::lanes`]. What cannot be
    /// evaluated is a fault that [`Self::finish`] gives.
    pub fn eval(&mut self, w: &mut Writer, node: NodeId, env: &Env) -> Reg {
        let Some(positions) = self.positions(node, env) else {
            return self.fail(w, node, "has an axis without a position");
        };
        let vector = positions.iter().any(|p| p.is_vector());
        let key = (node, positions);
        if let Some(&(value, block)) = self.presets.get(&key)
            && w.is_open(block)
        {
            return value;
        }
        let key = (key.0, key.1, if vector { env.mask } else { None }, env.guard);
        if let Some(&(value, block)) = self.memo.get(&key)
            && w.is_open(block)
        {
            return value;
        }
        let value = match self.stored.get(&node) {
            Some((place, layout)) => {
                let (place, layout) = (*place, layout.clone());
                self.load(w, node, place, &layout, env)
            }
            None => self.compute(w, node, env),
        };
        self.memo.insert(key, (value, w.block()));
        value
    }

    /// Evaluates a node to a dtype.
    pub fn eval_as(&mut self, w: &mut Writer, node: NodeId, env: &Env, dtype: Dtype) -> Reg {
        let value = self.eval(w, node, env);
        match (w.shape(value).dtype, dtype) {
            // `Convert` is for numbers; a truth value is whether it is not 0.
            (from, Dtype::Bool) if from != Dtype::Bool => {
                let zero = w.constant(from, 1, 0.0);
                w.map(Elementwise::NE, &[value, zero])
            }
            _ => w.convert(value, dtype),
        }
    }

    /// Writes a value to a buffer at a position.
    pub fn store(&mut self, w: &mut Writer, place: Place, layout: &Layout, env: &Env, value: Reg) {
        match address(w, &mut self.sizes, self.axes, layout, env, self.lanes) {
            Some(at) => store(w, place, at, value, env, self.lanes),
            None => self.fault = Some(Unschedulable("a result has an axis without a position".into())),
        }
    }

    /// Brings nearer what a node will read at a position, where that is a place of an argument; elsewhere it does nothing.
    pub fn fetch(&mut self, w: &mut Writer, mut node: NodeId, mut env: Env) {
        let body = self.body;
        loop {
            let n = &body[node];
            let (axis, position) = match &n.kind {
                Kind::Argument(number) => {
                    let Some(layout) = self.inputs.get(*number as usize) else { return };
                    return self.fetch_from(w, Place::Arg(*number), layout, &env);
                }
                Kind::Op(Op::Rename(from, to)) => (*from, env.get(*to)),
                Kind::Op(Op::Slice(from, start, to)) => {
                    let start = self.sizes.reg(w, start);
                    (*from, env.get(*to).map(|p| p.shifted(w, start, false)))
                }
                _ => return,
            };
            let Some(position) = position else { return };
            env.set(axis, position);
            node = n.operands[0];
        }
    }

    /// Asks for what lies at some positions of a value.
    pub fn fetch_from(&mut self, w: &mut Writer, place: Place, layout: &Layout, env: &Env) {
        if let Some(Address::One(at) | Address::Run(at)) = address(w, &mut self.sizes, self.axes, layout, env, self.lanes) {
            w.fetch(place, at);
        }
    }

    /// The size of an axis as an I64 scalar.
    pub fn extent(&mut self, w: &mut Writer, axis: Axis) -> Reg {
        self.sizes.reg(w, self.axes.size(axis))
    }

    /// Evaluates, in the current block, what the roots need and what depends on the positions in `env` alone: before a loop over
    /// the other axes. What waits for a reduction whose value is not yet known is left.
    pub fn hoist(&mut self, w: &mut Writer, roots: &[NodeId], env: &Env) {
        let mut waits = vec![false; self.body.nodes.len()];
        for (id, node) in self.body.iter() {
            let known = self.stored.contains_key(&id)
                || self.positions(id, env).and_then(|p| self.presets.get(&(id, p))).is_some_and(|(_, b)| w.is_open(*b));
            let joins = match &node.kind {
                Kind::Op(op) => is_reduction(op),
                Kind::Argument(_) => false,
                Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => true,
            };
            waits[id.0 as usize] = !known && (joins || node.operands.iter().any(|o| waits[o.0 as usize]));
        }
        let mut seen = vec![false; self.body.nodes.len()];
        let mut open: Vec<(NodeId, Env)> = roots.iter().map(|&r| (r, env.clone())).collect();
        while let Some((node, env)) = open.pop() {
            if std::mem::replace(&mut seen[node.0 as usize], true) {
                continue;
            }
            let n = &self.body[node];
            let trivial = matches!(n.kind, Kind::Op(Op::Constant(..) | Op::Index(_) | Op::Extent(_)));
            if env.covers(&n.ty.axes) && !waits[node.0 as usize] && !trivial {
                self.eval(w, node, &env);
                continue;
            }
            if self.stored.contains_key(&node) {
                continue;
            }
            let inner = match &n.kind {
                Kind::Op(Op::Rename(from, to)) => match env.get(*to) {
                    Some(at) => env.with(*from, at),
                    None => env.without(*from),
                },
                Kind::Op(Op::Lookup(axis)) => {
                    open.push((n.operands[1], env.clone()));
                    open.push((n.operands[0], env.without(*axis)));
                    continue;
                }
                Kind::Op(Op::Map(_) | Op::Cast(_) | Op::StopGradient) => env.clone(),
                Kind::Op(op) if is_reduction(op) => env.clone(),
                // Operands stand at other positions: only what has no axes is certain.
                _ => Env::guarded_by(env.guard),
            };
            open.extend(n.operands.iter().map(|&o| (o, inner.clone())));
        }
    }

    /// Positions of the node's axes, in their order.
    fn positions(&self, node: NodeId, env: &Env) -> Option<Vec<Position>> {
        self.body[node].ty.axes.iter().map(|&a| env.get(a)).collect()
    }

    pub(super) fn fail(&mut self, w: &mut Writer, node: NodeId, why: &str) -> Reg {
        let n = &self.body[node];
        self.fault.get_or_insert_with(|| Unschedulable(format!("node {} ({:?}) {why}", node.0, n.kind)));
        w.constant(dtype(&n.ty), 1, 0.0)
    }

    /// Reads a buffer at a position; a fault names the node.
    pub(super) fn load(&mut self, w: &mut Writer, node: NodeId, place: Place, layout: &Layout, env: &Env) -> Reg {
        match address(w, &mut self.sizes, self.axes, layout, env, self.lanes) {
            Some(at) => load(w, place, at, env, self.lanes),
            None => self.fail(w, node, "lies in memory with an axis that it lacks"),
        }
    }

    fn compute(&mut self, w: &mut Writer, node: NodeId, env: &Env) -> Reg {
        let body = self.body;
        let n = &body[node];
        let op = match &n.kind {
            Kind::Op(op) => op,
            Kind::Argument(number) => {
                return match self.inputs.get(*number as usize) {
                    Some(layout) => self.load(w, node, Place::Arg(*number), layout, env),
                    None => self.fail(w, node, "has no layout"),
                };
            }
            Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => return self.fail(w, node, "is not an expression"),
        };
        match op {
            Op::Constant(value, _, _) => w.constant(dtype(&n.ty), 1, value.0),
            Op::Index(axis) => match env.get(*axis) {
                Some(Position::Lanes(base) | Position::Run(base)) => {
                    let (base, iota) = (w.convert(base, Dtype::I32), w.iota(Dtype::I32, self.lanes));
                    w.add(base, iota)
                }
                Some(Position::Scalar(at) | Position::Vector(at)) => w.convert(at, Dtype::I32),
                None => self.fail(w, node, "has no position"),
            },
            Op::Extent(size) => {
                let size = self.sizes.reg(w, size);
                w.convert(size, Dtype::I32)
            }
            Op::Random(distribution, over, site) => self.random(w, node, env, *distribution, over, *site),
            Op::Map(op) => self.map(w, *op, node, env),
            Op::Cast(_) => self.eval_as(w, n.operands[0], env, dtype(&n.ty)),
            Op::StopGradient => self.eval(w, n.operands[0], env),
            Op::Rename(..)
            | Op::Split(..)
            | Op::Merge(..)
            | Op::Slice(..)
            | Op::Pad(..)
            | Op::Insert(..)
            | Op::Concat(..)
            | Op::Lookup(_) => self.structural(w, node, op, env),
            Op::Reduce(..)
            | Op::ArgMax(_)
            | Op::Order(..)
            | Op::Contract(_)
            | Op::ScatterAdd(..)
            | Op::Softmax(_)
            | Op::LogSumExp(_) => self.fail(w, node, "is a reduction whose value is not known here"),
        }
    }

    fn map(&mut self, w: &mut Writer, op: Elementwise, node: NodeId, env: &Env) -> Reg {
        let n = &self.body[node];
        let types: Vec<_> = n.operands.iter().map(|&o| self.body[o].ty.clone()).collect();
        let own = dtype(&n.ty);
        let operand = |i: usize| match op.row().signature {
            Signature::Logic => Dtype::Bool,
            Signature::Select if i == 0 => Dtype::Bool,
            Signature::Compare => {
                let dtypes = || types.iter().map(dtype);
                if types.iter().all(|t| t.elem == Elem::Bool) {
                    Dtype::Bool
                } else if dtypes().any(|d| d == Dtype::F32) {
                    Dtype::F32
                } else if dtypes().any(|d| d == Dtype::F64) {
                    Dtype::F64
                } else {
                    Dtype::I32
                }
            }
            Signature::Number | Signature::Real | Signature::Integer | Signature::Select => own,
        };
        let operands: Vec<Reg> = (0..types.len()).map(|i| self.eval_as(w, n.operands[i], env, operand(i))).collect();
        w.map(op, &operands)
    }

    /// The recipe of [`crate::graph::philox`].
    fn random(&mut self, w: &mut Writer, node: NodeId, env: &Env, how: Distribution, over: &[Axis], site: u32) -> Reg {
        let n = &self.body[node];
        let mut words = [w.constant(Dtype::I32, 1, 0.0); 4];
        for (i, &operand) in n.operands.iter().enumerate().take(4) {
            let value = self.eval(w, operand, env);
            // By way of 64 bits, so that a large float keeps its lowest 32.
            let value = if w.shape(value).dtype.is_float() { w.convert(value, Dtype::I64) } else { value };
            words[i] = w.convert(value, Dtype::I32);
        }
        let [seed, step, micro, extra] = words;
        let mut index = w.int(0);
        for &axis in over {
            let Some(at) = env.get(axis) else { return self.fail(w, node, "has an axis without a position") };
            let (size, at) = (self.extent(w, axis), at.places(w, self.lanes));
            index = w.mul(index, size);
            index = w.add(index, at);
        }
        let index = w.convert(index, Dtype::I32);
        let site = w.constant(Dtype::I32, 1, f64::from(site as i32));
        let dtype = dtype(&n.ty);
        let uniform = |w: &mut Writer, word: u8| {
            let word = w.philox([seed, site], [index, step, micro, extra], word);
            // Words are signed here: rounding down gives the upper 24 bits less 2²⁴ where the word is negative.
            let by = w.constant(Dtype::I32, 1, 256.0);
            let upper = w.map(Elementwise::IDIV, &[word, by]);
            let (upper, unit) = (w.convert(upper, dtype), w.constant(dtype, 1, 1.0 / f64::from(1 << 24)));
            let signed = w.mul(upper, unit);
            let (zero, one) = (w.constant(dtype, 1, 0.0), w.constant(dtype, 1, 1.0));
            let (negative, wrapped) = (w.map(Elementwise::LT, &[signed, zero]), w.add(signed, one));
            w.map(Elementwise::SELECT, &[negative, wrapped, signed])
        };
        let first = uniform(w, 0);
        match how {
            Distribution::Uniform => first,
            Distribution::Normal => {
                let second = uniform(w, 1);
                let (one, minus_two) = (w.constant(dtype, 1, 1.0), w.constant(dtype, 1, -2.0));
                let tau = w.constant(dtype, 1, std::f64::consts::TAU);
                let rest = w.sub(one, first);
                let log = w.map(Elementwise::LOG, &[rest]);
                let square = w.mul(minus_two, log);
                let radius = w.map(Elementwise::SQRT, &[square]);
                let angle = w.mul(tau, second);
                let cos = w.map(Elementwise::COS, &[angle]);
                w.mul(radius, cos)
            }
        }
    }
}

/// Whether an operator joins values from several places.
pub fn is_reduction(op: &Op) -> bool {
    !is_inline(op)
}
