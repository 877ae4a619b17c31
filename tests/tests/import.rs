//! Folders that `weft import` refuses: each says the file and what of it is wrong.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use weft_compiler::compile;
use weft_compiler::export::{self, Export};
use weft_compiler::import::{self, Training, Wanted};
use weft_runtime::tensor::{Data, Tensor};
use weft_runtime::weights::{read_tensors, write_tensors};
use weft_tests::engine::shown;
use weft_tests::reference::{Case, Tensors};

/// A folder with a small model whose configuration and weights somebody changed, as it is imported.
fn imported(config: &dyn Fn(&mut Value), weights: &dyn Fn(&mut Tensors), folder: &Path) -> Result<String> {
    let case = Case::open("random/llama_for_causal_lm-1")?;
    let mut json: Value = serde_json::from_str(&fs::read_to_string(case.path("config.json"))?)?;
    config(&mut json);
    fs::write(folder.join("config.json"), json.to_string())?;
    if !folder.join("model.safetensors.index.json").exists() {
        let mut tensors = read_tensors(&case.path("model.safetensors"))?;
        weights(&mut tensors);
        write_tensors(&folder.join("model.safetensors"), &tensors)?;
    }
    let to = folder.join("imported.weft");
    let (text, _) = import::import(folder, &to, Wanted::default()).map_err(shown)?;
    import::check(&compile::specification(&to, &text).map_err(shown)?).map_err(shown)?;
    Ok(text)
}

/// What is said of such a folder.
fn said(config: &dyn Fn(&mut Value), weights: &dyn Fn(&mut Tensors)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    match imported(config, weights, folder.path()) {
        Ok(text) => text.replace(&place, "DIR"),
        Err(error) => format!("error: {error:#}").replace(&place, "DIR"),
    }
}

/// A model whose configuration says something else.
fn with(name: &str, value: Value) -> String {
    said(&|config| config[name] = value.clone(), &|_| {})
}

#[test]
fn what_is_right_is_a_specification() {
    insta::assert_snapshot!(said(&|_| {}, &|_| {}));
}

