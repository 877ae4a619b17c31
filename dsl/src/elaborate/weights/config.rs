//! Somebody else's configuration as ours: what makes a model of a configuration file, as text and as values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use crate::ast::{Block, ConfigEntry, Expr, ExprKind, ItemKind, Name, ParamType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::size::Size;
use crate::span::FileId;

use crate::elaborate::nearest::list;
use crate::elaborate::session::{Done, Names, Reported, Session, Val};
use crate::elaborate::value::{Scope, Value};

/// A value of somebody else's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Nothing: the same as a field that is not there.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Field>),
    /// Values by name.
    Record(Vec<(String, Field)>),
}

impl Field {
    /// The field of that path; nothing where there is none.
    pub fn at(&self, path: &str) -> &Field {
        path.split('.').fold(self, |field, name| match field {
            Field::Record(fields) => fields.iter().find(|(own, _)| own == name).map_or(&Field::Null, |(_, field)| field),
            _ => &Field::Null,
        })
    }

    /// How many fields or values it has.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks whether there are none")]
    pub fn len(&self) -> usize {
        match self {
            Field::Record(fields) => fields.len(),
            Field::List(items) => items.len(),
            _ => 0,
        }
    }

    /// The paths of all fields that say something.
    fn leaves(&self, path: &str, out: &mut Vec<String>) {
        match self {
            Field::Null => {}
            Field::Record(fields) => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    field.leaves(&path, out);
                }
            }
            _ => out.push(path.to_owned()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Null => f.write_str("null"),
            Field::Bool(b) => write!(f, "{b}"),
            Field::Int(n) => write!(f, "{n}"),
            Field::Float(x) => write!(f, "{x:?}"),
            Field::Text(text) => write!(f, "{text:?}"),
            Field::List(items) => {
                let items: Vec<String> = items.iter().map(Field::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Field::Record(_) => f.write_str("{…}"),
        }
    }
}

/// A model made as a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// What makes it: `Llama(vocab: 32000, …)`.
    pub text: String,
    /// What the text uses: a file (`std.functions`) and a name of it.
    pub uses: BTreeSet<(String, String)>,
}

/// Why a configuration file gives no model.
#[derive(Clone, Debug)]
pub enum Unfit {
    /// The specification is at fault.
    Faults(Vec<Diagnostic>),
    /// The file says what the model cannot be, in words.
    File(Vec<String>),
}

/// For which files the items of a file are, as far as they say: the model, the item's name, the field, and what it may be.
pub fn fields_of_files(file: &crate::ast::File) -> Vec<(&str, &str, String, Vec<Field>)> {
    let items = file.items.iter().filter_map(|item| if let ItemKind::Weights(w) = &item.kind { Some(w) } else { None });
    let said = items.filter_map(|weights| {
        let ((path, value), model) = (weights.files.as_ref()?, weights.model.as_ref()?);
        Some((model.as_str(), weights.name.as_str(), dotted(path), literals(value)))
    });
    said.collect()
}

/// What an expression such as `a or b` lists.
pub(super) fn literals(expr: &Expr) -> Vec<Field> {
    let mut out = Vec::new();
    alternatives(expr, &mut out);
    out
}

/// `a or b or c`
fn alternatives(expr: &Expr, out: &mut Vec<Field>) {
    match &*expr.node {
        ExprKind::Binary(crate::ast::BinaryOp::Or, a, b) => {
            alternatives(a, out);
            alternatives(b, out);
        }
        _ => out.extend(literal(expr)),
    }
}

fn literal(expr: &Expr) -> Option<Field> {
    Some(match &*expr.node {
        ExprKind::Text(text) => Field::Text(text.clone()),
        ExprKind::Int(n) => Field::Int(*n),
        ExprKind::Bool(b) => Field::Bool(*b),
        ExprKind::List(items) => Field::List(items.iter().map(literal).collect::<Option<_>>()?),
        _ => return None,
    })
}

pub(super) fn dotted(path: &[Name]) -> String {
    path.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(".")
}

