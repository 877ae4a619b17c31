//! What a Weft executable needs to run. It uses nothing else of Weft: no compiler, no parser.
//!
//! The order of the modules is the order of use; a file uses only earlier ones.

// Blank lines keep the formatter from sorting these.

pub mod plan;

pub mod tensor;

pub mod nearest;

pub mod random;

pub mod memory;

pub mod pool;

pub mod arena;

pub mod packing;

pub mod params;

pub mod bind;

pub mod prepared;

pub mod prepare;

pub mod peak;

pub mod effort;

pub mod whole_file;

pub mod profile;

pub mod launch;

mod fault;
pub mod exec;
mod programs;

pub mod initialise;

pub mod capability;

pub mod tensor_file;
mod tensor_files;

pub mod gather;

pub mod fit;

pub mod weights;

pub mod checkpoint;

pub mod tokenizer;

pub mod shuffle;

pub mod text;

pub mod data;

pub mod made_up;

pub mod optional;

pub mod interrupt;

pub mod console;

pub mod step;

pub mod evaluate;

pub mod metrics;

pub mod progress;

pub mod curve;

pub mod train;

pub mod sample;

pub mod writing;
pub mod generate;

pub mod commands;

pub mod cli;

pub mod entry;

#[cfg(test)]
mod testing;
