//! The one-liners: left side ⇒ right side over all ways to give axes to their variables.

use egg::{ENodeOrVar, Language, Pattern, Subst, Var};
use weft_dsl::op::Op;
use weft_dsl::types::{Axis, Elem};

use super::{Sketch, agree, proves};
use crate::graph::{Graph, NodeId};
use crate::rewrite::language::{ENode, Symbol};
use crate::rewrite::region;
use crate::rewrite::rules::{Form, Guard, all};

fn pattern(text: &str) -> Pattern<ENode> {
    text.parse().expect("a pattern")
}

/// The variables of a pattern, each with what it holds: the first operand of a `select` and that of a `not` are truth values.
fn variables(text: &str) -> Vec<(Var, Elem)> {
    let pattern = pattern(text);
    let nodes = pattern.ast.as_ref();
    let mut found: Vec<(Var, Elem)> = Vec::new();
    for node in nodes {
        if let ENodeOrVar::Var(var) = node
            && found.iter().all(|f| f.0 != *var)
        {
            found.push((*var, Elem::Float));
        }
    }
    for node in nodes {
        let ENodeOrVar::ENode(node) = node else { continue };
        let truth = matches!(node.symbol, Symbol::Map(op) if ["not", "select"].contains(&op.name()));
        if truth && let ENodeOrVar::Var(var) = &nodes[usize::from(node.children()[0])] {
            found.iter_mut().filter(|f| f.0 == *var).for_each(|f| f.1 = Elem::Bool);
        }
    }
    found
}

/// A pattern's value; none where the operators do not fit.
fn write(sketch: &mut Sketch, text: &str, of: &[(Var, NodeId)]) -> Option<NodeId> {
    let mut made: Vec<NodeId> = Vec::new();
    for node in pattern(text).ast.as_ref() {
        let new = match node {
            ENodeOrVar::Var(var) => of.iter().find(|v| v.0 == *var)?.1,
            ENodeOrVar::ENode(node) => {
                let operands: Vec<NodeId> = node.children().iter().map(|&c| made[usize::from(c)]).collect();
                match node.symbol {
                    Symbol::Number(number) => sketch.b.number(number.0),
                    Symbol::Map(op) => sketch.b.try_op(&sketch.axes, Op::Map(op), &operands).ok()?,
                    Symbol::Op(_) | Symbol::Opaque(_) => return None,
                }
            }
        };
        made.push(new);
    }
    made.last().copied()
}

/// Left and right side with variables over some axes; none where they do not fit.
fn instance(left: &str, right: &str, shapes: &[usize]) -> Option<(Graph, Vec<(Var, NodeId)>)> {
    let mut sketch = Sketch::new();
    let (i, j) = (sketch.axis("i", 2), sketch.axis("j", 3));
    let shape: [&[Axis]; 4] = [&[], &[i], &[j], &[i, j]];
    let names = variables(left);
    let of: Vec<(Var, NodeId)> =
        names.iter().zip(shapes).map(|(&(var, elem), &s)| (var, sketch.input(elem, shape[s]))).collect();
    let start = write(&mut sketch, left, &of)?;
    let goal = write(&mut sketch, right, &of)?;
    Some((sketch.finish(&[start, goal]), of))
}

#[test]
fn left_sides_become_right_sides_where_guards_hold() {
    for rule in all() {
        let Form::Algebra(left, right, guard) = rule.form else { continue };
        let count = variables(left).len();
        let (mut fired, mut failed) = (0, 0);
        for way in 0..4usize.pow(count as u32) {
            let shapes: Vec<usize> = (0..count).map(|v| way / 4usize.pow(v as u32) % 4).collect();
            let Some((graph, of)) = instance(left, right, &shapes) else { continue };
            let entered = region::enter(graph.axes.clone(), &graph.body);
            let mut subst = Subst::default();
            for (var, node) in &of {
                let kind = &graph.body[*node].kind;
                let is = |n: &ENode| entered.space.analysis.operators.hidden(n.symbol).is_some_and(|(k, _)| k == kind);
                let class = entered.space.classes().find(|c| c.nodes.iter().any(is));
                subst.insert(*var, class.expect("every variable is read").id);
            }
            let types = (graph.body[graph.body.outputs[0]].ty.clone(), graph.body[graph.body.outputs[1]].ty.clone());
            let may = guard.holds(&entered.space, &subst) && types.0 == types.1;
            assert_eq!(proves(&graph, rule), may, "{}: {left} => {right} with shapes {shapes:?}", rule.name);
            if may {
                fired += 1;
                agree(&graph, rule.sort, 24, rule.name);
            } else {
                failed += 1;
            }
        }
        assert!(fired > 0, "{} never fires", rule.name);
        let guarded = !matches!(guard, Guard::All(&[]));
        assert!(!guarded || failed > 0, "the guard of {} always holds", rule.name);
    }
}

/// Integers divide and overflow otherwise than floats do: one-liners leave them alone.
#[test]
fn integers_stay() {
    let mut sketch = Sketch::new();
    let i = sketch.axis("i", 2);
    let [a, b, c] = [(); 3].map(|()| sketch.input(Elem::Int, &[i]));
    let (ab, ac, sum) = (sketch.map("mul", &[a, b]), sketch.map("mul", &[a, c]), sketch.map("sub", &[b, c]));
    let (start, goal) = (sketch.map("sub", &[ab, ac]), sketch.map("mul", &[a, sum]));
    let graph = sketch.finish(&[start, goal]);
    assert!(!proves(&graph, super::rule("factor-difference")));
}

/// The reciprocal of a number that is 0, or out of the range of a float type, is not made.
#[test]
fn reciprocals_are_of_normal_numbers() {
    for (divisor, may) in [(3.0, true), (0.0, false), (1e-40, false), (1e39, false), (f64::INFINITY, false)] {
        let mut sketch = Sketch::new();
        let i = sketch.axis("i", 2);
        let x = sketch.float(&[i]);
        let (c, one) = (sketch.b.number(divisor), sketch.b.number(1.0));
        let reciprocal = sketch.map("div", &[one, c]);
        let (start, goal) = (sketch.map("div", &[x, c]), sketch.map("mul", &[x, reciprocal]));
        assert_eq!(proves(&sketch.finish(&[start, goal]), super::rule("div-by-small")), may, "{divisor}");
    }
}
