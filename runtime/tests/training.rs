//! Training, evaluating and generating through the command line, on a model written by hand.

mod bigram;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use weft_runtime::cli;
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::{read_tensors, write_tensors};

/// A text with a pattern: what follows a letter is likely the next one.
fn text() -> String {
    let words = ["abcd", "efgh", "ab", "gh", "cdef"];
    (0..400u32).map(|i| words[(i * i % 7 % 5) as usize].to_owned() + " ").collect()
}

/// A folder with a text.
struct Place {
    folder: tempfile::TempDir,
    text: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.txt");
        fs::write(&text, self::text()).unwrap();
        Self { folder, text }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command line; `DIR` in it stands for the folder.
    fn run(&self, accumulate: u64, line: &str) -> i32 {
        let folder = self.folder.path().to_str().unwrap();
        let words = line.split(' ').map(|word| OsString::from(word.replace("DIR", folder)));
        let args = [OsString::from("bigram")].into_iter().chain(words);
        cli::main(bigram::compiled(&self.text, 40, accumulate), args)
    }
}

fn table(folder: &Path) -> Vec<f32> {
    let tensors = read_tensors(&folder.join("weights.safetensors")).unwrap();
    assert_eq!(tensors.len(), 1);
    tensors[0].1.to_f32()
}

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Metrics without what depends on the clock.
fn timeless(folder: &Path) -> Vec<serde_json::Value> {
    let mut all = lines(folder);
    all.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("tokens_per_second")));
    all
}

#[test]
fn training_learns_and_leaves_its_files() {
    let place = Place::new();
    assert_eq!(place.run(1, "train -q --out DIR/a"), 0);
    let all = lines(&place.path("a"));
    let losses: Vec<f64> = all.iter().filter_map(|line| line["loss"].as_f64()).collect();
    let held_out: Vec<_> = all.iter().filter(|line| !line["held_out_loss"].is_null()).collect();
    assert_eq!((losses.len(), held_out.len()), (40, 4));
    assert!((losses[0] - 10f64.ln()).abs() < 0.1 && losses[39] < 1.2, "{losses:?}");
    assert!(held_out[3]["held_out_loss"].as_f64().unwrap() < 1.2);
    assert!(held_out[3]["held_out.metric.accuracy"].as_f64().unwrap() > 0.5);
    assert!(all[0]["grad_norm"].as_f64().unwrap() > 0.0 && all[0]["rate"] == 0.5);
    assert!(fs::read_to_string(place.path("a/loss.svg")).unwrap().contains("held out"));
    // Nothing half-written stays.
    assert_eq!(fs::read_dir(place.path("a")).unwrap().count(), 4);
    assert_eq!(place.run(1, "evaluate --json --weights DIR/a/weights.safetensors"), 0);
    // A second run in the same folder keeps the checkpoint of the first, which one that fails at once leaves where it is.
    let (checkpoint, earlier) = (place.path("a/checkpoint.safetensors"), place.path("a/checkpoint.earlier.safetensors"));
    let first = fs::read(&checkpoint).unwrap();
    let bad = vec![("table".to_owned(), Tensor::f32(&[10, 10], vec![f32::NAN; 100]).unwrap())];
    write_tensors(&place.path("bad.safetensors"), &bad).unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/a --weights DIR/bad.safetensors"), 1);
    assert_eq!((fs::read(&checkpoint).unwrap(), earlier.exists()), (first.clone(), false));
    assert_eq!(place.run(1, "train -q --out DIR/a --steps 1"), 0);
    assert_eq!(fs::read(&earlier).unwrap(), first);
    assert_ne!(fs::read(&checkpoint).unwrap(), first);
    assert_eq!(timeless(&place.path("a")).len(), 2);
    // Whether to go on from what was put aside is not for us to guess.
    fs::remove_file(&checkpoint).unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/a --resume"), 1);
    assert!(!checkpoint.exists());
}

#[test]
fn resuming_what_is_further_changes_nothing() {
    let place = Place::new();
    assert_eq!(place.run(1, "train -q --out DIR/a --steps 5"), 0);
    let (weights, checkpoint) = (table(&place.path("a")), fs::read(place.path("a/checkpoint.safetensors")).unwrap());
    assert_eq!(place.run(1, "train --out DIR/a --resume --steps 3"), 0);
    assert_eq!(table(&place.path("a")), weights);
    assert_eq!(fs::read(place.path("a/checkpoint.safetensors")).unwrap(), checkpoint);
    assert_eq!(place.run(1, "evaluate --weights DIR/a/checkpoint.safetensors"), 0);
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let place = Place::new();
    assert_eq!(place.run(1, "train -q --out DIR/whole"), 0);
    for steps in [1, 13, 39] {
        let out = format!("DIR/broken{steps}");
        assert_eq!(place.run(1, &format!("train -q --out {out} --steps {steps}")), 0);
        assert_eq!(place.run(1, &format!("train -q --out {out} --resume")), 0);
        let broken = place.path(&format!("broken{steps}"));
        assert_eq!(table(&place.path("whole")), table(&broken));
        let ours: Vec<_> = timeless(&broken).into_iter().filter(|line| !line["loss"].is_null()).collect();
        let whole: Vec<_> = timeless(&place.path("whole")).into_iter().filter(|line| !line["loss"].is_null()).collect();
        assert_eq!(ours, whole);
    }
    // Resuming what is not there yet starts; resuming what is done changes nothing.
    assert_eq!(place.run(1, "train -q --out DIR/new --resume"), 0);
    assert_eq!(place.run(1, "train -q --out DIR/new --resume"), 0);
    assert_eq!(table(&place.path("whole")), table(&place.path("new")));
    assert_eq!(place.run(1, "train -q --out DIR/new --resume --seed 4"), 1);
    fs::write(&place.text, text().replace("ab", "ba")).unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/new --resume --steps 50"), 1);
}

