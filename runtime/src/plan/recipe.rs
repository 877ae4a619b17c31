//! How a model is trained, as a plan says it.

use serde::{Deserialize, Serialize};

/// How the specification is trained (a `train` item), as far as the runtime needs to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// Where batches come from.
    pub data: Data,
    /// Sequences in a batch.
    pub batch: u64,
    /// Tokens in a sequence.
    pub time: u64,
    /// Optimizer steps in all.
    pub steps: u64,
    /// Micro-batches in a step.
    pub accumulate: u64,
    /// Largest gradient norm; `None`: no clipping. The step's program clips; this is for reports.
    pub clip: Option<f64>,
    /// Seed of everything drawn by chance.
    pub seed: u64,
    /// Steps between evaluations; 0: none.
    pub evaluate_every: u64,
    /// Batches in one evaluation; 0: the whole held-out text once.
    pub evaluate_batches: u64,
    /// Steps between checkpoints; 0: only at the end.
    pub checkpoint_every: u64,
    /// Names of the objective's metrics, in the order of the outputs `metric.NAME`.
    pub metrics: Vec<String>,
}

impl Recipe {
    /// What the axis of texts is called.
    pub const BATCH: &str = "batch";

    /// What the axis of a text's tokens is called.
    pub const TIME: &str = "time";

    /// The programs of a step: at once, or in micro-batches.
    pub const STEP: [&str; 4] = ["train_step", "weigh", "accumulate", "update"];

    /// Sequences in a micro-batch, at most: what a program sees at a time.
    pub fn rows(&self) -> u64 {
        self.batch.div_ceil(self.accumulate.max(1))
    }

    /// A size of what its programs see, where it says it.
    pub fn size(&self, name: &str) -> Option<i64> {
        let size = match name {
            Self::BATCH => self.rows(),
            Self::TIME => self.time,
            _ => 0,
        };
        i64::try_from(size).ok().filter(|&size| size > 0)
    }
}

/// Where batches come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Data {
    /// Given tensors only (`--batches FILE`).
    #[default]
    Batches,
    /// Text files; their last part is held out.
    Text {
        /// Paths as written, relative to the specification.
        paths: Vec<String>,
        /// Share of the text that is held out, at its end.
        held_out: f64,
    },
}

/// How text becomes indices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tokenizer {
    /// One index a character, in the order given.
    Characters(Vec<char>),
    /// One index a byte.
    Bytes,
    /// A `tokenizer.json`, whole.
    Json(String),
}
