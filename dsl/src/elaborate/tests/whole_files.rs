//! The standard library and the examples have no fault.

use super::checked;
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
            let settings = if model == "BertClassifier" { vec![("classes".to_owned(), crate::elaborate::Setting::Int(3))] } else { Vec::new() };
            let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
            let made = session.model(model, &settings).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
            for function in session.functions(&made) {
                let entry = session.call(&made, function.as_deref()).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
                assert!(!entry.outputs.is_empty());
            }
        }
    }
}
