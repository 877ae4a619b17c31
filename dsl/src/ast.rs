//! The syntax tree: what a file says, with places, before any name is resolved.

use crate::span::{Span, Spanned};

/// An identifier with its place.
pub type Name = Spanned<String>;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Items in source order.
    pub items: Vec<Item>,
}

/// A top-level item. `doc` is the text of the `///` lines above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Lines of the doc comment, without `///`.
    pub doc: Vec<String>,
    /// What the item is.
    pub kind: ItemKind,
    /// The whole item.
    pub span: Span,
}

/// The kinds of item.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// `use std.layers: LayerNorm, Mlp`
    Use(Use),
    /// `axis feature = 3`
    Axis(AxisDecl),
    /// `fn causal() -> [time, source] of bool = …`
    Fn(Fn),
    /// `block …` or `model …`
    Block(Block),
    /// `model Small = Gpt2(width: 64)`
    Made(Made),
    /// `objective …`
    Objective(Objective),
    /// `optimizer …`
    Optimizer(Optimizer),
    /// `schedule …`
    Schedule(Schedule),
    /// `table …`
    Table(Table),
    /// `train …`
    Train(Train),
    /// `weights … for …`
    Weights(Weights),
    /// `test "…" { … }`
    Test(Test),
}

/// `use std.layers: LayerNorm, Mlp`
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// `std`, `layers`; a path not starting with `std` names a file beside this one.
    pub path: Vec<Name>,
    /// The names brought in.
    pub names: Vec<Name>,
}

/// `axis key = size(feature) / heads`, `axis input like feature`
#[derive(Clone, Debug, PartialEq)]
pub struct AxisDecl {
    /// Its name.
    pub name: Name,
    /// Where its size comes from.
    pub size: AxisSize,
}

/// Where a declared axis has its size from.
#[derive(Clone, Debug, PartialEq)]
pub enum AxisSize {
    /// `= expr`
    Is(Expr),
    /// `like feature`: a fresh axis of the same size (the term may be a product, or an axis parameter bound to one).
    Like(AxisTerm),
}

/// A function: an item, a member of a block (nameless when it is the block's own call), or local.
#[derive(Clone, Debug, PartialEq)]
pub struct Fn {
    /// `///` lines.
    pub doc: Vec<String>,
    /// `None`: the call of the block that holds it.
    pub name: Option<Name>,
    /// Axes said in brackets after the name: `fn softmax[over](x: [..r, over])`. Also generic; listed so that a call may
    /// give them by position: `softmax[token](x)`.
    pub axes: Vec<Name>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Declared result; local functions and objectives' helpers may leave it out.
    pub result: Option<ResultType>,
    /// Statements; the last is the value. `fn f() = e` is a body of one expression.
    pub body: Vec<Stmt>,
    /// Written `= e`: kept for the formatter.
    pub short: bool,
    /// The whole function.
    pub span: Span,
}

/// A parameter of a function, block, objective, optimizer or schedule: `name: type = default`.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its type; with a default it may be left out.
    pub ty: Option<ParamType>,
    /// What it is when not given.
    pub default: Option<Expr>,
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamType {
    /// `[batch, time] of token`
    Tensor(TensorType),
    /// `axis`
    Axis,
    /// `int`
    Int,
    /// `float`
    Float,
    /// `bool`
    Bool,
    /// `text`
    Text,
    /// `fn`: any function
    Fn,
    /// `schedule`
    Schedule,
    /// `param[token, feature]`: a parameter of another block, shared
    Shared(TensorType),
    /// `Linear`: an instance of a block
    Instance(Name),
}

/// `[..r, time, (head, key)] of token`
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// The axes, rows included.
    pub axes: Vec<AxisTerm>,
    /// What it holds; nothing said is float.
    pub elem: Option<ElemType>,
    /// The whole type.
    pub span: Span,
}

/// What stands where an axis is expected.
#[derive(Clone, Debug, PartialEq)]
pub enum AxisTerm {
    /// `time`; also `layer.input`, an axis of an instance
    Name(Vec<Name>),
    /// `(head, key)`
    Product(Vec<AxisTerm>, Span),
    /// `..r`
    Row(Name),
    /// `..<r`
    PartOfRow(Name),
    /// `..`
    AnyRow(Span),
}

