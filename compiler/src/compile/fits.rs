//! Plans that fit into memory.

use weft_runtime::peak::{self, Peak};
use weft_runtime::plan::Plan;
use weft_runtime::pool::choose_threads;

use super::{Failure, Options, Specification, Subject, Watch};
use crate::passes::differentiate::Keep;
use crate::plan::Kernels;

impl Specification {
    /// Plans the wanted programs of a subject; all but the machine code of their kernels. Where memory is limited, less and less
    /// is kept for gradients until training fits.
    ///
    /// # Errors
    /// Besides faults of the specification: it does not fit.
    pub fn plan(
        &self,
        subject: &Subject,
        wanted: &dyn Fn(&str) -> bool,
        options: &Options,
        watch: Watch,
    ) -> std::result::Result<(Plan, Kernels), Failure> {
        let Some(limit) = options.memory else {
            return self.plan_keeping(subject, wanted, options, Keep::default(), watch);
        };
        let threads = choose_threads(None)?;
        let mut peaks = Vec::new();
        for keep in Keep::CHOICES {
            let planned = self.plan_keeping(subject, wanted, options, keep, watch)?;
            match peak::of_training(&planned.0, threads)? {
                Some(peak) if peak.total() > limit => peaks.push(peak),
                _ => return Ok(planned),
            }
        }
        let least = peaks.into_iter().min_by_key(Peak::total).unwrap_or_default();
        let message =
            "does not fit, whatever is computed again; a smaller batch (`--set batch=…`) or `accumulate` takes less";
        Err(anyhow::anyhow!("training in {} {message}. The least possible is {least}", peak::shown(limit)).into())
    }
}
