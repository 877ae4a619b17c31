//! Each operator by itself.

use weft_dsl::elementwise::Signature;
use weft_dsl::op::{Distribution, Number};

use super::*;

/// A float that goes through the elementwise operator, over `a: [i, j]`, `b: [j, k]`, `c: [i]`.
fn elementwise(op: Elementwise, range: (f64, f64), [i, j, k]: [usize; 3]) {
    let mut case = Case::new(7);
    case.range = range;
    let (i, j, k) = (case.axis("i", i), case.axis("j", j), case.axis("k", k));
    let operands = [case.float(&[i, j]), case.float(&[j, k]), case.float(&[i])];
    let [a, b, c] = operands;
    let arity = op.row().arity;
    let result = match op.row().signature {
        Signature::Number | Signature::Real => case.map(op, &operands[..arity]),
        Signature::Compare => {
            let holds = case.map(op, &operands[..arity]);
            case.map(Elementwise::SELECT, &[holds, a, c])
        }
        Signature::Logic => {
            let truths = [case.map(Elementwise::LT, &[a, b]), case.map(Elementwise::LT, &[b, c])];
            let holds = case.map(op, &truths[..arity]);
            case.map(Elementwise::SELECT, &[holds, a, c])
        }
        Signature::Integer => {
            let (x, y) = (case.int(&[i]), case.int(&[j]));
            let whole = case.map(op, &[x, y]);
            let whole = case.op(Op::Cast(Elem::Float), &[whole]);
            case.map(Elementwise::MUL, &[a, whole])
        }
        Signature::Select => {
            let holds = case.map(Elementwise::LT, &[a, b]);
            case.map(op, &[holds, b, c])
        }
    };
    case.check(&format!("{op:?} on {range:?}"), &[result]);
}

#[test]
fn every_elementwise_row() {
    for op in Elementwise::all() {
        for shape in SHAPES {
            elementwise(op, (0.3, 1.7), shape);
            elementwise(op, (-0.9, -0.2), shape);
        }
    }
}

#[test]
fn equals_share_the_gradient_of_max() {
    let mut case = Case::new(1);
    let i = case.axis("i", 3);
    let x = case.argument(Elem::Float, &[i], &mut |_| 2.0);
    let y = case.op(Op::Reduce(Monoid::Max, vec![i]), &[x]);
    let two = case.number(2.0);
    let z = case.map(Elementwise::MAX, &[y, two]);
    let graph = case.b.finish(vec![("loss".into(), vec![], z)]);
    let (derived, _) = with_gradients(&graph);
    let third = 0.5 / 3.0;
    assert_eq!(values("max", &derived, &case.bindings)[1].data, [third, third, third]);
}

#[test]
fn product_with_zeros() {
    for zeros in 0..3 {
        let mut case = Case::new(5);
        let (i, j) = (case.axis("i", 4), case.axis("j", 2));
        let x = case.float(&[i, j]);
        for at in 0..zeros {
            case.bindings.inputs.get_mut("x0").unwrap().data[at * 2] = 0.0;
        }
        let y = case.op(Op::Reduce(Monoid::Product, vec![i]), &[x]);
        case.check("product with zeros", &[y]);
    }
}

/// A program over axes `i j k` that gives a value to be differentiated.
type Program = fn(&mut Case, [Axis; 3]) -> Value;

fn like(case: &mut Case, axis: Axis) -> Axis {
    case.b.axes().like(axis, "other")
}

fn size(case: &mut Case, axis: Axis) -> Size {
    case.b.axes().size(axis).clone()
}

