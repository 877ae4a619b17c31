//! What counts how much: metrics over other items than the loss, batches of which nothing counts, terms that count once.

use std::path::Path;

use weft_compiler::compile::Subject;
use weft_dsl::elaborate::Setting;
use weft_runtime::data::Source;
use weft_runtime::evaluate::{Score, evaluate};
use weft_runtime::plan::Role;
use weft_runtime::step::{Outcome, step};
use weft_runtime::tensor::Tensor;
use weft_tests::engine::{Task, specification};
use weft_tests::native::Native;
use weft_tests::reference::Tensors;

fn compiled(file: &str, recipe: &str, accumulate: i64, optimise: bool) -> anyhow::Result<Native> {
    let specification = specification(&Path::new(env!("CARGO_MANIFEST_DIR")).join("specs").join(file))?;
    let settings = [("accumulate".to_string(), Setting::Int(accumulate))];
    let task = Task { subject: Subject::Recipe(recipe.into()), settings: &settings, threads: 2 };
    let mut native = Native::new(&specification, &task, optimise, true)?;
    native.machine.initialise(7)?;
    Ok(native)
}

fn native(file: &str, recipe: &str, accumulate: i64, optimise: bool) -> Native {
    compiled(file, recipe, accumulate, optimise).unwrap_or_else(|e| panic!("{e:#}"))
}

/// A row for [`batch`]: the squared error that the model starts with, whether it is present and whether it is rare.
type Row = (f32, bool, bool);

/// Rows on which the model, whose weights are ½ and ¼, errs as stated.
fn batch(rows: &[Row]) -> Tensors {
    let x: Vec<f32> = (0..rows.len() * 3).map(|i| (i % 7) as f32 - 2.0).collect();
    let y = rows.iter().zip(x.chunks(3)).map(|(row, x)| x.iter().sum::<f32>() / 2.0 + 0.25 - row.0.sqrt()).collect();
    let flags = |flag: fn(&Row) -> bool| rows.iter().map(|row| i64::from(flag(row))).collect();
    vec![
        ("x".into(), Tensor::f32(&[rows.len(), 3], x).unwrap()),
        ("y".into(), Tensor::f32(&[rows.len()], y).unwrap()),
        ("present".into(), Tensor::i64(&[rows.len()], flags(|row| row.1)).unwrap()),
        ("rare".into(), Tensor::i64(&[rows.len()], flags(|row| row.2)).unwrap()),
    ]
}

fn evaluated(native: &mut Native, batches: &[&[Row]]) -> anyhow::Result<Score> {
    let batches: Vec<Tensors> = batches.iter().map(|rows| batch(rows)).collect();
    let stacked = (0..batches[0].len()).map(|field| {
        let (name, first) = &batches[0][field];
        let shape = [&[batches.len()], first.shape.as_slice()].concat();
        let values = batches.iter().flat_map(|batch| batch[field].1.to_f32());
        let tensor = match name.as_str() {
            "x" | "y" => Tensor::f32(&shape, values.collect()),
            _ => Tensor::i64(&shape, values.map(|flag| flag as i64).collect()),
        };
        (name.clone(), tensor.unwrap())
    });
    let source = Source::from_tensors(stacked.collect(), None)?;
    let recipe = native.machine.plan().recipe.clone().unwrap();
    Ok(evaluate(&mut native.machine, &source, &recipe, &mut |_, _| {})?.unwrap())
}

/// ½ · ½ · Σ w²
const PENALTY: f64 = 0.5 * 0.75 / 2.0;

#[test]
fn each_metric_counts_its_own_items() {
    for optimise in [true, false] {
        let mut native = native("counting.weft", "fit", 1, optimise);
        let batches: [&[Row]; 3] = [
            &[(1.0, true, false), (4.0, true, false), (9.0, true, true)],
            // Nothing rare, then nothing present.
            &[(16.0, true, false), (25.0, false, false), (36.0, false, false)],
            &[(49.0, false, true), (64.0, false, true), (81.0, false, true)],
        ];
        let score = evaluated(&mut native, &batches).unwrap();
        let expected = [
            ("loss", 30.0 / 4.0 + PENALTY),
            ("metric.every", 285.0 / 9.0),
            ("metric.rare", 203.0 / 4.0),
            ("metric.root", (30.0f64 / 4.0).sqrt()),
            // Each batch counts as one.
            ("metric.worst", (9.0 + 36.0 + 81.0) / 3.0),
        ];
        check(&score.mean, &expected);
        assert_eq!(score.weight, 4.0);
    }
}

