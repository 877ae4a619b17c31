//! The derivatives of the elementwise operators, read from their rows.
//!
//! A row's text is a prefix expression over the operands `a b c`, the result `y` and the cotangent `g`; it is read once, and
//! then written into a graph wherever the operator is differentiated.

use std::sync::LazyLock;

use weft_dsl::elementwise::{Elementwise, TABLE};
use weft_dsl::types::Axes;

use crate::graph::{NodeId, RegionBuilder};

/// A derivative as read.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Operand(usize),
    Result,
    Cotangent,
    Number(f64),
    Apply(Elementwise, Vec<Expression>),
}

/// For each row, for each operand, its derivative where it has one.
static DERIVATIVES: LazyLock<Vec<Vec<Option<Expression>>>> = LazyLock::new(|| {
    let read_row = |texts: &[&str]| texts.iter().map(|text| read(text)).collect();
    TABLE.iter().map(|row| read_row(row.derivative)).collect()
});

/// Reads a derivative; none of a text that is empty. The texts are part of the compiler, so a test reads them all.
///
/// # Panics
/// Where a text is not an expression: a fault of the table.
fn read(text: &str) -> Option<Expression> {
    if text.is_empty() {
        return None;
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace();
    let read = expression(&mut words).filter(|_| words.next().is_none());
    Some(read.unwrap_or_else(|| panic!("`{text}` is not a derivative")))
}

fn expression<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Expression> {
    Some(match words.next()? {
        "a" => Expression::Operand(0),
        "b" => Expression::Operand(1),
        "c" => Expression::Operand(2),
        "y" => Expression::Result,
        "g" => Expression::Cotangent,
        "(" => {
            let op = Elementwise::named(words.next()?)?;
            let operands = (0..op.row().arity).map(|_| expression(words)).collect::<Option<_>>()?;
            (words.next()? == ")").then_some(Expression::Apply(op, operands))?
        }
        number => Expression::Number(number.parse().ok()?),
    })
}

fn derivative(op: Elementwise, operand: usize) -> Option<&'static Expression> {
    let row = Elementwise::all().position(|other| other == op)?;
    DERIVATIVES[row].get(operand)?.as_ref()
}

/// Whether a cotangent passes from the result to the operand.
pub fn passes(op: Elementwise, operand: usize) -> bool {
    derivative(op, operand).is_some()
}

/// Whether the derivative with respect to an operand reads the result, or an operand for which `moves` holds.
pub fn bends(op: Elementwise, operand: usize, moves: &dyn Fn(usize) -> bool) -> bool {
    derivative(op, operand).is_some_and(|expression| expression.bends(moves))
}

impl Expression {
    fn bends(&self, moves: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Expression::Operand(i) => moves(*i),
            Expression::Result => true,
            Expression::Cotangent | Expression::Number(_) => false,
            Expression::Apply(_, parts) => parts.iter().any(|part| part.bends(moves)),
        }
    }
}

/// The cotangent of an operand of the elementwise node `y`, before it is summed over axes which the operand lacks.
pub fn pull(
    axes: &Axes,
    builder: &mut RegionBuilder,
    op: Elementwise,
    y: NodeId,
    operand: usize,
    g: NodeId,
) -> Option<NodeId> {
    let expression = derivative(op, operand)?;
    let operands = builder.region()[y].operands.clone();
    Some(write(axes, builder, expression, &operands, y, g))
}

fn write(axes: &Axes, b: &mut RegionBuilder, expression: &Expression, operands: &[NodeId], y: NodeId, g: NodeId) -> NodeId {
    match expression {
        Expression::Operand(i) => operands[*i],
        Expression::Result => y,
        Expression::Cotangent => g,
        Expression::Number(value) => b.number(*value),
        Expression::Apply(op, parts) => {
            let parts: Vec<_> = parts.iter().map(|part| write(axes, b, part, operands, y, g)).collect();
            b.map(axes, *op, &parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads() {
        assert_eq!(DERIVATIVES.len(), TABLE.len());
        let g = || Expression::Cotangent;
        assert_eq!(read("(div g a)"), Some(Expression::Apply(Elementwise::DIV, vec![g(), Expression::Operand(0)])));
        assert!(passes(Elementwise::SELECT, 1) && !passes(Elementwise::SELECT, 0) && !passes(Elementwise::FLOOR, 0));
    }
}
