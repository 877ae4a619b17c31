//! Somebody else's names for a model's parameters, and where in their tensors each lies; how their configuration says ours.

mod config;
mod export;
mod line;
mod place;
mod stored;

use std::rc::Rc;

use crate::ast::{
    Block, ConfigEntry, Expr, ExprKind, ItemKind, Made, Name, PathPart, PathPattern, TrainEntry, Weights, WeightsEntry,
};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::{FileId, Span, Spanned};

use super::nearest::{list, nearest, suggest};
use super::outcome::ModelRef;
use super::program::Program;
use super::session::{Done, Session};
use super::value::{Instance, Value};

use config::dotted;
pub(super) use config::value_of;
pub use config::{Field, Imported, Unfit, fields_of_files, quoted};
pub(super) use line::is_place;
use line::{Line, Piece};
pub use stored::{LayoutOut, StoredTensor};

/// What stands around an entry: groups, and the block whose item holds it.
struct Around<'p, V> {
    /// Parts of our paths.
    parts: Vec<PathPart>,
    /// The start of their names.
    text: Vec<Piece>,
    /// The block whose configuration an `if` asks, and at which of our parts it lies.
    block: Rc<Instance<'p, V>>,
    from: usize,
}

/// What the entries of an item come to, before parameters are looked up.
struct Gathered<'p> {
    lines: Vec<Line<'p>>,
    ignored: Vec<String>,
}

impl Program {
    /// The items of a block, each with its file.
    pub(super) fn weights_for<'a>(&'a self, block: &'a Block) -> impl Iterator<Item = (FileId, &'a Weights)> {
        let files = (0..self.file_count()).map(|at| FileId(at as u32));
        let items = files.flat_map(|file| self.file(file).items.iter().map(move |item| (file, item)));
        items.filter_map(move |(file, item)| {
            let ItemKind::Weights(weights) = &item.kind else { return None };
            match self.item(file, &weights.model.as_ref()?.node) {
                Some((_, ItemKind::Block(def))) if std::ptr::eq(def, block) => Some((file, weights)),
                _ => None,
            }
        })
    }

    /// The item of that name for a block.
    pub(super) fn weights_named<'a>(&'a self, block: &'a Block, name: &str) -> Option<(FileId, &'a Weights)> {
        self.weights_for(block).find(|(_, weights)| weights.name.node == name)
    }

    /// An item with all that holds for items of its name: entries of its own and of the nameless one.
    pub(super) fn with_common<'a>(&'a self, file: FileId, weights: &'a Weights) -> impl Iterator<Item = &'a WeightsEntry> {
        let common = match self.item(file, &weights.name.node) {
            Some((_, ItemKind::Weights(common))) => common.entries.as_slice(),
            _ => &[],
        };
        weights.entries.iter().chain(common)
    }

    /// What is said of a block's configuration in files of a layout, and where: in its own item, and, unless that says it otherwise, in
    /// the one that holds for all.
    fn configuration<'a>(&'a self, block: &'a Block, layout: &str) -> Vec<(FileId, &'a ConfigEntry)> {
        let Some((file, weights)) = self.weights_named(block, layout) else { return Vec::new() };
        let own: Vec<_> = entries(weights).map(|entry| (file, entry)).collect();
        let has = |name: &Name| block.params.iter().any(|param| param.name.node == name.node);
        let reads = |name: &Name| {
            own.iter().any(|(_, entry)| matches!(entry, ConfigEntry::Read(path, _) if dotted(path) == name.node))
        };
        let common = match self.item(file, layout) {
            Some((home, ItemKind::Weights(common))) => Some((home, common)),
            _ => None,
        };
        let common = common.into_iter().flat_map(|(home, common)| entries(common).map(move |entry| (home, entry)));
        let common = common.filter(|(_, entry)| match entry {
            ConfigEntry::Read(path, _) => path.first().is_some_and(|name| has(name) && !reads(name)),
            _ => true,
        });
        own.iter().copied().chain(common).collect()
    }

    /// Where the weights of a model, or of a recipe's, lie by default, where the specification says so: the layout, and a path from the
    /// specification's folder.
    pub fn weights_place(&self, model: &str) -> Option<(String, String)> {
        self.weights_place_in(FileId(0), model)
    }

    fn weights_place_in(&self, file: FileId, model: &str) -> Option<(String, String)> {
        match self.item(file, model)? {
            (home, ItemKind::Made(made)) => {
                let (_, value) = made.entries.iter().find(|(name, _)| name.node == "weights")?;
                let (layout, path) = place_of(value)?;
                // A path is said from where it stands.
                let name = self.sources().get(home).filter(|_| home != FileId(0)).map_or("", |source| source.name.as_str());
                let folder = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let path = if path.starts_with('/') { path.to_owned() } else { format!("{folder}{path}") };
                Some((layout.to_owned(), path))
            }
            // That of its model.
            (home, ItemKind::Train(train)) => train.entries.iter().find_map(|entry| match entry {
                TrainEntry::Set(_, value) => match &*value.node {
                    ExprKind::Name(made) => self.weights_place_in(home, made),
                    _ => None,
                },
                _ => None,
            }),
            _ => None,
        }
    }
}

