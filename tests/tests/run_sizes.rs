//! Indices into axes whose size is known only in a run, every way that a program can be computed.

use std::path::Path;

use weft_compiler::compile::Subject;
use weft_runtime::step::Specials;
use weft_runtime::tensor::Tensor;
use weft_tests::compare::floats;
use weft_tests::engine::{Engine, Task, Way, engine, specification};
use weft_tests::reference::Tensors;

const COMPILED: [Way; 3] =
    [Way::Unoptimised { checked: true }, Way::Optimised { checked: true }, Way::Optimised { checked: false }];

fn places(way: Way) -> Box<dyn Engine> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/counting.weft");
    let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
    let task = Task { subject: Subject::Model("Places".into(), None), settings: &[], threads: 2 };
    engine(way, &specification, &task).unwrap_or_else(|e| panic!("{e:#}"))
}

/// Numbers without a pattern, none equal to another within a row.
fn values(batch: usize, source: usize) -> Tensor {
    let each = |i: usize| ((i * 7919 + 13) % 10007) as f32 - 5000.0;
    Tensor::f32(&[batch, source], (0..batch * source).map(each).collect()).unwrap()
}

fn run(engine: &mut dyn Engine, program: &str, inputs: &Tensors) -> anyhow::Result<Vec<(String, Vec<f64>)>> {
    let outputs = engine.run(program, inputs, &Specials::default())?;
    Ok(outputs.into_iter().map(|(name, tensor)| (name, floats(&tensor))).collect())
}

#[test]
fn given_indices() {
    for way in [Way::Interpreter, Way::Rewritten].into_iter().chain(COMPILED) {
        let mut engine = places(way);
        for (batch, source, target) in [(1, 1, 1), (3, 7, 13), (2, 33, 5), (5, 4, 0), (0, 3, 2)] {
            let x = values(batch, source);
            let at: Vec<i64> = (0..batch * target).map(|i| (i * 31 % source) as i64).collect();
            let expected: Vec<f64> =
                at.iter().enumerate().map(|(i, &at)| floats(&x)[i / target * source + at as usize]).collect();
            let inputs = vec![("x".into(), x), ("at".into(), Tensor::i64(&[batch, target], at).unwrap())];
            assert_eq!(run(engine.as_mut(), "taken", &inputs).unwrap()[0].1, expected, "{way:?} {batch} {source} {target}");
        }
    }
}

#[test]
fn given_indices_are_checked_against_the_size_of_the_run() {
    for way in COMPILED {
        let mut engine = places(way);
        for (source, at) in [(4, 4), (5, -1), (0, 0)] {
            let inputs = vec![("x".into(), values(2, source)), ("at".into(), Tensor::i64(&[2, 1], vec![0, at]).unwrap())];
            let error = run(engine.as_mut(), "taken", &inputs).unwrap_err();
            let place = if source == 0 { 0 } else { 1 };
            assert_eq!(
                error.root_cause().to_string(),
                format!("input `at` at [{place}, 0]: the index {at} is outside 0..{source}")
            );
        }
        let inputs = vec![("x".into(), values(2, 5)), ("at".into(), Tensor::i64(&[2, 1], vec![0, 4]).unwrap())];
        assert_eq!(run(engine.as_mut(), "taken", &inputs).unwrap()[0].1.len(), 2);
    }
}

#[test]
fn the_largest_of_nothing_has_no_place() {
    for way in COMPILED {
        let mut engine = places(way);
        for (batch, source) in [(1, 1), (3, 13), (2, 64)] {
            let x = values(batch, source);
            let expected: Vec<f64> =
                floats(&x).chunks(source).map(|row| row.iter().copied().fold(f64::MIN, f64::max)).collect();
            assert_eq!(run(engine.as_mut(), "largest", &vec![("x".into(), x)]).unwrap()[0].1, expected);
        }
        let error = run(engine.as_mut(), "largest", &vec![("x".into(), values(2, 0))]).unwrap_err();
        assert_eq!(
            error.root_cause().to_string(),
            "`source` is 0, at least 1 is needed: `argmax` needs a place on the axis `source`"
        );
    }
}

#[test]
fn the_extremes_of_nothing_are_infinite() {
    for way in COMPILED {
        let inputs = vec![("x".into(), values(2, 0)), ("n".into(), Tensor::i64(&[2, 0], Vec::new()).unwrap())];
        let found = run(places(way).as_mut(), "extremes", &inputs).unwrap();
        assert_eq!(found[0].1, [f64::NEG_INFINITY; 2]);
        assert_eq!(found[1].1, [f64::INFINITY; 2]);
        // Integers have no infinity.
        assert_eq!(found[2].1, [f64::from(i32::MIN); 2]);
    }
}
