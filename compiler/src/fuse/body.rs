//! Writes a kernel's body: the values of its roots, with everything inline that they are computed from.
//!
//! All roots of a kernel speak of one domain by one set of axis names, the anchor's. A root that calls an axis otherwise is
//! copied under a substitution, and renamed (at no cost) outside the kernel.

use std::collections::HashMap;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis};

use super::cluster::{Clusters, pointwise};
use super::roots::{Role, Roots};
use crate::graph::{Form, Kind, NodeId, Region, RegionBuilder};

/// A kernel's body with what it reads and gives.
pub struct Body {
    /// What it computes.
    pub region: Region,
    /// How it is built.
    pub form: Form,
    /// The values of the old region that are its operands.
    pub inputs: Vec<NodeId>,
    /// The values of the old region that are its results.
    pub results: Vec<BodyResult>,
}

/// A result of a kernel.
pub struct BodyResult {
    /// The root.
    pub node: NodeId,
    /// How its axes are to be renamed outside.
    pub renames: Vec<(Axis, Axis)>,
}

/// Axes that are called otherwise: from, to; only those that differ, sorted.
type Names = Vec<(Axis, Axis)>;

/// Writes the body that makes these roots.
pub fn write(axes: &Axes, source: &Region, roots: &Roots, clusters: &Clusters, members: &[NodeId]) -> Body {
    let anchor = members.iter().copied().find(|&m| matches!(source[m].kind, Kind::Op(Op::Contract(_))));
    let names = members
        .iter()
        .map(|&m| {
            let pairs = anchor.filter(|&a| a != m).and_then(|a| pointwise(source, roots, m, a)).unwrap_or_default();
            let mut names: Names =
                pairs.into_iter().filter(|(own, name)| own != name).map(|(own, name)| (name, own)).collect();
            names.sort();
            (m, names)
        })
        .collect();
    let mut writer =
        Writer { axes, source, roots, out: RegionBuilder::new(), names, inputs: Vec::new(), made: HashMap::new() };
    let mut outputs = Vec::new();
    let mut results = Vec::new();
    for &member in members {
        let own = writer.names[&member].clone();
        let value = writer.compute(member, &own);
        writer.made.insert((member, own.clone()), value);
        if clusters.escapes(source, roots, member) {
            outputs.push(value);
            results.push(BodyResult { node: member, renames: own.iter().map(|&(name, own)| (own, name)).collect() });
        }
    }
    let form = members.iter().find_map(|&m| match source[m].kind {
        Kind::Op(Op::Contract(_)) => Some(Form::Product),
        Kind::Op(Op::ScatterAdd(..)) => Some(Form::Scatter),
        Kind::Op(Op::Order(..)) => Some(Form::Order),
        _ => None,
    });
    let form = form.unwrap_or(Form::Loops);
    Body { inputs: writer.inputs, region: writer.out.finish(outputs), form, results }
}

struct Writer<'a> {
    axes: &'a Axes,
    source: &'a Region,
    roots: &'a Roots,
    out: RegionBuilder,
    /// The kernel's own roots, with their substitutions.
    names: HashMap<NodeId, Names>,
    inputs: Vec<NodeId>,
    made: HashMap<(NodeId, Names), NodeId>,
}

