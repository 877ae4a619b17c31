//! Expressions. Operators are grouped by pest's precedence climber, in the order that [`BinaryOp`] documents.

use std::sync::LazyLock;

use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op, PrattParser};

use crate::ast::{Arg, AxisTerm, BinaryOp, BracketEntry, Expr, ExprKind, Name, Scan, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};

use super::Rule;
use super::brackets::nested_too_deep;
use super::builder::{Builder, Parts, only, parts};

/// How deep an expression tree may be: later stages recurse over it.
const MAX_TREE: usize = 400;

static OPERATORS: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::op_where) | left(Rule::op_otherwise))
        .op(left(Rule::op_or))
        .op(left(Rule::op_and))
        .op(left(Rule::op_eq)
            | left(Rule::op_ne)
            | left(Rule::op_lt)
            | left(Rule::op_le)
            | left(Rule::op_gt)
            | left(Rule::op_ge))
        .op(left(Rule::op_add) | left(Rule::op_sub))
        .op(left(Rule::op_mul) | left(Rule::op_div) | left(Rule::op_int_div) | left(Rule::op_mod))
        .op(Op::prefix(Rule::op_neg) | Op::prefix(Rule::op_not))
        .op(Op::infix(Rule::op_pow, Assoc::Right))
});

/// The operator that a rule stands for.
pub(super) fn binary_op(rule: Rule) -> BinaryOp {
    match rule {
        Rule::op_where => BinaryOp::Where,
        Rule::op_otherwise => BinaryOp::Otherwise,
        Rule::op_or => BinaryOp::Or,
        Rule::op_and => BinaryOp::And,
        Rule::op_eq => BinaryOp::Eq,
        Rule::op_ne => BinaryOp::Ne,
        Rule::op_lt => BinaryOp::Lt,
        Rule::op_le => BinaryOp::Le,
        Rule::op_gt => BinaryOp::Gt,
        Rule::op_ge => BinaryOp::Ge,
        Rule::op_add => BinaryOp::Add,
        Rule::op_sub => BinaryOp::Sub,
        Rule::op_mul => BinaryOp::Mul,
        Rule::op_div => BinaryOp::Div,
        Rule::op_int_div => BinaryOp::IntDiv,
        Rule::op_mod => BinaryOp::Mod,
        _ => BinaryOp::Pow,
    }
}

fn compares(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
}

fn expr(kind: ExprKind, span: Span) -> Expr {
    Spanned { node: Box::new(kind), span }
}

