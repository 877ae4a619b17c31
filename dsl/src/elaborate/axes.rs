//! What stands where an axis is expected.

use crate::ast::{AxisDecl, AxisSize, AxisTerm, ElemType, Expr, ExprKind, Name, TensorType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::size::Size;
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::nearest::{list, nearest, suggest};
use super::session::{Done, Names, Reported, Session};
use super::value::Value;

/// The place of an axis term.
pub(crate) fn term_span(term: &AxisTerm) -> Span {
    match term {
        AxisTerm::Name(path) => path.iter().fold(path[0].span, |span, name| span.to(name.span)),
        AxisTerm::Product(_, span) | AxisTerm::AnyRow(span) => *span,
        AxisTerm::Row(name) | AxisTerm::PartOfRow(name) => name.span,
    }
}

/// The single names that a type mentions as axes.
pub(crate) fn mentioned<'p>(terms: &'p [AxisTerm], out: &mut Vec<&'p Name>) {
    for term in terms {
        match term {
            AxisTerm::Name(path) if path.len() == 1 => out.push(&path[0]),
            AxisTerm::Product(parts, _) => mentioned(parts, out),
            AxisTerm::Name(_) | AxisTerm::Row(_) | AxisTerm::PartOfRow(_) | AxisTerm::AnyRow(_) => {}
        }
    }
}

/// All names that a tensor type mentions as axes, that of its elements included.
pub(crate) fn mentioned_in<'p>(ty: &'p TensorType, out: &mut Vec<&'p Name>) {
    mentioned(&ty.axes, out);
    if let Some(ElemType::Index(name) | ElemType::IndexOr(name, _)) = &ty.elem {
        out.push(name);
    }
}

impl<'p, E: Emit> Session<'p, E> {
    /// The axes of a name, as seen from a value: those the scope gives it if the value has them, else the value's own axis of that
    /// name, else the scope's.
    pub(crate) fn find_axis(&mut self, name: &str, scope: &Names<'p, E>, candidates: &[Axis]) -> Option<Vec<Axis>> {
        let known = scope.axis(name).or_else(|| self.top_axis(scope, name));
        if let Some(axes) = &known
            && axes.iter().all(|axis| candidates.contains(axis))
        {
            return known;
        }
        let mut named = candidates.iter().copied().filter(|&axis| self.emit.axes()[axis].name == name);
        match (named.next(), known) {
            (Some(axis), _) => Some(vec![axis]),
            (None, known) => known,
        }
    }

    /// An `axis` item of the file.
    fn top_axis(&mut self, scope: &Names<'p, E>, name: &str) -> Option<Vec<Axis>> {
        match self.top(scope.file, name)? {
            Value::Axis(axes) => Some(axes),
            _ => None,
        }
    }

    /// The axes of a term; an error where a name is unknown.
    pub(crate) fn term(&mut self, term: &AxisTerm, scope: &Names<'p, E>, candidates: &[Axis]) -> Done<Vec<Axis>> {
        match term {
            AxisTerm::Name(path) if path.len() == 1 => match self.find_axis(&path[0].node, scope, candidates) {
                Some(axes) => Ok(axes),
                None => Err(self.unknown_axis(&path[0], scope, candidates)),
            },
            AxisTerm::Name(path) => self.axis_of_instance(path, scope),
            AxisTerm::Product(parts, _) => {
                let mut axes = Vec::new();
                for part in parts {
                    axes.extend(self.term(part, scope, candidates)?);
                }
                Ok(axes)
            }
            AxisTerm::Row(name) | AxisTerm::PartOfRow(name) => match scope.row(&name.node) {
                Some(axes) => Ok(axes),
                None => Err(self.error(
                    "W0306",
                    format!("no row `..{}` is known here", name.node),
                    name.span,
                    "a signature introduces rows",
                )),
            },
            AxisTerm::AnyRow(span) => Err(self.error(
                "W0306",
                "a row without a name stands only in signatures",
                *span,
                "give it a name there: `..r`",
            )),
        }
    }

    /// The axes of several terms.
    pub(crate) fn terms(&mut self, terms: &[AxisTerm], scope: &Names<'p, E>, candidates: &[Axis]) -> Done<Vec<Axis>> {
        let mut axes = Vec::new();
        for term in terms {
            axes.extend(self.term(term, scope, candidates)?);
        }
        Ok(axes)
    }

    fn axis_of_instance(&mut self, path: &[Name], scope: &Names<'p, E>) -> Done<Vec<Axis>> {
        let (last, init) = path.split_last().ok_or(Reported)?;
        let mut value = self.name(&init[0], scope)?;
        for name in &init[1..] {
            value = self.field(&value, name, init[0].span)?;
        }
        match self.field(&value, last, init[0].span)? {
            Value::Axis(axes) => Ok(axes),
            Value::Unknown => Err(Reported),
            other => Err(self.error("W0301", format!("`{}` is not an axis", last.node), last.span, other.kind())),
        }
    }

