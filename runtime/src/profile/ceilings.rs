//! What this machine can do at most, measured: fused multiply-adds from registers, and reads of memory that no cache holds.

use std::time::Instant;

use anyhow::Result;

use super::KernelTime;
use crate::memory::Region;
use crate::pool::Pool;

/// Bytes that are read for the bandwidth, all threads together: twice what the largest caches hold.
const READ: usize = 1 << 30;
/// Multiply-adds of one chain.
const STEPS: usize = 2_000_000;
/// Measurements, of which the best counts.
const TIMES: usize = 5;

/// The most that all threads of a machine reach together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Float32 operations a second; a multiply-add is two.
    pub operations: f64,
    /// The same in products on a matrix unit of 16-bit numbers, six of whose multiplications make one; 0 where there is none.
    pub products: f64,
    /// Bytes read a second.
    pub bandwidth: f64,
    /// Number of threads.
    pub threads: usize,
}

impl Ceilings {
    /// Measures, in about a second; the matrix unit where code uses it.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn measure(pool: &mut Pool, unit: bool) -> Result<Self> {
        let threads = pool.threads();
        let mut best = |work: fn() -> f32, operations: usize| {
            let times = (0..TIMES).map(|_| {
                let start = Instant::now();
                pool.run(threads, &|begin, end, _| {
                    for _ in begin..end {
                        std::hint::black_box(work());
                    }
                });
                (threads * operations) as f64 / start.elapsed().as_secs_f64()
            });
            times.fold(0.0, f64::max)
        };
        let operations = best(chains, STEPS * chain_operations());
        let products = if unit { best(tiles, TILE_STEPS * TILE_OPERATIONS) } else { 0.0 };
        let bandwidth = bandwidth(pool)?;
        Ok(Self { operations, products, bandwidth, threads })
    }

    /// Operations a second that a kernel can reach.
    pub(super) fn of(&self, kernel: &KernelTime) -> f64 {
        if kernel.name.starts_with("product") { self.operations.max(self.products) } else { self.operations }
    }

    /// The least seconds that a kernel takes by the roofline.
    pub(super) fn least_time(&self, kernel: &KernelTime) -> f64 {
        (kernel.operations / self.of(kernel)).max(kernel.bytes / self.bandwidth)
    }
}

/// Steps on a matrix unit.
const TILE_STEPS: usize = 200_000;
/// Operations of a step: four squares of 16 × 16 sums of 32 products, of which six make one.
const TILE_OPERATIONS: usize = 4 * 16 * 16 * 32 * 2 / 6;

/// Multiplications of tiles from registers; the compiler's intrinsics for them are not stable yet.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles() -> f32 {
    #[repr(align(64))]
    struct Shape([u8; 64]);
    // The palette; bytes of a row, two each, from byte 16; rows from byte 48.
    let mut shape = Shape([0; 64]);
    shape.0[0] = 1;
    for tile in 0..8 {
        (shape.0[16 + 2 * tile], shape.0[48 + tile]) = (64, 16);
    }
    // SAFETY: only called where the processor has the instructions and the system allows them; no memory is written.
    unsafe {
        std::arch::asm!(
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0x00", // ldtilecfg [rax]
            ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xe0", // tilezero tmm4
            ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xf0", // tilezero tmm6
            "2:",
            ".byte 0xc4, 0xe2, 0x4a, 0x5c, 0xc4", // tdpbf16ps tmm0, tmm4, tmm6, and tmm1 to tmm3
            ".byte 0xc4, 0xe2, 0x4a, 0x5c, 0xcc",
            ".byte 0xc4, 0xe2, 0x4a, 0x5c, 0xd4",
            ".byte 0xc4, 0xe2, 0x4a, 0x5c, 0xdc",
            "dec rcx",
            "jnz 2b",
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0", // tilerelease
            in("rax") &raw const shape,
            inout("rcx") TILE_STEPS => _,
            options(readonly, nostack),
        );
    }
    0.0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn tiles() -> f32 {
    0.0
}

/// Bytes a second that all threads together read of memory, the best of some times.
///
/// # Errors
/// When the system refuses memory.
pub fn bandwidth(pool: &mut Pool) -> Result<f64> {
    const CHUNK: usize = 1 << 18;
    let mut region = Region::new(READ)?;
    // What was never written is one page of zeros.
    region.bytes_mut().fill(1);
    let bytes = region.bytes();
    let times = (0..TIMES).map(|_| {
        let start = Instant::now();
        pool.run(READ / CHUNK, &|begin, end, _| {
            std::hint::black_box(sum(&bytes[begin * CHUNK..end * CHUNK]));
        });
        READ as f64 / start.elapsed().as_secs_f64()
    });
    Ok(times.fold(0.0, f64::max))
}

/// Reads all of it: independent sums, so that loads alone decide.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 16];
    for words in bytes.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// Chains of vectors that do not wait for one another.
const CHAINS: usize = 12;

#[cfg(target_arch = "x86_64")]
fn lanes() -> usize {
    match () {
        () if is_x86_feature_detected!("avx512f") => 16,
        () if is_x86_feature_detected!("fma") => 8,
        () => 4,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn lanes() -> usize {
    4
}

fn chain_operations() -> usize {
    2 * CHAINS * lanes()
}

/// `STEPS` multiply-adds on each of the chains, as the widest vectors of this processor do them.
fn chains() -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: each is called where the processor has its feature.
        match lanes() {
            16 => return unsafe { wide() },
            8 => return unsafe { middle() },
            _ => {}
        }
    }
    plain::<4>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide() -> f32 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(std::hint::black_box(0.999)), _mm512_set1_ps(1e-3));
    let mut sums = [_mm512_set1_ps(1.0); CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, a, b);
        }
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn middle() -> f32 {
    plain::<8>()
}

#[inline(always)]
fn plain<const LANES: usize>() -> f32 {
    let a = std::hint::black_box(0.999f32);
    let mut sums = [[1.0f32; LANES]; CHAINS];
    for _ in 0..STEPS {
        for lane in sums.iter_mut().flatten() {
            *lane = if cfg!(target_feature = "fma") || LANES == 8 { lane.mul_add(a, 1e-3) } else { *lane * a + 1e-3 };
        }
    }
    sums.iter().flatten().sum()
}
