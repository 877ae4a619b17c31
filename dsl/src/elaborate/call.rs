//! Calls: arguments meet parameters, generic axes are bound, and a body is walked or its declared result taken.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{self, Arg, AxisTerm, BracketEntry, ElemType, Expr, ExprKind, ItemKind, Name, Param, ParamType, ResultType, TensorType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::op::{Number, Op};
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::axes::mentioned_in;
use super::nearest::{list, nearest, suggest};
use super::primitive::{PrimitiveCall, plain};
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{FnValue, Scope, ScheduleValue, Tensor, Value};

/// An argument with its place.
pub(crate) type Given<'p, V> = (Value<'p, V>, Span);

/// Every name that a signature mentions as an axis, each once, the listed ones first.
pub(crate) fn generic_names(def: &ast::Fn) -> Vec<&Name> {
    let mut names: Vec<&Name> = def.axes.iter().collect();
    for param in &def.params {
        if let Some(ParamType::Tensor(ty)) = &param.ty {
            mentioned_in(ty, &mut names);
        }
    }
    names.extend(result_names(def));
    let mut once: Vec<&Name> = Vec::new();
    for name in names {
        if !once.iter().any(|n| n.node == name.node) {
            once.push(name);
        }
    }
    once
}

fn result_names(def: &ast::Fn) -> Vec<&Name> {
    let mut names = Vec::new();
    match &def.result {
        Some(ResultType::Tensor(ty)) => mentioned_in(ty, &mut names),
        Some(ResultType::Record(fields, _)) => fields.iter().for_each(|(_, ty)| mentioned_in(ty, &mut names)),
        None => {}
    }
    names
}

