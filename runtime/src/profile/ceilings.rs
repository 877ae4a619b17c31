//! What this machine can do at most, measured: fused multiply-adds from registers, and reads of memory that no cache holds.

use std::time::Instant;

use anyhow::Result;

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
    /// Bytes read a second.
    pub bandwidth: f64,
    /// Number of threads.
    pub threads: usize,
}

impl Ceilings {
    /// Measures, in about a second.
    ///
    /// # Errors
    /// When the system refuses memory.
    pub fn measure(pool: &mut Pool) -> Result<Self> {
        let threads = pool.threads();
        let operations = (0..TIMES).map(|_| {
            let start = Instant::now();
            pool.run(threads, &|begin, end, _| {
                for _ in begin..end {
                    std::hint::black_box(chains());
                }
            });
            (threads * STEPS * chain_operations()) as f64 / start.elapsed().as_secs_f64()
        });
        let operations = operations.fold(0.0, f64::max);
        let bandwidth = bandwidth(pool)?;
        Ok(Self { operations, bandwidth, threads })
    }

    /// The least seconds that so much work takes by the roofline.
    pub fn least_time(&self, operations: f64, bytes: f64) -> f64 {
        (operations / self.operations).max(bytes / self.bandwidth)
    }
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
