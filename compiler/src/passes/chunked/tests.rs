//! Chunked values mean what they did whole, and are left alone where chunks do not pay.

use std::collections::HashMap;
use std::rc::Rc;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Monoid;
use weft_dsl::size::Size;
use weft_dsl::types::Elem;

use super::*;
use crate::fuse::fuse;
use crate::graph::{Array, RegionBuilder, Sizes, eval_region};
use crate::passes::differentiate::gradient;

/// A loss over rows of logits, its gradients for the rows and for the table, and another value for each row.
struct Case {
    axes: Axes,
    b: RegionBuilder,
    batch: Axis,
    time: Axis,
    token: Axis,
    feature: Axis,
    rows: NodeId,
    table: NodeId,
    label: NodeId,
}

impl Case {
    fn new() -> Self {
        let mut axes = Axes::default();
        let batch = axes.fresh("batch", Size::var("batch"), true);
        let time = axes.fresh("time", Size::var("time"), true);
        let token = axes.fresh("token", Size::of(7), false);
        let feature = axes.fresh("feature", Size::of(3), false);
        let mut b = RegionBuilder::new();
        let rows = b.argument(Type::new(Elem::Float, [batch, time, feature]));
        let table = b.argument(Type::new(Elem::Float, [token, feature]));
        let label = b.argument(Type::new(Elem::Index(token), [batch, time]));
        Self { axes, b, batch, time, token, feature, rows, table, label }
    }

    fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.b.op(&self.axes, op, operands)
    }

    fn logits(&mut self) -> NodeId {
        self.op(Op::Contract(vec![self.feature]), &[self.rows, self.table])
    }

    /// The sum over rows of the cross-entropy.
    fn loss(&mut self, logits: NodeId) -> NodeId {
        let all = self.op(Op::LogSumExp(vec![self.token]), &[logits]);
        let own = self.op(Op::Lookup(self.token), &[logits, self.label]);
        let each = self.op(Op::Map(Elementwise::SUB), &[all, own]);
        self.op(Op::Reduce(Monoid::Sum, vec![self.batch, self.time]), &[each])
    }

    fn finish(self, outputs: Vec<NodeId>, loss: Option<NodeId>) -> Graph {
        let Self { axes, b, rows, table, .. } = self;
        let mut graph = Graph { axes, body: b.finish(outputs), ..Graph::default() };
        if let Some(loss) = loss {
            let gradients = gradient(&mut graph, loss, &[rows, table]);
            graph.body.outputs.extend(gradients);
        }
        graph
    }
}

/// Sizes at which the logits are large.
fn typical(batch: i64, time: i64) -> HashMap<String, i64> {
    HashMap::from([("batch".to_string(), batch), ("time".to_string(), time)])
}

/// How many scans there are, and how many values they carry.
fn scans(graph: &Graph) -> Vec<usize> {
    let carried = |node: &crate::graph::Node| match &node.kind {
        Kind::Scan(scan) => Some(scan.carried),
        _ => None,
    };
    graph.body.nodes.iter().filter_map(carried).collect()
}

/// What the body gives for some sizes.
fn values(graph: &Graph, batch: i64, time: i64) -> Vec<Rc<Array>> {
    let sizes = Sizes::new(&graph.axes, &typical(batch, time));
    let of = |ty: &Type| {
        let dims = sizes.dims(&ty.axes).unwrap();
        let count: usize = dims.iter().map(|d| d.1).product();
        let value = |i: usize| match ty.elem {
            Elem::Index(of) => (i * 5 % sizes.axis(of).unwrap()) as f64,
            _ => (i * 7919 % 1013) as f64 / 500.0 - 1.0,
        };
        Rc::new(Array::from_order(&dims, (0..count).map(value).collect()).unwrap())
    };
    let arguments: Vec<_> = graph.body.arguments.iter().map(of).collect();
    eval_region(&sizes, &graph.body, &arguments).unwrap()
}

fn same(before: &Graph, after: &Graph) {
    for (batch, time) in [(1, 1), (2, 3), (3, 5), (5, 2), (0, 3), (2, 0)] {
        for (a, b) in values(before, batch, time).iter().zip(values(after, batch, time)) {
            let close = a.data.iter().zip(&b.data).all(|(x, y)| (x - y).abs() <= 1e-9 * (1.0 + x.abs()));
            assert!(close && a.data.len() == b.data.len(), "{batch} x {time}: {a:?} {b:?}");
        }
    }
}

#[test]
fn a_loss_and_its_gradients_lie_in_one_scan() {
    let mut c = Case::new();
    let logits = c.logits();
    let best = c.op(Op::ArgMax(c.token), &[logits]);
    let loss = c.loss(logits);
    let before = c.finish(vec![loss, best], Some(loss));
    let mut after = before.clone();
    after.axes.typical.extend(typical(4, 1 << 21));
    find(&mut after);
    // The table's gradient is carried.
    assert_eq!(scans(&after), [1]);
    let whole = |node: &crate::graph::Node| node.ty.axes.len() > 2 && node.ty.axes.contains(&Axis(2));
    assert!(!after.body.nodes.iter().any(whole), "nothing has all rows and tokens");
    same(&before, &after);
    let mut fused = after.clone();
    fuse(&mut fused, true);
    same(&before, &fused);
}

#[test]
fn what_lies_between_goes_with_them() {
    // The square of the logarithm of the sum is a value for each row, and its gradient is large again.
    let mut c = Case::new();
    let logits = c.logits();
    let all = c.op(Op::LogSumExp(vec![c.token]), &[logits]);
    let square = c.op(Op::Map(Elementwise::MUL), &[all, all]);
    let loss = c.op(Op::Reduce(Monoid::Sum, vec![c.batch, c.time]), &[square]);
    let before = c.finish(vec![loss], Some(loss));
    let mut after = before.clone();
    after.axes.typical.extend(typical(4, 1 << 21));
    find(&mut after);
    assert_eq!(scans(&after).len(), 1);
    same(&before, &after);
}

#[test]
fn what_is_wanted_whole_or_needs_all_rows_stays() {
    let chunked = |graph: &Graph, typical: HashMap<String, i64>| {
        let mut after = graph.clone();
        after.axes.typical.extend(typical);
        find(&mut after);
        !scans(&after).is_empty()
    };
    // The logits are given.
    let mut c = Case::new();
    let logits = c.logits();
    let loss = c.loss(logits);
    assert!(!chunked(&c.finish(vec![loss, logits], Some(loss)), typical(4, 1 << 21)));
    // The gradient needs the whole loss.
    let mut c = Case::new();
    let logits = c.logits();
    let loss = c.loss(logits);
    let square = c.op(Op::Map(Elementwise::MUL), &[loss, loss]);
    assert!(!chunked(&c.finish(vec![square], Some(square)), typical(4, 1 << 21)));
    // Small; or one chunk, or chunks of a row; or nobody tells.
    let mut c = Case::new();
    let logits = c.logits();
    let loss = c.loss(logits);
    let graph = c.finish(vec![loss], Some(loss));
    assert!(chunked(&graph, typical(4, 1 << 21)));
    assert!(!chunked(&graph, typical(12, 64)));
    // Not that small where memory is what counts.
    assert!(!chunked(&graph, typical(4, 1 << 17)));
    let mut after = graph.clone();
    after.axes.typical.extend(typical(4, 1 << 17));
    find_smaller(&mut after);
    assert_eq!(scans(&after), [1]);
    same(&graph, &after);
    assert!(!chunked(&graph, typical(1, 8)));
    assert!(!chunked(&graph, HashMap::new()));
}
