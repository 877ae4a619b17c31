//! Every family at sizes that nobody chose: a reference case's configuration with other numbers in it. Compiled, the model computes what the
//! interpreter does in float64; and where it writes texts, at each place what it computes of the whole text.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_compiler::compile::{self, Specification, Subject};
use weft_compiler::import::{self, Wanted};
use weft_runtime::tensor::{Data, Tensor};
use weft_runtime::weights::write_tensors;
use weft_runtime::writing::Writing;
use weft_tests::compare::{Tolerance, close, close_values, floats};
use weft_tests::engine::{Engine, Task, Way, engine, shown};
use weft_tests::models::families;
use weft_tests::native::Native;
use weft_tests::reference::{Case, Tensors};

/// How far float32 may be off, of values of this size.
fn tolerance(expected: &[f64]) -> Tolerance {
    let greatest = expected.iter().filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()));
    Tolerance { rtol: 2e-4, atol: 2e-4 * greatest }
}

/// Configurations tried of each family.
const TRIES: u64 = 2;

/// Numbers that a seed gives one after another.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Between −1 and 1.
    fn number(&mut self) -> f64 {
        self.below(1 << 20) as f64 / f64::from(1 << 19) - 1.0
    }
}

/// The configuration with other sizes: of heads and their width, of layers and what lies within them.
fn resized(mut config: Value, draw: &mut Draw) -> Value {
    let heads = 1 + draw.below(3);
    let width = 24 * (1 + draw.below(2));
    let latent = config["model_type"].as_str().is_some_and(|kind| kind.starts_with("deepseek"));
    let groups = if latent || draw.below(2) == 0 { heads } else { 1 };
    let fields = config.as_object_mut().unwrap();
    for (name, value) in fields.iter_mut().filter(|(_, value)| value.is_u64()) {
        *value = json!(match name.as_str() {
            "hidden_size" | "d_model" | "n_embd" | "dim" | "emb_dim" => width,
            "num_key_value_heads" => groups,
            "vocab_size" | "source_vocab_size" => value.as_u64().unwrap_or(0) + draw.below(20),
            "head_dim" => 4 * (1 + draw.below(3)),
            name if name.ends_with("attention_heads") || ["n_head", "n_heads", "num_heads"].contains(&name) => heads,
            "num_hidden_layers" | "n_layer" | "n_layers" | "num_layers" | "num_decoder_layers" | "encoder_layers"
            | "decoder_layers" => 1 + draw.below(3),
            "intermediate_size"
            | "d_ff"
            | "ffn_dim"
            | "encoder_ffn_dim"
            | "decoder_ffn_dim"
            | "hidden_dim"
            | "n_inner"
            | "moe_intermediate_size"
            | "d_kv" => 1 + draw.below(40),
            _ => continue,
        });
    }
    // What stands for each layer.
    if let Some(depth) = fields.get("num_hidden_layers").and_then(Value::as_u64) {
        for name in ["layer_types", "no_rope_layers"] {
            if let Some(Value::Array(kinds)) = fields.get_mut(name) {
                *kinds = kinds.iter().cycle().take(depth as usize).cloned().collect();
            }
        }
    }
    config
}

/// The parameters that a seed draws, none of which is left as plain as it starts.
fn drawn(native: &mut Native, draw: &mut Draw) -> Result<Tensors> {
    native.machine.initialise(draw.below(1 << 30))?;
    let mut tensors = native.save("huggingface")?;
    for (_, tensor) in &mut tensors {
        let moved = floats(tensor).into_iter().map(|x| (x + 0.3 * draw.number()) as f32).collect();
        *tensor = Tensor { shape: tensor.shape.clone(), data: Data::F32(moved) };
    }
    Ok(tensors)
}

fn named<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a Tensor> {
    let found = tensors.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor);
    found.with_context(|| format!("there is no `{name}`"))
}

