//! Recipes: models, data, plain values.

use std::rc::Rc;

use crate::ast::{self, ItemKind, Name, Train, TrainEntry};
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter};
use crate::span::{FileId, Span};
use crate::types::Elem;

use super::entry::setting_value;
use super::nearest::{list, nearest, suggest};
use super::outcome::{Data, ModelRef, Setting, Settings};
use super::session::{Done, Names, Reported, Session};
use super::value::{Scope, Value};

/// What a recipe may set, besides models.
const ENTRIES: &[&str] = &["data", "objective", "batch", "time", "steps", "accumulate", "clip", "seed", "checkpoint"];

/// Those that are plain numbers, which may be set from outside.
const NUMBERS: &[&str] = &["batch", "time", "steps", "accumulate", "clip", "seed", "checkpoint"];

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
    pub(crate) objective: (&'p ast::Objective, Rc<Scope<'p, V>>),
    pub(crate) optimizer: (&'p ast::Optimizer, Rc<Scope<'p, V>>),
    /// Where the recipe names its objective and its optimizer.
    pub(crate) places: (Span, Span),
    /// For each group: which parameters, and the configuration that differs.
    pub(crate) groups: Vec<(Vec<String>, Name, Value<'p, V>)>,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Elaborates a recipe; `settings` replace its plain entries and the configuration of its model.
    pub fn recipe(&mut self, name: &str, settings: &[(String, Setting)]) -> Result<Recipe<'p, E::Value>, Vec<Diagnostic>> {
        let program = self.program;
        let made = match program.item(FileId(0), name) {
            Some((file, ItemKind::Train(train))) => self.train(train, file, settings),
            _ => {
                let recipes = program.recipes();
                let mut d = Diagnostic::error(
                    "W0104",
                    format!("there is no recipe `{name}`"),
                    Span::default(),
                    "in this specification",
                )
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
            let update = |session: &mut Self| session.updated(def, &scope, zero.clone(), zero.clone(), zero, &states);
            self.led_by(recipe.places.1, update).map(drop)
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
                        let d = Diagnostic::error("W0107", format!("`{}` is said twice", name.node), name.span, "again")
                            .label(first.span, "first");
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
        let is_number = |name: &str| NUMBERS.contains(&name);
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
        for (name, setting) in
            settings.iter().filter(|(name, _)| is_number(name) && !sets.iter().any(|(n, _)| n.node == *name))
        {
            taken.push(name);
            scope.set(name, setting_value(setting));
        }
        if let Some((_, expr)) = sets.iter().find(|(name, _)| name.node == "data") {
            let data = self.eval_or_unknown(expr, &scope);
            if !matches!(data, Value::Data(_) | Value::Unknown) {
                self.error(
                    "W0505",
                    format!("`data` cannot be {}", data.kind()),
                    expr.span,
                    "such as `text(\"a.txt\", tokenizer: characters)`",
                );
            }
            scope.set("data", data);
        }
        let mut models = Vec::new();
        let named: Vec<_> = sets.iter().filter(|(name, _)| !ENTRIES.contains(&name.node.as_str())).collect();
        if named.is_empty() {
            return Err(self.lacks(train, "model", "such as `model = Name(width: 64)`"));
        }
        for (name, expr) in &named {
            let first = self.parameters.len();
            self.member = Some(String::new());
            self.overrides = settings.iter().filter(|(name, _)| !is_number(name)).cloned().collect();
            let value = self.eval(expr, &scope);
            self.member = None;
            self.overrides.clear();
            match value {
                Ok(Value::Instance(instance)) => {
                    scope.set(&name.node, Value::Instance(instance.clone()));
                    let parameters = self.parameters[first..].to_vec();
                    models.push((
                        name.node.clone(),
                        ModelRef { name: instance.block.def.name.node.clone(), instance, parameters },
                    ));
                }
                Err(Reported) | Ok(Value::Unknown) => scope.set(&name.node, Value::Unknown),
                Ok(other) => {
                    let d = Diagnostic::error(
                        "W0501",
                        format!("a recipe has no entry `{}`", name.node),
                        name.span,
                        format!("this is {}", other.kind()),
                    )
                    .note(format!(
                        "entries: {}, `optimizer`, `evaluate every`; any other name is a model",
                        list(ENTRIES.iter().copied())
                    ));
                    self.report(suggest(d, name.span, nearest(&name.node, ENTRIES.iter().copied())));
                }
            }
        }
        let configuration: Vec<&str> = models
            .iter()
            .flat_map(|(_, model)| &model.instance.block.def.params)
            .filter(|param| !matches!(param.ty, Some(ast::ParamType::Axis)))
            .map(|param| param.name.node.as_str())
            .collect();
        taken.extend(&configuration);
        // Where a model could not be made, what it has is not known, and that fault is reported.
        let made = models.len() == named.len();
        if let [(first, _), (second, _), ..] = models.as_slice() {
            let place = |name: &str| named.iter().find(|(n, _)| n.node == name).map_or(train.name.span, |(n, _)| n.span);
            let d = Diagnostic::error("W0516", "a recipe trains one model", place(second), "a second one")
                .label(place(first), "the first");
            return Err(self.report(d.help("make both members of one model, which the objective gets")));
        }
        if let Some((name, _)) = settings.iter().find(|(name, _)| made && !taken.contains(&name.as_str())) {
            let mut d = Diagnostic::error(
                "W0114",
                format!("neither the recipe `{}` nor its model has `{name}`", train.name.node),
                train.name.span,
                "",
            )
            .note(format!("numbers of the recipe: {}", list(NUMBERS.iter().copied())))
            .note(format!("configuration of the model: {}", list(configuration.iter().copied())));
            if let Some(near) = nearest(name, NUMBERS.iter().copied().chain(configuration.iter().copied())) {
                d = d.help(format!("did you mean `{near}`?"));
            }
            return Err(self.report(d));
        }
        let objective = self.recipe_objective(train, &sets, &scope);
        let parameters = self.parameters.clone();
        let optimizer_at = optimizer.map(|(expr, _)| expr.span);
        let optimizer = match optimizer {
            Some((expr, groups)) => self.recipe_optimizer(expr, groups, &parameters, &scope),
            None => Err(self.lacks(train, "optimizer", "such as `optimizer = sgd(rate: 0.1)`")),
        };
        let at = |entry: &str| sets.iter().find(|(name, _)| name.node == entry).map_or(train.name.span, |(_, e)| e.span);
        let places = (at("objective"), optimizer_at.unwrap_or(train.name.span));
        let settings = self.plain_settings(train, evaluate, &scope);
        let (objective, (optimizer, groups), settings) = (objective?, optimizer?, settings?);
        Ok(Recipe { name: train.name.node.clone(), models, parameters, settings, objective, optimizer, places, groups })
    }

    pub(crate) fn lacks(&mut self, train: &Train, entry: &str, such: &str) -> Reported {
        let d =
            Diagnostic::error("W0502", format!("the recipe `{}` has no `{entry}`", train.name.node), train.name.span, "");
        self.report(d.help(such))
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
        let data = match scope.own("data") {
            Some(Value::Data(data)) => data,
            _ => Data::Batches,
        };
        // Given tensors have their own lengths; a text is cut into sequences.
        let time = number(self, "time", matches!(data, Data::Batches).then_some(0), 1);
        let batch = number(self, "batch", None, 1);
        let steps = number(self, "steps", None, 1);
        let accumulate = number(self, "accumulate", Some(1), 1);
        let seed = number(self, "seed", Some(0), 0);
        let checkpoint_every = number(self, "checkpoint", Some(0), 0);
        let clip = match scope.own("clip") {
            None => Ok(None),
            Some(value) => {
                let span = place("clip").unwrap_or(train.name.span);
                self.config_float(&value, span).and_then(|clip| match clip {
                    // A norm cut to nothing or less would train nothing, or away from the minimum.
                    Some(most) if !(most > 0.0 && most.is_finite()) => {
                        let d = Diagnostic::error("W0508", "`clip` is more than 0", span, format!("{most}"));
                        Err(self.report(d.help("leave the entry out to train without clipping")))
                    }
                    clip => Ok(clip),
                })
            }
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
                        self.error(
                            "W0508",
                            format!("`{}` cannot be {}", name.node, other.kind()),
                            expr.span,
                            "such as `data.held_out(0.1)`",
                        );
                    }
                    (other, _) => {
                        let d = Diagnostic::error(
                            "W0501",
                            format!("an evaluation has no entry `{other}`"),
                            name.span,
                            "it has `on` and `batches`",
                        );
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
}
