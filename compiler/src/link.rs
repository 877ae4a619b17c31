//! Linking: kernels, a plan and the runtime's library become an executable that needs nothing of Weft.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use weft_runtime::{entry, whole_file};

use crate::compile::Output;
use crate::target::cpu::{self, Cpu};

/// The runtime as a static library, built before this crate (see `build.rs`).
static RUNTIME: &[u8] = include_bytes!(env!("WEFT_ARCHIVE"));

/// What the linker is told besides the files. Unused code and all symbols are left out; the compiler's support library is linked
/// in, so that `ldd` shows the C library alone.
const FLAGS: &[&str] = &["-Wl,--gc-sections", "-Wl,-s", "-static-libgcc", "-lpthread", "-ldl", "-lm"];

/// Lines of the linker's own words that are shown.
const SHOWN: usize = 20;

/// Writes an executable; whoever looks at `to` finds the old file or the whole new one.
///
/// # Errors
/// Code for another processor than the runtime inside is for, no linker, what the linker says, a file that cannot be written.
pub fn executable(compiled: &Output, cpu: &Cpu, to: &Path) -> Result<()> {
    let architecture = cpu.triple.split('-').next().unwrap_or_default();
    ensure!(
        architecture == std::env::consts::ARCH,
        "an executable for {architecture} cannot be linked here: the runtime inside this weft is for {}",
        std::env::consts::ARCH
    );
    let folder = Scratch::new()?;
    let main = cpu::executable_object(&entry::encode(&compiled.plan)?, &compiled.plan.kernels, cpu)?;
    let mut files = vec![folder.file("main.o", &main)?];
    for (number, object) in compiled.objects.iter().enumerate() {
        files.push(folder.file(&format!("kernels{number}.o"), object)?);
    }
    files.push(folder.file("libweft_runtime.a", RUNTIME)?);
    let linked = folder.path.join("linked");
    link(&files, &linked)?;
    let bytes = fs::read(&linked).context("cannot read what the linker wrote")?;
    whole_file::write_bytes(to, &bytes)?;
    let permissions = fs::Permissions::from_mode(0o755);
    fs::set_permissions(to, permissions).with_context(|| format!("cannot make {} executable", to.display()))
}

/// Runs the C compiler as a linker.
fn link(files: &[PathBuf], to: &Path) -> Result<()> {
    let compiler = std::env::var_os("CC").filter(|name| !name.is_empty()).unwrap_or_else(|| OsString::from("cc"));
    let shown = compiler.to_string_lossy().into_owned();
    // As in Makefiles, the variable may hold options: `CC="ccache gcc"`.
    let mut words = shown.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    let done = match command.args(words).arg("-o").arg(to).args(files).args(FLAGS).output() {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "there is no linker: `{shown}` is not found. Install a C compiler (Debian, Ubuntu: `apt-get install gcc`; Fedora: \
             `dnf install gcc`), or name one in the variable CC. `weft run`, `train` and `generate` need none"
        ),
        Err(error) => return Err(error).with_context(|| format!("the linker `{shown}` cannot be started")),
    };
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let first = lines.len().saturating_sub(SHOWN);
    bail!("the linker `{shown}` failed ({}):\n{}", done.status, lines[first..].join("\n"))
}

/// A folder of our own that goes away with this.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        let name = |number: u32| parent.join(format!("weft-{}-{number}", std::process::id()));
        for number in 0..1000 {
            // Nobody else may put files there; one that exists already is somebody else's.
            match DirBuilder::new().mode(0o700).create(name(number)) {
                Ok(()) => return Ok(Self { path: name(number) }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("no folder for the linker in {}", parent.display()));
                }
            }
        }
        Err(io::Error::from(ErrorKind::AlreadyExists))
            .with_context(|| format!("no folder for the linker in {}", parent.display()))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}
