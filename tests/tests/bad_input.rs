//! What executables and the linker say to files that are not what they should be: a failure, a message that names the file and
//! what to do, and nothing changed on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use insta::assert_snapshot;
use tempfile::TempDir;
use weft_runtime::tensor::Tensor;
use weft_runtime::weights::{read_tensors, write_tensors};
use weft_tests::executable::{build, command, files, said};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/bad_input").join(name)
}

/// The executable, built once.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bigram");
        build(&case("bigram.weft"), &path).unwrap_or_else(|e| panic!("{e:#}"));
        path
    })
}

/// A folder with all that the executable needs: `weights`, `ids` and `text.txt`.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder };
        fs::copy(case("text.txt"), desk.path("text.txt")).unwrap();
        desk.tensors("ids", &[("ids", Tensor::i64(&[1, 3], vec![0, 1, 2]).unwrap())]);
        desk.tensors("weights", &desk.weights());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tensors(&self, name: &str, tensors: &[(&str, Tensor)]) {
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| ((*name).to_string(), tensor.clone())).collect();
        write_tensors(&self.path(name), &tensors).unwrap();
    }

    /// Of six characters.
    fn weights(&self) -> [(&'static str, Tensor); 2] {
        [("table", floats(&[6, 6])), ("shift", floats(&[6]))]
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// What the executable says to a command line that it refuses. Nothing on disk may change.
    fn refused(&self, args: &str) -> String {
        let args: Vec<&str> = args.split(' ').collect();
        self.fails(command(executable(), self.folder.path(), &args))
    }

    fn fails(&self, mut command: Command) -> String {
        let before = files(self.folder.path()).unwrap();
        let output = command.output().unwrap();
        let words = said(&output, 1).unwrap_or_else(|e| panic!("{e:#}"));
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        let after = files(self.folder.path()).unwrap();
        let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "a file came or went");
        assert!(after == before, "a file was changed");
        words
    }

    fn run(&self) -> String {
        self.refused("run --weights weights --inputs ids --output logits")
    }

    fn train(&self) -> String {
        self.refused("train --quiet --data text.txt --out out")
    }
}

fn floats(shape: &[usize]) -> Tensor {
    Tensor::f32(shape, (0..shape.iter().product()).map(|i: usize| i as f32 / 8.0).collect()).unwrap()
}

#[test]
fn what_is_refused_here_works_otherwise() {
    let desk = Desk::new();
    let run = |line: &str| {
        let args: Vec<&str> = line.split(' ').collect();
        said(&command(executable(), desk.folder.path(), &args).output().unwrap(), 0).unwrap_or_else(|e| panic!("{e:#}"))
    };
    assert_eq!(run("run --weights weights --inputs ids --output logits"), "");
    let logits = read_tensors(&desk.path("logits")).unwrap();
    assert_eq!((logits[0].0.as_str(), logits[0].1.shape.as_slice()), ("logits", [1, 3, 6].as_slice()));
    assert_eq!(run("train --quiet --data text.txt --out out"), "");
    assert!(desk.path("out/weights.safetensors").exists());
}

#[test]
fn a_missing_weight() {
    let desk = Desk::new();
    desk.tensors("weights", &desk.weights()[..1]);
    assert_snapshot!(desk.run());
}

#[test]
fn an_extra_weight() {
    let desk = Desk::new();
    let [table, shift] = desk.weights();
    desk.tensors("weights", &[table, shift, ("tabel", floats(&[2]))]);
    assert_snapshot!(desk.run());
}

#[test]
fn a_misshapen_weight() {
    let desk = Desk::new();
    desk.tensors("weights", &[("table", floats(&[6, 5])), ("shift", floats(&[6]))]);
    assert_snapshot!(desk.run());
}

#[test]
fn weights_that_are_cut_off() {
    let desk = Desk::new();
    let whole = desk.bytes("weights");
    desk.write("weights", &whole[..whole.len() - 7]);
    assert_snapshot!("in_the_data", desk.run());
    desk.write("weights", &whole[..40]);
    assert_snapshot!("in_the_header", desk.run());
    desk.write("weights", &whole[..5]);
    assert_snapshot!("in_the_length", desk.run());
    desk.write("weights", b"");
    assert_snapshot!("empty", desk.run());
}

