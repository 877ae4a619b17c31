//! Random graphs: the interpreter, compiled code, and compiled code after all passes agree, in each run with the same bits.

use weft_compiler::graph::print;
use weft_compiler::passes::{Options, PIPELINE, run_passes};
use weft_tests::compare::{Tolerance, close_values};
use weft_tests::random::{Outputs, Sample};

/// Rounding of 32-bit floats, through some dozens of operations on values of at most a thousand.
const SINGLE: Tolerance = Tolerance { rtol: 2e-4, atol: 2e-4 };
/// The same in 64 bits.
const DOUBLE: Tolerance = Tolerance { rtol: 1e-9, atol: 1e-9 };

fn agree(got: &Outputs, expected: &Outputs, tolerance: Tolerance) -> Result<(), String> {
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        close_values(got, expected, tolerance).map_err(|difference| format!("`{name}`: {difference}"))?;
    }
    Ok(())
}

fn rewritten(seed: u64, nodes: usize) -> Result<(), String> {
    let sample = Sample::new(seed, nodes);
    let Ok(expected) = sample.interpreted(&sample.graph) else { return Ok(()) };
    let mut graph = sample.graph.clone();
    let options = Options { optimise: true, validate: true, ..Options::default() };
    run_passes(&mut graph, PIPELINE, &options, &mut |_, _, _| {}).map_err(|broken| broken.to_string())?;
    let got = sample.interpreted(&graph).map_err(|e| e.to_string())?;
    agree(&got, &expected, DOUBLE)
}

fn compiled(seed: u64, nodes: usize) -> Result<(), String> {
    let sample = Sample::new(seed, nodes);
    let Ok(expected) = sample.interpreted(&sample.graph) else { return Ok(()) };
    for optimise in [false, true] {
        // Checked code is the same code with checks: every third time is enough.
        let checked = seed.is_multiple_of(3);
        let shown = |e: anyhow::Error| format!("optimise {optimise}, checked {checked}: {e:#}");
        let mut native = sample.compiled(optimise, checked, 2).map_err(shown)?;
        let first = sample.run(&mut native).map_err(shown)?;
        agree(&first, &expected, SINGLE).map_err(|e| format!("optimise {optimise}, checked {checked}: {e}"))?;
        for _ in 0..2 {
            let again = sample.run(&mut native).map_err(shown)?;
            let bits = |outputs: &Outputs| outputs.iter().flat_map(|o| &o.1).map(|x| x.to_bits()).collect::<Vec<_>>();
            if bits(&first) != bits(&again) {
                return Err(format!("optimise {optimise}, checked {checked}: other bits in another run"));
            }
        }
    }
    Ok(())
}

/// Runs a check on graphs of these seeds; where one fails, on smaller graphs of the same seed, and shows the smallest that does.
fn check(seeds: std::ops::Range<u64>, nodes: usize, check: fn(u64, usize) -> Result<(), String>) {
    let caught = |seed, nodes| {
        std::panic::catch_unwind(|| check(seed, nodes)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!("panic: {}", text.unwrap_or_default()))
        })
    };
    let mut failed = Vec::new();
    for seed in seeds {
        let Err(fault) = caught(seed, nodes) else { continue };
        let smallest = (1..nodes).find_map(|n| caught(seed, n).err().map(|fault| (n, fault)));
        let (nodes, fault) = smallest.unwrap_or((nodes, fault));
        failed.push((nodes, seed, fault));
    }
    failed.sort();
    if let Some((nodes, seed, fault)) = failed.first() {
        let all: Vec<String> =
            failed.iter().map(|(nodes, seed, fault)| format!("{seed} ({nodes} nodes): {fault}")).collect();
        let graph = print(&Sample::new(*seed, *nodes).graph);
        panic!("seed {seed} with {nodes} nodes: {fault}\n{graph}\nall that fail:\n{}", all.join("\n"));
    }
}

#[test]
fn passes_keep_meaning() {
    check(0..600, 40, rewritten);
}

#[test]
fn small_graphs_compiled() {
    check(1000..1100, 8, compiled);
}

#[test]
fn graphs_compiled() {
    check(2000..2060, 20, compiled);
}

#[test]
fn larger_graphs_compiled() {
    check(3000..3016, 45, compiled);
}
