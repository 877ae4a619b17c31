//! Loops against the meaning of their bodies.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::{Distribution, Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::Elem;

use super::schedule;
use crate::graph::{Array, Form, NodeId};
use crate::kernel::Dtype;
use crate::schedule::native::{Buffer, Native};
use crate::schedule::testing::{Case, Chance, Ready, With};
use std::rc::Rc;

/// All of: several layouts, 4 and 16 lanes, interpreted and as machine code.
fn check(ready: &Ready) {
    for seed in 0..6 {
        let with = if seed < 2 { With::Machine } else { With::Interpreter };
        ready.check_with(schedule, Form::Loops, if seed % 2 == 0 { 4 } else { 16 }, seed + 1, with);
    }
}

const SHAPES: [(i64, i64); 8] = [(3, 8), (5, 17), (1, 64), (7, 1), (0, 5), (4, 0), (2, 71), (17, 3)];

#[test]
fn elementwise() {
    // A result that lacks an axis of no places is not written: there is no row to write it.
    for (rows, width) in SHAPES.into_iter().filter(|s| s.0 > 0 && s.1 > 0) {
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.axis("feature", width));
        let (x, bias, rate) = (c.float(&[t, f]), c.float(&[f]), c.float(&[]));
        let sum = c.map(E::ADD, &[x, bias]);
        let y = c.map(E::TANH, &[sum]);
        let z = c.map(E::MUL, &[y, rate]);
        let index = c.op(Op::Index(f), &[]);
        let extent = c.op(Op::Extent(Size::var("time")), &[]);
        let half = c.map(E::LT, &[index, extent]);
        let w = c.map(E::SELECT, &[half, x, z]);
        let only = c.map(E::EXP, &[bias]);
        let once = c.map(E::POW, &[rate, rate]);
        check(&c.finish(vec![y, w, half, only, once]));
    }
}

#[test]
fn flat_axes_become_one() {
    let mut c = Case::default();
    let (i, o) = (c.axis("in", 40), c.axis("out", 30));
    let (p, g, m) = (c.float(&[i, o]), c.float(&[i, o]), c.float(&[i, o]));
    let new = c.map(E::ADD, &[m, g]);
    let p = c.map(E::SUB, &[p, new]);
    let ready = c.finish(vec![p, new]);
    let arguments = ready.arguments(&mut Chance(3));
    let scheduled = ready.check_plain(schedule, Form::Loops, 16, &arguments);
    assert_eq!(scheduled.tiles.len(), 0, "1200 elements are one tile");
    check(&ready);
}

#[test]
fn structural() {
    for lanes_times in [8, 16, 5] {
        let mut c = Case::default();
        let (t, h, k) = (c.free("time", 3), c.axis("head", 3), c.axis("key", lanes_times));
        let whole = c.axis("whole", 3 * lanes_times);
        let x = c.float(&[t, whole]);
        let split = c.op(Op::Split(whole, vec![h, k]), &[x]);
        let half = c.axis("half", lanes_times / 2);
        let rest = c.axis("rest", lanes_times - lanes_times / 2);
        let low = c.op(Op::Slice(k, Size::of(0), half), &[split]);
        let high = c.op(Op::Slice(k, Size::of(lanes_times / 2), rest), &[split]);
        let turned = c.op(Op::Concat(vec![rest, half], k), &[high, low]);
        let y = c.map(E::MUL, &[turned, split]);
        let merged = c.op(Op::Merge(vec![h, k], whole), &[y]);
        let long = c.axis("long", 3 * lanes_times + 5);
        let padded = c.op(Op::Pad(whole, Size::of(2), long, Number(7.0)), &[merged]);
        let vocab = c.axis("vocab", 11);
        let table = c.float(&[vocab, k]);
        let ids = c.index(vocab, &[t, h]);
        let looked = c.op(Op::Lookup(vocab), &[table, ids]);
        check(&c.finish(vec![merged, padded, looked, turned]));
    }
}

#[test]
fn random_numbers_match() {
    let mut c = Case::default();
    let (t, f) = (c.free("time", 5), c.axis("feature", 19));
    let (seed, step) = (c.b.argument(weft_dsl::types::Type::scalar(Elem::Int)), c.float(&[]));
    let micro = c.op(Op::Constant(Number(3.0), Elem::Int, vec![]), &[]);
    let u = c.op(Op::Random(Distribution::Uniform, vec![t, f], 9), &[seed, step, micro]);
    let n = c.op(Op::Random(Distribution::Normal, vec![f, t], 10), &[seed, step, micro, micro]);
    check(&c.finish(vec![u, n]));
}

