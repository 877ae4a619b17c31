//! The Weft compiler.

pub mod graph;
pub mod passes;
