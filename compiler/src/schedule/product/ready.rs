//! Columns packed once, for operands that stay the same from product to product: parameters of programs that do not change them.
//!
//! The packed form of a matrix is its streams, as [`super::pack`] lays them out, over the whole sum: element `(column, k)` lies at
//! `(column / lanes · sum + k) · lanes + column mod lanes`. Columns are filled up to a whole number of vectors with what is
//! never stored.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::size::Size;
use weft_dsl::types::Axes;
use weft_runtime::plan::Packing;

use super::group::place;
use super::problem::{self, Along, Problem};
use super::transpose::transposed;
use super::written;
use crate::graph::Fused;
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Layout, Machine, Scheduled, Unschedulable};

/// How the columns' operand of a product lies packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The argument that is packed.
    pub argument: u32,
    /// Its columns.
    pub columns: u64,
    /// Its places along the sum.
    pub sum: u64,
    along: Along,
    lanes: u16,
}

/// The kernel of a product whose columns' operand lies packed, and how; none where it is not read as it lies, its sizes are not
/// known.
///
/// # Errors
/// As [`super::schedule`].
pub fn ready(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Option<(Ready, Scheduled)>, Unschedulable> {
    let problem = problem::analyse(&fused.body, axes, inputs, outputs)?;
    let Some(ready) = Ready::of(&problem, machine) else { return Ok(None) };
    let scheduled = written(fused, axes, (inputs, outputs), machine, &problem, Some(&ready))?;
    Ok(Some((ready, scheduled)))
}

impl Ready {
    fn of(problem: &Problem, machine: &Machine) -> Option<Self> {
        let known = |size: Size| size.known().and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0 && n < 1 << 31);
        let (columns, sum) = (known(problem.columns.volume())?, known(problem.sum.volume())?);
        let fits = sum % u64::from(machine.lanes) == 0;
        let (argument, along, lanes) = (problem.b_plain?, problem.b_along, machine.lanes);
        fits.then_some(Self { argument, columns, sum, along, lanes })
    }

    /// Elements of a matrix.
    pub fn volume(&self) -> u64 {
        self.columns * self.sum
    }

    /// Elements of a packed matrix.
    pub fn packed_volume(&self) -> u64 {
        self.streams() * u64::from(self.lanes) * self.sum
    }

    /// The same for the runtime.
    pub fn packing(&self) -> Packing {
        let along_columns = self.along == Along::Own;
        Packing { columns: self.columns, sum: self.sum, lanes: self.lanes.into(), along_columns }
    }

    fn streams(&self) -> u64 {
        self.columns.div_ceil(u64::from(self.lanes))
    }

    /// Where the stream of a column begins that is a multiple of the lanes, at a place of the sum.
    pub(super) fn from(&self, w: &mut Writer, column: Reg, k: Reg) -> Reg {
        let zero = w.int(0);
        let within = place(w, k, u32::from(self.lanes), zero);
        place(w, column, self.sum as u32, within)
    }

    /// The kernel that packs so many matrices, one after another in its first argument, into its second: a tile is a stream.
    pub fn pack(&self, matrices: u64) -> Scheduled {
        let (lanes, wide) = (i64::from(self.lanes), u32::from(self.lanes));
        let mut w = Writer::new(vec![Dtype::F32; 2], 0);
        let (from, to) = (Place::Arg(0), Place::Arg(1));
        let (number, streams) = (w.tile(), w.int(self.streams() as i64));
        let (matrix, stream) = (w.map(Elementwise::IDIV, &[number, streams]), w.map(Elementwise::MOD, &[number, streams]));
        let (volume, zero) = (w.int(self.volume() as i64), w.int(0));
        let matrix = w.mul(matrix, volume);
        let column = place(&mut w, stream, wide, zero);
        let start = w.int((self.sum * self.lanes as u64) as i64);
        let start = w.mul(number, start);
        let end = w.int(self.sum as i64);
        match self.along {
            Along::Own => {
                let all = w.int(self.columns as i64);
                let iota = w.iota(Dtype::I64, self.lanes);
                let at = w.add(column, iota);
                let mask = w.map(Elementwise::LT, &[at, all]);
                let base = w.add(matrix, column);
                w.repeat((zero, end, 1), &[], |w, k, _| {
                    let at = w.mul(k, all);
                    let at = w.add(base, at);
                    let value = w.load(from, at, self.lanes, Some(mask));
                    let at = place(w, k, wide, start);
                    w.store(to, at, value, None);
                    Vec::new()
                });
            }
            Along::Sum => {
                let last = w.int(self.columns as i64 - 1);
                let rows: Vec<Reg> = (0..lanes)
                    .map(|lane| {
                        let lane = w.int(lane);
                        let row = w.add(column, lane);
                        let row = w.map(Elementwise::MIN, &[row, last]);
                        let row = w.mul(row, end);
                        w.add(matrix, row)
                    })
                    .collect();
                w.repeat((zero, end, wide), &[], |w, k, _| {
                    let square: Vec<Reg> = rows
                        .iter()
                        .map(|&row| {
                            let at = w.add(row, k);
                            w.load(from, at, self.lanes, None)
                        })
                        .collect();
                    let at = place(w, k, wide, start);
                    for (j, value) in (0..).zip(transposed(w, &square)) {
                        let by = w.int(j * lanes);
                        let at = w.add(at, by);
                        w.store(to, at, value, None);
                    }
                    Vec::new()
                });
            }
        }
        let kernel = w.finish();
        let tiles = vec![(Size::of((matrices * self.streams()) as i64), 1)];
        Scheduled { kernel, sizes: Vec::new(), tiles, cost: (self.sum * u64::from(self.lanes)) as f64 * 4.0, share: 1.0 }
    }
}

#[cfg(test)]
mod tests;
