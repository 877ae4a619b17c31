//! What newcomers stumble on: forgotten `use`, words of Python, and one fault that shows in many places.

use super::{checked, load};
use crate::elaborate::Program;
use crate::elaborate::outcome::{Host, Tokenizer};
use crate::render::{Style, render};

/// Texts with what is said of them, for one snapshot.
fn said(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text}\n--\n{}\n", checked(text))).collect()
}

#[test]
fn names_that_a_use_would_bring_in() {
    insta::assert_snapshot!(said(&[
        "block B(a: axis) {\n  mlp = Mlp(a, 8)\n  fn (x: [batch, a]) -> [batch, a] = softmax[a](mlp(x))\n}",
        "block B(layer: Layer) { fn (x: [..r]) -> [..r] = x }",
        "fn f(x: [..r]) -> [..r] = sigmiod(x)",
    ]));
    let parts = "fn halved(x: [..r]) -> [..r] = x / 2";
    let text = "use parts.maps: other\nfn f(x: [..r]) -> [..r] = halved(x)";
    let (program, _) = Program::load("main.weft", text, &|path| (path == "parts/maps.weft").then(|| parts.to_owned()));
    assert!(render(&program.check(), program.sources(), Style::default()).contains("`use parts.maps: halved`"));
}

#[test]
fn words_of_python() {
    insta::assert_snapshot!(said(&[
        "fn f(x: [batch, time]) -> [batch] = x.sum()",
        "fn f(x: [batch, time]) -> [batch, time] = x.exp() + x.relu() + x.T",
        "fn f(x: [batch, time]) -> [batch, time] = torch.relu(x)",
        "fn f(x: Tensor) -> [] = 0.0",
        "fn f(x: [time], n: int) -> [time] {\n  for i in range(n) {\n    x = x + 1\n  }\n  x\n}",
        "fn f(x: [time], y = None) -> [time] = x",
        "block B(a: axis, bias = True) { param w: [a] ~ zeros }",
        "fn f(x: [time], i: int) -> [] = x[i]",
        "use std.layers: Linear\nblock B(a: axis) { map = Linear(a, 16) }",
    ]));
}

/// Each text has one fault, which is shown where it was written and nowhere else.
#[test]
fn one_fault_is_one_message() {
    let recipe = |model: &str| {
        format!(
            "use std.gpt2: Gpt2\nuse std.objectives: next_token\nuse std.optimizers: sgd\ntrain t {{\n  data = text(\"a\", tokenizer: bytes)\n  \
             model = Gpt2({model})\n  objective = next_token()\n  optimizer = sgd(rate: 0.1)\n  batch = 2\n  time = 8\n  steps = 3\n}}"
        )
    };
    let texts = [
        recipe("vocab: data.vocab, context: 8, width: 30, depth: 2, heads: 4"),
        recipe("vocab: data.vocab, context: 8, width: 0, depth: 2, heads: 4"),
        recipe("vocab: data.vocab, context: 8, width: 32, depth: 2, heads: 0"),
        "use std.layers: Mlp, LayerNorm, Linear\nmodel M(width = 10) {\n  axis token = 5\n  axis feature = widht\n  \
         map = Linear(feature, token)\n  mlp = Mlp(feature, 4 * width)\n  norm = LayerNorm(feature)\n  \
         fn (x: [batch, time, feature]) -> [batch, time, token] = map(norm(mlp(x)))\n}"
            .into(),
        "use std.layers: Linear\nmodel M() {\n  axis a = 0\n  axis b = 3\n  map = Linear(a, b)\n  \
         fn (x: [batch, a]) -> [batch, b] = map(x)\n}"
            .into(),
        "use std.layers: Mlp\nblock B(feature: axis) {\n  mlp = Mlp(feature, -4)\n  \
         fn (x: [..r, feature]) -> [..r, feature] = mlp(x)\n}"
            .into(),
        "use std.objectives: next_token\nuse std.optimizers: sgd\nmodel M(vocab: int) {\n  axis token = vocab\n  axis to = vocab\n  \
         param w: [token, to] ~ zeros\n  fn (ids: [batch, time] of token) -> (scores: [batch, time, token]) {\n    \
         (scores: w[token: ids][to as token])\n  }\n}\ntrain t {\n  data = text(\"a\", tokenizer: bytes)\n  model = M(vocab: data.vocab)\n  \
         objective = next_token()\n  optimizer = sgd(rate: 0.1)\n  batch = 2\n  time = 8\n  steps = 3\n}"
            .into(),
    ];
    for text in &texts {
        let shown = checked(text);
        assert_eq!(shown.matches("error[").count(), 1, "{shown}");
        assert!(shown.lines().nth(1).is_some_and(|place| place.contains("test.weft")), "{shown}");
    }
    insta::assert_snapshot!(texts.iter().map(|text| checked(text)).collect::<Vec<_>>().join("\n"));
}

/// Data of ten tokens, in any file but `missing`.
struct Ten;

impl Host for Ten {
    fn vocabulary(&self, _: &[String], _: &Tokenizer) -> Result<i64, String> {
        Ok(10)
    }

    fn readable(&self, path: &str) -> Result<(), String> {
        if path == "missing" { Err("it is not there".into()) } else { Ok(()) }
    }
}

#[test]
fn recipes_that_their_data_does_not_fit() {
    let recipe = |file: &str, vocab: &str, time: i64| {
        format!(
            "use std.gpt2: Gpt2\nuse std.objectives: next_token\nuse std.optimizers: sgd\ntrain t {{\n  \
             data = text(\"{file}\", tokenizer: characters)\n  model = Gpt2(vocab: {vocab}, context: 8, width: 4, depth: 2, heads: 2)\n  \
             objective = next_token()\n  optimizer = sgd(rate: 0.1)\n  batch = 2\n  time = {time}\n  steps = 3\n}}"
        )
    };
    let said = |text: &str| {
        let program = load(text);
        assert_eq!(program.check(), [], "{text}");
        render(&program.check_data(&Ten), program.sources(), Style::default())
    };
    assert_eq!(said(&recipe("a", "data.vocab", 8)), "");
    assert_eq!(said(&recipe("a", "11", 3)), "");
    let wrong = [recipe("missing", "data.vocab", 8), recipe("a", "9", 8), recipe("a", "data.vocab", 9)];
    insta::assert_snapshot!(wrong.iter().map(|text| said(text)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_width_that_heads_do_not_divide_is_one_fault() {
    let text = "use std.nanogpt: NanoGpt\nuse std.objectives: next_token\nuse std.optimizers: sgd\ntrain a {\n  data = batches()\n  \
                model = NanoGpt(vocab: 65, context: 32, width: 32, depth: 2, heads: 3)\n  objective = next_token()\n  \
                optimizer = sgd(rate: 0.1)\n  batch = 2\n  time = 32\n  steps = 3\n}";
    let said = checked(text);
    assert_eq!(said.matches("error[").count(), 1, "{said}");
    assert!(said.contains("32 is not a multiple of 3"), "{said}");
}

#[test]
fn an_axis_given_as_an_argument_may_have_another_name() {
    let text = "fn slope(head: axis) -> [head, time] = index(head) * index(time) + 0.0\n\
                fn f(group: axis, x: [batch, time, group]) -> [batch, time, group] = x + slope(group)";
    for text in [text, &text.replace("group", "head")] {
        assert!(!checked(text).contains("error"), "{}", checked(text));
    }
}
