//! Tests of checkpoints.

use super::*;
use crate::testing::compiled;

fn machine(seed: u64) -> Machine {
    let mut machine = Machine::new(compiled(), 1, false).unwrap();
    machine.initialise(seed).unwrap();
    machine
}

fn progress() -> Progress {
    Progress { step: 7, cursor: 9, seed: u64::MAX, metrics: serde_json::json!([{ "loss": 0.5 }]) }
}

fn state(machine: &Machine) -> Vec<Vec<u8>> {
    (0..4).map(|slot| machine.slot(slot).to_vec()).collect()
}

#[test]
fn everything_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    let mut from = machine(1);
    from.slot_mut(1)[..4].copy_from_slice(&1.5f32.to_le_bytes());
    save(&from, &progress(), &path).unwrap();
    let mut to = machine(2);
    to.slot_mut(3).fill(1);
    assert_eq!(load(&mut to, &path).unwrap(), progress());
    assert_eq!(state(&from), state(&to));
    // It gives weights too: its optimizer state is passed over.
    let mut weights = machine(2);
    crate::weights::load(&mut weights, &path, None).unwrap();
    assert_eq!(weights.slot(0), from.slot(0));
    assert_ne!(weights.slot(1), from.slot(1));
}

#[test]
fn a_program_without_an_optimizer_takes_the_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    let from = machine(1);
    save(&from, &progress(), &path).unwrap();
    let mut bare = compiled();
    for slot in &mut bare.plan.slots {
        if let Role::State { .. } = slot.role {
            slot.name = format!("other.{}", slot.name);
        }
    }
    let mut to = Machine::new(bare, 1, false).unwrap();
    crate::weights::load(&mut to, &path, None).unwrap();
    assert_eq!(to.slot(0), from.slot(0));
}

#[test]
fn what_is_no_checkpoint_of_this_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    let complaint = |path: &Path| {
        let mut to = machine(2);
        let before = state(&to);
        let message = format!("{:#}", load(&mut to, path).unwrap_err());
        assert_eq!(state(&to), before);
        message.split_once("c.safetensors").map(|(_, rest)| rest.to_string()).unwrap()
    };
    let mut other = compiled();
    other.plan.fingerprint = 0xbeef;
    let other = Machine::new(other, 1, false).unwrap();
    save(&other, &progress(), &path).unwrap();
    insta::assert_snapshot!(complaint(&path), @": it was made by another specification (`tiny`, 000000000000beef) than this one (`tiny`, 000000000000feed); its parameters alone can be loaded with --weights where their names and shapes agree");
    crate::weights::save(&machine(1), &path, None).unwrap();
    assert_eq!(complaint(&path), ": it is no checkpoint (weights alone are given with --weights)");
    save(&machine(1), &progress(), &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(complaint(&path).contains("it is cut short"));
    let at = whole.windows(11).position(|name| name == b"head.weight").unwrap();
    let renamed = [&whole[..at], b"tail", &whole[at + 4..]].concat();
    std::fs::write(&path, renamed).unwrap();
    assert_eq!(complaint(&path), ": it lacks `head.weight`");
    std::fs::remove_file(&path).unwrap();
    assert!(complaint(&path).contains("No such file"));
}
