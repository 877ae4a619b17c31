//! Which loops a body of elementwise work and reductions gets.
//!
//! *Rows* are the axes that all reductions keep; for each row, *passes* over other axes follow one another, each computing the
//! reductions that need only earlier ones, and a last pass stores what has more axes than a row. Vectors lie along the last axis
//! of the passes, or, where memory is contiguous along a kept axis, along that one (*columns*).

use std::collections::BTreeSet;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::types::Axis;

use crate::graph::{Kind, NodeId};
use crate::schedule::simplify::Problem;
use crate::schedule::{Machine, Unschedulable, is_reduction};

/// Elements that a tile handles, about: enough to pay for handing it out, few enough for the second-level cache.
const TILE: i64 = 16 * 1024;
/// The longest row to which further axes are added.
const SHORT: i64 = 1024;
/// The longest row of which values are kept in scratch memory from pass to pass.
const BUFFER: i64 = 16 * 1024;

/// A walk over some axes for one row (or some vectors of rows).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    /// Loops, outermost first; vectors lie along the last, save in columns.
    pub axes: Vec<Axis>,
    /// What it computes.
    pub reductions: Vec<NodeId>,
    /// Results it stores, by number.
    pub outputs: Vec<usize>,
    /// Costly values that a later pass needs again, to be kept in scratch memory.
    pub kept: Vec<NodeId>,
    /// Vectors in flight along the last axis.
    pub unroll: u16,
}

/// The loops of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Row axes, outermost first.
    pub rows: Vec<Axis>,
    /// Rows of a tile.
    pub row_block: i64,
    /// The row axis along which vectors lie, and how many vectors a tile has.
    pub column: Option<(Axis, u16)>,
    /// How the last axis of the passes is cut into tiles, where there is nothing to reduce.
    pub split: Option<(Axis, i64)>,
    /// What is walked for each row.
    pub passes: Vec<Pass>,
    /// Results with no axes beyond those of rows, by number.
    pub row_outputs: Vec<usize>,
}

impl Plan {
    /// Chooses loops.
    pub fn new(problem: &Problem, machine: &Machine) -> Result<Self, Unschedulable> {
        Chooser { problem, lanes: i64::from(machine.lanes) }.plan()
    }
}

struct Chooser<'a> {
    problem: &'a Problem,
    lanes: i64,
}

