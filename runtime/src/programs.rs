//! A plan's programs by name.

use anyhow::{Context, Result, bail};

use crate::exec::Machine;
use crate::nearest::hint;
use crate::plan::{CAPACITY, PAST, Program, Recipe};

impl Program {
    /// The command that this is a part of, where that alone can supply what it reads.
    pub fn part_of(&self) -> Option<&'static str> {
        let is_total = |name: &str| name.starts_with("$sum.") || name.starts_with("$weight.");
        if self.sizes.iter().any(|size| size == PAST || size == CAPACITY) {
            return Some("generate");
        }
        let takes_totals = self.inputs.iter().any(|port| is_total(&port.name));
        takes_totals.then_some(if Recipe::STEP.contains(&self.name.as_str()) { "train" } else { "evaluate" })
    }
}

impl Machine {
    /// A program by name.
    ///
    /// # Errors
    /// When there is none, with the nearest name.
    pub fn program(&self, name: &str) -> Result<&Program> {
        Ok(&self.plan().programs[self.program_index(name)?])
    }

    /// A program that stands alone, by name.
    ///
    /// # Errors
    /// When there is none; when it is a part of a command, which supplies what it reads.
    pub fn function(&self, name: &str) -> Result<&Program> {
        let program = self.program(name)?;
        match program.part_of() {
            Some(command) => bail!("`{name}` cannot run alone: it is a part of `{command}`, which supplies what it reads"),
            None => Ok(program),
        }
    }

    pub(crate) fn program_index(&self, name: &str) -> Result<usize> {
        let programs = &self.plan().programs;
        programs.iter().position(|p| p.name == name).with_context(|| {
            let names = || programs.iter().map(|p| p.name.as_str()).filter(|name| !Program::takes_options(name));
            let all: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            format!("`{}` has no program `{name}`{} (it has {})", self.plan().name, hint(name, names()), all.join(", "))
        })
    }
}
