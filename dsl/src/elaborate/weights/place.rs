//! Where a parameter lies in somebody else's tensors.

use crate::ast::{AxisTerm, PathPart, StoredAxis};
use crate::diagnostic::Diagnostic;
use crate::elaborate::axes::term_span;
use crate::elaborate::outcome::ModelRef;
use crate::elaborate::session::{Done, Names, Reported, Session};
use crate::elaborate::value::Value;
use crate::emit::{Emit, Parameter};
use crate::span::Span;
use crate::types::Axis;

use super::line::{Line, Piece, is_place, places};
use super::stored::{LayoutOut, Part, StoredParameter, Template};

/// How many tensors of a file one parameter may be spread over.
const MOST_PIECES: u64 = 100_000;

/// A parameter of a line.
pub(super) struct Found<'a, 'p> {
    pub line: &'a Line<'p>,
    /// Which of each group of alternatives.
    pub choice: &'a [usize],
    /// The group whose parameters lie in one tensor.
    pub join: Option<usize>,
    pub parameter: &'a Parameter,
    /// Those that lie in the same tensor, itself among them.
    pub together: &'a [&'a Parameter],
}

/// A stretch of a stored tensor's axis: axes of ours, beginning at a place of what the file has there.
struct Stretch {
    axes: Vec<Axis>,
    before: u64,
    whole: u64,
}

/// What numbers in a stored tensor's name stand for: names on the left, then axes of the parameter.
struct Named<'a> {
    indices: Vec<&'a str>,
    at: Vec<Part>,
    spread: Vec<(String, Axis)>,
    /// How many axes repetitions make.
    stack: usize,
}

/// The axes that an axis of a stored tensor is made of, and whether tensors follow one another along them.
fn flat(axis: &StoredAxis) -> Vec<(bool, &AxisTerm)> {
    match axis {
        StoredAxis::One => Vec::new(),
        StoredAxis::Axis(term) => vec![(false, term)],
        StoredAxis::Joined(_, term) => vec![(true, term)],
        StoredAxis::Product(parts) => parts.iter().flat_map(flat).collect(),
    }
}

/// The numbers of the blocks around a parameter: each the same for all its repetitions, or counted along an axis of its stack.
fn numbers(path: &str) -> Vec<Part> {
    let mut axes = 0..;
    let number = |place: &str| match place.strip_prefix('{').and_then(|place| place.strip_suffix('}')) {
        None => Part::Text(place.to_owned()),
        Some(place) => {
            let (first, step) = place.split_once('+').unwrap_or(("0", "1"));
            let (first, step) = (first.parse().unwrap_or_default(), step.parse().unwrap_or(1));
            Part::Number { axis: axes.next().unwrap_or_default(), first, step }
        }
    };
    places(path).map(number).collect()
}

impl<'p, E: Emit> Session<'p, E> {
    /// Adds the tensors in which a parameter lies.
    pub(super) fn place(&mut self, found: &Found<'_, 'p>, model: &ModelRef<'p, E::Value>, out: &mut LayoutOut) -> Done<()> {
        let (line, parameter) = (found.line, found.parameter);
        let span = line.stored.span;
        let indices: Vec<&str> = line
            .parts
            .iter()
            .filter_map(|part| match part {
                PathPart::Alternatives(names, _) if names.len() == 1 => Some(names[0].node.as_str()),
                _ => None,
            })
            .collect();
        let spread = self.spread_axes(found, &indices, model)?;
        let own = &parameter.axes[spread.len()..];
        let mut shape = Vec::new();
        let mut stretches: Vec<Stretch> = Vec::new();
        for stored in &line.stored.axes {
            let mut size = 1_u64;
            for (joined, term) in flat(stored) {
                let stretch = self.stretch(found, joined, term, model)?;
                size = size.saturating_mul(stretch.whole);
                stretches.push(stretch);
            }
            shape.push(size);
        }
        let listed: Vec<Axis> = stretches.iter().flat_map(|stretch| stretch.axes.iter().copied()).collect();
        let mut sorted = (listed.clone(), own.to_vec());
        // An axis of one place need not be said.
        for axes in [&mut sorted.0, &mut sorted.1] {
            axes.retain(|&axis| self.emit.axes()[axis].size.known() != Some(1));
            axes.sort();
        }
        if sorted.0 != sorted.1 {
            let (found, wanted) = (self.show_axes(&listed), self.show_axes(own));
            return Err(self.report(
                Diagnostic::error("W0514", format!("these are not the axes of `{}`", parameter.path), span, found.clone())
                    .expected(format!("{wanted} in the file's order"), found),
            ));
        }
        let mut strides = vec![0; own.len()];
        let (mut stride, mut offset) = (1_u64, 0_u64);
        for stretch in stretches.iter().rev() {
            offset = stretch.before.saturating_mul(stride).saturating_add(offset);
            let mut inner = stride;
            for &axis in stretch.axes.iter().rev() {
                if let Some(at) = own.iter().position(|&a| a == axis) {
                    strides[at] = inner;
                }
                inner = self.known_size(&[axis], span)?.saturating_mul(inner);
            }
            stride = stretch.whole.saturating_mul(stride);
        }
        let stack = parameter.stack.iter().map(|&axis| self.known_size(&[axis], span)).collect::<Done<Vec<_>>>()?;
        let places = spread.iter().map(|&(_, axis)| self.known_size(&[axis], span)).collect::<Done<Vec<_>>>()?;
        let named = Named { indices, at: numbers(&parameter.path), spread, stack: stack.len() };
        let stored = StoredParameter {
            path: parameter.path.clone(),
            sizes: [stack, places].concat(),
            name: self.stored_name(found, &line.text, &named)?,
            also: line.also.iter().map(|also| self.stored_name(found, also, &named)).collect::<Done<_>>()?,
            shape,
            offset,
            strides,
        };
        let pieces = stored.pieces();
        if pieces > MOST_PIECES {
            let message = format!("`{}` lies in {pieces} tensors", parameter.path);
            let label = format!("more than {MOST_PIECES} stored tensors");
            return Err(self.error("W0508", message, line.pattern.span, label));
        }
        out.parameters.push(stored);
        Ok(())
    }

