//! Each operator against arrays worked out by hand, at odd sizes, 1 and 0.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Distribution, Monoid, Number, Op};
use weft_dsl::types::Type;

use super::super::{Form, Fused, NodeId, RegionBuilder, philox};
use super::*;

const INF: f64 = f64::INFINITY;

/// A region being made, with its arguments.
#[derive(Default)]
struct Bench {
    axes: Axes,
    region: RegionBuilder,
    arguments: Vec<Rc<Array>>,
}

impl Bench {
    fn axis(&mut self, size: i64) -> Axis {
        let name = format!("a{}", self.axes.len());
        self.axes.fresh(&name, Size::of(size), false)
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(&self.axes, &HashMap::new())
    }

    /// An argument from elements in the order of the axes as given.
    fn put(&mut self, elem: Elem, axes: &[Axis], data: &[f64]) -> NodeId {
        let dims = self.sizes().dims(axes).unwrap();
        self.arguments.push(Rc::new(Array::from_order(&dims, data.to_vec()).unwrap()));
        self.region.argument(Type::new(elem, axes.iter().copied()))
    }

    fn floats(&mut self, axes: &[Axis], data: &[f64]) -> NodeId {
        self.put(Elem::Float, axes, data)
    }

    fn run(&mut self, op: Op, operands: &[NodeId]) -> Result<Rc<Array>, EvalError> {
        let node = self.region.op(&self.axes, op, operands);
        let ty = self.region.ty(node).clone();
        let value = eval_region(&self.sizes(), &self.region.clone().finish(vec![node]), &self.arguments)?.remove(0);
        assert_eq!(value.axes, ty.axes, "the array has the axes of the type");
        Ok(value)
    }

    /// The elements of an operator's value, in the order of the axes as given.
    fn give(&mut self, op: Op, operands: &[NodeId], axes: &[Axis]) -> Vec<f64> {
        let dims = self.sizes().dims(axes).unwrap();
        self.run(op, operands).unwrap().in_order(&dims).unwrap()
    }
}

#[test]
fn sources() {
    let mut b = Bench::default();
    let (x, y, none) = (b.axis(3), b.axis(2), b.axis(0));
    assert_eq!(b.give(Op::Constant(Number(2.5), Elem::Float, vec![y, x]), &[], &[x, y]), [2.5; 6]);
    assert_eq!(b.give(Op::Constant(Number(2.5), Elem::Float, vec![y, none]), &[], &[y, none]), [0.0; 0]);
    assert_eq!(b.give(Op::Index(x), &[], &[x]), [0.0, 1.0, 2.0]);
    assert_eq!(b.give(Op::Index(none), &[], &[none]), [0.0; 0]);
    assert_eq!(b.give(Op::Extent(Size::of(7)), &[], &[]), [7.0]);
    assert_eq!(b.run(Op::Extent(Size::var("n")), &[]), Err(EvalError::UnknownSize("n".into())));
}

#[test]
fn chance_counts_in_declared_order() {
    let mut b = Bench::default();
    let (x, y) = (b.axis(3), b.axis(2));
    let [seed, step, micro, key] = [7.0, 5.0, 1.0, 2.0].map(|n| b.put(Elem::Int, &[], &[n]));
    let expected = |key| (0..6).map(|i| philox::draw(Distribution::Normal, [i, 5, 1, key], [7, 9])).collect::<Vec<_>>();
    let op = Op::Random(Distribution::Normal, vec![y, x], 9);
    assert_eq!(b.give(op.clone(), &[seed, step, micro], &[y, x]), expected(0));
    assert_eq!(b.give(op.clone(), &[seed, step, micro, key], &[y, x]), expected(2));
    assert!(b.run(op, &[seed, step]).is_err());
}

