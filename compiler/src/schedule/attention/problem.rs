//! What an attention's axes and nodes are to its kernel.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Type};

use super::bounds::Bounds;
use crate::graph::{Kind, NodeId, Region};
use crate::kernel::{Dtype, Reg, Writer};
use crate::passes::attention::{Gathered, gathered, shape};
use crate::schedule::{Env, Exprs, Layout, Machine, Position, Unschedulable, dtype};

/// Rows of a block of a derivative.
pub const ROWS: u32 = 32;
/// Rows of a tile of an attention at most: keys and values are packed once for all of them.
const TALL: u32 = 128;
/// Vectors of sources of a block.
pub const VECTORS: u32 = 6;
/// Vectors of sources of which keys and values are packed at a time.
const CHUNK: u32 = 32;
/// Of a derivative's: its rows are packed again for each.
const WIDE: u32 = 8;
/// Vectors of a register block.
pub const WIDTH: u32 = 2;
/// A band has as many rows as two vectors have lanes at most: what one sees is a whole number of such runs.
const _: () = assert!(VECTORS.is_multiple_of(WIDTH) && CHUNK.is_multiple_of(WIDTH) && WIDE.is_multiple_of(WIDTH));

/// Weights below are taken for 0, 2⁻⁸⁰: next to the others of a row, whose sum is 1 or more, they are nothing, and arithmetic on what
/// comes of them, which is no normal number, takes a processor a hundred times as long.
pub const LEAST: f64 = 8.271_806_125_530_277e-25;

/// The parts of an attention.
#[derive(Debug)]
pub struct Problem<'a> {
    /// The nodes.
    pub body: &'a Region,
    /// Their axes.
    pub axes: &'a Axes,
    /// Lanes of a vector.
    pub lanes: u16,
    /// Rows of a register block.
    pub mr: u32,
    /// Queries, keys, values as the body reads them.
    pub qkv: [NodeId; 3],
    /// Queries times keys.
    pub product: NodeId,
    /// What the softmax is of.
    pub score: NodeId,
    /// Axes of the keys, outermost first: a head's keys are shared along the others.
    pub outer: Vec<Axis>,
    /// Axes of the queries alone, but for the rows.
    pub members: Vec<Axis>,
    /// The axis of rows in a block.
    pub time: Axis,
    /// The axis of the softmax.
    pub source: Axis,
    /// Queries and keys are contracted over it; its size.
    pub key: (Axis, u32),
    /// Of the values; its size.
    pub value: (Axis, u32),
    /// Which sources a row can see.
    pub bounds: Bounds,
}

/// Nodes of a derivative.
#[derive(Debug)]
pub struct Roles {
    /// The weights, from scores and their log-sum-exp.
    pub weights: NodeId,
    /// The cotangent of the product.
    pub slope: NodeId,
    /// The result's cotangent times the values.
    pub rise: NodeId,
    /// The result's cotangent times the result.
    pub delta: NodeId,
    /// The result as the body reads it.
    pub output: NodeId,
    /// Its cotangent.
    pub cotangent: NodeId,
    /// Gradients of what the scores read besides: the results after the first three.
    pub gathered: Vec<Gathered>,
}

impl Roles {
    /// What is evaluated for each score.
    pub fn roots(&self) -> Vec<NodeId> {
        let gathered =
            self.gathered.iter().flat_map(|g| [Some(g.part), g.times, g.place.map(|p| p.1)].into_iter().flatten());
        [self.weights, self.slope].into_iter().chain(gathered).collect()
    }
}

fn fault<T>(why: &str) -> Result<T, Unschedulable> {
    Err(Unschedulable(format!("attention: {why}")))
}

impl<'a> Problem<'a> {
    /// Of an attention's body.
    pub fn forward(body: &'a Region, axes: &'a Axes, outputs: &[Layout], machine: &Machine) -> Result<Self, Unschedulable> {
        let Some(s) = shape(body) else { return fault("the body has another form") };
        let names = [s.source, s.key, s.value];
        Self::new(body, axes, outputs, machine, [s.queries, s.keys, s.values], (s.product, s.score), names)
    }

    /// Of the body of a derivative: results are the gradients of queries, keys and values.
    pub fn backward(
        body: &'a Region,
        axes: &'a Axes,
        outputs: &[Layout],
        machine: &Machine,
    ) -> Result<(Self, Roles), Unschedulable> {
        match Self::parts(body) {
            Some(((qkv, nodes, names), roles)) => Ok((Self::new(body, axes, outputs, machine, qkv, nodes, names)?, roles)),
            None => fault("the derivative's body has another form"),
        }
    }

