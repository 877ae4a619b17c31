//! Kernels as machine code of x86-64 and AArch64 processors, through LLVM.
//!
//! Kernels are vector code already, so the text that is handed to LLVM is theirs instruction by instruction; LLVM allocates
//! registers, forms addresses, and removes what is not needed. Nothing permits it to change a rounding: the same bits come out in
//! every build for a processor level.

mod emit;
mod inst;
mod jit;
mod map;
mod math;
mod memory;
mod object;
mod philox;
mod power;
mod processor;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod trigonometry;

pub use jit::Loaded;
#[cfg(test)]
pub use object::assembly;
pub use object::{compile, executable_object, text};
pub use processor::Cpu;
