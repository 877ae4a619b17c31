//! Decoders drawn at random: grouped queries, windows, biases, rotations, states, looks at what an encoder read; interpreted and
//! compiled.

use weft_compiler::compile::Subject;
use weft_runtime::plan::Role;
use weft_tests::engine::{Task, specification};
use weft_tests::native::Native;
use weft_tests::texts::check;

use super::native::{generates, writes};

/// Numbers that follow from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// An attention of some kind.
fn attention(draw: &mut Draw) -> String {
    let (group, member, key) = (1 + draw.below(3), 1 + draw.below(3), 1 + draw.below(5));
    // The widest is more than there is room for.
    let window = format!("window({})", [1, 2, 3, 5, 8, 40][draw.below(6) as usize]);
    let between = format!("index(source) <= index(time) and index(time) - index(source) < {}", 1 + draw.below(5));
    let sinks = format!("sinks({}, {})", 1 + draw.below(2), 1 + draw.below(3));
    let mask = draw.one_of(&[&window, "index(source) < index(time) + 1", &between, &sinks, "causal()"]).to_string();
    let bias =
        draw.one_of(&["", " + slope * (index(source) - index(time))", " + max(index(source) - index(time), -4) * slope"]);
    let (open, close) = draw.one_of(&["|", "2 * tanh(| / 3)"]).split_once('|').expect("two sides");
    // Two halves of a rotation, by an angle for each place.
    let turned = draw.below(2) == 1;
    let (score, other) = match turned {
        false => ("dot[key](query(x), k)", ""),
        true => (
            "dot[key](qa * cos(here) - qb * sin(here), k * cos(there) - kb * sin(there)) + dot[key](qa * sin(here) + qb * cos(here), k * sin(there) + kb * cos(there))",
            "    rate = 1 / (1 + index(key))
    here = rate * index(time)
    there = rate * index(source)
    qa = query(x)
    qb = second(x)
    kb = other(x)[time as source]
",
        ),
    };
    let seen = draw.one_of(&["keys(x)[time as source]", "keys(x[time as source])"]);
    format!(
        "block Layer(feature: axis) {{
  axis group = {group}
  axis member = {member}
  axis key = {key}
  query = Linear(feature, (group, member, key))
  keys = Linear(feature, (group, key))
  values = Linear(feature, (group, key))
  second = Linear(feature, (group, member, key))
  other = Linear(feature, (group, key))
  output = Linear((group, member, key), feature)
  param slope: [group, member] ~ normal(std: 1.0)
  fn (x: [..r, time, feature]) -> [..r, time, feature] {{
    k = {seen}
    v = values(x)[time as source]
{other}    score = {open}({score}{bias}){close}
    output(dot[source](softmax[source](score where {mask}), v))
  }}
}}"
    )
}

/// A state that is carried from place to place.
fn state(draw: &mut Draw) -> String {
    let body = draw.one_of(&[
        "    h = scan[time] carry h = start over y = gate(x) { next h = decay * h + y; yield h }
    output(h)",
        "    h = scan[time] carry h = start over y = gate(x), z = values(x) { next h = tanh(h) * sigmoid(y) + z; yield h * y }
    output(h)",
    ]);
    format!(
        "block Layer(feature: axis) {{
  axis inner = {}
  gate = Linear(feature, inner)
  values = Linear(feature, inner)
  output = Linear(inner, feature)
  param decay: [inner] ~ normal(std: 0.5)
  param start: [inner] ~ normal(std: 0.5)
  fn (x: [batch, time, feature]) -> [batch, time, feature] {{
{body}
  }}
}}",
        1 + draw.below(7)
    )
}

/// Whether the decoder of a seed looks at what an encoder has read.
fn crosses(seed: u64) -> bool {
    seed % 4 == 2
}

/// What an encoder makes of what it reads, and how a decoder looks at it.
fn cross(draw: &mut Draw) -> String {
    let encoded = draw.one_of(&["seen", "0.5 * seen + 1", "tanh(mix(seen))"]);
    let mask = draw.one_of(&["present", "true", "present and index(from) <= index(time)"]);
    format!(
        "block Reader(feature: axis) {{
  mix = Linear(feature, feature)
  fn (x: [batch, from, feature], present: [batch, from] of bool) -> [batch, from, feature] {{
    x = tanh(mix(x))
    x + sum[from](select(present, x, 0))
  }}
}}

