//! Scheduled kernels as machine code of this processor, for tests and for measuring.

use super::Scheduled;
use crate::kernel::{Dtype, Kernel, STATUS_BYTES};
use crate::target::cpu::{Cpu, Loaded, compile};

/// Aligned as the runtime aligns buffers.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; 64]);

/// Memory of an argument.
#[derive(Clone, Debug)]
pub struct Buffer {
    dtype: Dtype,
    length: usize,
    lines: Vec<Line>,
}

impl Buffer {
    /// Elements as they are stored.
    pub fn new(dtype: Dtype, values: &[f64]) -> Self {
        let mut bytes: Vec<u8> = Vec::new();
        for &v in values {
            match dtype {
                Dtype::F32 => bytes.extend((v as f32).to_le_bytes()),
                Dtype::F64 => bytes.extend(v.to_le_bytes()),
                Dtype::I32 => bytes.extend((v as i32).to_le_bytes()),
                Dtype::I64 => bytes.extend((v as i64).to_le_bytes()),
                Dtype::Bool => bytes.push(u8::from(v != 0.0)),
            }
        }
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64).max(1)];
        for (line, part) in lines.iter_mut().zip(bytes.chunks(64)) {
            line.0[..part.len()].copy_from_slice(part);
        }
        Self { dtype, length: values.len(), lines }
    }

    /// The elements.
    pub fn values(&self) -> Vec<f64> {
        let bytes: Vec<u8> = self.lines.iter().flat_map(|l| l.0).collect();
        let one = |b: &[u8]| match self.dtype {
            Dtype::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Dtype::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            Dtype::I32 => f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Dtype::I64 => i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64,
            Dtype::Bool => f64::from(b[0]),
        };
        bytes.chunks_exact(self.dtype.bytes() as usize).take(self.length).map(one).collect()
    }
}

/// A kernel in this process's memory.
#[derive(Debug)]
pub struct Native {
    loaded: Loaded,
    scratch: usize,
}

impl Native {
    /// Compiles and loads.
    pub fn new(kernel: &Kernel, checked: bool) -> Self {
        let objects = compile(&[("kernel".into(), kernel)], &Cpu::host(), checked).expect("schedules are well formed");
        let loaded = Loaded::new(&objects, &["kernel".into()]).expect("it was just compiled");
        Self { loaded, scratch: kernel.scratch as usize }
    }

    /// Runs tiles; gives what checked code found.
    pub fn run(&self, args: &mut [Buffer], sizes: &[i64], tiles: i64) -> (i64, i64) {
        let each: Vec<usize> = (0..args.len()).collect();
        self.run_at(args, &each, sizes, tiles)
    }

    /// Runs tiles on arguments that lie in the buffers of these numbers.
    pub fn run_at(&self, buffers: &mut [Buffer], places: &[usize], sizes: &[i64], tiles: i64) -> (i64, i64) {
        let sizes: Vec<i64> = sizes.iter().copied().chain(places.iter().map(|&p| buffers[p].length as i64)).collect();
        let starts: Vec<*mut u8> = buffers.iter_mut().map(|a| a.lines.as_mut_ptr().cast()).collect();
        let pointers: Vec<*mut u8> = places.iter().map(|&p| starts[p]).collect();
        let mut scratch = vec![Line([0; 64]); self.scratch.div_ceil(STATUS_BYTES as usize)];
        let entry = self.loaded.kernel("kernel").expect("it was looked up");
        // SAFETY: schedules keep to the buffers, as the interpreter has checked before.
        unsafe { entry(pointers.as_ptr(), sizes.as_ptr(), 0, tiles, scratch.as_mut_ptr().cast()) };
        let word = |i: usize| i64::from_le_bytes(scratch[0].0[i * 8..i * 8 + 8].try_into().expect("eight bytes"));
        (word(0), word(1))
    }
}

/// The seconds of one run, the best of several.
pub fn seconds(scheduled: &Scheduled, args: &mut [Buffer], sizes: &[i64], tiles: i64) -> f64 {
    let native = Native::new(&scheduled.kernel, false);
    let once = |args: &mut [Buffer]| {
        let start = std::time::Instant::now();
        native.run(args, sizes, tiles);
        start.elapsed().as_secs_f64()
    };
    (0..20).map(|_| once(args)).fold(f64::INFINITY, f64::min)
}
