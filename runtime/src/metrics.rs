//! Metrics as JSON lines: one object a step, one an evaluation.
//!
//! `{"step":250,"loss":2.41,"grad_norm":0.8,"rate":0.001,"tokens_per_second":91000.0,"metric.accuracy":0.3}` and
//! `{"step":250,"held_out_loss":2.5,"held_out.metric.accuracy":0.3}`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::step::Outcome;
use crate::whole_file;

/// A file of metrics that grows.
pub struct Metrics {
    path: PathBuf,
    file: File,
    /// (step, loss) of each step so far.
    pub losses: Vec<(u64, f64)>,
    /// (step, loss) of each evaluation so far.
    pub held_out: Vec<(u64, f64)>,
}

impl Metrics {
    /// Starts a file, or goes on in one: what it says of steps after `done` is dropped (they will be done again), as is a
    /// last line that was cut off.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn open(path: &Path, done: u64) -> Result<Self> {
        let name = || format!("metrics {}", path.display());
        let (mut kept, mut losses, mut held_out) = (String::new(), Vec::new(), Vec::new());
        if done > 0 && path.exists() {
            for line in fs::read_to_string(path).with_context(name)?.lines() {
                let Ok(Value::Object(record)) = serde_json::from_str(line) else {
                    continue;
                };
                let Some(step) = record.get("step").and_then(Value::as_u64).filter(|step| *step <= done) else {
                    continue;
                };
                losses.extend(record.get("loss").and_then(Value::as_f64).map(|loss| (step, loss)));
                held_out.extend(record.get("held_out_loss").and_then(Value::as_f64).map(|loss| (step, loss)));
                kept.push_str(line);
                kept.push('\n');
            }
        }
        whole_file::write_bytes(path, kept.as_bytes()).with_context(name)?;
        let file = OpenOptions::new().append(true).open(path).with_context(name)?;
        Ok(Self { path: path.to_owned(), file, losses, held_out })
    }

    /// Writes down a step.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn step(&mut self, step: u64, outcome: &Outcome, tokens_per_second: f64) -> Result<()> {
        self.losses.extend(outcome.get("loss").map(|loss| (step, loss)));
        let values = outcome.values.iter().map(|(name, value)| (name.clone(), *value));
        self.write(step, values.chain([("tokens_per_second".into(), tokens_per_second.round())]))
    }

    /// Writes down an evaluation.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn held_out(&mut self, step: u64, mean: &Outcome) -> Result<()> {
        self.held_out.extend(mean.get("loss").map(|loss| (step, loss)));
        let name = |name: &str| {
            if name == "loss" { "held_out_loss".into() } else { format!("held_out.{name}") }
        };
        self.write(step, mean.values.iter().map(|(found, value)| (name(found), *value)))
    }

    fn write(&mut self, step: u64, values: impl Iterator<Item = (String, f64)>) -> Result<()> {
        let mut record = Map::new();
        record.insert("step".into(), step.into());
        // JSON has no NaN: `null` stands for a number that is none.
        record.extend(values.map(|(name, value)| (name, Value::from(value))));
        let mut line = Value::Object(record).to_string();
        line.push('\n');
        // One call a line, so that a killed process leaves at most one cut off.
        self.file.write_all(line.as_bytes()).with_context(|| format!("metrics {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_drops_what_will_be_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let outcome = |loss: f64| Outcome { values: vec![("loss".into(), loss), ("metric.a".into(), 0.5)] };
        let mut metrics = Metrics::open(&path, 0).unwrap();
        for step in 1..=3 {
            metrics.step(step, &outcome(1.0 / step as f64), 10.4).unwrap();
        }
        metrics.held_out(3, &outcome(0.25)).unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
        {"loss":1.0,"metric.a":0.5,"step":1,"tokens_per_second":10.0}
        {"loss":0.5,"metric.a":0.5,"step":2,"tokens_per_second":10.0}
        {"loss":0.3333333333333333,"metric.a":0.5,"step":3,"tokens_per_second":10.0}
        {"held_out.metric.a":0.5,"held_out_loss":0.25,"step":3}
        "#);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"step\":2,\"lo").unwrap();
        let metrics = Metrics::open(&path, 2).unwrap();
        assert_eq!((metrics.losses, metrics.held_out), (vec![(1, 1.0), (2, 0.5)], vec![]));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert!(Metrics::open(&path, 0).unwrap().losses.is_empty());
    }
}
