//! Rules of structure: start ⇒ goal, and starts that must stay.

use weft_dsl::op::{Monoid, Op};
use weft_dsl::size::Size;

use super::{Sketch, agree, proves, rule};
use crate::graph::NodeId;
use crate::rewrite::analysis::structural;
use crate::rewrite::rules::{Form, all};
use crate::rewrite::{STAGES, region, saturate};

/// Writes a start and a goal.
type Case = fn(&mut Sketch) -> (NodeId, NodeId);

/// Rule, whether it proves the goal, the case.
const CASES: &[(&str, bool, Case)] = &[
    ("sum-of-scaled", true, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let (scale, x) = (s.float(&[i]), s.float(&[i, k]));
        let product = s.map("mul", &[x, scale]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[product]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        (start, s.map("mul", &[scale, sum]))
    }),
    // An empty sum is 0, its scale being infinite or not.
    ("sum-of-scaled", false, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 0));
        let (scale, x) = (s.float(&[i]), s.float(&[i, k]));
        let product = s.map("mul", &[x, scale]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[product]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        (start, s.map("mul", &[scale, sum]))
    }),
    // The scale has the summed axis.
    ("sum-of-scaled", false, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let (scale, x) = (s.float(&[k]), s.float(&[i, k]));
        let product = s.map("mul", &[x, scale]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[product]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        let total = s.op(Op::Reduce(Monoid::Sum, vec![k]), &[scale]);
        (start, s.map("mul", &[total, sum]))
    }),
    ("sum-of-quotient", true, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let (c, x) = (s.float(&[i]), s.float(&[i, k]));
        let quotient = s.map("div", &[x, c]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[quotient]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        (start, s.map("div", &[sum, c]))
    }),
    // A maximum changes its sign with the divisor's.
    ("sum-of-quotient", false, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let (c, x) = (s.float(&[i]), s.float(&[i, k]));
        let quotient = s.map("div", &[x, c]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Max, vec![k]), &[quotient]), s.op(Op::Reduce(Monoid::Max, vec![k]), &[x]));
        (start, s.map("div", &[sum, c]))
    }),
    ("sum-of-negated", true, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let x = s.float(&[i, k]);
        let negated = s.map("neg", &[x]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[negated]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        (start, s.map("neg", &[sum]))
    }),
    ("sum-of-negated", false, |s| {
        let (i, k) = (s.axis("i", 2), s.axis("k", 3));
        let x = s.float(&[i, k]);
        let negated = s.map("neg", &[x]);
        let (start, least) =
            (s.op(Op::Reduce(Monoid::Max, vec![k]), &[negated]), s.op(Op::Reduce(Monoid::Max, vec![k]), &[x]));
        (start, s.map("neg", &[least]))
    }),
    ("scale-out-of-contract", true, |s| {
        let (i, j, k) = (s.axis("i", 2), s.axis("j", 4), s.axis("k", 3));
        let (scale, a, b) = (s.float(&[i]), s.float(&[i, k]), s.float(&[k, j]));
        let scaled = s.map("mul", &[a, scale]);
        let (start, inner) = (s.op(Op::Contract(vec![k]), &[b, scaled]), s.op(Op::Contract(vec![k]), &[a, b]));
        (start, s.map("mul", &[scale, inner]))
    }),
    ("scale-out-of-contract", false, |s| {
        let (i, j, k) = (s.axis("i", 2), s.axis("j", 4), s.axis("k", 3));
        let (scale, a, b) = (s.float(&[k]), s.float(&[i, k]), s.float(&[k, j]));
        let scaled = s.map("mul", &[a, scale]);
        let (start, inner) = (s.op(Op::Contract(vec![k]), &[scaled, b]), s.op(Op::Contract(vec![k]), &[a, b]));
        let total = s.op(Op::Reduce(Monoid::Sum, vec![k]), &[scale]);
        (start, s.map("mul", &[inner, total]))
    }),
    ("scale-into-contract", true, |s| {
        let (i, j, k) = (s.axis("i", 8), s.axis("j", 9), s.axis("k", 3));
        let (scale, a, b) = (s.float(&[]), s.float(&[i, k]), s.float(&[k, j]));
        let inner = s.op(Op::Contract(vec![k]), &[a, b]);
        let (start, scaled) = (s.map("mul", &[inner, scale]), s.map("mul", &[scale, a]));
        (start, s.op(Op::Contract(vec![k]), &[scaled, b]))
    }),
    // The result is smaller than its operands.
    ("scale-into-contract", false, |s| {
        let (i, j, k) = (s.axis("i", 2), s.axis("j", 2), s.axis("k", 9));
        let (scale, a, b) = (s.float(&[]), s.float(&[i, k]), s.float(&[k, j]));
        let inner = s.op(Op::Contract(vec![k]), &[a, b]);
        let (start, scaled) = (s.map("mul", &[inner, scale]), s.map("mul", &[scale, a]));
        (start, s.op(Op::Contract(vec![k]), &[scaled, b]))
    }),
    ("contract-own-axis", true, |s| {
        let (i, j, k, l) = (s.axis("i", 2), s.axis("j", 4), s.axis("k", 3), s.axis("l", 5));
        let (a, b) = (s.float(&[i, k]), s.float(&[k, l, j]));
        let (start, sum) = (s.op(Op::Contract(vec![k, l]), &[a, b]), s.op(Op::Reduce(Monoid::Sum, vec![l]), &[b]));
        (start, s.op(Op::Contract(vec![k]), &[a, sum]))
    }),
    ("contract-own-axis", false, |s| {
        let (i, j, k) = (s.axis("i", 2), s.axis("j", 4), s.axis("k", 3));
        let (a, b) = (s.float(&[i, k]), s.float(&[k, j]));
        let (start, sum) = (s.op(Op::Contract(vec![k]), &[a, b]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[b]));
        let total = s.op(Op::Reduce(Monoid::Sum, vec![k]), &[a]);
        (start, s.map("mul", &[total, sum]))
    }),
    ("rename-after-map", true, |s| {
        let (i, t, u) = (s.axis("i", 2), s.axis("t", 3), s.axis("u", 3));
        let (x, y) = (s.float(&[i, t]), s.float(&[i]));
        let (renamed, sum) = (s.op(Op::Rename(t, u), &[x]), s.map("add", &[x, y]));
        (s.map("add", &[renamed, y]), s.op(Op::Rename(t, u), &[sum]))
    }),
    // The other operand has the old axis.
    ("rename-after-map", false, |s| {
        let (t, u) = (s.axis("t", 3), s.axis("u", 3));
        let x = s.float(&[t]);
        let (renamed, sum) = (s.op(Op::Rename(t, u), &[x]), s.map("add", &[x, x]));
        (s.map("add", &[renamed, x]), s.op(Op::Rename(t, u), &[sum]))
    }),
    ("rename-after-reduce", true, |s| {
        let (t, u, k) = (s.axis("t", 3), s.axis("u", 3), s.axis("k", 4));
        let x = s.float(&[t, k]);
        let renamed = s.op(Op::Rename(t, u), &[x]);
        let (start, sum) =
            (s.op(Op::Reduce(Monoid::Sum, vec![k]), &[renamed]), s.op(Op::Reduce(Monoid::Sum, vec![k]), &[x]));
        (start, s.op(Op::Rename(t, u), &[sum]))
    }),
    ("rename-after-reduce", true, |s| {
        let (i, t, u) = (s.axis("i", 2), s.axis("t", 3), s.axis("u", 3));
        let x = s.float(&[i, t]);
        let renamed = s.op(Op::Rename(t, u), &[x]);
        (s.op(Op::Reduce(Monoid::Sum, vec![u]), &[renamed]), s.op(Op::Reduce(Monoid::Sum, vec![t]), &[x]))
    }),
    // The order of the terms would hang on the name.
    ("rename-after-reduce", false, |s| {
        let (t, k, u) = (s.axis("t", 3), s.axis("k", 4), s.axis("u", 3));
        let x = s.float(&[t, k]);
        let renamed = s.op(Op::Rename(t, u), &[x]);
        (s.op(Op::Reduce(Monoid::Sum, vec![u, k]), &[renamed]), s.op(Op::Reduce(Monoid::Sum, vec![t, k]), &[x]))
    }),
];

