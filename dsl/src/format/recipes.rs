//! `train` and `weights`.

use std::ops::Range;

use crate::ast::{Group, PathPart, PathPattern, Selector, StoredAxes, StoredAxis, Train, TrainEntry, Weights, WeightsEntry};

use super::Formatter;
use super::doc::{Doc, concat_docs};
use super::exprs::{axis_term, names, sign};
use super::lists::CURLY;
use super::text::bytes;

impl Formatter<'_> {
    pub(super) fn train(&mut self, train: &Train, place: Range<usize>) -> Doc {
        let braces = self.text.bracket_before(place.end);
        let entries = self.braced(&train.entries, Self::entry_of_train_place, Self::train_entry, braces);
        concat_docs![format!("train {} ", train.name.node), entries]
    }

    /// The braces after an expression that may have some.
    fn braces_after(&self, end: usize) -> Option<Range<usize>> {
        (self.text.word_after(end) == "{").then(|| self.text.bracket_after(end))
    }

    fn entry_of_train_place(&self, entry: &TrainEntry) -> Range<usize> {
        match entry {
            TrainEntry::Set(name, value) => bytes(name.span.to(value.span)),
            TrainEntry::Optimizer(value, _) | TrainEntry::Evaluate(value, _) => {
                let value = bytes(value.span);
                // `optimizer =` or `evaluate every`
                self.text.back(value.start, 2)..self.braces_after(value.end).map_or(value.end, |braces| braces.end)
            }
        }
    }

    fn train_entry(&mut self, entry: &TrainEntry) -> Doc {
        match entry {
            TrainEntry::Set(name, value) => {
                concat_docs![format!("{} = ", name.node), self.expr(value)]
            }
            TrainEntry::Optimizer(value, groups) => {
                let shown = self.expr(value);
                match self.braces_after(bytes(value.span).end) {
                    Some(braces) => {
                        let groups = self.braced(groups, |_, group| group_place(group), Self::group, braces);
                        concat_docs!["optimizer = ", shown, " ", groups]
                    }
                    None => concat_docs!["optimizer = ", shown],
                }
            }
            TrainEntry::Evaluate(value, settings) => {
                let shown = self.expr(value);
                match self.braces_after(bytes(value.span).end) {
                    Some(braces) => {
                        let place =
                            |_: &Self, (name, value): &(crate::ast::Name, crate::ast::Expr)| bytes(name.span.to(value.span));
                        concat_docs!["evaluate every ", shown, " ", self.braced(settings, place, Self::binding, braces)]
                    }
                    None => concat_docs!["evaluate every ", shown],
                }
            }
        }
    }

    fn group(&mut self, group: &Group) -> Doc {
        let on = match &group.on {
            Selector::Axes(op, count, _) => {
                format!(" on parameters with axes {} {count}", sign(*op))
            }
            Selector::Path(path) => format!(" on {}", pattern(path)),
        };
        concat_docs![format!("{} = ", group.name.node), self.expr(&group.value), on]
    }

    pub(super) fn weights(&mut self, weights: &Weights, place: Range<usize>) -> Doc {
        let braces = self.text.bracket_before(place.end);
        let entries = self.braced(&weights.entries, Self::weights_place, Self::weights_entry, braces);
        concat_docs![format!("weights {} for {} ", weights.name.node, weights.model.node), entries]
    }

    fn weights_place(&self, entry: &WeightsEntry) -> Range<usize> {
        match entry {
            // The grammar has no empty ones.
            WeightsEntry::Config(pairs) => self.curly_around(pairs.first().map_or(0, |(first, _)| bytes(first.span).start)),
            WeightsEntry::Require(pairs) => self.curly_around(pairs.first().map_or(0, |(first, _)| bytes(first.span).start)),
            WeightsEntry::Tensor(ours, _, stored) => bytes(ours.span.to(stored.span)),
            WeightsEntry::Group(ours, theirs, _) => {
                bytes(ours.span).start..self.text.bracket_after(bytes(theirs.span).end).end
            }
        }
    }

    /// From the word before the brace that stands before `first` to the brace that closes it.
    fn curly_around(&self, first: usize) -> Range<usize> {
        let start = self.text.back(first, 2);
        start..self.text.bracket_after(start).end
    }

    fn weights_entry(&mut self, entry: &WeightsEntry) -> Doc {
        let bounds = self.weights_place(entry);
        match entry {
            WeightsEntry::Config(pairs) => {
                let bounds = self.text.bracket_after(bounds.start);
                let print = |_: &mut Self, (ours, theirs): &(crate::ast::Name, crate::ast::Name)| {
                    Doc::Text(format!("{} <- {}", ours.node, theirs.node))
                };
                concat_docs!["config ", self.list(pairs, |_, (a, b)| bytes(a.span.to(b.span)), print, CURLY, bounds)]
            }
            WeightsEntry::Require(pairs) => {
                let bounds = self.text.bracket_after(bounds.start);
                concat_docs![
                    "require ",
                    self.list(pairs, |_, (a, b)| bytes(a.span.to(b.span)), Self::binding, CURLY, bounds)
                ]
            }
            WeightsEntry::Tensor(ours, theirs, stored) => {
                let theirs = self.text.slice(bytes(theirs.span));
                Doc::Text(format!("{} <- {theirs} as {}", pattern(ours), stored_axes(stored)))
            }
            WeightsEntry::Group(ours, theirs, entries) => {
                let head = format!("{} <- {} ", pattern(ours), self.text.slice(bytes(theirs.span)));
                let braces = self.text.bracket_after(bytes(theirs.span).end);
                concat_docs![head, self.braced(entries, Self::weights_place, Self::weights_entry, braces)]
            }
        }
    }
}

fn group_place(group: &Group) -> Range<usize> {
    let end = match &group.on {
        Selector::Axes(_, _, span) => *span,
        Selector::Path(path) => path.span,
    };
    bytes(group.name.span.to(end))
}

fn pattern(path: &PathPattern) -> String {
    let part = |part: &PathPart| match part {
        PathPart::Name(name) => name.node.clone(),
        PathPart::Any(_) => "*".to_owned(),
        PathPart::Alternatives(all, _) => format!("{{{}}}", names(all, ", ")),
    };
    path.parts.iter().map(part).collect::<Vec<_>>().join(".")
}

fn stored_axes(stored: &StoredAxes) -> String {
    let axis = |axis: &StoredAxis| match axis {
        StoredAxis::Axis(term) => axis_term(term),
        StoredAxis::Joined(name, term) => format!("{}: {}", name.node, axis_term(term)),
    };
    format!("[{}]", stored.axes.iter().map(axis).collect::<Vec<_>>().join(", "))
}
