//! Identities and constants.

use super::{Rule, algebra};

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = algebra! {
    "add-zero"       Real  "(add ?a 0)"                        => "?a"; // −0 + 0 is 0
    "sub-zero"       Exact "(sub ?a 0)"                        => "?a";
    "mul-one"        Exact "(mul ?a 1)"                        => "?a";
    "div-one"        Exact "(div ?a 1)"                        => "?a";
    "mul-minus-one"  Exact "(mul ?a -1)"                       => "(neg ?a)";
    "neg-neg"        Exact "(neg (neg ?a))"                    => "?a";
    "add-neg"        Exact "(add ?a (neg ?b))"                 => "(sub ?a ?b)";
    "sub-neg"        Exact "(sub ?a (neg ?b))"                 => "(add ?a ?b)";
    "neg-sub"        Real  "(neg (sub ?a ?b))"                 => "(sub ?b ?a)"; // of equals: −0, 0
    "mul-neg"        Exact "(mul ?a (neg ?b))"                 => "(neg (mul ?a ?b))";
    "div-neg"        Exact "(div (neg ?a) ?b)"                 => "(neg (div ?a ?b))";
    "div-by-neg"     Exact "(div ?a (neg ?b))"                 => "(neg (div ?a ?b))";
    "abs-neg"        Exact "(abs (neg ?a))"                    => "(abs ?a)";
    "abs-abs"        Exact "(abs (abs ?a))"                    => "(abs ?a)";
    "not-not"        Exact "(not (not ?a))"                    => "?a";
    "select-same"    Exact "(select ?c ?a ?a)"                 => "?a";
    "select-not"     Exact "(select (not ?c) ?a ?b)"           => "(select ?c ?b ?a)";
    "select-twice"   Exact "(select ?c (select ?c ?a ?b) ?d)"  => "(select ?c ?a ?d)";
    "select-neg"     Exact "(select ?c (neg ?a) (neg ?b))"     => "(neg (select ?c ?a ?b))";
};
