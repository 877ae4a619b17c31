//! The e-nodes: an operator and its operands' classes.
//!
//! Operators are interned, so that a node is small and comparing two is comparing numbers. What the rewriter does not look into
//! (arguments, scans, kernels, their projections) is opaque: an e-node of its own that no rule matches, with its operands as
//! children, so that no extraction can make a scan read what is computed from its results.

use std::collections::HashMap;

use egg::{FromOp, Id, Language};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Elem, Type};

use crate::graph::Kind;

/// What an e-node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Symbol {
    /// A float scalar.
    Number(Number),
    /// An elementwise operator.
    Map(Elementwise),
    /// Any other operator: its number in [`Operators`].
    Op(u32),
    /// A node of the region that rules do not look into: its number in [`Operators`].
    Opaque(u32),
}

/// An e-node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ENode {
    /// What it does.
    pub symbol: Symbol,
    /// The classes of its operands.
    pub children: Vec<Id>,
}

impl Language for ENode {
    type Discriminant = Symbol;

    fn discriminant(&self) -> Symbol {
        self.symbol
    }

    fn matches(&self, other: &Self) -> bool {
        self.symbol == other.symbol && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}

/// Why a pattern's text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoOperator(pub String);

impl std::fmt::Display for NoOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is neither a number nor an elementwise operator with so many operands", self.0)
    }
}

impl std::error::Error for NoOperator {}

impl FromOp for ENode {
    type Error = NoOperator;

    /// Numbers and the elementwise operators by their names in the table.
    fn from_op(op: &str, children: Vec<Id>) -> Result<Self, NoOperator> {
        let symbol = match (op.parse::<f64>(), Elementwise::named(op)) {
            (Ok(number), _) if children.is_empty() => Symbol::Number(Number(number)),
            (_, Some(map)) if map.row().arity == children.len() => Symbol::Map(map),
            _ => return Err(NoOperator(op.into())),
        };
        Ok(Self { symbol, children })
    }
}

impl std::fmt::Display for ENode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.symbol {
            Symbol::Number(number) => write!(f, "{}", number.0),
            Symbol::Map(op) => f.write_str(op.name()),
            Symbol::Op(n) => write!(f, "op{n}"),
            Symbol::Opaque(n) => write!(f, "opaque{n}"),
        }
    }
}

/// The operators of one region's e-graph.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    list: Vec<Op>,
    known: HashMap<Op, u32>,
    opaque: Vec<(Kind, Type)>,
}

impl Operators {
    /// The symbol of an operator.
    pub fn symbol(&mut self, op: Op) -> Symbol {
        match op {
            Op::Map(map) => Symbol::Map(map),
            Op::Constant(number, Elem::Float, over) if over.is_empty() => Symbol::Number(number),
            op => {
                let next = self.list.len() as u32;
                let number = *self.known.entry(op.clone()).or_insert(next);
                if number == next {
                    self.list.push(op);
                }
                Symbol::Op(number)
            }
        }
    }

    /// A new symbol for a node that rules do not look into.
    pub fn opaque(&mut self, kind: Kind, ty: Type) -> Symbol {
        self.opaque.push((kind, ty));
        Symbol::Opaque(self.opaque.len() as u32 - 1)
    }

    /// The operator of a symbol; none of an opaque one.
    pub fn op(&self, symbol: Symbol) -> Option<Op> {
        match symbol {
            Symbol::Number(number) => Some(Op::Constant(number, Elem::Float, Vec::new())),
            Symbol::Map(map) => Some(Op::Map(map)),
            Symbol::Op(number) => self.list.get(number as usize).cloned(),
            Symbol::Opaque(_) => None,
        }
    }

    /// The operator of a symbol that is neither a number nor elementwise.
    pub fn structural(&self, symbol: Symbol) -> Option<&Op> {
        match symbol {
            Symbol::Op(number) => self.list.get(number as usize),
            Symbol::Number(_) | Symbol::Map(_) | Symbol::Opaque(_) => None,
        }
    }

    /// The node and type of an opaque symbol.
    pub fn hidden(&self, symbol: Symbol) -> Option<&(Kind, Type)> {
        match symbol {
            Symbol::Opaque(number) => self.opaque.get(number as usize),
            Symbol::Number(_) | Symbol::Map(_) | Symbol::Op(_) => None,
        }
    }
}
