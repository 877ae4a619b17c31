//! What elaboration emits.

use super::load;
use super::recording::Recording;
use crate::elaborate::{NoData, Session, Setting};
use crate::render::{Style, render};

/// The operations of a model's function.
fn lowered(text: &str, model: &str, settings: &[(&str, i64)], function: Option<&str>) -> String {
    let program = load(text);
    let mut session = Session::new(&program, Recording::default(), false, &NoData);
    let settings: Vec<_> = settings.iter().map(|(name, n)| (name.to_string(), Setting::Int(*n))).collect();
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let made = session.model(model, &settings).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let entry = session.call(&made, function).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let limits: Vec<_> = entry.limits.iter().map(|l| format!("{} <= {}: {}", l.size, l.at_most, l.why)).collect();
    let mut lines = session.into_emit().lines;
    lines.extend(limits);
    lines.join("\n")
}

#[test]
fn gpt2() {
    let text = crate::library::library("gpt2").unwrap_or_default();
    insta::assert_snapshot!(lowered(text, "Gpt2", &[("vocab", 11), ("context", 6), ("width", 8), ("depth", 2), ("heads", 2)], None));
}
