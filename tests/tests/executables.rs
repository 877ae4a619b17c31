//! Executables: the reference cases, and runs that are killed and resumed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weft_compiler::compile::{Options, Output, Specification, Subject};
use weft_compiler::link::executable;
use weft_compiler::target::cpu::Cpu;
use weft_dsl::elaborate::Setting;
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::read_tensors;
use weft_tests::engine::{Engine, shown, specification};
use weft_tests::models::{families, imported};
use weft_tests::native::Native;
use weft_tests::reference::{Case, Tensors};

/// A folder with an executable.
struct Built {
    folder: tempfile::TempDir,
    output: Output,
}

impl Built {
    fn new(specification: &Specification, subject: &Subject, settings: Vec<(String, Setting)>) -> Self {
        let cpu = Cpu::host();
        let options = Options { settings, ..Options::of(cpu) };
        let output = specification.compile(subject, &options, &mut |_, _, _| {});
        let output = output.map_err(shown).unwrap_or_else(|e| panic!("{e:#}"));
        let built = Self { folder: tempfile::tempdir().unwrap(), output };
        executable(&built.output, &options.cpu, &built.path("model")).unwrap_or_else(|e| panic!("{e:#}"));
        built
    }

    fn recipe(name: &str, recipe: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{name}.weft"));
        let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
        Self::new(&specification, &Subject::Recipe(recipe.into()), Vec::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, args: &[&OsStr]) -> Child {
        let mut command = Command::new(self.path("model"));
        command.args(args).arg("--quiet").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, args: &[&OsStr]) {
        let done = self.start(args).wait_with_output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// One thread and two give the same bits, and the numbers of the case.
#[test]
fn every_family() {
    for case in families() {
        let name = &case.about["hf_class"];
        let (specification, subject) = imported(&case).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        let built = Built::new(&specification, &subject, Vec::new());
        let inputs = case.path("inputs.safetensors");
        let [one, two] = ["1", "2"].map(|threads| {
            let output = built.path(threads);
            let args = ["run", "--threads", threads, "--inputs"].map(OsStr::new);
            built.run(&[&args[..], &[inputs.as_ref(), "--output".as_ref(), output.as_ref()]].concat());
            fs::read(output).unwrap()
        });
        assert!(one == two, "{name}: two threads give other bits than one");
        case.check(&read_tensors(&built.path("2")).unwrap()).unwrap_or_else(|e| panic!("{name}:\n{e:#}"));
    }
}

fn metrics(folder: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line.get(name).and_then(serde_json::Value::as_f64)).collect()
}

fn trains(case: &str, name: &str) {
    let case = Case::open(case).unwrap();
    let built = Built::recipe(&format!("train_{name}"), name);
    let (weights, batches, out) = (case.path("model.safetensors"), case.path("batches.safetensors"), built.path("out"));
    built.run(&[
        "train".as_ref(),
        "--weights".as_ref(),
        weights.as_ref(),
        "--batches".as_ref(),
        batches.as_ref(),
        "--out".as_ref(),
        out.as_ref(),
    ]);
    // What training wrote in our names, in transformers'.
    let mut native = Native::of(built.output.plan.clone(), &built.output.objects, 1, false).unwrap();
    native.load(&out.join("weights.safetensors"), "native").unwrap_or_else(|e| panic!("{e:#}"));
    let saved = native.save("huggingface").unwrap_or_else(|e| panic!("{e:#}"));
    let mut got: Tensors = saved.into_iter().map(|(name, tensor)| (format!("param.{name}"), tensor)).collect();
    for (theirs, ours) in [("losses", "loss"), ("grad_norm", "grad_norm")] {
        let values = metrics(&out, ours);
        got.push((theirs.into(), Tensor::f32(&[values.len()], values.iter().map(|&x| x as f32).collect()).unwrap()));
    }
    case.check(&got).unwrap_or_else(|e| panic!("{name}:\n{e:#}"));
}

#[test]
fn gpt2_trains() {
    trains("train-gpt2-clm", "gpt2");
}

#[test]
fn bert_trains() {
    trains("train-bert-mlm", "bert");
}

/// Kills runs at twenty moments, resumes each, and compares with a run that nothing disturbed.
#[test]
fn killed_and_resumed() {
    let built = Built::recipe("small_gpt", "small");
    let train = |out: &Path| built.start(&["train".as_ref(), "--resume".as_ref(), "--out".as_ref(), out.as_ref()]);
    let finished = |child: Child| {
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let unbroken = built.path("unbroken");
    let start = Instant::now();
    finished(train(&unbroken));
    let whole = start.elapsed();
    let expected = fs::read(unbroken.join("weights.safetensors")).unwrap();
    assert_eq!(metrics(&unbroken, "loss").len(), 60);
    let (mut kills, mut runs, mut state) = (0, 0, 0x2545_F491_4F6C_DD1Du64);
    while kills < 20 {
        runs += 1;
        let out = built.path(&format!("run{runs}"));
        // Several kills in a run, then it goes on to its end.
        for _ in 0..5 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (state >> 40) as f64 / (1u64 << 24) as f64;
            let mut child = train(&out);
            std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share * 0.6));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        finished(train(&out));
        let got = fs::read(out.join("weights.safetensors")).unwrap();
        assert!(got == expected, "the weights of run {runs} differ from those of the unbroken run");
        assert_eq!(metrics(&out, "loss"), metrics(&unbroken, "loss"));
    }
}
