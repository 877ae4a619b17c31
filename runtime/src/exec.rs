//! Running a plan.

use crate::plan::{Plan, Program};
use crate::tensor::Tensor;
use anyhow::{Result, bail};

/// A kernel: does the tiles `begin..end`.
pub type Kernel = unsafe extern "C" fn(
    args: *const *mut u8,
    sizes: *const i64,
    begin: i64,
    end: i64,
    scratch: *mut u8,
);

/// A plan and its machine code.
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// One for each of [`Plan::kernels`].
    pub kernels: Vec<Kernel>,
}

/// A plan with memory and threads.
pub struct Machine {
    compiled: Compiled,
}

impl Machine {
    /// Memory for the slots and threads for the kernels. Slots are zero until [`Machine::initialise`] or weights fill them.
    ///
    /// # Errors
    /// When the plan contradicts itself, or memory or threads are refused.
    pub fn new(compiled: Compiled, threads: usize, checked: bool) -> Result<Self> {
        let _ = (threads, checked);
        Ok(Self { compiled })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.compiled.plan
    }

    /// A program by name.
    ///
    /// # Errors
    /// When there is none, with the nearest name.
    pub fn program(&self, name: &str) -> Result<&Program> {
        bail!("no program `{name}`")
    }

    /// Draws parameters, sets optimizer state to its start, zeroes accumulators.
    ///
    /// # Errors
    /// When a slot has a type that cannot be drawn.
    pub fn initialise(&mut self, seed: u64) -> Result<()> {
        bail!("{seed}")
    }

    /// Runs a program.
    ///
    /// # Errors
    /// When inputs do not fit.
    pub fn run(
        &mut self,
        program: &str,
        inputs: &[(&str, &Tensor)],
    ) -> Result<Vec<(String, Tensor)>> {
        bail!("{program} {}", inputs.len())
    }

    /// Zeroes every accumulator slot.
    pub fn clear_accumulators(&mut self) {}
}
