//! The file beside a specification that remembers what was measured: for each processor and number of threads, blocks by product.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use weft_compiler::schedule::product::tuning::{Choice, Tuning};
use weft_compiler::target::cpu::Cpu;
use weft_runtime::pool::choose_threads;
use weft_runtime::whole_file;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    machines: Vec<Machine>,
}

/// What was measured on a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    /// Its name, and the level that code is made for.
    processor: String,
    threads: usize,
    /// Blocks by a product's name.
    products: BTreeMap<String, Choice>,
}

/// The file of a specification: `gpt.weft` has `gpt.tuned.json`.
pub fn path_of(spec: &Path) -> PathBuf {
    spec.with_extension("tuned.json")
}

impl Tuned {
    /// What a file holds; nothing where there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text).with_context(|| {
            format!("{} does not hold what `weft build --tune` writes: delete it to tune anew", path.display())
        })
    }

    /// What holds for code of a processor on this machine. Else a machine that the file speaks of.
    pub fn here(&self, cpu: &Cpu) -> Result<std::result::Result<Arc<Tuning>, Option<String>>> {
        let (processor, threads) = (processor(cpu), choose_threads(None)?);
        let own = self.machines.iter().find(|m| m.processor == processor && m.threads == threads);
        Ok(match own {
            Some(machine) => Ok(Arc::new(Tuning { chosen: machine.products.clone(), ..Tuning::default() })),
            None => Err(self.machines.first().map(|m| format!("{} with {} threads", m.processor, m.threads))),
        })
    }

    /// Remembers what holds on this machine.
    pub fn remember(&mut self, cpu: &Cpu, tuning: &Tuning) -> Result<()> {
        let (processor, threads) = (processor(cpu), choose_threads(None)?);
        self.machines.retain(|m| m.processor != processor || m.threads != threads);
        self.machines.push(Machine { processor, threads, products: tuning.chosen.clone() });
        Ok(())
    }

    /// Writes the file whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole_file::write_bytes(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}

/// The processor that this process runs on, and the level that code is made for.
fn processor(cpu: &Cpu) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |wanted: &str| {
        let lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim().to_string())
    };
    // Processors of ARM have numbers.
    let part = || Some(format!("{} {}", field("CPU implementer")?, field("CPU part")?));
    let name = field("model name").or_else(part).unwrap_or("unknown processor".into());
    format!("{name}, {}", cpu.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuning() -> Tuning {
        let choice = Choice { rows: 256, columns: 384, sum: 192, in_place: true };
        Tuning { chosen: BTreeMap::from([("8 x 16 by 32, 0123".to_string(), choice)]), ..Tuning::default() }
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cpu) = (path_of(&folder.path().join("gpt.weft")), Cpu::host());
        assert!(path.ends_with("gpt.tuned.json"));
        let mut tuned = Tuned::read(&path).unwrap();
        assert_eq!(tuned.here(&cpu).unwrap(), Err(None));
        // Another machine's part stays, and holds for that alone.
        tuned.machines.push(Machine { processor: "another".into(), threads: 3, products: BTreeMap::new() });
        assert_eq!(tuned.here(&cpu).unwrap(), Err(Some("another with 3 threads".into())));
        tuned.remember(&cpu, &Tuning::default()).unwrap();
        tuned.remember(&cpu, &tuning()).unwrap();
        tuned.write(&path).unwrap();
        let again = Tuned::read(&path).unwrap();
        assert_eq!((again.machines.len(), again == tuned), (2, true));
        assert_eq!(again.here(&cpu).unwrap(), Ok(Arc::new(tuning())));
        let level = Cpu::named(if cpu.name == "x86-64-v2" { "x86-64" } else { "x86-64-v2" }).unwrap();
        assert!(again.here(&level).unwrap().is_err());
    }

    #[test]
    fn a_file_of_something_else_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpt.tuned.json");
        for text in ["", "{", "[1]", r#"{"machines": [{"processor": "x", "threads": -1, "products": {}}]}"#] {
            std::fs::write(&path, text).unwrap();
            let error = Tuned::read(&path).unwrap_err().to_string();
            assert!(error.contains("gpt.tuned.json") && error.contains("delete it"), "{error}");
        }
    }
}
