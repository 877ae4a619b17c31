//! What expressions evaluate to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::ast;
use crate::emit::{Parameter, Start};
use crate::size::Size;
use crate::span::{FileId, Span};
use crate::types::Axis;

use super::outcome::{Data, Tokenizer};
use super::weights::Field;

/// A tensor: an emitted value, and where it counts.
#[derive(Clone, Debug)]
pub struct Tensor<V> {
    /// The emitted value.
    pub value: V,
    /// `where`: a truth value; only a reduction consumes it.
    pub mask: Option<V>,
}

/// The value of an expression.
#[derive(Clone, Debug)]
pub enum Value<'p, V> {
    /// A tensor.
    Tensor(Tensor<V>),
    /// A whole number known when a model is built: configuration, a size.
    Int(Size),
    /// A number known when a model is built; `None` while configuration is symbolic.
    Float(Option<f64>),
    /// A truth value known when a model is built; `None` while configuration is symbolic.
    Bool(Option<bool>),
    /// A text; `None` while configuration is symbolic.
    Text(Option<Rc<str>>),
    /// An axis, or a product of several.
    Axis(Vec<Axis>),
    /// A function of the program.
    Fn(Rc<FnValue<'p, V>>),
    /// A primitive operation by name.
    Primitive(&'p str),
    /// A block that can be made.
    Maker(BlockRef<'p>),
    /// A block that has been made.
    Instance(Rc<Instance<'p, V>>),
    /// A repeated block.
    Repeated(Rc<Repeated<'p, V>>),
    /// A parameter before it is read, and the axes that its own are called by here.
    Param(Rc<Parameter>, Vec<Axis>),
    /// How a parameter starts.
    Start(Start),
    /// Named values.
    Record(Vec<(String, Value<'p, V>)>),
    /// Values in order.
    Tuple(Vec<Value<'p, V>>),
    /// Configuration in order, such as one value for each layer.
    List(Vec<Value<'p, V>>),
    /// What texts stand for.
    Table(&'p ast::Table, FileId),
    /// Fields of somebody else's configuration, and their path.
    Theirs(Rc<str>, Rc<Field>),
    /// A field that somebody else's configuration lacks.
    Absent(Rc<str>),
    /// A schedule with its configuration.
    Schedule(Rc<ScheduleValue<'p, V>>),
    /// A number given where a schedule is wanted: the same rate at each step.
    Rate(Option<f64>),
    /// A schedule, objective or optimizer that has no configuration yet.
    Item(&'p ast::ItemKind, FileId),
    /// An objective with its configuration.
    Objective(&'p ast::Objective, Rc<Scope<'p, V>>),
    /// An optimizer with its configuration.
    Optimizer(&'p ast::Optimizer, Rc<Scope<'p, V>>),
    /// Where batches come from.
    Data(Data),
    /// How text becomes indices.
    Tokenizer(Tokenizer),
    /// The share of the data that is held out.
    HeldOut(f64),
    /// An empty slot.
    Empty,
    /// A block with configuration, given to a slot and not made yet.
    Filler(Rc<Filler<'p, V>>),
    /// Stands where an error was reported, or where nothing is known: silences what follows.
    Unknown,
}

impl<V> Value<'_, V> {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Tensor(_) | Value::Param(..) => "a tensor",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "a truth value",
            Value::Text(_) => "a text",
            Value::Axis(_) => "an axis",
            Value::Fn(_) | Value::Primitive(_) => "a function",
            Value::Maker(_) => "a block that has not been made",
            Value::Instance(_) => "a block",
            Value::Repeated(_) => "a repeated block",
            Value::Start(_) => "a start of parameters",
            Value::Record(_) => "a record",
            Value::Tuple(_) => "several values",
            Value::List(_) => "a list",
            Value::Table(..) => "a table",
            Value::Theirs(..) => "several fields",
            Value::Absent(_) => "a field that the file lacks",
            Value::Schedule(_) | Value::Rate(_) => "a schedule",
            Value::Item(ast::ItemKind::Objective(_), _) | Value::Objective(..) => "an objective",
            Value::Optimizer(..) => "an optimizer",
            Value::Item(ast::ItemKind::Optimizer(_), _) => "an optimizer",
            Value::Item(..) => "a schedule",
            Value::Data(_) => "data",
            Value::Tokenizer(_) => "a tokenizer",
            Value::HeldOut(_) => "held-out data",
            Value::Empty => "an empty slot",
            Value::Filler(_) => "a block that has not been made",
            Value::Unknown => "something unknown",
        }
    }
}

/// A function with what it closes over.
#[derive(Clone, Debug)]
pub struct FnValue<'p, V> {
    /// Its text.
    pub def: &'p ast::Fn,
    /// Where it is defined.
    pub scope: Rc<Scope<'p, V>>,
    /// Arguments given already.
    pub given: Vec<(String, Value<'p, V>)>,
    /// Generic axes said already.
    pub axes: Vec<(String, Vec<Axis>)>,
    /// For messages.
    pub name: String,
}

/// A schedule with its configuration.
#[derive(Clone, Debug)]
pub struct ScheduleValue<'p, V> {
    /// Its text.
    pub def: &'p ast::Schedule,
    /// Its configuration.
    pub scope: Rc<Scope<'p, V>>,
}

/// A block of a file.
#[derive(Clone, Copy, Debug)]
pub struct BlockRef<'p> {
    /// Its file.
    pub file: FileId,
    /// Its text.
    pub def: &'p ast::Block,
}

/// A block that has been made.
#[derive(Debug)]
pub struct Instance<'p, V> {
    /// Its text.
    pub block: BlockRef<'p>,
    /// Path from the model; empty for the model itself.
    pub path: String,
    /// Its members.
    pub scope: Rc<Scope<'p, V>>,
    /// It stands for a slot, which may be empty: while a block is checked by itself.
    pub optional: bool,
}

/// What a slot's block is made with, besides what the slot says.
#[derive(Debug)]
pub struct Filler<'p, V> {
    /// Its configuration as written.
    pub args: &'p [ast::Arg],
    /// Where it is written.
    pub scope: Rc<Scope<'p, V>>,
    /// Its place.
    pub span: Span,
}

/// Blocks one after another.
#[derive(Debug)]
pub struct Repeated<'p, V> {
    /// In order.
    pub runs: Vec<Run<'p, V>>,
}

/// Blocks that follow one another: one instance of each stands for all its repetitions.
#[derive(Debug)]
pub struct Run<'p, V> {
    /// In order.
    pub blocks: Vec<Rc<Instance<'p, V>>>,
    /// The axis of the repetition; none where they are there once.
    pub axis: Option<Axis>,
}

impl<'p, V> Repeated<'p, V> {
    /// Every block that is made.
    pub fn blocks(&self) -> impl Iterator<Item = &Rc<Instance<'p, V>>> {
        self.runs.iter().flat_map(|run| &run.blocks)
    }
}

/// Names and what they stand for.
#[derive(Debug)]
pub struct Scope<'p, V> {
    /// The scope around it.
    pub parent: Option<Rc<Scope<'p, V>>>,
    /// The file whose items are seen from here.
    pub file: FileId,
    /// Values.
    pub vars: RefCell<HashMap<String, Value<'p, V>>>,
    /// Axes, with the place that brought them in.
    pub axes: RefCell<HashMap<String, (Vec<Axis>, Span)>>,
    /// Rows.
    pub rows: RefCell<HashMap<String, Vec<Axis>>>,
}

impl<'p, V: Clone> Scope<'p, V> {
    /// The same names, seen from another file.
    pub fn within_file(&self, root: &Rc<Self>) -> Rc<Self> {
        let (vars, axes, rows) = (self.vars.clone(), self.axes.clone(), self.rows.clone());
        Rc::new(Scope { parent: Some(root.clone()), file: root.file, vars, axes, rows })
    }

    /// The scope of a file's items.
    pub fn root(file: FileId) -> Rc<Self> {
        Rc::new(Scope { parent: None, file, vars: Default::default(), axes: Default::default(), rows: Default::default() })
    }

    /// A scope within another.
    pub fn within(parent: &Rc<Self>) -> Rc<Self> {
        Rc::new(Scope {
            parent: Some(parent.clone()),
            file: parent.file,
            vars: Default::default(),
            axes: Default::default(),
            rows: Default::default(),
        })
    }

    /// The value of a name here or further out.
    pub fn get(&self, name: &str) -> Option<Value<'p, V>> {
        if let Some(value) = self.vars.borrow().get(name) {
            return Some(value.clone());
        }
        if let Some((axes, _)) = self.axes.borrow().get(name) {
            return Some(Value::Axis(axes.clone()));
        }
        self.parent.as_ref()?.get(name)
    }

    /// The value of a name in this scope alone.
    pub fn own(&self, name: &str) -> Option<Value<'p, V>> {
        let axis = || self.axes.borrow().get(name).map(|(axes, _)| Value::Axis(axes.clone()));
        self.vars.borrow().get(name).cloned().or_else(axis)
    }

    /// The axes of a name here or further out.
    pub fn axis(&self, name: &str) -> Option<Vec<Axis>> {
        if let Some((axes, _)) = self.axes.borrow().get(name) {
            return Some(axes.clone());
        }
        if let Some(Value::Axis(axes)) = self.vars.borrow().get(name) {
            return Some(axes.clone());
        }
        self.parent.as_ref()?.axis(name)
    }

    /// The axes of a row here or further out.
    pub fn row(&self, name: &str) -> Option<Vec<Axis>> {
        if let Some(axes) = self.rows.borrow().get(name) {
            return Some(axes.clone());
        }
        self.parent.as_ref()?.row(name)
    }

    /// Binds a name.
    pub fn set(&self, name: &str, value: Value<'p, V>) {
        self.vars.borrow_mut().insert(name.into(), value);
    }

    /// Binds an axis.
    pub fn set_axis(&self, name: &str, axes: Vec<Axis>, span: Span) {
        self.axes.borrow_mut().insert(name.into(), (axes, span));
    }

    /// All names in sight, for suggestions.
    pub fn names(&self, out: &mut Vec<String>) {
        out.extend(self.vars.borrow().keys().cloned());
        out.extend(self.axes.borrow().keys().cloned());
        if let Some(parent) = &self.parent {
            parent.names(out);
        }
    }
}
