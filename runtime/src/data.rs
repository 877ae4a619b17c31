//! Batches: the named tensors that a step consumes, from text or from a file of given ones.
//!
//! The batch of a step is a function of (seed, step) alone. Micro-batches are its rows in pieces, so that accumulating
//! changes neither what is trained on nor, up to rounding, the result.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::plan::Recipe;
use crate::shuffle::{Purpose, place};
use crate::tensor::{Data, Tensor};
use crate::text::Text;
use crate::weights;

/// Named tensors, the first axis of each being `batch`.
pub type Batch = Vec<(String, Tensor)>;

/// Where batches come from.
pub enum Source {
    /// Random windows of a text: `ids` and `next`, both `[batch, time]`.
    Text {
        /// The text.
        text: Text,
        /// Sequences in a step.
        batch: usize,
        /// Tokens in a sequence.
        time: usize,
    },
    /// Tensors `[steps, batch, …]`, a slice for each step.
    Given {
        /// The tensors, whole.
        tensors: Batch,
        /// How many steps they hold.
        steps: u64,
        /// Text whose held-out part is evaluated on, and tokens in a sequence; without it, the tensors themselves are.
        held_out: Option<(Text, usize)>,
        /// The file that they are from.
        file: Option<PathBuf>,
    },
}

impl Source {
    /// Batches of a text as a recipe asks for them.
    ///
    /// # Errors
    /// A training text too short for one sequence.
    pub fn text(text: Text, recipe: &Recipe) -> Result<Self> {
        let (batch, time) = (usize::try_from(recipe.batch)?, usize::try_from(recipe.time)?);
        ensure!(batch > 0 && time > 0, "the recipe asks for batches of {batch} sequences of {time} tokens");
        text.places(time)?;
        Ok(Self::Text { text, batch, time })
    }

    /// Batches from a safetensors file of tensors `[steps, batch, …]`; `held_out` as in [`Source::Given`].
    ///
    /// # Errors
    /// A file that does not read; tensors that do not agree on the number of steps, or hold none.
    pub fn given(path: &Path, held_out: Option<(Text, usize)>) -> Result<Self> {
        let mut given = Self::from_tensors(weights::read_tensors(path)?, held_out);
        if let Ok(Self::Given { file, .. }) = &mut given {
            *file = Some(path.into());
        }
        given.with_context(|| path.display().to_string())
    }

    /// Batches from tensors `[steps, batch, …]`.
    ///
    /// # Errors
    /// Tensors that do not agree on the number of steps, or hold none.
    pub fn from_tensors(tensors: Batch, held_out: Option<(Text, usize)>) -> Result<Self> {
        let Some((first, tensor)) = tensors.first() else { bail!("there are no batches: the file holds no tensor") };
        let steps = tensor.shape.first().copied().unwrap_or(0);
        for (name, tensor) in &tensors {
            ensure!(
                tensor.shape.len() >= 2,
                "`{name}` has shape {:?}: batches have axes [steps, batch, …], one step a slice",
                tensor.shape
            );
            ensure!(
                tensor.shape[0] == steps,
                "`{name}` holds {} steps and `{first}` holds {steps}: all must hold as many",
                tensor.shape[0]
            );
        }
        ensure!(steps > 0, "there are no batches: `{first}` holds 0 steps");
        Ok(Self::Given { tensors, steps: steps as u64, held_out, file: None })
    }

    /// Has a failure over the batches name the file that they are from.
    pub fn named<T>(&self, result: Result<T>) -> Result<T> {
        match self {
            Self::Given { file: Some(file), .. } => {
                result.with_context(|| format!("with the batches of {}", file.display()))
            }
            Self::Given { file: None, .. } | Self::Text { .. } => result,
        }
    }

    /// How many steps there are batches for; `None`: as many as are asked for.
    pub fn steps(&self) -> Option<u64> {
        match self {
            Self::Text { .. } => None,
            Self::Given { steps, .. } => Some(*steps),
        }
    }

