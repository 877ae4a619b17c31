//! Attention is found however it is written, and means the same.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use super::find;
use crate::graph::{Array, Bindings, Builder, Form, Fused, Graph, Kind, Value, eval, print, validate};
use crate::passes::canonical::canonicalise;

/// An attention being written: `q: [batch, group, member, time, key]`, `k` and `v` without `member`.
pub(crate) struct Writing {
    pub b: Builder,
    pub batch: Axis,
    pub group: Axis,
    pub time: Axis,
    pub source: Axis,
    pub key: Axis,
    pub q: Value,
    pub k: Value,
    pub v: Value,
    pub bindings: Bindings,
    seed: u64,
}

/// Sizes of `batch`, `group`, `member`, `time`, `source`, `key`, `value`.
pub(crate) const SMALL: [i64; 7] = [2, 3, 2, 5, 5, 4, 3];

impl Writing {
    /// Keys of their own length: all sizes are free, but for `key` and `value`. Shared: `k` and `v` come along `time`.
    pub(crate) fn new(sizes: [i64; 7], shared: bool) -> Self {
        let names = ["batch", "group", "member", "time", "source", "key", "value"];
        let mut axes = Axes::default();
        let mut bindings = Bindings::default();
        let list: Vec<Axis> = names
            .iter()
            .zip(sizes)
            .map(|(name, n)| {
                bindings.sizes.insert((*name).into(), n);
                let free = if *name == "source" && shared { "time" } else { name };
                let known = matches!(*name, "key" | "value" | "member");
                axes.fresh(name, if known { Size::of(n) } else { Size::var(free) }, *name == "batch")
            })
            .collect();
        let &[batch, group, member, time, source, key, value] = list.as_slice() else { unreachable!() };
        let b = Builder::new(axes);
        let zero = Value { depth: 0, node: crate::graph::NodeId(0) };
        let mut w = Self { b, batch, group, time, source, key, q: zero, k: zero, v: zero, bindings, seed: 7 };
        let along = if shared { time } else { source };
        w.q = w.float("q", &[batch, group, member, time, key]);
        w.k = w.float("k", &[batch, group, along, key]);
        w.v = w.float("v", &[batch, group, along, value]);
        if shared {
            w.k = w.b.op(Op::Rename(time, source), &[w.k]);
            w.v = w.b.op(Op::Rename(time, source), &[w.v]);
        }
        w
    }

