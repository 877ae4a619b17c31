//! Which values lie in memory between kernels.

use std::collections::HashSet;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::Axes;

use crate::graph::{Kind, NodeId, Region, is_inline};
use crate::passes::grouped::segments;

/// An inline value that at least two kernels read is materialised where computing it again costs more than this.
const WORTH_STORING: u32 = 8;
/// A factor that is the same along some axis of its reader, and takes a division or more, is computed once for all of it.
const WORTH_HOISTING: u32 = 4;
/// An operand of a product is evaluated while it is packed, once for each block of the other operand's own dimension: one that
/// costs more than this is stored.
const WORTH_PACKING: u32 = 16;

/// What a node is to fusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read by nothing.
    Dead,
    /// Computed where it is read.
    Inline,
    /// Made by a kernel and kept in memory.
    Root,
    /// In memory, but not made by a kernel of this region: arguments, scans, kernels that were found before, what is inserted into
    /// an argument where that lies.
    Boundary,
}

/// The role of every node of a region, and what each root reads.
pub struct Roots {
    role: Vec<Role>,
    /// For each node: the roots and boundaries that its value is computed from, sorted.
    reads: Vec<Vec<NodeId>>,
}

impl Roots {
    /// Decides for a region; unless `joined`, every value that an operator makes of others is materialised. `in_place`: outputs that
    /// have the storage of an argument.
    pub fn of(axes: &Axes, region: &Region, joined: bool, in_place: &[NodeId]) -> Self {
        let mut role = first_roles(region, in_place);
        if joined {
            store_shared(axes, region, &mut role);
        } else {
            let mut summed = vec![false; region.nodes.len()];
            for (_, node) in region.iter().filter(|(_, n)| matches!(n.kind, Kind::Op(Op::Reduce(..)))) {
                summed[node.operands[0].0 as usize] = true;
            }
            for (id, node) in region.iter() {
                // What is only summed is not: a contraction is a sum of products here.
                let made =
                    !node.operands.is_empty() && !matches!(node.kind, Kind::Op(Op::Rename(..))) && !summed[id.0 as usize];
                if role[id.0 as usize] == Role::Inline && made {
                    role[id.0 as usize] = Role::Root;
                }
            }
        }
        let mut roots = Roots { role, reads: vec![Vec::new(); region.nodes.len()] };
        for (id, _) in region.iter() {
            if roots.role(id) != Role::Dead {
                roots.reads[id.0 as usize] = roots.collect_reads(region, id);
            }
        }
        roots
    }

    /// A node's role.
    pub fn role(&self, id: NodeId) -> Role {
        self.role[id.0 as usize]
    }

    /// What a node's value is computed from.
    pub fn reads(&self, id: NodeId) -> &[NodeId] {
        &self.reads[id.0 as usize]
    }

    fn collect_reads(&self, region: &Region, id: NodeId) -> Vec<NodeId> {
        let mut reads = Vec::new();
        for &operand in &region[id].operands {
            match self.role(operand) {
                Role::Root | Role::Boundary => reads.push(operand),
                Role::Inline | Role::Dead => reads.extend_from_slice(self.reads(operand)),
            }
        }
        reads.sort();
        reads.dedup();
        reads
    }
}

/// The value that a chain of renames shows.
pub fn beneath_renames(region: &Region, mut id: NodeId) -> NodeId {
    while let Kind::Op(Op::Rename(..)) = region[id].kind {
        id = region[id].operands[0];
    }
    id
}

/// Roles before sharing is looked at: what must be in memory is.
fn first_roles(region: &Region, in_place: &[NodeId]) -> Vec<Role> {
    let mut role = vec![Role::Dead; region.nodes.len()];
    let mut live = vec![false; region.nodes.len()];
    let mut needed = vec![false; region.nodes.len()];
    for &output in &region.outputs {
        live[output.0 as usize] = true;
        needed[beneath_renames(region, output).0 as usize] = true;
    }
    for (id, node) in region.iter().rev() {
        let at = id.0 as usize;
        if !live[at] {
            continue;
        }
        for &operand in &node.operands {
            live[operand.0 as usize] = true;
            if matches!(node.kind, Kind::Scan(_) | Kind::Fused(_)) || in_place.contains(&id) {
                needed[beneath_renames(region, operand).0 as usize] = true;
            }
        }
        role[at] = match &node.kind {
            Kind::Op(_) if in_place.contains(&id) => Role::Boundary,
            Kind::Op(op) if !is_inline(op) || needed[at] => Role::Root,
            Kind::Op(_) => Role::Inline,
            Kind::Argument(_) | Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => Role::Boundary,
        };
    }
    role
}