block Cross(feature: axis) {{
  axis head = {}
  axis key = {}
  mix = Linear(feature, feature)
  query = Linear(feature, (head, key))
  keys = Linear(feature, (head, key))
  values = Linear(feature, (head, key))
  output = Linear((head, key), feature)
  fn (x: [batch, time, feature], seen: [batch, from, feature], present: [batch, from] of bool) -> [batch, time, feature] {{
    seen = {encoded}
    score = dot[key](query(x), keys(seen))
    output(dot[from](softmax[from](score where {mask} or index(from) == 0), values(seen)))
  }}
}}",
        1 + draw.below(3),
        1 + draw.below(5)
    )
}

fn decoder(seed: u64) -> String {
    let mut draw = Draw(seed);
    let layer = if seed % 4 == 3 { state(&mut draw) } else { attention(&mut draw) };
    let (feature, depth) = (2 + draw.below(7), 1 + draw.below(3));
    let (members, takes, encode, look, blocks) = match crosses(seed) {
        false => ("", "", "", "", String::new()),
        true => (
            "  readers = Reader(feature) * 2
  crosses = Cross(feature) * 2
",
            "read: [batch, from] of token, present: [batch, from] of bool, ",
            "    seen = tokens[token: read]
    for reader in readers { seen = reader(seen, present) }
",
            "    for cross in crosses { x = x + cross(norm(x), seen, present) }
",
            cross(&mut draw),
        ),
    };
    format!(
        "use std.attention: causal, window, sinks
use std.functions: softmax, sigmoid
use std.layers: Linear, LayerNorm

model Decoder() {{
  axis token = 11
  axis feature = {feature}
  param tokens: [token, feature] ~ normal(std: 1.0)
  layers = Layer(feature) * {depth}
  norm = LayerNorm(feature)
{members}
  fn ({takes}ids: [batch, time] of token) -> (logits: [batch, time, token]) {{
{encode}    x = tokens[token: ids]
    for layer in layers {{ x = x + layer(norm(x)) }}
{look}    (logits: dot[feature](norm(x), tokens))
  }}
}}

{layer}

{blocks}
"
    )
}

#[test]
fn interpreted() {
    for seed in 0..12 {
        let text = decoder(seed);
        let done = std::panic::catch_unwind(|| check(&text));
        done.unwrap_or_else(|why| panic!("seed {seed}: {why:?}\n{text}"));
    }
}

fn compiled(optimise: bool, checked: bool) {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        let path = folder.path().join(format!("decoder{seed}.weft"));
        std::fs::write(&path, decoder(seed)).unwrap();
        let specification = specification(&path).unwrap();
        let subject = Subject::Model("Decoder".into(), Some(None));
        let task = Task { subject, settings: &[], threads: 2 };
        let mut native =
            Native::new(&specification, &task, optimise, checked).unwrap_or_else(|e| panic!("seed {seed}: {e:#}"));
        let slots = native.machine.plan().slots.clone();
        let (mut draw, reads) = (Draw(seed), crosses(seed));
        for (number, _) in slots.iter().enumerate().filter(|(_, slot)| matches!(slot.role, Role::Param(_))) {
            for element in native.machine.slot_mut(number).as_chunks_mut::<4>().0 {
                *element = (draw.below(2001) as f32 / 1000.0 - 1.0).to_le_bytes();
            }
        }
        writes(&mut native, &[vec![4, 9, 2]], 4, ["prefill", "decode"], 17, reads);
        let prompts = [vec![4, 9, 2, 8, 1], vec![1], vec![3, 10, 5]];
        writes(&mut native, &prompts, 4, ["prefill_rows", "decode_rows"], 19, reads);
        if reads {
            generates(&mut native, &prompts);
            generates(&mut native, &prompts[..1]);
        }
    }
}

#[test]
fn unoptimised() {
    compiled(false, false);
}

#[test]
fn optimised() {
    compiled(true, false);
}

#[test]
fn optimised_checked() {
    compiled(true, true);
}
