//! Axes, tensor types, parameters and results.

use pest::iterators::Pair;

use crate::ast::{AxisTerm, ElemType, Param, ParamType, ResultType, TensorType};
use crate::diagnostic::Diagnostic;

use super::Rule;
use super::builder::{Builder, only, parts};

impl Builder<'_> {
    pub(super) fn axis_term(&self, pair: Pair<'_, Rule>) -> AxisTerm {
        let term = only(pair);
        match term.as_rule() {
            Rule::product => {
                let span = self.span(&term);
                AxisTerm::Product(parts(term).map(|part| self.axis_term(part)).collect(), span)
            }
            Rule::part_of_row => AxisTerm::PartOfRow(self.name(only(term))),
            Rule::row => AxisTerm::Row(self.name(only(term))),
            Rule::any_row => AxisTerm::AnyRow(self.span(&term)),
            _ => AxisTerm::Name(self.names(parts(term))),
        }
    }

    pub(super) fn tensor_type(&self, pair: Pair<'_, Rule>) -> TensorType {
        let span = self.span(&pair);
        let mut axes = Vec::new();
        let mut elem = None;
        for part in parts(pair) {
            match part.as_rule() {
                Rule::axis_term => axes.push(self.axis_term(part)),
                _ => elem = Some(self.elem_type(part)),
            }
        }
        TensorType { axes, elem, span }
    }

    fn elem_type(&self, pair: Pair<'_, Rule>) -> ElemType {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let other = inner.take_if(Rule::op_or).map(|_| {
            let number = inner.part();
            let other = self.int(&number);
            if i32::try_from(other).is_err() {
                self.report(Diagnostic::error("W0008", "this number is too large", self.span(&number), "more than 32 bits"));
            }
            other
        });
        match (name.as_str(), other) {
            (_, Some(other)) => ElemType::IndexOr(name, other),
            ("float", None) => ElemType::Float(name.span),
            ("int", None) => ElemType::Int(name.span),
            ("bool", None) => ElemType::Bool(name.span),
            (_, None) => ElemType::Index(name),
        }
    }

    pub(super) fn params(&self, pair: Pair<'_, Rule>) -> Vec<Param> {
        parts(pair).map(|part| self.param(part)).collect()
    }

    fn param(&self, pair: Pair<'_, Rule>) -> Param {
        let mut inner = parts(pair);
        let name = self.name(inner.part());
        let ty = inner.take_if(Rule::param_type).map(|ty| self.param_type(ty));
        let default = inner.take_if(Rule::param_default).map(|default| self.expr(only(default)));
        Param { name, ty, default }
    }

    fn param_type(&self, pair: Pair<'_, Rule>) -> ParamType {
        let ty = only(pair);
        match ty.as_rule() {
            Rule::shared => ParamType::Shared(self.tensor_type(only(ty))),
            Rule::tensor_type => ParamType::Tensor(self.tensor_type(ty)),
            Rule::type_axis => ParamType::Axis,
            Rule::type_fn => ParamType::Fn,
            _ => match ty.as_str() {
                "int" => ParamType::Int,
                "float" => ParamType::Float,
                "bool" => ParamType::Bool,
                "text" => ParamType::Text,
                "schedule" => ParamType::Schedule,
                _ => ParamType::Instance(self.name(ty)),
            },
        }
    }

    pub(super) fn result(&self, pair: Pair<'_, Rule>) -> ResultType {
        let result = only(pair);
        if result.as_rule() == Rule::tensor_type {
            return ResultType::Tensor(self.tensor_type(result));
        }
        let span = self.span(&result);
        let fields = parts(result).map(|field| {
            let mut inner = parts(field);
            (self.name(inner.part()), self.tensor_type(inner.part()))
        });
        ResultType::Record(fields.collect(), span)
    }
}