#[test]
fn every_shorter_file_of_weights_is_refused() {
    let desk = Desk::new();
    let whole = desk.bytes("weights");
    for length in (0..whole.len()).step_by(11) {
        desk.write("weights", &whole[..length]);
        let words = desk.run();
        assert!(words.contains("weights") && words.starts_with("error: "), "{length} bytes: {words}");
    }
}

/// A file with this header and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_header_that_lies() {
    let desk = Desk::new();
    let shift = r#""shift":{"dtype":"F32","shape":[6],"data_offsets":[144,168]}"#;
    let table = |shape: &str, offsets: &str| {
        format!(r#"{{"table":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}},{shift}}}"#)
    };
    desk.write("weights", &with_header(&table("[6,6]", "[0,999999]"), 168));
    assert_snapshot!("offsets_beyond_the_file", desk.run());
    desk.write("weights", &with_header(&table("[9,9]", "[0,144]"), 168));
    assert_snapshot!("a_shape_that_is_larger_than_its_data", desk.run());
    desk.write("weights", &with_header(&table("[4294967296,4294967296]", "[0,144]"), 168));
    assert_snapshot!("a_shape_without_a_size", desk.run());
    desk.write("weights", &with_header(&table("[6,6]", "[144,0]"), 168));
    assert_snapshot!("offsets_backwards", desk.run());
    desk.write("weights", &with_header("{not json}", 0));
    assert_snapshot!("a_header_that_is_none", desk.run());
    desk.write("weights", &[0xff; 64]);
    assert_snapshot!("a_header_of_any_length", desk.run());
}

#[test]
fn a_weight_file_that_is_not_there() {
    let desk = Desk::new();
    fs::remove_file(desk.path("weights")).unwrap();
    assert_snapshot!("missing", desk.run());
    fs::create_dir(desk.path("weights")).unwrap();
    assert_snapshot!("a_folder", desk.run());
}

#[test]
fn text_that_cannot_be_trained_on() {
    let desk = Desk::new();
    desk.write("text.txt", b"");
    assert_snapshot!("empty_text", desk.train());
    desk.write("text.txt", b"abcd\nab\xe4d abcd abcd");
    assert_snapshot!("text_of_another_encoding", desk.train());
    desk.write("text.txt", "abcd\nabxd abcd abcd".as_bytes());
    assert_snapshot!("text_with_a_new_character", desk.train());
    desk.write("text.txt", b"abc");
    assert_snapshot!("text_that_is_too_short", desk.train());
    fs::remove_file(desk.path("text.txt")).unwrap();
    assert_snapshot!("text_that_is_missing", desk.train());
    fs::create_dir(desk.path("text.txt")).unwrap();
    assert_snapshot!("text_that_is_a_folder", desk.train());
}

#[test]
fn inputs_that_do_not_fit() {
    let desk = Desk::new();
    let ids = |shape: &[usize], values: &[i64]| [("ids", Tensor::i64(shape, values.to_vec()).unwrap())];
    desk.tensors("ids", &ids(&[1, 3], &[0, 6, 2]));
    assert_snapshot!("an_index_too_large", desk.run());
    desk.tensors("ids", &ids(&[1, 3], &[0, 1, -1]));
    assert_snapshot!("a_negative_index", desk.run());
    desk.tensors("ids", &ids(&[1, 2], &[1 << 32, 0]));
    assert_snapshot!("an_index_beyond_32_bits", desk.run());
    desk.tensors("ids", &ids(&[3], &[0, 1, 2]));
    assert_snapshot!("an_axis_too_few", desk.run());
    desk.tensors("ids", &[("ids", floats(&[1, 3]))]);
    assert_snapshot!("floats_for_indices", desk.run());
    desk.tensors("ids", &[("id", Tensor::i64(&[1, 3], vec![0, 1, 2]).unwrap())]);
    assert_snapshot!("another_name", desk.run());
}

#[test]
fn batches_that_do_not_fit_are_named() {
    let desk = Desk::new();
    let refused = |line: &str| {
        let said = desk.refused(line);
        assert!(said.starts_with("error: with the batches of given: "), "{said}");
    };
    let ids = ("ids", Tensor::i64(&[1, 2, 3], vec![0, 1, 2, 3, 4, 5]).unwrap());
    desk.tensors("given", &[ids.clone(), ("next", Tensor::i64(&[1, 2, 2], vec![0; 4]).unwrap())]);
    refused("evaluate --weights weights --batches given");
    desk.tensors("given", std::slice::from_ref(&ids));
    refused("train --quiet --out out --batches given");
    desk.tensors("given", &[ids.clone(), ("next", ids.1.clone())]);
    refused("train --quiet --out out --batches given --steps 2");
}