impl Builder<'_> {
    /// An expression. Its span takes in the parentheses around it, if any.
    pub(super) fn expr(&self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let length = pair.clone().into_inner().count();
        if self.limit_depth(length, span) {
            return expr(ExprKind::Tuple(Vec::new()), span);
        }
        self.depth.set(self.depth.get() + length);
        let made = OPERATORS
            .map_primary(|operand| self.operand(operand))
            .map_prefix(|op, value| {
                let span = self.span(&op).to(value.span);
                let op = if op.as_rule() == Rule::op_neg { UnaryOp::Neg } else { UnaryOp::Not };
                expr(ExprKind::Unary(op, value), span)
            })
            .map_infix(|left, op, right| self.infix(left, &op, right))
            .parse(pair.into_inner());
        self.depth.set(self.depth.get() - length);
        made
    }

    /// Reports a tree that would get more than [`MAX_TREE`] deep with `more` levels below this one.
    pub(super) fn limit_depth(&self, more: usize, at: Span) -> bool {
        let over = self.depth.get() + more > MAX_TREE;
        if over {
            self.report(nested_too_deep(at));
        }
        over
    }

    fn infix(&self, left: Expr, op: &Pair<'_, Rule>, right: Expr) -> Expr {
        let place = self.span(op);
        let op = binary_op(op.as_rule());
        if compares(op)
            && let ExprKind::Binary(first, _, _) = *left.node
            && compares(first)
            && !self.in_parentheses(left.span)
        {
            self.report(
                Diagnostic::error("W0007", "comparisons do not chain", place, "a second comparison of the same values")
                    .label(left.span, "this is already a truth value")
                    .help("join two comparisons with `and`: `a < b and b < c`"),
            );
        }
        let span = left.span.to(right.span);
        expr(ExprKind::Binary(op, left, right), span)
    }

    /// Whether an operand of a comparison was written in parentheses: the span then starts with one, and no operand of a
    /// bare comparison chain can end with the one that matches it.
    fn in_parentheses(&self, span: Span) -> bool {
        let text = &self.source[span.start as usize..span.end as usize];
        let mut depth = 0_usize;
        for token in super::tokens::tokens(text) {
            match token.kind {
                super::tokens::TokenKind::Open => depth += 1,
                super::tokens::TokenKind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return token.end == text.len() && text.starts_with('(');
            }
        }
        false
    }

    fn operand(&self, pair: Pair<'_, Rule>) -> Expr {
        let mut inner = parts(pair);
        let mut value = self.primary(inner.part());
        let start = value.span;
        for (count, part) in inner.enumerate() {
            let span = start.to(self.span(&part));
            if self.limit_depth(count, span) {
                break;
            }
            let kind = match part.as_rule() {
                Rule::call => ExprKind::Call(value, self.args(parts(part))),
                Rule::field => ExprKind::Field(value, self.name(only(part))),
                _ => ExprKind::Bracket(value, parts(part).map(|entry| self.entry(only(entry))).collect()),
            };
            value = expr(kind, span);
        }
        value
    }

    fn primary(&self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::int => ExprKind::Int(self.int(&pair)),
            Rule::float => self.float(&pair),
            Rule::string => ExprKind::Text(self.text(&pair).node),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::next_value => ExprKind::Next(self.name(only(pair))),
            Rule::paren => return self.paren(pair),
            Rule::list => ExprKind::List(parts(pair).map(|item| self.expr(item)).collect()),
            Rule::if_expr => return self.if_expr(parts(pair), span),
            Rule::scan => ExprKind::Scan(self.scan(pair)),
            Rule::for_expr => {
                let mut inner = parts(pair);
                let (name, over) = (self.name(inner.part()), self.expr(inner.part()));
                ExprKind::For(name, over, self.expr(only(inner.part())))
            }
            _ => ExprKind::Name(pair.as_str().to_owned()),
        };
        expr(kind, span)
    }

    pub(super) fn int(&self, pair: &Pair<'_, Rule>) -> i64 {
        let digits = pair.as_str().replace('_', "");
        digits.parse().unwrap_or_else(|_| {
            self.report(
                Diagnostic::error("W0008", "this number is too large", self.span(pair), "more than 64 bits")
                    .help("write it with an exponent, such as `1e20`, if a float is meant"),
            );
            0
        })
    }

    fn float(&self, pair: &Pair<'_, Rule>) -> ExprKind {
        let text = pair.as_str();
        let value: f64 = text.replace('_', "").parse().unwrap_or(f64::INFINITY);
        if value.is_infinite() {
            self.report(Diagnostic::error("W0008", "this number is too large", self.span(pair), "beyond 1.8e308"));
        }
        ExprKind::Float(value, text.to_owned())
    }

    /// A text without its quotes, and with its escapes resolved.
    pub(super) fn text(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        let span = self.span(pair);
        let quoted = pair.as_str();
        let mut text = String::new();
        let mut chars = quoted[1..quoted.len() - 1].chars();
        while let Some(c) = chars.next() {
            text.push(match (c, c == '\\') {
                (_, false) => c,
                _ => match chars.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(quoted @ ('"' | '\\')) => quoted,
                    _ => {
                        self.report(
                            Diagnostic::error("W0010", "unknown escape in a text", span, "")
                                .help(r#"a text knows `\n`, `\t`, `\"` and `\\`"#),
                        );
                        break;
                    }
                },
            });
        }
        Spanned { node: text, span }
    }

    fn args(&self, args: Parts<'_>) -> Vec<Arg> {
        args.map(|arg| {
            let mut inner = parts(arg);
            let name = inner.take_if(Rule::arg_name).map(|name| self.name(only(name)));
            Arg { name, value: self.expr(inner.part()) }
        })
        .collect()
    }

    /// `(e)`, `(a, b)` or `(x: a, y: b)`.
    fn paren(&self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut args = self.args(parts(pair));
        let named = args.iter().filter(|arg| arg.name.is_some()).count();
        if args.is_empty() {
            let help = "write a value, or `(a, b)` for several";
            self.report(
                Diagnostic::error("W0011", "these parentheses are empty", span, "expected a value in here").help(help),
            );
        }
        if named > 0 && named < args.len() {
            let bare = args.iter().find(|arg| arg.name.is_none()).map_or(span, |arg| arg.value.span);
            self.report(
                Diagnostic::error("W0012", "a record needs a name for each of its values", bare, "this value has no name")
                    .help("write `(logits: a, hidden: b)`, or `(a, b)` without names"),
            );
        }
        if named > 0 {
            let fields = args.into_iter().filter_map(|arg| Some((arg.name?, arg.value)));
            return expr(ExprKind::Record(fields.collect()), span);
        }
        if args.len() == 1
            && let Some(only) = args.pop()
        {
            return Spanned { node: only.value.node, span };
        }
        expr(ExprKind::Tuple(args.into_iter().map(|arg| arg.value).collect()), span)
    }

    fn if_expr(&self, chain: Parts<'_>, span: Span) -> Expr {
        let mut exprs: Vec<Expr> = chain
            .map(|part| if part.as_rule() == Rule::value_body { self.expr(only(part)) } else { self.expr(part) })
            .collect();
        self.limit_depth(exprs.len() / 2, span);
        let mut value = exprs.pop().expect("the grammar gives an else");
        while let (Some(then), Some(cond)) = (exprs.pop(), exprs.pop()) {
            let span = if exprs.is_empty() { span } else { cond.span.to(value.span) };
            value = expr(ExprKind::If(cond, then, value), span);
        }
        value
    }

    /// `name = e`, in a list or as a line of a recipe.
    pub(super) fn binding(&self, pair: Pair<'_, Rule>) -> (Name, Expr) {
        let mut inner = parts(pair);
        (self.name(inner.part()), self.expr(inner.part()))
    }

    pub(super) fn bindings(&self, bindings: Parts<'_>) -> Vec<(Name, Expr)> {
        bindings.map(|binding| self.binding(binding)).collect()
    }

    fn scan(&self, pair: Pair<'_, Rule>) -> Scan {
        let mut inner = parts(pair);
        let axis = self.name(inner.part());
        let carry = inner.take_if(Rule::carry).map(|carry| self.bindings(parts(carry))).unwrap_or_default();
        let over = inner.take_if(Rule::scan_over).map(|over| self.bindings(parts(over))).unwrap_or_default();
        Scan { axis, carry, over, body: self.body(inner.part()) }
    }

    fn entry(&self, pair: Pair<'_, Rule>) -> BracketEntry {
        let rule = pair.as_rule();
        let mut inner = parts(pair);
        match rule {
            Rule::at_entry => {
                let name = self.name(inner.part());
                let start = inner.take_if(Rule::expr).map(|start| self.expr(start));
                let Some(tail) = inner.take_if(Rule::range_tail) else {
                    return match start {
                        Some(at) => BracketEntry::At(name, at),
                        None => BracketEntry::Range(name, None, None, None),
                    };
                };
                let mut tail = parts(tail);
                let end = tail.take_if(Rule::expr).map(|end| self.expr(end));
                let renamed = tail.take_if(Rule::range_name).map(|name| self.name(only(name)));
                BracketEntry::Range(name, start, end, renamed)
            }
            Rule::sized_entry => BracketEntry::Sized(self.name(inner.part()), self.expr(inner.part())),
            _ => {
                let axis: AxisTerm = self.axis_term(inner.part());
                match inner.next() {
                    Some(renamed) => BracketEntry::As(axis, self.axis_term(renamed)),
                    None => BracketEntry::Axis(axis),
                }
            }
        }
    }
}
