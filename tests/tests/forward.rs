//! Forward passes against transformers' numbers, every way that a program can be computed.

use std::path::Path;

use weft_compiler::compile::Subject;
use weft_runtime::step::Specials;
use weft_tests::compare::bits;
use weft_tests::engine::{Task, Way, engine, specification};
use weft_tests::reference::Case;

/// A model of the library as it stands in a case's `config.json`.
struct Model {
    case: &'static str,
    file: &'static str,
    name: &'static str,
    config: &'static [(&'static str, &'static str)],
    classes: Option<i64>,
}

const BERT: &[(&str, &str)] = &[
    ("vocab", "vocab_size"),
    ("context", "max_position_embeddings"),
    ("width", "hidden_size"),
    ("depth", "num_hidden_layers"),
    ("heads", "num_attention_heads"),
    ("hidden", "intermediate_size"),
    ("segments", "type_vocab_size"),
    ("epsilon", "layer_norm_eps"),
];

const GPT2: Model = Model {
    case: "gpt2",
    file: "gpt2",
    name: "Gpt2",
    config: &[
        ("vocab", "vocab_size"),
        ("context", "n_positions"),
        ("width", "n_embd"),
        ("depth", "n_layer"),
        ("heads", "n_head"),
        ("epsilon", "layer_norm_epsilon"),
    ],
    classes: None,
};

const MASKED: Model = Model { case: "bert-mlm", file: "bert", name: "BertMaskedLm", config: BERT, classes: None };

const CLASSIFIER: Model =
    Model { case: "bert-classify", file: "bert", name: "BertClassifier", config: BERT, classes: Some(3) };

fn reproduces(model: &Model, way: Way) {
    let case = Case::open(model.case).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../stdlib/{}.weft", model.file));
    let specification = specification(&path).unwrap_or_else(|e| panic!("{e:#}"));
    let mut settings = case.settings(model.config).unwrap();
    settings.extend(model.classes.map(|n| ("classes".to_string(), weft_dsl::elaborate::Setting::Int(n))));
    let subject = Subject::Model(model.name.into(), Some(Some("transformers".into())));
    let task = Task { subject, settings: &settings, threads: 2 };
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
    bert_masked: MASKED;
    bert_classifier: CLASSIFIER;
}
