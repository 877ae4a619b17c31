//! Grouped contractions mean what they were found in, and are found however they are written.

use std::collections::HashMap;
use std::rc::Rc;

use weft_dsl::size::Size;
use weft_dsl::types::Type;

use super::*;
use crate::fuse::fuse;
use crate::graph::{Array, Form, Sizes, eval_region};
use crate::passes::canonical::canonicalise;
use crate::passes::differentiate::gradient;

/// Experts over `[batch, time]` rows with so many choices each: `rows`, `choices`, `experts`.
struct Case {
    axes: Axes,
    b: RegionBuilder,
    batch: Axis,
    time: Axis,
    choice: Axis,
    expert: Axis,
    inner: Axis,
    feature: Axis,
    x: NodeId,
    table: NodeId,
    index: NodeId,
}

impl Case {
    fn new((time, choices, experts): (i64, i64, i64)) -> Self {
        let mut axes = Axes::default();
        let mut axis = |name: &str, size: i64, outer: bool| axes.fresh(name, Size::of(size), outer);
        let (batch, time) = (axis("batch", 2, true), axis("time", time, true));
        let (choice, expert) = (axis("choice", choices, false), axis("expert", experts, false));
        let (inner, feature) = (axis("inner", 3, false), axis("feature", 5, false));
        let mut b = RegionBuilder::new();
        let x = b.argument(Type::new(Elem::Float, [batch, time, feature]));
        let table = b.argument(Type::new(Elem::Float, [expert, inner, feature]));
        let index = b.argument(Type::new(Elem::Index(expert), [batch, time, choice]));
        Self { axes, b, batch, time, choice, expert, inner, feature, x, table, index }
    }

    fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.b.op(&self.axes, op, operands)
    }

    /// The sum of squares of `y`, and its gradients.
    fn finish(self, y: NodeId) -> Graph {
        let Self { axes, mut b, x, table, .. } = self;
        let square = b.map(&axes, Elementwise::MUL, &[y, y]);
        let over = b.ty(square).axes.clone();
        let loss = b.op(&axes, Op::Reduce(Monoid::Sum, over), &[square]);
        let mut graph = Graph { axes, body: b.finish(vec![y, loss]), ..Graph::default() };
        let gradients = gradient(&mut graph, loss, &[x, table]);
        graph.body.outputs.extend(gradients);
        graph
    }
}

/// Numbers without a pattern; indices as `choose` says.
fn arguments(graph: &Graph, choose: impl Fn(usize, usize) -> usize) -> Vec<Rc<Array>> {
    let sizes = Sizes::new(&graph.axes, &HashMap::new());
    let of = |(number, ty): (usize, &Type)| {
        let dims = sizes.dims(&ty.axes).unwrap();
        let count: usize = dims.iter().map(|d| d.1).product();
        let value = |i: usize| match ty.elem {
            Elem::Index(of) => choose(i, sizes.axis(of).unwrap()) as f64,
            _ => ((i * 7919 + number * 31) % 1013) as f64 / 500.0 - 1.0,
        };
        Rc::new(Array::from_order(&dims, (0..count).map(value).collect()).unwrap())
    };
    graph.body.arguments.iter().enumerate().map(of).collect()
}

/// Brings it into slots; what it means must stay. Gives how many contractions then have segments, and the graph.
fn grouped(mut graph: Graph) -> (usize, Graph) {
    canonicalise(&mut graph);
    let before = graph.body.clone();
    find(&mut graph);
    let sizes = Sizes::new(&graph.axes, &HashMap::new());
    let chosen: [fn(usize, usize) -> usize; 3] = [|i, n| i * 5 % n, |_, n| n - 1, |i, n| i / 3 % n.div_ceil(2)];
    for choose in chosen {
        let given = arguments(&graph, choose);
        let (want, got) = (eval_region(&sizes, &before, &given).unwrap(), eval_region(&sizes, &graph.body, &given).unwrap());
        for (want, got) in want.iter().zip(&got) {
            let dims = want.dims();
            let (want, got) = (want.in_order(&dims).unwrap(), got.in_order(&dims).unwrap());
            assert!(want.iter().zip(&got).all(|(w, g)| (w - g).abs() < 1e-9), "{want:?} {got:?}");
        }
    }
    (graph.body.iter().filter(|(id, _)| segments(&graph.body, *id).is_some()).count(), graph)
}

