//! Powers, exponentials and roots.

use super::{Rule, algebra};

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = algebra! {
    "pow-square"   Real "(pow ?a 2)"              => "(mul ?a ?a)";
    "pow-cube"     Real "(pow ?a 3)"              => "(mul ?a (mul ?a ?a))";
    "pow-half"     Real "(pow ?a 0.5)"            => "(sqrt ?a)";
    "pow-inverse"  Real "(pow ?a -1)"             => "(div 1 ?a)";
    "sqrt-squared" Real "(mul (sqrt ?a) (sqrt ?a))" => "?a";
    "log-exp"      Real "(log (exp ?a))"          => "?a";
    "exp-log"      Real "(exp (log ?a))"          => "?a";
    "exp-product"  Real "(mul (exp ?a) (exp ?b))" => "(exp (add ?a ?b))";
    "exp-quotient" Real "(div (exp ?a) (exp ?b))" => "(exp (sub ?a ?b))";
};
