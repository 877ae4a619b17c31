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
    insta::assert_snapshot!(lowered(
        text,
        "Gpt2",
        &[("vocab", 11), ("context", 6), ("width", 8), ("depth", 2), ("heads", 2)],
        None
    ));
}

/// Where parameters lie in a file, one line each.
#[test]
fn stored_tensors() {
    let text = crate::library::library("gpt2").unwrap_or_default();
    let program = load(text);
    let mut session = Session::new(&program, Recording::default(), false, &NoData);
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let settings: Vec<_> = [("vocab", 11), ("context", 6), ("width", 8), ("depth", 2), ("heads", 2)]
        .map(|(n, v)| (n.to_owned(), Setting::Int(v)))
        .into();
    let model = session.model("Gpt2", &settings).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let layouts = session.weights(&model).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let lines: Vec<_> = layouts[0]
        .tensors()
        .filter(|t| t.index == 0)
        .map(|t| format!("{} = {} {:?} at {} by {:?}", t.path, t.name, t.shape, t.offset, t.strides))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let names: Vec<_> = layouts[0].tensors().filter(|t| t.path == "layers.{}.mlp.up.weight").map(|t| t.name).collect();
    assert_eq!(names, ["transformer.h.0.mlp.c_fc.weight", "transformer.h.1.mlp.c_fc.weight"]);
}

/// An objective, its loss and metrics, and an update of a parameter.
#[test]
fn recipe() {
    let text = "use std.nanogpt: NanoGpt\nuse std.objectives: next_token\nuse std.optimizers: sgd\n\
                train small {\n  model = NanoGpt(vocab: 5, context: 4, width: 4, depth: 1, heads: 1)\n  objective = next_token\n\
                optimizer = sgd(rate: 0.1, decay: 0.5) {\n    decay = 0 on parameters with axes < 2\n  }\n  batch = 2; time = 4; steps = 3\n}\n";
    let program = load(text);
    let mut session = Session::new(&program, Recording::default(), true, &NoData);
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let recipe =
        session.recipe("small", &[("steps".into(), Setting::Int(7))]).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!((recipe.settings.steps, recipe.settings.batch), (7, 2));
    let objective = session.objective(&recipe).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let names: Vec<_> = objective.inputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["ids", "next"]);
    assert_eq!(objective.metrics.len(), 1);
    let states = session.states(&recipe).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!(states, [("velocity".to_owned(), 0.0)]);
    let before = session.emit().lines.len();
    for path in ["tokens", "norm.scale"] {
        let parameter = recipe.parameters.iter().find(|p| p.path == path).cloned().expect("declared");
        use crate::emit::Emit;
        let p = session.emit().parameter(&parameter);
        let g = session.emit().input("g", crate::types::Elem::Float, &parameter.axes);
        let v = session.emit().input("v", crate::types::Elem::Float, &parameter.axes);
        let step = session.emit().supplied("step", crate::types::Elem::Float);
        let update = session.update(&recipe, &parameter, p, g, step, &[("velocity".into(), v)]).map_err(shown);
        assert_eq!(update.unwrap_or_else(|text| panic!("{text}")).states.len(), 1);
    }
    insta::assert_snapshot!(session.into_emit().lines[before..].join("\n"));
}
