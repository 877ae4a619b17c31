//! What the language must say without a special rule: rotary positions, recurrence, additive and latent attention, sharing.

use super::{checked, load};
use crate::elaborate::tests::recording::Recording;
use crate::elaborate::{NoData, Session};
use crate::render::{Style, render};

const ROTATE: &str = "fn rotate(x: [..r, time, key], base = 10000.0) -> [..r, time, key] {
  axis pair = 2
  axis half = size(key) / 2
  angle = index(time) * base ^ (-2.0 * index(half) / size(key))
  y = x[key as (pair, half)]
  stack[pair](y[pair: 0] * cos(angle) - y[pair: 1] * sin(angle),
              y[pair: 1] * cos(angle) + y[pair: 0] * sin(angle))[(pair, half) as key]
}";

const LSTM: &str = "use std.functions: sigmoid
use std.layers: Linear
block Lstm(input: axis, hidden: axis) {
  axis gate = 4
  from_input = Linear(input, (gate, hidden))
  from_state = Linear(hidden, (gate, hidden), bias: false)

  fn (x: [..r, time, input]) -> [..r, time, hidden] {
    scan[time] carry h = 0, c = 0 over g = from_input(x) {
      z = g + from_state(h)
      next c = sigmoid(z[gate: 1]) * c + sigmoid(z[gate: 0]) * tanh(z[gate: 2])
      next h = sigmoid(z[gate: 3]) * tanh(next c)
      yield next h
    }
  }
}
model Counter(width = 3, state = 2) {
  axis input = width
  axis hidden = state
  cell = Lstm(input, hidden)
  fn (x: [batch, time, input]) -> [batch, time, hidden] = cell(x)
}";

const ADDITIVE: &str = "use std.functions: softmax
fn additive(q: [..r, time, inner], k: [..<r, source, inner], v: [..<r, source, value], w: [inner]) -> [..r, time, value] {
  dot[source](softmax[source](dot[inner](tanh(q + k), w)), v)
}";

const LATENT: &str = "use std.attention: attend, causal
use std.layers: Linear
block LatentAttention(feature: axis, heads: int, key_size: int, rank: int) {
  axis head = heads
  axis key = key_size
  axis low = rank
  query = Linear(feature, (head, key))
  down = Linear(feature, low)
  key_up = Linear(low, (head, key))
  value_up = Linear(low, (head, key))
  output = Linear((head, key), feature)

  fn (x: [..r, time, feature]) -> [..r, time, feature] {
    latent = down(x)[time as source]
    output(attend[value: key](query(x), key_up(latent), value_up(latent), mask: causal()))
  }
}
model M(width = 8, heads = 2) {
  axis feature = width
  attention = LatentAttention(feature, heads, key_size: 4, rank: 3)
  fn (x: [batch, time, feature]) -> [batch, time, feature] = attention(x)
}";

const SHARED: &str = "block Reader(token: axis, feature: axis, table: param[token, feature]) {
  fn (ids: [..r] of token) -> [..r, feature] = table[token: ids]
}
model Twice(vocab = 5, width = 2) {
  axis token = vocab
  axis feature = width
  axis other like token
  first = Reader(token, feature, tokens)
  param tokens: [token, feature] ~ normal(std: 1)
}
model Tied(vocab = 5, width = 2) {
  axis token = vocab
  axis feature = width
  axis other like token
  param tokens: [token, feature] ~ normal(std: 1)
  second = Reader(other, feature, tokens)
  fn (ids: [batch] of other) -> [batch, feature] = second(ids)
}";

#[test]
fn they_check() {
    for text in [ROTATE, LSTM, ADDITIVE, LATENT] {
        assert_eq!(checked(text), "");
    }
}

/// A parameter is a member like others: it has to come before the member that takes it, and the message says where it is.
#[test]
fn members_come_in_order() {
    insta::assert_snapshot!(checked(SHARED));
}

#[test]
fn a_scan_widens_what_it_carries() {
    let program = load(LSTM);
    let mut session = Session::new(&program, Recording::default(), false, &NoData);
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let model = session.model("Counter", &[]).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let entry = session.call(&model, None).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!(entry.outputs[0].axes.len(), 3);
    let lines = session.into_emit().lines;
    let last = lines.iter().rposition(|line| line.contains("loop time")).unwrap_or(0);
    insta::assert_snapshot!(lines[last..].join("\n"));
}

/// The result of attention has the axis of the keys for its values again.
#[test]
fn axes_bound_twice_come_back() {
    let program = load(LATENT);
    let mut session = Session::new(&program, Recording::default(), false, &NoData);
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let model = session.model("M", &[]).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    session.call(&model, None).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    let lines = session.into_emit().lines;
    let renames: Vec<_> =
        lines.iter().filter(|l| l.contains("as value]") || l.contains("[value as")).map(|l| l.trim()).collect();
    insta::assert_snapshot!(renames.join("\n"));
}

/// Masks reach the reduction that consumes them, and a mean counts what is left.
#[test]
fn masks() {
    let text = "model M() {\n  fn (x: [batch, time], m: [batch, time] of bool) -> (mean: [batch], most: [batch]) {\n    \
                y = 2 * x where m\n    (mean: mean[time](y + 1), most: max[time](y))\n  }\n}";
    let program = load(text);
    let mut session = Session::new(&program, Recording::default(), false, &NoData);
    let shown = |d: Vec<_>| render(&d, program.sources(), Style::default());
    let model = session.model("M", &[]).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    session.call(&model, None).map_err(shown).unwrap_or_else(|text| panic!("{text}"));
    insta::assert_snapshot!(session.into_emit().lines.join("\n"));
}

/// Long sums and long chains of calls end in a value or a message, not in a fault of the compiler.
#[test]
fn depth_is_bounded() {
    let sum = format!("fn f(x: [..r]) -> [..r] = x{}", " + x".repeat(90));
    assert_eq!(checked(&sum), "");
    let mut chain = String::from("fn f0(x) = x\n");
    for i in 1..300 {
        chain.push_str(&format!("fn f{i}(x) = 1 + (2 * f{}(x + 1))\n", i - 1));
    }
    chain.push_str("fn g(x: [time]) -> [time] = f299(x)\n");
    assert!(checked(&chain).contains("W0111"));
}

/// Numbers at the ends of their range end in a message, if anything.
#[test]
fn extreme_numbers() {
    for text in [
        "fn f() -> [] = float((-9223372036854775807 - 1) / (-1))",
        "fn f() -> [] = float((-9223372036854775807 - 1) div (-1)) + float(5 mod (1 - 1))",
        "axis a = 9223372036854775807\nfn f() -> [] {\n  axis b = size(a) * size(a)\n  float(size(b) + 9223372036854775807)\n}",
        "fn f() -> [] = 10 ^ 400 + 10 ^ (-400) + 0 ^ (-1)",
    ] {
        let _ = checked(text);
    }
    let text = "model M(depth = 9000000000000000000) {\n  axis a = 1\n  layers = L(a) * depth\n}\nblock L(a: axis) { param w: [a] ~ zeros }\n\
                weights x for M {\n  layers.{i} <- \"h.{i}\" {\n    w <- \"w\" as [a]\n  }\n}";
    assert!(checked(text).contains("W0508"));
}
