//! Elaboration: the one definition of what a specification means.
//!
//! One evaluator walks the syntax tree and asks an [`crate::emit::Emit`] for each operation. To *check*, configuration is symbolic, a
//! value is its type alone, and each body is walked once. To *lower*, configuration is known and the compiler makes the values.
//!
//! ```text
//! Program::load(main, text, read) -> (Program, Vec<Diagnostic>)      .check() -> Vec<Diagnostic>   .models() .recipes() .sources()
//! Session::new(&program, emit, training, &host)
//!   .model(name, &[(String, Setting)]) -> Result<ModelRef, Vec<Diagnostic>>       .functions(&ModelRef) -> Vec<Option<String>>
//!   .call(&ModelRef, fn_name: Option<&str>) -> Result<Entry<V>, …>                .weights(&ModelRef) -> Result<Vec<LayoutOut>, …>
//!   .recipe(name, &[(String, Setting)]) -> Result<Recipe, …>                      .objective(&Recipe) -> Result<Objective<V>, …>
//!   .states(&Recipe) -> Result<Vec<(String, f64)>, …>                             .rate(&Recipe, step: V) -> Result<V, …>
//!   .update(&Recipe, &Parameter, p: V, g: V, step: V, states: &[(String, V)]) -> Result<Update<V>, …>
//!   .emit() -> &mut E    .into_emit() -> E
//! ```

mod nearest;

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
mod expr;
mod make;
mod primitive;
mod recipe;
mod reduce;
mod results;
mod objective;
mod optimize;
mod train;
mod weights;
mod check;

pub use outcome::{
    Data, Entry, Host, LayoutOut, Limit, ModelRef, NoData, Objective, Port, Setting, Settings, StoredTensor, Tokenizer,
    Update,
};
pub use program::Program;
pub use session::Session;
pub use train::Recipe;
pub use types_only::TypesOnly;

#[cfg(test)]
mod tests;