/// Written place by place, a text has the logits that it has at once.
fn writes_what_it_reads(native: &mut Native, inputs: &Tensors) -> Result<()> {
    let (text, given): (&str, &[&str]) = match named(inputs, "decoder_input_ids") {
        Ok(_) => ("decoder_input_ids", &["input_ids"]),
        Err(_) => ("input_ids", &[]),
    };
    let first = |name: &str| -> Result<(String, Tensor)> {
        let tensor = named(inputs, name)?;
        let row = floats(tensor)[..tensor.shape[1]].iter().map(|&x| x as i64).collect();
        Ok((name.to_owned(), Tensor::i64(&[1, tensor.shape[1]], row)?))
    };
    let given = given.iter().map(|name| first(name)).collect::<Result<Tensors>>()?;
    let row = first(text)?;
    let tokens: Vec<i32> = floats(&row.1).into_iter().map(|x| x as i32).collect();
    let whole = native.call(&given.iter().cloned().chain([row]).collect())?;
    let logits = floats(named(&whole, "logits")?);
    let each = logits.len() / tokens.len();
    let (mut writing, mut found) = Writing::begin(&mut native.machine, &[tokens[..1].to_vec()], given, tokens.len())?;
    for (place, expected) in logits.chunks(each).enumerate() {
        let got: Vec<f64> = found[0].iter().map(|&x| f64::from(x)).collect();
        close_values(&got, expected, tolerance(expected)).map_err(|why| anyhow::anyhow!("written, place {place}: {why}"))?;
        if let Some(&next) = tokens.get(place + 1) {
            found = writing.add(&mut native.machine, &[next])?;
        }
    }
    Ok(())
}

fn specification(folder: &Path, config: &Value) -> Result<Specification> {
    fs::write(folder.join("config.json"), config.to_string())?;
    let to = folder.join("imported.weft");
    let (text, _) = import::import(folder, &to, Wanted::default()).map_err(shown)?;
    compile::specification(&to, &text).map_err(shown)
}

fn holds(case: &Case, draw: &mut Draw, writing: &mut usize) -> Result<()> {
    let config = resized(serde_json::from_str(&fs::read_to_string(case.path("config.json"))?)?, draw);
    let folder = tempfile::tempdir()?;
    let specification = specification(folder.path(), &config)?;
    let inputs = case.tensors("inputs.safetensors")?;
    let subject = Subject::Model("Imported".into(), Some(None));
    let task = Task { subject, settings: &[], threads: 2 };
    let mut native = Native::new(&specification, &task, true, false)?;
    let weights = folder.path().join("weights.safetensors");
    write_tensors(&weights, &drawn(&mut native, draw)?)?;
    native.load(&weights, "huggingface")?;
    let mut oracle = engine(Way::Interpreter, &specification, &task)?;
    oracle.load(&weights, "huggingface")?;
    let (found, expected) = (native.call(&inputs)?, oracle.call(&inputs)?);
    ensure!(found.len() == expected.len(), "{} outputs, {} expected", found.len(), expected.len());
    for (name, expected) in &expected {
        close(named(&found, name)?, expected, tolerance(&floats(expected)))
            .map_err(|why| anyhow::anyhow!("{config}: `{name}`: {why}"))?;
    }
    let plan = native.machine.plan();
    // What else it needs, such as neighbours, no layer may read.
    let needs = native
        .machine
        .program("forward")?
        .inputs
        .iter()
        .all(|port| port.name == "input_ids" || port.name == "decoder_input_ids");
    if needs && plan.programs.iter().any(|program| program.name == "prefill") {
        *writing += 1;
        writes_what_it_reads(&mut native, &inputs).with_context(|| config.to_string())?;
    }
    Ok(())
}

#[test]
fn families_of_other_sizes() {
    let (mut wrong, mut writing) = (Vec::new(), 0);
    for (number, case) in families().iter().enumerate() {
        for seed in 0..TRIES {
            let mut draw = Draw(97 * number as u64 + seed);
            wrong.extend(
                holds(case, &mut draw, &mut writing).err().map(|error| format!("{}: {error:#}", case.about["hf_class"])),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(writing > 20, "{writing}");
}
