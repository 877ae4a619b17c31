//! How many instructions kernels take, counted by valgrind: what makes one slower, and times on a busy machine do not show.

use std::path::Path;
use std::process::Command;

use weft_runtime::tensor::Tensor;
use weft_runtime::tensor_file::write_tensors;
use weft_tests::executable::{build_for, command, said};

/// Valgrind knows AVX2, not AVX-512.
const PROCESSOR: &str = "x86-64-v3";
/// The share by which a count may differ: what the runtime does between kernels is counted too.
const TOLERANCE: f64 = 0.02;
/// A model of `specs/kernels.weft`, its inputs and their shape, and the instructions of a run. Where a change of a schedule makes a
/// count smaller, the smaller one belongs here.
const KERNELS: [(&str, &[&str], &[usize], f64); 3] = [
    ("Product", &["x"], &[128, 256], 2_051_784.0),
    ("Attention", &["q", "k", "v"], &[128, 4, 32], 1_100_754.0),
    ("Norm", &["x"], &[128, 256], 203_157.0),
];

#[test]
fn kernels_take_as_many_instructions_as_they_did() {
    if !cfg!(target_arch = "x86_64") || Command::new("valgrind").arg("--version").output().is_err() {
        println!("left out: the counts are of x86-64, by valgrind, which is not installed here");
        return;
    }
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/kernels.weft");
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (model, inputs, shape, expected) in KERNELS {
        build_for(&spec, Some(model), PROCESSOR, &folder.path().join(model)).unwrap();
        let count: usize = shape.iter().product();
        let values = || (0..count).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
        let tensors = inputs.iter().map(|name| (name.to_string(), Tensor::f32(shape, values()).unwrap()));
        write_tensors(&folder.path().join("inputs.safetensors"), &tensors.collect::<Vec<_>>()).unwrap();
        // What comes before the first run cancels out.
        let instructions = (counted(folder.path(), model, 5) - counted(folder.path(), model, 1)) / 4.0;
        let change = instructions / expected - 1.0;
        println!("{model}: {instructions:.0} instructions, {:+.2} %", 100.0 * change);
        if change.abs() > TOLERANCE {
            faults.push(format!("{model}: {instructions:.0} instructions, stored are {expected:.0}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Instructions of a process that runs a model so often.
fn counted(folder: &Path, model: &str, runs: u32) -> f64 {
    let runs = runs.to_string();
    let args = ["--tool=callgrind", "--callgrind-out-file=callgrind", &format!("./{model}"), "bench", "forward"];
    let options = ["--inputs", "inputs.safetensors", "--threads", "1", "--repeat", &runs];
    let output = command(Path::new("valgrind"), folder, &[&args[..], &options].concat()).output().unwrap();
    let words = said(&output, 0).unwrap();
    let line = words.lines().find_map(|line| line.split("Collected :").nth(1)).expect("what valgrind collected");
    line.trim().parse().unwrap()
}
