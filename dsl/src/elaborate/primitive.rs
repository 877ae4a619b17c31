//! The primitive operations by name, and those that have no file of their own.

use crate::ast::{Arg, AxisTerm, BracketEntry, Expr, ExprKind, Name};
use crate::diagnostic::Diagnostic;
use crate::elementwise::{Elementwise, TABLE};
use crate::emit::{Emit, Start};
use crate::op::{Distribution, Monoid, Op};
use crate::size::Size;
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Tensor, Value};

/// What reduces, and names the axes that it reduces in brackets.
pub(crate) const REDUCTIONS: &[&str] = &["sum", "product", "max", "min", "all", "any", "mean", "count", "argmax"];

/// Other primitives that are not rows of the table of elementwise operators.
const OTHERS: &[&str] = &[
    "top",
    "dot",
    "size",
    "index",
    "uniform",
    "normal",
    "random_index",
    "stop_gradient",
    "concat",
    "stack",
    "near",
    "float",
    "int",
    "zeros",
    "ones",
    "constant",
    "text",
    "batches",
    "characters",
    "bytes",
];

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    REDUCTIONS.iter().chain(OTHERS).copied().chain(TABLE.iter().map(|row| row.name))
}

/// A primitive by name.
pub(crate) fn named(name: &str) -> Option<&'static str> {
    names().find(|n| *n == name)
}

/// A call of a primitive, its arguments evaluated.
pub(crate) struct PrimitiveCall<'p, 'a, E: Emit> {
    /// Its name.
    pub(crate) name: &'p str,
    /// What stands in brackets.
    pub(crate) entries: &'p [BracketEntry],
    /// Arguments.
    pub(crate) args: &'p [Arg],
    /// Names in sight.
    pub(crate) scope: &'a Names<'p, E>,
    /// The whole call.
    pub(crate) span: Span,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Calls a primitive.
    pub(crate) fn primitive(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let bare = call.entries.is_empty();
        match call.name {
            "max" | "min" if bare && call.args.len() == 2 => {}
            "sum" => return self.reduction(Monoid::Sum, call),
            "product" => return self.reduction(Monoid::Product, call),
            "max" => return self.reduction(Monoid::Max, call),
            "min" => return self.reduction(Monoid::Min, call),
            "all" => return self.reduction(Monoid::All, call),
            "any" => return self.reduction(Monoid::Any, call),
            "mean" => return self.mean(call),
            "count" => return self.count(call),
            "argmax" => return self.argmax(call),
            "top" => return self.top_of(call),
            "dot" => return self.dot(call),
            "size" => match self.number_of(call) {
                Some(counted) => return Ok(counted),
                None => return self.axes_argument(call).map(|axes| Value::Int(self.size_of(&axes))),
            },
            "index" if !bare => return self.as_index(call),
            "index" => {
                let axes = self.axes_argument(call)?;
                let axis = self.single(&axes, call.span, "`index`")?;
                let value = self.op(Op::Index(axis), &[], &[call.span])?;
                return Ok(plain(value));
            }
            "uniform" if bare => return self.starting(call, &["bound"]),
            "normal" if bare => return self.starting(call, &["std"]),
            "constant" => return self.starting(call, &["value"]),
            "zeros" | "ones" => {
                self.arguments(call, 0)?;
                return Ok(Value::Start(Start::Constant(if call.name == "ones" { 1.0 } else { 0.0 })));
            }
            "uniform" | "normal" => {
                self.arguments(call, 0)?;
                let axes = self.random_axes(call)?;
                let kind = if call.name == "uniform" { Distribution::Uniform } else { Distribution::Normal };
                let value = self.random(kind, axes, call.span)?;
                return Ok(plain(value));
            }
            "random_index" => return self.random_index(call),
            "stop_gradient" => {
                let (value, span) = self.arguments(call, 1)?.remove(0);
                let tensor = self.tensor(&value, span)?;
                let value = self.op(Op::StopGradient, &[tensor.value], &[span, call.span])?;
                return Ok(Value::Tensor(Tensor { value, mask: tensor.mask }));
            }
            "concat" => return self.concat(call),
            "stack" => return self.stacked(call),
            "near" => return self.near(call),
            "float" | "int" => return self.cast(call),
            "text" | "batches" | "characters" | "bytes" => return self.data_call(call),
            _ => {}
        }
        let Some(op) = Elementwise::named(call.name) else {
            return Err(self.error("W0109", format!("`{}` cannot be called", call.name), call.span, ""));
        };
        if let Some(entry) = call.entries.first() {
            let _ = entry;
            return Err(self.error(
                "W0309",
                format!("`{}` works element by element and takes no axes", call.name),
                call.span,
                "",
            ));
        }
        let operands = self.arguments(call, op.row().arity)?;
        self.map(op, &operands, call.span)
    }