#[test]
fn the_version_of_an_executable() {
    let output = command(executable(), Path::new("."), &["--version"]).output().unwrap();
    let version = format!("bigram compiled by weft {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), (version.as_str(), Some(0)));
}

#[test]
fn a_full_disk() {
    let desk = Desk::new();
    assert_snapshot!("a_full_device", desk.refused("run --weights weights --inputs ids --output /dev/full"));

    // No file may become larger than a block of the shell's: the old results stay, and nothing beside them.
    desk.tensors("ids", &[("ids", Tensor::i64(&[8, 64], vec![1; 512]).unwrap())]);
    desk.write("logits", b"what was there before");
    let limited = |line: &str| {
        let script = format!("trap '' XFSZ; ulimit -f 1; exec '{}' {line}", executable().display());
        command(Path::new("/bin/sh"), desk.folder.path(), &["-c", &script])
    };
    assert_snapshot!("a_full_disk", desk.fails(limited("run --weights weights --inputs ids --output logits")));
}

#[test]
fn a_disk_that_fills_up_in_training() {
    let desk = Desk::new();
    let train = |line: &str, blocks: &str| {
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' train --quiet --data text.txt --out out {line}",
            executable().display()
        );
        command(Path::new("/bin/sh"), desk.folder.path(), &["-c", &script]).output().unwrap()
    };
    said(&train("--steps 1", "unlimited"), 0).unwrap_or_else(|e| panic!("{e:#}"));
    let state = || {
        let kept = files(desk.folder.path()).unwrap().into_iter();
        // Metrics and curve grow as training goes on; all others are kept or replaced whole.
        kept.map(
            |(path, content)| {
                if path.extension().is_some_and(|e| e == "safetensors") { (path, content) } else { (path, Vec::new()) }
            },
        )
        .collect::<Vec<_>>()
    };
    let before = state();
    let words = said(&train("--resume --steps 2", "1"), 1).unwrap_or_else(|e| panic!("{e:#}"));
    assert_snapshot!("a_full_disk_in_training", words);
    assert!(state() == before, "a file came or went, or a checkpoint was changed");
    // With room again it goes on.
    said(&train("--resume --steps 2", "unlimited"), 0).unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn text_that_cannot_be_compiled_with() {
    let desk = Desk::new();
    fs::copy(case("bigram.weft"), desk.path("bigram.weft")).unwrap();
    let refused = || {
        let error = build(&desk.path("bigram.weft"), &desk.path("bigram")).unwrap_err();
        assert!(!desk.path("bigram").exists());
        format!("{error:#}").replace(&desk.folder.path().display().to_string(), "DIR")
    };
    desk.write("text.txt", b"ab\xe4d");
    assert_snapshot!("a_vocabulary_of_another_encoding", refused());
    desk.write("text.txt", b"");
    assert_snapshot!("a_vocabulary_of_nothing", refused());
    fs::remove_file(desk.path("text.txt")).unwrap();
    assert_snapshot!("a_vocabulary_of_a_missing_text", refused());
}

#[test]
fn no_linker() {
    let desk = Desk::new();
    desk.write("old", b"the executable that was there before");
    let link = |compiler: &str| {
        let this = std::env::current_exe().unwrap();
        let mut command =
            command(&this, desk.folder.path(), &["--exact", "child_that_links", "--ignored", "--nocapture", "--quiet"]);
        command.env("CC", compiler).env("TMPDIR", desk.folder.path());
        let before = files(desk.folder.path()).unwrap();
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(files(desk.folder.path()).unwrap() == before, "something on disk was changed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_snapshot!("no_linker", link("/nonexistent/cc"));
    assert_snapshot!("a_linker_that_fails", link("false"));
}

#[test]
#[ignore = "run by no_linker, with another CC"]
fn child_that_links() {
    if std::env::var_os("CC").is_some() {
        let error = build(&case("bigram.weft"), Path::new("old")).unwrap_err();
        eprintln!("{error:#}");
    }
}