fn mean(c: &mut Case, x: NodeId, over: weft_dsl::types::Axis) -> NodeId {
    let sum = c.op(Op::Reduce(Monoid::Sum, vec![over]), &[x]);
    let size = c.axes.size(over).clone();
    let count = c.op(Op::Extent(size), &[]);
    c.map(E::DIV, &[sum, count])
}

#[test]
fn layer_norm() {
    for (rows, width) in SHAPES.into_iter().filter(|s| s.1 > 0) {
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.axis("feature", width));
        let (x, scale, bias) = (c.float(&[t, f]), c.float(&[f]), c.float(&[f]));
        let mu = mean(&mut c, x, f);
        let centred = c.map(E::SUB, &[x, mu]);
        let square = c.map(E::MUL, &[centred, centred]);
        let var = mean(&mut c, square, f);
        let (eps, one) = (c.b.number(1e-5), c.b.number(1.0));
        let var = c.map(E::ADD, &[var, eps]);
        let deviation = c.map(E::SQRT, &[var]);
        let rstd = c.map(E::DIV, &[one, deviation]);
        let normed = c.map(E::MUL, &[centred, rstd]);
        let scaled = c.map(E::MUL, &[normed, scale]);
        let y = c.map(E::ADD, &[scaled, bias]);
        check(&c.finish(vec![y, mu, rstd]));
    }
}

#[test]
fn layer_norm_backward() {
    for (rows, width) in SHAPES.into_iter().filter(|s| s.1 > 0) {
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.axis("feature", width));
        let (x, g, rstd, scale) = (c.float(&[t, f]), c.float(&[t, f]), c.float(&[t]), c.float(&[f]));
        let dn = c.map(E::MUL, &[g, scale]);
        let a = mean(&mut c, dn, f);
        let dot = c.op(Op::Contract(vec![f]), &[dn, x]);
        let part = c.map(E::MUL, &[x, dot]);
        let d = c.map(E::SUB, &[dn, a]);
        let d = c.map(E::SUB, &[d, part]);
        let dx = c.map(E::MUL, &[d, rstd]);
        check(&c.finish(vec![dx]));
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.axis("feature", width));
        let (x, g) = (c.float(&[t, f]), c.float(&[t, f]));
        let dscale = c.op(Op::Contract(vec![t]), &[x, g]);
        let dbias = c.op(Op::Reduce(Monoid::Sum, vec![t]), &[g]);
        check(&c.finish(vec![dscale, dbias]));
    }
}

#[test]
fn softmax_with_empty_rows() {
    for (rows, width) in SHAPES {
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.free("class", width));
        let (x, present) = (c.float(&[t, f]), c.b.argument(weft_dsl::types::Type::new(Elem::Bool, [t])));
        let lowest = c.b.number(f64::NEG_INFINITY);
        let x = c.map(E::SELECT, &[present, x, lowest]);
        let y = c.op(Op::Softmax(vec![f]), &[x]);
        let z = c.op(Op::LogSumExp(vec![f]), &[x]);
        check(&c.finish(vec![y, z]));
    }
}

#[test]
fn cross_entropy_rows() {
    for (rows, width) in SHAPES.into_iter().filter(|s| s.1 > 0) {
        let mut c = Case::default();
        let (t, v) = (c.free("time", rows), c.axis("vocab", width));
        let (logits, next) = (c.float(&[t, v]), c.index(v, &[t]));
        let lse = c.op(Op::LogSumExp(vec![v]), &[logits]);
        let picked = c.op(Op::Lookup(v), &[logits, next]);
        let loss = c.map(E::SUB, &[lse, picked]);
        let shifted = c.map(E::SUB, &[logits, lse]);
        let p = c.map(E::EXP, &[shifted]);
        check(&c.finish(vec![loss, p]));
    }
}

