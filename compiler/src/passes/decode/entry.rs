//! Which argument of a function is the text, which axis of it grows, which result are the logits, and what is given besides.

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
    /// Finds them: the text is the indices of which there are logits at each place.
    pub fn of(graph: &Graph) -> Result<Self, String> {
        let numbers = || graph.inputs.iter().filter(|i| i.source == Source::Port && i.elem != Elem::Bool);
        let texts: Vec<_> = numbers().map(|input| Self::of_text(graph, input)).collect();
        let fits = texts.iter().filter(|text| text.is_ok()).count();
        let entry = match texts.len() {
            1 => texts.into_iter().next(),
            _ => texts.into_iter().find(|text| text.is_ok()).filter(|_| fits == 1),
        };
        let entry = entry.unwrap_or_else(|| {
            let names = numbers().map(|i| format!("`{}`", i.name)).collect::<Vec<_>>().join(", ");
            let which = if fits > 1 { "several of these could be the text" } else { "none of these is the text" };
            Err(format!("the function takes {}: {which}", if names.is_empty() { "nothing" } else { &names }))
        })?;
        match numbers().filter(|i| i.axes.contains(&entry.time)).nth(1) {
            None => Ok(entry),
            Some(other) => Err(format!("`{}` is also given at each place of the text", other.name)),
        }
    }

    /// With one of the inputs as the text.
    fn of_text(graph: &Graph, input: &Input) -> Result<Self, String> {
        let Input { elem: Elem::Index(_), axes, name, .. } = input else {
            return Err(format!("text is written where the function takes indices; it takes `{}`", input.name));
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

    /// Whether an input is given with the prompt and stays the same, as what an encoder reads.
    pub fn is_given(&self, input: &Input) -> bool {
        input.source == Source::Port && !input.axes.contains(&self.time)
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
