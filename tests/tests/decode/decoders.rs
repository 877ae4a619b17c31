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
  attention = SelfAttention(feature, heads: 4, groups: 2, mask: causal)
  fn (x: [..r, time, feature]) -> [..r, time, feature] = attention(x)
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
}

#[test]
fn windows() {
    let text = decoder(
        "fn near() -> [time, source] of bool = window(3)
block Layer(feature: axis) {
  attention = SelfAttention(feature, heads: 2, mask: near)
  fn (x: [..r, time, feature]) -> [..r, time, feature] = attention(x)
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
}

/// What two layers see differently far back is kept for as long as each needs; what one of them sees without end, of every place.
#[test]
fn windows_beside_one_another() {
    let text = decoder(
        "fn near() -> [time, source] of bool = window(2)
fn far() -> [time, source] of bool = index(source) <= index(time) and index(source) > index(time) - 4
block Layer(feature: axis) {
  first = SelfAttention(feature, heads: 2, mask: near)
  second = SelfAttention(feature, heads: 1, mask: far)
  third = SelfAttention(feature, heads: 2, mask: causal)
  fn (x: [..r, time, feature]) -> [..r, time, feature] = third(x + second(x + first(x)))
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
}

/// Positions and weights by distance are those of the places, wherever they lie in a ring; a sum and a mean see less than a softmax.
#[test]
fn windows_with_positions() {
    let text = decoder(
        "block Layer(feature: axis) {
  axis key = 8
  query = Linear(feature, key)
  keys = Linear(feature, key)
  output = Linear(key, feature)
  param far: [key] ~ normal(std: 1.0)
  fn (x: [..r, time, feature]) -> [..r, time, feature] {
    k = keys(x)[time as source] + far * index(source)
    near = index(source) <= index(time) and index(time) - index(source) < 4
    nearer = index(source) <= index(time) and index(time) < index(source) + 2
    score = dot[key](query(x), k) / 8 - 0.1 * (index(time) - index(source))
    total = sum[source](select(nearer, k, 0) * 0.1)
    output(dot[source](softmax[source](score where near), k) + total)
  }
}",
    );
    check(&text);
    insta::assert_snapshot!(kept(&text));
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

/// What the encoder makes is needed for the prompt alone; of it each layer keeps the keys and values that it looks at.
#[test]
fn encoder_and_decoder() {
    let text = "use std.attention: SelfAttention, attend, causal
use std.layers: Linear, LayerNorm

model Decoder() {
  axis token = 11
  axis feature = 8
  param tokens: [token, feature] ~ normal(std: 1.0)
  readers = Reader(feature) * 2
  layers = Layer(feature) * 3
  norm = LayerNorm(feature)

  fn (
    read: [batch, from] of token,
    present: [batch, from] of bool,
    ids: [batch, time] of token,
  ) -> (logits: [batch, time, token]) {
    seen = tokens[token: read]
    for reader in readers { seen = seen + reader(norm(seen), present) }
    x = tokens[token: ids]
    for layer in layers { x = layer(x, seen, present) }
    (logits: dot[feature](norm(x), tokens))
  }
}

block Reader(feature: axis) {
  attention = SelfAttention(feature, heads: 2)
  fn (x: [batch, from, feature], present: [batch, from] of bool) -> [batch, from, feature] =
    attention[time: from](x, visible: present[from as source])
}

block Layer(feature: axis) {
  axis head = 2
  axis key = 4
  attention = SelfAttention(feature, heads: 2, mask: causal)
  query = Linear(feature, (head, key))
  keys = Linear(feature, (head, key))
  values = Linear(feature, (head, key))
  output = Linear((head, key), feature)
  norm = LayerNorm(feature)
  fn (x: [batch, time, feature], seen: [batch, from, feature], present: [batch, from] of bool) -> [batch, time, feature] {
    x = x + attention(norm(x))
    x + output(attend[source: from, value: key](query(norm(x)), keys(seen), values(seen), mask: present))
  }
}";
    check(text);
    insta::assert_snapshot!(kept(text));
}
