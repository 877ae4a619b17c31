//! Brackets are matched before the grammar runs: a missing one gets a message about the bracket, not about what follows it.

use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};

use super::errors::span;
use super::tokens::{Token, TokenKind};

/// How deep brackets may nest. The grammar and every later stage recurse, so this bounds their stacks.
pub(super) const MAX_DEPTH: usize = 100;

/// Words that start an item.
pub(super) const ITEM_WORDS: [&str; 12] =
    ["use", "axis", "fn", "block", "model", "objective", "optimizer", "schedule", "table", "train", "weights", "test"];

/// Words that will start an item: what is said of them is that they are not supported yet.
pub(super) const LATER_ITEM_WORDS: [&str; 3] = ["adapt", "wrapper", "decode"];

/// What is wrong with the brackets, and where each item must start again if something is.
pub(super) struct Brackets {
    pub diagnostics: Vec<Diagnostic>,
    /// Code tokens (by index) at which an item starts although a bracket is open; empty when all brackets match.
    pub restarts: Vec<usize>,
}

/// Matches the brackets of `code` (tokens without comments and line feeds).
pub(super) fn check(file: FileId, source: &str, code: &[Token], first_on_line: &[bool]) -> Brackets {
    let whole = matching(file, source, code, &[]);
    if whole.is_empty() {
        return Brackets { diagnostics: whole, restarts: Vec::new() };
    }
    // Something does not match. An item at the left margin is then taken to end all that came before, so that one missing
    // brace is reported in its own item and the others are still read.
    let restarts: Vec<usize> = (0..code.len())
        .filter(|&i| first_on_line[i] && starts_item(source, code, i) && at_margin(source, code[i].start))
        .collect();
    Brackets { diagnostics: matching(file, source, code, &restarts), restarts }
}

/// An item's keyword and what must follow it; `model = …` is a line of a recipe.
fn starts_item(source: &str, code: &[Token], i: usize) -> bool {
    let word = code[i].text(source);
    let after = code.get(i + 1).map(|next| next.kind);
    (ITEM_WORDS.contains(&word) || LATER_ITEM_WORDS.contains(&word))
        && if word == "test" { after == Some(TokenKind::Text) } else { after == Some(TokenKind::Word) }
}

fn at_margin(source: &str, at: usize) -> bool {
    at == 0 || source.as_bytes()[at - 1] == b'\n'
}

fn matching(file: FileId, source: &str, code: &[Token], restarts: &[usize]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut open: Vec<Token> = Vec::new();
    let mut too_deep = false;
    for (i, token) in code.iter().enumerate() {
        if restarts.binary_search(&i).is_ok() {
            too_deep = false;
            found.extend(open.drain(..).map(|opener| unclosed(file, source, opener, Some(*token))));
        }
        match token.kind {
            TokenKind::Open => {
                open.push(*token);
                if open.len() > MAX_DEPTH && !too_deep {
                    too_deep = true;
                    found.push(nested_too_deep(span(file, token.start, token.end)));
                }
            }
            TokenKind::Close => {
                let closer = token.text(source);
                match open.iter().rposition(|opener| pair(opener.text(source)) == closer) {
                    Some(at) => {
                        found.extend(open.drain(at + 1..).map(|opener| unclosed(file, source, opener, Some(*token))));
                        open.pop();
                    }
                    None => found.push(extra(file, source, *token, open.last())),
                }
            }
            _ => {}
        }
    }
    found.extend(open.into_iter().map(|opener| unclosed(file, source, opener, None)));
    found
}

fn pair(opener: &str) -> &'static str {
    match opener {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// Nesting beyond [`MAX_DEPTH`].
pub(super) fn nested_too_deep(at: Span) -> Diagnostic {
    Diagnostic::error("W0004", "this is nested too deeply", at, "the limit is reached here")
        .help("bind inner parts to names: `part = …`, then use `part`")
}

fn unclosed(file: FileId, source: &str, opener: Token, met: Option<Token>) -> Diagnostic {
    let text = opener.text(source);
    let close = pair(text);
    let message = format!("this `{text}` is never closed");
    let error = Diagnostic::error("W0002", message, span(file, opener.start, opener.end), "opened here");
    match met {
        Some(met) => error.label(span(file, met.start, met.end), format!("`{close}` is missing before this")),
        None => {
            let end = source.trim_end().len();
            error.label(span(file, end, end), format!("`{close}` is missing at the end of the file"))
        }
    }
}

fn extra(file: FileId, source: &str, closer: Token, open: Option<&Token>) -> Diagnostic {
    let text = closer.text(source);
    let at = span(file, closer.start, closer.end);
    let error = Diagnostic::error("W0002", format!("this `{text}` closes nothing"), at, "no bracket of this kind is open");
    match open {
        Some(opener) => error.label(span(file, opener.start, opener.end), "the innermost open bracket is this one"),
        None => error.fix(at, "", format!("remove the `{text}`")),
    }
}
