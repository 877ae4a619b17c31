//! Packing: a block of an operand's expression, evaluated once, laid out in scratch memory as the register block reads it.

use super::blocks::Blocks;
use super::group::{Group, least, place, vectors};
use super::transpose::transposed;
use crate::graph::NodeId;
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Address, Env, Exprs, Layout, address};

/// A block of an operand.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// The operand.
    pub node: NodeId,
    /// Its own dimension.
    pub own: &'a Group,
    /// First place of the block, and how many.
    pub from: Reg,
    /// How many.
    pub count: Reg,
    /// All places of the dimension.
    pub bound: Reg,
    /// The summed dimension.
    pub sum: &'a Group,
    /// First place of the block.
    pub k0: Reg,
    /// How many.
    pub kc: Reg,
}

/// An operand that lies along its own dimension: streams of some width that divides the lanes, one after another; element
/// `(i, k)` lies at `(i / width · stream + k) · width + i mod width`.
pub fn streams(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, (to, width): (Place, u32)) {
    let lanes = blocks.lanes;
    let zero = w.int(0);
    w.repeat((zero, block.kc, 1), &[], |w, k, _| {
        let mut env = base.clone();
        let at = w.add(block.k0, k);
        block.sum.at(w, e, &mut env, at);
        e.hoist(w, &[block.node], &env);
        let row = place(w, k, width, zero);
        vectors(w, lanes, block.count, block.own.is_whole(lanes), |w, i, mask| {
            let mut env = env.clone();
            env.mask = mask;
            let at = w.add(block.from, i);
            block.own.lanes(w, e, &mut env, at);
            let value = value(w, e, block.node, &env);
            let index = place(w, i, blocks.stream(), row);
            for part in 0..u32::from(lanes) / width {
                let (first, by) = (part * width, w.int(i64::from(part * width * blocks.stream())));
                let lanes = (first..first + width).map(|lane| lane as u16).collect();
                let (value, index) = (w.shuffle(value, value, lanes), w.add(index, by));
                w.store(to, index, value, None);
            }
        });
        Vec::new()
    });
}

/// An operand that lies along the sum, each place of its own dimension a row; element `(i, k)` lies at `i · row_stride + k`.
/// `count` may go beyond the operand: the last row is then repeated.
pub fn rows(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, to: Place) {
    let zero = w.int(0);
    w.repeat((zero, block.count, 1), &[], |w, i, _| {
        let env = row(w, e, base, block, i);
        e.hoist(w, &[block.node], &env);
        let start = place(w, i, blocks.row_stride(), zero);
        vectors(w, blocks.lanes, block.kc, block.sum.is_whole(blocks.lanes), |w, k, mask| {
            let value = along_sum(w, e, block, &env, k, mask);
            let index = w.add(start, k);
            w.store(to, index, value, None);
        });
        Vec::new()
    });
}

/// An operand that lies along the sum, laid out as [`streams`] does: squares are transposed in registers. Where the operand is
/// not merely read, a square's rows are evaluated one after another into `staged` first, so that its code is there once.
pub fn transposes(
    w: &mut Writer,
    e: &mut Exprs,
    blocks: &Blocks,
    base: &Env,
    block: &Block,
    (to, staged): (Place, Option<Place>),
) {
    let lanes = blocks.lanes;
    let zero = w.int(0);
    if let Some(staged) = staged {
        w.repeat((zero, block.count, u32::from(lanes)), &[], |w, i, _| {
            let (from, count) = (w.add(block.from, i), w.int(i64::from(lanes)));
            rows(w, e, blocks, base, &Block { from, count, ..*block }, staged);
            let start = place(w, i, blocks.stream(), zero);
            w.repeat((zero, block.kc, u32::from(lanes)), &[], |w, k, _| {
                let mut square = Vec::new();
                for lane in 0..lanes {
                    let row = w.int(i64::from(u32::from(lane) * blocks.row_stride()));
                    let index = w.add(row, k);
                    square.push(w.load(staged, index, lanes, None));
                }
                put(w, lanes, &square, (k, start), to);
                Vec::new()
            });
            Vec::new()
        });
        return;
    }
    w.repeat((zero, block.count, u32::from(lanes)), &[], |w, i, _| {
        let mut envs = Vec::new();
        for lane in 0..lanes {
            let own = w.int(i64::from(lane));
            let own = w.add(i, own);
            let env = row(w, e, base, block, own);
            e.hoist(w, &[block.node], &env);
            envs.push(env);
        }
        let start = place(w, i, blocks.stream(), zero);
        vectors(w, lanes, block.kc, block.sum.is_whole(lanes), |w, k, mask| {
            let square: Vec<Reg> = envs.iter().map(|env| along_sum(w, e, block, env, k, mask)).collect();
            put(w, lanes, &square, (k, start), to);
        });
        Vec::new()
    });
}

/// Stores a square, transposed, at a place of the sum in a stream.
fn put(w: &mut Writer, lanes: u16, square: &[Reg], (k, start): (Reg, Reg), to: Place) {
    let index = place(w, k, u32::from(lanes), start);
    for (j, column) in transposed(w, square).into_iter().enumerate() {
        let offset = w.int(j as i64 * i64::from(lanes));
        let index = w.add(index, offset);
        w.store(to, index, column, None);
    }
}

/// Positions of a row of the block; of the operand's last one beyond its end, so that nothing need be masked.
pub fn row(w: &mut Writer, e: &mut Exprs, base: &Env, block: &Block, i: Reg) -> Env {
    let mut env = base.clone();
    let one = w.int(1);
    let last = w.sub(block.bound, one);
    let at = w.add(block.from, i);
    let at = least(w, at, last);
    block.own.at(w, e, &mut env, at);
    env
}

/// Where the rows of a register block begin in an argument that lies so, from a row of the block; as [`row`], beyond the end the
/// last one is there again.
pub fn starts(
    w: &mut Writer,
    e: &mut Exprs,
    base: &Env,
    (block, layout): (&Block, &Layout),
    first: Reg,
    count: u32,
) -> Vec<Reg> {
    let rows = (0..count).map(|i| {
        let by = w.int(i64::from(i));
        let at = w.add(first, by);
        let mut env = row(w, e, base, block, at);
        block.sum.at(w, e, &mut env, block.k0);
        match address(w, &mut e.sizes, e.axes, layout, &env, e.lanes) {
            Some(Address::One(at)) => at,
            _ => e.fail(w, block.node, "is not read row by row"),
        }
    });
    rows.collect()
}

/// A vector along the sum.
pub fn along_sum(w: &mut Writer, e: &mut Exprs, block: &Block, row: &Env, k: Reg, mask: Option<Reg>) -> Reg {
    let mut env = row.clone();
    env.mask = mask;
    let at = w.add(block.k0, k);
    block.sum.lanes(w, e, &mut env, at);
    value(w, e, block.node, &env)
}

/// The operand's value in every lane.
pub fn value(w: &mut Writer, e: &mut Exprs, node: NodeId, env: &Env) -> Reg {
    let value = e.eval_as(w, node, env, Dtype::F32);
    w.splat(value, e.lanes)
}
