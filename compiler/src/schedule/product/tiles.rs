//! A tile's sums by a matrix unit, see [`crate::kernel::tiles`]: both operands are packed as three parts of each number.
//!
//! An operand that lies along the sum gives rows of squares as they are to lie, pairs of places of one row or column; one that
//! lies along its own dimension gives them transposed, pairs of one place of the sum. Where they are to lie the other way the squares
//! are transposed where they are.

use weft_dsl::elementwise::Elementwise;

use super::blocks::Blocks;
use super::group::{blocks as ceiling, least, place, vectors};
use super::pack::{Block, along_sum, row, value};
use super::problem::Along;
use super::ready::Ready;
use super::transpose::transposed;
use crate::kernel::tiles::{self, PARTS, PLANE, SIDE, SQUARE, STEP, VOLUME};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs};

/// How many elements before they are read packed columns are asked for.
const AHEAD: i64 = 512;

/// Elements from a panel, of as many rows or columns as a block has, to the next; panels do not fall on the same lines of a cache.
fn panel(blocks: &Blocks) -> u32 {
    blocks.kc / STEP * VOLUME + 3 * SQUARE
}

/// Scratch memory for a block of an operand.
pub fn scratch(w: &mut Writer, blocks: &Blocks, own: u32) -> Place {
    w.scratch(Dtype::I32, own.div_ceil(SIDE) * panel(blocks))
}

/// Packs a block of an operand, of rows or of columns: panels one after another.
pub fn pack(
    w: &mut Writer,
    e: &mut Exprs,
    blocks: &Blocks,
    base: &Env,
    (block, along): (&Block, Along),
    to: Place,
    rows: bool,
) {
    let zero = w.int(0);
    match along {
        Along::Sum => {
            let whole = block.sum.is_whole(STEP as u16);
            let panels = ceiling(w, block.count, SIDE);
            let vectors = ceiling(w, block.kc, SQUARE);
            let one = w.int(1);
            let last = w.sub(vectors, one);
            let last = place(w, last, SQUARE, zero);
            let (count, nothing) = (place(w, panels, SIDE, zero), w.constant(Dtype::F32, blocks.lanes, 0.0));
            w.repeat((zero, count, 1), &[], |w, i, _| {
                let env = row(w, e, base, block, i);
                e.hoist(w, &[block.node], &env);
                let start = own(w, blocks, i);
                w.repeat((zero, block.kc, STEP), &[], |w, k, _| {
                    let halves = [0, SQUARE].map(|by| {
                        let by = w.int(i64::from(by));
                        let k = w.add(k, by);
                        if whole {
                            return along_sum(w, e, block, &env, k, None);
                        }
                        let iota = w.iota(Dtype::I64, blocks.lanes);
                        let places = w.add(k, iota);
                        let mask = w.map(Elementwise::LT, &[places, block.kc]);
                        // A vector begins where there is a place.
                        let k = least(w, k, last);
                        let value = along_sum(w, e, block, &env, k, Some(mask));
                        w.map(Elementwise::SELECT, &[mask, value, nothing])
                    });
                    let at = place(w, k, VOLUME / STEP, start);
                    parts(w, halves, at, to);
                    Vec::new()
                });
                Vec::new()
            });
        }
        Along::Own => {
            let steps = ceiling(w, block.kc, STEP);
            let pairs = place(w, steps, SQUARE, zero);
            let (half, nothing) = (w.int(i64::from(SQUARE)), w.constant(Dtype::F32, blocks.lanes, 0.0));
            let one = w.int(1);
            let last = w.sub(block.kc, one);
            w.repeat((zero, pairs, 1), &[], |w, pair, _| {
                let (step, j) = (w.map(Elementwise::IDIV, &[pair, half]), w.map(Elementwise::MOD, &[pair, half]));
                let first = place(w, step, STEP, j);
                let places = [first, w.add(first, half)].map(|k| {
                    let mut env = base.clone();
                    let at = least(w, k, last);
                    let at = w.add(block.k0, at);
                    block.sum.at(w, e, &mut env, at);
                    e.hoist(w, &[block.node], &env);
                    (env, w.map(Elementwise::LT, &[k, block.kc]))
                });
                let start = place(w, j, SQUARE, zero);
                let start = place(w, step, VOLUME, start);
                vectors(w, blocks.lanes, block.count, block.own.is_whole(blocks.lanes), |w, i, mask| {
                    let halves = places.clone().map(|(mut env, there)| {
                        env.mask = mask;
                        let at = w.add(block.from, i);
                        block.own.lanes(w, e, &mut env, at);
                        let value = value(w, e, block.node, &env);
                        w.map(Elementwise::SELECT, &[there, value, nothing])
                    });
                    let at = own(w, blocks, i);
                    let at = w.add(at, start);
                    parts(w, halves, at, to);
                });
                Vec::new()
            });
        }
    }
    if rows == (along == Along::Own) {
        turn(w, blocks, block, to);
    }
}