    #[allow(clippy::type_complexity)] // what `new` takes, and the roles
    fn parts(body: &Region) -> Option<(([NodeId; 3], (NodeId, NodeId), [Axis; 3]), Roles)> {
        let contract = |id: NodeId| match (&body[id].kind, body[id].operands.as_slice()) {
            (Kind::Op(Op::Contract(over)), &[a, b]) => Some((over.as_slice(), a, b)),
            _ => None,
        };
        let map = |id: NodeId, op: Elementwise| match &body[id].kind {
            Kind::Op(Op::Map(own)) if *own == op => Some(body[id].operands.as_slice()),
            _ => None,
        };
        let &[dq, _, dv, ref further @ ..] = body.outputs.as_slice() else { return None };
        let (over, slope, keys) = contract(beneath(body, dq))?;
        let &[source] = over else { return None };
        let (_, weights, cotangent) = contract(beneath(body, dv))?;
        let shifted = *map(*map(weights, Elementwise::SELECT)?.get(2)?, Elementwise::EXP)?.first()?;
        let score = *map(shifted, Elementwise::SUB)?.first()?;
        let argument = |id: NodeId| match body[beneath(body, id)].kind {
            Kind::Argument(number) => Some(number as usize),
            _ => None,
        };
        let count = body.arguments.len();
        let found = body.iter().find_map(|(id, _)| {
            let (over, q, k) = contract(id)?;
            (argument(q) == Some(0) && k == keys && over.len() == 1).then_some((id, over[0], q))
        });
        let (product, key, queries) = found?;
        let of_cotangent = |with_source: bool| {
            body.iter().find_map(|(id, node)| {
                let (over, g, other) = contract(id)?;
                (g == cotangent && over.len() == 1 && node.ty.has(source) == with_source && id != beneath(body, dv))
                    .then_some((id, over[0], other))
            })
        };
        let (rise, value, values) = of_cotangent(true)?;
        let (delta, _, output) = of_cotangent(false)?;
        (argument(values) == Some(2) && argument(output)? + 3 == count && argument(cotangent)? + 1 == count).then_some(())?;
        let gathered = further.iter().map(|&o| gathered(body, o)).collect::<Option<_>>()?;
        let roles = Roles { weights, slope, rise, delta, output, cotangent, gathered };
        Some((([queries, keys, values], (product, score), [source, key, value]), roles))
    }

    fn new(
        body: &'a Region,
        axes: &'a Axes,
        outputs: &[Layout],
        machine: &Machine,
        qkv: [NodeId; 3],
        (product, score): (NodeId, NodeId),
        [source, key, value]: [Axis; 3],
    ) -> Result<Self, Unschedulable> {
        let ty = |id: NodeId| &body[id].ty;
        let length = |axis: Axis| axes.size(axis).known().and_then(|n| u32::try_from(n).ok());
        let (Some(keys), Some(values)) = (length(key), length(value)) else {
            return fault("the size of keys and values is not known");
        };
        // As results lie, so that neighbouring tiles write neighbouring memory.
        let order = outputs.first().map(|l| l.0.clone()).unwrap_or_default();
        let place = |a: &Axis| order.iter().position(|o| o == a).unwrap_or(usize::MAX);
        let sorted = |mut axes: Vec<Axis>| {
            axes.sort_by_key(place);
            axes
        };
        let outer = sorted(ty(qkv[1]).without(&[source, key]).axes);
        let mut members = sorted(ty(qkv[0]).without(&outer).without(&[key]).axes);
        let bounds = |time: Axis| Bounds::of(body, score, &outer, time, source);
        // Rows are what bounds speak of; otherwise the longest axis, one whose length is not known first.
        let size = |a: &Axis| axes.size(*a).known().unwrap_or(i64::MAX);
        let bounded = members.iter().rev().find(|&&a| !bounds(a).is_empty());
        let Some(time) = bounded.or(members.iter().rev().max_by_key(|a| size(a))).copied() else {
            return fault("there is no axis of queries");
        };
        members.retain(|&a| a != time);
        let own = |id: NodeId, but: Axis| sorted(ty(id).without(&[source, but]).axes);
        if own(qkv[2], value) != outer || !outer.iter().all(|&a| ty(qkv[0]).has(a)) {
            return fault("keys and values are shared in different ways");
        }
        let bounds = bounds(time);
        Ok(Self {
            body,
            axes,
            lanes: machine.lanes,
            mr: if machine.registers >= 32 { 8 } else { 4 },
            qkv,
            product,
            score,
            outer,
            members,
            time,
            source,
            key: (key, keys),
            value: (value, values),
            bounds,
        })
    }

    /// Sources of a block.
    pub fn columns(&self) -> u32 {
        VECTORS * u32::from(self.lanes)
    }

    /// Sources of which keys and values are packed at a time.
    pub fn chunk(&self) -> u32 {
        CHUNK * u32::from(self.lanes)
    }

    /// Sources of a block of a derivative.
    pub fn wide(&self) -> u32 {
        WIDE * u32::from(self.lanes)
    }

    /// Rows that are looked at together: of so many a vector has one number each.
    pub fn band(&self) -> u32 {
        self.mr.max(u32::from(self.lanes))
    }

    /// Rows of a tile of an attention: as many of a head's in each, in whole bands.
    pub fn rows(&self) -> u32 {
        let known = self.axes.size(self.time).known().and_then(|n| u32::try_from(n).ok()).unwrap_or(TALL).max(1);
        known.div_ceil(known.div_ceil(TALL)).next_multiple_of(self.band())
    }

