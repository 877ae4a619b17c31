//! Statements: bindings, folds over repeated blocks, scans.

use std::rc::Rc;

use crate::ast::{For, Let, Scan, Stmt};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;
use crate::types::{Elem, Type};

use super::expr::next_name;
use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{FnValue, Scope, Value};

/// Where a scope keeps what the steps of a scan yield.
const YIELD: &str = "yield ";

/// Walks a loop's body in a scope, and gives the next values of what is carried.
type Step<'a, 'p, E> = dyn Fn(&mut Session<'p, E>, &Names<'p, E>) -> Done<Vec<<E as Emit>::Value>> + 'a;

/// The last carried values, and what the steps yielded, joined.
type Looped<'p, E> = (Vec<<E as Emit>::Value>, Option<Val<'p, E>>);

impl<'p, E: Emit> Session<'p, E> {
    /// Walks statements; the value of the last, where it is one.
    pub(crate) fn body(&mut self, stmts: &'p [Stmt], scope: &Names<'p, E>) -> Done<Option<Val<'p, E>>> {
        let mut last = None;
        let mut fine = Ok(());
        for (i, stmt) in stmts.iter().enumerate() {
            match self.statement(stmt, scope) {
                Ok(value) if i + 1 == stmts.len() => last = value,
                Ok(_) => {}
                Err(reported) if i + 1 == stmts.len() => fine = Err(reported),
                Err(_) => {}
            }
        }
        fine.map(|()| last)
    }

    fn statement(&mut self, stmt: &'p Stmt, scope: &Names<'p, E>) -> Done<Option<Val<'p, E>>> {
        match stmt {
            Stmt::Let(binding) => self.bind(binding, scope).map(|()| None),
            Stmt::Axis(decl) => {
                if let Err(reported) = self.declare_axis(decl, scope) {
                    // So that uses of it are not reported too.
                    scope.set(&decl.name.node, Value::Unknown);
                    return Err(reported);
                }
                Ok(None)
            }
            Stmt::Fn(def) => {
                if let Some(name) = &def.name {
                    let function =
                        FnValue { def, scope: scope.clone(), given: Vec::new(), axes: Vec::new(), name: name.node.clone() };
                    scope.set(&name.node, Value::Fn(Rc::new(function)));
                }
                Ok(None)
            }
            Stmt::For(fold) => self.fold(fold, scope).map(|()| None),
            Stmt::If(branch) => match self.condition(&branch.cond, scope)? {
                Some(true) => self.body(&branch.then, scope),
                Some(false) => self.body(&branch.otherwise, scope),
                None => self.either(&branch.then, &branch.otherwise, scope),
            },
            Stmt::Next(name, expr) => {
                let value = self.eval_or_unknown(expr, scope);
                scope.set(&next_name(&name.node), value);
                Ok(None)
            }
            Stmt::Yield(expr) => {
                let value = self.eval_or_unknown(expr, scope);
                scope.set(YIELD, value);
                Ok(None)
            }
            Stmt::Metric(name, expr) => {
                let value = self.eval(expr, scope)?;
                let value = self.whole(&value, expr.span)?;
                self.scalar(&value, &format!("metric `{}`", name.node), expr.span)?;
                let value = self.as_float(&value);
                self.metrics.push((name.node.clone(), value));
                Ok(None)
            }
            Stmt::Assert(expr) => {
                self.assertion(expr, scope)?;
                Ok(None)
            }
            Stmt::Expr(expr) => self.eval(expr, scope).map(Some),
        }
    }

    /// A value without axes.
    pub(crate) fn scalar(&mut self, value: &E::Value, what: &str, span: Span) -> Done<()> {
        let ty = self.emit.type_of(value);
        if ty.axes.is_empty() {
            return Ok(());
        }
        let shown = self.show(&ty);
        Err(self.report(
            Diagnostic::error("W0312", format!("{what} is one number"), span, format!("this is {shown}"))
                .expected("[]", &shown)
                .help(format!("reduce it: `mean{shown}(…)`")),
        ))
    }

    /// Both branches of a condition that is not known, joined.
    fn either(&mut self, then: &'p [Stmt], otherwise: &'p [Stmt], scope: &Names<'p, E>) -> Done<Option<Val<'p, E>>> {
        let before = scope.vars.borrow().clone();
        let yes = self.body(then, scope);
        let after_yes = std::mem::replace(&mut *scope.vars.borrow_mut(), before);
        let no = self.body(otherwise, scope);
        for (name, value) in after_yes {
            let there = scope.vars.borrow().get(&name).cloned();
            let joined = match there {
                Some(other) => self.merged(value, other),
                None => value,
            };
            scope.set(&name, joined);
        }
        match (yes?, no?) {
            (Some(a), Some(b)) => Ok(Some(self.merged(a, b))),
            (a, b) => Ok(a.or(b)),
        }
    }

    /// `x = e`, `(a, b) = e`
    fn bind(&mut self, binding: &'p Let, scope: &Names<'p, E>) -> Done<()> {
        let value = self.binding_value(binding, scope);
        let values: Vec<Val<'p, E>> = match (&binding.names[..], value) {
            ([_], Ok(value)) => vec![value],
            (names, Ok(Value::Tuple(values))) if values.len() == names.len() => values,
            (names, Ok(Value::Record(fields))) if fields.len() == names.len() => {
                fields.into_iter().map(|(_, v)| v).collect()
            }
            (names, other) => {
                for name in names {
                    scope.set(&name.node, Value::Unknown);
                }
                return match other {
                    Err(reported) => Err(reported),
                    Ok(Value::Unknown) => Err(Reported),
                    Ok(other) => {
                        let span = names[0].span.to(names[names.len() - 1].span);
                        let d = Diagnostic::error(
                            "W0411",
                            format!("{} names cannot be bound to this", names.len()),
                            binding.value.span,
                            other.kind(),
                        );
                        Err(self.report(d.label(span, "these names")))
                    }
                };
            }
        };
        for (name, value) in binding.names.iter().zip(values) {
            if let Some(before) = scope.get(&name.node) {
                self.keeps_kind(&before, &value, name, binding.value.span);
            }
            scope.set(&name.node, value);
        }
        Ok(())
    }

    /// Binding a name again keeps its type.
    fn keeps_kind(&mut self, before: &Val<'p, E>, after: &Val<'p, E>, name: &crate::ast::Name, span: Span) {
        let (Value::Tensor(a), Value::Tensor(b)) = (before, after) else { return };
        let (old, new) = (self.emit.type_of(&a.value), self.emit.type_of(&b.value));
        let fits = old.elem == new.elem || (old.elem.is_integer() && new.elem.is_integer());
        if !fits {
            let (old, new) = (self.show(&old), self.show(&new));
            let d = Diagnostic::error("W0412", format!("`{}` held another kind of value", name.node), span, new.clone())
                .expected(old, new)
                .help("give it another name");
            self.report(d);
        }
    }

    /// `for layer in layers { … }`
    fn fold(&mut self, fold: &'p For, scope: &Names<'p, E>) -> Done<()> {
        let repeated = match self.eval(&fold.over, scope)? {
            Value::Repeated(repeated) => repeated,
            Value::Unknown => return Err(Reported),
            other => {
                return Err(self.report(
                    Diagnostic::error(
                        "W0413",
                        format!("`for` goes over a repeated block, not over {}", other.kind()),
                        fold.over.span,
                        other.kind(),
                    )
                    .help("a member `layers = Layer(…) * depth` is one"),
                ));
            }
        };
        let mut names = Vec::new();
        assigned(&fold.body, &mut names);
        names.retain(|name| {
            matches!(
                scope.get(name),
                Some(Value::Tensor(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Param(..))
            )
        });
        let values = |session: &mut Self, scope: &Names<'p, E>| -> Done<Vec<E::Value>> {
            let value = |name: &String| scope.get(name).unwrap_or(Value::Unknown);
            names.iter().map(|name| session.whole(&value(name), fold.span_of(name))).collect()
        };
        for run in &repeated.runs {
            let starts = values(self, scope)?;
            let step = |session: &mut Self, inner: &Names<'p, E>| -> Done<Vec<E::Value>> {
                for block in &run.blocks {
                    let own = Scope::within(inner);
                    own.set(&fold.var.node, Value::Instance(block.clone()));
                    session.body(&fold.body, &own)?;
                    for (name, value) in names.iter().zip(values(session, &own)?) {
                        inner.set(name, plain(value));
                    }
                }
                values(session, inner)
            };
            let results = match run.axis {
                Some(axis) => self.looped(axis, &names, starts, &[], scope, fold.var.span, &step)?.0,
                None => step(self, &Scope::within(scope))?,
            };
            for (name, value) in names.iter().zip(results) {
                scope.set(name, plain(value));
            }
        }
        Ok(())
    }

    /// `scan[time] carry h = 0 over g = gates { … }`
    pub(crate) fn scan(&mut self, scan: &'p Scan, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let mut read = Vec::new();
        let mut candidates = Vec::new();
        for (name, expr) in &scan.over {
            let value = self.eval(expr, scope)?;
            let value = self.whole(&value, expr.span)?;
            candidates.extend(self.emit.type_of(&value).axes);
            read.push((name.node.clone(), value));
        }
        let term = crate::ast::AxisTerm::Name(vec![scan.axis.clone()]);
        let axes = self.term(&term, scope, &candidates)?;
        let axis = self.single(&axes, scan.axis.span, "`scan`")?;
        let mut names = Vec::new();
        let mut starts = Vec::new();
        for (name, expr) in &scan.carry {
            let value = self.eval(expr, scope)?;
            starts.push(self.whole(&value, expr.span)?);
            names.push(name.node.clone());
        }
        let run = |session: &mut Self, inner: &Names<'p, E>| -> Done<Vec<E::Value>> {
            session.body(&scan.body, inner)?;
            scan.carry
                .iter()
                .map(|(name, _)| match inner.own(&next_name(&name.node)) {
                    Some(value) => session.whole(&value, name.span),
                    None => Err(session.report(
                        Diagnostic::error(
                            "W0414",
                            format!("`{}` has no next value", name.node),
                            name.span,
                            "carried, but never set",
                        )
                        .help(format!("write `next {} = …` in the body", name.node)),
                    )),
                })
                .collect()
        };
        let (carried, yields) = self.looped(axis, &names, starts, &read, scope, span, &run)?;
        if let Some(yields) = yields {
            return Ok(yields);
        }
        let mut values: Vec<_> = names.into_iter().zip(carried.into_iter().map(plain)).collect();
        Ok(if values.len() == 1 { values.remove(0).1 } else { Value::Record(values) })
    }

    /// A loop over an axis. The carried values start with the axes they have, and are widened until the body keeps their types.
    #[expect(clippy::too_many_arguments, reason = "one loop for folds and scans")]
    fn looped(
        &mut self,
        axis: crate::types::Axis,
        names: &[String],
        mut starts: Vec<E::Value>,
        read: &[(String, E::Value)],
        scope: &Names<'p, E>,
        span: Span,
        run: &Step<'_, 'p, E>,
    ) -> Done<Looped<'p, E>> {
        let (sites, limits) = (self.sites, self.limits.len());
        for _ in 0..8 {
            self.sites = sites;
            self.limits.truncate(limits);
            let carried = self.emit.begin_loop(axis, &starts);
            self.loops.push(axis);
            let inner = Scope::within(scope);
            for (name, value) in names.iter().zip(&carried) {
                inner.set(name, plain(value.clone()));
            }
            for (name, value) in read {
                let ty = self.emit.type_of(value);
                let step = if ty.has(axis) { self.emit.slice(value, axis) } else { value.clone() };
                self.seen(&step, span);
                inner.set(name, plain(step));
            }
            let next = run(self, &inner);
            self.loops.pop();
            let next = match next {
                Ok(next) => next,
                Err(reported) => {
                    self.emit.end_loop(&carried, &[]);
                    return Err(reported);
                }
            };
            let types: Vec<Type> = starts.iter().map(|v| self.emit.type_of(v)).collect();
            let mut wider = types.clone();
            for ((ty, value), name) in wider.iter_mut().zip(&next).zip(names) {
                let new = self.emit.type_of(value);
                *ty = ty.with(&new.axes);
                ty.elem = match (ty.elem, new.elem) {
                    (a, b) if a == b => a,
                    (Elem::Int | Elem::Index(_), Elem::Float) | (Elem::Float, Elem::Int | Elem::Index(_)) => Elem::Float,
                    (Elem::Int | Elem::Index(_), Elem::Int | Elem::Index(_)) => Elem::Int,
                    _ => {
                        let (old, new) = (self.show(&types[0]), self.show(&new));
                        self.emit.end_loop(&carried, &[]);
                        let d = Diagnostic::error("W0409", format!("`{name}` changes its type from step to step"), span, "")
                            .expected(old, new);
                        return Err(self.report(d));
                    }
                };
                if ty.has(axis) {
                    let own = self.name_of(axis);
                    self.emit.end_loop(&carried, &[]);
                    return Err(self.report(
                        Diagnostic::error(
                            "W0409",
                            format!("`{name}` would carry the axis `{own}` of the loop itself"),
                            span,
                            "",
                        )
                        .help("a value read in the loop is one step's: say it after `over`"),
                    ));
                }
            }
            if wider == types {
                let mut outs = Vec::new();
                for (value, ty) in next.iter().zip(&types) {
                    let value = if ty.elem == Elem::Float {
                        self.as_float(value)
                    } else {
                        self.as_elem(value, ty.elem, span, None)?
                    };
                    outs.push(self.spread(&value, &ty.axes));
                }
                let yielded = inner.own(YIELD);
                let mut labels = Vec::new();
                let mut yields = Vec::new();
                match yielded {
                    None => {}
                    Some(Value::Record(fields)) => {
                        for (name, value) in fields {
                            yields.push(self.whole(&value, span)?);
                            labels.push(name);
                        }
                    }
                    Some(value) => yields.push(self.whole(&value, span)?),
                }
                let mut done = self.emit.end_loop(&outs, &yields);
                let joined = done.split_off(outs.len());
                let result = match (yields.is_empty(), labels.is_empty()) {
                    (true, _) => None,
                    (false, true) => joined.into_iter().next().map(plain),
                    (false, false) => Some(Value::Record(labels.into_iter().zip(joined.into_iter().map(plain)).collect())),
                };
                return Ok((done, result));
            }
            self.emit.end_loop(&carried, &[]);
            for (start, ty) in starts.iter_mut().zip(&wider) {
                let value = if ty.elem == Elem::Float { self.as_float(start) } else { start.clone() };
                *start = self.spread(&value, &ty.axes);
            }
        }
        Err(self.error("W0409", "the type of a carried value never settles", span, ""))
    }
}

impl For {
    /// Where a name is last bound in the body.
    fn span_of(&self, name: &str) -> Span {
        let bound = self.body.iter().rev().find_map(|stmt| match stmt {
            Stmt::Let(binding) => binding.names.iter().any(|n| n.node == name).then_some(binding.value.span),
            _ => None,
        });
        bound.unwrap_or(self.var.span)
    }
}

/// The names that statements bind.
fn assigned(stmts: &[Stmt], out: &mut Vec<String>) {
    for stmt in stmts {
        match stmt {
            Stmt::Let(binding) => {
                for name in &binding.names {
                    if !out.contains(&name.node) {
                        out.push(name.node.clone());
                    }
                }
            }
            Stmt::If(branch) => {
                assigned(&branch.then, out);
                assigned(&branch.otherwise, out);
            }
            Stmt::For(fold) => assigned(&fold.body, out),
            _ => {}
        }
    }
}