/// Packs columns that lie packed as vectors, from where the first begins.
pub fn from_ready(w: &mut Writer, blocks: &Blocks, (ready, from): (&Ready, Reg), block: &Block, to: Place) {
    let (lanes, zero) = (u32::from(blocks.lanes), w.int(0));
    w.repeat((zero, block.count, lanes), &[], |w, i, _| {
        let (start, column) = (own(w, blocks, i), ready.from(w, i, zero));
        let column = w.add(from, column);
        w.repeat((zero, block.kc, STEP), &[], |w, k, _| {
            let (at, step) = (place(w, k, lanes, column), place(w, k, VOLUME / STEP, start));
            let half = w.int(i64::from(SQUARE));
            let beyond = w.add(k, half);
            let there = w.map(Elementwise::LT, &[beyond, block.kc]);
            let there = w.splat(there, blocks.lanes);
            let mask = (ready.sum % u64::from(STEP) != 0).then_some(there);
            w.repeat((zero, half, 1), &[], |w, j, _| {
                let at = place(w, j, lanes, at);
                let by = w.int(i64::from(SQUARE * lanes));
                let other = w.add(at, by);
                let argument = Place::Arg(ready.argument);
                let halves = [w.load(argument, at, blocks.lanes, None), w.load(argument, other, blocks.lanes, mask)];
                // Pages end where the processor's own foresight does.
                let later = w.int(AHEAD);
                for at in [at, other] {
                    let at = w.add(at, later);
                    w.fetch(argument, at);
                }
                let index = place(w, j, SQUARE, step);
                parts(w, halves, index, to);
                Vec::new()
            });
            Vec::new()
        });
        Vec::new()
    });
}

/// Where the squares' rows of a place of an operand's own dimension begin; along it, those of a vector of places.
fn own(w: &mut Writer, blocks: &Blocks, i: Reg) -> Reg {
    let (side, zero) = (w.int(i64::from(SIDE)), w.int(0));
    let (number, within) = (w.map(Elementwise::IDIV, &[i, side]), w.map(Elementwise::MOD, &[i, side]));
    let within = place(w, within, SQUARE, zero);
    place(w, number, panel(blocks), within)
}

/// The three parts of two vectors, joined.
fn parts(w: &mut Writer, mut halves: [Reg; 2], at: Reg, to: Place) {
    for part in 0..PARTS {
        let upper = halves.map(|x| if part + 1 < PARTS { w.upper(x) } else { x });
        let pair = w.uppers(upper[0], upper[1]);
        let by = w.int(i64::from(part * PLANE));
        let index = w.add(at, by);
        w.store(to, index, pair, None);
        if part + 1 < PARTS {
            halves = [w.sub(halves[0], upper[0]), w.sub(halves[1], upper[1])];
        }
    }
}

/// Transposes all squares of a block.
fn turn(w: &mut Writer, blocks: &Blocks, block: &Block, to: Place) {
    let zero = w.int(0);
    let steps = ceiling(w, block.kc, STEP);
    let planes = place(w, steps, PARTS, zero);
    w.repeat((zero, block.count, SQUARE), &[], |w, i, _| {
        let start = own(w, blocks, i);
        w.repeat((zero, planes, 1), &[], |w, plane, _| {
            let start = place(w, plane, PLANE, start);
            let row = |w: &mut Writer, i: u32| {
                let by = w.int(i64::from(i * SQUARE));
                w.add(start, by)
            };
            let at: Vec<Reg> = (0..SQUARE).map(|i| row(w, i)).collect();
            let rows: Vec<Reg> = at.iter().map(|&at| w.load(to, at, blocks.lanes, None)).collect();
            for (&at, row) in at.iter().zip(transposed(w, &rows)) {
                w.store(to, at, row, None);
            }
            Vec::new()
        });
        Vec::new()
    });
}

/// The sums of the rows of a block by all columns; `strip` is the first of the rows within what is packed of them, `at` where their
/// sums are.
pub fn multiply(
    w: &mut Writer,
    blocks: &Blocks,
    (rows, strip): (Place, Reg),
    columns: (Place, Reg),
    (sums, at): (Place, Reg),
    (kc, goes_on): (Reg, Option<Reg>),
) {
    let zero = w.int(0);
    let (steps, start) = (ceiling(w, kc, STEP), own(w, blocks, strip));
    let (number, at) = (ceiling(w, columns.1, SIDE), place(w, at, blocks.nc, zero));
    w.tiles(tiles::Strip {
        sums: (sums, at),
        stride: blocks.nc,
        rows: (rows, start),
        columns: (columns.0, zero, panel(blocks)),
        blocks: number,
        steps,
        goes_on,
    });
}

#[cfg(test)]
mod tests;
