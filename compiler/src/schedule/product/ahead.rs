//! What is read next is asked for while sums are computed, a line now and then: packed columns come from memory, end to end, and
//! the processor asks for them too late by itself; many requests at once would stand in the way of what is waited for.

use weft_dsl::elementwise::Elementwise;

use super::Tile;
use super::blocks::Blocks;
use super::group::{least, place};
use super::pack::{self, Block};
use super::problem::Problem;
use super::ready::Ready;
use crate::kernel::{Place, Reg, Writer};
use crate::schedule::Exprs;

/// A block of a tile whose columns lie packed, and the block after it: of the sum, or else of the columns.
pub struct Ahead<'a> {
    product: (&'a Problem, &'a Blocks),
    tile: &'a Tile,
    rows: &'a Block<'a>,
    ready: &'a Ready,
    /// Where the next block begins, along the columns and the sum.
    next: (Reg, Reg),
}

/// Where a full register block is.
#[derive(Clone, Copy)]
pub struct At {
    /// Its first row in the tile.
    pub row: Reg,
    /// Its first vector of columns.
    pub vector: Reg,
    /// Its place of the sum within the block: a multiple of the lanes, and how many more.
    pub k: (Reg, u32),
}

impl<'a> Ahead<'a> {
    /// For a block; `ends` says whether it is the sum's last, where it is not the only one.
    pub fn new(
        w: &mut Writer,
        product: (&'a Problem, &'a Blocks),
        tile: &'a Tile,
        rows: &'a Block,
        ready: &'a Ready,
        ends: Option<Reg>,
    ) -> Self {
        // Tiles go along the columns, and then begin again.
        let (by, zero) = (w.int(i64::from(product.1.nc)), w.int(0));
        let columns = w.add(tile.n0, by);
        let is_there = w.map(Elementwise::LT, &[columns, tile.n]);
        let columns = w.map(Elementwise::SELECT, &[is_there, columns, zero]);
        let next = match ends {
            None => (columns, zero),
            Some(ends) => {
                let k = w.add(rows.k0, rows.kc);
                let columns = w.map(Elementwise::SELECT, &[ends, columns, tile.n0]);
                (columns, w.map(Elementwise::SELECT, &[ends, zero, k]))
            }
        };
        Self { product, tile, rows, ready, next }
    }

    /// Asks for what falls to a place of a register block: all of them together ask for the next rows and the next block's columns.
    pub fn fetch(&self, w: &mut Writer, e: &mut Exprs, at: At) {
        let (_, blocks) = self.product;
        let across = blocks.nc.div_ceil(u32::from(blocks.lanes) * blocks.nr);
        let rows = blocks.mr.div_ceil(across);
        let lines = blocks.nr + rows;
        for line in (0..lines).filter(|line| line * u32::from(blocks.lanes) / lines == at.k.1) {
            match line.checked_sub(blocks.nr) {
                None => self.column(w, at, line),
                Some(row) => self.row(w, e, at, (row, rows)),
            }
        }
    }

    /// A line of one of the rows behind these, which the register blocks beside one another share among them.
    fn row(&self, w: &mut Writer, e: &mut Exprs, at: At, (number, each): (u32, u32)) {
        let (problem, blocks) = self.product;
        let (nr, behind) = (w.int(i64::from(blocks.nr)), w.int(i64::from(blocks.mr + number)));
        let panel = w.map(Elementwise::IDIV, &[at.vector, nr]);
        let row = w.add(at.row, behind);
        let row = place(w, panel, each, row);
        let mut env = pack::row(w, e, &self.tile.env, self.rows, row);
        let k = w.add(self.rows.k0, at.k.0);
        problem.sum.at(w, e, &mut env, k);
        e.fetch(w, problem.a, env);
    }

    /// A line of the next block's columns, which as many register blocks behind one another share among them as there are lanes.
    fn column(&self, w: &mut Writer, at: At, number: u32) {
        let (_, blocks) = self.product;
        let lanes = u32::from(blocks.lanes);
        let [mr, width, last] = [blocks.mr, lanes, lanes - 1].map(|n| w.int(i64::from(n)));
        let strip = w.map(Elementwise::IDIV, &[at.row, mr]);
        let strip = least(w, strip, last);
        let step = w.map(Elementwise::IDIV, &[at.k.0, width]);
        let k = place(w, strip, blocks.kc / lanes, step);
        let k = w.add(self.next.1, k);
        let number = w.int(i64::from(number));
        let vector = w.add(at.vector, number);
        let column = place(w, vector, lanes, self.next.0);
        let index = self.ready.from(w, column, k);
        w.fetch(Place::Arg(self.ready.argument), index);
    }
}
