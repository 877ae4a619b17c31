//! Making blocks: their axes, parameters and sub-blocks.

use std::rc::Rc;

use crate::ast::{Arg, Member, Param, ParamDecl, ParamType, TensorType};
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter, Start};
use crate::size::Size;
use crate::span::Span;
use crate::types::Axis;

use super::arguments::Given;
use super::entry::setting_value;
use super::primitive::PrimitiveCall;
use super::session::{Done, Names, Reported, Session, Val};
use super::slots::Fillings;
use super::value::{BlockRef, FnValue, Instance, Scope, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// A call of a block: makes it, as the member whose value is being evaluated.
    pub(crate) fn make_member(
        &mut self,
        block: BlockRef<'p>,
        args: &'p [Arg],
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Val<'p, E>> {
        let Some(path) = self.member.clone() else {
            let name = &block.def.name.node;
            return Err(self.report(
                Diagnostic::error(
                    "W0113",
                    format!("the block `{name}` cannot be made here"),
                    span,
                    "made anew at each call",
                )
                .help("make it as a member of a block, `name = …`, and call the member"),
            ));
        };
        // Only the outermost block, the recipe's model, has its configuration set from outside.
        let overrides = std::mem::take(&mut self.overrides);
        let (mut slots, fillings) = self.made_with(block, args, scope, &[], span)?;
        for (param, slot) in block.def.params.iter().zip(&mut slots) {
            if let Some((_, setting)) = overrides.iter().find(|(name, _)| *name == param.name.node) {
                *slot = Some((setting_value(setting), param.name.span));
            }
        }
        self.led_by(span, |session| session.make(block, slots, fillings, path, span)).map(Value::Instance)
    }

    /// Makes a block at a path, its slots filled.
    pub(crate) fn make(
        &mut self,
        block: BlockRef<'p>,
        slots: Vec<Option<Given<'p, E::Value>>>,
        fillings: Fillings<'p, E::Value>,
        path: String,
        span: Span,
    ) -> Done<Rc<Instance<'p, E::Value>>> {
        let def = block.def;
        if self.making.iter().any(|making| std::ptr::eq(*making, def)) {
            return Err(self.report(
                Diagnostic::error("W0110", format!("`{}` holds itself", def.name.node), span, "this never ends")
                    .help("repeat a block with `* depth`"),
            ));
        }
        let scope = Scope::within(&self.roots[block.file.0 as usize].clone());
        // Blocks that defaults make are members too.
        let member = self.member.replace(path.clone());
        let bound = self.bind_configuration(&def.params, slots, &scope, span);
        self.member = None;
        for param in &def.params {
            let axes = match scope.own(&param.name.node) {
                Some(Value::Axis(axes)) => axes,
                _ => continue,
            };
            scope.vars.borrow_mut().remove(&param.name.node);
            scope.set_axis(&param.name.node, axes, param.name.span);
        }
        let taken: Vec<String> = fillings.iter().map(|(name, _)| name.clone()).collect();
        fillings.into_iter().for_each(|(name, value)| scope.set(&name, value));
        self.making.push(def);
        let made = self.deeper(span, |session| {
            bound?;
            session.members(&def.members, &scope, &path);
            session.all_taken(&taken, &scope)?;
            session.share_parameters(&def.params, &scope, span);
            Ok(())
        });
        self.making.pop();
        self.member = member;
        made.map(|()| Rc::new(Instance { block, path, scope, optional: false }))
    }

    /// Puts the parameters that a block is given under its axes.
    fn share_parameters(&mut self, params: &'p [Param], scope: &Names<'p, E>, span: Span) {
        for param in params {
            if let Some(ParamType::Shared(ty)) = &param.ty {
                let shared = self.shared_as(&param.name.node, ty, scope, span);
                scope.set(&param.name.node, shared.unwrap_or(Value::Unknown));
            }
        }
    }

    /// A parameter of another block under this one's axes.
    fn shared_as(&mut self, name: &str, ty: &TensorType, scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        let Some(Value::Param(parameter, _)) = scope.own(name) else { return Err(Reported) };
        let axes = self.terms(&ty.axes, scope, &[])?;
        if axes.len() != parameter.axes.len() {
            let (found, wanted) = (self.show_axes(&parameter.axes), self.show_axes(&axes));
            let d = Diagnostic::error("W0313", format!("the parameter for `{name}` has other axes"), span, found.clone())
                .label(ty.span, "declared here")
                .expected(wanted, found);
            return Err(self.report(d));
        }
        for (&theirs, &ours) in parameter.axes.iter().zip(&axes) {
            self.same_size(theirs, ours, span)?;
        }
        Ok(Value::Param(parameter, axes))
    }

    fn members(&mut self, members: &'p [Member], scope: &Names<'p, E>, path: &str) {
        for member in members {
            // Faults are reported where they lie; the other members are looked at all the same.
            let _ = self.member_of(member, scope, path);
        }
    }

    fn member_of(&mut self, member: &'p Member, scope: &Names<'p, E>, path: &str) -> Done<()> {
        match member {
            Member::Axis(decl) => self.declare_axis(decl, scope).inspect_err(|_| scope.set(&decl.name.node, Value::Unknown)),
            Member::Param(decl) => {
                let made = self.parameter(decl, scope, path);
                scope.set(&decl.name.node, made.unwrap_or(Value::Unknown));
                Ok(())
            }
            Member::Slot(slot) => self.slot(slot, scope, path),
            Member::Let(binding) => {
                for name in &binding.names {
                    scope.set(&name.node, Value::Unknown);
                }
                let [name] = binding.names.as_slice() else {
                    return Err(self.error("W0411", "a member has one name", binding.names[0].span, ""));
                };
                self.member = Some(joined(path, &name.node));
                let value = self.eval(&binding.value, scope);
                self.member = None;
                scope.set(&name.node, value?);
                Ok(())
            }
            Member::Fn(def) => {
                let key = def.name.as_ref().map_or("()", |name| name.node.as_str());
                let name = def.name.as_ref().map_or_else(|| path.to_owned(), |name| name.node.clone());
                let function =
                    Value::Fn(Rc::new(FnValue { def, scope: scope.clone(), given: Vec::new(), axes: Vec::new(), name }));
                if def.name.is_none() {
                    scope.set("this", function.clone());
                }
                scope.set(key, function);
                Ok(())
            }
            Member::Calls(value) => {
                let function = self.eval(value, scope).and_then(|called| self.function_of(called, value.span));
                let function = function.unwrap_or(Value::Unknown);
                scope.set("this", function.clone());
                scope.set("()", function);
                Ok(())
            }
            Member::If(branch) => {
                match self.condition(&branch.cond, scope)? {
                    Some(true) => self.members(&branch.then, scope, path),
                    Some(false) => self.members(&branch.otherwise, scope, path),
                    None => {
                        self.members(&branch.then, scope, path);
                        self.members(&branch.otherwise, scope, path);
                    }
                }
                Ok(())
            }
        }
    }

    /// What is called where a value is called.
    fn function_of(&mut self, called: Val<'p, E>, span: Span) -> Done<Val<'p, E>> {
        match called {
            Value::Fn(_) | Value::Unknown => Ok(called),
            Value::Instance(instance) => match instance.scope.own("()") {
                Some(function) => Ok(function),
                None => Err(self.not_called(&instance, span)),
            },
            other => {
                let message = format!("{} is no block's call", other.kind());
                let d = Diagnostic::error("W0109", message, span, other.kind());
                Err(self.report(d.help("name a member that is a block, or write the function: `fn (x: […]) -> […] = …`")))
            }
        }
    }

    fn parameter(&mut self, decl: &'p ParamDecl, scope: &Names<'p, E>, path: &str) -> Done<Val<'p, E>> {
        let axes = self.terms(&decl.ty.axes, scope, &[])?;
        if let Some(&twice) = axes.iter().enumerate().find(|(i, a)| axes[..*i].contains(a)).map(|(_, a)| a) {
            let name = self.name_of(twice);
            return Err(self.report(
                Diagnostic::error("W0304", format!("`{}` has the axis `{name}` twice", decl.name.node), decl.ty.span, "")
                    .help(format!("declare another of the same size: `axis {name}_in like {name}`")),
            ));
        }
        if let Some(elem) = &decl.ty.elem
            && !matches!(elem, crate::ast::ElemType::Float(_))
        {
            return Err(self.error("W0402", "a parameter holds floats", decl.ty.span, "leave out the `of`"));
        }
        let sizes: Vec<_> = self.stack.iter().chain(&axes).filter_map(|&axis| self.emit.axes()[axis].size.known()).collect();
        if sizes.iter().try_fold(1_i64, |product, &size| product.checked_mul(size)).is_none() {
            let shown: Vec<_> = sizes.iter().map(i64::to_string).collect();
            let name = &decl.name.node;
            return Err(self.error("W0208", format!("`{name}` is too large"), decl.ty.span, shown.join(" · ")));
        }
        let start = self.eval(&decl.init, scope)?;
        let start = match start {
            Value::Primitive(name) => {
                self.primitive(&PrimitiveCall { name, entries: &[], args: &[], scope, span: decl.init.span })?
            }
            other => other,
        };
        let start = match start {
            Value::Start(start) => start,
            Value::Int(_) | Value::Float(_) => {
                Start::Constant(self.config_float(&start, decl.init.span)?.unwrap_or(f64::NAN))
            }
            Value::Unknown => return Err(Reported),
            other => {
                return Err(self.report(
                    Diagnostic::error("W0415", format!("a parameter cannot start from {}", other.kind()), decl.init.span, other.kind())
                        .help("`zeros`, `ones`, `constant(x)`, `normal(std: x)`, `uniform(bound: x)`, or a `fn` that gives one of them"),
                ));
            }
        };
        let parameter =
            Parameter { path: joined(path, &decl.name.node), stack: self.stack.clone(), axes: axes.clone(), start };
        if !self.parameters.iter().any(|p| p.path == parameter.path) {
            self.written_axes.insert(parameter.path.clone(), decl.ty.axes.len());
            self.parameters.push(parameter.clone());
        }
        Ok(Value::Param(Rc::new(parameter), axes))
    }

    /// What stands for a parameter of a block, function, … while it is checked by itself.
    pub(crate) fn symbolic(&mut self, param: &'p Param, scope: &Names<'p, E>) -> Val<'p, E> {
        let name = param.name.node.as_str();
        match &param.ty {
            Some(ParamType::Axis) => Value::Axis(vec![self.symbolic_axis(name)]),
            Some(ParamType::Int) => Value::Int(Size::var(name)),
            Some(ParamType::Float) => Value::Float(None),
            Some(ParamType::Bool) => Value::Bool(None),
            Some(ParamType::Text) => Value::Text(None),
            Some(ParamType::Shared(ty)) => {
                let axes: Vec<Axis> = ty.axes.iter().map(|_| self.symbolic_axis(name)).collect();
                for &axis in &axes {
                    self.open_sizes.insert(axis);
                }
                let parameter =
                    Parameter { path: name.to_owned(), stack: Vec::new(), axes: axes.clone(), start: Start::Constant(0.0) };
                Value::Param(Rc::new(parameter), axes)
            }
            Some(ParamType::Instance(block)) => match self.top(scope.file, &block.node) {
                Some(Value::Maker(block)) => {
                    self.symbolic_block(block, name.to_owned()).map_or(Value::Unknown, Value::Instance)
                }
                _ => {
                    self.unknown_name(block, format!("there is no block `{}`", block.node), scope);
                    Value::Unknown
                }
            },
            Some(ParamType::Schedule) => Value::Rate(None),
            Some(ParamType::Fn | ParamType::Tensor(_)) => match &param.default {
                Some(default) => self.eval_or_unknown(default, scope),
                None => Value::Unknown,
            },
            None => match &param.default {
                Some(default) => match self.eval_or_unknown(default, scope) {
                    Value::Int(_) => Value::Int(Size::var(name)),
                    Value::Float(_) => Value::Float(None),
                    Value::Bool(_) => Value::Bool(None),
                    Value::Text(_) => Value::Text(None),
                    other => other,
                },
                None => Value::Unknown,
            },
        }
    }

    fn symbolic_axis(&mut self, name: &str) -> Axis {
        self.emit.axes().fresh(name, Size::var(name), false)
    }

    /// A block made with symbolic arguments.
    pub(crate) fn symbolic_block(&mut self, block: BlockRef<'p>, path: String) -> Done<Rc<Instance<'p, E::Value>>> {
        let root = self.roots[block.file.0 as usize].clone();
        let scope = Scope::within(&root);
        let mut slots = Vec::new();
        for param in &block.def.params {
            let value = self.symbolic(param, &scope);
            scope.set(&param.name.node, value.clone());
            slots.push(Some((value, param.name.span)));
        }
        // Unknown arguments must not stop the making.
        let unknown: Vec<&Param> = block
            .def
            .params
            .iter()
            .zip(&slots)
            .filter(|(_, s)| matches!(s, Some((Value::Unknown, _))))
            .map(|(p, _)| p)
            .collect();
        if unknown.is_empty() {
            return self.make(block, slots, Self::open_slots(block), path, block.def.name.span);
        }
        let inner = Scope::within(&root);
        for (param, slot) in block.def.params.iter().zip(slots) {
            match slot {
                Some((Value::Axis(axes), span)) => inner.set_axis(&param.name.node, axes, span),
                Some((value, _)) => inner.set(&param.name.node, value),
                None => {}
            }
        }
        Self::open_slots(block).into_iter().for_each(|(name, value)| inner.set(&name, value));
        self.making.push(block.def);
        self.members(&block.def.members, &inner, &path);
        self.share_parameters(&block.def.params, &inner, block.def.name.span);
        self.making.pop();
        Ok(Rc::new(Instance { block, path, scope: inner, optional: false }))
    }
}

/// A path with a further part.
pub(crate) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