#[test]
fn accumulating_equals_the_whole_batch() {
    let place = Place::new();
    // Padding (index 0) lies unevenly over the micro-batches.
    let mut next: Vec<i64> = (0..5 * 8 * 6).map(|i| 1 + i * i % 9).collect();
    next.iter_mut().enumerate().filter(|(i, _)| i % 48 < 20 && i % 3 > 0).for_each(|(_, to)| *to = 0);
    let ids: Vec<i64> = (0..5 * 8 * 6).map(|i| i % 10).collect();
    let tensor = |all| Tensor::i64(&[5, 8, 6], all).unwrap();
    let batches = vec![("ids".to_owned(), tensor(ids)), ("next".to_owned(), tensor(next))];
    write_tensors(&place.path("batches.safetensors"), &batches).unwrap();
    for parts in [1, 3, 4] {
        assert_eq!(place.run(parts, &format!("train -q --batches DIR/batches.safetensors --out DIR/{parts}")), 0);
    }
    let whole = timeless(&place.path("1"));
    // Evaluated at the end, on the text of the recipe.
    assert_eq!(whole.len(), 6);
    assert!(whole[5]["held_out_loss"].is_number());
    for parts in ["3", "4"] {
        for (ours, whole) in timeless(&place.path(parts)).iter().zip(&whole[..5]) {
            for name in ["loss", "grad_norm", "rate", "metric.accuracy"] {
                let (ours, whole) = (ours[name].as_f64().unwrap(), whole[name].as_f64().unwrap());
                assert!((ours - whole).abs() <= 1e-6 * whole.abs().max(1.0), "{name}: {ours} and {whole}");
            }
        }
        for (ours, whole) in table(&place.path(parts)).iter().zip(table(&place.path("1"))) {
            assert!((ours - whole).abs() < 1e-5);
        }
    }
    assert_eq!(place.run(1, "train -q --batches DIR/batches.safetensors --out DIR/x --steps 6"), 1);
    assert_eq!(place.run(9, "train -q --batches DIR/batches.safetensors --out DIR/x"), 1);
}

#[test]
fn a_batch_of_padding_has_no_loss_and_stops_nothing() {
    let place = Place::new();
    let tensor = |each: fn(i64) -> i64| Tensor::i64(&[3, 8, 6], (0..3 * 48).map(each).collect()).unwrap();
    // The second step's batch is padding alone.
    let next = tensor(|i| if i / 48 == 1 { 0 } else { 1 + i * i % 9 });
    let batches = vec![("ids".to_owned(), tensor(|i| i % 10)), ("next".to_owned(), next)];
    write_tensors(&place.path("batches.safetensors"), &batches).unwrap();
    for parts in [1, 4] {
        assert_eq!(place.run(parts, &format!("train --batches DIR/batches.safetensors --out DIR/{parts}")), 0);
        let steps = timeless(&place.path(&parts.to_string()));
        assert_eq!(steps[..3].iter().map(|line| line["loss"].is_null()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(steps[1]["grad_norm"], 0.0);
    }
    assert_eq!(place.run(1, "evaluate --weights DIR/1/weights.safetensors --batches DIR/batches.safetensors"), 0);
    let nothing = vec![batches[0].clone(), ("next".to_owned(), tensor(|_| 0))];
    write_tensors(&place.path("nothing.safetensors"), &nothing).unwrap();
    assert_eq!(place.run(1, "evaluate --weights DIR/1/weights.safetensors --batches DIR/nothing.safetensors"), 1);
}

#[test]
fn bad_data_is_an_error() {
    let place = Place::new();
    assert_eq!(place.run(1, "train -q --out DIR/a --data DIR/none.txt"), 1);
    fs::write(place.path("short.txt"), "abc").unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/a --data DIR/short.txt"), 1);
    fs::write(place.path("other.txt"), "abc Z abc abc abc").unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/a --data DIR/other.txt"), 1);
    assert_eq!(place.run(1, "generate -q --weights DIR/none.safetensors"), 1);
    assert_eq!(place.run(1, "run nothing --draw 1"), 1);
    assert_eq!(place.run(1, "train --stepps 1"), 2);
    // A table of numbers that are none: the loss says so at once.
    let bad = vec![("table".to_owned(), Tensor::f32(&[10, 10], vec![f32::NAN; 100]).unwrap())];
    write_tensors(&place.path("bad.safetensors"), &bad).unwrap();
    assert_eq!(place.run(1, "train -q --out DIR/a --weights DIR/bad.safetensors"), 1);
    assert!(!place.path("a/weights.safetensors").exists());
}

#[test]
fn a_function_runs_on_given_tensors() {
    let place = Place::new();
    let ids = vec![("ids".to_owned(), Tensor::i64(&[1, 3], vec![2, 3, 2]).unwrap())];
    write_tensors(&place.path("in.safetensors"), &ids).unwrap();
    assert_eq!(place.run(1, "run --draw 1 --inputs DIR/in.safetensors --output DIR/out.safetensors"), 0);
    let out = read_tensors(&place.path("out.safetensors")).unwrap();
    assert_eq!((out[0].0.as_str(), &out[0].1.shape[..]), ("output", &[1, 3, 10][..]));
    let logits = out[0].1.to_f32();
    assert_eq!(logits[..10], logits[20..]);
    assert_ne!(logits[..10], logits[10..20]);
    // A field that nothing takes.
    let more = vec![ids[0].clone(), ("idz".to_owned(), ids[0].1.clone())];
    write_tensors(&place.path("in.safetensors"), &more).unwrap();
    assert_eq!(place.run(1, "run --draw 1 --inputs DIR/in.safetensors"), 1);
}