    /// The first axes of a parameter, where each place on them is a tensor of its own: those that the name asks for.
    fn spread_axes(
        &mut self,
        found: &Found<'_, 'p>,
        indices: &[&str],
        model: &ModelRef<'p, E::Value>,
    ) -> Done<Vec<(String, Axis)>> {
        let (line, parameter) = (found.line, found.parameter);
        let scope = self.home(model, &parameter.path)?;
        let mut spread = Vec::new();
        for piece in &line.text {
            let Piece::Choice(names) = piece else { continue };
            let [name] = names.as_slice() else { continue };
            if indices.contains(&name.as_str()) {
                continue;
            }
            let next = parameter.axes.get(spread.len()).copied();
            match (self.find_axis(name, &scope, &parameter.axes), next) {
                (Some(axes), Some(next)) if axes == [next] => spread.push((name.clone(), next)),
                _ => {
                    let d = Diagnostic::error(
                        "W0515",
                        format!("`{{{name}}}` stands for nothing here"),
                        line.text_span,
                        "no index of that name on the left",
                    );
                    let help = "it may also be the first axis of the parameter, each place of which is a tensor of its own";
                    return Err(self.report(d.help(help)));
                }
            }
        }
        Ok(spread)
    }

    fn stretch(
        &mut self,
        found: &Found<'_, 'p>,
        joined: bool,
        term: &AxisTerm,
        model: &ModelRef<'p, E::Value>,
    ) -> Done<Stretch> {
        let scope = self.home(model, &found.parameter.path)?;
        let axes = self.term(term, &scope, &found.parameter.axes)?;
        let size = self.known_size(&axes, term_span(term))?;
        if !joined {
            return Ok(Stretch { axes, before: 0, whole: size });
        }
        let (mut before, mut whole, mut past) = (0_u64, 0_u64, false);
        for other in found.together {
            let scope = self.home(model, &other.path)?;
            let axes = self.term(term, &scope, &other.axes)?;
            let size = self.known_size(&axes, term_span(term))?;
            past |= other.path == found.parameter.path;
            if !past {
                before = size.saturating_add(before);
            }
            whole = size.saturating_add(whole);
        }
        Ok(Stretch { axes, before, whole })
    }

    fn stored_name(&mut self, found: &Found<'_, 'p>, text: &[Piece], named: &Named<'_>) -> Done<Template> {
        let mut taken = found.choice.iter().enumerate().filter(|(i, _)| Some(*i) != found.join).map(|(_, c)| *c);
        let mut used = vec![false; named.at.len()];
        let mut name = Template::new();
        for piece in text {
            name.push(match piece {
                Piece::Literal(text) => Part::Text(text.clone()),
                Piece::Choice(names) if names.len() > 1 => Part::Text(names[taken.next().ok_or(Reported)?].clone()),
                Piece::Choice(names) => {
                    let index = named.indices.iter().position(|i| *i == names[0]).filter(|&i| i < used.len());
                    index.into_iter().for_each(|i| used[i] = true);
                    let place = || named.spread.iter().position(|(axis, _)| *axis == names[0]);
                    match (index, place()) {
                        (Some(index), _) => named.at[index].clone(),
                        (None, Some(place)) => Part::Number { axis: named.stack + place, first: 0, step: 1 },
                        (None, None) => {
                            let message = format!("`{{{}}}` stands for nothing here", names[0]);
                            let label = "no index of that name on the left";
                            return Err(self.error("W0515", message, found.line.text_span, label));
                        }
                    }
                }
            });
        }
        if used.contains(&false) {
            let span = found.line.text_span;
            let d = Diagnostic::error("W0515", "each repetition needs a name of its own", span, "no index in this name");
            return Err(self.report(d.help("write `{i}` on both sides: `layers.{i} <- \"h.{i}\" { … }`")));
        }
        Ok(name)
    }

    /// The scope of the block that holds a parameter: its axes go by the names they have there.
    fn home(&mut self, model: &ModelRef<'p, E::Value>, path: &str) -> Done<Names<'p, E>> {
        let mut scope = model.instance.scope.clone();
        let mut parts: Vec<&str> = path.split('.').collect();
        parts.pop();
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            scope = match scope.own(part) {
                Some(Value::Instance(instance)) => instance.scope.clone(),
                Some(Value::Repeated(repeated)) => {
                    let place = parts.next_if(|part| is_place(part)).unwrap_or("{}");
                    let block = repeated.blocks().find(|block| block.path.rsplit('.').next() == Some(place));
                    match block {
                        Some(block) => block.scope.clone(),
                        None => return Ok(scope),
                    }
                }
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
