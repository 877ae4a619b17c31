//! What depends on two positions by their distance alone is computed once for each distance: a learned bias of buckets of
//! `index(source) - index(time)` is then a line that the scores look up, not a square, and so is its gradient.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem};

use super::body::{CHEAP, cost};
use crate::graph::{Kind, NodeId, Region, RegionBuilder, Scan, is_inline};

/// Takes out lines from what the softmaxes of a region, and of the regions within, are of.
pub(super) fn lift(axes: &mut Axes, source: &Region) -> Region {
    let lines = lines(source);
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (id, node) in source.iter() {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        let line = lines.get(&id).and_then(|&(time, along)| lifted(axes, source, &mut out, &new, id, time, along));
        new.push(match (&node.kind, line) {
            (_, Some(line)) => line,
            (Kind::Argument(number), None) => arguments[*number as usize],
            (Kind::Scan(scan), None) => {
                let scan = Scan { body: lift(axes, &scan.body), ..(**scan).clone() };
                out.node(Kind::Scan(Box::new(scan)), operands, node.ty.clone())
            }
            (kind, None) => out.node(kind.clone(), operands, node.ty.clone()),
        });
    }
    out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect())
}

/// How a value depends on positions.
#[derive(Clone, Default)]
struct Dependence {
    /// On these so many times, plainly.
    linear: BTreeMap<Axis, i64>,
    /// In another way on the distance of two.
    distance: Option<(Axis, Axis)>,
    /// In yet another way on the places on these axes: those of values in memory, and positions by themselves.
    places: BTreeSet<Axis>,
    /// Whether a table is looked up, or summed over.
    looks_up: bool,
    /// Simple operations.
    work: u32,
}

impl Dependence {
    /// As an operand of something that is not linear.
    fn closed(mut self) -> Self {
        let of: Vec<(Axis, i64)> = std::mem::take(&mut self.linear).into_iter().filter(|(_, times)| *times != 0).collect();
        match *of.as_slice() {
            [(a, once), (b, back)] if once == -back && self.distance.is_none_or(|d| d == (a, b)) => {
                self.distance = Some((a, b));
            }
            _ => self.places.extend(of.into_iter().map(|(axis, _)| axis)),
        }
        self
    }

    /// Both, the second so many times.
    fn join(mut self, other: Self, times: i64) -> Option<Self> {
        if self.distance.is_some() && other.distance.is_some() && self.distance != other.distance {
            return None;
        }
        for (axis, by) in other.linear {
            *self.linear.entry(axis).or_default() += times * by;
        }
        self.distance = self.distance.or(other.distance);
        self.places.extend(other.places);
        self.looks_up |= other.looks_up;
        self.work = self.work.saturating_add(other.work);
        Some(self)
    }
}

/// The nodes to be taken out: the axis of rows and the one that the softmax goes along.
fn lines(region: &Region) -> HashMap<NodeId, (Axis, Axis)> {
    let mut found = HashMap::new();
    let softmaxes = region.iter().filter_map(|(_, node)| match &node.kind {
        Kind::Op(Op::Softmax(along)) if along.len() == 1 => Some((along[0], node.operands[0])),
        _ => None,
    });
    let mut known: Option<Vec<Option<Dependence>>> = None;
    for (along, score) in softmaxes {
        let known = known.get_or_insert_with(|| dependences(region));
        let mut seen = vec![false; region.nodes.len()];
        let mut open = vec![score];
        while let Some(id) = open.pop() {
            let Kind::Op(op) = &region[id].kind else { continue };
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            match known[id.0 as usize].clone().and_then(|d| line(region, id, &d.closed(), along)) {
                Some(time) => drop(found.insert(id, (time, along))),
                None if is_inline(op) => open.extend(&region[id].operands),
                None => {}
            }
        }
    }
    found
}

/// The axis of rows, where a value is worth being taken out.
fn line(region: &Region, id: NodeId, how: &Dependence, along: Axis) -> Option<Axis> {
    let (a, b) = how.distance?;
    let time = if a == along { b } else { a };
    let square = (a == along || b == along) && region[id].ty.has(a) && region[id].ty.has(b);
    let plain = !how.places.contains(&a) && !how.places.contains(&b);
    (square && plain && (how.looks_up || how.work > CHEAP)).then_some(time)
}

