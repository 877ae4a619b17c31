//! What the parts of an attention's body are.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::{Axis, Elem};

use super::beneath_renames;
use crate::graph::{Kind, NodeId, Region};

/// The parts of the body of an attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The queries as the product reads them: argument 0, renamed.
    pub queries: NodeId,
    /// The keys: argument 1, renamed.
    pub keys: NodeId,
    /// The values: argument 2, renamed.
    pub values: NodeId,
    /// The contraction of queries and keys.
    pub product: NodeId,
    /// The scores, of the product's axes.
    pub score: NodeId,
    /// Their softmax.
    pub weights: NodeId,
    /// The result.
    pub output: NodeId,
    /// The axis that queries and keys are contracted over.
    pub key: Axis,
    /// The axis that the softmax goes along.
    pub source: Axis,
    /// The axis that the values alone have.
    pub value: Axis,
}

/// The parts of a body that [`super::find`] wrote; none of another.
pub fn shape(body: &Region) -> Option<Shape> {
    let output = *body.outputs.first()?;
    let contract = |id: NodeId| match (&body[id].kind, body[id].operands.as_slice()) {
        (Kind::Op(Op::Contract(over)), &[a, b]) if over.len() == 1 => Some((over[0], a, b)),
        _ => None,
    };
    let (source, weights, values) = contract(output)?;
    let Kind::Op(Op::Softmax(_)) = body[weights].kind else { return None };
    let score = body[weights].operands[0];
    let reads = |id: NodeId, number: u32| body[beneath_renames(body, id).0].kind == Kind::Argument(number);
    let product = body.iter().find_map(|(id, _)| {
        let (key, q, k) = contract(id)?;
        (reads(q, 0) && reads(k, 1)).then_some((id, key, q, k))
    });
    let (product, key, queries, keys) = product?;
    let value = body[values].ty.axes.iter().copied().find(|&a| !body[weights].ty.has(a))?;
    Some(Shape { queries, keys, values, product, score, weights, output, key, source, value })
}

/// The gradient of what the scores read besides: a sum of parts, one of each score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// What is summed; with `times`, its product with that.
    pub part: NodeId,
    /// A factor.
    pub times: Option<NodeId>,
    /// The axis of the result along which a part's place is looked up, and its place.
    pub place: Option<(Axis, NodeId)>,
}

/// The index that another is, but for being kept between ends that are the same for all places on an axis; and whether it is kept.
pub fn unkept(body: &Region, mut id: NodeId, along: Axis) -> (NodeId, bool) {
    let mut kept = false;
    loop {
        let node = &body[id];
        id = match (&node.kind, node.operands.as_slice()) {
            (Kind::Op(Op::Cast(Elem::Int | Elem::Index(_))), &[x]) if body[x].ty.elem != Elem::Float => x,
            (Kind::Op(Op::Map(Elementwise::MIN | Elementwise::MAX)), &[a, b])
                if body[a].ty.has(along) != body[b].ty.has(along) =>
            {
                kept = true;
                if body[a].ty.has(along) { a } else { b }
            }
            _ => return (id, kept),
        };
    }
}

/// What a result of a derivative's body gathers; none where it is no such sum.
pub fn gathered(body: &Region, output: NodeId) -> Option<Gathered> {
    let node = &body[beneath_renames(body, output).0];
    let Kind::Op(op) = &node.kind else { return None };
    match (op, node.operands.as_slice()) {
        (Op::Reduce(Monoid::Sum, _), &[part]) => Some(Gathered { part, times: None, place: None }),
        (Op::Contract(_), &[part, by]) => Some(Gathered { part, times: Some(by), place: None }),
        (Op::ScatterAdd(axis, _), &[part, place]) => Some(Gathered { part, times: None, place: Some((*axis, place)) }),
        _ => None,
    }
}
