//! Large sums in two steps: a sum of much to little is one tile or a few, which one thread walks. With axes kept back there is
//! a row for each of their places, and a second sum over those. Which axes follows from sizes and declarations alone, so the bits
//! do not depend on the number of threads.

use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{NodeId, Orders, RegionBuilder};

/// Elements from which two steps pay for a second kernel.
const MANY: i64 = 1 << 18;
/// Results up to which a sum is too few tiles.
const FEW: i64 = 512;
/// Places that must be kept back.
const PLACES: i64 = 8;
/// Elements that are summed for each place: what is kept is little beside them.
const PART: i64 = 256;

/// `Σ` of a value over axes; where orders are told, a large one in two steps.
pub fn sum(axes: &Axes, out: &mut RegionBuilder, value: NodeId, over: &[Axis], orders: Option<&Orders>) -> NodeId {
    let kept = orders.and_then(|orders| kept_back(axes, orders, out.ty(value), over));
    let Some(kept) = kept else { return out.op(axes, Op::Reduce(Monoid::Sum, over.to_vec()), &[value]) };
    let rest = over.iter().copied().filter(|a| !kept.contains(a)).collect();
    let parts = out.op(axes, Op::Reduce(Monoid::Sum, rest), &[value]);
    out.op(axes, Op::Reduce(Monoid::Sum, kept), &[parts])
}

/// The axes that a first step keeps: neighbours in memory, as far outside as there are enough of their places, so that each place
/// is one piece of memory and not a strip of many.
fn kept_back(axes: &Axes, orders: &Orders, ty: &Type, over: &[Axis]) -> Option<Vec<Axis>> {
    let all = axes.volume(&ty.axes).known()?;
    let results = axes.volume(&ty.without(over).axes).known()?;
    if ty.elem != Elem::Float || results > FEW || all < MANY {
        return None;
    }
    let mut order = orders.axes(axes, ty);
    order.retain(|a| over.contains(a));
    let ends = |from: usize| (from + 1..=order.len()).map(move |to| (from, to));
    let kept = (0..order.len()).flat_map(ends).map(|(from, to)| &order[from..to]).find(|kept| {
        let places = axes.volume(kept).known().unwrap_or(0);
        kept.len() < order.len() && places >= PLACES && all / places >= PART
    });
    kept.map(<[Axis]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Input, Kind, Source};
    use weft_dsl::size::Size;

    /// The axes that the sums of a parameter of these sizes go over, one after another.
    fn steps(sizes: &[i64], over: &[usize]) -> Vec<Vec<i64>> {
        let mut axes = Axes::default();
        // Declared in another order than they were made in.
        let mut all: Vec<Axis> = sizes.iter().rev().map(|&n| axes.fresh("a", Size::of(n), false)).collect();
        all.reverse();
        let mut out = RegionBuilder::new();
        let value = out.argument(Type::new(Elem::Float, all.iter().copied()));
        let input = Input::new("p", Elem::Float, all.clone(), Source::Port);
        let graph = Graph {
            axes: axes.clone(),
            inputs: vec![input],
            body: RegionBuilder::new().finish(Vec::new()),
            outputs: Vec::new(),
        };
        let over: Vec<Axis> = over.iter().map(|&i| all[i]).collect();
        let result = sum(&axes, &mut out, value, &over, Some(&Orders::of(&graph)));
        let summed = |kind: &Kind| match kind {
            Kind::Op(Op::Reduce(_, over)) => Some(over.iter().map(|&a| axes.size(a).known().unwrap()).collect()),
            _ => None,
        };
        out.finish(vec![result]).nodes.iter().filter_map(|n| summed(&n.kind)).collect()
    }

    #[test]
    fn a_large_sum_has_two_steps_the_first_of_pieces() {
        assert_eq!(steps(&[12, 768, 768], &[0, 1, 2]), [vec![768, 768], vec![12]]);
        assert_eq!(steps(&[50257, 768], &[0, 1]), [vec![768], vec![50257]]);
        assert_eq!(steps(&[4, 50257, 768], &[0, 1, 2]), [vec![768], vec![4, 50257]]);
        assert_eq!(steps(&[12, 1024, 128], &[0, 1]), [vec![1024], vec![12]]);
        assert_eq!(steps(&[4, 128, 512], &[0, 1]), [vec![4], vec![128]]);
    }

    #[test]
    fn one_is_enough_where_little_is_summed_or_much_comes_out() {
        assert_eq!(steps(&[12, 64], &[0, 1]), [vec![12, 64]]);
        assert_eq!(steps(&[12, 1024, 768], &[0, 1]), [vec![12, 1024]]);
        assert_eq!(steps(&[1 << 20], &[0]), [vec![1 << 20]]);
        assert_eq!(steps(&[0, 1 << 20], &[0, 1]), [vec![0, 1 << 20]]);
        assert_eq!(steps(&[1 << 19, 2], &[0, 1]), [vec![1 << 19, 2]]);
    }
}
