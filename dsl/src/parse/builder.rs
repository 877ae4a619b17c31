//! What every part of the tree builder shares: places, documentation, the fault list, and the way into a grammar pair.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pest::iterators::{Pair, Pairs};

use crate::ast::Name;
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span, Spanned};

use super::Rule;
use super::errors::span;

/// Makes the tree of one item. Interior mutability because pest's operator parser takes several closures at once.
pub(super) struct Builder<'a> {
    pub file: FileId,
    pub source: &'a str,
    docs: &'a HashMap<usize, Vec<String>>,
    /// Where the item starts in the file: pest counts from there.
    base: usize,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// How deep the expression tree is that is being made.
    pub depth: Cell<usize>,
}

impl<'a> Builder<'a> {
    pub fn new(file: FileId, source: &'a str, docs: &'a HashMap<usize, Vec<String>>, base: usize) -> Self {
        Self { file, source, docs, base, diagnostics: RefCell::default(), depth: Cell::new(0) }
    }

    pub fn report(&self, fault: Diagnostic) {
        self.diagnostics.borrow_mut().push(fault);
    }

    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }

    /// The place of a pair in the file, without the white space that an optional part at its end may have taken along.
    pub fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let text = pair.as_str();
        let start = self.base + pair.as_span().start();
        span(self.file, start, start + text.trim_end().len())
    }

    /// The place of a byte that pest counted from the item's start.
    pub fn place(&self, at: usize) -> usize {
        self.base + at
    }

    /// The documentation above what starts at this place.
    pub fn docs(&self, at: Span) -> Vec<String> {
        self.docs.get(&(at.start as usize)).cloned().unwrap_or_default()
    }

    pub fn name(&self, pair: Pair<'_, Rule>) -> Name {
        Spanned { span: self.span(&pair), node: pair.as_str().to_owned() }
    }

    /// All names among the parts, in order.
    pub fn names(&self, parts: Parts<'_>) -> Vec<Name> {
        parts.filter(|part| part.as_rule() == Rule::ident).map(|part| self.name(part)).collect()
    }
}

/// The parts of a pair that carry meaning: keywords and punctuation are skipped.
pub(super) struct Parts<'i>(Pairs<'i, Rule>);

pub(super) fn parts(pair: Pair<'_, Rule>) -> Parts<'_> {
    Parts(pair.into_inner())
}

impl<'i> Iterator for Parts<'i> {
    type Item = Pair<'i, Rule>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.find(|pair| !is_mark(pair.as_rule()))
    }
}

impl<'i> Parts<'i> {
    /// The next part. The grammar fixes how many there are, so a missing one is a fault of this crate, never of the input.
    pub fn part(&mut self) -> Pair<'i, Rule> {
        self.next().expect("the grammar gives this part")
    }

    /// The next part if it is of this rule.
    pub fn take_if(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        let mut ahead = self.0.clone();
        let next = ahead.find(|pair| !is_mark(pair.as_rule())).filter(|pair| pair.as_rule() == rule)?;
        self.0 = ahead;
        Some(next)
    }
}

/// The only part of a pair that has exactly one.
pub(super) fn only(pair: Pair<'_, Rule>) -> Pair<'_, Rule> {
    parts(pair).part()
}

fn is_mark(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        nl | EOI
            | lparen
            | rparen
            | lbracket
            | rbracket
            | lbrace
            | rbrace
            | comma
            | colon
            | tilde
            | dot
            | dots
            | eq
            | arrow
            | larrow
            | kw_use
            | kw_axis
            | kw_like
            | kw_fn
            | kw_param
            | kw_slot
            | kw_of
            | kw_if
            | kw_else
            | kw_for
            | kw_in
            | kw_next
            | kw_yield
            | kw_metric
            | kw_assert
            | kw_as
            | kw_scan
            | kw_carry
            | kw_over
            | kw_with
            | kw_objective
            | kw_optimizer
            | kw_state
            | kw_update
            | kw_schedule
            | kw_train
            | kw_evaluate
            | kw_every
            | kw_on
            | kw_parameters
            | kw_axes
            | kw_weights
            | kw_config
            | kw_also
            | kw_ignore
            | kw_keep
            | kw_model
            | kw_table
            | kw_where
            | kw_test
    )
}
