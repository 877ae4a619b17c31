//! Products of a few rows: memory is what they wait for, so the columns' operand is read once, where it lies, and in the order in
//! which it lies: along the sum, along the columns, or packed before. What is read next is fetched meanwhile: the processor does so
//! by itself within a page of memory alone, and stops where a tile ends.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Monoid;

use super::blocks::Blocks;
use super::group::{self, place, vectors};
use super::micro::Packed;
use super::pack::{Block, along_sum, row, value};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs};

/// The rows, along the sum, and where the sums go, `nc` to a row.
pub struct Rows {
    /// The rows.
    pub a: Place,
    /// Where each begins.
    pub starts: Vec<Reg>,
    /// The sums.
    pub c: Place,
    /// Whether the block adds to the sums (a Bool scalar); otherwise it begins them.
    pub goes_on: Option<Reg>,
}

impl Rows {
    /// How many there are.
    fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Places of the row that begins somewhere.
    fn load(&self, w: &mut Writer, start: Reg, k: Reg, (lanes, mask): (u16, Option<Reg>)) -> Reg {
        let at = w.add(start, k);
        w.load(self.a, at, lanes, mask)
    }
}

/// How many vectors ahead of what is read a packed operand is fetched, in each of the places where it is read side by side.
const AHEAD: u32 = 16;
/// In so many places side by side memory is read fastest.
const SIDE_BY_SIDE: u32 = 2;
/// Columns side by side.
const COLUMNS: u32 = 4;

/// `C += A · B` where `B` lies along the sum: a few columns side by side, each a vector or two of partial sums, folded at the end.
pub fn dots(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, rows: &Rows) {
    let (lanes, parts) = (blocks.lanes, if rows.count() == 1 { 2 } else { 1 });
    let (zero, step) = (w.int(0), u32::from(lanes) * parts);
    w.repeat((zero, block.count, COLUMNS), &[], |w, column, _| {
        let from = |w: &mut Writer, i: u32| {
            let i = w.int(i64::from(i));
            w.add(column, i)
        };
        let mut envs = Vec::new();
        for i in 0..COLUMNS {
            let i = from(w, i);
            let env = row(w, e, base, block, i);
            e.hoist(w, &[block.node], &env);
            envs.push(env);
        }
        // The columns behind these.
        let behind: Vec<Env> = (COLUMNS..2 * COLUMNS)
            .map(|i| {
                let (mut env, at) = (base.clone(), from(w, i));
                let at = w.add(block.from, at);
                block.own.at(w, e, &mut env, at);
                env
            })
            .collect();
        let add_up = |w: &mut Writer, e: &mut Exprs, (k, mask): (Reg, Option<Reg>), part: u32, sums: &mut [Reg]| {
            let a: Vec<Reg> = rows.starts.iter().map(|&start| rows.load(w, start, k, (lanes, mask))).collect();
            for (j, env) in envs.iter().enumerate() {
                let mut b = along_sum(w, e, block, env, k, mask);
                if let Some(mask) = mask {
                    // What an expression makes of a place that is not there must not enter the sum.
                    let nothing = w.constant(Dtype::F32, lanes, 0.0);
                    b = w.map(Elementwise::SELECT, &[mask, b, nothing]);
                }
                for (r, &a) in a.iter().enumerate() {
                    let sum = &mut sums[(r * envs.len() + j) * parts as usize + part as usize];
                    *sum = blocks.fma(w, a, b, *sum);
                }
            }
        };
        let by = w.int(i64::from(step));
        let number = w.map(Elementwise::IDIV, &[block.kc, by]);
        let full = w.mul(number, by);
        // What is fetched lies in these columns first, and then where those behind begin.
        let ahead = w.int(i64::from(AHEAD * u32::from(lanes)));
        let ahead = group::least(w, ahead, full);
        let turn = w.sub(full, ahead);
        let back = w.sub(ahead, full);
        let nothing = w.constant(Dtype::F32, lanes, 0.0);
        let mut sums = vec![nothing; (rows.count() * COLUMNS * parts) as usize];
        for (first, last, fetched, ahead) in [(zero, turn, &envs, ahead), (turn, full, &behind, back)] {
            sums = w.repeat((first, last, step), &sums, |w, k, sums| {
                let mut next = sums.to_vec();
                for part in 0..parts {
                    let own = w.int(i64::from(part * u32::from(lanes)));
                    let k = w.add(k, own);
                    let at = w.add(k, ahead);
                    fetched.iter().for_each(|env| fetch(w, e, block, env, at));
                    add_up(w, e, (k, None), part, &mut next);
                }
                next
            });
        }
        let whole = |n: i64| n % i64::from(step) == 0;
        if !block.sum.volume().known().is_some_and(whole) || !whole(i64::from(blocks.kc)) {
            sums = w.repeat((full, block.kc, u32::from(lanes)), &sums, |w, k, sums| {
                let mut next = sums.to_vec();
                let iota = w.iota(Dtype::I64, lanes);
                let at = w.add(k, iota);
                let mask = w.map(Elementwise::LT, &[at, block.kc]);
                add_up(w, e, (k, Some(mask)), 0, &mut next);
                next
            });
        }
        for (i, sums) in (0..).zip(sums.chunks(parts as usize)) {
            let to = w.int(i64::from(i / COLUMNS * blocks.nc + i % COLUMNS));
            let to = w.add(to, column);
            let sum = in_pairs(w, sums);
            let sum = w.fold(Monoid::Sum, sum);
            add(w, rows, to, sum);
        }
        Vec::new()
    });
}

