//! Every rule proves what it says and nothing where its guard fails, and keeps values as well as its sort promises.

mod algebra;
mod programs;
mod structure;

use std::collections::HashMap;
use std::time::Duration;

use egg::{Runner, SimpleScheduler};
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::analysis::Knowledge;
use super::region;
use super::rules::{self, Rule, Sort, matching};
use crate::graph::{Array, Bindings, Graph, Input, NodeId, Output, RegionBuilder, Sink, Source, eval, print, validate};

/// A graph that is being written: two values of it are a start and a goal.
pub(super) struct Sketch {
    /// Its axes.
    pub axes: Axes,
    /// Its region.
    pub b: RegionBuilder,
    inputs: Vec<Input>,
}

impl Sketch {
    pub fn new() -> Self {
        Self { axes: Axes::default(), b: RegionBuilder::new(), inputs: Vec::new() }
    }

    pub fn axis(&mut self, name: &str, size: i64) -> Axis {
        self.axes.fresh(name, Size::of(size), false)
    }

    pub fn input(&mut self, elem: Elem, axes: &[Axis]) -> NodeId {
        let name = format!("x{}", self.inputs.len());
        self.inputs.push(Input::new(name, elem, axes.to_vec(), Source::Port));
        // Inputs of one type are still different arguments.
        self.b.argument(Type::new(elem, axes.iter().copied()))
    }

    pub fn float(&mut self, axes: &[Axis]) -> NodeId {
        self.input(Elem::Float, axes)
    }

    pub fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.b.op(&self.axes, op, operands)
    }

    pub fn map(&mut self, name: &str, operands: &[NodeId]) -> NodeId {
        let op = weft_dsl::elementwise::Elementwise::named(name).expect("an operator");
        self.op(Op::Map(op), operands)
    }

    pub fn finish(self, outputs: &[NodeId]) -> Graph {
        let list = outputs.iter().enumerate();
        let outs = list
            .map(|(i, &o)| Output { name: format!("y{i}"), axes: self.b.ty(o).axes.clone(), sink: Sink::Port })
            .collect();
        let graph = Graph { axes: self.axes, inputs: self.inputs, body: self.b.finish(outputs.to_vec()), outputs: outs };
        validate(&graph).unwrap_or_else(|fault| panic!("{fault}\n{}", print(&graph)));
        graph
    }
}

/// Whether a rule by itself proves the graph's two outputs equal.
pub(super) fn proves(graph: &Graph, rule: &Rule) -> bool {
    let entered = region::enter(graph.axes.clone(), &graph.body);
    let runner = Runner::<_, _, ()>::new(Knowledge::default())
        .with_egraph(entered.space)
        .with_scheduler(SimpleScheduler)
        .with_iter_limit(2)
        .with_node_limit(10_000)
        .with_time_limit(Duration::MAX)
        .run(&matching::rewrites(rule));
    runner.egraph.find(entered.outputs[0]) == runner.egraph.find(entered.outputs[1])
}

/// The rule of a name.
pub(super) fn rule(name: &str) -> &'static Rule {
    rules::all().find(|r| r.name == name).unwrap_or_else(|| panic!("no rule `{name}`"))
}

/// Values on which rules go wrong, among others on which they do not.
const VALUES: [f64; 14] =
    [0.0, -0.0, 1.0, -1.0, 0.5, 3.25, -2.75, 1.0 / 3.0, -1e-3, 7.0, 2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn dice(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 8) as usize
}

/// Evaluates the graph's two outputs on random instances and compares them as the sort promises.
pub(super) fn agree(graph: &Graph, sort: Sort, rounds: u64, what: &str) {
    for round in 0..rounds {
        let mut state = round;
        // Half of the instances without special values: a rule would else hardly ever see a finite sum.
        let among = if round % 2 == 0 { VALUES.len() } else { VALUES.len() - 3 };
        let mut inputs = HashMap::new();
        for input in &graph.inputs {
            let dims: Vec<(Axis, usize)> =
                input.axes.iter().map(|&a| (a, graph.axes.size(a).known().expect("a known size") as usize)).collect();
            let count = dims.iter().map(|d| d.1).product();
            let value = |_| match input.elem {
                Elem::Bool => (dice(&mut state) % 2) as f64,
                Elem::Float | Elem::Int | Elem::Index(_) => VALUES[dice(&mut state) % among],
            };
            let data = (0..count).map(value).collect();
            inputs.insert(input.name.clone(), Array::from_order(&dims, data).expect("an array"));
        }
        let bindings = Bindings { sizes: HashMap::new(), inputs };
        let values = eval(graph, &bindings).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(values[0].axes, values[1].axes, "{what}");
        for (&x, &y) in values[0].data.iter().zip(&values[1].data) {
            let fine = match sort {
                Sort::Exact => x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
                Sort::Real => !x.is_finite() || (x - y).abs() <= 1e-9 * (1.0 + x.abs()),
            };
            assert!(fine, "{what} ({sort}): {x:?} became {y:?}\n{}", print(graph));
        }
    }
}
