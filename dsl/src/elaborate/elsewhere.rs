//! Names that a file does not see: what brings them in, or what was meant.

use crate::ast::Name;
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::habits;
use crate::library;
use crate::parse::parse;
use crate::span::{FileId, Span};

use super::nearest::{nearest, suggest};
use super::primitive::{self, REDUCTIONS};
use super::program::{Program, name_of};
use super::session::{Done, Names, Reported, Session, Val};

/// Words that are values.
const VALUES: &[&str] = &["true", "false", "training", "infinity"];

/// The names that the items of a text define.
pub(crate) fn defined_names(text: &str) -> Vec<String> {
    let (file, _) = parse(FileId(0), text);
    file.items.iter().filter_map(|item| name_of(&item.kind)).map(|name| name.node.clone()).collect()
}

impl Program {
    /// What `use` could bring into a file: paths, each with a name. The standard library comes first.
    fn elsewhere(&self, file: FileId) -> Vec<(String, String)> {
        let library = library::names().map(|module| (format!("std.{module}"), library::library(module).unwrap_or_default()));
        let own = self.sources().iter().filter(|(id, _)| *id != FileId(0) && *id != file && !self.is_library(*id));
        let own = own.map(|(_, source)| (source.name.trim_end_matches(".weft").replace('/', "."), source.text.as_str()));
        let named = |(path, text): (String, &str)| -> Vec<(String, String)> {
            defined_names(text).into_iter().map(|name| (path.clone(), name)).collect()
        };
        library.chain(own).flat_map(named).collect()
    }
}

impl<'p, E: Emit> Session<'p, E> {
    /// The fault of a name that stands for nothing here, with what would mend it: a `use`, what Weft has in place of a word of
    /// other languages, or a name that is nearly the same.
    pub(crate) fn unknown_name(&mut self, name: &Name, message: String, scope: &Names<'p, E>) -> Reported {
        let d = Diagnostic::error("W0104", message, name.span, "no such name");
        let elsewhere = self.program.elsewhere(scope.file);
        let uses = |wanted: &str| -> Vec<String> {
            let paths = elsewhere.iter().filter(|(_, defined)| defined == wanted);
            paths.map(|(path, defined)| format!("`use {path}: {defined}`")).collect()
        };
        let here = uses(&name.node);
        if !here.is_empty() {
            return self.report(d.help(format!("bring it in at the top of the file: {}", here.join(" or "))));
        }
        if let Some(advice) = habits::advice(&name.node) {
            return self.report(d.help(advice));
        }
        let mut names: Vec<String> = VALUES.iter().map(|&word| word.to_owned()).collect();
        scope.names(&mut names);
        names.retain(|n| !n.contains([' ', '(']));
        names.extend(self.program.item_names(scope.file).map(str::to_owned));
        names.extend(primitive::names().map(str::to_owned));
        if let Some(near) = nearest(&name.node, names.iter().map(String::as_str)) {
            return self.report(suggest(d, name.span, Some(near)));
        }
        let near = nearest(&name.node, elsewhere.iter().map(|(_, defined)| defined.as_str()));
        self.report(match near {
            Some(near) => d.help(format!("did you mean `{near}`? It comes in with {}", uses(&near).join(" or "))),
            None => d,
        })
    }

    /// The fault of a tensor's member, of which it has none, with how a function is written: `x.sum()` as `sum[time](x)`.
    pub(crate) fn member_of_tensor(
        &mut self,
        value: &Val<'p, E>,
        name: &Name,
        base: Span,
        scope: &Names<'p, E>,
    ) -> Done<Val<'p, E>> {
        let tensor = self.tensor(value, base)?;
        let ty = self.emit.type_of(&tensor.value);
        let (shown, word) = (self.show(&ty), name.node.as_str());
        let over = self.program.sources().text(base).to_owned();
        let d =
            Diagnostic::error("W0112", format!("a tensor has no `{word}`"), name.span, "no such member").label(base, shown);
        let here = scope.get(word).is_some() || self.program.item(scope.file, word).is_some();
        let elsewhere = || self.program.elsewhere(scope.file).into_iter().find(|(_, defined)| defined == word);
        let help = if let Some(advice) = habits::advice(word) {
            advice.to_owned()
        } else if REDUCTIONS.contains(&word) {
            let axis = ty.axes.last().map_or_else(|| "axis".to_owned(), |&axis| self.name_of(axis));
            format!("say over which axes: `{word}[{axis}]({over})`")
        } else if here || primitive::named(word).is_some() {
            format!("a function stands before its argument: `{word}({over})`")
        } else if let Some((path, _)) = elsewhere() {
            format!("a function stands before its argument: `{word}({over})`, after `use {path}: {word}`")
        } else {
            return Err(self.report(d));
        };
        Err(self.report(d.help(help)))
    }
}
