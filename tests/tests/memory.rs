//! Memory: chunks instead of whole logits, what is stated before the run, and what a limit does.

use std::path::Path;

use weft_compiler::compile::{Options, Output, Specification, Subject};
use weft_compiler::target::cpu::Cpu;
use weft_dsl::elaborate::Setting;
use weft_runtime::peak::{Peak, of_training};
use weft_runtime::step::Specials;
use weft_runtime::tensor::{Data, Tensor};
use weft_tests::engine::{shown, specification};
use weft_tests::executable::{build, command};
use weft_tests::native::Native;

fn large() -> Specification {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/large_vocabulary.weft");
    specification(&path).unwrap_or_else(|e| panic!("{e:#}"))
}

fn options(memory: Option<u64>, checked: bool) -> Options {
    let (settings, cpu) = (Vec::new(), Cpu::host());
    Options { settings, optimise: true, checked, validate: true, memory, ..Options::of(cpu) }
}

fn compiled(memory: Option<u64>, checked: bool) -> Output {
    compiled_with(&options(memory, checked))
}

fn compiled_with(options: &Options) -> Output {
    let subject = Subject::Recipe("large".into());
    let training = |name: &str| name == "train_step";
    let made = large().compile_only(&subject, &training, options, &mut |_, _, _| {});
    made.map_err(shown).unwrap_or_else(|e| panic!("{e:#}"))
}

fn peak(output: &Output) -> Peak {
    of_training(&output.plan, 2).unwrap().unwrap()
}

/// Two steps; the losses, and every slot at the end.
fn trained(output: &Output, (rows, time): (usize, usize), threads: usize, checked: bool) -> (Vec<f64>, Vec<Vec<u8>>) {
    let mut native = Native::of(output.plan.clone(), &output.objects, threads, checked).unwrap();
    native.machine.initialise(3).unwrap();
    let ids = |by: usize| Tensor::i64(&[rows, time], (0..rows * time).map(|i| (i * by % 131071) as i64).collect()).unwrap();
    let batch = vec![("ids".to_string(), ids(7919)), ("next".to_string(), ids(104_729))];
    let losses = (1..3).map(|step| {
        let specials = Specials { step, ..Specials::default() };
        let outputs = weft_runtime::step::run(&mut native.machine, "train_step", &batch, &specials).unwrap();
        match &outputs.iter().find(|(name, _)| name == "loss").unwrap().1.data {
            Data::F64(loss) => loss[0],
            other => panic!("a loss is no {}", other.kind()),
        }
    });
    let losses = losses.collect();
    let slots = 0..native.machine.plan().slots.len();
    (losses, slots.map(|slot| native.machine.slot(slot).to_vec()).collect())
}

#[test]
fn logits_are_never_whole_and_bits_do_not_depend_on_threads() {
    let output = compiled(None, false);
    // Logits and their gradient, whole, are 2 · 3 · 96 · 131071 floats: 302 MB.
    assert!(peak(&output).values < 150_000_000, "{}", peak(&output));
    let one = trained(&output, (3, 96), 1, false);
    for threads in [2, 3, 7] {
        assert!(trained(&output, (3, 96), threads, false) == one, "{threads} threads");
    }
    // Nothing has to be as the recipe says.
    for sizes in [(1, 5), (2, 1), (5, 17)] {
        let first = trained(&output, sizes, 2, false).0[0];
        assert!((first - 11.78).abs() < 0.2, "{sizes:?}: {first}");
    }
    trained(&compiled(None, true), (3, 96), 2, true);
}

#[test]
fn a_limit_is_kept_or_the_least_is_told() {
    let free = compiled(None, false);
    let all = peak(&free).total();
    let less = compiled(Some(all - 1), false);
    assert!(peak(&less).total() < all);
    let (a, b) = (trained(&free, (3, 96), 2, false).0, trained(&less, (3, 96), 2, false).0);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    let subject = Subject::Recipe("large".into());
    let failed = large().plan(&subject, &|name| name == "train_step", &options(Some(1 << 20), false), &mut |_, _, _| {});
    let said = failed.map(drop).map_err(|failure| shown(failure).to_string()).unwrap_err();
    assert!(said.contains("The least possible is"), "{said}");
}

#[test]
fn logits_that_are_not_that_large_go_into_chunks_where_memory_is_short() {
    let of = |memory| {
        let settings = vec![("time".to_string(), Setting::Int(16))];
        compiled_with(&Options { settings, ..options(memory, false) })
    };
    let free = of(None);
    // 25 MB of logits, of which a third is a row of the batch.
    let less = of(Some(peak(&free).total() - 12_000_000));
    let values = [&free, &less].map(|output| peak(output).values);
    assert!(values[0] > 25_000_000 && values[1] + 12_000_000 <= values[0], "{values:?}");
    let [a, b] = [&free, &less].map(|output| trained(output, (3, 16), 2, false).0);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
}

/// What a process that trains says that it will take, and the most that it took, in bytes.
#[cfg(target_os = "linux")]
fn said_and_taken(spec: &str) -> (f64, f64) {
    use std::io::Read;
    let folder = tempfile::tempdir().unwrap();
    let executable = folder.path().join("it");
    build(&Path::new(env!("CARGO_MANIFEST_DIR")).join(spec), &executable).unwrap();
    let mut command = command(&executable, folder.path(), &["train", "--threads", "2", "--out", "run"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The most so far, which the system forgets once the process has ended.
    let mut most = 0.0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = line.map_or(most, |kilobytes| kilobytes.parse::<f64>().unwrap() * 1024.0);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    let stated =
        words.lines().find_map(|line| line.strip_prefix("memory: ")?.split_once(" MB")).unwrap_or_else(|| panic!("{words}"));
    (stated.0.parse::<f64>().unwrap() * 1e6, most)
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_stated_is_taken() {
    let (stated, taken) = said_and_taken("specs/many_values.weft");
    assert!((stated / taken - 1.0).abs() < 0.03, "stated {stated:.3e}, taken {taken:.3e}");
}

#[test]
fn a_limit_needs_sizes_that_the_recipe_states() {
    let text = include_str!("../specs/train_bert.weft");
    let without: Vec<&str> = text.lines().filter(|line| !line.trim().starts_with("time =")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("without.weft");
    std::fs::write(&path, without.join("\n")).unwrap();
    let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
    let subject = Subject::Recipe("bert".into());
    let compile = |memory| specification.compile_only(&subject, &|_| true, &options(memory, false), &mut |_, _, _| {});
    assert!(compile(None).is_ok());
    let refused = shown(compile(Some(1 << 40)).err().expect("nobody knows how much it takes"));
    assert!(format!("{refused:#}").contains("it needs `time = …`"), "{refused:#}");
}
