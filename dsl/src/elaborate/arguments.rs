//! Arguments meet parameters.

use std::collections::HashMap;

use crate::ast::{Arg, Name, Param, ParamType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;

use super::make::joined;
use super::nearest::{list, nearest, suggest};
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{Scope, Value};

/// An argument with its place.
pub(crate) type Given<'p, V> = (Value<'p, V>, Span);

impl<'p, E: Emit> Session<'p, E> {
    /// Evaluates arguments and finds the parameter of each.
    pub(crate) fn matched(
        &mut self,
        params: &'p [Param],
        args: impl IntoIterator<Item = &'p Arg>,
        scope: &Names<'p, E>,
        before: &[(String, Val<'p, E>)],
        span: Span,
    ) -> Done<Vec<Option<Given<'p, E::Value>>>> {
        let mut slots: Vec<Option<Given<'p, E::Value>>> = params
            .iter()
            .map(|p| before.iter().find(|(name, _)| *name == p.name.node).map(|(_, value)| (value.clone(), span)))
            .collect();
        let mut fine = Ok(());
        let mut places: HashMap<usize, Span> = HashMap::new();
        for arg in args {
            let at = match &arg.name {
                None => (0..params.len()).find(|&i| slots[i].is_none()),
                Some(name) => params.iter().position(|p| p.name.node == name.node),
            };
            let member = self.member.clone();
            if let (Some(at), Some(path)) = (at, &member) {
                self.member = Some(joined(path, &params[at].name.node));
            }
            let value = self.eval_or_unknown(&arg.value, scope);
            self.member = member;
            match (at, &arg.name) {
                (Some(at), Some(name)) if places.contains_key(&at) => {
                    let first = places[&at];
                    let d = Diagnostic::error("W0107", format!("`{}` is given twice", name.node), name.span, "given again")
                        .label(first, "given here");
                    fine = Err(self.report(d));
                }
                (Some(at), _) => {
                    places.insert(at, arg.value.span);
                    slots[at] = Some((value, arg.value.span));
                }
                (None, Some(name)) => {
                    let names: Vec<&str> = params.iter().map(|p| p.name.node.as_str()).collect();
                    fine = Err(self.no_argument(name, &names));
                }
                (None, None) => {
                    let d = Diagnostic::error(
                        "W0105",
                        format!("too many arguments: this takes {}", params.len()),
                        arg.value.span,
                        "one too many",
                    );
                    fine = Err(self.report(d));
                }
            }
        }
        fine.map(|()| slots)
    }

    /// An argument by a name that is none of these.
    pub(crate) fn no_argument(&mut self, name: &Name, names: &[&str]) -> Reported {
        let message = format!("there is no argument `{}`", name.node);
        let d = Diagnostic::error("W0106", message, name.span, "not an argument of this")
            .note(format!("arguments: {}", list(names.iter().copied())));
        self.report(suggest(d, name.span, nearest(&name.node, names.iter().copied())))
    }

    pub(crate) fn missing(&mut self, param: &Param, what: &str, span: Span) -> Reported {
        self.report(
            Diagnostic::error(
                "W0108",
                format!("the argument `{}` is missing", param.name.node),
                span,
                format!("{what} needs `{}`", param.name.node),
            )
            .label(param.name.span, "declared here"),
        )
    }

    /// Configuration of a schedule, an objective or an optimizer.
    pub(crate) fn configured(
        &mut self,
        params: &'p [Param],
        args: &'p [Arg],
        caller: &Names<'p, E>,
        home: &Names<'p, E>,
        span: Span,
    ) -> Done<Names<'p, E>> {
        let slots = self.matched(params, args, caller, &[], span)?;
        let scope = Scope::within(home);
        self.member = None;
        self.bind_configuration(params, slots, &scope, span)?;
        Ok(scope)
    }

    /// Binds configuration, defaults where nothing is given.
    pub(crate) fn bind_configuration(
        &mut self,
        params: &'p [Param],
        slots: Vec<Option<Given<'p, E::Value>>>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<()> {
        let mut fine = Ok(());
        let path = self.member.clone();
        for (param, slot) in params.iter().zip(slots) {
            let (value, place) = match (slot, &param.default) {
                (Some(given), _) => given,
                (None, Some(default)) => {
                    self.member = path.as_ref().map(|path| joined(path, &param.name.node));
                    (self.eval_or_unknown(default, scope), default.span)
                }
                (None, None) => {
                    fine = Err(self.missing(param, "this", span));
                    continue;
                }
            };
            match self.fitted(param, value, place, scope) {
                Ok(value) => scope.set(&param.name.node, value),
                Err(reported) => {
                    scope.set(&param.name.node, Value::Unknown);
                    fine = Err(reported);
                }
            }
        }
        fine
    }

