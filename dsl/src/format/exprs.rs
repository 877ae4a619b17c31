//! Expressions, axes and types.

use std::ops::Range;

use crate::ast::{
    Arg, AxisTerm, BinaryOp, BracketEntry, ElemType, Expr, ExprKind, Name, Param, ParamType, ResultType, TensorType, UnaryOp,
};

use super::Formatter;
use super::doc::{Doc, concat_docs};
use super::lists::{ROUND, SQUARE};
use super::text::bytes;

fn operator(op: BinaryOp) -> (&'static str, u8) {
    match op {
        BinaryOp::Where => ("where", 0),
        BinaryOp::Otherwise => ("otherwise", 0),
        BinaryOp::Or => ("or", 1),
        BinaryOp::And => ("and", 2),
        BinaryOp::Eq => ("==", 3),
        BinaryOp::Ne => ("!=", 3),
        BinaryOp::Lt => ("<", 3),
        BinaryOp::Le => ("<=", 3),
        BinaryOp::Gt => (">", 3),
        BinaryOp::Ge => (">=", 3),
        BinaryOp::Add => ("+", 4),
        BinaryOp::Sub => ("-", 4),
        BinaryOp::Mul => ("*", 5),
        BinaryOp::Div => ("/", 5),
        BinaryOp::IntDiv => ("div", 5),
        BinaryOp::Mod => ("mod", 5),
        BinaryOp::Pow => ("^", 6),
    }
}

/// The sign of an operator.
pub(super) fn sign(op: BinaryOp) -> &'static str {
    operator(op).0
}

