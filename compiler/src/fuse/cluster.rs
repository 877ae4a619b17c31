//! Which materialised values one kernel makes.
//!
//! At the start each root is a cluster of its own; the rules below join clusters where no value would then have to leave the
//! kernel and come back.

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Type};

use super::roots::{Role, Roots, beneath_renames};
use crate::graph::{Kind, NodeId, Region};

/// Joined roots.
pub struct Clusters {
    /// For each node that is a root: its cluster, named by its first member.
    of: Vec<Option<NodeId>>,
    /// The members of the cluster of this name, in order.
    members: Vec<Vec<NodeId>>,
}

/// A step of the new region.
pub enum Unit {
    /// A node that stays as it is.
    Node(NodeId),
    /// Roots that one kernel makes, in order.
    Kernel(Vec<NodeId>),
}

/// Steps in the order in which they are found.
struct Order {
    /// Nodes whose step was begun with.
    met: Vec<bool>,
    /// Nodes whose step stands in the order.
    made: Vec<bool>,
    units: Vec<Unit>,
}

impl Order {
    fn make(&mut self, unit: Unit) {
        let made = match &unit {
            Unit::Node(id) => std::slice::from_ref(id),
            Unit::Kernel(members) => members,
        };
        made.iter().for_each(|id| self.made[id.0 as usize] = true);
        self.units.push(unit);
    }
}

/// What kind of work a cluster is built around.
#[derive(Clone, PartialEq, Eq)]
enum Anchor {
    /// Elementwise work over these axes.
    Map(Vec<Axis>),
    /// Reductions: kept axes, reduced axes.
    Reduce(Vec<Axis>, Vec<Axis>),
    /// A matrix product.
    Product,
    /// A kernel of its own: a scatter-add, places put in order.
    Alone,
}

/// Joins the roots of a region.
pub fn clusters(axes: &Axes, region: &Region, roots: &Roots) -> Clusters {
    let all: Vec<NodeId> = region.iter().map(|(id, _)| id).filter(|&id| roots.role(id) == Role::Root).collect();
    let mut clusters = Clusters::single(region, roots);
    for rule in [reductions, epilogues, elementwise] {
        for &root in &all {
            rule(axes, region, roots, &mut clusters, root);
        }
    }
    for &root in &all {
        siblings(region, roots, &mut clusters, &all, root);
    }
    clusters
}

/// A reduction joins one that it reads, over the same axes; so do elementwise values of the same rows, before or after it.
fn reductions(axes: &Axes, region: &Region, roots: &Roots, clusters: &mut Clusters, root: NodeId) {
    for &read in roots.reads(root).iter().filter(|&&r| roots.role(r) == Role::Root) {
        let (from, to) = (clusters.anchor(region, read), anchor(region, root));
        let joined = match (&from, &to) {
            (Anchor::Reduce(rows, over), Anchor::Reduce(own_rows, own_over)) => {
                rows == own_rows && over == own_over && along_rows(axes, rows, over)
            }
            (Anchor::Reduce(rows, over), Anchor::Map(domain)) => {
                (same(domain, rows, over) || domain == rows) && along_rows(axes, rows, over)
            }
            (Anchor::Map(domain), Anchor::Reduce(rows, over)) => same(domain, rows, over) && along_rows(axes, rows, over),
            _ => false,
        };
        if joined && clusters.reduce_alike(region, read, root) {
            clusters.join(region, roots, read, root);
        }
    }
}

/// Elementwise values join the product that they read, where they have one value for each of the product's.
fn epilogues(_axes: &Axes, region: &Region, roots: &Roots, clusters: &mut Clusters, root: NodeId) {
    if !matches!(anchor(region, root), Anchor::Map(_)) || clusters.members(root).len() > 1 {
        return;
    }
    // What a value calls the product's axes.
    let names = |id: NodeId, read: NodeId| {
        let named = pointwise(region, roots, id, read)?;
        (region[id].ty.axes.len() == region[read].ty.axes.len()).then_some(named)
    };
    // The last of them: one that others are made from cannot wait for what is made of those.
    for &read in roots.reads(root).iter().rev().filter(|&&read| roots.role(read) == Role::Root) {
        let all = clusters.members(read);
        let Some(&product) = all.iter().find(|&&m| matches!(anchor(region, m), Anchor::Product)) else { continue };
        let own = names(root, product).filter(|n| n.iter().all(|&(own, name)| own == name || !region[product].ty.has(name)));
        // Who has joined it calls them the same.
        let alike = own.is_some() && all.iter().all(|&m| m == product || names(m, product) == own);
        let plain = |member: NodeId| names(root, member).is_some_and(|n| n.iter().all(|(own, name)| own == name));
        let direct = roots.reads(root).iter().all(|&r| r == product || !all.contains(&r) || plain(r));
        if clusters.anchor(region, read) == Anchor::Product && alike && direct && clusters.join(region, roots, read, root) {
            return;
        }
    }
}

