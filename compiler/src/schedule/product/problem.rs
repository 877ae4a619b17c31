//! What a product is: which axes play which role, and which way its operands lie.

use std::collections::HashSet;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis};

use super::group::Group;
use crate::graph::{Kind, NodeId, Region};
use crate::passes::grouped::segments;
use crate::schedule::{Layout, Unschedulable};

/// The axis along which an operand is read in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The summed dimension.
    Sum,
    /// The operand's own dimension: rows of the first, columns of the second.
    Own,
}

/// Where a product is there: for each place of the batch, one run of the rows or of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether the run is one of rows; otherwise of the sum.
    pub of_rows: bool,
    /// Where it begins.
    pub from: NodeId,
    /// Where it ends.
    pub to: NodeId,
}

/// A product `C[batch, rows, columns] = Σ_sum A[batch, rows, sum] · B[batch, sum, columns]`, vectors along columns.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The contraction.
    pub node: NodeId,
    /// The operand with the rows.
    pub a: NodeId,
    /// The operand with the columns.
    pub b: NodeId,
    /// Axes of both operands that are kept.
    pub batch: Group,
    /// Axes of `a` alone.
    pub rows: Group,
    /// Axes of `b` alone.
    pub columns: Group,
    /// Axes summed over.
    pub sum: Group,
    /// How `a` is read.
    pub a_along: Along,
    /// How `b` is read.
    pub b_along: Along,
    /// Whether evaluating `b` is more than reading it.
    pub b_heavy: bool,
    /// The part that is there, where that is not all.
    pub segment: Option<Segment>,
    /// The argument that `a` is, and how that lies, where it is one read as it lies, contiguous along the sum.
    pub a_plain: Option<(u32, Layout)>,
    /// The argument that `b` is, where it is one as it lies, contiguous along columns and then sum or the other way about.
    pub b_plain: Option<u32>,
}

/// The most rows for which a product is one of a few rows.
const FEW: i64 = 4;

/// The longest rows that are read where they lie: a block of longer ones is spread over too many pages of memory.
const NEAR: i64 = 4096;

impl Problem {
    /// Where the rows lie that need not be packed: they are read a place of the sum at a time.
    pub fn rows_in_place(&self) -> Option<(u32, &Layout)> {
        let near = self.few().is_some() || self.sum.volume().known().is_some_and(|n| n <= NEAR);
        let near = near && self.a_along == Along::Sum;
        self.a_plain.as_ref().filter(|_| near).map(|(argument, layout)| (*argument, layout))
    }

    /// How many rows, where they are known to be few.
    pub fn few(&self) -> Option<u32> {
        let known = self.rows.volume().known().filter(|_| self.segment.is_none());
        known.filter(|n| (1..=FEW).contains(n)).map(|n| n as u32)
    }
}

/// An argument with the product's names for the axes of its layout, where they are the product's.
type Read = Vec<Option<Axis>>;

