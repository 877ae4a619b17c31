//! Formatting keeps the tree and the comments, and formatting twice is formatting once.

use std::path::{Path, PathBuf};

use super::*;

/// The tree without its places.
fn shape(source: &str) -> String {
    let (file, faults) = parse(FileId(0), source);
    assert!(faults.is_empty(), "{faults:#?}\n{source}");
    let debug = format!("{file:?}");
    let mut shape = String::with_capacity(debug.len());
    let mut rest = debug.as_str();
    while let Some(at) = rest.find("..") {
        let number = |c: char| c.is_ascii_digit();
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        shape.push_str(before.trim_end_matches(number));
        rest = after.trim_start_matches(number);
    }
    shape + rest
}

/// What the comments say, in any order.
fn comments(source: &str) -> Vec<&str> {
    let all = crate::parse::tokens::tokens(source);
    let comments = all.iter().filter(|token| matches!(token.kind, crate::parse::tokens::TokenKind::Comment { .. }));
    let mut texts: Vec<&str> = comments.map(|token| token.text(source).trim_start_matches('/').trim()).collect();
    texts.sort_unstable();
    texts
}

fn check(source: &str) -> String {
    let once = format(source).unwrap_or_else(|faults| panic!("{faults:#?}\n{source}"));
    assert_eq!(shape(&once), shape(source), "the tree changed:\n{once}");
    let twice = format(&once).unwrap_or_else(|faults| panic!("{faults:#?}\n{once}"));
    assert_eq!(twice, once, "formatting again changed it");
    once
}

fn weft_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            weft_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "weft") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_project_keeps_its_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["corpus", "../stdlib", "../examples", "../tests"] {
        weft_files(&root.join(dir), &mut files);
    }
    assert!(files.len() >= 7);
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        if parse(FileId(0), &source).1.is_empty() {
            let formatted = check(&source);
            assert_eq!(comments(&formatted), comments(&source), "{}", path.display());
            let windows = source.replace('\n', "\r\n");
            assert_eq!(check(&windows), formatted, "{}", path.display());
        }
    }
}

#[test]
fn the_projects_specifications_parse() {
    let mut files = Vec::new();
    for dir in ["corpus", "../stdlib", "../examples"] {
        weft_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut files);
    }
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(parse(FileId(0), &source).1, [], "{}", path.display());
    }
}

#[test]
fn every_construct() {
    insta::assert_snapshot!(check(include_str!("../../corpus/constructs.weft")));
}

#[test]
fn a_real_model() {
    insta::assert_snapshot!(check(include_str!("../../corpus/hard_cases.weft")));
}

#[test]
fn small_texts() {
    assert_eq!(check(""), "");
    assert_eq!(check("// only this"), "// only this\n");
    assert_eq!(check("\u{feff}axis a=1"), "axis a = 1\n");
    assert!(format("axis a =").is_err());
}

#[test]
fn a_comment_anywhere_is_kept_and_changes_nothing() {
    let sources = [
        include_str!("../../corpus/constructs.weft"),
        include_str!("../../corpus/gpt2.weft"),
        include_str!("../../corpus/stdlib_training.weft"),
    ];
    let mut tried = 0;
    for (n, source) in sources.into_iter().enumerate() {
        for (i, token) in crate::parse::tokens::tokens(source).into_iter().enumerate() {
            if i % 9 != n {
                continue;
            }
            for comment in ["// odd\n", "/// odd\n", "\n// odd\n\n"] {
                let mut text = source.to_owned();
                text.insert_str(token.start, comment);
                if parse(FileId(0), &text).1.is_empty() {
                    tried += 1;
                    assert_eq!(comments(&check(&text)), comments(&text), "{text}");
                }
            }
        }
    }
    assert!(tried > 100, "{tried}");
}
