//! The gradient of a fused kernel: of an attention by a kernel of its own, of any other by way of its body.
//!
//! The derivative of attention (Dao et al., 2022, algorithm 4) needs, beyond the operands and the result, the log-sum-exp of each
//! row's scores; the weights are computed again from it, tile by tile. It is written here as plain mathematics over whole
//! arrays, which is what [`Form::AttentionBackward`] means; that the arrays never exist is the schedule's work.

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis};

use super::activity::Activity;
use super::cotangent::{Cotangents, constant, spread};
use super::rules::product;
use super::scan::{arguments, copy_into, of_results};
use crate::graph::{Form, Fused, Kind, NodeId, Region, RegionBuilder, results};
use crate::passes::attention::{Shape, shape};

/// Adds to the cotangents of a kernel's operands.
pub fn pull(axes: &mut Axes, b: &mut RegionBuilder, activity: &Activity, cotangents: &mut Cotangents, id: NodeId) {
    let node = b.region()[id].clone();
    let Kind::Fused(fused) = &node.kind else { return };
    let cotangent = of_results(b, cotangents, id, fused.body.outputs.len());
    let active: Vec<bool> = node.operands.iter().map(|&o| activity.is(o)).collect();
    let wanted = reached(&fused.body, &active);
    if wanted.is_empty() || cotangent.iter().all(Option::is_none) {
        return;
    }
    let shape = (fused.form == Form::Attention).then(|| shape(&fused.body)).flatten();
    // A gradient of what the scores read besides would be a sum over scores of its own; the plain rules give it.
    let by_kernel = shape.filter(|_| wanted.iter().all(|&i| i < 3));
    let parts = match (by_kernel, cotangent[0], cotangent.get(1)) {
        (Some(shape), Some(g), None | Some(None)) => {
            let all = backward(axes, b, id, fused, &shape, g);
            wanted.iter().map(|&i| all.get(i).copied()).collect()
        }
        _ => plain(axes, b, &node.operands, &fused.body, &cotangent, &wanted),
    };
    for (i, part) in wanted.into_iter().zip(parts) {
        if let Some(part) = part {
            cotangents.add(axes, b, node.operands[i], part);
        }
    }
}

/// The arguments among the active ones that a cotangent of the body's results reaches.
fn reached(body: &Region, active: &[bool]) -> Vec<usize> {
    let within = Activity::of(body, &|id| matches!(body[id].kind, Kind::Argument(n) if active[n as usize]));
    let reached = within.reached(body, &body.outputs);
    let places = arguments(body);
    (0..active.len()).filter(|&i| active[i] && places[i].is_some_and(|at| reached[at.0 as usize])).collect()
}

/// By the rules for the body's operators: the body is computed again beside its derivative.
fn plain(
    axes: &mut Axes,
    b: &mut RegionBuilder,
    operands: &[NodeId],
    body: &Region,
    cotangent: &[Option<NodeId>],
    wanted: &[usize],
) -> Vec<Option<NodeId>> {
    let mut inner = RegionBuilder::from(body.clone());
    let mut copy: HashMap<NodeId, NodeId> = HashMap::new();
    let places = arguments(inner.region());
    for (place, &operand) in places.iter().zip(operands) {
        if let Some(place) = place {
            copy.insert(*place, operand);
        }
    }
    let mut seeds = Vec::new();
    for (&output, g) in body.outputs.iter().zip(cotangent) {
        if let Some(g) = *g {
            let seed = inner.argument(b.ty(g).clone());
            copy.insert(seed, g);
            seeds.push((output, seed));
        }
    }
    let read: Vec<usize> = wanted.iter().copied().filter(|&i| places[i].is_some()).collect();
    let wrt: Vec<NodeId> = read.iter().filter_map(|&i| places[i]).collect();
    let found = super::pull(axes, &mut inner, &seeds, &wrt);
    let mut needed = vec![false; inner.region().nodes.len()];
    found.iter().flatten().for_each(|o| needed[o.0 as usize] = true);
    for (id, node) in inner.region().iter().rev() {
        if needed[id.0 as usize] {
            node.operands.iter().for_each(|o| needed[o.0 as usize] = true);
        }
    }
    copy_into(b, inner.region(), &needed, &mut copy);
    let part = |i: &usize| {
        let at = read.iter().position(|r| r == i)?;
        found[at].map(|part| copy[&part])
    };
    wanted.iter().map(part).collect()
}

