//! Gradients of what the scores read besides queries and keys: a number for each score, added up where its place is. They lie in
//! memory for each head, and tiles are heads, so that each is written by one tile alone.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Monoid;
use weft_dsl::types::Axis;

use super::backward::Backward;
use crate::kernel::{Dtype, Writer};
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

    /// Adds what the scores of a row give, vectors of them at the positions of `envs`.
    pub(super) fn gather(&self, w: &mut Writer, e: &mut Exprs, row: Position, envs: &[Env]) {
        let p = self.p;
        for (number, sum) in self.roles.gathered.iter().enumerate() {
            let (number, none) = (number + 3, w.constant(Dtype::F32, p.lanes, 0.0));
            let place = self.result(number);
            let mut together = None;
            for env in envs {
                let mut env = env.with(p.time, row);
                let mut part = e.eval_as(w, sum.part, &env, Dtype::F32);
                if let Some(times) = sum.times {
                    let times = e.eval_as(w, times, &env, Dtype::F32);
                    part = w.mul(part, times);
                }
                let part = w.splat(part, p.lanes);
                let part = match env.mask {
                    Some(mask) => w.map(E::SELECT, &[mask, part, none]),
                    None => part,
                };
                if let Some((axis, index)) = sum.place {
                    match e.counting(w, index, &env) {
                        Some((base, true)) => env.set(axis, Position::Run(base)),
                        _ => drop(e.fail(w, index, "does not count sources")),
                    }
                }
                let env = self.outside(number, &env);
                match address(w, &mut e.sizes, p.axes, &self.outputs[number], &env, p.lanes) {
                    Some(Address::One(at)) => {
                        let before = together.map(|(_, sum)| sum);
                        together = Some((at, before.map_or(part, |before| w.add(before, part))));
                    }
                    Some(at) => {
                        let before = load(w, place, at, &env, p.lanes);
                        let after = w.add(before, part);
                        store(w, place, at, after, &env, p.lanes);
                    }
                    None => drop(e.fail(w, sum.part, "has a place that is not known")),
                }
            }
            // The same place for all sources of the row.
            if let Some((at, parts)) = together {
                let part = w.fold(Monoid::Sum, parts);
                let part = w.convert(part, w.dtype(place));
                let before = w.load(place, at, 1, None);
                let after = w.add(before, part);
                w.store(place, at, after, None);
            }
        }
    }
}
