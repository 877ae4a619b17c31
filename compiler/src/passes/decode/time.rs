//! What becomes of the axes that are as long as the text.

use std::cell::RefCell;
use std::collections::BTreeMap;

use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use super::{CAPACITY, Places, Sizes, Which, room};
use crate::graph::{Graph, Kind, Region};

/// How many places a new one sees along source axes.
pub type Windows = BTreeMap<Axis, i64>;

/// The axes that are as long as the text.
pub struct Time {
    /// That of the text itself, and of new places.
    pub axis: Axis,
    /// Others over the new places.
    aliases: Vec<Axis>,
    /// Axes over all places.
    sources: Vec<Axis>,
    /// What is kept has room along these: of all places, or of so many, the last ones, in a ring.
    places: BTreeMap<Option<i64>, Axis>,
    /// How many places a new one sees along a source axis, its own included, where that is bounded.
    windows: BTreeMap<Axis, i64>,
    /// The same as found while the program is derived; none where not bounded.
    found: RefCell<BTreeMap<Axis, Option<i64>>>,
    /// One place of the text.
    pub last: Axis,
    /// Which program is derived.
    pub which: Which,
    /// How sizes change.
    pub sizes: Sizes,
}

impl Time {
    /// Tells them apart, and sets the sizes that axes have in the derived program.
    pub fn of(graph: &Graph, axis: Axis, sizes: &Sizes, which: Which, windows: Windows, axes: &mut Axes) -> Self {
        let size = graph.axes.size(axis);
        let mut reduced = Vec::new();
        collect(&graph.body, &mut reduced);
        let alike = axes.iter().filter(|(a, info)| *a != axis && info.size == *size).map(|(a, _)| a);
        let (sources, aliases): (Vec<Axis>, Vec<Axis>) = alike.partition(|a| reduced.contains(a));
        let new = if which.goes_on { Size::of(1) } else { size.clone() };
        let mut numbers = graph.axes.iter().map(|(a, _)| a);
        axes.resize(&mut |old| match numbers.next() {
            Some(a) if a == axis || aliases.contains(&a) => new.clone(),
            Some(a) if which.goes_on && windows.contains_key(&a) => Size::var(&room(windows[&a])),
            _ => sizes.of(old),
        });
        let mut places = BTreeMap::from([(None, axes.fresh("place", Size::var(CAPACITY), true))]);
        for &window in windows.values() {
            places.entry(Some(window)).or_insert_with(|| axes.fresh("place", Size::var(&room(window)), true));
        }
        let last = axes.fresh(&graph.axes[axis].name, Size::of(1), true);
        Self { axis, aliases, sources, places, windows, found: Default::default(), last, which, sizes: sizes.clone() }
    }

    /// Whether an axis is over the new places.
    pub fn is_new(&self, axis: Axis) -> bool {
        axis == self.axis || self.aliases.contains(&axis)
    }

    /// Whether an axis is over all places.
    pub fn is_source(&self, axis: Axis) -> bool {
        self.sources.contains(&axis)
    }

    /// How many places are kept of what is seen along a source axis, where not all are.
    pub fn window(&self, source: Axis) -> Option<i64> {
        self.windows.get(&source).copied()
    }

    /// The same, where the axis goes round a ring.
    pub fn turns(&self, axis: Axis) -> Option<i64> {
        self.window(axis).filter(|_| self.which.goes_on)
    }

    /// Whether any axis does.
    pub fn any_turns(&self) -> bool {
        self.which.goes_on && !self.windows.is_empty()
    }

    /// The axis along which so many places are kept.
    pub fn places(&self, window: Option<i64>) -> Axis {
        self.places[&window]
    }

    /// The places that are kept along an axis.
    pub fn kept(&self, axis: Axis) -> Option<Places> {
        let (window, _) = self.places.iter().find(|(_, places)| **places == axis)?;
        Some(window.map_or(Places::Every, Places::Last))
    }

    /// Notes that something looks so far back along a source axis.
    pub fn reads(&self, source: Axis, window: Option<i64>) {
        let mut found = self.found.borrow_mut();
        let widest = found.entry(source).or_insert(Some(1));
        *widest = widest.zip(window).map(|(a, b)| a.max(b));
    }

    /// How far back is looked along axes, where that is bounded.
    pub fn found(&self) -> Windows {
        self.found.borrow().iter().filter_map(|(&axis, &window)| Some((axis, window?))).collect()
    }

    /// Whether that is what the program was derived with.
    pub fn is_settled(&self) -> bool {
        self.found() == self.windows
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