#[test]
fn starts_become_goals_and_others_stay() {
    for &(name, may, case) in CASES {
        let mut sketch = Sketch::new();
        let (start, goal) = case(&mut sketch);
        let graph = sketch.finish(&[start, goal]);
        assert_eq!(proves(&graph, rule(name)), may, "{name}\n{}", crate::graph::print(&graph));
        if may {
            agree(&graph, rule(name).sort, 400, name);
        }
    }
}

#[test]
fn every_rule_of_structure_has_both_cases() {
    for rule in all().filter(|r| matches!(r.form, Form::Structure(..)) && r.name != "products-of-one-operand") {
        for may in [true, false] {
            assert!(CASES.iter().any(|c| c.0 == rule.name && c.1 == may), "{} has no case that {may}", rule.name);
        }
    }
}

/// How many of two products, of one value or of two, come to be slices. The rule makes an axis of its own, so the goal is looked
/// for by what the classes hold.
fn joined(shared: bool) -> usize {
    let mut s = Sketch::new();
    let (i, j, l, k) = (s.axis("i", 5), s.axis("j", 3), s.axis("l", 3), s.axis("k", 2));
    let (x, y, v, w) = (s.float(&[i, k]), s.float(&[i, k]), s.float(&[k, j]), s.float(&[k, l]));
    let first = s.op(Op::Contract(vec![k]), &[x, v]);
    let second = s.op(Op::Contract(vec![k]), &[if shared { x } else { y }, w]);
    let graph = s.finish(&[first, second]);
    let mut entered = region::enter(graph.axes.clone(), &graph.body);
    saturate(&mut entered.space, &STAGES, 1000);
    let is_slice = |id: egg::Id| structural(&entered.space, id).iter().any(|(op, _)| matches!(op, Op::Slice(..)));
    entered.outputs.iter().filter(|&&o| is_slice(o)).count()
}

#[test]
fn products_of_one_operand_are_joined() {
    assert_eq!(joined(true), 2);
    assert_eq!(joined(false), 0);
}

#[test]
fn a_joined_product_has_the_same_bits() {
    for part in 0..2 {
        let mut s = Sketch::new();
        let (i, j, l, k) = (s.axis("i", 3), s.axis("j", 2), s.axis("l", 4), s.axis("k", 3));
        let (x, v, w) = (s.float(&[i, k]), s.float(&[k, j]), s.float(&[k, l]));
        let own = [s.op(Op::Contract(vec![k]), &[x, v]), s.op(Op::Contract(vec![k]), &[x, w])];
        let whole = s.axes.fresh("whole", Size::of(6), false);
        let weights = s.op(Op::Concat(vec![j, l], whole), &[v, w]);
        let product = s.op(Op::Contract(vec![k]), &[x, weights]);
        let slices =
            [s.op(Op::Slice(whole, Size::of(0), j), &[product]), s.op(Op::Slice(whole, Size::of(2), l), &[product])];
        let graph = s.finish(&[own[part], slices[part]]);
        agree(&graph, rule("products-of-one-operand").sort, 200, "products-of-one-operand");
    }
}
