//! Scatter-add without atomics: each tile owns some rows of the result and walks all indices in order, adding what falls in its
//! rows. So every sum is made in the order of the indices, whatever the number of threads.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use super::position::{Env, Position};
use super::simplify::expand;
use super::{Exprs, Layout, Machine, Scheduled, Unschedulable, dtype};
use crate::graph::{Fused, Kind, NodeId};
use crate::kernel::{Dtype, Place, Reg, Writer};

/// Tiles of a scatter-add, about: each walks all of the indices.
const PARTS: i64 = 8;
/// Rows of a tile where the number of rows is not known.
const ROWS: i64 = 8192;

/// A kernel for a body whose one result is a scatter-add, its values and indices expressions.
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
    let other = || Unschedulable("a scatter whose result is no scatter-add".into());
    let (&[result], [layout]) = (body.outputs.as_slice(), outputs) else { return Err(other()) };
    let Kind::Op(Op::ScatterAdd(axis, over)) = &body[result].kind else { return Err(other()) };
    let [values, index] = body[result].operands[..] else { return Err(other()) };
    let ty = &body[result].ty;
    let rest: Vec<Axis> = layout.0.iter().copied().filter(|a| a != axis).collect();
    let mut args: Vec<Dtype> = body.arguments.iter().map(dtype).collect();
    args.push(dtype(ty));

    let rows = axes.size(*axis);
    let row_block = rows.known().map_or(ROWS, |n| (n + PARTS - 1) / PARTS).max(1);
    let mut w = Writer::new(args, 0);
    let mut scatter = Scatter {
        exprs: Exprs::new(&body, axes, inputs, machine.lanes),
        place: Place::Arg(body.arguments.len() as u32),
        layout: layout.clone(),
        axis: *axis,
        values,
        index,
        over: over.clone(),
        rest,
    };
    scatter.write(&mut w, row_block);
    let sizes = scatter.exprs.finish()?.into_sizes();
    let walked = axes.volume(over).known().unwrap_or(1024) as f64;
    let width = axes.volume(&scatter.rest).known().unwrap_or(64) as f64;
    let tiles: Vec<(Size, u64)> = vec![(rows.clone(), row_block as u64)];
    Ok(Scheduled { kernel: w.finish(), sizes, tiles, cost: walked * 8.0 + row_block as f64 * width, share: 1.0 })
}

struct Scatter<'a> {
    exprs: Exprs<'a>,
    place: Place,
    layout: Layout,
    /// The axis that indices point into.
    axis: Axis,
    values: NodeId,
    index: NodeId,
    /// The axes that are summed over, walked in this order.
    over: Vec<Axis>,
    /// Axes of the result besides, in the order of memory.
    rest: Vec<Axis>,
}

