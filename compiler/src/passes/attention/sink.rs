//! A mask that every step of a scan reads is made where it is read: a truth value for each pair of places is cheaper to compute again
//! than to keep, and the attention that reads it then computes it within.

use std::collections::HashMap;

use weft_dsl::op::Op;
use weft_dsl::types::Elem;

use crate::graph::{Kind, Node, NodeId, Region, RegionBuilder, Scan, is_inline};

/// Moves masks into the scans of a region, and of the regions within.
pub(super) fn sink(source: &Region) -> Region {
    let pairs = pairs(source);
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (_, node) in source.iter() {
        let (kind, operands) = match &node.kind {
            Kind::Scan(scan) => {
                let (scan, operands) = with_masks_within(source, &pairs, scan, &node.operands);
                (Kind::Scan(Box::new(scan)), operands)
            }
            kind => (kind.clone(), node.operands.clone()),
        };
        new.push(match kind {
            Kind::Argument(number) => arguments[number as usize],
            kind => out.node(kind, operands.iter().map(|o| new[o.0 as usize]).collect(), node.ty.clone()),
        });
    }
    out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect())
}

/// Which nodes are computed place by place of nothing but values that have fewer axes.
fn pairs(region: &Region) -> Vec<bool> {
    let mut pairs = Vec::with_capacity(region.nodes.len());
    for (_, node) in region.iter() {
        let smaller = |o: &NodeId| pairs[o.0 as usize] || region[*o].ty.axes.len() < node.ty.axes.len();
        let placewise = matches!(&node.kind, Kind::Op(op) if is_inline(op) && !matches!(op, Op::Random(..)));
        pairs.push(placewise && node.operands.iter().all(smaller));
    }
    pairs
}

/// The scan that makes its masks itself, with its operands.
fn with_masks_within(region: &Region, pairs: &[bool], scan: &Scan, operands: &[NodeId]) -> (Scan, Vec<NodeId>) {
    let shared = scan.carried + scan.sliced;
    let moves = |number: usize| {
        let of: &Node = &region[operands[number]];
        number >= shared && pairs[operands[number].0 as usize] && of.ty.elem == Elem::Bool && of.ty.axes.len() > 1
    };
    let mut body = RegionBuilder::new();
    let stays = || (0..operands.len()).filter(|&i| !moves(i));
    let mut inputs: Vec<NodeId> = stays().map(|i| operands[i]).collect();
    let stayed: Vec<NodeId> = stays().map(|i| body.argument(scan.body.arguments[i].clone())).collect();
    let cone = cone(region, pairs, (0..operands.len()).filter(|&i| moves(i)).map(|i| operands[i]));
    let mut made: HashMap<NodeId, NodeId> = HashMap::new();
    for &leaf in cone.iter().flat_map(|&id| &region[id].operands).filter(|o| !pairs[o.0 as usize]) {
        made.entry(leaf).or_insert_with(|| {
            inputs.push(leaf);
            body.argument(region[leaf].ty.clone())
        });
    }
    for id in cone {
        let node = &region[id];
        let copy = body.node(node.kind.clone(), node.operands.iter().map(|o| made[o]).collect(), node.ty.clone());
        made.insert(id, copy);
    }
    let mut stayed = stayed.into_iter();
    let place = |i: usize| if moves(i) { made.get(&operands[i]).copied() } else { stayed.next() };
    let places: Vec<NodeId> = (0..operands.len()).filter_map(place).collect();
    let within = sink(&scan.body);
    let mut new: Vec<NodeId> = Vec::with_capacity(within.nodes.len());
    for (_, node) in within.iter() {
        new.push(match &node.kind {
            Kind::Argument(number) => places[*number as usize],
            kind => body.node(kind.clone(), node.operands.iter().map(|o| new[o.0 as usize]).collect(), node.ty.clone()),
        });
    }
    let body = body.finish(within.outputs.iter().map(|o| new[o.0 as usize]).collect());
    (Scan { body, ..scan.clone() }, inputs)
}

/// What is moved: the nodes that some of them are computed of, in the region's order, themselves included.
fn cone(region: &Region, pairs: &[bool], of: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut wanted = vec![false; region.nodes.len()];
    of.for_each(|id| wanted[id.0 as usize] = true);
    for (id, node) in region.iter().rev().filter(|(id, _)| pairs[id.0 as usize]) {
        if wanted[id.0 as usize] {
            node.operands.iter().for_each(|o| wanted[o.0 as usize] = true);
        }
    }
    region.iter().map(|(id, _)| id).filter(|id| wanted[id.0 as usize] && pairs[id.0 as usize]).collect()
}
