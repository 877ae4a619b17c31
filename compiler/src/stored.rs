//! A model's parameters in files: their names and shapes, and other people's.

use anyhow::{Context, Result};
use weft_dsl::elaborate::{LayoutOut, Setting};
use weft_runtime::plan::{self, Plan};

use crate::compile::{Failure, Specification};
use crate::lower;
use crate::plan::Slots;

impl Specification {
    /// A plan of a model's parameters alone: their names and shapes, and other people's.
    pub fn parameters(&self, model: &str, settings: &[(String, Setting)]) -> std::result::Result<Plan, Failure> {
        let faults = |faults| Failure::Faults(faults, self.program.sources().clone());
        let lowered = lower::parameters_of(&self.program, model, settings, self).map_err(faults)?;
        let mut slots = Slots::default();
        slots.declare(&lowered.parameters)?;
        let (slots, params) = (slots.list, slots.params);
        let mut plan = Plan { format: plan::FORMAT, name: model.into(), slots, params, ..Plan::default() };
        plan.weights = self.weights_place(model);
        plan.layouts = lowered.layouts.iter().map(|l| layout(l, &plan.params)).collect::<Result<_>>()?;
        Ok(plan)
    }

    /// Where a model's weights lie by default: the layout, and a path from anywhere.
    pub(crate) fn weights_place(&self, model: &str) -> Option<(String, String)> {
        let (layout, path) = self.program.weights_place(model)?;
        let path = self.folder.join(path);
        let path = std::path::absolute(&path).unwrap_or(path);
        Some((layout, path.display().to_string()))
    }
}

/// A `weights` item in the plan's form.
pub(crate) fn layout(layout: &LayoutOut, params: &[plan::Param]) -> Result<plan::Layout> {
    let tensors = layout
        .tensors()
        .map(|t| {
            let param =
                params.iter().position(|p| p.path == t.path).with_context(|| format!("no parameter `{}`", t.path))?;
            Ok(plan::Stored {
                param: param as u32,
                index: t.index,
                name: t.name,
                shape: t.shape,
                offset: t.offset,
                strides: t.strides,
            })
        })
        .collect::<Result<_>>()?;
    Ok(plan::Layout { name: layout.name.clone(), tensors, copies: layout.copies(), ignored: layout.ignored.clone() })
}
