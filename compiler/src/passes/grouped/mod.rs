//! Finds contractions with a looked-up operand, and brings their rows into the order of the index.
//!
//! `Σ_k x · w[e: i]` multiplies each row by one of several weights. Done as it stands it would read a weight for each row. Here the
//! rows are put in order of their index, stably, so that those of one weight lie together, as a segment of *slots*: with `s` the
//! rows in that order, the product is `Σ_{e,k} (s within segment e) · w`, and each row reads the slot that it went to. The
//! derivative with respect to the weights, a scatter-add of an outer product, is `Σ_slot (a within segment e) · b`. Both are
//! contractions with a masked operand; a product takes such a mask as the bounds of its loops ([`segments`]), so that no weight
//! is copied and no place outside of a segment visited.
//!
//! Elementwise work between two such products is done on slots.

mod segments;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Direction, Monoid, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem};

use super::attention::beneath_renames;
use super::canonical::compact;
use super::differentiate::cotangent::{constant, spread};
use crate::graph::{Graph, Kind, NodeId, Region, RegionBuilder, Scan};

use crate::schedule::order::COUNTED;

pub use segments::{Segments, segments};

/// Groups the contractions of a program by the index that their operand is looked up by.
pub fn find(graph: &mut Graph) {
    let body = std::mem::take(&mut graph.body);
    graph.body = region(&mut graph.axes, &body);
}

fn region(axes: &mut Axes, source: &Region) -> Region {
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let mut writer = Writer { axes, out, groups: HashMap::new(), moved: HashMap::new() };
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (_, node) in source.iter() {
        let operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        let grouped = match (&node.kind, operands.as_slice()) {
            (Kind::Op(Op::Contract(over)), &[a, b]) => {
                writer.contraction(over, a, b).or_else(|| writer.contraction(over, b, a))
            }
            (Kind::Op(Op::ScatterAdd(axis, over)), &[values, index]) => writer.scatter(*axis, over, values, index),
            _ => None,
        };
        new.push(match (&node.kind, grouped) {
            (_, Some(value)) => value,
            (Kind::Argument(number), None) => arguments[*number as usize],
            (Kind::Scan(scan), None) => {
                let scan = Scan { body: region(writer.axes, &scan.body), ..(**scan).clone() };
                writer.out.node(Kind::Scan(Box::new(scan)), operands, node.ty.clone())
            }
            (kind, None) => writer.out.node(kind.clone(), operands, node.ty.clone()),
        });
    }
    compact(&writer.out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect()))
}

/// Rows in the order of an index into an axis.
#[derive(Clone, Debug)]
struct Group {
    /// The axes that one row is a place of.
    rows: Vec<Axis>,
    /// All rows as one axis.
    row: Axis,
    /// The rows in order.
    slot: Axis,
    /// `[slot] of row`: the row that stands there.
    order: NodeId,
    /// `[row] of slot`: where a row stands.
    rank: NodeId,
    /// `[slot, axis]`: whether the slot's row has this index.
    inside: NodeId,
}

struct Writer<'a> {
    axes: &'a mut Axes,
    out: RegionBuilder,
    /// By index, the axis it points into, and the rows.
    groups: HashMap<(NodeId, Axis, Vec<Axis>), Group>,
    /// Values by slots.
    moved: HashMap<(NodeId, Axis), NodeId>,
}

