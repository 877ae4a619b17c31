//! What happens to a source before the grammar: comments are found and blanked, line feeds that do not end a statement are
//! blanked, and the file is cut into items. The prepared text has the same length as the source, so places stay true.
//!
//! A line feed ends a statement unless the innermost bracket is `(` or `[`, or the line ends with something that wants more
//! (an operator, `=`, `,`, `->` …), or the next line starts with something that cannot start a statement.

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::span::FileId;

use super::brackets::{self, ITEM_WORDS, LATER_ITEM_WORDS};
use super::errors::span;
use super::tokens::{Token, TokenKind, tokens};

/// A source made ready for the grammar.
pub(super) struct Layout {
    /// As long as the source, with comments and insignificant line feeds blank.
    pub text: String,
    /// Tokens without comments and line feeds.
    pub code: Vec<Token>,
    /// The items: ranges of `code`.
    pub items: Vec<std::ops::Range<usize>>,
    /// The `///` lines right above the token that starts at the key.
    pub docs: HashMap<usize, Vec<String>>,
    /// Faults of tokens and brackets; an item that holds one is not read further.
    pub diagnostics: Vec<Diagnostic>,
}

/// Prepares a source.
pub(super) fn layout(file: FileId, source: &str) -> Layout {
    let all = tokens(source);
    let docs = docs(source, &all);
    let mut code = Vec::new();
    let mut first_on_line = Vec::new();
    let mut newline = true;
    let mut gaps = Vec::new();
    let mut gap = None;
    for token in all {
        match token.kind {
            TokenKind::Newline => {
                newline = true;
                gap = gap.or(Some(token.start));
            }
            TokenKind::Comment { .. } => {}
            _ => {
                code.push(token);
                first_on_line.push(std::mem::take(&mut newline));
                gaps.push(gap.take());
            }
        }
    }
    let mut diagnostics: Vec<Diagnostic> = code.iter().filter_map(|token| bad_token(file, source, *token)).collect();
    let brackets = brackets::check(file, source, &code, &first_on_line);
    diagnostics.extend(brackets.diagnostics);

    let mut text = vec![b' '; source.len()];
    let mut items = Vec::new();
    let mut start = 0;
    let mut open: Vec<u8> = Vec::new();
    for (i, token) in code.iter().enumerate() {
        if brackets.restarts.binary_search(&i).is_ok() {
            open.clear();
        }
        let statement = matches!(open.last(), None | Some(b'{'));
        let separator = token.text(source) == ";" && open.is_empty();
        let ends = i > start && statement && gaps[i].is_some() && !continues(source, &code, i, open.len());
        let cut = open.is_empty() && (separator || ends || brackets.restarts.binary_search(&i).is_ok());
        if cut {
            if i > start {
                items.push(start..i);
            }
            start = if separator { i + 1 } else { i };
        } else if ends && let Some(at) = gaps[i] {
            text[at] = b'\n';
        }
        if !separator {
            text[token.start..token.end].copy_from_slice(&source.as_bytes()[token.start..token.end]);
        }
        match token.kind {
            TokenKind::Open => open.push(source.as_bytes()[token.start]),
            TokenKind::Close => _ = open.pop(),
            _ => {}
        }
    }
    if start < code.len() {
        items.push(start..code.len());
    }
    merge_strays(source, &code, &mut items);
    // Tokens are copied whole and everything else is ASCII, so this cannot fail.
    let text = String::from_utf8(text).unwrap_or_else(|_| " ".repeat(source.len()));
    Layout { text, code, items, docs, diagnostics }
}

/// A run of lines that start no item is one fault, not one for each line.
fn merge_strays(source: &str, code: &[Token], items: &mut Vec<std::ops::Range<usize>>) {
    let stray = |range: &std::ops::Range<usize>| {
        let word = code[range.start].text(source);
        !ITEM_WORDS.contains(&word) && !LATER_ITEM_WORDS.contains(&word)
    };
    items.dedup_by(|later, earlier| {
        let merge = stray(later) && stray(earlier);
        if merge {
            earlier.end = later.end;
        }
        merge
    });
}

