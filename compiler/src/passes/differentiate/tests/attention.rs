//! Gradients of attention against finite differences, with and without its kernel.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Elem;

use super::{check, with_gradients};
use crate::graph::{Bindings, Form, Graph, Kind, Region, Value, eval, print};
use crate::passes::attention::tests::{SCORES, SMALL, Writing, close, found};
use crate::passes::canonical::canonicalise;

/// `Σ attention · weight`, with random weights.
fn loss(mut w: Writing, out: Value) -> (Graph, Bindings) {
    let axes = w.b.type_of(&out).axes;
    let weight = w.float("weight", &axes);
    let weighted = w.map(E::MUL, &[out, weight]);
    let sum = w.b.op(Op::Reduce(Monoid::Sum, axes), &[weighted]);
    w.finish(sum)
}

fn forms(region: &Region) -> Vec<Form> {
    let mut out = Vec::new();
    for (_, node) in region.iter() {
        match &node.kind {
            Kind::Fused(fused) => out.push(fused.form),
            Kind::Scan(scan) => out.extend(forms(&scan.body)),
            _ => {}
        }
    }
    out
}

#[test]
fn attention_has_a_derivative_of_its_own() {
    for (name, program) in SCORES {
        for sizes in [SMALL, [1, 1, 1, 3, 2, 1, 2]] {
            let mut w = Writing::new(sizes, sizes[3] == sizes[4]);
            let score = program(&mut w);
            let out = w.attend(score);
            let (graph, bindings) = loss(w, out);
            let fused = found(&graph);
            let mut plain = graph.clone();
            canonicalise(&mut plain);
            let (mut fused_gradients, _) = with_gradients(&fused);
            canonicalise(&mut fused_gradients);
            let found = forms(&fused_gradients.body);
            assert_eq!(found, [Form::Attention, Form::AttentionBackward], "{name}\n{}", print(&fused_gradients));
            let expected = eval(&with_gradients(&plain).0, &bindings).unwrap();
            close(name, &eval(&fused_gradients, &bindings).unwrap(), &expected, 1e-11);
            check(name, &fused, &bindings);
        }
    }
}

/// A bias that learns: its gradient is one of the scores themselves.
#[test]
fn a_bias_that_learns_takes_the_plain_rules() {
    let mut w = Writing::new(SMALL, true);
    let (s, bias) = (w.scaled(), w.float("bias", &[w.group, w.time, w.source]));
    let s = w.map(E::ADD, &[s, bias]);
    let m = w.causal();
    let s = w.masked(s, m);
    let out = w.attend(s);
    let (graph, bindings) = loss(w, out);
    let fused = found(&graph);
    let (gradients, _) = with_gradients(&fused);
    assert_eq!(forms(&gradients.body), [Form::Attention]);
    check("bias", &fused, &bindings);
}

/// Layers save the result and one number for each row, nothing of the size of the scores.
#[test]
fn layers_save_no_scores() {
    let mut w = Writing::new(SMALL, true);
    let layer = w.b.axes().fresh("layer", weft_dsl::size::Size::of(3), false);
    let scale = w.input("scale", Elem::Float, &[layer], &|u| u + 0.5);
    let (q, k, v) = (w.q, w.k, w.v);
    let value = w.b.type_of(&v).axes.into_iter().find(|&a| !w.b.type_of(&k).has(a)).unwrap();
    let mix = w.float("mix", &[value, w.key]);
    let carried = w.b.begin_loop(layer, &[q]);
    let factor = w.b.slice(&scale, layer);
    w.q = w.map(E::MUL, &[carried[0], factor]);
    (w.k, w.v) = (k, v);
    let (s, m) = (w.scaled(), w.causal());
    let s = w.masked(s, m);
    let out = w.attend(s);
    let mixed = w.b.op(Op::Contract(vec![value]), &[out, mix]);
    let next = w.map(E::ADD, &[carried[0], mixed]);
    let result = w.b.end_loop(&[next], &[])[0];
    let (time, source) = (w.time, w.source);
    let (graph, bindings) = loss(w, result);
    let fused = found(&graph);
    let (mut gradients, _) = with_gradients(&fused);
    canonicalise(&mut gradients);
    assert_eq!(forms(&gradients.body), [Form::Attention, Form::AttentionBackward], "{}", print(&gradients));
    for node in gradients.body.nodes.iter().filter(|n| matches!(n.kind, Kind::Project(_))) {
        assert!(!(node.ty.has(time) && node.ty.has(source)), "{}", print(&gradients));
    }
    check("layers", &fused, &bindings);
}
