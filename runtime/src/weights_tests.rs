//! Tests of weights: round trips through layouts, and every way in which a file does not fit.

use super::*;
use crate::tensor::{Data, Tensor};
use crate::testing::compiled;
use std::path::PathBuf;
use tempfile::TempDir;

fn machine(seed: u64) -> Machine {
    let mut machine = Machine::new(compiled(), 1, false).unwrap();
    machine.initialise(seed).unwrap();
    machine
}

fn parameters(machine: &Machine) -> Vec<Vec<u8>> {
    vec![machine.slot(0).to_vec(), machine.slot(2).to_vec()]
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    (dir, path)
}

#[test]
fn both_layouts_round_trip_and_are_recognised() {
    let (_dir, path) = place();
    let from = machine(1);
    for layout in [None, Some("native"), Some("other")] {
        save(&from, &path, layout).unwrap();
        for given in [None, layout] {
            let mut to = machine(2);
            assert_ne!(parameters(&from), parameters(&to));
            load(&mut to, &path, given).unwrap();
            assert_eq!(parameters(&from), parameters(&to));
        }
    }
    let tensors: Vec<_> = read_tensors(&path).unwrap().into_iter().map(|(name, t)| (name, t.shape)).collect();
    assert_eq!(tensors, [("h.all".to_string(), vec![4, 3]), ("lm_head.weight".to_string(), vec![3, 2])]);
    let stored = read_tensors(&path).unwrap()[0].1.to_f32();
    let scale = from.slot_f32(0).unwrap();
    assert!((0..3).all(|layer| (0..4).all(|i| stored[i * 3 + layer] == scale[layer * 4 + i])));
}

/// Writes good weights with one change and returns the message that loading them gives.
fn complaint(layout: Option<&str>, change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> String {
    let (_dir, path) = place();
    save(&machine(1), &path, None).unwrap();
    let mut tensors = read_tensors(&path).unwrap();
    change(&mut tensors);
    write_tensors(&path, &tensors).unwrap();
    let mut to = machine(2);
    let before = parameters(&to);
    let message = format!("{:#}", load(&mut to, &path, layout).unwrap_err());
    assert_eq!(parameters(&to), before, "a refused file must change nothing");
    message.split_once(" does not fit `tiny`: ").map_or(message.clone(), |(_, rest)| rest.to_string())
}

#[test]
fn everything_that_does_not_fit_is_said_at_once() {
    let message = complaint(None, |tensors| {
        for (name, tensor) in tensors {
            match name.as_str() {
                "layers.0.scale" => *name = "layers.0.scales".into(),
                "layers.1.scale" => *tensor = Tensor::i64(&[4], vec![0; 4]).unwrap(),
                "head.weight" => tensor.shape = vec![3, 2],
                _ => {}
            }
        }
    });
    insta::assert_snapshot!(message, @r"
    with the names of layout `native`:
      `layers.1.scale` has elements of type I64, expected F16, BF16, F32 or F64
      `head.weight` has the shape [3, 2], expected [2, 3] (`head.weight` [out 2, in 3])
      `layers.0.scale` is missing; did you mean `layers.0.scales`?
      `layers.0.scales` is not a parameter; did you mean `layers.0.scale`?
    ");
}

#[test]
fn unknown_names_and_layouts() {
    let message = complaint(None, |tensors| {
        for (number, (name, _)) in tensors.iter_mut().enumerate() {
            *name = format!("z{number}");
        }
    });
    insta::assert_snapshot!(message, @"none of its tensors has a known name (found `z0`, `z1`, `z2` …; expected `layers.0.scale`, `layers.1.scale`, `layers.2.scale` … in layout `native` or `h.all`, `lm_head.weight` … in layout `other`)");
    let message = complaint(Some("othr"), |_| {});
    assert_eq!(message, "`tiny` has no layout `othr`; did you mean `other`? (it has `other`, `native`)");
    let message = complaint(None, |tensors| {
        tensors.extend((0..20).map(|i| (format!("extra.{i:02}"), Tensor::scalar(0.0))));
    });
    assert!(message.ends_with("`extra.11` is not a parameter\n  and 8 more"), "{message}");
}

#[test]
fn named_extras_can_be_ignored() {
    let (_dir, path) = place();
    let from = machine(1);
    save(&from, &path, None).unwrap();
    let mut tensors = read_tensors(&path).unwrap();
    tensors.push(("position_ids".into(), Tensor::i64(&[2], vec![0, 1]).unwrap()));
    write_tensors(&path, &tensors).unwrap();
    let mut to = machine(2);
    assert!(load(&mut to, &path, None).is_err());
    load_except(&mut to, &path, None, &["position_ids".into()]).unwrap();
    assert_eq!(parameters(&from), parameters(&to));
    let error = format!("{:#}", load_except(&mut to, &path, None, &["position_idx".into()]).unwrap_err());
    assert!(error.contains("it has no tensor `position_idx` to ignore; did you mean `position_ids`?"), "{error}");
}

#[test]
fn other_floats_are_converted() {
    let (_dir, path) = place();
    save(&machine(1), &path, None).unwrap();
    let mut tensors = read_tensors(&path).unwrap();
    for (_, tensor) in &mut tensors {
        tensor.data = Data::F64(tensor.to_f64());
    }
    write_tensors(&path, &tensors).unwrap();
    let mut to = machine(2);
    load(&mut to, &path, None).unwrap();
    assert_eq!(parameters(&to), parameters(&machine(1)));
}

#[test]
fn a_disk_that_is_full_leaves_the_old_file_and_nothing_else() {
    let (dir, path) = place();
    save(&machine(1), &path, None).unwrap();
    let old = std::fs::read(&path).unwrap();
    // The largest file that this process may write is a resource of the process, so a child tries it.
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "weights::tests::child_with_a_full_disk", "--ignored", "--test-threads=1"])
        .env("WEFT_TEST_PATH", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
#[ignore = "run by a_disk_that_is_full_leaves_the_old_file_and_nothing_else"]
fn child_with_a_full_disk() {
    let Some(path) = std::env::var_os("WEFT_TEST_PATH") else {
        return;
    };
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    // SAFETY: two calls that change this process only: no signal at the limit, and the limit.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let error = format!("{:#}", save(&machine(2), Path::new(&path), None).unwrap_err());
    assert!(error.starts_with("cannot write ") && error.contains("File too large"), "{error}");
}
