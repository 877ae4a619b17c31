//! Calls: what can be called, and how a function is entered.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{self, Arg, BracketEntry, Expr, ExprKind, ItemKind, Name, ParamType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;
use crate::types::Axis;

use super::arguments::Given;
use super::bind::{generic_names, result_names};
use super::primitive::PrimitiveCall;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{FnValue, Instance, ScheduleValue, Scope, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// `f(a, name: b)`, `softmax[token](x)`
    pub(crate) fn applied(
        &mut self,
        expr: &'p Expr,
        callee: &'p Expr,
        args: &'p [Arg],
        scope: &Names<'p, E>,
    ) -> Done<Val<'p, E>> {
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
                Some(_) => Err(Reported),
                None => Err(self.not_called(&instance, base.span)),
            },
            Value::Maker(block) => self.make_member(block, args, scope, span),
            Value::Table(table, file) => match args {
                [Arg { name: None, value }] => {
                    let key = self.eval(value, scope)?;
                    self.in_table(table, file, &key, span)
                }
                _ => Err(self.error("W0108", "a table is asked for one text", span, "")),
            },
            Value::Empty => self.through_empty(args, scope, span),
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
                    let mut step = self.eval(value, scope)?;
                    // A step that is written is a number like those of a run, whose quotients are real.
                    if let Value::Int(size) = &step {
                        step = Value::Float(size.known().map(|n| n as f64));
                    }
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
                let mut d =
                    Diagnostic::error("W0109", format!("{} cannot be called", other.kind()), base.span, other.kind());
                if matches!(other, Value::Repeated(_)) {
                    d = d.help("fold over it: `for layer in layers { x = layer(x) }`");
                }
                Err(self.report(d))
            }
        }
    }

    /// A block that cannot be called.
    pub(crate) fn not_called(&mut self, instance: &Instance<'p, E::Value>, span: Span) -> Reported {
        let name = &instance.block.def.name.node;
        self.error("W0109", format!("`{name}` has no nameless `fn`, and cannot be called"), span, "a block")
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
        self.led_by(span, |session| session.enter(function, slots, said, caller, span))
    }

    /// Binds what a call gives, and walks the body or takes the declared result.
    fn enter(
        &mut self,
        function: &Rc<FnValue<'p, E::Value>>,
        mut slots: Vec<Option<Given<'p, E::Value>>>,
        mut said: Vec<(String, Vec<Axis>)>,
        caller: &Names<'p, E>,
        span: Span,
    ) -> Done<Val<'p, E>> {
        let def = function.def;
        let scope = Scope::within(&function.scope);
        // An axis that is an argument is said, whatever the caller calls it.
        for (param, slot) in def.params.iter().zip(&slots) {
            if let Some((Value::Axis(axes), _)) = slot {
                said.push((param.name.node.clone(), axes.clone()));
            }
        }
        for (name, axes) in &said {
            scope.set_axis(name, axes.clone(), span);
        }
        let unknown = slots.iter().flatten().any(|(value, _)| matches!(value, Value::Unknown));
        let generics: Vec<&Name> = generic_names(def)
            .into_iter()
            .filter(|n| !said.iter().any(|(s, _)| *s == n.node) && function.scope.axis(&n.node).is_none())
            .collect();
        let generics: Vec<&Name> = generics
            .into_iter()
            .filter(|n| !matches!(self.top(function.scope.file, &n.node), Some(Value::Axis(_))))
            .collect();
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
        let tensors =
            def.params.iter().zip(&slots).any(|(p, slot)| matches!(p.ty, Some(ParamType::Tensor(_))) && slot.is_some());
        let waits = result_names(def).iter().any(|n| open.iter().any(|o| o.node == n.node));
        if waits && unknown {
            return Err(Reported);
        }
        if waits && !tensors {
            // `window(width: 4)` as an argument: the axes come where it is called.
            let given = def
                .params
                .iter()
                .zip(slots)
                .filter_map(|(p, slot)| slot.map(|(value, _)| (p.name.node.clone(), value)))
                .collect();
            return Ok(Value::Fn(Rc::new(FnValue { given, axes: said, ..(**function).clone() })));
        }
        self.listed_axes_found(function, &slots, &open, span)?;
        let apart = self.keep_apart(def, &mut slots, &scope, span)?;
        let value = self.inside(function, slots, &scope, unknown, span)?;
        self.put_together(value, &apart, span)
    }

    /// `softmax(x)`: an axis that the function lists in brackets, and that a given tensor has to have, was neither said nor found.
    fn listed_axes_found(
        &mut self,
        function: &FnValue<'p, E::Value>,
        slots: &[Option<Given<'p, E::Value>>],
        open: &[&Name],
        span: Span,
    ) -> Done<()> {
        // When lowering, a value may lack axes along which it is constant.
        if !self.checking {
            return Ok(());
        }
        let def = function.def;
        for (param, slot) in def.params.iter().zip(slots) {
            let (Some(ParamType::Tensor(ty)), Some((Value::Tensor(tensor), _))) = (&param.ty, slot) else { continue };
            let mut mentioned = Vec::new();
            super::axes::mentioned(&ty.axes, &mut mentioned);
            let lacks = |name: &Name| [&mentioned[..], open].iter().all(|of| of.iter().any(|n| n.node == name.node));
            let Some(listed) = def.axes.iter().find(|name| lacks(name)) else { continue };
            let has = self.emit.type_of(&tensor.value);
            let (axis, name, shown) = (&listed.node, &function.name, self.show(&has));
            let d = Diagnostic::error("W0310", format!("`{name}` needs its axis `{axis}`"), span, "over which axis?")
                .label(listed.span, format!("`{axis}` is declared here"))
                .note(format!("`{}` is {shown}", param.name.node));
            let such = has.axes.last().map(|&axis| self.name_of(axis)).unwrap_or_else(|| "axis".to_owned());
            return Err(self.report(d.help(format!("say it in brackets, such as `{name}[{such}](…)`"))));
        }
        Ok(())
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
        if self.checking
            && let Some(result) = &def.result
        {
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
            let value = session.body(&def.body, scope)?;
            let Some(value) = value else { return Err(session.no_value(def)) };
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
            Diagnostic::error("W0410", "this `fn` has no value", span, "its body ends without one")
                .help("its last statement is its value"),
        )
    }

    /// Binds the parameters of a function, defaults included.
    fn bind_params(
        &mut self,
        def: &'p ast::Fn,
        slots: Vec<Option<Given<'p, E::Value>>>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<()> {
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
                Some(ParamType::Tensor(ty)) => self.argument(param, ty, value, place, scope).map(Value::Tensor),
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
}
