//! What a recipe's data rules out, found by reading it before anything runs.

use crate::ast::{Expr, ExprKind, ItemKind, Train, TrainEntry};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::size::Size;
use crate::span::{FileId, Span};
use crate::types::Elem;

use super::outcome::{Data, Host, Objective, Setting};
use super::program::Program;
use super::session::Session;
use super::train::Recipe;
use super::types_only::TypesOnly;

type Reader<'p> = Session<'p, TypesOnly>;
type Type = <TypesOnly as Emit>::Value;

impl Program {
    /// What is wrong with the recipes of a specification without other faults once their data is read: files that cannot be,
    /// more tokens than the model has places for, sequences that are longer than it takes.
    pub fn check_data(&self, host: &dyn Host) -> Vec<Diagnostic> {
        self.recipe_items().flat_map(|train| self.check_data_of(train, &[], host)).collect()
    }

    /// The same of one recipe, with settings from outside.
    pub fn check_recipe_data(&self, recipe: &str, settings: &[(String, Setting)], host: &dyn Host) -> Vec<Diagnostic> {
        let named = self.recipe_items().filter(|train| train.name.node == recipe);
        named.flat_map(|train| self.check_data_of(train, settings, host)).collect()
    }

    fn recipe_items(&self) -> impl Iterator<Item = &Train> {
        self.file(FileId(0)).items.iter().filter_map(|item| match &item.kind {
            ItemKind::Train(train) => Some(train),
            _ => None,
        })
    }

    fn check_data_of(&self, train: &Train, settings: &[(String, Setting)], host: &dyn Host) -> Vec<Diagnostic> {
        let files = entry(train, "data").map(files).unwrap_or_default();
        let unreadable = files.iter().filter_map(|(path, place)| {
            let why = host.readable(path).err()?;
            Some(Diagnostic::error("W0506", "the data cannot be read", *place, why))
        });
        let mut found: Vec<Diagnostic> = unreadable.collect();
        if found.is_empty() {
            let mut session = Session::start(self, TypesOnly::default(), Some(true), host, false);
            let checked = session.recipe(&train.name.node, settings).and_then(|recipe| {
                let objective = session.objective(&recipe)?;
                session.fits(train, &recipe, &objective)
            });
            found = checked.err().unwrap_or_default();
        }
        found
    }
}

/// The value of an entry.
fn entry<'a>(train: &'a Train, name: &str) -> Option<&'a Expr> {
    train.entries.iter().find_map(|entry| match entry {
        TrainEntry::Set(n, expr) if n.node == name => Some(expr),
        _ => None,
    })
}

/// The files that data is read from, with their places: each text among its arguments.
fn files(data: &Expr) -> Vec<(&str, Span)> {
    let ExprKind::Call(_, args) = &*data.node else { return Vec::new() };
    let texts = args.iter().filter_map(|arg| match &*arg.value.node {
        ExprKind::Text(path) => Some((path.as_str(), arg.value.span)),
        _ => None,
    });
    texts.collect()
}

impl Reader<'_> {
    /// Whether the tokens and sequences of a text fit the model.
    fn fits(
        &mut self,
        train: &Train,
        recipe: &Recipe<'_, Type>,
        objective: &Objective<Type>,
    ) -> Result<(), Vec<Diagnostic>> {
        let Data::Text { paths, tokenizer } = &recipe.settings.data else { return Ok(()) };
        let at = |name: &str| entry(train, name).map_or(train.name.span, |expr| expr.span);
        let tokens = match self.host.vocabulary(paths, tokenizer) {
            Ok(tokens) => tokens,
            Err(why) => return Err(vec![Diagnostic::error("W0506", "the data cannot be read", at("data"), why)]),
        };
        let mut found = Vec::new();
        let lengths = [recipe.settings.batch, recipe.settings.time];
        for port in &objective.inputs {
            if let Elem::Index(axis) = self.emit.type_of(&port.value).elem
                && let Some(places) = self.size_of(&[axis]).known().filter(|&places| places < tokens)
            {
                let (name, model) = (self.name_of(axis), &recipe.models[0].0);
                let label = format!("`{name}` has {places} places");
                let d = Diagnostic::error("W0205", "the data has more tokens than the model", at(model), label)
                    .label(at("data"), format!("{tokens} tokens"))
                    .help("`data.vocab` is the number of tokens that the data has");
                if !found.contains(&d) {
                    found.push(d);
                }
            }
        }
        // A text is given as sequences: `[batch, time]`, under whatever names.
        let sizes: Vec<(Size, i64)> = objective
            .inputs
            .iter()
            .filter(|port| port.axes.len() == lengths.len())
            .flat_map(|port| port.axes.iter().zip(lengths))
            .map(|(&axis, length)| (self.size_of(&[axis]), length))
            .collect();
        let put = |name: &str| {
            let given = sizes.iter().find(|(size, _)| *size == Size::var(name));
            given.map(|(_, length)| Size::of(*length))
        };
        for limit in &objective.limits {
            let known = |size: &Size| size.substitute(&put).ok().and_then(|size| size.known());
            if let (Some(size), Some(most)) = (known(&limit.size), known(&limit.at_most))
                && size > most
            {
                let d = Diagnostic::error(
                    "W0205",
                    "the sequences are longer than the model takes",
                    at("time"),
                    format!("{size}"),
                )
                .label(limit.span, format!("there are {most} places here"))
                .note(limit.why.clone());
                found.push(d);
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}
