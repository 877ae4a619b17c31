//! Activations, of which the derivative is one factor.

use super::*;
use crate::graph::Scan;

/// An activation of one value.
type Activation = fn(&mut Case, Value) -> Value;

fn scaled(c: &mut Case, x: Value, by: f64) -> Value {
    let by = c.number(by);
    c.map(Elementwise::MUL, &[by, x])
}

fn plus(c: &mut Case, x: Value, more: f64) -> Value {
    let more = c.number(more);
    c.map(Elementwise::ADD, &[more, x])
}

fn gelu(c: &mut Case, x: Value) -> Value {
    let z = scaled(c, x, std::f64::consts::FRAC_1_SQRT_2);
    let erf = c.map(Elementwise::ERF, &[z]);
    let (half, sum) = (scaled(c, x, 0.5), plus(c, erf, 1.0));
    c.map(Elementwise::MUL, &[half, sum])
}

fn gelu_tanh(c: &mut Case, x: Value) -> Value {
    let square = c.map(Elementwise::MUL, &[x, x]);
    let cube = c.map(Elementwise::MUL, &[square, x]);
    let small = scaled(c, cube, 0.044715);
    let z = c.map(Elementwise::ADD, &[x, small]);
    let z = scaled(c, z, 0.7978845608028654);
    let tanh = c.map(Elementwise::TANH, &[z]);
    let (half, sum) = (scaled(c, x, 0.5), plus(c, tanh, 1.0));
    c.map(Elementwise::MUL, &[half, sum])
}

fn sigmoid(c: &mut Case, x: Value) -> Value {
    let half = scaled(c, x, 0.5);
    let tanh = c.map(Elementwise::TANH, &[half]);
    let sum = plus(c, tanh, 1.0);
    scaled(c, sum, 0.5)
}

fn silu(c: &mut Case, x: Value) -> Value {
    let gate = sigmoid(c, x);
    c.map(Elementwise::MUL, &[x, gate])
}

fn relu(c: &mut Case, x: Value) -> Value {
    let zero = c.number(0.0);
    c.map(Elementwise::MAX, &[x, zero])
}

fn softplus(c: &mut Case, x: Value) -> Value {
    let size = c.map(Elementwise::ABS, &[x]);
    let size = c.map(Elementwise::NEG, &[size]);
    let small = c.map(Elementwise::EXP, &[size]);
    let (more, straight) = (c.map(Elementwise::LOG1P, &[small]), relu(c, x));
    c.map(Elementwise::ADD, &[straight, more])
}

/// Each with its slope far to the left and far to the right.
#[rustfmt::skip]
const ACTIVATIONS: &[(&str, Activation, [f64; 2])] = &[
    ("gelu", gelu, [0.0, 1.0]),
    ("gelu with tanh", gelu_tanh, [0.0, 1.0]),
    ("sigmoid", sigmoid, [0.0, 0.0]),
    ("silu", silu, [0.0, 1.0]),
    ("softplus", softplus, [0.0, 1.0]),
    ("mish", |c, x| { let y = softplus(c, x); let y = c.map(Elementwise::TANH, &[y]); c.map(Elementwise::MUL, &[x, y]) }, [0.0, 1.0]),
    ("relu", relu, [0.0, 1.0]),
    ("elu", |c, x| { let zero = c.number(0.0); let left = c.map(Elementwise::MIN, &[x, zero]); let left = c.map(Elementwise::EXP, &[left]);
        let left = plus(c, left, -1.0); let right = c.map(Elementwise::GT, &[x, zero]); c.map(Elementwise::SELECT, &[right, x, left]) }, [0.0, 1.0]),
    ("a root where there is one", |c, x| { let (zero, one) = (c.number(0.0), c.number(1.0)); let some = c.map(Elementwise::GT, &[x, zero]);
        let safe = c.map(Elementwise::SELECT, &[some, x, one]); let root = c.map(Elementwise::SQRT, &[safe]); let root = scaled(c, root, 2.0);
        c.map(Elementwise::SELECT, &[some, root, zero]) }, [0.0, 0.0]),
    ("what is dropped", |c, x| { let y = gelu(c, x); let y = scaled(c, y, 2.0); let (zero, s) = (c.number(0.0), c.number(-1e9));
        let some = c.map(Elementwise::GT, &[x, s]); c.map(Elementwise::SELECT, &[some, y, zero]) }, [0.0, 2.0]),
    ("a part that is stopped", |c, x| { let gate = sigmoid(c, x); let gate = c.op(Op::StopGradient, &[gate]);
        let y = c.map(Elementwise::MUL, &[x, gate]); let y = scaled(c, y, 3.0); c.map(Elementwise::MUL, &[y, gate]) }, [0.0, 3.0]),
];

#[test]
fn activations() {
    for (name, activation, _) in ACTIVATIONS.iter().filter(|(name, ..)| *name != "a part that is stopped") {
        for [i, j, k] in SHAPES {
            let mut case = Case::new(17);
            case.range = (-3.0, 3.0);
            let (i, j, k) = (case.axis("i", i), case.axis("j", j), case.axis("k", k));
            let (x, w, shift) = (case.float(&[i, j]), case.float(&[j, k]), case.float(&[k]));
            let u = case.op(Op::Contract(vec![j]), &[x, w]);
            let u = case.map(Elementwise::ADD, &[u, shift]);
            let y = activation(&mut case, u);
            case.check(name, &[y]);
        }
    }
}

