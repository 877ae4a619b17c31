//! A light tokenizer: enough to find comments, brackets and line ends before the grammar runs.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Word,
    /// `12`, `1e-4`.
    Number,
    /// `"text"`, quotes included.
    Text,
    /// `"text` without its closing quote; ends at the end of the line.
    OpenText,
    /// An operator, or a separator such as `,`.
    Punct,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// `// …` to the end of the line; `doc` when it starts with exactly three slashes.
    Comment { doc: bool },
    /// A line feed.
    Newline,
    /// A character that no token starts with.
    Bad,
}

/// A token of the source, as a range of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// Its text.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }
}

/// Operators of more than one character, longest first.
const LONG_PUNCT: [&str; 12] = ["..<", "->", "<-", "==", "!=", "<=", ">=", "..", "&&", "||", "**", ":="];

/// Splits a source into tokens; white space other than line feeds is dropped.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (kind, len) = match first {
            '\n' => (TokenKind::Newline, 1),
            ' ' | '\t' | '\r' => {
                at += 1;
                continue;
            }
            '\u{feff}' if at == 0 => {
                at += first.len_utf8();
                continue;
            }
            '/' if rest.starts_with("//") => {
                let line = rest.find('\n').unwrap_or(rest.len());
                let text = rest[..line].trim_end();
                let doc = text.starts_with("///") && !text.starts_with("////");
                (TokenKind::Comment { doc }, text.len())
            }
            '"' => text_token(rest),
            '(' | '[' | '{' => (TokenKind::Open, 1),
            ')' | ']' | '}' => (TokenKind::Close, 1),
            c if c.is_ascii_alphabetic() || c == '_' => (TokenKind::Word, word_len(rest)),
            c if c.is_ascii_digit() => (TokenKind::Number, number_len(rest)),
            _ => match LONG_PUNCT.iter().find(|punct| rest.starts_with(**punct)) {
                Some(punct) => (TokenKind::Punct, punct.len()),
                None if "+-*/^<>=,;:~.!".contains(first) => (TokenKind::Punct, 1),
                None => (TokenKind::Bad, first.len_utf8()),
            },
        };
        found.push(Token { kind, start: at, end: at + len });
        at += len;
    }
    found
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// The length of a number; `1..` is `1` before a range, `1e-4` one number.
fn number_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut end = word_len(rest);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1 + word_len(&rest[end + 1..]);
    }
    let exponent =
        end > 1 && matches!(bytes[end - 1], b'e' | b'E') && bytes[..end - 1].iter().all(|b| !b.is_ascii_alphabetic());
    if exponent && matches!(bytes.get(end), Some(b'+' | b'-')) && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1 + word_len(&rest[end + 1..]);
    }
    end
}

fn text_token(rest: &str) -> (TokenKind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return (TokenKind::OpenText, rest[..at].trim_end().len()),
            '"' if !escaped => return (TokenKind::Text, at + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (TokenKind::OpenText, rest.trim_end().len())
}
