//! The gradient of a scan: a scan in the other direction.
//!
//! The backward scan carries the cotangents of the carried values and the gradients of what every step shares; it is given, for
//! each place, what the forward scan saved there, and yields the gradients of what was sliced. The forward scan is widened in
//! place: it yields, besides its own results, the values that the backward one needs.
//!
//! What is saved and what is computed again is a minimum cut ([`choose`]); what does not change from step to step is computed
//! again. The body of the backward scan is cut out of one region that holds both the
//! body and its pulled-back cotangents ([`Cut`]).

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::activity::{Activity, Walk};
use super::cotangent::{Cotangents, constant, spread};
use super::keep::{Keep, Place, choose};
use crate::graph::{Kind, Node, NodeId, Region, RegionBuilder, Scan};

/// Whether a value is worth its memory, rather than computed again.
fn is_costly(region: &Region, node: &Node) -> bool {
    match &node.kind {
        Kind::Op(op) => match op {
            Op::Contract(_)
            | Op::Reduce(..)
            | Op::Softmax(_)
            | Op::LogSumExp(_)
            | Op::ArgMax(_)
            | Op::Order(..)
            | Op::ScatterAdd(..)
            | Op::Random(..) => true,
            // What has more axes than its table is read from the table again: the weights of each row, say.
            Op::Lookup(_) => node.ty.elem == Elem::Float && node.ty.axes.len() <= region[node.operands[0]].ty.axes.len(),
            Op::Constant(..)
            | Op::Index(_)
            | Op::Extent(_)
            | Op::Map(_)
            | Op::Cast(_)
            | Op::StopGradient
            | Op::Rename(..)
            | Op::Split(..)
            | Op::Merge(..)
            | Op::Slice(..)
            | Op::Pad(..)
            | Op::Insert(..)
            | Op::Concat(..) => false,
        },
        Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => true,
        Kind::Argument(_) => false,
    }
}

/// The cotangents of the results of a node that has several, by number.
pub(super) fn of_results(b: &RegionBuilder, cotangents: &Cotangents, id: NodeId, results: usize) -> Vec<Option<NodeId>> {
    let mut out = vec![None; results];
    for (at, node) in b.region().iter().skip(id.0 as usize) {
        if let Kind::Project(i) = node.kind
            && node.operands[0] == id
            && node.ty.elem == Elem::Float
        {
            out[i as usize] = cotangents.of(at);
        }
    }
    out
}

/// The carried values that have a cotangent: active, and with a path to a result that has one.
fn pulled(scan: &Scan, walk: &Walk, cotangent: &[Option<NodeId>]) -> Vec<usize> {
    let arguments = arguments(&scan.body);
    let activity =
        Activity::of(&scan.body, &|id| matches!(scan.body[id].kind, Kind::Argument(n) if walk.arguments[n as usize]));
    let mut live: Vec<bool> = cotangent.iter().map(Option::is_some).collect();
    loop {
        let ends: Vec<_> = scan.body.outputs.iter().zip(&live).filter(|(_, live)| **live).map(|(&o, _)| o).collect();
        let reached = activity.reached(&scan.body, &ends);
        let is_reached = |i: usize| arguments[i].is_some_and(|at| reached[at.0 as usize]);
        let more: Vec<_> = (0..scan.carried).filter(|&i| !live[i] && is_reached(i)).collect();
        if more.is_empty() {
            return (0..scan.carried).filter(|&i| live[i] && walk.arguments[i]).collect();
        }
        more.into_iter().for_each(|i| live[i] = true);
    }
}

/// The nodes of a region's arguments.
pub(super) fn arguments(region: &Region) -> Vec<Option<NodeId>> {
    let mut out = vec![None; region.arguments.len()];
    for (id, node) in region.iter() {
        if let Kind::Argument(number) = node.kind {
            out[number as usize] = Some(id);
        }
    }
    out
}

