//! Tests: what their assertions claim.

use crate::ast::{self, BinaryOp, Expr, ExprKind, ItemKind, Let};
use crate::diagnostic::Diagnostic;
use crate::elementwise::Elementwise;
use crate::emit::Emit;
use crate::span::{FileId, Span};

use super::outcome::{Claim, Comparison, Examined};
use super::primitive::PrimitiveCall;
use super::session::{Done, Names, Session, Val};
use super::value::{Scope, Value};

/// How near is near where the specification does not say: what 32-bit floats keep after some arithmetic.
const NEAR: f64 = 1e-5;

/// A value with its place.
type Placed<'p, E> = (Val<'p, E>, Span);

/// Whether an assertion holds; the two sides that it compares, and whether they ought to be equal.
type Compared<'p, E> = (Val<'p, E>, Option<([Placed<'p, E>; 2], bool)>);

impl<'p, E: Emit> Session<'p, E> {
    /// Elaborates a test of the specification: its claims, and the parameters of the blocks that it makes.
    pub fn test(&mut self, test: &'p ast::Test) -> Result<Examined<E::Value>, Vec<Diagnostic>> {
        let claims = self.examined(test, FileId(0));
        let examined = claims.map(|claims| Examined { claims, parameters: std::mem::take(&mut self.parameters) });
        self.outcome(examined)
    }

    /// Walks a test of a file.
    pub(crate) fn examined(&mut self, test: &'p ast::Test, file: FileId) -> Done<Vec<Claim<E::Value>>> {
        let scope = Scope::within(&self.roots[file.0 as usize].clone());
        self.claims = Some(Vec::new());
        let walked = self.body(&test.body, &scope);
        let claims = self.claims.take().unwrap_or_default();
        walked?;
        if claims.is_empty() && self.diagnostics.is_empty() {
            let d = Diagnostic::error("W0518", "this test asserts nothing", test.name.span, "it would always pass");
            return Err(self.report(d.help("end it with what ought to hold: `assert near(found, expected)`")));
        }
        Ok(claims)
    }

    /// Whether a statement is one of a test itself, not of a function that it calls or of a loop.
    fn in_test(&self) -> bool {
        self.claims.is_some() && self.calls.is_empty() && self.loops.is_empty()
    }

    /// `norm = LayerNorm(feature)`: the value of a binding. Within a test it may make a block, whose path is then the name.
    pub(crate) fn binding_value(&mut self, binding: &'p Let, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        if let ([name], true) = (binding.names.as_slice(), self.in_test()) {
            let taken = |path: &str| self.parameters.iter().any(|p| p.path.split('.').next() == Some(path));
            let mut paths = (1..).map(|n| if n == 1 { name.node.clone() } else { format!("{}{n}", name.node) });
            self.member = paths.find(|path| !taken(path));
        }
        let value = self.eval(&binding.value, scope);
        self.member = None;
        value
    }

    /// `assert e`
    pub(crate) fn assertion(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<()> {
        if !self.in_test() {
            let d = Diagnostic::error("W0517", "`assert` stands in a `test`", expr.span, "not a statement of a test itself");
            return Err(self.report(d.help("make it a test of its own: `test \"what holds\" { … assert … }`")));
        }
        let (holds, sides) = self.compared(expr, scope)?;
        let holds = self.truth(&holds, expr.span)?;
        let axes = self.emit.type_of(&holds).axes;
        let compares = match sides {
            Some(([(left, at), (right, beside)], equal)) => {
                Some(Comparison { sides: [self.whole(&left, at)?, self.whole(&right, beside)?], equal })
            }
            None => None,
        };
        if let Some(claims) = &mut self.claims {
            claims.push(Claim { span: expr.span, axes, holds, compares });
        }
        Ok(())
    }

    /// The value of what is asserted; where it compares two values, also these, each evaluated once.
    fn compared(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Compared<'p, E>> {
        match &*expr.node {
            ExprKind::Binary(
                op @ (BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge),
                a,
                b,
            ) => {
                let (left, right) = (self.eval(a, scope), self.eval(b, scope));
                let sides = [(left?, a.span), (right?, b.span)];
                let holds = self.binary(*op, sides[0].clone(), sides[1].clone(), expr.span)?;
                Ok((holds, Some((sides, *op == BinaryOp::Eq))))
            }
            ExprKind::Call(callee, args) if self.is_near(callee, scope) => {
                let call = PrimitiveCall { name: "near", entries: &[], args, scope, span: expr.span };
                let (holds, sides) = self.nearness(&call)?;
                Ok((holds, Some((sides, true))))
            }
            _ => Ok((self.eval(expr, scope)?, None)),
        }
    }

    fn is_near(&mut self, callee: &'p Expr, scope: &Names<'p, E>) -> bool {
        matches!(&*callee.node, ExprKind::Name(name) if name == "near")
            && matches!(self.eval(callee, scope), Ok(Value::Primitive(_)))
    }

    /// `near(found, expected, 1e-6)`
    pub(crate) fn near(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        self.nearness(call).map(|(holds, _)| holds)
    }

    /// `found = expected or |found - expected| ≤ within · max(1, |expected|)`, and the two sides.
    fn nearness(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<(Val<'p, E>, [Placed<'p, E>; 2])> {
        let mut values = self.arguments(call, if call.args.len() == 3 { 3 } else { 2 })?;
        let at = call.span;
        let within = match values.len() {
            3 => values.pop().map_or(Ok(None), |(value, place)| self.config_float(&value, place))?,
            _ => Some(NEAR),
        };
        let sides: [Placed<'p, E>; 2] = match <[_; 2]>::try_from(values) {
            Ok(sides) => sides,
            Err(_) => return Err(self.error("W0108", "`near` takes two values", at, "")),
        };
        let number = |n: Option<f64>| (Value::Float(n), at);
        let mut map = |op, operands: &[Placed<'p, E>]| Ok((self.map(op, operands, at)?, at));
        let difference = map(Elementwise::SUB, &sides)?;
        let difference = map(Elementwise::ABS, &[difference])?;
        let scale = map(Elementwise::ABS, &[sides[1].clone()])?;
        let scale = map(Elementwise::MAX, &[number(Some(1.0)), scale])?;
        let allowed = map(Elementwise::MUL, &[number(within), scale])?;
        let close = map(Elementwise::LE, &[difference, allowed])?;
        // Infinities are near themselves, though their difference is not a number.
        let same = map(Elementwise::EQ, &sides)?;
        let (holds, _) = map(Elementwise::OR, &[same, close])?;
        Ok((holds, sides))
    }
}

impl super::Program {
    /// The tests of the specification, in source order.
    pub fn tests(&self) -> Vec<&ast::Test> {
        let items = self.file(FileId(0)).items.iter();
        items.filter_map(|item| if let ItemKind::Test(test) = &item.kind { Some(test) } else { None }).collect()
    }
}
