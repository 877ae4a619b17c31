//! A region as an e-graph, and back.

use std::collections::HashMap;

use egg::Id;
use weft_dsl::types::Axes;

use super::analysis::{Knowledge, Space};
use super::cost;
use super::extract::Choice;
use super::language::ENode;
use crate::graph::{Kind, NodeId, Region, RegionBuilder};

/// A region within an e-graph.
pub struct Entered {
    /// The e-graph.
    pub space: Space,
    /// The classes of the region's outputs.
    pub outputs: Vec<Id>,
    /// The region's own nodes, each after its operands.
    pub nodes: Vec<ENode>,
}

/// Which nodes the outputs read.
fn live(region: &Region) -> Vec<bool> {
    let mut live = vec![false; region.nodes.len()];
    region.outputs.iter().for_each(|o| live[o.0 as usize] = true);
    for (id, node) in region.iter().rev() {
        if live[id.0 as usize] {
            node.operands.iter().for_each(|o| live[o.0 as usize] = true);
        }
    }
    live
}

/// The e-graph of what a region's outputs read.
pub fn enter(axes: Axes, region: &Region) -> Entered {
    let mut space = Space::new(Knowledge { axes, ..Knowledge::default() });
    let live = live(region);
    let (mut of, mut nodes) = (vec![None; region.nodes.len()], Vec::new());
    for (id, node) in region.iter().filter(|(id, _)| live[id.0 as usize]) {
        let children: Vec<Id> = node.operands.iter().filter_map(|o| of[o.0 as usize]).collect();
        let operators = &mut space.analysis.operators;
        let symbol = match &node.kind {
            Kind::Op(op) => operators.symbol(op.clone()),
            kind => operators.opaque(kind.clone(), node.ty.clone()),
        };
        let node = ENode { symbol, children };
        nodes.push(node.clone());
        of[id.0 as usize] = Some(space.add(node));
    }
    space.rebuild();
    let outputs = region.outputs.iter().filter_map(|o| of[o.0 as usize]).collect();
    Entered { space, outputs, nodes }
}

/// The region that a choice of one node for each class gives.
///
/// `None` where a class that is needed has no node, or needs itself.
pub fn leave(space: &Space, choice: &Choice, outputs: &[Id], arguments: &Region) -> Option<Region> {
    let mut b = RegionBuilder::new();
    let inputs: Vec<NodeId> = arguments.arguments.iter().map(|ty| b.argument(ty.clone())).collect();
    let mut made: HashMap<Id, NodeId> = HashMap::new();
    let mut waiting: HashMap<Id, bool> = HashMap::new();
    // Depth first without recursion: a region may be as deep as it is long.
    let mut open: Vec<Id> = outputs.iter().rev().map(|&o| space.find(o)).collect();
    while let Some(&id) = open.last() {
        let node = choice.get(&id)?;
        let next: Vec<Id> = node.children.iter().map(|&c| space.find(c)).filter(|c| !made.contains_key(c)).collect();
        if !made.contains_key(&id) && !next.is_empty() {
            if waiting.insert(id, true).is_some() {
                return None;
            }
            open.extend(next.into_iter().rev());
            continue;
        }
        open.pop();
        if made.contains_key(&id) {
            continue;
        }
        let operands: Vec<NodeId> = node.children.iter().map(|&c| made[&space.find(c)]).collect();
        let ty = space[id].data.ty.clone();
        let new = match (space.analysis.operators.hidden(node.symbol), space.analysis.operators.op(node.symbol)) {
            (Some((Kind::Argument(number), _)), _) => *inputs.get(*number as usize)?,
            (Some((kind, ty)), _) => b.node(kind.clone(), operands, ty.clone()),
            (None, Some(op)) => b.node(Kind::Op(op), operands, ty),
            (None, None) => return None,
        };
        made.insert(id, new);
    }
    let outputs = outputs.iter().map(|&o| made.get(&space.find(o)).copied()).collect::<Option<_>>()?;
    Some(b.finish(outputs))
}

/// Predicted seconds of what a region's outputs read, without what lies within its scans.
pub fn seconds(axes: &Axes, region: &Region) -> f64 {
    let live = live(region);
    let own = |node: &crate::graph::Node| {
        let types: Vec<_> = node.operands.iter().map(|&o| &region[o].ty).collect();
        node.kind.op().map_or(0.0, |op| cost::seconds(axes, op, &types, &node.ty))
    };
    region.iter().filter(|(id, _)| live[id.0 as usize]).map(|(_, node)| own(node)).sum()
}

/// Predicted seconds of a node, with all that lies within.
pub fn predicted(axes: &Axes, region: &Region, id: NodeId) -> f64 {
    let node = &region[id];
    match &node.kind {
        Kind::Op(op) => {
            let types: Vec<_> = node.operands.iter().map(|&o| &region[o].ty).collect();
            cost::seconds(axes, op, &types, &node.ty)
        }
        Kind::Scan(scan) => cost::volume(axes, &[scan.axis]) * seconds(axes, &scan.body),
        Kind::Fused(fused) => seconds(axes, &fused.body),
        Kind::Argument(_) | Kind::Project(_) => 0.0,
    }
}

/// Predicted seconds of a node of a class.
pub fn node_seconds(space: &Space, node: &ENode, class: Id) -> f64 {
    let Some(op) = space.analysis.operators.op(node.symbol) else { return 0.0 };
    let types: Vec<_> = node.children.iter().map(|&c| &space[c].data.ty).collect();
    cost::seconds(&space.analysis.axes, &op, &types, &space[class].data.ty)
}