#[test]
fn configurations() {
    let mut out = String::new();
    for (what, said) in [
        ("an architecture that nobody knows", with("architectures", json!(["LLaMAForCausalLM"]))),
        ("a field that nobody knows", with("rope_magic", json!(3))),
        ("fields within a field", with("rope_parameters", json!({"rope_type": "default", "rope_theta": 1e4, "beta": 32}))),
        (
            "a way to stretch positions that nobody knows",
            with("rope_parameters", json!({"rope_type": "stranger", "factor": 2.0})),
        ),
        ("an activation that nobody knows", with("hidden_act", json!("gelu_strange"))),
        ("a value of another kind", with("hidden_size", json!("wide"))),
        ("a field that is missing", with("vocab_size", Value::Null)),
        ("heads that do not divide", with("num_key_value_heads", json!(2))),
        ("a decoder of something else", with("is_decoder", json!(true))),
    ] {
        out += &format!("== {what}\n{said}\n");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn weights() {
    let mut out = String::new();
    let changed = |what: &dyn Fn(&mut Tensors)| said(&|_| {}, what);
    for (what, said) in [
        ("a configuration that contradicts the weights", with("intermediate_size", json!(8))),
        ("a tensor that is missing", changed(&|tensors| tensors.retain(|(name, _)| name != "model.norm.weight"))),
        ("one that is unknown", changed(&|tensors| tensors[0].0 = "model.nrom.weight".into())),
        (
            "a copy that is not equal",
            changed(&|tensors| {
                let (_, table) = tensors.iter().find(|(name, _)| name == "model.embed_tokens.weight").unwrap().clone();
                let other = vec![0.5; table.len()];
                tensors.push(("lm_head.weight".into(), Tensor::new(table.shape, Data::F32(other)).unwrap()));
            }),
        ),
    ] {
        out += &format!("== {what}\n{said}\n");
    }
    let folder = tempfile::tempdir().unwrap();
    let index = json!({"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}});
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let error = imported(&|_| {}, &|_| {}, folder.path()).unwrap_err();
    let error = format!("{error:#}").replace(&folder.path().display().to_string(), "DIR");
    out += &format!("== a shard that is missing\nerror: {error}\n");
    insta::assert_snapshot!(out);
}

#[test]
fn a_folder_without_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let said = |text: Option<&str>| {
        text.iter().for_each(|text| fs::write(folder.path().join("config.json"), text).unwrap());
        let error =
            import::import(folder.path(), &folder.path().join("x.weft"), Wanted::default()).map_err(shown).unwrap_err();
        format!("{error:#}").replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!([said(None), said(Some("{")), said(Some("[]")), said(Some("{}"))].join("\n"));
}

/// A model that the library does not have, in a file beside the specification.
#[test]
fn a_model_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine.weft");
    let text = weft_dsl::library::library("llama").unwrap();
    fs::write(
        &mine,
        text.replace("model Llama(", "model Mine(")
            .replace("for Llama where", "for Mine where")
            .replace("LlamaForCausalLM", "MyOwn"),
    )
    .unwrap();
    let case = Case::open("random/llama_for_causal_lm-1").unwrap();
    let config = fs::read_to_string(case.path("config.json")).unwrap().replace("LlamaForCausalLM", "MyOwn");
    fs::write(folder.path().join("config.json"), config).unwrap();
    fs::copy(case.path("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let wanted = Wanted { with: Some(&mine), ..Wanted::default() };
    let to = folder.path().join("imported.weft");
    let (text, model) = import::import(folder.path(), &to, wanted).map_err(shown).unwrap();
    assert_eq!(model, "Mine");
    assert!(text.starts_with("use mine: Mine\n"), "{text}");
    import::check(&compile::specification(&to, &text).map_err(shown).unwrap()).map_err(shown).unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let far = folder.path().join("elsewhere/imported.weft");
    let error = import::import(folder.path(), &far, wanted).map_err(shown).unwrap_err();
    assert!(format!("{error:#}").contains("write the specification beside it"), "{error:#}");
}

/// Without labels there is nothing to learn from.
#[test]
fn batches_without_labels() {
    let case = Case::open("random/llama_for_causal_lm-0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let batches = folder.path().join("batches.safetensors");
    let ids = Tensor::i64(&[1, 1, 3], vec![1, 2, 3]).unwrap();
    let to = case.path("imported.weft");
    let (text, _) = import::import(&case.path("."), &to, Wanted::default()).map_err(shown).unwrap();
    let recipe = |tensors: &[(String, Tensor)]| {
        write_tensors(&batches, tensors).unwrap();
        let training = Training { batches: &batches, uses: "use std.optimizers: sgd", optimizer: "sgd(rate: 0.1)" };
        import::recipe(&to, &text, &training).map_err(shown)
    };
    let error = format!("{:#}", recipe(&[("input_ids".into(), ids.clone())]).unwrap_err());
    assert!(error.contains("`Imported` learns from `labels`"), "{error}");
    let text = recipe(&[("input_ids".into(), ids.clone()), ("labels".into(), ids)]).unwrap();
    assert!(text.contains("labels: [batch, time] of token or -100"), "{text}");
}

/// What no number depends on, and how texts become tokens, goes along.
#[test]
fn an_export_keeps_what_it_came_with() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case::open("random/bert_for_sequence_classification-0").unwrap();
    let mut config: Value = serde_json::from_str(&fs::read_to_string(case.path("config.json")).unwrap()).unwrap();
    let names: Vec<_> = (0..config["id2label"].as_object().unwrap().len()).map(|i| format!("mood{i}")).collect();
    config["id2label"] = names.iter().enumerate().map(|(i, name)| (i.to_string(), json!(name))).collect();
    config["hidden_dropout_prob"] = json!(0.25);
    config["torch_dtype"] = json!("bfloat16");
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    fs::write(folder.path().join("vocab.txt"), "hello\n").unwrap();
    fs::copy(case.path("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let to = folder.path().join("imported.weft");
    let (text, _) = import::import(folder.path(), &to, Wanted::default()).map_err(shown).unwrap();
    let specification = compile::specification(&to, &text).map_err(shown).unwrap();
    let out = folder.path().join("out");
    let export = Export { item: "Imported", settings: &[], weights: None, layout: None, folder: &out };
    export::export(&specification, &export).map_err(shown).unwrap();
    let written: Value = serde_json::from_str(&fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((&written["id2label"], &written["hidden_dropout_prob"]), (&config["id2label"], &json!(0.25)));
    // The weights are written in float32.
    assert_eq!(written["torch_dtype"], Value::Null);
    assert_eq!(fs::read_to_string(out.join("vocab.txt")).unwrap(), "hello\n");
}

/// As the hub has them: without what all names begin with, with it though the model has no head, with the names of older norms.
#[test]
fn names_of_the_hub() {
    let holds = |case: &str, renamed: &dyn Fn(String) -> Option<String>| {
        let case = Case::open(case).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::copy(case.path("config.json"), folder.path().join("config.json")).unwrap();
        let tensors = read_tensors(&case.path("model.safetensors")).unwrap();
        let tensors: Tensors = tensors.into_iter().filter_map(|(name, tensor)| Some((renamed(name)?, tensor))).collect();
        write_tensors(&folder.path().join("model.safetensors"), &tensors).unwrap();
        let to = folder.path().join("imported.weft");
        let (text, _) = import::import(folder.path(), &to, Wanted::default()).map_err(shown).unwrap();
        import::check(&compile::specification(&to, &text).map_err(shown).unwrap()).map_err(shown)
    };
    let bare = |name: String| Some(name.strip_prefix("transformer.").map_or(name.clone(), str::to_owned));
    holds("random/gpt2_lm_head_model-0", &bare).unwrap();
    let older =
        |name: String| Some(name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"));
    holds("random/bert_for_masked_lm-0", &older).unwrap();
    let whole = |name: String| Some(format!("bert.{name}"));
    holds("random/bert_model-0", &whole).unwrap();
    let lacks = |name: String| bare(name).filter(|name| name != "ln_f.bias");
    let error = format!("{:#}", holds("random/gpt2_lm_head_model-0", &lacks).unwrap_err());
    assert!(error.contains("`ln_f.bias` is missing"), "{error}");
}
