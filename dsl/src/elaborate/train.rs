//! What a recipe is made of: its models, objective and optimizer, elaborated for the compiler.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{self, BinaryOp, Group, ItemKind, Name, PathPart, PathPattern, Selector, Train, TrainEntry};
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter};
use crate::size::Size;
use crate::span::{FileId, Span};
use crate::types::{Axis, Elem};

use super::entry::setting_value;
use super::expr::next_name;
use super::nearest::{list, nearest, suggest};
use super::outcome::{Data, ModelRef, Objective, Setting, Settings, Update};
use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Instance, Scope, Value};

/// What a recipe may set, besides models.
const ENTRIES: &[&str] = &["data", "objective", "batch", "time", "steps", "accumulate", "clip", "seed", "checkpoint"];

/// A recipe, elaborated.
#[derive(Clone, Debug)]
pub struct Recipe<'p, V> {
    /// Its name.
    pub name: String,
    /// Its models by the names it gives them.
    pub models: Vec<(String, ModelRef<'p, V>)>,
    /// All their parameters.
    pub parameters: Vec<Parameter>,
    /// Its plain values.
    pub settings: Settings,
    objective: (&'p ast::Objective, Rc<Scope<'p, V>>),
    optimizer: (&'p ast::Optimizer, Rc<Scope<'p, V>>),
    /// For each group: which parameters, and the configuration that differs.
    groups: Vec<(Vec<String>, Name, Value<'p, V>)>,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Elaborates a recipe; `settings` replace its plain entries and the configuration of its model.
    pub fn recipe(&mut self, name: &str, settings: &[(String, Setting)]) -> Result<Recipe<'p, E::Value>, Vec<Diagnostic>> {
        let program = self.program;
        let made = match program.item(FileId(0), name) {
            Some((file, ItemKind::Train(train))) => self.train(train, file, settings),
            _ => {
                let recipes = program.recipes();
                let mut d = Diagnostic::error("W0104", format!("there is no recipe `{name}`"), Span::default(), "in this specification")
                    .note(format!("recipes: {}", list(recipes.iter().copied())));
                if let Some(near) = nearest(name, recipes.iter().copied()) {
                    d = d.help(format!("did you mean `{near}`?"));
                }
                Err(self.report(d))
            }
        };
        self.outcome(made)
    }

    /// A recipe with all that hangs on it, for the checker.
    pub(crate) fn check_train(&mut self, train: &'p Train, file: FileId) -> Done<()> {
        let checking = std::mem::replace(&mut self.checking, false);
        self.training = Some(true);
        let result = self.train(train, file, &[]).and_then(|recipe| {
            let (def, scope) = recipe.objective.clone();
            self.objective_of(&recipe, def, &scope)?;
            let (def, scope) = recipe.optimizer.clone();
            let states: Vec<(String, E::Value)> =
                def.state.iter().map(|(name, _)| (name.node.clone(), self.number(0.0, Elem::Float))).collect();
            let zero = self.number(0.0, Elem::Float);
            self.updated(def, &scope, zero.clone(), zero.clone(), zero, &states).map(drop)
        });
        self.checking = checking;
        result
    }

    fn train(&mut self, train: &'p Train, file: FileId, settings: &[(String, Setting)]) -> Done<Recipe<'p, E::Value>> {
        let scope = Scope::within(&self.roots[file.0 as usize].clone());
        let mut taken: Vec<&str> = Vec::new();
        let mut sets: Vec<(&'p Name, &'p ast::Expr)> = Vec::new();
        let (mut optimizer, mut evaluate) = (None, None);
        for entry in &train.entries {
            match entry {
                TrainEntry::Set(name, expr) => {
                    if let Some((first, _)) = sets.iter().find(|(n, _)| n.node == name.node) {
                        let d = Diagnostic::error("W0107", format!("`{}` is said twice", name.node), name.span, "again").label(first.span, "first");
                        self.report(d);
                    } else {
                        sets.push((name, expr));
                    }
                }
                TrainEntry::Optimizer(expr, groups) => optimizer = Some((expr, groups.as_slice())),
                TrainEntry::Evaluate(every, fields) => evaluate = Some((every, fields.as_slice())),
            }
        }
        // Plain numbers first, as other entries refer to them by name; then the data, then the models.
        let is_number = |name: &str| matches!(name, "batch" | "time" | "steps" | "accumulate" | "clip" | "seed" | "checkpoint");
        for (name, expr) in sets.iter().filter(|(name, _)| is_number(&name.node)) {
            let value = match settings.iter().find(|(n, _)| *n == name.node) {
                Some((setting, value)) => {
                    taken.push(setting);
                    setting_value(value)
                }
                None => self.eval_or_unknown(expr, &scope),
            };
            scope.set(&name.node, value);
        }
        for (name, setting) in settings.iter().filter(|(name, _)| is_number(name) && !sets.iter().any(|(n, _)| n.node == *name)) {
            taken.push(name);
            scope.set(name, setting_value(setting));
        }
        if let Some((_, expr)) = sets.iter().find(|(name, _)| name.node == "data") {
            let data = self.eval_or_unknown(expr, &scope);
            if !matches!(data, Value::Data(_) | Value::Unknown) {
                self.error("W0505", format!("`data` cannot be {}", data.kind()), expr.span, "such as `text(\"a.txt\", tokenizer: characters)`");
            }
            scope.set("data", data);
        }
        let mut models = Vec::new();
        let many = sets.iter().filter(|(name, _)| !ENTRIES.contains(&name.node.as_str())).count() > 1;
        for (name, expr) in sets.iter().filter(|(name, _)| !ENTRIES.contains(&name.node.as_str())) {
            let first = self.parameters.len();
            self.member = Some(if many { name.node.clone() } else { String::new() });
            let value = self.eval(expr, &scope);
            self.member = None;
            match value {
                Ok(Value::Instance(instance)) => {
                    scope.set(&name.node, Value::Instance(instance.clone()));
                    let parameters = self.parameters[first..].to_vec();
                    models.push((name.node.clone(), ModelRef { name: instance.block.def.name.node.clone(), instance, parameters }));
                }
                Err(Reported) | Ok(Value::Unknown) => scope.set(&name.node, Value::Unknown),
                Ok(other) => {
                    let d = Diagnostic::error("W0501", format!("a recipe has no entry `{}`", name.node), name.span, format!("this is {}", other.kind()))
                        .note(format!("entries: {}, `optimizer`, `evaluate every`; any other name is a model", list(ENTRIES.iter().copied())));
                    self.report(suggest(d, name.span, nearest(&name.node, ENTRIES.iter().copied())));
                }
            }
        }
        if let Some((name, _)) = settings.iter().find(|(name, _)| !taken.contains(&name.as_str())) {
            let d = Diagnostic::error("W0114", format!("the recipe `{}` has no entry `{name}`", train.name.node), train.name.span, "")
                .note("settings of a recipe are its plain numbers: batch, time, steps, accumulate, clip, seed, checkpoint");
            return Err(self.report(d));
        }
        let objective = self.recipe_objective(train, &sets, &scope);
        let parameters = self.parameters.clone();
        let optimizer = match optimizer {
            Some((expr, groups)) => self.recipe_optimizer(expr, groups, &parameters, &scope),
            None => Err(self.lacks(train, "optimizer", "such as `optimizer = sgd(rate: 0.1)`")),
        };
        let settings = self.plain_settings(train, evaluate, &scope);
        let (objective, (optimizer, groups), settings) = (objective?, optimizer?, settings?);
        Ok(Recipe { name: train.name.node.clone(), models, parameters, settings, objective, optimizer, groups })
    }

    fn lacks(&mut self, train: &Train, entry: &str, such: &str) -> Reported {
        let d = Diagnostic::error("W0502", format!("the recipe `{}` has no `{entry}`", train.name.node), train.name.span, "");
        self.report(d.help(such))
    }

    fn recipe_objective(
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
            other => return Err(self.error("W0503", format!("an objective is needed here, not {}", other.kind()), expr.span, other.kind())),
        };
        for model in &def.models {
            let given = scope.own(&model.node);
            // With one model on each side the names need not agree.
            let only: Vec<Val<'p, E>> = scope.vars.borrow().values().filter(|v| matches!(v, Value::Instance(_))).cloned().collect();
            match (given, only.as_slice()) {
                (Some(value), _) => configuration.set(&model.node, value),
                (None, [value]) if def.models.len() == 1 => configuration.set(&model.node, value.clone()),
                (None, _) => {
                    let d = Diagnostic::error("W0504", format!("the objective needs a model `{}`", model.node), expr.span, "")
                        .label(model.span, "declared here")
                        .help(format!("add `{} = …` to the recipe", model.node));
                    return Err(self.report(d));
                }
            }
        }
        Ok((def, configuration))
    }

    #[expect(clippy::type_complexity, reason = "the two halves of a recipe's optimizer")]
    fn recipe_optimizer(
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
            other => return Err(self.error("W0503", format!("an optimizer is needed here, not {}", other.kind()), expr.span, other.kind())),
        };
        let mut out = Vec::new();
        for group in groups {
            let Some(param) = def.params.iter().find(|p| p.name.node == group.name.node) else {
                let names = || def.params.iter().map(|p| p.name.node.as_str());
                let d = Diagnostic::error("W0106", format!("`{}` has no configuration `{}`", def.name.node, group.name.node), group.name.span, "")
                    .note(format!("configuration: {}", list(names())));
                self.report(suggest(d, group.name.span, nearest(&group.name.node, names())));
                continue;
            };
            let Ok(value) = self.eval(&group.value, scope) else { continue };
            let Ok(value) = self.fitted(param, value, group.value.span, &configuration) else { continue };
            let Ok(paths) = self.selected(&group.on, parameters) else { continue };
            out.push((paths, group.name.clone(), value));
        }
        Ok(((def, configuration), out))
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
            let shown: Vec<String> = parameters.iter().map(|p| p.path.replace("{}", "*")).collect();
            let mut d = Diagnostic::error("W0507", "no parameter is meant by this", span, "matches nothing");
            match nearest(&text, shown.iter().map(String::as_str)) {
                Some(near) => d = d.fix(span, near.clone(), format!("did you mean `{near}`?")),
                None => d = d.note(format!("parameters: {}", list(shown.iter().take(12).map(String::as_str)))),
            }
            return Err(self.report(d));
        }
        Ok(found)
    }

    fn plain_settings(
        &mut self,
        train: &'p Train,
        evaluate: Option<(&'p ast::Expr, &'p [(Name, ast::Expr)])>,
        scope: &Names<'p, E>,
    ) -> Done<Settings> {
        let place = |name: &str| {
            train.entries.iter().find_map(|entry| match entry {
                TrainEntry::Set(n, expr) if n.node == name => Some(expr.span),
                _ => None,
            })
        };
        let number = |session: &mut Self, name: &str, default: Option<i64>, least: i64| -> Done<i64> {
            let span = place(name).unwrap_or(train.name.span);
            match (scope.own(name), default) {
                (None, Some(default)) => Ok(default),
                (None, None) => Err(session.lacks(train, name, "a whole number")),
                (Some(value), _) => {
                    let size = session.whole_number(&value, span)?;
                    match size.known() {
                        Some(n) if n >= least => Ok(n),
                        _ => Err(session.error("W0508", format!("`{name}` is at least {least}"), span, format!("{size}"))),
                    }
                }
            }
        };
        let batch = number(self, "batch", None, 1);
        let time = number(self, "time", None, 1);
        let steps = number(self, "steps", None, 1);
        let accumulate = number(self, "accumulate", Some(1), 1);
        let seed = number(self, "seed", Some(0), 0);
        let checkpoint_every = number(self, "checkpoint", Some(0), 0);
        let clip = match scope.own("clip") {
            None => Ok(None),
            Some(value) => self.config_float(&value, place("clip").unwrap_or(train.name.span)),
        };
        let data = match scope.own("data") {
            Some(Value::Data(data)) => data,
            _ => Data::Batches,
        };
        let (mut held_out, mut evaluate_every, mut evaluate_batches) = (0.0, 0, 0);
        if let Some((every, fields)) = evaluate {
            let size = self.size_value(every, scope)?;
            evaluate_every = size.known().unwrap_or(0);
            for (name, expr) in fields {
                match (name.node.as_str(), self.eval(expr, scope)?) {
                    ("on", Value::HeldOut(share)) if (0.0..1.0).contains(&share) => held_out = share,
                    ("batches", Value::Int(n)) => evaluate_batches = n.known().unwrap_or(0),
                    ("on" | "batches", other) => {
                        self.error("W0508", format!("`{}` cannot be {}", name.node, other.kind()), expr.span, "such as `data.held_out(0.1)`");
                    }
                    (other, _) => {
                        let d = Diagnostic::error("W0501", format!("an evaluation has no entry `{other}`"), name.span, "it has `on` and `batches`");
                        self.report(suggest(d, name.span, nearest(other, ["on", "batches"].into_iter())));
                    }
                }
            }
        }
        Ok(Settings {
            data,
            held_out,
            batch: batch?,
            time: time?,
            steps: steps?,
            accumulate: accumulate?,
            clip: clip?,
            seed: seed?,
            evaluate_every,
            evaluate_batches,
            checkpoint_every: checkpoint_every?,
        })
    }

    /// Elaborates a recipe's objective with inputs for the batch's fields.
    pub fn objective(&mut self, recipe: &Recipe<'p, E::Value>) -> Result<Objective<E::Value>, Vec<Diagnostic>> {
        let (def, scope) = &recipe.objective;
        let made = self.objective_of(recipe, def, scope);
        self.outcome(made)
    }

    fn objective_of(&mut self, recipe: &Recipe<'p, E::Value>, def: &'p ast::Objective, configuration: &Names<'p, E>) -> Done<Objective<E::Value>> {
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
        self.objective_body(def, &scope)
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
    fn objective_walked(&mut self, def: &'p ast::Objective, scope: &Names<'p, E>) -> Done<(E::Value, Vec<super::outcome::Port<E::Value>>)> {
        let mut inputs = Vec::new();
        for param in &def.over {
            let Some(ast::ParamType::Tensor(ty)) = &param.ty else {
                return Err(self.error("W0405", format!("the field `{}` needs a type", param.name.node), param.name.span, "such as `[batch, time] of token`"));
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
            return Err(self.error("W0509", format!("the objective `{}` has no loss", def.name.node), def.name.span, "bind it: `loss = …`"));
        };
        let span = loss_span(def);
        let loss = self.whole(&loss, span)?;
        self.scalar(&loss, "a loss", span)?;
        walked?;
        Ok((self.to_float(&loss), inputs))
    }

    /// An optimizer's state for each parameter, with its start.
    pub fn states(&mut self, recipe: &Recipe<'p, E::Value>) -> Result<Vec<(String, f64)>, Vec<Diagnostic>> {
        let (def, scope) = &recipe.optimizer;
        let states = self.states_of(def, scope);
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
        let Some(param) = def.params.iter().find(|p| matches!(p.ty, Some(ast::ParamType::Schedule))) else { return Ok(None) };
        let span = param.name.span;
        let rate = match scope.get(&param.name.node) {
            Some(Value::Schedule(schedule)) => self.scheduled(&schedule, (plain(step), span), span),
            Some(Value::Rate(rate)) => Ok(Value::Float(rate)),
            Some(_) | None => Err(Reported),
        };
        let rate = rate.and_then(|value| self.whole(&value, span)).map(|value| Some(self.to_float(&value)));
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
        let update = self.updated(def, &scope, p, g, step, states);
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
            return Err(self.error("W0510", "an update takes the parameter, its gradient and the step", def.name.span, "`update (p, g, step)`"));
        }
        for (name, value) in def.inputs.iter().zip([p.clone(), g, step]) {
            scope.set(&name.node, plain(value));
        }
        let shape = self.emit.type_of(&p);
        self.origins.push(HashMap::new());
        let walked = self.body(&def.body, &scope);
        self.origins.pop();
        let span = super::call::last_span(&def.body).unwrap_or(def.name.span);
        let Some(value) = walked? else {
            return Err(self.error("W0410", "this update has no value", def.name.span, "its last statement is the new parameter"));
        };
        let param = self.shaped(&value, &shape.axes, span)?;
        let mut out = Vec::new();
        for (name, _) in states {
            let Some(next) = scope.own(&next_name(name)) else {
                return Err(self.error("W0414", format!("the state `{name}` has no next value"), def.name.span, format!("write `next {name} = …`")));
            };
            out.push((name.clone(), self.shaped(&next, &shape.axes, def.name.span)?));
        }
        Ok(Update { param, states: out })
    }

    /// A float with exactly these axes.
    fn shaped(&mut self, value: &Val<'p, E>, axes: &[Axis], span: Span) -> Done<E::Value> {
        let value = self.whole(value, span)?;
        let value = self.to_float(&value);
        Ok(self.spread(&value, axes))
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

/// Whether a pattern means a path, or something the path lies within.
pub(crate) fn matches(pattern: &PathPattern, path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    pattern.parts.len() <= parts.len()
        && pattern.parts.iter().zip(parts).all(|(part, name)| match part {
            PathPart::Name(n) => n.node == name,
            PathPart::Any(_) => true,
            PathPart::Alternatives(names, _) => names.iter().any(|n| n.node == name),
        })
}