/// An elementwise value joins another over the same axes that it reads.
fn elementwise(_axes: &Axes, region: &Region, roots: &Roots, clusters: &mut Clusters, root: NodeId) {
    let own = clusters.anchor(region, root);
    if !matches!(own, Anchor::Map(_)) {
        return;
    }
    for &read in roots.reads(root) {
        if roots.role(read) == Role::Root && clusters.anchor(region, read) == own {
            clusters.join(region, roots, read, root);
        }
    }
}

/// Clusters that walk the same axes and read the same memory are one pass over it.
fn siblings(region: &Region, roots: &Roots, clusters: &mut Clusters, all: &[NodeId], root: NodeId) {
    let own = clusters.anchor(region, root);
    if matches!(own, Anchor::Product | Anchor::Alone) || region[root].ty.axes.is_empty() && matches!(own, Anchor::Map(_)) {
        return;
    }
    for &other in all.iter().take_while(|&&o| o < root) {
        let shares = || roots.reads(root).iter().any(|r| roots.reads(other).contains(r) && !region[*r].ty.axes.is_empty());
        if clusters.of(other) != clusters.of(root) && clusters.anchor(region, other) == own && shares() {
            clusters.join(region, roots, other, root);
        }
    }
}

/// Each axis of `from`, a product's result, with its name in `to`, where `to` reads it at its own place alone.
pub fn pointwise(region: &Region, roots: &Roots, to: NodeId, from: NodeId) -> Option<Vec<(Axis, Axis)>> {
    let mut found: Option<Vec<(Axis, Axis)>> = None;
    let identity = region[to].ty.axes.iter().map(|&a| (a, a)).collect();
    walk(region, roots, to, from, identity, &mut found).then_some(found).flatten()
}

/// Follows readers down to `from`; `names` maps axes of the node to those of the value that began. False: not pointwise.
fn walk(
    region: &Region,
    roots: &Roots,
    node: NodeId,
    from: NodeId,
    names: Vec<(Axis, Axis)>,
    found: &mut Option<Vec<(Axis, Axis)>>,
) -> bool {
    for &operand in &region[node].operands {
        let reads = operand == from || (roots.role(operand) == Role::Inline && roots.reads(operand).contains(&from));
        if !reads {
            continue;
        }
        let names: Vec<(Axis, Axis)> = match &region[node].kind {
            Kind::Op(Op::Map(_) | Op::Cast(_) | Op::StopGradient) => names.clone(),
            Kind::Op(Op::Rename(old, new)) => {
                names.iter().map(|&(axis, name)| if axis == *new { (*old, name) } else { (axis, name) }).collect()
            }
            _ => return false,
        };
        let names: Vec<_> = names.into_iter().filter(|(axis, _)| region[operand].ty.has(*axis)).collect();
        if operand == from {
            match found {
                Some(before) if *before != names => return false,
                _ => *found = Some(names),
            }
        } else if !walk(region, roots, operand, from, names, found) {
            return false;
        }
    }
    true
}

fn same(domain: &[Axis], rows: &[Axis], over: &[Axis]) -> bool {
    domain.len() == rows.len() + over.len() && domain.iter().all(|a| rows.contains(a) || over.contains(a))
}

/// Whether a reduction runs along rows that lie together in memory, rather than down columns.
fn along_rows(axes: &Axes, rows: &[Axis], over: &[Axis]) -> bool {
    over.iter().all(|&a| !axes[a].outer) || rows.iter().all(|&a| axes[a].outer)
}

fn anchor(region: &Region, root: NodeId) -> Anchor {
    let ty = &region[root].ty;
    let reduced = |over: &[Axis]| Anchor::Reduce(operand_type(region, root).without(over).axes, over.to_vec());
    match &region[root].kind {
        Kind::Op(Op::Contract(_)) => Anchor::Product,
        Kind::Op(Op::ScatterAdd(..) | Op::Order(..)) => Anchor::Alone,
        Kind::Op(Op::Reduce(_, over) | Op::Softmax(over) | Op::LogSumExp(over)) => reduced(over),
        Kind::Op(Op::ArgMax(axis)) => reduced(&[*axis]),
        _ => Anchor::Map(ty.axes.clone()),
    }
}

fn operand_type(region: &Region, id: NodeId) -> &Type {
    &region[region[id].operands[0]].ty
}

impl Clusters {
    /// Each root alone.
    pub fn single(region: &Region, roots: &Roots) -> Self {
        let mut clusters = Clusters { of: vec![None; region.nodes.len()], members: vec![Vec::new(); region.nodes.len()] };
        for (root, _) in region.iter().filter(|(id, _)| roots.role(*id) == Role::Root) {
            clusters.of[root.0 as usize] = Some(root);
            clusters.members[root.0 as usize] = vec![root];
        }
        clusters
    }

    /// The cluster of a root.
    fn of(&self, root: NodeId) -> NodeId {
        self.of[root.0 as usize].unwrap_or(root)
    }

    /// The roots of a root's cluster, in order.
    fn members(&self, root: NodeId) -> &[NodeId] {
        &self.members[self.of(root).0 as usize]
    }

