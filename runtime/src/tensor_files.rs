//! The tensors of a model's folder, which may be spread over several files.

use crate::tensor_file::{Entry, TensorFile};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What a folder's only file is called.
const WHOLE: &str = "model.safetensors";

/// What older weights are called, which are not read.
const PICKLED: &str = "pytorch_model.bin";

/// The file that says which tensor lies in which file.
const INDEX: &str = "model.safetensors.index.json";

/// Open files of tensors, no two of one name.
pub struct TensorFiles {
    files: Vec<TensorFile>,
}

impl TensorFiles {
    /// Opens a file, or the files of a folder: those that its index names, or else `model.safetensors`.
    ///
    /// # Errors
    /// When one is missing, is no whole safetensors file, or lacks what the index says it holds.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self { files: vec![TensorFile::open(path)?] });
        }
        let index = path.join(INDEX);
        if index.is_file() {
            return Self::by_index(path, &index).with_context(|| format!("by {}", index.display()));
        }
        let whole = path.join(WHOLE);
        if !whole.is_file() {
            let pickled = path.join(PICKLED).is_file() || path.join(format!("{PICKLED}.index.json")).is_file();
            let help = if pickled {
                format!(
                    ": its {PICKLED} can run programs when it is read; save the model with `save_pretrained`, which writes safetensors"
                )
            } else {
                String::new()
            };
            bail!("{} has neither {WHOLE} nor {INDEX}{help}", path.display());
        }
        Ok(Self { files: vec![TensorFile::open(&whole)?] })
    }

    fn by_index(folder: &Path, index: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(index)?;
        let index: serde_json::Value = serde_json::from_str(&text).context("it is not JSON")?;
        let map = index["weight_map"].as_object().context("it has no `weight_map`")?;
        let mut held: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, file) in map {
            let file = file.as_str().with_context(|| format!("tensor `{tensor}` lies in no file"))?;
            held.entry(file).or_default().push(tensor);
        }
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        for (name, tensors) in held {
            // A name of a file beside the index, and nothing else.
            ensure!(
                Path::new(name).components().eq([std::path::Component::Normal(name.as_ref())]),
                "`{name}` is no file's name"
            );
            let path: PathBuf = folder.join(name);
            if !path.is_file() {
                bail!("{} is missing, which should hold `{}`", path.display(), tensors[0]);
            }
            let file = TensorFile::open(&path)?;
            let own: HashSet<&str> = file.entries().map(|entry| entry.name).collect();
            let lacks = tensors.iter().find(|tensor| !own.contains(**tensor));
            ensure!(lacks.is_none(), "{} has no tensor `{}`", path.display(), lacks.unwrap_or(&""));
            let twice = own.iter().find(|name| !seen.insert((*name).to_string()));
            ensure!(twice.is_none(), "tensor `{}` lies in two files", twice.unwrap_or(&""));
            files.push(file);
        }
        Ok(Self { files })
    }

    /// The tensors of all files.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.files.iter().flat_map(TensorFile::entries)
    }

    /// What the header says where there is one file.
    pub fn metadata(&self) -> Option<&HashMap<String, String>> {
        match self.files.as_slice() {
            [file] => Some(file.metadata()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Data, Tensor};
    use crate::tensor_file::write_tensors;

    #[test]
    fn shards_are_one() {
        let folder = std::env::temp_dir().join(format!("weft-shards-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tensor = |x: f32| Tensor::new(vec![1], Data::F32(vec![x])).unwrap();
        let index = |text: &str| std::fs::write(folder.join(INDEX), text).unwrap();
        write_tensors(&folder.join("a.safetensors"), &[("x".into(), tensor(1.0))]).unwrap();
        write_tensors(&folder.join("b.safetensors"), &[("y".into(), tensor(2.0))]).unwrap();
        let fault = || format!("{:#}", TensorFiles::open(&folder).err().unwrap());
        assert!(fault().contains("neither"), "{}", fault());
        index(r#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#);
        let names: Vec<String> = TensorFiles::open(&folder).unwrap().entries().map(|e| e.name.to_string()).collect();
        assert_eq!(names, ["x", "y"]);
        for (text, wrong) in [
            (r#"{"weight_map": {"x": "c.safetensors"}}"#, "c.safetensors is missing, which should hold `x`"),
            (r#"{"weight_map": {"z": "a.safetensors"}}"#, "has no tensor `z`"),
            (r#"{"weight_map": {"x": "../a.safetensors"}}"#, "no file's name"),
            (r#"{"weight_map": {"x": 1}}"#, "lies in no file"),
            ("{}", "no `weight_map`"),
            ("{", "not JSON"),
        ] {
            index(text);
            assert!(fault().contains(wrong), "{}", fault());
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
