//! Every kind of fault: its wrong example has it, its right example has none, and the message is kept as a snapshot.

use super::checked;
use crate::codes::CODES;

/// Faults whose examples need more than a text: a file that is not there, 400 levels, a run.
const OUTSIDE: &[&str] = &["W0111", "W0506", "W0519"];

#[test]
fn examples_are_what_they_say() {
    let mut shown = String::new();
    let mut wrong = Vec::new();
    for row in CODES.iter().filter(|row| row.code >= "W0100" && !OUTSIDE.contains(&row.code)) {
        let text = checked(row.wrong);
        if !text.contains(&format!("[{}]", row.code)) {
            wrong.push(format!("{}: not found in:\n{}\n{text}", row.code, row.wrong));
        }
        let right = checked(row.right);
        if !right.is_empty() {
            wrong.push(format!("{}: the right example has a fault:\n{right}", row.code));
        }
        shown.push_str(&format!("== {} {}\n{}\n--\n{text}\n", row.code, row.title, row.wrong));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    insta::assert_snapshot!(shown);
}

#[test]
fn there_are_enough_kinds() {
    let within = |from: &str, to: &str| CODES.iter().filter(|row| row.code >= from && row.code < to).count();
    assert!(CODES.len() >= 30);
    assert!(within("W0200", "W0500") >= 15);
}
