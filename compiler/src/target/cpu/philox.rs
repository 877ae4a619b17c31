//! Philox 4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.

use super::text::{Code, Elem, Ty, Value};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// The four words for a key and a counter. Kernels that use several words of one counter ask again; equal code is merged.
pub(super) fn philox(code: &mut Code, ty: Ty, mut key: [Value; 2], mut counter: [Value; 4]) -> [Value; 4] {
    let wide = ty.with(Elem::I64);
    for round in 0..ROUNDS {
        if round > 0 {
            key = [0, 1].map(|i| code.binary("add", ty, &key[i], &ty.int(i64::from(WEYL[i]))));
        }
        let [(high0, low0), (high1, low1)] = [0, 1].map(|i| {
            let word = code.cast("zext", ty, &counter[2 * i], wide);
            let product = code.binary("mul", wide, &word, &wide.int(i64::from(MULTIPLIERS[i])));
            let high = code.binary("lshr", wide, &product, &wide.int(32));
            (code.cast("trunc", wide, &high, ty), code.cast("trunc", wide, &product, ty))
        });
        let mut mix = |high: &str, word: &str, key: &str| {
            let mixed = code.binary("xor", ty, high, word);
            code.binary("xor", ty, &mixed, key)
        };
        counter = [mix(&high1, &counter[1], &key[0]), low1, mix(&high0, &counter[3], &key[1]), low0];
    }
    counter
}
