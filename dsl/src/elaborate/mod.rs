//! Elaboration: the one definition of what a specification means.
//!
//! One evaluator walks the syntax tree and asks an [`crate::emit::Emit`] for each operation. To *check*, configuration is symbolic, a
//! value is its type alone, and each body is walked once. To *lower*, configuration is known and the compiler makes the values.
//!
//! ```text
//! Program::load(main, text, read) -> (Program, Vec<Diagnostic>)      .check() -> Vec<Diagnostic>   .models() .recipes() .sources()
//! Session::new(&program, emit, training, &host)
//!   .model(name, settings) -> ModelRef       .functions(&ModelRef) -> names        .call(&ModelRef, name) -> Entry
//!   .has_options(&ModelRef, name) -> whether arguments have defaults               .call_with_options(&ModelRef, name) -> Entry
//!   .weights(&ModelRef) -> Vec<LayoutOut>    .recipe(name, settings) -> Recipe     .objective(&Recipe) -> Objective
//!   .states(&Recipe) -> names and starts     .rate(&Recipe, step) -> the rate, if the optimizer has a schedule
//!   .update(&Recipe, &Parameter, p, g, step, states) -> Update                     .emit() .into_emit()
//!   .test(&Test) -> Examined
//! ```
//!
//! What the language leaves open is decided here:
//!
//! - A generic axis of a called `fn` is, in this order: what the call says in brackets; an axis that the argument has (the caller's
//!   axis of that name before one whose own name that is); for names that the result or a given argument mentions, the caller's.
//!   What is left is introduced by the body (`x[time as source]`). A call that gives no tensor, and whose result has an axis that is not
//!   found, is a function still: `window(width: 4)` as an argument.
//! - When lowering, a value may lack axes of its type, along which it is constant; renaming, slicing or looking up along such an axis
//!   leaves it as it is, a reduction multiplies by ones first. When checking, an axis that is not there is an error.
//! - While a body is checked, and in an entry point, a generic axis may be found to be as long as another; axes of a block never.
//! - Arguments of an entry point that have a default are inputs that the run may leave out: there are two programs then, one that
//!   takes them and one that knows the defaults.
//! - In an objective, a name such as `token` is the axis of that name in the recipe's model, or in a block within it.
//! - A `where` mask goes through elementwise operations and into `fn`s; two masks both hold.

mod nearest;
mod elsewhere;

mod outcome;
mod value;

mod program;
mod session;
mod types_only;

mod apart;
mod arguments;
mod arith;
mod axes;
mod bind;
mod body;
mod brackets;
mod call;
mod entry;
mod examine;
mod expr;
mod make;
mod primitive;
mod recipe;
mod reduce;
mod repeat;
mod results;
mod slots;
mod objective;
mod optimize;
mod train;
mod twice;
mod weights;
mod check;
mod check_data;

#[cfg(test)]
pub(crate) use elsewhere::defined_names;
pub use outcome::{
    Claim, Comparison, Data, Entry, Examined, Host, Limit, ModelRef, NoData, Objective, Port, Setting, Settings, Taken,
    Tokenizer, Update,
};
pub use program::Program;
pub use session::Session;
pub use train::Recipe;
pub use types_only::TypesOnly;
pub use weights::{Field, Imported, LayoutOut, StoredTensor, Unfit, fields_of_files, quoted};

#[cfg(test)]
mod tests;
