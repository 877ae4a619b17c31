//! Gradients of what the scores read besides queries and keys: a number for each score, added up where its place is. They lie in
//! memory for each head, and tiles are heads, so that each is written by one tile alone.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Monoid;
use weft_dsl::types::Axis;

use super::backward::Backward;
use super::problem::beneath;
use crate::kernel::{Dtype, Reg, Writer};
use crate::passes::attention::unkept;
use crate::schedule::{Address, Env, Exprs, Position, address, load, store};

impl Backward<'_> {
    /// The gradients before anything is added.
    pub(super) fn clear_gathered(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        for number in 3..self.outputs.len() {
            let at = self.outside(number, env);
            let free: Vec<Axis> = self.outputs[number].0.iter().copied().filter(|&a| at.get(a).is_none()).collect();
            self.clear_along(w, e, number, &free, &at);
        }
    }

    fn clear_along(&self, w: &mut Writer, e: &mut Exprs, number: usize, free: &[Axis], env: &Env) {
        let layout = &self.outputs[number];
        let Some((&axis, rest)) = free.split_first() else {
            let dtype = w.dtype(self.result(number));
            let nothing = w.constant(dtype, 1, 0.0);
            return e.store(w, self.result(number), layout, env, nothing);
        };
        let (zero, size) = (w.int(0), e.extent(w, axis));
        let step = if rest.is_empty() { u32::from(self.p.lanes) } else { 1 };
        w.repeat((zero, size, step), &[], |w, at, _| {
            let env = if rest.is_empty() {
                let at = Position::Lanes(at);
                let places = at.places(w, self.p.lanes);
                let there = w.map(E::LT, &[places, size]);
                env.with(axis, at).masked(w, Some(there))
            } else {
                env.with(axis, Position::Scalar(at))
            };
            self.clear_along(w, e, number, rest, &env);
            Vec::new()
        });
    }

    /// Whether a result has an axis within.
    fn has(&self, number: usize, axis: Axis) -> bool {
        let body = &self.p.body;
        body[beneath(body, body.outputs[number])].ty.has(axis)
    }

    /// The results that all scores of a row are added up for.
    pub(super) fn summed(&self) -> Vec<usize> {
        let all = 3..self.outputs.len();
        all.filter(|&n| self.roles.gathered[n - 3].place.is_none() && !self.has(n, self.p.source)).collect()
    }

    /// Adds what a vector of scores gives: to `sums` for the results of [`Self::summed`], to memory for the others.
    pub(super) fn gather(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sums: &mut [Reg]) {
        let p = self.p;
        let summed = self.summed();
        for (number, sum) in self.roles.gathered.iter().enumerate() {
            let number = number + 3;
            let mut part = e.eval_as(w, sum.part, env, Dtype::F32);
            if let Some(times) = sum.times {
                let times = e.eval_as(w, times, env, Dtype::F32);
                part = w.mul(part, times);
            }
            let part = w.splat(part, p.lanes);
            let part = match env.mask {
                Some(mask) => {
                    let none = w.constant(Dtype::F32, p.lanes, 0.0);
                    w.map(E::SELECT, &[mask, part, none])
                }
                None => part,
            };
            if let Some(at) = summed.iter().position(|&n| n == number) {
                sums[at] = w.add(sums[at], part);
                continue;
            }
            let Some((axis, index)) = sum.place else {
                self.add_run(w, e, number, env, part);
                continue;
            };
            let (raw, kept) = unkept(p.body, index, p.source);
            let Some((base, true)) = e.counting(w, raw, env) else {
                e.fail(w, index, "does not count sources");
                continue;
            };
            let run = env.with(axis, Position::Run(base));
            if !kept {
                self.add_run(w, e, number, &run, part);
                continue;
            }
            // What is kept between two ends: lanes beyond them are all added there.
            let none = w.constant(Dtype::F32, p.lanes, 0.0);
            let any = w.map(E::ABS, &[part]);
            let any = w.fold(Monoid::Sum, any);
            let nothing = w.constant(Dtype::F32, 1, 0.0);
            let any = w.map(E::NE, &[any, nothing]);
            w.when(any, |w| {
                let (counted, places) = (Position::Run(base).places(w, p.lanes), e.eval_as(w, index, env, Dtype::I64));
                let within = w.map(E::EQ, &[counted, places]);
                let run = run.masked(w, Some(within));
                self.add_run(w, e, number, &run, part);
                for (beyond, lane) in [(E::LT, 0), (E::GT, p.lanes - 1)] {
                    let there = w.map(beyond, &[counted, places]);
                    let part = w.map(E::SELECT, &[there, part, none]);
                    let at = w.extract(places, lane);
                    self.add(w, e, number, &env.with(axis, Position::Scalar(at)), part);
                }
            });
        }
    }

    /// Adds a vector of scores' parts to the elements of a result that these positions have.
    fn add_run(&self, w: &mut Writer, e: &mut Exprs, number: usize, env: &Env, part: Reg) {
        let (p, place) = (self.p, self.result(number));
        let env = self.outside(number, env);
        match address(w, &mut e.sizes, p.axes, &self.outputs[number], &env, p.lanes) {
            Some(at) => {
                let before = load(w, place, at, &env, p.lanes);
                let after = w.add(before, part);
                store(w, place, at, after, &env, p.lanes);
            }
            None => drop(e.fail(w, p.body.outputs[number], "has a place that is not known")),
        }
    }

    /// Adds what a row gives: to memory where the result has the axis of rows, otherwise to scratch memory.
    pub(super) fn gather_row(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sums: &[Reg]) {
        for (i, (&number, &sum)) in self.summed().iter().zip(sums).enumerate() {
            if self.has(number, self.p.time) {
                self.add(w, e, number, env, sum);
            } else {
                let at = w.int(i as i64 * i64::from(self.p.lanes));
                let before = w.load(self.tiles.parts, at, self.p.lanes, None);
                let after = w.add(before, sum);
                w.store(self.tiles.parts, at, after, None);
            }
        }
    }

    /// Adds what rows have left in scratch memory, and clears it.
    pub(super) fn gather_parts(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        for (i, number) in self.summed().into_iter().enumerate() {
            if !self.has(number, self.p.time) {
                let (at, none) = (w.int(i as i64 * i64::from(self.p.lanes)), w.constant(Dtype::F32, self.p.lanes, 0.0));
                let sum = w.load(self.tiles.parts, at, self.p.lanes, None);
                w.store(self.tiles.parts, at, none, None);
                self.add(w, e, number, env, sum);
            }
        }
    }

    /// Adds all lanes to the element of a result that these positions have.
    fn add(&self, w: &mut Writer, e: &mut Exprs, number: usize, env: &Env, sum: Reg) {
        let place = self.result(number);
        let env = self.outside(number, env);
        match address(w, &mut e.sizes, self.p.axes, &self.outputs[number], &env, self.p.lanes) {
            Some(Address::One(at)) => {
                let part = w.fold(Monoid::Sum, sum);
                let part = w.convert(part, w.dtype(place));
                let before = w.load(place, at, 1, None);
                let after = w.add(before, part);
                w.store(place, at, after, None);
            }
            _ => drop(e.fail(w, self.p.body.outputs[number], "has a place that is not known")),
        }
    }
}
