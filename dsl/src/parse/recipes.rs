//! `train` and `weights`.

use pest::iterators::Pair;

use crate::ast::{
    ConfigEntry, Group, Name, PathPart, PathPattern, Selector, StoredAxes, StoredAxis, Train, TrainEntry, Weights,
    WeightsEntry,
};
use crate::diagnostic::Diagnostic;

use super::Rule;
use super::builder::{Builder, only, parts};
use super::exprs::binary_op;

impl Builder<'_> {
    pub(super) fn train(&self, pair: Pair<'_, Rule>) -> Train {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        Train { name, entries: inner.filter_map(|entry| self.train_entry(only(entry))).collect() }
    }

    fn train_entry(&self, pair: Pair<'_, Rule>) -> Option<TrainEntry> {
        Some(match pair.as_rule() {
            Rule::mesh => {
                let span = self.span(&pair);
                let at = crate::span::Span { end: span.start + 4, ..span };
                self.report(
                    Diagnostic::error("W0003", "`mesh` is not supported yet", at, "a recipe runs on one machine for now")
                        .help("leave it out"),
                );
                return None;
            }
            Rule::evaluate => {
                let mut inner = parts(pair);
                TrainEntry::Evaluate(self.expr(inner.part()), self.bindings(inner))
            }
            Rule::optimizer_entry => {
                let mut inner = parts(pair);
                let optimizer = self.expr(inner.part());
                TrainEntry::Optimizer(optimizer, inner.map(|group| self.group(group)).collect())
            }
            _ => {
                let (name, value) = self.binding(pair);
                TrainEntry::Set(name, value)
            }
        })
    }

    fn group(&self, pair: Pair<'_, Rule>) -> Group {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let value = self.expr(inner.part());
        let on = inner.part();
        let on = if on.as_rule() == Rule::pattern { Selector::Path(self.pattern(on)) } else { self.axes_selector(on) };
        Group { name, value, on }
    }

    fn axes_selector(&self, pair: Pair<'_, Rule>) -> Selector {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let op = binary_op(only(inner.part()).as_rule());
        let count = inner.part();
        let count = count.as_str().replace('_', "").parse().unwrap_or_else(|_| {
            self.report(Diagnostic::error("W0008", "this number is too large", self.span(&count), "more than 64 bits"));
            0
        });
        Selector::Axes(op, count, span)
    }

    pub(super) fn weights(&self, pair: Pair<'_, Rule>) -> Weights {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let model = inner.take_if(Rule::ident).map(|model| self.name(model));
        let files = inner.take_if(Rule::files).map(|files| {
            let mut inner = parts(files);
            (self.path(inner.part()), self.expr(inner.part()))
        });
        Weights { name, model, files, entries: self.weights_body(inner.part()) }
    }

    fn weights_body(&self, pair: Pair<'_, Rule>) -> Vec<WeightsEntry> {
        parts(pair).map(|entry| self.weights_entry(only(entry))).collect()
    }

    fn weights_entry(&self, pair: Pair<'_, Rule>) -> WeightsEntry {
        match pair.as_rule() {
            Rule::config => WeightsEntry::Config(parts(pair).map(|entry| self.config_entry(only(entry))).collect()),
            Rule::weights_if => WeightsEntry::If(self.if_chain(parts(pair), Self::weights_body, WeightsEntry::If)),
            Rule::ignored => WeightsEntry::Ignore(parts(pair).map(|name| self.text(&name)).collect()),
            _ => {
                let mut inner = parts(pair);
                let ours = self.pattern(inner.part());
                let theirs = self.text(&inner.part());
                let also = inner.take_if(Rule::also);
                let also = also.map(|also| parts(also).map(|name| self.text(&name)).collect()).unwrap_or_default();
                match inner.next() {
                    None => WeightsEntry::Own(ours, theirs),
                    Some(rest) if rest.as_rule() == Rule::weights_body => {
                        WeightsEntry::Group(ours, theirs, self.weights_body(rest))
                    }
                    Some(rest) => WeightsEntry::Tensor(ours, theirs, also, self.stored_axes(rest)),
                }
            }
        }
    }

    fn config_entry(&self, pair: Pair<'_, Rule>) -> ConfigEntry {
        let rule = pair.as_rule();
        let mut inner = parts(pair);
        match rule {
            Rule::config_ignored => ConfigEntry::Ignore(inner.map(|path| self.path(path)).collect()),
            Rule::config_kept => ConfigEntry::Keep(inner.map(|path| self.path(path)).collect()),
            Rule::config_read => ConfigEntry::Read(self.path(inner.part()), self.expr(inner.part())),
            _ => ConfigEntry::Says(self.path(inner.part()), self.expr(inner.part())),
        }
    }

    fn path(&self, pair: Pair<'_, Rule>) -> Vec<Name> {
        self.names(parts(pair))
    }

    fn stored_axes(&self, pair: Pair<'_, Rule>) -> StoredAxes {
        let span = self.span(&pair);
        StoredAxes { axes: parts(pair).map(|axis| self.stored_axis(only(axis))).collect(), span }
    }

    fn stored_axis(&self, pair: Pair<'_, Rule>) -> StoredAxis {
        match pair.as_rule() {
            Rule::joined => {
                let mut inner = parts(pair);
                StoredAxis::Joined(self.name(inner.part()), self.axis_term(inner.part()))
            }
            Rule::one => StoredAxis::One,
            Rule::stored_product => StoredAxis::Product(parts(pair).map(|axis| self.stored_axis(only(axis))).collect()),
            _ => StoredAxis::Axis(self.axis_term(pair)),
        }
    }

    fn pattern(&self, pair: Pair<'_, Rule>) -> PathPattern {
        let span = self.span(&pair);
        let path = parts(pair).map(|part| {
            let part = only(part);
            let span = self.span(&part);
            match part.as_rule() {
                Rule::any_part => PathPart::Any(span),
                Rule::alternatives => {
                    let path = |path: Pair<'_, Rule>| {
                        let span = self.span(&path);
                        let names: Vec<String> = self.path(path).into_iter().map(|name| name.node).collect();
                        Name { node: names.join("."), span }
                    };
                    PathPart::Alternatives(parts(part).map(path).collect(), span)
                }
                _ => PathPart::Name(self.name(part)),
            }
        });
        PathPattern { parts: path.collect(), span }
    }
}
