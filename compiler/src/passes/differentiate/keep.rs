//! What the derivative of a scan is given of the steps before it, and what it computes again: a minimum cut.
//!
//! Each value of a step has two vertices, *needed* and *computed*. What the derivative reads is needed, which is the source's
//! side. Where a value is needed but not computed it is kept, for a price; where it is computed that has a price too, and
//! its operands are needed. So each cut is a choice, its capacity the price, and the least one is found exactly (Edmonds and Karp,
//! 1972).

use std::collections::VecDeque;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Elem};

use crate::graph::{Kind, NodeId, Region};
use crate::rewrite::predicted;

/// What a byte that is kept is worth beside time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keep {
    /// Least time: products, sums and draws are kept, and elementwise work where keeping it is much cheaper than doing it again.
    #[default]
    Fast,
    /// Anything may be computed again: a byte is worth so many times the time of storing and loading it.
    Small(f64),
}

impl Keep {
    /// From the fastest to the smallest.
    pub const CHOICES: [Keep; 7] = [
        Keep::Fast,
        Keep::Small(4.0),
        Keep::Small(16.0),
        Keep::Small(64.0),
        Keep::Small(256.0),
        Keep::Small(1024.0),
        Keep::Small(1e6),
    ];
}

/// How much dearer than its store and its load a byte is where nothing is said: something else may need the memory.
const USUAL: f64 = 4.0;
/// Bytes a second, as [`predicted`] has it.
const MEMORY: f64 = 1e10;
/// What must not be done.
const NEVER: u64 = 1 << 50;

/// What a value is to the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There anyway: what is sliced, what stays the same, numbers.
    Given,
    /// What the step before handed on: only there where it is kept.
    Carried,
    /// Computed, from step to step anew; `costly` is worth its memory.
    Varying {
        /// Not to be computed again where time is all that counts.
        costly: bool,
    },
    /// Computed from what stays the same.
    Steady,
}

/// The values that are kept so that `required` can be had, in order, and which nodes are then needed.
///
/// The first `forward` nodes are the step itself: what a product of it reads is stored for that one anyway.
pub fn choose(
    axes: &Axes,
    region: &Region,
    forward: usize,
    required: &[NodeId],
    place: &dyn Fn(NodeId) -> Place,
    keep: Keep,
) -> (Vec<NodeId>, Vec<bool>) {
    let count = region.nodes.len();
    let (source, sink) = (2 * count, 2 * count + 1);
    let mut graph = Flow::new(2 * count + 2);
    let reached = reached(region, required, place);
    let read = read_by_products(axes, region);
    for (id, node) in region.iter().filter(|(id, _)| reached[id.0 as usize]) {
        let (needed, computed) = (2 * id.0 as usize, 2 * id.0 as usize + 1);
        let many = matches!(node.kind, Kind::Scan(_) | Kind::Fused(_));
        let (kept, again) = match place(id) {
            Place::Given => continue,
            Place::Carried => (stored(axes, region, id, keep), NEVER),
            Place::Varying { costly: true } if keep == Keep::Fast => (stored(axes, region, id, keep), NEVER),
            Place::Varying { .. } => {
                let moved = read[id.0 as usize].then(|| bytes(axes, region, id) / MEMORY);
                let again = predicted(axes, region, id) + moved.map_or(0.0, |seconds| 2.0 * seconds);
                let kept = moved.filter(|_| keep == Keep::Fast && (id.0 as usize) < forward).map(picoseconds);
                (kept.unwrap_or_else(|| stored(axes, region, id, keep)), picoseconds(again))
            }
            Place::Steady => (NEVER, picoseconds(predicted(axes, region, id))),
        };
        // Of a node with several results these are kept.
        graph.edge(needed, computed, if many { NEVER } else { kept });
        let once = many && keep == Keep::Fast && place(id) != Place::Steady;
        graph.edge(computed, sink, if once { NEVER } else { again });
        for operand in &node.operands {
            graph.edge(computed, 2 * operand.0 as usize, NEVER);
        }
    }
    required.iter().for_each(|id| graph.edge(source, 2 * id.0 as usize, NEVER));
    let side = graph.cut(source, sink);
    let needed: Vec<bool> = (0..count).map(|at| side[2 * at]).collect();
    let is_kept = |id: &NodeId| needed[id.0 as usize] && !side[2 * id.0 as usize + 1] && place(*id) != Place::Given;
    (region.iter().map(|(id, _)| id).filter(is_kept).collect(), needed)
}

