//! Derives from a function over whole texts the two that a text is written with: `prefill` for the prompt, `decode` for one place
//! more, which keep what later places read of earlier ones.
//!
//! The run-time axis that grows is `time`; an axis that it is renamed to and that something reduces over is a *source* axis, whose
//! places are those of the past and the new ones. Each value is one of four ([`value::Value`]): fixed; for each new place; a
//! *view* of values for each new place under the name of a source axis; over the sources, and often over the new places too. An
//! operation on a view is done to the new places and stays a view, so that keys and values are kept after their projections;
//! only what meets the new places is *cut* there ([`cut`]): its new places are inserted into what is kept, and the whole is read.
//! A reduction over sources must count nothing of places behind its own, which follows from a causal conjunct in a mask
//! ([`beyond`]). Of a walk along `time` is kept what it carries ([`recurrent`]). Everything else that looks along `time` is refused,
//! with the operations in the user's names.
//!
//! In a batch of texts of unequal length those stand to the right: the first `start` places of a row are no text. Positions count
//! from `start`, and every causal conjunct also says that the source is text.

mod beyond;
mod cut;
mod entry;
mod last;
mod recurrent;
mod scan;
mod time;
mod value;
mod walk;

use weft_dsl::op::Number;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use weft_runtime::plan::{CAPACITY, PAST};

use crate::graph::{Graph, Input, Output, Sink, Source};
use entry::Entry;
use time::Time;
use walk::Frame;

/// The argument that says where each row's text begins.
pub const START: &str = "start";

/// Which program is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// One new place behind others; otherwise all places of a prompt.
    pub goes_on: bool,
    /// Any number of rows, each with a start; otherwise one row.
    pub rows: bool,
}

impl Which {
    /// All of them, with their names.
    pub const EVERY: [(&'static str, Which); 4] = [
        ("prefill", Which { goes_on: false, rows: false }),
        ("decode", Which { goes_on: true, rows: false }),
        ("prefill_rows", Which { goes_on: false, rows: true }),
        ("decode_rows", Which { goes_on: true, rows: true }),
    ];
}

/// What is kept of each place, for those behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The name of its storage.
    pub name: String,
    /// What it is made with: the parameter's path nearest to it.
    pub of: String,
    /// What reads it.
    pub reader: String,
    /// Its axes by name, those of repetitions first; without that of places.
    pub axes: Vec<(String, Size)>,
    /// What an element is.
    pub elem: Elem,
    /// Whether each place has its own; otherwise there is one, behind the last place.
    pub every_place: bool,
}

impl Kept {
    /// Bytes of one place of one row, or of one row.
    pub fn bytes(&self) -> u64 {
        let elements: i64 = self.axes.iter().map(|(_, size)| size.known().unwrap_or(1)).product();
        let width = if self.elem == Elem::Bool { 1 } else { 4 };
        elements as u64 * width
    }
}

/// A derived program.
#[derive(Clone, Debug)]
pub struct Derived {
    /// What it computes: the logits of the last place, and what is kept.
    pub graph: Graph,
    /// What is kept.
    pub kept: Vec<Kept>,
    /// The sizes of the text's function in terms of this one's.
    sizes: Sizes,
}

impl Derived {
    /// A size of the function over whole texts in terms of this program's sizes.
    pub fn size(&self, size: &Size) -> Size {
        self.sizes.of(size)
    }
}

/// How sizes change.
#[derive(Clone, Debug)]
struct Sizes {
    /// The size of time.
    time: String,
    /// How many places there are, the new ones included.
    all: Size,
    /// Sizes that become 1.
    single: Vec<String>,
}

impl Sizes {
    fn of(&self, size: &Size) -> Size {
        let value = |name: &str| {
            let single = self.single.iter().any(|s| s == name).then(|| Size::of(1));
            single.or_else(|| (name == self.time).then(|| self.all.clone()))
        };
        size.substitute(&value).unwrap_or_else(|_| size.clone())
    }
}

/// Derives all programs; those of several rows only where the text can have them.
///
/// # Errors
/// As [`derive`].
pub fn derive_all(graph: &Graph) -> Result<Vec<(&'static str, Derived)>, String> {
    let has_rows = !Entry::of(graph)?.batch.is_empty();
    let wanted = Which::EVERY.into_iter().filter(|(_, which)| has_rows || !which.rows);
    wanted.map(|(name, which)| Ok((name, derive(graph, which)?))).collect()
}

/// Derives a program from a lowered function that no pass has changed.
///
/// # Errors
/// Why that is not possible, in the user's names.
pub fn derive(graph: &Graph, which: Which) -> Result<Derived, String> {
    let entry = Entry::of(graph)?;
    let mut axes = graph.axes.clone();
    let all = if which.goes_on { Size::var(PAST) + Size::of(1) } else { Size::var(&entry.variable) };
    let single = if which.rows { Vec::new() } else { entry.batch_sizes(graph) };
    let sizes = Sizes { time: entry.variable.clone(), all, single };
    let time = Time::of(graph, entry.time, &sizes, which, &mut axes);
    let mut frame = Frame::program(graph, &entry, &axes, &time);
    frame.walk()?;
    let logits = frame.result(graph.body.outputs[entry.logits])?;
    let mut shown = graph.outputs[entry.logits].axes.clone();
    let logits = match which.goes_on {
        true => logits,
        false => {
            let place = Size::var(&entry.variable) - Size::of(1);
            let one = time.last;
            shown.iter_mut().filter(|a| **a == entry.time).for_each(|a| *a = one);
            last::take(&mut frame.out, &axes, logits, &last::Place { axis: entry.time, at: place, one })
        }
    };
    let mut inputs = graph.inputs.clone();
    if which.rows {
        let axes = entry.batch.clone();
        inputs.push(Input { name: START.into(), elem: Elem::Int, axes, source: Source::Supplied });
    }
    let mut outputs = vec![Output { name: "logits".into(), axes: shown, sink: Sink::Port }];
    let mut nodes = vec![logits];
    let mut kept = Vec::new();
    for (number, cache) in frame.caches.iter().enumerate() {
        let name = format!("kept.{number}");
        let sink = Sink::Update(inputs.len() as u32);
        outputs.push(Output { name: name.clone(), axes: cache.axes.clone(), sink });
        nodes.push(cache.updated);
        inputs.push(Input { name: name.clone(), elem: cache.elem, axes: cache.axes.clone(), source: Source::Kept });
        kept.push(cache.described(&axes, time.places, name));
    }
    let body = frame.out.finish(nodes);
    Ok(Derived { graph: Graph { axes, inputs, body, outputs }, kept, sizes })
}

/// A number as an operator holds it.
fn number(value: f64) -> Number {
    Number(value)
}

/// Axes by name, for messages.
fn names(axes: &Axes, list: &[Axis]) -> String {
    let names: Vec<String> = list.iter().map(|&a| format!("`{}`", axes[a].name)).collect();
    names.join(", ")
}