/// For each node how it depends on positions; none where that cannot be said.
fn dependences(region: &Region) -> Vec<Option<Dependence>> {
    let mut all: Vec<Option<Dependence>> = Vec::with_capacity(region.nodes.len());
    for (_, node) in region.iter() {
        let of = |i: usize| all[node.operands[i].0 as usize].clone();
        let memory = || Some(Dependence { places: node.ty.axes.iter().copied().collect(), ..Dependence::default() });
        let closed = |work: u32| {
            let nothing = Dependence { work, ..Dependence::default() };
            (0..node.operands.len()).try_fold(nothing, |sum, i| sum.join(of(i)?.closed(), 1))
        };
        all.push(match &node.kind {
            Kind::Op(Op::Index(axis)) => Some(Dependence { linear: BTreeMap::from([(*axis, 1)]), ..Dependence::default() }),
            Kind::Op(Op::Constant(..) | Op::Extent(_)) => Some(Dependence::default()),
            Kind::Op(Op::Map(Elementwise::ADD)) => of(0).zip(of(1)).and_then(|(a, b)| a.join(b, 1)),
            Kind::Op(Op::Map(Elementwise::SUB)) => of(0).zip(of(1)).and_then(|(a, b)| a.join(b, -1)),
            Kind::Op(Op::Map(Elementwise::NEG)) => of(0).and_then(|a| Dependence::default().join(a, -1)),
            Kind::Op(Op::Cast(Elem::Int | Elem::Float)) => of(0),
            Kind::Op(Op::Map(op)) => closed(cost(*op)),
            Kind::Op(Op::Cast(_) | Op::StopGradient) => closed(0),
            Kind::Op(Op::Lookup(_)) => closed(1).map(|d| Dependence { looks_up: true, ..d }),
            // A table whose place is chosen by a comparison.
            Kind::Op(Op::Reduce(Monoid::Sum, over) | Op::Contract(over)) => {
                let apart = |d: &Dependence| d.distance.is_none_or(|(a, b)| !over.contains(&a) && !over.contains(&b));
                closed(1).filter(apart).map(|d| Dependence { looks_up: true, ..d }).or_else(memory)
            }
            // The axes that move are not those of positions.
            Kind::Op(Op::Rename(from, to)) => of(0)
                .filter(|d| {
                    let speaks =
                        |axis| d.linear.contains_key(&axis) || d.distance.is_some_and(|(a, b)| a == axis || b == axis);
                    !speaks(*from) && !speaks(*to)
                })
                .map(|d| Dependence {
                    places: d.places.into_iter().map(|a| if a == *from { *to } else { a }).collect(),
                    ..d
                }),
            _ => memory(),
        });
    }
    all
}

/// The value looked up by distance.
fn lifted(
    axes: &mut Axes,
    source: &Region,
    out: &mut RegionBuilder,
    new: &[NodeId],
    id: NodeId,
    time: Axis,
    along: Axis,
) -> Option<NodeId> {
    let rows = axes.size(time).clone();
    let distance = axes.fresh("distance", rows.clone() + axes.size(along).clone(), false);
    // `along - time` is at least `1 - rows`.
    let index = out.op(axes, Op::Index(distance), &[]);
    let index = out.op(axes, Op::Cast(Elem::Int), &[index]);
    let extent = out.op(axes, Op::Extent(rows), &[]);
    let there = out.map(axes, Elementwise::SUB, &[index, extent]);
    let here = out.op(axes, Op::Constant(Number(0.0), Elem::Int, Vec::new()), &[]);
    let positions = [(time, here), (along, there)];
    let mut made = HashMap::new();
    let line = copied(axes, source, out, new, id, &positions, &mut made)?;
    let [to, from] = [along, time].map(|axis| {
        let index = out.op(axes, Op::Index(axis), &[]);
        out.op(axes, Op::Cast(Elem::Int), &[index])
    });
    let apart = out.map(axes, Elementwise::SUB, &[to, from]);
    let apart = out.map(axes, Elementwise::ADD, &[apart, extent]);
    let index = out.op(axes, Op::Cast(Elem::Index(distance)), &[apart]);
    let value = out.try_op(axes, Op::Lookup(distance), &[line, index]).ok()?;
    (out.ty(value) == &source[id].ty).then_some(value)
}

/// A value at other positions.
fn copied(
    axes: &Axes,
    source: &Region,
    out: &mut RegionBuilder,
    new: &[NodeId],
    id: NodeId,
    positions: &[(Axis, NodeId); 2],
    made: &mut HashMap<NodeId, NodeId>,
) -> Option<NodeId> {
    if let Some(&made) = made.get(&id) {
        return Some(made);
    }
    let node = &source[id];
    let moved = |axis: &Axis| positions.iter().find(|(a, _)| a == axis).map(|&(_, at)| at);
    let value = match &node.kind {
        Kind::Op(Op::Index(axis)) if moved(axis).is_some() => moved(axis)?,
        Kind::Op(Op::Constant(value, elem, over)) => {
            let over = over.iter().copied().filter(|a| moved(a).is_none()).collect();
            out.op(axes, Op::Constant(*value, *elem, over), &[])
        }
        Kind::Op(
            op @ (Op::Map(_)
            | Op::Cast(_)
            | Op::StopGradient
            | Op::Lookup(_)
            | Op::Rename(..)
            | Op::Reduce(..)
            | Op::Contract(_)),
        ) => {
            let mut operands = Vec::with_capacity(node.operands.len());
            for &o in &node.operands {
                operands.push(copied(axes, source, out, new, o, positions, made)?);
            }
            out.try_op(axes, op.clone(), &operands).ok()?
        }
        _ => new[id.0 as usize],
    };
    made.insert(id, value);
    Some(value)
}
