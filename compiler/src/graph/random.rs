//! Random well-typed graphs, for tests that compare two ways of computing one.
//!
//! Every value stays small and every decision (comparison, `floor`, `argmax`, cast) is taken on numbers that are exact in any
//! float type, so that a computation in f32 ought to differ from the oracle by rounding alone. Sizes are 0, 1, 2, 3, 6 and 7.

mod operators;

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::{Emit, Parameter, Start};
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::{Array, Bindings, Builder, Form, Fused, Graph, Kind, NodeId, RegionBuilder, Scan, Sink, Sizes, results};

/// A graph of about so many nodes, the same for the same seed, and what to evaluate it with.
pub fn random_graph(seed: u64, nodes: usize) -> (Graph, Bindings) {
    let mut maker = Maker { dice: Dice(seed), axes: Axes::default(), bound: HashMap::new(), base: Vec::new(), sites: 0 };
    maker.make_axes();
    let (graph, keys) = maker.inputs();
    let mut pool = Pool { region: RegionBuilder::from(graph.body.clone()), values: Vec::new(), keys, depth: 0 };
    for (id, node) in graph.body.iter() {
        // The seed and its like are operands of random numbers alone: they may be large.
        if !pool.keys.contains(&id) {
            pool.values.push(Known { node: id, most: 4.0, exact: node.ty.elem != Elem::Float || id.0 < 4 });
        }
    }
    maker.grow(&mut pool, nodes);
    maker.finish(graph, pool)
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % n.max(1) as u64) as usize
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below(list.len())).cloned()
    }
}

/// A value that may be used further.
#[derive(Clone, Copy)]
struct Known {
    node: NodeId,
    /// A bound of its size.
    most: f64,
    /// The same in every float type.
    exact: bool,
}

/// A region being made.
struct Pool {
    region: RegionBuilder,
    values: Vec<Known>,
    /// Seed, step and micro-batch, where they can be reached.
    keys: Vec<NodeId>,
    depth: usize,
}

impl Pool {
    fn ty(&self, value: Known) -> &Type {
        self.region.ty(value.node)
    }
}

struct Maker {
    dice: Dice,
    axes: Axes,
    bound: HashMap<String, i64>,
    /// Axes that new values may have.
    base: Vec<Axis>,
    sites: u32,
}

impl Maker {
    fn make_axes(&mut self) {
        for (name, lengths) in
            [("batch", [1, 2, 3]), ("seq", [1, 3, 7]), ("words", [5, 1, 2]), ("heads", [2, 3, 1]), ("empty", [0, 0, 1])]
        {
            let length = lengths[self.dice.below(3)];
            self.bound.insert(name.into(), length);
        }
        let heads = self.bound["heads"];
        self.bound.insert("width".into(), heads * [1, 2, 3][self.dice.below(3)]);
        let sizes = [
            ("batch", Size::var("batch"), true),
            ("time", Size::var("seq"), true),
            ("feature", Size::var("width"), false),
            ("three", Size::of(3), false),
            ("seven", Size::of(7), false),
            ("one", Size::of(1), false),
            ("none", Size::var("empty"), false),
            ("six", Size::of(6), false),
            ("time", Size::var("seq") + Size::of(1), false),
            // The length of another text.
            ("word", Size::var("words"), true),
        ];
        self.base = sizes.into_iter().map(|(name, size, outer)| self.axes.fresh(name, size, outer)).collect();
    }

    /// A graph of inputs of every source, and its scalars seed, step and micro-batch. The first four hold exact floats.
    fn inputs(&mut self) -> (Graph, Vec<NodeId>) {
        let mut builder = Builder::new(self.axes.clone());
        for i in 0..3 {
            let axes = self.some_axes(3);
            builder.input(&format!("x{i}"), Elem::Float, &axes);
        }
        let parameter = Parameter {
            path: "layers.{}.weight".into(),
            stack: vec![self.base[3]],
            axes: vec![self.base[2]],
            start: Start::Normal { std: 0.02 },
        };
        builder.parameter(&parameter);
        builder.state(&parameter, "m", Number(0.0));
        builder.accumulator("total.0", Elem::Float, &[]);
        builder.input("tokens", Elem::Index(self.base[4]), &[self.base[1], self.base[0]]);
        builder.input("count", Elem::Int, &[self.base[0]]);
        builder.input("mask", Elem::Bool, &[self.base[1]]);
        builder.input("other", Elem::Bool, &[self.base[9]]);
        let keys = ["seed", "step", "micro"].map(|name| builder.supplied(name, Elem::Int).node);
        (builder.finish(Vec::new()), keys.to_vec())
    }

    fn some_axes(&mut self, most: usize) -> Vec<Axis> {
        let mut axes = Vec::new();
        for _ in 0..self.dice.below(most + 1) {
            let axis = self.base[self.dice.below(self.base.len())];
            if !axes.contains(&axis) {
                axes.push(axis);
            }
        }
        axes
    }