/// What an item says of configuration.
fn entries(weights: &Weights) -> impl Iterator<Item = &ConfigEntry> {
    weights.entries.iter().flat_map(|entry| if let WeightsEntry::Config(entries) = entry { entries.as_slice() } else { &[] })
}

/// `huggingface("folder")`
pub(super) fn place_of(value: &Expr) -> Option<(&str, &str)> {
    let ExprKind::Call(callee, args) = &*value.node else { return None };
    match (&*callee.node, args.as_slice()) {
        (ExprKind::Name(layout), [arg]) if arg.name.is_none() => match &*arg.value.node {
            ExprKind::Text(path) => Some((layout, path)),
            _ => None,
        },
        _ => None,
    }
}

impl<'p, E: Emit> Session<'p, E> {
    /// Checks that what an item reads from somebody else's configuration is configuration of the block.
    pub(super) fn reads_configuration(&mut self, weights: &Weights, file: FileId) -> Done<()> {
        let Some(model) = &weights.model else { return Ok(()) };
        let Some((_, ItemKind::Block(block))) = self.program.item(file, &model.node) else { return Ok(()) };
        let params = || block.params.iter().map(|p| p.name.node.as_str());
        let read =
            entries(weights).filter_map(|entry| if let ConfigEntry::Read(path, _) = entry { path.first() } else { None });
        for ours in read {
            if !params().any(|name| name == ours.node) {
                let message = format!("`{}` has no configuration `{}`", model.node, ours.node);
                let d = Diagnostic::error("W0114", message, ours.span, "");
                let d = d.note(format!("configuration: {}", list(params())));
                return Err(self.report(suggest(d, ours.span, nearest(&ours.node, params()))));
            }
        }
        Ok(())
    }

    /// Checks what stands in the braces of `model Small = Gpt2(width: 64) { … }`.
    pub(super) fn made_entries(&mut self, made: &Made) -> Done<()> {
        for (name, value) in &made.entries {
            if name.node != "weights" {
                let d = Diagnostic::error("W0501", format!("a model has no entry `{}`", name.node), name.span, "unknown");
                return Err(self.report(d.help("`weights = huggingface(\"folder\")` says where its weights lie")));
            }
            if place_of(value).is_none() {
                let d = Diagnostic::error("W0505", "`weights` is a layout and a path", value.span, "");
                return Err(self.report(d.help("such as `weights = huggingface(\"folder\")`")));
            }
        }
        Ok(())
    }

    /// Every `weights` item for a model. The model's sizes must be known.
    pub fn weights(&mut self, model: &ModelRef<'p, E::Value>) -> Result<Vec<LayoutOut>, Vec<Diagnostic>> {
        let program = self.program;
        let mut layouts = Vec::new();
        let mut fine = Ok(());
        for (file, weights) in program.weights_for(model.instance.block.def) {
            match self.layout(file, weights, model) {
                Ok(layout) => layouts.push(layout),
                Err(reported) => fine = Err(reported),
            }
        }
        self.outcome(fine.map(|()| layouts))
    }

    fn layout(&mut self, file: FileId, weights: &'p Weights, model: &ModelRef<'p, E::Value>) -> Done<LayoutOut> {
        let program = self.program;
        let around = Around { parts: Vec::new(), text: Vec::new(), block: model.instance.clone(), from: 0 };
        let mut gathered = Gathered { lines: Vec::new(), ignored: Vec::new() };
        for entry in program.with_common(file, weights) {
            self.entry_of_weights(entry, &weights.name.node, &around, &mut gathered)?;
        }
        let mut layout = LayoutOut { name: weights.name.node.clone(), parameters: Vec::new(), ignored: gathered.ignored };
        let mut covered: Vec<(String, Span)> = Vec::new();
        let mut fine = Ok(());
        for line in &gathered.lines {
            if let Err(reported) = self.line(line, model, &mut covered, &mut layout) {
                fine = Err(reported);
            }
        }
        fine?;
        let missing: Vec<_> = model
            .parameters
            .iter()
            .map(|p| p.path.as_str())
            .filter(|path| !covered.iter().any(|(c, _)| c == path))
            .collect();
        if !missing.is_empty() {
            return Err(self.report(
                Diagnostic::error("W0513", format!("`{}` leaves parameters out", weights.name.node), weights.name.span, "")
                    .note(format!("without a place in the file: {}", list(missing.iter().take(12).copied())))
                    .help("every parameter is read exactly once"),
            ));
        }
        Ok(layout)
    }

