//! The parser that pest makes of `weft.pest`.

// The derive writes public items without documentation; the grammar itself documents the rules.
#![allow(missing_docs)]

/// The generated parser; its `Rule` has a variant for each rule of the grammar.
#[derive(pest_derive::Parser)]
#[grammar = "weft.pest"]
pub(super) struct Grammar;
