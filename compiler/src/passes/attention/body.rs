//! Writes the body of an attention: its scores copied from the region, in one form.

use std::collections::HashMap;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::{Found, beneath_renames};
use crate::graph::{Kind, NodeId, Region, RegionBuilder, is_inline};
use crate::passes::canonical::compact;

/// What the scores read is computed within where that costs no more simple operations than this for each of them.
pub(super) const CHEAP: u32 = 8;
/// Fewer rows of queries than this, where their number is known, are products: a tile would be mostly empty, and keys and values are
/// read once where they lie.
const FEW: i64 = 16;
/// The cost of an operator that is more than an instruction or two.
const COSTLY: u32 = 20;

/// A writer of one body.
pub(super) struct Writer<'a> {
    axes: &'a Axes,
    region: &'a Region,
    uses: &'a [u32],
    /// The axis that the softmax goes along, as it calls it.
    source: Axis,
    /// Axes of the queries that the keys lack.
    queried: Vec<Axis>,
    out: RegionBuilder,
    arguments: Vec<NodeId>,
    made: HashMap<NodeId, NodeId>,
}

/// A factor: what it is multiplied by, or divided by.
#[derive(Clone, Copy)]
struct Factor {
    by: NodeId,
    divides: bool,
}

/// Queries or keys: the value beneath renames and factors.
struct Side {
    base: NodeId,
    renames: Vec<(Axis, Axis)>,
    factors: Vec<Factor>,
    negated: bool,
}

/// The contraction of queries and keys.
struct Product {
    node: NodeId,
    key: Axis,
    queries: NodeId,
    keys: NodeId,
}

impl<'a> Writer<'a> {
    pub(super) fn new(axes: &'a Axes, region: &'a Region, uses: &'a [u32], source: Axis) -> Self {
        let (out, made) = (RegionBuilder::new(), HashMap::new());
        Self { axes, region, uses, source, queried: Vec::new(), out, arguments: Vec::new(), made }
    }

    /// The attention `Contract([source])(weights, values)`, where `weights` are renames of `softmax`, whose axes have these names
    /// within and without.
    pub(super) fn write(
        mut self,
        contraction: NodeId,
        weights: NodeId,
        softmax: NodeId,
        values: NodeId,
        names: &[(Axis, Axis)],
    ) -> Option<Found> {
        let region = self.region;
        let score = region[softmax].operands[0];
        let product = self.product(score)?;
        let chain = self.over_product(score, product.node)?;
        self.read_here_alone(&chain, contraction, weights, softmax)?;
        let outer = |axis: Axis| names.iter().any(|&(_, o)| o == axis);
        let own: Vec<Axis> = region[values].ty.axes.iter().copied().filter(|&a| !outer(a)).collect();
        if own.len() != 1 || names.iter().any(|&(inner, _)| inner == own[0] || inner == product.key) {
            return None;
        }

        // A head has keys and values of its own or shares both, and every head is some query's.
        let heads = region[product.keys].ty.without(&[product.key, self.source]).axes;
        let inner = |axis: Axis| names.iter().find(|n| n.1 == axis).map_or(axis, |n| n.0);
        let is_head = |axis: &Axis| *axis != self.source && *axis != own[0];
        let mut served: Vec<Axis> = region[values].ty.axes.iter().map(|&a| inner(a)).filter(is_head).collect();
        served.sort();
        if heads != served || !heads.iter().all(|&a| region[product.queries].ty.has(a)) {
            return None;
        }

        let (q, k) = (self.side(product.queries), self.side(product.keys));
        let (v, mut v_names) = beneath_renames(region, values);
        v_names.extend(names.iter().copied().filter(|&(i, o)| i != o && region[values].ty.has(o)).map(|(i, o)| (o, i)));
        let bases = [q.base, k.base, v].map(|base| self.argument(base));
        let queries = self.renamed(bases[0], &q.renames)?;
        let keys = self.renamed(bases[1], &k.renames)?;
        let values = self.renamed(bases[2], &v_names)?;
        let mut scores = self.out.try_op(self.axes, Op::Contract(vec![product.key]), &[queries, keys]).ok()?;
        for side in [&q, &k] {
            for factor in &side.factors {
                scores = self.times(scores, *factor)?;
            }
            if side.negated {
                scores = self.scaled(scores, -1.0);
            }
        }
        self.queried = self.out.ty(queries).without(&self.out.ty(keys).axes).axes;
        self.made.insert(product.node, scores);
        let score = self.score(score, &chain)?;
        let weights = self.out.try_op(self.axes, Op::Softmax(vec![self.source]), &[score]).ok()?;
        let result = self.out.try_op(self.axes, Op::Contract(vec![self.source]), &[weights, values]).ok()?;

        let renames: Vec<(Axis, Axis)> =
            names.iter().copied().filter(|&(i, o)| i != o && self.out.ty(result).has(i)).collect();
        let mut ty = self.out.ty(result).clone();
        for &(from, to) in &renames {
            ty = Op::Rename(from, to).infer(&[&ty], self.axes).ok()?;
        }
        (ty == region[contraction].ty).then_some(())?;
        Some(Found { arguments: self.arguments, body: compact(&self.out.finish(vec![result])), renames })
    }

