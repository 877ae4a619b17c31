//! The parser on whole texts: what it says of faults, and that no text makes it panic.

use super::*;
use crate::render::{Style, render};
use crate::sources::Sources;

/// A source with the faults found in it, as a user sees them.
fn shown(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("spec.weft", text);
    let (_, faults) = parse(file, text);
    format!("{text}\n\n{}", render(&faults, &sources, Style::default()))
}

/// Many small faults, each with its message: one snapshot is read more easily than fifty.
const FAULTY: &[&str] = &[
    "axis width =",
    "axis width 12",
    "modle Gpt2(vocab = 12) { }",
    "width = 12\ndepth = 3",
    "def f(x) = x",
    "import torch",
    "param weight: [output] ~ zeros",
    "use std.layers LayerNorm",
    "use std.layers:",
    "fn f(x: [..r) -> [..r] = x",
    "fn f(x: [..r]) -> [..r] {\n  y = (x + 1\n  y\n}",
    "block A(feature: axis) {\n  norm = LayerNorm(feature)\n\nblock B(feature: axis) {\n  norm = LayerNorm(feature)\n}",
    "fn f() -> [] = 1 }",
    "fn f(x: [..r]) -> [..r] = 2 x",
    "fn f(x: [..r] y: [..r]) -> [..r] = x",
    "fn f(x: [..r]) = x && x",
    "fn f(x: [..r]) = x ** 2",
    "fn f(x: [..r]) = x % 2",
    "fn f(x: [..r]) = 0 < x < 1",
    "fn f(x: [..r]) = !x",
    "fn f(x: [..r]) {\n  let y = x\n  return y\n}",
    "fn f(x: [..r]) {\n  y := x\n  y\n}",
    "fn f(x: [..r]) {\n  for layer over layers { x = layer(x) }\n}",
    "fn f(x: [..r], mod: int) = x",
    "fn f(x: [..r]) = sum[2 * token](x)",
    "fn f(x: [..r]) = g(x,, x)",
    "fn f(x: [..r]) = if x { 1 }",
    "fn f(x: [..r]) = (a: x, x)",
    "fn f(x: [..r]) = ()",
    "fn f(x: [..r]) = 2x",
    "fn f(x: [..r]) = 123456789012345678901",
    "fn f(x: [..r]) = x.",
    "fn (x: [..r]) = x",
    "fn f(x: [..r]) = \"abc",
    "fn f(x: [..r]) = \"a\\q\"",
    "# a comment\nfn f(x: [..r]) = größe",
    "block A {\n  param w: [output, input]\n}",
    "block A {\n  for x in y { z }\n}",
    "block A {\n  weight: [output, input]\n}",
    "fn f(x: [batch time]) -> [batch] = x",
    "fn f(x: [batch]) -> = x",
    "fn f(x: [..r])\n",
    "objective o(model) { loss = 1 }",
    "optimizer sgd(rate: schedule) {\n  p - rate(step) * g\n}",
    "train t {\n  batch: 12\n  evaluate 250\n}",
    "train t {\n  optimizer = sgd(1e-3) {\n    decay = 0 parameters with axes < 2\n  }\n}",
    "train t {\n  mesh { data: 4 }\n}",
    "adapt a of B() {\n  freeze all\n}",
    "weights h for M {\n  tokens <- \"wte\"\n  norm = \"ln\" as [a]\n}",
    "test sums {\n  assert true\n}",
    "schedule s(peak: float) { peak }",
    "fn f(x: [..r]) = scan[time] carry h over g = x { yield g }",
];

#[test]
fn syntax_faults() {
    let all: Vec<String> = FAULTY.iter().map(|text| shown(text)).collect();
    insta::assert_snapshot!(all.join("\n-----------------------------------------------------------------\n\n"));
}

#[test]
fn each_faulty_text_has_a_fault() {
    for text in FAULTY {
        assert!(!parse(FileId(0), text).1.is_empty(), "{text}");
    }
}

#[test]
fn an_item_with_a_fault_leaves_the_others() {
    let (file, faults) = parse(FileId(0), "axis a = 1\naxis b = \naxis c = 3\nfn f( = 1\naxis d = 4\n");
    assert_eq!(file.items.len(), 3);
    assert_eq!(faults.len(), 2, "{faults:?}");
}
