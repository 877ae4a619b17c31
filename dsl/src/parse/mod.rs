//! From text to [`ast`]. Comments, brackets and statement ends are settled first ([`layout`]), then each item is read by the
//! grammar in `weft.pest` on its own, so that every item with a syntax error is reported.

mod brackets;
mod builder;
mod errors;
mod exprs;
mod grammar;
mod habits;
mod items;
mod layout;
mod recipes;
mod stmts;
pub(crate) mod tokens;
mod types;

#[cfg(test)]
mod tests;

use pest::Parser;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::span::FileId;

use builder::Builder;
use grammar::{Grammar, Rule};
use layout::Layout;

/// Reads a file. An item with a syntax error is left out of the tree and reported; the others are read all the same.
///
/// Diagnostics have codes `W0001` to `W0029` and come in source order.
pub fn parse(file: FileId, source: &str) -> (ast::File, Vec<Diagnostic>) {
    if u32::try_from(source.len()).is_err() {
        let start = errors::span(file, 0, 0);
        return (ast::File::default(), vec![Diagnostic::error("W0001", "this file is larger than 4 GiB", start, "")]);
    }
    let mut layout = layout::layout(file, source);
    let mut diagnostics = std::mem::take(&mut layout.diagnostics);
    let faults: Vec<usize> =
        diagnostics.iter().filter_map(|fault| fault.labels.first()).map(|label| label.span.start as usize).collect();
    let mut items = Vec::new();
    for range in &layout.items {
        let (start, end) = (layout.code[range.start].start, layout.code[range.end - 1].end);
        if !faults.iter().any(|at| (start..=end).contains(at)) {
            let builder = Builder::new(file, source, &layout.docs, start);
            items.extend(item(&layout, &builder, range.clone()));
            diagnostics.extend(builder.into_diagnostics());
        }
    }
    diagnostics.sort_by_key(|fault| fault.labels.first().map_or(0, |label| label.span.start));
    (ast::File { items }, diagnostics)
}

fn item(layout: &Layout, builder: &Builder<'_>, range: std::ops::Range<usize>) -> Option<ast::Item> {
    if let Some(fault) = errors::not_an_item(builder, &layout.code, range.clone()) {
        builder.report(fault);
        return None;
    }
    let (start, end) = (layout.code[range.start].start, layout.code[range.end - 1].end);
    match Grammar::parse(Rule::item, &layout.text[start..end]) {
        Ok(mut pairs) => pairs.next().and_then(|pair| builder.item(pair)),
        Err(error) => {
            builder.report(errors::syntax(builder, layout, range, &error));
            None
        }
    }
}
