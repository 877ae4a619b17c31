//! Products against the meaning of their bodies.

use std::rc::Rc;

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axis, Elem};

use super::schedule;
use crate::graph::{Array, Form, Fused, NodeId, Sizes, eval_region};
use crate::schedule::testing::{Case, Chance, Ready, With};
use crate::schedule::{Layout, Machine, Unit};
use crate::target::cpu::{Cpu, Loaded, compile};

/// Several layouts, of each kind of operand, for each number of lanes.
pub(super) fn check(ready: &Ready) {
    for seed in 0..6 {
        ready.check(schedule, Form::Product, [16, 4, 8][seed % 3], seed as u64 + 1);
    }
}

/// `x [rows, sum]`, `y [columns, sum]`, their product.
pub(super) fn product(c: &mut Case, (rows, columns, sum): (i64, i64, i64)) -> (NodeId, NodeId, NodeId) {
    let (t, o, i) = (c.free("time", rows), c.axis("out", columns), c.axis("in", sum));
    let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    (x, y, z)
}

#[test]
fn shapes() {
    let shapes = [
        (1, 1, 1),
        (8, 16, 16),
        (3, 5, 7),
        (17, 50, 33),
        (0, 5, 3),
        (5, 0, 3),
        (5, 3, 0),
        (64, 64, 2),
        (31, 66, 13),
        (2, 97, 40),
        (41, 1, 19),
    ];
    for shape in shapes {
        let mut c = Case::default();
        let (_, _, z) = product(&mut c, shape);
        check(&c.finish(vec![z]));
    }
}

#[test]
fn beyond_blocks() {
    for shape in [(300, 19, 5), (9, 800, 6), (10, 18, 700), (270, 130, 3)] {
        let mut c = Case::default();
        let (_, _, z) = product(&mut c, shape);
        let ready = c.finish(vec![z]);
        ready.check(schedule, Form::Product, 16, 5);
        ready.check(schedule, Form::Product, 4, 8);
    }
}

#[test]
fn few_rows() {
    for (rows, columns, sum) in [(1, 1, 1), (1, 40, 64), (1, 300, 9), (3, 70, 33), (4, 16, 600), (2, 5, 0)] {
        let mut c = Case::default();
        let (t, o, i) = (c.axis("time", rows), c.axis("out", columns), c.axis("in", sum));
        let (x, y, scale) = (c.float(&[t, i]), c.float(&[o, i]), c.float(&[i]));
        // The second operand is not 0, nor even a number, where there is nothing.
        let scaled = c.map(E::DIV, &[y, scale]);
        let z = c.op(Op::Contract(vec![i]), &[x, scaled]);
        let out = c.map(E::TANH, &[z]);
        check(&c.finish(vec![z, out]));
    }
}

/// Several blocks of a sum whose places are taken some at a time.
#[test]
fn few_rows_of_a_long_sum() {
    for (rows, sum) in [(2, 4104), (1, 4112), (1, 4128)] {
        for along_the_sum in [false, true] {
            let mut c = Case::default();
            let (t, o, i) = (c.axis("time", rows), c.axis("out", 40), c.axis("in", sum));
            let (x, y) = (c.float(&[t, i]), c.float(&if along_the_sum { [o, i] } else { [i, o] }));
            let z = c.op(Op::Contract(vec![i]), &[x, y]);
            check(&c.finish(vec![z]));
        }
    }
}

#[test]
fn heavy_columns() {
    for (out, width) in [(33, 18), (16, 32), (50, 300)] {
        let mut c = Case::default();
        let (t, o, i) = (c.free("time", 9), c.axis("out", out), c.axis("in", width));
        let (x, y, rest) = (c.float(&[t, i]), c.float(&[o, i]), c.float(&[o]));
        let sum = c.map(E::ADD, &[y, rest]);
        let tanh = c.map(E::TANH, &[sum]);
        let scaled = c.map(E::MUL, &[tanh, y]);
        let z = c.op(Op::Contract(vec![i]), &[x, scaled]);
        check(&c.finish(vec![z]));
    }
}

#[test]
fn free_sums() {
    for (batch, time) in [(3, 5), (0, 5), (1, 1), (2, 150)] {
        let mut c = Case::default();
        let (b, t) = (c.free("batch", batch), c.free("time", time));
        let (i, o) = (c.axis("in", 20), c.axis("out", 35));
        let (x, y) = (c.float(&[b, t, i]), c.float(&[b, t, o]));
        let z = c.op(Op::Contract(vec![b, t]), &[x, y]);
        check(&c.finish(vec![z]));
    }
}