#[rustfmt::skip]
const PROGRAMS: &[(&str, Program)] = &[
    ("sum", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::Reduce(Monoid::Sum, vec![i, k]), &[x]) }),
    ("sum of repeats", |c, [i, j, k]| { let (x, y) = (c.float(&[i]), c.float(&[j, k])); let z = c.map(Elementwise::ADD, &[x, y]);
        let s = c.op(Op::Reduce(Monoid::Sum, vec![i, j]), &[z]); c.map(Elementwise::MUL, &[s, x]) }),
    ("product", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::Reduce(Monoid::Product, vec![j, k]), &[x]) }),
    ("max", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::Reduce(Monoid::Max, vec![i]), &[x]) }),
    ("min", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::Reduce(Monoid::Min, vec![j, i]), &[x]) }),
    ("contract", |c, [i, j, k]| { let (x, y) = (c.float(&[i, j]), c.float(&[j, k])); c.op(Op::Contract(vec![j]), &[x, y]) }),
    ("contract one-sided", |c, [i, j, k]| { let (x, y) = (c.float(&[i, j]), c.float(&[k])); c.op(Op::Contract(vec![j, k]), &[x, y]) }),
    ("contract aligned", |c, [i, j, k]| { let (x, y) = (c.float(&[i, j, k]), c.float(&[k, i])); c.op(Op::Contract(vec![k]), &[x, y]) }),
    ("square", |c, [i, j, _]| { let x = c.float(&[i, j]); c.op(Op::Contract(vec![j]), &[x, x]) }),
    ("rename", |c, [i, j, _]| { let x = c.float(&[i, j]); let o = like(c, i); let y = c.op(Op::Rename(i, o), &[x]); c.map(Elementwise::MUL, &[x, y]) }),
    ("split", |c, [i, j, k]| { let s = size(c, j) * size(c, k); let w = c.sized("whole", s); let x = c.float(&[i, w]); c.op(Op::Split(w, vec![j, k]), &[x]) }),
    ("merge", |c, [i, j, k]| { let s = size(c, j) * size(c, k); let w = c.sized("whole", s); let x = c.float(&[i, k, j]); c.op(Op::Merge(vec![j, k], w), &[x]) }),
    ("slice", |c, [i, j, k]| { let s = size(c, j) + size(c, k) + Size::of(1); let w = c.sized("whole", s); let at = size(c, k);
        let x = c.float(&[i, w]); c.op(Op::Slice(w, at, j), &[x]) }),
    ("pad", |c, [i, j, k]| { let s = size(c, j) + size(c, k) + Size::of(1); let w = c.sized("whole", s); let at = size(c, k);
        let x = c.float(&[i, j]); let x = c.op(Op::Pad(j, at, w, Number(3.0)), &[x]); c.map(Elementwise::MUL, &[x, x]) }),
    ("insert", |c, [i, j, k]| { let s = size(c, j) + size(c, k) + Size::of(1); let w = c.sized("whole", s); let at = size(c, k);
        let (x, y) = (c.float(&[i, w]), c.float(&[j])); let z = c.op(Op::Insert(j, at, w), &[x, y]); c.map(Elementwise::MUL, &[z, z]) }),
    ("concat", |c, [i, j, k]| { let s = size(c, j) + size(c, k); let w = c.sized("whole", s); let (x, y) = (c.float(&[i, j]), c.float(&[k]));
        let z = c.op(Op::Concat(vec![j, k], w), &[x, y]); c.map(Elementwise::MUL, &[z, z]) }),
    ("lookup of rows", |c, [i, j, k]| { let n = c.axis("n", 5); let (t, ids) = (c.float(&[n, k]), c.index(n, &[i, j])); c.op(Op::Lookup(n), &[t, ids]) }),
    ("lookup aligned", |c, [i, j, _]| { let n = c.axis("n", 5); let (t, ids) = (c.float(&[i, j, n]), c.index(n, &[i, j])); c.op(Op::Lookup(n), &[t, ids]) }),
    ("lookup partly aligned", |c, [i, j, k]| { let n = c.axis("n", 4); let (t, ids) = (c.float(&[i, n, k]), c.index(n, &[i, j])); c.op(Op::Lookup(n), &[t, ids]) }),
    ("scatter-add", |c, [i, j, k]| { let n = c.axis("n", 4); let (v, ids) = (c.float(&[i, j, k]), c.index(n, &[i, j])); c.op(Op::ScatterAdd(n, vec![j]), &[v, ids]) }),
    ("scatter-add of repeats", |c, [i, j, k]| { let n = c.axis("n", 4); let (v, ids) = (c.float(&[k]), c.index(n, &[i, j])); c.op(Op::ScatterAdd(n, vec![j]), &[v, ids]) }),
    ("softmax", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::Softmax(vec![j, k]), &[x]) }),
    ("log-sum-exp", |c, [i, j, k]| { let x = c.float(&[i, j, k]); c.op(Op::LogSumExp(vec![j, i]), &[x]) }),
    ("masked softmax", |c, [i, j, _]| { let x = c.float(&[i, j]); let (a, b) = (c.op(Op::Index(i), &[]), c.op(Op::Index(j), &[]));
        let m = c.map(Elementwise::LT, &[a, b]); let inf = c.number(f64::NEG_INFINITY); let x = c.map(Elementwise::SELECT, &[m, x, inf]);
        c.op(Op::Softmax(vec![j]), &[x]) }),
    ("decisions", |c, [i, _, _]| { let j = c.axis("n", 3); let x = c.float(&[i, j]); let best = c.op(Op::ArgMax(j), &[x]); let at = c.op(Op::Index(j), &[]);
        let hit = c.map(Elementwise::EQ, &[best, at]); let zero = c.number(0.0); c.map(Elementwise::SELECT, &[hit, x, zero]) }),
    ("top", |c, [i, _, k]| { let (j, o) = (c.axis("n", 5), c.axis("o", 2)); let (x, w) = (c.float(&[i, j]), c.float(&[k, o]));
        let places = c.op(Op::Order(j, o, weft_dsl::op::Direction::Falling), &[x]); let best = c.op(Op::Lookup(j), &[x, places]);
        c.op(Op::Contract(vec![o]), &[best, w]) }),
    ("product with looked-up weights", |c, [i, j, k]| { let n = c.axis("n", 3); let (w, x) = (c.float(&[n, j, k]), c.float(&[i, j]));
        let ids = c.index(n, &[i]); let own = c.op(Op::Lookup(n), &[w, ids]); c.op(Op::Contract(vec![j]), &[x, own]) }),
    ("chance", |c, [i, j, _]| { let x = c.float(&[i, j]); let (s, t) = (c.int(&[]), c.int(&[])); let m = c.int(&[]);
        let r = c.op(Op::Random(Distribution::Uniform, vec![i, j], 3), &[s, t, m]); let half = c.number(0.5);
        let keep = c.map(Elementwise::LT, &[r, half]); let zero = c.number(0.0); c.map(Elementwise::SELECT, &[keep, x, zero]) }),
    ("repeats through moves", |c, [i, j, k]| { let s = size(c, j) * size(c, k); let w = c.sized("whole", s); let x = c.float(&[i, w]);
        let y = c.op(Op::Split(w, vec![j, k]), &[x]); let o = like(c, i); let z = c.op(Op::Rename(i, o), &[y]);
        c.op(Op::Reduce(Monoid::Sum, vec![o, k]), &[z]) }),
];

