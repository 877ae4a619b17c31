//! Runs that are interrupted or killed: nothing saved is lost, and going on gives the same bits.

mod bigram;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use weft_runtime::cli;

const TEXT: &str = "abcd efgh ab gh cdef abcd abcd efgh gh gh cdef ab ab abcd ";

/// What the other tests start as a process of its own: training in the folder that the environment names.
#[test]
#[ignore = "a process that the other tests start"]
fn child() {
    let Some(folder) = std::env::var_os("BIGRAM_FOLDER") else {
        return;
    };
    let args = ["bigram", "train", "-q", "--resume", "--out"].map(OsString::from);
    let compiled = bigram::compiled(&Path::new(&folder).join("text.txt"), 60, 1);
    let args = args.into_iter().chain([folder.into_string().unwrap().into()]);
    std::process::exit(cli::main(compiled, args));
}

fn start(folder: &Path, slow: bool) -> Child {
    fs::write(folder.join("text.txt"), TEXT.repeat(4)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]);
    command.env("BIGRAM_FOLDER", folder).stdout(Stdio::null()).stderr(Stdio::null());
    if slow {
        command.env("BIGRAM_SLOW", "1");
    }
    command.spawn().unwrap()
}

fn unbroken() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(start(folder.path(), false).wait().unwrap().code(), Some(0));
    fs::read(folder.path().join("weights.safetensors")).unwrap()
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so the number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[test]
fn ctrl_c_finishes_the_step_and_saves() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), true);
    let started = Instant::now();
    let metrics = folder.path().join("metrics.jsonl");
    while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 2 {
        assert_eq!(child.try_wait().unwrap(), None, "training ended by itself");
        assert!(started.elapsed() < Duration::from_secs(60), "training does not begin");
        sleep(Duration::from_millis(1));
    }
    signal(&child, libc::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(folder.path().join("checkpoint.safetensors").exists());
    let weights = fs::read(folder.path().join("weights.safetensors")).unwrap();
    assert_ne!(weights, unbroken(), "those so far");
    assert_eq!(start(folder.path(), false).wait().unwrap().code(), Some(0));
    assert_eq!(fs::read(folder.path().join("weights.safetensors")).unwrap(), unbroken());
}

#[test]
fn killed_runs_go_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = 0;
    for round in 0u64.. {
        let mut child = start(folder.path(), true);
        sleep(Duration::from_millis(15 + round * 37 % 90 + round));
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            break;
        }
        signal(&child, libc::SIGKILL);
        child.wait().unwrap();
        killed += 1;
        assert!(killed < 500, "no run comes through");
    }
    assert!(killed > 0);
    assert_eq!(fs::read(folder.path().join("weights.safetensors")).unwrap(), unbroken());
}
