//! What is written in several ways becomes one graph.

mod order;

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use super::canonicalise;
use crate::graph::random::random_graph;
use crate::graph::{Builder, Graph, Kind, Value, eval, print, validate};

/// A program over `x: [i, j]`, `y: [j, k]` and a truth value `m: [i, j]`.
struct Made {
    b: Builder,
    i: Axis,
    j: Axis,
    k: Axis,
    x: Value,
    y: Value,
    m: Value,
}

type Program = fn(&mut Made) -> Value;

impl Made {
    fn new() -> Self {
        let mut axes = Axes::default();
        let [i, j, k] = ["i", "j", "k"].map(|name| axes.fresh(name, Size::var(name), false));
        let mut b = Builder::new(axes);
        let x = b.input("x", Elem::Float, &[i, j]);
        let y = b.input("y", Elem::Float, &[j, k]);
        let m = b.input("m", Elem::Bool, &[i, j]);
        Self { b, i, j, k, x, y, m }
    }

    fn map(&mut self, op: E, operands: &[Value]) -> Value {
        self.b.op(Op::Map(op), operands)
    }

    fn number(&mut self, value: f64) -> Value {
        self.b.op(Op::Constant(Number(value), Elem::Float, vec![]), &[])
    }

    fn reduce(&mut self, monoid: Monoid, x: Value) -> Value {
        self.b.op(Op::Reduce(monoid, vec![self.j]), &[x])
    }

    fn masked(&mut self, x: Value, other: f64) -> Value {
        let other = self.number(other);
        self.map(E::SELECT, &[self.m, x, other])
    }

    /// `exp(x − m)` for a largest value `m`.
    fn weight(&mut self, x: Value, largest: Value) -> Value {
        let shifted = self.map(E::SUB, &[x, largest]);
        self.map(E::EXP, &[shifted])
    }

    /// `e / Σ e`
    fn normed(&mut self, e: Value) -> Value {
        let sum = self.reduce(Monoid::Sum, e);
        self.map(E::DIV, &[e, sum])
    }

    /// `log Σ e`
    fn log_sum(&mut self, e: Value) -> Value {
        let sum = self.reduce(Monoid::Sum, e);
        self.map(E::LOG, &[sum])
    }
}

fn made(program: Program) -> Graph {
    let mut made = Made::new();
    let value = program(&mut made);
    let axes = made.b.type_of(&value).axes;
    made.b.finish(vec![("out".into(), axes, value)])
}

fn canonical(program: Program) -> Graph {
    let mut graph = made(program);
    canonicalise(&mut graph);
    graph
}

/// All of them become what the first becomes, which has this many nodes that are operators.
fn all_alike(operators: usize, programs: &[Program]) -> String {
    let first = canonical(programs[0]);
    let count = first.body.nodes.iter().filter(|n| matches!(n.kind, Kind::Op(_))).count();
    assert_eq!(count, operators, "{}", print(&first));
    for (i, &program) in programs.iter().enumerate().skip(1) {
        assert_eq!(print(&canonical(program)), print(&first), "way {i}");
    }
    print(&first)
}

fn before_and_after(program: Program) -> String {
    format!("{}\n⇒\n\n{}", print(&made(program)), print(&canonical(program)))
}

#[test]
fn softmax_has_one_form() {
    let ways: &[Program] = &[
        |t| t.b.op(Op::Softmax(vec![t.j]), &[t.x]),
        |t| {
            let e = t.map(E::EXP, &[t.x]);
            t.normed(e)
        },
        |t| {
            let largest = t.reduce(Monoid::Max, t.x);
            let e = t.weight(t.x, largest);
            t.normed(e)
        },
        |t| {
            let largest = t.reduce(Monoid::Max, t.x);
            let still = t.b.op(Op::StopGradient, &[largest]);
            let e = t.weight(t.x, still);
            t.normed(e)
        },
        |t| {
            let largest = t.reduce(Monoid::Max, t.x);
            let e = t.weight(t.x, largest);
            let sum = t.reduce(Monoid::Sum, e);
            let one = t.number(1.0);
            let inverse = t.map(E::DIV, &[one, sum]);
            t.map(E::MUL, &[inverse, e])
        },
    ];
    all_alike(1, ways);
}

