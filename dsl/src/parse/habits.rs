//! Ways of writing that people bring along from Python, told by where the grammar stopped.

use super::Rule;
use super::tokens::{Token, TokenKind};
use crate::habits::advice;

/// What to write instead, where the last of the tokens, at which the grammar stopped, or what stands around it is such a habit.
pub(super) fn habit(source: &str, code: &[Token], rules: &[Rule]) -> Option<&'static str> {
    let text = |back: usize| code.len().checked_sub(back + 1).map_or("", |at| code[at].text(source));
    let (here, before) = (text(0), text(1));
    let number = code.last().is_some_and(|token| token.kind == TokenKind::Number);
    let after_value = rules.contains(&Rule::op_add);
    match here {
        _ if number || [":", "-", "["].contains(&here) => {
            if rules.contains(&Rule::entry) {
                Some(
                    "the axis is named: `x[time: 0]` is one place on it, `x[time: size(time) - 1]` the last, \
                     `x[time: 1..3 as some]` a slice",
                )
            } else if rules.contains(&Rule::axis_term) {
                Some("axes stand here by name, and an axis says its size where it is declared: `axis key = 64`")
            } else if here == ":" && rules.contains(&Rule::lbrace) {
                let looped = (2..8).map(text).find_map(|word| (word == "range").then(|| advice(word)).flatten());
                Some(looped.unwrap_or("a body stands in braces, `{ … }`"))
            } else {
                None
            }
        }
        "axis" if before == "," || before == "(" => Some("axes stand in brackets: `sum[time](x)`"),
        "=" if ["dim", "axes", "keepdim", "keepdims"].contains(&before) => Some("axes stand in brackets: `sum[time](x)`"),
        "=" if ["+", "-", "*", "/"].contains(&before) => Some("write the whole sum: `y = y + x`"),
        "if" if after_value => Some("a choice is `if c { x } else { y }`; by a tensor, `select(c, x, y)`"),
        _ => advice(here).or_else(|| advice(before).filter(|_| after_value)),
    }
}