#[test]
fn elementwise_aligns_by_axis() {
    let mut b = Bench::default();
    let (x, y, one, none) = (b.axis(2), b.axis(3), b.axis(1), b.axis(0));
    let column = b.floats(&[x], &[10.0, 20.0]);
    let row = b.floats(&[y], &[1.0, 2.0, 3.0]);
    let table = b.floats(&[y, x], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(b.give(Op::Map(Elementwise::ADD), &[column, row], &[x, y]), [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
    assert_eq!(b.give(Op::Map(Elementwise::SUB), &[table, column], &[x, y]), [-9.0, -7.0, -5.0, -18.0, -16.0, -14.0]);
    let condition = b.put(Elem::Bool, &[one], &[0.0]);
    assert_eq!(
        b.give(Op::Map(Elementwise::SELECT), &[condition, row, column], &[one, y, x]),
        [10.0, 20.0, 10.0, 20.0, 10.0, 20.0]
    );
    assert_eq!(b.give(Op::Map(Elementwise::EXP), &[row], &[y])[0], 1f64.exp());
    let nothing = b.floats(&[none], &[]);
    assert_eq!(b.give(Op::Map(Elementwise::MUL), &[nothing, row], &[none, y]), [0.0; 0]);
    let (seven, minus) = (b.put(Elem::Int, &[], &[-7.0]), b.put(Elem::Int, &[], &[2.0]));
    assert_eq!(b.give(Op::Map(Elementwise::IDIV), &[seven, minus], &[]), [-4.0]);
    assert_eq!(b.give(Op::Map(Elementwise::MOD), &[seven, minus], &[]), [1.0]);
}

#[test]
fn casts() {
    let mut b = Bench::default();
    let x = b.axis(4);
    let floats = b.floats(&[x], &[-1.7, 0.0, 2.9, f64::NAN]);
    assert_eq!(b.give(Op::Cast(Elem::Int), &[floats], &[x]), [-1.0, 0.0, 2.0, 0.0]);
    assert_eq!(b.give(Op::Cast(Elem::Bool), &[floats], &[x]), [1.0, 0.0, 1.0, 1.0]);
    assert_eq!(b.run(Op::Cast(Elem::Index(x)), &[floats]), Err(EvalError::OutOfRange(-1.0, 4)));
    let places = b.floats(&[x], &[-0.5, 0.0, 2.9, 3.9]);
    assert_eq!(b.give(Op::Cast(Elem::Index(x)), &[places], &[x]), [0.0, 0.0, 2.0, 3.0]);
    assert_eq!(b.give(Op::StopGradient, &[places], &[x]), [-0.5, 0.0, 2.9, 3.9]);
}

#[test]
fn reductions() {
    let mut b = Bench::default();
    let (x, y, none) = (b.axis(2), b.axis(3), b.axis(0));
    let table = b.floats(&[x, y], &[1.0, 5.0, 2.0, 6.0, 6.0, 4.0]);
    let reduce = |monoid, axes: &[Axis]| Op::Reduce(monoid, axes.to_vec());
    assert_eq!(b.give(reduce(Monoid::Sum, &[x]), &[table], &[y]), [7.0, 11.0, 6.0]);
    assert_eq!(b.give(reduce(Monoid::Product, &[y]), &[table], &[x]), [10.0, 144.0]);
    assert_eq!(b.give(reduce(Monoid::Max, &[y, x]), &[table], &[]), [6.0]);
    assert_eq!(b.give(reduce(Monoid::Min, &[]), &[table], &[x, y]), [1.0, 5.0, 2.0, 6.0, 6.0, 4.0]);
    assert_eq!(b.give(Op::ArgMax(y), &[table], &[x]), [1.0, 0.0]);
    assert_eq!(b.give(Op::ArgMax(x), &[table], &[y]), [1.0, 1.0, 1.0]);
    let truths = b.put(Elem::Bool, &[x, y], &[1.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(b.give(reduce(Monoid::All, &[y]), &[truths], &[x]), [1.0, 0.0]);
    assert_eq!(b.give(reduce(Monoid::Any, &[x]), &[truths], &[y]), [1.0, 1.0, 1.0]);
    let nothing = b.floats(&[x, none], &[]);
    assert_eq!(b.give(reduce(Monoid::Sum, &[none]), &[nothing], &[x]), [0.0, 0.0]);
    assert_eq!(b.give(reduce(Monoid::Max, &[none]), &[nothing], &[x]), [-INF, -INF]);
    assert_eq!(b.give(reduce(Monoid::Sum, &[x]), &[nothing], &[none]), [0.0; 0]);
    assert!(b.run(Op::ArgMax(none), &[nothing]).is_err());
}

#[test]
fn contractions() {
    let mut b = Bench::default();
    let (batch, m, k, n, none) = (b.axis(2), b.axis(1), b.axis(2), b.axis(3), b.axis(0));
    let left = b.floats(&[batch, m, k], &[1.0, 2.0, 3.0, 4.0]);
    let right = b.floats(&[n, k, batch], &[1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 3.0]);
    let op = Op::Contract(vec![k]);
    assert_eq!(b.give(op.clone(), &[left, right], &[batch, m, n]), [1.0, 2.0, 3.0, 4.0, 8.0, 12.0]);
    assert_eq!(b.give(op, &[right, left], &[batch, m, n]), [1.0, 2.0, 3.0, 4.0, 8.0, 12.0]);
    // An axis of one operand alone is summed too; without any, it is a product.
    assert_eq!(b.give(Op::Contract(vec![batch, m, k, n]), &[left, right], &[]), [30.0]);
    let (u, v) = (b.floats(&[k], &[1.0, 2.0]), b.floats(&[n], &[3.0, 4.0, 5.0]));
    assert_eq!(b.give(Op::Contract(vec![n]), &[u, v], &[k]), [12.0, 24.0]);
    assert_eq!(b.give(Op::Contract(vec![]), &[u, v], &[k, n]), [3.0, 4.0, 5.0, 6.0, 8.0, 10.0]);
    let (p, q) = (b.floats(&[k, none], &[]), b.floats(&[none, n], &[]));
    assert_eq!(b.give(Op::Contract(vec![none]), &[p, q], &[k, n]), [0.0; 6]);
}

/// Blocks of the summed axis must not change what is summed.
#[test]
fn long_contraction() {
    let mut b = Bench::default();
    let (m, k, n) = (b.axis(3), b.axis(70), b.axis(2));
    let left = b.floats(&[m, k], &(0..210).map(f64::from).collect::<Vec<_>>());
    let right = b.floats(&[k, n], &(0..140).map(f64::from).collect::<Vec<_>>());
    let expected: Vec<f64> = (0..6).map(|i| (0..70).map(|k| f64::from((i / 2 * 70 + k) * (k * 2 + i % 2))).sum()).collect();
    assert_eq!(b.give(Op::Contract(vec![k]), &[left, right], &[m, n]), expected);
}

#[test]
fn axes_are_relabelled_split_and_merged() {
    let mut b = Bench::default();
    let (x, y, other, outer, inner, whole) = (b.axis(2), b.axis(6), b.axis(2), b.axis(2), b.axis(3), b.axis(12));
    let data: Vec<f64> = (0..12).map(f64::from).collect();
    let table = b.floats(&[x, y], &data);
    assert_eq!(b.give(Op::Rename(x, other), &[table], &[other, y]), data);
    // Parts are named in another order than they were made in: the list counts.
    let (late, early) = (b.axis(2), inner);
    assert_eq!(b.give(Op::Split(y, vec![late, early]), &[table], &[x, late, early]), data);
    assert_eq!(b.give(Op::Split(y, vec![inner, outer]), &[table], &[x, inner, outer]), data);
    assert_eq!(b.give(Op::Merge(vec![x, y], whole), &[table], &[whole]), data);
    let turned: Vec<f64> = (0..6).flat_map(|i| [f64::from(i), f64::from(i + 6)]).collect();
    assert_eq!(b.give(Op::Merge(vec![y, x], whole), &[table], &[whole]), turned);
}

#[test]
fn slices_pads_and_joins() {
    let mut b = Bench::default();
    let (x, y, two, five, one, none) = (b.axis(2), b.axis(3), b.axis(2), b.axis(5), b.axis(1), b.axis(0));
    let table = b.floats(&[x, y], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let slice = |start, to| Op::Slice(y, Size::of(start), to);
    assert_eq!(b.give(slice(1, two), &[table], &[x, two]), [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(b.give(slice(2, one), &[table], &[one, x]), [3.0, 6.0]);
    assert_eq!(b.give(slice(3, none), &[table], &[x, none]), [0.0; 0]);
    assert!(b.run(slice(2, two), &[table]).is_err());
    assert!(b.run(slice(-1, two), &[table]).is_err());
    let pad = |start| Op::Pad(y, Size::of(start), five, Number(-1.0));
    assert_eq!(b.give(pad(1), &[table], &[x, five]), [-1.0, 1.0, 2.0, 3.0, -1.0, -1.0, 4.0, 5.0, 6.0, -1.0]);
    assert!(b.run(pad(3), &[table]).is_err());
    let (row, nothing) = (b.floats(&[two], &[8.0, 9.0]), b.floats(&[none], &[]));
    let join = Op::Concat(vec![y, two, none], five);
    assert_eq!(b.give(join, &[table, row, nothing], &[x, five]), [1.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 6.0, 8.0, 9.0]);
    // The second operand's part is a further axis of the first.
    let other = b.floats(&[x], &[8.0, 9.0]);
    let join = Op::Concat(vec![y, x], five);
    assert_eq!(b.give(join, &[table, other], &[x, five]), [1.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 6.0, 8.0, 9.0]);
}

#[test]
fn lookups_and_their_transpose() {
    let mut b = Bench::default();
    let (token, feature, time, batch, none) = (b.axis(3), b.axis(2), b.axis(4), b.axis(2), b.axis(0));
    let table = b.floats(&[token, feature], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let ids = b.put(Elem::Index(token), &[time], &[2.0, 0.0, 2.0, 1.0]);
    assert_eq!(b.give(Op::Lookup(token), &[table, ids], &[time, feature]), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0, 3.0, 4.0]);
    // `batch` is in both and is walked together.
    let rows = b.floats(&[batch, token], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let one = b.put(Elem::Index(token), &[batch], &[2.0, 0.0]);
    assert_eq!(b.give(Op::Lookup(token), &[rows, one], &[batch]), [3.0, 4.0]);
    let bad = b.put(Elem::Index(token), &[], &[3.0]);
    assert_eq!(b.run(Op::Lookup(token), &[table, bad]), Err(EvalError::OutOfRange(3.0, 3)));
    let nobody = b.put(Elem::Index(token), &[none], &[]);
    assert_eq!(b.give(Op::Lookup(token), &[table, nobody], &[none, feature]), [0.0; 0]);

    let values = b.floats(&[time, feature], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
    let scatter = |over: &[Axis]| Op::ScatterAdd(token, over.to_vec());
    assert_eq!(b.give(scatter(&[time]), &[values, ids], &[token, feature]), [2.0, 20.0, 4.0, 40.0, 4.0, 40.0]);
    let single = b.floats(&[batch], &[7.0, 8.0]);
    assert_eq!(b.give(scatter(&[]), &[single, one], &[batch, token]), [0.0, 0.0, 7.0, 8.0, 0.0, 0.0]);
    let empty = b.floats(&[none], &[]);
    assert_eq!(b.give(scatter(&[none]), &[empty, nobody], &[token]), [0.0; 3]);
}

#[test]
fn softmax_of_masked_rows() {
    let mut b = Bench::default();
    let (x, y, none) = (b.axis(3), b.axis(2), b.axis(0));
    let scores = b.floats(&[x, y], &[0.0, 0.0, -INF, 3.0, -INF, -INF]);
    assert_eq!(b.give(Op::Softmax(vec![y]), &[scores], &[x, y]), [0.5, 0.5, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(b.give(Op::LogSumExp(vec![y]), &[scores], &[x]), [2f64.ln(), 3.0, -INF]);
    let all = b.give(Op::Softmax(vec![x, y]), &[scores], &[x, y]);
    let sum = 2.0 + 3f64.exp();
    for (got, want) in all.iter().zip([1.0 / sum, 1.0 / sum, 0.0, 3f64.exp() / sum, 0.0, 0.0]) {
        assert!((got - want).abs() < 1e-15);
    }
    let large = b.floats(&[y], &[1000.0, 1000.0]);
    assert_eq!(b.give(Op::LogSumExp(vec![y]), &[large], &[]), [1000.0 + 2f64.ln()]);
    let nothing = b.floats(&[y, none], &[]);
    assert_eq!(b.give(Op::Softmax(vec![none]), &[nothing], &[y, none]), [0.0; 0]);
    assert_eq!(b.give(Op::LogSumExp(vec![none]), &[nothing], &[y]), [-INF, -INF]);
}

/// `h ← 2h + x + c`, yielding each `h` beside `c`'s own axis.
fn accumulate(b: &mut Bench, axis: Axis, reverse: bool) -> Vec<Rc<Array>> {
    let mut body = RegionBuilder::new();
    let [h, x, c] = [(); 3].map(|()| body.argument(Type::scalar(Elem::Float)));
    let two = body.number(2.0);
    let twice = body.map(&b.axes, Elementwise::MUL, &[two, h]);
    let sum = body.map(&b.axes, Elementwise::ADD, &[twice, x]);
    let next = body.map(&b.axes, Elementwise::ADD, &[sum, c]);
    let scan = Scan { axis, reverse, carried: 1, sliced: 1, body: body.finish(vec![next, next]) };
    let size = b.sizes().axis(axis).unwrap();
    let start = b.floats(&[], &[1.0]);
    let along = b.floats(&[axis], &[1.0, 2.0, 3.0][..size]);
    let constant = b.floats(&[], &[10.0]);
    let kind = Kind::Scan(Box::new(scan));
    let types = super::super::results(&kind).unwrap();
    let outputs = b.region.several(kind, vec![start, along, constant], &types);
    eval_region(&b.sizes(), &b.region.clone().finish(outputs), &b.arguments).unwrap()
}

#[test]
fn scans() {
    let mut b = Bench::default();
    let (three, none) = (b.axis(3), b.axis(0));
    let forward = accumulate(&mut b, three, false);
    assert_eq!(forward[0].data, [89.0]);
    assert_eq!(forward[1].data, [13.0, 38.0, 89.0]);
    let backward = accumulate(&mut b, three, true);
    assert_eq!(backward[0].data, [95.0]);
    assert_eq!(backward[1].data, [95.0, 42.0, 15.0]);
    let empty = accumulate(&mut b, none, false);
    assert_eq!((empty[0].data.as_slice(), empty[1].data.len()), (&[1.0][..], 0));
}

#[test]
fn fused_nodes_are_their_bodies() {
    let mut b = Bench::default();
    let x = b.axis(2);
    let mut body = RegionBuilder::new();
    let inner = body.argument(Type::new(Elem::Float, [x]));
    let exp = body.map(&b.axes, Elementwise::EXP, &[inner]);
    let sum = body.op(&b.axes, Op::Reduce(Monoid::Sum, vec![x]), &[exp]);
    let fused = Fused { form: Form::Loops, body: body.finish(vec![exp, sum]) };
    let zeros = b.floats(&[x], &[0.0, 0.0]);
    let kind = Kind::Fused(Box::new(fused));
    let types = super::super::results(&kind).unwrap();
    let outputs = b.region.several(kind, vec![zeros], &types);
    let values = eval_region(&b.sizes(), &b.region.clone().finish(outputs), &b.arguments).unwrap();
    assert_eq!((values[0].data.as_slice(), values[1].data.as_slice()), (&[1.0, 1.0][..], &[2.0][..]));
}
