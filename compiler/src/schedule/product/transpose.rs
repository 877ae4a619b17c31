//! A square of lanes × lanes transposed in registers.
//!
//! First 4 × 4 within each 128 bits (interleaved words, then pairs), then whole 128-bit blocks: the shuffles that processors
//! have, `lanes · log2(lanes)` of them.

use crate::kernel::{Reg, Writer};

/// Vector `i` of the result holds lane `i` of each row.
pub fn transposed(w: &mut Writer, rows: &[Reg]) -> Vec<Reg> {
    let lanes = rows.len() as u16;
    let quarters = lanes / 4;
    let mut quads = Vec::with_capacity(rows.len());
    for four in rows.chunks_exact(4) {
        let words = |w: &mut Writer, a: Reg, b: Reg, high: u16| {
            let pattern =
                |q: u16| [0, 1].into_iter().flat_map(move |i| [4 * q + 2 * high + i, lanes + 4 * q + 2 * high + i]);
            w.shuffle(a, b, (0..quarters).flat_map(pattern).collect())
        };
        let pairs = |w: &mut Writer, a: Reg, b: Reg, high: u16| {
            let pattern = |q: u16| {
                let at = 4 * q + 2 * high;
                [at, at + 1, lanes + at, lanes + at + 1]
            };
            w.shuffle(a, b, (0..quarters).flat_map(pattern).collect())
        };
        let (t0, t1) = (words(w, four[0], four[1], 0), words(w, four[0], four[1], 1));
        let (t2, t3) = (words(w, four[2], four[3], 0), words(w, four[2], four[3], 1));
        quads.extend([pairs(w, t0, t2, 0), pairs(w, t0, t2, 1), pairs(w, t1, t3, 0), pairs(w, t1, t3, 1)]);
    }
    // Quad `4 g + j` holds, in block `l`, lane `4 l + j` of rows `4 g …`: the blocks of each `j` are transposed.
    let mut out = vec![rows[0]; rows.len()];
    for j in 0..4 {
        let column: Vec<Reg> = quads.iter().skip(j).step_by(4).copied().collect();
        for (l, value) in blocks(w, &column, lanes).into_iter().enumerate() {
            out[4 * l + j] = value;
        }
    }
    out
}

/// Block `g` of vector `l` of the result is block `l` of vector `g`.
fn blocks(w: &mut Writer, vectors: &[Reg], lanes: u16) -> Vec<Reg> {
    let half = |w: &mut Writer, a: Reg, b: Reg, odd: u16| {
        let pick = |from: u16| (0..lanes / 8).flat_map(move |i| (0..4).map(move |e| from + 8 * i + 4 * odd + e));
        w.shuffle(a, b, pick(0).chain(pick(lanes)).collect())
    };
    match *vectors {
        [a, b] => vec![half(w, a, b, 0), half(w, a, b, 1)],
        [a, b, c, d] => {
            let (even, even2) = (half(w, a, b, 0), half(w, c, d, 0));
            let (odd, odd2) = (half(w, a, b, 1), half(w, c, d, 1));
            vec![half(w, even, even2, 0), half(w, odd, odd2, 0), half(w, even, even2, 1), half(w, odd, odd2, 1)]
        }
        _ => vectors.to_vec(),
    }
}