/// As the language writes `softmax[j](x where m)`: each reduction takes the mask.
fn masked_everywhere(t: &mut Made) -> Value {
    let seen = t.masked(t.x, f64::NEG_INFINITY);
    let largest = t.reduce(Monoid::Max, seen);
    let e = t.weight(t.x, largest);
    let kept = t.masked(e, 0.0);
    let sum = t.reduce(Monoid::Sum, kept);
    let ratio = t.map(E::DIV, &[e, sum]);
    t.masked(ratio, 0.0)
}

#[test]
fn masked_softmax_has_one_form() {
    let ways: &[Program] = &[
        |t| {
            let seen = t.masked(t.x, f64::NEG_INFINITY);
            t.b.op(Op::Softmax(vec![t.j]), &[seen])
        },
        masked_everywhere,
        |t| {
            let seen = t.masked(t.x, f64::NEG_INFINITY);
            let largest = t.reduce(Monoid::Max, seen);
            let still = t.b.op(Op::StopGradient, &[largest]);
            let e = t.weight(seen, still);
            t.normed(e)
        },
        |t| {
            let seen = t.masked(t.x, f64::NEG_INFINITY);
            let largest = t.reduce(Monoid::Max, seen);
            let e = t.weight(t.x, largest);
            let kept = t.masked(e, 0.0);
            t.normed(kept)
        },
        |t| {
            let zero = t.number(0.0);
            let bias = t.masked(zero, f64::NEG_INFINITY);
            let seen = t.map(E::ADD, &[bias, t.x]);
            let e = t.map(E::EXP, &[seen]);
            let weight = t.normed(e);
            t.masked(weight, 0.0)
        },
        |t| {
            let hidden = t.map(E::NOT, &[t.m]);
            let nothing = t.number(f64::NEG_INFINITY);
            let seen = t.map(E::SELECT, &[hidden, nothing, t.x]);
            let largest = t.reduce(Monoid::Max, seen);
            let e = t.weight(seen, largest);
            let kept = t.masked(e, 0.0);
            let sum = t.reduce(Monoid::Sum, kept);
            t.map(E::DIV, &[e, sum])
        },
    ];
    all_alike(3, ways);
    insta::assert_snapshot!(before_and_after(masked_everywhere));
}

fn log_sum_exp(t: &mut Made) -> Value {
    let largest = t.reduce(Monoid::Max, t.x);
    let e = t.weight(t.x, largest);
    let log = t.log_sum(e);
    t.map(E::ADD, &[log, largest])
}

#[test]
fn log_sum_exp_has_one_form() {
    let ways: &[Program] = &[
        |t| t.b.op(Op::LogSumExp(vec![t.j]), &[t.x]),
        |t| {
            let e = t.map(E::EXP, &[t.x]);
            t.log_sum(e)
        },
        log_sum_exp,
    ];
    all_alike(1, ways);
    let masked: &[Program] = &[
        |t| {
            let seen = t.masked(t.x, f64::NEG_INFINITY);
            t.b.op(Op::LogSumExp(vec![t.j]), &[seen])
        },
        |t| {
            let seen = t.masked(t.x, f64::NEG_INFINITY);
            let largest = t.reduce(Monoid::Max, seen);
            let e = t.weight(t.x, largest);
            let kept = t.masked(e, 0.0);
            let log = t.log_sum(kept);
            t.map(E::ADD, &[largest, log])
        },
    ];
    all_alike(3, masked);
}

#[test]
fn log_softmax_has_one_form() {
    let ways: &[Program] = &[
        |t| {
            let sum = t.b.op(Op::LogSumExp(vec![t.j]), &[t.x]);
            t.map(E::SUB, &[t.x, sum])
        },
        |t| {
            let sum = log_sum_exp(t);
            t.map(E::SUB, &[t.x, sum])
        },
        |t| {
            let largest = t.reduce(Monoid::Max, t.x);
            let shifted = t.map(E::SUB, &[t.x, largest]);
            let e = t.map(E::EXP, &[shifted]);
            let log = t.log_sum(e);
            t.map(E::SUB, &[shifted, log])
        },
        |t| {
            let e = t.map(E::EXP, &[t.x]);
            let weight = t.normed(e);
            t.map(E::LOG, &[weight])
        },
    ];
    all_alike(2, ways);
}

