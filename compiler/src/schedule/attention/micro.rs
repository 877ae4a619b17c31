//! The register block: a few rows by a few vectors of a product of two tiles in scratch memory.

use weft_dsl::elementwise::Elementwise;

use crate::kernel::{Dtype, Place, Reg, Writer};

use super::problem::{WIDTH, runs};

/// The operand whose elements are broadcast: element `(row, step)` lies at `row · row_stride + step · step_stride`.
#[derive(Clone, Copy)]
pub struct Left {
    /// Where it lies.
    pub place: Place,
    /// From a row to the next.
    pub row: u32,
    /// From a step of the sum to the next.
    pub step: u32,
}

/// A tile whose rows are vectors: element `(row, column)` lies at `row · stride + column`, or a stream for each vector of columns.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Where it lies.
    pub place: Place,
    /// From a row to the next.
    pub stride: u32,
    /// From a stream to the next, where there are streams.
    pub streams: Option<u32>,
}

impl Tile {
    /// Where the vector of a column begins that is a multiple of the lanes.
    pub fn across(&self, w: &mut Writer, column: Reg, lanes: u16) -> Reg {
        match self.streams {
            None => column,
            Some(stream) => {
                let lanes = w.int(i64::from(lanes));
                let number = w.map(Elementwise::IDIV, &[column, lanes]);
                scaled(w, number, stream)
            }
        }
    }
}

/// What the sums begin with.
#[derive(Clone, Copy)]
pub enum Begin {
    /// Nothing.
    Zero,
    /// What is there.
    There,
    /// What is there, times a number for each row of the broadcast operand.
    Scaled(Place),
}

/// `C += A · B` for `mr` rows from `row`, vectors `from..to` of columns (counted in vectors), over the steps `depth`.
#[derive(Clone, Copy)]
pub struct Block {
    /// Broadcast.
    pub a: Left,
    /// One vector a step for each vector of columns.
    pub b: Tile,
    /// Where the part of it begins that is multiplied.
    pub from: Reg,
    /// The sums.
    pub c: Tile,
    /// What they begin with.
    pub begin: Begin,
    /// Rows.
    pub mr: u32,
    /// Lanes.
    pub lanes: u16,
}

impl Block {
    /// A number of columns that is known, in whole vectors. `rows`: the first row of the broadcast operand, and of the sums.
    pub fn known(&self, w: &mut Writer, rows: [Reg; 2], vectors: u32, depth: (Reg, Reg)) {
        let (zero, to) = (w.int(0), w.int(i64::from(vectors)));
        self.vectors(w, rows, (zero, to), depth);
    }

    /// The vectors that hold columns `from..to`.
    pub fn columns(&self, w: &mut Writer, rows: [Reg; 2], (from, to): (Reg, Reg), depth: (Reg, Reg)) {
        let range = runs(w, self.lanes.into(), (from, to));
        self.vectors(w, rows, range, depth);
    }

    /// Vectors in runs of [`WIDTH`], then one by one.
    fn vectors(&self, w: &mut Writer, rows: [Reg; 2], (from, to): (Reg, Reg), depth: (Reg, Reg)) {
        let (lanes, wide) = (w.int(i64::from(self.lanes)), w.int(i64::from(WIDTH)));
        let count = w.sub(to, from);
        let runs = w.map(Elementwise::IDIV, &[count, wide]);
        let whole = w.mul(runs, wide);
        let between = w.add(from, whole);
        for (range, width) in [((from, between, WIDTH), WIDTH), ((between, to, 1), 1)] {
            w.repeat(range, &[], |w, vector, _| {
                let column = w.mul(vector, lanes);
                self.write(w, rows, column, width, depth);
                Vec::new()
            });
        }
    }

    fn write(&self, w: &mut Writer, [row, to]: [Reg; 2], column: Reg, width: u32, depth: (Reg, Reg)) {
        let lanes = u32::from(self.lanes);
        let at = |w: &mut Writer, base: Reg, by: u32| {
            let by = w.int(i64::from(by));
            w.add(base, by)
        };
        let corner = scaled(w, to, self.c.stride);
        let corner = w.add(corner, column);
        let mut places = Vec::new();
        let mut init = Vec::new();
        for r in 0..self.mr {
            let factor = match self.begin {
                Begin::Scaled(place) => {
                    let index = at(w, row, r);
                    Some(w.load(place, index, 1, None))
                }
                Begin::Zero | Begin::There => None,
            };
            for v in 0..width {
                let index = at(w, corner, r * self.c.stride + v * lanes);
                places.push(index);
                init.push(match (self.begin, factor) {
                    (Begin::Zero, _) => w.constant(Dtype::F32, self.lanes, 0.0),
                    (_, None) => w.load(self.c.place, index, self.lanes, None),
                    (_, Some(factor)) => {
                        let before = w.load(self.c.place, index, self.lanes, None);
                        w.mul(before, factor)
                    }
                });
            }
        }
        let a_start = scaled(w, row, self.a.row);
        let across = self.b.across(w, column, self.lanes);
        let b_start = w.add(self.from, across);
        let sums = w.repeat((depth.0, depth.1, 1), &init, |w, k, sums| {
            let a_at = scaled(w, k, self.a.step);
            let a_at = w.add(a_start, a_at);
            let b_at = scaled(w, k, self.b.stride);
            let b_at = w.add(b_start, b_at);
            let b: Vec<Reg> = (0..width)
                .map(|v| {
                    let index = at(w, b_at, v * self.b.streams.unwrap_or(lanes));
                    w.load(self.b.place, index, self.lanes, None)
                })
                .collect();
            let mut next = Vec::with_capacity(sums.len());
            for r in 0..self.mr {
                let index = at(w, a_at, r * self.a.row);
                let a = w.load(self.a.place, index, 1, None);
                let a = w.splat(a, self.lanes);
                for (v, &b) in b.iter().enumerate() {
                    next.push(w.fma(a, b, sums[(r * width) as usize + v]));
                }
            }
            next
        });
        for (index, sum) in places.into_iter().zip(sums) {
            w.store(self.c.place, index, sum, None);
        }
    }
}

/// So many times.
pub fn scaled(w: &mut Writer, x: Reg, by: u32) -> Reg {
    let by = w.int(i64::from(by));
    w.mul(x, by)
}
