//! Experts, forward and backward, in every way that a program can be computed: some without rows, all rows on one, one choice and
//! all choices; the same bits for any number of threads.

use std::path::Path;

use weft_compiler::compile::{Options, Specification, Subject};
use weft_compiler::target::cpu::Cpu;
use weft_dsl::elaborate::Setting;
use weft_runtime::plan::Size;
use weft_runtime::step::Specials;
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::write_tensors;
use weft_tests::compare::{Tolerance, bits, close_values, floats};
use weft_tests::engine::{Engine, Task, Way, engine, shown, specification};
use weft_tests::native::Native;
use weft_tests::reference::Tensors;

fn spec() -> Specification {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/experts.weft");
    specification(&path).unwrap_or_else(|e| panic!("{e:#}"))
}

/// Width, hidden, experts, active; batch, time.
type Sizes = ([i64; 4], [usize; 2]);

fn settings(sizes: [i64; 4]) -> Vec<(String, Setting)> {
    let names = ["width", "hidden", "experts", "active"];
    names.iter().zip(sizes).map(|(name, n)| (name.to_string(), Setting::Int(n))).collect()
}

/// Some rows, without a pattern.
fn inputs((sizes, [batch, time]): Sizes) -> Tensors {
    let count = batch * time * sizes[0] as usize;
    let value = |i: usize| ((i * 7919 + 13) % 1013) as f32 / 300.0 - 1.7;
    vec![("x".into(), Tensor::f32(&[batch, time, sizes[0] as usize], (0..count).map(value).collect()).unwrap())]
}

/// The loss and all gradients.
fn gradients(engine: &mut dyn Engine, inputs: &Tensors) -> Tensors {
    let specials = Specials { step: 1, ..Specials::default() };
    engine.run("gradients", inputs, &specials).unwrap_or_else(|e| panic!("{e:#}"))
}

fn check(sizes: Sizes) {
    let (specification, settings, given) = (spec(), settings(sizes.0), inputs(sizes));
    let task = |threads| Task { subject: Subject::Recipe("net".into()), settings: &settings, threads };
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    let mut drawn = Native::new(&specification, &task(1), true, false).unwrap_or_else(|e| panic!("{e:#}"));
    drawn.machine.initialise(3).unwrap();
    write_tensors(&weights, &drawn.save("plain").unwrap()).unwrap();

    let computed = |way: Way, threads: usize| {
        let mut engine = engine(way, &specification, &task(threads)).unwrap_or_else(|e| panic!("{e:#}"));
        engine.load(&weights, "plain").unwrap_or_else(|e| panic!("{e:#}"));
        gradients(engine.as_mut(), &given)
    };
    let expected = computed(Way::Interpreter, 1);
    let ways = [
        (Way::Rewritten, 1e-9),
        (Way::Unoptimised { checked: true }, 2e-4),
        (Way::Optimised { checked: true }, 2e-4),
        (Way::Optimised { checked: false }, 2e-4),
    ];
    for (way, rtol) in ways {
        for ((name, got), (other, want)) in computed(way, 2).iter().zip(&expected) {
            assert_eq!(name, other);
            let largest = floats(want).iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            let close = close_values(&floats(got), &floats(want), Tolerance { rtol, atol: rtol * largest });
            close.unwrap_or_else(|e| panic!("{sizes:?}, {way:?}: `{name}`: {e}"));
        }
    }
    let one = computed(Way::Optimised { checked: false }, 1);
    for threads in [2, 3, 7] {
        for ((name, a), (_, b)) in one.iter().zip(&computed(Way::Optimised { checked: false }, threads)) {
            assert_eq!(bits(a), bits(b), "{name} with {threads} threads");
        }
    }
}

#[test]
fn two_of_four() {
    check(([5, 7, 4, 2], [2, 9]));
}

#[test]
fn more_experts_than_rows_and_one_choice() {
    check(([17, 3, 11, 1], [1, 3]));
}

#[test]
fn all_of_three() {
    check(([4, 33, 3, 3], [3, 5]));
}

#[test]
fn one_expert_for_all_rows() {
    check(([6, 5, 1, 1], [1, 31]));
}

#[test]
fn one_row_and_none() {
    check(([1, 1, 2, 2], [1, 1]));
    check(([3, 2, 4, 2], [0, 3]));
}

/// No program holds the weights of each row: its memory does not grow with rows times weights.
#[test]
fn no_weights_are_gathered() {
    let settings = settings([64, 256, 4, 2]);
    let options = Options { settings, validate: true, gradients: true, ..Options::of(Cpu::host()) };
    let (plan, _) = spec()
        .plan(&Subject::Recipe("net".into()), &|name| name == "gradients", &options, &mut |_, _, _| {})
        .unwrap_or_else(|failure| panic!("{:#}", shown(failure)));
    let program = &plan.programs[0];
    let variable = |&number: &u32| if program.sizes[number as usize] == "time" { 50 } else { 1 };
    let length =
        |size: &Size| size.terms.iter().map(|(c, powers)| c * powers.iter().map(variable).product::<i64>()).sum::<i64>();
    let largest = program.buffers.iter().map(|b| length(&b.len)).max().unwrap();
    // Two layers' stacked weights, not 50 rows × 2 choices of them.
    assert!(largest <= 2 * 4 * 64 * 256, "a buffer holds {largest} elements");
}
