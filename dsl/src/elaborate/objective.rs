//! A recipe's objective: its loss and metrics, with inputs for the fields of a batch.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{self, ItemKind, Name, Train};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::size::Size;
use crate::span::Span;
use crate::types::Axis;

use super::outcome::{Objective, Port};
use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::train::Recipe;
use super::value::{Instance, Scope, Value};

impl<'p, E: Emit> Session<'p, E> {
    pub(crate) fn recipe_objective(
        &mut self,
        train: &Train,
        sets: &[(&'p Name, &'p ast::Expr)],
        scope: &Names<'p, E>,
    ) -> Done<(&'p ast::Objective, Names<'p, E>)> {
        let Some((_, expr)) = sets.iter().find(|(name, _)| name.node == "objective") else {
            return Err(self.lacks(train, "objective", "what training minimises"));
        };
        let (def, configuration) = match self.eval(expr, scope)? {
            Value::Objective(def, scope) => (def, scope),
            Value::Item(ItemKind::Objective(def), file) => {
                let root = self.roots[file.0 as usize].clone();
                (def, self.configured(&def.with, &[], scope, &root, expr.span)?)
            }
            Value::Unknown => return Err(Reported),
            other => {
                return Err(self.error(
                    "W0503",
                    format!("an objective is needed here, not {}", other.kind()),
                    expr.span,
                    other.kind(),
                ));
            }
        };
        for model in &def.models {
            let given = scope.own(&model.node);
            // With one model on each side the names need not agree.
            let only: Vec<Val<'p, E>> =
                scope.vars.borrow().values().filter(|v| matches!(v, Value::Instance(_))).cloned().collect();
            match (given, only.as_slice()) {
                (Some(value), _) => configuration.set(&model.node, value),
                (None, [value]) if def.models.len() == 1 => configuration.set(&model.node, value.clone()),
                (None, _) => {
                    let d =
                        Diagnostic::error("W0504", format!("the objective needs a model `{}`", model.node), expr.span, "")
                            .label(model.span, "declared here")
                            .help(format!("add `{} = …` to the recipe", model.node));
                    return Err(self.report(d));
                }
            }
        }
        Ok((def, configuration))
    }

    /// Elaborates a recipe's objective with inputs for the batch's fields.
    pub fn objective(&mut self, recipe: &Recipe<'p, E::Value>) -> Result<Objective<E::Value>, Vec<Diagnostic>> {
        let (def, scope) = &recipe.objective;
        let made = self.objective_of(recipe, def, scope);
        self.outcome(made)
    }

    pub(crate) fn objective_of(
        &mut self,
        recipe: &Recipe<'p, E::Value>,
        def: &'p ast::Objective,
        configuration: &Names<'p, E>,
    ) -> Done<Objective<E::Value>> {
        let scope = Scope::within(configuration);
        // A name such as `token` means the axis of a model, if one has it.
        let mut names = Vec::new();
        for param in &def.over {
            if let Some(ast::ParamType::Tensor(ty)) = &param.ty {
                super::axes::mentioned_in(ty, &mut names);
            }
        }
        for name in names {
            let found = recipe.models.iter().find_map(|(_, model)| axis_of(&model.instance, &name.node));
            if let Some(axes) = found {
                scope.set_axis(&name.node, axes, name.span);
            }
        }
        self.led_by(recipe.places.0, |session| session.objective_body(def, &scope))
    }

    /// Walks an objective with inputs for its fields.
    pub(crate) fn objective_body(&mut self, def: &'p ast::Objective, scope: &Names<'p, E>) -> Done<Objective<E::Value>> {
        self.limits.clear();
        self.metrics.clear();
        self.origins.push(HashMap::new());
        let result = self.objective_walked(def, scope);
        self.origins.pop();
        let (loss, inputs) = result?;
        Ok(Objective { loss, metrics: std::mem::take(&mut self.metrics), inputs, limits: std::mem::take(&mut self.limits) })
    }

    #[expect(clippy::type_complexity, reason = "the loss and the inputs")]
    fn objective_walked(&mut self, def: &'p ast::Objective, scope: &Names<'p, E>) -> Done<(E::Value, Vec<Port<E::Value>>)> {
        let mut inputs = Vec::new();
        for param in &def.over {
            let Some(ast::ParamType::Tensor(ty)) = &param.ty else {
                return Err(self.error(
                    "W0405",
                    format!("the field `{}` needs a type", param.name.node),
                    param.name.span,
                    "such as `[batch, time] of token`",
                ));
            };
            let mut names = Vec::new();
            super::axes::mentioned_in(ty, &mut names);
            for name in names {
                if self.find_axis(&name.node, scope, &[]).is_none() {
                    let axis = self.emit.axes().fresh(&name.node, Size::var(&name.node), true);
                    self.open_sizes.insert(axis);
                    scope.set_axis(&name.node, vec![axis], name.span);
                }
            }
            let port = self.input(&param.name.node, ty, scope)?;
            scope.set(&param.name.node, plain(port.value.clone()));
            inputs.push(port);
        }
        let walked = self.body(&def.body, scope);
        let Some(loss) = scope.own("loss") else {
            walked?;
            return Err(self.error(
                "W0509",
                format!("the objective `{}` has no loss", def.name.node),
                def.name.span,
                "bind it: `loss = …`",
            ));
        };
        let span = loss_span(def);
        let loss = self.whole(&loss, span)?;
        self.scalar(&loss, "a loss", span)?;
        walked?;
        Ok((self.as_float(&loss), inputs))
    }
}

/// An axis that an instance or a block within it declares.
fn axis_of<V: Clone>(instance: &Rc<Instance<'_, V>>, name: &str) -> Option<Vec<Axis>> {
    if let Some((axes, _)) = instance.scope.axes.borrow().get(name) {
        return Some(axes.clone());
    }
    let inner: Vec<_> = instance
        .scope
        .vars
        .borrow()
        .values()
        .filter_map(|value| match value {
            Value::Instance(inner) => Some(inner.clone()),
            _ => None,
        })
        .collect();
    let mut inner = inner;
    inner.sort_by(|a, b| a.path.cmp(&b.path));
    inner.iter().find_map(|inner| axis_of(inner, name))
}

/// Where the loss is bound.
fn loss_span(def: &ast::Objective) -> Span {
    let bound = def.body.iter().rev().find_map(|stmt| match stmt {
        ast::Stmt::Let(binding) if binding.names.iter().any(|n| n.node == "loss") => Some(binding.value.span),
        _ => None,
    });
    bound.unwrap_or(def.name.span)
}
