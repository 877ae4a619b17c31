//! The pieces of a graph's text.

use super::in_word;

/// A piece of text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, or a word of the form.
    Word(String),
    /// Digits and what belongs to them, as written.
    Number(String),
    /// What stands in quotes.
    Text(String),
    /// Any other character.
    Mark(char),
    /// `->`
    Arrow,
    /// After the last.
    End,
}

/// The tokens with their lines.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    let mut line = 1;
    while let Some(c) = rest.next() {
        let token = match c {
            '\n' => {
                line += 1;
                continue;
            }
            _ if c.is_whitespace() => continue,
            '-' if rest.peek() == Some(&'>') => {
                rest.next();
                Token::Arrow
            }
            '"' => Token::Text(quoted(&mut rest).ok_or_else(|| format!("line {line}: a text without end"))?),
            _ if in_word(c) => {
                let mut word = String::from(c);
                while let Some(&next) = rest.peek() {
                    // The sign of an exponent: `1e-7`.
                    let sign =
                        matches!(next, '-' | '+') && c.is_ascii_digit() && word.ends_with('e') && !word.starts_with("0x");
                    if !in_word(next) && !sign {
                        break;
                    }
                    word.push(next);
                    rest.next();
                }
                if c.is_ascii_digit() { Token::Number(word) } else { Token::Word(word) }
            }
            _ => Token::Mark(c),
        };
        out.push((token, line));
    }
    out.push((Token::End, line));
    Ok(out)
}

/// The rest of a text in quotes, as Rust's `Debug` writes it.
fn quoted(rest: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut out = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(out),
            '\n' => return None,
            '\\' => out.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                'u' => {
                    let digits: String = rest.take_while(|&c| c != '}').filter(|&c| c != '{').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                c => c,
            }),
            c => out.push(c),
        }
    }
}
