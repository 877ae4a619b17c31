//! Programs as machine code, loaded in this process.

use std::path::Path;

use anyhow::{Context, Result};
use weft_compiler::compile::{Options, Specification};
use weft_compiler::target::cpu::{Cpu, Loaded};
use weft_dsl::elaborate::StoredTensor;
use weft_runtime::exec::{Compiled, Machine};
use weft_runtime::optional::with_options;
use weft_runtime::plan::Plan;
use weft_runtime::step::{Specials, run};
use weft_runtime::weights::{self, read_tensors};

use crate::engine::{Engine, Task, shown};
use crate::reference::Tensors;

/// A machine and the code that it runs.
pub struct Native {
    /// The machine. Before the code, so that it goes first.
    pub machine: Machine,
    _code: Loaded,
}

impl Native {
    /// Compiles a subject.
    ///
    /// # Errors
    /// Its faults; whatever is not compiled yet.
    pub fn new(specification: &Specification, task: &Task<'_>, optimise: bool, checked: bool) -> Result<Self> {
        let settings = task.settings.to_vec();
        let options = Options { settings, optimise, checked, validate: true, gradients: true, ..Options::of(Cpu::host()) };
        let output = specification.compile(&task.subject, &options, &mut |_, _, _| {}).map_err(shown)?;
        Self::of(output.plan, &output.objects, task.threads, checked)
    }

    /// A plan with its objects.
    ///
    /// # Errors
    /// They do not fit each other.
    pub fn of(plan: Plan, objects: &[Vec<u8>], threads: usize, checked: bool) -> Result<Self> {
        let code = Loaded::new(objects, &plan.kernels)?;
        let kernel = |name: &String| code.kernel(name).with_context(|| format!("there is no kernel `{name}`"));
        let kernels = plan.kernels.iter().map(kernel).collect::<Result<_>>()?;
        Ok(Self { machine: Machine::new(Compiled { plan, kernels }, threads, checked)?, _code: code })
    }
}

impl Engine for Native {
    fn load(&mut self, path: &Path, layout: &str) -> Result<()> {
        weights::load(&mut self.machine, path, Some(layout))
    }

    fn run(&mut self, program: &str, inputs: &Tensors, specials: &Specials) -> Result<Tensors> {
        run(&mut self.machine, program, inputs, specials)
    }

    fn call(&mut self, inputs: &Tensors) -> Result<Tensors> {
        let (program, inputs, given) = with_options(&self.machine, "forward", inputs.clone())?;
        self.run(&program, &inputs, &Specials { given, ..Specials::default() })
    }

    fn save(&self, layout: &str) -> Result<Tensors> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights.safetensors");
        weights::save(&self.machine, &path, Some(layout))?;
        read_tensors(&path)
    }

    fn layout(&self, name: &str) -> Result<Vec<StoredTensor>> {
        let plan = self.machine.plan();
        let found = plan.layouts.iter().find(|l| l.name == name).with_context(|| format!("there is no layout `{name}`"))?;
        let tensor = |t: &weft_runtime::plan::Stored| StoredTensor {
            path: plan.params[t.param as usize].path.clone(),
            index: t.index,
            name: t.name.clone(),
            shape: t.shape.clone(),
            offset: t.offset,
            strides: t.strides.clone(),
        };
        Ok(found.tensors.iter().map(tensor).collect())
    }
}
