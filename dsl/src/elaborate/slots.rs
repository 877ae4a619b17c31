//! Slots: sub-blocks that a block may lack, filled where the block is made.
//!
//! The slot says its block with what only the block around it knows (`slot memory: Memory(group, key)`); who makes the block around it
//! gives the rest (`Attention(feature, memory: Memory(length: 8))`), or an instance that is shared. An empty slot is false to `if`, and
//! calling it gives its argument back.

use std::rc::Rc;

use crate::ast::{Arg, Expr, ExprKind, Member, Slot};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::span::Span;

use super::arguments::Given;
use super::make::joined;
use super::session::{Done, Names, Session, Val};
use super::value::{BlockRef, Filler, Instance, Scope, Value};

/// What slots are filled with, by name.
pub(crate) type Fillings<'p, V> = Vec<(String, Value<'p, V>)>;

/// The slots of a block, those in branches included.
pub(crate) fn slots_of<'p>(members: &'p [Member], out: &mut Vec<&'p Slot>) {
    for member in members {
        match member {
            Member::Slot(slot) => out.push(slot),
            Member::If(branch) => {
                slots_of(&branch.then, out);
                slots_of(&branch.otherwise, out);
            }
            Member::Axis(_) | Member::Param(_) | Member::Let(_) | Member::Fn(_) | Member::Calls(_) => {}
        }
    }
}

