//! Sizes of the language as sizes of the plan.

use anyhow::{Result, bail};
use weft_dsl::size::{Atom, Size};
use weft_runtime::plan;

/// The run-time sizes of a program, numbered in order of appearance.
#[derive(Default)]
pub struct SizeNames {
    names: Vec<String>,
}

impl SizeNames {
    /// The plan's form of a size.
    pub fn convert(&mut self, size: &Size) -> Result<plan::Size> {
        let mut terms = Vec::new();
        for (monomial, coefficient) in size.terms() {
            let mut variables = Vec::with_capacity(monomial.len());
            for atom in monomial {
                match atom {
                    Atom::Var(name) => variables.push(self.number(name)),
                    Atom::Quotient(_) => {
                        bail!("the size `{size}` is a quotient of run-time sizes, which is not supported yet")
                    }
                }
            }
            terms.push((coefficient, variables));
        }
        Ok(plan::Size { terms })
    }

    fn number(&mut self, name: &str) -> u32 {
        let at = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        at as u32
    }

    /// The names, in order.
    pub fn finish(self) -> Vec<String> {
        self.names
    }
}
