//! How much a kernel computes and moves, for profiles: operations of its body, and bytes that it must read and write at least.

use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Type};

use crate::graph::{Fused, Kind, NodeId, Region};
use crate::kernel::Dtype;
use crate::schedule::dtype;

/// Additions, multiplications and other functions of the body, each counted as one: `2 · m · n · k` for a product. Values are counted once
/// for each place of their own axes, however often a schedule computes them.
pub fn operations(fused: &Fused, axes: &Axes) -> Size {
    let body = &fused.body;
    let volume = |ty: &Type| axes.volume(&ty.axes);
    let of = |node: &crate::graph::Node| match &node.kind {
        Kind::Op(Op::Contract(over)) => Size::of(2) * axes.volume(&node.ty.with(over).axes),
        Kind::Op(Op::Reduce(..) | Op::ArgMax(_) | Op::ScatterAdd(..)) => volume(&body[node.operands[0]].ty),
        Kind::Op(Op::Softmax(_) | Op::LogSumExp(_)) => Size::of(4) * volume(&body[node.operands[0]].ty),
        Kind::Op(Op::Map(_) | Op::Random(..)) => volume(&node.ty),
        Kind::Op(_) | Kind::Argument(_) | Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => Size::of(0),
    };
    body.nodes.iter().map(of).fold(Size::of(0), |sum, size| sum + size)
}

/// Bytes of the arguments that are read, each place once, and of the results. Of a table that is only looked up in or sliced, what is looked up.
pub fn bytes(fused: &Fused, axes: &Axes) -> Size {
    let body = &fused.body;
    let read = body.iter().filter(|(_, n)| matches!(n.kind, Kind::Argument(_))).map(|(id, _)| moved(body, axes, id));
    let written = body.results().into_iter().map(|ty| width(&ty) * axes.volume(&ty.axes));
    read.chain(written).fold(Size::of(0), |sum, size| sum + size)
}

/// Bytes read of a value: all of it, or what its look-ups and slices give where nothing else reads it.
fn moved(body: &Region, axes: &Axes, id: NodeId) -> Size {
    let mut sum = Size::of(0);
    for (at, node) in body.iter().filter(|(_, n)| n.operands.contains(&id)) {
        sum = sum
            + match &node.kind {
                Kind::Op(Op::Rename(..)) => moved(body, axes, at),
                Kind::Op(Op::Slice(..)) => width(&node.ty) * axes.volume(&node.ty.axes),
                Kind::Op(Op::Lookup(_)) if node.operands[0] == id => width(&node.ty) * axes.volume(&node.ty.axes),
                _ => return width(&body[id].ty) * axes.volume(&body[id].ty.axes),
            };
    }
    sum
}

fn width(ty: &Type) -> Size {
    Size::of(match dtype(ty) {
        Dtype::F64 | Dtype::I64 => 8,
        Dtype::F32 | Dtype::I32 => 4,
        Dtype::Bool => 1,
    })
}
