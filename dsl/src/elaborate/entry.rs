//! Entry points: models with their configuration, and their functions with inputs.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{AxisTerm, Block, ElemType, Expr, Fn, ItemKind, Param, ParamType, ResultType, TensorType};
use crate::diagnostic::Diagnostic;
use crate::elementwise::Elementwise;
use crate::emit::Emit;
use crate::format::tensor_type;
use crate::op::Op;
use crate::size::Size;
use crate::span::{FileId, Span};
use crate::types::{Axis, Elem};

use super::arguments::Given;
use super::bind::generic_names;
use super::nearest::{list, nearest};
use super::outcome::{Entry, ModelRef, Port, Setting, Taken};
use super::primitive::plain;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{BlockRef, FnValue, Scope, Tensor, Value};

/// A function's scope, its inputs and its value.
type Walked<'p, E> = (Names<'p, E>, Vec<Port<<E as Emit>::Value>>, Val<'p, E>);

/// What stands for the arguments of a function that is walked by itself.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Arguments {
    /// Anything: configuration and rows are unknown.
    Symbolic,
    /// Inputs, and defaults where there are some.
    Required,
    /// Inputs, with a default for those that the run does not give.
    Optional,
}

impl<'p, E: Emit> Session<'p, E> {
    /// Makes a model of the specification with configuration from outside.
    pub fn model(&mut self, name: &str, settings: &[(String, Setting)]) -> Result<ModelRef<'p, E::Value>, Vec<Diagnostic>> {
        let made = self.model_named(name, settings);
        self.outcome(made)
    }

    fn model_named(&mut self, name: &str, settings: &[(String, Setting)]) -> Done<ModelRef<'p, E::Value>> {
        let program = self.program;
        if let Some((_, ItemKind::Made(made))) = program.item(FileId(0), name) {
            return self.made_as(name, &made.value, settings);
        }
        let (file, def) = match program.item(FileId(0), name) {
            Some((file, ItemKind::Block(def))) => (file, def),
            _ => {
                let models = program.models();
                let mut d = Diagnostic::error(
                    "W0104",
                    format!("there is no model `{name}`"),
                    Span::default(),
                    "in this specification",
                );
                d = d.note(format!("models: {}", list(models.iter().copied())));
                if let Some(near) = nearest(name, models.iter().copied()) {
                    d = d.help(format!("did you mean `{near}`?"));
                }
                return Err(self.report(d));
            }
        };
        let slots = self.settings(def, settings)?;
        let first = self.parameters.len();
        let instance = self.make(BlockRef { file, def }, slots, Vec::new(), String::new(), def.name.span)?;
        Ok(ModelRef { name: name.to_owned(), instance, parameters: self.parameters[first..].to_vec() })
    }

    /// A model that is another with configuration.
    fn made_as(&mut self, name: &str, value: &'p Expr, settings: &[(String, Setting)]) -> Done<ModelRef<'p, E::Value>> {
        let first = self.parameters.len();
        let root = self.roots[0].clone();
        self.member = Some(String::new());
        self.overrides = settings.to_vec();
        let made = self.eval(value, &root);
        self.member = None;
        self.overrides.clear();
        match made? {
            Value::Instance(instance) => {
                self.settings(instance.block.def, settings)?;
                Ok(ModelRef { name: name.to_owned(), instance, parameters: self.parameters[first..].to_vec() })
            }
            other => {
                let d = Diagnostic::error("W0405", format!("`{name}` is {}, not a model", other.kind()), value.span, "");
                Err(self.report(d.help("write what makes one: `model Small = Name(width: 64)`")))
            }
        }
    }

    fn settings(&mut self, def: &'p Block, settings: &[(String, Setting)]) -> Done<Vec<Option<Given<'p, E::Value>>>> {
        let mut slots: Vec<_> = def.params.iter().map(|_| None).collect();
        for (name, setting) in settings {
            let Some(at) = def.params.iter().position(|p| p.name.node == *name) else {
                let names = || def.params.iter().map(|p| p.name.node.as_str());
                let mut d = Diagnostic::error(
                    "W0114",
                    format!("`{}` has no configuration `{name}`", def.name.node),
                    def.name.span,
                    "",
                )
                .note(format!("configuration: {}", list(names())));
                if let Some(near) = nearest(name, names()) {
                    d = d.help(format!("did you mean `{near}`?"));
                }
                return Err(self.report(d));
            };
            slots[at] = Some((setting_value(setting), def.params[at].name.span));
        }
        Ok(slots)
    }

    /// The functions of a model: `None` is the nameless one.
    pub fn functions(&self, model: &ModelRef<'p, E::Value>) -> Vec<Option<String>> {
        let mut names = Vec::new();
        collect(&model.instance.block.def.members, &mut names);
        names.retain(|name: &Option<String>| model.instance.scope.own(name.as_deref().unwrap_or("()")).is_some());
        // One name may stand in both branches of an `if`.
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        names
    }

    /// The tensors that a model's nameless function takes, with their types as they are written.
    pub fn takes(&self, model: &ModelRef<'p, E::Value>) -> Vec<Taken> {
        let Some(Value::Fn(function)) = model.instance.scope.own("()") else { return Vec::new() };
        let tensors = function.def.params.iter().filter_map(|param| match &param.ty {
            Some(ParamType::Tensor(ty)) => Some(Taken {
                name: param.name.node.clone(),
                ty: tensor_type(ty),
                axes: ty.axes.len(),
                needed: param.default.is_none(),
            }),
            _ => None,
        });
        tensors.collect()
    }

    /// Elaborates a function of a model with inputs: one for each argument without a default.
    pub fn call(&mut self, model: &ModelRef<'p, E::Value>, name: Option<&str>) -> Result<Entry<E::Value>, Vec<Diagnostic>> {
        let entry = self.entry(model, name, Arguments::Required);
        self.outcome(entry)
    }

    /// Whether a function of a model has arguments that may be given or not: tensors with a default.
    pub fn has_options(&self, model: &ModelRef<'p, E::Value>, name: Option<&str>) -> bool {
        let optional = |param: &Param| matches!(param.ty, Some(ParamType::Tensor(_))) && param.default.is_some();
        matches!(model.instance.scope.own(name.unwrap_or("()")), Some(Value::Fn(f)) if f.def.params.iter().any(optional))
    }

    /// As [`Session::call`], with an input for every tensor. The run supplies for each that has a default, as `given.NAME`, whether
    /// it is given; where it is not, its input may hold anything.
    pub fn call_with_options(
        &mut self,
        model: &ModelRef<'p, E::Value>,
        name: Option<&str>,
    ) -> Result<Entry<E::Value>, Vec<Diagnostic>> {
        let entry = self.entry(model, name, Arguments::Optional);
        self.outcome(entry)
    }

    fn entry(&mut self, model: &ModelRef<'p, E::Value>, name: Option<&str>, arguments: Arguments) -> Done<Entry<E::Value>> {
        let Some(Value::Fn(function)) = model.instance.scope.own(name.unwrap_or("()")) else {
            let span = model.instance.block.def.name.span;
            let names: Vec<_> = self.functions(model).into_iter().flatten().collect();
            let what = name.map_or("nameless `fn`".to_owned(), |name| format!("`fn {name}`"));
            let d = Diagnostic::error("W0112", format!("`{}` has no {what}", model.name), span, "");
            return Err(self.report(d.note(format!("it has {}", list(names.iter().map(String::as_str))))));
        };
        self.limits.clear();
        self.origins.push(HashMap::new());
        let result = self.walked(&function, arguments);
        self.origins.pop();
        let (scope, inputs, value) = result?;
        let mut outputs = Vec::new();
        let span = function.def.span;
        match (&function.def.result, value) {
            (Some(ResultType::Record(types, _)), Value::Record(fields)) => {
                for ((name, ty), (_, value)) in types.iter().zip(fields) {
                    outputs.push(self.output(&name.node, value, Some(ty), &scope, span)?);
                }
            }
            (Some(ResultType::Tensor(ty)), value) => outputs.push(self.output("output", value, Some(ty), &scope, span)?),
            (_, Value::Record(fields)) => {
                for (name, value) in fields {
                    outputs.push(self.output(&name, value, None, &scope, span)?);
                }
            }
            (_, value) => outputs.push(self.output("output", value, None, &scope, span)?),
        }
        let name = name.unwrap_or("forward").to_owned();
        Ok(Entry { name, inputs, outputs, limits: std::mem::take(&mut self.limits) })
    }

    fn output(
        &mut self,
        name: &str,
        value: Val<'p, E>,
        ty: Option<&TensorType>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Port<E::Value>> {
        let value = self.whole(&value, span)?;
        let axes = match ty {
            Some(ty) if !ty.axes.iter().any(|t| matches!(t, AxisTerm::AnyRow(_))) => self.terms(&ty.axes, scope, &[])?,
            _ => self.emit.type_of(&value).axes,
        };
        let value = self.spread(&value, &axes);
        Ok(Port { name: name.to_owned(), value, axes })
    }

    /// Walks a function's body by itself.
    pub(crate) fn walked(&mut self, function: &Rc<FnValue<'p, E::Value>>, arguments: Arguments) -> Done<Walked<'p, E>> {
        let def: &'p Fn = function.def;
        let symbolic = arguments == Arguments::Symbolic;
        let scope = Scope::within(&function.scope);
        for name in generic_names(def) {
            if self.find_axis(&name.node, &scope, &[]).is_none() && scope.get(&name.node).is_none() {
                let axis = self.emit.axes().fresh(&name.node, Size::var(&name.node), true);
                self.open_sizes.insert(axis);
                scope.set_axis(&name.node, vec![axis], name.span);
            }
        }
        self.rows(def, &scope, symbolic);
        let mut inputs = Vec::new();
        for param in &def.params {
            let value = match (&param.ty, &param.default) {
                (Some(ParamType::Tensor(ty)), None) => self.input(&param.name.node, ty, &scope).map(|port| {
                    inputs.push(port.clone());
                    Value::Tensor(Tensor { value: port.value, mask: None })
                }),
                (Some(ParamType::Tensor(ty)), Some(_)) if symbolic => self
                    .input(&param.name.node, ty, &scope)
                    .map(|port| Value::Tensor(Tensor { value: port.value, mask: None })),
                _ if symbolic => Ok(self.symbolic(param, &scope)),
                (Some(ParamType::Tensor(ty)), Some(default)) => {
                    let value = self.eval(default, &scope);
                    let value =
                        value.and_then(|value| self.argument(param, ty, value, default.span, &scope)).map(Value::Tensor);
                    match value {
                        Ok(value) if arguments == Arguments::Optional => {
                            self.optional(param, ty, (value, default.span), &scope, &mut inputs)
                        }
                        value => value,
                    }
                }
                (_, Some(default)) => self.eval(default, &scope),
                (_, None) => Err(self.error(
                    "W0108",
                    format!("`{}` has no value", param.name.node),
                    param.name.span,
                    "a function that is an entry point needs a default here",
                )),
            };
            match value {
                Ok(Value::Axis(axes)) if symbolic => {
                    self.open_sizes.extend(axes.iter().copied());
                    scope.set_axis(&param.name.node, axes, param.name.span);
                }
                Ok(Value::Axis(axes)) => scope.set_axis(&param.name.node, axes, param.name.span),
                Ok(value) => scope.set(&param.name.node, value),
                Err(Reported) => scope.set(&param.name.node, Value::Unknown),
            }
        }
        let value = self.body(&def.body, &scope)?;
        let value = match (value, &def.result) {
            (Some(value), Some(result)) => self.as_declared(value, result, &scope, def)?,
            (Some(value), None) => value,
            (None, _) => {
                let span = def.name.as_ref().map_or(def.span, |name| name.span);
                return Err(self.error("W0410", "this `fn` has no value", span, "its body ends without one"));
            }
        };
        Ok((scope, inputs, value))
    }

    /// An input where it is given, else its default.
    fn optional(
        &mut self,
        param: &'p Param,
        ty: &TensorType,
        (default, span): (Val<'p, E>, Span),
        scope: &Names<'p, E>,
        inputs: &mut Vec<Port<E::Value>>,
    ) -> Done<Val<'p, E>> {
        let default = self.whole(&default, span)?;
        let port = self.input(&param.name.node, ty, scope)?;
        inputs.push(port.clone());
        let given = self.emit.supplied(&format!("given.{}", param.name.node), Elem::Bool);
        Ok(plain(self.sure(Op::Map(Elementwise::SELECT), &[given, port.value, default])))
    }

    /// Rows of a signature: nothing at an entry point, an axis that stands for any when checked by itself.
    fn rows(&mut self, def: &'p Fn, scope: &Names<'p, E>, symbolic: bool) {
        let types = def.params.iter().filter_map(|param| match &param.ty {
            Some(ParamType::Tensor(ty)) => Some(ty),
            _ => None,
        });
        for term in types.flat_map(|ty| &ty.axes) {
            if let AxisTerm::Row(name) | AxisTerm::PartOfRow(name) = term
                && !scope.rows.borrow().contains_key(&name.node)
            {
                let shown = format!("..{}", name.node);
                let axes = if symbolic { vec![self.emit.axes().fresh(&shown, Size::var(&shown), true)] } else { Vec::new() };
                scope.rows.borrow_mut().insert(name.node.clone(), axes);
            }
        }
    }

    /// An input of the type that is written.
    pub(crate) fn input(&mut self, name: &str, ty: &TensorType, scope: &Names<'p, E>) -> Done<Port<E::Value>> {
        let terms: Vec<AxisTerm> = ty.axes.iter().filter(|t| !matches!(t, AxisTerm::AnyRow(_))).cloned().collect();
        let axes: Vec<Axis> = self.terms(&terms, scope, &[])?;
        if let Some(&twice) = axes.iter().enumerate().find(|(i, a)| axes[..*i].contains(a)).map(|(_, a)| a) {
            let axis = self.name_of(twice);
            return Err(self.error(
                "W0304",
                format!("`{name}` has the axis `{axis}` twice"),
                ty.span,
                "no tensor has an axis twice",
            ));
        }
        let elem = self.elem(ty.elem.as_ref(), scope)?;
        let value = self.emit.input(name, elem, &axes);
        if let Some(ElemType::IndexOr(axis, other)) = &ty.elem {
            let found = self.term(&AxisTerm::Name(vec![axis.clone()]), scope, &[])?;
            let within = self.single(&found, axis.span, "`of`")?;
            self.emit.keep_within(name, within, *other);
        }
        self.seen(&value, ty.span);
        Ok(Port { name: name.to_owned(), value, axes })
    }
}

/// A setting as a value.
pub(crate) fn setting_value<'p, V>(setting: &Setting) -> Value<'p, V> {
    match setting {
        Setting::Int(n) => Value::Int(Size::of(*n)),
        Setting::Float(f) => Value::Float(Some(*f)),
        Setting::Bool(b) => Value::Bool(Some(*b)),
        Setting::Text(text) => Value::Text(Some(text.as_str().into())),
    }
}

fn collect(members: &[crate::ast::Member], out: &mut Vec<Option<String>>) {
    for member in members {
        match member {
            crate::ast::Member::Fn(def) => out.push(def.name.as_ref().map(|name| name.node.clone())),
            crate::ast::Member::Calls(_) => out.push(None),
            crate::ast::Member::If(branch) => {
                collect(&branch.then, out);
                collect(&branch.otherwise, out);
            }
            _ => {}
        }
    }
}
