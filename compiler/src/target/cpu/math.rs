//! stub
use super::text::*;
pub(super) fn call(_code: &mut Code, _name: &str, _ty: Ty, _v: &[&str]) -> Option<Value> { None }