impl Writer<'_> {
    /// A value of the old region, under other names.
    fn value(&mut self, id: NodeId, names: &Names) -> NodeId {
        let names: Names = names.iter().copied().filter(|(from, _)| self.source[id].ty.has(*from)).collect();
        if let Some(&made) = self.made.get(&(id, names.clone())) {
            return made;
        }
        let value = match (self.names.get(&id).cloned(), self.roots.role(id)) {
            (Some(own), _) => {
                let inner = self.made[&(id, own.clone())];
                let back: Names = own.iter().map(|&(name, own)| (own, name)).collect();
                let plain = self.renamed(inner, &back);
                self.renamed(plain, &names)
            }
            (None, Role::Root | Role::Boundary) => {
                let argument = match self.inputs.iter().position(|&i| i == id) {
                    Some(_) => self.made[&(id, Vec::new())],
                    None => {
                        self.inputs.push(id);
                        let argument = self.out.argument(self.source[id].ty.clone());
                        self.made.insert((id, Vec::new()), argument);
                        argument
                    }
                };
                self.renamed(argument, &names)
            }
            (None, Role::Inline | Role::Dead) => self.compute(id, &names),
        };
        self.made.insert((id, names), value);
        value
    }

    fn renamed(&mut self, value: NodeId, names: &Names) -> NodeId {
        names.iter().fold(value, |v, &(from, to)| self.out.op(self.axes, Op::Rename(from, to), &[v]))
    }

    /// A node of the old region computed here, under other names.
    fn compute(&mut self, id: NodeId, names: &Names) -> NodeId {
        let node = &self.source[id];
        let Kind::Op(op) = &node.kind else { unreachable!("boundaries are arguments") };
        let name = |axis: Axis| names.iter().find(|(from, _)| *from == axis).map_or(axis, |&(_, to)| to);
        let hidden = hidden_axes(op);
        if names.iter().any(|(_, to)| hidden.contains(to)) {
            // The new name is in use within: compute under the old names, then rename.
            let plain = self.compute(id, &Vec::new());
            return self.renamed(plain, names);
        }
        let all = |list: &[Axis]| list.iter().map(|&a| name(a)).collect::<Vec<_>>();
        if let Op::Rename(from, to) = op {
            let mut inner: Names = names.iter().copied().filter(|(old, _)| old != to).collect();
            if *from != name(*to) {
                inner.push((*from, name(*to)));
            }
            inner.sort();
            return self.value(node.operands[0], &inner);
        }
        let op = match op {
            Op::Constant(value, elem, over) => Op::Constant(*value, *elem, all(over)),
            Op::Index(axis) => Op::Index(name(*axis)),
            Op::Random(kind, over, site) => Op::Random(*kind, all(over), *site),
            Op::Split(whole, parts) => Op::Split(*whole, all(parts)),
            Op::Merge(parts, whole) => Op::Merge(parts.clone(), name(*whole)),
            Op::Slice(from, start, to) => Op::Slice(*from, start.clone(), name(*to)),
            Op::Pad(from, start, to, value) => Op::Pad(*from, start.clone(), name(*to), *value),
            Op::Insert(part, start, whole) => Op::Insert(*part, start.clone(), name(*whole)),
            Op::Concat(parts, whole) => Op::Concat(parts.clone(), name(*whole)),
            Op::ScatterAdd(axis, over) => Op::ScatterAdd(name(*axis), over.clone()),
            Op::Order(axis, to, way) => Op::Order(*axis, name(*to), *way),
            Op::Softmax(over) => Op::Softmax(all(over)),
            Op::Rename(..)
            | Op::Extent(_)
            | Op::Map(_)
            | Op::Cast(_)
            | Op::StopGradient
            | Op::Reduce(..)
            | Op::ArgMax(_)
            | Op::Contract(_)
            | Op::Lookup(_)
            | Op::LogSumExp(_) => op.clone(),
        };
        // Names made here are not the operands'.
        let made = made_axes(&self.source[id].kind);
        let inner: Names = names.iter().copied().filter(|(from, _)| !made.contains(from)).collect();
        let operands: Vec<NodeId> = node.operands.iter().map(|&o| self.value(o, &inner)).collect();
        self.out.op(self.axes, op, &operands)
    }
}

/// Axes of an operator's operands that its result does not have.
fn hidden_axes(op: &Op) -> Vec<Axis> {
    match op {
        Op::Reduce(_, over) | Op::Contract(over) | Op::LogSumExp(over) | Op::ScatterAdd(_, over) => over.clone(),
        Op::ArgMax(axis) | Op::Lookup(axis) => vec![*axis],
        Op::Split(axis, _) | Op::Slice(axis, ..) | Op::Pad(axis, ..) | Op::Insert(axis, ..) | Op::Order(axis, ..) => {
            vec![*axis]
        }
        Op::Merge(parts, _) | Op::Concat(parts, _) => parts.clone(),
        Op::Constant(..)
        | Op::Index(_)
        | Op::Extent(_)
        | Op::Random(..)
        | Op::Map(_)
        | Op::Cast(_)
        | Op::StopGradient
        | Op::Rename(..)
        | Op::Softmax(_) => Vec::new(),
    }
}

/// Axes of an operator's result that its operands need not have.
fn made_axes(kind: &Kind) -> Vec<Axis> {
    match kind {
        Kind::Op(Op::Split(_, parts)) => parts.clone(),
        Kind::Op(Op::Merge(_, axis) | Op::Slice(_, _, axis) | Op::Pad(_, _, axis, _) | Op::Concat(_, axis)) => vec![*axis],
        Kind::Op(Op::ScatterAdd(axis, _) | Op::Order(_, axis, _)) => vec![*axis],
        _ => Vec::new(),
    }
}
