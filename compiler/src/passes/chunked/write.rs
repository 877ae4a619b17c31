//! Writes the scan of an island, and the region around it.

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::types::Axes;

use super::island::{Island, part, within};
use crate::graph::{Kind, NodeId, Region, RegionBuilder, Scan, results};
use crate::passes::differentiate::cotangent::{constant, spread};

/// The region with the island in a scan, which comes after all that does not need it.
pub fn write(axes: &Axes, region: &Region, island: &Island) -> Region {
    let mut out = RegionBuilder::new();
    for ty in &region.arguments {
        out.argument(ty.clone());
    }
    let mut after = vec![false; region.nodes.len()];
    for (id, node) in region.iter() {
        after[id.0 as usize] = island.members.contains(&id) || node.operands.iter().any(|o| after[o.0 as usize]);
    }
    let mut new: HashMap<NodeId, NodeId> = HashMap::new();
    let copy = |out: &mut RegionBuilder, new: &mut HashMap<NodeId, NodeId>, late: bool| {
        for (id, node) in region.iter().filter(|(id, _)| after[id.0 as usize] == late && !island.members.contains(id)) {
            let operands = node.operands.iter().map(|o| new[o]).collect();
            new.insert(id, out.node(node.kind.clone(), operands, node.ty.clone()));
        }
    };
    copy(&mut out, &mut new, false);
    scan(axes, region, island, &mut out, &mut new);
    copy(&mut out, &mut new, true);
    out.finish(region.outputs.iter().map(|o| new[o]).collect())
}

/// Adds the scan, and what it gives to what is `new`.
fn scan(axes: &Axes, region: &Region, island: &Island, out: &mut RegionBuilder, new: &mut HashMap<NodeId, NodeId>) {
    let axis = island.axis;
    let mut body = RegionBuilder::new();
    let mut here: HashMap<NodeId, NodeId> = HashMap::new();
    let mut operands = Vec::new();
    let mut totals = Vec::new();
    for &sum in &island.sums {
        let ty = &region[sum].ty;
        let zero = constant(out, 0.0, &[]);
        operands.push(spread(axes, out, zero, &ty.axes));
        totals.push(body.argument(ty.clone()));
    }
    // Numbers and positions are made again, where rewrites and kernels see them.
    let is_made = |id: NodeId| region[id].operands.is_empty() && matches!(region[id].kind, Kind::Op(_));
    let mut read: Vec<NodeId> = island.members.iter().flat_map(|&m| region[m].operands.iter().copied()).collect();
    read.retain(|id| !island.members.contains(id));
    read.sort();
    read.dedup();
    let is_walked = |id: &NodeId| region[*id].ty.has(axis);
    let (made, given): (Vec<NodeId>, Vec<NodeId>) = read.into_iter().partition(|&id| is_made(id) && !is_walked(&id));
    let (walked, same): (Vec<NodeId>, Vec<NodeId>) = given.into_iter().partition(is_walked);
    for &id in walked.iter().chain(&same) {
        operands.push(new[&id]);
        here.insert(id, body.argument(region[id].ty.without(&[axis])));
    }
    for id in made {
        here.insert(id, body.node(region[id].kind.clone(), Vec::new(), region[id].ty.clone()));
    }

    for &id in &island.members {
        let node = &region[id];
        let Kind::Op(op) = &node.kind else { unreachable!("members are operators") };
        let op = if island.sums.contains(&id) { part(op, axis) } else { Some(within(op, axis)) };
        let inner: Vec<NodeId> = node.operands.iter().map(|o| here[o]).collect();
        let value = op.map_or(inner[0], |op| body.op(axes, op, &inner));
        here.insert(id, value);
    }
    let added = |(&sum, &total): (&NodeId, &NodeId)| {
        let value = spread(axes, &mut body, here[&sum], &region[sum].ty.axes);
        body.map(axes, Elementwise::ADD, &[total, value])
    };
    let mut outputs: Vec<NodeId> = island.sums.iter().zip(&totals).map(added).collect();
    let is_read = |id: &NodeId| {
        let outside =
            |(reader, node): (NodeId, &crate::graph::Node)| !island.members.contains(&reader) && node.operands.contains(id);
        region.outputs.contains(id) || region.iter().any(outside)
    };
    let yielded: Vec<NodeId> = island.members.difference(&island.sums).copied().filter(is_read).collect();
    outputs.extend(yielded.iter().map(|id| here[id]));
    let body = body.finish(outputs);
    let scan = Scan { axis, reverse: false, carried: totals.len(), sliced: walked.len(), body };
    let kind = Kind::Scan(Box::new(scan));
    let types = results(&kind).unwrap_or_default();
    let values = out.several(kind, operands, &types);
    new.extend(island.sums.iter().chain(&yielded).copied().zip(values));
}