/// The paths of names that an expression mentions, without what it calls.
pub(super) fn mentioned(expr: &Expr, out: &mut Vec<String>) {
    match &*expr.node {
        ExprKind::Name(name) => out.push(name.clone()),
        ExprKind::Field(base, name) => {
            let from = out.len();
            mentioned(base, out);
            if let [path] = &mut out[from..] {
                path.push('.');
                path.push_str(&name.node);
            }
        }
        ExprKind::Call(_, args) => args.iter().for_each(|arg| mentioned(&arg.value, out)),
        ExprKind::Unary(_, a) => mentioned(a, out),
        ExprKind::Binary(_, a, b) => [a, b].into_iter().for_each(|e| mentioned(e, out)),
        ExprKind::For(_, over, body) => [over, body].into_iter().for_each(|e| mentioned(e, out)),
        ExprKind::If(a, b, c) => [a, b, c].into_iter().for_each(|e| mentioned(e, out)),
        ExprKind::List(items) | ExprKind::Tuple(items) => items.iter().for_each(|e| mentioned(e, out)),
        _ => {}
    }
}

/// What is found while a file is read.
#[derive(Default)]
pub(super) struct Reading {
    /// Fields that somebody asks for or passes over.
    known: Vec<String>,
    /// What the user says does not matter.
    overruled: Vec<String>,
    /// Those of them on which no number depends.
    passed: Vec<String>,
    /// Those that are said again where the model is written, in groups that agree.
    pub(super) kept: Vec<Vec<String>>,
    uses: BTreeSet<(String, String)>,
    /// What the file says that cannot be.
    pub(super) wrong: Vec<String>,
}

impl<'p, E: Emit> Session<'p, E> {
    /// What makes a model as somebody else's configuration says. The model is seen by that name from the specification.
    ///
    /// # Errors
    /// The file lacks what the model needs, says what it cannot be, or says what nobody understands.
    pub fn imported(&mut self, model: &str, layout: &str, file: &Field, ignored: &[String]) -> Result<Imported, Unfit> {
        let mut reading = Reading { overruled: ignored.to_vec(), ..Reading::default() };
        let made = match self.program.item(FileId(0), model) {
            Some((home, ItemKind::Block(block))) => self.read_block((home, block), &[], layout, file, &mut reading),
            _ => Err(Reported),
        };
        let (text, _) = self.outcome(made).map_err(Unfit::Faults)?;
        let mut said = Vec::new();
        file.leaves("", &mut said);
        let is_at =
            |leaf: &String, paths: &[String]| paths.iter().any(|path| leaf == path || leaf.starts_with(&format!("{path}.")));
        let is_passed = |leaf: &String| is_at(leaf, &reading.passed) || is_at(leaf, ignored);
        for path in ignored.iter().filter(|path| is_at(path, &reading.known) && !is_at(path, &reading.passed)) {
            reading.wrong.push(format!("`{path}` cannot be ignored: `{model}` is made by it"));
        }
        for leaf in said.iter().filter(|leaf| !is_at(leaf, &reading.known) && !is_passed(leaf)) {
            reading.wrong.push(format!(
                "`{leaf}` is {}: it may change the numbers, and nothing says how (where it does not, --ignore {leaf} says so)",
                file.at(leaf)
            ));
        }
        if reading.wrong.is_empty() { Ok(Imported { text, uses: reading.uses }) } else { Err(Unfit::File(reading.wrong)) }
    }

