//! A line of a `weights` item: every combination of its alternatives is a parameter.

use crate::ast::{self, PathPart, PathPattern, StoredAxes, StoredAxis};
use crate::diagnostic::Diagnostic;
use crate::elaborate::nearest::{list, nearest};
use crate::elaborate::outcome::ModelRef;
use crate::elaborate::session::{Done, Reported, Session};
use crate::emit::{Emit, Parameter};
use crate::span::{Span, Spanned};

use super::place::Found;
use super::stored::LayoutOut;

/// A line with the groups around it.
pub(super) struct Line<'p> {
    pub parts: Vec<PathPart>,
    pub text: Vec<Piece>,
    /// Names of copies.
    pub also: Vec<Vec<Piece>>,
    pub stored: &'p StoredAxes,
    pub pattern: &'p PathPattern,
    pub text_span: Span,
}

/// A piece of a stored tensor's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Literal(String),
    /// `{weight, bias}`; a single one is an index.
    Choice(Vec<String>),
}

/// A name without alternatives; `*` for an index.
pub(super) fn literal(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Choice(_) => "*".into(),
    };
    pieces.iter().map(piece).collect()
}

/// Whether an axis of a stored tensor holds several of ours one after another.
fn is_joined(axis: &StoredAxis) -> bool {
    match axis {
        StoredAxis::Axis(_) | StoredAxis::One => false,
        StoredAxis::Joined(..) => true,
        StoredAxis::Product(parts) => parts.iter().any(is_joined),
    }
}

impl<'p, E: Emit> Session<'p, E> {
    /// Splits `h.{i}.{weight, bias}`.
    pub(super) fn pieces(&mut self, text: &Spanned<String>) -> Done<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut rest = text.node.as_str();
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else {
                return Err(self.error("W0515", "a `{` in this name is not closed", text.span, ""));
            };
            pieces.push(Piece::Literal(rest[..open].to_owned()));
            pieces.push(Piece::Choice(rest[open + 1..open + close].split(',').map(|s| s.trim().to_owned()).collect()));
            rest = &rest[open + close + 1..];
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        Ok(pieces)
    }

    pub(super) fn not_together(&mut self, ours: Span, theirs: Span) -> Reported {
        self.report(
            Diagnostic::error("W0515", "the alternatives on the two sides do not walk together", theirs, "")
                .label(ours, "these parameters")
                .help("`{a, b}` on the left goes with `{c, d}` on the right, or with `part: …` among the axes"),
        )
    }

    /// Finds the parameters of a line and their places.
    pub(super) fn line(
        &mut self,
        line: &Line<'p>,
        model: &ModelRef<'p, E::Value>,
        covered: &mut Vec<(String, Span)>,
        out: &mut LayoutOut,
    ) -> Done<()> {
        let joined = line.stored.axes.iter().any(is_joined);
        let left: Vec<&Vec<ast::Name>> = line
            .parts
            .iter()
            .filter_map(|part| match part {
                PathPart::Alternatives(names, _) if names.len() > 1 => Some(names),
                _ => None,
            })
            .collect();
        let right: Vec<&Vec<String>> = line
            .text
            .iter()
            .filter_map(|piece| match piece {
                Piece::Choice(names) if names.len() > 1 => Some(names),
                _ => None,
            })
            .collect();
        // The group that is joined is the first without a partner on the right.
        let partners = left.len().saturating_sub(usize::from(joined));
        let join = joined.then(|| {
            left.iter()
                .position(|names| !right.iter().any(|r| r.len() == names.len()))
                .unwrap_or(left.len().saturating_sub(1))
        });
        let paired: Vec<&Vec<ast::Name>> =
            left.iter().enumerate().filter(|(i, _)| Some(*i) != join).map(|(_, names)| *names).collect();
        if right.len() != partners
            || paired.iter().zip(&right).any(|(l, r)| l.len() != r.len())
            || (joined && left.is_empty())
        {
            return Err(self.not_together(line.pattern.span, line.text_span));
        }
        let mut choices = vec![Vec::new()];
        for names in &left {
            choices = choices.iter().flat_map(|c| (0..names.len()).map(move |i| [c.as_slice(), &[i]].concat())).collect();
        }
        let mut found: Vec<(Vec<usize>, Parameter)> = Vec::new();
        for choice in choices {
            let path = path_of(line, &choice);
            let meant: Vec<&Parameter> = model.parameters.iter().filter(|p| is_at(&p.path, &path)).collect();
            if meant.is_empty() {
                let paths = || model.parameters.iter().map(|p| p.path.as_str());
                let shown = path.replace("{}", "{i}");
                let mut d = Diagnostic::error(
                    "W0511",
                    format!("`{}` has no parameter `{shown}`", model.name),
                    line.pattern.span,
                    "",
                );
                d = match nearest(&path, paths()) {
                    Some(near) => d.help(format!("the nearest is `{}`", near.replace("{}", "{i}"))),
                    None => d.note(format!("parameters: {}", list(paths().take(12)))),
                };
                return Err(self.report(d));
            }
            for parameter in meant {
                if let Some((_, first)) = covered.iter().find(|(p, _)| *p == parameter.path) {
                    let message = format!("`{}` is read twice", parameter.path);
                    let d = Diagnostic::error("W0512", message, line.pattern.span, "again here");
                    return Err(self.report(d.label(*first, "first here")));
                }
                covered.push((parameter.path.clone(), line.pattern.span));
                found.push((choice.clone(), parameter.clone()));
            }
        }
        for (choice, parameter) in &found {
            // Those that lie in the same tensor: alike but for the joined alternative.
            let together: Vec<&Parameter> = found
                .iter()
                .filter(|(other, p)| {
                    let same = |(i, (a, b)): (usize, (&usize, &usize))| a == b || Some(i) == join;
                    other.iter().zip(choice).enumerate().all(same) && places(&p.path).eq(places(&parameter.path))
                })
                .map(|(_, p)| p)
                .collect();
            self.place(&Found { line, choice, join, parameter, together: &together }, model, out)?;
        }
        Ok(())
    }
}

/// The path of a parameter, by the choice among the alternatives; `{}` for an index.
fn path_of(line: &Line<'_>, choice: &[usize]) -> String {
    let mut choice = choice.iter();
    let parts = line.parts.iter().map(|part| match part {
        PathPart::Name(name) => name.node.as_str(),
        PathPart::Any(_) => "*",
        PathPart::Alternatives(names, _) if names.len() == 1 => "{}",
        PathPart::Alternatives(names, _) => choice.next().map_or("", |&c| names[c].node.as_str()),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Whether a part of a path stands for a place among repeated blocks: `{}`, `{1+2}` (every second from 1 on) or a number.
pub(in crate::elaborate) fn is_place(part: &str) -> bool {
    part.starts_with('{') || !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// The parts of a path that stand for places.
pub(super) fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|part| is_place(part))
}

/// Whether a parameter lies at a path in which `{}` stands for any place.
fn is_at(parameter: &str, path: &str) -> bool {
    let fits = |(own, part): (&str, &str)| own == part || part == "{}" && is_place(own);
    parameter.split('.').count() == path.split('.').count() && parameter.split('.').zip(path.split('.')).all(fits)
}
