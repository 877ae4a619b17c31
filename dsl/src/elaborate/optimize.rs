//! A recipe's optimizer: its groups of parameters, state, rate and update.

use std::collections::HashMap;

use crate::ast::{self, BinaryOp, Group, ItemKind, Name, PathPart, PathPattern, Selector};
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter};
use crate::span::Span;
use crate::types::Axis;

use super::expr::next_name;
use super::nearest::{list, nearest, suggest};
use super::outcome::Update;
use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::train::Recipe;
use super::value::{Scope, Value};

impl<'p, E: Emit> Session<'p, E> {
    #[expect(clippy::type_complexity, reason = "the two halves of a recipe's optimizer")]
    pub(crate) fn recipe_optimizer(
        &mut self,
        expr: &'p ast::Expr,
        groups: &'p [Group],
        parameters: &[Parameter],
        scope: &Names<'p, E>,
    ) -> Done<((&'p ast::Optimizer, Names<'p, E>), Vec<(Vec<String>, Name, Val<'p, E>)>)> {
        let (def, configuration) = match self.eval(expr, scope)? {
            Value::Optimizer(def, scope) => (def, scope),
            Value::Item(ItemKind::Optimizer(def), file) => {
                let root = self.roots[file.0 as usize].clone();
                (def, self.configured(&def.params, &[], scope, &root, expr.span)?)
            }
            Value::Unknown => return Err(Reported),
            other => {
                return Err(self.error(
                    "W0503",
                    format!("an optimizer is needed here, not {}", other.kind()),
                    expr.span,
                    other.kind(),
                ));
            }
        };
        for param in &def.params {
            if let Some(value) = configuration.own(&param.name.node) {
                self.sound_rate(&param.name.node, &value, expr.span)?;
            }
        }
        let mut out = Vec::new();
        for group in groups {
            let Some(param) = def.params.iter().find(|p| p.name.node == group.name.node) else {
                let names = || def.params.iter().map(|p| p.name.node.as_str());
                let d = Diagnostic::error(
                    "W0106",
                    format!("`{}` has no configuration `{}`", def.name.node, group.name.node),
                    group.name.span,
                    "",
                )
                .note(format!("configuration: {}", list(names())));
                self.report(suggest(d, group.name.span, nearest(&group.name.node, names())));
                continue;
            };
            let Ok(value) = self.eval(&group.value, scope) else { continue };
            let Ok(value) = self.fitted(param, value, group.value.span, &configuration) else { continue };
            let Ok(()) = self.sound_rate(&group.name.node, &value, group.value.span) else { continue };
            let Ok(paths) = self.selected(&group.on, parameters) else { continue };
            out.push((paths, group.name.clone(), value));
        }
        Ok(((def, configuration), out))
    }

    /// A rate that is one number is 0 or more; what a schedule gives is known only step by step.
    fn sound_rate(&mut self, name: &str, value: &Val<'p, E>, span: Span) -> Done<()> {
        match value {
            Value::Rate(Some(rate)) if !(*rate >= 0.0 && rate.is_finite()) => {
                Err(self.error("W0508", format!("`{name}` is a rate: 0 or more"), span, format!("{rate}")))
            }
            _ => Ok(()),
        }
    }

    /// The parameters that a selector means; none is an error.
    fn selected(&mut self, selector: &Selector, parameters: &[Parameter]) -> Done<Vec<String>> {
        let (found, span): (Vec<String>, Span) = match selector {
            Selector::Axes(op, n, span) => {
                let holds = |count: i64| match op {
                    BinaryOp::Lt => count < *n,
                    BinaryOp::Le => count <= *n,
                    BinaryOp::Gt => count > *n,
                    BinaryOp::Ge => count >= *n,
                    BinaryOp::Ne => count != *n,
                    _ => count == *n,
                };
                let written = |p: &Parameter| self.written_axes.get(&p.path).copied().unwrap_or(p.axes.len());
                (parameters.iter().filter(|p| holds(written(p) as i64)).map(|p| p.path.clone()).collect(), *span)
            }
            Selector::Path(pattern) => {
                (parameters.iter().filter(|p| matches(pattern, &p.path)).map(|p| p.path.clone()).collect(), pattern.span)
            }
        };
        if found.is_empty() && !parameters.is_empty() {
            let text = self.program.sources().text(span).to_owned();
            let shown: Vec<String> = parameters.iter().map(|p| starred(&p.path)).collect();
            let mut d = Diagnostic::error("W0507", "no parameter is meant by this", span, "matches nothing");
            match nearest(&text, shown.iter().map(String::as_str)) {
                Some(near) => d = d.fix(span, near.clone(), format!("did you mean `{near}`?")),
                None => d = d.note(format!("parameters: {}", list(shown.iter().take(12).map(String::as_str)))),
            }
            return Err(self.report(d));
        }
        Ok(found)
    }

    /// An optimizer's state for each parameter, with its start.
    pub fn states(&mut self, recipe: &Recipe<'p, E::Value>) -> Result<Vec<(String, f64)>, Vec<Diagnostic>> {
        let (def, scope) = &recipe.optimizer;
        let states = self.led_by(recipe.places.1, |session| session.states_of(def, scope));
        self.outcome(states)
    }

    pub(crate) fn states_of(&mut self, def: &'p ast::Optimizer, scope: &Names<'p, E>) -> Done<Vec<(String, f64)>> {
        let mut states = Vec::new();
        for (name, expr) in &def.state {
            let start = self.float_of(expr, scope)?.unwrap_or(0.0);
            states.push((name.node.clone(), start));
        }
        Ok(states)
    }

    /// The recipe's rate at a step: that of its optimizer's schedule, if it has one.
    pub fn rate(&mut self, recipe: &Recipe<'p, E::Value>, step: E::Value) -> Result<Option<E::Value>, Vec<Diagnostic>> {
        let (def, scope) = &recipe.optimizer;
        let Some(param) = def.params.iter().find(|p| matches!(p.ty, Some(ast::ParamType::Schedule))) else {
            return Ok(None);
        };
        let span = param.name.span;
        let rate = self.led_by(recipe.places.1, |session| {
            let rate = match scope.get(&param.name.node) {
                Some(Value::Schedule(schedule)) => session.scheduled(&schedule, (plain(step), span), span)?,
                Some(Value::Rate(rate)) => Value::Float(rate),
                Some(_) | None => return Err(Reported),
            };
            session.whole(&rate, span).map(|value| Some(session.as_float(&value)))
        });
        self.outcome(rate)
    }

    /// Elaborates the update of one parameter: `p` is its value, `g` its gradient, `step` counts from 1, `states` its state.
    pub fn update(
        &mut self,
        recipe: &Recipe<'p, E::Value>,
        parameter: &Parameter,
        p: E::Value,
        g: E::Value,
        step: E::Value,
        states: &[(String, E::Value)],
    ) -> Result<Update<E::Value>, Vec<Diagnostic>> {
        let (def, configuration) = &recipe.optimizer;
        let scope = Scope::within(configuration);
        for (paths, name, value) in &recipe.groups {
            if paths.contains(&parameter.path) {
                scope.set(&name.node, value.clone());
            }
        }
        let update = self.led_by(recipe.places.1, |session| session.updated(def, &scope, p, g, step, states));
        self.outcome(update)
    }

    pub(crate) fn updated(
        &mut self,
        def: &'p ast::Optimizer,
        configuration: &Names<'p, E>,
        p: E::Value,
        g: E::Value,
        step: E::Value,
        states: &[(String, E::Value)],
    ) -> Done<Update<E::Value>> {
        let scope = Scope::within(configuration);
        for (name, value) in states {
            scope.set(name, plain(value.clone()));
        }
        if def.inputs.len() != 3 {
            return Err(self.error(
                "W0510",
                "an update takes the parameter, its gradient and the step",
                def.name.span,
                "`update (p, g, step)`",
            ));
        }
        for (name, value) in def.inputs.iter().zip([p.clone(), g, step]) {
            scope.set(&name.node, plain(value));
        }
        let shape = self.emit.type_of(&p);
        self.origins.push(HashMap::new());
        let walked = self.body(&def.body, &scope);
        self.origins.pop();
        let span = super::results::last_span(&def.body).unwrap_or(def.name.span);
        let Some(value) = walked? else {
            return Err(self.error(
                "W0410",
                "this update has no value",
                def.name.span,
                "its last statement is the new parameter",
            ));
        };
        let param = self.shaped(&value, &shape.axes, span)?;
        let mut out = Vec::new();
        for (name, _) in states {
            let Some(next) = scope.own(&next_name(name)) else {
                return Err(self.error(
                    "W0414",
                    format!("the state `{name}` has no next value"),
                    def.name.span,
                    format!("write `next {name} = …`"),
                ));
            };
            out.push((name.clone(), self.shaped(&next, &shape.axes, def.name.span)?));
        }
        Ok(Update { param, states: out })
    }

    /// A float with exactly these axes.
    fn shaped(&mut self, value: &Val<'p, E>, axes: &[Axis], span: Span) -> Done<E::Value> {
        let value = self.whole(value, span)?;
        let value = self.as_float(&value);
        Ok(self.spread(&value, axes))
    }
}

/// Whether a pattern means a path, or something the path lies within.
fn matches(pattern: &PathPattern, path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    pattern.parts.len() <= parts.len()
        && pattern.parts.iter().zip(parts).all(|(part, name)| match part {
            PathPart::Name(n) => n.node == name,
            PathPart::Any(_) => true,
            PathPart::Alternatives(names, _) => names.iter().any(|n| n.node == name),
        })
}

/// A path with `*` for the places of repeated blocks.
fn starred(path: &str) -> String {
    let part = |part| if super::weights::is_place(part) { "*" } else { part };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}
