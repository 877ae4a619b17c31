//! What elaboration gives to the compiler, as plain data over the values of an [`crate::emit::Emit`].

use crate::emit::Parameter;
use crate::size::Size;
use crate::span::Span;
use crate::types::Axis;

use super::value::Instance;
use std::rc::Rc;

/// A configuration value given from outside: `--set name=value`.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Anything else.
    Text(String),
}

impl Setting {
    /// Reads a value as it is written on a command line.
    pub fn parse(text: &str) -> Setting {
        let plain = text.replace('_', "");
        match text {
            "true" => Setting::Bool(true),
            "false" => Setting::Bool(false),
            _ => plain
                .parse()
                .map(Setting::Int)
                .or_else(|_| plain.parse().map(Setting::Float))
                .unwrap_or_else(|_| Setting::Text(text.into())),
        }
    }
}

/// How text becomes indices.
#[derive(Clone, Debug, PartialEq)]
pub enum Tokenizer {
    /// One index a character, in order of code points.
    Characters,
    /// One index a byte.
    Bytes,
    /// A `tokenizer.json`, by path.
    File(String),
}

/// What elaboration asks of the outside world.
pub trait Host {
    /// How many indices a tokenizer makes of the text files.
    fn vocabulary(&self, paths: &[String], tokenizer: &Tokenizer) -> Result<i64, String>;

    /// Whether a file of the data can be read; why not, in words.
    fn readable(&self, path: &str) -> Result<(), String>;
}

/// A host that has no data: for checking and for models without a recipe.
pub struct NoData;

impl Host for NoData {
    fn vocabulary(&self, _: &[String], _: &Tokenizer) -> Result<i64, String> {
        Err("no data can be read here".into())
    }

    fn readable(&self, _: &str) -> Result<(), String> {
        Err("no data can be read here".into())
    }
}

/// A model made with its configuration.
#[derive(Clone, Debug)]
pub struct ModelRef<'p, V> {
    /// The model's name.
    pub name: String,
    /// The instance.
    pub(crate) instance: Rc<Instance<'p, V>>,
    /// All its parameters, in declared order.
    pub parameters: Vec<Parameter>,
}

impl<V> ModelRef<'_, V> {
    /// Where the model is defined.
    pub fn span(&self) -> Span {
        self.instance.block.def.name.span
    }
}

/// `size <= at_most`: what the sizes of a run must keep to.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What is limited.
    pub size: Size,
    /// Its largest value.
    pub at_most: Size,
    /// Why, in the user's names.
    pub why: String,
    /// Where the program relies on it.
    pub span: Span,
}

/// A named value at the border of a program.
#[derive(Clone, Debug)]
pub struct Port<V> {
    /// The argument's or result's name; a nameless result is `output`.
    pub name: String,
    /// The value.
    pub value: V,
    /// Its axes in written order: the order in files.
    pub axes: Vec<Axis>,
}

/// A function of a model, elaborated with inputs.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    /// The function's name; the nameless one is `forward`.
    pub name: String,
    /// Its arguments. Axes that no block declares are `outer`, and their size is a variable of the axis' name.
    pub inputs: Vec<Port<V>>,
    /// Its results; each has all its declared axes.
    pub outputs: Vec<Port<V>>,
    /// What sizes must keep to.
    pub limits: Vec<Limit>,
}

/// An objective, elaborated.
#[derive(Clone, Debug)]
pub struct Objective<V> {
    /// The scalar to make small.
    pub loss: V,
    /// What is measured besides, by name.
    pub metrics: Vec<(String, V)>,
    /// The batch's fields.
    pub inputs: Vec<Port<V>>,
    /// What sizes must keep to.
    pub limits: Vec<Limit>,
}

/// An optimizer's update of one parameter, elaborated.
#[derive(Clone, Debug)]
pub struct Update<V> {
    /// The new parameter.
    pub param: V,
    /// The new state, in the optimizer's order.
    pub states: Vec<(String, V)>,
}

/// What a test asserts once.
#[derive(Clone, Debug)]
pub struct Claim<V> {
    /// What is asserted.
    pub span: Span,
    /// The axes of the truth value.
    pub axes: Vec<Axis>,
    /// True where it holds.
    pub holds: V,
    /// Where it compares two values.
    pub compares: Option<Comparison<V>>,
}

/// Two values that an assertion compares. They may lack axes.
#[derive(Clone, Debug)]
pub struct Comparison<V> {
    /// Left and right; of an equality what was found and what is expected.
    pub sides: [V; 2],
    /// They ought to be equal, or nearly.
    pub equal: bool,
}

/// A test, elaborated.
#[derive(Clone, Debug)]
pub struct Examined<V> {
    /// Its assertions, in order.
    pub claims: Vec<Claim<V>>,
    /// The parameters of the blocks that it makes.
    pub parameters: Vec<Parameter>,
}

/// Where batches come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Tensors that are given.
    Batches,
    /// Text files, their last part held out.
    Text {
        /// Paths as written.
        paths: Vec<String>,
        /// How text becomes indices.
        tokenizer: Tokenizer,
    },
}

/// The plain values of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where batches come from.
    pub data: Data,
    /// Share of the text that is held out for evaluation, at its end.
    pub held_out: f64,
    /// Sequences in a batch.
    pub batch: i64,
    /// Tokens in a sequence.
    pub time: i64,
    /// Optimizer steps in all.
    pub steps: i64,
    /// Micro-batches in a step.
    pub accumulate: i64,
    /// Largest gradient norm.
    pub clip: Option<f64>,
    /// Seed of everything drawn by chance.
    pub seed: i64,
    /// Steps between evaluations; 0: none.
    pub evaluate_every: i64,
    /// Batches in an evaluation; 0: all the held-out text once.
    pub evaluate_batches: i64,
    /// Steps between checkpoints; 0: only at the end.
    pub checkpoint_every: i64,
}

/// A tensor that a function takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Its type, as it is written.
    pub ty: String,
    /// How many axes it is written with.
    pub axes: usize,
    /// Whether it must be given.
    pub needed: bool,
}