impl Formatter<'_> {
    pub(super) fn expr(&mut self, expr: &Expr) -> Doc {
        let (place, parenthesised) = self.text.bare(expr);
        let inner = self.kind(expr, place);
        if parenthesised { concat_docs!["(", inner, ")"] } else { inner }
    }

    /// `place` is the expression without the parentheses around it.
    fn kind(&mut self, expr: &Expr, place: Range<usize>) -> Doc {
        match &*expr.node {
            ExprKind::Int(_) | ExprKind::Float(..) | ExprKind::Bool(_) | ExprKind::Text(_) | ExprKind::Name(_) => {
                Doc::text(self.text.slice(place))
            }
            ExprKind::Next(name) => Doc::Text(format!("next {}", name.node)),
            ExprKind::Field(of, name) => concat_docs![self.expr(of), format!(".{}", name.node)],
            ExprKind::Call(callee, args) => {
                let callee = self.expr(callee);
                let bounds = self.text.bracket_before(place.end);
                concat_docs![callee, self.list(args, |_, arg| arg_place(arg), Self::arg, ROUND, bounds)]
            }
            ExprKind::Bracket(of, entries) => {
                let of = self.expr(of);
                let bounds = self.text.bracket_before(place.end);
                concat_docs![of, self.list(entries, Self::entry_place, Self::entry, SQUARE, bounds)]
            }
            ExprKind::Unary(UnaryOp::Neg, of) => concat_docs!["-", self.expr(of)],
            ExprKind::Unary(UnaryOp::Not, of) => concat_docs!["not ", self.expr(of)],
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Record(fields) => self.list(
                fields,
                |_, (name, value)| bytes(name.span.to(value.span)),
                |this, (name, value)| concat_docs![format!("{}: ", name.node), this.expr(value)],
                ROUND,
                place,
            ),
            ExprKind::Tuple(values) => {
                self.list(values, |_, value| bytes(value.span), |this, value| this.expr(value), ROUND, place)
            }
            ExprKind::List(values) => {
                self.list(values, |_, value| bytes(value.span), |this, value| this.expr(value), SQUARE, place)
            }
            ExprKind::If(cond, then, otherwise) => self.if_expr(cond, then, otherwise),
            ExprKind::For(name, over, body) => {
                let head = concat_docs![format!("for {} in ", name.node), self.expr(over), " "];
                let braces = self.text.bracket_after(bytes(over.span).end);
                concat_docs![head, self.branch(body, braces)]
            }
            ExprKind::Scan(scan) => {
                let mut parts = vec![Doc::Text(format!("scan[{}]", scan.axis.node))];
                for (word, bindings) in [(" carry ", &scan.carry), (" over ", &scan.over)] {
                    if !bindings.is_empty() {
                        parts.extend([Doc::text(word), self.bindings(bindings)]);
                    }
                }
                parts.extend([Doc::text(" "), {
                    let braces = self.text.bracket_before(place.end);
                    self.body(&scan.body, braces)
                }]);
                Doc::Concat(parts)
            }
        }
    }

    /// `a = 1, b = 2`
    pub(super) fn bindings(&mut self, bindings: &[(Name, Expr)]) -> Doc {
        let shown = bindings.iter().map(|binding| self.binding(binding)).collect();
        Doc::join(shown, &Doc::text(", "))
    }

    pub(super) fn binding(&mut self, (name, value): &(Name, Expr)) -> Doc {
        concat_docs![format!("{} = ", name.node), self.expr(value)]
    }

    /// A chain of operators of one strength breaks before each of them; `Block(…) * depth` within the call alone.
    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Doc {
        let strength = operator(op).1;
        let mut chain = vec![(op, right)];
        let mut first = left;
        while let ExprKind::Binary(op, left, right) = &*first.node
            && operator(*op).1 == strength
            && !self.text.bare(first).1
        {
            chain.push((*op, right));
            first = left;
        }
        let is_atom = |expr: &Expr| matches!(&*expr.node, ExprKind::Name(_) | ExprKind::Int(_));
        let hugs = chain.len() == 1 && matches!(&*first.node, ExprKind::Call(..)) && is_atom(right);
        let mut docs = vec![self.expr(first)];
        let mut rest = Vec::new();
        for (op, operand) in chain.into_iter().rev() {
            let gap = self.text.comments_before(bytes(operand.span).start);
            let space = if hugs && gap.is_empty() { Doc::text(" ") } else { Doc::Line };
            for (i, comment) in gap.into_iter().enumerate() {
                // Two on one line would become one.
                let own_line = i > 0 || self.text.on_its_own_line(comment.start);
                let text = self.text.slice(comment);
                rest.push(if own_line { concat_docs![Doc::Hard, text] } else { Doc::Comment(text.to_owned()) });
            }
            rest.extend([space, Doc::Text(format!("{} ", sign(op))), self.expr(operand)]);
        }
        docs.push(Doc::indent(Doc::Concat(rest)));
        Doc::group(Doc::Concat(docs))
    }

    fn if_expr(&mut self, cond: &Expr, then: &Expr, otherwise: &Expr) -> Doc {
        let shown = self.expr(cond);
        let braces = self.text.bracket_after(bytes(cond.span).end);
        let end = braces.end;
        let mut parts = vec![Doc::text("if "), shown, Doc::text(" "), self.branch(then, braces), Doc::text(" else ")];
        let after_else = self.text.end_after(end);
        parts.push(match &*otherwise.node {
            ExprKind::If(cond, then, otherwise) if self.text.word_after(after_else) == "if" => {
                self.if_expr(cond, then, otherwise)
            }
            _ => {
                let braces = self.text.bracket_after(after_else);
                self.branch(otherwise, braces)
            }
        });
        Doc::Concat(parts)
    }

    fn branch(&mut self, value: &Expr, braces: Range<usize>) -> Doc {
        self.braced(&[value], |_, value| bytes(value.span), |this, value| this.expr(value), braces)
    }

    fn arg(&mut self, arg: &Arg) -> Doc {
        match &arg.name {
            Some(name) => concat_docs![format!("{}: ", name.node), self.expr(&arg.value)],
            None => self.expr(&arg.value),
        }
    }

    fn entry_place(&self, entry: &BracketEntry) -> Range<usize> {
        match entry {
            BracketEntry::Axis(term) => self.text.axis_term(term),
            BracketEntry::As(from, to) => self.text.axis_term(from).start..self.text.axis_term(to).end,
            BracketEntry::At(name, value) | BracketEntry::Sized(name, value) => bytes(name.span.to(value.span)),
            BracketEntry::Range(name, start, end, renamed) => {
                let dots = start.as_ref().map_or(self.text.end_after(bytes(name.span).end), |start| bytes(start.span).end);
                let dots = self.text.end_after(dots);
                let end = end.as_ref().map_or(dots, |end| bytes(end.span).end);
                bytes(name.span).start..renamed.as_ref().map_or(end, |name| bytes(name.span).end)
            }
        }
    }

    fn entry(&mut self, entry: &BracketEntry) -> Doc {
        match entry {
            BracketEntry::Axis(term) => Doc::Text(axis_term(term)),
            BracketEntry::As(from, to) => Doc::Text(format!("{} as {}", axis_term(from), axis_term(to))),
            BracketEntry::At(name, value) => {
                concat_docs![format!("{}: ", name.node), self.expr(value)]
            }
            BracketEntry::Sized(name, size) => {
                concat_docs![format!("{} = ", name.node), self.expr(size)]
            }
            BracketEntry::Range(name, start, end, renamed) => {
                let mut parts = vec![Doc::Text(format!("{}: ", name.node))];
                parts.extend(start.as_ref().map(|start| self.expr(start)));
                parts.push(Doc::text(".."));
                parts.extend(end.as_ref().map(|end| self.expr(end)));
                parts.extend(renamed.as_ref().map(|name| Doc::Text(format!(" as {}", name.node))));
                Doc::Concat(parts)
            }
        }
    }

    /// The list that a parameter list's bracket starts at or after `at`.
    pub(super) fn params(&mut self, params: &[Param], at: usize) -> Doc {
        let bounds = self.text.bracket_after(at);
        self.list(params, |this, param| this.text.param(param), Self::param, ROUND, bounds)
    }

    fn param(&mut self, param: &Param) -> Doc {
        let mut parts = vec![Doc::text(param.name.as_str())];
        if let Some(ty) = &param.ty {
            parts.push(Doc::Text(format!(": {}", param_type(ty))));
        }
        if let Some(default) = &param.default {
            parts.extend([Doc::text(" = "), self.expr(default)]);
        }
        Doc::Concat(parts)
    }

    pub(super) fn result(&mut self, result: &ResultType) -> Doc {
        match result {
            ResultType::Tensor(ty) => Doc::Text(tensor_type(ty)),
            ResultType::Record(fields, span) => self.list(
                fields,
                |_, (name, ty)| bytes(name.span.to(ty.span)),
                |_, (name, ty)| Doc::Text(format!("{}: {}", name.node, tensor_type(ty))),
                ROUND,
                bytes(*span),
            ),
        }
    }
}

