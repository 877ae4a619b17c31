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
use crate::kernel::tiles::{PARTS, PLANE, SIDE, SQUARE, STEP, VOLUME, Work};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs};

/// How many elements before they are read packed columns are asked for.
const AHEAD: i64 = 512;

/// The most lines that are packed side by side; more are packed one after another.
const FEW: u32 = 8;

/// How many steps before they are packed a line's places are asked for.
const LATER: u32 = 3;

/// Elements from a panel, of as many rows or columns as a block has, to the next; panels do not fall on the same lines of a cache.
fn panel(blocks: &Blocks) -> u32 {
    blocks.kc / STEP * VOLUME + 3 * SQUARE
}

/// Scratch memory for so many rows or columns of an operand.
pub fn scratch(w: &mut Writer, blocks: &Blocks, own: u32) -> Place {
    w.scratch(Dtype::I32, own.div_ceil(SIDE) * panel(blocks))
}

/// How an operand lies before it is packed.
#[derive(Clone, Copy)]
pub enum Lies<'a> {
    /// As its expression does.
    Along(Along),
    /// As columns that lie packed as vectors, from where the first begins.
    Ready(&'a Ready, Reg),
}

/// An operand of a tile, to be packed: panel by panel, rows line by line and columns step by step; or all at once.
pub struct Operand<'a> {
    /// What is packed.
    pub block: &'a Block<'a>,
    /// How it lies.
    pub lies: Lies<'a>,
    /// Whether it is that of the rows.
    pub is_rows: bool,
    /// Where it is packed.
    pub to: Place,
}

/// A panel: its first row or column, and as which it is packed.
#[derive(Clone, Copy)]
pub struct Panel {
    /// Its first row or column within the block.
    pub first: Reg,
    /// Where that is packed.
    pub to: Reg,
}

impl Operand<'_> {
    /// Whether all of it is packed at once, before anything is multiplied: what lies along its own dimension is read in pieces too
    /// short otherwise.
    fn at_once(&self) -> bool {
        matches!(self.lies, Lies::Along(Along::Own))
    }

    /// Packs a panel, or all of them.
    fn first(&self, w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env) {
        let zero = w.int(0);
        let panel = Panel { first: zero, to: zero };
        if self.at_once() {
            across(w, e, blocks, base, self);
        } else if self.is_rows {
            let side = w.int(i64::from(SIDE));
            self.lines(w, e, blocks, base, panel, (zero, side));
        } else {
            w.repeat((zero, self.block.kc, STEP), &[], |w, k, _| {
                self.step(w, e, blocks, base, panel, k);
                Vec::new()
            });
        }
    }

    /// Packs some lines of a panel.
    fn lines(&self, w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, panel: Panel, (from, to): (Reg, Reg)) {
        let zero = w.int(0);
        w.repeat((from, to, 1), &[], |w, i, _| {
            let line = self.line(w, e, blocks, base, panel, i);
            w.repeat((zero, self.block.kc, STEP), &[], |w, k, _| {
                line.pack(w, e, blocks, self, k);
                Vec::new()
            });
            Vec::new()
        });
    }

    /// A line of a panel.
    fn line(&self, w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, panel: Panel, i: Reg) -> Line {
        let (i, to) = (w.add(panel.first, i), w.add(panel.to, i));
        let env = row(w, e, base, self.block, i);
        e.hoist(w, &[self.block.node], &env);
        Line { env, start: own(w, blocks, to) }
    }

    /// Packs a step of columns, square by square.
    fn step(&self, w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, panel: Panel, k: Reg) {
        let (zero, square, side) = (w.int(0), w.int(i64::from(SQUARE)), w.int(i64::from(SIDE)));
        w.repeat((zero, side, SQUARE), &[], |w, line, _| {
            let panel = Panel { first: w.add(panel.first, line), to: w.add(panel.to, line) };
            let start = own(w, blocks, panel.to);
            let start = place(w, k, VOLUME / STEP, start);
            if let Lies::Ready(ready, from) = self.lies {
                from_ready(w, blocks, (ready, from), self.block, (panel.first, k), (self.to, start));
            } else {
                w.repeat((zero, square, 1), &[], |w, i, _| {
                    let line = self.line(w, e, blocks, base, panel, i);
                    line.pack(w, e, blocks, self, k);
                    line.fetch(w, e, self, k);
                    Vec::new()
                });
                turn(w, blocks, self.to, start);
            }
            Vec::new()
        });
    }
}

