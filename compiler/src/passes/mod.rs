//! What is done to a graph between the language and kernels.
//!
//! The order of the passes is written once, in [`PIPELINE`]. Each takes and leaves a valid graph with the same meaning.

pub mod canonical;
pub mod chunked;
pub mod decode;
pub mod attention;
pub mod differentiate;
pub mod grouped;
pub mod units;

use std::time::{Duration, Instant};

use crate::graph::{Graph, validate};

/// A pass: its name is that of its dump.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut Graph),
}

/// The passes before gradients are taken, in order.
pub const BEFORE_GRADIENT: &[Pass] =
    &[Pass { name: "canonical", run: canonical::canonicalise }, Pass { name: "attention", run: attention::find }];

/// The name of the pass that rewrites.
pub const REWRITE: &str = "rewrite";

/// The passes over a program whose gradients have been taken, in order.
pub const PIPELINE: &[Pass] = &[
    Pass { name: "units", run: units::leave_out },
    Pass { name: "canonical", run: canonical::canonicalise },
    Pass { name: "attention", run: attention::find },
    Pass { name: "release", run: differentiate::release },
    Pass { name: REWRITE, run: crate::rewrite::rewrite },
    Pass { name: "settle", run: canonical::canonicalise },
    Pass { name: "grouped", run: grouped::find },
    Pass { name: "chunked", run: chunked::find },
];

/// [`PIPELINE`] without a set of rewrite rules, by its number; where `smaller`, not only the largest values are brought into chunks.
pub fn pipeline(without: Option<usize>, smaller: bool) -> Vec<Pass> {
    let chosen = |pass: &Pass| match (pass.name, without) {
        (REWRITE, Some(set)) => crate::rewrite::without(set),
        ("chunked", _) if smaller => chunked::find_smaller,
        _ => pass.run,
    };
    PIPELINE.iter().map(|pass| Pass { run: chosen(pass), ..*pass }).collect()
}

/// How the passes are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Rewrite and fuse; without, each operator is a kernel of its own.
    pub optimise: bool,
    /// Check the graph before the first pass and after each.
    pub validate: bool,
    /// What is kept for gradients.
    pub keep: differentiate::Keep,
}

/// A pass left a graph that is not valid: a fault of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The pass; `input` where the graph was not valid before the first.
    pub pass: &'static str,
    /// What is wrong.
    pub fault: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after pass `{}`: {}", self.pass, self.fault)
    }
}

impl std::error::Error for Broken {}

/// Runs passes in order. `seen` gets each one's name, what it left, and how long it took.
pub fn run_passes(
    graph: &mut Graph,
    passes: &[Pass],
    options: &Options,
    seen: &mut dyn FnMut(&'static str, &Graph, Duration),
) -> Result<(), Broken> {
    let check = |pass: &'static str, graph: &Graph| match options.validate.then(|| validate(graph)) {
        Some(Err(fault)) => Err(Broken { pass, fault: fault.to_string() }),
        Some(Ok(())) | None => Ok(()),
    };
    check("input", graph)?;
    for pass in passes {
        let start = Instant::now();
        (pass.run)(graph);
        seen(pass.name, graph, start.elapsed());
        check(pass.name, graph)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::random::random_graph;

    #[test]
    fn the_pipeline_leaves_valid_graphs() {
        for seed in 0..50 {
            let (mut graph, _) = random_graph(seed, 30);
            let mut names = Vec::new();
            let done = run_passes(
                &mut graph,
                PIPELINE,
                &Options { optimise: true, validate: true, ..Options::default() },
                &mut |name, _, _| names.push(name),
            );
            assert_eq!(done, Ok(()), "{seed}");
            assert_eq!(names, PIPELINE.iter().map(|pass| pass.name).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_pass_that_breaks_a_graph_is_named() {
        let (mut graph, _) = random_graph(1, 10);
        let breaks = Pass { name: "breaks", run: |graph| graph.body.outputs.clear() };
        let done = run_passes(
            &mut graph,
            &[breaks],
            &Options { optimise: true, validate: true, ..Options::default() },
            &mut |_, _, _| {},
        );
        assert_eq!(done.map_err(|broken| broken.pass), Err("breaks"));
    }
}
