//! The order of axes in memory, as far as the graph itself tells.

use weft_dsl::types::{Axes, Axis, Type};

use super::Graph;

/// Orders the axes of a program's values.
///
/// Axes of the batch lie outside, in the order in which they were made; then those of the model, in the order of the first input
/// (a parameter) that has them all, so that a gradient lies as its parameter does.
pub struct Orders {
    /// Axes of the inputs, in the order of files.
    inputs: Vec<Vec<Axis>>,
}

impl Orders {
    /// Of a program.
    pub fn of(graph: &Graph) -> Self {
        Self { inputs: graph.inputs.iter().map(|i| i.axes.clone()).filter(|axes| axes.len() > 1).collect() }
    }

    /// The axes of a value of this type, outermost first.
    pub fn axes(&self, axes: &Axes, ty: &Type) -> Vec<Axis> {
        let (mut outer, mut inner): (Vec<Axis>, Vec<Axis>) = ty.axes.iter().partition(|&&a| axes[a].outer);
        outer.sort();
        if let Some(order) = self.inputs.iter().find(|order| inner.iter().all(|a| order.contains(a))) {
            inner.sort_by_key(|a| order.iter().position(|o| o == a));
        }
        outer.extend(inner);
        outer
    }
}