    fn entry_of_weights(
        &mut self,
        entry: &'p WeightsEntry,
        layout: &str,
        around: &Around<'p, E::Value>,
        out: &mut Gathered<'p>,
    ) -> Done<()> {
        match entry {
            WeightsEntry::Config(_) => {}
            WeightsEntry::Ignore(names) => {
                let prefix = line::literal(&around.text);
                for name in names {
                    out.ignored.push(format!("{prefix}{}", self.with_configuration(name, around)?));
                }
            }
            WeightsEntry::If(choice) => {
                let holds = self.condition(&choice.cond, &around.block.scope)?;
                let chosen = if holds == Some(false) { &choice.otherwise } else { &choice.then };
                for entry in chosen {
                    self.entry_of_weights(entry, layout, around, out)?;
                }
            }
            WeightsEntry::Group(pattern, name, inner) => {
                for (parts, text) in self.each(pattern, name)? {
                    let around = inside(around, &parts, text);
                    for entry in inner {
                        self.entry_of_weights(entry, layout, &around, out)?;
                    }
                }
            }
            WeightsEntry::Own(pattern, name) => {
                for (parts, text) in self.each(pattern, name)? {
                    self.own_names(&parts, text, pattern.span, layout, around, out)?;
                }
            }
            WeightsEntry::Tensor(pattern, name, also, stored) => {
                let text = self.named(around, name)?;
                let also = also.iter().map(|name| self.named(around, name)).collect::<Done<_>>()?;
                let parts = [around.parts.as_slice(), &pattern.parts].concat();
                out.lines.push(Line { parts, text, also, stored, pattern, text_span: name.span });
            }
        }
        Ok(())
    }

    /// A name in whose braces configuration stands: `layers.{depth}.*`.
    fn with_configuration(&mut self, name: &Spanned<String>, around: &Around<'p, E::Value>) -> Done<String> {
        let mut out = String::new();
        for piece in self.pieces(name)? {
            match piece {
                Piece::Literal(text) => out.push_str(&text),
                Piece::Choice(names) => match around.block.scope.get(&names.join(", ")) {
                    Some(Value::Int(size)) => out.push_str(&size.to_string()),
                    _ => {
                        let message = format!("`{}` is no whole number of the configuration", names.join(", "));
                        return Err(self.error("W0515", message, name.span, ""));
                    }
                },
            }
        }
        Ok(out)
    }

    /// The entries of the item that a member's block has for itself.
    fn own_names(
        &mut self,
        parts: &[PathPart],
        text: Vec<Piece>,
        span: Span,
        layout: &str,
        around: &Around<'p, E::Value>,
        out: &mut Gathered<'p>,
    ) -> Done<()> {
        let program = self.program;
        let mut around = inside(around, parts, text);
        let mut blocks = Vec::new();
        self.members_at(&around.block, &around.parts[around.from..], &mut blocks)?;
        // Blocks of one kind have the same names, but for what their configuration leaves out.
        let mut own = Gathered { lines: Vec::new(), ignored: Vec::new() };
        for block in blocks {
            let def = block.block.def;
            let Some((_, weights)) = program.weights_named(def, layout) else {
                let message = format!("`{}` has no `weights {layout}` of its own", def.name.node);
                let d = Diagnostic::error("W0520", message, span, "its names are said nowhere");
                return Err(self.report(d.help("say the file's axes, `as [output, input]`, or open braces: `{ … }`")));
            };
            (around.block, around.from) = (block, around.parts.len());
            let mut found = Gathered { lines: Vec::new(), ignored: Vec::new() };
            for entry in &weights.entries {
                self.entry_of_weights(entry, layout, &around, &mut found)?;
            }
            let same =
                |a: &Line<'_>, b: &Line<'_>| a.parts == b.parts && a.text == b.text && std::ptr::eq(a.stored, b.stored);
            found.lines.retain(|line| !own.lines.iter().any(|known| same(known, line)));
            found.ignored.retain(|name| !own.ignored.contains(name));
            own.lines.append(&mut found.lines);
            own.ignored.append(&mut found.ignored);
        }
        out.lines.append(&mut own.lines);
        out.ignored.append(&mut own.ignored);
        Ok(())
    }

