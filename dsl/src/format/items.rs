//! Items, except recipes and weights.

use std::ops::Range;

use crate::ast::{Block, If, Item, ItemKind, Made, Member, Objective, Optimizer, Schedule, Table, Use};

use super::Formatter;
use super::doc::{Doc, concat_docs};
use super::exprs::{names, tensor_type};
use super::lists::CURLY;
use super::text::bytes;

impl Formatter<'_> {
    pub(super) fn item(&mut self, item: &Item) -> Doc {
        let place = bytes(item.span);
        match &item.kind {
            ItemKind::Use(import) => use_item(import),
            ItemKind::Axis(axis) => self.axis(axis),
            ItemKind::Fn(function) => self.function(function),
            ItemKind::Block(block) => self.block(block, place),
            ItemKind::Made(made) => self.made(made),
            ItemKind::Objective(objective) => self.objective(objective, place),
            ItemKind::Optimizer(optimizer) => self.optimizer(optimizer, place),
            ItemKind::Schedule(schedule) => self.schedule(schedule, place),
            ItemKind::Table(table) => self.table(table, place),
            ItemKind::Train(train) => self.train(train, place),
            ItemKind::Weights(weights) => self.weights(weights, place),
            ItemKind::Test(test) => {
                let name = self.text.slice(bytes(test.name.span));
                let braces = self.text.bracket_before(place.end);
                concat_docs![format!("test {name} "), self.body(&test.body, braces)]
            }
        }
    }

    fn made(&mut self, made: &Made) -> Doc {
        let head = concat_docs![format!("model {} = ", made.name.node), self.expr(&made.value)];
        match self.braces_after(bytes(made.value.span).end) {
            Some(braces) => {
                let place = |_: &Self, (name, value): &(crate::ast::Name, crate::ast::Expr)| bytes(name.span.to(value.span));
                concat_docs![head, " ", self.braced(&made.entries, place, Self::binding, braces)]
            }
            None => head,
        }
    }

    fn table(&mut self, table: &Table, place: Range<usize>) -> Doc {
        let braces = self.text.bracket_before(place.end);
        let rows = self.list(
            &table.rows,
            |_, (text, value)| bytes(text.span.to(value.span)),
            |this, (text, value)| concat_docs![format!("{}: ", this.text.slice(bytes(text.span))), this.expr(value)],
            CURLY,
            braces,
        );
        concat_docs![format!("table {} ", table.name.node), rows]
    }

    fn block(&mut self, block: &Block, place: Range<usize>) -> Doc {
        let word = if block.is_model { "model" } else { "block" };
        let mut parts = vec![Doc::Text(format!("{word} {}", block.name.node))];
        let braces = self.text.bracket_before(place.end);
        if self.text.bracket_after(place.start) != braces {
            parts.push(self.params(&block.params, place.start));
        }
        parts.extend([Doc::text(" "), self.members(&block.members, braces)]);
        Doc::Concat(parts)
    }

    fn members(&mut self, members: &[Member], braces: Range<usize>) -> Doc {
        self.braced(members, Self::member_place, Self::member, braces)
    }

    fn member_place(&self, member: &Member) -> Range<usize> {
        match member {
            Member::Axis(axis) => self.axis_place(axis),
            Member::Param(param) => self.text.back(bytes(param.name.span).start, 1)..bytes(param.init.span).end,
            Member::Slot(slot) => self.text.back(bytes(slot.name.span).start, 1)..bytes(slot.block.span).end,
            Member::Let(binding) => self.let_place(binding),
            Member::Fn(function) => bytes(function.span),
            Member::Calls(value) => self.text.back(bytes(value.span).start, 2)..bytes(value.span).end,
            Member::If(choice) => self.if_place(choice, nested),
        }
    }

    fn member(&mut self, member: &Member) -> Doc {
        match member {
            Member::Axis(axis) => self.axis(axis),
            Member::Param(param) => {
                concat_docs![format!("param {}: {} ~ ", param.name.node, tensor_type(&param.ty)), self.expr(&param.init)]
            }
            Member::Slot(slot) => {
                concat_docs![format!("slot {}: ", slot.name.node), self.expr(&slot.block)]
            }
            Member::Let(binding) => self.binding_stmt(binding),
            Member::Fn(function) => self.function(function),
            Member::Calls(value) => concat_docs!["fn = ", self.expr(value)],
            Member::If(choice) => self.choice(choice, nested, Self::members),
        }
    }

    fn objective(&mut self, objective: &Objective, place: Range<usize>) -> Doc {
        let head = format!("objective {}({})", objective.name.node, names(&objective.models, ", "));
        let over_at = self.text.bracket_after(place.start).end;
        let with_at = self.text.bracket_after(over_at).end;
        let has_with = self.text.word_after(with_at) == "with";
        let mut fields = vec![Doc::Line, Doc::text("over "), self.params(&objective.over, over_at)];
        if has_with {
            fields.extend([Doc::Line, Doc::text("with "), self.params(&objective.with, with_at)]);
        }
        let braces = self.text.bracket_before(place.end);
        let head = Doc::group(concat_docs![head, Doc::indent(Doc::Concat(fields))]);
        concat_docs![head, " ", self.body(&objective.body, braces)]
    }

    fn optimizer(&mut self, optimizer: &Optimizer, place: Range<usize>) -> Doc {
        let params = self.params(&optimizer.params, place.start);
        let outer = self.text.bracket_before(place.end);
        let update_end = self.text.back(place.end - 1, 1) + 1;
        let braces = self.text.bracket_before(update_end);
        let inputs = optimizer.inputs.first().map_or(braces.start, |name| bytes(name.span).start);
        // `update (` before the first input.
        let update = self.text.back(inputs, if optimizer.inputs.is_empty() { 3 } else { 2 });
        let mut parts: Vec<Part<'_>> = Vec::new();
        if let (Some((first, _)), Some((_, last))) = (optimizer.state.first(), optimizer.state.last()) {
            parts.push(Part::State(self.text.back(bytes(first.span).start, 1)..bytes(last.span).end));
        }
        parts.push(Part::Update(update..update_end, braces, optimizer));
        let body = self.braced(
            &parts,
            |_, part| match part {
                Part::State(place) | Part::Update(place, ..) => place.clone(),
            },
            |this, part| match part {
                Part::State(_) => concat_docs!["state ", this.bindings(&optimizer.state)],
                Part::Update(_, braces, optimizer) => {
                    let head = format!("update ({}) ", names(&optimizer.inputs, ", "));
                    concat_docs![head, this.body(&optimizer.body, braces.clone())]
                }
            },
            outer,
        );
        concat_docs![format!("optimizer {}", optimizer.name.node), params, " ", body]
    }

    fn schedule(&mut self, schedule: &Schedule, place: Range<usize>) -> Doc {
        let params = self.params(&schedule.params, place.start);
        let braces = self.text.bracket_before(place.end);
        let over = format!(" over ({}) ", schedule.step.node);
        concat_docs![format!("schedule {}", schedule.name.node), params, over, self.body(&schedule.body, braces)]
    }
}

/// What an optimizer holds.
enum Part<'a> {
    State(Range<usize>),
    Update(Range<usize>, Range<usize>, &'a Optimizer),
}

fn nested(member: &Member) -> Option<&If<Member>> {
    if let Member::If(choice) = member { Some(choice) } else { None }
}

fn use_item(import: &Use) -> Doc {
    let names: Vec<Doc> = import.names.iter().map(|name| Doc::text(name.as_str())).collect();
    // No comma after the last: the next item would be taken for a name.
    let names = Doc::join(names, &concat_docs![",", Doc::Line]);
    let path = self::names(&import.path, ".");
    Doc::group(Doc::indent(concat_docs![format!("use {path}: "), names]))
}
