//! What is refused although every name in it is known, and what settings from outside reach.

use super::{checked, load};
use crate::elaborate::{NoData, Session, Setting, TypesOnly};
use crate::emit::Emit;
use crate::render::{Style, render};

/// A recipe of a small model.
fn recipe(entries: &str) -> String {
    format!(
        "use std.optimizers: sgd\n\
         model Net(width = 4, depth = 2) {{\n  axis a = width\n  param w: [a] ~ zeros\n  fn (x: [batch]) -> [batch, a] = x * w\n}}\n\
         objective o(net) over (x: [batch]) {{\n  loss = mean[batch, a](net(x))\n}}\n\
         train r {{\n  net = Net(width: 8)\n  data = batches()\n  objective = o\n  optimizer = sgd(rate: 0.1)\n  \
         batch = 2\n  time = 2\n  steps = 2\n{entries}}}\n"
    )
}

/// The size of the model's only parameter under settings, or the messages.
fn made(text: &str, settings: &[(&str, Setting)]) -> String {
    let program = load(text);
    let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut session = Session::new(&program, TypesOnly::default(), true, &NoData);
    match session.recipe("r", &settings) {
        Ok(recipe) => format!("{}", session.emit().axes().size(recipe.parameters[0].axes[0])),
        Err(found) => render(&found, program.sources(), Style::default()),
    }
}

/// The messages of several texts, for one snapshot.
fn all(texts: &[&str]) -> String {
    texts.iter().map(|text| checked(text)).collect::<Vec<_>>().join("\n")
}

#[test]
fn names_defined_twice_in_a_body() {
    insta::assert_snapshot!(all(&[
        "block B(a: axis) {\n  axis b = 2\n  param b: [a] ~ zeros\n}",
        "block B(a: axis) {\n  fn (x: [a]) -> [a] = x\n  fn (x: [a]) -> [a] = 2 * x\n}",
        "model M() {\n  fn (x: [batch]) -> [batch] = x\n  fn forward(x: [batch]) -> [batch] = 2 * x\n}",
        "fn f(x: [..r]) -> [..r] {\n  axis a = 2\n  axis a = 3\n  x\n}",
        "block B(a: axis, bias = true) {\n  if bias {\n    param w: [a] ~ zeros\n  } else {\n    param w: [a] ~ ones\n  }\n  \
         param w: [a] ~ zeros\n}",
    ]));
    let either = "block B(a: axis, bias = true) {\n  if bias {\n    param w: [a] ~ zeros\n  } else {\n    param w: [a] ~ ones\n  }\n}";
    assert_eq!(checked(either), "");
}

#[test]
fn sizes_that_no_tensor_has() {
    let large = "model M(width = 4_000_000_000) {\n  axis a = width\n  axis b = width\n  param w: [a, b] ~ zeros\n}";
    insta::assert_snapshot!(all(&["axis a = 2 - 2", large]));
}

#[test]
fn elements_of_an_axis_nobody_has() {
    let text = |name: &str| {
        format!(
            "block B(token: axis, a: axis) {{\n  param t: [token, a] ~ zeros\n  fn (ids: [..r] of {name}) -> [..r] = float(ids)\n}}"
        )
    };
    assert_eq!(checked(&text("token")), "");
    insta::assert_snapshot!(checked(&text("tokem")));
}

#[test]
fn a_call_without_its_listed_axis() {
    insta::assert_snapshot!(checked("use std.functions: softmax\nfn f(x: [batch, time]) -> [batch, time] = softmax(x)"));
}

#[test]
fn numbers_of_a_recipe() {
    assert_eq!(checked(&recipe("")), "");
    assert!(checked(&recipe("  clip = 0\n")).contains("`clip` is more than 0"));
    assert!(made(&recipe(""), &[("clip", Setting::Float(-1.0))]).contains("`clip` is more than 0"));
    assert!(checked(&recipe("").replace("rate: 0.1", "rate: -0.1")).contains("0 or more"));
}

#[test]
fn settings_reach_the_model_of_a_recipe() {
    let text = recipe("");
    assert_eq!(made(&text, &[]), "8");
    assert_eq!(made(&text, &[("width", Setting::Int(16)), ("batch", Setting::Int(3))]), "16");
    insta::assert_snapshot!(made(&text, &[("widht", Setting::Int(16))]));
}

#[test]
fn what_cannot_be_called_in_a_blocks_place() {
    let callee = "block A(a: axis) {\n  fn (x: [..r, a]) -> [..r, a] = 2 * x\n}\n";
    let of = |fault: &str| format!("{callee}model M() {{\n  axis a = 2\n  text = A(a)\n{fault}}}");
    let good = of("  fn = text\n");
    assert_eq!(checked(&good), "");
    let faults = [
        of("  fn = 3\n"),
        of("  fn = a\n"),
        of("  fn = text\n  fn = text\n"),
        of("  fn = text\n  fn (x: [a]) -> [a] = x\n"),
    ];
    let empty = "block A {}\nmodel M() {\n  text = A()\n  fn = text\n}".to_owned();
    let texts: Vec<&str> = faults.iter().chain([&empty]).map(String::as_str).collect();
    insta::assert_snapshot!(all(&texts));
}

#[test]
fn conditions_of_an_item_hold_together() {
    let query = |body: &str| {
        format!(
            "use std.layers: Linear\nblock Query(feature: axis, rank = 0) {{\n  axis key = 4\n  if rank > 0 {{\n    axis narrow = rank\n    \
             squeeze = Linear(feature, narrow)\n    query = Linear(narrow, key)\n  }} else {{\n    query = Linear(feature, key)\n  }}\n  \
             fn (x: [..r, feature]) -> [..r, key] = query({body})\n}}"
        )
    };
    assert_eq!(checked(&query("if rank > 0 { squeeze(x) } else { x }")), "");
    let size = "block B(wide = true) {\n  axis a = if wide { 4 } else { 2 }\n  param p: [a] ~ zeros\n  fn (x: [r]) -> [r, a] = x * p\n}";
    assert_eq!(checked(size), "");
    // A default that is not used is not computed.
    let unused = "block B(feature: axis, heads: int, width = size(feature) / heads) {\n  axis key = width\n  param p: [key] ~ zeros\n  \
                  fn (x: [r]) -> [r, key] = x * p\n}\nmodel M() {\n  axis feature = 8\n  b = B(feature, 3, width: 4)\n  fn (x: [r]) -> [r, b.key] = b(x)\n}";
    assert_eq!(checked(unused), "");
    // What is wrong whichever way it holds is said once.
    insta::assert_snapshot!(checked(&query("if rank > 0 { unknown(x) } else { x }")));
}
