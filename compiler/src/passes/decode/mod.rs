//! Derives from a function over whole texts the two that a text is written with: `prefill` for the prompt, `decode` for one place
//! more, which keep what later places read of earlier ones.
//!
//! The run-time axis that grows is `time`; an axis that it is renamed to and that something reduces over is a *source* axis, whose
//! places are those of the past and the new ones. Each value is one of four ([`value::Value`]): fixed; for each new place; a
//! *view* of values for each new place under the name of a source axis; over the sources, and often over the new places too. An
//! operation on a view is done to the new places and stays a view, so that keys and values are kept after their projections;
//! only what meets the new places is *cut* there ([`cut`]): its new places are inserted into what is kept, and the whole is read.
//! Where everything that looks along a source axis rules out what is further back than some window, so many places are kept alone,
//! in a ring: a place lies at its number modulo the ring's room, so an index of the ring says which place lies there.
//! A reduction over sources must count nothing of places behind its own, which follows from a causal conjunct in a mask
//! ([`beyond`]). Of a walk along `time` is kept what it carries ([`recurrent`]). Everything else that looks along `time` is refused,
//! with the operations in the user's names.
//!
//! Other inputs than the text are *given* with the prompt. What new places read of the fixed values that follow from them, such as
//! an attention's keys and values of what an encoder made, is kept as it is ([`cut`]), and `decode` neither takes nor computes what
//! it follows from.
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

use weft_runtime::plan::{CAPACITY, PAST, room, turn};

use crate::graph::{Graph, Input, Kind, Output, Sink, Source};
use crate::passes::canonical::{canonicalise, compact, needed};
use entry::Entry;
use time::{Time, Windows};
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
    /// Of which places.
    pub places: Places,
}

/// The places that something is kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// Every one.
    Every,
    /// So many, the last ones.
    Last(i64),
    /// One, behind the last place.
    End,
    /// None: it follows from what is given with the prompt.
    Given,
}

impl Places {
    /// How many there are, where that is bounded.
    pub fn window(self) -> Option<i64> {
        match self {
            Places::Last(window) => Some(window),
            Places::Every | Places::End | Places::Given => None,
        }
    }
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
    let graph = &of_logits(graph, &Entry::of(graph)?);
    let entry = Entry::of(graph)?;
    let all = if which.goes_on { Size::var(PAST) + Size::of(1) } else { Size::var(&entry.variable) };
    let single = if which.rows { Vec::new() } else { entry.batch_sizes(graph) };
    let sizes = Sizes { time: entry.variable.clone(), all, single };
    // How far back is looked is known when all is derived; what is seen through a window alone is derived again.
    let mut windows = Windows::new();
    loop {
        let mut axes = graph.axes.clone();
        let time = Time::of(graph, entry.time, &sizes, which, windows, &mut axes);
        let mut frame = Frame::program(graph, &entry, &axes, &time);
        frame.walk()?;
        if time.is_settled() {
            let (mut made, kept) = finish(graph, &entry, frame)?;
            if which.goes_on && made.inputs.iter().any(|input| entry.is_given(input)) {
                forget(&mut made, |input| entry.is_given(input));
            }
            return Ok(Derived { graph: made, kept, sizes });
        }
        windows = time.found();
    }
}

/// A function that gives logits alone: what it gives besides, such as a loss, may need what a text that is written does not have.
fn of_logits(graph: &Graph, entry: &Entry) -> Graph {
    let mut graph = graph.clone();
    graph.outputs = vec![graph.outputs.swap_remove(entry.logits)];
    graph.body.outputs = vec![graph.body.outputs[entry.logits]];
    needed(&mut graph);
    graph
}

/// A program that has been walked: what it takes, gives, computes and keeps.
fn finish(graph: &Graph, entry: &Entry, mut frame: Frame) -> Result<(Graph, Vec<Kept>), String> {
    let (axes, time) = (frame.axes, frame.time);
    let logits = frame.result(graph.body.outputs[entry.logits])?;
    let mut shown = graph.outputs[entry.logits].axes.clone();
    let logits = match time.which.goes_on {
        true => logits,
        false => {
            let place = Size::var(&entry.variable) - Size::of(1);
            let one = time.last;
            shown.iter_mut().filter(|a| **a == entry.time).for_each(|a| *a = one);
            last::take(&mut frame.out, axes, logits, &last::Place { axis: entry.time, at: place, one })
        }
    };
    let mut inputs = graph.inputs.clone();
    if time.which.rows {
        let axes = entry.batch.clone();
        inputs.push(Input::new(START, Elem::Int, axes, Source::Supplied));
    }
    let mut outputs = vec![Output { name: "logits".into(), axes: shown, sink: Sink::Port }];
    let mut nodes = vec![logits];
    let mut kept = Vec::new();
    for (number, cache) in frame.caches.iter().enumerate() {
        let name = format!("kept.{number}");
        if let Some(updated) = cache.updated {
            let sink = Sink::Update(inputs.len() as u32);
            outputs.push(Output { name: name.clone(), axes: cache.axes.clone(), sink });
            nodes.push(updated);
        }
        inputs.push(Input::new(&name, cache.elem, cache.axes.clone(), Source::Kept));
        kept.push(cache.described(axes, time, name));
    }
    Ok((Graph { axes: axes.clone(), inputs, body: frame.out.finish(nodes), outputs }, kept))
}

/// Takes out inputs of which only what is kept was needed, with what was computed of them.
fn forget(graph: &mut Graph, is_given: impl Fn(&Input) -> bool) {
    canonicalise(graph);
    let mut read = vec![false; graph.inputs.len()];
    let uses = graph.body.uses();
    for (id, node) in graph.body.iter() {
        if let Kind::Argument(n) = node.kind {
            read[n as usize] |= uses[id.0 as usize] > 0;
        }
    }
    let stays: Vec<bool> = graph.inputs.iter().zip(read).map(|(input, read)| read || !is_given(input)).collect();
    let number = |old: u32| stays[..old as usize].iter().filter(|&&stays| stays).count() as u32;
    graph.body.nodes.iter_mut().for_each(|node| {
        if let Kind::Argument(n) = &mut node.kind {
            *n = number(*n);
        }
    });
    graph.outputs.iter_mut().for_each(|output| {
        if let Sink::Update(n) = &mut output.sink {
            *n = number(*n);
        }
    });
    let mut each = stays.iter();
    graph.body.arguments.retain(|_| each.next() == Some(&true));
    let mut each = stays.iter();
    graph.inputs.retain(|_| each.next() == Some(&true));
    graph.body = compact(&graph.body);
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
