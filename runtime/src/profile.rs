//! Where the time of a run goes: by launch for a table and a roofline, by thread for a trace.
//!
//! What is measured lies between a launch's start and its end on the thread that hands it out; each thread's share of the tiles is a span of the
//! trace. Nothing here runs unless a profile was asked for.

mod ceilings;
mod numbers;
mod roofline;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

pub use ceilings::{Ceilings, bandwidth};

use crate::plan::{Arg, Place, Plan, Program, Step};
use crate::whole_file;

/// Spans that a trace keeps at most; the launches after them are in the table alone.
const MOST_SPANS: usize = 400_000;

/// A launch of a program: index of the program in the plan, and number of the launch in its steps.
type Site = (usize, usize);

/// What was measured of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Measured {
    /// How often it ran.
    calls: u64,
    /// Of all runs.
    time: Duration,
    /// Of all runs.
    operations: f64,
    /// Of all runs.
    bytes: f64,
}

/// A thread's part of a launch.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    site: Site,
    worker: usize,
    from: Duration,
    to: Duration,
    tiles: (usize, usize),
}

/// What a machine measures.
pub(crate) struct Profile {
    started: Instant,
    /// The program that runs.
    program: usize,
    measured: BTreeMap<Site, Measured>,
    spans: Mutex<Vec<Span>>,
}

impl Profile {
    pub(crate) fn new() -> Self {
        // Written now: a page that the system gave during a launch would count as the launch's time.
        let mut spans = vec![Span { worker: usize::MAX, ..Span::default() }; MOST_SPANS];
        spans.clear();
        Self { started: Instant::now(), program: 0, measured: BTreeMap::new(), spans: Mutex::new(spans) }
    }

    /// Says which program runs from here on.
    pub(crate) fn enter(&mut self, program: usize) {
        self.program = program;
    }

    /// Time since the profile's start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records a thread's part of a launch that has just ended.
    pub(crate) fn span(&self, launch: usize, worker: usize, tiles: (usize, usize), from: Duration) {
        let to = self.now();
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < MOST_SPANS {
            spans.push(Span { site: (self.program, launch), worker, from, to, tiles });
        }
    }

    /// Records a launch that has just ended.
    pub(crate) fn launch(&mut self, launch: usize, from: Duration, (operations, bytes): (f64, f64)) {
        let time = self.now() - from;
        let entry = self.measured.entry((self.program, launch)).or_default();
        entry.calls += 1;
        entry.time += time;
        entry.operations += operations;
        entry.bytes += bytes;
    }

    /// What was measured, the slowest first.
    pub(crate) fn report(&self, plan: &Plan) -> Report {
        let several = self.measured.keys().any(|site| site.0 != self.measured.keys().next().map_or(0, |first| first.0));
        let labels: Vec<Vec<Label>> = plan.programs.iter().map(|program| labels(plan, program)).collect();
        let label = |site: Site| {
            let label = labels[site.0].get(site.1);
            let (kernel, reads) = label.map_or((String::new(), String::new()), |l| (l.kernel.clone(), l.slots.clone()));
            let program = if several { format!("{}: ", plan.programs[site.0].name) } else { String::new() };
            (format!("{program}{kernel}"), reads)
        };
        let mut kernels: Vec<KernelTime> = self
            .measured
            .iter()
            .map(|(&site, m)| {
                let (name, reads) = label(site);
                let number = labels[site.0].get(site.1).map_or(0, |label| label.number);
                KernelTime { number, name, reads, calls: m.calls, time: m.time, operations: m.operations, bytes: m.bytes }
            })
            .collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(kernel.time));
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = spans.iter().map(|span| (label(span.site).0, *span)).collect();
        Report { kernels, spans, wall: self.now() }
    }
}

/// How long a launch of a program took, over all its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// The kernel's number in the plan.
    pub number: u32,
    /// Kernel, and the program where several ran.
    pub name: String,
    /// Parameters that it touches.
    pub reads: String,
    /// How often it ran.
    pub calls: u64,
    /// Wall time.
    pub time: Duration,
    /// Operations, see [`crate::plan::Work`].
    pub operations: f64,
    /// Bytes that it had to move.
    pub bytes: f64,
}

