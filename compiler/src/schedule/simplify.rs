//! What is done to a body before its loops are chosen: nodes that nothing reads are left out, softmax is written with the
//! reductions it is made of, and axes that lie together everywhere become one.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::Layout;
use crate::graph::{Kind, Node, NodeId, Region, RegionBuilder};

/// A body with its axes and the layouts of its arguments and results.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The nodes.
    pub body: Region,
    /// Their axes, and merged ones.
    pub axes: Axes,
    /// Layouts of the arguments.
    pub inputs: Vec<Layout>,
    /// Layouts of the results.
    pub outputs: Vec<Layout>,
}

impl Problem {
    /// Simplified: see the file's description.
    pub fn new(body: &Region, axes: &Axes, inputs: &[Layout], outputs: &[Layout]) -> Self {
        let body = expand(body, axes);
        let mut problem = Self { body, axes: axes.clone(), inputs: inputs.to_vec(), outputs: outputs.to_vec() };
        while let Some((outer, inner)) = problem.together() {
            problem.merge(outer, inner);
        }
        problem
    }

    /// All layouts.
    pub fn layouts(&self) -> impl Iterator<Item = &Layout> {
        self.inputs.iter().chain(&self.outputs)
    }

    /// Two axes that are neighbours wherever they are, and that no operator tells apart.
    fn together(&self) -> Option<(Axis, Axis)> {
        let pairs = self.layouts().flat_map(|l| l.0.windows(2).map(|p| (p[0], p[1])));
        pairs.into_iter().find(|&(a, b)| {
            let in_layout = |l: &Layout| whole_or_absent(&l.0, a, b, true);
            let in_type =
                |t: &Type| whole_or_absent(&t.axes, a, b, false) && !matches!(t.elem, Elem::Index(of) if of == a || of == b);
            self.layouts().all(in_layout)
                && self.body.arguments.iter().all(in_type)
                && self.body.nodes.iter().all(|n| in_type(&n.ty) && keeps(n, a, b))
        })
    }

    fn merge(&mut self, a: Axis, b: Axis) {
        let name = format!("{}·{}", self.axes[a].name, self.axes[b].name);
        let (size, outer) = (self.axes.volume(&[a, b]), self.axes[a].outer);
        let one = self.axes.fresh(&name, size, outer);
        let list = |axes: &mut Vec<Axis>| {
            axes.retain(|&x| x != b);
            for x in axes.iter_mut().filter(|x| **x == a) {
                *x = one;
            }
        };
        let ty = |t: &mut Type| {
            let mut axes = t.axes.clone();
            list(&mut axes);
            *t = Type::new(t.elem, axes);
        };
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(|l| list(&mut l.0));
        self.body.arguments.iter_mut().for_each(ty);
        for node in &mut self.body.nodes {
            ty(&mut node.ty);
            if let Kind::Op(
                Op::Constant(_, _, over)
                | Op::Random(_, over, _)
                | Op::Reduce(_, over)
                | Op::Contract(over)
                | Op::Softmax(over)
                | Op::LogSumExp(over),
            ) = &mut node.kind
            {
                list(over);
            }
        }
    }
}

/// Whether a list has both axes (next to one another, where `ordered`) or neither.
fn whole_or_absent(list: &[Axis], a: Axis, b: Axis, ordered: bool) -> bool {
    match (list.iter().position(|&x| x == a), list.iter().position(|&x| x == b)) {
        (None, None) => true,
        (Some(i), Some(j)) => !ordered || i + 1 == j,
        _ => false,
    }
}