impl<'p, E: Emit> Session<'p, E> {
    /// What a block is made with: configuration, some of which is known `before`, and what its slots are filled with.
    #[expect(clippy::type_complexity, reason = "the two halves of a block's arguments")]
    pub(crate) fn made_with(
        &mut self,
        block: BlockRef<'p>,
        args: &'p [Arg],
        scope: &Names<'p, E>,
        before: &[(String, Val<'p, E>)],
        span: Span,
    ) -> Done<(Vec<Option<Given<'p, E::Value>>>, Fillings<'p, E::Value>)> {
        let mut slots = Vec::new();
        slots_of(&block.def.members, &mut slots);
        slots.retain(|slot| block.def.params.iter().all(|param| param.name.node != slot.name.node));
        let slot_of = |arg: &Arg| {
            let name = arg.name.as_ref()?;
            slots.iter().copied().find(|slot| slot.name.node == name.node)
        };
        let known = |name: &str| block.def.params.iter().any(|p| p.name.node == name);
        let unknown = args.iter().filter(|arg| slot_of(arg).is_none()).filter_map(|arg| arg.name.as_ref());
        if let Some(name) = unknown.into_iter().find(|name| !slots.is_empty() && !known(&name.node)) {
            let slots = slots.iter().map(|slot| slot.name.node.as_str());
            let names: Vec<&str> = block.def.params.iter().map(|p| p.name.node.as_str()).chain(slots).collect();
            return Err(self.no_argument(name, &names));
        }
        let configuration = args.iter().filter(|arg| slot_of(arg).is_none());
        let configuration = self.matched(&block.def.params, configuration, scope, before, span);
        let mut fillings: Fillings<'p, E::Value> = Vec::new();
        for arg in args {
            let Some(slot) = slot_of(arg) else { continue };
            if fillings.iter().any(|(name, _)| *name == slot.name.node) {
                let message = format!("`{}` is filled twice", slot.name.node);
                return Err(self.error("W0107", message, arg.value.span, "filled again"));
            }
            let filling = self.filling(block, slot, &arg.value, scope).unwrap_or(Value::Unknown);
            fillings.push((slot.name.node.clone(), filling));
        }
        Ok((configuration?, fillings))
    }

    /// What stands for each slot of a block that is checked by itself: it may be filled or not.
    pub(crate) fn open_slots(block: BlockRef<'p>) -> Fillings<'p, E::Value> {
        let mut slots = Vec::new();
        slots_of(&block.def.members, &mut slots);
        slots.into_iter().map(|slot| (slot.name.node.clone(), Value::Unknown)).collect()
    }

    /// What an argument fills a slot with: a block with configuration, or one that is made already.
    fn filling(&mut self, block: BlockRef<'p>, slot: &'p Slot, expr: &'p Expr, scope: &Names<'p, E>) -> Done<Val<'p, E>> {
        let root = self.roots[block.file.0 as usize].clone();
        let (wanted, _) = self.block_of(slot, &root)?;
        let (callee, args): (&Expr, &[Arg]) = match &*expr.node {
            ExprKind::Call(callee, args) if self.makes_block(expr, scope) => (callee, args),
            _ => (expr, &[]),
        };
        let value = self.eval(callee, scope)?;
        let given = match &value {
            Value::Maker(maker) => maker.def,
            Value::Instance(instance) => instance.block.def,
            Value::Empty => return Ok(value),
            other => {
                let message = format!("the slot `{}` takes a block, not {}", slot.name.node, other.kind());
                return Err(self.error("W0405", message, expr.span, other.kind()));
            }
        };
        if !std::ptr::eq(given, wanted.def) {
            let (wanted, given) = (&wanted.def.name.node, &given.name.node);
            let message = format!("the slot `{}` takes a `{wanted}`, not a `{given}`", slot.name.node);
            let d = Diagnostic::error("W0405", message, expr.span, format!("a `{given}`"));
            return Err(self.report(d.label(slot.block.span, format!("`{}` is declared here", slot.name.node))));
        }
        Ok(match value {
            Value::Maker(_) => Value::Filler(Rc::new(Filler { args, scope: scope.clone(), span: expr.span })),
            made => made,
        })
    }

    /// The block that a slot declares, and what the slot itself gives it.
    fn block_of(&mut self, slot: &'p Slot, scope: &Names<'p, E>) -> Done<(BlockRef<'p>, &'p [Arg])> {
        let (callee, args): (&'p Expr, &'p [Arg]) = match &*slot.block.node {
            ExprKind::Call(callee, args) => (callee, args),
            _ => (&slot.block, &[]),
        };
        match self.eval(callee, scope)? {
            Value::Maker(block) => Ok((block, args)),
            other => Err(self.report(
                Diagnostic::error("W0405", format!("a slot takes a block, not {}", other.kind()), callee.span, other.kind())
                    .help("such as `slot memory: Memory(group, key)`"),
            )),
        }
    }

    /// A slot as a member of a block that is being made.
    pub(crate) fn slot(&mut self, slot: &'p Slot, scope: &Names<'p, E>, path: &str) -> Done<()> {
        let name = slot.name.node.as_str();
        let value = match scope.own(name) {
            None => Ok(Value::Empty),
            Some(Value::Filler(filler)) => self.filled(slot, Some(&filler), scope, path),
            Some(Value::Unknown) if self.checking => self.filled(slot, None, scope, path),
            Some(made) => Ok(made),
        };
        let done = value.as_ref().map(drop).map_err(|&reported| reported);
        scope.set(name, value.unwrap_or(Value::Unknown));
        done
    }

    /// Makes the block of a slot with what the slot and who fills it say; with no filler, one that may or may not be there.
    fn filled(
        &mut self,
        slot: &'p Slot,
        filler: Option<&Filler<'p, E::Value>>,
        scope: &Names<'p, E>,
        path: &str,
    ) -> Done<Val<'p, E>> {
        let (block, own) = self.block_of(slot, scope)?;
        let (span, path) = (filler.map_or(slot.block.span, |filler| filler.span), joined(path, &slot.name.node));
        self.member = Some(path.clone());
        let made = self.filled_with(block, own, filler, scope, span);
        self.member = None;
        let (configuration, fillings) = made?;
        let made = self.led_by(span, |session| session.make(block, configuration, fillings, path, span));
        let Instance { block, path, scope, .. } = &*made?;
        let (path, scope) = (path.clone(), scope.clone());
        Ok(Value::Instance(Rc::new(Instance { block: *block, path, scope, optional: filler.is_none() })))
    }

    #[expect(clippy::type_complexity, reason = "the two halves of a block's arguments")]
    fn filled_with(
        &mut self,
        block: BlockRef<'p>,
        own: &'p [Arg],
        filler: Option<&Filler<'p, E::Value>>,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<(Vec<Option<Given<'p, E::Value>>>, Fillings<'p, E::Value>)> {
        let params = &block.def.params;
        let (mut configuration, fillings) = self.made_with(block, own, scope, &[], span)?;
        let Some(filler) = filler else {
            let home = Scope::within(&self.roots[block.file.0 as usize].clone());
            for (param, given) in params.iter().zip(&mut configuration) {
                if given.is_none() {
                    *given = Some((self.symbolic(param, &home), param.name.span));
                }
            }
            return Ok((configuration, Self::open_slots(block)));
        };
        let said = |name: &str| params.iter().zip(&configuration).find(|(p, given)| p.name.node == name && given.is_some());
        for name in filler.args.iter().filter_map(|arg| arg.name.as_ref()) {
            if let Some((_, Some((_, place)))) = said(&name.node) {
                let d = Diagnostic::error("W0107", format!("`{}` is given twice", name.node), name.span, "given again")
                    .label(*place, "the slot gives it");
                return Err(self.report(d));
            }
        }
        let before: Vec<(String, Val<'p, E>)> = params
            .iter()
            .zip(configuration)
            .filter_map(|(param, given)| given.map(|(value, _)| (param.name.node.clone(), value)))
            .collect();
        let (configuration, more) = self.made_with(block, filler.args, &filler.scope, &before, span)?;
        Ok((configuration, [fillings, more].concat()))
    }

    /// A filling that no slot took lies in a branch that was not taken.
    pub(crate) fn all_taken(&mut self, names: &[String], scope: &Names<'p, E>) -> Done<()> {
        for name in names {
            if let Some(Value::Filler(filler)) = scope.own(name) {
                let message = format!("there is no slot `{name}` in this configuration");
                return Err(self.error("W0106", message, filler.span, "the branch that declares it is not taken"));
            }
        }
        Ok(())
    }

    /// `adapter(x)` where the slot is empty: x.
    pub(crate) fn through_empty(&mut self, args: &'p [Arg], scope: &Names<'p, E>, span: Span) -> Done<Val<'p, E>> {
        match args {
            [Arg { name: None, value }] => self.eval(value, scope),
            _ => Err(self.report(
                Diagnostic::error("W0109", "this slot is empty", span, "only a call with one argument passes through")
                    .help("ask first whether it is filled: `if memory { … }`"),
            )),
        }
    }

    /// The place further down where the block that is being made declares a name.
    pub(crate) fn declared_below(&self, name: &crate::ast::Name) -> Option<Span> {
        let below = |span: Span| span.file == name.span.file && span.start > name.span.start;
        declaration(&self.making.last()?.members, &name.node).filter(|&span| below(span))
    }
}

/// Where members declare a name.
fn declaration(members: &[Member], name: &str) -> Option<Span> {
    let names = |own: &crate::ast::Name| (own.node == name).then_some(own.span);
    members.iter().find_map(|member| match member {
        Member::Axis(decl) => names(&decl.name),
        Member::Param(decl) => names(&decl.name),
        Member::Slot(slot) => names(&slot.name),
        Member::Let(binding) => binding.names.iter().find_map(names),
        Member::Fn(def) => def.name.as_ref().and_then(names),
        Member::Calls(_) => None,
        Member::If(branch) => declaration(&branch.then, name).or_else(|| declaration(&branch.otherwise, name)),
    })
}
