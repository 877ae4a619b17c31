//! Statements under one another and elements within brackets: the two places where comments have a home.

use std::ops::Range;

use super::Formatter;
use super::doc::{Doc, concat_docs};

/// A line of a body, and whether an empty one stands above it.
pub(super) struct Row {
    blank: bool,
    doc: Doc,
}

/// The lines under one another.
pub(super) fn stack(rows: Vec<Row>) -> Doc {
    let mut stacked = Vec::new();
    for (i, row) in rows.into_iter().enumerate() {
        if i > 0 {
            stacked.push(Doc::Hard);
            if row.blank {
                stacked.push(Doc::Hard);
            }
        }
        stacked.push(row.doc);
    }
    Doc::Concat(stacked)
}

/// How a list stands between its brackets.
#[derive(Clone, Copy)]
pub(super) struct Brackets {
    pub open: &'static str,
    pub close: &'static str,
    /// `{ a, b }` as against `(a, b)`.
    pub spaced: bool,
}

pub(super) const ROUND: Brackets = Brackets { open: "(", close: ")", spaced: false };
pub(super) const SQUARE: Brackets = Brackets { open: "[", close: "]", spaced: false };
pub(super) const CURLY: Brackets = Brackets { open: "{", close: "}", spaced: true };

impl<'a> Formatter<'a> {
    /// The nodes that stand within `bounds`, one a line, with the comments between them.
    ///
    /// A comment within a node that found no place there goes above the node.
    pub fn sequence<T>(
        &mut self,
        nodes: &[T],
        place: impl Fn(&Self, &T) -> Range<usize>,
        print: impl Fn(&mut Self, &T) -> Doc,
        bounds: Range<usize>,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut at = bounds.start;
        for node in nodes {
            let place = place(self, node);
            let first = rows.len();
            for comment in self.text.comments_before(place.start) {
                let blank = self.text.blank_between(at, comment.start);
                at = comment.end;
                // `///` at the end of a line documents nothing; on a line of its own it would.
                let text = if self.text.on_its_own_line(comment.start) {
                    self.text.slice(comment).to_owned()
                } else {
                    plain(self.text.slice(comment))
                };
                rows.push(Row { blank, doc: Doc::Text(text) });
            }
            let blank = self.text.blank_between(at, place.start);
            rows.push(Row { blank, doc: print(self, node) });
            let homeless = self.text.comments_before(place.end);
            if let Some(comment) = self.text.comment_after(place.end, bounds.end)
                && let Some(row) = rows.last_mut()
            {
                row.doc = concat_docs![std::mem::replace(&mut row.doc, Doc::Hard), Doc::Comment(comment)];
            }
            self.insert_homeless(&mut rows, first, homeless);
            at = place.end;
        }
        for comment in self.text.comments_before(bounds.end) {
            let blank = self.text.blank_between(at, comment.start);
            rows.push(Row { blank, doc: Doc::text(self.text.slice(comment.clone())) });
            at = comment.end;
        }
        rows
    }

    /// Puts comments above the last row, but above its documentation (rows from `first` on are its own), and never as a part
    /// of that.
    fn insert_homeless(&self, rows: &mut Vec<Row>, first: usize, homeless: Vec<Range<usize>>) {
        let is_doc = |row: &Row| matches!(&row.doc, Doc::Text(text) if text.starts_with("///"));
        let mut above = rows.len() - 1;
        while above > first && is_doc(&rows[above - 1]) {
            above -= 1;
        }
        for (i, comment) in homeless.into_iter().enumerate() {
            let text = plain(self.text.slice(comment));
            let blank = i == 0 && std::mem::take(&mut rows[above].blank);
            rows.insert(above + i, Row { blank, doc: Doc::Text(text) });
        }
    }

    /// A body between braces: `braces` covers both. One node stays on its line if it was written so.
    pub fn braced<T>(
        &mut self,
        nodes: &[T],
        place: impl Fn(&Self, &T) -> Range<usize>,
        print: impl Fn(&mut Self, &T) -> Doc,
        braces: Range<usize>,
    ) -> Doc {
        let inline = nodes.len() == 1 && !self.text.slice(braces.clone()).contains('\n');
        let rows = self.sequence(nodes, place, print, braces.start + 1..braces.end - 1);
        if rows.is_empty() {
            return Doc::text("{}");
        }
        let line = if inline { Doc::Line } else { Doc::Hard };
        Doc::group(concat_docs!["{", Doc::indent(concat_docs![line.clone(), stack(rows)]), line, "}"])
    }

    /// Elements between brackets: on one line, or else on the lines on which they were written, or one a line, with a comma after each.
    /// `bounds` covers both brackets.
    pub fn list<T>(
        &mut self,
        nodes: &[T],
        place: impl Fn(&Self, &T) -> Range<usize>,
        print: impl Fn(&mut Self, &T) -> Doc,
        brackets: Brackets,
        bounds: Range<usize>,
    ) -> Doc {
        let close = bounds.end - 1;
        let mut parts = Vec::new();
        let mut elements = Vec::new();
        let mut forced = false;
        for (i, node) in nodes.iter().enumerate() {
            let place = place(self, node);
            let mut parts = Vec::new();
            let mut above = self.text.comments_before(place.start);
            let doc = print(self, node);
            above.extend(self.text.comments_before(place.end));
            for comment in above {
                parts.push(concat_docs![self.text.slice(comment), Doc::Hard]);
            }
            parts.push(doc);
            if i + 1 < nodes.len() {
                parts.push(Doc::text(","));
            }
            if let Some(comment) = self.text.comment_after(place.end, close) {
                parts.push(Doc::Comment(comment));
            }
            elements.push((place.start, Doc::Concat(parts)));
        }
        if !elements.is_empty() {
            parts.extend([self.lines(elements), Doc::IfBroken(",")]);
        }
        for (i, comment) in self.text.comments_before(close).into_iter().enumerate() {
            if i > 0 || !nodes.is_empty() {
                parts.push(Doc::Hard);
            }
            parts.push(Doc::text(self.text.slice(comment)));
            forced = true;
        }
        let Brackets { open, close, spaced } = brackets;
        if parts.is_empty() {
            return Doc::Text(format!("{open}{close}"));
        }
        let line = if spaced { Doc::Line } else { Doc::Soft };
        let inner = concat_docs![open, Doc::indent(concat_docs![line.clone(), Doc::Concat(parts)]), line, close];
        let forced = forced || inner.must_break();
        Doc::Group(Box::new(inner), forced)
    }

    /// Elements by where they start: together those that were written on one line, unless none began one.
    pub fn lines(&self, elements: Vec<(usize, Doc)>) -> Doc {
        let as_written = elements.iter().any(|(start, _)| self.text.on_its_own_line(*start));
        let mut lines: Vec<Vec<Doc>> = Vec::new();
        for (start, doc) in elements {
            match lines.last_mut() {
                Some(line) if as_written && !self.text.on_its_own_line(start) => line.push(doc),
                _ => lines.push(vec![doc]),
            }
        }
        Doc::join(lines.into_iter().map(|line| Doc::group(Doc::join(line, &Doc::Line))).collect(), &Doc::Line)
    }
}

/// A comment that is no documentation.
fn plain(comment: &str) -> String {
    format!("//{}", comment.trim_start_matches('/'))
}