/// By a kernel, the gradients of queries, keys and values: the attention gives the log-sum-exp of its scores too.
fn backward(axes: &mut Axes, b: &mut RegionBuilder, id: NodeId, fused: &Fused, shape: &Shape, g: NodeId) -> Vec<NodeId> {
    let mut body = RegionBuilder::from(fused.body.clone());
    let sum = body.op(axes, Op::LogSumExp(vec![shape.source]), &[shape.score]);
    let lse_ty = body.ty(sum).clone();
    let forward = Fused { form: Form::Attention, body: body.finish(vec![shape.output, sum]) };
    let output_ty = forward.body[shape.output].ty.clone();
    if fused.body.outputs.len() == 1 {
        b.widen(id, Kind::Fused(Box::new(forward)));
    }
    let output = b.node(Kind::Project(0), vec![id], output_ty.clone());
    let lse = b.node(Kind::Project(1), vec![id], lse_ty);
    let g = spread(axes, b, g, &output_ty.axes);

    let body = backward_body(axes, &fused.body, shape);
    let mut operands = b.region()[id].operands.clone();
    operands.extend([output, lse, g]);
    let kind = Kind::Fused(Box::new(Fused { form: Form::AttentionBackward, body }));
    let types = results(&kind).unwrap_or_default();
    b.several(kind, operands, &types)
}

/// The gradients of queries, keys and values. Arguments: the attention's, its result, the log-sum-exp of its scores, the
/// cotangent of its result.
fn backward_body(axes: &mut Axes, forward: &Region, shape: &Shape) -> Region {
    let mut body = RegionBuilder::from(forward.clone());
    let output_ty = forward[shape.output].ty.clone();
    let [output, lse, g] = [&output_ty, &output_ty.without(&[shape.value]), &output_ty].map(|ty| body.argument(ty.clone()));

    // P = exp(score − lse); a row of nothing has no weights.
    let (zero, lowest) = (body.number(0.0), body.number(f64::NEG_INFINITY));
    let nothing = body.map(axes, Elementwise::EQ, &[lse, lowest]);
    let shifted = body.map(axes, Elementwise::SUB, &[shape.score, lse]);
    let weights = body.map(axes, Elementwise::EXP, &[shifted]);
    let weights = body.map(axes, Elementwise::SELECT, &[nothing, zero, weights]);
    // dS = P · (dO·V − Σ dO·O)
    let delta = body.op(axes, Op::Contract(vec![shape.value]), &[g, output]);
    let rise = body.op(axes, Op::Contract(vec![shape.value]), &[g, shape.values]);
    let centred = body.map(axes, Elementwise::SUB, &[rise, delta]);
    let score = body.map(axes, Elementwise::MUL, &[weights, centred]);
    // dV = Σ P · dO over what the values lack.
    let values_ty = forward[shape.values].ty.clone();
    let lacks: Vec<Axis> = output_ty.axes.iter().copied().filter(|&a| !values_ty.has(a)).collect();
    let values = product(axes, &mut body, weights, g, &lacks);

    let places = arguments(body.region());
    let wrt: Vec<NodeId> = (0..3).filter_map(|i| places[i]).collect();
    let found = super::pull(axes, &mut body, &[(shape.score, score), (shape.values, values)], &wrt);
    let mut outputs = Vec::with_capacity(wrt.len());
    for (part, at) in found.into_iter().zip(wrt) {
        let over = body.ty(at).axes.clone();
        let part = part.unwrap_or_else(|| constant(&mut body, 0.0, &over));
        outputs.push(spread(axes, &mut body, part, &over));
    }
    crate::passes::canonical::compact(&body.finish(outputs))
}
