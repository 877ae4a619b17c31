//! Kernels written by hand, compiled, loaded and run against what they mean.

mod checks;
mod control;
mod elementwise;
mod functions;
mod objects;
mod speed;

use super::{Cpu, Loaded, compile};
use crate::kernel::{Dtype, Kernel, STATUS_BYTES};

/// A buffer.
#[derive(Clone, Debug, PartialEq)]
enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<u8>),
}

impl Data {
    fn new(dtype: Dtype, values: &[f64]) -> Self {
        match dtype {
            Dtype::F32 => Data::F32(values.iter().map(|&v| v as f32).collect()),
            Dtype::F64 => Data::F64(values.to_vec()),
            Dtype::I32 => Data::I32(values.iter().map(|&v| v as i32).collect()),
            Dtype::I64 => Data::I64(values.iter().map(|&v| v as i64).collect()),
            Dtype::Bool => Data::Bool(values.iter().map(|&v| u8::from(v != 0.0)).collect()),
        }
    }

    fn values(&self) -> Vec<f64> {
        match self {
            Data::F32(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Data::F64(v) => v.clone(),
            Data::I32(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Data::I64(v) => v.iter().map(|&v| v as f64).collect(),
            Data::Bool(v) => v.iter().map(|&v| f64::from(v)).collect(),
        }
    }

    fn raw(&mut self) -> (*mut u8, usize) {
        match self {
            Data::F32(v) => (v.as_mut_ptr().cast(), v.len()),
            Data::F64(v) => (v.as_mut_ptr().cast(), v.len()),
            Data::I32(v) => (v.as_mut_ptr().cast(), v.len()),
            Data::I64(v) => (v.as_mut_ptr().cast(), v.len()),
            Data::Bool(v) => (v.as_mut_ptr(), v.len()),
        }
    }
}

/// Scratch memory is aligned to 64 bytes.
#[repr(C, align(64))]
#[derive(Clone)]
struct Line([i64; 8]);

/// A loaded kernel.
struct Ready {
    loaded: Loaded,
    scratch: usize,
}

impl Ready {
    fn new(kernel: &Kernel, checked: bool) -> Self {
        Self::on(&Cpu::host(), kernel, checked)
    }

    /// For a processor level, which this one has.
    fn on(cpu: &Cpu, kernel: &Kernel, checked: bool) -> Self {
        let name = "kernel".to_string();
        let objects = compile(&[(name.clone(), kernel)], cpu, checked).expect("the kernel is well formed");
        Self { loaded: Loaded::new(&objects, &[name]).expect("it loads"), scratch: kernel.scratch as usize }
    }

    /// Runs tiles; gives the status.
    fn run(&self, args: &mut [Data], sizes: &[i64], tiles: i64) -> (i64, i64) {
        let (pointers, lengths): (Vec<*mut u8>, Vec<usize>) = args.iter_mut().map(Data::raw).unzip();
        let sizes: Vec<i64> = sizes.iter().copied().chain(lengths.iter().map(|&l| l as i64)).collect();
        let mut scratch = vec![Line([0; 8]); self.scratch.div_ceil(STATUS_BYTES as usize)];
        let entry = self.loaded.kernel("kernel").expect("it was asked for");
        // SAFETY: kernels of these tests keep to the buffers, or are compiled to check themselves.
        unsafe { entry(pointers.as_ptr(), sizes.as_ptr(), 0, tiles, scratch.as_mut_ptr().cast()) };
        (scratch[0].0[0], scratch[0].0[1])
    }
}

fn run(kernel: &Kernel, args: &mut [Data], sizes: &[i64], tiles: i64) {
    Ready::new(kernel, false).run(args, sizes, tiles);
}