    /// What a cluster is built around: its most demanding member.
    fn anchor(&self, region: &Region, root: NodeId) -> Anchor {
        let anchors = self.members(root).iter().map(|&m| anchor(region, m));
        anchors.reduce(|a, b| if matches!(a, Anchor::Map(_)) { b } else { a }).unwrap_or(Anchor::Map(Vec::new()))
    }

    /// Whether all reductions of two clusters run over the same axes.
    fn reduce_alike(&self, region: &Region, a: NodeId, b: NodeId) -> bool {
        let mut reductions = [a, b].into_iter().flat_map(|c| self.members(c)).map(|&m| anchor(region, m));
        let mut reductions = reductions.by_ref().filter(|a| matches!(a, Anchor::Reduce(..)));
        reductions.next().is_none_or(|first| reductions.all(|other| other == first))
    }

    /// Joins two clusters, unless a value would leave the kernel and come back; says whether it did.
    fn join(&mut self, region: &Region, roots: &Roots, a: NodeId, b: NodeId) -> bool {
        let (a, b) = (self.of(a), self.of(b));
        if a == b || self.passes_outside(region, roots, a, b) || self.passes_outside(region, roots, b, a) {
            return false;
        }
        let (keep, drop) = (a.min(b), a.max(b));
        let moved = std::mem::take(&mut self.members[drop.0 as usize]);
        for &member in &moved {
            self.of[member.0 as usize] = Some(keep);
        }
        let members = &mut self.members[keep.0 as usize];
        members.extend(moved);
        members.sort();
        true
    }

    /// Whether a value of cluster `from` reaches cluster `to` through something outside both.
    fn passes_outside(&self, region: &Region, roots: &Roots, from: NodeId, to: NodeId) -> bool {
        let mut seen = vec![false; region.nodes.len()];
        let mut open: Vec<NodeId> = Vec::new();
        let inside = |id: NodeId| roots.role(id) == Role::Root && [from, to].contains(&self.of(id));
        for &member in &self.members[to.0 as usize] {
            open.extend(roots.reads(member).iter().filter(|&&r| !inside(r)));
        }
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            let next: Vec<NodeId> = match roots.role(id) {
                Role::Root => {
                    self.members(id).iter().flat_map(|&m| roots.reads(m)).chain(roots.reads(id)).copied().collect()
                }
                _ => roots.reads(id).to_vec(),
            };
            for read in next {
                if roots.role(read) == Role::Root && self.of(read) == from {
                    return true;
                }
                open.push(read);
            }
        }
        false
    }

    /// Whether anything but its own kernel reads a root.
    pub fn escapes(&self, region: &Region, roots: &Roots, root: NodeId) -> bool {
        let output = region.outputs.iter().any(|&o| beneath_renames(region, o) == root);
        output
            || region.iter().any(|(id, _)| match roots.role(id) {
                Role::Root => self.of(id) != self.of(root) && roots.reads(id).contains(&root),
                Role::Boundary => roots.reads(id).contains(&root),
                Role::Inline | Role::Dead => false,
            })
    }

    /// The steps of the new region, each after what it reads; products of one operand stand together where they can, so that
    /// they may run beside one another.
    pub fn in_order(&self, region: &Region, roots: &Roots) -> Vec<Unit> {
        let mut order =
            Order { met: vec![false; region.nodes.len()], made: vec![false; region.nodes.len()], units: Vec::new() };
        for (id, _) in region.iter() {
            self.visit(region, roots, id, &mut order);
        }
        order.units
    }

    fn visit(&self, region: &Region, roots: &Roots, id: NodeId, order: &mut Order) {
        if order.met[id.0 as usize] || matches!(roots.role(id), Role::Dead | Role::Inline) {
            return;
        }
        let members = match roots.role(id) {
            Role::Root => self.members(id).to_vec(),
            _ => vec![id],
        };
        for &member in &members {
            order.met[member.0 as usize] = true;
        }
        for &member in &members {
            for &read in roots.reads(member) {
                self.visit(region, roots, read, order);
            }
        }
        let is_product = |id: NodeId| roots.role(id) == Role::Root && self.anchor(region, id) == Anchor::Product;
        // What can be made before this is and reads the same.
        let shares =
            |other: NodeId| roots.reads(other).iter().any(|&r| roots.role(r) == Role::Root && roots.reads(id).contains(&r));
        let ready = |other: NodeId| {
            let reads = || self.members(other).iter().flat_map(|&m| roots.reads(m));
            let own = |r: NodeId| roots.role(r) == Role::Root && self.of(r) == self.of(other);
            !order.met[other.0 as usize] && shares(other) && reads().all(|&r| order.made[r.0 as usize] || own(r))
        };
        let mut beside = Vec::new();
        if is_product(id) {
            beside.extend(region.iter().map(|(other, _)| other).filter(|&other| is_product(other) && ready(other)));
        }
        order.make(match roots.role(id) {
            Role::Root => Unit::Kernel(members),
            _ => Unit::Node(id),
        });
        beside.into_iter().for_each(|other| self.visit(region, roots, other, order));
    }
}