fn arg_place(arg: &Arg) -> Range<usize> {
    bytes(arg.name.as_ref().map_or(arg.value.span, |name| name.span.to(arg.value.span)))
}

/// The names with `separator` between two.
pub(super) fn names(names: &[Name], separator: &str) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(separator)
}

pub(super) fn axis_term(term: &AxisTerm) -> String {
    match term {
        AxisTerm::Name(path) => names(path, "."),
        AxisTerm::Product(terms, _) => format!("({})", terms.iter().map(axis_term).collect::<Vec<_>>().join(", ")),
        AxisTerm::Row(name) => format!("..{}", name.node),
        AxisTerm::PartOfRow(name) => format!("..<{}", name.node),
        AxisTerm::AnyRow(_) => "..".to_owned(),
    }
}

pub(crate) fn tensor_type(ty: &TensorType) -> String {
    let axes = ty.axes.iter().map(axis_term).collect::<Vec<_>>().join(", ");
    match &ty.elem {
        None => format!("[{axes}]"),
        Some(ElemType::Float(_)) => format!("[{axes}] of float"),
        Some(ElemType::Int(_)) => format!("[{axes}] of int"),
        Some(ElemType::Bool(_)) => format!("[{axes}] of bool"),
        Some(ElemType::Index(axis)) => format!("[{axes}] of {}", axis.node),
        Some(ElemType::IndexOr(axis, other)) => format!("[{axes}] of {} or {other}", axis.node),
    }
}

fn param_type(ty: &ParamType) -> String {
    match ty {
        ParamType::Tensor(ty) => tensor_type(ty),
        ParamType::Shared(ty) => format!("param{}", tensor_type(ty)),
        ParamType::Instance(name) => name.node.clone(),
        ParamType::Axis => "axis".to_owned(),
        ParamType::Int => "int".to_owned(),
        ParamType::Float => "float".to_owned(),
        ParamType::Bool => "bool".to_owned(),
        ParamType::Text => "text".to_owned(),
        ParamType::Fn => "fn".to_owned(),
        ParamType::Schedule => "schedule".to_owned(),
    }
}