    /// A number of elements, rounded up to whole vectors.
    pub fn whole(&self, elements: u32) -> u32 {
        elements.next_multiple_of(u32::from(self.lanes))
    }

    /// The dtypes of the kernel's arguments.
    pub fn arguments(&self) -> Vec<Dtype> {
        let results = self.body.results();
        self.body.arguments.iter().chain(&results).map(|ty: &Type| dtype(ty)).collect()
    }

    /// How many places some axes have.
    pub fn volume(&self, of: &[Axis]) -> Size {
        self.axes.volume(of)
    }

    /// Positions on some axes of a place by its number, the last axis innermost.
    pub fn located(&self, w: &mut Writer, e: &mut Exprs, of: &[Axis], number: Reg, env: &Env) -> Env {
        let mut env = env.clone();
        let mut rest = number;
        for (i, &axis) in of.iter().enumerate().rev() {
            if i == 0 {
                env.set(axis, Position::Scalar(rest));
                break;
            }
            let size = e.extent(w, axis);
            env.set(axis, Position::Scalar(w.map(Elementwise::MOD, &[rest, size])));
            rest = w.map(Elementwise::IDIV, &[rest, size]);
        }
        env
    }

    /// Which of a block's sources so many rows from `row` can see: the first, and the first beyond, counted from the block's own.
    pub fn seen(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        env: &Env,
        (row, rows): (Reg, u32),
        (from, count): (Reg, Reg),
    ) -> (Reg, Reg) {
        let zero = w.int(0);
        if self.bounds.is_empty() {
            return (zero, count);
        }
        let more = w.int(i64::from(rows - 1));
        let (last, to) = (w.add(row, more), w.add(from, count));
        let (start, end) = (self.bounds.start(w, e, env, row), self.bounds.end(w, e, env, last, to));
        let (start, end) = (w.sub(start, from), w.sub(end, from));
        (w.map(Elementwise::MAX, &[start, zero]), w.map(Elementwise::MAX, &[end, zero]))
    }

    /// The vectors of a block of sources that a band from `row` sees, in runs of a band's length, so that what one of the band's
    /// rows sees of such a run is all there.
    pub fn seen_by_band(&self, w: &mut Writer, e: &mut Exprs, env: &Env, row: Reg, range: (Reg, Reg)) -> (Reg, Reg) {
        let (from, to) = self.seen(w, e, env, (row, self.band()), range);
        let (from, to) = runs(w, self.band(), (from, to));
        let size = e.extent(w, self.source);
        let left = w.sub(size, range.0);
        let (_, all) = runs(w, self.lanes.into(), (from, left));
        let by = w.int(i64::from(self.band() / u32::from(self.lanes)));
        let (from, to) = (w.mul(from, by), w.mul(to, by));
        (from, w.map(Elementwise::MIN, &[to, all]))
    }

    /// Bands of a block of rows, from the first: each one's first row, and how many rows it has.
    pub fn bands(&self, w: &mut Writer, rows: Reg, each: impl FnOnce(&mut Writer, Reg, Reg)) {
        let (zero, band) = (w.int(0), w.int(i64::from(self.band())));
        w.repeat((zero, rows, self.band()), &[], |w, row, _| {
            let left = w.sub(rows, row);
            let rows = w.map(Elementwise::MIN, &[left, band]);
            each(w, row, rows);
            Vec::new()
        });
    }

    /// The positions of a vector of sources from `at`, which is a multiple of the lanes; lanes beyond the end masked.
    pub fn sources(&self, w: &mut Writer, e: &mut Exprs, at: Reg, env: &Env) -> Env {
        let at = Position::Lanes(at);
        let mut env = env.with(self.source, at);
        if self.axes.size(self.source).known().is_none_or(|n| n % i64::from(self.lanes) != 0) {
            let (places, size) = (at.places(w, self.lanes), e.extent(w, self.source));
            env.mask = Some(w.map(Elementwise::LT, &[places, size]));
        }
        env
    }
}

/// The first run of `length` that holds one of the elements `from..to`, and the first beyond that holds none.
pub fn runs(w: &mut Writer, length: u32, (from, to): (Reg, Reg)) -> (Reg, Reg) {
    let (most, by) = (w.int(i64::from(length - 1)), w.int(i64::from(length)));
    let up = w.add(to, most);
    (w.map(Elementwise::IDIV, &[from, by]), w.map(Elementwise::IDIV, &[up, by]))
}

/// The value that a chain of renames shows.
pub fn beneath(body: &Region, mut id: NodeId) -> NodeId {
    while let Kind::Op(Op::Rename(..)) = body[id].kind {
        id = body[id].operands[0];
    }
    id
}

/// What an axis of a value is called beneath a chain of renames.
pub fn underneath(body: &Region, mut id: NodeId, mut axis: Axis) -> Axis {
    while let Kind::Op(Op::Rename(from, to)) = body[id].kind {
        axis = if axis == to { from } else { axis };
        id = body[id].operands[0];
    }
    axis
}