    pub(crate) fn unknown_axis(&mut self, name: &Name, scope: &Names<'p, E>, candidates: &[Axis]) -> Reported {
        if let Some(place) = self.declared_below(name) {
            return self.used_before(name, place);
        }
        let other = scope.get(&name.node).or_else(|| self.top(scope.file, &name.node));
        if matches!(other, Some(Value::Unknown)) {
            // It was declared, and that is where the fault lies.
            return Reported;
        }
        let mut names = Vec::new();
        scope.names(&mut names);
        names.retain(|n| scope.axis(n).is_some());
        names.extend(candidates.iter().map(|&a| self.emit.axes()[a].name.clone()).collect::<Vec<_>>());
        names.sort();
        names.dedup();
        let mut d = Diagnostic::error("W0301", format!("no axis `{}` is known here", name.node), name.span, "not an axis");
        if !names.is_empty() {
            d = d.note(format!("known axes: {}", list(names.iter().map(String::as_str))));
        }
        let near = nearest(&name.node, names.iter().map(String::as_str));
        self.report(suggest(d, name.span, near))
    }

    /// One axis, where a product will not do.
    pub(crate) fn single(&mut self, axes: &[Axis], span: Span, what: &str) -> Done<Axis> {
        match axes {
            [axis] => Ok(*axis),
            _ => {
                let shown = self.show_axes(axes);
                Err(self.report(
                    Diagnostic::error("W0307", format!("{what} takes one axis"), span, format!("this stands for {shown}"))
                        .help("merge them first: `x[(a, b) as c]`"),
                ))
            }
        }
    }

    /// The element type that is written.
    pub(crate) fn elem(&mut self, elem: Option<&ElemType>, scope: &Names<'p, E>) -> Done<Elem> {
        Ok(match elem {
            None | Some(ElemType::Float(_)) => Elem::Float,
            Some(ElemType::Int(_) | ElemType::IndexOr(..)) => Elem::Int,
            Some(ElemType::Bool(_)) => Elem::Bool,
            Some(ElemType::Index(name)) => {
                let axes = self.term(&AxisTerm::Name(vec![name.clone()]), scope, &[])?;
                Elem::Index(self.single(&axes, name.span, "`of`")?)
            }
        })
    }

    /// Declares an axis: `axis key = size(feature) / heads`, `axis input like feature`.
    pub(crate) fn declare_axis(&mut self, decl: &'p AxisDecl, scope: &Names<'p, E>) -> Done<()> {
        let name = decl.name.node.as_str();
        let axes = match &decl.size {
            AxisSize::Is(expr) => {
                let size = self.size_value(expr, scope)?;
                if size.known() == Some(0) {
                    let d = Diagnostic::error("W0206", format!("the axis `{name}` has no places"), expr.span, "0");
                    return Err(self.report(d.help("the size of an axis is 1 or more")));
                }
                // Once configuration is known, what is left free are the sizes of batches.
                let outer = !self.checking && size.known().is_none();
                vec![self.emit.axes().fresh(name, size, outer)]
            }
            AxisSize::Like(term) => match self.term(term, scope, &[])?.as_slice() {
                [axis] => vec![self.emit.axes().like(*axis, name)],
                parts => parts
                    .iter()
                    .map(|&part| {
                        let own = self.name_of(part);
                        self.emit.axes().like(part, &own)
                    })
                    .collect(),
            },
        };
        scope.set_axis(name, axes, decl.name.span);
        Ok(())
    }

    /// A size: a whole number that is not negative.
    pub(crate) fn size_value(&mut self, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Size> {
        let value = self.eval(expr, scope)?;
        let size = self.whole_number(&value, expr.span)?;
        match size.known() {
            Some(n) if n < 0 => Err(self.error("W0206", format!("a size cannot be {n}"), expr.span, "negative")),
            _ => Ok(size),
        }
    }

    /// A configuration value that is a whole number.
    pub(crate) fn whole_number(&mut self, value: &super::session::Val<'p, E>, span: Span) -> Done<Size> {
        match value {
            Value::Int(size) => Ok(size.clone()),
            Value::Unknown => Err(Reported),
            other => {
                Err(self.error("W0405", format!("a whole number is needed here, not {}", other.kind()), span, other.kind()))
            }
        }
    }

    /// The axes that an expression stands for: `token`, `(head, key)`.
    pub(crate) fn axes_value(&mut self, expr: &'p Expr, scope: &Names<'p, E>, candidates: &[Axis]) -> Done<Vec<Axis>> {
        match &*expr.node {
            ExprKind::Name(name) => {
                let name = Name { node: name.clone(), span: expr.span };
                self.term(&AxisTerm::Name(vec![name]), scope, candidates)
            }
            ExprKind::Tuple(parts) => {
                let mut axes = Vec::new();
                for part in parts {
                    axes.extend(self.axes_value(part, scope, candidates)?);
                }
                Ok(axes)
            }
            _ => match self.eval(expr, scope)? {
                Value::Axis(axes) => Ok(axes),
                Value::Unknown => Err(Reported),
                other => Err(self.error(
                    "W0301",
                    format!("an axis is needed here, not {}", other.kind()),
                    expr.span,
                    other.kind(),
                )),
            },
        }
    }
}