/// Finds the product of a body.
///
/// # Errors
/// Where there is not exactly one contraction.
pub fn analyse(body: &Region, axes: &Axes, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem, Unschedulable> {
    let mut products = body.iter().filter_map(|(id, n)| match &n.kind {
        Kind::Op(Op::Contract(over)) => Some((id, over.clone(), n)),
        _ => None,
    });
    let (Some((node, over, product)), None) = (products.next(), products.next()) else {
        return Err(Unschedulable("a product has one contraction".into()));
    };
    let [first, second] = product.operands[..] else {
        return Err(Unschedulable("a contraction has two operands".into()));
    };
    let kept = &product.ty.axes;
    let only = |x: NodeId, y: NodeId| kept.iter().copied().filter(move |&k| body[x].ty.has(k) && !body[y].ty.has(k));
    let order = outputs.first().map(|o| o.0.clone()).unwrap_or_default();
    // Vectors go along columns, so the result's innermost axis should be one of them.
    let swapped = order.iter().rev().find(|o| kept.contains(o)).is_some_and(|o| only(first, second).any(|x| x == *o));
    let (a, b) = if swapped { (second, first) } else { (first, second) };

    let mut reader = Reader { body, inputs, product: node, reads: Vec::new(), seen: HashSet::new(), rigid: Vec::new() };
    reader.visit(a, identity(&body[a].ty.axes));
    let of_a = reader.reads.len();
    reader.seen.clear();
    reader.visit(b, identity(&body[b].ty.axes));
    let of_b = reader.reads.len();
    for &output in &body.outputs {
        reader.visit(output, identity(kept));
    }
    let (mut reads, rigid) = (reader.reads, reader.rigid);
    let (reads_a, reads_b) = (reads[..of_a].to_vec(), reads[of_a..of_b].to_vec());
    reads.extend(outputs.iter().map(|o| o.0.iter().copied().map(Some).collect::<Read>()));

    let joined = |outer: Axis, inner: Axis| {
        !rigid.contains(&outer) && !rigid.contains(&inner) && reads.iter().all(|r| side_by_side(r, outer, inner))
    };
    let sums = widest(&reads_a, &over).or_else(|| widest(&reads_b, &over)).unwrap_or_default();
    let segments = segments(body, node).filter(|s| {
        // Runs of columns are not walked; and what is cut into runs is cut along one axis alone.
        let rows: Vec<Axis> = only(a, b).collect();
        if over.contains(&s.group) { s.masked == a && rows == [s.slot] } else { over == [s.slot] }
    });
    let segmented = segments.as_ref().map(|s| s.group);
    let group = |wanted: Vec<Axis>, order: &[Axis]| Group::new(axes, &ordered(wanted, order), joined);
    let apart = |wanted: Vec<Axis>| wanted.into_iter().filter(|&x| Some(x) != segmented).collect::<Vec<_>>();
    let both = kept.iter().copied().filter(|&k| body[a].ty.has(k) && body[b].ty.has(k)).chain(segmented).collect();
    let (batch, rows, columns) =
        (group(both, &order), group(apart(only(a, b).collect()), &order), group(apart(only(b, a).collect()), &order));
    let sum = group(apart(over.clone()), &sums);
    let (a_along, b_along) = (along(&reads_a, &rows, &sum), along(&reads_b, &columns, &sum));
    let b_plain = plain(body, b).filter(|_| segments.is_none() && reads_b.len() == 1 && lies(&reads_b[0], &columns, &sum));
    let one_run = rows.runs.len() < 2 && segments.is_none() && reads_a.len() == 1;
    let a_plain = plain(body, a).filter(|_| one_run).and_then(|argument| {
        let layout: Vec<Axis> = reads_a[0].iter().copied().collect::<Option<_>>()?;
        let innermost: Vec<Axis> = sum.runs.iter().flat_map(|run| run.axes.iter().copied()).collect();
        layout.ends_with(&innermost).then_some((argument, Layout(layout)))
    });
    let b_heavy = is_heavy(body, b);
    let mut problem =
        Problem { node, a, b, batch, rows, columns, sum, a_along, b_along, b_heavy, segment: None, a_plain, b_plain };
    if problem.few().is_some() {
        problem.a_along = Along::Sum;
    }
    if let Some(s) = segments {
        let of_rows = over.contains(&s.group);
        problem.segment = Some(Segment { of_rows, from: s.from, to: s.to });
        // A run begins anywhere, so vectors do not lie along it.
        problem.a_along = if of_rows { Along::Sum } else { Along::Own };
        problem.b_along = if of_rows { problem.b_along } else { Along::Own };
        let there = if s.masked == a { &mut problem.a } else { &mut problem.b };
        *there = s.value;
    }
    Ok(problem)
}

/// Whether an expression does more than read a value or two.
fn is_heavy(body: &Region, root: NodeId) -> bool {
    let (mut seen, mut open) = (HashSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        let free =
            matches!(body[id].kind, Kind::Argument(_) | Kind::Op(Op::Constant(..) | Op::Rename(..) | Op::StopGradient));
        if free || seen.insert(id) {
            open.extend(&body[id].operands);
        }
    }
    seen.len() > 2
}

/// The argument that a node shows, where nothing else reads it.
fn plain(body: &Region, mut node: NodeId) -> Option<u32> {
    let uses = body.uses();
    loop {
        match body[node].kind {
            _ if uses[node.0 as usize] != 1 => return None,
            Kind::Argument(number) => return Some(number),
            Kind::Op(Op::Rename(..)) => node = body[node].operands[0],
            _ => return None,
        }
    }
}

/// Whether a read goes over the columns and then the sum, or the other way about, without a gap.
fn lies(read: &Read, columns: &Group, sum: &Group) -> bool {
    let all = |first: &Group, second: &Group| {
        let axes = first.runs.iter().chain(&second.runs).flat_map(|run| run.axes.iter().copied());
        axes.map(Some).eq(read.iter().copied())
    };
    all(columns, sum) || all(sum, columns)
}

fn identity(axes: &[Axis]) -> Vec<(Axis, Axis)> {
    axes.iter().map(|&a| (a, a)).collect()
}

/// Whether two axes lie side by side in a buffer, or are both not in it.
fn side_by_side(read: &Read, outer: Axis, inner: Axis) -> bool {
    let find = |axis: Axis| read.iter().position(|r| *r == Some(axis));
    match (find(outer), find(inner)) {
        (None, None) => true,
        (Some(o), Some(i)) => o + 1 == i,
        _ => false,
    }
}

/// The wanted axes, in an order that may lack some of them.
fn ordered(mut wanted: Vec<Axis>, order: &[Axis]) -> Vec<Axis> {
    wanted.sort_by_key(|a| order.iter().position(|o| o == a).map_or((0, a.0), |at| (1, at as u32)));
    wanted
}

/// The order of axes in the read that has most of them.
fn widest(reads: &[Read], axes: &[Axis]) -> Option<Vec<Axis>> {
    let within = reads.iter().map(|r| r.iter().flatten().copied().filter(|a| axes.contains(a)).collect::<Vec<_>>());
    within.filter(|r| !r.is_empty()).max_by_key(Vec::len)
}

/// The way most of what an operand reads lies.
fn along(reads: &[Read], own: &Group, sum: &Group) -> Along {
    let votes = |inner: Option<Axis>| -> usize {
        let lies = |r: &&Read| inner.is_some() && r.last().copied().flatten() == inner;
        reads.iter().filter(lies).map(|r| 1usize << (3 * r.len()).min(60)).fold(0, usize::saturating_add)
    };
    if votes(own.inner()) > votes(sum.inner()) { Along::Own } else { Along::Sum }
}

/// Follows a body from what it gives to what it reads.
struct Reader<'a> {
    body: &'a Region,
    inputs: &'a [Layout],
    product: NodeId,
    reads: Vec<Read>,
    seen: HashSet<(NodeId, Vec<(Axis, Axis)>)>,
    /// Axes whose positions are used otherwise than for an address.
    rigid: Vec<Axis>,
}