fn bad_token(file: FileId, source: &str, token: Token) -> Option<Diagnostic> {
    let at = span(file, token.start, token.end);
    let text = token.text(source);
    match token.kind {
        TokenKind::OpenText => {
            Some(Diagnostic::error("W0005", "this text has no closing `\"`", at, "it must end on its line").fix(
                span(file, token.end, token.end),
                "\"",
                "close it",
            ))
        }
        TokenKind::Bad => {
            let error = Diagnostic::error(
                "W0006",
                format!("`{}` has no meaning in Weft", text.escape_debug()),
                at,
                "not expected here",
            );
            Some(match text {
                "#" => error.fix(at, "//", "start a comment with `//`"),
                "%" => error.fix(at, "mod", "write the remainder as `mod`"),
                "@" => error.help("`dot[feature](x, w)` is the sum over `feature` of x · w"),
                "'" => error.help("text stands in double quotes: `\"…\"`"),
                "&" => error.help("logical and is `and`"),
                "|" => error.help("logical or is `or`"),
                "×" => error.fix(at, "*", "multiply with `*`"),
                "−" | "–" => error.fix(at, "-", "use the ASCII minus sign"),
                "“" | "”" => error.fix(at, "\"", "use straight quotes"),
                _ if text.chars().any(char::is_alphabetic) => error.help("names are made of ASCII letters, digits and `_`"),
                _ => error,
            })
        }
        _ => None,
    }
}

/// Whether the statement goes on over the line feed before `code[next]`.
fn continues(source: &str, code: &[Token], next: usize, depth: usize) -> bool {
    wants_more(source, code, next - 1) || goes_on(source, code, next, depth)
}

const OPERATOR_WORDS: [&str; 7] = ["and", "or", "where", "otherwise", "div", "mod", "as"];
const INFIX: [&str; 12] = ["+", "-", "*", "/", "^", "==", "!=", "<", "<=", ">", ">=", "&&"];

/// Whether a line that ends with `code[last]` has more to come.
fn wants_more(source: &str, code: &[Token], last: usize) -> bool {
    let token = code[last];
    let text = token.text(source);
    match token.kind {
        TokenKind::Word => OPERATOR_WORDS.contains(&text) || text == "not",
        TokenKind::Punct if text == "*" => {
            // `rate = 0 on layers.*` ends with a star that is no operator.
            !(last > 0 && code[last - 1].text(source) == "." && code[last - 1].end == token.start)
        }
        TokenKind::Punct => INFIX.contains(&text) || ["=", ",", ":", "~", "->", "<-", "||"].contains(&text),
        _ => false,
    }
}

/// Whether a line that starts with `code[next]` belongs to the statement before it.
fn goes_on(source: &str, code: &[Token], next: usize, depth: usize) -> bool {
    let token = code[next];
    let text = token.text(source);
    let after = code.get(next + 1);
    let after_text = after.map_or("", |after| after.text(source));
    match token.kind {
        TokenKind::Word if ["over", "with", "carry"].contains(&text) => {
            after.is_some_and(|after| after.kind == TokenKind::Word) || (depth == 0 && after_text == "(")
        }
        TokenKind::Word if text == "also" => after.is_some_and(|after| after.kind == TokenKind::Text),
        // `else` joins only a closing brace: elsewhere it is a fault that the grammar reports.
        TokenKind::Word => OPERATOR_WORDS.contains(&text) || (text == "else" && code[next - 1].text(source) == "}"),
        TokenKind::Punct if text == "*" => after_text != ".",
        TokenKind::Punct if text == "." => after.is_some_and(|after| after.kind == TokenKind::Word),
        TokenKind::Punct => INFIX.contains(&text) || ["=", ",", "->", "<-", "~", "||"].contains(&text),
        // A brace on its own line opens the body of what stands above it, unless it lists names: `{query, keys}.weight <- …`.
        TokenKind::Open => {
            let third = code.get(next + 2).map_or("", |third| third.text(source));
            let lists = [",", "."].contains(&third) && after.is_some_and(|after| after.start == token.end);
            text == "{" && !lists && code[next - 1].text(source) != "{"
        }
        _ => false,
    }
}

/// The `///` lines that stand directly above the first token of a line.
fn docs(source: &str, all: &[Token]) -> HashMap<usize, Vec<String>> {
    let mut found = HashMap::new();
    let mut block: Vec<String> = Vec::new();
    let mut line_is_empty = true;
    let mut line_is_doc = false;
    for token in all {
        match token.kind {
            TokenKind::Newline => {
                if !line_is_doc {
                    block.clear();
                }
                line_is_empty = true;
                line_is_doc = false;
            }
            TokenKind::Comment { doc: true } if line_is_empty => {
                let text = &token.text(source)[3..];
                block.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
                line_is_doc = true;
            }
            _ => {
                if line_is_empty && !block.is_empty() {
                    found.insert(token.start, std::mem::take(&mut block));
                }
                line_is_empty = false;
            }
        }
    }
    found
}
