//! Loops: elementwise work, and reductions over rows, over columns and of everything.

mod plan;
mod accumulate;
mod walk;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod speed;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use super::position::{Env, Position};
use super::simplify::Problem;
use super::{Exprs, Layout, Machine, Scheduled, Unschedulable, dtype};
use crate::graph::{Fused, NodeId};
use crate::kernel::{Dtype, Place, Reg, Writer};
use plan::{Pass, Plan};
use walk::Walk;

/// A kernel of loops for a fused node whose arguments and results have these layouts.
///
/// A result may lie where an argument lay that has the same layout: each row's arguments are read before its results are
/// stored. A result that lacks axes of its kernel's rows is stored by their first row, and so not at all where there is none.
///
/// # Errors
/// Where the body holds what loops do not compute: a scatter-add, or reductions over different axes one of which keeps what the
/// other reduces.
pub fn schedule(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    let problem = Problem::new(&fused.body, axes, inputs, outputs);
    let plan = Plan::new(&problem, machine)?;
    let mut args: Vec<Dtype> = problem.body.arguments.iter().map(dtype).collect();
    args.extend(problem.body.results().iter().map(dtype));
    let mut w = Writer::new(args, 0);
    let exprs = Exprs::new(&problem.body, &problem.axes, &problem.inputs, machine.lanes);
    let mut kernel = Loops { problem: &problem, plan: &plan, exprs, at_start: None, split: None };
    let tiles = kernel.write(&mut w);
    let sizes = kernel.exprs.finish()?.into_sizes();
    let cost = cost(&problem, &plan);
    Ok(Scheduled { kernel: w.finish(), sizes, tiles, cost, share: 1.0 })
}

/// The writer of one kernel.
struct Loops<'a> {
    problem: &'a Problem,
    plan: &'a Plan,
    exprs: Exprs<'a>,
    /// Whether this is the first tile along the axis that is cut (Bool scalar).
    at_start: Option<Reg>,
    /// The tile's range on the axis that is cut.
    split: Option<(Reg, Reg)>,
}