/// Whether an operator treats two axes as one.
fn keeps(node: &Node, a: Axis, b: Axis) -> bool {
    let named = |axis: Axis| axis == a || axis == b;
    let Kind::Op(op) = &node.kind else { return matches!(node.kind, Kind::Argument(_)) };
    match op {
        Op::Map(_) | Op::StopGradient | Op::Extent(_) => true,
        Op::Cast(elem) => !matches!(elem, Elem::Index(of) if named(*of)),
        Op::Constant(_, _, over) | Op::Random(_, over, _) => whole_or_absent(over, a, b, !matches!(op, Op::Constant(..))),
        Op::Reduce(_, over) | Op::Contract(over) | Op::Softmax(over) | Op::LogSumExp(over) => {
            whole_or_absent(over, a, b, false)
        }
        Op::Index(axis) | Op::ArgMax(axis) | Op::Lookup(axis) => !named(*axis),
        Op::ScatterAdd(axis, over) => !named(*axis) && whole_or_absent(over, a, b, false),
        Op::Rename(from, to)
        | Op::Slice(from, _, to)
        | Op::Pad(from, _, to, _)
        | Op::Insert(from, _, to)
        | Op::Order(from, to, _) => !named(*from) && !named(*to),
        Op::Split(whole, parts) | Op::Merge(parts, whole) | Op::Concat(parts, whole) => {
            !named(*whole) && !parts.iter().any(|&p| named(p))
        }
    }
}

/// The live nodes, each softmax and log-sum-exp as a largest value and a sum. A row that is −∞ throughout gives 0 or −∞.
pub fn expand(body: &Region, axes: &Axes) -> Region {
    let mut live = vec![false; body.nodes.len()];
    for &output in &body.outputs {
        live[output.0 as usize] = true;
    }
    for (id, node) in body.iter().rev() {
        if live[id.0 as usize] {
            node.operands.iter().for_each(|o| live[o.0 as usize] = true);
        }
    }
    let mut b = RegionBuilder::new();
    let arguments: Vec<NodeId> = body.arguments.iter().map(|ty| b.argument(ty.clone())).collect();
    let mut to = vec![NodeId(0); body.nodes.len()];
    for (id, node) in body.iter().filter(|(id, _)| live[id.0 as usize]) {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| to[o.0 as usize]).collect();
        to[id.0 as usize] = match &node.kind {
            Kind::Argument(number) => arguments[*number as usize],
            Kind::Op(Op::Softmax(over)) => {
                let (_, exps, sum) = exponentials(&mut b, axes, operands[0], over);
                let (zero, one) = (b.number(0.0), b.number(1.0));
                let empty = b.map(axes, Elementwise::EQ, &[sum, zero]);
                let sum = b.map(axes, Elementwise::SELECT, &[empty, one, sum]);
                let share = b.map(axes, Elementwise::DIV, &[one, sum]);
                b.map(axes, Elementwise::MUL, &[exps, share])
            }
            Kind::Op(Op::LogSumExp(over)) => {
                let (shift, _, sum) = exponentials(&mut b, axes, operands[0], over);
                let log = b.map(axes, Elementwise::LOG, &[sum]);
                b.map(axes, Elementwise::ADD, &[shift, log])
            }
            kind => b.node(kind.clone(), operands, node.ty.clone()),
        };
    }
    let outputs = body.outputs.iter().map(|o| to[o.0 as usize]).collect();
    b.finish(outputs)
}

/// The largest value (0 where that is −∞), `exp(x - largest)`, and their sum.
fn exponentials(b: &mut RegionBuilder, axes: &Axes, x: NodeId, over: &[Axis]) -> (NodeId, NodeId, NodeId) {
    let largest = b.op(axes, Op::Reduce(Monoid::Max, over.to_vec()), &[x]);
    let (zero, lowest) = (b.number(0.0), b.number(f64::NEG_INFINITY));
    let nothing = b.map(axes, Elementwise::EQ, &[largest, lowest]);
    let shift = b.map(axes, Elementwise::SELECT, &[nothing, zero, largest]);
    let shifted = b.map(axes, Elementwise::SUB, &[x, shift]);
    let exps = b.map(axes, Elementwise::EXP, &[shifted]);
    let sum = b.op(axes, Op::Reduce(Monoid::Sum, over.to_vec()), &[exps]);
    (shift, exps, sum)
}

/// A number that no value is above (or below), as a monoid's identity in a dtype.
pub fn identity(monoid: Monoid, integer: bool) -> Number {
    let value = monoid.identity();
    Number(match (integer, value.is_infinite()) {
        (true, true) if value > 0.0 => f64::from(i32::MAX),
        (true, true) => f64::from(i32::MIN),
        _ => value,
    })
}
