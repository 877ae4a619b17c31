//! Recipes.

use crate::emit::Emit;
use crate::span::Span;

use super::outcome::{Data, Tokenizer};
use super::primitive::PrimitiveCall;
use super::session::{Done, Session, Val};
use super::value::{ScheduleValue, Scope, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// `text("path", tokenizer: characters)`, `batches()`
    pub(crate) fn data_call(&mut self, call: &PrimitiveCall<'p, '_, E>) -> Done<Val<'p, E>> {
        match call.name {
            "characters" | "bytes" => {
                self.arguments(call, 0)?;
                return Ok(Value::Tokenizer(if call.name == "bytes" { Tokenizer::Bytes } else { Tokenizer::Characters }));
            }
            "batches" => {
                self.arguments(call, 0)?;
                return Ok(Value::Data(Data::Batches));
            }
            _ => {}
        }
        let (mut paths, mut tokenizer) = (Vec::new(), None);
        for arg in call.args {
            let value = self.eval(&arg.value, call.scope)?;
            match (&arg.name, value) {
                (None, Value::Text(Some(path))) => paths.push(path.to_string()),
                (Some(name), Value::Primitive("characters")) if name.node == "tokenizer" => {
                    tokenizer = Some(Tokenizer::Characters)
                }
                (Some(name), Value::Primitive("bytes")) if name.node == "tokenizer" => tokenizer = Some(Tokenizer::Bytes),
                (Some(name), Value::Tokenizer(t)) if name.node == "tokenizer" => tokenizer = Some(t),
                (Some(name), Value::Text(Some(path))) if name.node == "tokenizer" => {
                    tokenizer = Some(Tokenizer::File(path.to_string()))
                }
                (Some(name), _) if name.node != "tokenizer" => {
                    return Err(self.error(
                        "W0106",
                        format!("`text` has no argument `{}`", name.node),
                        name.span,
                        "it takes paths and `tokenizer`",
                    ));
                }
                (_, other) => {
                    return Err(self.error(
                        "W0405",
                        format!("`text` cannot take {}", other.kind()),
                        arg.value.span,
                        other.kind(),
                    ));
                }
            }
        }
        match tokenizer {
            Some(tokenizer) if !paths.is_empty() => Ok(Value::Data(Data::Text { paths, tokenizer })),
            _ => Err(self.error(
                "W0108",
                "`text` takes paths and a tokenizer",
                call.span,
                "such as `text(\"a.txt\", tokenizer: characters)`",
            )),
        }
    }

    /// `data.vocab`
    pub(crate) fn vocabulary(&mut self, data: &Data, span: Span) -> Done<Val<'p, E>> {
        let Data::Text { paths, tokenizer } = data else {
            return Err(self.error("W0505", "only text has a vocabulary", span, ""));
        };
        if self.checking {
            return Ok(Value::Int(crate::size::Size::var("data.vocab")));
        }
        match self.host.vocabulary(paths, tokenizer) {
            Ok(n) => Ok(Value::Int(crate::size::Size::of(n))),
            Err(why) => Err(self.error("W0506", "the data cannot be read", span, why)),
        }
    }

    /// A schedule's rate at a step.
    pub(crate) fn scheduled(
        &mut self,
        schedule: &ScheduleValue<'p, E::Value>,
        step: (Val<'p, E>, Span),
        span: Span,
    ) -> Done<Val<'p, E>> {
        let scope = Scope::within(&schedule.scope);
        scope.set(&schedule.def.step.node, step.0);
        let value = self.deeper(span, |session| session.body(&schedule.def.body, &scope))?;
        match value {
            Some(value) => Ok(value),
            None => {
                Err(self.error("W0410", "this schedule has no value", schedule.def.name.span, "its body ends without one"))
            }
        }
    }
}
