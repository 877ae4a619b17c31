//! Which argument of a function is the text, which axis of it grows, and which result are the logits.

use weft_dsl::size::Atom;
use weft_dsl::types::{Axis, Elem};

use crate::graph::{Graph, Input, Source};

/// What a function that writes text takes and gives.
pub struct Entry {
    /// The axis that grows.
    pub time: Axis,
    /// The name of its size.
    pub variable: String,
    /// The text's other axes.
    pub batch: Vec<Axis>,
    /// The number of the output with the logits.
    pub logits: usize,
}

impl Entry {
    /// Finds them.
    pub fn of(graph: &Graph) -> Result<Self, String> {
        let ports = || graph.inputs.iter().filter(|i| i.source == Source::Port && i.elem != Elem::Bool);
        let names = || ports().map(|i| format!("`{}`", i.name)).collect::<Vec<_>>().join(", ");
        let indices: Vec<&Input> = ports().collect();
        let [Input { elem: Elem::Index(_), axes, name, .. }] = indices[..] else {
            return Err(format!("text is written where the function takes indices alone; it takes {}", names()));
        };
        let Some((&time, batch)) = axes.split_last().filter(|(_, batch)| batch.len() < 2) else {
            return Err(format!("`{name}` has {} axes; [time] or [batch, time] is needed", axes.len()));
        };
        let Some(variable) = variable(graph, time) else {
            let axis = &graph.axes[time];
            return Err(format!("the axis `{}` of `{name}` has the fixed size {}", axis.name, axis.size));
        };
        let gives = |axes: &[Axis]| axes.contains(&time) && axes.len() == batch.len() + 2;
        let logits = match graph.outputs.as_slice() {
            [one] => gives(&one.axes).then_some(0),
            several => several.iter().position(|o| o.name == "logits" && gives(&o.axes)),
        };
        let logits = logits
            .ok_or_else(|| format!("no result is `logits` with the axes of `{name}` and one of what may come next"))?;
        Ok(Self { time, variable, batch: batch.to_vec(), logits })
    }

    /// The run-time sizes of the text's other axes.
    pub fn batch_sizes(&self, graph: &Graph) -> Vec<String> {
        self.batch.iter().filter_map(|&axis| variable(graph, axis)).collect()
    }
}

/// The name of an axis' size, where that is one run-time size.
fn variable(graph: &Graph, axis: Axis) -> Option<String> {
    let mut terms = graph.axes.size(axis).terms();
    match (terms.next(), terms.next()) {
        (Some(([Atom::Var(name)], 1)), None) => Some(name.to_string()),
        _ => None,
    }
}
