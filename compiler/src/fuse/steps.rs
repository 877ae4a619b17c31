//! Large sums in two steps: a sum of much to little is one tile or a few, which one thread walks. With an axis kept back there is
//! a tile for each of its places, and a second sum over those. Which axis follows from sizes alone, so the bits do not depend on
//! the number of threads.

use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{NodeId, RegionBuilder};

/// Elements of a tile from which two steps pay for a second kernel.
const MANY: i64 = 1 << 13;
/// Results up to which a sum is too few tiles.
const FEW: i64 = 512;
/// Places that an axis must have to be kept back.
const TILES: i64 = 8;

/// `Σ` of a value over axes; where `joined`, a large one in two steps.
pub fn sum(axes: &Axes, out: &mut RegionBuilder, value: NodeId, over: &[Axis], joined: bool) -> NodeId {
    let kept = if joined { kept_back(axes, out.ty(value), over) } else { None };
    let Some(kept) = kept else { return out.op(axes, Op::Reduce(Monoid::Sum, over.to_vec()), &[value]) };
    let rest = over.iter().copied().filter(|&a| a != kept).collect();
    let parts = out.op(axes, Op::Reduce(Monoid::Sum, rest), &[value]);
    out.op(axes, Op::Reduce(Monoid::Sum, vec![kept]), &[parts])
}

/// The axis that a first step keeps: the shortest that gives enough tiles, each large.
fn kept_back(axes: &Axes, ty: &Type, over: &[Axis]) -> Option<Axis> {
    let all = axes.volume(&ty.axes).known()?;
    let results = axes.volume(&ty.without(over).axes).known()?;
    let size = |a: &Axis| axes.size(*a).known().unwrap_or(0);
    let few = ty.elem == Elem::Float && over.len() > 1 && results <= FEW;
    over.iter().copied().filter(|a| few && size(a) >= TILES && all / size(a) >= MANY).min_by_key(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Kind;
    use weft_dsl::size::Size;

    /// The axes that the sums of a value of these sizes go over, one after another.
    fn steps(sizes: &[i64], over: &[usize]) -> Vec<Vec<i64>> {
        let mut axes = Axes::default();
        let all: Vec<Axis> = sizes.iter().map(|&n| axes.fresh("a", Size::of(n), false)).collect();
        let mut out = RegionBuilder::new();
        let value = out.argument(Type::new(Elem::Float, all.iter().copied()));
        let over: Vec<Axis> = over.iter().map(|&i| all[i]).collect();
        let result = sum(&axes, &mut out, value, &over, true);
        let summed = |kind: &Kind| match kind {
            Kind::Op(Op::Reduce(_, over)) => Some(over.iter().map(|&a| axes.size(a).known().unwrap()).collect()),
            _ => None,
        };
        out.finish(vec![result]).nodes.iter().filter_map(|n| summed(&n.kind)).collect()
    }

    #[test]
    fn a_large_sum_has_two_steps() {
        assert_eq!(steps(&[12, 768, 768], &[0, 1, 2]), [vec![768, 768], vec![12]]);
        assert_eq!(steps(&[4, 50257, 768], &[0, 1, 2]), [vec![4, 50257], vec![768]]);
        assert_eq!(steps(&[12, 1024, 128], &[0, 1]), [vec![1024], vec![12]]);
    }

    #[test]
    fn one_is_enough_where_little_is_summed_or_much_comes_out() {
        assert_eq!(steps(&[12, 64], &[0, 1]), [vec![12, 64]]);
        assert_eq!(steps(&[12, 1024, 768], &[0, 1]), [vec![12, 1024]]);
        assert_eq!(steps(&[1 << 20], &[0]), [vec![1 << 20]]);
        assert_eq!(steps(&[0, 1 << 20], &[0, 1]), [vec![0, 1 << 20]]);
    }
}
