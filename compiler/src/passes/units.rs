//! Leaves out axes of length 1, so that a value with such an axis and one without become the same kernels.
//!
//! The axes are chosen for the whole program: an axis stays where an operator walks along it (a scan, an index, a slice), where one
//! would go over nothing without it, and where a float would be left without axes, which is computed more precisely. Inputs and
//! outputs keep their declared axes; the body's arguments and results lack them.

use std::collections::BTreeSet;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{Fused, Graph, Kind, Node, NodeId, Region, RegionBuilder, Scan};

/// Leaves them out.
pub fn leave_out(graph: &mut Graph) {
    let units: BTreeSet<Axis> = graph.axes.iter().map(|(axis, _)| axis).filter(|&a| graph.axes.is_unit(a)).collect();
    let mut dropped = Dropped(units);
    loop {
        let before = dropped.0.len();
        dropped.keep_needed(&graph.body);
        if dropped.0.len() == before {
            break;
        }
    }
    if !dropped.0.is_empty() {
        graph.body = dropped.region(&graph.axes, &graph.body);
    }
}

/// The axes that are left out.
struct Dropped(BTreeSet<Axis>);

impl Dropped {
    fn all(&self, axes: &[Axis]) -> bool {
        axes.iter().all(|a| self.0.contains(a))
    }

    fn keep(&mut self, axes: &[Axis]) {
        self.0.retain(|a| !axes.contains(a));
    }

    /// Takes back what a region needs.
    fn keep_needed(&mut self, region: &Region) {
        for ty in &region.arguments {
            self.keep_float(ty);
        }
        for node in &region.nodes {
            match &node.kind {
                Kind::Op(op) => self.keep_named(op),
                Kind::Scan(scan) => {
                    self.keep(&[scan.axis]);
                    self.keep_needed(&scan.body);
                }
                Kind::Fused(fused) => self.keep_needed(&fused.body),
                Kind::Argument(_) | Kind::Project(_) => {}
            }
            if !matches!(node.kind, Kind::Op(Op::Constant(..))) {
                self.keep_float(&node.ty);
            }
        }
    }

    fn keep_float(&mut self, ty: &Type) {
        if ty.elem == Elem::Float && self.all(&ty.axes) {
            self.keep(&ty.axes);
        }
    }

    fn keep_named(&mut self, op: &Op) {
        match op {
            Op::Contract(over) | Op::Softmax(over) | Op::LogSumExp(over) if self.all(over) => self.keep(over),
            Op::ScatterAdd(axis, over) => {
                self.keep(&[*axis]);
                if self.all(over) {
                    self.keep(over);
                }
            }
            // One axis by several names goes or stays.
            Op::Rename(from, to) if !self.all(&[*from, *to]) => self.keep(&[*from, *to]),
            Op::Split(whole, parts) | Op::Merge(parts, whole) => {
                if !self.0.contains(whole) && self.all(parts) || self.0.contains(whole) && !self.all(parts) {
                    self.keep(parts);
                    self.keep(&[*whole]);
                }
            }
            Op::Slice(from, _, to) | Op::Pad(from, _, to, _) => self.keep(&[*from, *to]),
            Op::Concat(parts, whole) => {
                self.keep(parts);
                self.keep(&[*whole]);
            }
            Op::Index(axis) | Op::ArgMax(axis) | Op::Lookup(axis) => self.keep(&[*axis]),
            Op::Contract(_) | Op::Softmax(_) | Op::LogSumExp(_) | Op::Rename(..) => {}
            Op::Constant(..) | Op::Extent(_) | Op::Random(..) | Op::Map(_) | Op::Cast(_) | Op::StopGradient => {}
            Op::Reduce(..) => {}
        }
    }

    fn region(&self, axes: &Axes, old: &Region) -> Region {
        let mut b = RegionBuilder::new();
        let arguments: Vec<NodeId> = old.arguments.iter().map(|ty| b.argument(self.ty(ty))).collect();
        let mut copy: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
        for node in &old.nodes {
            let operands = node.operands.iter().map(|o| copy[o.0 as usize]).collect();
            copy.push(match &node.kind {
                Kind::Argument(number) => arguments[*number as usize],
                Kind::Op(op) => self.op(axes, &mut b, op, operands, node),
                Kind::Scan(scan) => {
                    let scan = Scan { body: self.region(axes, &scan.body), ..(**scan).clone() };
                    b.node(Kind::Scan(Box::new(scan)), operands, self.ty(&node.ty))
                }
                Kind::Fused(fused) => {
                    let fused = Fused { form: fused.form, body: self.region(axes, &fused.body) };
                    b.node(Kind::Fused(Box::new(fused)), operands, self.ty(&node.ty))
                }
                Kind::Project(_) => b.node(node.kind.clone(), operands, self.ty(&node.ty)),
            });
        }
        b.finish(old.outputs.iter().map(|o| copy[o.0 as usize]).collect())
    }

    fn ty(&self, ty: &Type) -> Type {
        Type { elem: ty.elem, axes: self.rest(&ty.axes) }
    }

    fn rest(&self, axes: &[Axis]) -> Vec<Axis> {
        axes.iter().copied().filter(|a| !self.0.contains(a)).collect()
    }

    /// An operator without the axes; its operand, where nothing is left to be done.
    fn op(&self, axes: &Axes, b: &mut RegionBuilder, op: &Op, operands: Vec<NodeId>, node: &Node) -> NodeId {
        let one = |parts: &[Axis]| <[Axis; 1]>::try_from(parts).map(|[part]| part);
        let op = match op {
            Op::Constant(value, elem, over) => Op::Constant(*value, *elem, self.rest(over)),
            Op::Random(distribution, over, site) => Op::Random(*distribution, self.rest(over), *site),
            Op::Reduce(_, over) if self.all(over) => Op::Cast(node.ty.elem),
            Op::Reduce(monoid, over) => Op::Reduce(*monoid, self.rest(over)),
            Op::Contract(over) => Op::Contract(self.rest(over)),
            Op::Softmax(over) => Op::Softmax(self.rest(over)),
            Op::LogSumExp(over) => Op::LogSumExp(self.rest(over)),
            Op::ScatterAdd(axis, over) => Op::ScatterAdd(*axis, self.rest(over)),
            Op::Rename(from, to) if self.all(&[*from, *to]) => return operands[0],
            Op::Split(whole, _) | Op::Merge(_, whole) if self.0.contains(whole) => return operands[0],
            Op::Split(whole, parts) => {
                let parts = self.rest(parts);
                one(&parts).map_or_else(|_| Op::Split(*whole, parts.clone()), |part| Op::Rename(*whole, part))
            }
            Op::Merge(parts, whole) => {
                let parts = self.rest(parts);
                one(&parts).map_or_else(|_| Op::Merge(parts.clone(), *whole), |part| Op::Rename(part, *whole))
            }
            op => op.clone(),
        };
        match op {
            Op::Cast(elem) if b.ty(operands[0]).elem == elem => operands[0],
            op => b.op(axes, op, &operands),
        }
    }
}
