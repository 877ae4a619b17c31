//! Brackets after a value: renaming, splitting, merging, slices and look-ups.

use std::rc::Rc;

use crate::ast::{AxisTerm, BracketEntry, Expr, Name};
use crate::diagnostic::Diagnostic;
use crate::emit::Emit;
use crate::op::Op;
use crate::size::Size;
use crate::span::Span;
use crate::types::{Axis, Elem};

use super::axes::term_span;
use super::session::{Done, Names, Reported, Session, Val};
use super::value::{FnValue, Tensor, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// `x[…]`
    pub(crate) fn bracket(
        &mut self,
        expr: &'p Expr,
        base: &'p Expr,
        entries: &'p [BracketEntry],
        scope: &Names<'p, E>,
    ) -> Done<Val<'p, E>> {
        let value = self.eval(base, scope)?;
        if let Value::Fn(function) = &value {
            let axes = self.said_axes(function.def, entries, scope, &[], base.span)?;
            let axes = function.axes.iter().cloned().chain(axes).collect();
            return Ok(Value::Fn(Rc::new(FnValue { axes, ..(**function).clone() })));
        }
        if let Value::Primitive(name) = value {
            return Err(self.report(
                Diagnostic::error("W0109", format!("`{name}` needs its argument"), expr.span, "not called")
                    .help(format!("write `{name}[…](x)`")),
            ));
        }
        let mut tensor = self.tensor(&value, base.span)?;
        for entry in entries {
            tensor = match entry {
                BracketEntry::As(from, to) => self.called(tensor, from, to, scope, expr.span)?,
                BracketEntry::At(axis, index) => self.look_up(tensor, axis, index, scope, expr.span)?,
                BracketEntry::Range(axis, start, end, name) => {
                    self.slice_of(tensor, axis, (start.as_ref(), end.as_ref(), name.as_ref()), scope, expr.span)?
                }
                BracketEntry::Axis(term) => {
                    let place = term_span(term);
                    let name = self.program.sources().text(place);
                    let an_axis = !matches!(scope.get(name), Some(Value::Int(_) | Value::Tensor(_)));
                    let (message, help) = if an_axis {
                        let all = "`x[a as b]` renames, `x[a: i]` looks up, `x[a: 1.. as b]` slices; `sum[a](x)` reduces";
                        ("an axis alone in brackets says nothing about a tensor", all.to_owned())
                    } else {
                        ("the axis is missing that this is a place on", format!("say on which: `x[time: {name}]`"))
                    };
                    return Err(self.report(Diagnostic::error("W0308", message, place, "").help(help)));
                }
                BracketEntry::Sized(name, _) => {
                    return Err(self.error(
                        "W0308",
                        "a size in brackets makes an axis only for random numbers",
                        name.span,
                        "",
                    ));
                }
            };
        }
        Ok(Value::Tensor(tensor))
    }

    /// The axes that a tensor and its mask have.
    fn all_axes(&self, tensor: &Tensor<E::Value>) -> Vec<Axis> {
        let mut axes = self.emit.type_of(&tensor.value).axes;
        if let Some(mask) = &tensor.mask {
            axes.extend(self.emit.type_of(mask).axes);
        }
        axes.sort();
        axes.dedup();
        axes
    }

    /// An axis of the tensor; where it lacks it, an error when the program is checked.
    ///
    /// When it is lowered a value may lack axes along which it is constant: `None`.
    fn must_have(&mut self, tensor: &Tensor<E::Value>, axis: Axis, span: Span) -> Done<bool> {
        if self.all_axes(tensor).contains(&axis) {
            return Ok(true);
        }
        if !self.checking {
            return Ok(false);
        }
        let ty = self.emit.type_of(&tensor.value);
        let (shown, name) = (self.show(&ty), self.name_of(axis));
        let mut d = Diagnostic::error("W0303", format!("{shown} has no axis `{name}`"), span, format!("this is {shown}"));
        let twin = ty.axes.iter().copied().find(|&a| self.emit.axes()[a].name == name);
        if twin.is_some() {
            d = d.note(format!("it has another axis that is also called `{name}`"));
        }
        if let Some(place) = self.origin(axis).filter(|&place| place != span) {
            d = d.label(place, format!("`{name}` comes from here"));
        }
        Err(self.report(d))
    }

    /// `x[a as b]`, either a product.
    fn called(
        &mut self,
        tensor: Tensor<E::Value>,
        from: &AxisTerm,
        to: &AxisTerm,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Tensor<E::Value>> {
        let candidates = self.all_axes(&tensor);
        let old = self.term(from, scope, &candidates)?;
        let new = self.target(to, &old, scope, span)?;
        if old == new {
            return Ok(tensor);
        }
        let place = term_span(from);
        let present = old.iter().map(|&axis| self.must_have(&tensor, axis, place)).collect::<Done<Vec<_>>>()?;
        if !present.contains(&true) {
            return Ok(tensor);
        }
        if old.len() == new.len() {
            for (&a, &b) in old.iter().zip(&new) {
                self.same_size(a, b, span)?;
            }
        }
        let value = self.recalled(&tensor.value, &old, &new, span)?;
        let mask = match tensor.mask {
            Some(mask) => Some(self.recalled(&mask, &old, &new, span)?),
            None => None,
        };
        Ok(Tensor { value, mask })
    }

    /// Renames, splits or merges what the value has of the axes.
    pub(crate) fn recalled(&mut self, value: &E::Value, old: &[Axis], new: &[Axis], span: Span) -> Done<E::Value> {
        let ty = self.emit.type_of(value);
        if !old.iter().any(|&axis| ty.has(axis)) {
            return Ok(value.clone());
        }
        let spans = [span, span];
        if old.len() == new.len() {
            let mut value = value.clone();
            // Through fresh names where an axis is both left and taken up: `x[(a, b) as (b, a)]`.
            let mut last = Vec::new();
            for (&a, &b) in old.iter().zip(new).filter(|(a, b)| a != b && ty.has(**a)) {
                if old.contains(&b) {
                    let apart = self.emit.axes().like(b, "apart");
                    value = self.op(Op::Rename(a, apart), &[value], &spans)?;
                    last.push((apart, b));
                } else {
                    value = self.op(Op::Rename(a, b), &[value], &spans)?;
                }
            }
            for (apart, b) in last {
                value = self.op(Op::Rename(apart, b), &[value], &spans)?;
            }
            return Ok(value);
        }
        let value = self.spread(value, old);
        match (old, new) {
            ([whole], parts) => self.op(Op::Split(*whole, parts.to_vec()), &[value], &spans),
            (parts, [whole]) => self.op(Op::Merge(parts.to_vec(), *whole), &[value], &spans),
            _ => {
                let size = self.size_of(old);
                let flat = self.emit.axes().fresh("flat", size, false);
                let value = self.op(Op::Merge(old.to_vec(), flat), &[value], &spans)?;
                self.op(Op::Split(flat, new.to_vec()), &[value], &spans)
            }
        }
    }

    /// The axes after `as`: known ones, or a new one of the size that is left.
    fn target(&mut self, to: &AxisTerm, old: &[Axis], scope: &Names<'p, E>, span: Span) -> Done<Vec<Axis>> {
        let whole = self.size_of(old);
        match to {
            AxisTerm::Name(path) if path.len() == 1 => {
                let name = path[0].node.as_str();
                match self.find_axis(name, scope, &[]) {
                    Some(axes) => Ok(axes),
                    None => {
                        let axis = match old {
                            [axis] => self.emit.axes().like(*axis, name),
                            _ => self.emit.axes().fresh(name, whole, false),
                        };
                        scope.set_axis(name, vec![axis], path[0].span);
                        Ok(vec![axis])
                    }
                }
            }
            AxisTerm::Product(parts, _) => {
                let mut axes: Vec<Option<Axis>> = Vec::new();
                let mut open = None;
                for part in parts {
                    match part {
                        AxisTerm::Name(path) if path.len() == 1 && self.find_axis(&path[0].node, scope, &[]).is_none() => {
                            if open.is_some() {
                                return Err(self.report(
                                    Diagnostic::error(
                                        "W0301",
                                        format!("the size of `{}` is not known", path[0].node),
                                        path[0].span,
                                        "",
                                    )
                                    .help("at most one axis of a split is new; declare the others: `axis a = …`"),
                                ));
                            }
                            open = Some((axes.len(), &path[0]));
                            axes.push(None);
                        }
                        part => axes.extend(self.term(part, scope, &[])?.into_iter().map(Some)),
                    }
                }
                if let Some((at, name)) = open {
                    let rest: Vec<_> = axes.iter().flatten().copied().collect();
                    let rest = self.size_of(&rest);
                    let Ok(size) = whole.divide(&rest) else {
                        return Err(self.error("W0204", format!("{whole} does not divide into parts of {rest}"), span, ""));
                    };
                    let outer = old.iter().any(|&axis| self.emit.axes()[axis].outer);
                    let axis = self.emit.axes().fresh(&name.node, size, outer);
                    scope.set_axis(&name.node, vec![axis], name.span);
                    axes[at] = Some(axis);
                }
                Ok(axes.into_iter().flatten().collect())
            }
            other => self.term(other, scope, &[]),
        }
    }

    /// The tensor with `false` positions of its mask left in: a look-up takes values, and the mask alike.
    fn look_up(
        &mut self,
        tensor: Tensor<E::Value>,
        axis: &Name,
        index: &'p Expr,
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Tensor<E::Value>> {
        let candidates = self.all_axes(&tensor);
        let axes = self.term(&AxisTerm::Name(vec![axis.clone()]), scope, &candidates)?;
        let axis_id = self.single(&axes, axis.span, "a look-up")?;
        let value = self.eval(index, scope)?;
        if !self.must_have(&tensor, axis_id, axis.span)? {
            return Ok(tensor);
        }
        let index_value = self.index_into(&value, axis_id, index.span)?;
        let take = |session: &mut Self, value: &E::Value| -> Done<E::Value> {
            if !session.emit.type_of(value).has(axis_id) {
                return Ok(value.clone());
            }
            session.op(Op::Lookup(axis_id), &[value.clone(), index_value.clone()], &[span, index.span, span])
        };
        let value = take(self, &tensor.value)?;
        let mask = tensor.mask.map(|mask| take(self, &mask)).transpose()?;
        Ok(Tensor { value, mask })
    }

    /// A value as an index into an axis: the same axis, one of the same size, or one that a run must keep within it.
    pub(crate) fn index_into(&mut self, value: &Val<'p, E>, axis: Axis, span: Span) -> Done<E::Value> {
        if let Value::Int(n) = value {
            return self.constant_index(n, axis, span);
        }
        let index = self.whole(value, span)?;
        match self.emit.type_of(&index).elem {
            Elem::Index(of) if of == axis => Ok(index),
            Elem::Index(of) => {
                let (size, at_most) = (self.size_of(&[of]), self.size_of(&[axis]));
                let (from, into) = (self.name_of(of), self.name_of(axis));
                if size != at_most {
                    let differ = size.known().is_some() && at_most.known().is_some() && !self.emit.axes()[of].outer;
                    if differ && size.known() > at_most.known() {
                        return Err(self.sizes_differ(of, axis, span));
                    }
                    self.limit(
                        size,
                        at_most.clone(),
                        format!("axis `{into}` has {at_most} places, and `{from}` is looked up in it"),
                        span,
                    )?;
                }
                Ok(self.sure(Op::Cast(Elem::Index(axis)), &[index]))
            }
            elem => {
                let ty = self.emit.type_of(&index).of(elem);
                let (shown, name) = (self.show(&ty), self.name_of(axis));
                Err(self.report(
                    Diagnostic::error(
                        "W0406",
                        format!("an index into `{name}` is needed, not {shown}"),
                        span,
                        shown.clone(),
                    )
                    .expected(format!("of {name}"), shown)
                    .help(format!(
                        "give it the type `of {name}` where it comes in: it is then checked once, at the border; a number that is \
                         computed becomes one by `index[{name}](i)`, which takes the nearest place"
                    )),
                ))
            }
        }
    }

    /// `x[time: 1..]`
    fn slice_of(
        &mut self,
        tensor: Tensor<E::Value>,
        axis: &Name,
        (start, end, called): (Option<&'p Expr>, Option<&'p Expr>, Option<&Name>),
        scope: &Names<'p, E>,
        span: Span,
    ) -> Done<Tensor<E::Value>> {
        let candidates = self.all_axes(&tensor);
        let axes = self.term(&AxisTerm::Name(vec![axis.clone()]), scope, &candidates)?;
        let from = self.single(&axes, axis.span, "a slice")?;
        let start = match start {
            Some(expr) => self.size_value(expr, scope)?,
            None => Size::of(0),
        };
        let whole = self.size_of(&[from]);
        let end = match end {
            Some(expr) => {
                let end = self.size_value(expr, scope)?;
                self.limit(end.clone(), whole.clone(), format!("axis `{}` has {whole} places", axis.node), expr.span)?;
                end
            }
            None => whole,
        };
        let length = end.clone() - start.clone();
        self.limit(start.clone(), end, format!("a slice of `{}` ends after it starts", axis.node), span)?;
        let Some(called) = called else {
            return Err(self.report(
                Diagnostic::error(
                    "W0308",
                    "a slice has another size, so it is another axis",
                    span,
                    "the new axis has no name",
                )
                .help(format!("name it: `[{}: … as next]`", axis.node)),
            ));
        };
        let known = self.find_axis(&called.node, scope, &[]);
        let to = match known {
            Some(axes) => {
                let to = self.single(&axes, called.span, "a slice")?;
                if self.size_of(&[to]) != length {
                    let size = self.size_of(&[to]);
                    return Err(self.report(
                        Diagnostic::error(
                            "W0203",
                            format!("the slice does not fit `{}`", called.node),
                            span,
                            format!("has {length} places"),
                        )
                        .note(format!("`{}` has size {size}", called.node)),
                    ));
                }
                to
            }
            None => {
                let outer = self.emit.axes()[from].outer;
                let to = self.emit.axes().fresh(&called.node, length, outer);
                scope.set_axis(&called.node, vec![to], called.span);
                to
            }
        };
        if !self.must_have(&tensor, from, axis.span)? {
            return Ok(tensor);
        }
        let take = |session: &mut Self, value: &E::Value| -> Done<E::Value> {
            if !session.emit.type_of(value).has(from) {
                return Ok(value.clone());
            }
            session.op(Op::Slice(from, start.clone(), to), std::slice::from_ref(value), &[span, span])
        };
        let value = take(self, &tensor.value)?;
        let mask = tensor.mask.map(|mask| take(self, &mask)).transpose()?;
        Ok(Tensor { value, mask })
    }

    /// Generic axes that a call says in brackets: by position for those that the function lists, by name for all.
    pub(crate) fn said_axes(
        &mut self,
        def: &'p crate::ast::Fn,
        entries: &'p [BracketEntry],
        scope: &Names<'p, E>,
        candidates: &[Axis],
        span: Span,
    ) -> Done<Vec<(String, Vec<Axis>)>> {
        let mut said = Vec::new();
        let mut listed = def.axes.iter();
        for entry in entries {
            match entry {
                BracketEntry::At(name, expr) => {
                    if !super::bind::generic_names(def).iter().any(|n| n.node == name.node) {
                        let names: Vec<_> = super::bind::generic_names(def).iter().map(|n| n.node.clone()).collect();
                        let near = super::nearest::nearest(&name.node, names.iter().map(String::as_str));
                        let d =
                            Diagnostic::error("W0309", format!("this function has no axis `{}`", name.node), name.span, "")
                                .note(format!("its axes: {}", super::nearest::list(names.iter().map(String::as_str))));
                        return Err(self.report(super::nearest::suggest(d, name.span, near)));
                    }
                    said.push((name.node.clone(), self.axes_value(expr, scope, candidates)?));
                }
                BracketEntry::Axis(term) => {
                    let axes = self.term(term, scope, candidates)?;
                    match listed.next() {
                        Some(name) => said.push((name.node.clone(), axes)),
                        None => {
                            let label = match def.axes.len() {
                                0 => "its axes are bound by name: `[name: axis]`".to_owned(),
                                n => format!("it lists {n}"),
                            };
                            let d = Diagnostic::error("W0309", "too many axes for this function", term_span(term), label)
                                .label(span, "");
                            return Err(self.report(d));
                        }
                    }
                }
                BracketEntry::As(term, _) => {
                    return Err(self.error(
                        "W0309",
                        "a function's axis is not renamed; say `[name: axis]`",
                        term_span(term),
                        "",
                    ));
                }
                BracketEntry::Range(name, ..) | BracketEntry::Sized(name, _) => {
                    return Err(self.error("W0309", "a function's axis is bound to an axis: `[name: axis]`", name.span, ""));
                }
            }
        }
        if said.iter().enumerate().any(|(i, (name, _))| said[..i].iter().any(|(other, _)| other == name)) {
            self.error("W0309", "an axis is said twice", span, "");
            return Err(Reported);
        }
        Ok(said)
    }
}
