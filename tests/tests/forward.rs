//! Forward passes against transformers' numbers, every way that a program can be computed.

use weft_runtime::step::Specials;
use weft_tests::compare::bits;
use weft_tests::engine::{Task, Way, engine, specification};
use weft_tests::models::{CLASSIFIER, GPT2, LLAMA, MASKED, Model};
use weft_tests::reference::Case;

fn reproduces(model: &Model, way: Way) {
    let case = Case::open(model.case).unwrap();
    let specification = specification(&model.path()).unwrap_or_else(|e| panic!("{e:#}"));
    let settings = model.settings(&case).unwrap();
    let task = Task { subject: model.subject(), settings: &settings, threads: 2 };
    let mut engine = engine(way, &specification, &task).unwrap_or_else(|e| panic!("{e:#}"));
    engine.load(&case.path("model.safetensors"), "huggingface").unwrap_or_else(|e| panic!("{e:#}"));
    let inputs = case.tensors("inputs.safetensors").unwrap();
    let mut run = || engine.run("transformers", &inputs, &Specials::default()).unwrap_or_else(|e| panic!("{e:#}"));
    let got = run();
    case.check(&got).unwrap_or_else(|e| panic!("{} {way:?}:\n{e:#}", model.case));
    for _ in 0..2 {
        for ((name, first), (_, again)) in got.iter().zip(run()) {
            assert!(bits(first) == bits(&again), "{} {way:?}: `{name}` differs from run to run", model.case);
        }
    }
}

macro_rules! every_way {
    ($($model:ident: $value:expr;)*) => {$(
        mod $model {
            use super::*;

            #[test]
            fn interpreter() {
                reproduces(&$value, Way::Interpreter);
            }

            #[test]
            fn rewritten() {
                reproduces(&$value, Way::Rewritten);
            }

            #[test]
            fn unoptimised() {
                reproduces(&$value, Way::Unoptimised { checked: false });
            }

            #[test]
            fn unoptimised_checked() {
                reproduces(&$value, Way::Unoptimised { checked: true });
            }

            #[test]
            fn optimised() {
                reproduces(&$value, Way::Optimised { checked: false });
            }

            #[test]
            fn optimised_checked() {
                reproduces(&$value, Way::Optimised { checked: true });
            }
        }
    )*};
}

every_way! {
    gpt2: GPT2;
    llama: LLAMA;
    bert_masked: MASKED;
    bert_classifier: CLASSIFIER;
}