/// What a profile found.
pub struct Report {
    /// Launches, the slowest first.
    pub kernels: Vec<KernelTime>,
    spans: Vec<(String, Span)>,
    wall: Duration,
}

impl Report {
    /// The table, for `runs` runs of whatever was measured.
    pub fn table(&self, ceilings: &Ceilings) -> String {
        table::table(self, ceilings)
    }

    /// Writes `kernels.json`, `trace.json` (for <https://ui.perfetto.dev>) and `roofline.svg` into a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path, ceilings: &Ceilings) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        whole_file::write_bytes(&folder.join("kernels.json"), numbers::json(&self.kernels, ceilings).as_bytes())?;
        whole_file::write_bytes(&folder.join("trace.json"), trace::json(&self.spans).as_bytes())?;
        if let Some(svg) = roofline::svg(&self.kernels, ceilings)? {
            whole_file::write_bytes(&folder.join("roofline.svg"), svg.as_bytes())?;
        }
        Ok(())
    }
}

/// What a launch is called.
struct Label {
    number: u32,
    kernel: String,
    slots: String,
}

/// The launches of a program, by their number among its operations.
fn labels(plan: &Plan, program: &Program) -> Vec<Label> {
    let mut out = Vec::new();
    walk(plan, program, &program.steps, &mut out);
    out
}

/// As [`crate::prepare`] numbers them: a loop has an operation at its start and one at its end, a preparation one before its launch.
fn walk(plan: &Plan, program: &Program, steps: &[Step], out: &mut Vec<Label>) {
    let border = || Label { number: 0, kernel: String::new(), slots: String::new() };
    for step in steps {
        match step {
            Step::Launch(launch) | Step::Prepare { launch, .. } => {
                if matches!(step, Step::Prepare { .. }) {
                    out.push(border());
                }
                let symbol = &plan.kernels[launch.kernel as usize];
                let kernel = symbol.strip_prefix("weft_").unwrap_or(symbol).replace('_', " ");
                out.push(Label { number: launch.kernel, kernel, slots: slots(plan, program, &launch.args) });
            }
            Step::Loop { body, .. } => {
                out.push(border());
                walk(plan, program, body, out);
                out.push(border());
            }
        }
    }
}

/// The parameters and states among a launch's arguments.
fn slots(plan: &Plan, program: &Program, args: &[Arg]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for arg in args {
        if let Place::Slot(slot) = program.buffers[arg.buffer as usize].place {
            let name = plan.slots[slot as usize].name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    match names.as_slice() {
        [] => String::new(),
        [first] => (*first).to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let kernel = |name: &str, millis, operations, bytes| KernelTime {
            number: 0,
            name: name.into(),
            reads: "layers.{}.w".into(),
            calls: 2,
            time: Duration::from_millis(millis),
            operations,
            bytes,
        };
        let span = Span { site: (0, 0), worker: 1, from: Duration::ZERO, to: Duration::from_micros(1500), tiles: (2, 5) };
        let kernels = vec![kernel("product 1", 30, 6e9, 3e8), kernel("loops 2", 10, 1e6, 2e8)];
        Report { kernels, spans: vec![("product 1".into(), span)], wall: Duration::from_millis(50) }
    }

    const CEILINGS: Ceilings = Ceilings { operations: 300e9, products: 0.0, bandwidth: 20e9, threads: 2 };

    #[test]
    fn a_table_says_what_was_reached() {
        insta::assert_snapshot!(report().table(&CEILINGS));
    }

    #[test]
    fn numbers_are_those_of_the_table_unrounded() {
        insta::assert_snapshot!(numbers::json(&report().kernels, &CEILINGS));
    }

    #[test]
    fn a_trace_has_a_track_a_thread_and_a_slice_a_span() {
        insta::assert_snapshot!(trace::json(&report().spans));
    }

    #[test]
    fn a_roofline_is_drawn_where_something_computes() {
        let svg = roofline::svg(&report().kernels, &CEILINGS).unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("product 1") && svg.contains("300 GFLOP/s"), "{svg}");
        assert_eq!(roofline::svg(&[], &CEILINGS).unwrap(), None);
    }
}
