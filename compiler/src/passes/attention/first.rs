//! A product that scores take at the first few sources alone is computed at those alone: its scores are then a table that has no more
//! places than those, which the kernel looks up, in place of a square.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem};

use crate::graph::{Kind, NodeId, Region, RegionBuilder, Scan};

/// So many sources at most: a table of more is no smaller than the square of many a text.
const MOST: i64 = 256;

/// Brings such products of a region, and of the regions within, into tables.
pub(super) fn tabulate(axes: &mut Axes, source: &Region) -> Region {
    let uses = source.uses();
    let mut out = RegionBuilder::new();
    let arguments: Vec<NodeId> = source.arguments.iter().map(|ty| out.argument(ty.clone())).collect();
    let mut new: Vec<NodeId> = Vec::with_capacity(source.nodes.len());
    for (id, node) in source.iter() {
        let mut operands: Vec<NodeId> = node.operands.iter().map(|o| new[o.0 as usize]).collect();
        if let Some((along, first)) = chosen(source, &uses, id) {
            let product = node.operands[2];
            let table = table(axes, source, &mut out, &new, product, along, first);
            operands[2] = table.unwrap_or(operands[2]);
        }
        new.push(match &node.kind {
            Kind::Argument(number) => arguments[*number as usize],
            Kind::Scan(scan) => {
                let scan = Scan { body: tabulate(axes, &scan.body), ..(**scan).clone() };
                out.node(Kind::Scan(Box::new(scan)), operands, node.ty.clone())
            }
            kind => out.node(kind.clone(), operands, node.ty.clone()),
        });
    }
    out.finish(source.outputs.iter().map(|o| new[o.0 as usize]).collect())
}

/// Of a choice between two products, the second of which is read by nothing else: the axis of the sources and how many, the first, it
/// may take from the second.
fn chosen(region: &Region, uses: &[u32], id: NodeId) -> Option<(Axis, i64)> {
    let is_product = |id: NodeId| matches!(region[id].kind, Kind::Op(Op::Contract(_)));
    let Kind::Op(Op::Map(Elementwise::SELECT)) = region[id].kind else { return None };
    let &[condition, other, product] = region[id].operands.as_slice() else { return None };
    if !is_product(other) || !is_product(product) || uses[product.0 as usize] != 1 {
        return None;
    }
    behind(region, condition).filter(|(axis, first)| (1..=MOST).contains(first) && region[product].ty.has(*axis))
}

/// The least place on an axis from which on a condition holds whatever else, and the axis.
fn behind(region: &Region, id: NodeId) -> Option<(Axis, i64)> {
    match (&region[id].kind, region[id].operands.as_slice()) {
        (Kind::Op(Op::Map(Elementwise::OR)), &[a, b]) => behind(region, a).or_else(|| behind(region, b)),
        (Kind::Op(Op::Map(Elementwise::LE)), &[least, place]) => {
            let Kind::Op(Op::Constant(Number(least), ..)) = region[least].kind else { return None };
            let Kind::Op(Op::Index(axis)) = region[beneath_casts(region, place)].kind else { return None };
            Some((axis, least.ceil() as i64))
        }
        _ => None,
    }
}

fn beneath_casts(region: &Region, mut id: NodeId) -> NodeId {
    while let Kind::Op(Op::Cast(Elem::Int)) = region[id].kind {
        id = region[id].operands[0];
    }
    id
}

/// The product at the first sources, looked up where it is taken from.
fn table(
    axes: &mut Axes,
    source: &Region,
    out: &mut RegionBuilder,
    new: &[NodeId],
    product: NodeId,
    along: Axis,
    first: i64,
) -> Option<NodeId> {
    let Kind::Op(op @ Op::Contract(over)) = &source[product].kind else { return None };
    let sides: Vec<bool> = source[product].operands.iter().map(|&side| source[side].ty.has(along)).collect();
    if over.contains(&along) || sides.iter().filter(|has| **has).count() != 1 {
        return None;
    }
    // Texts may be shorter: behind them are zeros, which nothing takes.
    let few = axes.fresh("first", Size::of(first), false);
    let longer = axes.fresh("longer", axes.size(along).clone() + Size::of(first), false);
    let mut operands = Vec::with_capacity(2);
    for (&side, has) in source[product].operands.iter().zip(sides) {
        let mut value = new[side.0 as usize];
        if has {
            value = out.try_op(axes, Op::Pad(along, Size::of(0), longer, Number(0.0)), &[value]).ok()?;
            value = out.try_op(axes, Op::Slice(longer, Size::of(0), few), &[value]).ok()?;
        }
        operands.push(value);
    }
    let table = out.try_op(axes, op.clone(), &operands).ok()?;
    let here = out.op(axes, Op::Index(along), &[]);
    let here = out.op(axes, Op::Cast(Elem::Int), &[here]);
    let most = out.op(axes, Op::Constant(Number(first as f64 - 1.0), Elem::Int, Vec::new()), &[]);
    let here = out.map(axes, Elementwise::MIN, &[here, most]);
    let here = out.op(axes, Op::Cast(Elem::Index(few)), &[here]);
    let value = out.try_op(axes, Op::Lookup(few), &[table, here]).ok()?;
    (out.ty(value) == &source[product].ty).then_some(value)
}