impl Reader<'_> {
    /// `names` maps axes of the node to the product's.
    fn visit(&mut self, id: NodeId, names: Vec<(Axis, Axis)>) {
        let node = &self.body[id];
        let name = |axis: Axis| names.iter().find(|(own, _)| *own == axis).map(|&(_, name)| name);
        if id == self.product || !self.seen.insert((id, names.clone())) {
            return;
        }
        if let Kind::Argument(number) = node.kind {
            let layout = self.inputs.get(number as usize).map(|l| l.0.as_slice()).unwrap_or_default();
            self.reads.push(layout.iter().map(|&a| name(a)).collect());
            return;
        }
        let mut hidden = Vec::new();
        let mut inner = names.clone();
        match &node.kind {
            Kind::Op(Op::Rename(from, to)) => {
                inner.retain(|(own, _)| own != from);
                for (own, _) in &mut inner {
                    if own == to {
                        *own = *from;
                    }
                }
            }
            Kind::Op(Op::Map(_) | Op::Cast(_) | Op::StopGradient | Op::Constant(..) | Op::Extent(_)) => {}
            kind => {
                self.rigid.extend(node.ty.axes.iter().filter_map(|&a| name(a)));
                if let Kind::Op(op) = kind {
                    hidden = hidden_axes(op);
                }
            }
        }
        for &operand in &node.operands {
            let ty = &self.body[operand].ty;
            let names = inner.iter().copied().filter(|(own, _)| ty.has(*own) && !hidden.contains(own)).collect();
            self.visit(operand, names);
        }
    }
}

/// Axes of a moving operator's operands that are not its result's.
fn hidden_axes(op: &Op) -> Vec<Axis> {
    match op {
        Op::Split(axis, _) | Op::Slice(axis, ..) | Op::Pad(axis, ..) | Op::Insert(axis, ..) | Op::Lookup(axis) => {
            vec![*axis]
        }
        Op::Merge(parts, _) | Op::Concat(parts, _) => parts.clone(),
        _ => Vec::new(),
    }
}