/// A line of an operand that lies along the sum.
struct Line {
    env: Env,
    /// Where it is packed.
    start: Reg,
}

impl Line {
    /// Packs the step from a place of the sum.
    fn pack(&self, w: &mut Writer, e: &mut Exprs, blocks: &Blocks, operand: &Operand, k: Reg) {
        let block = operand.block;
        let halves = [0, SQUARE].map(|by| {
            let by = w.int(i64::from(by));
            let k = w.add(k, by);
            if block.sum.is_whole(STEP as u16) {
                return along_sum(w, e, block, &self.env, k, None);
            }
            let iota = w.iota(Dtype::I64, blocks.lanes);
            let places = w.add(k, iota);
            let mask = w.map(Elementwise::LT, &[places, block.kc]);
            // A vector begins where there is a place.
            let (one, zero) = (w.int(1), w.int(0));
            let vectors = ceiling(w, block.kc, SQUARE);
            let last = w.sub(vectors, one);
            let last = place(w, last, SQUARE, zero);
            let k = least(w, k, last);
            let value = along_sum(w, e, block, &self.env, k, Some(mask));
            let nothing = w.constant(Dtype::F32, blocks.lanes, 0.0);
            w.map(Elementwise::SELECT, &[mask, value, nothing])
        });
        let at = place(w, k, VOLUME / STEP, self.start);
        parts(w, halves, at, operand.to);
    }

    /// Asks for what some steps later is packed: lines of many rows are more than the processor foresees.
    fn fetch(&self, w: &mut Writer, e: &mut Exprs, operand: &Operand, k: Reg) {
        for half in [0, SQUARE] {
            let later = w.int(i64::from(LATER * STEP + half));
            let at = w.add(operand.block.k0, k);
            let at = w.add(at, later);
            let mut env = self.env.clone();
            operand.block.sum.lanes(w, e, &mut env, at);
            e.fetch(w, operand.block.node, env);
        }
    }
}

/// Packs all of what lies along its own dimension, places of the sum one pair after another, as memory lies; of rows the squares
/// are transposed after that.
fn across(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, operand: &Operand) {
    let (block, to) = (operand.block, operand.to);
    let (zero, one, half) = (w.int(0), w.int(1), w.int(i64::from(SQUARE)));
    let steps = ceiling(w, block.kc, STEP);
    let pairs = place(w, steps, SQUARE, zero);
    let nothing = w.constant(Dtype::F32, blocks.lanes, 0.0);
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
    if operand.is_rows {
        w.repeat((zero, block.count, SQUARE), &[], |w, i, _| {
            let start = own(w, blocks, i);
            w.repeat((zero, steps, 1), &[], |w, step, _| {
                let start = place(w, step, VOLUME, start);
                turn(w, blocks, to, start);
                Vec::new()
            });
            Vec::new()
        });
    }
}

