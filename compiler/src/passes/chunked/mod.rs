//! Large values that only live between small ones are made a chunk at a time.
//!
//! The logits of a batch are larger than everything that they are computed from and everything that is computed from them: a
//! loss for each row, the gradient of what they were computed from, the gradient of a table. So are their softmax and their own
//! gradient. All of these are one value after another for each row. This pass finds such an *island* of large values that have
//! an axis of the batch, and makes it the body of a scan over that axis: what is large lives within one step. What a
//! row gives is yielded; what is a sum over all rows is carried, and added to where it lies.
//!
//! The axis is one that the program has, so nothing need divide evenly and no size need be known; whether it pays is decided for
//! typical sizes, those of the recipe.

mod island;
#[cfg(test)]
mod tests;
mod write;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Type};

use self::island::Island;
use crate::graph::{Graph, Kind, NodeId, Region};

/// Elements that a value must have to be brought into chunks, with what is half as large: 128 MB, below which products lose more by
/// packing a table for each chunk than the memory costs.
const LARGE: i64 = 1 << 25;
/// The same where memory is what counts.
const SMALLER: i64 = 1 << 21;
/// The part of that which the largest value of a chunk must have: less work does not pay for reading a table anew.
const PART: i64 = 8;
/// How many times as large as a chunk's largest value a sum over all rows may be: it is read and written for each chunk, the others
/// some six times in all.
const CARRIED: i64 = 4;

/// Brings large values into scans over an axis of the batch.
pub fn find(graph: &mut Graph) {
    find_from(graph, LARGE);
}

/// As [`find`], but smaller values too: programs take less memory then, and more time.
pub fn find_smaller(graph: &mut Graph) {
    find_from(graph, SMALLER);
}

/// As [`find`]; `least` is how many elements make a value a large one.
fn find_from(graph: &mut Graph, least: i64) {
    let mut body = std::mem::take(&mut graph.body);
    while let Some(chunked) = first(&graph.axes, &body, least) {
        body = chunked;
    }
    graph.body = body;
}

/// The region with its first island in a scan; none where it has none.
fn first(axes: &Axes, region: &Region, least: i64) -> Option<Region> {
    let contracted =
        |(id, node): (NodeId, &crate::graph::Node)| matches!(node.kind, Kind::Op(Op::Contract(_))).then_some(id);
    let mut seeds: Vec<NodeId> = region.iter().filter_map(contracted).collect();
    seeds.retain(|&id| elements(axes, &region[id].ty.axes) >= Some(least));
    seeds.into_iter().find_map(|seed| {
        let mut along: Vec<Axis> = region[seed].ty.axes.iter().copied().filter(|&a| axes[a].outer).collect();
        // Few chunks rather than many.
        along.sort_by_key(|&a| (elements(axes, &[a]), a));
        let island = along.into_iter().filter_map(|axis| Island::around(axes, region, axis, seed));
        island.filter(|island| pays(axes, region, island, least)).map(|island| write::write(axes, region, &island)).next()
    })
}

/// Whether chunks are several, each worth its start.
fn pays(axes: &Axes, region: &Region, island: &Island, least: i64) -> bool {
    let places = |over: &[Axis]| elements(axes, over).unwrap_or(0);
    let within = |ty: &Type| places(&ty.without(&[island.axis]).axes);
    let largest = island.members.iter().map(|&m| within(&region[m].ty)).max().unwrap_or(0);
    let light = |&sum: &NodeId| within(&region[sum].ty) <= CARRIED * largest;
    places(&[island.axis]) > 1 && largest >= least / PART && island.sums.iter().all(light)
}

/// Elements over these axes, typically; none where nothing tells.
fn elements(axes: &Axes, over: &[Axis]) -> Option<i64> {
    axes.typically(&axes.volume(over))
}
