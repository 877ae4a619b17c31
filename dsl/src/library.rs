//! The standard library's text, embedded so that a built `weft` needs no files beside it.

/// Embeds `stdlib/NAME.weft` for each name.
macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../stdlib/", $name, ".weft")))),*]
    };
}

/// The modules by name. To add `stdlib/NAME.weft`, add `"NAME"` here.
const MODULES: &[(&str, &str)] = embed![
    "albert",
    "attention",
    "attention_scores",
    "bart",
    "bert",
    "bert_answers",
    "bert_heads",
    "bert_pretraining",
    "bert_scores",
    "bert_texts",
    "bidaf",
    "bloom",
    "causal",
    "characters",
    "chunks",
    "cohere",
    "deepseek",
    "distilbert",
    "electra",
    "elmo",
    "experts",
    "fairseq",
    "functions",
    "gemma",
    "glam",
    "glm",
    "gpt",
    "gpt2",
    "gpt_neox",
    "grouped_experts",
    "gshard",
    "huggingface",
    "lambda_attention",
    "latent_attention",
    "layers",
    "llama",
    "llama_heads",
    "losses",
    "marian",
    "mistral",
    "mixtral",
    "nanogpt",
    "objectives",
    "olmo",
    "opt",
    "optimizers",
    "parallel_windows",
    "phi",
    "placed_rotary",
    "prefix_lm",
    "qwen2",
    "qwen3",
    "recurrent",
    "retro",
    "roberta",
    "rotary",
    "rwkv",
    "rwkv_layers",
    "schedules",
    "sentence_bert",
    "seq2seq",
    "seq2seq_lstm",
    "smollm",
    "softcap",
    "switch",
    "t5",
    "t5_layers",
    "transformer",
    "unilm",
    "words",
    "xlm",
];

/// The text of `std.NAME`.
pub fn library(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(module, _)| *module == name).map(|(_, text)| *text)
}

/// The names of all modules, for "did you mean" and for documentation.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_parses() {
        for name in names() {
            let text = library(name).unwrap_or_default();
            assert_eq!(crate::parse::parse(crate::span::FileId(0), text).1, [], "std.{name}");
        }
        assert!(library("no_such_module").is_none());
    }
}
