//! Somebody else's names for a model's parameters, and where in their tensors each lies.

use crate::ast::{self, ItemKind, PathPart, PathPattern, StoredAxes, StoredAxis, Weights, WeightsEntry};
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter};
use crate::span::{FileId, Span, Spanned};
use crate::types::Axis;

use super::axes::term_span;
use super::nearest::{list, nearest, suggest};
use super::outcome::{LayoutOut, ModelRef, Setting, StoredTensor};
use super::session::{Done, Names, Reported, Session};
use super::value::Value;

/// How many tensors of a file one parameter may be spread over.
const MOST_REPETITIONS: u64 = 100_000;

/// A line of a `weights` item with the groups around it.
struct Line<'p> {
    parts: Vec<&'p PathPart>,
    text: Vec<Piece>,
    stored: &'p StoredAxes,
    pattern: &'p PathPattern,
    text_span: Span,
}

/// A piece of a stored tensor's name.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Literal(String),
    /// `{weight, bias}`; a single one is an index.
    Choice(Vec<String>),
}

impl<'p, E: Emit> Session<'p, E> {
    /// Every `weights` item for a model. The model's sizes must be known.
    pub fn weights(&mut self, model: &ModelRef<'p, E::Value>) -> Result<Vec<LayoutOut>, Vec<Diagnostic>> {
        let program = self.program;
        let mut layouts = Vec::new();
        let mut fine = Ok(());
        for at in 0..program.file_count() {
            let file = FileId(at as u32);
            for item in &program.file(file).items {
                let ItemKind::Weights(weights) = &item.kind else { continue };
                let ours = match program.item(file, &weights.model.node) {
                    Some((_, ItemKind::Block(def))) => std::ptr::eq(def, model.instance.block.def),
                    _ => false,
                };
                if ours {
                    match self.layout(weights, model) {
                        Ok(layout) => layouts.push(layout),
                        Err(reported) => fine = Err(reported),
                    }
                }
            }
        }
        self.outcome(fine.map(|()| layouts))
    }

    fn layout(&mut self, weights: &'p Weights, model: &ModelRef<'p, E::Value>) -> Done<LayoutOut> {
        let mut layout =
            LayoutOut { name: weights.name.node.clone(), config: Vec::new(), require: Vec::new(), tensors: Vec::new() };
        let mut lines = Vec::new();
        self.entries(&weights.entries, &[], &[], model, &mut layout, &mut lines)?;
        let mut covered: Vec<(String, Span)> = Vec::new();
        let mut fine = Ok(());
        for line in &lines {
            if let Err(reported) = self.line(line, model, &mut covered, &mut layout.tensors) {
                fine = Err(reported);
            }
        }
        fine?;
        let missing: Vec<_> = model
            .parameters
            .iter()
            .map(|p| p.path.as_str())
            .filter(|path| !covered.iter().any(|(c, _)| c == path))
            .collect();
        if !missing.is_empty() {
            return Err(self.report(
                Diagnostic::error("W0513", format!("`{}` leaves parameters out", weights.name.node), weights.name.span, "")
                    .note(format!("without a place in the file: {}", list(missing.iter().take(12).copied())))
                    .help("every parameter is read exactly once"),
            ));
        }
        Ok(layout)
    }

