//! Blocks of queries, keys and values in scratch memory, as the register block reads them.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::types::Axis;

use super::micro::Tile;
use super::problem::{Problem, underneath};
use crate::graph::NodeId;
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::product::transposed;
use crate::schedule::{Env, Exprs, Layout, Position};

/// A run of rows of a value.
#[derive(Clone, Copy)]
pub struct Rows {
    /// The value.
    pub node: NodeId,
    /// The axis of rows.
    pub along: Axis,
    /// The first row.
    pub from: Reg,
    /// How many.
    pub count: Reg,
    /// The axis within a row, and its size.
    pub within: (Axis, u32),
}

/// Runs over the vectors of an axis of known size: the first element of each, its position, the mask of the last.
pub fn vectors(w: &mut Writer, lanes: u16, size: u32, mut each: impl FnMut(&mut Writer, Reg, Option<Reg>)) {
    let (step, zero) = (u32::from(lanes), w.int(0));
    let whole = size / step * step;
    if whole > 0 {
        let to = w.int(i64::from(whole));
        w.repeat((zero, to, step), &[], |w, at, _| {
            each(w, at, None);
            Vec::new()
        });
    }
    if whole < size {
        let (at, size) = (w.int(i64::from(whole)), w.int(i64::from(size)));
        let places = Position::Lanes(at).places(w, lanes);
        let mask = w.map(Elementwise::LT, &[places, size]);
        each(w, at, Some(mask));
    }
}

impl Problem<'_> {
    /// A row's positions; of the axis' last one beyond its end, so that nothing need be masked.
    fn row(&self, w: &mut Writer, e: &mut Exprs, env: &Env, rows: &Rows, i: Reg) -> Env {
        let (size, one) = (e.extent(w, rows.along), w.int(1));
        let last = w.sub(size, one);
        let at = w.add(rows.from, i);
        let at = w.map(Elementwise::MIN, &[at, last]);
        env.with(rows.along, Position::Scalar(at))
    }

    fn vector(&self, w: &mut Writer, e: &mut Exprs, node: NodeId, env: &Env) -> Reg {
        let value = e.eval_as(w, node, env, Dtype::F32);
        w.splat(value, self.lanes)
    }

    /// Row after row.
    pub fn pack(&self, w: &mut Writer, e: &mut Exprs, env: &Env, rows: &Rows, to: Tile) {
        let (zero, stride) = (w.int(0), w.int(i64::from(to.stride)));
        w.repeat((zero, rows.count, 1), &[], |w, i, _| {
            let env = self.row(w, e, env, rows, i);
            let start = w.mul(i, stride);
            vectors(w, self.lanes, rows.within.1, |w, at, mask| {
                let mut env = env.with(rows.within.0, Position::Lanes(at));
                env.mask = mask;
                let value = self.vector(w, e, rows.node, &env);
                let index = w.add(start, at);
                w.store(to.place, index, value, None);
            });
            Vec::new()
        });
    }

    /// Transposed: a row of the tile is one place of the inner axis. Whole vectors of columns are written.
    pub fn transpose(&self, w: &mut Writer, e: &mut Exprs, env: &Env, rows: &Rows, layout: &Layout, to: Tile) {
        let lanes = u32::from(self.lanes);
        let zero = w.int(0);
        let (most, unit) = (w.int(i64::from(lanes - 1)), w.int(i64::from(lanes)));
        let up = w.add(rows.count, most);
        let up = w.map(Elementwise::IDIV, &[up, unit]);
        let count = w.mul(up, unit);
        if layout.0.last() != Some(&underneath(self.body, rows.node, rows.within.0)) {
            let (size, inner) = (e.extent(w, rows.along), w.int(i64::from(rows.within.1)));
            w.repeat((zero, inner, 1), &[], |w, k, _| {
                let env = env.with(rows.within.0, Position::Scalar(k));
                let stride = w.int(i64::from(to.stride));
                let start = w.mul(k, stride);
                w.repeat((zero, count, lanes), &[], |w, i, _| {
                    let at = Position::Lanes(w.add(rows.from, i));
                    let mut env = env.with(rows.along, at);
                    let places = at.places(w, self.lanes);
                    env.mask = Some(w.map(Elementwise::LT, &[places, size]));
                    let value = self.vector(w, e, rows.node, &env);
                    let across = to.across(w, i, self.lanes);
                    let index = w.add(start, across);
                    w.store(to.place, index, value, None);
                    Vec::new()
                });
                Vec::new()
            });
            return;
        }
        w.repeat((zero, count, lanes), &[], |w, i, _| {
            let across = to.across(w, i, self.lanes);
            let envs: Vec<Env> = (0..lanes)
                .map(|lane| {
                    let by = w.int(i64::from(lane));
                    let i = w.add(i, by);
                    self.row(w, e, env, rows, i)
                })
                .collect();
            vectors(w, self.lanes, rows.within.1, |w, k, mask| {
                let square: Vec<Reg> = envs
                    .iter()
                    .map(|env| {
                        let mut env = env.with(rows.within.0, Position::Lanes(k));
                        env.mask = mask;
                        self.vector(w, e, rows.node, &env)
                    })
                    .collect();
                // Of the last vector, the lanes that exist.
                let there = if mask.is_some() { rows.within.1 % lanes } else { lanes };
                let columns = transposed(w, &square);
                for (j, column) in columns.into_iter().enumerate().take(there as usize) {
                    let (j, stride) = (w.int(j as i64), w.int(i64::from(to.stride)));
                    let row = w.add(k, j);
                    let start = w.mul(row, stride);
                    let index = w.add(start, across);
                    w.store(to.place, index, column, None);
                }
            });
            Vec::new()
        });
    }

    /// The lanes of each row of a band of a tile joined, from a row of it: a vector for as many rows as it has lanes, with the
    /// first of them, counted from the band's.
    pub fn joined(
        &self,
        w: &mut Writer,
        op: fn(&mut Writer, Reg, Reg) -> Reg,
        (tile, from): (Tile, Reg),
        each: impl FnOnce(&mut Writer, Reg, Reg),
    ) {
        let (zero, band) = (w.int(0), w.int(i64::from(self.band())));
        w.repeat((zero, band, u32::from(self.lanes)), &[], |w, i, _| {
            let (row, stride) = (w.add(from, i), w.int(i64::from(tile.stride)));
            let start = w.mul(row, stride);
            let square: Vec<Reg> = (0..self.lanes)
                .map(|lane| {
                    let by = w.int(i64::from(u32::from(lane) * tile.stride));
                    let at = w.add(start, by);
                    w.load(tile.place, at, self.lanes, None)
                })
                .collect();
            let mut parts = transposed(w, &square);
            while parts.len() > 1 {
                parts = parts.chunks(2).map(|pair| if let [a, b] = *pair { op(w, a, b) } else { pair[0] }).collect();
            }
            each(w, i, parts[0]);
            Vec::new()
        });
    }

    /// The same number in the first elements of a place.
    pub fn fill(&self, w: &mut Writer, place: Place, count: Reg, value: f64) {
        let (zero, value) = (w.int(0), w.constant(Dtype::F32, self.lanes, value));
        w.repeat((zero, count, u32::from(self.lanes)), &[], |w, at, _| {
            w.store(place, at, value, None);
            Vec::new()
        });
    }
}
