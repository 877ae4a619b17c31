//! Statements and declarations.

use std::ops::Range;

use crate::ast::{AxisDecl, AxisSize, Fn, If, Let, Stmt};

use super::Formatter;
use super::doc::{Doc, concat_docs};
use super::exprs::{axis_term, names};
use super::text::bytes;

impl Formatter<'_> {
    pub(super) fn body(&mut self, body: &[Stmt], braces: Range<usize>) -> Doc {
        self.braced(body, Self::stmt_place, Self::stmt, braces)
    }

    /// Where a statement stands: the tree holds the places of its parts, the words before them are counted in tokens.
    fn stmt_place(&self, stmt: &Stmt) -> Range<usize> {
        match stmt {
            Stmt::Let(binding) => self.let_place(binding),
            Stmt::Axis(axis) => self.axis_place(axis),
            Stmt::Fn(function) => bytes(function.span),
            Stmt::For(fold) => {
                let braces = self.text.bracket_after(bytes(fold.over.span).end);
                self.text.back(bytes(fold.var.span).start, 1)..braces.end
            }
            Stmt::If(choice) => self.if_place(choice, nested),
            Stmt::Next(name, value) | Stmt::Metric(name, value) => {
                self.text.back(bytes(name.span).start, 1)..bytes(value.span).end
            }
            Stmt::Yield(value) | Stmt::Assert(value) => {
                let value = bytes(value.span);
                self.text.back(value.start, 1)..value.end
            }
            Stmt::Expr(value) => bytes(value.span),
        }
    }

    pub(super) fn let_place(&self, binding: &Let) -> Range<usize> {
        let start = binding.names.first().map_or(0, |name| bytes(name.span).start);
        let start = if binding.names.len() > 1 { self.text.back(start, 1) } else { start };
        start..bytes(binding.value.span).end
    }

    pub(super) fn axis_place(&self, axis: &AxisDecl) -> Range<usize> {
        let end = match &axis.size {
            AxisSize::Is(size) => bytes(size.span).end,
            AxisSize::Like(term) => self.text.axis_term(term).end,
        };
        self.text.back(bytes(axis.name.span).start, 1)..end
    }

    /// `nested` is the `if` that a node of an else branch is.
    pub(super) fn if_place<T>(&self, choice: &If<T>, nested: fn(&T) -> Option<&If<T>>) -> Range<usize> {
        let start = self.text.back(bytes(choice.cond.span).start, 1);
        let mut choice = choice;
        loop {
            let end = self.text.bracket_after(bytes(choice.cond.span).end).end;
            if self.text.word_after(end) != "else" {
                return start..end;
            }
            let after_else = self.text.end_after(end);
            match choice.otherwise.first().and_then(nested) {
                Some(nested) if self.text.word_after(after_else) == "if" => choice = nested,
                _ => return start..self.text.bracket_after(after_else).end,
            }
        }
    }

    pub(super) fn choice<T>(
        &mut self,
        choice: &If<T>,
        nested: fn(&T) -> Option<&If<T>>,
        body: fn(&mut Self, &[T], Range<usize>) -> Doc,
    ) -> Doc {
        let mut parts = Vec::new();
        let mut choice = choice;
        loop {
            let cond = self.expr(&choice.cond);
            let braces = self.text.bracket_after(bytes(choice.cond.span).end);
            let end = braces.end;
            parts.extend([Doc::text("if "), cond, Doc::text(" "), body(self, &choice.then, braces)]);
            if self.text.word_after(end) != "else" {
                return Doc::Concat(parts);
            }
            parts.push(Doc::text(" else "));
            let after_else = self.text.end_after(end);
            match choice.otherwise.first().and_then(nested) {
                Some(nested) if self.text.word_after(after_else) == "if" => choice = nested,
                _ => {
                    let braces = self.text.bracket_after(after_else);
                    parts.push(body(self, &choice.otherwise, braces));
                    return Doc::Concat(parts);
                }
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt) -> Doc {
        match stmt {
            Stmt::Let(binding) => self.binding_stmt(binding),
            Stmt::Axis(axis) => self.axis(axis),
            Stmt::Fn(function) => self.function(function),
            Stmt::For(fold) => {
                let over = self.expr(&fold.over);
                let braces = self.text.bracket_after(bytes(fold.over.span).end);
                concat_docs![format!("for {} in ", fold.var.node), over, " ", self.body(&fold.body, braces)]
            }
            Stmt::If(choice) => self.choice(choice, nested, Self::body),
            Stmt::Next(name, value) => {
                concat_docs![format!("next {} = ", name.node), self.expr(value)]
            }
            Stmt::Yield(value) => concat_docs!["yield ", self.expr(value)],
            Stmt::Metric(name, value) => {
                concat_docs![format!("metric {} = ", name.node), self.expr(value)]
            }
            Stmt::Assert(value) => concat_docs!["assert ", self.expr(value)],
            Stmt::Expr(value) => self.expr(value),
        }
    }

    pub(super) fn binding_stmt(&mut self, binding: &Let) -> Doc {
        let bound = names(&binding.names, ", ");
        let bound = if binding.names.len() > 1 { format!("({bound}) = ") } else { format!("{bound} = ") };
        concat_docs![bound, self.expr(&binding.value)]
    }

    pub(super) fn axis(&mut self, axis: &AxisDecl) -> Doc {
        match &axis.size {
            AxisSize::Is(size) => {
                concat_docs![format!("axis {} = ", axis.name.node), self.expr(size)]
            }
            AxisSize::Like(term) => Doc::Text(format!("axis {} like {}", axis.name.node, axis_term(term))),
        }
    }

    pub(super) fn function(&mut self, function: &Fn) -> Doc {
        let place = bytes(function.span);
        let mut head = "fn ".to_owned();
        let mut at = place.start;
        if let Some(name) = &function.name {
            head.push_str(name);
            at = bytes(name.span).end;
        }
        if let Some(last) = function.axes.last() {
            head.push_str(&format!("[{}]", names(&function.axes, ", ")));
            // Past a trailing comma and the bracket.
            at = bytes(last.span).end;
            at = self.text.end_after(at);
            at = if self.text.slice(at - 1..at) == "," { self.text.end_after(at) } else { at };
        }
        let mut parts = vec![Doc::Text(head), self.params(&function.params, at)];
        if let Some(result) = &function.result {
            parts.extend([Doc::text(" -> "), self.result(result)]);
        }
        match function.body.as_slice() {
            [Stmt::Expr(value)] if function.short => {
                let value = concat_docs![Doc::Line, self.expr(value)];
                parts.extend([Doc::text(" ="), Doc::group(Doc::indent(value))]);
            }
            body => {
                let braces = self.text.bracket_before(place.end);
                parts.extend([Doc::text(" "), self.body(body, braces)]);
            }
        }
        Doc::Concat(parts)
    }
}

fn nested(stmt: &Stmt) -> Option<&If<Stmt>> {
    if let Stmt::If(choice) = stmt { Some(choice) } else { None }
}
