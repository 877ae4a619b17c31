//! Which values a gradient goes through: floats that depend on what is asked for by a path that passes cotangents.
//! Everything else gets no gradient nodes at all.

use std::collections::HashMap;

use weft_dsl::types::Elem;

use super::rules;
use crate::graph::{Kind, NodeId, Region, Scan};

/// The active nodes of a region.
#[derive(Debug, Default)]
pub struct Activity {
    active: Vec<bool>,
    scans: HashMap<NodeId, Walk>,
}

/// What is active of a scan.
#[derive(Debug)]
pub struct Walk {
    /// Of the body's arguments, those through which a cotangent may leave the body.
    pub arguments: Vec<bool>,
    /// Of the results.
    pub results: Vec<bool>,
}

impl Activity {
    /// What depends on nodes for which `start` holds.
    pub fn of(region: &Region, start: &dyn Fn(NodeId) -> bool) -> Self {
        let mut out = Self { active: vec![false; region.nodes.len()], scans: HashMap::new() };
        for (id, node) in region.iter() {
            let float = node.ty.elem == Elem::Float;
            let live = match &node.kind {
                _ if float && start(id) => true,
                Kind::Op(op) => float && node.operands.iter().enumerate().any(|(i, &o)| out.is(o) && rules::passes(op, i)),
                Kind::Argument(_) => false,
                Kind::Fused(_) => node.operands.iter().any(|&o| out.is(o)),
                Kind::Project(i) => match out.scans.get(&node.operands[0]) {
                    Some(walk) => walk.results[*i as usize],
                    None => float && out.is(node.operands[0]),
                },
                Kind::Scan(scan) => {
                    let operands: Vec<_> = node.operands.iter().map(|&o| out.is(o)).collect();
                    out.scans.insert(id, Walk::of(scan, operands));
                    false
                }
            };
            out.active[id.0 as usize] = live;
        }
        out
    }

    /// Whether the node is active; those made later are not.
    pub fn is(&self, id: NodeId) -> bool {
        self.active.get(id.0 as usize).copied().unwrap_or(false)
    }

    /// Of a scan.
    pub fn scan(&self, id: NodeId) -> Option<&Walk> {
        self.scans.get(&id)
    }

    /// The nodes that a cotangent of one of `outputs` may reach.
    pub fn reached(&self, region: &Region, outputs: &[NodeId]) -> Vec<bool> {
        let mut reached = vec![false; region.nodes.len()];
        for &output in outputs {
            reached[output.0 as usize] = self.is(output);
        }
        for (id, node) in region.iter().rev().filter(|(id, _)| self.is(*id) || self.scans.contains_key(id)) {
            if !reached[id.0 as usize] {
                continue;
            }
            for (i, &operand) in node.operands.iter().enumerate() {
                let passes = match &node.kind {
                    Kind::Op(op) => self.is(operand) && rules::passes(op, i),
                    Kind::Scan(_) | Kind::Fused(_) => self.is(operand),
                    Kind::Project(_) => true,
                    Kind::Argument(_) => false,
                };
                reached[operand.0 as usize] |= passes;
            }
        }
        reached
    }
}

impl Walk {
    /// From which operands are active. A carried value that becomes active is so in every step.
    fn of(scan: &Scan, mut arguments: Vec<bool>) -> Self {
        loop {
            let body = Activity::of(&scan.body, &|id| match scan.body[id].kind {
                Kind::Argument(number) => arguments[number as usize],
                _ => false,
            });
            let outputs: Vec<_> = scan.body.outputs.iter().map(|&o| body.is(o)).collect();
            let more: Vec<_> = (0..scan.carried).filter(|&i| outputs[i] && !arguments[i]).collect();
            if more.is_empty() {
                let results = outputs.iter().enumerate().map(|(i, &o)| o || (i < scan.carried && arguments[i])).collect();
                return Self { arguments, results };
            }
            more.into_iter().for_each(|i| arguments[i] = true);
        }
    }
}
