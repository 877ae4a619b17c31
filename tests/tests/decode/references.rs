//! Texts and choices as transformers writes and makes them, and texts from executables.

use std::path::{Path, PathBuf};

use weft_compiler::compile::Subject;
use weft_runtime::generate::{Request, generate};
use weft_runtime::sample::Sampling;
use weft_runtime::tensor::{Data, Tensor};
use weft_runtime::weights::read_tensors;
use weft_tests::compare::{close_values, floats};
use weft_tests::engine::{Engine, Task, specification};
use weft_tests::executable::{build, command, said};
use weft_tests::native::Native;
use weft_tests::reference::{Case, Tensors};

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/gpt2_own_head.weft")
}

fn tensor<'a>(tensors: &'a Tensors, name: &str) -> &'a Tensor {
    &tensors.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no `{name}`")).1
}

/// Holds sequences against those of a case; and logits up to the end of each row, behind which they need not match.
fn agrees(case: &Case, sequences: &[Vec<i32>], logits: &[Vec<f64>]) {
    let expected = case.tensors("expected.safetensors").unwrap();
    let theirs = tensor(&expected, "sequences");
    let length = theirs.shape[1];
    let wanted = tensor(&expected, "logits");
    let (steps, count) = (wanted.shape[1], wanted.shape[2]);
    let end = case.number("/eos_token_id").unwrap() as i32;
    for (row, sequence) in sequences.iter().enumerate() {
        let theirs: Vec<f64> = floats(theirs)[row * length..(row + 1) * length].to_vec();
        let mut ours: Vec<f64> = sequence.iter().map(|&t| f64::from(t)).collect();
        ours.resize(length, case.number("/pad_token_id").unwrap());
        assert_eq!(ours, theirs, "row {row}");
        let added = &sequence[length - steps..];
        let until = added.iter().position(|&t| t == end).map_or(steps, |at| at + 1) * count;
        let wanted = &floats(wanted)[row * steps * count..][..until];
        let tolerance = case.tolerance("tolerance").unwrap();
        close_values(&logits[row][..until], wanted, tolerance).unwrap_or_else(|e| panic!("row {row}: {e}"));
    }
}

fn prompts(case: &Case) -> Vec<Vec<i32>> {
    let inputs = case.tensors("inputs.safetensors").unwrap();
    let ids = tensor(&inputs, "input_ids");
    floats(ids).chunks(ids.shape[1]).map(|row| row.iter().map(|&t| t as i32).collect()).collect()
}

#[test]
fn greedy() {
    let case = Case::open("decode-greedy-gpt2").unwrap();
    let specification = specification(&spec()).unwrap_or_else(|e| panic!("{e:#}"));
    for (optimise, checked) in [(false, false), (true, false), (true, true)] {
        let task = Task { subject: Subject::Model("Gpt2".into(), None), settings: &[], threads: 2 };
        let mut native = Native::new(&specification, &task, optimise, checked).unwrap_or_else(|e| panic!("{e:#}"));
        native.load(&case.path("model.safetensors"), "huggingface").unwrap();
        let prompts = prompts(&case);
        let request = Request {
            prompts: &prompts,
            given: Vec::new(),
            tokens: case.number("/max_new_tokens").unwrap() as usize,
            sampling: Sampling::GREEDY,
            seed: 0,
            vocabulary: usize::MAX,
            end: Some(case.number("/eos_token_id").unwrap() as i32),
        };
        let mut sequences = prompts.clone();
        let mut logits = vec![Vec::new(); prompts.len()];
        generate(&mut native.machine, &request, &mut |added| {
            sequences.iter_mut().zip(added.tokens).for_each(|(text, token)| text.extend(token));
            logits.iter_mut().zip(added.logits).for_each(|(all, row)| all.extend(row.iter().map(|&x| f64::from(x))));
            Ok(true)
        })
        .unwrap_or_else(|e| panic!("{e:#}"));
        agrees(&case, &sequences, &logits);
    }
}

#[test]
fn greedy_by_an_executable() {
    let case = Case::open("decode-greedy-gpt2").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("gpt2");
    build(&spec(), &exe).unwrap_or_else(|e| panic!("{e:#}"));
    let ids: Tensors = vec![("ids".into(), tensor(&case.tensors("inputs.safetensors").unwrap(), "input_ids").clone())];
    weft_runtime::tensor_file::write_tensors(&folder.path().join("ids.safetensors"), &ids).unwrap();
    let weights = case.path("model.safetensors").display().to_string();
    let args = ["generate", "--weights", &weights, "--ids", "ids.safetensors", "--output", "out.safetensors"];
    let done = command(&exe, folder.path(), &args)
        .args(["--greedy", "--tokens", "12", "--end", "10", "--threads", "2"])
        .output()
        .unwrap();
    said(&done, 0).unwrap_or_else(|e| panic!("{e:#}"));
    let got = read_tensors(&folder.path().join("out.safetensors")).unwrap();
    let rows = |name: &str| -> Vec<Vec<f64>> {
        let tensor = tensor(&got, name);
        floats(tensor).chunks(tensor.shape[1..].iter().product()).map(<[f64]>::to_vec).collect()
    };
    let sequences: Vec<Vec<i32>> = rows("sequences").iter().map(|row| row.iter().map(|&t| t as i32).collect()).collect();
    agrees(&case, &sequences, &rows("logits"));
}

#[test]
fn choices() {
    let case = Case::open("decode-topk-topp").unwrap();
    let (inputs, expected) = (case.tensors("inputs.safetensors").unwrap(), case.tensors("expected.safetensors").unwrap());
    let logits = tensor(&inputs, "logits");
    let Data::F32(numbers) = &logits.data else { panic!("logits are 32-bit floats") };
    let plain = Sampling { temperature: 1.0, top_k: None, top_p: None };
    let ways = [
        ("combined", Sampling { temperature: 0.7, top_k: Some(10), top_p: Some(0.9) }),
        ("temperature_0.7", Sampling { temperature: 0.7, ..plain }),
        ("top_k_5", Sampling { top_k: Some(5), ..plain.clone() }),
        ("top_p_0.8", Sampling { top_p: Some(0.8), ..plain.clone() }),
    ];
    for (name, sampling) in ways {
        let got: Vec<f64> = numbers.chunks(logits.shape[1]).flat_map(|row| sampling.probabilities(row).unwrap()).collect();
        let tolerance = case.tolerance("tolerance").unwrap();
        close_values(&got, &floats(tensor(&expected, name)), tolerance).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