    /// A path and a name without alternatives, for each of those that there are.
    fn each(&mut self, pattern: &PathPattern, name: &Spanned<String>) -> Done<Vec<(Vec<PathPart>, Vec<Piece>)>> {
        let pieces = self.pieces(name)?;
        let mut all = vec![(Vec::new(), pieces)];
        for part in &pattern.parts {
            let names = match part {
                PathPart::Alternatives(names, _) if names.len() > 1 => names.as_slice(),
                _ => &[],
            };
            let mut next = Vec::new();
            for (parts, pieces) in all {
                if names.is_empty() {
                    next.push(([parts.as_slice(), std::slice::from_ref(part)].concat(), pieces));
                    continue;
                }
                let many = |piece: &Piece| matches!(piece, Piece::Choice(choice) if choice.len() > 1);
                let place = pieces.iter().position(many);
                for (at, name) in names.iter().enumerate() {
                    let mut pieces = pieces.clone();
                    match place.map(|place| &mut pieces[place]) {
                        Some(Piece::Choice(choice)) if choice.len() == names.len() => {
                            let text = choice[at].clone();
                            pieces[place.unwrap_or(0)] = Piece::Literal(text);
                        }
                        _ => return Err(self.not_together(pattern.span, name.span)),
                    }
                    let own = name.node.split('.').map(|part| PathPart::Name(Name { node: part.into(), span: name.span }));
                    next.push((parts.iter().cloned().chain(own).collect(), pieces));
                }
            }
            all = next;
        }
        Ok(all)
    }

    /// A name of theirs with what stands around it.
    fn named(&mut self, around: &Around<'p, E::Value>, name: &Spanned<String>) -> Done<Vec<Piece>> {
        let mut pieces = around.text.clone();
        // What is called as the block around it is.
        if let (true, Some(Piece::Literal(last))) = (name.node.is_empty(), pieces.last_mut()) {
            *last = last.trim_end_matches('.').to_owned();
        }
        pieces.extend(self.pieces(name)?);
        Ok(pieces)
    }

    /// The blocks at a path from another: several where blocks of several kinds are repeated. Those that lack a part have none.
    fn members_at(
        &mut self,
        from: &Rc<Instance<'p, E::Value>>,
        parts: &[PathPart],
        out: &mut Vec<Rc<Instance<'p, E::Value>>>,
    ) -> Done<()> {
        let Some((first, rest)) = parts.split_first() else {
            out.push(from.clone());
            return Ok(());
        };
        let PathPart::Name(name) = first else { return self.members_at(from, rest, out) };
        match self.field(&Value::Instance(from.clone()), name, name.span)? {
            Value::Instance(instance) => self.members_at(&instance, rest, out),
            Value::Repeated(repeated) => {
                let next =
                    rest.iter().find_map(|part| if let PathPart::Name(name) = part { Some(&name.node) } else { None });
                let has = |block: &&Rc<Instance<'p, E::Value>>| next.is_none_or(|name| block.scope.own(name).is_some());
                let having: Vec<_> = repeated.blocks().filter(has).cloned().collect();
                let blocks = if having.is_empty() { repeated.blocks().take(1).cloned().collect() } else { having };
                blocks.iter().try_for_each(|block| self.members_at(block, rest, out))
            }
            other => {
                let message = format!("`{}` is {}, not a block", name.node, other.kind());
                let mut fault = Diagnostic::error("W0405", message, name.span, other.kind());
                if let Value::Param(_, axes) = &other {
                    let axes = self.show_axes(axes);
                    fault = fault.help(format!("a parameter's axes are said in the file's order: `… <- \"…\" as {axes}`"));
                }
                Err(self.report(fault))
            }
        }
    }
}

/// What stands around the entries of a group.
fn inside<'p, V>(around: &Around<'p, V>, parts: &[PathPart], text: Vec<Piece>) -> Around<'p, V> {
    let named = !line::literal(&text).is_empty();
    let mut text = [around.text.as_slice(), &text].concat();
    if named {
        text.push(Piece::Literal(".".into()));
    }
    let parts = [around.parts.as_slice(), parts].concat();
    Around { parts, text, block: around.block.clone(), from: around.from }
}
