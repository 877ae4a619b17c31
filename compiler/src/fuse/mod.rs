//! Fusion: nodes become kernels.
//!
//! A value is *materialised* where it lies in memory between kernels; everything else is computed where it is read. First it is
//! decided what is materialised ([`roots`]), then which of those one kernel makes ([`cluster`]), then each kernel's body is
//! written ([`body`]). Afterwards a region holds arguments, kernels, scans, projections and renames (which are free) alone.

mod body;
mod cluster;
mod roots;
mod scalars;
mod steps;

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axes;

use crate::graph::{
    Form, Fused, Graph, Kind, Node, NodeId, Orders, Output, Region, RegionBuilder, Scan, Sink, inserted, results,
};

/// Makes kernels of a whole program; unless `joined`, one of each operator, to compare with.
pub fn fuse(graph: &mut Graph, joined: bool) {
    scalars::widen(graph);
    let in_place = |(at, output): (usize, &Output)| match output.sink {
        Sink::Update(input) => (inserted(&graph.body, graph.body.outputs[at]) == Some(input)).then_some(at),
        Sink::Port => None,
    };
    let in_place: Vec<usize> = graph.outputs.iter().enumerate().filter_map(in_place).collect();
    let orders = joined.then(|| Orders::of(graph));
    graph.body = region(&graph.axes, &graph.body, orders.as_ref(), &in_place);
}

/// Makes kernels of a region and of the regions within, joined where orders of axes are told; some of its outputs are written
/// into the storage of arguments.
fn region(axes: &Axes, source: &Region, orders: Option<&Orders>, in_place: &[usize]) -> Region {
    let source = prepared(axes, source, orders, in_place);
    let joined = orders.is_some();
    let kept: Vec<NodeId> = in_place.iter().map(|&at| source.outputs[at]).collect();
    let roots = roots::Roots::of(axes, &source, joined, &kept);
    let clusters =
        if joined { cluster::clusters(axes, &source, &roots) } else { cluster::Clusters::single(&source, &roots) };
    emit(axes, &source, &roots, &clusters, in_place)
}

/// Bodies of scans fused; contractions that are no matrix product written as sums.
fn prepared(axes: &Axes, source: &Region, orders: Option<&Orders>, in_place: &[usize]) -> Region {
    let joined = orders.is_some();
    let mut out = RegionBuilder::new();
    for ty in &source.arguments {
        out.argument(ty.clone());
    }
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (id, node) in source.iter() {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        new.push(match &node.kind {
            Kind::Op(Op::Contract(over)) if !joined || !is_product(source, node.operands[0], node.operands[1], over) => {
                let product = out.map(axes, Elementwise::MUL, &operands);
                steps::sum(axes, &mut out, product, over, orders)
            }
            Kind::Op(Op::Reduce(Monoid::Sum, over)) => steps::sum(axes, &mut out, operands[0], over, orders),
            Kind::Scan(scan) => {
                let within = in_place.iter().filter_map(|&at| match source[source.outputs[at]] {
                    Node { kind: Kind::Project(number), ref operands, .. } if operands[0] == id => Some(number as usize),
                    _ => None,
                });
                let within: Vec<usize> = within.collect();
                let body = region(axes, &scan.body, orders, &within);
                out.node(Kind::Scan(Box::new(Scan { body, ..(**scan).clone() })), operands, node.ty.clone())
            }
            kind => out.node(kind.clone(), operands, node.ty.clone()),
        });
    }
    out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect())
}

/// Whether a contraction has rows, columns and a common axis.
fn is_product(region: &Region, a: NodeId, b: NodeId, over: &[weft_dsl::types::Axis]) -> bool {
    let (a, b) = (&region[a].ty, &region[b].ty);
    over.iter().all(|&axis| a.has(axis) && b.has(axis))
        && a.axes.iter().any(|&axis| !b.has(axis))
        && b.axes.iter().any(|&axis| !a.has(axis))
}

