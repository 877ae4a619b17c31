//! Chance without state: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011).
//!
//! A draw is a pure function of a seed, a name and an index, so that neither the number of threads nor the order of drawing
//! nor the storage of what is drawn can change it.

/// One block: ten rounds over a 128-bit counter under a 64-bit key.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(c0) * 0xD251_1F53;
        let p1 = u64::from(c2) * 0xCD9E_8D57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// A named sequence of draws: the seed is the key, a hash of the name is the upper half of the counter, the index the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    name: u64,
}

impl Stream {
    /// The draws of that seed under that name.
    pub fn new(seed: u64, name: &str) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], name: hash(name) }
    }

    /// Four words for an index.
    pub fn block(&self, index: u64) -> [u32; 4] {
        philox([index as u32, (index >> 32) as u32, self.name as u32, (self.name >> 32) as u32], self.key)
    }

    /// The word of an index; four consecutive indices share a block.
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// Uniform on `[0, 1)`: 24 bits times 2⁻²⁴, so that it is the same in `f32` and `f64`.
    pub fn uniform(&self, index: u64) -> f64 {
        unit(self.word(index))
    }

    /// Uniform on `0..n` (0 where `n` is 0): the high half of a 128-bit product, biased by less than `n`·2⁻⁶⁴. Takes the block
    /// `index`, so do not mix it with [`Stream::word`] on one stream.
    pub fn below(&self, index: u64, n: u64) -> u64 {
        let [a, b, ..] = self.block(index);
        ((u128::from(u64::from(a) | u64::from(b) << 32) * u128::from(n)) >> 64) as u64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&self, index: u64) -> f64 {
        normals(self.block(index / 4))[(index % 4) as usize]
    }

    /// Uniforms on `[-1, 1)` for the indices from `first` on.
    pub fn fill_signed(&self, first: u64, out: &mut [f64]) {
        self.fill(first, out, |block| block.map(|word| unit(word) * 2.0 - 1.0));
    }

    /// Standard normals for the indices from `first` on.
    pub fn fill_normal(&self, first: u64, out: &mut [f64]) {
        self.fill(first, out, normals);
    }

    /// Blockwise, so that a block is drawn once for its four indices.
    fn fill(&self, first: u64, out: &mut [f64], draw: impl Fn([u32; 4]) -> [f64; 4]) {
        let mut at = 0;
        while at < out.len() {
            let index = first + at as u64;
            let lane = (index % 4) as usize;
            let count = (4 - lane).min(out.len() - at);
            out[at..at + count].copy_from_slice(&draw(self.block(index / 4))[lane..lane + count]);
            at += count;
        }
    }
}

/// 24 bits times 2⁻²⁴.
fn unit(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// Two pairs by Box and Muller; the radius is drawn from `(0, 1]`, so that its logarithm is finite.
fn normals([a, b, c, d]: [u32; 4]) -> [f64; 4] {
    let pair = |a: u32, b: u32| {
        let radius = (-2.0 * ((f64::from(a) + 1.0) / 4_294_967_296.0).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * (f64::from(b) / 4_294_967_296.0)).sin_cos();
        (radius * cos, radius * sin)
    };
    let ((x, y), (z, w)) = (pair(a, b), pair(c, d));
    [x, y, z, w]
}

/// FNV-1a, 64 bits, over a text's bytes.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 (`tests/kat_vectors`, `philox4x32 10`).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn filling_equals_drawing_one_by_one() {
        let stream = Stream::new(7, "layers.3.attention.query.weight");
        for first in 0..5 {
            let mut normal = [0.0; 11];
            stream.fill_normal(first, &mut normal);
            let mut signed = [0.0; 11];
            stream.fill_signed(first, &mut signed);
            for i in 0..11 {
                assert_eq!(normal[i as usize].to_bits(), stream.normal(first + i).to_bits());
                assert_eq!(signed[i as usize], stream.uniform(first + i) * 2.0 - 1.0);
            }
        }
    }

    #[test]
    fn moments() {
        let mut draws = vec![0.0; 100_000];
        Stream::new(1, "x").fill_normal(0, &mut draws);
        let mean = draws.iter().sum::<f64>() / 1e5;
        let second = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        let fourth = draws.iter().map(|x| x.powi(4)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.015 && (second - 1.0).abs() < 0.02 && (fourth - 3.0).abs() < 0.2, "{mean} {second} {fourth}");
        let stream = Stream::new(1, "y");
        assert!((0..1000).all(|i| stream.below(i, 10) < 10 && (0.0..1.0).contains(&stream.uniform(i))));
        assert_ne!(stream.word(0), Stream::new(2, "y").word(0));
        assert_ne!(stream.word(0), Stream::new(1, "x").word(0));
    }
}
