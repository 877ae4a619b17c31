//! Forward passes against transformers' numbers, every way that a program can be computed.

use weft_tests::compare::bits;
use weft_tests::engine::{Task, Way, engine};
use weft_tests::models::imported;
use weft_tests::reference::Case;

fn reproduces(case: &str, way: Way) {
    let name = case;
    let case = Case::open(name).unwrap();
    let (specification, subject) = imported(&case).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    let task = Task { subject, settings: &[], threads: 2 };
    let mut engine = engine(way, &specification, &task).unwrap_or_else(|e| panic!("{e:#}"));
    engine.load(&case.path("model.safetensors"), "huggingface").unwrap_or_else(|e| panic!("{e:#}"));
    let inputs = case.tensors("inputs.safetensors").unwrap();
    let mut run = || engine.call(&inputs).unwrap_or_else(|e| panic!("{e:#}"));
    let got = run();
    case.check(&got).unwrap_or_else(|e| panic!("{name} {way:?}:\n{e:#}"));
    for _ in 0..2 {
        for ((output, first), (_, again)) in got.iter().zip(run()) {
            assert!(bits(first) == bits(&again), "{name} {way:?}: `{output}` differs from run to run");
        }
    }
}

macro_rules! every_way {
    ($($model:ident: $value:literal;)*) => {$(
        mod $model {
            use super::*;

            #[test]
            fn interpreter() {
                reproduces($value, Way::Interpreter);
            }

            #[test]
            fn rewritten() {
                reproduces($value, Way::Rewritten);
            }

            #[test]
            fn unoptimised() {
                reproduces($value, Way::Unoptimised { checked: false });
            }

            #[test]
            fn unoptimised_checked() {
                reproduces($value, Way::Unoptimised { checked: true });
            }

            #[test]
            fn optimised() {
                reproduces($value, Way::Optimised { checked: false });
            }

            #[test]
            fn optimised_checked() {
                reproduces($value, Way::Optimised { checked: true });
            }
        }
    )*};
}

every_way! {
    bart: "bart";
    bert_classify: "bert-classify";
    bert_mlm: "bert-mlm";
    bert_pretrain: "bert-pretrain";
    bert_qa: "bert-qa";
    bloom: "bloom";
    electra_rtd: "electra-rtd";
    gpt2: "gpt2";
    llama: "llama";
    mixtral: "mixtral";
    roberta_mlm: "roberta-mlm";
    switch: "switch";
    t5: "t5";
}