/// The nodes that may be needed.
fn reached(region: &Region, required: &[NodeId], place: &dyn Fn(NodeId) -> Place) -> Vec<bool> {
    let mut reached = vec![false; region.nodes.len()];
    required.iter().for_each(|id| reached[id.0 as usize] = true);
    for (id, node) in region.iter().rev() {
        if reached[id.0 as usize] && place(id) != Place::Given {
            node.operands.iter().for_each(|o| reached[o.0 as usize] = true);
        }
    }
    reached
}

/// The elementwise values that a product reads and that are so dear that they are stored for it.
fn read_by_products(axes: &Axes, region: &Region) -> Vec<bool> {
    let mut cost = vec![0.0; region.nodes.len()];
    let mut read = vec![false; region.nodes.len()];
    for (id, node) in region.iter() {
        if matches!(node.kind, Kind::Op(Op::Map(_))) {
            cost[id.0 as usize] =
                node.operands.iter().map(|o| cost[o.0 as usize]).sum::<f64>() + predicted(axes, region, id);
        }
        if matches!(node.kind, Kind::Op(Op::Contract(_))) {
            for &operand in &node.operands {
                let mut id = operand;
                while matches!(region[id].kind, Kind::Op(Op::Rename(..))) {
                    id = region[id].operands[0];
                }
                read[id.0 as usize] |= cost[id.0 as usize] > bytes(axes, region, id) / MEMORY;
            }
        }
    }
    read
}

/// The bytes of a value.
fn bytes(axes: &Axes, region: &Region, id: NodeId) -> f64 {
    let ty = &region[id].ty;
    let width = if ty.elem == Elem::Bool { 1.0 } else { 4.0 };
    width * crate::rewrite::elements(axes, &ty.axes)
}

/// What keeping a value costs.
fn stored(axes: &Axes, region: &Region, id: NodeId, keep: Keep) -> u64 {
    let factor = match keep {
        Keep::Fast => USUAL,
        Keep::Small(factor) => factor,
    };
    picoseconds(2.0 * factor * bytes(axes, region, id) / MEMORY)
}

/// Whole numbers, so that a choice depends on no rounding of sums; at least 1, so that of equal choices the shorter is taken.
fn picoseconds(seconds: f64) -> u64 {
    ((seconds * 1e12) as u64).clamp(1, NEVER / 4)
}

/// A network, each edge beside its reverse.
struct Flow {
    /// Where an edge goes, and what still fits.
    edges: Vec<(usize, u64)>,
    from: Vec<Vec<usize>>,
}

impl Flow {
    fn new(vertices: usize) -> Self {
        Self { edges: Vec::new(), from: vec![Vec::new(); vertices] }
    }

    fn edge(&mut self, from: usize, to: usize, capacity: u64) {
        self.from[from].push(self.edges.len());
        self.edges.push((to, capacity));
        self.from[to].push(self.edges.len());
        self.edges.push((from, 0));
    }

    /// The vertices on the source's side of a least cut.
    fn cut(mut self, source: usize, sink: usize) -> Vec<bool> {
        loop {
            let mut by: Vec<Option<usize>> = vec![None; self.from.len()];
            let mut side = vec![false; self.from.len()];
            side[source] = true;
            let mut open = VecDeque::from([source]);
            while let Some(at) = open.pop_front() {
                for &edge in &self.from[at] {
                    let (to, fits) = self.edges[edge];
                    if fits > 0 && !side[to] {
                        (side[to], by[to]) = (true, Some(edge));
                        open.push_back(to);
                    }
                }
            }
            if !side[sink] {
                return side;
            }
            let mut path = Vec::new();
            let mut at = sink;
            while let Some(edge) = by[at] {
                path.push(edge);
                at = self.edges[edge ^ 1].0;
            }
            let most = path.iter().map(|&edge| self.edges[edge].1).min().unwrap_or(0);
            for edge in path {
                self.edges[edge].1 -= most;
                self.edges[edge ^ 1].1 += most;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_cut() {
        // Two ways of 3 and 2, of which the second narrows to 1.
        let mut flow = Flow::new(4);
        flow.edge(0, 1, 3);
        flow.edge(1, 3, 5);
        flow.edge(0, 2, 2);
        flow.edge(2, 3, 1);
        assert_eq!(flow.cut(0, 3), [true, false, true, false]);
    }
}
