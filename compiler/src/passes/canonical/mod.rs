//! One form for what can be written in several.
//!
//! A region is built anew from its arguments up, each node through [`Simplifier::op`], which applies local rules until none
//! fits; equal nodes become one, and what nothing reads is gone. Rules are *real* in the sense of the rewriter: equal over the
//! reals, and finite where the source is finite. The derived operators ([`softmax`]) are found by structure, so that a user's own
//! text and the library's become the same graph.

mod elementwise;
mod order;
mod scans;
mod simplify;
mod softmax;
mod structure;
#[cfg(test)]
mod tests;

use weft_dsl::op::Op;
use weft_dsl::types::Axes;

use self::scans::{Place, prune};
use self::simplify::Simplifier;
use crate::graph::{Graph, Kind, NodeId, Region, RegionBuilder, Scan};

/// A bound on rounds; a graph comes to rest after two or three.
const ROUNDS: usize = 16;

/// Brings a graph into canonical form.
pub fn canonicalise(graph: &mut Graph) {
    graph.body = region(&graph.axes, std::mem::take(&mut graph.body), |s, op, operands| s.op(op, operands));
}

/// Takes out what no output needs, from scans too, and leaves the rest as it is written.
pub(super) fn needed(graph: &mut Graph) {
    graph.body = region(&graph.axes, std::mem::take(&mut graph.body), |s, op, operands| s.b.op(s.axes, op, operands));
}

/// How an operation is added.
type Rule = fn(&mut Simplifier<'_>, Op, &[NodeId]) -> NodeId;

fn region(axes: &Axes, mut region: Region, rule: Rule) -> Region {
    for _ in 0..ROUNDS {
        let next = compact(&rebuild(axes, &region, rule));
        if next == region {
            break;
        }
        region = next;
    }
    region
}

/// Which nodes the outputs read.
fn live(region: &Region) -> Vec<bool> {
    region.read_by(&region.outputs)
}

/// The region without what nothing reads, in the order in which the outputs come to need it, so that the order in which things
/// were written does not show. All arguments come first.
pub(super) fn compact(region: &Region) -> Region {
    let mut b = RegionBuilder::new();
    let mut copy = vec![None; region.nodes.len()];
    let arguments: Vec<_> = region.arguments.iter().map(|ty| b.argument(ty.clone())).collect();
    // Depth first without recursion: a graph may be as deep as it is long.
    let mut open: Vec<NodeId> = region.outputs.iter().rev().copied().collect();
    while let Some(&id) = open.last() {
        let node = &region[id];
        let waiting = node.operands.iter().rev().filter(|o| copy[o.0 as usize].is_none());
        let before = open.len();
        if copy[id.0 as usize].is_none() {
            open.extend(waiting);
        }
        if open.len() > before {
            continue;
        }
        open.pop();
        if copy[id.0 as usize].is_none() {
            let operands = node.operands.iter().filter_map(|o| copy[o.0 as usize]).collect();
            copy[id.0 as usize] = Some(match node.kind {
                Kind::Argument(n) => arguments[n as usize],
                _ => b.node(node.kind.clone(), operands, node.ty.clone()),
            });
        }
    }
    let outputs = region.outputs.iter().filter_map(|o| copy[o.0 as usize]).collect();
    b.finish(outputs)
}

/// One round over a region and those within.
fn rebuild(axes: &Axes, old: &Region, rule: Rule) -> Region {
    let live = live(old);
    let mut s = Simplifier::new(axes);
    let arguments: Vec<_> = old.arguments.iter().map(|ty| s.b.argument(ty.clone())).collect();
    let mut copy: Vec<NodeId> = vec![NodeId(u32::MAX); old.nodes.len()];
    let mut places: Vec<(NodeId, Vec<Option<NodeId>>)> = Vec::new();
    let uses = old.uses();
    for (id, node) in old.iter().filter(|(id, _)| live[id.0 as usize]) {
        let operands = || -> Vec<NodeId> { node.operands.iter().map(|o| copy[o.0 as usize]).collect() };
        copy[id.0 as usize] = match &node.kind {
            Kind::Argument(n) => arguments[*n as usize],
            Kind::Op(op) => rule(&mut s, op.clone(), &operands()),
            Kind::Scan(scan) => {
                let results = place_scan(axes, &mut s.b, scan, &operands(), &used(old, &live, id, scan), rule);
                let first = results.iter().flatten().next().copied();
                places.push((id, results));
                first.unwrap_or(NodeId(u32::MAX))
            }
            Kind::Project(i) => {
                let of_scan = places.iter().find(|(scan, _)| *scan == node.operands[0]);
                let place = of_scan.and_then(|(_, results)| results[*i as usize]);
                place.unwrap_or_else(|| s.b.node(node.kind.clone(), operands(), node.ty.clone()))
            }
            Kind::Fused(_) => s.b.node(node.kind.clone(), operands(), node.ty.clone()),
        };
        if uses[id.0 as usize] > 1 {
            s.shared.insert(copy[id.0 as usize]);
        }
    }
    let outputs = old.outputs.iter().map(|o| copy[o.0 as usize]).collect();
    s.b.finish(outputs)
}

/// Which results of a scan are read.
fn used(region: &Region, live: &[bool], id: NodeId, scan: &Scan) -> Vec<bool> {
    let mut used = vec![false; scan.body.outputs.len()];
    for (_, node) in region.iter().skip(id.0 as usize).filter(|(at, _)| live[at.0 as usize]) {
        if let Kind::Project(i) = node.kind
            && node.operands[0] == id
        {
            used[i as usize] = true;
        }
    }
    used
}

/// Adds a scan without what is not read, and gives the place of each result that is.
fn place_scan(
    axes: &Axes,
    b: &mut RegionBuilder,
    scan: &Scan,
    operands: &[NodeId],
    used: &[bool],
    rule: Rule,
) -> Vec<Option<NodeId>> {
    let pruned = prune(scan, used);
    let kept: Vec<_> = pruned.operands.iter().map(|&i| operands[i]).collect();
    let body = region(axes, pruned.scan.body.clone(), rule);
    let kind = Kind::Scan(Box::new(Scan { body, ..pruned.scan }));
    let types = crate::graph::results(&kind).unwrap_or_default();
    let results = b.several(kind, kept, &types);
    let place = |place: &Option<Place>| match place {
        Some(Place::Result(i)) => Some(results[*i]),
        Some(Place::Operand(i)) => Some(operands[*i]),
        None => None,
    };
    pruned.results.iter().map(place).collect()
}
