//! Tests of elaboration.

mod codes;
mod hard_cases;
mod lowering;
mod mutations;
mod newcomers;
mod recording;
mod refused;
mod slots;
mod whole_files;

use super::Program;
use crate::render::{Style, render};

/// Loads a program that uses nothing but the standard library.
fn load(text: &str) -> Program {
    let (program, diagnostics) = Program::load("test.weft", text, &|_| None);
    assert!(diagnostics.is_empty(), "{}", render(&diagnostics, program.sources(), Style::default()));
    program
}

/// What the checker says, as a user sees it.
fn checked(text: &str) -> String {
    let (program, mut diagnostics) = Program::load("test.weft", text, &|_| None);
    if diagnostics.is_empty() {
        diagnostics = program.check();
    }
    render(&diagnostics, program.sources(), Style::default())
}