#[test]
fn every_structural_operator() {
    for (name, program) in PROGRAMS {
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            let mut case = Case::new(seed as u64 + 11);
            let axes = [case.axis("i", shape[0]), case.axis("j", shape[1]), case.axis("k", shape[2])];
            let value = program(&mut case, axes);
            case.check(&format!("{name} on {shape:?}"), &[value]);
        }
    }
}

#[test]
fn an_aligned_pick_needs_no_scatter() {
    let mut case = Case::new(3);
    let (i, n) = (case.axis("i", 3), case.axis("n", 5));
    let (logits, ids) = (case.float(&[i, n]), case.index(n, &[i]));
    let picked = case.op(Op::Lookup(n), &[logits, ids]);
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i]), &[picked]);
    let (derived, _) = with_gradients(&case.b.finish(vec![("loss".into(), vec![], loss)]));
    assert_eq!(count(&derived, &|k| matches!(k, Kind::Op(Op::ScatterAdd(..)))), 0);
}

#[test]
fn nothing_passes_a_stop() {
    let mut case = Case::new(3);
    let i = case.axis("i", 3);
    let x = case.float(&[i]);
    let still = case.op(Op::StopGradient, &[x]);
    let y = case.map(Elementwise::MUL, &[x, still]);
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i]), &[y]);
    let (derived, _) = with_gradients(&case.b.finish(vec![("loss".into(), vec![], loss)]));
    let found = values("stop", &derived, &case.bindings);
    assert_eq!(found[1].data, case.bindings.inputs["x0"].data);
}

/// Whatever a graph holds, its gradient is a graph, and means the same in canonical form.
#[test]
fn random_graphs_have_gradients() {
    let mut tried = 0;
    for seed in 0..200 {
        let (mut graph, bindings) = crate::graph::random::random_graph(seed, 30);
        let loss = graph.body.outputs.iter().position(|&o| graph.body[o].ty.elem == Elem::Float);
        let Some(loss) = loss.filter(|_| count(&graph, &|k| matches!(k, Kind::Fused(_))) == 0) else { continue };
        graph.body.outputs = vec![graph.body.outputs[loss]];
        graph.outputs = vec![graph.outputs[loss].clone()];
        let name = format!("random graph {seed}");
        let (derived, _) = with_gradients(&graph);
        valid(&name, &derived);
        let mut simple = derived.clone();
        canonicalise(&mut simple);
        valid(&name, &simple);
        let Ok(before) = eval(&derived, &bindings) else { continue };
        same(&name, &before, &values(&name, &simple, &bindings), &simple);
        tried += 1;
    }
    assert!(tried >= 40, "only {tried} graphs");
}
