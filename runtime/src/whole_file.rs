//! Files that are whole or not there: written beside their place, synced and renamed.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file through `fill`. Whoever opens `path`, at any moment and after any failure, finds the old content or the new.
///
/// A path that is a device or a pipe is written to directly: there is nothing to replace.
///
/// # Errors
/// When anything cannot be written; the old file stays and nothing is left beside it.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let (place, old) = place(path).with_context(failed)?;
    if old.as_ref().is_some_and(|m| !m.is_file()) {
        return direct(&place, fill).with_context(failed);
    }
    let beside = beside(&place).with_context(failed)?;
    let written = (|| {
        let file = create(&beside)?;
        if let Some(old) = &old {
            file.set_permissions(old.permissions())?;
        }
        let mut out = BufWriter::with_capacity(1 << 16, file);
        fill(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside, &place)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error).with_context(failed);
    }
    // The rename itself lasts only once the directory is on disk. Some file systems cannot sync one; the file is whole anyway.
    if let Ok(folder) = File::open(folder(&place)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Finds out whether a file can be written, before the work that gives what goes there.
///
/// # Errors
/// As for [`write`].
pub fn check(path: &Path) -> Result<()> {
    let check = || {
        let (place, old) = place(path)?;
        // Who reads a pipe would take its closing for the end.
        if old.is_some_and(|m| !m.is_file()) {
            return Ok(());
        }
        let beside = beside(&place)?;
        create(&beside)?;
        fs::remove_file(&beside)
    };
    check().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes bytes as a whole file; see [`write`].
///
/// # Errors
/// As for [`write`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |out| out.write_all(bytes))
}

/// Where a file is to lie, and what lies there.
fn place(path: &Path) -> io::Result<(PathBuf, Option<fs::Metadata>)> {
    // Through a symbolic link the file it points at is replaced, not the link.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&place).ok();
    match &old {
        Some(old) if old.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok((place, old)),
    }
}

/// An unfinished file.
fn create(beside: &Path) -> io::Result<File> {
    // A run that was killed may have left one; its content is worth nothing.
    match fs::remove_file(beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(beside)
}

fn direct(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
    fill(&mut out)?;
    out.flush()
}

/// The place of the unfinished file: in the same folder, since a rename does not cross file systems.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".unfinished");
    Ok(folder(path).join(hidden))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_whole_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write_bytes(&path, b"one").unwrap();
        fs::write(dir.path().join(".a.bin.unfinished"), b"left by a killed run").unwrap();
        write_bytes(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    fn a_failure_in_the_middle_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write_bytes(&path, b"old").unwrap();
        let error = write(&path, |out| {
            out.write_all(&[1; 3 << 20])?;
            Err(io::Error::other("broke off"))
        })
        .unwrap_err();
        assert!(format!("{error:#}").contains("broke off"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    fn a_full_device_is_an_error() {
        let error = write_bytes(Path::new("/dev/full"), b"x").unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write /dev/full: No space left"), "{error:#}");
    }

    #[test]
    fn a_missing_folder_and_a_folder_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_bytes(&dir.path().join("no/such"), b"x").is_err());
        assert!(write_bytes(dir.path(), b"x").is_err());
        assert!(check(&dir.path().join("no/such")).is_err() && check(dir.path()).is_err());
        check(&dir.path().join("new")).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_bytes(&link, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_killed_run_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write_bytes(&path, b"old").unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "whole_file::tests::child_that_dies_writing", "--ignored"])
            .env("WEFT_TEST_PATH", &path)
            .output()
            .unwrap();
        assert!(!child.status.success());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), [".a.bin.unfinished", "a.bin"], "the child came to writing");
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.bin"]);
    }

    #[test]
    #[ignore = "run by a_killed_run_leaves_the_old_file"]
    fn child_that_dies_writing() {
        let Some(path) = std::env::var_os("WEFT_TEST_PATH") else {
            return;
        };
        let _ = write(Path::new(&path), |out| {
            out.write_all(&[1; 3 << 20])?;
            std::process::abort();
        });
    }
}