/// What a tensor holds.
#[derive(Clone, Debug, PartialEq)]
pub enum ElemType {
    /// `of float`
    Float(Span),
    /// `of int`
    Int(Span),
    /// `of bool`
    Bool(Span),
    /// `of token`: indices into an axis
    Index(Name),
    /// `of token or -100`: whole numbers that are indices into an axis, or this one
    IndexOr(Name, i64),
}

/// What a function gives.
#[derive(Clone, Debug, PartialEq)]
pub enum ResultType {
    /// One tensor.
    Tensor(TensorType),
    /// `(logits: […], hidden: […])`
    Record(Vec<(Name, TensorType)>, Span),
}

/// A block or model.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `model`: an entry point.
    pub is_model: bool,
    /// Its name.
    pub name: Name,
    /// Axes, configuration, shared parameters, other instances.
    pub params: Vec<Param>,
    /// What it holds, in source order.
    pub members: Vec<Member>,
}

/// A member of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// `axis head = heads`
    Axis(AxisDecl),
    /// `param weight: [output, input] ~ normal(std: 0.02)`
    Param(ParamDecl),
    /// `slot memory: KeysAndValues(group, key)`
    Slot(Slot),
    /// `query = Linear(feature, key)`, `layers = Layer(feature) * depth`, or a configuration value
    Let(Let),
    /// A function; nameless: the call of the block.
    Fn(Fn),
    /// `fn = text`: calling the block is calling that
    Calls(Expr),
    /// `if bias { … } else { … }`, on configuration
    If(If<Member>),
}

/// `param weight: [output, input] ~ normal(std: 0.02)`
#[derive(Clone, Debug, PartialEq)]
pub struct ParamDecl {
    /// `///` lines.
    pub doc: Vec<String>,
    /// Its name.
    pub name: Name,
    /// Its axes, in the order of files.
    pub ty: TensorType,
    /// How it starts: a call such as `normal(std: 0.02)` or a name such as `zeros`.
    pub init: Expr,
}

/// `slot memory: KeysAndValues(group, key)`
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name.
    pub name: Name,
    /// The block that may fill it, applied to its arguments.
    pub block: Expr,
}

/// `x = e` or `(a, b) = e`
#[derive(Clone, Debug, PartialEq)]
pub struct Let {
    /// One name, or several for a record or tuple.
    pub names: Vec<Name>,
    /// The value.
    pub value: Expr,
}

/// `if cond { … } else { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct If<T> {
    /// On configuration.
    pub cond: Expr,
    /// Taken when true.
    pub then: Vec<T>,
    /// Taken when false; `else if` is an `If` alone in here.
    pub otherwise: Vec<T>,
}

/// A statement of a function body. The value of a body is its last `Expr` statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// `x = e`
    Let(Let),
    /// `axis pair = 2`
    Axis(AxisDecl),
    /// `fn margin(ids) = …`
    Fn(Fn),
    /// `for layer in layers { x = layer(x) }`
    For(For),
    /// `if on configuration { … }`
    If(If<Stmt>),
    /// In `scan`: `next h = e`; in an optimizer's update: the new state
    Next(Name, Expr),
    /// In `scan`: `yield e`
    Yield(Expr),
    /// In an objective: `metric accuracy = e`
    Metric(Name, Expr),
    /// In a test: `assert e`
    Assert(Expr),
    /// A value.
    Expr(Expr),
}

/// `for layer in layers { … }`: a fold over the instances of a repeated block
#[derive(Clone, Debug, PartialEq)]
pub struct For {
    /// The element.
    pub var: Name,
    /// The repeated block.
    pub over: Expr,
    /// The body.
    pub body: Vec<Stmt>,
}

