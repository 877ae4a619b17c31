//! The standard library and the examples have no fault.

use super::checked;
use super::recording::Recording;
use crate::elaborate::{NoData, Program, Session, TypesOnly};
use crate::render::{Style, render};

#[test]
fn the_library_checks() {
    for name in crate::library::names() {
        let text = crate::library::library(name).unwrap_or_default();
        assert_eq!(checked(text), "", "std.{name}");
    }
}

#[test]
fn the_demo_checks() {
    let text = include_str!("../../../../examples/shakespeare.weft");
    assert_eq!(checked(text), "");
}

#[test]
fn models_of_the_library_lower() {
    for name in ["gpt2", "bert"] {
        let text = crate::library::library(name).unwrap_or_default();
        let (program, _) = Program::load("test.weft", text, &|_| None);
        for model in program.models() {
            let mut session = Session::new(&program, TypesOnly::default(), false, &NoData);
            let settings = if model == "BertClassifier" {
                vec![("classes".to_owned(), crate::elaborate::Setting::Int(3))]
            } else {
                Vec::new()
            };
            let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
            let made = session.model(model, &settings).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
            for function in session.functions(&made) {
                let entry = session.call(&made, function.as_deref()).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
                assert!(!entry.outputs.is_empty());
            }
        }
    }
}

/// The library's objectives with models that they fit.
#[test]
fn objectives_of_the_library_lower() {
    for (objective, model) in [
        ("next_token", "Gpt2(vocab: 9, context: 8, width: 8, depth: 2, heads: 2)"),
        ("next_present_token", "Gpt2(vocab: 9, context: 8, width: 8, depth: 2, heads: 2)"),
        ("masked_token(mask_id: 8)", "Gpt2(vocab: 9, context: 8, width: 8, depth: 2, heads: 2)"),
        ("own_loss", "Gpt2(vocab: 9, context: 8, width: 8, depth: 2, heads: 2)"),
        ("own_loss_of_segments", "BertMaskedLm(Bert(vocab: 9, context: 8, width: 8, depth: 2, heads: 2, hidden: 4))"),
    ] {
        let (name, from) = (objective.split('(').next().unwrap_or(""), model.split('(').next().unwrap_or(""));
        let file = if from == "Gpt2" { "gpt2" } else { "bert: Bert\nuse std.bert_pretraining" };
        let text = format!(
            "use std.{file}: {from}\nuse std.objectives: {name}\nuse std.optimizers: adamw\nuse std.schedules: warmup_linear\n\
             train t {{\n  model = {model}\n  objective = {objective}\n  \
             optimizer = adamw(rate: warmup_linear(peak: 1e-3, total: steps))\n  batch = 2; time = 8; steps = 5\n}}\n"
        );
        assert_eq!(checked(&text), "", "{objective}");
        let (program, _) = Program::load("test.weft", &text, &|_| None);
        let mut session = Session::new(&program, Recording::default(), true, &NoData);
        let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
        let recipe = session.recipe("t", &[]).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
        let found = session.objective(&recipe).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
        assert!(!found.inputs.is_empty());
    }
}
