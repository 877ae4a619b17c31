//! `train` and `weights`.

use std::ops::Range;

use crate::ast::{
    ConfigEntry, Group, If, PathPart, PathPattern, Selector, StoredAxes, StoredAxis, Train, TrainEntry, Weights,
    WeightsEntry,
};
use crate::span::Spanned;

use super::Formatter;
use super::doc::{Doc, concat_docs};
use super::exprs::{axis_term, names, sign};
use super::text::bytes;

impl Formatter<'_> {
    pub(super) fn train(&mut self, train: &Train, place: Range<usize>) -> Doc {
        let braces = self.text.bracket_before(place.end);
        let entries = self.braced(&train.entries, Self::entry_of_train_place, Self::train_entry, braces);
        concat_docs![format!("train {} ", train.name.node), entries]
    }

    /// The braces after an expression that may have some.
    pub(super) fn braces_after(&self, end: usize) -> Option<Range<usize>> {
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
        let mut parts = vec![Doc::Text(format!("weights {} ", weights.name.node))];
        parts.extend(weights.model.as_ref().map(|model| Doc::Text(format!("for {} ", model.node))));
        if let Some((field, value)) = &weights.files {
            parts.extend([Doc::Text(format!("where {} = ", names(field, "."))), self.expr(value), Doc::text(" ")]);
        }
        parts.push(self.weights_body(&weights.entries, braces));
        Doc::Concat(parts)
    }

    fn weights_body(&mut self, entries: &[WeightsEntry], braces: Range<usize>) -> Doc {
        self.braced(entries, Self::weights_place, Self::weights_entry, braces)
    }

    fn weights_place(&self, entry: &WeightsEntry) -> Range<usize> {
        match entry {
            // The grammar has no empty ones.
            WeightsEntry::Config(entries) => {
                let first = entries.first().map_or(0, |first| self.config_place(first).start);
                let start = self.text.back(first, 2);
                start..self.text.bracket_after(start).end
            }
            WeightsEntry::Ignore(names) => {
                let (first, last) = (&names[0], &names[names.len() - 1]);
                self.text.back(bytes(first.span).start, 1)..bytes(last.span).end
            }
            WeightsEntry::If(choice) => self.if_place(choice, nested),
            WeightsEntry::Tensor(ours, _, _, stored) => bytes(ours.span.to(stored.span)),
            WeightsEntry::Own(ours, theirs) => bytes(ours.span.to(theirs.span)),
            WeightsEntry::Group(ours, theirs, _) => {
                bytes(ours.span).start..self.text.bracket_after(bytes(theirs.span).end).end
            }
        }
    }

    fn weights_entry(&mut self, entry: &WeightsEntry) -> Doc {
        let place = self.weights_place(entry);
        let slice = |this: &Self, text: &Spanned<String>| this.text.slice(bytes(text.span)).to_owned();
        match entry {
            WeightsEntry::Config(entries) => {
                let braces = self.text.bracket_after(place.start);
                concat_docs!["config ", self.braced(entries, Self::config_place, Self::config_entry, braces)]
            }
            WeightsEntry::Ignore(names) => {
                let names = names.iter().map(|name| (bytes(name.span).start, slice(self, name))).collect();
                self.listed("ignore ", names)
            }
            WeightsEntry::If(choice) => self.choice(choice, nested, Self::weights_body),
            WeightsEntry::Tensor(ours, theirs, also, stored) => {
                let also: Vec<String> = also.iter().map(|name| slice(self, name)).collect();
                let head = format!("{} <- {}", pattern(ours), slice(self, theirs));
                let stored = format!(" as {}", stored_axes(stored));
                if also.is_empty() {
                    return Doc::Text(head + &stored);
                }
                let also = format!("also {}", also.join(", "));
                Doc::group(concat_docs![head, Doc::indent(concat_docs![Doc::Line, also]), stored])
            }
            WeightsEntry::Own(ours, theirs) => Doc::Text(format!("{} <- {}", pattern(ours), slice(self, theirs))),
            WeightsEntry::Group(ours, theirs, entries) => {
                let head = format!("{} <- {} ", pattern(ours), slice(self, theirs));
                let braces = self.text.bracket_after(bytes(theirs.span).end);
                concat_docs![head, self.weights_body(entries, braces)]
            }
        }
    }

    fn config_place(&self, entry: &ConfigEntry) -> Range<usize> {
        match entry {
            ConfigEntry::Read(ours, theirs) => bytes(ours[0].span.to(theirs.span)),
            ConfigEntry::Says(theirs, ours) => bytes(theirs[0].span.to(ours.span)),
            ConfigEntry::Ignore(fields) | ConfigEntry::Keep(fields) => {
                let last = fields.last().and_then(|path| path.last());
                self.text.back(bytes(fields[0][0].span).start, 1)..last.map_or(0, |last| bytes(last.span).end)
            }
        }
    }

    fn config_entry(&mut self, entry: &ConfigEntry) -> Doc {
        match entry {
            ConfigEntry::Read(ours, theirs) => concat_docs![format!("{} <- ", names(ours, ".")), self.expr(theirs)],
            ConfigEntry::Says(theirs, ours) => concat_docs![format!("{} = ", names(theirs, ".")), self.expr(ours)],
            ConfigEntry::Ignore(fields) => self.fields("ignore ", fields),
            ConfigEntry::Keep(fields) => self.fields("keep ", fields),
        }
    }

    fn fields(&self, word: &str, fields: &[Vec<crate::ast::Name>]) -> Doc {
        let start = |path: &[crate::ast::Name]| path.first().map_or(0, |name| bytes(name.span).start);
        self.listed(word, fields.iter().map(|path| (start(path), names(path, "."))).collect())
    }

    fn listed(&self, word: &str, names: Vec<(usize, String)>) -> Doc {
        let last = names.len() - 1;
        let comma = |i| if i < last { "," } else { "" };
        let names = names.into_iter().enumerate().map(|(i, (start, name))| (start, Doc::Text(name + comma(i)))).collect();
        Doc::group(Doc::indent(concat_docs![word, self.lines(names)]))
    }
}

fn nested(entry: &WeightsEntry) -> Option<&If<WeightsEntry>> {
    if let WeightsEntry::If(choice) = entry { Some(choice) } else { None }
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
    format!("[{}]", stored.axes.iter().map(stored_axis).collect::<Vec<_>>().join(", "))
}

fn stored_axis(axis: &StoredAxis) -> String {
    match axis {
        StoredAxis::Axis(term) => axis_term(term),
        StoredAxis::Joined(name, term) => format!("{}: {}", name.node, axis_term(term)),
        StoredAxis::One => "1".to_owned(),
        StoredAxis::Product(parts) => format!("({})", parts.iter().map(stored_axis).collect::<Vec<_>>().join(", ")),
    }
}
