//! A program: the files of a specification with the names that each sees.

use std::collections::HashMap;

use crate::ast::{self, ItemKind};
use crate::diagnostic::Diagnostic;
use crate::library;
use crate::parse::parse;
use crate::sources::Sources;
use crate::span::FileId;

use super::nearest::nearest;
use super::twice::defined_twice;

/// A loaded specification: its files, parsed, and what every name of a file stands for.
#[derive(Debug)]
pub struct Program {
    sources: Sources,
    files: Vec<ast::File>,
    names: Vec<HashMap<String, (FileId, usize)>>,
}

impl Program {
    /// Reads a specification and all that it uses. `read` gives the text of a file beside it, by path (`dir/name.weft`).
    ///
    /// Diagnostics are those of syntax and of names that files bring in; [`Program::check`] finds the others.
    pub fn load(main_name: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> (Program, Vec<Diagnostic>) {
        let mut program = Program { sources: Sources::new(), files: Vec::new(), names: Vec::new() };
        let mut diagnostics = Vec::new();
        program.add(main_name, main_name, text, &mut diagnostics);
        let mut at = 0;
        while at < program.files.len() {
            program.load_used(at, read, &mut diagnostics);
            at += 1;
        }
        for file in 0..program.files.len() {
            program.bring_in(file, &mut diagnostics);
        }
        (program, diagnostics)
    }

    fn add(&mut self, name: &str, path: &str, text: &str, diagnostics: &mut Vec<Diagnostic>) {
        let id = self.sources.add_named(name, path, text);
        let (file, mut found) = parse(id, text);
        diagnostics.append(&mut found);
        let mut names: HashMap<String, (FileId, usize)> = HashMap::new();
        for (index, item) in file.items.iter().enumerate() {
            defined_twice(&item.kind, diagnostics);
            let Some(name) = name_of(&item.kind) else { continue };
            if let Some((_, first)) = names.get(&name.node) {
                let first = name_of(&file.items[*first].kind).map_or(name.span, |n| n.span);
                diagnostics.push(
                    Diagnostic::error("W0101", format!("`{}` is defined twice", name.node), name.span, "defined again here")
                        .label(first, "first defined here")
                        .help("rename one of them"),
                );
            } else {
                names.insert(name.node.clone(), (id, index));
            }
        }
        self.files.push(file);
        self.names.push(names);
    }

    fn load_used(&mut self, at: usize, read: &dyn Fn(&str) -> Option<String>, diagnostics: &mut Vec<Diagnostic>) {
        let uses: Vec<Vec<ast::Name>> = self.uses(at).map(|u| u.path.clone()).collect();
        for path in uses {
            let shown = shown_path(&path);
            if self.sources.find(&shown).is_some() {
                continue;
            }
            let from_library = path.first().is_some_and(|first| first.node == "std");
            let text = if from_library {
                path.get(1).filter(|_| path.len() == 2).and_then(|name| library::library(&name.node)).map(str::to_owned)
            } else {
                read(&shown)
            };
            match text {
                Some(text) if from_library => self.add(&shown, &shown, &text, diagnostics),
                Some(text) => {
                    let main = self.sources.get(FileId(0)).map_or("", |main| main.path.as_str());
                    let folder = main.rfind('/').map_or("", |at| &main[..=at]);
                    self.add(&shown, &format!("{folder}{shown}"), &text, diagnostics);
                }
                None => {
                    let span = path.iter().fold(path[0].span, |span, name| span.to(name.span));
                    let mut diagnostic =
                        Diagnostic::error("W0102", format!("there is no `{shown}` to use"), span, "not found");
                    diagnostic = if from_library {
                        let names: Vec<_> = library::names().collect();
                        diagnostic.help(format!("the standard library has: {}", names.join(", ")))
                    } else {
                        diagnostic.help("a path that does not start with `std` names a file beside this one")
                    };
                    diagnostics.push(diagnostic);
                }
            }
        }
    }

    fn bring_in(&mut self, at: usize, diagnostics: &mut Vec<Diagnostic>) {
        let uses: Vec<ast::Use> = self.uses(at).cloned().collect();
        for used in uses {
            let Some(from) = self.sources.find(&shown_path(&used.path)) else { continue };
            for name in &used.names {
                let own: HashMap<_, _> = self.names[from.0 as usize].iter().filter(|(_, (file, _))| *file == from).collect();
                let Some(&&target) = own.get(&name.node) else {
                    let diagnostic = Diagnostic::error(
                        "W0103",
                        format!("`{}` has no `{}`", shown_path(&used.path), name.node),
                        name.span,
                        "not in that file",
                    );
                    let near = nearest(&name.node, own.keys().map(|k| k.as_str()));
                    diagnostics.push(super::nearest::suggest(diagnostic, name.span, near));
                    continue;
                };
                if self.names[at].get(&name.node).is_some_and(|&there| there != target) {
                    diagnostics.push(Diagnostic::error(
                        "W0101",
                        format!("`{}` is defined twice", name.node),
                        name.span,
                        "this name is taken in this file already",
                    ));
                    continue;
                }
                self.names[at].insert(name.node.clone(), target);
            }
        }
    }

    fn uses(&self, at: usize) -> impl Iterator<Item = &ast::Use> {
        self.files[at].items.iter().filter_map(|item| match &item.kind {
            ItemKind::Use(used) => Some(used),
            _ => None,
        })
    }

    /// The loaded files; the specification itself is the first.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The syntax tree of a file.
    pub fn file(&self, file: FileId) -> &ast::File {
        &self.files[file.0 as usize]
    }

    /// Whether a file is one of the standard library, which its users cannot change.
    pub(crate) fn is_library(&self, file: FileId) -> bool {
        self.sources.get(file).is_some_and(|source| source.name.starts_with("std."))
    }

    /// What a file goes by in `use`; nothing for the specification itself.
    pub(crate) fn module(&self, file: FileId) -> String {
        let path = self.sources.get(file).map_or("", |source| source.name.as_str());
        path.strip_suffix(".weft").map_or(path.to_owned(), |path| path.replace('/', "."))
    }

    /// Number of files.
    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// What a name stands for at the top of a file.
    pub(crate) fn item(&self, file: FileId, name: &str) -> Option<(FileId, &ItemKind)> {
        let &(file, index) = self.names.get(file.0 as usize)?.get(name)?;
        Some((file, &self.files[file.0 as usize].items[index].kind))
    }

    /// The names that a file sees.
    pub(crate) fn item_names(&self, file: FileId) -> impl Iterator<Item = &str> {
        self.names[file.0 as usize].keys().map(String::as_str)
    }

    /// The models that the specification defines, in source order; where it defines none, those that it uses.
    pub fn models(&self) -> Vec<&str> {
        let own = self.main_items(|kind| match kind {
            ItemKind::Block(block) if block.is_model => Some(&block.name),
            ItemKind::Made(made) => Some(&made.name),
            _ => None,
        });
        let is_model =
            |name: &str| matches!(self.item(FileId(0), name), Some((_, ItemKind::Block(block))) if block.is_model);
        if !own.is_empty() {
            return own;
        }
        let mut used: Vec<&str> = self.item_names(FileId(0)).filter(|name| is_model(name)).collect();
        used.sort_unstable();
        used
    }

    /// The recipes of the specification, in source order.
    pub fn recipes(&self) -> Vec<&str> {
        self.main_items(|kind| match kind {
            ItemKind::Train(train) => Some(&train.name),
            _ => None,
        })
    }

    fn main_items<'a>(&'a self, pick: impl Fn(&'a ItemKind) -> Option<&'a ast::Name>) -> Vec<&'a str> {
        self.files[0].items.iter().filter_map(|item| pick(&item.kind)).map(|name| name.node.as_str()).collect()
    }
}

/// `std.layers`; a file's path for others.
fn shown_path(path: &[ast::Name]) -> String {
    let parts: Vec<_> = path.iter().map(|name| name.node.as_str()).collect();
    if parts.first() == Some(&"std") { parts.join(".") } else { format!("{}.weft", parts.join("/")) }
}

/// The name that an item defines.
pub(crate) fn name_of(kind: &ItemKind) -> Option<&ast::Name> {
    match kind {
        ItemKind::Use(_) | ItemKind::Test(_) => None,
        ItemKind::Weights(weights) => weights.model.is_none().then_some(&weights.name),
        ItemKind::Made(made) => Some(&made.name),
        ItemKind::Table(table) => Some(&table.name),
        ItemKind::Axis(axis) => Some(&axis.name),
        ItemKind::Fn(function) => function.name.as_ref(),
        ItemKind::Block(block) => Some(&block.name),
        ItemKind::Objective(objective) => Some(&objective.name),
        ItemKind::Optimizer(optimizer) => Some(&optimizer.name),
        ItemKind::Schedule(schedule) => Some(&schedule.name),
        ItemKind::Train(train) => Some(&train.name),
    }
}
