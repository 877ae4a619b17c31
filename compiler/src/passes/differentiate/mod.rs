//! Reverse-mode differentiation, graph to graph.
//!
//! [`gradient`] walks a region from its end to its start and gives each value its cotangent, by the rules in [`rules`] and the
//! texts in the operators' rows; through an activation of several operators with the derivative of the whole ([`factor`]). The
//! gradient of a scan is a scan in the other direction ([`scan`]); that of an attention is one
//! kernel that computes its scores again ([`attention`]).

mod activity;
mod attention;
pub(super) mod cotangent;
mod factor;
mod keep;
mod rows;
mod rules;
mod scan;
#[cfg(test)]
mod tests;

use weft_dsl::op::Op;
use weft_dsl::types::Axes;

use self::activity::Activity;
use self::cotangent::{Cotangents, constant, spread};
use crate::graph::{Graph, Kind, NodeId, RegionBuilder};

pub use keep::Keep;

/// The gradients of `loss` (a node of the graph's body; where it has axes, of its sum) with respect to nodes of the body, each
/// with the axes of its node; zeros where the loss does not depend on it. Nodes keep their ids; new ones come after them.
pub fn gradient(graph: &mut Graph, loss: NodeId, wrt: &[NodeId]) -> Vec<NodeId> {
    gradient_keeping(graph, loss, wrt, Keep::default())
}

/// As [`gradient`]; `keep` says what of a scan's steps is kept for it.
pub fn gradient_keeping(graph: &mut Graph, loss: NodeId, wrt: &[NodeId], keep: Keep) -> Vec<NodeId> {
    let body = std::mem::take(&mut graph.body);
    let outputs = body.outputs.clone();
    let mut builder = RegionBuilder::from(body);
    let one = builder.number(1.0);
    let parts = pull(&mut graph.axes, &mut builder, &[(loss, one)], wrt, keep);
    let axes = &graph.axes;
    let of = |(part, &at): (Option<NodeId>, &NodeId)| {
        let over = builder.ty(at).axes.clone();
        let part = part.unwrap_or_else(|| constant(&mut builder, 0.0, &over));
        spread(axes, &mut builder, part, &over)
    };
    let gradients = parts.into_iter().zip(wrt).map(of).collect();
    graph.body = builder.finish(outputs);
    gradients
}

/// Pulls cotangents of some nodes back to others. What it gives may lack axes of the node, along which it is the same; none
/// where no cotangent arrives.
fn pull(
    axes: &mut Axes,
    b: &mut RegionBuilder,
    seeds: &[(NodeId, NodeId)],
    wrt: &[NodeId],
    keep: Keep,
) -> Vec<Option<NodeId>> {
    let activity = Activity::of(b.region(), &|id| wrt.contains(&id));
    let ends = seeds.iter().map(|seed| seed.0).chain(wrt.iter().copied());
    let inner = factor::Inner::of(b.region(), &activity, ends);
    let mut cotangents = Cotangents::default();
    for &(at, seed) in seeds {
        cotangents.add(axes, b, at, seed);
    }
    for id in (0..b.region().nodes.len() as u32).rev().map(NodeId) {
        let node = &b.region()[id];
        match &node.kind {
            Kind::Op(_) => {
                let Some(g) = cotangents.of(id).filter(|_| activity.is(id)) else { continue };
                match inner.pull(axes, b, &activity, id, g) {
                    Some((start, part)) => cotangents.add(axes, b, start, part),
                    None => rules::pull_all(axes, b, &activity, &mut cotangents, id, g),
                }
            }
            Kind::Scan(_) => scan::pull(axes, b, &activity, &mut cotangents, id, keep),
            // Scans and kernels gather the cotangents of their results themselves.
            Kind::Argument(_) | Kind::Project(_) => {}
            Kind::Fused(_) => attention::pull(axes, b, &activity, &mut cotangents, id),
        }
    }
    wrt.iter().map(|&at| cotangents.of(at).filter(|_| activity.is(at))).collect()
}

/// Takes [`Op::StopGradient`] out: for when all gradients have been taken.
pub fn release(graph: &mut Graph) {
    release_region(&mut graph.body);
}

fn release_region(region: &mut crate::graph::Region) {
    let mut instead: Vec<NodeId> = Vec::with_capacity(region.nodes.len());
    for at in 0..region.nodes.len() {
        let node = &mut region.nodes[at];
        for operand in &mut node.operands {
            *operand = instead[operand.0 as usize];
        }
        match &mut node.kind {
            Kind::Op(Op::StopGradient) => {
                instead.push(node.operands[0]);
                continue;
            }
            Kind::Scan(scan) => release_region(&mut scan.body),
            Kind::Fused(fused) => release_region(&mut fused.body),
            Kind::Op(_) | Kind::Argument(_) | Kind::Project(_) => {}
        }
        instead.push(NodeId(at as u32));
    }
    for output in &mut region.outputs {
        *output = instead[output.0 as usize];
    }
}