/// An expression with its place.
pub type Expr = Spanned<Box<ExprKind>>;

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `12`, `1_000_000`
    Int(i64),
    /// `0.5`, `1e-4`; the text is kept for the formatter
    Float(f64, String),
    /// `true`, `false`
    Bool(bool),
    /// `"text"`
    Text(String),
    /// `x`
    Name(String),
    /// `next c`, within `scan` or an optimizer's update: the new value
    Next(Name),
    /// `layer.weight`
    Field(Expr, Name),
    /// `f(a, name: b)`; the callee may be a `Bracket`: `softmax[token](x)`
    Call(Expr, Vec<Arg>),
    /// `x[time as source]`, `table[token: ids]`, `x[time: 1..]`, `softmax[token]`
    Bracket(Expr, Vec<BracketEntry>),
    /// `-x`, `not x`
    Unary(UnaryOp, Expr),
    /// `a + b`
    Binary(BinaryOp, Expr, Expr),
    /// `(logits: a, hidden: b)`
    Record(Vec<(Name, Expr)>),
    /// `(a, b)`
    Tuple(Vec<Expr>),
    /// `[a, b]`: configuration, such as one value for each layer
    List(Vec<Expr>),
    /// `if cond { a } else { b }`, on configuration
    If(Expr, Expr, Expr),
    /// `for i in depth { Layer(wide: i mod 2 == 0) }`: a block for each number or value of a list
    For(Name, Expr, Expr),
    /// `scan[time] carry h = 0, c = 0 over g = gates { … }`
    Scan(Scan),
}

/// An argument: `x` or `name: x`
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// Given by name.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// What stands between brackets after a value.
#[derive(Clone, Debug, PartialEq)]
pub enum BracketEntry {
    /// `token`, `(group, key)`, `..r`, `..`: an axis to reduce over or to fill
    Axis(AxisTerm),
    /// `time as source`, `feature as (head, key)`
    As(AxisTerm, AxisTerm),
    /// `token: ids`, `gate: 2`; on a function: `value: key`, its generic axis bound
    At(Name, Expr),
    /// `time: 1.. as next`, `time: ..n as next`: a slice has another size, so it is another axis; `as` names it
    Range(Name, Option<Expr>, Option<Expr>, Option<Name>),
    /// `time = 5`: a fresh axis with a size, for `normal[time = 5]()`
    Sized(Name, Expr),
}

/// `-`, `not`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `not`
    Not,
}

/// Infix operators, weakest first: `where otherwise`, `or`, `and`, comparisons, `+ -`, `* / div mod`, (unary), `^`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `score where mask`: only where `mask` holds does the value count in a reduction
    Where,
    /// `e otherwise 0`: what a masked value is where it does not count
    Otherwise,
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `div`
    IntDiv,
    /// `mod`
    Mod,
    /// `^`
    Pow,
}

/// `scan[time] carry h = 0 over g = gates { … next h = …; yield … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The axis walked along.
    pub axis: Name,
    /// Carried values and their starts.
    pub carry: Vec<(Name, Expr)>,
    /// Values read one slice a step.
    pub over: Vec<(Name, Expr)>,
    /// The body; `Yield` gives the step's output.
    pub body: Vec<Stmt>,
}

/// `objective next_token(model) over (ids: [batch, time] of token) with (smoothing = 0.0) { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Its name.
    pub name: Name,
    /// The models it calls.
    pub models: Vec<Name>,
    /// Fields of a batch.
    pub over: Vec<Param>,
    /// Configuration.
    pub with: Vec<Param>,
    /// Must bind `loss`; may have `metric` statements.
    pub body: Vec<Stmt>,
}

/// `optimizer adamw(rate: schedule, …) { state m = 0, v = 0  update (p, g, step) { … } }`
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// Its name.
    pub name: Name,
    /// Configuration.
    pub params: Vec<Param>,
    /// State for each parameter, of the parameter's shape, with its start.
    pub state: Vec<(Name, Expr)>,
    /// Names of the parameter, its gradient and the step (from 1).
    pub inputs: Vec<Name>,
    /// The last expression is the new parameter; `next m = …` the new state.
    pub body: Vec<Stmt>,
}

/// `schedule warmup_cosine(peak: float, …) over (step) { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: Name,
    /// Configuration.
    pub params: Vec<Param>,
    /// The step's name: a scalar, from 1.
    pub step: Name,
    /// The last expression is the rate.
    pub body: Vec<Stmt>,
}

/// `train NAME { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// Its name.
    pub name: Name,
    /// What it says, in order.
    pub entries: Vec<TrainEntry>,
}

/// A line of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainEntry {
    /// `batch = 12`; a model, data, an objective, a size
    Set(Name, Expr),
    /// `optimizer = adamw(…) { decay = 0 on parameters with axes < 2 }`
    Optimizer(Expr, Vec<Group>),
    /// `evaluate every 250 { on = data.held_out(0.1) }`
    Evaluate(Expr, Vec<(Name, Expr)>),
}

