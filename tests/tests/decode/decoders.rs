//! Decoders of many kinds.

use weft_tests::texts::{check, kept};

/// A decoder around one way to attend: `attend(x)` of `[batch, time, feature]`.
fn decoder(block: &str) -> String {
    format!(
        "use std.attention: SelfAttention, attend, causal, window, alibi
use std.functions: softmax
use std.layers: Linear, LayerNorm

model Decoder() {{
  axis token = 11
  axis feature = 8
  param tokens: [token, feature] ~ normal(std: 1.0)
  layers = Layer(feature) * 2
  norm = LayerNorm(feature)

  fn (ids: [batch, time] of token) -> (logits: [batch, time, token]) {{
    x = tokens[token: ids]
    for layer in layers {{ x = x + layer(norm(x)) }}
    (logits: dot[feature](norm(x), tokens))
  }}
}}

{block}"
    )
}

#[test]
fn gpt2() {
    let text = include_str!("../../../stdlib/gpt2.weft");
    check(text);
    insta::assert_snapshot!(kept(text));
}

#[test]
fn nanogpt() {
    check(include_str!("../../../stdlib/nanogpt.weft"));
}

#[test]
fn grouped_queries_keep_what_they_share() {
    let text = decoder(
        "block Layer(feature: axis) {
  attention = SelfAttention(feature, heads: 4, members: 2, mask: causal)
  fn (x: [..r, time, feature]) -> [..r, time, feature] = attention(x)
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
}

#[test]
fn windows() {
    check(&decoder(
        "fn near() -> [time, source] of bool = window(3)
block Layer(feature: axis) {
  attention = SelfAttention(feature, heads: 2, mask: near)
  fn (x: [..r, time, feature]) -> [..r, time, feature] = attention(x)
}",
    ));
}

#[test]
fn biases_by_distance_and_soft_caps() {
    check(&decoder(
        "block Layer(feature: axis) {
  axis head = 2
  axis key = 4
  query = Linear(feature, (head, key))
  keys = Linear(feature, (head, key))
  values = Linear(feature, (head, key))
  output = Linear((head, key), feature)
  fn (x: [..r, time, feature]) -> [..r, time, feature] {
    k = keys(x)[time as source]
    v = values(x)[time as source]
    score = 2 * tanh(dot[key](query(x), k) / 4) + alibi(head)
    output(dot[source](softmax[source](score where causal()), v))
  }
}",
    ));
}

/// The text seen by others is taken before its projections, rotated by its positions, and masked by a number.
#[test]
fn projections_and_rotations_behind_the_view() {
    let text = decoder(
        "block Layer(feature: axis) {
  axis key = 8
  axis half = 4
  query = Linear(feature, (key))
  keys = Linear(feature, (key))
  values = Linear(feature, (key))
  output = Linear((key), feature)
  fn (x: [..r, time, feature]) -> [..r, time, feature] {
    seen = x[time as source]
    turn = cos(index(source) * 0.3) + 0.5
    k = keys(seen) * turn
    v = values(seen)
    hidden = select(index(source) > index(time), -1e30, 0)
    score = dot[key](query(x), k) + hidden
    weight = select(index(source) <= index(time), exp(min(score, 5)), 0)
    output(dot[source](weight, v) / sum[source](weight))
  }
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
}

/// Averages of what came before, with no softmax; the queries have an axis of their own.
#[test]
fn sums_of_the_past() {
    check(&decoder(
        "block Layer(feature: axis) {
  values = Linear(feature, feature)
  fn (x: [batch, time, feature]) -> [batch, time, feature] {
    axis asker like time
    v = values(x)[time as source]
    before = index(source) < index(asker) + 1
    count = sum[source](select(before, 1.0, 0.0))
    asked = x[time as asker]
    total = sum[source](v where before) / count + asked
    total[asker as time]
  }
}",
    ));
}

/// Nothing is repeated: each layer has names of its own.
#[test]
fn layers_written_out() {
    check(
        "use std.layers: Linear
use std.attention: SelfAttention, causal
model Decoder() {
  axis token = 11
  axis feature = 4
  param tokens: [token, feature] ~ normal(std: 1.0)
  first = SelfAttention(feature, heads: 2, mask: causal)
  second = SelfAttention(feature, heads: 1, mask: causal)
  fn (ids: [time] of token) -> [time, token] {
    x = tokens[token: ids]
    x = x + first(x)
    x = x + second(x)
    dot[feature](x, tokens)
  }
}",
    );
}