#[test]
fn what_counts_nothing_is_not_reported() {
    let mut native = native("counting.weft", "fit", 1, true);
    let score = evaluated(&mut native, &[&[(1.0, true, false)], &[(4.0, false, false)]]).unwrap();
    assert_eq!(score.mean.get("metric.rare"), None);
    assert_eq!(score.mean.get("metric.root"), Some(1.0));
    let error = evaluated(&mut native, &[&[(1.0, false, true)], &[(4.0, false, true)]]).unwrap_err();
    assert_eq!(error.to_string(), "the evaluation counted nothing: every position is ignored");
}

fn check(found: &Outcome, expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let got = found.get(name).unwrap_or_else(|| panic!("no `{name}` in {found:?}"));
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "`{name}` is {got}, expected {expected}");
    }
    let names = found.values.iter().map(|(name, _)| name.as_str()).filter(|n| !["grad_norm", "rate"].contains(n));
    assert_eq!(names.collect::<Vec<_>>(), expected.iter().map(|e| e.0).collect::<Vec<_>>());
}

fn parameters(native: &Native) -> Vec<f64> {
    let slot = |name| native.machine.slot_index(name).unwrap();
    let weights = native.machine.slot_f32(slot("w")).unwrap().iter().map(|&w| f64::from(w));
    weights.chain(native.machine.slot_f64(slot("b")).unwrap().iter().copied()).collect()
}

/// One step at once and in as many micro-batches as there are rows.
fn at_once_and_in_parts(rows: &[Row], expected: &[(&str, f64)], gradient: Option<f64>) {
    for optimise in [true, false] {
        let parts = rows.len() as u64;
        let (mut one, mut other) =
            (native("counting.weft", "fit", 1, optimise), native("counting.weft", "fit", parts as i64, optimise));
        let at_once = step(&mut one.machine, &batch(rows), 1, 7, 1).unwrap();
        let in_parts = step(&mut other.machine, &batch(rows), 1, 7, parts).unwrap();
        check(&at_once, &[expected, &[("metric.worst", rows.iter().map(|r| r.0.into()).fold(0.0, f64::max))]].concat());
        check(
            &in_parts,
            &[expected, &[("metric.worst", rows.iter().map(|r| f64::from(r.0)).sum::<f64>() / parts as f64)]].concat(),
        );
        let norms = [at_once.get("grad_norm").unwrap(), in_parts.get("grad_norm").unwrap()];
        assert!((norms[0] - norms[1]).abs() <= 1e-5 * norms[0], "{norms:?}");
        assert!(gradient.is_none_or(|expected| (norms[0] - expected).abs() < 1e-6), "{norms:?}");
        for (a, b) in parameters(&one).iter().zip(parameters(&other)) {
            assert!((a - b).abs() <= 1e-5, "{:?} at once, {:?} in parts", parameters(&one), parameters(&other));
        }
    }
}

#[test]
fn a_penalty_counts_once_in_micro_batches() {
    let rows = [(1.0, true, false), (4.0, false, true), (9.0, true, true), (16.0, true, false)];
    let means = [
        ("loss", 26.0 / 3.0 + PENALTY),
        ("metric.every", 7.5),
        ("metric.rare", 6.5),
        ("metric.root", (26.0f64 / 3.0).sqrt()),
    ];
    at_once_and_in_parts(&rows, &means, None);
}

#[test]
fn a_batch_of_which_nothing_counts_has_no_gradient() {
    let rows = [(1.0, false, false), (4.0, false, false)];
    // The penalty alone: ½ · w for each of three.
    at_once_and_in_parts(&rows, &[("metric.every", 2.5)], Some(0.25 * 3f64.sqrt()));
}

/// Through a whole model, with rows that hold padding alone.
#[test]
fn padding_alone_changes_nothing() {
    for parts in [1, 2] {
        let mut native = native("unequal_lengths.weft", "present", parts, true);
        let before: Vec<Vec<u8>> =
            (0..native.machine.plan().slots.len()).map(|slot| native.machine.slot(slot).to_vec()).collect();
        let zeros = Tensor::i64(&[4, 12], vec![0; 48]).unwrap();
        let batch = ["ids", "next", "present"].map(|name| (name.to_string(), zeros.clone())).to_vec();
        let outcome = step(&mut native.machine, &batch, 1, 7, parts as u64).unwrap();
        assert_eq!((outcome.get("loss"), outcome.get("grad_norm")), (None, Some(0.0)));
        for (slot, before) in before.iter().enumerate() {
            if matches!(native.machine.plan().slots[slot].role, Role::Prepared { .. }) {
                continue; // made of a parameter when first read
            }
            assert!(native.machine.slot(slot) == before, "`{}` has changed", native.machine.plan().slots[slot].name);
        }
    }
}

#[test]
fn what_does_not_add_up_is_not_taken_in_parts() {
    assert!(compiled("counting.weft", "centre", 1, true).is_ok());
    let error = compiled("counting.weft", "centre", 4, true).err().unwrap();
    assert!(error.to_string().contains("W0508"), "{error:#}");
}
