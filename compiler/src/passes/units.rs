//! Leaves out axes of length 1, so that a value with such an axis and one without become the same kernels.
//!
//! The axes are chosen for the whole program: an axis stays where an operator walks along it (a scan, an index, a slice), where one
//! would go over nothing without it, and where a float would be left without axes, which is computed more precisely. Inputs and
//! outputs keep their declared axes; the body's arguments and results lack them.

use std::collections::BTreeSet;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{Fused, Graph, Kind, Node, NodeId, Region, RegionBuilder, Scan};

/// Leaves them out.
pub fn leave_out(graph: &mut Graph) {
    let units: BTreeSet<Axis> = graph.axes.iter().map(|(axis, _)| axis).filter(|&a| graph.axes.is_unit(a)).collect();
    let mut dropped = Dropped(units);
    loop {
        let before = dropped.0.len();
        dropped.keep_needed(&graph.body);
        if dropped.0.len() == before {
            break;
        }
    }
    if !dropped.0.is_empty() {
        graph.body = dropped.region(&graph.axes, &graph.body);
    }
}

/// The axes that are left out.
struct Dropped(BTreeSet<Axis>);

impl Dropped {
    fn all(&self, axes: &[Axis]) -> bool {
        axes.iter().all(|a| self.0.contains(a))
    }

    fn keep(&mut self, axes: &[Axis]) {
        self.0.retain(|a| !axes.contains(a));
    }

    /// Takes back what a region needs.
    fn keep_needed(&mut self, region: &Region) {
        for ty in &region.arguments {
            self.keep_float(ty);
        }
        for node in &region.nodes {
            match &node.kind {
                Kind::Op(op) => self.keep_named(op),
                Kind::Scan(scan) => {
                    self.keep(&[scan.axis]);
                    self.keep_needed(&scan.body);
                }
                Kind::Fused(fused) => self.keep_needed(&fused.body),
                Kind::Argument(_) | Kind::Project(_) => {}
            }
            if !matches!(node.kind, Kind::Op(Op::Constant(..))) {
                self.keep_float(&node.ty);
            }
        }
    }

    fn keep_float(&mut self, ty: &Type) {
        if ty.elem == Elem::Float && self.all(&ty.axes) {
            self.keep(&ty.axes);
        }
    }

    fn keep_named(&mut self, op: &Op) {
        match op {
            Op::Contract(over) | Op::Softmax(over) | Op::LogSumExp(over) if self.all(over) => self.keep(over),
            Op::ScatterAdd(axis, over) => {
                self.keep(&[*axis]);
                if self.all(over) {
                    self.keep(over);
                }
            }
            // One axis by several names goes or stays.
            Op::Rename(from, to) if !self.all(&[*from, *to]) => self.keep(&[*from, *to]),
            Op::Split(whole, parts) | Op::Merge(parts, whole) => {
                if !self.0.contains(whole) && self.all(parts) || self.0.contains(whole) && !self.all(parts) {
                    self.keep(parts);
                    self.keep(&[*whole]);
                }
            }
            Op::Slice(from, _, to) | Op::Pad(from, _, to, _) | Op::Insert(from, _, to) | Op::Order(from, to, _) => {
                self.keep(&[*from, *to]);
            }
            Op::Concat(parts, whole) => {
                self.keep(parts);
                self.keep(&[*whole]);
            }
            Op::Index(axis) | Op::ArgMax(axis) | Op::Lookup(axis) => self.keep(&[*axis]),
            Op::Contract(_) | Op::Softmax(_) | Op::LogSumExp(_) | Op::Rename(..) => {}
            Op::Constant(..) | Op::Extent(_) | Op::Random(..) | Op::Map(_) | Op::Cast(_) | Op::StopGradient => {}
            Op::Reduce(..) => {}
        }
    }

    fn region(&self, axes: &Axes, old: &Region) -> Region {
        let mut b = RegionBuilder::new();
        let arguments: Vec<NodeId> = old.arguments.iter().map(|ty| b.argument(self.ty(ty))).collect();
        let mut copy: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
        for node in &old.nodes {
            let operands = node.operands.iter().map(|o| copy[o.0 as usize]).collect();
            copy.push(match &node.kind {
                Kind::Argument(number) => arguments[*number as usize],
                Kind::Op(op) => self.op(axes, &mut b, op, operands, node),
                Kind::Scan(scan) => {
                    let scan = Scan { body: self.region(axes, &scan.body), ..(**scan).clone() };
                    b.node(Kind::Scan(Box::new(scan)), operands, self.ty(&node.ty))
                }
                Kind::Fused(fused) => {
                    let fused = Fused { form: fused.form, body: self.region(axes, &fused.body) };
                    b.node(Kind::Fused(Box::new(fused)), operands, self.ty(&node.ty))
                }
                Kind::Project(_) => b.node(node.kind.clone(), operands, self.ty(&node.ty)),
            });
        }
        b.finish(old.outputs.iter().map(|o| copy[o.0 as usize]).collect())
    }

    fn ty(&self, ty: &Type) -> Type {
        Type { elem: ty.elem, axes: self.rest(&ty.axes) }
    }

    fn rest(&self, axes: &[Axis]) -> Vec<Axis> {
        axes.iter().copied().filter(|a| !self.0.contains(a)).collect()
    }