    /// The only contraction of queries and keys that the scores are made of.
    fn product(&self, score: NodeId) -> Option<Product> {
        let mut found = None;
        let mut seen = vec![false; self.region.nodes.len()];
        let mut open = vec![score];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            let node = &self.region[id];
            match &node.kind {
                Kind::Op(op) if is_inline(op) => open.extend(&node.operands),
                Kind::Op(Op::Contract(over)) => {
                    let Some(product) = self.as_product(id, over) else { continue };
                    if found.replace(product).is_some() {
                        return None;
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn as_product(&self, node: NodeId, over: &[Axis]) -> Option<Product> {
        let &[key] = over else { return None };
        let &[a, b] = self.region[node].operands.as_slice() else { return None };
        let ty = |id: NodeId| &self.region[id].ty;
        let (queries, keys) = match (ty(a).has(self.source), ty(b).has(self.source)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            _ => return None,
        };
        let rows: Vec<Axis> = ty(queries).axes.iter().copied().filter(|&a| a != key && !ty(keys).has(a)).collect();
        let many = !rows.is_empty() && self.axes.volume(&rows).known().is_none_or(|n| n >= FEW || !self.reads_part(keys));
        (many && ty(queries).has(key) && ty(keys).has(key)).then_some(Product { node, key, queries, keys })
    }

    /// Whether a value is a part of something that is kept in memory.
    fn reads_part(&self, mut id: NodeId) -> bool {
        while let (Kind::Op(Op::Rename(..)), &[x]) = (&self.region[id].kind, self.region[id].operands.as_slice()) {
            id = x;
        }
        matches!(self.region[id].kind, Kind::Op(Op::Slice(..)))
    }

    /// The nodes between the product and the scores, both included; none where one is more than elementwise.
    fn over_product(&self, score: NodeId, product: NodeId) -> Option<Vec<NodeId>> {
        let mut depends = vec![false; self.region.nodes.len()];
        depends[product.0 as usize] = true;
        let mut over = vec![product];
        let wanted = self.region.read_by(&[score]);
        for (id, node) in self.region.iter().skip(product.0 as usize + 1).filter(|(id, _)| wanted[id.0 as usize]) {
            if node.operands.iter().any(|o| depends[o.0 as usize]) {
                let maps = matches!(node.kind, Kind::Op(Op::Map(_) | Op::Cast(Elem::Float) | Op::StopGradient));
                if !maps {
                    return None;
                }
                depends[id.0 as usize] = true;
                over.push(id);
            }
        }
        let whole = |id: &NodeId| self.region[*id].ty.axes == self.region[product].ty.axes;
        (over.iter().all(whole) && depends[score.0 as usize]).then_some(over)
    }

    /// Nothing else reads the scores or what comes of them.
    fn read_here_alone(&self, over: &[NodeId], contraction: NodeId, weights: NodeId, softmax: NodeId) -> Option<()> {
        let mut within = over.to_vec();
        within.push(softmax);
        let mut at = weights;
        while at != softmax {
            within.push(at);
            at = self.region[at].operands[0];
        }
        let readers = || within.iter().chain([&contraction]);
        let own = |id: NodeId| readers().flat_map(|&r| &self.region[r].operands).filter(|&&o| o == id).count();
        within.iter().all(|&id| own(id) == self.uses[id.0 as usize] as usize).then_some(())
    }

    fn side(&self, mut at: NodeId) -> Side {
        let (mut renames, mut factors, mut negated) = (Vec::new(), Vec::new(), false);
        loop {
            let node = &self.region[at];
            let factor = |by: NodeId, divides: bool| Factor { by, divides };
            let (next, factor) = match (&node.kind, node.operands.as_slice()) {
                (Kind::Op(Op::Rename(from, to)), &[x]) => {
                    renames.push((*from, *to));
                    (x, None)
                }
                (Kind::Op(Op::Map(Elementwise::NEG)), &[x]) => {
                    negated = !negated;
                    (x, None)
                }
                (Kind::Op(Op::Map(Elementwise::MUL)), &[x, c]) if self.is_factor(c) => (x, Some(factor(c, false))),
                (Kind::Op(Op::Map(Elementwise::MUL)), &[c, x]) if self.is_factor(c) => (x, Some(factor(c, false))),
                (Kind::Op(Op::Map(Elementwise::DIV)), &[x, c]) if self.is_factor(c) => (x, Some(factor(c, true))),
                _ => break,
            };
            if self.region[next].ty.elem != Elem::Float {
                break;
            }
            factors.extend(factor);
            at = next;
        }
        renames.reverse();
        factors.reverse();
        Side { base: at, renames, factors, negated }
    }

    /// A scalar that reads no memory.
    fn is_factor(&self, id: NodeId) -> bool {
        self.region[id].ty.axes.is_empty() && self.weight(id).is_some_and(|w| !w.memory)
    }

    /// The value of a scalar that is known.
    fn number(&self, id: NodeId) -> Option<f64> {
        let node = &self.region[id];
        let operands = || node.operands.iter().map(|&o| self.number(o)).collect::<Option<Vec<f64>>>();
        if !node.ty.axes.is_empty() {
            return None;
        }
        match &node.kind {
            Kind::Op(Op::Constant(Number(value), ..)) => Some(*value),
            Kind::Op(Op::Extent(size)) => size.known().map(|n| n as f64),
            Kind::Op(Op::Map(op)) => Some((op.row().eval)(&operands()?)),
            Kind::Op(Op::Cast(Elem::Float)) => self.number(node.operands[0]),
            _ => None,
        }
    }

    fn argument(&mut self, node: NodeId) -> NodeId {
        self.arguments.push(node);
        self.out.argument(self.region[node].ty.clone())
    }

    fn renamed(&mut self, value: NodeId, names: &[(Axis, Axis)]) -> Option<NodeId> {
        names.iter().try_fold(value, |v, &(from, to)| self.out.try_op(self.axes, Op::Rename(from, to), &[v]).ok())
    }

    fn times(&mut self, x: NodeId, factor: Factor) -> Option<NodeId> {
        match self.number(factor.by) {
            Some(by) => Some(self.scaled(x, if factor.divides { 1.0 / by } else { by })),
            None => {
                let by = self.inline(factor.by)?;
                let op = if factor.divides { Elementwise::DIV } else { Elementwise::MUL };
                Some(self.out.map(self.axes, op, &[x, by]))
            }
        }
    }

    /// Multiplied by a number, together with one that it has been multiplied by before.
    fn scaled(&mut self, x: NodeId, by: f64) -> NodeId {
        let region = self.out.region();
        let before = match (&region[x].kind, region[x].operands.as_slice()) {
            (Kind::Op(Op::Map(Elementwise::MUL)), &[inner, c]) => match region[c].kind {
                Kind::Op(Op::Constant(Number(first), ..)) => Some((inner, first)),
                _ => None,
            },
            _ => None,
        };
        let (x, by) = before.map_or((x, by), |(inner, first)| (inner, first * by));
        if by == 1.0 {
            return x;
        }
        let by = self.out.number(by);
        self.out.map(self.axes, Elementwise::MUL, &[x, by])
    }

    /// A value that is computed from the product.
    fn score(&mut self, id: NodeId, over: &[NodeId]) -> Option<NodeId> {
        if let Some(&made) = self.made.get(&id) {
            return Some(made);
        }
        let node = &self.region[id];
        let Kind::Op(op) = &node.kind else { return None };
        let is_over = |id: &NodeId| over.contains(id);
        let factor = |by: NodeId, divides| Factor { by, divides };
        let value = match (op, node.operands.as_slice()) {
            (Op::Map(Elementwise::MUL), &[x, c]) if is_over(&x) && self.is_factor(c) => {
                let x = self.score(x, over)?;
                self.times(x, factor(c, false))?
            }
            (Op::Map(Elementwise::MUL), &[c, x]) if is_over(&x) && self.is_factor(c) => {
                let x = self.score(x, over)?;
                self.times(x, factor(c, false))?
            }
            (Op::Map(Elementwise::DIV), &[x, c]) if is_over(&x) && self.is_factor(c) => {
                let x = self.score(x, over)?;
                self.times(x, factor(c, true))?
            }
            (Op::Map(Elementwise::NEG), &[x]) => {
                let x = self.score(x, over)?;
                self.scaled(x, -1.0)
            }
            (op, operands) => {
                let mut operands = operands.to_vec();
                // What comes of the product comes first, so that both orders of a sum are one.
                let commutes = matches!(op, Op::Map(op) if op.commutes());
                if commutes && !is_over(&operands[0]) {
                    operands.swap(0, 1);
                }
                // The product's side first: the order of further arguments does not depend on how the sum was written.
                for &o in operands.iter().filter(|o| is_over(o)) {
                    self.score(o, over)?;
                }
                let mut copies = Vec::with_capacity(operands.len());
                for o in operands {
                    copies.push(if is_over(&o) { self.score(o, over)? } else { self.inline(o)? });
                }
                self.out.try_op(self.axes, op.clone(), &copies).ok()?
            }
        };
        self.made.insert(id, value);
        Some(value)
    }

    /// What the scores read besides: computed within where that is cheap or has a value for each score, otherwise an argument.
    fn inline(&mut self, id: NodeId) -> Option<NodeId> {
        if let Some(&made) = self.made.get(&id) {
            return Some(made);
        }
        let node = &self.region[id];
        let value = match &node.kind {
            Kind::Op(op @ Op::Lookup(_)) if self.belongs_within(id) => {
                let table = self.table(node.operands[0]);
                let index = self.inline(node.operands[1])?;
                self.out.try_op(self.axes, op.clone(), &[table, index]).ok()?
            }
            Kind::Op(op) if is_inline(op) && self.belongs_within(id) => {
                let operands = node.operands.iter().map(|&o| self.inline(o)).collect::<Option<Vec<_>>>()?;
                self.out.try_op(self.axes, op.clone(), &operands).ok()?
            }
            _ => self.argument(id),
        };
        self.made.insert(id, value);
        Some(value)
    }

    /// What is looked up is in memory.
    fn table(&mut self, id: NodeId) -> NodeId {
        if let Some(&made) = self.made.get(&id) {
            return made;
        }
        let value = self.argument(id);
        self.made.insert(id, value);
        value
    }

    fn belongs_within(&self, id: NodeId) -> bool {
        let node = &self.region[id];
        // A rename is free, and the argument is what lies beneath it.
        let pairs = node.ty.has(self.source) && self.varies_with_query(&node.ty);
        let renames = matches!(node.kind, Kind::Op(Op::Rename(..)));
        // Numbers of rows or of columns are arguments themselves, so that their gradients are sums of the scores' alone.
        let cheap = |w: Weight| !w.memory || w.work <= CHEAP && node.ty.elem != Elem::Float;
        renames || pairs || self.weight(id).is_some_and(cheap)
    }

    /// Whether a value has an axis of the queries that the keys lack.
    fn varies_with_query(&self, ty: &Type) -> bool {
        ty.axes.iter().any(|&a| self.queried.contains(&a))
    }

    /// The work for one place of a value that is computed within; none where a node on the way is no pointwise operator.
    fn weight(&self, id: NodeId) -> Option<Weight> {
        let node = &self.region[id];
        match &node.kind {
            Kind::Op(op) if is_inline(op) => {
                let own = match op {
                    Op::Map(op) => cost(*op),
                    Op::Random(..) => COSTLY,
                    _ => 0,
                };
                node.operands.iter().try_fold(Weight { work: own, memory: false }, |sum, &o| {
                    let w = self.weight(o)?;
                    (sum.work <= COSTLY * 8).then_some(Weight { work: sum.work + w.work, memory: sum.memory || w.memory })
                })
            }
            _ => Some(Weight { work: 1, memory: true }),
        }
    }
}

struct Weight {
    work: u32,
    memory: bool,
}

/// What an operator costs, in simple operations.
pub(super) fn cost(op: Elementwise) -> u32 {
    match op {
        Elementwise::EXP
        | Elementwise::LOG
        | Elementwise::LOG1P
        | Elementwise::TANH
        | Elementwise::ERF
        | Elementwise::SIN
        | Elementwise::COS
        | Elementwise::POW
        | Elementwise::DIV
        | Elementwise::SQRT => COSTLY,
        _ => 1,
    }
}