#[test]
fn a_look_up_contracted() {
    for shape in [(5, 2, 4), (1, 1, 3), (7, 3, 3), (0, 2, 2), (6, 1, 1)] {
        let mut c = Case::new(shape);
        let weights = c.op(Op::Lookup(c.expert), &[c.table, c.index]);
        let y = c.op(Op::Contract(vec![c.feature]), &[c.x, weights]);
        let (count, _) = grouped(c.finish(y));
        // Forward, and the gradients of rows and of weights.
        assert_eq!(count, 3, "{shape:?}");
    }
}

#[test]
fn under_other_names() {
    let mut c = Case::new((5, 2, 4));
    let (from, out) = (c.axes.like(c.feature, "from"), c.axes.like(c.inner, "out"));
    let weights = c.op(Op::Lookup(c.expert), &[c.table, c.index]);
    let weights = c.op(Op::Rename(c.feature, from), &[weights]);
    let weights = c.op(Op::Rename(c.inner, out), &[weights]);
    let x = c.op(Op::Rename(c.feature, from), &[c.x]);
    let y = c.op(Op::Contract(vec![from]), &[weights, x]);
    assert_eq!(grouped(c.finish(y)).0, 3);
}

#[test]
fn summed_over_choices() {
    let mut c = Case::new((5, 2, 4));
    let weights = c.op(Op::Lookup(c.expert), &[c.table, c.index]);
    let y = c.op(Op::Contract(vec![c.feature, c.choice]), &[c.x, weights]);
    assert_eq!(grouped(c.finish(y)).0, 3);
}

#[test]
fn what_is_no_product_of_rows_is_left() {
    // Weights looked up for no row of `x`; and vectors instead of matrices.
    let mut c = Case::new((5, 2, 4));
    let (from, out) = (c.axes.like(c.feature, "from"), c.axes.like(c.inner, "out"));
    let other = c.b.argument(Type::new(Elem::Float, [from, out]));
    let weights = c.op(Op::Lookup(c.expert), &[c.table, c.index]);
    let x = c.op(Op::Rename(from, c.feature), &[other]);
    let y = c.op(Op::Contract(vec![c.feature]), &[x, weights]);
    assert_eq!(grouped(c.finish(y)).0, 0);

    let mut c = Case::new((5, 2, 4));
    let vectors = c.op(Op::Reduce(Monoid::Sum, vec![c.inner]), &[c.table]);
    let vectors = c.op(Op::Lookup(c.expert), &[vectors, c.index]);
    let y = c.op(Op::Contract(vec![c.feature]), &[c.x, vectors]);
    assert_eq!(grouped(c.finish(y)).0, 0);
}

#[test]
fn two_layers_share_one_order_and_stay_in_slots() {
    let mut c = Case::new((5, 2, 4));
    let weights = c.op(Op::Lookup(c.expert), &[c.table, c.index]);
    let h = c.op(Op::Contract(vec![c.feature]), &[c.x, weights]);
    let h = c.b.map(&c.axes, Elementwise::TANH, &[h]);
    let y = c.op(Op::Contract(vec![c.inner]), &[h, weights]);
    let (batch, time) = (c.batch, c.time);
    let y = c.op(Op::Reduce(Monoid::Sum, vec![c.choice]), &[y]);
    assert_eq!(c.b.ty(y).axes, [batch, time, c.feature]);
    let (count, mut graph) = grouped(c.finish(y));
    assert_eq!(count, 6);
    let orders = |region: &Region| region.iter().filter(|(_, n)| matches!(n.kind, Kind::Op(Op::Order(..)))).count();
    assert_eq!(orders(&graph.body), 1);
    fuse(&mut graph, true);
    // The result of the first layer goes through tanh on its way out; no kernel makes a value by slots and groups.
    let products = graph.body.iter().filter_map(|(_, n)| match &n.kind {
        Kind::Fused(fused) if fused.form == Form::Product => Some(fused),
        _ => None,
    });
    let mut seen = 0;
    for fused in products {
        let product = fused.body.iter().find(|(_, n)| matches!(n.kind, Kind::Op(Op::Contract(_)))).map(|(id, _)| id);
        seen += usize::from(product.is_some_and(|id| segments(&fused.body, id).is_some()));
    }
    assert_eq!(seen, 6, "every product keeps its bounds");
}