impl<'p, E: Emit> Session<'p, E> {
    /// `f(a, name: b)`, `softmax[token](x)`
    pub(crate) fn applied(&mut self, expr: &'p Expr, callee: &'p Expr, args: &'p [Arg], scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        let (base, entries): (&Expr, &[BracketEntry]) = match &*callee.node {
            ExprKind::Bracket(base, entries) => match &*base.node {
                ExprKind::Name(_) | ExprKind::Field(..) => (base, entries),
                _ => (callee, &[]),
            },
            _ => (callee, &[]),
        };
        let function = match self.eval(base, scope) {
            Ok(function) => function,
            Err(reported) => {
                // Faults in the arguments are reported all the same.
                for arg in args {
                    self.eval_or_unknown(&arg.value, scope);
                }
                return Err(reported);
            }
        };
        let span = expr.span;
        match function {
            Value::Unknown => Err(Reported),
            Value::Primitive("held_out") => match args {
                [Arg { name: None, value }] => Ok(Value::HeldOut(self.float_of(value, scope)?.unwrap_or(0.0))),
                _ => Err(self.error("W0108", "`held_out` takes the share that is held out", span, "")),
            },
            Value::Primitive(name) => self.primitive(&PrimitiveCall { name, entries, args, scope, span }),
            Value::Fn(function) => self.call_fn(&function, entries, args, scope, span),
            Value::Instance(instance) => match instance.scope.own("()") {
                Some(Value::Fn(function)) => self.call_fn(&function, entries, args, scope, span),
                _ => {
                    let name = instance.block.def.name.node.clone();
                    Err(self.error("W0109", format!("`{name}` has no nameless `fn`, and cannot be called"), base.span, "a block"))
                }
            },
            Value::Maker(block) => self.make_member(block, args, scope, span),
            Value::Item(ItemKind::Schedule(def), file) => {
                let root = self.roots[file.0 as usize].clone();
                let scope = self.configured(&def.params, args, scope, &root, span)?;
                Ok(Value::Schedule(Rc::new(ScheduleValue { def, scope })))
            }
            Value::Item(ItemKind::Objective(def), file) => {
                let root = self.roots[file.0 as usize].clone();
                Ok(Value::Objective(def, self.configured(&def.with, args, scope, &root, span)?))
            }
            Value::Item(ItemKind::Optimizer(def), file) => {
                let root = self.roots[file.0 as usize].clone();
                Ok(Value::Optimizer(def, self.configured(&def.params, args, scope, &root, span)?))
            }
            Value::Schedule(schedule) => match args {
                [Arg { name: None, value }] => {
                    let step = self.eval(value, scope)?;
                    self.scheduled(&schedule, (step, value.span), span)
                }
                _ => Err(self.error("W0108", "a schedule takes the step", span, "")),
            },
            Value::Rate(rate) => match args {
                [Arg { name: None, value }] => self.eval(value, scope).map(|_| Value::Float(rate)),
                _ => Err(self.error("W0108", "a schedule takes the step", span, "")),
            },
            other => {
                for arg in args {
                    self.eval_or_unknown(&arg.value, scope);
                }
                let mut d = Diagnostic::error("W0109", format!("{} cannot be called", other.kind()), base.span, other.kind());
                if matches!(other, Value::Repeated(_)) {
                    d = d.help("fold over it: `for layer in layers { x = layer(x) }`");
                }
                Err(self.report(d))
            }
        }
    }

    /// Evaluates arguments and finds the parameter of each.
    pub(crate) fn matched(
        &mut self,
        params: &'p [Param],
        args: &'p [Arg],
        scope: &Names<'p, E>,
        before: &[(String, Val<'p, E>)],
        span: Span,
    ) -> Done<Vec<Option<Given<'p, E::Value>>>> {
        let mut slots: Vec<Option<Given<'p, E::Value>>> = params
            .iter()
            .map(|p| before.iter().find(|(name, _)| *name == p.name.node).map(|(_, value)| (value.clone(), span)))
            .collect();
        let mut fine = Ok(());
        let mut places: HashMap<usize, Span> = HashMap::new();
        for arg in args {
            let at = match &arg.name {
                None => (0..params.len()).find(|&i| slots[i].is_none()),
                Some(name) => params.iter().position(|p| p.name.node == name.node),
            };
            let member = self.member.clone();
            if let (Some(at), Some(path)) = (at, &member) {
                self.member = Some(if path.is_empty() { params[at].name.node.clone() } else { format!("{path}.{}", params[at].name.node) });
            }
            let value = self.eval_or_unknown(&arg.value, scope);
            self.member = member;
            match (at, &arg.name) {
                (Some(at), Some(name)) if places.contains_key(&at) => {
                    let first = places[&at];
                    let d = Diagnostic::error("W0107", format!("`{}` is given twice", name.node), name.span, "given again").label(first, "given here");
                    fine = Err(self.report(d));
                }
                (Some(at), _) => {
                    places.insert(at, arg.value.span);
                    slots[at] = Some((value, arg.value.span));
                }
                (None, Some(name)) => {
                    let names = || params.iter().map(|p| p.name.node.as_str());
                    let d = Diagnostic::error("W0106", format!("there is no argument `{}`", name.node), name.span, "not an argument of this")
                        .note(format!("arguments: {}", list(names())));
                    fine = Err(self.report(suggest(d, name.span, nearest(&name.node, names()))));
                }
                (None, None) => {
                    let d = Diagnostic::error("W0105", format!("too many arguments: this takes {}", params.len()), arg.value.span, "one too many");
                    fine = Err(self.report(d));
                }
            }
        }
        fine.map(|()| slots)
    }

    fn missing(&mut self, param: &Param, what: &str, span: Span) -> Reported {
        self.report(
            Diagnostic::error("W0108", format!("the argument `{}` is missing", param.name.node), span, format!("{what} needs `{}`", param.name.node))
                .label(param.name.span, "declared here"),
        )
    }

    /// Configuration of a schedule, an objective or an optimizer.
    pub(crate) fn configured(
        &mut self,
        params: &'p [Param],
        args: &'p [Arg],
        caller: &Names<'p, E>,
        home: &Names<'p, E>,
        span: Span,
    ) -> Done<Names<'p, E>> {
        let slots = self.matched(params, args, caller, &[], span)?;
        let scope = Scope::within(home);
        self.bind_configuration(params, slots, &scope, span)?;
        Ok(scope)
    }

    /// Binds configuration, defaults where nothing is given.
    pub(crate) fn bind_configuration(
        &mut self,
        params: &'p [Param],
        slots: Vec<Option<Given<'p, E::Value>>>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<()> {
        let mut fine = Ok(());
        for (param, slot) in params.iter().zip(slots) {
            let (value, place) = match (slot, &param.default) {
                (Some(given), _) => given,
                (None, Some(default)) => (self.eval_or_unknown(default, scope), default.span),
                (None, None) => {
                    fine = Err(self.missing(param, "this", span));
                    continue;
                }
            };
            match self.fitted(param, value, place, scope) {
                Ok(value) => scope.set(&param.name.node, value),
                Err(reported) => {
                    scope.set(&param.name.node, Value::Unknown);
                    fine = Err(reported);
                }
            }
        }
        fine
    }

    /// A configuration value as its parameter wants it.
    pub(crate) fn fitted(&mut self, param: &'p Param, value: Val<'p, E>, span: Span, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        let wanted = match (&param.ty, &value) {
            (_, Value::Unknown) => return Err(Reported),
            (Some(ParamType::Axis), Value::Axis(_))
            | (Some(ParamType::Int), Value::Int(_))
            | (Some(ParamType::Float), Value::Float(_))
            | (Some(ParamType::Bool), Value::Bool(_))
            | (Some(ParamType::Text), Value::Text(_))
            | (Some(ParamType::Fn), Value::Fn(_) | Value::Primitive(_) | Value::Instance(_))
            | (Some(ParamType::Schedule), Value::Schedule(_) | Value::Rate(_))
            | (Some(ParamType::Shared(_)), Value::Param(..)) => return Ok(value),
            (Some(ParamType::Float), Value::Int(_)) => return self.config_float(&value, span).map(Value::Float),
            (Some(ParamType::Schedule), Value::Int(_) | Value::Float(_)) => return self.config_float(&value, span).map(Value::Rate),
            (Some(ParamType::Instance(name)), Value::Instance(instance)) if instance.block.def.name.node == name.node => return Ok(value),
            (Some(ParamType::Tensor(_)), _) => {
                return Ok(value);
            }
            (Some(ParamType::Axis), _) => "an axis".to_owned(),
            (Some(ParamType::Int), _) => "a whole number".to_owned(),
            (Some(ParamType::Float), _) => "a number".to_owned(),
            (Some(ParamType::Bool), _) => "a truth value".to_owned(),
            (Some(ParamType::Text), _) => "a text".to_owned(),
            (Some(ParamType::Fn), _) => "a function".to_owned(),
            (Some(ParamType::Schedule), _) => "a schedule or a number".to_owned(),
            (Some(ParamType::Shared(_)), _) => "a parameter".to_owned(),
            (Some(ParamType::Instance(name)), _) => format!("a `{}`", name.node),
            (None, _) => {
                let default = match &param.default {
                    Some(default) => self.eval_or_unknown(default, scope),
                    None => return Ok(value),
                };
                match (&default, &value) {
                    (Value::Unknown, _) | (Value::Int(_), Value::Int(_)) | (Value::Float(_), Value::Float(_)) => return Ok(value),
                    (Value::Float(_), Value::Int(_)) => return self.config_float(&value, span).map(Value::Float),
                    (Value::Fn(_) | Value::Primitive(_), Value::Fn(_) | Value::Primitive(_) | Value::Instance(_)) => return Ok(value),
                    (Value::Int(_) | Value::Float(_), Value::Tensor(_)) => "a number known when the model is built".to_owned(),
                    _ if default.kind() == value.kind() => return Ok(value),
                    _ => default.kind().to_owned(),
                }
            }
        };
        let d = Diagnostic::error("W0405", format!("`{}` is {wanted}, not {}", param.name.node, value.kind()), span, value.kind())
            .label(param.name.span, format!("`{}` is declared here", param.name.node));
        Err(self.report(d))
    }

    /// Calls a function.
    pub(crate) fn call_fn(
        &mut self,
        function: &Rc<FnValue<'p, E::Value>>,
        entries: &'p [BracketEntry],
        args: &'p [Arg],
        caller: &Names<'p, E>,
        span: Span,
    ) -> Done<Val<'p, E>> {
        let def = function.def;
        let member = self.member.take();
        let slots = self.matched(&def.params, args, caller, &function.given, span);
        self.member = member;
        let mut slots = slots?;
        // Axes of the arguments, for names that the caller has no axis for.
        let mut candidates = Vec::new();
        for (value, place) in slots.iter_mut().flatten() {
            if let Value::Param(..) = value {
                *value = Value::Tensor(self.tensor(value, *place)?);
            }
            if let Value::Tensor(tensor) = value {
                candidates.extend(self.emit.type_of(&tensor.value).axes);
            }
        }
        let mut said = function.axes.clone();
        said.extend(self.said_axes(def, entries, caller, &candidates, span)?);
        self.trace.push(span);
        let result = self.enter(function, slots, said, caller, span);
        self.trace.pop();
        result
    }

    /// Binds what a call gives, and walks the body or takes the declared result.
    fn enter(
        &mut self,
        function: &Rc<FnValue<'p, E::Value>>,
        mut slots: Vec<Option<Given<'p, E::Value>>>,
        said: Vec<(String, Vec<Axis>)>,
        caller: &Names<'p, E>,
        span: Span,
    ) -> Done<Val<'p, E>> {
        let def = function.def;
        let scope = Scope::within(&function.scope);
        for (name, axes) in &said {
            scope.set_axis(name, axes.clone(), span);
        }
        let unknown = slots.iter().flatten().any(|(value, _)| matches!(value, Value::Unknown));
        let generics: Vec<&Name> =
            generic_names(def).into_iter().filter(|n| !said.iter().any(|(s, _)| *s == n.node) && function.scope.axis(&n.node).is_none()).collect();
        let generics: Vec<&Name> = generics.into_iter().filter(|n| !matches!(self.top(function.scope.file, &n.node), Some(Value::Axis(_)))).collect();
        self.bind_from_arguments(def, &slots, &generics, caller, &scope, span)?;
        let mut open: Vec<&Name> = generics.into_iter().filter(|n| scope.axes.borrow().get(&n.node).is_none()).collect();
        // What the result or a given argument mentions is taken from the caller by name.
        let needed = self.needed(def, &slots);
        open.retain(|name| match caller.axis(&name.node).filter(|_| needed.iter().any(|n| n.node == name.node)) {
            Some(axes) => {
                scope.set_axis(&name.node, axes, span);
                false
            }
            None => true,
        });
        let tensors = def.params.iter().zip(&slots).any(|(p, slot)| matches!(p.ty, Some(ParamType::Tensor(_))) && slot.is_some());
        let waits = result_names(def).iter().any(|n| open.iter().any(|o| o.node == n.node));
        if waits && unknown {
            return Err(Reported);
        }
        if waits && !tensors {
            // `window(width: 4)` as an argument: the axes come where it is called.
            let given = def.params.iter().zip(slots).filter_map(|(p, slot)| slot.map(|(value, _)| (p.name.node.clone(), value))).collect();
            return Ok(Value::Fn(Rc::new(FnValue { given, axes: said, ..(**function).clone() })));
        }
        let apart = self.keep_apart(def, &mut slots, &scope, span)?;
        let value = self.inside(function, slots, &scope, unknown, span)?;
        self.put_together(value, &apart, span)
    }

    /// The value of a call whose axes are bound.
    fn inside(
        &mut self,
        function: &Rc<FnValue<'p, E::Value>>,
        slots: Vec<Option<Given<'p, E::Value>>>,
        scope: &Names<'p, E>,
        unknown: bool,
        span: Span,
    ) -> Done<Val<'p, E>> {
        let def = function.def;
        self.bind_rows(def, &slots, scope)?;
        self.bind_params(def, slots, scope, span)?;
        if unknown && (def.result.is_none() || !self.checking) {
            return Err(Reported);
        }
        if self.checking && let Some(result) = &def.result {
            for name in result_names(def) {
                if self.find_axis(&name.node, scope, &[]).is_none() {
                    let size = crate::size::Size::var(&name.node);
                    let axis = self.emit.axes().fresh(&name.node, size, false);
                    self.open_sizes.insert(axis);
                    scope.set_axis(&name.node, vec![axis], name.span);
                }
            }
            return self.declared(result, scope, span);
        }
        let key = (std::ptr::from_ref(def), Rc::as_ptr(&function.scope) as usize);
        if self.calls.contains(&key) {
            return Err(self.report(
                Diagnostic::error("W0110", format!("`{}` calls itself", function.name), span, "this call never ends")
                    .help("repeat with `for` over repeated blocks, or with `scan` along an axis"),
            ));
        }
        self.calls.push(key);
        self.origins.push(HashMap::new());
        let result = self.deeper(span, |session| {
            let value = session.body(&def.body, scope)?.ok_or(()).or_else(|()| Err(session.no_value(def)))?;
            match &def.result {
                Some(result) => session.as_declared(value, result, scope, def),
                None => Ok(value),
            }
        });
        self.origins.pop();
        self.calls.pop();
        result
    }

    fn no_value(&mut self, def: &ast::Fn) -> Reported {
        let span = def.name.as_ref().map_or(def.span, |name| name.span);
        self.report(
            Diagnostic::error("W0410", "this `fn` has no value", span, "its body ends without one").help("its last statement is its value"),
        )
    }

    /// Generic axes from the arguments' axes and elements.
    fn bind_from_arguments(
        &mut self,
        def: &'p ast::Fn,
        slots: &[Option<Given<'p, E::Value>>],
        generics: &[&Name],
        caller: &Names<'p, E>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<()> {
        for (param, slot) in def.params.iter().zip(slots) {
            let (Some(ParamType::Tensor(ty)), Some((Value::Tensor(tensor), _))) = (&param.ty, slot) else { continue };
            let has = self.emit.type_of(&tensor.value);
            if let (Some(ElemType::Index(name)), Elem::Index(axis)) = (&ty.elem, has.elem)
                && generics.iter().any(|n| n.node == name.node)
                && scope.axes.borrow().get(&name.node).is_none()
            {
                scope.set_axis(&name.node, vec![axis], span);
            }
            let mut names = Vec::new();
            super::axes::mentioned(&ty.axes, &mut names);
            for name in names {
                if !generics.iter().any(|n| n.node == name.node) || scope.axes.borrow().contains_key(&name.node) {
                    continue;
                }
                if let Some(axes) = self.find_axis(&name.node, caller, &has.axes).filter(|axes| axes.iter().all(|a| has.has(*a))) {
                    scope.set_axis(&name.node, axes, span);
                }
            }
        }
        Ok(())
    }

    /// The axis names that the result and the given arguments mention.
    fn needed(&self, def: &'p ast::Fn, slots: &[Option<Given<'p, E::Value>>]) -> Vec<&'p Name> {
        let mut names = result_names(def);
        for (param, slot) in def.params.iter().zip(slots) {
            if let (Some(ParamType::Tensor(ty)), Some(_)) = (&param.ty, slot) {
                mentioned_in(ty, &mut names);
            }
        }
        names
    }

    /// Rows: what an argument has beyond the axes that its type names.
    fn bind_rows(&mut self, def: &'p ast::Fn, slots: &[Option<Given<'p, E::Value>>], scope: &Names<'p, E>) -> Done<()> {
        let mut rows: HashMap<&str, Vec<Axis>> = HashMap::new();
        let mut parts: Vec<(&str, Vec<Axis>, &Param, Span, E::Value)> = Vec::new();
        for (param, slot) in def.params.iter().zip(slots) {
            let Some(ParamType::Tensor(ty)) = &param.ty else { continue };
            let row = ty.axes.iter().find_map(|term| match term {
                AxisTerm::Row(name) => Some((name.node.as_str(), true)),
                AxisTerm::PartOfRow(name) => Some((name.node.as_str(), false)),
                _ => None,
            });
            let Some((Value::Tensor(tensor), span)) = slot else {
                if let Some((row, true)) = row {
                    rows.entry(row).or_default();
                }
                continue;
            };
            if ty.axes.iter().any(|term| matches!(term, AxisTerm::AnyRow(_))) {
                continue;
            }
            let mut named = Vec::new();
            for term in ty.axes.iter().filter(|t| matches!(t, AxisTerm::Name(_) | AxisTerm::Product(..))) {
                if self.bound(term, scope) {
                    named.extend(self.term(term, scope, &[])?);
                }
            }
            let has = self.emit.type_of(&tensor.value);
            let rest: Vec<_> = has.axes.iter().copied().filter(|a| !named.contains(a)).collect();
            match row {
                Some((row, true)) => {
                    let axes = rows.entry(row).or_default();
                    axes.extend(rest.into_iter().filter(|a| !axes.contains(a)).collect::<Vec<_>>());
                }
                Some((row, false)) => parts.push((row, rest, param, *span, tensor.value.clone())),
                None if rest.is_empty() => {}
                None => return Err(self.stray_argument(rest[0], param, ty, &tensor.value, *span)),
            }
        }
        for (row, rest, param, span, value) in parts {
            let Some(whole) = rows.get(row) else {
                rows.insert(row, rest);
                continue;
            };
            if let (Some(&stray), Some(ParamType::Tensor(ty))) = (rest.iter().find(|a| !whole.contains(a)), &param.ty) {
                return Err(self.stray_argument(stray, param, ty, &value, span));
            }
        }
        for (row, axes) in rows {
            scope.rows.borrow_mut().insert(row.into(), axes);
        }
        Ok(())
    }

    /// Whether every name of a term is bound.
    fn bound(&mut self, term: &AxisTerm, scope: &Names<'p, E>) -> bool {
        let mut names = Vec::new();
        super::axes::mentioned(std::slice::from_ref(term), &mut names);
        names.iter().all(|name| self.find_axis(&name.node, scope, &[]).is_some())
    }

    fn stray_argument(&mut self, stray: Axis, param: &Param, ty: &TensorType, value: &E::Value, span: Span) -> Reported {
        let has = self.emit.type_of(value);
        let (shown, name) = (self.show(&has), self.name_of(stray));
        let wanted = self.program.sources().text(ty.span).to_owned();
        let mut d = Diagnostic::error("W0302", format!("`{}` has no place for the axis `{name}`", param.name.node), span, format!("this is {shown}"))
            .label(param.name.span, format!("`{}` is declared here", param.name.node))
            .expected(wanted, shown);
        if let Some(place) = self.origin(stray).filter(|&place| place != span) {
            d = d.label(place, format!("`{name}` comes in here"));
        }
        self.report(d)
    }

    /// Binds the parameters of a function, defaults included.
    fn bind_params(&mut self, def: &'p ast::Fn, slots: Vec<Option<Given<'p, E::Value>>>, scope: &Names<'p, E>, span: Span) -> Done<()> {
        let mut fine = Ok(());
        for (param, slot) in def.params.iter().zip(slots) {
            let given = slot.is_some();
            let (value, place) = match (slot, &param.default) {
                (Some(given), _) => given,
                (None, Some(default)) => (self.eval_or_unknown(default, scope), default.span),
                (None, None) => {
                    let what = def.name.as_ref().map_or("this".into(), |name| format!("`{}`", name.node));
                    fine = Err(self.missing(param, &what, span));
                    continue;
                }
            };
            let value = match &param.ty {
                Some(ParamType::Tensor(ty)) => self.argument(param, ty, value, place, scope).map(plain_masked),
                _ if !given => Ok(value),
                _ => self.fitted(param, value, place, scope),
            };
            match value {
                Ok(value) => scope.set(&param.name.node, value),
                Err(reported) => {
                    scope.set(&param.name.node, Value::Unknown);
                    // A value that was unknown before has been reported: the call goes on with what it declares.
                    let _ = reported;
                }
            }
        }
        fine
    }

    /// A tensor as its parameter's type says.
    pub(crate) fn argument(&mut self, param: &Param, ty: &TensorType, value: Val<'p, E>, span: Span, scope: &Names<'p, E>) -> Done<Tensor<E::Value>> {
        let elem = match &ty.elem {
            Some(ElemType::Index(name)) if self.find_axis(&name.node, scope, &[]).is_none() => None,
            elem => Some(self.elem(elem.as_ref(), scope)?),
        };
        if let (Value::Int(n), Some(Elem::Index(axis))) = (&value, elem) {
            return Ok(Tensor { value: self.constant_index(n, axis, span)?, mask: None });
        }
        let tensor = self.tensor(&value, span)?;
        let Some(elem) = elem else { return Ok(tensor) };
        let value = self.as_elem(&tensor.value, elem, span, Some(param))?;
        Ok(Tensor { value, mask: tensor.mask })
    }

    /// The value holding what is wanted: integers become floats, indices integers, and an index fits an axis of its size.
    pub(crate) fn as_elem(&mut self, value: &E::Value, elem: Elem, span: Span, param: Option<&Param>) -> Done<E::Value> {
        let has = self.emit.type_of(value);
        match (has.elem, elem) {
            (a, b) if a == b => Ok(value.clone()),
            (Elem::Int | Elem::Index(_), Elem::Float) => Ok(self.to_float(value)),
            (Elem::Index(_), Elem::Int) => Ok(self.sure(Op::Cast(Elem::Int), &[value.clone()])),
            (Elem::Index(_) | Elem::Int, Elem::Index(axis)) => self.index_into(&plain(value.clone()), axis, span),
            _ => {
                let (shown, wanted) = (self.show(&has), self.show(&has.of(elem)));
                let what = param.map_or("the result".into(), |p| format!("`{}`", p.name.node));
                let mut d = Diagnostic::error("W0402", format!("{what} holds another kind of value"), span, shown.clone()).expected(&wanted, &shown);
                if let Some(param) = param {
                    d = d.label(param.name.span, format!("`{}` is declared here", param.name.node));
                }
                if has.elem == Elem::Bool {
                    let text = self.program.sources().text(span).to_owned();
                    d = d.fix(span, format!("select({text}, 1, 0)"), "make numbers of the truth values");
                }
                Err(self.report(d))
            }
        }
    }

    /// While checking: a value of the declared type.
    fn declared(&mut self, result: &ResultType, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let one = |session: &mut Self, ty: &TensorType| -> Done<Val<'p, E>> {
            let axes = session.terms(&ty.axes, scope, &[])?;
            let elem = session.elem(ty.elem.as_ref(), scope)?;
            let value = session.sure(Op::Constant(Number(0.0), elem, axes), &[]);
            session.seen(&value, span);
            Ok(plain(value))
        };
        match result {
            ResultType::Tensor(ty) => one(self, ty),
            ResultType::Record(fields, _) => {
                let fields = fields.iter().map(|(name, ty)| one(self, ty).map(|value| (name.node.clone(), value)));
                fields.collect::<Done<Vec<_>>>().map(Value::Record)
            }
        }
    }

    /// The value of a body as its `fn` declares it; no axis may be left over.
    pub(crate) fn as_declared(&mut self, value: Val<'p, E>, result: &'p ResultType, scope: &Names<'p, E>, def: &'p ast::Fn) -> Done<Val<'p, E>> {
        let span = last_span(&def.body).unwrap_or(def.span);
        match (result, value) {
            (_, Value::Unknown) => Err(Reported),
            (ResultType::Tensor(ty), value) => self.one_result(value, ty, scope, span),
            (ResultType::Record(fields, whole), value) => {
                let values: Vec<(String, Val<'p, E>)> = match value {
                    Value::Record(values) => values,
                    Value::Tuple(values) if values.len() == fields.len() => {
                        fields.iter().zip(values).map(|((name, _), value)| (name.node.clone(), value)).collect()
                    }
                    value if fields.len() == 1 => vec![(fields[0].0.node.clone(), value)],
                    other => {
                        let d = Diagnostic::error("W0407", format!("{} results are declared", fields.len()), span, other.kind()).label(*whole, "declared here");
                        return Err(self.report(d));
                    }
                };
                let mut out = Vec::new();
                for (name, ty) in fields {
                    let Some((_, value)) = values.iter().find(|(n, _)| *n == name.node) else {
                        let d = Diagnostic::error("W0407", format!("the result `{}` is missing", name.node), span, "not among these")
                            .label(name.span, "declared here");
                        return Err(self.report(d));
                    };
                    let value = self.one_result(value.clone(), ty, scope, span).unwrap_or(Value::Unknown);
                    out.push((name.node.clone(), value));
                }
                if let Some((extra, _)) = values.iter().find(|(n, _)| !fields.iter().any(|(f, _)| f.node == *n)) {
                    let d = Diagnostic::error("W0407", format!("no result `{extra}` is declared"), span, "").label(*whole, "declared here");
                    return Err(self.report(d));
                }
                Ok(Value::Record(out))
            }
        }
    }

    fn one_result(&mut self, value: Val<'p, E>, ty: &'p TensorType, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let tensor = self.tensor(&value, span)?;
        let value = self.whole(&Value::Tensor(tensor), span)?;
        if ty.axes.iter().any(|term| matches!(term, AxisTerm::AnyRow(_))) {
            let elem = self.elem(ty.elem.as_ref(), scope)?;
            return self.as_elem(&value, elem, span, None).map(plain);
        }
        let declared = self.terms(&ty.axes, scope, &[])?;
        let has = self.emit.type_of(&value);
        let stray: Vec<_> = has.axes.iter().copied().filter(|a| !declared.contains(a)).collect();
        if let Some(&first) = stray.first() {
            let (shown, name) = (self.show(&has), self.name_of(first));
            let wanted = self.program.sources().text(ty.span).to_owned();
            let mut d = Diagnostic::error("W0305", format!("the axis `{name}` is left over in the result"), span, format!("this is {shown}"))
                .label(ty.span, "the result is declared here")
                .expected(wanted, &shown);
            if let Some(place) = self.origin(first).filter(|&place| place != span) {
                d = d.label(place, format!("`{name}` comes in here"));
            }
            d = d.help(format!("reduce it (`sum[{name}](…)`), or declare it in the result"));
            return Err(self.report(d));
        }
        let elem = self.elem(ty.elem.as_ref(), scope)?;
        self.as_elem(&value, elem, span, None).map(plain)
    }
}

fn plain_masked<'p, V>(tensor: Tensor<V>) -> Value<'p, V> {
    Value::Tensor(tensor)
}

/// The place of a body's value.
pub(crate) fn last_span(body: &[ast::Stmt]) -> Option<Span> {
    match body.last()? {
        ast::Stmt::Expr(expr) => Some(expr.span),
        ast::Stmt::If(branch) => last_span(&branch.then),
        _ => None,
    }
}
