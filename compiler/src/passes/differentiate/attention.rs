//! The gradient of a fused kernel: of an attention by a kernel of its own, of any other by way of its body.
//!
//! The derivative of attention (Dao et al., 2022, algorithm 4) needs, beyond the operands and the result, the log-sum-exp of each
//! row's scores; the weights are computed again from it, tile by tile. It is written here as plain mathematics over whole
//! arrays, which is what [`Form::AttentionBackward`] means; that the arrays never exist is the schedule's work.

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Elem};

use super::Keep;
use super::activity::Activity;
use super::cotangent::{Cotangents, constant, spread, total};
use super::rules::product;
use super::scan::{arguments, copy_into, of_results};
use crate::graph::{Form, Fused, Kind, NodeId, Region, RegionBuilder, results};
use crate::passes::attention::{Shape, gathered, shape, unkept};

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
    let by_kernel = match (shape, cotangent[0], cotangent.get(1)) {
        (Some(shape), Some(g), None | Some(None)) => {
            let body = backward_body(axes, &fused.body, &shape, &wanted);
            body.map(|body| backward(axes, b, id, fused, &shape, g, (&wanted, body)))
        }
        _ => None,
    };
    let parts = by_kernel.unwrap_or_else(|| plain(axes, b, &node.operands, &fused.body, &cotangent, &wanted));
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
    let found = super::pull(axes, &mut inner, &seeds, &wrt, Keep::default());
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

/// By a kernel, the gradients of some operands: the attention gives the log-sum-exp of its scores too.
fn backward(
    axes: &mut Axes,
    b: &mut RegionBuilder,
    id: NodeId,
    fused: &Fused,
    shape: &Shape,
    g: NodeId,
    (wanted, derivative): (&[usize], Region),
) -> Vec<Option<NodeId>> {
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

    let own = b.region()[id].operands.clone();
    let operands = own.iter().copied().chain([output, lse, g]).collect();
    let kind = Kind::Fused(Box::new(Fused { form: Form::AttentionBackward, body: derivative }));
    let types = results(&kind).unwrap_or_default();
    let all = b.several(kind, operands, &types);
    let mut further = all[3..].iter();
    let mut part = |&i: &usize| {
        let part = if i < 3 { all[i] } else { *further.next()? };
        // The kernel gives a gradient for each head; what heads share gets their sum.
        let stray = b.ty(part).without(&b.ty(own[i]).axes).axes;
        Some(total(axes, b, part, &stray))
    };
    wanted.iter().map(&mut part).collect()
}

/// The gradients of queries, keys and values, then of the `wanted` arguments beyond those, these for each head. Arguments: the
/// attention's, its result, the log-sum-exp of its scores, the cotangent of its result. None where a gradient is not a sum of a
/// number for each score: the plain rules give it.
fn backward_body(axes: &mut Axes, forward: &Region, shape: &Shape, wanted: &[usize]) -> Option<Region> {
    let (mut body, wide, shape) = widened(axes, forward, shape, wanted)?;
    let output_ty = body.ty(shape.output).clone();
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
    let values_ty = body.ty(shape.values).clone();
    let lacks: Vec<Axis> = output_ty.axes.iter().copied().filter(|&a| !values_ty.has(a)).collect();
    let values = product(axes, &mut body, weights, g, &lacks);

    let places = arguments(body.region());
    let wrt: Vec<NodeId> = (0..3).filter_map(|i| places[i]).chain(wide).collect();
    let found = super::pull(axes, &mut body, &[(shape.score, score), (shape.values, values)], &wrt, Keep::default());
    let mut outputs = Vec::with_capacity(wrt.len());
    for (part, at) in found.into_iter().zip(wrt) {
        let over = body.ty(at).axes.clone();
        let part = part.unwrap_or_else(|| constant(&mut body, 0.0, &over));
        outputs.push(spread(axes, &mut body, part, &over));
    }
    let known = [shape.product, rise, delta];
    outputs[3..].iter().all(|&o| is_gathered(body.region(), o, score, shape.source, &known)).then_some(())?;
    Some(crate::passes::canonical::compact(&body.finish(outputs)))
}