    /// A configuration value as its parameter wants it.
    pub(crate) fn fitted(
        &mut self,
        param: &'p Param,
        value: Val<'p, E>,
        span: Span,
        scope: &Names<'p, E>,
    ) -> Done<Val<'p, E>> {
        let wanted = match (&param.ty, &value) {
            (_, Value::Unknown) => return Err(Reported),
            (Some(ParamType::Axis), Value::Axis(_))
            | (Some(ParamType::Int), Value::Int(_))
            | (Some(ParamType::Float), Value::Float(_))
            | (Some(ParamType::Bool), Value::Bool(_))
            | (Some(ParamType::Text), Value::Text(_))
            | (Some(ParamType::Fn), Value::Fn(_) | Value::Primitive(_) | Value::Instance(_))
            | (Some(ParamType::Schedule), Value::Schedule(_) | Value::Rate(_))
            | (Some(ParamType::Shared(_)), Value::Param(..)) => return Ok(value),
            (Some(ParamType::Float), Value::Int(_)) => return self.config_float(&value, span).map(Value::Float),
            (Some(ParamType::Schedule), Value::Int(_) | Value::Float(_)) => {
                return self.config_float(&value, span).map(Value::Rate);
            }
            (Some(ParamType::Instance(name)), Value::Instance(instance)) if instance.block.def.name.node == name.node => {
                return Ok(value);
            }
            (Some(ParamType::Tensor(_)), _) => {
                return Ok(value);
            }
            (Some(ParamType::Axis), _) => "an axis".to_owned(),
            (Some(ParamType::Int), _) => "a whole number".to_owned(),
            (Some(ParamType::Float), _) => "a number".to_owned(),
            (Some(ParamType::Bool), _) => "a truth value".to_owned(),
            (Some(ParamType::Text), _) => "a text".to_owned(),
            (Some(ParamType::Fn), _) => "a function".to_owned(),
            (Some(ParamType::Schedule), _) => "a schedule or a number".to_owned(),
            (Some(ParamType::Shared(_)), _) => "a parameter".to_owned(),
            (Some(ParamType::Instance(name)), _) => format!("a `{}`", name.node),
            (None, _) => {
                let Some(default) = &param.default else { return Ok(value) };
                // Its kind is asked for alone: what is wrong with a default that is not used is nobody's fault.
                let (said, blamed) = (self.diagnostics.len(), self.blamed.len());
                let default = self.eval_or_unknown(default, scope);
                self.diagnostics.truncate(said);
                self.blamed.truncate(blamed);
                match (&default, &value) {
                    (Value::Unknown, _) | (Value::Int(_), Value::Int(_)) | (Value::Float(_), Value::Float(_)) => {
                        return Ok(value);
                    }
                    (Value::Float(_), Value::Int(_)) => return self.config_float(&value, span).map(Value::Float),
                    (Value::Fn(_) | Value::Primitive(_), Value::Fn(_) | Value::Primitive(_) | Value::Instance(_)) => {
                        return Ok(value);
                    }
                    (Value::Int(_) | Value::Float(_), Value::Tensor(_)) => {
                        "a number known when the model is built".to_owned()
                    }
                    _ if default.kind() == value.kind() => return Ok(value),
                    _ => default.kind().to_owned(),
                }
            }
        };
        let d = Diagnostic::error(
            "W0405",
            format!("`{}` is {wanted}, not {}", param.name.node, value.kind()),
            span,
            value.kind(),
        )
        .label(param.name.span, format!("`{}` is declared here", param.name.node));
        Err(self.report(match (&param.ty, &value) {
            (Some(ParamType::Axis), Value::Int(_)) => {
                let (name, size) = (&param.name.node, self.program.sources().text(span));
                d.help(format!("declare an axis of that size above, `axis {name} = {size}`, and give its name"))
            }
            _ => d,
        }))
    }
}
