//! Products of a few rows: memory is what they wait for, so the columns' operand is read once, where it lies, and not packed.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Monoid;

use super::blocks::Blocks;
use super::group::{place, vectors};
use super::pack::{Block, along_sum, row, value};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs};

/// The rows, packed by [`super::pack::rows`], and where the sums go, `nc` to a row.
pub struct Rows {
    /// The rows.
    pub a: Place,
    /// The sums.
    pub c: Place,
    /// How many rows; known.
    pub count: u32,
    /// Whether the block adds to the sums (a Bool scalar); otherwise it begins them.
    pub goes_on: Option<Reg>,
}

/// `C += A · B` where `B` lies along the sum: each of a few columns is a vector of partial sums, folded at the end.
pub fn dots(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, rows: &Rows) {
    let (lanes, together) = (blocks.lanes, if rows.count == 1 { 8 } else { 4 });
    let zero = w.int(0);
    w.repeat((zero, block.count, together), &[], |w, column, _| {
        let mut envs = Vec::new();
        for i in 0..together {
            let i = w.int(i64::from(i));
            let i = w.add(column, i);
            let env = row(w, e, base, block, i);
            e.hoist(w, &[block.node], &env);
            envs.push(env);
        }
        let mut step = |w: &mut Writer, k: Reg, mask: Option<Reg>, sums: &[Reg]| -> Vec<Reg> {
            let mut next = sums.to_vec();
            let a: Vec<Reg> = (0..rows.count)
                .map(|r| {
                    let start = w.int(i64::from(r * blocks.row_stride()));
                    let index = w.add(start, k);
                    w.load(rows.a, index, lanes, mask)
                })
                .collect();
            for (j, env) in envs.iter().enumerate() {
                let mut b = along_sum(w, e, block, env, k, mask);
                if let Some(mask) = mask {
                    // What an expression makes of a place that is not there must not enter the sum.
                    let nothing = w.constant(Dtype::F32, lanes, 0.0);
                    b = w.map(Elementwise::SELECT, &[mask, b, nothing]);
                }
                for (r, &a) in a.iter().enumerate() {
                    let sum = &mut next[r * together as usize + j];
                    *sum = blocks.fma(w, a, b, *sum);
                }
            }
            next
        };
        let nothing = w.constant(Dtype::F32, lanes, 0.0);
        let init = vec![nothing; (rows.count * together) as usize];
        let width = w.int(i64::from(lanes));
        let number = w.map(Elementwise::IDIV, &[block.kc, width]);
        let full = w.mul(number, width);
        let mut sums = w.repeat((zero, full, u32::from(lanes)), &init, |w, k, sums| step(w, k, None, sums));
        if !block.sum.is_whole(lanes) {
            let iota = w.iota(Dtype::I64, lanes);
            let at = w.add(full, iota);
            let mask = w.map(Elementwise::LT, &[at, block.kc]);
            sums = step(w, full, Some(mask), &sums);
        }
        for (i, sum) in (0..).zip(sums) {
            let to = w.int(i64::from(i / together * blocks.nc + i % together));
            let to = w.add(to, column);
            let sum = w.fold(Monoid::Sum, sum);
            add(w, rows, to, sum);
        }
        Vec::new()
    });
}

/// `C += A · B` where `B` lies along its columns: a few vectors of columns stay in registers.
pub fn sweeps(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, rows: &Rows) {
    let lanes = blocks.lanes;
    let together: u32 = if rows.count == 1 { 8 } else { 4 };
    let zero = w.int(0);
    let wide = u32::from(lanes) * together;
    let by = w.int(i64::from(wide));
    let number = w.map(Elementwise::IDIV, &[block.count, by]);
    let full = w.mul(number, by);
    w.repeat((zero, full, wide), &[], |w, column, _| {
        sweep(w, e, blocks, base, block, rows, (column, together, None));
        Vec::new()
    });
    let rest = w.sub(block.count, full);
    vectors(w, lanes, rest, block.own.is_whole(lanes), |w, column, mask| {
        let column = w.add(full, column);
        sweep(w, e, blocks, base, block, rows, (column, 1, mask));
    });
}

fn sweep(
    w: &mut Writer,
    e: &mut Exprs,
    blocks: &Blocks,
    base: &Env,
    block: &Block,
    rows: &Rows,
    (column, together, mask): (Reg, u32, Option<Reg>),
) {
    let lanes = blocks.lanes;
    let zero = w.int(0);
    let columns: Vec<Reg> = (0..together)
        .map(|j| {
            let by = w.int(i64::from(j * u32::from(lanes)));
            w.add(column, by)
        })
        .collect();
    let nothing = w.constant(Dtype::F32, lanes, 0.0);
    let init = vec![nothing; (rows.count * together) as usize];
    let sums = w.repeat((zero, block.kc, 1), &init, |w, k, sums| {
        let mut next = sums.to_vec();
        let mut env = base.clone();
        let at = w.add(block.k0, k);
        block.sum.at(w, e, &mut env, at);
        env.mask = mask;
        let a: Vec<Reg> = (0..rows.count)
            .map(|r| {
                let start = w.int(i64::from(r * blocks.row_stride()));
                let index = w.add(start, k);
                w.load(rows.a, index, 1, None)
            })
            .collect();
        for (j, &column) in columns.iter().enumerate() {
            let mut env = env.clone();
            let at = w.add(block.from, column);
            block.own.lanes(w, e, &mut env, at);
            let b = value(w, e, block.node, &env);
            for (r, &a) in a.iter().enumerate() {
                let sum = &mut next[r * together as usize + j];
                *sum = blocks.fma(w, a, b, *sum);
            }
        }
        next
    });
    for (r, sums) in (0..).zip(sums.chunks(together as usize)) {
        let start = w.int(i64::from(r * blocks.nc));
        for (&column, &sum) in columns.iter().zip(sums) {
            let to = place(w, start, 1, column);
            add(w, rows, to, sum);
        }
    }
}

/// Adds a scalar or a vector to the sums.
fn add(w: &mut Writer, rows: &Rows, to: Reg, sum: Reg) {
    let sum = match rows.goes_on {
        None => sum,
        Some(goes_on) => {
            let lanes = w.shape(sum).lanes;
            let mask = w.splat(goes_on, lanes);
            let before = w.load(rows.c, to, lanes, Some(mask));
            w.add(before, sum)
        }
    };
    w.store(rows.c, to, sum, None);
}