/// The body in which the `wanted` arguments beyond queries, keys and values have the axes of heads, so that their gradients are
/// sums over rows and sources alone; those arguments.
fn widened(axes: &Axes, forward: &Region, shape: &Shape, wanted: &[usize]) -> Option<(RegionBuilder, Vec<NodeId>, Shape)> {
    let keys = &forward[shape.keys].ty;
    let queried = forward[shape.product].ty.without(&keys.axes).axes;
    let counted = |axis: Axis| forward.nodes.iter().any(|n| n.kind == Kind::Op(Op::Index(axis)));
    let length = |axis: Axis| axes.size(axis).known().unwrap_or(i64::MAX);
    let rows = queried.iter().copied().max_by_key(|&a| (counted(a), length(a)))?;
    let heads = forward[shape.product].ty.without(&[rows, shape.source]).axes;
    let mut body = RegionBuilder::new();
    let mut new: Vec<NodeId> = Vec::with_capacity(forward.nodes.len());
    let mut wide = vec![None; forward.arguments.len()];
    let places: Vec<NodeId> = forward.arguments.iter().map(|ty| body.argument(ty.clone())).collect();
    for (_, node) in forward.iter() {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        new.push(match &node.kind {
            Kind::Argument(number) => {
                let (number, place) = (*number as usize, places[*number as usize]);
                let missing: Vec<Axis> = heads.iter().copied().filter(|&a| !node.ty.has(a)).collect();
                if number < 3 || !wanted.contains(&number) {
                    place
                } else {
                    let nothing = constant(&mut body, 0.0, &missing);
                    let value = body.map(axes, Elementwise::ADD, &[place, nothing]);
                    wide[number] = Some(value);
                    value
                }
            }
            kind => body.try_op(axes, kind.op()?.clone(), &operands).ok()?,
        });
    }
    let outputs = forward.outputs.iter().map(|o| new[o.0 as usize]).collect();
    let region = body.finish(outputs);
    let wide = wanted.iter().filter(|&&i| i >= 3).map(|&i| wide[i]).collect::<Option<Vec<NodeId>>>()?;
    let shape = crate::passes::attention::shape(&region)?;
    Some((RegionBuilder::from(region), wide, shape))
}

/// Whether a gradient is a sum of a number for each score, which nothing is summed for but the scores' cotangents themselves.
fn is_gathered(body: &Region, output: NodeId, score: NodeId, source: Axis, known: &[NodeId]) -> bool {
    let Some(sum) = gathered(body, output) else { return false };
    let mut open = vec![sum.part];
    open.extend(sum.times);
    open.extend(sum.place.map(|(_, place)| place));
    let mut seen = vec![false; body.nodes.len()];
    let every = body[score].ty.axes.iter().all(|&a| body[sum.part].ty.has(a));
    while let Some(id) = open.pop() {
        if known.contains(&id) || std::mem::replace(&mut seen[id.0 as usize], true) {
            continue;
        }
        if body[id].kind.op().is_some_and(crate::schedule::is_reduction) {
            return false;
        }
        open.extend(&body[id].operands);
    }
    every && sum.place.is_none_or(|(_, place)| counts(body, unkept(body, place, source).0, source) == Some(true))
}

/// Whether an index goes up with a position, one for one, so that neighbouring scores have neighbouring places; none where it
/// depends on it in another way.
fn counts(body: &Region, id: NodeId, along: Axis) -> Option<bool> {
    let node = &body[id];
    let of = |i: usize| counts(body, node.operands[i], along);
    match &node.kind {
        _ if !node.ty.has(along) => Some(false),
        Kind::Op(Op::Index(_)) => Some(true),
        Kind::Op(Op::Cast(Elem::Int | Elem::Index(_))) => of(0),
        Kind::Op(Op::Map(Elementwise::ADD)) => Some(of(0)? != of(1)?).filter(|up| *up),
        Kind::Op(Op::Map(Elementwise::SUB)) => of(0).filter(|_| of(1) == Some(false)),
        _ => None,
    }
}