/// Packs a square of columns that lie packed as vectors.
fn from_ready(
    w: &mut Writer,
    blocks: &Blocks,
    (ready, from): (&Ready, Reg),
    block: &Block,
    (first, k): (Reg, Reg),
    (to, start): (Place, Reg),
) {
    let (lanes, zero, half) = (u32::from(blocks.lanes), w.int(0), w.int(i64::from(SQUARE)));
    // Columns that are not there lie behind the last.
    let there = w.map(Elementwise::LT, &[first, block.count]);
    w.when(there, |w| {
        let column = ready.from(w, first, zero);
        let column = w.add(from, column);
        let at = place(w, k, lanes, column);
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
            let index = place(w, j, SQUARE, start);
            parts(w, halves, index, to);
            Vec::new()
        });
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

/// Transposes a square, the three parts of it.
fn turn(w: &mut Writer, blocks: &Blocks, to: Place, start: Reg) {
    for part in 0..PARTS {
        let row = |w: &mut Writer, i: u32| {
            let by = w.int(i64::from(part * PLANE + i * SQUARE));
            w.add(start, by)
        };
        let at: Vec<Reg> = (0..SQUARE).map(|i| row(w, i)).collect();
        let rows: Vec<Reg> = at.iter().map(|&at| w.load(to, at, blocks.lanes, None)).collect();
        for (&at, row) in at.iter().zip(transposed(w, &rows)) {
            w.store(to, at, row, None);
        }
    }
}

/// A strip of rows.
pub struct Strip {
    /// Its first row within the tile.
    pub row: Reg,
    /// The row of the sums that is the first.
    pub at: Reg,
    /// Whether the sums go on from what is there.
    pub goes_on: Option<Reg>,
}

/// Packs what the first block of sums needs.
pub fn begin(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, (a, b): (&Operand, &Operand)) {
    a.first(w, e, blocks, base);
    b.first(w, e, blocks, base);
}

/// The sums of a strip of rows by all columns. The unit leaves vectors and memory's ports free, so what is needed next is packed
/// between its steps: the next strip, and with the first strip the next columns.
pub fn multiply(
    w: &mut Writer,
    e: &mut Exprs,
    blocks: &Blocks,
    base: &Env,
    (a, b): (&Operand, &Operand),
    sums: Place,
    strip: &Strip,
) {
    let (zero, one, side) = (w.int(0), w.int(1), w.int(i64::from(SIDE)));
    let (number, kc) = (ceiling(w, b.block.count, SIDE), a.block.kc);
    // Two panels of rows take turns.
    let two = w.int(2 * i64::from(SIDE));
    let place_of = |w: &mut Writer, row: Reg| if a.at_once() { row } else { w.map(Elementwise::MOD, &[row, two]) };
    let own_rows = place_of(w, strip.row);
    let first = w.add(strip.row, side);
    let next = Panel { first, to: place_of(w, first) };
    let (start, at) = (own(w, blocks, own_rows), place(w, strip.at, blocks.nc, zero));
    let follows = w.map(Elementwise::LT, &[next.first, a.block.count]);
    let is_first = w.map(Elementwise::EQ, &[strip.row, zero]);
    // Lines of the next strip that fall to a block of columns; fewer columns than a tile's leave some over.
    let each = SIDE.div_ceil(blocks.nc.div_ceil(SIDE));
    let lines_of = |w: &mut Writer, block: Reg| {
        let line = place(w, block, each, zero);
        least(w, line, side)
    };
    w.repeat((zero, number, 1), &[], |w, block, _| {
        let (at, column) = (place(w, block, SIDE, at), place(w, block, panel(blocks), zero));
        let behind = w.add(block, one);
        let there = w.map(Elementwise::LT, &[behind, number]);
        let is_packed = w.map(Elementwise::AND, &[there, is_first]);
        let first = place(w, behind, SIDE, zero);
        let lines = [lines_of(w, block), lines_of(w, behind)];
        let some = w.map(Elementwise::LT, lines.as_slice());
        let some = w.map(Elementwise::AND, &[some, follows]);
        let few: Vec<Line> = (0..each)
            .filter(|_| each <= FEW && !a.at_once())
            .map(|i| {
                let (i, last) = (w.int(i64::from(i)), w.int(i64::from(SIDE - 1)));
                let i = w.add(lines[0], i);
                let i = least(w, i, last);
                a.line(w, e, blocks, base, next, i)
            })
            .collect();
        w.tiles(Work::Begin { sums: (sums, at), stride: blocks.nc, goes_on: strip.goes_on });
        w.repeat((zero, kc, STEP), &[], |w, k, _| {
            let [row, column] = [start, column].map(|from| place(w, k, VOLUME / STEP, from));
            w.tiles(Work::Step { rows: (a.to, row), columns: (b.to, column) });
            if !few.is_empty() {
                w.when(some, |w| few.iter().for_each(|line| line.pack(w, e, blocks, a, k)));
            } else if !a.at_once() {
                w.when(some, |w| {
                    w.repeat((lines[0], lines[1], 1), &[], |w, i, _| {
                        a.line(w, e, blocks, base, next, i).pack(w, e, blocks, a, k);
                        Vec::new()
                    });
                });
            }
            if !b.at_once() {
                w.when(is_packed, |w| b.step(w, e, blocks, base, Panel { first, to: first }, k));
            }
            Vec::new()
        });
        w.tiles(Work::End { sums: (sums, at), stride: blocks.nc });
        Vec::new()
    });
    if !a.at_once() {
        w.when(follows, |w| {
            let done = lines_of(w, number);
            a.lines(w, e, blocks, base, next, (done, side));
        });
    }
}

#[cfg(test)]
mod tests;
