//! Makes the runtime's static library, which `weft` carries inside and links into the executables it builds.
//!
//! The library is built by a Cargo of its own, with optimisation whatever the profile of `weft`, in a target folder below
//! `OUT_DIR`. `WEFT_RUNTIME_ARCHIVE=FILE` uses a library that was built before: for packagers, and to build `weft` quickly.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

/// The variable that names a library built before.
const GIVEN: &str = "WEFT_RUNTIME_ARCHIVE";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={GIVEN}");
    let out = PathBuf::from(variable("OUT_DIR"));
    let archive = match env::var_os(GIVEN).filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => build(&out),
    };
    println!("cargo::rerun-if-changed={}", archive.display());
    let carried = out.join("libweft_runtime.a");
    // Made beside and moved over: what is there may have other names (hard links), or be the given library itself.
    let fresh = out.join("libweft_runtime.fresh.a");
    if let Err(error) = fs::copy(&archive, &fresh) {
        fail(&format!("cannot copy the runtime's library {}: {error}", archive.display()));
    }
    without_debug_information(&fresh);
    if let Err(error) = fs::rename(&fresh, &carried) {
        fail(&format!("cannot write {}: {error}", carried.display()));
    }
    println!("cargo::rustc-env=WEFT_ARCHIVE={}", carried.display());
}

/// Builds the library and gives its path.
fn build(out: &Path) -> PathBuf {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    for path in ["runtime/src", "runtime/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let target = out.join("runtime");
    let triple = variable("TARGET");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(&root)
        // What it needs was fetched for `weft` already, which depends on the same crate.
        .args(["build", "--package", "weft-runtime", "--lib", "--release", "--locked", "--offline"])
        .args(["--target", &triple])
        .arg("--target-dir")
        .arg(&target);
    // Flags and wrappers of the outer build are for `weft`; clippy's wrapper would build nothing.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"]
    {
        cargo.env_remove(name);
    }
    match cargo.output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => fail(&format!("the runtime's library does not build:\n{}", String::from_utf8_lossy(&done.stderr))),
        Err(error) => fail(&format!("cannot start Cargo for the runtime's library: {error}")),
    }
    target.join(triple).join("release/libweft_runtime.a")
}

/// Takes out debug information, that of the standard library above all: it is four fifths of the file. A system without
/// `strip` carries it along; linked executables never have it.
fn without_debug_information(archive: &Path) {
    match Command::new("strip").arg("--strip-debug").arg(archive).status() {
        Ok(status) if status.success() => {}
        _ => println!("cargo::warning=`strip` is missing or failed: weft becomes larger than it must be"),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("Cargo does not set {name}")))
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1)
}
