//! What becomes of the axes that are as long as the text.

use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use super::{CAPACITY, Sizes, Which};
use crate::graph::{Graph, Kind, Region};

/// The axes that are as long as the text.
pub struct Time {
    /// That of the text itself, and of new places.
    pub axis: Axis,
    /// Others over the new places.
    aliases: Vec<Axis>,
    /// Axes over all places.
    sources: Vec<Axis>,
    /// What is kept has room along this one.
    pub places: Axis,
    /// One place of the text.
    pub last: Axis,
    /// Which program is derived.
    pub which: Which,
    /// How sizes change.
    pub sizes: Sizes,
}

impl Time {
    /// Tells them apart, and sets the sizes that axes have in the derived program.
    pub fn of(graph: &Graph, axis: Axis, sizes: &Sizes, which: Which, axes: &mut Axes) -> Self {
        let size = graph.axes.size(axis);
        let mut reduced = Vec::new();
        collect(&graph.body, &mut reduced);
        let alike = axes.iter().filter(|(a, info)| *a != axis && info.size == *size).map(|(a, _)| a);
        let (sources, aliases): (Vec<Axis>, Vec<Axis>) = alike.partition(|a| reduced.contains(a));
        let new = if which.goes_on { Size::of(1) } else { size.clone() };
        let mut numbers = graph.axes.iter().map(|(a, _)| a);
        axes.resize(&mut |old| match numbers.next() {
            Some(a) if a == axis || aliases.contains(&a) => new.clone(),
            _ => sizes.of(old),
        });
        let places = axes.fresh("place", Size::var(CAPACITY), true);
        let last = axes.fresh(&graph.axes[axis].name, Size::of(1), true);
        Self { axis, aliases, sources, places, last, which, sizes: sizes.clone() }
    }

    /// Whether an axis is over the new places.
    pub fn is_new(&self, axis: Axis) -> bool {
        axis == self.axis || self.aliases.contains(&axis)
    }

    /// Whether an axis is over all places.
    pub fn is_source(&self, axis: Axis) -> bool {
        self.sources.contains(&axis)
    }

    /// Whether a size speaks of the length of the text.
    pub fn speaks(&self, size: &Size) -> bool {
        size.variables().iter().any(|name| **name == *self.sizes.time)
    }
}

/// The axes that something reduces over.
fn collect(region: &Region, reduced: &mut Vec<Axis>) {
    for node in &region.nodes {
        match &node.kind {
            Kind::Op(Op::Reduce(_, over) | Op::Contract(over) | Op::Softmax(over) | Op::LogSumExp(over)) => {
                reduced.extend(over);
            }
            Kind::Scan(scan) => collect(&scan.body, reduced),
            _ => {}
        }
    }
}