impl Chooser<'_> {
    fn plan(&self) -> Result<Plan, Unschedulable> {
        let body = &self.problem.body;
        let levels = self.levels();
        let reductions: Vec<NodeId> =
            body.iter().filter(|(_, n)| n.kind.op().is_some_and(is_reduction)).map(|(id, _)| id).collect();
        let mut rows: BTreeSet<Axis> = reductions.iter().flat_map(|&r| body[r].ty.axes.iter().copied()).collect();
        let mut column = None;
        if reductions.is_empty() {
            // Elementwise: a row is all but the axis of the vectors.
            rows = body.outputs.iter().flat_map(|&o| body[o].ty.axes.iter().copied()).collect();
            if let Some(lane) = self.best(rows.iter().copied()) {
                rows.remove(&lane);
                self.lengthen(lane, &mut rows);
            }
        }
        let mut passes = self.reduction_passes(&reductions, &levels, &rows)?;
        let row_outputs = self.place_outputs(&mut passes, &levels, &rows);
        if !reductions.is_empty() {
            let pass_axes = passes.iter().flat_map(|p| p.axes.iter().copied());
            let (along, across) = (self.best(pass_axes), self.best(rows.iter().copied()));
            let score = |axis: Option<Axis>| axis.map_or(0.0, |a| self.score(a));
            if let Some(lane) = across
                && score(across) > score(along)
            {
                column = Some((lane, self.columns(lane, reductions.len())));
                rows.remove(&lane);
            }
        }
        for pass in &mut passes {
            pass.axes = self.ordered(&pass.axes, column.is_none());
            let vectors = pass.axes.last().and_then(|&a| self.size(a)).map_or(4, |n| n / self.lanes);
            pass.unroll = match pass.reductions.len() {
                0 => 1,
                1 | 2 => vectors.clamp(1, 4) as u16,
                _ => vectors.clamp(1, 2) as u16,
            };
        }
        if column.is_none() {
            self.keep(&mut passes, &rows);
        }
        let rows = self.ordered(&rows.into_iter().collect::<Vec<_>>(), false);
        let walked = passes.iter().map(|p| self.problem.axes.volume(&p.axes).known()).max().unwrap_or(Some(1));
        let mut row_block = walked.map_or(4, |n| (TILE / n.max(1)).clamp(1, 1024));
        let mut split = None;
        if let ([pass], true) = (passes.as_slice(), reductions.is_empty())
            && let Some(&lane) = pass.axes.last()
            && walked.is_none_or(|n| n > TILE)
        {
            split = Some((lane, TILE));
        }
        if column.is_some() {
            row_block = 1;
        }
        Ok(Plan { rows, row_block, column, split, passes, row_outputs })
    }

    /// Takes short axes from the rows into the pass, as far as every result has them: a position on several row axes costs
    /// divisions, which a row of a few vectors does not pay for.
    fn lengthen(&self, lane: Axis, rows: &mut BTreeSet<Axis>) {
        let body = &self.problem.body;
        let everywhere = |axis: Axis| body.outputs.iter().all(|&o| body[o].ty.has(axis));
        let Some(mut length) = self.size(lane).filter(|_| everywhere(lane)) else { return };
        let order = self.ordered(&rows.iter().copied().collect::<Vec<_>>(), false);
        for &axis in order.iter().rev() {
            match self.size(axis) {
                Some(n) if n > 0 && everywhere(axis) && length * n <= SHORT => length *= n,
                _ => return,
            }
            rows.remove(&axis);
        }
    }

    /// Vectors of a tile along a kept axis: long stretches of each row of memory, but at least two tiles.
    fn columns(&self, lane: Axis, reductions: usize) -> u16 {
        let most = if reductions > 2 { 2 } else { 4 };
        self.size(lane).map_or(2, |n| (n / self.lanes / 2).clamp(1, most) as u16)
    }

    fn size(&self, axis: Axis) -> Option<i64> {
        self.problem.axes.size(axis).known()
    }

    /// How many reductions deep each node's value is.
    fn levels(&self) -> Vec<usize> {
        let mut levels = vec![0; self.problem.body.nodes.len()];
        for (id, node) in self.problem.body.iter() {
            let below = node.operands.iter().map(|o| levels[o.0 as usize]).max().unwrap_or(0);
            levels[id.0 as usize] = below + usize::from(node.kind.op().is_some_and(is_reduction));
        }
        levels
    }

    fn reduction_passes(
        &self,
        reductions: &[NodeId],
        levels: &[usize],
        rows: &BTreeSet<Axis>,
    ) -> Result<Vec<Pass>, Unschedulable> {
        let body = &self.problem.body;
        let mut passes: Vec<(usize, Pass)> = Vec::new();
        for &id in reductions {
            let over = match &body[id].kind {
                Kind::Op(Op::Reduce(_, over) | Op::Contract(over)) => over.clone(),
                Kind::Op(Op::ArgMax(axis)) => vec![*axis],
                kind => return Err(Unschedulable(format!("{kind:?} in loops"))),
            };
            if let Some(&axis) = over.iter().find(|a| rows.contains(a)) {
                let name = &self.problem.axes[axis].name;
                return Err(Unschedulable(format!("`{name}` is reduced by one reduction and kept by another")));
            }
            let axes: BTreeSet<Axis> = over.into_iter().collect();
            let axes: Vec<Axis> = axes.into_iter().collect();
            let level = levels[id.0 as usize];
            match passes.iter_mut().find(|(l, p)| *l == level && p.axes == axes) {
                Some((_, pass)) => pass.reductions.push(id),
                None => passes.push((level, Pass { axes, reductions: vec![id], ..Pass::default() })),
            }
        }
        passes.sort_by_key(|(level, _)| *level);
        Ok(passes.into_iter().map(|(_, pass)| pass).collect())
    }

    /// Gives each result a pass; those that belong to rows are returned. Nothing is stored before the last pass reads its
    /// arguments, so that a result may lie where an argument lay.
    fn place_outputs(&self, passes: &mut Vec<Pass>, levels: &[usize], rows: &BTreeSet<Axis>) -> Vec<usize> {
        let body = &self.problem.body;
        let beyond = |number: usize| -> Vec<Axis> {
            let axes = &body[body.outputs[number]].ty.axes;
            axes.iter().copied().filter(|a| !rows.contains(a)).collect()
        };
        let (wide, row): (Vec<usize>, Vec<usize>) = (0..body.outputs.len()).partition(|&o| !beyond(o).is_empty());
        let depth = passes.last().and_then(|p| p.reductions.first()).map(|r| levels[r.0 as usize]);
        let with_last = |o: &usize| {
            passes.last().is_some_and(|p| p.axes == beyond(*o))
                && depth.is_some_and(|d| levels[body.outputs[*o].0 as usize] < d)
        };
        if wide.iter().all(with_last) {
            if let Some(last) = passes.last_mut() {
                last.outputs = wide;
            }
            return row;
        }
        let first = passes.len();
        for number in wide {
            let axes = beyond(number);
            match passes[first..].iter_mut().find(|p| p.axes == axes) {
                Some(pass) => pass.outputs.push(number),
                None => passes.push(Pass { axes, outputs: vec![number], ..Pass::default() }),
            }
        }
        row
    }

    /// How much memory is contiguous along an axis, in a way: arrays that have it innermost count by their rank, results twice,
    /// and less where the axis does not fill a vector. An array whose innermost axis is renamed counts under the new name.
    fn score(&self, axis: Axis) -> f64 {
        let renamed = |inner: Axis| self.problem.body.nodes.iter().any(|n| n.kind == Kind::Op(Op::Rename(inner, axis)));
        let side = |layouts: &[crate::schedule::Layout], weight: f64| -> f64 {
            let innermost = layouts.iter().filter(|l| l.0.last().is_some_and(|&inner| inner == axis || renamed(inner)));
            innermost.map(|l| weight * l.0.len() as f64).sum()
        };
        let filled = self.size(axis).map_or(1.0, |n| (n as f64 / self.lanes as f64).min(1.0));
        (side(&self.problem.inputs, 1.0) + side(&self.problem.outputs, 2.0)) * filled
    }

    /// The axis best for vectors; of equals the innermost of the first result, then the longest known.
    fn best(&self, axes: impl Iterator<Item = Axis>) -> Option<Axis> {
        let innermost = self.problem.outputs.first().and_then(|l| l.0.last().copied());
        axes.max_by(|&a, &b| {
            let rank = |x: Axis| (self.score(x), innermost == Some(x), self.size(x).unwrap_or(i64::MAX));
            rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal).then(b.cmp(&a))
        })
    }

    /// Loops in the order of memory; the axis of the vectors last where `vectors`.
    fn ordered(&self, axes: &[Axis], vectors: bool) -> Vec<Axis> {
        let mut layouts: Vec<_> = self.problem.outputs.iter().chain(&self.problem.inputs).collect();
        layouts.sort_by_key(|l| std::cmp::Reverse(l.0.len()));
        let mut order: Vec<Axis> = Vec::new();
        for axis in layouts.iter().flat_map(|l| l.0.iter().copied()).chain(axes.iter().copied()) {
            if axes.contains(&axis) && !order.contains(&axis) {
                order.push(axis);
            }
        }
        if let (true, Some(lane)) = (vectors, self.best(axes.iter().copied())) {
            order.retain(|&a| a != lane);
            order.push(lane);
        }
        order
    }

    /// Finds costly values of a pass that a later pass over the same axes needs.
    fn keep(&self, passes: &mut [Pass], rows: &BTreeSet<Axis>) {
        let needed: Vec<BTreeSet<NodeId>> = passes.iter().map(|p| self.costly(p, rows)).collect();
        for early in 0..passes.len() {
            let small = self.problem.axes.volume(&passes[early].axes).known().is_some_and(|n| n <= BUFFER);
            if !small {
                continue;
            }
            let already: BTreeSet<NodeId> = passes[..early].iter().flat_map(|p| p.kept.iter().copied()).collect();
            let again = |id: &NodeId| {
                !already.contains(id)
                    && (early + 1..passes.len())
                        .any(|late| passes[late].axes == passes[early].axes && needed[late].contains(id))
            };
            passes[early].kept = needed[early].iter().copied().filter(again).collect();
        }
    }

    /// The costly nodes that a pass evaluates at its own positions.
    fn costly(&self, pass: &Pass, rows: &BTreeSet<Axis>) -> BTreeSet<NodeId> {
        let body = &self.problem.body;
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<NodeId> = pass.outputs.iter().map(|&o| body.outputs[o]).collect();
        open.extend(pass.reductions.iter().flat_map(|&r| body[r].operands.iter().copied()));
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = &body[id];
            let all = pass.axes.iter().all(|&a| node.ty.has(a));
            let own = node.ty.axes.iter().all(|a| rows.contains(a) || pass.axes.contains(a));
            match &node.kind {
                Kind::Op(Op::Map(op)) => {
                    if all && own && is_costly(*op) {
                        found.insert(id);
                    }
                    open.extend(&node.operands);
                }
                Kind::Op(Op::Cast(_) | Op::StopGradient) => open.extend(&node.operands),
                _ => {}
            }
        }
        found
    }
}

fn is_costly(op: Elementwise) -> bool {
    use Elementwise as E;
    [E::EXP, E::LOG, E::LOG1P, E::SIN, E::COS, E::TANH, E::ERF, E::POW].contains(&op)
}