    /// The evaluated arguments, `n` of them without names.
    pub(crate) fn arguments(&mut self, call: &PrimitiveCall<'p, '_, E>, n: usize) -> Done<Vec<(Val<'p, E>, Span)>> {
        let values: Vec<_> = call.args.iter().map(|arg| (self.eval(&arg.value, call.scope), arg.value.span)).collect();
        if let Some(name) = call.args.iter().find_map(|arg| arg.name.as_ref()) {
            return Err(self.error(
                "W0106",
                format!("`{}` takes no argument by name", call.name),
                name.span,
                "leave the name out",
            ));
        }
        if values.len() != n {
            let (code, label) = if values.len() > n { ("W0105", "too many") } else { ("W0108", "too few") };
            let plural = if n == 1 { "" } else { "s" };
            return Err(self.error(
                code,
                format!("`{}` takes {n} argument{plural}, not {}", call.name, values.len()),
                call.span,
                label,
            ));
        }
        values.into_iter().map(|(value, span)| value.map(|v| (v, span))).collect()
    }

    /// `size(a)`, `index((a, b))`: the axes of the one argument.
    /// `index[position](n)`: a whole number as an index, the nearest that there is.
    fn as_index(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let [BracketEntry::Axis(term)] = call.entries else {
            return Err(self.error("W0309", "`index` takes one axis: `index[position](n)`", call.span, ""));
        };
        let axes = self.term(term, call.scope, &[])?;
        let axis = self.single(&axes, call.span, "`index`")?;
        let (value, span) = self.arguments(call, 1)?.remove(0);
        let last = Value::Int(self.size_of(&[axis]) - Size::of(1));
        let least = self.map(Elementwise::MIN, &[(value, span), (last, span)], call.span)?;
        let least = self.map(Elementwise::MAX, &[(least, span), (Value::Int(Size::of(0)), span)], call.span)?;
        let tensor = self.tensor(&least, call.span)?;
        let value = self.op(Op::Cast(Elem::Index(axis)), &[tensor.value], &[span, call.span])?;
        Ok(Value::Tensor(Tensor { value, mask: tensor.mask }))
    }

    /// `size(id2label)`: how many a list, or fields of somebody else's configuration, are.
    fn number_of(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Option<Val<'p, E>> {
        let [Arg { name: None, value }] = call.args else { return None };
        let ExprKind::Name(name) = &*value.node else { return None };
        match call.scope.get(name)? {
            Value::List(items) => Some(Value::Int(Size::of(items.len() as i64))),
            Value::Theirs(_, fields) => Some(Value::Int(Size::of(fields.len() as i64))),
            absent @ Value::Absent(_) => Some(absent),
            _ => None,
        }
    }

    fn axes_argument(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Vec<Axis>> {
        match call.args {
            [Arg { name: None, value }] => self.axes_value(value, call.scope, &[]),
            _ => Err(self.error("W0108", format!("`{}` takes one axis", call.name), call.span, "")),
        }
    }

    /// `normal(std: 0.02)`: how a parameter starts.
    fn starting(&mut self, call: &PrimitiveCall<'p, '_, E>, takes: &[&str]) -> Done<Val<'p, E>> {
        let [arg] = call.args else {
            return Err(self.report(
                Diagnostic::error("W0108", format!("`{}` takes `{}`", call.name, takes[0]), call.span, "").help(format!(
                    "as the start of a parameter: `{}({}: …)`; for random numbers: `{}[axes]()`",
                    call.name, takes[0], call.name
                )),
            ));
        };
        if let Some(name) = arg.name.as_ref().filter(|name| name.node != takes[0]) {
            let d = Diagnostic::error("W0106", format!("`{}` has no argument `{}`", call.name, name.node), name.span, "");
            return Err(self.report(d.fix(name.span, takes[0], format!("write `{}`", takes[0]))));
        }
        let value = self.eval(&arg.value, call.scope)?;
        let number = self.config_float(&value, arg.value.span)?.unwrap_or(f64::NAN);
        Ok(Value::Start(match call.name {
            "normal" => Start::Normal { std: number },
            "uniform" => Start::Uniform { bound: number },
            _ => Start::Constant(number),
        }))
    }

