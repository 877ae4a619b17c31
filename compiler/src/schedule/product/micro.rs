//! The register block: sums of `mr` rows by some vectors of columns, kept in registers over one block of the summed dimension.

use weft_dsl::elementwise::Elementwise;

use super::blocks::Blocks;
use super::group::{blocks as ceiling, place};
use super::problem::Along;
use crate::kernel::{Place, Reg, Writer};

/// A packed tile.
pub struct Packed {
    /// Rows.
    pub a: Place,
    /// How far one place of the sum is from the next in them.
    pub a_step: u32,
    /// Columns, as streams.
    pub b: Place,
    /// Where the tile's first stream begins.
    pub b_from: Reg,
    /// Vectors from one stream to the next.
    pub b_stream: u32,
    /// Sums, row by row, `nc` to a row.
    pub c: Place,
}

/// Asks for what is read next: gets the first vector of columns of a register block and its place of the sum, in whole vectors and
/// places beyond.
pub type Fetch<'a> = dyn FnMut(&mut Writer, Reg, (Reg, u32)) + 'a;

/// `C += A · B` for the rows of a register block, which begin at `starts`, and all columns of a packed block, from a row of `c`;
/// where `goes_on` (a Bool vector) is false, `C = A · B`. Where there is `fetch`, the sum is a whole number of vectors.
pub fn multiply(
    w: &mut Writer,
    blocks: &Blocks,
    packed: &Packed,
    (starts, row): (&[Reg], Reg),
    (columns, kc): (Reg, Reg),
    goes_on: Option<Reg>,
    mut fetch: Option<&mut Fetch>,
) {
    let lanes = u32::from(blocks.lanes);
    let zero = w.int(0);
    let vectors = ceiling(w, columns, lanes);
    let mut from = zero;
    // As many full register blocks as leave no lone vector over, then narrower ones.
    for width in (1..=blocks.nr).rev() {
        let left = w.sub(vectors, from);
        let by = w.int(i64::from(width));
        let mut count = w.map(Elementwise::IDIV, &[left, by]);
        if width > 2 {
            let rest = w.map(Elementwise::MOD, &[left, by]);
            let one = w.int(1);
            let lone = w.map(Elementwise::EQ, &[rest, one]);
            let fewer = w.sub(count, one);
            let fewer = w.map(Elementwise::MAX, &[fewer, zero]);
            count = w.map(Elementwise::SELECT, &[lone, fewer, count]);
        }
        let length = w.mul(count, by);
        let to = w.add(from, length);
        w.repeat((from, to, width), &[], |w, v, _| {
            // Narrower ones are few.
            let fetch = fetch.as_deref_mut().filter(|_| width == blocks.nr);
            block(w, blocks, packed, starts, (row, v, width), (kc, goes_on), fetch);
            Vec::new()
        });
        from = to;
    }
}

/// One register block, from a row and a vector of columns.
fn block(
    w: &mut Writer,
    blocks: &Blocks,
    packed: &Packed,
    starts: &[Reg],
    (row, v, width): (Reg, Reg, u32),
    (kc, goes_on): (Reg, Option<Reg>),
    fetch: Option<&mut Fetch>,
) {
    let lanes = u32::from(blocks.lanes);
    let zero = w.int(0);
    let column = place(w, v, lanes, zero);
    let corner = place(w, row, blocks.nc, column);
    let sums: Vec<(u32, Reg)> = (0..blocks.mr * width)
        .map(|i| {
            let index = offset(w, corner, i / width * blocks.nc + i % width * lanes);
            (i, index)
        })
        .collect();
    let init: Vec<Reg> = sums
        .iter()
        .map(|&(_, index)| match goes_on {
            Some(mask) => w.load(packed.c, index, blocks.lanes, Some(mask)),
            None => w.constant(crate::kernel::Dtype::F32, blocks.lanes, 0.0),
        })
        .collect();
    let b_start = place(w, column, packed.b_stream, packed.b_from);
    let step = |w: &mut Writer, k: Reg, sums: &[Reg]| -> Vec<Reg> {
        let along = place(w, k, packed.a_step, zero);
        let b_at = place(w, k, lanes, b_start);
        let b: Vec<Reg> = (0..width)
            .map(|j| {
                let index = offset(w, b_at, j * lanes * packed.b_stream);
                w.load(packed.b, index, blocks.lanes, None)
            })
            .collect();
        let mut next = Vec::with_capacity(sums.len());
        for (r, &start) in starts.iter().enumerate() {
            let index = w.add(start, along);
            let a = w.load(packed.a, index, 1, None);
            let a = w.splat(a, blocks.lanes);
            for (j, &b) in b.iter().enumerate() {
                next.push(blocks.fma(w, a, b, sums[r * width as usize + j]));
            }
        }
        next
    };
    let done = match fetch {
        None => w.repeat((zero, kc, 1), &init, step),
        Some(fetch) => w.repeat((zero, kc, lanes), &init, |w, k, sums| {
            (0..lanes).fold(sums.to_vec(), |sums, i| {
                fetch(w, v, (k, i));
                let k = offset(w, k, i);
                step(w, k, &sums)
            })
        }),
    };
    for (&(_, index), &sum) in sums.iter().zip(&done) {
        w.store(packed.c, index, sum, None);
    }
}

/// Where the rows of a register block begin that were packed, from a row.
pub fn packed_rows(w: &mut Writer, blocks: &Blocks, along: Along, row: Reg, count: u32) -> Vec<Reg> {
    let zero = w.int(0);
    let (start, by) = match along {
        Along::Sum => (zero, blocks.row_stride()),
        Along::Own => (place(w, row, blocks.stream(), zero), 1),
    };
    (0..count).map(|r| offset(w, start, r * by)).collect()
}

/// A place a known distance further on.
fn offset(w: &mut Writer, at: Reg, by: u32) -> Reg {
    if by == 0 {
        return at;
    }
    let by = w.int(i64::from(by));
    w.add(at, by)
}
