//! From kernels to machine code, one directory for each kind of processor.

pub mod cpu;
