//! Items, except recipes and weights.

use pest::iterators::Pair;

use crate::ast::{Block, Item, ItemKind, Made, Member, Objective, Optimizer, ParamDecl, Schedule, Slot, Table, Test, Use};
use crate::diagnostic::Diagnostic;

use super::Rule;
use super::builder::{Builder, only, parts};

impl Builder<'_> {
    /// The item that a successful parse gave.
    pub(super) fn item(&self, pair: Pair<'_, Rule>) -> Option<Item> {
        let item = only(pair);
        let span = self.span(&item);
        let kind = match item.as_rule() {
            Rule::use_item => ItemKind::Use(self.use_item(item)),
            Rule::axis_decl => ItemKind::Axis(self.axis_decl(item)),
            Rule::fn_decl => {
                let function = self.fn_decl(item);
                if function.name.is_none() {
                    let at = crate::span::Span { end: span.start + 2, ..span };
                    self.report(
                        Diagnostic::error("W0013", "a function outside a block needs a name", at, "no name after this `fn`")
                            .help("only the call of a block is nameless: it stands inside `block … { … }`"),
                    );
                    return None;
                }
                ItemKind::Fn(function)
            }
            Rule::made => ItemKind::Made(self.made(item)),
            Rule::block => ItemKind::Block(self.block(item)),
            Rule::objective => ItemKind::Objective(self.objective(item)),
            Rule::optimizer => ItemKind::Optimizer(self.optimizer(item)),
            Rule::schedule => ItemKind::Schedule(self.schedule(item)),
            Rule::table => ItemKind::Table(self.table(item)),
            Rule::train => ItemKind::Train(self.train(item)),
            Rule::weights => ItemKind::Weights(self.weights(item)),
            _ => {
                let mut inner = parts(item);
                ItemKind::Test(Test { name: self.text(&inner.part()), body: self.body(inner.part()) })
            }
        };
        Some(Item { doc: self.docs(span), kind, span })
    }

    fn use_item(&self, pair: Pair<'_, Rule>) -> Use {
        let mut inner = parts(pair);
        let path = self.names(parts(inner.part()));
        Use { path, names: self.names(inner) }
    }

    fn made(&self, pair: Pair<'_, Rule>) -> Made {
        let mut inner = parts(pair);
        let (name, value) = (self.name(inner.part()), self.expr(inner.part()));
        let entries = inner.next().map(|settings| self.bindings(parts(settings))).unwrap_or_default();
        Made { name, value, entries }
    }

    fn table(&self, pair: Pair<'_, Rule>) -> Table {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let row = |row| {
            let mut inner = parts(row);
            (self.text(&inner.part()), self.expr(inner.part()))
        };
        Table { name, rows: inner.map(row).collect() }
    }

    fn block(&self, pair: Pair<'_, Rule>) -> Block {
        let mut inner = parts(pair);
        let is_model = inner.part().as_str() == "model";
        let name = self.name(inner.part());
        let params = inner.take_if(Rule::params).map(|params| self.params(params)).unwrap_or_default();
        Block { is_model, name, params, members: self.members(inner.part()) }
    }

    fn members(&self, pair: Pair<'_, Rule>) -> Vec<Member> {
        parts(pair).map(|member| self.member(only(member))).collect()
    }

    fn member(&self, pair: Pair<'_, Rule>) -> Member {
        match pair.as_rule() {
            Rule::axis_decl => Member::Axis(self.axis_decl(pair)),
            Rule::param_decl => {
                let doc = self.docs(self.span(&pair));
                let mut inner = parts(pair);
                let name = self.name(inner.part());
                let ty = self.tensor_type(inner.part());
                Member::Param(ParamDecl { doc, name, ty, init: self.expr(inner.part()) })
            }
            Rule::slot => {
                let mut inner = parts(pair);
                Member::Slot(Slot { name: self.name(inner.part()), block: self.expr(inner.part()) })
            }
            Rule::calls => Member::Calls(self.expr(parts(pair).part())),
            Rule::fn_decl => Member::Fn(self.fn_decl(pair)),
            Rule::member_if => Member::If(self.if_chain(parts(pair), Self::members, Member::If)),
            _ => Member::Let(self.let_stmt(pair)),
        }
    }

    fn objective(&self, pair: Pair<'_, Rule>) -> Objective {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let models = self.names(parts(inner.part()));
        let over = self.params(inner.part());
        let with = inner.take_if(Rule::params).map(|with| self.params(with)).unwrap_or_default();
        Objective { name, models, over, with, body: self.body(inner.part()) }
    }

    fn optimizer(&self, pair: Pair<'_, Rule>) -> Optimizer {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let params = self.params(inner.part());
        let mut state = Vec::new();
        while let Some(more) = inner.take_if(Rule::state) {
            state.extend(self.bindings(parts(more)));
        }
        let mut update = parts(inner.part());
        let inputs = self.names(parts(update.part()));
        Optimizer { name, params, state, inputs, body: self.body(update.part()) }
    }

    fn schedule(&self, pair: Pair<'_, Rule>) -> Schedule {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let params = self.params(inner.part());
        let step = self.name(inner.part());
        Schedule { name, params, step, body: self.body(inner.part()) }
    }
}
