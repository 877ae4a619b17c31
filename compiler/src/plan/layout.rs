//! The order of axes in memory, which nothing before this stage knows.

use weft_dsl::types::{Axes, Axis, Type};

use crate::graph::Graph;
use crate::schedule::Layout;

/// Chooses layouts for a program's own buffers.
///
/// Axes of the batch lie outside, in the order in which they were made; then those of the model, in the order of the first input
/// (a parameter) that has them all, so that a gradient lies as its parameter does.
pub struct Layouts {
    /// Axes of the inputs, in the order of files.
    orders: Vec<Vec<Axis>>,
}

impl Layouts {
    /// For a program.
    pub fn of(graph: &Graph) -> Self {
        Self { orders: graph.inputs.iter().map(|i| i.axes.clone()).filter(|axes| axes.len() > 1).collect() }
    }

    /// The layout of a buffer of this type.
    pub fn choose(&self, axes: &Axes, ty: &Type) -> Layout {
        let (mut outer, mut inner): (Vec<Axis>, Vec<Axis>) = ty.axes.iter().partition(|&&a| axes[a].outer);
        outer.sort();
        if let Some(order) = self.orders.iter().find(|order| inner.iter().all(|a| order.contains(a))) {
            inner.sort_by_key(|a| order.iter().position(|o| o == a));
        }
        outer.extend(inner);
        Layout(outer)
    }
}

impl Layout {
    /// With one axis called otherwise.
    pub fn renamed(&self, from: Axis, to: Axis) -> Layout {
        Layout(self.0.iter().map(|&a| if a == from { to } else { a }).collect())
    }
}
