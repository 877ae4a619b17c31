//! The Weft language: grammar, types, checker, elaboration, diagnostics. It does no input or output.
//!
//! The order of the modules is the order of the stages; a file uses only earlier ones.

mod special;

pub mod size;
pub mod types;
pub mod elementwise;
pub mod op;
pub mod emit;

pub mod span;
pub mod diagnostic;
pub mod ast;
pub mod codes;
pub mod sources;
pub mod render;
pub mod library;
mod habits;
pub mod parse;
pub mod format;
pub mod elaborate;
