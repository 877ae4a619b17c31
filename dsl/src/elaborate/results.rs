//! Values as a signature declares them: arguments on the way in, results on the way out.

use crate::ast::{self, AxisTerm, ElemType, Param, ResultType, TensorType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::op::{Number, Op};
use crate::span::Span;
use crate::types::Elem;

use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Tensor, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// A tensor as its parameter's type says.
    pub(crate) fn argument(
        &mut self,
        param: &Param,
        ty: &TensorType,
        value: Val<'p, E>,
        span: Span,
        scope: &Names<'p, E>,
    ) -> Done<Tensor<E::Value>> {
        let elem = match &ty.elem {
            Some(ElemType::Index(name)) if self.find_axis(&name.node, scope, &[]).is_none() => None,
            elem => Some(self.elem(elem.as_ref(), scope)?),
        };
        if let (Value::Int(n), Some(Elem::Index(axis))) = (&value, elem) {
            return Ok(Tensor { value: self.constant_index(n, axis, span)?, mask: None });
        }
        let tensor = self.tensor(&value, span)?;
        let Some(elem) = elem else { return Ok(tensor) };
        let value = self.as_elem(&tensor.value, elem, span, Some(param))?;
        Ok(Tensor { value, mask: tensor.mask })
    }

    /// The value holding what is wanted: integers become floats, indices integers, and an index fits an axis of its size.
    pub(crate) fn as_elem(&mut self, value: &E::Value, elem: Elem, span: Span, param: Option<&Param>) -> Done<E::Value> {
        let has = self.emit.type_of(value);
        match (has.elem, elem) {
            (a, b) if a == b => Ok(value.clone()),
            (Elem::Int | Elem::Index(_), Elem::Float) => Ok(self.as_float(value)),
            (Elem::Index(_), Elem::Int) => Ok(self.sure(Op::Cast(Elem::Int), std::slice::from_ref(value))),
            (Elem::Index(_) | Elem::Int, Elem::Index(axis)) => self.index_into(&plain(value.clone()), axis, span),
            _ => {
                let (shown, wanted) = (self.show(&has), self.show(&has.of(elem)));
                let what = param.map_or("the result".into(), |p| format!("`{}`", p.name.node));
                let mut d = Diagnostic::error("W0402", format!("{what} holds another kind of value"), span, shown.clone())
                    .expected(&wanted, &shown);
                if let Some(param) = param {
                    d = d.label(param.name.span, format!("`{}` is declared here", param.name.node));
                }
                if has.elem == Elem::Bool {
                    let text = self.program.sources().text(span).to_owned();
                    d = d.fix(span, format!("select({text}, 1, 0)"), "make numbers of the truth values");
                }
                Err(self.report(d))
            }
        }
    }

    /// While checking: a value of the declared type.
    pub(crate) fn declared(&mut self, result: &ResultType, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let one = |session: &mut Self, ty: &TensorType| -> Done<Val<'p, E>> {
            let axes = session.terms(&ty.axes, scope, &[])?;
            let elem = session.elem(ty.elem.as_ref(), scope)?;
            let value = session.sure(Op::Constant(Number(0.0), elem, axes), &[]);
            session.seen(&value, span);
            Ok(plain(value))
        };
        match result {
            ResultType::Tensor(ty) => one(self, ty),
            ResultType::Record(fields, _) => {
                let fields = fields.iter().map(|(name, ty)| one(self, ty).map(|value| (name.node.clone(), value)));
                fields.collect::<Done<Vec<_>>>().map(Value::Record)
            }
        }
    }

    /// The value of a body as its `fn` declares it; no axis may be left over.
    pub(crate) fn as_declared(
        &mut self,
        value: Val<'p, E>,
        result: &'p ResultType,
        scope: &Names<'p, E>,
        def: &'p ast::Fn,
    ) -> Done<Val<'p, E>> {
        let span = last_span(&def.body).unwrap_or(def.span);
        match (result, value) {
            (_, Value::Unknown) => Err(Reported),
            (ResultType::Tensor(ty), value) => self.one_result(value, ty, scope, span),
            (ResultType::Record(fields, whole), value) => {
                let values: Vec<(String, Val<'p, E>)> = match value {
                    Value::Record(values) => values,
                    Value::Tuple(values) if values.len() == fields.len() => {
                        fields.iter().zip(values).map(|((name, _), value)| (name.node.clone(), value)).collect()
                    }
                    value if fields.len() == 1 => vec![(fields[0].0.node.clone(), value)],
                    other => {
                        let d =
                            Diagnostic::error("W0407", format!("{} results are declared", fields.len()), span, other.kind())
                                .label(*whole, "declared here");
                        return Err(self.report(d));
                    }
                };
                let mut out = Vec::new();
                for (name, ty) in fields {
                    let Some((_, value)) = values.iter().find(|(n, _)| *n == name.node) else {
                        let d = Diagnostic::error(
                            "W0407",
                            format!("the result `{}` is missing", name.node),
                            span,
                            "not among these",
                        )
                        .label(name.span, "declared here");
                        return Err(self.report(d));
                    };
                    let value = self.one_result(value.clone(), ty, scope, span).unwrap_or(Value::Unknown);
                    out.push((name.node.clone(), value));
                }
                if let Some((extra, _)) = values.iter().find(|(n, _)| !fields.iter().any(|(f, _)| f.node == *n)) {
                    let d = Diagnostic::error("W0407", format!("no result `{extra}` is declared"), span, "")
                        .label(*whole, "declared here");
                    return Err(self.report(d));
                }
                Ok(Value::Record(out))
            }
        }
    }

    fn one_result(&mut self, value: Val<'p, E>, ty: &'p TensorType, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let tensor = self.tensor(&value, span)?;
        let value = self.whole(&Value::Tensor(tensor), span)?;
        if ty.axes.iter().any(|term| matches!(term, AxisTerm::AnyRow(_))) {
            let elem = self.elem(ty.elem.as_ref(), scope)?;
            return self.as_elem(&value, elem, span, None).map(plain);
        }
        let declared = self.terms(&ty.axes, scope, &[])?;
        let has = self.emit.type_of(&value);
        let stray: Vec<_> = has.axes.iter().copied().filter(|a| !declared.contains(a)).collect();
        if let Some(&first) = stray.first() {
            let (shown, name) = (self.show(&has), self.name_of(first));
            let wanted = self.program.sources().text(ty.span).to_owned();
            let mut d = Diagnostic::error(
                "W0305",
                format!("the axis `{name}` is left over in the result"),
                span,
                format!("this is {shown}"),
            )
            .label(ty.span, "the result is declared here")
            .expected(wanted, &shown);
            if let Some(place) = self.origin(first).filter(|&place| place != span) {
                d = d.label(place, format!("`{name}` comes in here"));
            }
            d = d.help(format!("reduce it (`sum[{name}](…)`), or declare it in the result"));
            return Err(self.report(d));
        }
        let elem = self.elem(ty.elem.as_ref(), scope)?;
        self.as_elem(&value, elem, span, None).map(plain)
    }

    /// Whether what is wrong with a value was said where it was made: it is unknown, or a call of the library's that lacks an axis
    /// after a fault there.
    pub(crate) fn is_said(&self, value: &Val<'p, E>) -> bool {
        matches!(value, Value::Unknown) || matches!(value, Value::Fn(_)) && !self.blamed.is_empty()
    }
}

/// The place of a body's value.
pub(crate) fn last_span(body: &[ast::Stmt]) -> Option<Span> {
    match body.last()? {
        ast::Stmt::Expr(expr) => Some(expr.span),
        ast::Stmt::If(branch) => last_span(&branch.then),
        _ => None,
    }
}
