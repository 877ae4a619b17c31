//! Runs that have to be equal: on any number of threads, in micro-batches, with more padding.

use std::path::{Path, PathBuf};

use weft_compiler::compile::{Options, Output, Subject};
use weft_compiler::target::cpu::Cpu;
use weft_dsl::elaborate::Setting;
use weft_runtime::plan::{self, Role};
use weft_runtime::step::{Specials, run_scalars, step};
use weft_runtime::tensor::Tensor;
use weft_tests::engine::{shown, specification};
use weft_tests::native::Native;
use weft_tests::reference::Tensors;

fn compiled(file: &str, recipe: &str, settings: &[(String, Setting)]) -> Output {
    compiled_of(file, Subject::Recipe(recipe.into()), settings)
}

fn compiled_of(file: &str, subject: Subject, settings: &[(String, Setting)]) -> Output {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs").join(file);
    let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
    let settings = settings.to_vec();
    let options = Options { settings, validate: true, ..Options::of(Cpu::host()) };
    let output = specification.compile(&subject, &options, &mut |_, _, _| {});
    output.map_err(shown).unwrap_or_else(|e| panic!("{e:#}"))
}

fn native(output: &Output, threads: usize) -> Native {
    let mut native = Native::of(output.plan.clone(), &output.objects, threads, false).unwrap();
    native.machine.initialise(7).unwrap();
    native
}

/// Numbers below `bound`, the same for the same seed.
fn indices(shape: &[usize], bound: u64, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound) as i64
    };
    Tensor::i64(shape, (0..shape.iter().product()).map(|_| next()).collect()).unwrap()
}

/// Every parameter and optimizer state, as bytes.
fn storage(native: &Native) -> Vec<(String, Vec<u8>)> {
    let slots = native.machine.plan().slots.iter().enumerate();
    let kept = slots.filter(|(_, slot)| slot.role != Role::Accumulator);
    kept.map(|(number, slot)| (slot.name.clone(), native.machine.slot(number).to_vec())).collect()
}

#[test]
fn threads_change_no_bit() {
    let output = compiled("small_gpt.weft", "small", &[]);
    let mut first = None;
    for threads in [1, 2, 3, 7] {
        let mut native = native(&output, threads);
        let mut losses = Vec::new();
        for number in 1..=50 {
            let batch: Tensors =
                vec![("ids".into(), indices(&[8, 32], 40, number)), ("next".into(), indices(&[8, 32], 40, number + 1000))];
            let outcome = step(&mut native.machine, &batch, number, 7, 1).unwrap_or_else(|e| panic!("{e:#}"));
            losses.push(outcome.loss().unwrap());
        }
        assert!(losses.iter().all(|x| x.is_finite()), "{losses:?}");
        let run = (losses, storage(&native));
        match &first {
            None => first = Some(run),
            Some(first) => {
                assert!(first.0 == run.0, "losses at {threads} threads differ from those at one");
                for ((name, one), (_, other)) in first.1.iter().zip(&run.1) {
                    assert!(one == other, "`{name}` at {threads} threads differs from that at one");
                }
            }
        }
    }
}

/// Inputs are read where they lie, which need not be where a vector begins.
#[test]
fn where_inputs_lie_changes_no_bit() {
    for (width, rows) in [(1, 1), (67, 5), (128, 13)] {
        let model = Subject::Model("Product".into(), None);
        let output = compiled_of("../../benches/specs/product.weft", model, &[("width".into(), Setting::Int(width as i64))]);
        let mut native = native(&output, 2);
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0;
        // Allocations of different lengths, all kept, begin at different places.
        let inputs: Vec<Vec<f32>> = (0..32)
            .map(|more| {
                let mut values = Vec::with_capacity(rows * width + 4 * more);
                values.extend((0..rows * width).map(value));
                values
            })
            .collect();
        let mut places: Vec<usize> = inputs.iter().map(|values| values.as_ptr().addr() % 64).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 1, "{places:?}");
        let mut outputs = inputs.into_iter().map(|values| {
            let batch = vec![("x".to_string(), Tensor::f32(&[rows, width], values).unwrap())];
            weft_runtime::step::run(&mut native.machine, "forward", &batch, &Specials::default()).unwrap()
        });
        let first = outputs.next();
        assert!(outputs.all(|output| Some(output) == first), "{rows} x {width}");
    }
}