/// `C += A · B` where `B` lies packed: as memory gives them fastest, some streams side by side and sections of each, one behind
/// another where they are; places of the sum are shared out among partial sums, so that no addition waits for the last one.
pub fn streams(w: &mut Writer, blocks: &Blocks, block: &Block, packed: &Packed, rows: &Rows) {
    let (lanes, zero) = (u32::from(blocks.lanes), w.int(0));
    // The sum is a whole number of vectors, so also of these.
    let parts = (8 / rows.count().next_power_of_two()).min(lanes);
    let count = group::blocks(w, block.count, lanes);
    let most = parts.min(SIDE_BY_SIDE).min(1 << (blocks.nc / lanes).ilog2());
    let mut done = zero;
    for across in [most, 1].into_iter().take(1 + usize::from(most > 1)) {
        let by = w.int(i64::from(across));
        let number = w.map(Elementwise::IDIV, &[count, by]);
        let end = w.mul(number, by);
        let side = Side { across, sections: parts.min(SIDE_BY_SIDE) / across, parts };
        w.repeat((done, end, across), &[], |w, stream, _| {
            side.streams(w, blocks, block, packed, rows, stream);
            Vec::new()
        });
        done = end;
    }
}

/// What is read side by side.
struct Side {
    /// Streams.
    across: u32,
    /// Sections of each.
    sections: u32,
    /// Vectors, of all of them together.
    parts: u32,
}

impl Side {
    /// The vectors in the order in which they are read: two of a section one behind the other, as caches ask for lines in pairs.
    fn order(&self) -> Vec<u32> {
        let sections = self.across * self.sections;
        let mut order: Vec<u32> = (0..self.parts).collect();
        order.sort_by_key(|part| (part / sections / 2, part % sections));
        order
    }

    /// Adds what the streams from one on give.
    fn streams(&self, w: &mut Writer, blocks: &Blocks, block: &Block, packed: &Packed, rows: &Rows, stream: Reg) {
        let (lanes, zero) = (u32::from(blocks.lanes), w.int(0));
        let by = w.int(i64::from(self.sections));
        let section = w.map(Elementwise::IDIV, &[block.kc, by]);
        // Behind the end of a section, the same one of the next streams is fetched.
        let (ahead, turn) = (w.int(i64::from(AHEAD * lanes)), w.int(i64::from(AHEAD)));
        let turn = w.sub(section, turn);
        let next = w.int(i64::from(self.across * packed.b_stream * lanes));
        let by = w.int(i64::from(lanes));
        let length = w.mul(section, by);
        let jump = w.sub(next, length);
        let from = place(w, stream, packed.b_stream * lanes, packed.b_from);
        let nothing = w.constant(Dtype::F32, blocks.lanes, 0.0);
        let init = vec![nothing; (rows.count() * self.parts) as usize];
        let places = self.parts / self.across / self.sections;
        let sums = w.repeat((zero, section, places), &init, |w, k, sums| {
            let mut all = sums.to_vec();
            let turned = w.map(Elementwise::GE, &[k, turn]);
            let jump = w.map(Elementwise::SELECT, &[turned, jump, zero]);
            let ahead = w.add(ahead, jump);
            for part in self.order() {
                let (of, part_of_it) = (part % self.across, part / self.across);
                let number = w.int(i64::from(part_of_it % self.sections));
                let start = w.mul(number, section);
                let within = w.int(i64::from(part_of_it / self.sections));
                let start = w.add(start, within);
                let k = w.add(k, start);
                let of = w.int(i64::from(of * packed.b_stream * lanes));
                let of = w.add(from, of);
                let at = place(w, k, lanes, of);
                let b = w.load(packed.b, at, blocks.lanes, None);
                let at = w.add(at, ahead);
                w.fetch(packed.b, at);
                for (row, &start) in (0..).zip(&rows.starts) {
                    let a = rows.load(w, start, k, (1, None));
                    let sum = &mut all[(row * self.parts + part) as usize];
                    *sum = blocks.fma(w, a, b, *sum);
                }
            }
            all
        });
        for (row, sums) in (0..).zip(sums.chunks(self.parts as usize)) {
            for of in 0..self.across {
                let start = w.int(row * i64::from(blocks.nc) + i64::from(of * lanes));
                let to = place(w, stream, lanes, start);
                let own: Vec<Reg> = sums[of as usize..].iter().copied().step_by(self.across as usize).collect();
                let sum = in_pairs(w, &own);
                add(w, rows, to, sum);
            }
        }
    }
}

