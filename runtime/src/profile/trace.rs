//! A trace as Perfetto and Chrome read it (Trace Event Format): a track for each thread, a slice for each thread's part of a launch.

use serde_json::{Value, json};

use super::Span;

/// The trace as JSON; times in microseconds from the profile's start.
pub fn json(spans: &[(String, Span)]) -> String {
    let micros = |time: std::time::Duration| time.as_nanos() as f64 / 1e3;
    let mut workers: Vec<usize> = spans.iter().map(|(_, span)| span.worker).collect();
    workers.sort_unstable();
    workers.dedup();
    let names = workers.into_iter().map(|worker| {
        json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": worker, "args": {"name": format!("thread {worker}")}})
    });
    let slices = spans.iter().map(|(name, span)| {
        json!({
            "ph": "X", "name": name, "cat": "kernel", "pid": 1, "tid": span.worker,
            "ts": micros(span.from), "dur": micros(span.to - span.from),
            "args": {"first tile": span.tiles.0, "tiles": span.tiles.1 - span.tiles.0},
        })
    });
    let events: Vec<Value> = names.chain(slices).collect();
    json!({"displayTimeUnit": "ms", "traceEvents": events}).to_string()
}
