//! Places put in order, row by row. The first few of a row are looked for one after another, each the best of what comes after the
//! one before; a whole row of indices into an axis of known size is counted out (counting sort). Both are stable.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Direction, Monoid, Op};
use weft_dsl::types::{Axes, Axis, Elem};

use super::position::{Env, Position};
use super::product::group::Group;
use super::simplify::{expand, identity};
use super::{Exprs, Layout, Machine, Scheduled, Unschedulable, dtype};
use crate::graph::{Fused, Kind, NodeId};
use crate::kernel::{Dtype, Place, Reg, Writer};

/// Rows of a tile.
const ROWS: u32 = 16;
/// The most places of an axis whose indices are counted: 1 MiB of scratch memory.
pub const COUNTED: i64 = 1 << 18;

/// A kernel for a body whose one result is the order of an expression's values.
///
/// # Errors
/// Where the body is another.
pub fn schedule(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    let body = expand(&fused.body, axes);
    let other = || Unschedulable("an order whose result is none".into());
    let (&[result], [layout]) = (body.outputs.as_slice(), outputs) else { return Err(other()) };
    let Kind::Op(Op::Order(axis, to, way)) = body[result].kind else { return Err(other()) };
    let value = body[result].operands[0];
    let buckets = match body[value].ty.elem {
        Elem::Index(of) => axes.size(of).known().filter(|n| (1..=COUNTED).contains(n)),
        Elem::Float | Elem::Int | Elem::Bool => None,
    };
    let buckets = buckets.filter(|_| way == Direction::Rising && axes.size(to) == axes.size(axis));
    let mut args: Vec<Dtype> = body.arguments.iter().map(dtype).collect();
    args.push(Dtype::I32);
    let others: Vec<Axis> = layout.0.iter().copied().filter(|&a| a != to).collect();
    let rows = Group::new(axes, &others, |_, _| false);

    let mut w = Writer::new(args, 0);
    let exprs = Exprs::new(&body, axes, inputs, machine.lanes);
    let place = Place::Arg(body.arguments.len() as u32);
    let mut order = Order { exprs, place, layout: layout.clone(), axis, to, way, value };
    let (tile, block, all) = (w.tile(), w.int(i64::from(ROWS)), order.exprs.sizes.reg(&mut w, &rows.volume()));
    let from = w.mul(tile, block);
    let until = w.add(from, block);
    let until = w.map(Elementwise::MIN, &[until, all]);
    let counts = buckets.map(|n| (w.scratch(Dtype::I32, n as u32), n));
    w.repeat((from, until, 1), &[], |w, row, _| {
        let mut env = Env::new();
        rows.at(w, &mut order.exprs, &mut env, row);
        order.exprs.hoist(w, &[value], &env);
        match counts {
            Some(counts) => order.count(w, &env, counts),
            None => order.search(w, &env),
        }
        Vec::new()
    });
    let walks = if counts.is_some() { 8.0 } else { axes.size(to).known().unwrap_or(1024) as f64 };
    let cost = f64::from(ROWS) * walks * axes.size(axis).known().unwrap_or(1024) as f64;
    let sizes = order.exprs.finish()?.into_sizes();
    Ok(Scheduled { kernel: w.finish(), sizes, tiles: vec![(rows.volume(), u64::from(ROWS))], cost, share: 1.0 })
}

struct Order<'a> {
    exprs: Exprs<'a>,
    place: Place,
    layout: Layout,
    /// The axis whose places are put in order.
    axis: Axis,
    /// The axis of the result.
    to: Axis,
    way: Direction,
    value: NodeId,
}