    /// Identifies a text, so that a run is not resumed on another; `None` for given batches, of which more may be given later.
    pub fn fingerprint(&self) -> Option<String> {
        let Self::Text { text, .. } = self else {
            return None;
        };
        // FNV-1a over the indices, and a mark between the parts.
        let tokens = text.train.iter().chain([&-1]).chain(&text.held_out);
        let hash = tokens.fold(0xcbf2_9ce4_8422_2325u64, |hash, &token| {
            (hash ^ u64::from(token as u32)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Some(format!("{hash:016x}"))
    }

    /// The whole batch of a step (from 0).
    ///
    /// # Errors
    /// A step beyond the last given one.
    pub fn batch(&self, seed: u64, step: u64) -> Result<Batch> {
        match self {
            Self::Text { text, batch, time } => {
                let starts = random_starts(seed, Purpose::Window, step, *batch, text.places(*time)?);
                Ok(windows(&text.train, &starts, *time))
            }
            Self::Given { tensors, steps, .. } => {
                if step >= *steps {
                    return self.named(Err(anyhow!("step {} has no batch: the file holds {steps}", step + 1)));
                }
                let step = step as usize;
                Ok(tensors.iter().map(|(name, tensor)| (name.clone(), slice(tensor, step))).collect())
            }
        }
    }

    /// The text whose end is evaluated on, and tokens in a sequence; `None` where given tensors are evaluated on themselves.
    pub fn evaluated_text(&self) -> Option<(&Text, usize)> {
        match self {
            Self::Text { text, time, .. } => Some((text, *time)),
            Self::Given { held_out, .. } => held_out.as_ref().map(|(text, time)| (text, *time)),
        }
    }

    /// How many held-out batches an evaluation runs over: `asked` of them, or with 0 all of the held-out text (or every
    /// given step) once, `rows` sequences at a time.
    ///
    /// # Errors
    /// A held-out text too short for one sequence.
    pub fn held_out_batches(&self, asked: u64, rows: usize) -> Result<u64> {
        let Some((text, time)) = self.evaluated_text() else {
            return Ok(self.steps().unwrap_or_default());
        };
        text.held_out_places(time)?;
        Ok(match asked {
            0 => (text.held_out.len() - 1).div_ceil(time).div_ceil(rows) as u64,
            asked => asked,
        })
    }

    /// One of the batches of an evaluation, the same in every evaluation. With `asked` 0 the text is walked once in windows
    /// that follow each other; the last one may be shorter and is then a batch of its own (two are returned).
    ///
    /// # Errors
    /// A batch that is not there.
    pub fn held_out_batch(&self, seed: u64, asked: u64, rows: usize, index: u64) -> Result<Vec<Batch>> {
        let Some((text, time)) = self.evaluated_text() else {
            return Ok(vec![self.batch(seed, index)?]);
        };
        if asked > 0 {
            let starts = random_starts(seed, Purpose::HeldOut, index, rows, text.held_out_places(time)?);
            return Ok(vec![windows(&text.held_out, &starts, time)]);
        }
        let end = text.held_out.len() - 1;
        let first = usize::try_from(index)? * rows * time;
        let starts: Vec<usize> = (0..rows).map(|row| first + row * time).take_while(|start| start + time <= end).collect();
        let rest = first + starts.len() * time;
        let mut batches = Vec::new();
        if !starts.is_empty() {
            batches.push(windows(&text.held_out, &starts, time));
        }
        if starts.len() < rows && rest < end {
            batches.push(windows(&text.held_out, &[rest], end - rest));
        }
        Ok(batches)
    }
}

fn random_starts(seed: u64, purpose: Purpose, step: u64, rows: usize, places: usize) -> Vec<usize> {
    (0..rows).map(|row| place(seed, purpose, step, row as u32, places as u64) as usize).collect()
}

/// `ids` and `next`, `[starts, time]`: what stands at each start, and the same one token later.
fn windows(tokens: &[i32], starts: &[usize], time: usize) -> Batch {
    let shape = vec![starts.len(), time];
    let from = |shift: usize| {
        let all = starts.iter().flat_map(|start| &tokens[start + shift..start + shift + time]).copied().collect();
        Tensor { shape: shape.clone(), data: Data::I32(all) }
    };
    vec![("ids".into(), from(0)), ("next".into(), from(1))]
}

/// Rows of the first axis.
pub fn rows(tensor: &Tensor, range: Range<usize>) -> Tensor {
    let row: usize = tensor.shape[1..].iter().product();
    let (from, to) = (range.start * row, range.end * row);
    let data = match &tensor.data {
        Data::F32(all) => Data::F32(all[from..to].to_vec()),
        Data::F64(all) => Data::F64(all[from..to].to_vec()),
        Data::I64(all) => Data::I64(all[from..to].to_vec()),
        Data::I32(all) => Data::I32(all[from..to].to_vec()),
        Data::Bool(all) => Data::Bool(all[from..to].to_vec()),
    };
    let mut shape = tensor.shape.clone();
    shape[0] = range.len();
    Tensor { shape, data }
}

/// One row of the first axis, without that axis.
fn slice(tensor: &Tensor, index: usize) -> Tensor {
    let mut row = rows(tensor, index..index + 1);
    row.shape.remove(0);
    row
}

/// A batch in `parts` pieces of its rows, as even as can be.
///
/// # Errors
/// Tensors that differ in rows, or fewer rows than pieces.
pub fn split(batch: &Batch, parts: u64) -> Result<Vec<Batch>> {
    let parts = usize::try_from(parts)?.max(1);
    let Some((first, tensor)) = batch.first() else { bail!("a batch holds no tensor") };
    let count = tensor.shape.first().copied().unwrap_or(0);
    for (name, tensor) in batch {
        let found = tensor.shape.first().copied().unwrap_or(0);
        ensure!(found == count, "`{name}` holds {found} rows and `{first}` holds {count}: a batch has one number of rows");
    }
    ensure!(count >= parts, "a batch of {count} rows cannot be cut into {parts} micro-batches");
    let piece = |i: usize| {
        let range = i * count / parts..(i + 1) * count / parts;
        batch.iter().map(|(name, tensor)| (name.clone(), rows(tensor, range.clone()))).collect()
    };
    Ok((0..parts).map(piece).collect())
}

/// How many tokens a batch holds: elements of its first tensor.
pub fn tokens(batch: &Batch) -> u64 {
    batch.first().map_or(0, |(_, tensor)| tensor.shape.iter().product::<usize>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(shape: &[usize], data: &[i32]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: Data::I32(data.to_vec()) }
    }

    fn values(tensor: &Tensor) -> &[i32] {
        match &tensor.data {
            Data::I32(all) => all,
            _ => panic!("not i32"),
        }
    }

    fn counting(train: i32, held_out: i32) -> Source {
        let text = Text { train: (0..train).collect(), held_out: (100..100 + held_out).collect() };
        Source::text(text, &Recipe { batch: 4, time: 3, ..Recipe::default() }).unwrap()
    }

    #[test]
    fn windows_are_a_function_of_seed_and_step() {
        let source = counting(20, 0);
        let mut starts = std::collections::BTreeSet::new();
        for step in 0..50 {
            let batch = source.batch(1, step).unwrap();
            assert_eq!(batch, source.batch(1, step).unwrap());
            let (ids, next) = (values(&batch[0].1), values(&batch[1].1));
            assert_eq!(batch[0].1.shape, [4, 3]);
            assert!(ids.iter().zip(next).all(|(a, b)| a + 1 == *b));
            starts.extend(ids.chunks(3).map(|row| row[0]));
        }
        // As `randint(len - time)`: the last start still has a token behind its last one.
        assert_eq!((starts.first(), starts.last(), starts.len()), (Some(&0), Some(&16), 17));
        assert_ne!(source.batch(1, 0).unwrap(), source.batch(2, 0).unwrap());
    }

    #[test]
    fn the_whole_held_out_text_is_seen_once() {
        for held_out in 5..40 {
            let source = counting(20, held_out);
            let mut seen = Vec::new();
            for i in 0..source.held_out_batches(0, 2).unwrap() {
                for batch in source.held_out_batch(9, 0, 2, i).unwrap() {
                    assert!(batch[0].1.shape[0] <= 2 && batch[0].1.shape[1] <= 3);
                    seen.extend_from_slice(values(&batch[1].1));
                }
            }
            assert_eq!(seen, (101..100 + held_out).collect::<Vec<_>>());
        }
        let source = counting(20, 10);
        assert_eq!(source.held_out_batches(6, 2).unwrap(), 6);
        assert_eq!(source.held_out_batch(9, 6, 2, 1).unwrap()[0][0].1.shape, [2, 3]);
        assert!(counting(20, 2).held_out_batches(0, 2).is_err());
    }

    #[test]
    fn given_batches_are_slices() {
        let tensors = vec![("ids".into(), ints(&[2, 3, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]))];
        let source = Source::from_tensors(tensors, None).unwrap();
        let batch = source.batch(0, 1).unwrap();
        assert_eq!(batch[0].1, ints(&[3, 2], &[6, 7, 8, 9, 10, 11]));
        assert!(source.batch(0, 2).unwrap_err().to_string().contains("step 3 has no batch"));
        let parts = split(&batch, 2).unwrap();
        assert_eq!((&parts[0][0].1, &parts[1][0].1), (&ints(&[1, 2], &[6, 7]), &ints(&[2, 2], &[8, 9, 10, 11])));
        assert!(split(&batch, 4).unwrap_err().to_string().contains("3 rows cannot be cut into 4"));
        assert_eq!(tokens(&batch), 6);
    }

    #[test]
    fn given_batches_must_agree() {
        let wrong = |tensors| Source::from_tensors(tensors, None).err().unwrap().to_string();
        assert!(wrong(vec![]).contains("holds no tensor"));
        assert!(wrong(vec![("a".into(), ints(&[2], &[0, 1]))]).contains("[steps, batch, …]"));
        let (a, b) = (ints(&[2, 1], &[0, 1]), ints(&[1, 1], &[0]));
        assert!(wrong(vec![("a".into(), a), ("b".into(), b)]).contains("`b` holds 1 steps"));
    }
}