    /// A configuration value that is a number.
    pub(crate) fn config_float(&mut self, value: &Val<'p, E>, span: Span) -> Done<Option<f64>> {
        match value {
            Value::Float(f) => Ok(*f),
            Value::Int(size) => match size.known() {
                Some(n) => Ok(Some(n as f64)),
                None if self.checking => Ok(None),
                None => Err(self.error("W0405", "this size is known only when the model runs", span, format!("{size}"))),
            },
            Value::Unknown => Err(Reported),
            other => Err(self.error("W0405", format!("a number is needed here, not {}", other.kind()), span, other.kind())),
        }
    }

    /// The axes of random numbers: known ones, and fresh ones with a size.
    fn random_axes(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Vec<Axis>> {
        let mut axes = Vec::new();
        for entry in call.entries {
            match entry {
                BracketEntry::Axis(AxisTerm::AnyRow(_)) => {}
                BracketEntry::Axis(term) => axes.extend(self.term(term, call.scope, &[])?),
                BracketEntry::Sized(name, expr) => {
                    let size = self.size_value(expr, call.scope)?;
                    let axis = match call.scope.axis(&name.node) {
                        Some(known) => {
                            let known = self.single(&known, name.span, "a size")?;
                            let there = self.size_of(&[known]);
                            if there != size {
                                return Err(self.error(
                                    "W0203",
                                    format!("`{}` has size {there}, not {size}", name.node),
                                    name.span,
                                    "",
                                ));
                            }
                            known
                        }
                        None => {
                            let axis = self.emit.axes().fresh(&name.node, size, false);
                            call.scope.set_axis(&name.node, vec![axis], name.span);
                            axis
                        }
                    };
                    axes.push(axis);
                }
                BracketEntry::As(..) | BracketEntry::At(..) | BracketEntry::Range(..) => {
                    return Err(self.error("W0309", format!("`{}` takes axes, or `axis = size`", call.name), call.span, ""));
                }
            }
        }
        Ok(axes)
    }

    /// Random numbers keyed by seed, step, micro-batch and the indices of the loops around.
    fn random(&mut self, kind: Distribution, axes: Vec<Axis>, span: Span) -> Done<E::Value> {
        let mut keys = vec![
            self.emit.supplied("seed", Elem::Int),
            self.emit.supplied("step", Elem::Int),
            self.emit.supplied("micro", Elem::Int),
        ];
        for axis in self.loops.clone() {
            let index = self.sure(Op::Index(axis), &[]);
            keys.push(self.emit.slice(&index, axis));
        }
        self.sites += 1;
        self.op(Op::Random(kind, axes, self.sites - 1), &keys, &[span])
    }

    /// `random_index[batch, time](token)`: a uniform index into an axis.
    fn random_index(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let into = self.axes_argument(call)?;
        let into = self.single(&into, call.span, "`random_index`")?;
        self.has_places(into, call)?;
        let axes = self.random_axes(call)?;
        let uniform = self.random(Distribution::Uniform, axes, call.span)?;
        let size = self.size_of(&[into]);
        let size = self.sure(Op::Extent(size), &[]);
        let size = self.as_float(&size);
        // A uniform number is at most 1 − 2⁻²⁴, and so the product is below the size for sizes up to 2²³.
        let scaled = self.sure(Op::Map(Elementwise::MUL), &[uniform, size]);
        Ok(plain(self.sure(Op::Cast(Elem::Index(into)), &[scaled])))
    }

    /// `float(x)`, `int(x)`
    fn cast(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let (value, span) = self.arguments(call, 1)?.remove(0);
        let elem = if call.name == "float" { Elem::Float } else { Elem::Int };
        match (&value, elem) {
            (Value::Int(size), Elem::Float) if size.known().is_some() || self.checking => {
                return Ok(Value::Float(size.known().map(|n| n as f64)));
            }
            (Value::Bool(b), Elem::Float) => return Ok(Value::Float(b.map(|b| if b { 1.0 } else { 0.0 }))),
            (Value::Bool(Some(b)), Elem::Int) => return Ok(Value::Int(Size::of(i64::from(*b)))),
            (Value::Float(None), Elem::Int) if self.checking => {
                return Ok(Value::Int(Size::var(self.program.sources().text(call.span))));
            }
            (Value::Float(Some(f)), Elem::Int) => return Ok(Value::Int(Size::of(f.trunc() as i64))),
            (Value::Int(_), Elem::Int) | (Value::Float(_), Elem::Float) => return Ok(value),
            _ => {}
        }
        let tensor = self.tensor(&value, span)?;
        let value = self.op(Op::Cast(elem), &[tensor.value], &[span, call.span])?;
        Ok(Value::Tensor(Tensor { value, mask: tensor.mask }))
    }

    /// `concat[a](x, y)`: joined along the axis of that name of each; the result's is a new one. `concat[(a, b) as c](x, y)`: along
    /// an axis of each, as one that is there or new.
    fn concat(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let values = self.arguments(call, call.args.len())?;
        let (names, to): (Vec<&Name>, &AxisTerm) = match call.entries {
            [BracketEntry::Axis(term @ AxisTerm::Name(path))] => (vec![&path[path.len() - 1]; values.len()], term),
            [BracketEntry::As(AxisTerm::Product(parts, _), to @ AxisTerm::Name(_))] if parts.len() == values.len() => {
                let last = |part: &'p AxisTerm| if let AxisTerm::Name(path) = part { path.last() } else { None };
                (parts.iter().filter_map(last).collect(), to)
            }
            _ => (Vec::new(), &AxisTerm::AnyRow(call.span)),
        };
        let AxisTerm::Name(path) = to else {
            let d = Diagnostic::error("W0309", "`concat` takes an axis: `concat[joined](x, y)`", call.span, "");
            return Err(self.report(d.help("where they differ, one for each value: `concat[(a, b) as joined](x, y)`")));
        };
        let whole_name = &path[path.len() - 1];
        let (mut parts, mut operands, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for ((value, span), name) in values.iter().zip(names) {
            let value = self.whole(value, *span)?;
            let axes = self.emit.type_of(&value).axes;
            let mut found = self.find_axis(&name.node, call.scope, &axes).unwrap_or_default();
            found.retain(|axis| axes.contains(axis));
            let [axis] = found.as_slice() else {
                return Err(self.error("W0303", format!("this has no axis `{}` to be joined along", name.node), *span, ""));
            };
            parts.push(*axis);
            operands.push(value);
            spans.push(*span);
        }
        let elem = operands.iter().map(|v| self.emit.type_of(v).elem).collect::<Vec<_>>();
        if elem.contains(&Elem::Float) && elem.iter().all(|e| *e != Elem::Bool) {
            operands = operands.iter().map(|v| self.as_float(v)).collect();
        }
        let size = parts.iter().fold(Size::of(0), |sum, &axis| sum + self.size_of(&[axis]));
        let outer = parts.iter().any(|&axis| self.emit.axes()[axis].outer);
        let mut whole = self.emit.axes().fresh(&whole_name.node, size, outer);
        if let ([BracketEntry::As(..)], Some(axes)) = (call.entries, self.find_axis(&whole_name.node, call.scope, &[])) {
            let there = self.single(&axes, whole_name.span, "`concat`")?;
            self.same_size(whole, there, call.span)?;
            whole = there;
        }
        spans.push(call.span);
        self.op(Op::Concat(parts, whole), &operands, &spans).map(plain)
    }

    /// `stack[pair](a, b)`: one value for each place of an axis.
    fn stacked(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        let [BracketEntry::Axis(term)] = call.entries else {
            return Err(self.error("W0309", "`stack` takes one axis: `stack[pair](a, b)`", call.span, ""));
        };
        let axes = self.term(term, call.scope, &[])?;
        let axis = self.single(&axes, call.span, "`stack`")?;
        let values = self.arguments(call, call.args.len())?;
        let size = self.size_of(&[axis]);
        if values.is_empty() || size.known().is_some_and(|n| n != values.len() as i64) {
            let name = self.name_of(axis);
            return Err(self.error(
                "W0207",
                format!("`{name}` has {size} places, and {} values are given", values.len()),
                call.span,
                "",
            ));
        }
        let place = plain(self.sure(Op::Index(axis), &[]));
        let mut values = values.into_iter().enumerate().rev();
        let (mut result, _) = values.next().map(|(_, v)| v).ok_or(Reported)?;
        for (i, (value, span)) in values {
            let here = self.map(
                Elementwise::EQ,
                &[(place.clone(), call.span), (Value::Int(Size::of(i as i64)), call.span)],
                call.span,
            )?;
            result = self.map(Elementwise::SELECT, &[(here, call.span), (value, span), (result, call.span)], call.span)?;
        }
        let tensor = self.tensor(&result, call.span)?;
        let value = self.spread(&tensor.value, &[axis]);
        Ok(Value::Tensor(Tensor { value, mask: tensor.mask }))
    }

    /// The value of an expression that is a number.
    pub(crate) fn float_of(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Option<f64>> {
        let value = self.eval(expr, scope)?;
        self.config_float(&value, expr.span)
    }
}

/// A tensor every element of which counts.
pub(crate) fn plain<'p, V>(value: V) -> Value<'p, V> {
    Value::Tensor(Tensor { value, mask: None })
}