/// `Σ weight · activation(x)` at these places and its gradient with respect to `x`, by the factor or, where all between is asked
/// for too, by the chain of rules.
fn slopes(activation: Activation, at: &[f64], chain: bool) -> Vec<f64> {
    let mut case = Case::new(1);
    let i = case.axis("i", at.len());
    let (mut places, mut weights) = (at.iter(), vec![1.0; at.len()].into_iter());
    let x = case.argument(Elem::Float, &[i], &mut |_| *places.next().unwrap());
    let y = activation(&mut case, x);
    let weight = case.argument(Elem::Float, &[i], &mut |_| weights.next().unwrap());
    let y = case.map(Elementwise::MUL, &[y, weight]);
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i]), &[y]);
    let mut graph = case.b.finish(vec![("loss".into(), vec![], loss)]);
    let loss = graph.body.outputs[0];
    let float = |id: &NodeId| graph.body[*id].ty.elem == Elem::Float && !graph.body[*id].operands.is_empty();
    let place = graph.body.iter().find(|(_, n)| n.kind == Kind::Argument(0)).map(|(id, _)| id).unwrap();
    let mut wrt = vec![place];
    if chain {
        wrt.extend(graph.body.iter().map(|(id, _)| id).filter(float));
    }
    let gradients = gradient(&mut graph, loss, &wrt);
    graph.body.outputs = vec![gradients[0]];
    graph.outputs[0].axes = vec![i];
    values("slopes", &graph, &case.bindings)[0].data.clone()
}

const EXTREMES: [f64; 22] = [
    0.0,
    -0.0,
    1e-300,
    -1e-300,
    1e-8,
    -1e-8,
    1.0,
    -1.0,
    6.0,
    -6.0,
    30.0,
    -30.0,
    800.0,
    -800.0,
    1e8,
    -1e8,
    1e80,
    -1e80,
    1e200,
    -1e200,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

#[test]
fn extremes_are_as_the_chain_of_rules_has_them() {
    for &(name, activation, ends) in ACTIVATIONS {
        let (factor, chain) = (slopes(activation, &EXTREMES, false), slopes(activation, &EXTREMES, true));
        for ((&at, &got), &want) in EXTREMES.iter().zip(&factor).zip(&chain) {
            assert!(!want.is_finite() || close(got, want, 1e-14), "{name} at {at}: {got}, by the chain {want}");
            if (30.0..=1e80).contains(&at.abs()) {
                let end = ends[usize::from(at > 0.0)];
                assert!((got - end).abs() <= 0.2, "{name} at {at}: {got}, not {end}");
            }
        }
    }
}

/// How often an operator stands in a region.
fn mapped(scan: &Scan, op: Elementwise) -> usize {
    scan.body.nodes.iter().filter(|n| n.kind == Kind::Op(Op::Map(op))).count()
}

/// `h ← h + activation(h · up) · down`, repeated: the scan and that of its derivative.
fn feed_forward(activation: Activation) -> [Scan; 2] {
    let mut case = Case::new(3);
    let (layers, i) = (case.axis("layers", 3), case.axis("i", 2));
    let (j, k) = (case.sized("feature", Size::of(64)), case.sized("hidden", Size::of(256)));
    let (x, up, down) = (case.float(&[i, j]), case.float(&[layers, j, k]), case.float(&[layers, k, j]));
    let h = case.b.begin_loop(layers, &[x])[0];
    let (up, down) = (case.b.slice(&up, layers), case.b.slice(&down, layers));
    let u = case.op(Op::Contract(vec![j]), &[h, up]);
    let y = activation(&mut case, u);
    let y = case.op(Op::Contract(vec![k]), &[y, down]);
    let next = case.map(Elementwise::ADD, &[h, y]);
    let last = case.b.end_loop(&[next], &[])[0];
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i, j]), &[last]);
    let (mut graph, _) = with_gradients(&case.b.finish(vec![("loss".into(), vec![], loss)]));
    canonicalise(&mut graph);
    super::scans::scans(&graph).try_into().unwrap()
}

/// The slope is kept where it was the activation's operand: beside the carried value and the activation, which a product reads.
#[test]
fn the_slope_is_kept() {
    for (name, activation) in [("gelu", gelu as Activation), ("gelu with tanh", gelu_tanh), ("silu", silu)] {
        let [forward, backward] = feed_forward(activation);
        assert_eq!(forward.body.outputs.len() - forward.carried, 3, "{name} keeps {:?}", forward.body.outputs);
        let kept = &forward.body.outputs[forward.carried..];
        let products = kept.iter().filter(|&&o| matches!(forward.body[o].kind, Kind::Op(Op::Contract(_)))).count();
        assert_eq!(products, 0, "{name} keeps a product");
        for op in [Elementwise::ERF, Elementwise::EXP, Elementwise::TANH] {
            assert_eq!(mapped(&backward, op), 0, "{name} computes {op:?} again");
        }
        assert_eq!(mapped(&backward, Elementwise::MUL), 1, "{name} multiplies once");
    }
}