/// The sum of some vectors.
fn in_pairs(w: &mut Writer, sums: &[Reg]) -> Reg {
    match sums {
        [one] => *one,
        _ => {
            let (first, second) = sums.split_at(sums.len() / 2);
            let (first, second) = (in_pairs(w, first), in_pairs(w, second));
            w.add(first, second)
        }
    }
}

/// `C += A · B` where `B` lies along its columns: a few places of the sum at a time, so that rows of `B` are read side by side from
/// end to end, as memory gives them fastest; the sums wait in the nearest cache.
pub fn sweeps(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, rows: &Rows) {
    let (zero, together) = (w.int(0), if rows.count() <= 2 { 8 } else { 4 });
    let by = w.int(together);
    let number = w.map(Elementwise::IDIV, &[block.kc, by]);
    let full = w.mul(number, by);
    for (from, to, places) in [(zero, full, together), (full, block.kc, 1)] {
        let known = block.sum.volume().known().is_some_and(|n| n % together == 0);
        if places == 1 && known {
            continue;
        }
        w.repeat((from, to, places as u32), &[], |w, k, _| {
            sweep(w, e, blocks, base, block, rows, (k, places));
            Vec::new()
        });
    }
}

/// Adds what some places of the sum give to the sums of all columns.
fn sweep(w: &mut Writer, e: &mut Exprs, blocks: &Blocks, base: &Env, block: &Block, rows: &Rows, (k, places): (Reg, i64)) {
    let (lanes, zero) = (blocks.lanes, w.int(0));
    let mut goes_on = w.map(Elementwise::GT, &[k, zero]);
    if let Some(before) = rows.goes_on {
        goes_on = w.map(Elementwise::OR, &[goes_on, before]);
    }
    let goes_on = w.splat(goes_on, lanes);
    let mut envs: Vec<Env> = (0..2 * places)
        .map(|j| {
            let mut env = base.clone();
            let at = w.int(j);
            let at = w.add(k, at);
            let at = w.add(block.k0, at);
            block.sum.at(w, e, &mut env, at);
            env
        })
        .collect();
    let ahead = envs.split_off(places as usize);
    let mut row_value = |start: Reg, j: i64| {
        let at = w.int(j);
        let at = w.add(k, at);
        rows.load(w, start, at, (1, None))
    };
    let a: Vec<Vec<Reg>> = rows.starts.iter().map(|&start| (0..places).map(|j| row_value(start, j)).collect()).collect();
    vectors(w, lanes, block.count, block.own.is_whole(lanes), |w, column, mask| {
        let at = w.add(block.from, column);
        for env in &ahead {
            let mut env = env.clone();
            block.own.lanes(w, e, &mut env, at);
            e.fetch(w, block.node, env);
        }
        let b: Vec<Reg> = envs
            .iter()
            .map(|env| {
                let mut env = env.clone();
                env.mask = mask;
                block.own.lanes(w, e, &mut env, at);
                value(w, e, block.node, &env)
            })
            .collect();
        for (r, a) in (0..).zip(&a) {
            let start = w.int(r * i64::from(blocks.nc));
            let to = w.add(start, column);
            let before = w.load(rows.c, to, lanes, Some(goes_on));
            let sum = a.iter().zip(&b).fold(before, |sum, (&a, &b)| blocks.fma(w, a, b, sum));
            w.store(rows.c, to, sum, None);
        }
    });
}

/// Fetches a vector along the sum.
fn fetch(w: &mut Writer, e: &mut Exprs, block: &Block, row: &Env, k: Reg) {
    let (mut env, at) = (row.clone(), w.add(block.k0, k));
    block.sum.lanes(w, e, &mut env, at);
    e.fetch(w, block.node, env);
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
