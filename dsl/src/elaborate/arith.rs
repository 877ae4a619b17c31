//! Operators on values: configuration is computed, tensors are emitted.

use crate::ast::BinaryOp;
use crate::diagnostic::Diagnostic;
use crate::elementwise::{Elementwise, Signature};
use crate::emit::Emit;
use crate::op::{Number, Op};
use crate::size::{DivideError, Size};
use crate::span::Span;
use crate::types::{Axis, Elem, Type};

use super::session::{Done, Reported, Session, Val};
use super::value::{Tensor, Value};

impl<'p, E: Emit> Session<'p, E> {
    /// An infix operator.
    pub(crate) fn binary(
        &mut self,
        op: BinaryOp,
        a: (Val<'p, E>, Span),
        b: (Val<'p, E>, Span),
        span: Span,
    ) -> Done<Val<'p, E>> {
        if let (Value::Text(x), Value::Text(y), BinaryOp::Eq | BinaryOp::Ne) = (&a.0, &b.0, op) {
            let equal = x.as_ref().zip(y.as_ref()).map(|(x, y)| (x == y) == (op == BinaryOp::Eq));
            return Ok(Value::Bool(equal));
        }
        let row = match op {
            BinaryOp::Where => return self.masked(a, b, span),
            BinaryOp::Otherwise => return self.otherwise(a, b, span),
            BinaryOp::Or => Elementwise::OR,
            BinaryOp::And => Elementwise::AND,
            BinaryOp::Eq => Elementwise::EQ,
            BinaryOp::Ne => Elementwise::NE,
            BinaryOp::Lt => Elementwise::LT,
            BinaryOp::Le => Elementwise::LE,
            BinaryOp::Gt => Elementwise::GT,
            BinaryOp::Ge => Elementwise::GE,
            BinaryOp::Add => Elementwise::ADD,
            BinaryOp::Sub => Elementwise::SUB,
            BinaryOp::Mul => Elementwise::MUL,
            BinaryOp::Div => Elementwise::DIV,
            BinaryOp::IntDiv => Elementwise::IDIV,
            BinaryOp::Mod => Elementwise::MOD,
            BinaryOp::Pow => Elementwise::POW,
        };
        self.map(row, &[a, b], span)
    }

    /// An elementwise operator.
    pub(crate) fn map(&mut self, op: Elementwise, operands: &[(Val<'p, E>, Span)], span: Span) -> Done<Val<'p, E>> {
        if operands.iter().any(|(v, _)| matches!(v, Value::Unknown)) {
            return Err(Reported);
        }
        // What a file lacks leaves nothing of what is computed from it.
        if let Some((absent, _)) = operands.iter().find(|(v, _)| matches!(v, Value::Absent(_))) {
            return Ok(absent.clone());
        }
        if operands.iter().all(|(v, _)| matches!(v, Value::Int(_) | Value::Float(_) | Value::Bool(_)))
            && let Some(value) = self.configuration(op, operands, span)?
        {
            return Ok(value);
        }
        let mut values = Vec::new();
        let mut mask = None;
        let floats = self.among_floats(op, operands);
        for (value, place) in operands {
            let tensor = match value {
                Value::Int(size) if floats && size.known().is_some() => {
                    let number = Value::Float(size.known().map(|n| n as f64));
                    self.tensor(&number, *place)?
                }
                value => self.tensor(value, *place)?,
            };
            mask = self.both(mask, tensor.mask, span)?;
            values.push(tensor.value);
        }
        if op == Elementwise::SELECT {
            self.index_constant(&mut values, operands)?;
        }
        let mut spans: Vec<_> = operands.iter().map(|(_, s)| *s).collect();
        spans.push(span);
        let value = self.map_values(op, values, &spans)?;
        Ok(Value::Tensor(Tensor { value, mask }))
    }

    /// Whether whole numbers among the operands will be floats.
    fn among_floats(&self, op: Elementwise, operands: &[(Val<'p, E>, Span)]) -> bool {
        let float = |value: &Val<'p, E>| match value {
            Value::Float(_) | Value::Param(..) => true,
            Value::Tensor(tensor) => self.emit.type_of(&tensor.value).elem == Elem::Float,
            _ => false,
        };
        match op.row().signature {
            Signature::Real => true,
            Signature::Number | Signature::Compare => operands.iter().any(|(v, _)| float(v)),
            Signature::Select => operands.iter().skip(1).any(|(v, _)| float(v)),
            Signature::Integer | Signature::Logic => false,
        }
    }

    /// An elementwise operator on emitted values; integers that meet floats become floats.
    pub(crate) fn map_values(&mut self, op: Elementwise, mut values: Vec<E::Value>, spans: &[Span]) -> Done<E::Value> {
        let types: Vec<Type> = values.iter().map(|v| self.emit.type_of(v)).collect();
        let refs: Vec<_> = types.iter().collect();
        let floats = |types: &[Type]| types.iter().any(|t| t.elem == Elem::Float);
        let real = match op.row().signature {
            Signature::Real => true,
            Signature::Number | Signature::Compare => floats(&types),
            Signature::Select => floats(&types[types.len().min(1)..]),
            Signature::Integer | Signature::Logic => false,
        };
        let from = usize::from(op.row().signature == Signature::Select).min(values.len());
        if real && Op::Map(op).infer(&refs, self.emit.axes()).is_ok() {
            for value in &mut values[from..] {
                *value = self.as_float(value);
            }
        }
        self.op(Op::Map(op), &values, spans)
    }

    /// `select(c, 5, ids)`: a whole number beside indices is an index, in range.
    fn index_constant(&mut self, values: &mut [E::Value], operands: &[(Val<'p, E>, Span)]) -> Done<()> {
        for (number, other) in [(1, 2), (2, 1)] {
            let (Some((Value::Int(n), span)), Some(value)) = (operands.get(number), values.get(other)) else { continue };
            if let Elem::Index(axis) = self.emit.type_of(value).elem {
                values[number] = self.constant_index(n, axis, *span)?;
            }
        }
        Ok(())
    }

    /// A whole number as an index into an axis.
    pub(crate) fn constant_index(&mut self, n: &Size, axis: Axis, span: Span) -> Done<E::Value> {
        let size = self.size_of(&[axis]);
        let name = self.name_of(axis);
        if let Some(known) = n.known().filter(|&known| known < 0) {
            return Err(self.error("W0205", "an index is not negative", span, format!("{known}")));
        }
        if !self.checking || n.known().is_some() {
            self.limit(
                n.clone() + Size::of(1),
                size.clone(),
                format!("axis `{name}` has {size} places, counted from 0"),
                span,
            )?;
        }
        if let Some(known) = n.known() {
            return Ok(self.number(known as f64, Elem::Index(axis)));
        }
        let value = self.tensor(&Value::Int(n.clone()), span)?.value;
        Ok(self.sure(Op::Cast(Elem::Index(axis)), &[value]))
    }

    /// Where both masks hold.
    pub(crate) fn both(&mut self, a: Option<E::Value>, b: Option<E::Value>, span: Span) -> Done<Option<E::Value>> {
        Ok(match (a, b) {
            (Some(a), Some(b)) => Some(self.op(Op::Map(Elementwise::AND), &[a, b], &[span])?),
            (a, b) => a.or(b),
        })
    }

    /// `score where mask`
    fn masked(
        &mut self,
        (value, at): (Val<'p, E>, Span),
        (mask, mask_at): (Val<'p, E>, Span),
        span: Span,
    ) -> Done<Val<'p, E>> {
        let tensor = self.tensor(&value, at)?;
        if matches!(mask, Value::Bool(Some(true))) {
            return Ok(Value::Tensor(tensor));
        }
        let mask = self.truth(&mask, mask_at)?;
        let mask = self.both(tensor.mask, Some(mask), span)?;
        Ok(Value::Tensor(Tensor { value: tensor.value, mask }))
    }

    /// `e otherwise v`
    fn otherwise(
        &mut self,
        (value, at): (Val<'p, E>, Span),
        (other, other_at): (Val<'p, E>, Span),
        span: Span,
    ) -> Done<Val<'p, E>> {
        let tensor = self.tensor(&value, at)?;
        let Some(mask) = tensor.mask else { return Ok(Value::Tensor(tensor)) };
        let mask = Value::Tensor(Tensor { value: mask, mask: None });
        let value = Value::Tensor(Tensor { value: tensor.value, mask: None });
        self.map(Elementwise::SELECT, &[(mask, at), (value, at), (other, other_at)], span)
    }

    /// The value with further axes, along which it is constant.
    pub(crate) fn spread(&mut self, value: &E::Value, axes: &[Axis]) -> E::Value {
        let ty = self.emit.type_of(value);
        let missing: Vec<_> = axes.iter().copied().filter(|&a| !ty.has(a)).collect();
        if missing.is_empty() {
            return value.clone();
        }
        let (unit, op, elem) = match ty.elem {
            Elem::Float => (1.0, Elementwise::MUL, Elem::Float),
            Elem::Int | Elem::Index(_) => (1.0, Elementwise::MUL, Elem::Int),
            Elem::Bool => (1.0, Elementwise::AND, Elem::Bool),
        };
        let ones = self.sure(Op::Constant(Number(unit), elem, missing), &[]);
        let spread = self.sure(Op::Map(op), &[value.clone(), ones]);
        match ty.elem {
            Elem::Index(_) => self.sure(Op::Cast(ty.elem), &[spread]),
            _ => spread,
        }
    }

    /// The value as floats.
    pub(crate) fn as_float(&mut self, value: &E::Value) -> E::Value {
        match self.emit.type_of(value).elem {
            Elem::Float => value.clone(),
            Elem::Int | Elem::Index(_) | Elem::Bool => self.sure(Op::Cast(Elem::Float), std::slice::from_ref(value)),
        }
    }

    /// A tensor of truth values.
    pub(crate) fn truth(&mut self, value: &Val<'p, E>, span: Span) -> Done<E::Value> {
        let value = self.whole(value, span)?;
        let ty = self.emit.type_of(&value);
        if ty.elem == Elem::Bool {
            return Ok(value);
        }
        let shown = self.show(&ty);
        Err(self.report(
            Diagnostic::error("W0402", format!("this takes bool, not {shown}"), span, shown.clone())
                .expected("bool", shown)
                .help("compare it with something: `x > 0`"),
        ))
    }

    /// An operator on configuration; `None` where it has to be emitted because a size is known only at run time.
    fn configuration(&mut self, op: Elementwise, operands: &[(Val<'p, E>, Span)], span: Span) -> Done<Option<Val<'p, E>>> {
        let values: Vec<_> = operands.iter().map(|(v, _)| v).collect();
        match (values.as_slice(), op) {
            ([Value::Int(a), Value::Int(b)], Elementwise::ADD) => return Ok(Some(Value::Int(a.clone() + b.clone()))),
            ([Value::Int(a), Value::Int(b)], Elementwise::SUB) => return Ok(Some(Value::Int(a.clone() - b.clone()))),
            ([Value::Int(a), Value::Int(b)], Elementwise::MUL) => return Ok(Some(Value::Int(a.clone() * b.clone()))),
            ([Value::Int(a)], Elementwise::NEG) => return Ok(Some(Value::Int(Size::of(0) - a.clone()))),
            ([Value::Int(a), Value::Int(b)], Elementwise::DIV) => {
                return self.divide(a, b, span).map(|s| Some(Value::Int(s)));
            }
            ([Value::Int(a), Value::Int(b)], Elementwise::IDIV | Elementwise::MOD) => match (a.known(), b.known()) {
                (_, Some(0)) => return self.divide(a, b, span).map(|s| Some(Value::Int(s))),
                (Some(_), Some(_)) => {}
                _ if self.checking => {
                    let shown = format!("({a} {} {b})", if op == Elementwise::IDIV { "div" } else { "mod" });
                    return Ok(Some(Value::Int(Size::var(&shown))));
                }
                _ => {}
            },
            ([Value::Int(a), Value::Int(b)], Elementwise::EQ | Elementwise::LE | Elementwise::GE) if a == b => {
                return Ok(Some(Value::Bool(Some(true))));
            }
            (
                [_, Value::Int(_) | Value::Float(_), Value::Bool(_)] | [_, Value::Bool(_), Value::Int(_) | Value::Float(_)],
                _,
            ) => return Ok(None),
            _ => {}
        }
        let signature = op.row().signature;
        let logic = |v: &Val<'p, E>| matches!(v, Value::Bool(_));
        let from = match signature {
            Signature::Logic => values.len(),
            Signature::Select => 1,
            _ => 0,
        };
        let fits = values.iter().take(from).all(|v| logic(v))
            && match signature {
                Signature::Select => values[1..].iter().all(|v| logic(v)) || !values[1..].iter().any(|v| logic(v)),
                Signature::Compare => logic(values[0]) == logic(values[values.len() - 1]),
                _ => !values.iter().skip(from).any(|v| logic(v)),
            };
        if !fits || values.len() != op.row().arity {
            return Ok(None);
        }
        let known: Vec<Option<f64>> = values
            .iter()
            .map(|v| match v {
                Value::Int(size) => size.known().map(|n| n as f64),
                Value::Float(f) => *f,
                Value::Bool(b) => b.map(|b| if b { 1.0 } else { 0.0 }),
                _ => None,
            })
            .collect();
        let whole = values.iter().skip(from).all(|v| matches!(v, Value::Int(_)));
        let bools = values.iter().skip(from).all(|v| logic(v));
        let result: Option<f64> = known.iter().copied().collect::<Option<Vec<_>>>().map(|k| (op.row().eval)(&k));
        if result.is_none() && !self.checking {
            // `false and m`: known whatever the other is.
            return Ok(None);
        }
        Ok(Some(match signature {
            Signature::Logic | Signature::Compare => Value::Bool(result.map(|r| r != 0.0)),
            Signature::Select if bools => Value::Bool(result.map(|r| r != 0.0)),
            Signature::Number | Signature::Integer | Signature::Select if whole => match result {
                Some(r) => Value::Int(Size::of(r as i64)),
                None => Value::Int(Size::var(self.program.sources().text(span))),
            },
            Signature::Real
                if op == Elementwise::POW && whole && result.is_some_and(|r| r.fract() == 0.0 && r.abs() < 1e15) =>
            {
                Value::Int(Size::of(result.unwrap_or(0.0) as i64))
            }
            _ => Value::Float(result),
        }))
    }

    /// Exact division of sizes.
    fn divide(&mut self, a: &Size, b: &Size, span: Span) -> Done<Size> {
        a.divide(b).map_err(|fault| match fault {
            DivideError::ByZero => self.error("W0202", "division by zero", span, format!("{a} / 0")),
            DivideError::Inexact(x, y) => self.report(
                Diagnostic::error(
                    "W0201",
                    format!("{x} is not a multiple of {y}"),
                    span,
                    format!("{x} / {y} leaves {}", x % y),
                )
                .note("`/` on whole numbers is exact")
                .help("`div` rounds down; `float(a) / b` is a real quotient"),
            ),
        })
    }
}
