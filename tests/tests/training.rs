//! Twenty training steps against PyTorch's numbers, every way that a program can be computed.

use std::collections::BTreeMap;

use weft_compiler::compile::{self, Specification, Subject};
use weft_compiler::import::{self, Training, Wanted};
use weft_runtime::data::rows;
use weft_runtime::step::Specials;
use weft_runtime::tensor::Tensor;
use weft_tests::compare::{bits, floats};
use weft_tests::engine::{Engine, Task, Way, engine, shown};
use weft_tests::reference::{Case, Tensors, check_named};
use weft_tests::stored::{self, Whole};

const GPT2: &str = "train-gpt2-clm";
const T5: &str = "train-t5-seq2seq";
const MIXTRAL: &str = "train-mixtral-clm";
const BERT: &str = "train-bert-mlm";

/// What `weft import --train` writes of a case's folder, with the case's optimizer, and its balance beside its loss where it has one.
fn recipe(case: &Case) -> anyhow::Result<Specification> {
    let to = case.path("imported.weft");
    let (text, _) = import::import(&case.path("."), &to, Wanted::default()).map_err(shown)?;
    let batches = case.path("batches.safetensors");
    let steps = case.number("/steps")?;
    let optimizer = concat!(
        "adamw(rate: up_and_down(peak: 0.005), beta1: 0.9, beta2: 0.98, epsilon: 1e-6, decay: 0.1) {\n",
        "    decay = 0 on parameters with axes < 2\n  }"
    );
    let training = Training { batches: &batches, uses: "use std.optimizers: adamw", optimizer };
    let mut text = import::recipe(&to, &text, &training).map_err(shown)?;
    text.push_str(&format!(
        "schedule up_and_down(peak: float) over (step) {{\n  \
         select(step <= 4, peak * step / 4, peak * ({} - step) / {})\n}}\n",
        steps + 1.0,
        steps - 3.0
    ));
    if case.about["outputs"].as_array().is_some_and(|names| names.iter().any(|name| name == "aux_loss")) {
        text = text.replacen("  loss = model(", "  out = model(", 1).replacen(
            ").loss\n",
            ")\n  loss = out.loss\n  metric aux_loss = out.aux_loss\n",
            1,
        );
    }
    compile::specification(&to, &text).map_err(shown)
}

/// What twenty steps gave: losses, norms, rates, and the parameters afterwards under transformers' names.
struct Run {
    series: BTreeMap<String, Vec<f64>>,
    parameters: Tensors,
}

/// One step's part of tensors with a leading axis of steps.
fn batch(batches: &Tensors, step: usize) -> Tensors {
    let one = |tensor: &Tensor| {
        let mut row = rows(tensor, step..step + 1);
        row.shape.remove(0);
        row
    };
    batches.iter().map(|(name, tensor)| (name.clone(), one(tensor))).collect()
}

fn trained(engine: &mut dyn Engine, case: &Case) -> Run {
    engine.load(&case.path("model.safetensors"), "huggingface").unwrap_or_else(|e| panic!("{e:#}"));
    let batches = case.tensors("batches.safetensors").unwrap();
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for step in 0..case.number("/steps").unwrap() as usize {
        let specials = Specials { step: step as u64 + 1, ..Specials::default() };
        let outputs = engine.run("train_step", &batch(&batches, step), &specials).unwrap_or_else(|e| panic!("{e:#}"));
        for (name, value) in outputs {
            series.entry(name).or_default().push(value.to_scalar().unwrap());
        }
    }
    Run { series, parameters: engine.save("huggingface").unwrap_or_else(|e| panic!("{e:#}")) }
}

/// The gradients of the first step against the case's.
fn gradients(engine: &mut dyn Engine, case: &Case) -> anyhow::Result<()> {
    engine.load(&case.path("model.safetensors"), "huggingface")?;
    let first = batch(&case.tensors("batches.safetensors")?, 0);
    let outputs = engine.run("gradients", &first, &Specials { step: 1, ..Specials::default() })?;
    let layout = engine.layout("huggingface")?;
    let whole = |(name, tensor): (String, Tensor)| {
        let path = name.strip_prefix("grad.")?.to_string();
        // A layout has one stride for each axis; what stands before them are repetitions.
        let axes = layout.iter().find(|s| s.path == path)?.strides.len();
        let shape = tensor.shape[tensor.shape.len() - axes..].to_vec();
        Some((path, Whole { shape, data: floats(&tensor) }))
    };
    let wholes = outputs.into_iter().filter_map(whole).collect();
    let got = stored::write(&wholes, &layout)?;
    let expected = case.tensors("grads.safetensors")?;
    let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    check_named(&got, &expected, &names, case.tolerance("gradient_tolerance")?)
}

fn reproduces(name: &str, way: Way) {
    let case = Case::open(name).unwrap();
    let specification = recipe(&case).unwrap_or_else(|e| panic!("{e:#}"));
    let task = Task { subject: Subject::Recipe("tune_imported".into()), settings: &[], threads: 2 };
    let start = || engine(way, &specification, &task).unwrap_or_else(|e| panic!("{e:#}"));
    let mut first = start();
    gradients(first.as_mut(), &case).unwrap_or_else(|e| panic!("gradients of {} {way:?}:\n{e:#}", name));
    let run = trained(first.as_mut(), &case);
    let mut got: Tensors = run.parameters.iter().map(|(name, t)| (format!("param.{name}"), t.clone())).collect();
    for (theirs, ours) in [("losses", "loss"), ("grad_norm", "grad_norm"), ("aux_loss", "metric.aux_loss")] {
        let Some(values) = run.series.get(ours) else { continue };
        got.push((theirs.into(), Tensor::f32(&[values.len()], values.iter().map(|&x| x as f32).collect()).unwrap()));
    }
    case.check(&got).unwrap_or_else(|e| panic!("{} {way:?}:\n{e:#}", name));
    for (step, rate) in run.series["rate"].iter().enumerate() {
        let expected = case.number(&format!("/optimizer/lr/{step}")).unwrap();
        assert!((rate - expected).abs() < 1e-9, "the rate of step {step} is {rate}, expected {expected}");
    }
    // Interpreting is slow, and has no threads that could differ.
    let again = if matches!(way, Way::Interpreter | Way::Rewritten) { 0 } else { 2 };
    for _ in 0..again {
        let again = trained(start().as_mut(), &case);
        assert!(run.series == again.series, "{} {way:?} differs from run to run", name);
        for ((name, one), (_, two)) in run.parameters.iter().zip(&again.parameters) {
            assert!(bits(one) == bits(two), "{} {way:?}: `{name}` differs from run to run", name);
        }
    }
}

macro_rules! every_way {
    ($($recipe:ident: $value:expr;)*) => {$(
        mod $recipe {
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
    bert: BERT;
    t5: T5;
    mixtral: MIXTRAL;
}
