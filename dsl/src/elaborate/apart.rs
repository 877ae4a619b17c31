//! A body is checked with its generic axes distinct. Where a call binds two of them to one axis (`attend[value: key](…)`), the
//! second is renamed in the arguments that name it, and back in the result.

use crate::ast::{self, Name, ParamType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;
use crate::types::Axis;

use super::arguments::Given;
use super::axes::mentioned;
use super::bind::generic_names;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Tensor, Value};

/// Axes that stand for others within a body.
pub(crate) struct Apart {
    inside: Vec<Axis>,
    outside: Vec<Axis>,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Gives an axis of its own to each generic axis that is bound to one that is taken.
    pub(crate) fn keep_apart(
        &mut self,
        def: &'p ast::Fn,
        slots: &mut [Option<Given<'p, E::Value>>],
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Vec<Apart>> {
        let mut bound: Vec<(&Name, Vec<Axis>)> = Vec::new();
        let mut apart = Vec::new();
        for name in generic_names(def) {
            let Some((outside, _)) = scope.axes.borrow().get(&name.node).cloned() else { continue };
            let taken = bound.iter().find(|(_, there)| there.iter().any(|a| outside.contains(a))).map(|(other, _)| *other);
            let Some(other) = taken else {
                bound.push((name, outside));
                continue;
            };
            let inside: Vec<Axis> = outside.iter().map(|&axis| self.emit.axes().like(axis, &name.node)).collect();
            for (param, slot) in def.params.iter().zip(slots.iter_mut()) {
                let (Some(ParamType::Tensor(ty)), Some((Value::Tensor(tensor), place))) = (&param.ty, slot) else {
                    continue;
                };
                let mut names = Vec::new();
                mentioned(&ty.axes, &mut names);
                let mentions = |name: &Name| names.iter().any(|n| n.node == name.node);
                if !mentions(name) {
                    continue;
                }
                if mentions(other) {
                    return Err(self.both_bound(name, other, &outside, span));
                }
                let value = self.recalled(&tensor.value, &outside, &inside, *place)?;
                let mask = match &tensor.mask {
                    Some(mask) => Some(self.recalled(mask, &outside, &inside, *place)?),
                    None => None,
                };
                *tensor = Tensor { value, mask };
            }
            scope.set_axis(&name.node, inside.clone(), name.span);
            bound.push((name, inside.clone()));
            apart.push(Apart { inside, outside });
        }
        Ok(apart)
    }

    fn both_bound(&mut self, name: &Name, other: &Name, axes: &[Axis], span: Span) -> Reported {
        let shown = self.show_axes(axes);
        let d = Diagnostic::error(
            "W0314",
            format!("`{}` and `{}` are both bound to {shown}", other.node, name.node),
            span,
            "in this call",
        )
        .label(name.span, "one value has both axes")
        .help("rename one in the argument first: `x[time as source]`");
        self.report(d)
    }

    /// Gives the axes of a call's result their outer names again.
    pub(crate) fn put_together(&mut self, value: Val<'p, E>, apart: &[Apart], span: Span) -> Done<Val<'p, E>> {
        if apart.is_empty() {
            return Ok(value);
        }
        match value {
            Value::Tensor(tensor) => {
                let mut value = tensor.value;
                for Apart { inside, outside } in apart {
                    let has = self.emit.type_of(&value);
                    let clash = outside.iter().zip(inside).find(|(out, ins)| has.has(**out) && has.has(**ins));
                    if let Some((&out, &ins)) = clash {
                        let (shown, name) = (self.show_axes(&[out]), self.name_of(ins));
                        return Err(self.report(
                            Diagnostic::error(
                                "W0314",
                                format!("`{name}` is bound to {shown}, which the result has already"),
                                span,
                                "in this call",
                            )
                            .help("rename one in the argument first: `x[time as source]`"),
                        ));
                    }
                    value = self.recalled(&value, inside, outside, span)?;
                }
                Ok(Value::Tensor(Tensor { value, mask: tensor.mask }))
            }
            Value::Record(fields) => {
                let fields = fields.into_iter().map(|(name, value)| Ok((name, self.put_together(value, apart, span)?)));
                fields.collect::<Done<Vec<_>>>().map(Value::Record)
            }
            other => Ok(other),
        }
    }
}
