//! Text files as indices: read once, the last part held out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::tokenizer::{Tokenizer, Unknown};

/// A text in two parts, as indices.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// What is trained on.
    pub train: Vec<i32>,
    /// What is only evaluated on: the end of the text. Empty if nothing is held out.
    pub held_out: Vec<i32>,
}

/// Files one after another, and where each begins.
struct Corpus {
    bytes: Vec<u8>,
    files: Vec<(PathBuf, usize)>,
}

impl Text {
    /// Reads files as one text, in the order given, and holds out its last `held_out` (a share, `0.0..1.0`), counted in
    /// characters (in bytes where the tokenizer takes bytes). Each part is tokenised by itself.
    ///
    /// # Errors
    /// A file that is missing, unreadable, empty or not UTF-8, and a character that the tokenizer does not know: with file,
    /// line and column.
    pub fn read(paths: &[PathBuf], tokenizer: &Tokenizer, held_out: f64) -> Result<Self> {
        ensure!((0.0..1.0).contains(&held_out), "a share of {held_out} cannot be held out: it must be from 0 to below 1");
        let corpus = Corpus::read(paths)?;
        let share_left = |n: usize| (n as f64 * (1.0 - held_out)) as usize;
        if tokenizer.takes_any_bytes() {
            let (train, held_out) = corpus.bytes.split_at(share_left(corpus.bytes.len()));
            return Ok(Self { train: Tokenizer::encode_bytes(train), held_out: Tokenizer::encode_bytes(held_out) });
        }
        let text = corpus.text()?;
        let count = text.chars().count();
        let cut = text.char_indices().nth(share_left(count)).map_or(text.len(), |(at, _)| at);
        let encode = |from: usize, to: usize| {
            tokenizer.encode(&text[from..to]).map_err(|error| match error.downcast_ref::<Unknown>() {
                Some(unknown) => {
                    let place = corpus.place(from + unknown.at);
                    error.context(format!("{place} cannot be tokenised"))
                }
                None => error.context("the text cannot be tokenised"),
            })
        };
        Ok(Self { train: encode(0, cut)?, held_out: encode(cut, text.len())? })
    }

    /// How many places a sequence of `time` tokens and the token behind each can start at in the training part.
    ///
    /// # Errors
    /// The training part is too short for one.
    pub fn places(&self, time: usize) -> Result<usize> {
        places(&self.train, time, "training")
    }

    /// As [`Self::places`], in the held-out part.
    ///
    /// # Errors
    /// The held-out part is too short for one sequence.
    pub fn held_out_places(&self, time: usize) -> Result<usize> {
        places(&self.held_out, time, "held-out")
    }
}

fn places(tokens: &[i32], time: usize, part: &str) -> Result<usize> {
    let places = tokens.len().saturating_sub(time);
    ensure!(
        places > 0,
        "the {part} text is too short: it gives {} tokens, and one sequence needs {} (time = {time}, and the token behind)",
        tokens.len(),
        time + 1
    );
    Ok(places)
}

impl Corpus {
    fn read(paths: &[PathBuf]) -> Result<Self> {
        ensure!(!paths.is_empty(), "there is no text to read: name it in the specification or with --data PATH");
        let mut corpus = Self { bytes: Vec::new(), files: Vec::new() };
        for path in paths {
            let start = corpus.bytes.len();
            let bytes = read(path)?;
            corpus.files.push((path.clone(), start));
            if corpus.bytes.is_empty() {
                corpus.bytes = bytes;
            } else {
                corpus.bytes.extend_from_slice(&bytes);
            }
        }
        Ok(corpus)
    }

    fn text(&self) -> Result<&str> {
        // File by file: two files must not share a character between them.
        for (i, (path, start)) in self.files.iter().enumerate() {
            let end = self.files.get(i + 1).map_or(self.bytes.len(), |next| next.1);
            if let Err(error) = std::str::from_utf8(&self.bytes[*start..end]) {
                bail!("{} is not UTF-8 text: byte {} cannot be read", path.display(), error.valid_up_to());
            }
        }
        Ok(std::str::from_utf8(&self.bytes)?)
    }

    /// `FILE:LINE:COLUMN` of a byte, counted from 1, columns in characters.
    fn place(&self, at: usize) -> String {
        let (path, start) = self.files.iter().rev().find(|(_, start)| *start <= at).unwrap_or(&self.files[0]);
        let before = String::from_utf8_lossy(&self.bytes[*start..at]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{line}:{column}", path.display())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let hint = "the path comes from the specification unless --data PATH gives another";
    let kind = fs::metadata(path).with_context(|| format!("the text {name} cannot be opened ({hint})"))?;
    ensure!(!kind.is_dir(), "the text {name} is a folder: name a file ({hint})");
    let bytes = fs::read(path).with_context(|| format!("the text {name} cannot be read ({hint})"))?;
    ensure!(!bytes.is_empty(), "the text {name} is empty ({hint})");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::tokenizer::characters_of;

    fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn the_last_part_is_held_out_by_characters() {
        let folder = tempfile::tempdir().unwrap();
        let text = "äbcdefghiä";
        let path = file(&folder, "a.txt", text.as_bytes());
        let tokenizer = Tokenizer::new(&characters_of(text)).unwrap();
        let read = Text::read(std::slice::from_ref(&path), &tokenizer, 0.1).unwrap();
        assert_eq!((read.train.len(), read.held_out.len()), (9, 1));
        assert_eq!(tokenizer.decode(&read.held_out).unwrap(), "ä");
        assert!(Text::read(&[path], &tokenizer, 0.0).unwrap().held_out.is_empty());
        assert_eq!(read.places(8).unwrap(), 1);
        assert!(read.places(9).unwrap_err().to_string().contains("gives 9 tokens, and one sequence needs 10"));
        assert!(read.held_out_places(1).unwrap_err().to_string().contains("held-out"));
    }

    #[test]
    fn files_follow_each_other_and_errors_have_places() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (file(&folder, "a.txt", b"ab\nb"), file(&folder, "b.txt", "b\naéX".as_bytes()));
        let tokenizer = Tokenizer::new(&characters_of("ab\né")).unwrap();
        let error = format!("{:#}", Text::read(&[a, b.clone()], &tokenizer, 0.1).unwrap_err());
        assert!(error.contains("b.txt:2:3 cannot be tokenised: the character 'X'"), "{error}");
        let bytes = Text::read(&[b], &Tokenizer::new(&plan::Tokenizer::Bytes).unwrap(), 0.5).unwrap();
        assert_eq!((bytes.train, bytes.held_out), (vec![98, 10, 97], vec![0xc3, 0xa9, 88]));
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::new(&characters_of("a")).unwrap();
        let error = |path: PathBuf| format!("{:#}", Text::read(&[path], &tokenizer, 0.1).unwrap_err());
        assert!(error(folder.path().join("none.txt")).contains("none.txt cannot be opened"));
        assert!(error(folder.path().into()).contains("is a folder"));
        assert!(error(file(&folder, "empty.txt", b"")).contains("empty.txt is empty"));
        assert!(error(file(&folder, "latin.txt", b"aa\xe4a")).contains("latin.txt is not UTF-8 text: byte 2"));
        assert!(Text::read(&[], &tokenizer, 0.1).is_err());
    }
}