#[test]
fn every_monoid_over_several_axes() {
    for (rows, width) in SHAPES {
        for monoid in [Monoid::Sum, Monoid::Product, Monoid::Max, Monoid::Min] {
            let mut c = Case::default();
            let (b, t, h, f) = (c.free("batch", 3), c.free("time", rows), c.axis("head", 2), c.axis("feature", width));
            let x = c.float(&[b, t, h, f]);
            let rows = c.op(Op::Reduce(monoid, vec![h, f]), &[x]);
            check(&c.finish(vec![rows]));
            let mut c = Case::default();
            let (b, t, h, f) = (c.free("batch", 3), c.free("time", 4), c.axis("head", 2), c.axis("feature", width));
            let x = c.float(&[b, t, h, f]);
            let columns = c.op(Op::Reduce(monoid, vec![b, t]), &[x]);
            check(&c.finish(vec![columns]));
            let mut c = Case::default();
            let (t, f) = (c.free("time", 4), c.axis("feature", width));
            let x = c.float(&[t, f]);
            let all = c.op(Op::Reduce(monoid, vec![t, f]), &[x]);
            let root = c.map(E::ABS, &[all]);
            check(&c.finish(vec![root]));
        }
    }
}

#[test]
fn logic_and_first_largest() {
    for (rows, width) in SHAPES.into_iter().filter(|s| s.1 > 0) {
        let mut c = Case::default();
        let (t, f) = (c.free("time", rows), c.axis("feature", width));
        let ints = c.b.argument(weft_dsl::types::Type::new(Elem::Int, [t, f]));
        let x = c.op(Op::Cast(Elem::Float), &[ints]);
        let first = c.op(Op::ArgMax(f), &[x]);
        let zero = c.op(Op::Constant(Number(0.0), Elem::Int, vec![]), &[]);
        let positive = c.map(E::GT, &[ints, zero]);
        let all = c.op(Op::Reduce(Monoid::All, vec![f]), &[positive]);
        let any = c.op(Op::Reduce(Monoid::Any, vec![f]), &[positive]);
        let sum = c.op(Op::Reduce(Monoid::Sum, vec![f]), &[ints]);
        let largest = c.op(Op::Reduce(Monoid::Max, vec![f]), &[ints]);
        check(&c.finish(vec![first, all, any, sum, largest]));
    }
}

#[test]
fn long_rows_are_cut_into_tiles() {
    let mut c = Case::default();
    let f = c.free("n", 40_000);
    let (x, rate) = (c.float(&[f]), c.float(&[]));
    let y = c.map(E::MUL, &[x, rate]);
    let twice = c.map(E::ADD, &[rate, rate]);
    let ready = c.finish(vec![y, twice]);
    let arguments: Vec<Rc<Array>> = ready.arguments(&mut Chance(1));
    let scheduled = ready.check_plain(schedule, Form::Loops, 16, &arguments);
    assert_eq!(scheduled.tiles, [(Size::var("n"), 16 * 1024)]);
}

#[test]
fn turned_heads() {
    let mut c = Case::default();
    let (b, t) = (c.free("batch", 2), c.free("time", 5));
    let (h, k) = (c.axis("head", 3), c.axis("key", 20));
    let (x, y) = (c.float(&[b, h, t, k]), c.float(&[b, t, k]));
    let sum = c.map(E::ADD, &[x, y]);
    let product = c.map(E::MUL, &[x, sum]);
    check(&c.finish(vec![sum, product]));
}

/// Results over their arguments: what an optimizer does.
#[test]
fn results_may_lie_where_arguments_lay() {
    let n = 1000;
    let mut c = Case::default();
    let f = c.axis("n", n);
    let (p, m) = (c.float(&[f]), c.float(&[f]));
    let sum = c.map(E::ADD, &[p, m]);
    let difference = c.map(E::SUB, &[p, m]);
    let ready = c.finish(vec![sum, difference]);
    let scheduled = ready.check_plain(schedule, Form::Loops, 4, &ready.arguments(&mut Chance(1)));
    let (p, m): (Vec<f64>, Vec<f64>) = (0..n).map(|i| (i as f64, 0.5 * i as f64)).unzip();
    let mut buffers = [Buffer::new(Dtype::F32, &p), Buffer::new(Dtype::F32, &m)];
    Native::new(&scheduled.kernel, false).run_at(&mut buffers, &[0, 1, 1, 0], &[], 1);
    let expect = |i: usize| (0..n).map(|j| if i == 1 { 1.5 } else { 0.5 } * j as f64).collect::<Vec<_>>();
    assert!(buffers[0].values() == expect(0) && buffers[1].values() == expect(1));
}