#[test]
fn several_axes_of_each_kind() {
    for (key, width, length) in [(16, 32, 4), (3, 5, 7), (8, 12, 20)] {
        let mut c = Case::default();
        let (b, g) = (c.free("batch", 2), c.axis("group", 3));
        let (t, u) = (c.free("time", length), c.axis("side", 2));
        let (h, k) = (c.axis("head", 2), c.axis("key", key));
        let (i, j) = (c.axis("width", width), c.axis("part", 2));
        let (x, y) = (c.float(&[b, g, t, u, i, j]), c.float(&[b, g, h, k, i, j]));
        let z = c.op(Op::Contract(vec![i, j]), &[x, y]);
        check(&c.finish(vec![z]));
    }
}

#[test]
fn lone_axes() {
    // An axis of the sum that one operand lacks; an operand without rows.
    let mut c = Case::default();
    let (t, o, i, j) = (c.axis("time", 6), c.axis("out", 21), c.axis("in", 9), c.axis("more", 3));
    let (x, y) = (c.float(&[t, i, j]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i, j]), &[x, y]);
    check(&c.finish(vec![z]));
    let mut c = Case::default();
    let (o, i) = (c.axis("out", 21), c.axis("in", 9));
    let (x, y) = (c.float(&[i]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    check(&c.finish(vec![z]));
}

#[test]
fn expressions_around() {
    for (length, out, width) in [(5, 33, 18), (12, 16, 32)] {
        let mut c = Case::default();
        let (b, t) = (c.free("batch", 2), c.free("time", length));
        let (o, i) = (c.axis("out", out), c.axis("in", width));
        let (x, y) = (c.float(&[b, t, i]), c.float(&[o, i]));
        let (mean, scale, bias) = (c.float(&[b, t]), c.float(&[i]), c.float(&[o]));
        let (rest, rate) = (c.float(&[b, t, o]), c.float(&[]));
        let centred = c.map(E::SUB, &[x, mean]);
        let scaled = c.map(E::MUL, &[centred, scale]);
        let first = c.map(E::TANH, &[scaled]);
        let second = c.map(E::MUL, &[y, rate]);
        let z = c.op(Op::Contract(vec![i]), &[first, second]);
        let biased = c.map(E::ADD, &[z, bias]);
        let active = c.map(E::TANH, &[biased]);
        let sum = c.map(E::ADD, &[active, rest]);
        let positive = c.map(E::GT, &[biased, rest]);
        let steady = c.op(Op::StopGradient, &[sum]);
        let number = c.op(Op::Cast(Elem::Float), &[positive]);
        check(&c.finish(vec![steady, z, positive, number]));
    }
}

#[test]
fn renamed_operands() {
    // `x · xᵀ` for each of a batch, and places read otherwise than for an address.
    let mut c = Case::default();
    let (b, t, s, i) = (c.free("batch", 2), c.axis("time", 19), c.axis("other", 19), c.axis("in", 12));
    let x = c.float(&[b, t, i]);
    let y = c.op(Op::Rename(t, s), &[x]);
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    let (row, column) = (c.op(Op::Index(t), &[]), c.op(Op::Index(s), &[]));
    let later = c.map(E::LE, &[row, column]);
    let rate = c.float(&[b]);
    let scaled = c.map(E::MUL, &[z, rate]);
    let masked = c.map(E::SELECT, &[later, scaled, z]);
    check(&c.finish(vec![masked, z]));
}

#[test]
fn moved_operands() {
    let mut c = Case::default();
    let (w, h, k, o) = (c.axis("width", 24), c.axis("head", 3), c.axis("key", 8), c.axis("out", 20));
    let (n, m) = (c.axis("vocabulary", 11), c.axis("token", 7));
    let table = c.float(&[n, w]);
    let index = c.index(n, &[m]);
    let x = c.op(Op::Lookup(n), &[table, index]);
    let y = c.float(&[h, k, o]);
    let y = c.op(Op::Merge(vec![h, k], w), &[y]);
    let z = c.op(Op::Contract(vec![w]), &[x, y]);
    check(&c.finish(vec![z]));
}

#[test]
fn other_bodies_are_refused() {
    let mut c = Case::default();
    let (t, i) = (c.axis("time", 7), c.axis("in", 8));
    let x = c.float(&[t, i]);
    let sum = c.op(Op::Reduce(Monoid::Sum, vec![i]), &[x]);
    let ready = c.finish(vec![sum]);
    let fused = Fused { form: Form::Product, body: ready.body };
    let layouts = [Layout(vec![t, i]), Layout(vec![t])];
    let machine =
        Machine { lanes: 8, registers: 16, unit: Unit::Absent, l1: 32 << 10, l2: 1 << 20, tuning: Default::default() };
    assert!(schedule(&fused, &ready.axes, &layouts[..1], &layouts[1..], &machine).is_err());
}

/// Bounds-checked code of this processor touches nothing outside its buffers, and computes what the body means.
#[test]
fn machine_code() {
    for (seed, shape) in (1..).zip([(5, 7, 9), (300, 70, 33), (17, 50, 300), (2, 40, 20), (64, 131, 48)]) {
        let mut c = Case::default();
        let (t, o, i) = (c.free("time", shape.0), c.axis("out", shape.1), c.axis("in", shape.2));
        let (x, y, bias) = (c.float(&[t, i]), c.float(&[o, i]), c.float(&[o]));
        let z = c.op(Op::Contract(vec![i]), &[x, y]);
        let out = c.map(E::ADD, &[z, bias]);
        let ready = c.finish(vec![out, z]);
        for inner in [[t, o], [t, i], [i, o], [i, i]] {
            let last = |axes: [Axis; 2], last: Axis| if axes[1] == last { axes.to_vec() } else { vec![axes[1], axes[0]] };
            let inputs = [last([t, i], inner[0]), last([o, i], inner[1]), vec![o]].map(Layout);
            let outputs = [vec![t, o], vec![o, t]].map(Layout);
            compiled(&ready, &inputs, &outputs, seed);
        }
    }
}

fn compiled(ready: &Ready, inputs: &[Layout], outputs: &[Layout], seed: u64) {
    let cpu = Cpu::host();
    let fused = Fused { form: Form::Product, body: ready.body.clone() };
    let scheduled = schedule(&fused, &ready.axes, inputs, outputs, &cpu.machine()).unwrap();
    let names = ["product".to_string()];
    let objects = compile(&[(names[0].clone(), &scheduled.kernel)], &cpu, true).unwrap();
    let loaded = Loaded::new(&objects, &names).unwrap();
    let entry = loaded.kernel("product").unwrap();

    let sizes = Sizes::new(&ready.axes, &ready.bound);
    let arguments = ready.arguments(&mut Chance(seed));
    let laid = |array: &Array, layout: &Layout| array.in_order(&sizes.dims(&layout.0).unwrap()).unwrap();
    let expected = eval_region(&sizes, &ready.body, &arguments).unwrap();
    let mut buffers: Vec<Vec<f32>> =
        arguments.iter().zip(inputs).map(|(a, l)| laid(a, l).into_iter().map(|v| v as f32).collect()).collect();
    buffers.extend(expected.iter().map(|array| vec![f32::NAN; array.data.len()]));
    let mut values: Vec<i64> = scheduled.sizes.iter().map(|s| sizes.value(s).unwrap()).collect();
    values.extend(buffers.iter().map(|b| b.len() as i64));
    let count = |(size, block): &(Size, u64)| (sizes.value(size).unwrap() as u64).div_ceil(*block) as i64;
    let tiles = scheduled.tiles.iter().map(count).product();
    let args: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
    let mut scratch = vec![0u64; scheduled.kernel.scratch as usize / 8 + 8];
    let start = scratch.as_ptr().cast::<u8>().align_offset(64);
    // SAFETY: the buffers and the scratch memory have the lengths that the kernel is told, and its alignment.
    unsafe { entry(args.as_ptr(), values.as_ptr(), 0, tiles, scratch.as_mut_ptr().cast::<u8>().add(start)) };
    assert_eq!(scratch[start / 8], 0, "argument {} at {}", scratch[start / 8].wrapping_sub(1), scratch[start / 8 + 1]);
    for ((got, array), layout) in buffers[inputs.len()..].iter().zip(&expected).zip(outputs) {
        for (&got, want) in got.iter().zip(laid(array, layout)) {
            assert!((f64::from(got) - want).abs() < 1e-3, "{got} is not {want}: {inputs:?}");
        }
    }
}

/// `select(from <= index(slot) < to, x, 0)` for segments one after another, of these lengths.
fn segmented(c: &mut Case, x: NodeId, (slot, group): (Axis, Axis)) -> NodeId {
    let [from, to] = [0, 1].map(|_| c.b.argument(weft_dsl::types::Type::new(Elem::Int, [group])));
    let at = c.op(Op::Index(slot), &[]);
    let (after, before) = (c.map(E::GE, &[at, from]), c.map(E::LT, &[at, to]));
    let inside = c.map(E::AND, &[after, before]);
    let zero = c.b.number(0.0);
    c.map(E::SELECT, &[inside, x, zero])
}

/// Arguments with the last two as the borders of segments of these lengths.
fn borders(ready: &Ready, seed: u64, lengths: &[usize]) -> Vec<Rc<Array>> {
    let mut given = ready.arguments(&mut Chance(seed));
    let ends: Vec<f64> = lengths
        .iter()
        .scan(0, |sum, n| {
            *sum += n;
            Some(*sum as f64)
        })
        .collect();
    let starts = ends.iter().zip(lengths).map(|(end, n)| end - *n as f64).collect();
    for (at, values) in [(given.len() - 2, starts), (given.len() - 1, ends)] {
        let dims = given[at].dims();
        given[at] = Rc::new(Array::from_order(&dims, values).unwrap());
    }
    given
}

const LENGTHS: [&[usize]; 5] = [&[3, 0, 14, 1], &[0, 0, 0, 41], &[7, 6, 5, 9], &[0, 0, 0, 0], &[1, 1, 1, 1]];

#[test]
fn segments_of_rows() {
    for lengths in LENGTHS {
        for (columns, sum) in [(5, 7), (33, 300), (16, 1)] {
            let mut c = Case::default();
            let (s, g) = (c.free("slot", lengths.iter().sum::<usize>() as i64), c.axis("group", 4));
            let (o, i) = (c.axis("out", columns), c.axis("in", sum));
            let (x, w, shift) = (c.float(&[s, i]), c.float(&[g, o, i]), c.float(&[o]));
            let x = segmented(&mut c, x, (s, g));
            let z = c.op(Op::Contract(vec![i, g]), &[x, w]);
            let z = c.map(E::ADD, &[z, shift]);
            run_segments(&c.finish(vec![z]), lengths, &[s, o]);
        }
    }
}

#[test]
fn segments_of_the_sum() {
    for lengths in LENGTHS {
        for (rows, columns) in [(5, 7), (40, 33), (1, 16)] {
            for masked_first in [true, false] {
                let mut c = Case::default();
                let (s, g) = (c.free("slot", lengths.iter().sum::<usize>() as i64), c.axis("group", 4));
                let (o, i) = (c.axis("out", rows), c.axis("in", columns));
                let (x, y) = (c.float(&[s, o]), c.float(&[s, i]));
                let (x, y) =
                    if masked_first { (segmented(&mut c, x, (s, g)), y) } else { (x, segmented(&mut c, y, (s, g))) };
                let z = c.op(Op::Contract(vec![s]), &[x, y]);
                run_segments(&c.finish(vec![z]), lengths, &[g, o, i]);
            }
        }
    }
}

/// In several layouts, the result as it lies in a program and any other; interpreted and on this machine.
fn run_segments(ready: &Ready, lengths: &[usize], result: &[Axis]) {
    for seed in 0..4 {
        let given = borders(ready, seed + 1, lengths);
        let with = if seed < 2 { With::Machine } else { With::Interpreter };
        ready.check_on(schedule, Form::Product, [4, 16][seed as usize % 2], seed + 1, &given, with);
    }
    let fused = Fused { form: Form::Product, body: ready.body.clone() };
    let inputs: Vec<Layout> = ready.body.arguments.iter().map(|ty| Layout(ty.axes.clone())).collect();
    let problem = super::problem::analyse(&fused.body, &ready.axes, &inputs, &[Layout(result.to_vec())]).unwrap();
    assert!(problem.segment.is_some());
    ready.check_plain(schedule, Form::Product, 16, &borders(ready, 9, lengths));
}