/// Materialises inline values that several kernels would compute again at some cost.
fn store_shared(axes: &Axes, region: &Region, role: &mut [Role]) {
    let weight = weights(region, role);
    let users = users(region, role);
    let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); region.nodes.len()];
    // What a product takes as the bounds of its loops is not a value.
    let segments = region.iter().filter_map(|(id, _)| segments(region, id));
    let bounds: HashSet<NodeId> = segments.flat_map(|s| s.mask.into_iter().chain([s.masked])).collect();
    let largest = region.iter().filter(|(id, _)| role[id.0 as usize] == Role::Boundary).map(|(_, n)| n.ty.axes.len()).max();
    for (id, node) in region.iter().rev() {
        let at = id.0 as usize;
        if role[at] == Role::Inline && !matches!(node.kind, Kind::Op(Op::Rename(..))) && !bounds.contains(&id) {
            // What products alone read and is made of one is stored in its place, rather than made of two arrays in each of them.
            let instead =
                || readers[at].iter().all(|&r| multiplied(region, r)) && replaces_product(region, role, &users, id);
            let shared = readers[at].len() > 1 && (weight[at] >= WORTH_STORING || instead());
            let small = readers[at].iter().any(|&r| spreads(region, id, r)) && weight[at] >= WORTH_HOISTING;
            let packed = readers[at].iter().any(|&r| multiplied(region, r)) && weight[at] > WORTH_PACKING;
            let fits = Some(node.ty.axes.len()) <= largest && !node.ty.axes.is_empty() || small;
            if (shared || small || packed) && fits && reads_memory(region, role, id) && !axes.is_empty() {
                role[at] = Role::Root;
            }
        }
        let passed = match role[at] {
            Role::Root | Role::Boundary => vec![id],
            Role::Inline | Role::Dead => std::mem::take(&mut readers[at]),
        };
        if role[at] != Role::Dead {
            for &operand in &node.operands {
                let list = &mut readers[operand.0 as usize];
                list.extend_from_slice(&passed);
                list.sort();
                list.dedup();
            }
        }
    }
}

/// How many nodes and outputs read each.
fn users(region: &Region, role: &[Role]) -> Vec<usize> {
    let mut users = vec![0; region.nodes.len()];
    let live = region.iter().filter(|(id, _)| role[id.0 as usize] != Role::Dead);
    let operands = live.flat_map(|(_, node)| &node.operands);
    operands.chain(&region.outputs).for_each(|read| users[read.0 as usize] += 1);
    users
}

/// Whether a value is made of a product's result that nothing else reads, one for each of its: it is stored in the place of that.
fn replaces_product(region: &Region, role: &[Role], users: &[usize], id: NodeId) -> bool {
    region[id].operands.iter().any(|&o| {
        let alone = users[o.0 as usize] == 1 && region[o].ty.axes.len() == region[id].ty.axes.len();
        let inline = role[o.0 as usize] == Role::Inline && matches!(region[o].kind, Kind::Op(Op::Map(_) | Op::Rename(..)));
        alone && (multiplied(region, o) || inline && replaces_product(region, role, users, o))
    })
}

/// Whether a value is a product.
fn multiplied(region: &Region, reader: NodeId) -> bool {
    matches!(region[reader].kind, Kind::Op(Op::Contract(_)))
}

/// Whether a reader walks an axis along which the value is the same.
fn spreads(region: &Region, value: NodeId, reader: NodeId) -> bool {
    let domain = match &region[reader].kind {
        Kind::Op(op) if !is_inline(op) => {
            region[reader].operands.iter().map(|&o| region[o].ty.axes.len()).max().unwrap_or(0)
        }
        _ => region[reader].ty.axes.len(),
    };
    region[value].ty.axes.len() < domain
}

/// Whether an inline value is computed from anything in memory (a mask of positions is not).
fn reads_memory(region: &Region, role: &[Role], id: NodeId) -> bool {
    region[id].operands.iter().any(|&o| match role[o.0 as usize] {
        Role::Root | Role::Boundary => true,
        Role::Inline | Role::Dead => reads_memory(region, role, o),
    })
}

/// What computing each inline value once costs, in simple operations: a load counts 2.
fn weights(region: &Region, role: &[Role]) -> Vec<u32> {
    let mut weight = vec![0u32; region.nodes.len()];
    for (id, node) in region.iter() {
        let own = match &node.kind {
            Kind::Op(Op::Map(op)) => cost(*op),
            Kind::Op(Op::Random(..)) => 30,
            _ => 0,
        };
        weight[id.0 as usize] = node.operands.iter().fold(own, |sum, &o| {
            sum.saturating_add(if role[o.0 as usize] == Role::Inline { weight[o.0 as usize] } else { 2 })
        });
    }
    weight
}

fn cost(op: Elementwise) -> u32 {
    match op {
        Elementwise::EXP | Elementwise::LOG | Elementwise::LOG1P | Elementwise::TANH | Elementwise::ERF => 10,
        Elementwise::SIN | Elementwise::COS | Elementwise::POW => 15,
        Elementwise::DIV | Elementwise::SQRT => 4,
        _ => 1,
    }
}
