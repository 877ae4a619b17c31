//! Scans that hand scalars in or out, one a step.
//!
//! A float without axes is kept in 64 bits, an element of a tensor in 32: a step cannot read the one as the other. Such slices and
//! yields get an axis of size 1 within the scan.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{Graph, Kind, NodeId, Region, RegionBuilder, Scan, results};

/// Gives scalars of scans an axis, everywhere in a program.
pub fn widen(graph: &mut Graph) {
    if has_scalars(&graph.body) {
        let unit = graph.axes.fresh("unit", Size::of(1), false);
        graph.body = region(&graph.axes, unit, &graph.body);
    }
}

fn is_scalar(ty: &Type) -> bool {
    ty.elem == Elem::Float && ty.axes.is_empty()
}

/// The slices (numbers of arguments) and the yields (numbers of outputs) that are scalars.
fn scalars(scan: &Scan) -> (Vec<usize>, Vec<usize>) {
    let slices = (scan.carried..scan.carried + scan.sliced).filter(|&i| is_scalar(&scan.body.arguments[i]));
    let yields = (scan.carried..scan.body.outputs.len()).filter(|&i| is_scalar(&scan.body[scan.body.outputs[i]].ty));
    (slices.collect(), yields.collect())
}

fn has_scalars(region: &Region) -> bool {
    region.iter().any(|(_, node)| match &node.kind {
        Kind::Scan(scan) => scalars(scan) != (Vec::new(), Vec::new()) || has_scalars(&scan.body),
        Kind::Op(_) | Kind::Argument(_) | Kind::Fused(_) | Kind::Project(_) => false,
    })
}

fn region(axes: &Axes, unit: Axis, source: &Region) -> Region {
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let outputs = nodes(axes, unit, source, &arguments, &mut out);
    out.finish(outputs)
}

/// Copies a region's nodes, given its arguments; gives its outputs.
fn nodes(axes: &Axes, unit: Axis, source: &Region, arguments: &[NodeId], out: &mut RegionBuilder) -> Vec<NodeId> {
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (_, node) in source.iter() {
        let mut operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        new.push(match &node.kind {
            Kind::Argument(number) => arguments[*number as usize],
            Kind::Scan(scan) => {
                let (slices, yields) = scalars(scan);
                for &slice in &slices {
                    operands[slice] = wide(axes, unit, operands[slice], out);
                }
                let body = body(axes, unit, scan, &slices, &yields);
                let kind = Kind::Scan(Box::new(Scan { body, ..(**scan).clone() }));
                let ty = results(&kind).and_then(|types| types.into_iter().next()).unwrap_or_else(|| node.ty.clone());
                out.node(kind, operands, ty)
            }
            Kind::Project(number) => {
                let widened = match &source[node.operands[0]].kind {
                    Kind::Scan(scan) => scalars(scan).1.contains(&(*number as usize)),
                    Kind::Op(_) | Kind::Argument(_) | Kind::Fused(_) | Kind::Project(_) => false,
                };
                if widened {
                    let value = out.node(node.kind.clone(), operands, node.ty.with(&[unit]));
                    out.op(axes, Op::Reduce(Monoid::Sum, vec![unit]), &[value])
                } else {
                    out.node(node.kind.clone(), operands, node.ty.clone())
                }
            }
            kind @ (Kind::Op(_) | Kind::Fused(_)) => out.node(kind.clone(), operands, node.ty.clone()),
        });
    }
    source.outputs.iter().map(|o| new[o.0 as usize]).collect()
}

fn body(axes: &Axes, unit: Axis, scan: &Scan, slices: &[usize], yields: &[usize]) -> Region {
    let mut out = RegionBuilder::new();
    let mut arguments = Vec::new();
    for (number, ty) in scan.body.arguments.iter().enumerate() {
        arguments.push(out.argument(if slices.contains(&number) { ty.with(&[unit]) } else { ty.clone() }));
    }
    for &slice in slices {
        arguments[slice] = out.op(axes, Op::Reduce(Monoid::Sum, vec![unit]), &[arguments[slice]]);
    }
    let mut outputs = nodes(axes, unit, &scan.body, &arguments, &mut out);
    for &number in yields {
        outputs[number] = wide(axes, unit, outputs[number], &mut out);
    }
    out.finish(outputs)
}

/// The value along the axis of size 1.
fn wide(axes: &Axes, unit: Axis, value: NodeId, out: &mut RegionBuilder) -> NodeId {
    let ones = out.op(axes, Op::Constant(Number(1.0), Elem::Float, vec![unit]), &[]);
    out.map(axes, Elementwise::MUL, &[value, ones])
}