impl Scatter<'_> {
    fn write(&mut self, w: &mut Writer, row_block: i64) {
        let (tile, block) = (w.tile(), w.int(row_block));
        let from = w.mul(tile, block);
        let (to, rows) = (w.add(from, block), self.exprs.extent(w, self.axis));
        let to = w.map(Elementwise::MIN, &[to, rows]);
        w.repeat((from, to, 1), &[], |w, row, _| {
            let env = Env::new().with(self.axis, Position::Scalar(row));
            self.along(w, 0, env, &mut |this, w, env| {
                let zero = w.constant(Dtype::F32, 1, 0.0);
                this.put(w, env, zero);
            });
            Vec::new()
        });
        self.walk(w, 0, Env::new(), (from, to));
    }

    /// The loops over what is summed.
    fn walk(&mut self, w: &mut Writer, depth: usize, env: Env, range: (Reg, Reg)) {
        if let Some(&axis) = self.over.get(depth) {
            let (zero, size) = (w.int(0), self.exprs.extent(w, axis));
            w.repeat((zero, size, 1), &[], |w, at, _| {
                self.walk(w, depth + 1, env.with(axis, Position::Scalar(at)), range);
                Vec::new()
            });
            return;
        }
        // An index with axes that the result keeps differs along them, and is looked at in the innermost loop.
        let early = env.covers(&self.exprs.body[self.index].ty.axes);
        if early {
            let row = self.row(w, &env);
            let mine = self.mine(w, row, range);
            w.when(mine, |w| {
                let roots = [self.values];
                self.exprs.hoist(w, &roots, &env);
                self.along(w, 0, env.clone(), &mut |this, w, env| this.add(w, env, row));
            });
            return;
        }
        self.along_scalars(w, 0, env, range);
    }

    /// The row that an index names.
    fn row(&mut self, w: &mut Writer, env: &Env) -> Reg {
        let row = self.exprs.eval(w, self.index, env);
        w.convert(row, Dtype::I64)
    }

    fn mine(&self, w: &mut Writer, row: Reg, (from, to): (Reg, Reg)) -> Reg {
        let (above, below) = (w.map(Elementwise::GE, &[row, from]), w.map(Elementwise::LT, &[row, to]));
        w.map(Elementwise::AND, &[above, below])
    }

    /// Loops over the result's other axes, one place at a time.
    fn along_scalars(&mut self, w: &mut Writer, depth: usize, env: Env, range: (Reg, Reg)) {
        let Some(&axis) = self.rest.get(depth) else {
            let row = self.row(w, &env);
            let mine = self.mine(w, row, range);
            w.when(mine, |w| self.add(w, &env, row));
            return;
        };
        let (zero, size) = (w.int(0), self.exprs.extent(w, axis));
        w.repeat((zero, size, 1), &[], |w, at, _| {
            self.along_scalars(w, depth + 1, env.with(axis, Position::Scalar(at)), range);
            Vec::new()
        });
    }

    /// Loops over the result's other axes, the last in vectors, whole ones and then what is left.
    fn along(&mut self, w: &mut Writer, depth: usize, env: Env, leaf: &mut dyn FnMut(&mut Self, &mut Writer, &Env)) {
        let Some(&axis) = self.rest.get(depth) else { return leaf(self, w, &env) };
        let (zero, size) = (w.int(0), self.exprs.extent(w, axis));
        if depth + 1 < self.rest.len() {
            w.repeat((zero, size, 1), &[], |w, at, _| {
                self.along(w, depth + 1, env.with(axis, Position::Scalar(at)), leaf);
                Vec::new()
            });
            return;
        }
        let lanes = self.exprs.lanes;
        let (unit, known) = (w.int(i64::from(lanes)), self.exprs.axes.size(axis).known());
        let whole = w.map(Elementwise::IDIV, &[size, unit]);
        let border = w.mul(whole, unit);
        w.repeat((zero, border, u32::from(lanes)), &[], |w, base, _| {
            leaf(self, w, &env.with(axis, Position::Lanes(base)));
            Vec::new()
        });
        if known.is_none_or(|n| n % i64::from(lanes) != 0) {
            w.repeat((border, size, u32::from(lanes)), &[], |w, base, _| {
                let places = Position::Lanes(base).places(w, lanes);
                let mask = w.map(Elementwise::LT, &[places, size]);
                let env = env.with(axis, Position::Lanes(base)).masked(w, Some(mask));
                leaf(self, w, &env);
                Vec::new()
            });
        }
    }

    /// Adds the values at a position to a row of the result.
    fn add(&mut self, w: &mut Writer, env: &Env, row: Reg) {
        let value = self.exprs.eval_as(w, self.values, env, Dtype::F32);
        let at = env.with(self.axis, Position::Scalar(row));
        let before = self.exprs.load(w, self.values, self.place, &self.layout.clone(), &at);
        let after = w.add(before, value);
        self.put(w, &at, after);
    }

    fn put(&mut self, w: &mut Writer, env: &Env, value: Reg) {
        self.exprs.store(w, self.place, &self.layout.clone(), env, value);
    }
}

#[cfg(test)]
mod tests {
    use super::schedule;
    use crate::graph::Form;
    use crate::schedule::testing::{Case, With};
    use weft_dsl::elementwise::Elementwise;
    use weft_dsl::op::Op;

    fn with(seed: u64) -> With {
        if seed < 2 { With::Machine } else { With::Interpreter }
    }

    #[test]
    fn rows_are_added_in_order() {
        for (tokens, vocab, width) in [(7, 5, 17), (0, 3, 4), (9, 40, 16), (5, 1, 1), (6, 11, 0)] {
            for seed in 0..6 {
                let mut c = Case::default();
                let (b, t) = (c.free("batch", 2), c.free("time", tokens));
                let (v, f) = (c.axis("vocab", vocab), c.axis("feature", width));
                let (g, ids, scale) = (c.float(&[b, t, f]), c.index(v, &[b, t]), c.float(&[f]));
                let values = c.map(Elementwise::MUL, &[g, scale]);
                let sum = c.op(Op::ScatterAdd(v, vec![b, t]), &[values, ids]);
                c.finish(vec![sum]).check_with(
                    schedule,
                    Form::Scatter,
                    if seed % 2 == 0 { 4 } else { 16 },
                    seed + 1,
                    with(seed),
                );
            }
        }
    }

    #[test]
    fn an_index_may_keep_axes() {
        for seed in 0..6 {
            let mut c = Case::default();
            let (b, t) = (c.free("batch", 3), c.free("time", 5));
            let (v, f) = (c.axis("vocab", 4), c.axis("feature", 6));
            let (g, ids) = (c.float(&[t, f]), c.index(v, &[b, t]));
            let sum = c.op(Op::ScatterAdd(v, vec![t]), &[g, ids]);
            c.finish(vec![sum]).check_with(schedule, Form::Scatter, 4, seed + 1, with(seed));
        }
    }
}