    fn entries(
        &mut self,
        entries: &'p [WeightsEntry],
        parts: &[&'p PathPart],
        text: &[Piece],
        model: &ModelRef<'p, E::Value>,
        layout: &mut LayoutOut,
        lines: &mut Vec<Line<'p>>,
    ) -> Done<()> {
        for entry in entries {
            match entry {
                WeightsEntry::Config(pairs) => {
                    for (ours, theirs) in pairs {
                        let params = || model.instance.block.def.params.iter().map(|p| p.name.node.as_str());
                        if !params().any(|name| name == ours.node) {
                            let d = Diagnostic::error(
                                "W0114",
                                format!("`{}` has no configuration `{}`", model.name, ours.node),
                                ours.span,
                                "",
                            )
                            .note(format!("configuration: {}", list(params())));
                            return Err(self.report(suggest(d, ours.span, nearest(&ours.node, params()))));
                        }
                        layout.config.push((ours.node.clone(), theirs.node.clone()));
                    }
                }
                WeightsEntry::Require(pairs) => {
                    let root = self.roots[0].clone();
                    for (name, expr) in pairs {
                        let setting = match self.eval(expr, &root)? {
                            Value::Text(Some(text)) => Setting::Text(text.to_string()),
                            Value::Bool(Some(b)) => Setting::Bool(b),
                            Value::Float(Some(f)) => Setting::Float(f),
                            Value::Int(n) if n.known().is_some() => Setting::Int(n.known().unwrap_or(0)),
                            other => {
                                return Err(self.error(
                                    "W0405",
                                    format!("a requirement cannot be {}", other.kind()),
                                    expr.span,
                                    "a text, a number or a truth value",
                                ));
                            }
                        };
                        layout.require.push((name.node.clone(), setting));
                    }
                }
                WeightsEntry::Group(pattern, name, inner) => {
                    let parts: Vec<_> = parts.iter().copied().chain(&pattern.parts).collect();
                    let mut text = [text, &self.pieces(name)?].concat();
                    text.push(Piece::Literal(".".into()));
                    self.entries(inner, &parts, &text, model, layout, lines)?;
                }
                WeightsEntry::Tensor(pattern, name, stored) => lines.push(Line {
                    parts: parts.iter().copied().chain(&pattern.parts).collect(),
                    text: [text, &self.pieces(name)?].concat(),
                    stored,
                    pattern,
                    text_span: name.span,
                }),
            }
        }
        Ok(())
    }

    /// Splits `h.{i}.{weight, bias}`.
    fn pieces(&mut self, text: &Spanned<String>) -> Done<Vec<Piece>> {
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

    /// One line: every combination of its alternatives is a parameter.
    fn line(
        &mut self,
        line: &Line<'p>,
        model: &ModelRef<'p, E::Value>,
        covered: &mut Vec<(String, Span)>,
        out: &mut Vec<StoredTensor>,
    ) -> Done<()> {
        let joined = line.stored.axes.iter().any(|axis| matches!(axis, StoredAxis::Joined(..)));
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
            return Err(self.report(
                Diagnostic::error("W0515", "the alternatives on the two sides do not walk together", line.text_span, "")
                    .label(line.pattern.span, "these parameters")
                    .help("`{a, b}` on the left goes with `{c, d}` on the right, or with `part: …` among the axes"),
            ));
        }
        let mut choices = vec![Vec::new()];
        for names in &left {
            choices = choices.iter().flat_map(|c| (0..names.len()).map(move |i| [c.as_slice(), &[i]].concat())).collect();
        }
        let mut found: Vec<(Vec<usize>, Parameter)> = Vec::new();
        for choice in choices {
            let path = path_of(line, &choice);
            let Some(parameter) = model.parameters.iter().find(|p| p.path == path) else {
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
            };
            if let Some((_, first)) = covered.iter().find(|(p, _)| *p == path) {
                let d = Diagnostic::error("W0512", format!("`{path}` is read twice"), line.pattern.span, "again here")
                    .label(*first, "first here");
                return Err(self.report(d));
            }
            covered.push((path, line.pattern.span));
            found.push((choice, parameter.clone()));
        }
        for (choice, parameter) in &found {
            // Those that lie in the same tensor: alike but for the joined alternative.
            let together: Vec<&Parameter> = found
                .iter()
                .filter(|(other, _)| other.iter().zip(choice).enumerate().all(|(i, (a, b))| a == b || Some(i) == join))
                .map(|(_, p)| p)
                .collect();
            self.place(line, choice, join, parameter, &together, model, out)?;
        }
        Ok(())
    }

    /// Where a parameter lies in its stored tensor.
    #[expect(clippy::too_many_arguments, reason = "a line, one of its parameters, and those stored beside it")]
    fn place(
        &mut self,
        line: &Line<'p>,
        choice: &[usize],
        join: Option<usize>,
        parameter: &Parameter,
        together: &[&Parameter],
        model: &ModelRef<'p, E::Value>,
        out: &mut Vec<StoredTensor>,
    ) -> Done<()> {
        let span = line.stored.span;
        let scope = self.home(model, &parameter.path)?;
        let mut dims: Vec<(Vec<Axis>, u64, u64)> = Vec::new();
        for stored in &line.stored.axes {
            let term = match stored {
                StoredAxis::Axis(term) | StoredAxis::Joined(_, term) => term,
            };
            let axes = self.term(term, &scope, &parameter.axes)?;
            let size = self.known_size(&axes, term_span(term))?;
            let (before, whole) = match stored {
                StoredAxis::Axis(_) => (0, size),
                StoredAxis::Joined(..) => {
                    let (mut before, mut whole, mut past) = (0, 0, false);
                    for other in together {
                        let scope = self.home(model, &other.path)?;
                        let axes = self.term(term, &scope, &other.axes)?;
                        let size = self.known_size(&axes, term_span(term))?;
                        past |= other.path == parameter.path;
                        if !past {
                            before = size.saturating_add(before);
                        }
                        whole = size.saturating_add(whole);
                    }
                    (before, whole)
                }
            };
            dims.push((axes, before, whole));
        }
        let listed: Vec<Axis> = dims.iter().flat_map(|(axes, ..)| axes.iter().copied()).collect();
        let mut sorted = (listed.clone(), parameter.axes.clone());
        sorted.0.sort();
        sorted.1.sort();
        if sorted.0 != sorted.1 {
            let (found, wanted) = (self.show_axes(&listed), self.show_axes(&parameter.axes));
            return Err(self.report(
                Diagnostic::error("W0514", format!("these are not the axes of `{}`", parameter.path), span, found.clone())
                    .expected(format!("{wanted} in the file's order"), found),
            ));
        }
        let shape: Vec<u64> = dims.iter().map(|(_, _, whole)| *whole).collect();
        let mut strides = vec![0; parameter.axes.len()];
        let (mut stride, mut offset) = (1, 0);
        for (axes, before, whole) in dims.iter().rev() {
            offset = before.saturating_mul(stride).saturating_add(offset);
            let mut inner = stride;
            for &axis in axes.iter().rev() {
                if let Some(at) = parameter.axes.iter().position(|&a| a == axis) {
                    strides[at] = inner;
                }
                inner = self.known_size(&[axis], span)?.saturating_mul(inner);
            }
            stride = whole.saturating_mul(stride);
        }
        let stack = parameter.stack.iter().map(|&axis| self.known_size(&[axis], span)).collect::<Done<Vec<_>>>()?;
        let indices: Vec<&str> = line
            .parts
            .iter()
            .filter_map(|part| match part {
                PathPart::Alternatives(names, _) if names.len() == 1 => Some(names[0].node.as_str()),
                _ => None,
            })
            .collect();
        let repetitions = stack.iter().fold(1, |product: u64, &size| product.saturating_mul(size));
        if repetitions > MOST_REPETITIONS {
            let message = format!("`{}` repeats {repetitions} times", parameter.path);
            return Err(self.error(
                "W0508",
                message,
                line.pattern.span,
                format!("more than {MOST_REPETITIONS} stored tensors"),
            ));
        }
        for index in 0..repetitions {
            let mut rest = index;
            let mut at = vec![0; stack.len()];
            for (place, &size) in at.iter_mut().zip(&stack).rev() {
                *place = rest % size;
                rest /= size;
            }
            let name = self.stored_name(line, choice, join, &indices, &at)?;
            let path = parameter.path.clone();
            out.push(StoredTensor { path, index, name, shape: shape.clone(), offset, strides: strides.clone() });
        }
        Ok(())
    }

    fn stored_name(
        &mut self,
        line: &Line<'p>,
        choice: &[usize],
        join: Option<usize>,
        indices: &[&str],
        at: &[u64],
    ) -> Done<String> {
        let mut taken = choice.iter().enumerate().filter(|(i, _)| Some(*i) != join).map(|(_, c)| *c);
        let mut used = 0;
        let mut name = String::new();
        for piece in &line.text {
            match piece {
                Piece::Literal(text) => name.push_str(text),
                Piece::Choice(names) if names.len() > 1 => name.push_str(&names[taken.next().ok_or(Reported)?]),
                Piece::Choice(names) => match indices.iter().position(|i| *i == names[0]).and_then(|i| at.get(i)) {
                    Some(value) => {
                        used += 1;
                        name.push_str(&value.to_string());
                    }
                    None => {
                        return Err(self.error(
                            "W0515",
                            format!("`{{{}}}` stands for nothing here", names[0]),
                            line.text_span,
                            "no index of that name on the left",
                        ));
                    }
                },
            }
        }
        if used < at.len() {
            let d = Diagnostic::error(
                "W0515",
                "each repetition needs a name of its own",
                line.text_span,
                "no index in this name",
            );
            return Err(self.report(d.help("write `{i}` on both sides: `layers.{i} <- \"h.{i}\" { … }`")));
        }
        Ok(name)
    }

    /// The scope of the block that holds a parameter: its axes go by the names they have there.
    fn home(&mut self, model: &ModelRef<'p, E::Value>, path: &str) -> Done<Names<'p, E>> {
        let mut scope = model.instance.scope.clone();
        let mut parts: Vec<&str> = path.split('.').filter(|part| *part != "{}").collect();
        parts.pop();
        for part in parts {
            scope = match scope.own(part) {
                Some(Value::Instance(instance)) => instance.scope.clone(),
                Some(Value::Repeated(repeated)) => repeated.template.scope.clone(),
                _ => return Ok(scope),
            };
        }
        Ok(scope)
    }

    fn known_size(&mut self, axes: &[Axis], span: Span) -> Done<u64> {
        let size = self.size_of(axes);
        match size.known().and_then(|n| u64::try_from(n).ok()) {
            Some(n) => Ok(n),
            None => Err(self.error(
                "W0405",
                "a stored tensor's sizes are known when the model is built",
                span,
                format!("{size}"),
            )),
        }
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
