//! What a person reads when something does not fit.

mod bigram;

use std::fs;
use std::path::{Path, PathBuf};

use weft_runtime::cli::{GenerateArgs, RunArgs, TrainArgs, generate, run, train};
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::write_tensors;

/// What training with these options says, with the folder written `DIR`.
fn said(folder: &Path, accumulate: u64, options: impl FnOnce(&mut TrainArgs)) -> String {
    let mut args = TrainArgs { out: Some(folder.join("out")), ..TrainArgs::default() };
    args.common.quiet = true;
    options(&mut args);
    let compiled = bigram::compiled(&folder.join("text.txt"), 20, accumulate);
    words(folder, train(compiled, &args).map(|exit| format!("{exit:?}")))
}

fn words(folder: &Path, result: anyhow::Result<String>) -> String {
    let text = result.unwrap_or_else(|error| format!("{error:#}"));
    text.replace(folder.to_str().unwrap(), "DIR")
}

/// Given batches of 3 steps of 2 rows, by field.
fn batches(folder: &Path, fields: &[&str]) -> Option<PathBuf> {
    let tensor = Tensor::i64(&[3, 2, 4], vec![3; 24]).unwrap();
    let all: Vec<_> = fields.iter().map(|field| ((*field).to_owned(), tensor.clone())).collect();
    let path = folder.join("batches.safetensors");
    write_tensors(&path, &all).unwrap();
    Some(path)
}

#[test]
fn text_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    insta::assert_snapshot!(said(folder, 1, |_| ()), @"the text DIR/text.txt cannot be opened (the path comes from the specification unless --data PATH gives another): No such file or directory (os error 2)");
    fs::write(folder.join("text.txt"), "abc\nab").unwrap();
    insta::assert_snapshot!(said(folder, 1, |_| ()), @r"DIR/text.txt:1:4 cannot be tokenised: the character '\n' is not among those that the model knows");
    fs::write(folder.join("text.txt"), "abcd").unwrap();
    insta::assert_snapshot!(said(folder, 1, |_| ()), @"the training text is too short: it gives 3 tokens, and one sequence needs 7 (time = 6, and the token behind)");
    fs::write(folder.join("text.txt"), "abcd".repeat(10)).unwrap();
    insta::assert_snapshot!(said(folder, 1, |_| ()), @"the held-out text is too short: it gives 4 tokens, and one sequence needs 7 (time = 6, and the token behind)");
}

#[test]
fn batches_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text.txt"), "abcd ".repeat(50)).unwrap();
    insta::assert_snapshot!(said(folder, 1, |args| args.batches = batches(folder, &["ids"])), @"with the batches of DIR/batches.safetensors: `train_step` needs `next`, which the data does not give: it gives `ids`");
    insta::assert_snapshot!(said(folder, 1, |args| args.batches = batches(folder, &["ids", "next", "nexts"])), @"with the batches of DIR/batches.safetensors: the data gives `nexts`, which nothing here takes; did you mean `next`?");
    insta::assert_snapshot!(said(folder, 4, |args| args.batches = batches(folder, &["ids", "next"])), @"in step 1: with the batches of DIR/batches.safetensors: a batch of 2 rows cannot be cut into 4 micro-batches");
    insta::assert_snapshot!(said(folder, 1, |args| {
        args.batches = batches(folder, &["ids", "next"]);
        args.steps = Some(4);
    }), @"with the batches of DIR/batches.safetensors: 4 steps are asked for, and the file of batches holds 3");
}

#[test]
fn going_on_with_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text.txt"), "abcd ".repeat(50)).unwrap();
    assert_eq!(said(folder, 1, |args| args.steps = Some(3)), "Done");
    let resume = |args: &mut TrainArgs| args.resume = true;
    insta::assert_snapshot!(said(folder, 1, |args| {
        resume(args);
        args.seed = Some(4);
    }), @"DIR/out/checkpoint.safetensors was trained with seed 3, and --seed 4 asks for another: leave --seed away");
    fs::write(folder.join("text.txt"), "abdc ".repeat(50)).unwrap();
    insta::assert_snapshot!(said(folder, 1, resume), @"DIR/out/checkpoint.safetensors was trained on another text: resume with the same --data, or start from its parameters with --weights");
    let checkpoint = folder.join("out/checkpoint.safetensors");
    fs::rename(&checkpoint, checkpoint.with_file_name("checkpoint.earlier.safetensors")).unwrap();
    insta::assert_snapshot!(said(folder, 1, resume), @"DIR/out/checkpoint.safetensors is not there to resume from, but DIR/out/checkpoint.earlier.safetensors, which an earlier run left, is: rename it to go on with that run, or start anew without --resume");
}

#[test]
fn numbers_that_run_away() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("text.txt"), "abcd ".repeat(50)).unwrap();
    let mut table = vec![0.0; 100];
    table[35] = f32::NAN;
    let weights = folder.join("bad.safetensors");
    write_tensors(&weights, &[("table".to_owned(), Tensor::f32(&[10, 10], table).unwrap())]).unwrap();
    insta::assert_snapshot!(said(folder, 1, |args| args.weights = Some(weights.clone())), @"the loss is NaN at step 1: training has run away (a smaller rate, a warm-up or clipping may help); no checkpoint had been written yet");
    let args = GenerateArgs {
        weights: Some(weights),
        prompt: vec!["a".into()],
        tokens: 3,
        temperature: 1.0,
        ..GenerateArgs::default()
    };
    let result = generate(bigram::compiled(&folder.join("text.txt"), 20, 1), &args);
    insta::assert_snapshot!(words(folder, result.map(|exit| format!("{exit:?}"))), @"the logit of token 5 is NaN: the model's numbers have run away");
}

#[test]
fn functions_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ran = |args: RunArgs| words(folder, run(bigram::compiled(folder, 20, 1), &args).map(|exit| format!("{exit:?}")));
    insta::assert_snapshot!(ran(RunArgs { function: Some("foward".into()), ..RunArgs::default() }), @"`Bigram` has no program `foward`; did you mean `forward`? (it has `forward`, `loss`, `score`, `train_step`)");
    insta::assert_snapshot!(ran(RunArgs { inputs: batches(folder, &["ids"]), ..RunArgs::default() }), @"the model has no weights yet: pass --weights FILE, or train it first (runs/Bigram/weights.safetensors is not there)");
    insta::assert_snapshot!(ran(RunArgs { draw: Some(1), ..RunArgs::default() }), @"`forward` takes `ids`: pass tensors of these names with --inputs FILE.safetensors");
    let given = |fields: &[&str]| ran(RunArgs { draw: Some(1), inputs: batches(folder, fields), ..RunArgs::default() });
    insta::assert_snapshot!(given(&["idz"]), @"`forward` takes `ids`, which DIR/batches.safetensors lacks: it gives `idz`");
    insta::assert_snapshot!(given(&["ids", "idz"]), @"with the inputs of DIR/batches.safetensors: the data gives `idz`, which nothing here takes; did you mean `ids`?");
    insta::assert_snapshot!(given(&["ids"]), @"with the inputs of DIR/batches.safetensors: in `forward`: input `ids` has the axes [batch, time], found a tensor of shape [3, 2, 4]");
}
