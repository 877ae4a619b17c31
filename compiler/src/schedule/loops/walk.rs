//! One pass: its loops, what is accumulated along them, what is kept and what is stored.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::types::Axis;

use super::Loops;
use super::accumulate::Accumulator;
use super::plan::Pass;
use crate::kernel::{Place, Reg, Writer};
use crate::schedule::position::{Env, Position};
use crate::schedule::{Layout, dtype};

/// A pass that is being written.
pub struct Walk<'w, 'a> {
    loops: &'w mut Loops<'a>,
    pass: &'w Pass,
    /// The rows that are walked together.
    rows: &'w [Env],
    accumulators: Vec<Accumulator>,
    kept: Vec<Place>,
    /// Vectors in flight for each row.
    flights: usize,
    /// Whether lanes lie along the pass and are joined at its end.
    across: bool,
}

/// A row, a vector in flight, a position.
type At = (usize, usize, Env);

impl<'w, 'a> Walk<'w, 'a> {
    /// Prepares a pass.
    pub fn new(loops: &'w mut Loops<'a>, w: &mut Writer, pass: &'w Pass, rows: &'w [Env]) -> Self {
        let body = &loops.problem.body;
        let accumulators = pass.reductions.iter().filter_map(|&r| Accumulator::new(body, r)).collect();
        let volume = loops.problem.axes.volume(&pass.axes).known().unwrap_or(0) as u32;
        let kept = pass.kept.iter().map(|&node| w.scratch(dtype(&body[node].ty), volume)).collect();
        let across = loops.plan.column.is_none() && !pass.axes.is_empty();
        let flights = if across { usize::from(pass.unroll) } else { 1 };
        Self { loops, pass, rows, accumulators, kept, flights, across }
    }

    /// Writes it.
    pub fn run(mut self, w: &mut Writer) {
        let body = &self.loops.problem.body;
        let mut roots: Vec<_> = self.pass.outputs.iter().map(|&o| self.loops.output(o)).collect();
        roots.extend(self.pass.reductions.iter().flat_map(|&r| body[r].operands.iter().copied()));
        for env in self.rows {
            self.loops.exprs.hoist(w, &roots, env);
        }
        let start = self.start(w);
        let end = self.nest(w, 0, self.rows.to_vec(), start);
        let mut end = end.as_slice();
        for accumulator in &self.accumulators {
            for env in self.rows {
                let mut flights = Vec::new();
                for _ in 0..self.flights {
                    let (one, rest) = end.split_at(accumulator.width());
                    flights.push(one.to_vec());
                    end = rest;
                }
                let value = accumulator.finish(w, body, flights, self.across);
                self.loops.exprs.preset(w, accumulator.node, env, value);
            }
        }
        for (&node, &place) in self.pass.kept.iter().zip(&self.kept) {
            self.loops.exprs.stored(node, place, Layout(self.pass.axes.clone()));
        }
    }

    /// Accumulators in the order: reduction, row, flight, register.
    fn start(&mut self, w: &mut Writer) -> Vec<Reg> {
        let body = &self.loops.problem.body;
        let lanes = self.loops.exprs.lanes;
        let column = self.loops.plan.column.map(|(axis, _)| axis);
        let mut regs = Vec::new();
        for accumulator in &self.accumulators {
            let own = column.is_some_and(|axis| body[accumulator.node].ty.has(axis));
            let lanes = if self.across || own { lanes } else { 1 };
            for _ in 0..self.rows.len() * self.flights {
                regs.extend(accumulator.start(w, lanes));
            }
        }
        regs
    }

    /// The loops from a depth on. `envs`: each row at the positions of the loops around.
    fn nest(&mut self, w: &mut Writer, depth: usize, envs: Vec<Env>, regs: Vec<Reg>) -> Vec<Reg> {
        let Some(&axis) = self.pass.axes.get(depth) else {
            let at = envs.into_iter().enumerate().map(|(row, env)| (row, 0, env)).collect::<Vec<At>>();
            return self.leaf(w, &at, &regs);
        };
        if self.across && depth + 1 == self.pass.axes.len() {
            return self.vectors(w, axis, &envs[0], regs);
        }
        let (zero, size) = (w.int(0), self.loops.exprs.extent(w, axis));
        w.repeat((zero, size, 1), &regs, |w, at, inside| {
            let envs = envs.iter().map(|env| env.with(axis, Position::Scalar(at))).collect();
            self.nest(w, depth + 1, envs, inside.to_vec())
        })
    }

    /// The loop along lanes: whole vectors, several in flight; then what is left, masked.
    fn vectors(&mut self, w: &mut Writer, axis: Axis, env: &Env, regs: Vec<Reg>) -> Vec<Reg> {
        let lanes = self.loops.exprs.lanes;
        let stride = u32::from(lanes) * self.flights as u32;
        let known = self.loops.problem.axes.size(axis).known();
        let split = self.loops.plan.split.filter(|(cut, _)| *cut == axis).and(self.loops.split);
        let (from, to) = match split {
            Some(range) => range,
            None => (w.int(0), self.loops.exprs.extent(w, axis)),
        };
        let unit = w.int(i64::from(stride));
        let length = w.sub(to, from);
        let whole = w.map(Elementwise::IDIV, &[length, unit]);
        let whole = w.mul(whole, unit);
        let border = w.add(from, whole);
        let mut regs = regs;
        if known.is_none_or(|n| n >= i64::from(stride)) {
            regs = w.repeat((from, border, stride), &regs, |w, base, inside| {
                let at: Vec<At> = (0..self.flights)
                    .map(|flight| {
                        let by = w.int(flight as i64 * i64::from(lanes));
                        let base = if flight == 0 { base } else { w.add(base, by) };
                        (0, flight, env.with(axis, Position::Lanes(base)))
                    })
                    .collect();
                self.leaf(w, &at, inside)
            });
        }
        if known.is_none_or(|n| n % i64::from(stride) != 0) {
            regs = w.repeat((border, to, u32::from(lanes)), &regs, |w, base, inside| {
                let mask = self.loops.mask(w, axis, base);
                let env = env.with(axis, Position::Lanes(base)).masked(w, Some(mask));
                self.leaf(w, &[(0, 0, env)], inside)
            });
        }
        regs
    }

    /// What is done at positions.
    fn leaf(&mut self, w: &mut Writer, at: &[At], regs: &[Reg]) -> Vec<Reg> {
        let mut next = regs.to_vec();
        for (row, flight, env) in at {
            let exprs = &mut self.loops.exprs;
            let body = &self.loops.problem.body;
            // Every result before any is stored: one may lie where an argument of another lay.
            let outputs = self.pass.outputs.iter();
            let values: Vec<Reg> = outputs.map(|&o| exprs.eval(w, body.outputs[o], env)).collect();
            let mut offset = 0;
            for accumulator in &self.accumulators {
                let width = accumulator.width();
                let mine = offset + (row * self.flights + flight) * width;
                let after = accumulator.step(w, exprs, env, &next[mine..mine + width], self.across);
                next[mine..mine + width].copy_from_slice(&after);
                offset += self.rows.len() * self.flights * width;
            }
            let layout = Layout(self.pass.axes.clone());
            for (&node, &place) in self.pass.kept.iter().zip(&self.kept) {
                let value = exprs.eval(w, node, env);
                exprs.store(w, place, &layout, env, value);
            }
            for (&number, value) in self.pass.outputs.iter().zip(values) {
                self.loops.store_once(w, number, env, value);
            }
        }
        next
    }
}