/// A shift that is not the same along the axis is part of the value.
#[test]
fn other_quotients_stay() {
    let not: &[Program] = &[
        |t| {
            let e = t.map(E::EXP, &[t.x]);
            let other = t.masked(e, 0.0);
            let sum = t.reduce(Monoid::Sum, other);
            t.map(E::DIV, &[e, sum])
        },
        |t| {
            let e = t.map(E::EXP, &[t.x]);
            let sum = t.reduce(Monoid::Max, e);
            t.map(E::DIV, &[e, sum])
        },
    ];
    for &program in not {
        let graph = canonical(program);
        assert!(!graph.body.nodes.iter().any(|n| matches!(n.kind, Kind::Op(Op::Softmax(_)))), "{}", print(&graph));
    }
}

#[test]
fn a_sum_of_products_is_a_contraction() {
    let contraction: &[Program] = &[
        |t| t.b.op(Op::Contract(vec![t.j]), &[t.x, t.y]),
        |t| {
            let product = t.map(E::MUL, &[t.y, t.x]);
            t.reduce(Monoid::Sum, product)
        },
    ];
    all_alike(1, contraction);
    // Of one shape, or with a scalar: a plain sum.
    let plain = canonical(|t| {
        let product = t.map(E::MUL, &[t.x, t.x]);
        t.reduce(Monoid::Sum, product)
    });
    assert!(plain.body.nodes.iter().any(|n| matches!(n.kind, Kind::Op(Op::Reduce(..)))));
}

/// As the library's cross-entropy chooses the label's logit.
#[test]
fn a_sum_over_one_place_is_a_look_up() {
    let pick: Program = |t| {
        let label = t.b.input("label", Elem::Index(t.j), &[t.i]);
        let number = t.b.op(Op::Cast(Elem::Int), &[label]);
        let place = t.b.op(Op::Index(t.j), &[]);
        let here = t.map(E::EQ, &[place, number]);
        let zero = t.number(0.0);
        let chosen = t.map(E::SELECT, &[here, t.x, zero]);
        t.reduce(Monoid::Sum, chosen)
    };
    let look_up: Program = |t| {
        let label = t.b.input("label", Elem::Index(t.j), &[t.i]);
        t.b.op(Op::Lookup(t.j), &[t.x, label])
    };
    all_alike(1, &[pick, look_up]);
    // An integer may be out of range: then the sum is 0.
    let any = canonical(|t| {
        let label = t.b.input("label", Elem::Int, &[t.i]);
        let place = t.b.op(Op::Index(t.j), &[]);
        let here = t.map(E::EQ, &[place, label]);
        let zero = t.number(0.0);
        let chosen = t.map(E::SELECT, &[here, t.x, zero]);
        t.reduce(Monoid::Sum, chosen)
    });
    assert!(any.body.nodes.iter().any(|n| matches!(n.kind, Kind::Op(Op::Reduce(..)))));
}

