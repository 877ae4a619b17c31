//! Reductions: what consumes masks.

use crate::ast::BracketEntry;
use crate::diagnostic::Diagnostic;
use crate::elementwise::Elementwise;
use crate::emit::Emit;
use crate::op::{Direction, Monoid, Number, Op};
use crate::size::Size;
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::axes::term_span;
use super::primitive::{PrimitiveCall, plain};
use super::session::{Done, Session, Val};
use super::value::{Tensor, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// The one argument of a reduction and the axes in brackets.
    fn reduced(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<(Tensor<E::Value>, Vec<Axis>, Span)> {
        let (value, span) = self.arguments(call, 1)?.remove(0);
        let tensor = self.tensor(&value, span)?;
        let mut candidates = self.emit.type_of(&tensor.value).axes;
        if let Some(mask) = &tensor.mask {
            candidates.extend(self.emit.type_of(mask).axes);
        }
        let axes = self.reduced_axes(call, &candidates)?;
        Ok((tensor, axes, span))
    }

    /// The axes in brackets, each once.
    fn reduced_axes(&mut self, call: &PrimitiveCall<'p, '_, E>, candidates: &[Axis]) -> Done<Vec<Axis>> {
        let mut axes = Vec::new();
        if call.entries.is_empty() {
            return Err(self.report(
                Diagnostic::error("W0310", format!("`{}` needs its axes", call.name), call.span, "over which axes?")
                    .help(format!("everything that reduces names its axes: `{}[time](x)`", call.name)),
            ));
        }
        for entry in call.entries {
            let BracketEntry::Axis(term) = entry else {
                return Err(self.error("W0309", format!("`{}` takes axes in brackets", call.name), call.span, ""));
            };
            for axis in self.term(term, call.scope, candidates)? {
                if axes.contains(&axis) {
                    let name = self.name_of(axis);
                    return Err(self.error("W0311", format!("`{name}` is reduced twice"), term_span(term), "again here"));
                }
                if self.checking && !candidates.contains(&axis) && !self.seen_anywhere(axis) {
                    let name = self.name_of(axis);
                    let shown = self.show_axes(candidates);
                    return Err(self.report(
                        Diagnostic::error(
                            "W0303",
                            format!("{shown} has no axis `{name}`"),
                            term_span(term),
                            "not an axis of the argument",
                        )
                        .note("an axis that the argument lacks can be reduced only where a value of this body has it"),
                    ));
                }
                axes.push(axis);
            }
        }
        Ok(axes)
    }

    /// Whether a value of this body has the axis: a value may be constant along it.
    fn seen_anywhere(&self, axis: Axis) -> bool {
        self.origin(axis).is_some()
    }

    /// The values that count, the others replaced by what changes nothing.
    fn counted(&mut self, tensor: &Tensor<E::Value>, identity: f64, span: Span) -> Done<E::Value> {
        let Some(mask) = &tensor.mask else { return Ok(tensor.value.clone()) };
        let elem = self.emit.type_of(&tensor.value).elem;
        let (value, elem) = match elem {
            Elem::Bool => (tensor.value.clone(), Elem::Bool),
            // An infinity is not an integer.
            Elem::Int | Elem::Index(_) if identity.is_infinite() => (self.as_float(&tensor.value), Elem::Float),
            Elem::Int | Elem::Index(_) => (tensor.value.clone(), Elem::Int),
            Elem::Float => (tensor.value.clone(), Elem::Float),
        };
        let identity = self.number(identity, elem);
        self.op(Op::Map(Elementwise::SELECT), &[mask.clone(), value, identity], &[span, span, span, span])
    }

    /// `sum[a](x)` and its like.
    pub(crate) fn reduction(&mut self, monoid: Monoid, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let (tensor, axes, span) = self.reduced(call)?;
        self.reduce(monoid, &tensor, axes, span, call.span).map(plain)
    }

    fn reduce(
        &mut self,
        monoid: Monoid,
        tensor: &Tensor<E::Value>,
        axes: Vec<Axis>,
        span: Span,
        whole: Span,
    ) -> Done<E::Value> {
        let value = self.counted(tensor, monoid.identity(), span)?;
        if axes.is_empty() {
            return Ok(value);
        }
        let value = self.spread(&value, &axes);
        self.op(Op::Reduce(monoid, axes), &[value], &[span, whole])
    }

    /// `mean[a](x where m)`: the sum of what counts by its number.
    pub(crate) fn mean(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let (tensor, axes, span) = self.reduced(call)?;
        // Of truth values: the share of those that hold.
        let value = self.as_float(&tensor.value);
        self.mean_of(Tensor { value, ..tensor }, axes, span, call.span)
    }

    fn mean_of(&mut self, tensor: Tensor<E::Value>, axes: Vec<Axis>, span: Span, whole: Span) -> Done<Val<'p, E>> {
        let sum = self.reduce(Monoid::Sum, &tensor, axes.clone(), span, whole)?;
        let weight = match &tensor.mask {
            None => {
                let size = self.size_of(&axes);
                match size.known() {
                    Some(n) => self.number(n as f64, Elem::Float),
                    None => {
                        let size = self.sure(Op::Extent(size), &[]);
                        self.as_float(&size)
                    }
                }
            }
            Some(mask) => self.tally(mask, &axes, Elem::Float, whole)?,
        };
        let value = self.emit.mean(&sum, &weight);
        self.seen(&value, whole);
        Ok(plain(value))
    }

    /// How many hold.
    fn tally(&mut self, mask: &E::Value, axes: &[Axis], elem: Elem, span: Span) -> Done<E::Value> {
        let (one, zero) = (self.number(1.0, elem), self.number(0.0, elem));
        let ones = self.op(Op::Map(Elementwise::SELECT), &[mask.clone(), one, zero], &[span])?;
        let ones = self.spread(&ones, axes);
        self.op(Op::Reduce(Monoid::Sum, axes.to_vec()), &[ones], &[span])
    }

    /// `count[a](m)`: how many hold; of a masked value, how many count.
    pub(crate) fn count(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let (tensor, axes, span) = self.reduced(call)?;
        let truth = self.emit.type_of(&tensor.value).elem == Elem::Bool;
        let counts = match (tensor.mask, truth) {
            (Some(mask), true) => self.op(Op::Map(Elementwise::AND), &[mask, tensor.value], &[span])?,
            (Some(mask), false) => mask,
            (None, true) => tensor.value,
            (None, false) => {
                let size = self.size_of(&axes);
                return Ok(Value::Int(size));
            }
        };
        self.tally(&counts, &axes, Elem::Int, call.span).map(plain)
    }

    /// `argmax[a](x)`: the index of the largest; the first of equals.
    pub(crate) fn argmax(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let (tensor, axes, span) = self.reduced(call)?;
        let axis = self.single(&axes, call.span, "`argmax`")?;
        self.has_places(axis, call)?;
        let value = self.counted(&tensor, f64::NEG_INFINITY, span)?;
        let value = self.spread(&value, &[axis]);
        self.op(Op::ArgMax(axis), &[value], &[span, call.span]).map(plain)
    }

    /// `top[a as b](x)`: the largest values along `a`, as many as `b` is long, the largest first, and their places.
    pub(crate) fn top_of(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let [BracketEntry::As(from, to)] = call.entries else {
            return Err(self.report(
                Diagnostic::error("W0309", "`top` takes an axis and the axis of its choices", call.span, "")
                    .help("declare how many: `axis choice = 2`, then `top[expert as choice](x)`"),
            ));
        };
        let (value, span) = self.arguments(call, 1)?.remove(0);
        let tensor = self.tensor(&value, span)?;
        let value = self.counted(&tensor, f64::NEG_INFINITY, span)?;
        let candidates = self.emit.type_of(&value).axes;
        let axis = self.term(from, call.scope, &candidates)?;
        let axis = self.single(&axis, term_span(from), "`top`")?;
        let choice = self.term(to, call.scope, &[])?;
        let choice = self.single(&choice, term_span(to), "`top`")?;
        let (name, size, many) = (self.name_of(axis), self.size_of(&[axis]), self.size_of(&[choice]));
        self.limit(many, size.clone(), format!("`{name}` has {size} places to choose from"), term_span(to))?;
        let value = self.spread(&value, &[axis]);
        let spans = [span, call.span];
        let places = self.op(Op::Order(axis, choice, Direction::Falling), std::slice::from_ref(&value), &spans)?;
        let values = self.op(Op::Lookup(axis), &[value, places.clone()], &[span, call.span, call.span])?;
        Ok(Value::Record(vec![("values".into(), plain(values)), ("places".into(), plain(places))]))
    }

    /// Demands that an axis has a place, of which an index is to tell: there is none over nothing.
    pub(crate) fn has_places(&mut self, axis: Axis, call: &PrimitiveCall<'p, '_, E>) -> Done<()> {
        let why = format!("`{}` needs a place on the axis `{}`", call.name, self.name_of(axis));
        let places = self.size_of(&[axis]);
        self.limit(Size::of(1), places, why, call.span)
    }

    /// `dot[a](x, y)`: the sum of products over the axes.
    pub(crate) fn dot(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let values = self.arguments(call, 2)?;
        let (mut operands, mut spans, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        for (value, span) in &values {
            let tensor = self.tensor(value, *span)?;
            let value = self.counted(&tensor, 0.0, *span)?;
            let ty = self.emit.type_of(&value);
            let value = if ty.elem.is_integer() { self.as_float(&value) } else { value };
            candidates.extend(ty.axes);
            operands.push(value);
            spans.push(*span);
        }
        spans.push(call.span);
        let axes = self.reduced_axes(call, &candidates)?;
        let missing: Vec<_> = axes.iter().copied().filter(|a| !candidates.contains(a)).collect();
        if !missing.is_empty() {
            let ones = self.sure(Op::Constant(Number(1.0), Elem::Float, missing), &[]);
            operands[0] = self.op(Op::Map(Elementwise::MUL), &[operands[0].clone(), ones], &spans)?;
        }
        self.op(Op::Contract(axes), &operands, &spans).map(plain)
    }
}
