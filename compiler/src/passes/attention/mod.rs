//! Finds attention: a softmax-weighted contraction whose scores are elementwise work over one contraction of queries and keys.
//!
//! What is found becomes a [`Form::Attention`] kernel before gradients are taken, so that neither it nor its derivative ever has
//! its scores in memory (Dao et al., 2022). The body is the defining subgraph, in one form for what can be written in several:
//! constant factors of queries, keys and scores are one factor of the scores, and the kernel reads what lies beneath renames.
//!
//! Body: arguments are queries, keys, values, then whatever the scores read besides; the result is `Contract([source])(
//! Softmax([source])(score), values)`.

mod body;
mod distance;
mod first;
mod shape;
mod sink;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis};

use crate::graph::{Form, Fused, Graph, Kind, NodeId, Region, RegionBuilder, Scan, results};

pub use shape::{Gathered, Shape, gathered, shape, unkept};

/// Makes kernels of the attentions of a program. Scores that something else reads too are left alone.
pub fn find(graph: &mut Graph) {
    let body = first::tabulate(&mut graph.axes, &sink::sink(&graph.body));
    let body = distance::lift(&mut graph.axes, &body);
    graph.body = region(&graph.axes, &body);
}

/// An attention in a region.
struct Found {
    /// The values that it reads.
    arguments: Vec<NodeId>,
    /// What it computes.
    body: Region,
    /// How the result's axes are to be renamed outside.
    renames: Vec<(Axis, Axis)>,
}

fn region(axes: &Axes, source: &Region) -> Region {
    let uses = source.uses();
    let contractions = source.iter().filter(|(_, n)| matches!(n.kind, Kind::Op(Op::Contract(_))));
    let found: HashMap<NodeId, Found> =
        contractions.filter_map(|(id, _)| Some((id, recognise(axes, source, &uses, id)?))).collect();

    let mut live = vec![false; source.nodes.len()];
    source.outputs.iter().for_each(|o| live[o.0 as usize] = true);
    for (id, node) in source.iter().rev() {
        if live[id.0 as usize] {
            let reads = found.get(&id).map_or(&node.operands, |f| &f.arguments);
            reads.iter().for_each(|o| live[o.0 as usize] = true);
        }
    }
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let mut new = vec![NodeId(u32::MAX); source.nodes.len()];
    for (id, node) in source.iter().filter(|(id, _)| live[id.0 as usize]) {
        let mapped = |ids: &[NodeId]| -> Vec<NodeId> { ids.iter().map(|o| new[o.0 as usize]).collect() };
        new[id.0 as usize] = match (&node.kind, found.get(&id)) {
            (_, Some(found)) => {
                let kind = Kind::Fused(Box::new(Fused { form: Form::Attention, body: found.body.clone() }));
                let types = results(&kind).unwrap_or_default();
                let result = out.several(kind, mapped(&found.arguments), &types)[0];
                found.renames.iter().fold(result, |v, &(from, to)| out.op(axes, Op::Rename(from, to), &[v]))
            }
            (Kind::Argument(number), None) => arguments[*number as usize],
            (Kind::Scan(scan), None) => {
                let scan = Scan { body: region(axes, &scan.body), ..(**scan).clone() };
                out.node(Kind::Scan(Box::new(scan)), mapped(&node.operands), node.ty.clone())
            }
            (kind, None) => out.node(kind.clone(), mapped(&node.operands), node.ty.clone()),
        };
    }
    out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect())
}

/// The attention that a contraction ends, if it does.
fn recognise(axes: &Axes, region: &Region, uses: &[u32], id: NodeId) -> Option<Found> {
    let Kind::Op(Op::Contract(over)) = &region[id].kind else { return None };
    let &[source] = over.as_slice() else { return None };
    let &[a, b] = region[id].operands.as_slice() else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(p, v)| {
        let (softmax, renames) = beneath_renames(region, p);
        let Kind::Op(Op::Softmax(along)) = &region[softmax].kind else { return None };
        let &[inner] = along.as_slice() else { return None };
        // The axes of the weights as the softmax calls them, and as the contraction does.
        let outer = |axis: Axis| renames.iter().fold(axis, |a, &(from, to)| if a == from { to } else { a });
        if outer(inner) != source {
            return None;
        }
        let names: Vec<(Axis, Axis)> = region[softmax].ty.axes.iter().map(|&a| (a, outer(a))).collect();
        body::Writer::new(axes, region, uses, inner).write(id, p, softmax, v, &names)
    })
}

/// The value that a chain of renames shows, and the renames from it outwards.
pub(super) fn beneath_renames(region: &Region, mut id: NodeId) -> (NodeId, Vec<(Axis, Axis)>) {
    let mut renames = Vec::new();
    while let Kind::Op(Op::Rename(from, to)) = region[id].kind {
        renames.push((from, to));
        id = region[id].operands[0];
    }
    renames.reverse();
    (id, renames)
}
