//! Operands that may change places, and masks in any order.

use super::*;

/// `j ≤ i`
fn past(t: &mut Made) -> Value {
    let (i, j) = (t.b.op(Op::Index(t.i), &[]), t.b.op(Op::Index(t.j), &[]));
    t.map(E::LE, &[j, i])
}

/// `i − j < 3`
fn near(t: &mut Made) -> Value {
    let (i, j) = (t.b.op(Op::Index(t.i), &[]), t.b.op(Op::Index(t.j), &[]));
    let distance = t.map(E::SUB, &[i, j]);
    let three = t.b.op(Op::Constant(Number(3.0), Elem::Int, vec![]), &[]);
    t.map(E::LT, &[distance, three])
}

#[test]
fn masks_have_one_order() {
    let ways: &[Program] = &[
        |t| {
            let (past, near) = (past(t), near(t));
            let both = t.map(E::AND, &[past, near]);
            let all = t.map(E::AND, &[t.m, both]);
            let nothing = t.number(f64::NEG_INFINITY);
            t.map(E::SELECT, &[all, t.x, nothing])
        },
        |t| {
            let (near, past) = (near(t), past(t));
            let both = t.map(E::AND, &[near, t.m]);
            let all = t.map(E::AND, &[past, both]);
            let again = t.map(E::AND, &[all, near]);
            let nothing = t.number(f64::NEG_INFINITY);
            t.map(E::SELECT, &[again, t.x, nothing])
        },
        |t| {
            let nothing = t.number(f64::NEG_INFINITY);
            let near = near(t);
            let x = t.map(E::SELECT, &[near, t.x, nothing]);
            let past = past(t);
            let x = t.map(E::SELECT, &[past, x, nothing]);
            t.masked(x, f64::NEG_INFINITY)
        },
        |t| {
            let (zero, nothing) = (t.number(0.0), t.number(f64::NEG_INFINITY));
            let masks = [near(t), t.m, past(t)].map(|mask| t.map(E::SELECT, &[mask, zero, nothing]));
            let two = t.map(E::ADD, &[masks[0], masks[1]]);
            let x = t.map(E::ADD, &[two, t.x]);
            t.map(E::ADD, &[masks[2], x])
        },
    ];
    all_alike(10, ways);
}

#[test]
fn one_mask_or_another_is_one_mask() {
    let ways: &[Program] = &[
        |t| {
            let (past, nothing) = (past(t), t.number(f64::NEG_INFINITY));
            let either = t.map(E::OR, &[past, t.m]);
            t.map(E::SELECT, &[either, t.x, nothing])
        },
        |t| {
            let past = past(t);
            let other = t.masked(t.x, f64::NEG_INFINITY);
            t.map(E::SELECT, &[past, t.x, other])
        },
    ];
    all_alike(6, ways);
}

#[test]
fn operands_that_commute_have_one_order() {
    for op in E::all().filter(|op| op.commutes() && !matches!(*op, E::AND | E::OR)) {
        let value = |turned: bool| {
            let mut t = Made::new();
            let e = t.map(E::EXP, &[t.x]);
            let row = t.reduce(Monoid::Max, t.x);
            let operands = if turned { [row, e] } else { [e, row] };
            let value = t.map(op, &operands);
            let axes = t.b.type_of(&value).axes;
            let mut graph = t.b.finish(vec![("out".into(), axes, value)]);
            canonicalise(&mut graph);
            print(&graph)
        };
        assert_eq!(value(false), value(true), "{op:?}");
    }
}
