//! Models of the library as reference cases configure them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use weft_compiler::compile::Subject;
use weft_dsl::elaborate::Setting;

use crate::reference::Case;

/// A model of the library as it stands in a case's `config.json`.
pub struct Model {
    /// The case's folder.
    pub case: &'static str,
    /// The file of the library.
    file: &'static str,
    /// The model.
    name: &'static str,
    /// Our configuration, theirs.
    config: &'static [(&'static str, &'static str)],
    /// What `config.json` does not say.
    classes: Option<i64>,
}

const BERT: &[(&str, &str)] = &[
    ("vocab", "vocab_size"),
    ("context", "max_position_embeddings"),
    ("width", "hidden_size"),
    ("depth", "num_hidden_layers"),
    ("heads", "num_attention_heads"),
    ("hidden", "intermediate_size"),
    ("segments", "type_vocab_size"),
    ("epsilon", "layer_norm_eps"),
];

/// GPT-2 with its language-model head.
pub const GPT2: Model = Model {
    case: "gpt2",
    file: "gpt2",
    name: "Gpt2",
    config: &[
        ("vocab", "vocab_size"),
        ("context", "n_positions"),
        ("width", "n_embd"),
        ("depth", "n_layer"),
        ("heads", "n_head"),
        ("epsilon", "layer_norm_epsilon"),
    ],
    classes: None,
};

/// LLaMA with its language-model head.
pub const LLAMA: Model = Model {
    case: "llama",
    file: "llama",
    name: "Llama",
    config: &[
        ("vocab", "vocab_size"),
        ("width", "hidden_size"),
        ("depth", "num_hidden_layers"),
        ("heads", "num_attention_heads"),
        ("groups", "num_key_value_heads"),
        ("head_width", "head_dim"),
        ("hidden", "intermediate_size"),
        ("epsilon", "rms_norm_eps"),
    ],
    classes: None,
};

/// BERT with the head that predicts masked tokens.
pub const MASKED: Model = Model { case: "bert-mlm", file: "bert", name: "BertMaskedLm", config: BERT, classes: None };

/// BERT with the head that classifies.
pub const CLASSIFIER: Model =
    Model { case: "bert-classify", file: "bert", name: "BertClassifier", config: BERT, classes: Some(3) };

impl Model {
    /// The file of the library, which is a specification by itself.
    pub fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../stdlib/{}.weft", self.file))
    }

    /// The configuration that a case's `config.json` says.
    ///
    /// # Errors
    /// It lacks something.
    pub fn settings(&self, case: &Case) -> Result<Vec<(String, Setting)>> {
        let mut settings = case.settings(self.config)?;
        settings.extend(self.classes.map(|n| ("classes".to_string(), Setting::Int(n))));
        Ok(settings)
    }

    /// The function under transformers' names.
    pub fn subject(&self) -> Subject {
        Subject::Model(self.name.into(), Some(Some("transformers".into())))
    }
}
