//! Names that one body defines twice: axes, parameters, members, functions. Binding a value again in a function is no fault.

use std::collections::HashMap;

use crate::ast::{Block, Fn, If, ItemKind, Member, Name, Param, Stmt};
use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// The names of one body, each with the place that defines it.
type Seen<'a> = HashMap<&'a str, Span>;

/// What a nameless function is known by; no name of the language has a space.
const NAMELESS: &str = "nameless fn";

/// What the entry point of a nameless function is called from outside.
const FORWARD: &str = "forward";

/// Adds a W0101 for every name that a body within the item defines twice.
pub(crate) fn defined_twice(item: &ItemKind, out: &mut Vec<Diagnostic>) {
    match item {
        ItemKind::Fn(def) => function(def, out),
        ItemKind::Block(def) => block(def, out),
        ItemKind::Objective(def) => {
            let mut seen = Seen::new();
            def.models.iter().for_each(|name| define(name, &mut seen, out));
            params(&def.over, &mut seen, out);
            params(&def.with, &mut seen, out);
            body(&def.body, out);
        }
        ItemKind::Optimizer(def) => {
            let mut seen = Seen::new();
            params(&def.params, &mut seen, out);
            def.state.iter().for_each(|(name, _)| define(name, &mut seen, out));
            body(&def.body, out);
        }
        ItemKind::Schedule(def) => {
            params(&def.params, &mut Seen::new(), out);
            body(&def.body, out);
        }
        ItemKind::Test(def) => body(&def.body, out),
        ItemKind::Use(_)
        | ItemKind::Axis(_)
        | ItemKind::Made(_)
        | ItemKind::Table(_)
        | ItemKind::Train(_)
        | ItemKind::Weights(_) => {}
    }
}

fn block(def: &Block, out: &mut Vec<Diagnostic>) {
    params(&def.params, &mut Seen::new(), out);
    let mut seen = Seen::new();
    members(&def.members, &mut seen, out);
    if def.is_model
        && let (Some(&nameless), Some(&named)) = (seen.get(NAMELESS), seen.get(FORWARD))
    {
        out.push(
            Diagnostic::error("W0101", "`forward` is defined twice", named, "defined here")
                .label(nameless, "the nameless `fn` of a model is its `forward`")
                .help("rename this one"),
        );
    }
}

fn members<'a>(list: &'a [Member], seen: &mut Seen<'a>, out: &mut Vec<Diagnostic>) {
    for member in list {
        match member {
            Member::Axis(decl) => define(&decl.name, seen, out),
            Member::Param(decl) => define(&decl.name, seen, out),
            Member::Slot(slot) => define(&slot.name, seen, out),
            Member::Let(binding) => binding.names.iter().for_each(|name| define(name, seen, out)),
            Member::Fn(def) => {
                match &def.name {
                    Some(name) => define(name, seen, out),
                    None => {
                        let word = Span { end: def.span.start + 2, ..def.span };
                        enter(NAMELESS, "the nameless `fn`", word, seen, out);
                    }
                }
                function(def, out);
            }
            Member::Calls(value) => enter(NAMELESS, "the nameless `fn`", value.span, seen, out),
            Member::If(branch) => branches(branch, seen, out, members),
        }
    }
}

fn function(def: &Fn, out: &mut Vec<Diagnostic>) {
    params(&def.params, &mut Seen::new(), out);
    body(&def.body, out);
}

fn body(stmts: &[Stmt], out: &mut Vec<Diagnostic>) {
    statements(stmts, &mut Seen::new(), out);
}

fn statements<'a>(stmts: &'a [Stmt], seen: &mut Seen<'a>, out: &mut Vec<Diagnostic>) {
    for stmt in stmts {
        match stmt {
            Stmt::Axis(decl) => define(&decl.name, seen, out),
            Stmt::Fn(def) => {
                def.name.iter().for_each(|name| define(name, seen, out));
                function(def, out);
            }
            Stmt::If(branch) => branches(branch, seen, out, statements),
            Stmt::For(fold) => body(&fold.body, out),
            _ => {}
        }
    }
}

/// Both branches may define a name, as only one of them is taken.
fn branches<'a, T>(
    branch: &'a If<T>,
    seen: &mut Seen<'a>,
    out: &mut Vec<Diagnostic>,
    walk: fn(&'a [T], &mut Seen<'a>, &mut Vec<Diagnostic>),
) {
    let mut otherwise = seen.clone();
    walk(&branch.then, seen, out);
    walk(&branch.otherwise, &mut otherwise, out);
    for (name, place) in otherwise {
        seen.entry(name).or_insert(place);
    }
}

fn params<'a>(list: &'a [Param], seen: &mut Seen<'a>, out: &mut Vec<Diagnostic>) {
    list.iter().for_each(|param| define(&param.name, seen, out));
}

fn define<'a>(name: &'a Name, seen: &mut Seen<'a>, out: &mut Vec<Diagnostic>) {
    enter(&name.node, &format!("`{}`", name.node), name.span, seen, out);
}

fn enter<'a>(name: &'a str, shown: &str, place: Span, seen: &mut Seen<'a>, out: &mut Vec<Diagnostic>) {
    match seen.get(name) {
        Some(&first) => out.push(
            Diagnostic::error("W0101", format!("{shown} is defined twice"), place, "defined again here")
                .label(first, "first defined here")
                .help("rename one of them"),
        ),
        None => {
            seen.insert(name, place);
        }
    }
}