    fn length(&self, axes: &[Axis]) -> usize {
        let sizes = Sizes::new(&self.axes, &self.bound);
        axes.iter().map(|&a| sizes.axis(a).unwrap_or(0)).product()
    }

    fn fresh(&mut self, name: &str, size: Size) -> Axis {
        self.axes.fresh(name, size, false)
    }

    /// A value of the pool that fits.
    fn find(&mut self, pool: &Pool, fits: impl Fn(&Type, Known) -> bool) -> Option<Known> {
        let fitting: Vec<_> = pool.values.iter().copied().filter(|&v| fits(pool.ty(v), v)).collect();
        // Later values as often as all earlier ones, so that graphs become deep.
        let from = if self.dice.below(2) == 0 { fitting.len().saturating_sub(4) } else { 0 };
        self.dice.pick(&fitting[from..])
    }

    fn float(&mut self, pool: &Pool) -> Option<Known> {
        self.find(pool, |ty, _| ty.elem == Elem::Float)
    }

    fn axis_of(&mut self, pool: &Pool, value: Known) -> Option<Axis> {
        let axes = pool.ty(value).axes.clone();
        self.dice.pick(&axes)
    }

    /// Adds an operator's value, unless its operands do not fit it or it would be large.
    fn put(&mut self, pool: &mut Pool, op: Op, operands: &[Known], most: f64, exact: bool) -> Option<Known> {
        let types: Vec<&Type> = operands.iter().map(|&v| pool.ty(v)).collect();
        let ty = op.infer(&types, &self.axes).ok()?;
        if ty.axes.len() > 4 || self.length(&ty.axes) > 3000 {
            return None;
        }
        let nodes: Vec<_> = operands.iter().map(|v| v.node).collect();
        let value = Known { node: pool.region.op(&self.axes, op, &nodes), most, exact };
        Some(if most > 1000.0 && ty.elem == Elem::Float {
            self.put(pool, Op::Map(Elementwise::TANH), &[value], 1.0, false)?
        } else {
            value
        })
    }

    fn map(&mut self, pool: &mut Pool, op: Elementwise, operands: &[Known], most: f64, exact: bool) -> Option<Known> {
        self.put(pool, Op::Map(op), operands, most, exact)
    }

    fn number(&mut self, pool: &mut Pool, number: f64, elem: Elem, axes: Vec<Axis>) -> Option<Known> {
        self.put(pool, Op::Constant(Number(number), elem, axes), &[], number.abs().min(1000.0), true)
    }

    fn grow(&mut self, pool: &mut Pool, nodes: usize) {
        let target = pool.region.region().nodes.len() + nodes;
        for _ in 0..nodes * 20 {
            if pool.region.region().nodes.len() >= target {
                break;
            }
            let made = match self.dice.below(13) {
                0 | 1 => self.unary(pool),
                2 | 3 => self.binary(pool),
                4 => self.decision(pool),
                5 => self.reduction(pool),
                6 => self.relabelled(pool),
                7 => self.moved(pool),
                8 => self.looked_up(pool),
                9 => self.normalised(pool),
                10 => self.source(pool),
                11 => self.chosen(pool),
                _ => self.nested(pool),
            };
            pool.values.extend(made);
        }
    }

    /// A scan or a kernel.
    fn nested(&mut self, pool: &mut Pool) -> Option<Known> {
        if pool.depth > 1 {
            return None;
        }
        let mut body = Pool { region: RegionBuilder::new(), values: Vec::new(), keys: Vec::new(), depth: pool.depth + 1 };
        let mut operands: Vec<Known> = Vec::new();
        if self.dice.below(2) == 0 {
            for _ in 0..1 + self.dice.below(3) {
                operands.extend(self.float(pool));
            }
            body.admit(pool, &operands, None);
            self.grow(&mut body, 4);
            let last = body.values.len().saturating_sub(2);
            let given = body.values.split_off(last);
            let outputs: Vec<_> = given.iter().map(|v| v.node).collect();
            let kind = Kind::Fused(Box::new(Fused { form: Form::Loops, body: body.region.finish(outputs) }));
            return pool.several(kind, &operands, &given);
        }
        let axis = self.dice.pick(&self.base.clone())?;
        let mut carry = self.find(pool, |ty, _| ty.elem == Elem::Float && !ty.has(axis))?;
        carry.most = carry.most.max(1.0);
        carry.exact = false;
        operands.push(carry);
        operands.extend((0..2).filter_map(|_| self.find(pool, |ty, _| ty.elem == Elem::Float && ty.has(axis))));
        let sliced = operands.len() - 1;
        operands.extend(self.find(pool, |ty, _| ty.elem == Elem::Float && !ty.has(axis)));
        body.admit(pool, &operands, Some((axis, sliced)));
        self.grow(&mut body, 4);
        let last = self.find(&body, |ty, _| ty.elem == Elem::Float)?;
        let next = self.fitted(&mut body, last, &pool.ty(carry).clone())?;
        let mut given = vec![Known { most: carry.most, ..next }];
        given.extend(self.find(&body, |ty, _| !ty.has(axis) && ty.axes.len() < 4));
        let outputs = given.iter().map(|v| v.node).collect();
        let reverse = self.dice.below(2) == 0;
        let scan = Scan { axis, reverse, carried: 1, sliced, body: body.region.finish(outputs) };
        pool.several(Kind::Scan(Box::new(scan)), &operands, &given)
    }