/// Rows of 12 tokens of which the first so many count.
fn unequal(seed: u64, lengths: &[usize], time: usize) -> Tensors {
    let rows = lengths.len();
    let (ids, next) = (indices(&[rows, 12], 53, seed), indices(&[rows, 12], 53, seed + 50));
    // What fills the rest must not matter.
    let filled = |tensor: &Tensor, filler: i64| {
        let values = tensor.to_f32();
        let at = |i: usize| if i % time < 12 { values[i / time * 12 + i % time] as i64 } else { filler };
        Tensor::i64(&[rows, time], (0..rows * time).map(at).collect()).unwrap()
    };
    let present = (0..rows * time).map(|i| i64::from(i % time < lengths[i / time])).collect();
    vec![
        ("ids".into(), filled(&ids, 52)),
        ("next".into(), filled(&next, 51)),
        ("present".into(), Tensor::i64(&[rows, time], present).unwrap()),
    ]
}

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= 1e-6 * expected.abs().max(1.0)
}

fn micro_batches_equal_the_batch(recipe: &str) {
    let lengths = [12, 3, 7, 1, 12, 9, 2, 5];
    let whole = compiled("unequal_lengths.weft", recipe, &[]);
    let parts = compiled("unequal_lengths.weft", recipe, &[("accumulate".into(), Setting::Int(4))]);
    let (mut whole, mut parts) = (native(&whole, 2), native(&parts, 2));
    for number in 1..=3 {
        let mut batch = unequal(number, &lengths, 12);
        if recipe == "every" {
            batch.truncate(2);
        }
        let one = step(&mut whole.machine, &batch, number, 7, 1).unwrap_or_else(|e| panic!("{e:#}"));
        let other = step(&mut parts.machine, &batch, number, 7, 4).unwrap_or_else(|e| panic!("{e:#}"));
        for name in ["loss", "grad_norm"] {
            let (one, other) = (one.get(name).unwrap(), other.get(name).unwrap());
            assert!(close(other, one), "{recipe}, step {number}: {name} is {other} in micro-batches, {one} at once");
        }
        for slot in 0..whole.machine.plan().slots.len() {
            let plan::Slot { name, role, .. } = whole.machine.plan().slots[slot].clone();
            if matches!(role, Role::Prepared { .. }) {
                continue; // made of a parameter when first read
            }
            let at = parts.machine.slot_index(&name).unwrap();
            let (one, other) = (whole.machine.slot_f32(slot).unwrap(), parts.machine.slot_f32(at).unwrap());
            for (i, (&one, &other)) in one.iter().zip(other).enumerate() {
                assert!(
                    close(other.into(), one.into()),
                    "{recipe}, step {number}: `{name}` at {i} is {other}, {one} at once"
                );
            }
        }
    }
}

#[test]
fn micro_batches_of_equal_lengths() {
    micro_batches_equal_the_batch("every");
}

#[test]
fn micro_batches_of_unequal_lengths() {
    micro_batches_equal_the_batch("present");
}

#[test]
fn more_padding_changes_no_loss() {
    let output = compiled("unequal_lengths.weft", "present", &[]);
    let mut native = native(&output, 2);
    let mut loss = |lengths: &[usize], time: usize| {
        let batch = unequal(5, lengths, time);
        let outputs =
            run_scalars(&mut native.machine, "loss", &batch, &Specials::default()).unwrap_or_else(|e| panic!("{e:#}"));
        let get = |name: &str| outputs.iter().find(|(n, _)| n == name).unwrap().1;
        (get("sum.0") / get("weight.0"), get("weight.0"))
    };
    let (expected, weight) = loss(&[12, 3, 7, 1], 12);
    assert_eq!(weight, 23.0);
    for time in [13, 16, 19, 24] {
        let (got, weight) = loss(&[12, 3, 7, 1], time);
        assert!(close(got, expected) && weight == 23.0, "{got} with rows of {time}, {expected} with rows of 12");
    }
    // Rows without a token.
    let (got, weight) = loss(&[12, 3, 7, 1, 0, 0, 0], 17);
    assert!(close(got, expected) && weight == 23.0, "{got} with empty rows, {expected} without");
}
