//! What is overwritten is overwritten after everything has read it, and with what was to be written.

use std::path::Path;

use weft_compiler::compile::{Options, Subject};
use weft_compiler::target::cpu::Cpu;
use weft_runtime::data::Batch;
use weft_runtime::plan::Role;
use weft_runtime::step::step;
use weft_runtime::tensor::Tensor;
use weft_tests::engine::{shown, specification};
use weft_tests::native::Native;

/// The slots after some steps on one row, by name.
fn after(recipe: &str, steps: u64, optimise: bool) -> Vec<(String, Vec<f64>)> {
    let batch = vec![("x".into(), Tensor::f32(&[1, 3], vec![1.0, 2.0, 3.0]).unwrap())];
    trained("updates", recipe, &batch, steps, optimise)
}

/// The slots after some steps of a recipe on a batch, by name.
fn trained(file: &str, recipe: &str, batch: &Batch, steps: u64, optimise: bool) -> Vec<(String, Vec<f64>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{file}.weft"));
    let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
    let cpu = Cpu::host();
    let options = Options { optimise, checked: true, validate: true, ..Options::of(cpu) };
    let output = specification.compile(&Subject::Recipe(recipe.into()), &options, &mut |_, _, _| {});
    let output = output.map_err(shown).unwrap_or_else(|e| panic!("{e:#}"));
    let mut native = Native::of(output.plan.clone(), &output.objects, 2, true).unwrap();
    native.machine.initialise(0).unwrap();
    for number in 1..=steps {
        step(&mut native.machine, batch, number, 0, 1).unwrap_or_else(|e| panic!("{e:#}"));
    }
    let slots = output.plan.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot.role, Role::Prepared { .. }));
    let values = |slot: usize| match native.machine.slot_f32(slot) {
        Some(values) => values.iter().map(|&v| f64::from(v)).collect(),
        None => native.machine.slot_f64(slot).unwrap().to_vec(),
    };
    slots.map(|(number, slot)| (slot.name.clone(), values(number))).collect()
}

#[test]
fn gradients_use_parameters_from_before_the_step() {
    let clipped = after("clipped", 1, true);
    for optimise in [true, false] {
        for ((name, value), (_, other)) in after("chain", 1, optimise).iter().zip(&clipped) {
            let close = value.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close, "{name}: {value:?} and {other:?}");
        }
    }
}

#[test]
fn states_may_be_each_other_and_the_gradient() {
    for optimise in [true, false] {
        // The gradient of `w` is the row, that of `b` 1: after two steps −(2g − 0) − (2g − g) = −3g.
        let expected =
            [("w", vec![-3.0, -6.0, -9.0]), ("b", vec![-3.0]), ("w/prev", vec![1.0, 2.0, 3.0]), ("b/prev", vec![1.0])];
        let found = after("optimistic_line", 2, optimise);
        for (name, value) in expected {
            assert_eq!(found.iter().find(|(n, _)| n == name), Some(&(name.to_string(), value)), "optimise: {optimise}");
        }
        // a is 1, then 2, then 1 again.
        let found = after("swapping_line", 2, optimise);
        for (name, value) in [("b", -3.0), ("b/a", 1.0), ("b/b", 2.0)] {
            assert_eq!(
                found.iter().find(|(n, _)| n == name),
                Some(&(name.to_string(), vec![value])),
                "optimise: {optimise}"
            );
        }
    }
}

#[test]
fn axes_of_length_one_are_trained_alike() {
    // Compiled as written, nothing is left out.
    for (recipe, vocab, batch, time) in
        [("one_head", 7, 1, 5), ("one_feature", 7, 1, 5), ("one_position", 7, 2, 1), ("one_of_all", 1, 1, 1)]
    {
        let ids = |start: i32| (start..start + batch * time).map(|i| i * 3 % vocab).collect();
        let tensor = |start| Tensor::i32(&[batch as usize, time as usize], ids(start)).unwrap();
        let rows = vec![("ids".into(), tensor(0)), ("next".into(), tensor(1))];
        let [written, optimised] = [false, true].map(|optimise| trained("units", recipe, &rows, 3, optimise));
        assert_eq!(written.len(), optimised.len());
        for ((name, value), (_, other)) in written.iter().zip(&optimised) {
            let close = value.len() == other.len() && value.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(close, "{recipe}: {name}: {value:?} and {other:?}");
        }
    }
}