/// Adds to the cotangents of a scan's operands; widens the scan.
pub fn pull(
    axes: &mut Axes,
    b: &mut RegionBuilder,
    activity: &Activity,
    cotangents: &mut Cotangents,
    id: NodeId,
    keep: Keep,
) {
    let node = b.region()[id].clone();
    let (Kind::Scan(scan), Some(walk)) = (&node.kind, activity.scan(id)) else { return };
    let cotangent = of_results(b, cotangents, id, scan.body.outputs.len());
    if cotangent.iter().all(Option::is_none) || !node.operands.iter().any(|&o| activity.is(o)) {
        return;
    }
    let pulled = pulled(scan, walk, &cotangent);

    // The body, then the cotangents of its arguments, in one region.
    let mut inner = RegionBuilder::from(scan.body.clone());
    let first_seed = scan.body.arguments.len();
    let mut seeds = Vec::new();
    for &k in &pulled {
        seeds.push((scan.body.outputs[k], inner.argument(scan.body.arguments[k].clone())));
    }
    let mut joined = Vec::new();
    for (i, g) in cotangent.iter().enumerate().skip(scan.carried) {
        if let Some(g) = *g {
            let seed = inner.argument(b.ty(g).without(&[scan.axis]));
            seeds.push((scan.body.outputs[i], seed));
            joined.push((seed, g));
        }
    }
    let places = arguments(inner.region());
    let active: Vec<usize> = (0..first_seed).filter(|&n| walk.arguments[n] && places[n].is_some()).collect();
    let wrt: Vec<NodeId> = active.iter().filter_map(|&n| places[n]).collect();
    let found = super::pull(axes, &mut inner, &seeds, &wrt, keep);
    let part: HashMap<usize, NodeId> = active.into_iter().zip(found).filter_map(|(n, part)| Some((n, part?))).collect();

    // What each step hands to the next: cotangents of carried values, then running sums; then what it yields.
    let mut carried: Vec<NodeId> = seeds[..pulled.len()].iter().map(|s| s.1).collect();
    let mut inits = Vec::new();
    let mut outputs = Vec::new();
    for &k in &pulled {
        let over = scan.body.arguments[k].axes.clone();
        let next = part.get(&k).copied().unwrap_or_else(|| inner.number(0.0));
        outputs.push(spread(axes, &mut inner, next, &over));
        let last = cotangent[k].unwrap_or_else(|| b.number(0.0));
        inits.push(spread(axes, b, last, &over));
    }
    let shared: Vec<usize> = (scan.carried + scan.sliced..first_seed).filter(|n| part.contains_key(n)).collect();
    for n in &shared {
        let ty = inner.ty(part[n]).clone();
        inits.push(constant(b, 0.0, &ty.axes));
        let sum = inner.argument(ty);
        carried.push(sum);
        outputs.push(inner.map(axes, Elementwise::ADD, &[sum, part[n]]));
    }
    let sliced: Vec<usize> = (scan.carried..scan.carried + scan.sliced).filter(|n| part.contains_key(n)).collect();
    outputs.extend(sliced.iter().map(|n| part[n]));

    let cut = Cut { axes, b, scan, id, operands: &node.operands, inner, first_seed, keep };
    let results = cut.build(&carried, inits, &joined, &outputs);
    let targets = pulled.into_iter().chain(shared).chain(sliced);
    for (n, result) in targets.zip(results) {
        if activity.is(node.operands[n]) {
            cotangents.add(axes, b, node.operands[n], result);
        }
    }
}

/// Cuts the backward body out of the region that holds both.
struct Cut<'a> {
    axes: &'a mut Axes,
    /// The region that has the scan.
    b: &'a mut RegionBuilder,
    scan: &'a Scan,
    id: NodeId,
    operands: &'a [NodeId],
    /// The body and its cotangents.
    inner: RegionBuilder,
    /// Arguments from this number on are the backward body's alone.
    first_seed: usize,
    keep: Keep,
}

