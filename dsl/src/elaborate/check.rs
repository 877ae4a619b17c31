//! Checking a program: every item by itself with symbolic configuration, then every model and recipe as they stand.

use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{self, ElemType, Item, ItemKind, Member, ParamType, ResultType};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::op::Op;
use crate::size::Size;
use crate::span::FileId;
use crate::types::{Elem, Type};

use super::axes::mentioned;
use super::entry::Arguments;
use super::nearest::{nearest, suggest};
use super::outcome::{Host, Setting, Tokenizer};
use super::program::Program;
use super::session::{Done, Names, Session};
use super::types_only::TypesOnly;
use super::value::{BlockRef, FnValue, Instance, Scope, Value};

/// Stands for data while a recipe is checked: any vocabulary will do.
struct AnyData;

impl Host for AnyData {
    fn vocabulary(&self, _: &[String], _: &Tokenizer) -> Result<i64, String> {
        Ok(65_536)
    }

    fn readable(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Of how many conditions an item is checked for each way they can hold.
const MOST_CONDITIONS: usize = 6;

type Checker<'p> = Session<'p, TypesOnly>;

impl Program {
    /// All that is wrong with the specification's own files, in order of place.
    ///
    /// Each item is checked by itself, configuration being symbolic. Where that finds nothing, each model is also made with its
    /// defaults, and each test and recipe as it stands, which finds what depends on numbers.
    pub fn check(&self) -> Vec<Diagnostic> {
        let own: Vec<FileId> = self.sources().iter().map(|(id, _)| id).filter(|id| !self.is_library(*id)).collect();
        self.check_files(&own)
    }

    /// The same for some files.
    pub(crate) fn check_files(&self, files: &[FileId]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for &file in files {
            found.extend(self.file(file).items.iter().flat_map(|item| self.check_by_itself(item, file)));
        }
        if found.is_empty() {
            for item in &self.file(FileId(0)).items {
                found.extend(self.check_concrete(item));
            }
        }
        sorted(found)
    }

    /// What is wrong with an item whatever its configuration. Its conditions are not known, so both branches of each are walked. What is
    /// refused then may be refused because one condition was taken to be so at one place and otherwise at another: where that can be, it is
    /// walked again for each way they can hold.
    fn check_by_itself(&self, item: &Item, file: FileId) -> Vec<Diagnostic> {
        let walk = |assumed| {
            let mut session = Session::start(self, TypesOnly::default(), None, &AnyData, true);
            (session.item, session.assumed) = (Some(item.span), assumed);
            let _ = session.check_item(item, file);
            (session.diagnostics, session.undecided)
        };
        let (found, conditions) = walk(Vec::new());
        if found.is_empty() || conditions.is_empty() || conditions.len() > MOST_CONDITIONS {
            return found;
        }
        let ways = 0..1_u32 << conditions.len();
        let holds = |way: u32| conditions.iter().enumerate().map(move |(i, &cond)| (cond, way >> i & 1 == 1)).collect();
        ways.flat_map(|way| walk(holds(way)).0).collect()
    }

    fn check_concrete(&self, item: &Item) -> Vec<Diagnostic> {
        let mut session = Session::start(self, TypesOnly::default(), Some(true), &AnyData, false);
        let result = match &item.kind {
            ItemKind::Weights(weights) => {
                match weights.model.as_ref().map(|model| (model, self.item(FileId(0), &model.node))) {
                    None => Ok(()),
                    Some((_, Some((_, ItemKind::Block(block))))) => {
                        // Any number does for what has no default: the names and axes are checked, not the sizes.
                        let open = block.params.iter().filter(|p| p.default.is_none());
                        let settings: Vec<_> = open.map(|p| (p.name.node.clone(), Setting::Int(2))).collect();
                        match session.model(&block.name.node, &settings) {
                            Ok(model) => session.weights(&model).map(drop),
                            Err(_) => Ok(()),
                        }
                    }
                    Some((model, _)) => {
                        let message = format!("there is no model `{}`", model.node);
                        let names = self.models();
                        let d = Diagnostic::error("W0104", message, model.span, "no such model");
                        Err(vec![suggest(d, model.span, nearest(&model.node, names.into_iter()))])
                    }
                }
            }
            ItemKind::Block(block) if block.is_model && block.params.iter().all(|p| p.default.is_some()) => {
                session.model(&block.name.node, &[]).and_then(|model| {
                    for name in session.functions(&model) {
                        session.call(&model, name.as_deref())?;
                    }
                    Ok(())
                })
            }
            ItemKind::Made(made) => session.model(&made.name.node, &[]).and_then(|model| {
                session.functions(&model).iter().try_for_each(|name| session.call(&model, name.as_deref()).map(drop))
            }),
            ItemKind::Test(test) => session.test(test).map(drop),
            _ => Ok(()),
        };
        result.err().unwrap_or_default()
    }
}

/// Each fault once, by place.
fn sorted(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let place = |d: &Diagnostic| d.labels.first().map_or((FileId(0), 0, 0), |l| (l.span.file, l.span.start, l.span.end));
    found.sort_by_key(|d| (place(d), d.code));
    found.dedup_by(|a, b| a.code == b.code && a.message == b.message && place(a) == place(b));
    found
}

impl<'p> Checker<'p> {
    fn check_item(&mut self, item: &'p Item, file: FileId) -> Done<()> {
        let root = self.roots[file.0 as usize].clone();
        match &item.kind {
            ItemKind::Use(_) => {}
            ItemKind::Axis(decl) => {
                self.top(file, &decl.name.node);
            }
            ItemKind::Fn(def) => {
                let name = def.name.as_ref().map_or("", |name| name.node.as_str());
                let function = FnValue { def, scope: root, given: Vec::new(), axes: Vec::new(), name: name.to_owned() };
                self.check_fn(&Rc::new(function));
            }
            ItemKind::Block(def) => {
                let instance = self.symbolic_block(BlockRef { file, def }, String::new())?;
                self.check_fns(&def.members, &instance);
            }
            ItemKind::Objective(def) => {
                let scope = Scope::within(&root);
                for param in &def.with {
                    let value = self.symbolic(param, &scope);
                    scope.set(&param.name.node, value);
                }
                for model in &def.models {
                    scope.set(&model.node, Value::Unknown);
                }
                self.objective_body(def, &scope)?;
            }
            ItemKind::Optimizer(def) => {
                let scope = Scope::within(&root);
                for param in &def.params {
                    let value = self.symbolic(param, &scope);
                    scope.set(&param.name.node, value);
                }
                let axis = self.emit.axes().fresh("parameter", crate::size::Size::var("parameter"), false);
                let like = Type::new(Elem::Float, [axis]);
                let states: Vec<_> = def.state.iter().map(|(name, _)| (name.node.clone(), like.clone())).collect();
                self.states_of(def, &scope)?;
                self.updated(def, &scope, like.clone(), like, Type::scalar(Elem::Float), &states)?;
            }
            ItemKind::Schedule(def) => {
                let scope = Scope::within(&root);
                for param in &def.params {
                    let value = self.symbolic(param, &scope);
                    scope.set(&param.name.node, value);
                }
                let step = self.sure(Op::Constant(crate::op::Number(1.0), Elem::Float, Vec::new()), &[]);
                let schedule = super::value::ScheduleValue { def, scope };
                let span = def.name.span;
                let value = self.scheduled(&schedule, (super::primitive::plain(step), span), span)?;
                let value = self.whole(&value, span)?;
                self.scalar(&value, "a rate", span)?;
            }
            ItemKind::Train(def) => {
                self.check_train(def, file)?;
            }
            ItemKind::Weights(weights) => self.reads_configuration(weights, file)?,
            ItemKind::Made(made) => {
                self.member = Some(String::new());
                self.eval(&made.value, &root)?;
                self.made_entries(made)?;
            }
            ItemKind::Table(table) => {
                for (_, value) in &table.rows {
                    self.eval(value, &root)?;
                }
            }
            ItemKind::Test(test) => {
                self.examined(test, file)?;
            }
        }
        Ok(())
    }

    fn check_fns(&mut self, members: &'p [Member], instance: &Rc<Instance<'p, Type>>) {
        for member in members {
            match member {
                Member::Fn(def) => {
                    self.check_elements(def, &instance.scope);
                    let name = def.name.as_ref().map_or("()", |name| name.node.as_str());
                    let function = FnValue {
                        def,
                        scope: instance.scope.clone(),
                        given: Vec::new(),
                        axes: Vec::new(),
                        name: name.to_owned(),
                    };
                    self.check_fn(&Rc::new(function));
                }
                Member::If(branch) => {
                    self.check_fns(&branch.then, instance);
                    self.check_fns(&branch.otherwise, instance);
                }
                _ => {}
            }
        }
    }

    /// The axis that a member's `of NAME` counts in is one of its block's, or of the function's own tensors: nothing else could say
    /// how long it is.
    fn check_elements(&mut self, def: &'p ast::Fn, scope: &Names<'p, TypesOnly>) {
        let arguments = def.params.iter().filter_map(|param| match &param.ty {
            Some(ParamType::Tensor(ty)) => Some(ty),
            _ => None,
        });
        let results: Vec<&ast::TensorType> = match &def.result {
            Some(ResultType::Tensor(ty)) => vec![ty],
            Some(ResultType::Record(fields, _)) => fields.iter().map(|(_, ty)| ty).collect(),
            None => Vec::new(),
        };
        let types: Vec<&ast::TensorType> = arguments.chain(results).collect();
        let mut own: Vec<&ast::Name> = def.axes.iter().collect();
        types.iter().for_each(|ty| mentioned(&ty.axes, &mut own));
        let inner = Scope::within(scope);
        for name in own {
            if self.find_axis(&name.node, &inner, &[]).is_none() && inner.get(&name.node).is_none() {
                let axis = self.emit.axes().fresh(&name.node, Size::var(&name.node), true);
                inner.set_axis(&name.node, vec![axis], name.span);
            }
        }
        for ty in types {
            if let Some(ElemType::Index(name) | ElemType::IndexOr(name, _)) = &ty.elem
                && self.find_axis(&name.node, &inner, &[]).is_none()
                && inner.get(&name.node).is_none()
            {
                self.unknown_axis(name, &inner, &[]);
            }
        }
    }

    fn check_fn(&mut self, function: &Rc<FnValue<'p, Type>>) {
        self.origins.push(HashMap::new());
        let _ = self.walked(function, Arguments::Symbolic);
        self.origins.pop();
    }
}
