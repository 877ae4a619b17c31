//! What a Weft executable needs to run. It uses nothing else of Weft: no compiler, no parser.
//!
//! The order of the modules is the order of use; a file uses only earlier ones.

pub mod plan;
