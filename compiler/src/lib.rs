//! The Weft compiler: from a checked program to machine code.
//!
//! The order of the modules is the order of the stages; a file uses only earlier ones.

pub mod graph;
pub mod rewrite;
pub mod passes;
pub mod lower;
pub mod fuse;
pub mod kernel;
pub mod schedule;
pub mod plan;
pub mod target;
pub mod compile;
mod stored;
pub mod export;
pub mod import;
pub mod survey;
pub mod link;