impl Loops<'_> {
    fn write(&mut self, w: &mut Writer) -> Vec<(Size, u64)> {
        let plan = self.plan;
        let lanes = self.exprs.lanes;
        let rows = self.problem.axes.volume(&plan.rows);
        let mut tiles: Vec<(Size, u64)> = Vec::new();
        if !plan.rows.is_empty() {
            tiles.push((rows.clone(), plan.row_block as u64));
        }
        let across = plan.column.map(|(axis, vectors)| (axis, i64::from(vectors * lanes))).or(plan.split);
        if let Some((axis, block)) = across {
            tiles.push((self.problem.axes.size(axis).clone(), block as u64));
        }
        let starts = self.starts(w, &tiles);
        if let Some((axis, block)) = across {
            let start = starts[tiles.len() - 1];
            let (zero, size, block) = (w.int(0), self.exprs.extent(w, axis), w.int(block));
            self.at_start = Some(w.map(Elementwise::EQ, &[start, zero]));
            let end = w.add(start, block);
            self.split = Some((start, w.map(Elementwise::MIN, &[end, size])));
        }
        if plan.rows.is_empty() {
            self.row(w, &Env::new());
            return tiles;
        }
        let (from, block, rows) = (starts[0], w.int(plan.row_block), self.exprs.sizes.reg(w, &rows));
        let to = w.add(from, block);
        let to = w.map(Elementwise::MIN, &[to, rows]);
        w.repeat((from, to, 1), &[], |w, row, _| {
            let env = self.located(w, row);
            self.row(w, &env);
            Vec::new()
        });
        tiles
    }

    /// Where the tile starts in each dimension of tiles, the last of which is innermost.
    fn starts(&mut self, w: &mut Writer, tiles: &[(Size, u64)]) -> Vec<Reg> {
        let mut rest = w.tile();
        let mut starts = vec![rest; tiles.len()];
        for (i, (size, block)) in tiles.iter().enumerate().rev() {
            let number = if i == 0 {
                rest
            } else {
                let (size, most, unit) = (self.exprs.sizes.reg(w, size), w.int(*block as i64 - 1), w.int(*block as i64));
                let up = w.add(size, most);
                let count = w.map(Elementwise::IDIV, &[up, unit]);
                let number = w.map(Elementwise::MOD, &[rest, count]);
                rest = w.map(Elementwise::IDIV, &[rest, count]);
                number
            };
            let unit = w.int(*block as i64);
            starts[i] = w.mul(number, unit);
        }
        starts
    }

    /// The position on each row axis of a row by its number.
    fn located(&mut self, w: &mut Writer, row: Reg) -> Env {
        let mut env = Env::new();
        let mut rest = row;
        for (i, &axis) in self.plan.rows.iter().enumerate().rev() {
            if i == 0 {
                env.set(axis, Position::Scalar(rest));
                break;
            }
            let size = self.exprs.extent(w, axis);
            env.set(axis, Position::Scalar(w.map(Elementwise::MOD, &[rest, size])));
            rest = w.map(Elementwise::IDIV, &[rest, size]);
        }
        env
    }

    /// Everything for one row, or for the vectors of rows of a tile.
    fn row(&mut self, w: &mut Writer, env: &Env) {
        let envs = self.columns(w, env);
        let plan = self.plan;
        let (computing, storing): (Vec<&Pass>, Vec<&Pass>) = plan.passes.iter().partition(|p| !p.reductions.is_empty());
        // What a pass before the last stores would be read again by the last: passes that reduce store only if none follows.
        for pass in computing {
            self.pass(w, pass, &envs);
        }
        let values: Vec<Vec<Reg>> = envs
            .iter()
            .map(|env| plan.row_outputs.iter().map(|&o| self.exprs.eval(w, self.output(o), env)).collect())
            .collect();
        for pass in storing {
            self.pass(w, pass, &envs);
        }
        for (env, values) in envs.iter().zip(values) {
            for (&number, value) in plan.row_outputs.iter().zip(values) {
                self.store_once(w, number, env, value);
            }
        }
    }

    fn output(&self, number: usize) -> NodeId {
        self.problem.body.outputs[number]
    }

    /// The tile's vectors along the kept axis, where vectors lie along one; otherwise the row alone.
    fn columns(&mut self, w: &mut Writer, env: &Env) -> Vec<Env> {
        let (Some((axis, vectors)), Some((start, _))) = (self.plan.column, self.split) else { return vec![env.clone()] };
        let lanes = self.exprs.lanes;
        let whole = self.problem.axes.size(axis).known().is_some_and(|n| n % i64::from(vectors * lanes) == 0);
        (0..vectors)
            .map(|u| {
                let by = w.int(i64::from(u * lanes));
                let base = w.add(start, by);
                let mut env = env.with(axis, Position::Lanes(base));
                if !whole {
                    env.mask = Some(self.mask(w, axis, base));
                }
                env
            })
            .collect()
    }

    /// Which of the lanes from a base exist.
    fn mask(&mut self, w: &mut Writer, axis: Axis, base: Reg) -> Reg {
        let places = Position::Lanes(base).places(w, self.exprs.lanes);
        let size = self.exprs.extent(w, axis);
        w.map(Elementwise::LT, &[places, size])
    }

    /// Stores a result; one that lacks an axis of the rows, only where the position there is 0.
    fn store_once(&mut self, w: &mut Writer, number: usize, env: &Env, value: Reg) {
        let body = &self.problem.body;
        let ty = &body[self.output(number)].ty;
        let mut first: Option<Reg> = None;
        let mut and = |w: &mut Writer, cond: Reg| {
            first = Some(match first {
                Some(before) => w.map(Elementwise::AND, &[before, cond]),
                None => cond,
            });
        };
        for &axis in self.plan.rows.iter().filter(|&&a| !ty.has(a)) {
            if let Some(Position::Scalar(at)) = env.get(axis) {
                let zero = w.int(0);
                let cond = w.map(Elementwise::EQ, &[at, zero]);
                and(w, cond);
            }
        }
        let cut = self.plan.column.map(|(axis, _)| axis).or(self.plan.split.map(|(axis, _)| axis));
        if let (Some(start), Some(axis)) = (self.at_start, cut)
            && !ty.has(axis)
        {
            and(w, start);
        }
        let place = Place::Arg((body.arguments.len() + number) as u32);
        let layout = &self.problem.outputs[number];
        match first {
            Some(cond) => w.when(cond, |w| self.exprs.store(w, place, layout, env, value)),
            None => self.exprs.store(w, place, layout, env, value),
        }
    }

    fn pass(&mut self, w: &mut Writer, pass: &Pass, envs: &[Env]) {
        Walk::new(self, w, pass, envs).run(w);
    }
}

/// Rough operations of a tile.
fn cost(problem: &Problem, plan: &Plan) -> f64 {
    let each = problem.body.nodes.len() as f64;
    let known = |axes: &[Axis]| problem.axes.volume(axes).known().unwrap_or(1024) as f64;
    let walked: f64 = plan.passes.iter().map(|p| plan.split.map_or(known(&p.axes), |(_, n)| n as f64)).sum();
    let rows = if plan.rows.is_empty() { 1.0 } else { plan.row_block as f64 };
    let columns = plan.column.map_or(1.0, |(_, vectors)| f64::from(vectors) * 16.0);
    each * walked.max(1.0) * rows * columns
}
