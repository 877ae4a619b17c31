//! What tests across stages share: reference cases, the ways to compute a program, comparisons.

pub mod compare;
pub mod reference;
pub mod models;
pub mod stored;
pub mod engine;
pub mod oracle;
pub mod native;
pub mod executable;
pub mod random;
pub mod texts;
