//! When storage that outlives the run is overwritten.
//!
//! A result that replaces a parameter or its state may be written over the old value at once only where nothing reads that
//! value any more: no later node, and the writing kernel itself only at the place it writes. Otherwise the result waits in
//! the arena and is copied when everything else is done. What is inserted into storage that nothing else reads is written there.
//! A step of a scan writes what it carries over the old value by the same rule.

use weft_dsl::op::Op;

use crate::graph::{Form, Fused, Graph, Kind, NodeId, Region, Scan, Sink, inserted};

/// An order of the nodes in which storage is overwritten late, and for each output whether it may be written in place.
pub fn order(graph: &Graph) -> (Vec<NodeId>, Vec<bool>) {
    let order = updates_last(graph);
    let mut position = vec![0; order.len()];
    for (at, id) in order.iter().enumerate() {
        position[id.0 as usize] = at;
    }
    let shown = arguments_shown(&graph.body);
    let in_place = |(output, &node): (&crate::graph::Output, &NodeId)| match output.sink {
        Sink::Port => true,
        Sink::Update(input) if inserted(&graph.body, node) == Some(input) => true,
        Sink::Update(input) => may_overwrite(&graph.body, &shown, &position, node, input),
    };
    let in_place = graph.outputs.iter().zip(&graph.body.outputs).map(in_place).collect();
    (order, in_place)
}

/// The nodes in an order in which those that overwrite storage, and what reads their results, come last.
fn updates_last(graph: &Graph) -> Vec<NodeId> {
    let body = &graph.body;
    let mut late = vec![false; body.nodes.len()];
    for (output, &node) in graph.outputs.iter().zip(&body.outputs) {
        if let (Sink::Update(_), Kind::Project(_)) = (output.sink, &body[node].kind) {
            late[body[node].operands[0].0 as usize] = true;
        }
    }
    for (id, node) in body.iter() {
        if node.operands.iter().any(|o| late[o.0 as usize]) {
            late[id.0 as usize] = true;
        }
    }
    let (last, first): (Vec<NodeId>, Vec<NodeId>) = body.iter().map(|(id, _)| id).partition(|id| late[id.0 as usize]);
    first.into_iter().chain(last).collect()
}

/// For each node, the argument of the program that it is, through renames.
fn arguments_shown(body: &Region) -> Vec<Option<u32>> {
    let mut shown: Vec<Option<u32>> = Vec::with_capacity(body.nodes.len());
    for (_, node) in body.iter() {
        shown.push(match &node.kind {
            Kind::Argument(number) => Some(*number),
            Kind::Op(Op::Rename(..)) => shown[node.operands[0].0 as usize],
            _ => None,
        });
    }
    shown
}

/// Whether a result may be written over an argument's storage.
fn may_overwrite(body: &Region, shown: &[Option<u32>], position: &[usize], result: NodeId, argument: u32) -> bool {
    let Kind::Project(_) = body[result].kind else { return false };
    let writer = body[result].operands[0];
    let Kind::Fused(fused) = &body[writer].kind else { return false };
    body.iter().all(|(id, node)| {
        if id == writer {
            return node.operands.iter().enumerate().all(|(number, operand)| {
                shown[operand.0 as usize] != Some(argument)
                    || matches!(body[*operand].kind, Kind::Argument(_)) && is_pointwise(fused, number)
            });
        }
        let before = position[id.0 as usize] < position[writer.0 as usize];
        before
            || matches!(node.kind, Kind::Op(Op::Rename(..)))
            || node.operands.iter().all(|o| shown[o.0 as usize] != Some(argument))
    })
}

/// Whether a kernel reads an operand at the place that it writes alone, before it writes there.
fn is_pointwise(fused: &Fused, operand: usize) -> bool {
    let body = &fused.body;
    let plain = |kind: &Kind| {
        matches!(
            kind,
            Kind::Argument(_) | Kind::Op(Op::Constant(..) | Op::Map(_) | Op::Cast(_) | Op::StopGradient | Op::Extent(_))
        )
    };
    // A product's outputs are written when a tile's sums are finished: what they are sums of must be something else.
    let mut of_operand = vec![false; body.nodes.len()];
    for (id, node) in body.iter() {
        let own = node.kind == Kind::Argument(operand as u32);
        of_operand[id.0 as usize] = own || node.operands.iter().any(|o| of_operand[o.0 as usize]);
    }
    let matters = |id: NodeId| fused.form == Form::Loops || of_operand[id.0 as usize];
    let ty = &body.arguments[operand];
    matches!(fused.form, Form::Loops | Form::Product)
        && body.iter().all(|(id, node)| plain(&node.kind) || !matters(id))
        && body.outputs.iter().all(|&o| body[o].ty.axes == ty.axes)
}

/// For each value that a scan carries, whether a step may write the next over it.
pub fn carried_in_place(scan: &Scan) -> Vec<bool> {
    let body = &scan.body;
    let position: Vec<usize> = (0..body.nodes.len()).collect();
    let shown = arguments_shown(body);
    let may = |number: usize| may_overwrite(body, &shown, &position, body.outputs[number], number as u32);
    (0..scan.carried).map(may).collect()
}
