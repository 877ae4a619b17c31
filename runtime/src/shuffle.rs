//! What is drawn by chance outside kernels: places of training windows, sampled tokens.
//!
//! Each draw is a pure function of (seed, purpose, step, item), so a resumed run draws what an unbroken one would have.

use crate::random::philox;

/// What a draw is for: draws for different purposes have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Where a training sequence starts.
    Window = 0x7769_6e64,
    /// Where a sequence of a held-out evaluation starts.
    HeldOut = 0x6865_6c64,
    /// Which token comes next.
    Token = 0x746f_6b65,
}

/// 64 random bits for (seed, purpose, step, item).
pub fn bits(seed: u64, purpose: Purpose, step: u64, item: u32) -> u64 {
    let key = [seed as u32, (seed >> 32) as u32];
    let word = philox([step as u32, (step >> 32) as u32, item, purpose as u32], key);
    u64::from(word[0]) | u64::from(word[1]) << 32
}

/// A whole number in `0..places`; `places` must not be 0. Uneven by less than `places / 2⁶⁴`.
pub fn place(seed: u64, purpose: Purpose, step: u64, item: u32, places: u64) -> u64 {
    ((u128::from(bits(seed, purpose, step, item)) * u128::from(places)) >> 64) as u64
}

/// A number in `[0, 1)`, a multiple of 2⁻⁵³.
pub fn unit(seed: u64, purpose: Purpose, step: u64, item: u32) -> f64 {
    (bits(seed, purpose, step, item) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within_and_even() {
        let mut counts = [0u32; 7];
        for step in 0..1000 {
            for item in 0..7 {
                counts[place(3, Purpose::Window, step, item, 7) as usize] += 1;
            }
        }
        // Binomial with mean 1000 and deviation 29: six deviations.
        assert!(counts.iter().all(|&n| (826..1174).contains(&n)), "{counts:?}");
        assert_eq!(place(3, Purpose::Window, 9, 9, 1), 0);
    }

    #[test]
    fn each_coordinate_matters() {
        let draws = [
            bits(1, Purpose::Window, 0, 0),
            bits(2, Purpose::Window, 0, 0),
            bits(1 << 40, Purpose::Window, 0, 0),
            bits(1, Purpose::HeldOut, 0, 0),
            bits(1, Purpose::Window, 1, 0),
            bits(1, Purpose::Window, 1 << 40, 0),
            bits(1, Purpose::Window, 0, 1),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b));
        }
        let u = unit(1, Purpose::Token, 5, 0);
        assert!((0.0..1.0).contains(&u));
    }
}
