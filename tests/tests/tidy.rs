//! Rules about the tree itself.

use std::fs;
use std::path::{Path, PathBuf};

use weft_dsl::elaborate::Program;
use weft_dsl::format::format;
use weft_dsl::render::{Style, render};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files below a folder with one of these endings, by path from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let (mut open, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with("snapshots") {
                    open.push(path);
                }
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e)) {
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    ["dsl", "runtime", "compiler", "tests"].iter().flat_map(|folder| files(folder, &["rs"])).collect()
}

fn nothing(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

#[test]
fn files_are_short() {
    /// Files that are longer for a reason.
    const LONGER: &[(&str, &str)] = &[
        ("dsl/src/ast.rs", "one type for each piece of the language, with nothing else"),
        ("compiler/src/graph/text/read.rs", "one reader, whose pieces know each other"),
    ];
    let long = |(path, text): &(String, String)| {
        let (lines, excused) = (text.lines().count(), LONGER.iter().any(|(file, _)| file == path));
        (lines > 450 && !excused).then(|| format!("{path}: {lines} lines"))
    };
    nothing(&sources().iter().filter_map(long).collect::<Vec<_>>(), "a file has at most 450 lines");
}

#[test]
fn nothing_is_left_behind() {
    // Written apart, so that this file keeps its own rule.
    let words = [["to", "do!("], ["db", "g!("], ["unimplement", "ed!("], ["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]]
        .map(|w| w.concat());
    let mut faults = Vec::new();
    let all =
        [sources(), files("stdlib", &["weft"]), files("examples", &["weft"]), files("tests/specs", &["weft"])].concat();
    for (path, text) in all {
        for (number, line) in text.lines().enumerate() {
            faults.extend(words.iter().filter(|w| line.contains(*w)).map(|w| format!("{path}:{}: `{w}`", number + 1)));
        }
    }
    nothing(&faults, "no work left open, no look at values, no path of one machine");
}

#[test]
fn every_file_says_what_it_holds() {
    let silent = |(path, text): &(String, String)| (!text.starts_with("//!")).then(|| path.clone());
    nothing(&sources().iter().filter_map(silent).collect::<Vec<_>>(), "a file begins with `//!`");
}

#[test]
fn specifications_are_formatted_and_clean() {
    let mut faults = Vec::new();
    for folder in ["stdlib", "examples", "tests/specs"] {
        for (path, text) in files(folder, &["weft"]) {
            match format(&text) {
                Ok(formatted) if formatted == text => {}
                Ok(_) => faults.push(format!("{path} is not formatted")),
                Err(_) => faults.push(format!("{path} cannot be read")),
            }
            let (program, mut found) = Program::load(&path, &text, &|_| None);
            if found.is_empty() {
                found = program.check();
            }
            if !found.is_empty() {
                faults.push(render(&found, program.sources(), Style::default()));
            }
        }
    }
    nothing(&faults, "specifications of the tree are formatted and have no fault");
}

/// The compiler finds things by their structure: what the library calls them is nowhere in it.
#[test]
fn no_stage_knows_a_name_of_the_library() {
    let names = [
        "SelfAttention",
        "LayerNorm",
        "NanoGpt",
        "BertMaskedLm",
        "BertClassifier",
        "Gpt2",
        "Llama",
        "adamw",
        "gelu_tanh",
        "cross_entropy",
    ];
    let mut faults = Vec::new();
    for (path, text) in ["dsl/src", "runtime/src", "compiler/src"].iter().flat_map(|folder| files(folder, &["rs"])) {
        // Tests and the documentation of examples may.
        let is_test = path.contains("test") || path.contains("/codes/") || path.contains("/commands/");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in lines.filter(|_| !is_test) {
            let known = names.iter().filter(|name| line.contains(*name));
            faults.extend(known.map(|name| format!("{path}:{}: `{name}`", number + 1)));
        }
    }
    nothing(&faults, "no stage knows a name of the library");
}
