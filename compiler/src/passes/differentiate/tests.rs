//! Gradients against central finite differences, through the interpreter.

mod attention;
mod factor;
mod operators;
mod scans;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axis, Elem};

use super::{gradient, release};
use crate::graph::{Array, Bindings, Builder, Graph, Input, Kind, NodeId, Output, Sink, Value, eval, validate};
use crate::passes::canonical::canonicalise;

/// A program being made, with random arguments.
struct Case {
    b: Builder,
    bindings: Bindings,
    state: u64,
    /// What arguments are drawn from.
    range: (f64, f64),
}

impl Case {
    fn new(seed: u64) -> Self {
        Self { b: Builder::new(Default::default()), bindings: Bindings::default(), state: seed * 2 + 1, range: (-1.5, 1.5) }
    }

    /// On `[0, 1)`.
    fn uniform(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An axis whose size is bound at run time.
    fn axis(&mut self, name: &str, size: usize) -> Axis {
        self.bindings.sizes.insert(name.into(), size as i64);
        self.b.axes().fresh(name, Size::var(name), false)
    }

    /// An axis of this size, which need not be a free one.
    fn sized(&mut self, name: &str, size: Size) -> Axis {
        self.b.axes().fresh(name, size, false)
    }

    fn length(&mut self, axis: Axis) -> usize {
        let sizes = &self.bindings.sizes;
        let known = |name: &str| sizes.get(name).map(|&n| Size::of(n));
        self.b.axes().size(axis).substitute(&known).unwrap().known().unwrap() as usize
    }

    fn argument(&mut self, elem: Elem, axes: &[Axis], draw: &mut dyn FnMut(f64) -> f64) -> Value {
        let dims: Vec<_> = axes.iter().map(|&a| (a, self.length(a))).collect();
        let count = dims.iter().map(|d| d.1).product();
        let data = (0..count).map(|_| draw(self.uniform())).collect();
        let name = format!("x{}", self.bindings.inputs.len());
        self.bindings.inputs.insert(name.clone(), Array::from_order(&dims, data).unwrap());
        self.b.input(&name, elem, axes)
    }

    fn float(&mut self, axes: &[Axis]) -> Value {
        let (low, high) = self.range;
        self.argument(Elem::Float, axes, &mut |u| low + u * (high - low))
    }

    fn index(&mut self, of: Axis, axes: &[Axis]) -> Value {
        let size = self.length(of);
        self.argument(Elem::Index(of), axes, &mut |u| (u * size as f64).floor())
    }

    fn int(&mut self, axes: &[Axis]) -> Value {
        self.argument(Elem::Int, axes, &mut |u| (u * 7.0).floor() + 1.0)
    }

    fn op(&mut self, op: Op, operands: &[Value]) -> Value {
        self.b.op(op, operands)
    }

    fn map(&mut self, op: Elementwise, operands: &[Value]) -> Value {
        self.b.op(Op::Map(op), operands)
    }

    fn number(&mut self, value: f64) -> Value {
        self.b.op(Op::Constant(weft_dsl::op::Number(value), Elem::Float, Vec::new()), &[])
    }

    /// `Σ weight · y` with random weights, so that no part of the derivative cancels.
    fn weighed(&mut self, y: &Value) -> Value {
        let axes = self.b.type_of(y).axes;
        let weight = self.float(&axes);
        let product = self.map(Elementwise::MUL, &[*y, weight]);
        self.op(Op::Reduce(Monoid::Sum, axes), &[product])
    }

    /// Checks the gradient of the weighted sum of some values with respect to every float argument.
    fn check(mut self, name: &str, values: &[Value]) {
        let mut loss = self.number(0.0);
        for value in values {
            let part = self.weighed(value);
            loss = self.map(Elementwise::ADD, &[loss, part]);
        }
        let graph = self.b.finish(vec![("loss".into(), Vec::new(), loss)]);
        check(name, &graph, &self.bindings);
    }
}

/// The graph with the gradients of its first output as further outputs, for all float inputs.
fn with_gradients(graph: &Graph) -> (Graph, Vec<String>) {
    let mut out = graph.clone();
    let place = |i: usize| out.body.iter().find(|(_, n)| n.kind == Kind::Argument(i as u32)).map(|(id, _)| id);
    let float = out.inputs.iter().enumerate().filter(|(_, input)| input.elem == Elem::Float);
    let (numbers, wrt): (Vec<usize>, Vec<NodeId>) = float.filter_map(|(i, _)| Some((i, place(i)?))).unzip();
    let loss = out.body.outputs[0];
    let gradients = gradient(&mut out, loss, &wrt);
    out.body.outputs.extend(&gradients);
    for &i in &numbers {
        let Input { name, axes, .. } = out.inputs[i].clone();
        out.outputs.push(Output { name, axes, sink: Sink::Port });
    }
    (out, numbers.into_iter().map(|i| graph.inputs[i].name.clone()).collect())
}

fn valid(name: &str, graph: &Graph) {
    if let Err(fault) = validate(graph) {
        panic!("{name}: {fault}\n{}", crate::graph::print(graph));
    }
}

fn values(name: &str, graph: &Graph, bindings: &Bindings) -> Vec<Array> {
    eval(graph, bindings).unwrap_or_else(|e| panic!("{name}: {e}\n{}", crate::graph::print(graph)))
}

/// Differences of five points: exact to the fourth power of the step.
fn difference(name: &str, graph: &Graph, bindings: &Bindings, input: &str, at: usize) -> f64 {
    let step = 1e-3;
    let at_shift = |shift: f64| {
        let mut moved = bindings.clone();
        moved.inputs.get_mut(input).unwrap().data[at] += shift * step;
        values(name, graph, &moved)[0].data[0]
    };
    (8.0 * (at_shift(1.0) - at_shift(-1.0)) - (at_shift(2.0) - at_shift(-2.0))) / (12.0 * step)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

/// Gradients agree with differences, and stay the same through the passes.
fn check(name: &str, graph: &Graph, bindings: &Bindings) {
    valid(name, graph);
    let loss = values(name, graph, bindings)[0].data[0];
    let (derived, inputs) = with_gradients(graph);
    valid(name, &derived);
    let found = values(name, &derived, bindings);
    assert!(close(found[0].data[0], loss, 1e-12), "{name}: the loss itself changed");
    for (input, gradient) in inputs.iter().zip(&found[1..]) {
        assert_eq!(gradient.shape, bindings.inputs[input].shape, "{name}: shape of the gradient of {input}");
        for (at, &got) in gradient.data.iter().enumerate().filter(|_| loss.is_finite()) {
            let want = difference(name, graph, bindings, input, at);
            assert!(
                close(got, want, 1e-7),
                "{name}: d/d{input}[{at}] is {got}, differences give {want}\n{}",
                crate::graph::print(&derived)
            );
        }
    }
    let mut simple = derived.clone();
    canonicalise(&mut simple);
    release(&mut simple);
    canonicalise(&mut simple);
    valid(name, &simple);
    same(name, &found, &values(name, &simple, bindings), &simple);
}

/// Equal but for rounding, wherever the first is finite.
fn same(name: &str, before: &[Array], after: &[Array], graph: &Graph) {
    for (before, after) in before.iter().zip(after) {
        let same = before.data.iter().zip(&after.data).all(|(&b, &a)| !b.is_finite() || close(a, b, 1e-9));
        assert!(same, "{name}: {:?} became {:?}\n{}", before.data, after.data, crate::graph::print(graph));
    }
}

/// How many nodes satisfy something, in all regions.
fn count(graph: &Graph, which: &dyn Fn(&Kind) -> bool) -> usize {
    fn within(region: &crate::graph::Region, which: &dyn Fn(&Kind) -> bool) -> usize {
        let of = |kind: &Kind| match kind {
            Kind::Scan(scan) => within(&scan.body, which),
            _ => 0,
        };
        region.nodes.iter().map(|n| usize::from(which(&n.kind)) + of(&n.kind)).sum()
    }
    within(&graph.body, which)
}

/// Sizes that are odd, 1 and 0.
const SHAPES: [[usize; 3]; 5] = [[3, 2, 5], [1, 7, 3], [2, 1, 1], [0, 3, 2], [3, 0, 1]];
