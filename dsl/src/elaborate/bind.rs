//! A call's generic axes and rows, found from its arguments.

use std::collections::HashMap;

use crate::ast::{self, AxisTerm, ElemType, Name, Param, ParamType, ResultType, TensorType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::arguments::Given;
use super::axes::mentioned_in;
use super::session::{Done, Names, Reported, Session};
use super::value::Value;

/// Every name that a signature mentions as an axis, each once, the listed ones first.
pub(crate) fn generic_names(def: &ast::Fn) -> Vec<&Name> {
    let mut names: Vec<&Name> = def.axes.iter().collect();
    for param in &def.params {
        if let Some(ParamType::Tensor(ty)) = &param.ty {
            mentioned_in(ty, &mut names);
        }
    }
    names.extend(result_names(def));
    let mut once: Vec<&Name> = Vec::new();
    for name in names {
        if !once.iter().any(|n| n.node == name.node) {
            once.push(name);
        }
    }
    once
}

/// The names that the result of a signature mentions as axes.
pub(crate) fn result_names(def: &ast::Fn) -> Vec<&Name> {
    let mut names = Vec::new();
    match &def.result {
        Some(ResultType::Tensor(ty)) => mentioned_in(ty, &mut names),
        Some(ResultType::Record(fields, _)) => fields.iter().for_each(|(_, ty)| mentioned_in(ty, &mut names)),
        None => {}
    }
    names
}

/// What an argument has of the row that its type names a part of.
struct Rest<'a, V> {
    row: &'a str,
    axes: Vec<Axis>,
    param: &'a Param,
    span: Span,
    value: V,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Generic axes from the arguments' axes and elements.
    pub(crate) fn bind_from_arguments(
        &mut self,
        def: &'p ast::Fn,
        slots: &[Option<Given<'p, E::Value>>],
        generics: &[&Name],
        caller: &Names<'p, E>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<()> {
        for (param, slot) in def.params.iter().zip(slots) {
            let (Some(ParamType::Tensor(ty)), Some((Value::Tensor(tensor), _))) = (&param.ty, slot) else { continue };
            let has = self.emit.type_of(&tensor.value);
            if let (Some(ElemType::Index(name)), Elem::Index(axis)) = (&ty.elem, has.elem)
                && generics.iter().any(|n| n.node == name.node)
                && scope.axes.borrow().get(&name.node).is_none()
            {
                scope.set_axis(&name.node, vec![axis], span);
            }
            let mut names = Vec::new();
            super::axes::mentioned(&ty.axes, &mut names);
            for name in names {
                if !generics.iter().any(|n| n.node == name.node) || scope.axes.borrow().contains_key(&name.node) {
                    continue;
                }
                if let Some(axes) =
                    self.find_axis(&name.node, caller, &has.axes).filter(|axes| axes.iter().all(|a| has.has(*a)))
                {
                    scope.set_axis(&name.node, axes, span);
                }
            }
        }
        Ok(())
    }

    /// The axis names that the result and the given arguments mention.
    pub(crate) fn needed(&self, def: &'p ast::Fn, slots: &[Option<Given<'p, E::Value>>]) -> Vec<&'p Name> {
        let mut names = result_names(def);
        for (param, slot) in def.params.iter().zip(slots) {
            if let (Some(ParamType::Tensor(ty)), Some(_)) = (&param.ty, slot) {
                mentioned_in(ty, &mut names);
            }
        }
        names
    }

    /// Rows: what an argument has beyond the axes that its type names.
    pub(crate) fn bind_rows(
        &mut self,
        def: &'p ast::Fn,
        slots: &[Option<Given<'p, E::Value>>],
        scope: &Names<'p, E>,
    ) -> Done<()> {
        let mut rows: HashMap<&str, Vec<Axis>> = HashMap::new();
        let mut parts: Vec<Rest<'_, E::Value>> = Vec::new();
        for (param, slot) in def.params.iter().zip(slots) {
            let Some(ParamType::Tensor(ty)) = &param.ty else { continue };
            let row = ty.axes.iter().find_map(|term| match term {
                AxisTerm::Row(name) => Some((name.node.as_str(), true)),
                AxisTerm::PartOfRow(name) => Some((name.node.as_str(), false)),
                _ => None,
            });
            // Of what is not known here, such as a function that is configuration, nothing can be said.
            if matches!((slot, row), (Some((Value::Unknown, _)), Some((_, true)))) {
                return Err(Reported);
            }
            let Some((Value::Tensor(tensor), span)) = slot else {
                if let Some((row, true)) = row {
                    rows.entry(row).or_default();
                }
                continue;
            };
            if ty.axes.iter().any(|term| matches!(term, AxisTerm::AnyRow(_))) {
                continue;
            }
            let mut named = Vec::new();
            for term in ty.axes.iter().filter(|t| matches!(t, AxisTerm::Name(_) | AxisTerm::Product(..))) {
                if self.bound(term, scope) {
                    named.extend(self.term(term, scope, &[])?);
                }
            }
            let has = self.emit.type_of(&tensor.value);
            let rest: Vec<_> = has.axes.iter().copied().filter(|a| !named.contains(a)).collect();
            match row {
                Some((row, true)) => {
                    let axes = rows.entry(row).or_default();
                    axes.extend(rest.into_iter().filter(|a| !axes.contains(a)).collect::<Vec<_>>());
                }
                Some((row, false)) => parts.push(Rest { row, axes: rest, param, span: *span, value: tensor.value.clone() }),
                None if rest.is_empty() => {}
                None => return Err(self.stray_argument(rest[0], param, ty, &tensor.value, *span)),
            }
        }
        for Rest { row, axes, param, span, value } in parts {
            let Some(whole) = rows.get(row) else {
                rows.insert(row, axes);
                continue;
            };
            if let (Some(&stray), Some(ParamType::Tensor(ty))) = (axes.iter().find(|a| !whole.contains(a)), &param.ty) {
                return Err(self.stray_argument(stray, param, ty, &value, span));
            }
        }
        for (row, axes) in rows {
            scope.rows.borrow_mut().insert(row.into(), axes);
        }
        Ok(())
    }

    /// Whether every name of a term is bound.
    fn bound(&mut self, term: &AxisTerm, scope: &Names<'p, E>) -> bool {
        let mut names = Vec::new();
        super::axes::mentioned(std::slice::from_ref(term), &mut names);
        names.iter().all(|name| self.find_axis(&name.node, scope, &[]).is_some())
    }

    pub(crate) fn stray_argument(
        &mut self,
        stray: Axis,
        param: &Param,
        ty: &TensorType,
        value: &E::Value,
        span: Span,
    ) -> Reported {
        let has = self.emit.type_of(value);
        let (shown, name) = (self.show(&has), self.name_of(stray));
        let wanted = self.program.sources().text(ty.span).to_owned();
        let mut d = Diagnostic::error(
            "W0302",
            format!("`{}` has no place for the axis `{name}`", param.name.node),
            span,
            format!("this is {shown}"),
        )
        .label(param.name.span, format!("`{}` is declared here", param.name.node))
        .expected(wanted, shown);
        if let Some(place) = self.origin(stray).filter(|&place| place != span) {
            d = d.label(place, format!("`{name}` comes in here"));
        }
        self.report(d)
    }
}