    /// `Llama(vocab: 32000, …)` and its configuration by name; some of it may be read already.
    #[expect(clippy::type_complexity, reason = "a text and what it says")]
    pub(super) fn read_block(
        &mut self,
        (home, block): (FileId, &'p Block),
        given: &[(&str, Val<'p, E>)],
        layout: &str,
        file: &Field,
        reading: &mut Reading,
    ) -> Done<(String, Vec<(String, Val<'p, E>)>)> {
        let program = self.program;
        let entries = program.configuration(block, layout);
        let item = program.weights_named(block, layout);
        let at = item.map_or(home, |(at, _)| at);
        reading.known.extend(item.and_then(|(_, weights)| weights.files.as_ref()).map(|(path, _)| dotted(path)));
        reading.uses.insert((program.module(home), block.name.node.clone()));
        let mut scopes = BTreeMap::new();
        for &(at, entry) in &entries {
            let scope = scopes.entry(at).or_insert_with(|| Scope::within(&self.roots[at.0 as usize].clone()));
            self.fields_in_scope(entry, scope, file, reading);
        }
        let ours = Scope::within(&self.roots[at.0 as usize].clone());
        let (mut said, mut args) = (Vec::new(), Vec::new());
        for param in &block.params {
            let name = &param.name.node;
            let mut read = None;
            let mut inner: Vec<(&str, Val<'p, E>)> = Vec::new();
            for (at, entry) in &entries {
                let ConfigEntry::Read(path, expr) = entry else { continue };
                match path.as_slice() {
                    [own] if own.node == *name => read = Some((self.eval(expr, &scopes[at])?, expr.span)),
                    [own, of] if own.node == *name => inner.push((&of.node, self.eval(expr, &scopes[at])?)),
                    _ => {}
                }
            }
            if let Some((_, value)) = given.iter().find(|(own, _)| own == name) {
                read = Some((value.clone(), param.name.span));
            }
            let value = match (read, &param.ty) {
                (Some((value, span)), _) => match value {
                    Value::Absent(path) => {
                        reading.wrong.push(format!("`{path}` is missing (`{name}` of `{}`)", block.name.node));
                        ours.set(name, Value::Absent(path));
                        continue;
                    }
                    value => {
                        let value = self.fitted(param, value, span, &ours)?;
                        let Some(text) = self.written(&value, reading) else {
                            let message = format!("`{name}` cannot be written as text");
                            return Err(self.error("W0405", message, span, value.kind()));
                        };
                        args.push(format!("{name}: {text}"));
                        value
                    }
                },
                (None, Some(ParamType::Instance(of))) => match program.item(home, &of.node) {
                    Some((home, ItemKind::Block(of))) => {
                        let (text, said) = self.read_block((home, of), &inner, layout, file, reading)?;
                        args.push(format!("{name}: {text}"));
                        Value::Record(said)
                    }
                    _ => return Err(Reported),
                },
                (None, _) => match &param.default {
                    Some(default) => self.eval_or_unknown(default, &ours),
                    None => {
                        reading.wrong.push(format!("nothing says `{name}` of `{}`", block.name.node));
                        Value::Unknown
                    }
                },
            };
            ours.set(name, value.clone());
            said.push((name.clone(), value));
        }
        for (entry_at, entry) in &entries {
            let ConfigEntry::Says(path, expr) = entry else { continue };
            let path = dotted(path);
            let found = file.at(&path);
            reading.known.push(path.clone());
            // What ours is may not be known.
            if !reading.wrong.is_empty() || reading.overruled.contains(&path) && reading.passed.contains(&path) {
                continue;
            }
            let value = self.eval(expr, &ours.within_file(&self.roots[entry_at.0 as usize]))?;
            // `none` says nothing of what is read elsewhere.
            if *found != Field::Null && !matches!(value, Value::Absent(_)) && !agrees(&value, found) {
                let expected = field_of(&value).map_or("something else".into(), |field| field.to_string());
                let message = format!("`{path}` is {found}, and `{}` computes {expected} alone", block.name.node);
                // What holds for all items is said by each block: once is enough.
                if !reading.wrong.iter().any(|said| said.starts_with(&format!("`{path}` is "))) {
                    reading.wrong.push(message);
                }
            }
        }
        Ok((format!("{}({})", block.name.node, args.join(", ")), said))
    }

    /// Brings the fields that an entry reads into its scope, under the names that the file has for them.
    fn fields_in_scope(&mut self, entry: &'p ConfigEntry, scope: &Names<'p, E>, file: &Field, reading: &mut Reading) {
        match entry {
            ConfigEntry::Read(_, expr) => {
                let mut paths = Vec::new();
                mentioned(expr, &mut paths);
                for path in paths {
                    let root = path.split('.').next().unwrap_or_default();
                    let field = file.at(root);
                    // What the file does not have may be something of the program, such as a function.
                    if *field != Field::Null || self.top(scope.file, root).is_none() {
                        scope.set(root, value_of(root, field));
                        reading.known.push(path);
                    }
                }
            }
            ConfigEntry::Ignore(paths) => reading.passed.extend(paths.iter().map(|path| dotted(path))),
            ConfigEntry::Keep(paths) => {
                let paths: Vec<String> = paths.iter().map(|path| dotted(path)).collect();
                reading.passed.extend_from_slice(&paths);
                reading.kept.push(paths);
            }
            ConfigEntry::Says(..) => {}
        }
    }

    /// A value of configuration as it is written in a specification.
    fn written(&mut self, value: &Val<'p, E>, reading: &mut Reading) -> Option<String> {
        Some(match value {
            Value::Int(size) => size.known()?.to_string(),
            Value::Float(Some(x)) if x.is_finite() => format!("{x:?}"),
            Value::Bool(Some(b)) => b.to_string(),
            Value::Text(Some(text)) => quoted(text),
            Value::Primitive(name) => (*name).to_owned(),
            Value::Fn(function) if function.given.is_empty() => {
                reading.uses.insert((self.program.module(function.scope.file), function.name.clone()));
                function.name.clone()
            }
            Value::List(items) => {
                let items: Option<Vec<String>> = items.iter().map(|item| self.written(item, reading)).collect();
                format!("[{}]", items?.join(", "))
            }
            _ => return None,
        })
    }

    /// `activations("gelu")`
    pub(crate) fn in_table(
        &mut self,
        table: &'p crate::ast::Table,
        file: FileId,
        key: &Val<'p, E>,
        span: crate::span::Span,
    ) -> Done<Val<'p, E>> {
        let root = self.roots[file.0 as usize].clone();
        let key = match key {
            Value::Text(Some(key)) => key.clone(),
            // Any row will do where the text is not known.
            Value::Text(None) => match table.rows.first() {
                Some((_, value)) => return self.eval(value, &root),
                None => return Err(Reported),
            },
            Value::Absent(_) => return Ok(key.clone()),
            Value::Unknown => return Err(Reported),
            other => {
                let message = format!("`{}` is asked for a text, not for {}", table.name.node, other.kind());
                return Err(self.error("W0405", message, span, other.kind()));
            }
        };
        match table.rows.iter().find(|(text, _)| *text.node == *key) {
            Some((_, value)) => self.eval(value, &root),
            None => {
                let d = Diagnostic::error("W0521", format!("`{}` has no {:?}", table.name.node, &*key), span, "");
                let texts: Vec<&str> = table.rows.iter().map(|(text, _)| text.node.as_str()).collect();
                Err(self.report(d.note(format!("it has {}", list(texts.into_iter())))))
            }
        }
    }
}

/// A text as it is written in a specification.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A field as a value; `path` is its name.
pub(in crate::elaborate) fn value_of<'p, V>(path: &str, field: &Field) -> Value<'p, V> {
    match field {
        Field::Null => Value::Absent(path.into()),
        Field::Bool(b) => Value::Bool(Some(*b)),
        Field::Int(n) => Value::Int(Size::of(*n)),
        Field::Float(x) => Value::Float(Some(*x)),
        Field::Text(text) => Value::Text(Some(text.as_str().into())),
        Field::List(items) => Value::List(items.iter().map(|item| value_of(path, item)).collect()),
        Field::Record(_) => Value::Theirs(path.into(), Rc::new(field.clone())),
    }
}

/// A value as a field.
pub(super) fn field_of<V>(value: &Value<'_, V>) -> Option<Field> {
    Some(match value {
        Value::Absent(_) => Field::Null,
        Value::Bool(b) => Field::Bool((*b)?),
        Value::Int(size) => Field::Int(size.known()?),
        Value::Float(x) => Field::Float((*x)?),
        Value::Text(text) => Field::Text(text.as_ref()?.to_string()),
        Value::List(items) => Field::List(items.iter().map(field_of).collect::<Option<_>>()?),
        _ => return None,
    })
}

/// Whether a value is what a field says; whole numbers are numbers.
fn agrees<V>(value: &Value<'_, V>, field: &Field) -> bool {
    match (field_of(value), field) {
        (Some(Field::Int(a)), Field::Float(b)) => a as f64 == *b,
        (Some(Field::Float(a)), Field::Int(b)) => a == *b as f64,
        (Some(value), field) => value == *field,
        (None, _) => false,
    }
}