    fn uniform(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn input(&mut self, name: &str, elem: Elem, axes: &[Axis], draw: &dyn Fn(f64) -> f64) -> Value {
        let size = |a: Axis| {
            let known = |name: &str| self.bindings.sizes.get(name).map(|&n| Size::of(n));
            self.b.clone().axes().size(a).substitute(&known).unwrap().known().unwrap() as usize
        };
        let dims: Vec<_> = axes.iter().map(|&a| (a, size(a))).collect();
        let count = dims.iter().map(|d| d.1).product();
        // As a kernel reads them.
        let data = (0..count).map(|_| f64::from(draw(self.uniform()) as f32)).collect();
        self.bindings.inputs.insert(name.into(), Array::from_order(&dims, data).unwrap());
        self.b.input(name, elem, axes)
    }

    pub(crate) fn float(&mut self, name: &str, axes: &[Axis]) -> Value {
        self.input(name, Elem::Float, axes, &|u| u * 3.0 - 1.5)
    }

    pub(crate) fn truths(&mut self, name: &str, axes: &[Axis]) -> Value {
        self.input(name, Elem::Bool, axes, &|u| f64::from(u8::from(u > 0.5)))
    }

    pub(crate) fn int(&mut self, name: &str, axes: &[Axis], below: f64) -> Value {
        self.input(name, Elem::Int, axes, &|u| (u * below).floor())
    }

    pub(crate) fn map(&mut self, op: E, operands: &[Value]) -> Value {
        self.b.op(Op::Map(op), operands)
    }

    pub(crate) fn number(&mut self, value: f64) -> Value {
        self.b.op(Op::Constant(Number(value), Elem::Float, Vec::new()), &[])
    }

    pub(crate) fn whole(&mut self, value: f64) -> Value {
        self.b.op(Op::Constant(Number(value), Elem::Int, Vec::new()), &[])
    }

    pub(crate) fn index(&mut self, axis: Axis) -> Value {
        self.b.op(Op::Index(axis), &[])
    }

    pub(crate) fn causal(&mut self) -> Value {
        let (s, t) = (self.index(self.source), self.index(self.time));
        self.map(E::LE, &[s, t])
    }

    /// Causal, and no further back than so many.
    pub(crate) fn window(&mut self, near: f64) -> Value {
        let (m, t, j, n) = (self.causal(), self.index(self.time), self.index(self.source), self.whole(near));
        let back = self.map(E::SUB, &[t, j]);
        let near = self.map(E::LT, &[back, n]);
        self.map(E::AND, &[m, near])
    }

    pub(crate) fn product(&mut self) -> Value {
        self.b.op(Op::Contract(vec![self.key]), &[self.q, self.k])
    }

    /// `product / √key`
    pub(crate) fn scaled(&mut self) -> Value {
        let product = self.product();
        let root = self.root();
        self.map(E::DIV, &[product, root])
    }

    pub(crate) fn root(&mut self) -> Value {
        let size = self.b.axes().size(self.key).clone();
        let extent = self.b.op(Op::Extent(size), &[]);
        self.map(E::SQRT, &[extent])
    }

    pub(crate) fn masked(&mut self, score: Value, mask: Value) -> Value {
        let nothing = self.number(f64::NEG_INFINITY);
        self.map(E::SELECT, &[mask, score, nothing])
    }

    /// The softmax as the language's library writes it, then the weighted values.
    pub(crate) fn attend(&mut self, score: Value) -> Value {
        let weights = self.softmax(score);
        self.b.op(Op::Contract(vec![self.source]), &[weights, self.v])
    }

    pub(crate) fn softmax(&mut self, score: Value) -> Value {
        let source = self.source;
        let highest = self.b.op(Op::Reduce(Monoid::Max, vec![source]), &[score]);
        let highest = self.b.op(Op::StopGradient, &[highest]);
        let shifted = self.map(E::SUB, &[score, highest]);
        let e = self.map(E::EXP, &[shifted]);
        let sum = self.b.op(Op::Reduce(Monoid::Sum, vec![source]), &[e]);
        self.map(E::DIV, &[e, sum])
    }

    pub(crate) fn finish(self, result: Value) -> (Graph, Bindings) {
        let axes = self.b.type_of(&result).axes;
        let graph = self.b.finish(vec![("out".into(), axes, result)]);
        (graph, self.bindings)
    }
}

/// The program in canonical form with its attentions found.
pub(crate) fn found(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    canonicalise(&mut graph);
    find(&mut graph);
    validate(&graph).unwrap();
    graph
}

pub(crate) fn attention(graph: &Graph) -> Option<&Fused> {
    let mut found = graph.body.iter().filter_map(|(_, n)| match &n.kind {
        Kind::Fused(fused) if fused.form == Form::Attention => Some(&**fused),
        _ => None,
    });
    let first = found.next();
    assert!(found.next().is_none());
    first
}

type Program = fn(&mut Writing) -> Value;

/// Ways to write masks and biases.
pub(crate) const SCORES: &[(&str, Program)] = &[
    ("plain", |w| w.scaled()),
    ("causal", |w| {
        let (s, m) = (w.scaled(), w.causal());
        w.masked(s, m)
    }),
    ("window", |w| {
        let (s, m) = (w.scaled(), w.window(2.0));
        w.masked(s, m)
    }),
    ("window of one", |w| {
        let (s, m) = (w.scaled(), w.window(1.0));
        w.masked(s, m)
    }),
    ("window over blocks", |w| {
        let (s, m) = (w.scaled(), w.window(40.0));
        w.masked(s, m)
    }),
    ("padding", |w| {
        let (s, m) = (w.scaled(), w.truths("present", &[w.batch, w.source]));
        w.masked(s, m)
    }),
    ("prefix", |w| {
        let (s, m) = (w.scaled(), w.causal());
        let (length, j) = (w.int("length", &[w.batch], 5.0), w.index(w.source));
        let early = w.map(E::LT, &[j, length]);
        let either = w.map(E::OR, &[m, early]);
        w.masked(s, either)
    }),
    ("rows of nothing", |w| {
        let (s, m) = (w.scaled(), w.truths("seen", &[w.batch, w.time]));
        let s = w.masked(s, m);
        let c = w.causal();
        w.masked(s, c)
    }),
    ("bias", |w| {
        let (s, c) = (w.scaled(), w.causal());
        let (half, head, t, j) = (w.number(0.5), w.index(w.group), w.index(w.time), w.index(w.source));
        let (slope, distance) = (w.map(E::POW, &[half, head]), w.map(E::SUB, &[j, t]));
        let bias = w.map(E::MUL, &[slope, distance]);
        let s = w.map(E::ADD, &[s, bias]);
        w.masked(s, c)
    }),
    ("soft cap", |w| {
        let (s, five) = (w.scaled(), w.number(5.0));
        let s = w.map(E::DIV, &[s, five]);
        let s = w.map(E::TANH, &[s]);
        let s = w.map(E::MUL, &[s, five]);
        let m = w.causal();
        w.masked(s, m)
    }),
    ("documents", |w| {
        let (s, m) = (w.scaled(), w.causal());
        let own = w.int("document", &[w.batch, w.time], 2.0);
        let [rows, sources] = [w.time, w.source].map(|axis| w.b.axes().size(axis).clone());
        let other = if rows == sources {
            w.b.op(Op::Rename(w.time, w.source), &[own])
        } else {
            w.int("of", &[w.batch, w.source], 2.0)
        };
        let same = w.map(E::EQ, &[own, other]);
        let both = w.map(E::AND, &[m, same]);
        w.masked(s, both)
    }),
    ("prefix in a window", |w| {
        let s = w.scaled();
        let (t, j, n) = (w.index(w.time), w.index(w.source), w.whole(2.0));
        let (back, length) = (w.map(E::SUB, &[t, j]), w.int("length", &[w.batch], 4.0));
        let (near, early, m) = (w.map(E::LT, &[back, n]), w.map(E::LT, &[j, length]), w.causal());
        let near = w.map(E::AND, &[m, near]);
        let either = w.map(E::OR, &[near, early]);
        w.masked(s, either)
    }),
    ("a table of distances", |w| {
        let (s, c) = (w.scaled(), w.causal());
        let bucket = w.b.axes().fresh("bucket", Size::of(4), false);
        w.bindings.sizes.insert("bucket".into(), 4);
        let table = w.float("table", &[bucket, w.group]);
        let (t, j, none, most) = (w.index(w.time), w.index(w.source), w.whole(0.0), w.whole(3.0));
        let back = w.map(E::SUB, &[t, j]);
        let back = w.map(E::MAX, &[back, none]);
        let back = w.map(E::MIN, &[back, most]);
        let at = w.b.op(Op::Cast(Elem::Index(bucket)), &[back]);
        let bias = w.b.op(Op::Lookup(bucket), &[table, at]);
        let s = w.map(E::ADD, &[s, bias]);
        w.masked(s, c)
    }),
    ("a table whose place is compared", |w| {
        let (s, c) = (w.scaled(), w.causal());
        let bucket = w.b.axes().fresh("bucket", Size::of(4), false);
        w.bindings.sizes.insert("bucket".into(), 4);
        let table = w.float("table", &[bucket, w.group]);
        let (t, j, most, zero) = (w.index(w.time), w.index(w.source), w.whole(3.0), w.number(0.0));
        let back = w.map(E::SUB, &[t, j]);
        let back = w.map(E::MIN, &[back, most]);
        let place = w.index(bucket);
        let here = w.map(E::EQ, &[place, back]);
        let chosen = w.map(E::SELECT, &[here, table, zero]);
        let bias = w.b.op(Op::Reduce(Monoid::Sum, vec![bucket]), &[chosen]);
        let s = w.map(E::ADD, &[s, bias]);
        w.masked(s, c)
    }),
    ("scores of the first sources in memory", |w| {
        let s = w.scaled();
        let first = w.b.axes().fresh("first", Size::of(3), false);
        w.bindings.sizes.insert("first".into(), 3);
        let mut over = w.b.type_of(&w.q).without(&[w.key]).axes;
        over.push(first);
        let table = w.float("table", &over);
        let (t, j, one, least, last) = (w.index(w.time), w.index(w.source), w.whole(1.0), w.whole(0.0), w.whole(2.0));
        let at = w.map(E::SUB, &[j, one]);
        let at = w.map(E::MIN, &[at, last]);
        let at = w.map(E::MAX, &[least, at]);
        let at = w.b.op(Op::Cast(Elem::Index(first)), &[at]);
        let own = w.b.op(Op::Lookup(first), &[table, at]);
        let (five, m) = (w.whole(5.0), w.causal());
        let (early, later) = (w.map(E::LT, &[j, five]), w.map(E::LT, &[j, t]));
        let apart = w.map(E::AND, &[early, later]);
        let s = w.map(E::SELECT, &[apart, own, s]);
        w.masked(s, m)
    }),
    ("a slope that learns", |w| {
        let (s, c) = (w.scaled(), w.causal());
        let (slope, t, j) = (w.float("slope", &[w.group]), w.index(w.time), w.index(w.source));
        let distance = w.map(E::SUB, &[j, t]);
        let bias = w.map(E::MUL, &[slope, distance]);
        let s = w.map(E::ADD, &[bias, s]);
        w.masked(s, c)
    }),
    ("a number for each source, and a temperature", |w| {
        let (s, each, heat) = (w.scaled(), w.float("each", &[w.group, w.source]), w.float("heat", &[]));
        let s = w.map(E::ADD, &[s, each]);
        let s = w.map(E::MUL, &[s, heat]);
        let m = w.causal();
        w.masked(s, m)
    }),
    ("another product at the first sources", |w| {
        let over = w.b.type_of(&w.q).axes;
        let (other, product, c) = (w.float("other", &over), w.product(), w.causal());
        let (j, two) = (w.index(w.source), w.whole(2.0));
        let other = w.b.op(Op::Contract(vec![w.key]), &[other, w.k]);
        let later = w.map(E::LE, &[two, j]);
        let s = w.map(E::SELECT, &[later, product, other]);
        w.masked(s, c)
    }),
];

pub(crate) fn close(name: &str, got: &[Array], expected: &[Array], within: f64) {
    assert_eq!(got.len(), expected.len());
    for (number, (g, e)) in got.iter().zip(expected).enumerate() {
        assert_eq!(g.dims(), e.dims(), "{name}");
        for (i, (a, b)) in g.data.iter().zip(&e.data).enumerate() {
            let near = a == b || (a - b).abs() <= within * (1.0 + b.abs());
            assert!(near, "{name}: output {number} at {i}: {a} where {b} belongs");
        }
    }
}

#[test]
fn the_meaning_stays() {
    for (name, program) in SCORES {
        for sizes in [SMALL, [1, 1, 1, 1, 1, 1, 1], [1, 2, 3, 0, 0, 2, 2]] {
            for shared in [true, false] {
                let mut w = Writing::new(sizes, shared);
                let score = program(&mut w);
                let out = w.attend(score);
                let (graph, bindings) = w.finish(out);
                let found = found(&graph);
                assert!(attention(&found).is_some(), "{name}: {}", print(&found));
                let mut plain = graph.clone();
                canonicalise(&mut plain);
                close(name, &eval(&found, &bindings).unwrap(), &eval(&plain, &bindings).unwrap(), 1e-12);
            }
        }
    }
}

/// The same attention written in several ways.
pub(crate) const VARIANTS: &[(&str, Program)] = &[
    ("scale on the score", |w| {
        let (s, m) = (w.scaled(), w.causal());
        let s = w.masked(s, m);
        w.attend(s)
    }),
    ("scale on the query", |w| {
        let root = w.root();
        w.q = w.map(E::DIV, &[w.q, root]);
        let (s, m) = (w.product(), w.causal());
        let s = w.masked(s, m);
        w.attend(s)
    }),
    ("scale on both sides", |w| {
        let half = w.number(0.5);
        let sixth = w.number(1.0);
        w.q = w.map(E::MUL, &[half, w.q]);
        w.k = w.map(E::MUL, &[w.k, sixth]);
        let (s, m) = (w.product(), w.causal());
        let s = w.masked(s, m);
        w.attend(s)
    }),
    ("an additive mask", |w| {
        let (s, m) = (w.scaled(), w.causal());
        let (zero, nothing) = (w.number(0.0), w.number(f64::NEG_INFINITY));
        let mask = w.map(E::SELECT, &[m, zero, nothing]);
        let s = w.map(E::ADD, &[mask, s]);
        w.attend(s)
    }),
    ("values first", |w| {
        let (s, m) = (w.scaled(), w.causal());
        let s = w.masked(s, m);
        let weights = w.softmax(s);
        w.b.op(Op::Contract(vec![w.source]), &[w.v, weights])
    }),
];

#[test]
fn one_form_for_several() {
    let bodies: Vec<Fused> = VARIANTS
        .iter()
        .map(|(name, program)| {
            let mut w = Writing::new(SMALL, true);
            let out = program(&mut w);
            let (graph, _) = w.finish(out);
            let found = found(&graph);
            attention(&found).unwrap_or_else(|| panic!("{name}: {}", print(&found))).clone()
        })
        .collect();
    for (body, (name, _)) in bodies.iter().zip(VARIANTS) {
        assert_eq!(body, &bodies[0], "{name}");
    }
}

#[test]
fn weights_that_are_read_stay() {
    let mut w = Writing::new(SMALL, true);
    let score = w.scaled();
    let weights = w.softmax(score);
    let out = w.b.op(Op::Contract(vec![w.source]), &[weights, w.v]);
    let axes = w.b.type_of(&weights).axes;
    w.b.output("weights", &axes, &weights);
    let (graph, _) = w.finish(out);
    assert!(attention(&found(&graph)).is_none());
}

#[test]
fn the_weights_may_be_renamed() {
    let mut w = Writing::new(SMALL, true);
    let (s, m) = (w.scaled(), w.causal());
    let s = w.masked(s, m);
    let weights = w.softmax(s);
    let [other, later] = [(w.source, "other"), (w.time, "later")].map(|(a, name)| w.b.axes().like(a, name));
    let weights = w.b.op(Op::Rename(w.source, other), &[weights]);
    let weights = w.b.op(Op::Rename(w.time, later), &[weights]);
    let v = w.b.op(Op::Rename(w.source, other), &[w.v]);
    let out = w.b.op(Op::Contract(vec![other]), &[v, weights]);
    let (graph, bindings) = w.finish(out);
    let found = found(&graph);
    assert!(attention(&found).is_some(), "{}", print(&found));
    close("renamed", &eval(&found, &bindings).unwrap(), &eval(&graph, &bindings).unwrap(), 1e-12);
}