    /// An operator without the axes; its operand, where nothing is left to be done.
    fn op(&self, axes: &Axes, b: &mut RegionBuilder, op: &Op, operands: Vec<NodeId>, node: &Node) -> NodeId {
        let one = |parts: &[Axis]| <[Axis; 1]>::try_from(parts).map(|[part]| part);
        let op = match op {
            Op::Constant(value, elem, over) => Op::Constant(*value, *elem, self.rest(over)),
            Op::Random(distribution, over, site) => Op::Random(*distribution, self.rest(over), *site),
            Op::Reduce(_, over) if self.all(over) => Op::Cast(node.ty.elem),
            Op::Reduce(monoid, over) => Op::Reduce(*monoid, self.rest(over)),
            Op::Contract(over) => Op::Contract(self.rest(over)),
            Op::Softmax(over) => Op::Softmax(self.rest(over)),
            Op::LogSumExp(over) => Op::LogSumExp(self.rest(over)),
            Op::ScatterAdd(axis, over) => Op::ScatterAdd(*axis, self.rest(over)),
            Op::Rename(from, to) if self.all(&[*from, *to]) => return operands[0],
            Op::Split(whole, _) | Op::Merge(_, whole) if self.0.contains(whole) => return operands[0],
            Op::Split(whole, parts) => {
                let parts = self.rest(parts);
                one(&parts).map_or_else(|_| Op::Split(*whole, parts.clone()), |part| Op::Rename(*whole, part))
            }
            Op::Merge(parts, whole) => {
                let parts = self.rest(parts);
                one(&parts).map_or_else(|_| Op::Merge(parts.clone(), *whole), |part| Op::Rename(part, *whole))
            }
            op => op.clone(),
        };
        match op {
            Op::Cast(elem) if b.ty(operands[0]).elem == elem => operands[0],
            op => b.op(axes, op, &operands),
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_dsl::elementwise::Elementwise;
    use weft_dsl::emit::Emit;
    use weft_dsl::op::Number;
    use weft_dsl::size::Size;

    use super::*;
    use crate::graph::random::random_graph;
    use crate::graph::{Builder, Value, eval, print, validate};

    /// Whether some value that is computed has one of the axes.
    fn has(graph: &Graph, axes: &[Axis]) -> bool {
        graph.body.nodes.iter().any(|n| axes.iter().any(|&a| n.ty.has(a)))
    }

    /// A graph over `row` (5), and `one` and `unit` of length 1, before and after.
    fn made(program: impl Fn(&mut Builder, [Axis; 3]) -> (Vec<Axis>, Value)) -> (Graph, Graph, [Axis; 3]) {
        let mut axes = Axes::default();
        let all = [("row", 5), ("one", 1), ("unit", 1)].map(|(name, size)| axes.fresh(name, Size::of(size), false));
        let mut b = Builder::new(axes);
        let (order, value) = program(&mut b, all);
        let graph = b.finish(vec![("out".into(), order, value)]);
        let mut without = graph.clone();
        leave_out(&mut without);
        validate(&without).unwrap_or_else(|fault| panic!("{fault}\n{}", print(&without)));
        (graph, without, all)
    }

    #[test]
    fn a_whole_chain_of_names_is_left_out() {
        let (graph, without, [row, one, unit]) = made(|b, [row, one, unit]| {
            let x = b.input("x", Elem::Float, &[one, row]);
            let y = b.op(Op::Rename(one, unit), &[x]);
            let joined = b.axes().like(row, "joined");
            let y = b.op(Op::Merge(vec![unit, row], joined), &[y]);
            (vec![joined], y)
        });
        assert!(!has(&without, &[one, unit]), "{}", print(&without));
        // The caller gives and gets what it did.
        assert_eq!((&without.inputs, &without.outputs), (&graph.inputs, &graph.outputs));
        let operators = without.body.nodes.iter().filter_map(|n| n.kind.op()).collect::<Vec<_>>();
        assert!(matches!(operators[..], [Op::Rename(from, _)] if *from == row), "{operators:?}");
    }

    #[test]
    fn an_axis_that_is_walked_along_stays() {
        let (_, without, [_, one, _]) = made(|b, [row, one, _]| {
            let x = b.input("x", Elem::Float, &[one, row]);
            let place = b.op(Op::Index(one), &[]);
            let y = b.op(Op::Map(Elementwise::MUL), &[x, place]);
            (vec![one, row], y)
        });
        assert!(without.body.arguments[0].has(one));
    }

    #[test]
    fn a_float_does_not_lose_its_last_axis() {
        let (_, without, [_, one, unit]) = made(|b, [_, one, unit]| {
            let x = b.input("x", Elem::Float, &[one, unit]);
            let two = b.op(Op::Constant(Number(2.0), Elem::Float, vec![unit]), &[]);
            let y = b.op(Op::Map(Elementwise::MUL), &[x, two]);
            (vec![one, unit], y)
        });
        assert_eq!(without.body.results()[0].axes, [one, unit]);
    }

    #[test]
    fn nothing_changes_on_random_graphs() {
        let mut left_out = 0;
        for seed in 0..300 {
            let (graph, bindings) = random_graph(seed, 12);
            let mut without = graph.clone();
            leave_out(&mut without);
            validate(&without).unwrap_or_else(|fault| panic!("{seed}: {fault}\n{}", print(&without)));
            assert_eq!(format!("{:?}", eval(&graph, &bindings)), format!("{:?}", eval(&without, &bindings)), "{seed}");
            left_out += usize::from(without.body.arguments != graph.body.arguments);
        }
        assert!(left_out > 20, "{left_out}");
    }
}
