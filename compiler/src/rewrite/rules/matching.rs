//! Rules as egg takes them.

use std::str::FromStr;

use egg::{
    Applier, ENodeOrVar, Id, Language, Pattern, PatternAst, RecExpr, Rewrite, SearchMatches, Searcher, Subst,
    Symbol as Name, Var,
};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Elem, Type};

use super::{Form, Guard, Rule};
use crate::rewrite::analysis::{Knowledge, Space, infer_of, ty};
use crate::rewrite::language::{ENode, Symbol};

/// A rule as egg takes it: a rewrite for each order of the left side's commutative operators.
pub fn rewrites(rule: &Rule) -> Vec<Rewrite<ENode, Knowledge>> {
    let made = match rule.form {
        Form::Algebra(left, right, guard) => {
            let right = pattern(rule, right);
            let orders = orders(&pattern(rule, left).ast).into_iter().enumerate();
            orders
                .map(|(i, left)| Rewrite::new(format!("{}#{i}", rule.name), left, Checked { right: right.clone(), guard }))
                .collect()
        }
        Form::Structure(at, equal) => vec![Rewrite::new(rule.name, At(at), Equal(equal))],
    };
    let made: Result<Vec<_>, String> = made.into_iter().collect();
    made.unwrap_or_else(|why| panic!("rule `{}`: {why}", rule.name))
}

/// The rule that a rewrite was made of.
pub fn rule_of(rewrite: &str) -> &str {
    rewrite.split('#').next().unwrap_or(rewrite)
}

fn pattern(rule: &Rule, text: &str) -> Pattern<ENode> {
    Pattern::from_str(text).unwrap_or_else(|why| panic!("rule `{}`: `{text}`: {why}", rule.name))
}

/// A pattern as a tree.
#[derive(Clone, PartialEq)]
enum Term {
    Var(Var),
    Node(Symbol, Vec<Term>),
}

/// The pattern with the operands of commutative operators in each order.
fn orders(ast: &PatternAst<ENode>) -> Vec<Pattern<ENode>> {
    let mut terms: Vec<Vec<Term>> = Vec::new();
    for node in ast.as_ref() {
        terms.push(match node {
            ENodeOrVar::Var(var) => vec![Term::Var(*var)],
            ENodeOrVar::ENode(node) => {
                let mut operands: Vec<Vec<Term>> = vec![Vec::new()];
                for &child in node.children() {
                    operands = operands
                        .iter()
                        .flat_map(|so_far| {
                            terms[usize::from(child)].iter().map(|t| [so_far.as_slice(), std::slice::from_ref(t)].concat())
                        })
                        .collect();
                }
                let mut all = Vec::new();
                for operands in operands {
                    if matches!(node.symbol, Symbol::Map(Elementwise::ADD | Elementwise::MUL)) && operands[0] != operands[1]
                    {
                        all.push(Term::Node(node.symbol, vec![operands[1].clone(), operands[0].clone()]));
                    }
                    all.push(Term::Node(node.symbol, operands));
                }
                all
            }
        });
    }
    let pattern = |term: &Term| {
        let mut ast = RecExpr::default();
        write(term, &mut ast);
        Pattern::new(ast)
    };
    terms.last().into_iter().flatten().map(pattern).collect()
}

fn write(term: &Term, ast: &mut PatternAst<ENode>) -> Id {
    let node = match term {
        Term::Var(var) => ENodeOrVar::Var(*var),
        Term::Node(symbol, operands) => {
            let children = operands.iter().map(|t| write(t, ast)).collect();
            ENodeOrVar::ENode(ENode { symbol: *symbol, children })
        }
    };
    ast.add(node)
}

/// The right side of a one-liner: added where its guard holds, where its variables are floats or truth values, and where it has
/// the type of the left side (`x - x` repeats along axes that `0` lacks).
struct Checked {
    right: Pattern<ENode>,
    guard: Guard,
}

impl Checked {
    fn fits(&self, space: &Space, class: Id, of: &Subst) -> bool {
        let mut types: Vec<Type> = Vec::new();
        for node in self.right.ast.as_ref() {
            let ty = match node {
                ENodeOrVar::Var(var) => of.get(*var).map(|&id| ty(space, id).clone()),
                ENodeOrVar::ENode(node) => {
                    let operands: Vec<&Type> = node.children().iter().map(|&c| &types[usize::from(c)]).collect();
                    infer_of(space, node.symbol, &operands).ok()
                }
            };
            match ty {
                Some(ty) if matches!(ty.elem, Elem::Float | Elem::Bool) => types.push(ty),
                Some(_) | None => return false,
            }
        }
        types.last() == Some(ty(space, class))
    }
}

impl Applier<ENode, Knowledge> for Checked {
    fn apply_one(&self, space: &mut Space, class: Id, of: &Subst, ast: Option<&PatternAst<ENode>>, name: Name) -> Vec<Id> {
        if !self.guard.holds(space, of) || !self.fits(space, class, of) {
            return Vec::new();
        }
        self.right.apply_one(space, class, of, ast, name)
    }

    fn vars(&self) -> Vec<Var> {
        Searcher::<ENode, Knowledge>::vars(&self.right)
    }
}

/// Finds classes that have an operator of some kind.
struct At(fn(&Op) -> bool);

impl Searcher<ENode, Knowledge> for At {
    fn search_eclass_with_limit(&self, space: &Space, class: Id, limit: usize) -> Option<SearchMatches<'_, ENode>> {
        let fits = |node: &ENode| match node.symbol {
            Symbol::Map(op) => (self.0)(&Op::Map(op)),
            symbol => space.analysis.operators.structural(symbol).is_some_and(self.0),
        };
        let found = limit > 0 && space[class].nodes.iter().any(fits);
        found.then(|| SearchMatches { eclass: class, substs: vec![Subst::default()], ast: None })
    }

    fn vars(&self) -> Vec<Var> {
        Vec::new()
    }
}

/// Makes the classes equal that a rule of structure finds.
struct Equal(fn(&mut Space, Id) -> Vec<(Id, Id)>);

impl Applier<ENode, Knowledge> for Equal {
    fn apply_one(&self, space: &mut Space, class: Id, _: &Subst, _: Option<&PatternAst<ENode>>, _: Name) -> Vec<Id> {
        let class = space.find(class);
        let pairs = (self.0)(space, class);
        pairs.into_iter().filter(|&(a, b)| space.union(a, b)).map(|(a, _)| a).collect()
    }
}
