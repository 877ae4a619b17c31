//! The ways to compute a specification's programs, behind one trait.

use std::path::Path;

use anyhow::Result;
use weft_compiler::compile::{Failure, Specification, Subject, load};
use weft_dsl::elaborate::{Setting, StoredTensor};
use weft_dsl::render::{Style, render};
use weft_runtime::step::Specials;

use crate::native::Native;
use crate::oracle::Oracle;
use crate::reference::Tensors;

/// A way to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The graph as it was lowered, by the interpreter.
    Interpreter,
    /// The graph after all passes, by the interpreter.
    Rewritten,
    /// Compiled, one kernel for each operator.
    Unoptimised {
        /// Bounds-checked.
        checked: bool,
    },
    /// Compiled, rewritten and fused.
    Optimised {
        /// Bounds-checked.
        checked: bool,
    },
}

/// What is computed.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// A recipe or a model.
    pub subject: Subject,
    /// Its configuration.
    pub settings: &'a [(String, Setting)],
    /// Threads of compiled code.
    pub threads: usize,
}

/// Programs with their parameters and state.
pub trait Engine {
    /// Fills the parameters from a file by the names of a layout.
    ///
    /// # Errors
    /// The file does not fit.
    fn load(&mut self, path: &Path, layout: &str) -> Result<()>;

    /// Runs a program; it takes of the special scalars what it asks for.
    ///
    /// # Errors
    /// The inputs do not fit.
    fn run(&mut self, program: &str, inputs: &Tensors, specials: &Specials) -> Result<Tensors>;

    /// Computes the nameless function on what is given, which may lack what it can do without.
    ///
    /// # Errors
    /// The inputs do not fit.
    fn call(&mut self, inputs: &Tensors) -> Result<Tensors>;

    /// The parameters under the names of a layout.
    ///
    /// # Errors
    /// There is no such layout.
    fn save(&self, layout: &str) -> Result<Tensors>;

    /// The tensors of a layout, to bring gradients into its names.
    ///
    /// # Errors
    /// There is no such layout.
    fn layout(&self, name: &str) -> Result<Vec<StoredTensor>>;
}

/// Reads and checks a specification.
///
/// # Errors
/// Its faults, as they are shown to a user.
pub fn specification(path: &Path) -> Result<Specification> {
    load(path).map_err(shown)
}

/// A failure as an error whose message is what a user sees.
pub fn shown(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Faults(faults, sources) => anyhow::anyhow!("{}", render(&faults, &sources, Style::default())),
        Failure::Other(error) => error,
    }
}

/// An engine for a way.
///
/// # Errors
/// The subject has faults or is not compiled yet.
pub fn engine(way: Way, specification: &Specification, task: &Task<'_>) -> Result<Box<dyn Engine>> {
    Ok(match way {
        Way::Interpreter => Box::new(Oracle::new(specification, task, false)?),
        Way::Rewritten => Box::new(Oracle::new(specification, task, true)?),
        Way::Unoptimised { checked } => Box::new(Native::new(specification, task, false, checked)?),
        Way::Optimised { checked } => Box::new(Native::new(specification, task, true, checked)?),
    })
}