    /// A value brought to a float type, within ±1.
    fn fitted(&mut self, pool: &mut Pool, value: Known, ty: &Type) -> Option<Known> {
        let own = pool.ty(value).clone();
        let extra: Vec<_> = own.axes.iter().copied().filter(|&a| !ty.has(a)).collect();
        let missing: Vec<_> = ty.axes.iter().copied().filter(|&a| !own.has(a)).collect();
        let most = value.most * self.length(&extra) as f64;
        let sum = self.put(pool, Op::Reduce(Monoid::Sum, extra), &[value], most, false)?;
        let small = self.map(pool, Elementwise::TANH, &[sum], 1.0, false)?;
        let ones = self.number(pool, 1.0, Elem::Float, missing)?;
        self.map(pool, Elementwise::MUL, &[small, ones], 1.0, false)
    }

    fn finish(&mut self, inputs: Graph, mut pool: Pool) -> (Graph, Bindings) {
        let mut outputs = Vec::new();
        let state = inputs.inputs.iter().position(|i| i.name.ends_with("/m")).unwrap_or_default();
        let storage = inputs.body.arguments[state].clone();
        if let Some(new) = self.float(&pool)
            && let Some(new) = self.fitted(&mut pool, new, &storage)
        {
            let input = &inputs.inputs[state];
            outputs.push((
                super::Output { name: input.name.clone(), axes: input.axes.clone(), sink: Sink::Update(state as u32) },
                new.node,
            ));
        }
        for (i, value) in pool.values.iter().rev().take(6).enumerate() {
            // In another order than that of the type, and sometimes along an axis more.
            let mut axes: Vec<_> = pool.ty(*value).axes.iter().rev().copied().collect();
            if axes.len() < 3 && !axes.contains(&self.base[3]) && self.dice.below(3) == 0 {
                axes.push(self.base[3]);
            }
            outputs.push((super::Output { name: format!("y{i}"), axes, sink: Sink::Port }, value.node));
        }
        let (outputs, nodes) = outputs.into_iter().unzip();
        let graph =
            Graph { axes: std::mem::take(&mut self.axes), inputs: inputs.inputs, body: pool.region.finish(nodes), outputs };
        let bindings = self.bindings(&graph);
        (graph, bindings)
    }

    fn bindings(&mut self, graph: &Graph) -> Bindings {
        let sizes = Sizes::new(&graph.axes, &self.bound);
        let mut bindings = Bindings { sizes: self.bound.clone(), ..Bindings::default() };
        for input in &graph.inputs {
            let Ok(dims) = sizes.dims(&input.axes) else { continue };
            let mut one = || match input.elem {
                Elem::Float => self.dice.below(33) as f64 / 8.0 - 2.0,
                Elem::Int => self.dice.below(5) as f64,
                Elem::Bool => self.dice.below(2) as f64,
                Elem::Index(axis) => self.dice.below(sizes.axis(axis).unwrap_or(0)) as f64,
            };
            let data = (0..dims.iter().map(|d| d.1).product()).map(|_| one()).collect();
            if let Ok(array) = Array::from_order(&dims, data) {
                bindings.inputs.insert(input.name.clone(), array);
            }
        }
        bindings
    }
}

impl Pool {
    /// Makes arguments for values of the region around: of the operands after the first, so many are sliced along an axis.
    fn admit(&mut self, around: &Pool, operands: &[Known], slices: Option<(Axis, usize)>) {
        for (i, &value) in operands.iter().enumerate() {
            let ty = around.ty(value).clone();
            let ty = match slices {
                Some((axis, count)) if (1..=count).contains(&i) => ty.without(&[axis]),
                _ => ty,
            };
            let node = self.region.argument(ty);
            self.values.push(Known { node, ..value });
        }
    }

    /// Adds a node with several results, of which the last is given back and the others are kept.
    fn several(&mut self, kind: Kind, operands: &[Known], given: &[Known]) -> Option<Known> {
        let types = results(&kind)?;
        let nodes = self.region.several(kind, operands.iter().map(|v| v.node).collect(), &types);
        let mut values: Vec<_> = nodes.into_iter().zip(given).map(|(node, value)| Known { node, ..*value }).collect();
        let last = values.pop();
        self.values.extend(values);
        last
    }
}
