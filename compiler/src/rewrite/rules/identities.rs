//! Signs and squares.

use super::{Rule, algebra};

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = algebra! {
    "add-neg"    Exact "(add ?a (neg ?b))" => "(sub ?a ?b)";
    "neg-sub"    Real  "(neg (sub ?a ?b))" => "(sub ?b ?a)"; // of equals: −0, 0
    "mul-neg"    Exact "(mul ?a (neg ?b))" => "(neg (mul ?a ?b))";
    "div-neg"    Exact "(div (neg ?a) ?b)" => "(neg (div ?a ?b))";
    "abs-neg"    Exact "(abs (neg ?a))"    => "(abs ?a)";
    "pow-square" Real  "(pow ?a 2)"        => "(mul ?a ?a)";
};