/// `decay = 0 on parameters with axes < 2`, `rate = 0 on layers.*.norm.*`
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The optimizer's configuration that differs.
    pub name: Name,
    /// Its value here.
    pub value: Expr,
    /// For which parameters.
    pub on: Selector,
}

/// Which parameters a group holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// `parameters with axes < 2`
    Axes(BinaryOp, i64, Span),
    /// A path with `*` and `{a, b}`
    Path(PathPattern),
}

/// `layers.{i}.attention.{query, keys}.weight`, `layers.*.norm`
#[derive(Clone, Debug, PartialEq)]
pub struct PathPattern {
    /// The parts between dots.
    pub parts: Vec<PathPart>,
    /// The whole pattern.
    pub span: Span,
}

/// A part of a path pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPart {
    /// `attention`
    Name(Name),
    /// `*`
    Any(Span),
    /// `{query, keys}`; a single `{i}` binds an index
    Alternatives(Vec<Name>, Span),
}

/// `weights huggingface for Gpt2 { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Its name.
    pub name: Name,
    /// The model or block; without one, what the item says holds for all items of its name.
    pub model: Option<Name>,
    /// `where architectures = ["GPT2LMHeadModel"]`: which files are of the model.
    pub files: Option<(Vec<Name>, Expr)>,
    /// What it says.
    pub entries: Vec<WeightsEntry>,
}

/// A model that is another with configuration: `model Small = Gpt2(width: 64) { weights = huggingface("gpt2") }`
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its name.
    pub name: Name,
    /// What makes it.
    pub value: Expr,
    /// Further entries.
    pub entries: Vec<(Name, Expr)>,
}

/// What texts stand for: `table activations { "gelu": gelu, "relu": relu }`, used as `activations(name)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// Texts with what they stand for.
    pub rows: Vec<(Spanned<String>, Expr)>,
}

/// A line of a `weights` item.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightsEntry {
    /// `config { vocab <- vocab_size … }`
    Config(Vec<ConfigEntry>),
    /// `ignore "*.inv_freq"`: tensors of the file that are no parameters; `*` stands for anything.
    Ignore(Vec<Spanned<String>>),
    /// `if tied { … } else { … }`, on the model's configuration
    If(If<WeightsEntry>),
    /// `tokens <- "transformer.wte.weight" as [token, feature]`; `also "lm_head.weight"` names copies that the file may hold besides. In the text, `{a, b}` walks along with the alternatives on the
    /// left. A tensor that several of ours share is joined: `as [input, part: (head, key)]`, where `part` walks along the
    /// left's alternatives.
    Tensor(PathPattern, Spanned<String>, Vec<Spanned<String>>, StoredAxes),
    /// `encoder <- "bert"`: by the item of the same name for that block
    Own(PathPattern, Spanned<String>),
    /// `layers.{i} <- "transformer.h.{i}" { … }`
    Group(PathPattern, Spanned<String>, Vec<WeightsEntry>),
}

/// How somebody else's configuration and ours say the same.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigEntry {
    /// `heads <- num_attention_heads otherwise 12`: ours, from their fields; `encoder.heads <- …` of a block that the model is given
    Read(Vec<Name>, Expr),
    /// `hidden_act = "gelu"`, `tie_word_embeddings = tied`: a field of theirs, from our configuration
    Says(Vec<Name>, Expr),
    /// `ignore use_cache, id2label`: fields on which no number depends
    Ignore(Vec<Vec<Name>>),
    /// `keep id2label, label2id`: the same, but what a file says is said again where the model is written; all of them or, where one
    /// lists as many names as the model cannot have, none
    Keep(Vec<Vec<Name>>),
}

/// The file's axis order: `[input, part: (head, key)]`
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAxes {
    /// Axes from outermost to innermost.
    pub axes: Vec<StoredAxis>,
    /// The whole list.
    pub span: Span,
}

/// One axis of a stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredAxis {
    /// `output`, or a product `(head, key)`, of the parameter's axes by name
    Axis(AxisTerm),
    /// `part: (head, key)`: the joined tensors follow one another along this axis
    Joined(Name, AxisTerm),
    /// `(head, part: key)`: several as one
    Product(Vec<StoredAxis>),
    /// `1`: an axis of the file alone
    One,
}

/// `test "rotation keeps length" { … assert … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// What it says it checks.
    pub name: Spanned<String>,
    /// Statements.
    pub body: Vec<Stmt>,
}
