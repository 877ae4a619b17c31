//! A run that is killed, at whatever moment, and resumed gives the bits of an unbroken one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weft_tests::executable::{build, command, said};

const STEPS: usize = 60;
const KILLS: u64 = 20;

/// A number below `bound` that is the same for the same seed (SplitMix64).
fn drawn(seed: u64, bound: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % bound
}

/// Steps that a run has written down.
fn done(folder: &Path) -> usize {
    fs::read_to_string(folder.join("metrics.jsonl")).map_or(0, |text| steps(&text).len())
}

/// The records of steps and of evaluations, without their speed, which no two runs share.
fn steps(text: &str) -> Vec<serde_json::Value> {
    let records = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let without_speed = records.map(|mut record| {
        if let Some(fields) = record.as_object_mut() {
            fields.remove("tokens_per_second");
        }
        record
    });
    without_speed.collect()
}

struct Runs {
    executable: PathBuf,
    folder: tempfile::TempDir,
}

impl Runs {
    /// Trains to the end in a folder.
    fn finish(&self, name: &str) {
        let args = ["train", "--resume", "--quiet", "--threads", "2", "--out", name];
        let output = command(&self.executable, self.folder.path(), &args).output().unwrap();
        said(&output, 0).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    }

    /// Trains in a folder until so many steps are written down and some more time is over, then kills.
    fn kill(&self, name: &str, after: usize, more: Duration) {
        let args = ["train", "--resume", "--quiet", "--threads", "2", "--out", name];
        let mut child = command(&self.executable, self.folder.path(), &args).spawn().unwrap();
        let start = Instant::now();
        let folder = self.folder.path().join(name);
        while done(&folder) < after && start.elapsed() < Duration::from_secs(30) {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        std::thread::sleep(more);
        // It may have come to its end before.
        let _ = child.kill();
        child.wait().unwrap();
    }

    fn read(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name).join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"))
    }

    fn metrics(&self, name: &str) -> Vec<serde_json::Value> {
        steps(&String::from_utf8(self.read(name, "metrics.jsonl")).unwrap())
    }
}

#[test]
fn a_killed_and_resumed_run_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let executable = folder.path().join("tiny");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/resume/nanogpt.weft");
    build(&spec, &executable).unwrap_or_else(|e| panic!("{e:#}"));
    let runs = Runs { executable, folder };
    runs.finish("unbroken");
    let files = ["weights.safetensors", "checkpoint.safetensors"].map(|file| (file, runs.read("unbroken", file)));
    let metrics = runs.metrics("unbroken");
    assert!(metrics.len() > STEPS, "{} records: of each step and of evaluations", metrics.len());

    let mut broken = 0;
    for kill in 0..KILLS {
        let name = format!("killed{kill}");
        // Every other run is killed twice.
        for again in 0..=kill % 2 {
            let after = drawn(kill * 4 + again, STEPS as u64) as usize;
            runs.kill(&name, after, Duration::from_micros(drawn(kill * 4 + again + 2, 5000)));
        }
        let out = runs.folder.path().join(&name);
        broken += u32::from(out.join("checkpoint.safetensors").exists() && !out.join("weights.safetensors").exists());
        runs.finish(&name);
        for (file, expected) in &files {
            assert!(runs.read(&name, file) == *expected, "{name}: {file} differs from the unbroken run's");
        }
        assert_eq!(runs.metrics(&name), metrics, "{name}");
    }
    assert!(broken >= 5, "only {broken} of {KILLS} runs were killed between a checkpoint and the end");
}
