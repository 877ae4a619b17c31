//! Attention kernels against the meaning of their bodies.

use std::rc::Rc;

use weft_dsl::op::Op;
use weft_dsl::types::Elem;

use super::schedule;
use crate::graph::{Array, Form, Fused, Graph, Kind, Node, RegionBuilder, Sizes, eval_region};
use crate::passes::attention::shape;
use crate::passes::attention::tests::{SCORES, SMALL, VARIANTS, Writing, attention, found};
use crate::passes::differentiate::gradient;
use crate::schedule::testing::{Chance, Ready, With};
use crate::schedule::{Layout, Machine, Unit};

/// Sizes of batch, group, member, time, source, key, value: odd, prime, 1, 0, more than one block, tile and chunk of each.
const SIZES: &[[i64; 7]] = &[
    [2, 2, 2, 7, 7, 5, 3],
    [1, 1, 1, 1, 1, 1, 1],
    [1, 2, 1, 37, 37, 16, 17],
    [1, 1, 2, 3, 71, 4, 8],
    [1, 1, 1, 33, 0, 3, 3],
    [1, 1, 1, 0, 5, 3, 3],
    [1, 1, 2, 67, 131, 8, 5],
    [1, 1, 1, 149, 149, 2, 3],
    [1, 1, 2, 83, 6, 3, 5],
    [1, 1, 1, 269, 269, 2, 3],
    [1, 1, 1, 523, 523, 2, 2],
];

/// With which the kernels of some sizes run: compiled, and in doubles where sums are long.
fn with(size: usize) -> With {
    match size {
        2 | 9.. => With::Machine,
        6..=8 => With::Wide,
        _ => With::Interpreter,
    }
}

/// The fused node of the only attention of a program, with its axes and arguments.
fn ready(graph: &Graph, sizes: &std::collections::HashMap<String, i64>) -> Ready {
    let found = found(graph);
    let fused = attention(&found).unwrap();
    Ready { body: fused.body.clone(), axes: found.axes.clone(), bound: sizes.clone() }
}

/// With the log-sum-exp of the scores as a second result.
fn with_sums(mut ready: Ready) -> Ready {
    let s = shape(&ready.body).unwrap();
    let mut b = RegionBuilder::from(ready.body);
    let sum = b.op(&ready.axes, Op::LogSumExp(vec![s.source]), &[s.score]);
    ready.body = b.finish(vec![s.output, sum]);
    ready
}

#[test]
fn forward() {
    for (number, (_, program)) in SCORES.iter().enumerate() {
        for (i, &sizes) in SIZES.iter().enumerate() {
            let mut w = Writing::new(sizes, sizes[3] == sizes[4]);
            let score = program(&mut w);
            let out = w.attend(score);
            let (graph, bindings) = w.finish(out);
            let plain = ready(&graph, &bindings.sizes);
            let seed = (number * SIZES.len() + i) as u64;
            let lanes = [16, 4, 8][(number + i) % 3];
            plain.check_with(schedule, Form::Attention, lanes, seed, with(i));
            let arguments = plain.arguments(&mut Chance(seed));
            with_sums(plain).check_plain(schedule, Form::Attention, 16, &arguments);
        }
    }
}

#[test]
fn one_kernel_for_several() {
    let kernels: Vec<_> = VARIANTS
        .iter()
        .map(|(_, program)| {
            let mut w = Writing::new(SMALL, true);
            let out = program(&mut w);
            let (graph, bindings) = w.finish(out);
            let ready = ready(&graph, &bindings.sizes);
            let layouts = |types: &[weft_dsl::types::Type]| types.iter().map(|t| Layout(t.axes.clone())).collect::<Vec<_>>();
            let fused = Fused { form: Form::Attention, body: ready.body.clone() };
            let machine = Machine {
                lanes: 16,
                registers: 32,
                unit: Unit::Absent,
                l1: 32 << 10,
                l2: 1 << 20,
                tuning: Default::default(),
            };
            let (inputs, outputs) = (layouts(&ready.body.arguments), layouts(&ready.body.results()));
            schedule(&fused, &ready.axes, &inputs, &outputs, &machine).unwrap()
        })
        .collect();
    for other in &kernels[1..] {
        assert_eq!(other.kernel, kernels[0].kernel);
        assert_eq!(other.sizes, kernels[0].sizes);
    }
}

/// The derivative, from what the attention itself gives.
#[test]
fn backward() {
    for (number, (_, program)) in SCORES.iter().enumerate() {
        for (i, &sizes) in SIZES.iter().enumerate() {
            let mut w = Writing::new(sizes, sizes[3] == sizes[4]);
            let score = program(&mut w);
            let out = w.attend(score);
            let (graph, bindings) = w.finish(out);
            let mut derived = found(&graph);
            let learns = |node: &Node| matches!(node.kind, Kind::Argument(_)) && node.ty.elem == Elem::Float;
            let wrt: Vec<_> = derived.body.iter().filter(|(_, node)| learns(node)).map(|(id, _)| id).collect();
            let loss = derived.body.outputs[0];
            gradient(&mut derived, loss, &wrt);
            let of = |form: Form| {
                let mut all = derived.body.nodes.iter().filter_map(|n| match &n.kind {
                    Kind::Fused(fused) if fused.form == form => Some(fused.body.clone()),
                    _ => None,
                });
                all.next().unwrap()
            };
            let ready = |body| Ready { body, axes: derived.axes.clone(), bound: bindings.sizes.clone() };
            let (forward, backward) = (ready(of(Form::Attention)), ready(of(Form::AttentionBackward)));
            let seed = (number * SIZES.len() + i) as u64;
            let mut arguments = forward.arguments(&mut Chance(seed));
            let lengths = Sizes::new(&derived.axes, &bindings.sizes);
            let made = eval_region(&lengths, &forward.body, &arguments).unwrap();
            let cotangent = backward.arguments(&mut Chance(seed + 1)).pop().unwrap();
            arguments.extend(made.into_iter().chain([cotangent]).collect::<Vec<Rc<Array>>>());
            let lanes = [16, 4, 8][(number + i) % 3];
            backward.check_on(schedule, Form::AttentionBackward, lanes, seed, &arguments, with(i));
        }
    }
}
