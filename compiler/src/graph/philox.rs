//! The random numbers of a program: Philox 4x32 with ten rounds (Salmon, Moraes, Dror and Shaw, 2011, *Parallel Random Numbers:
//! As Easy as 1, 2, 3*), a pure function from a key and a counter to a block of four words.
//!
//! The recipe, which generated code follows to the bit:
//!
//! - key: `(seed, site)`; site is the number in [`Op::Random`](weft_dsl::op::Op::Random);
//! - counter: `(index, step, micro, key)`; `index` is the element's place, row-major over the axes *in the order of the operator's
//!   list*, the last innermost; `key` is the operator's fourth operand, such as the layer's index, or 0 where it has none;
//! - each is an integer of which the lowest 32 bits count (two's complement); a float operand is truncated first;
//! - one block for each element, whose words are `x0 x1 x2 x3`;
//! - uniform: `(x0 >> 8) · 2⁻²⁴`, exact in f32;
//! - normal (Box and Muller, 1958): `sqrt(-2 · ln(1 - uniform(x0))) · cos(2π · uniform(x1))`. `1 - uniform` is exact and never 0, so
//!   that the result is finite: at most 5.77 in size.

use weft_dsl::op::Distribution;

/// The block of four words for a counter under a key.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

/// A word as a number on `[0, 1)`.
pub fn uniform(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// One element: its distribution's number from its counter and key.
pub fn draw(distribution: Distribution, counter: [u32; 4], key: [u32; 2]) -> f64 {
    let block = philox(counter, key);
    match distribution {
        Distribution::Uniform => uniform(block[0]),
        Distribution::Normal => {
            (-2.0 * (1.0 - uniform(block[0])).ln()).sqrt() * (std::f64::consts::TAU * uniform(block[1])).cos()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of Random123.
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(counter, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn moments() {
        let moments = |distribution| {
            let draws: Vec<f64> = (0..20_000).map(|i| draw(distribution, [i, 3, 0, 0], [7, 1])).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0)
        };
        let (mean, variance) = moments(Distribution::Uniform);
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.003, "{mean} {variance}");
        let (mean, variance) = moments(Distribution::Normal);
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