impl Writer<'_> {
    /// `Σ_{over} x · table[axis: index]`, where `looked_up` is that look-up; none where it is no product of rows by weights.
    fn contraction(&mut self, over: &[Axis], x: NodeId, looked_up: NodeId) -> Option<NodeId> {
        let (lookup, renames) = beneath_renames(self.out.region(), looked_up);
        let Kind::Op(Op::Lookup(axis)) = self.out.region()[lookup].kind else { return None };
        let [table, index] = self.out.region()[lookup].operands[..] else { return None };
        let (table, index) = (self.renamed(table, &renames)?, self.renamed(index, &renames)?);
        let [of_x, of_table, of_index] = [x, table, index].map(|id| self.out.ty(id).clone());
        let (sum, of_rows): (Vec<Axis>, Vec<Axis>) = over.iter().partition(|&&a| of_table.has(a));
        let fits = !of_index.axes.iter().any(|&a| of_table.has(a))
            && of_index.axes.iter().any(|&a| of_x.has(a))
            && !of_x.has(axis)
            && self.is_countable(axis)
            && !sum.is_empty()
            && sum.iter().all(|&a| of_x.has(a))
            && of_table.axes.iter().any(|&a| a != axis && !of_x.has(a));
        if !fits {
            return None;
        }
        let rows = of_x.with(&of_index.axes).without(&of_table.axes).axes;
        let group = self.group(index, axis, rows);
        let slots = self.by_slot(x, &group);
        let slots = self.within(slots, &group);
        let product = self.op(Op::Contract([sum.as_slice(), &[axis]].concat()), &[slots, table]);
        let rows = self.by_row(product, &group);
        Some(if of_rows.is_empty() { rows } else { self.op(Op::Reduce(Monoid::Sum, of_rows), &[rows]) })
    }

    /// `Σ_{over}` of a sum of outer products, each row's at its index.
    fn scatter(&mut self, axis: Axis, over: &[Axis], values: NodeId, index: NodeId) -> Option<NodeId> {
        if !self.out.ty(index).axes.iter().all(|a| over.contains(a)) || !self.is_countable(axis) {
            return None;
        }
        let values = self.beneath(values)?;
        if let Kind::Op(Op::Map(op @ (Elementwise::ADD | Elementwise::SUB))) = self.out.region()[values].kind {
            let [a, b] = self.out.region()[values].operands[..] else { return None };
            let parts = [self.scatter(axis, over, a, index)?, self.scatter(axis, over, b, index)?];
            return Some(self.op(Op::Map(op), &parts));
        }
        let [a, b] = self.sides(over, values)?;
        let group = self.group(index, axis, over.to_vec());
        let [a, b] = [a, b].map(|side| self.by_slot(side, &group));
        let a = self.within(a, &group);
        Some(self.op(Op::Contract(vec![group.slot]), &[a, b]))
    }

    /// Whether indices into an axis are put in order in one pass over them: its size must be known.
    fn is_countable(&self, axis: Axis) -> bool {
        self.axes.size(axis).known().is_some_and(|n| n <= COUNTED)
    }

    /// The two factors of an outer product: both have some of the rows, and neither an axis of the other besides.
    fn sides(&mut self, rows: &[Axis], values: NodeId) -> Option<[NodeId; 2]> {
        let mut factors = Vec::new();
        let mut open = vec![values];
        while let Some(id) = open.pop() {
            let id = self.beneath(id)?;
            let node = &self.out.region()[id];
            match node.kind {
                Kind::Op(Op::Map(Elementwise::MUL)) => open.extend(node.operands.iter().rev()),
                _ => factors.push(id),
            }
        }
        let mut sides: Vec<(Vec<Axis>, Vec<NodeId>)> = Vec::new();
        let mut common = Vec::new();
        for factor in factors {
            let own = self.out.ty(factor).without(rows).axes;
            if own.is_empty() {
                common.push(factor);
                continue;
            }
            let (joined, rest) = sides.into_iter().partition(|(axes, _)| axes.iter().any(|a| own.contains(a)));
            sides = rest;
            let joined: Vec<(Vec<Axis>, Vec<NodeId>)> = joined;
            let mut side = (own, Vec::new());
            for (axes, factors) in joined {
                side.0.extend(axes);
                side.1.extend(factors);
            }
            side.1.push(factor);
            sides.push(side);
        }
        let [(_, mut a), (_, b)] = <[_; 2]>::try_from(sides).ok()?;
        a.extend(common);
        let sides = [a, b].map(|factors| {
            let product = |x, y| self.op(Op::Map(Elementwise::MUL), &[x, y]);
            factors.into_iter().reduce(product)
        });
        let [Some(a), Some(b)] = sides else { return None };
        let has_rows = |id: NodeId| rows.iter().any(|&row| self.out.ty(id).has(row));
        (has_rows(a) && has_rows(b)).then_some([a, b])
    }

    /// The order of rows by an index, made when first asked for.
    fn group(&mut self, index: NodeId, axis: Axis, mut rows: Vec<Axis>) -> Group {
        rows.sort_by_key(|&a| (!self.axes[a].outer, a));
        let key = (index, axis, rows.clone());
        if let Some(group) = self.groups.get(&key) {
            return group.clone();
        }
        let row = self.axes.fresh("row", self.axes.volume(&rows), true);
        let slot = self.axes.like(row, "slot");
        let missing: Vec<Axis> = rows.iter().copied().filter(|&a| !self.out.ty(index).has(a)).collect();
        let mut flat = index;
        if !missing.is_empty() {
            let holds = self.op(Op::Constant(Number(1.0), Elem::Bool, missing), &[]);
            flat = self.map(Elementwise::SELECT, &[holds, index, index]);
        }
        let flat = self.op(Op::Merge(rows.clone(), row), &[flat]);
        let order = self.op(Op::Order(row, slot, Direction::Rising), &[flat]);
        // The inverse of the order. A float holds the number of a slot exactly, up to 2²⁴ of them.
        let number = self.op(Op::Index(slot), &[]);
        let number = self.op(Op::Cast(Elem::Float), &[number]);
        let rank = self.op(Op::ScatterAdd(row, vec![slot]), &[number, order]);
        let rank = self.op(Op::Cast(Elem::Index(slot)), &[rank]);
        let place = self.op(Op::Index(axis), &[]);
        let [one, zero] = [1.0, 0.0].map(|n| self.op(Op::Constant(Number(n), Elem::Int, Vec::new()), &[]));
        let [from, to] = [Elementwise::LT, Elementwise::LE].map(|compare| {
            let before = self.map(compare, &[flat, place]);
            let ones = self.map(Elementwise::SELECT, &[before, one, zero]);
            self.op(Op::Reduce(Monoid::Sum, vec![row]), &[ones])
        });
        let at = self.op(Op::Index(slot), &[]);
        let (after, before) = (self.map(Elementwise::GE, &[at, from]), self.map(Elementwise::LT, &[at, to]));
        let inside = self.map(Elementwise::AND, &[after, before]);
        let group = Group { rows, row, slot, order, rank, inside };
        self.groups.insert(key, group.clone());
        group
    }

    /// A value's rows in order. What is elementwise is done there; what came from slots stays where it was.
    fn by_slot(&mut self, value: NodeId, group: &Group) -> NodeId {
        let node = self.out.region()[value].clone();
        if !group.rows.iter().any(|&row| node.ty.has(row)) {
            return value;
        }
        if let Some(&moved) = self.moved.get(&(value, group.slot)) {
            return moved;
        }
        let from_slots = || {
            let Kind::Op(Op::Split(row, parts)) = &node.kind else { return None };
            let lookup = &self.out.region()[node.operands[0]];
            let there = lookup.kind == Kind::Op(Op::Lookup(group.slot)) && lookup.operands[1] == group.rank;
            (*row == group.row && *parts == group.rows && there).then(|| lookup.operands[0])
        };
        let moved = match &node.kind {
            Kind::Op(op @ (Op::Map(_) | Op::Cast(_) | Op::StopGradient)) => {
                let operands: Vec<NodeId> = node.operands.iter().map(|&o| self.by_slot(o, group)).collect();
                self.op(op.clone(), &operands)
            }
            _ => from_slots().unwrap_or_else(|| {
                let whole = spread(self.axes, &mut self.out, value, &group.rows);
                let flat = self.op(Op::Merge(group.rows.clone(), group.row), &[whole]);
                self.op(Op::Lookup(group.row), &[flat, group.order])
            }),
        };
        self.moved.insert((value, group.slot), moved);
        moved
    }

    /// Each slot's value where the slot's row has the index, else 0.
    fn within(&mut self, slots: NodeId, group: &Group) -> NodeId {
        let zero = constant(&mut self.out, 0.0, &[]);
        self.map(Elementwise::SELECT, &[group.inside, slots, zero])
    }

    /// Each row's value from its slot.
    fn by_row(&mut self, slots: NodeId, group: &Group) -> NodeId {
        let flat = self.op(Op::Lookup(group.slot), &[slots, group.rank]);
        self.op(Op::Split(group.row, group.rows.clone()), &[flat])
    }

    /// The same value with the renames of an elementwise one done to its operands.
    fn beneath(&mut self, value: NodeId) -> Option<NodeId> {
        let (inner, renames) = beneath_renames(self.out.region(), value);
        let node = self.out.region()[inner].clone();
        let Kind::Op(op @ Op::Map(_)) = node.kind else { return Some(value) };
        let operands: Option<Vec<NodeId>> = node.operands.iter().map(|&o| self.renamed(o, &renames)).collect();
        Some(self.op(op, &operands?))
    }

    /// A value under other names, as far as it has them; none where two axes would be called the same.
    fn renamed(&mut self, mut value: NodeId, renames: &[(Axis, Axis)]) -> Option<NodeId> {
        for &(from, to) in renames {
            if self.out.ty(value).has(from) {
                value = self.out.try_op(self.axes, Op::Rename(from, to), &[value]).ok()?;
            }
        }
        Some(value)
    }

    fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.out.op(self.axes, op, operands)
    }

    fn map(&mut self, op: Elementwise, operands: &[NodeId]) -> NodeId {
        self.out.map(self.axes, op, operands)
    }
}