impl Cut<'_> {
    /// Widens the forward scan, adds the backward one, and gives its results. `joined`: cotangents of yields, within and outside.
    fn build(
        mut self,
        carried: &[NodeId],
        mut operands: Vec<NodeId>,
        joined: &[(NodeId, NodeId)],
        outputs: &[NodeId],
    ) -> Vec<NodeId> {
        let (mut needed, saved) = self.needed(outputs);
        let axis = self.scan.axis;
        let outer = self.widen(&saved);

        let region = self.inner.region();
        needed.resize(region.nodes.len(), false); // what widening added is the forward scan's alone
        let mut back = RegionBuilder::new();
        let mut copy: HashMap<NodeId, NodeId> = HashMap::new();
        for &at in carried {
            copy.insert(at, back.argument(region[at].ty.clone()));
        }
        for (&at, save) in saved.iter().zip(&outer) {
            let ty = self.b.ty(save.whole).without(&[axis]);
            let argument = back.argument(ty);
            let value = match save.apart {
                Some(apart) => back.op(self.axes, Op::Rename(apart, axis), &[argument]),
                None => argument,
            };
            copy.insert(at, value);
            operands.push(save.whole);
        }
        let numbered = |range: std::ops::Range<usize>| -> Vec<(NodeId, usize)> {
            let wanted = region.iter().filter(|(id, _)| needed[id.0 as usize]);
            let number = |(id, node): (NodeId, &Node)| match node.kind {
                Kind::Argument(n) if range.contains(&(n as usize)) => Some((id, n as usize)),
                _ => None,
            };
            wanted.filter_map(number).collect()
        };
        let sliced_end = self.scan.carried + self.scan.sliced;
        for (at, n) in numbered(self.scan.carried..sliced_end) {
            copy.insert(at, back.argument(region[at].ty.clone()));
            operands.push(self.operands[n]);
        }
        let (apart, alike): (Vec<_>, Vec<_>) = joined.iter().partition(|(_, g)| self.b.ty(*g).has(axis));
        for &(seed, g) in &apart {
            copy.insert(seed, back.argument(region[seed].ty.clone()));
            operands.push(g);
        }
        let sliced = back.region().arguments.len() - carried.len();
        for (at, n) in numbered(sliced_end..self.first_seed) {
            copy.insert(at, back.argument(region[at].ty.clone()));
            operands.push(self.operands[n]);
        }
        for &(seed, g) in &alike {
            copy.insert(seed, back.argument(region[seed].ty.clone()));
            operands.push(g);
        }
        copy_into(&mut back, region, &needed, &mut copy);
        let body = back.finish(outputs.iter().map(|o| copy[o]).collect());
        let backward = Scan { axis, reverse: !self.scan.reverse, carried: carried.len(), sliced, body };
        let kind = Kind::Scan(Box::new(backward));
        let types = crate::graph::results(&kind).unwrap_or_default();
        self.b.several(kind, operands, &types)
    }

    /// The nodes of the backward body, and those among them that the forward scan saves.
    fn needed(&self, outputs: &[NodeId]) -> (Vec<bool>, Vec<NodeId>) {
        let region = self.inner.region();
        let count = region.nodes.len();
        let (mut seeded, mut varying) = (vec![false; count], vec![false; count]);
        let moving = self.scan.carried + self.scan.sliced;
        for (id, node) in region.iter() {
            let any = |of: &[bool]| node.operands.iter().any(|o| of[o.0 as usize]);
            let (seed, vary) = match node.kind {
                Kind::Argument(n) => (n as usize >= self.first_seed, (n as usize) < moving),
                _ => (any(&seeded), any(&varying)),
            };
            (seeded[id.0 as usize], varying[id.0 as usize]) = (seed, vary);
        }
        let mut own = vec![false; count];
        outputs.iter().for_each(|o| own[o.0 as usize] = true);
        for (id, node) in region.iter().rev().filter(|(id, _)| seeded[id.0 as usize]) {
            if own[id.0 as usize] {
                node.operands.iter().for_each(|o| own[o.0 as usize] = true);
            }
        }
        let (own, required): (Vec<NodeId>, Vec<NodeId>) =
            region.iter().map(|(id, _)| id).filter(|id| own[id.0 as usize]).partition(|id| seeded[id.0 as usize]);
        let place = |id: NodeId| match &region[id].kind {
            Kind::Argument(n) if (*n as usize) < self.scan.carried => Place::Carried,
            Kind::Argument(_) => Place::Given,
            Kind::Op(_) if region[id].operands.is_empty() => Place::Given,
            _ if varying[id.0 as usize] => Place::Varying { costly: is_costly(region, &region[id]) },
            _ => Place::Steady,
        };
        let (saved, mut needed) = choose(self.axes, region, self.scan.body.nodes.len(), &required, &place, self.keep);
        own.iter().for_each(|id| needed[id.0 as usize] = true);
        (needed, saved)
    }

    /// Makes the forward scan yield these values too, and gives them joined.
    fn widen(&mut self, saved: &[NodeId]) -> Vec<Save> {
        let axis = self.scan.axis;
        let mut outputs = self.scan.body.outputs.clone();
        let mut places = Vec::new();
        for &at in saved {
            // A value may have the axis itself, from something that is not sliced: it is kept under another.
            let apart = self.inner.ty(at).has(axis).then(|| {
                let name = self.axes[axis].name.clone();
                self.axes.like(axis, &name)
            });
            let value = match apart {
                Some(apart) => self.inner.op(self.axes, Op::Rename(axis, apart), &[at]),
                None => at,
            };
            let yields = &outputs[self.scan.carried..];
            let place = yields.iter().position(|&o| o == value).map_or(outputs.len(), |i| i + self.scan.carried);
            if place == outputs.len() {
                outputs.push(value);
            }
            places.push((place, apart, self.inner.ty(value).with(&[axis])));
        }
        let region = self.inner.region();
        let mut needed = vec![false; region.nodes.len()];
        outputs.iter().for_each(|o| needed[o.0 as usize] = true);
        for (id, node) in region.iter().rev() {
            if needed[id.0 as usize] {
                node.operands.iter().for_each(|o| needed[o.0 as usize] = true);
            }
        }
        let mut forward = RegionBuilder::new();
        let mut copy = HashMap::new();
        let places_of = arguments(region);
        for (n, ty) in self.scan.body.arguments.iter().enumerate() {
            let argument = forward.argument(ty.clone());
            if let Some(at) = places_of[n] {
                copy.insert(at, argument);
            }
        }
        copy_into(&mut forward, region, &needed, &mut copy);
        let body = forward.finish(outputs.iter().map(|o| copy[o]).collect());
        self.b.widen(self.id, Kind::Scan(Box::new(Scan { body, ..self.scan.clone() })));
        let project = |(place, apart, ty): (usize, Option<Axis>, Type)| {
            let whole = self.b.node(Kind::Project(place as u32), vec![self.id], ty);
            Save { whole, apart }
        };
        places.into_iter().map(project).collect()
    }
}

/// A saved value, joined along the scan's axis; the axis under which it keeps that of the scan, if it had it.
struct Save {
    whole: NodeId,
    apart: Option<Axis>,
}

/// Copies the needed nodes that are not there yet.
pub(super) fn copy_into(to: &mut RegionBuilder, from: &Region, needed: &[bool], copy: &mut HashMap<NodeId, NodeId>) {
    for (id, node) in from.iter().filter(|(id, _)| needed[id.0 as usize]) {
        if !copy.contains_key(&id) {
            let operands = node.operands.iter().map(|o| copy[o]).collect();
            let at = to.node(node.kind.clone(), operands, node.ty.clone());
            copy.insert(id, at);
        }
    }
}
