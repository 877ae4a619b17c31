//! Statements, and the declarations that bodies and blocks share.

use pest::iterators::Pair;

use crate::ast::{AxisDecl, AxisSize, Expr, ExprKind, Fn, For, If, Let, Stmt};
use crate::span::Spanned;

use super::Rule;
use super::builder::{Builder, Parts, only, parts};

impl Builder<'_> {
    pub(super) fn body(&self, pair: Pair<'_, Rule>) -> Vec<Stmt> {
        parts(pair).map(|part| self.stmt(part)).collect()
    }

    fn stmt(&self, pair: Pair<'_, Rule>) -> Stmt {
        let stmt = only(pair);
        match stmt.as_rule() {
            Rule::axis_decl => Stmt::Axis(self.axis_decl(stmt)),
            Rule::fn_decl => Stmt::Fn(self.fn_decl(stmt)),
            Rule::for_stmt => {
                let mut inner = parts(stmt);
                let var = self.name(inner.part());
                let over = self.expr(inner.part());
                Stmt::For(For { var, over, body: self.body(inner.part()) })
            }
            Rule::if_stmt => self.if_stmt(stmt),
            Rule::next_stmt => {
                let mut inner = parts(stmt);
                Stmt::Next(self.name(inner.part()), self.expr(inner.part()))
            }
            Rule::yield_stmt => Stmt::Yield(self.expr(only(stmt))),
            Rule::metric_stmt => {
                let mut inner = parts(stmt);
                Stmt::Metric(self.name(inner.part()), self.expr(inner.part()))
            }
            Rule::assert_stmt => Stmt::Assert(self.expr(only(stmt))),
            Rule::let_stmt => Stmt::Let(self.let_stmt(stmt)),
            _ => Stmt::Expr(self.expr(stmt)),
        }
    }

    pub(super) fn let_stmt(&self, pair: Pair<'_, Rule>) -> Let {
        let mut inner = parts(pair);
        let names = self.names(parts(inner.part()));
        Let { names, value: self.expr(inner.part()) }
    }

    pub(super) fn axis_decl(&self, pair: Pair<'_, Rule>) -> AxisDecl {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let size = inner.part();
        let is = size.as_rule() == Rule::axis_is;
        let size = only(size);
        AxisDecl { name, size: if is { AxisSize::Is(self.expr(size)) } else { AxisSize::Like(self.axis_term(size)) } }
    }

    pub(super) fn fn_decl(&self, pair: Pair<'_, Rule>) -> Fn {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let name = inner.take_if(Rule::ident).map(|name| self.name(name));
        let axes = inner.take_if(Rule::fn_axes).map(|axes| self.names(parts(axes))).unwrap_or_default();
        let params = self.params(inner.part());
        let result = inner.take_if(Rule::result).map(|result| self.result(result));
        let body = inner.part();
        let short = body.as_rule() == Rule::fn_short;
        let body = if short { vec![Stmt::Expr(self.expr(only(body)))] } else { self.body(body) };
        Fn { doc: self.docs(span), name, axes, params, result, body, short, span }
    }

    /// An `if` whose every branch is one expression is a value, whatever else could be made of it.
    fn if_stmt(&self, pair: Pair<'_, Rule>) -> Stmt {
        let span = self.span(&pair);
        let stmt = self.if_chain(parts(pair), Self::body, Stmt::If);
        match self.as_value(&stmt) {
            Some(kind) => Stmt::Expr(Spanned { node: Box::new(kind), span }),
            None => Stmt::If(stmt),
        }
    }

    fn as_value(&self, stmt: &If<Stmt>) -> Option<ExprKind> {
        let [Stmt::Expr(then)] = stmt.then.as_slice() else {
            return None;
        };
        let [Stmt::Expr(otherwise)] = stmt.otherwise.as_slice() else {
            let [Stmt::If(nested)] = stmt.otherwise.as_slice() else {
                return None;
            };
            let kind = self.as_value(nested)?;
            let span = nested.cond.span;
            let otherwise: Expr = Spanned { node: Box::new(kind), span };
            return Some(ExprKind::If(stmt.cond.clone(), then.clone(), otherwise));
        };
        Some(ExprKind::If(stmt.cond.clone(), then.clone(), otherwise.clone()))
    }

    /// `cond body (cond body)* body?`: written flat in the grammar so that a long chain does not recurse there.
    pub(super) fn if_chain<T>(
        &self,
        chain: Parts<'_>,
        body: fn(&Self, Pair<'_, Rule>) -> Vec<T>,
        nested: fn(If<T>) -> T,
    ) -> If<T> {
        let mut arms = Vec::new();
        let mut last = Vec::new();
        let mut cond = None;
        for part in chain {
            if part.as_rule() == Rule::expr {
                cond = Some(self.expr(part));
            } else if let Some(cond) = cond.take() {
                arms.push((cond, body(self, part)));
            } else {
                last = body(self, part);
            }
        }
        self.limit_depth(arms.len(), arms[0].0.span);
        let mut arms = arms.into_iter().rev();
        let (cond, then) = arms.next().expect("the grammar gives a condition");
        let innermost = If { cond, then, otherwise: last };
        arms.fold(innermost, |inner, (cond, then)| If { cond, then, otherwise: vec![nested(inner)] })
    }
}