impl Order<'_> {
    /// For each place of the result the best value that comes after the last one found.
    fn search(&mut self, w: &mut Writer, env: &Env) {
        let own = dtype(&self.exprs.body[self.value].ty);
        let (best, better) = match self.way {
            Direction::Falling => (Monoid::Max, Elementwise::GT),
            Direction::Rising => (Monoid::Min, Elementwise::LT),
        };
        let limit = |monoid: Monoid| identity(monoid, own == Dtype::I32).0;
        let (worst, beyond) = (limit(best), limit(if best == Monoid::Max { Monoid::Min } else { Monoid::Max }));
        let lanes = self.exprs.lanes;
        let (zero, many, size) = (w.int(0), self.exprs.extent(w, self.to), self.exprs.extent(w, self.axis));
        let before = [w.constant(own, 1, beyond), w.constant(Dtype::I32, 1, -1.0)];
        w.repeat((zero, many, 1), &before, |w, number, last| {
            let nothing = [w.constant(own, lanes, worst), w.constant(Dtype::I32, lanes, f64::from(i32::MAX))];
            let found = w.repeat((zero, size, u32::from(lanes)), &nothing, |w, base, found| {
                let at = Position::Lanes(base);
                let places = at.places(w, lanes);
                let mask = w.map(Elementwise::LT, &[places, size]);
                let env = env.with(self.axis, at).masked(w, Some(mask));
                let value = self.value(w, &env);
                let places = w.convert(places, Dtype::I32);
                let ahead = |w: &mut Writer, a: (Reg, Reg), b: (Reg, Reg)| {
                    let (more, equal) = (w.map(better, &[a.0, b.0]), w.map(Elementwise::EQ, &[a.0, b.0]));
                    let earlier = w.map(Elementwise::LT, &[a.1, b.1]);
                    let tie = w.map(Elementwise::AND, &[equal, earlier]);
                    w.map(Elementwise::OR, &[more, tie])
                };
                let (after, leads) =
                    (ahead(w, (last[0], last[1]), (value, places)), ahead(w, (value, places), (found[0], found[1])));
                let counts = w.map(Elementwise::AND, &[mask, after]);
                let take = w.map(Elementwise::AND, &[counts, leads]);
                vec![
                    w.map(Elementwise::SELECT, &[take, value, found[0]]),
                    w.map(Elementwise::SELECT, &[take, places, found[1]]),
                ]
            });
            let value = w.fold(best, found[0]);
            let equal = w.map(Elementwise::EQ, &[found[0], value]);
            let none = w.constant(Dtype::I32, lanes, f64::from(i32::MAX));
            let places = w.map(Elementwise::SELECT, &[equal, found[1], none]);
            let place = w.fold(Monoid::Min, places);
            self.put(w, env, number, place);
            vec![value, place]
        });
    }

    /// A vector of values; NaN as ∞, so that any two can be compared.
    fn value(&mut self, w: &mut Writer, env: &Env) -> Reg {
        let value = self.exprs.eval(w, self.value, env);
        let value = w.splat(value, self.exprs.lanes);
        if !w.shape(value).dtype.is_float() {
            return value;
        }
        let (number, top) =
            (w.map(Elementwise::EQ, &[value, value]), w.constant(w.shape(value).dtype, self.exprs.lanes, f64::INFINITY));
        w.map(Elementwise::SELECT, &[number, value, top])
    }

    /// How often each index occurs says where its places begin; then each place goes where its index has got to.
    fn count(&mut self, w: &mut Writer, env: &Env, (counts, buckets): (Place, i64)) {
        let (zero, size, all) = (w.int(0), self.exprs.extent(w, self.axis), w.int(buckets));
        let (none, one) = (w.constant(Dtype::I32, 1, 0.0), w.constant(Dtype::I32, 1, 1.0));
        w.repeat((zero, all, 1), &[], |w, bucket, _| {
            w.store(counts, bucket, none, None);
            Vec::new()
        });
        w.repeat((zero, size, 1), &[], |w, at, _| {
            let (bucket, so_far) = self.bucket(w, env, counts, at);
            let more = w.add(so_far, one);
            w.store(counts, bucket, more, None);
            Vec::new()
        });
        w.repeat((zero, all, 1), &[none], |w, bucket, start| {
            let count = w.load(counts, bucket, 1, None);
            w.store(counts, bucket, start[0], None);
            vec![w.add(start[0], count)]
        });
        w.repeat((zero, size, 1), &[], |w, at, _| {
            let (bucket, next) = self.bucket(w, env, counts, at);
            let place = w.convert(at, Dtype::I32);
            let number = w.convert(next, Dtype::I64);
            self.put(w, env, number, place);
            let next = w.add(next, one);
            w.store(counts, bucket, next, None);
            Vec::new()
        });
    }

    /// The index at a place, and what its count is.
    fn bucket(&mut self, w: &mut Writer, env: &Env, counts: Place, at: Reg) -> (Reg, Reg) {
        let bucket = self.exprs.eval(w, self.value, &env.with(self.axis, Position::Scalar(at)));
        let bucket = w.convert(bucket, Dtype::I64);
        (bucket, w.load(counts, bucket, 1, None))
    }

    fn put(&mut self, w: &mut Writer, env: &Env, number: Reg, place: Reg) {
        let env = env.with(self.to, Position::Scalar(number));
        self.exprs.store(w, self.place, &self.layout.clone(), &env, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Array, Form};
    use crate::schedule::testing::{Case, Chance, With};
    use std::rc::Rc;

    #[test]
    fn the_first_few_in_either_order() {
        for (rows, size, many) in [(3, 7, 2), (1, 1, 1), (5, 19, 19), (0, 4, 2), (4, 33, 0), (17, 8, 3)] {
            for way in [Direction::Falling, Direction::Rising] {
                for seed in 0..4 {
                    let mut c = Case::default();
                    let (r, x, k) = (c.free("row", rows), c.axis("x", size), c.axis("k", many));
                    let (a, b) = (c.float(&[r, x]), c.float(&[x]));
                    let value = c.map(Elementwise::ADD, &[a, b]);
                    let out = c.op(Op::Order(x, k, way), &[value]);
                    let lanes = if seed % 2 == 0 { 4 } else { 16 };
                    let with = if seed < 2 { With::Machine } else { With::Interpreter };
                    c.finish(vec![out]).check_with(schedule, Form::Order, lanes, seed + 1, with);
                }
            }
        }
    }

    #[test]
    fn of_equals_the_lowest_place_comes_first_and_nan_is_infinite() {
        let numbers = [1.0, f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, 1.0, -1.0, f64::NAN, f64::NEG_INFINITY];
        for way in [Direction::Falling, Direction::Rising] {
            let mut c = Case::default();
            let (x, k) = (c.axis("x", 9), c.axis("k", 9));
            let value = c.float(&[x]);
            let out = c.op(Op::Order(x, k, way), &[value]);
            let given = vec![Rc::new(Array::from_order(&[(x, 9)], numbers.to_vec()).unwrap())];
            let case = c.finish(vec![out]);
            for with in [With::Interpreter, With::Machine] {
                case.check_on(schedule, Form::Order, 4, 1, &given, with);
            }
        }
    }

    #[test]
    fn indices_are_counted_out() {
        for (rows, size, buckets) in [(1, 13, 5), (3, 40, 1), (2, 0, 3), (1, 7, 31)] {
            for seed in 0..4 {
                let mut c = Case::default();
                let (r, t, e) = (c.free("row", rows), c.free("time", size), c.axis("expert", buckets));
                let s = c.axes.like(t, "slot");
                let index = c.index(e, &[r, t]);
                let out = c.op(Op::Order(t, s, Direction::Rising), &[index]);
                let case = c.finish(vec![out]);
                let given = case.arguments(&mut Chance(seed + 1));
                let with = if seed < 2 { With::Machine } else { With::Interpreter };
                let scheduled = case.check_on(schedule, Form::Order, 4, seed + 1, &given, with);
                assert!(scheduled.kernel.scratch > crate::kernel::STATUS_BYTES, "counted");
            }
        }
    }
}
