//! The one layout of a specification: written from the tree, with every comment at the statement or list element it stood by.
//!
//! Two spaces a level, lines of at most 110 characters where there is a choice, single empty lines kept. Parentheses, number
//! and text literals stay as written. A body or a branch stays on one line if it was on one and fits.

mod doc;
mod exprs;
mod items;
mod lists;
mod recipes;
mod stmts;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use exprs::tensor_type;

use crate::diagnostic::Diagnostic;
use crate::parse::parse;
use crate::span::FileId;

use text::Text;

/// Formats a file. Formatting again changes nothing, and the result has the same syntax tree.
///
/// Fails with the syntax errors of the source: what does not parse is not touched.
pub fn format(source: &str) -> Result<String, Vec<Diagnostic>> {
    let (file, faults) = parse(FileId(0), source);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut formatter = Formatter { text: Text::new(source) };
    let lines = formatter.sequence(&file.items, |_, item| text::bytes(item.span), Formatter::item, 0..source.len());
    if lines.is_empty() {
        return Ok(String::new());
    }
    Ok(doc::print(&lists::stack(lines)))
}

/// Writes nodes in source order, so that the comments on the way can be taken along.
struct Formatter<'a> {
    text: Text<'a>,
}