/// Start ⇒ goal.
#[test]
#[rustfmt::skip]
fn small_rules() {
    let same: Program = |t| t.x;
    let rules: &[(Program, Program)] = &[
        (|t| { let z = t.number(0.0); t.map(E::ADD, &[z, t.x]) }, same),
        (|t| { let z = t.number(1.0); t.map(E::MUL, &[t.x, z]) }, same),
        (|t| { let n = t.map(E::NEG, &[t.x]); t.map(E::NEG, &[n]) }, same),
        (|t| { let n = t.map(E::NEG, &[t.x]); let z = t.number(0.0); t.map(E::SUB, &[z, n]) }, same),
        (|t| { let s = t.b.op(Op::StopGradient, &[t.x]); t.b.op(Op::StopGradient, &[s]) }, |t| t.b.op(Op::StopGradient, &[t.x])),
        (|t| { let l = t.b.axes().like(t.i, "l"); let r = t.b.op(Op::Rename(t.i, l), &[t.x]); t.b.op(Op::Rename(l, t.i), &[r]) }, |t| { t.b.axes().like(t.i, "l"); t.x }),
        (|t| { let n = t.b.op(Op::Cast(Elem::Int), &[t.m]); let f = t.b.op(Op::Cast(Elem::Float), &[n]); t.b.op(Op::Cast(Elem::Float), &[f]) }, |t| t.b.op(Op::Cast(Elem::Float), &[t.m])),
        (|t| { let a = t.number(2.0); let b = t.number(3.0); let c = t.map(E::MUL, &[a, b]); t.map(E::ADD, &[t.x, c]) }, |t| { let c = t.number(6.0); t.map(E::ADD, &[t.x, c]) }),
        (|t| { let n = t.map(E::NOT, &[t.m]); let z = t.number(2.0); t.map(E::SELECT, &[n, z, t.x]) }, |t| t.masked(t.x, 2.0)),
        (|t| { let a = t.masked(t.x, 0.5); t.masked(a, 0.5) }, |t| t.masked(t.x, 0.5)),
        (|t| { let a = t.b.op(Op::Reduce(Monoid::Max, vec![t.i]), &[t.x]); t.b.op(Op::Reduce(Monoid::Max, vec![t.j]), &[a]) }, |t| t.b.op(Op::Reduce(Monoid::Max, vec![t.j, t.i]), &[t.x])),
        (|t| { let ones = t.b.op(Op::Constant(Number(1.0), Elem::Float, vec![t.k]), &[]); let x = t.map(E::MUL, &[t.x, ones]); t.map(E::ADD, &[x, t.y]) }, |t| t.map(E::ADD, &[t.x, t.y])),
        (|t| { let (i, j) = (t.b.op(Op::Index(t.i), &[]), t.b.op(Op::Index(t.j), &[])); let later = t.map(E::GT, &[j, i]); t.map(E::NOT, &[later]) },
         |t| { let (i, j) = (t.b.op(Op::Index(t.i), &[]), t.b.op(Op::Index(t.j), &[])); t.map(E::LE, &[j, i]) }),
    ];
    for (at, &(start, goal)) in rules.iter().enumerate() {
        assert_eq!(print(&canonical(start)), print(&canonical(goal)), "rule {at}");
    }
    // `x · 0` is NaN where `x` is not finite.
    let kept = canonical(|t| { let z = t.number(0.0); t.map(E::MUL, &[t.x, z]) });
    assert_eq!(kept.body.nodes.iter().filter(|n| matches!(n.kind, Kind::Op(_))).count(), 2);
}

#[test]
fn a_scan_keeps_what_is_read() {
    let program: Program = |t| {
        let (i, x, y) = (t.i, t.x, t.y);
        let start = t.reduce(Monoid::Sum, x);
        let total = t.b.op(Op::Reduce(Monoid::Sum, vec![i]), &[start]);
        let carried = t.b.begin_loop(i, &[total, total, total]);
        let row = t.b.slice(&x, i);
        let sum = t.reduce(Monoid::Sum, row);
        let used = t.map(E::ADD, &[carried[0], sum]);
        let unread = t.map(E::MUL, &[carried[1], sum]);
        let waste = t.b.op(Op::Reduce(Monoid::Max, vec![t.k]), &[y]);
        let yielded = t.map(E::ADD, &[used, carried[2]]);
        t.b.end_loop(&[used, unread, carried[2]], &[waste, yielded])[4]
    };
    let graph = canonical(program);
    let scan = graph.body.nodes.iter().find_map(|n| match &n.kind {
        Kind::Scan(scan) => Some((scan, n.operands.len())),
        _ => None,
    });
    let (scan, operands) = scan.expect("the scan is read");
    // One carried value and one slice; the value that never changes is shared.
    assert_eq!((scan.carried, scan.sliced, operands, scan.body.outputs.len()), (1, 1, 3, 2), "{}", print(&graph));
}

/// Rules hold over the reals: where the source is finite, so is the result, and they agree but for rounding.
#[test]
fn meaning_stays_on_random_graphs() {
    for seed in 0..200 {
        let (graph, bindings) = random_graph(seed, 40);
        let mut simple = graph.clone();
        canonicalise(&mut simple);
        validate(&simple).unwrap_or_else(|fault| panic!("{seed}: {fault}\n{}", print(&simple)));
        let (Ok(before), after) = (eval(&graph, &bindings), eval(&simple, &bindings)) else { continue };
        let after = after.unwrap_or_else(|e| panic!("{seed}: {e}\n{}", print(&simple)));
        for (b, a) in before.iter().zip(&after) {
            assert_eq!((&b.axes, &b.shape), (&a.axes, &a.shape), "{seed}");
            for (&x, &y) in b.data.iter().zip(&a.data) {
                let close = x == y || !x.is_finite() || (x - y).abs() <= 1e-9 * (1.0 + x.abs());
                assert!(close, "{seed}: {x} became {y}\n{}⇒\n{}", print(&graph), print(&simple));
            }
        }
        let mut again = simple.clone();
        canonicalise(&mut again);
        assert_eq!(print(&again), print(&simple), "{seed}: not at rest");
    }
}