/// Writes the region of kernels.
fn emit(axes: &Axes, source: &Region, roots: &roots::Roots, clusters: &cluster::Clusters, in_place: &[usize]) -> Region {
    let mut out = RegionBuilder::new();
    for ty in &source.arguments {
        out.argument(ty.clone());
    }
    let mut made = Made { source, new: HashMap::new() };
    for unit in clusters.in_order(source, roots) {
        match unit {
            cluster::Unit::Node(id) => {
                let node = &source[id];
                let operands: Vec<NodeId> = node.operands.iter().map(|&o| made.value(axes, &mut out, o)).collect();
                let new = out.node(node.kind.clone(), operands, node.ty.clone());
                made.new.insert(id, new);
            }
            cluster::Unit::Kernel(members) => kernel(axes, source, (roots, clusters), &members, &mut made, &mut out),
        }
    }
    let mut outputs: Vec<NodeId> = source.outputs.iter().map(|&o| made.value(axes, &mut out, o)).collect();
    own(&mut out, &mut outputs, in_place);
    out.finish(outputs)
}

/// What has been made so far.
struct Made<'a> {
    source: &'a Region,
    new: HashMap<NodeId, NodeId>,
}

impl Made<'_> {
    /// The new node for a materialised value, through renames.
    fn value(&mut self, axes: &Axes, out: &mut RegionBuilder, id: NodeId) -> NodeId {
        if let Some(&new) = self.new.get(&id) {
            return new;
        }
        let node = &self.source[id];
        let new = match &node.kind {
            Kind::Op(op @ Op::Rename(..)) => {
                let operand = self.value(axes, out, node.operands[0]);
                out.op(axes, op.clone(), &[operand])
            }
            kind => panic!("node {id:?} ({kind:?}) is read before it is made"),
        };
        self.new.insert(id, new);
        new
    }
}

/// Writes one kernel.
fn kernel(
    axes: &Axes,
    source: &Region,
    (roots, clusters): (&roots::Roots, &cluster::Clusters),
    members: &[NodeId],
    made: &mut Made,
    out: &mut RegionBuilder,
) {
    let body = body::write(axes, source, roots, clusters, members);
    let operands: Vec<NodeId> = body.inputs.iter().map(|&id| made.value(axes, out, id)).collect();
    let types = body.region.results();
    let node = Kind::Fused(Box::new(Fused { form: body.form, body: body.region }));
    debug_assert!(results(&node).is_some());
    let values = out.several(node, operands, &types);
    for (result, value) in body.results.iter().zip(values) {
        let value = result.renames.iter().fold(value, |v, &(from, to)| out.op(axes, Op::Rename(from, to), &[v]));
        made.new.insert(result.node, value);
    }
}

/// Gives each output a buffer of its own, unless it has an argument's: an output that is no kernel's result, or stands twice, is
/// copied.
fn own(out: &mut RegionBuilder, outputs: &mut [NodeId], in_place: &[usize]) {
    let mut seen = Vec::new();
    for (_, output) in outputs.iter_mut().enumerate().filter(|(at, _)| !in_place.contains(at)) {
        let origin = roots::beneath_renames(out.region(), *output);
        let node = &out.region()[origin];
        let made = matches!(node.kind, Kind::Project(_)) && matches!(out.region()[node.operands[0]].kind, Kind::Fused(_));
        if made && !seen.contains(&origin) {
            seen.push(origin);
            continue;
        }
        let ty = out.ty(*output).clone();
        let mut copy = RegionBuilder::new();
        // Equal nodes are made once; a further, unused argument for each copy before it keeps equal copies apart.
        let value = copy.argument(ty.clone());
        let times = seen.iter().filter(|s| **s == origin).count();
        for _ in 0..times {
            copy.argument(ty.clone());
        }
        let fused = Kind::Fused(Box::new(Fused { form: Form::Loops, body: copy.finish(vec![value]) }));
        seen.push(origin);
        *output = out.several(fused, vec![*output; times + 1], &[ty])[0];
    }
}
