//! Plans that fit into memory.

use weft_runtime::peak::{self, Peak};
use weft_runtime::plan::Plan;
use weft_runtime::pool::choose_threads;

use super::{Failure, Options, Specification, Subject, Watch};
use crate::passes::differentiate::Keep;
use crate::plan::Kernels;

/// What is done for memory at the price of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thrift {
    /// What is kept for gradients.
    pub keep: Keep,
    /// Values that are not so large are made in chunks, too.
    pub chunks: bool,
}

impl Thrift {
    /// From the fastest on. Chunks compute nothing twice; rarely what they carry is more than they save.
    fn choices() -> impl Iterator<Item = Thrift> {
        let all = |chunks| Keep::CHOICES.into_iter().map(move |keep| Self { keep, chunks });
        std::iter::once(Self::default()).chain(all(true)).chain(all(false).skip(1))
    }
}

impl Specification {
    /// Plans the wanted programs of a subject; all but the machine code of their kernels. Where memory is limited, more is made in
    /// chunks, then less and less is kept for gradients, until training fits.
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
            return self.plan_with(subject, wanted, options, Thrift::default(), watch);
        };
        let threads = choose_threads(None)?;
        let mut peaks = Vec::new();
        for thrift in Thrift::choices() {
            let planned = self.plan_with(subject, wanted, options, thrift, watch)?;
            if let Some(size) = peak::unknown_size(&planned.0) {
                let message = "how much memory training takes depends on a size that the recipe does not state";
                return Err(anyhow::anyhow!("{message}: with `--memory` it needs `{size} = …`").into());
            }
            match peak::of_training(&planned.0, threads)? {
                Some(peak) if peak.total() > limit => peaks.push(peak),
                _ => return Ok(planned),
            }
        }
        let least = peaks.into_iter().min_by_key(Peak::total).unwrap_or_default();
        let message = "does not fit, whatever is made in chunks or computed again; a smaller batch (`--set batch=…`) or \
                       `accumulate` takes less";
        Err(anyhow::anyhow!(
            "training in {} {message}. The least possible is {least}: {} bytes",
            peak::shown(limit),
            least.total()
        )
        .into())
    }
}
