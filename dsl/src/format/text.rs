//! The source as the formatter needs it: tokens by place, matching brackets, and the comments not yet written.

use std::ops::Range;

use crate::ast::{AxisTerm, Expr, ExprKind, Param, ParamType};
use crate::parse::tokens::{Token, TokenKind, tokens};
use crate::span::Span;

/// A comment of the source.
pub(super) struct Comment {
    pub start: usize,
    pub end: usize,
}

/// The source with its tokens. All places are bytes of the source.
pub(super) struct Text<'a> {
    pub source: &'a str,
    code: Vec<Token>,
    /// For a bracket, the token that matches it.
    pairs: Vec<usize>,
    comments: Vec<Comment>,
    /// The first comment not yet written.
    next: usize,
}

/// The bytes of a span.
pub(super) fn bytes(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

impl<'a> Text<'a> {
    /// The source must parse: brackets match.
    pub fn new(source: &'a str) -> Self {
        let mut code = Vec::new();
        let mut comments = Vec::new();
        for token in tokens(source) {
            match token.kind {
                TokenKind::Comment { .. } => comments.push(Comment { start: token.start, end: token.end }),
                TokenKind::Newline => {}
                _ => code.push(token),
            }
        }
        let mut pairs: Vec<usize> = (0..code.len()).collect();
        let mut open = Vec::new();
        for (i, token) in code.iter().enumerate() {
            match token.kind {
                TokenKind::Open => open.push(i),
                TokenKind::Close => {
                    if let Some(opener) = open.pop() {
                        pairs[opener] = i;
                        pairs[i] = opener;
                    }
                }
                _ => {}
            }
        }
        Self { source, code, pairs, comments, next: 0 }
    }

    pub fn slice(&self, range: Range<usize>) -> &'a str {
        &self.source[range]
    }

    /// The token that starts at or after a place.
    fn token_at(&self, at: usize) -> usize {
        self.code.partition_point(|token| token.start < at).min(self.code.len().saturating_sub(1))
    }

    /// Where the token `count` before the one at this place starts.
    pub fn back(&self, at: usize, count: usize) -> usize {
        self.code[self.token_at(at).saturating_sub(count)].start
    }

    /// The text of the first token at or after a place; empty at the end of the file.
    pub fn word_after(&self, at: usize) -> &'a str {
        self.code.get(self.code.partition_point(|token| token.start < at)).map_or("", |token| token.text(self.source))
    }

    /// The end of the first token at or after a place.
    pub fn end_after(&self, at: usize) -> usize {
        self.code[self.token_at(at)].end
    }

    /// From the first bracket at or after a place to the one that matches it, both included.
    pub fn bracket_after(&self, at: usize) -> Range<usize> {
        let first = self.token_at(at);
        let open = (first..self.code.len()).find(|&i| self.code[i].kind == TokenKind::Open).unwrap_or(first);
        self.code[open].start..self.code[self.pairs[open]].end
    }

    /// From the bracket that matches the one that ends at this place, to it, both included.
    pub fn bracket_before(&self, end: usize) -> Range<usize> {
        let close = self.token_at(end).min(self.code.partition_point(|token| token.end < end));
        self.code[self.pairs[close]].start..end
    }

    /// Where an expression stands without the parentheses around it, and whether there are any.
    pub fn bare(&self, expr: &Expr) -> (Range<usize>, bool) {
        let mut range = bytes(expr.span);
        let mut around = None;
        while self.source[range.start..].starts_with('(') && self.bracket_after(range.start) == range {
            around = Some(range.clone());
            let first = self.token_at(range.start + 1);
            let close = self.code.partition_point(|token| token.end < range.end);
            range = self.code[first].start..self.code[close - 1].end;
        }
        match (&*expr.node, around) {
            // The innermost parentheses are the tuple's own.
            (ExprKind::Tuple(_) | ExprKind::Record(_), Some(own)) => (own, false),
            (_, around) => (range, around.is_some()),
        }
    }

    pub fn axis_term(&self, term: &AxisTerm) -> Range<usize> {
        match term {
            AxisTerm::Name(path) => {
                let range = |at: Option<&crate::ast::Name>| at.map(|name| bytes(name.span)).unwrap_or_default();
                range(path.first()).start..range(path.last()).end
            }
            AxisTerm::Product(_, span) | AxisTerm::AnyRow(span) => bytes(*span),
            AxisTerm::Row(name) | AxisTerm::PartOfRow(name) => self.back(bytes(name.span).start, 1)..bytes(name.span).end,
        }
    }

    pub fn param(&self, param: &Param) -> Range<usize> {
        let name = bytes(param.name.span);
        let end = match (&param.default, &param.ty) {
            (Some(default), _) => bytes(default.span).end,
            (None, Some(ParamType::Tensor(ty) | ParamType::Shared(ty))) => bytes(ty.span).end,
            (None, Some(_)) => self.end_after(self.end_after(name.end)),
            (None, None) => name.end,
        };
        name.start..end
    }

    /// The comments before a place that are not written yet.
    pub fn comments_before(&mut self, at: usize) -> Vec<Range<usize>> {
        let first = self.next;
        self.next = first.max(self.comments.partition_point(|comment| comment.start < at));
        self.comments[first..self.next].iter().map(|comment| comment.start..comment.end).collect()
    }

    /// The comment at the end of the line on which something ends, if nothing but separators stands between.
    pub fn comment_after(&mut self, end: usize, limit: usize) -> Option<String> {
        let comment = self.comments.get(self.next).filter(|comment| comment.start >= end && comment.start < limit)?;
        if !self.source[end..comment.start].chars().all(|c| matches!(c, ' ' | '\t' | '\r' | ',' | ';')) {
            return None;
        }
        self.next += 1;
        Some(self.source[comment.start..comment.end].to_owned())
    }

    /// Whether only white space stands before this on its line.
    pub fn on_its_own_line(&self, at: usize) -> bool {
        let before = self.source[..at].trim_end_matches([' ', '\t', '\r', '\u{feff}']);
        before.is_empty() || before.ends_with('\n')
    }

    /// Whether an empty line stands between two places.
    pub fn blank_between(&self, from: usize, to: usize) -> bool {
        from < to && self.source[from..to].bytes().filter(|byte| *byte == b'\n').count() >= 2
    }
}
