//! Expressions.

use std::rc::Rc;

use crate::ast::{BinaryOp, Expr, ExprKind, ItemKind, Name, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::elementwise::Elementwise;
use crate::emit::Emit;
use crate::size::Size;
use crate::span::FileId;

use super::nearest::{nearest, suggest};
use super::primitive;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{BlockRef, FnValue, Instance, Value};
use super::weights::value_of;

impl<'p, E: Emit> Session<'p, E> {
    /// The value of an expression.
    pub(crate) fn eval(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        self.deeper(expr.span, |session| session.eval_here(expr, scope))
    }

    /// The value of an expression; where it has a fault, one that silences what follows.
    pub(crate) fn eval_or_unknown(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Val<'p, E> {
        self.eval(expr, scope).unwrap_or(Value::Unknown)
    }

    fn eval_here(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        let span = expr.span;
        match &*expr.node {
            ExprKind::Int(n) => Ok(Value::Int(Size::of(*n))),
            ExprKind::Float(f, _) => Ok(Value::Float(Some(*f))),
            ExprKind::Bool(b) => Ok(Value::Bool(Some(*b))),
            ExprKind::Text(text) => Ok(Value::Text(Some(text.as_str().into()))),
            ExprKind::Name(name) => self.name(&Name { node: name.clone(), span }, scope),
            ExprKind::Next(name) => match scope.get(&next_name(&name.node)) {
                Some(value) => Ok(value),
                None => Err(self.report(
                    Diagnostic::error("W0104", format!("`next {}` has no value yet", name.node), span, "not set above")
                        .help(format!("write `next {} = …` before it is used", name.node)),
                )),
            },
            ExprKind::Field(base, name) => match self.eval(base, scope)? {
                tensor @ (Value::Tensor(_) | Value::Param(..)) => self.member_of_tensor(&tensor, name, base.span, scope),
                value => self.field(&value, name, base.span),
            },
            ExprKind::Call(callee, args) => self.applied(expr, callee, args, scope),
            ExprKind::Bracket(base, entries) => self.bracket(expr, base, entries, scope),
            ExprKind::Unary(op, operand) => {
                let value = self.eval(operand, scope)?;
                match op {
                    UnaryOp::Neg => self.map(Elementwise::NEG, &[(value, operand.span)], span),
                    UnaryOp::Not => self.map(Elementwise::NOT, &[(value, operand.span)], span),
                }
            }
            ExprKind::Binary(BinaryOp::Mul, block, times) if self.makes_block(block, scope) => {
                self.repeat(block, times, scope)
            }
            ExprKind::Binary(BinaryOp::Otherwise, a, b) => match self.eval(a, scope)? {
                Value::Absent(_) => self.eval(b, scope),
                left @ (Value::Tensor(_) | Value::Param(..)) => {
                    let right = self.eval(b, scope)?;
                    self.binary(BinaryOp::Otherwise, (left, a.span), (right, b.span), span)
                }
                whole => Ok(whole),
            },
            ExprKind::Binary(op, a, b) => {
                let left = self.eval(a, scope);
                let right = self.eval(b, scope);
                let (left, right) = (left?, right?);
                self.binary(*op, (left, a.span), (right, b.span), span)
            }
            ExprKind::Record(fields) => {
                let values = fields.iter().map(|(name, e)| (name.node.clone(), self.eval_or_unknown(e, scope)));
                Ok(Value::Record(values.collect()))
            }
            ExprKind::Tuple(parts) => {
                let values: Vec<_> = parts.iter().map(|e| self.eval_or_unknown(e, scope)).collect();
                let any_axis = values.iter().any(|value| matches!(value, Value::Axis(_)));
                if any_axis && values.iter().any(|value| matches!(value, Value::Unknown)) {
                    return Err(Reported);
                }
                let axes = values.iter().map(|value| match value {
                    Value::Axis(axes) => Some(axes.as_slice()),
                    _ => None,
                });
                // `(group, key)` is a product of axes.
                match axes.collect::<Option<Vec<_>>>() {
                    Some(axes) => Ok(Value::Axis(axes.concat())),
                    None => Ok(Value::Tuple(values)),
                }
            }
            ExprKind::List(items) => Ok(Value::List(items.iter().map(|e| self.eval_or_unknown(e, scope)).collect())),
            ExprKind::If(cond, yes, no) => {
                let known = self.condition(cond, scope)?;
                match known {
                    Some(true) => self.eval(yes, scope),
                    Some(false) => self.eval(no, scope),
                    None => {
                        let yes = self.assuming(cond, true, scope, |session| session.eval_or_unknown(yes, scope));
                        let no = self.assuming(cond, false, scope, |session| session.eval_or_unknown(no, scope));
                        Ok(match (yes, no) {
                            // A whole number that goes by how it is written.
                            (Value::Int(yes), Value::Int(no)) if yes != no => {
                                Value::Int(Size::var(self.program.sources().text(span)))
                            }
                            (yes, no) => self.merged(yes, no),
                        })
                    }
                }
            }
            ExprKind::For(name, over, body) => self.series(name, over, body, scope),
            ExprKind::Scan(scan) => self.scan(scan, scope, span),
        }
    }

    /// The value of a name: nearest scope first, then the file's items, then the primitives.
    pub(crate) fn name(&mut self, name: &Name, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        if let Some(value) = scope.get(&name.node) {
            return if matches!(value, Value::Unknown) { Err(Reported) } else { Ok(value) };
        }
        if let Some(value) = self.top(scope.file, &name.node) {
            return Ok(value);
        }
        if name.node == "training" {
            return Ok(Value::Bool(self.training));
        }
        if name.node == "none" {
            return Ok(Value::Absent("none".into()));
        }
        if name.node == "infinity" {
            return Ok(Value::Float(Some(f64::INFINITY)));
        }
        if let Some(primitive) = primitive::named(&name.node) {
            return Ok(Value::Primitive(primitive));
        }
        if let Some(place) = self.declared_below(name) {
            return Err(self.used_before(name, place));
        }
        let message = format!("`{}` is not known here", name.node);
        Err(self.unknown_name(name, message, scope))
    }

    /// A member is there from its own line on.
    pub(crate) fn used_before(&mut self, name: &Name, place: crate::span::Span) -> Reported {
        let message = format!("`{}` is used before it is declared", name.node);
        let d = Diagnostic::error("W0104", message, name.span, "not there yet").label(place, "declared below");
        self.report(d.help("move the declaration up: the members of a block are made in order"))
    }

    /// What a name stands for at the top of a file.
    pub(crate) fn top(&mut self, file: FileId, name: &str) -> Option<Val<'p, E>> {
        let program = self.program;
        let (home, kind) = program.item(file, name)?;
        let root = self.roots[home.0 as usize].clone();
        Some(match kind {
            ItemKind::Fn(def) => {
                Value::Fn(Rc::new(FnValue { def, scope: root, given: Vec::new(), axes: Vec::new(), name: name.to_owned() }))
            }
            ItemKind::Block(def) => Value::Maker(BlockRef { file: home, def }),
            ItemKind::Axis(decl) => {
                if root.own(&decl.name.node).is_none() {
                    // Set before its size is known: an axis whose size asks for itself finds nothing rather than looping.
                    root.set(&decl.name.node, Value::Unknown);
                    if self.declare_axis(decl, &root).is_ok() {
                        root.vars.borrow_mut().remove(&decl.name.node);
                    }
                }
                root.own(&decl.name.node)?
            }
            ItemKind::Made(made) => return self.eval(&made.value, &root).ok(),
            ItemKind::Table(table) => Value::Table(table, home),
            ItemKind::Objective(_) | ItemKind::Optimizer(_) | ItemKind::Schedule(_) => Value::Item(kind, home),
            ItemKind::Use(_) | ItemKind::Train(_) | ItemKind::Weights(_) | ItemKind::Test(_) => return None,
        })
    }

    /// A member of a value.
    pub(crate) fn field(&mut self, value: &Val<'p, E>, name: &Name, base: crate::span::Span) -> Done<Val<'p, E>> {
        let names: Vec<String> = match value {
            Value::Unknown => return Err(Reported),
            Value::Record(fields) => {
                if let Some((_, value)) = fields.iter().find(|(field, _)| *field == name.node) {
                    return if matches!(value, Value::Unknown) { Err(Reported) } else { Ok(value.clone()) };
                }
                fields.iter().map(|(field, _)| field.clone()).collect()
            }
            Value::Instance(instance) => {
                if let Some(value) = instance.scope.own(&name.node) {
                    return Ok(value);
                }
                let vars = instance.scope.vars.borrow();
                let axes = instance.scope.axes.borrow();
                let mut names: Vec<_> =
                    vars.keys().chain(axes.keys()).filter(|n| !n.contains(['(', ' ']) && *n != "this").cloned().collect();
                names.sort();
                names
            }
            Value::Absent(path) => return Ok(Value::Absent(format!("{path}.{}", name.node).into())),
            Value::Theirs(path, field) => {
                return Ok(value_of(&format!("{path}.{}", name.node), field.at(&name.node)));
            }
            Value::Repeated(repeated) => {
                let has = |block: &&Rc<Instance<'p, E::Value>>| block.scope.own(&name.node).is_some();
                let block = repeated.blocks().find(has).or_else(|| repeated.blocks().next()).ok_or(Reported)?;
                return self.field(&Value::Instance(block.clone()), name, base);
            }
            Value::Data(data) => match name.node.as_str() {
                "vocab" => return self.vocabulary(data, name.span),
                "held_out" => return Ok(Value::Primitive("held_out")),
                _ => vec!["vocab".into(), "held_out".into()],
            },
            _ => Vec::new(),
        };
        let d = Diagnostic::error("W0112", format!("{} has no `{}`", value.kind(), name.node), name.span, "no such member")
            .label(base, value.kind());
        let d = if let Value::Empty = value {
            d.help(format!("ask first whether it is filled: `if {} {{ … }}`", self.program.sources().text(base)))
        } else if names.is_empty() {
            d
        } else {
            d.note(format!("it has {}", super::nearest::list(names.iter().map(String::as_str))))
        };
        let near = nearest(&name.node, names.iter().map(String::as_str));
        Err(self.report(suggest(d, name.span, near)))
    }

    /// The value of a condition, which is on configuration.
    pub(crate) fn condition(&mut self, cond: &'p Expr, scope: &Names<'p, E>) -> Done<Option<bool>> {
        match self.eval(cond, scope)? {
            Value::Bool(None) => Ok(self.supposed(cond)),
            Value::Bool(known) => Ok(known),
            Value::Empty => Ok(Some(false)),
            Value::Instance(instance) => Ok((!instance.optional).then_some(true)),
            Value::Unknown => Err(Reported),
            other => Err(self.report(
                Diagnostic::error(
                    "W0408",
                    format!("`if` is on configuration, not on {}", other.kind()),
                    cond.span,
                    "not known before the model runs",
                )
                .help("to choose by a tensor, write `select(condition, a, b)`"),
            )),
        }
    }

    /// What a condition that is not known is taken to be, while an item is checked by itself. Sizes that are compared are left to
    /// [`Session::assuming`].
    fn supposed(&mut self, cond: &'p Expr) -> Option<bool> {
        let compares = matches!(&*cond.node, ExprKind::Binary(BinaryOp::Eq | BinaryOp::Ne, ..));
        if !self.checking || compares || !self.item.is_some_and(|item| item.covers(cond.span)) {
            return None;
        }
        let known = self.assumed.iter().find(|(known, _)| *known == cond).map(|(_, holds)| *holds);
        if known.is_none() && !self.undecided.contains(&cond) {
            self.undecided.push(cond);
        }
        known
    }

    /// Walks a branch that is taken where a condition is so: sizes that it compares may be known to be equal there.
    pub(crate) fn assuming<T>(
        &mut self,
        cond: &'p Expr,
        holds: bool,
        scope: &Names<'p, E>,
        walk: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let ExprKind::Binary(op @ (BinaryOp::Eq | BinaryOp::Ne), a, b) = &*cond.node else { return walk(self) };
        let sizes = ((*op == BinaryOp::Eq) == holds).then(|| (self.eval(a, scope), self.eval(b, scope)));
        let Some((Ok(Value::Int(a)), Ok(Value::Int(b)))) = sizes else { return walk(self) };
        let variables = a.variables();
        let [variable] = variables.as_slice() else { return walk(self) };
        if a != Size::var(variable) || b.variables().contains(variable) {
            return walk(self);
        }
        let put = |name: &str| (*name == **variable).then(|| b.clone());
        let mut before: Vec<Size> = self.emit.axes().iter().map(|(_, info)| info.size.clone()).collect();
        self.emit.axes().resize(&mut |size| size.substitute(&put).unwrap_or_else(|_| size.clone()));
        let walked = walk(self);
        before.reverse();
        self.emit.axes().resize(&mut |size| before.pop().unwrap_or_else(|| size.clone()));
        walked
    }

    /// One value for both branches of a condition that is not known.
    pub(crate) fn merged(&mut self, a: Val<'p, E>, b: Val<'p, E>) -> Val<'p, E> {
        match (&a, &b) {
            (Value::Int(x), Value::Int(y)) if x == y => a,
            (Value::Float(_) | Value::Int(_), Value::Float(_) | Value::Int(_)) => Value::Float(None),
            (Value::Bool(_), Value::Bool(_)) => Value::Bool(None),
            (Value::Tensor(x), Value::Tensor(y)) => {
                let (s, t) = (self.emit.type_of(&x.value), self.emit.type_of(&y.value));
                if s.elem == t.elem && s.axes.iter().all(|&axis| t.has(axis)) { b } else { a }
            }
            (Value::Tensor(_) | Value::Fn(_) | Value::Primitive(_) | Value::Instance(_), _) => a,
            (_, Value::Tensor(_)) => b,
            _ => a,
        }
    }
}

/// Under which name a scope keeps the next value of a carried one.
pub(crate) fn next_name(name: &str) -> String {
    format!("next {name}")
}
