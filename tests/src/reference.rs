//! Reference cases: small weights, inputs, and the numbers that transformers computes from them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weft_dsl::elaborate::Setting;
use weft_runtime::tensor::{Data, Tensor};
use weft_runtime::weights::read_tensors;

use crate::compare::{Tolerance, close};

/// Tensors by name.
pub type Tensors = Vec<(String, Tensor)>;

/// A case's folder.
pub struct Case {
    folder: PathBuf,
    /// What `case.json` says.
    pub about: Value,
    config: Value,
}

impl Case {
    /// A case of `tests/references` by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn open(name: &str) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("references").join(name);
        let read = |file: &str| -> Result<Value> {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            Ok(serde_json::from_str(&text)?)
        };
        // A case without a model has no configuration.
        let config = if folder.join("config.json").exists() { read("config.json")? } else { Value::Null };
        Ok(Self { about: read("case.json")?, config, folder })
    }

    /// One of its files.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The tensors of one of its files.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn tensors(&self, file: &str) -> Result<Tensors> {
        read_tensors(&self.path(file))
    }

    /// One number of its description.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&self, path: &str) -> Result<f64> {
        self.about.pointer(path).and_then(Value::as_f64).with_context(|| format!("`case.json` has no number at {path}"))
    }

    /// The tolerance of outputs (`tolerance`) or of gradients (`gradient_tolerance`).
    ///
    /// # Errors
    /// There is none.
    pub fn tolerance(&self, which: &str) -> Result<Tolerance> {
        Ok(Tolerance { rtol: self.number(&format!("/{which}/rtol"))?, atol: self.number(&format!("/{which}/atol"))? })
    }

    /// Our configuration from the model's, by pairs of our name and theirs.
    ///
    /// # Errors
    /// The configuration lacks a name.
    pub fn settings(&self, pairs: &[(&str, &str)]) -> Result<Vec<(String, Setting)>> {
        let setting = |&(ours, theirs): &(&str, &str)| {
            let value = self.config.get(theirs).with_context(|| format!("`config.json` has no `{theirs}`"))?;
            Ok((ours.to_string(), Setting::parse(&value.to_string())))
        };
        pairs.iter().map(setting).collect()
    }

    /// Checks every output that the case names against what is expected.
    ///
    /// # Errors
    /// All outputs that are not.
    pub fn check(&self, got: &Tensors) -> Result<()> {
        let expected = self.tensors("expected.safetensors")?;
        let names: Vec<&str> = self.about["outputs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ensure!(!names.is_empty(), "the case names no outputs");
        let (got, expected) = match self.about["present"].as_bool() {
            Some(true) => (self.seen(got)?, self.seen(&expected)?),
            _ => (got.clone(), expected),
        };
        check_named(&got, &expected, &names, self.tolerance("tolerance")?)
    }

    /// Tensors of `[batch, time, …]` at the places that are there: what stands at the others has no meaning.
    fn seen(&self, tensors: &Tensors) -> Result<Tensors> {
        let inputs = self.tensors("inputs.safetensors")?;
        let (_, mask) = inputs.iter().find(|(name, _)| name == "attention_mask").context("no `attention_mask`")?;
        let mask = mask.to_f64();
        let pick = |(name, tensor): &(String, Tensor)| {
            if tensor.shape.len() < 2 {
                return Ok((name.clone(), tensor.clone()));
            }
            let values = tensor.to_f64();
            let each = values.len() / mask.len();
            let there = values.chunks(each).zip(&mask).filter(|(_, there)| **there != 0.0);
            let values: Vec<f64> = there.flat_map(|(row, _)| row.iter().copied()).collect();
            Ok((name.clone(), Tensor::new(vec![values.len()], Data::F64(values))?))
        };
        tensors.iter().map(pick).collect()
    }
}

/// Checks tensors of these names.
///
/// # Errors
/// All that differ or are missing.
pub fn check_named(got: &Tensors, expected: &Tensors, names: &[&str], tolerance: Tolerance) -> Result<()> {
    let find = |tensors: &Tensors, name: &str| -> Result<Tensor> {
        let found = tensors.iter().find(|(n, _)| n == name).with_context(|| format!("there is no `{name}`"))?;
        Ok(found.1.clone())
    };
    let mut wrong = Vec::new();
    for name in names {
        if let Err(difference) = close(&find(got, name)?, &find(expected, name)?, tolerance) {
            wrong.push(format!("`{name}`: {difference}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
