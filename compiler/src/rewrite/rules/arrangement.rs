//! Sums, products and quotients arranged so that small values meet first, and common factors are taken out.

use super::Guard::{All, Invertible, NotSmaller, Smaller};
use super::{Rule, algebra};

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = algebra! {
    "factor-difference"   Real "(sub (mul ?a ?b) (mul ?a ?c))" => "(mul ?a (sub ?b ?c))";
    "mul-small-first"     Real "(mul (mul ?a ?b) ?c)"          => "(mul ?a (mul ?b ?c))"    if Smaller("b c", "a b");
    "add-small-first"     Real "(add (add ?a ?b) ?c)"          => "(add ?a (add ?b ?c))"    if Smaller("b c", "a b");
    "div-by-small"        Real "(div ?a ?c)"                   => "(mul ?a (div 1 ?c))"     if All(&[Smaller("c", "a"), Invertible("c")]);
    "mul-by-reciprocal"   Real "(mul ?a (div 1 ?c))"           => "(div ?a ?c)"             if NotSmaller("c", "a");
    "mul-quotient"        Real "(mul (div ?a ?b) ?c)"          => "(mul ?a (div ?c ?b))"    if Smaller("b c", "a b");
    "div-div"             Real "(div (div ?a ?b) ?c)"          => "(div ?a (mul ?b ?c))";
};
