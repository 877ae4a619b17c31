//! What follows a tile's sums: the outputs, evaluated row by row in vectors along the columns.

use super::blocks::Blocks;
use super::group::{place, vectors};
use super::problem::Problem;
use crate::graph::NodeId;
use crate::kernel::{Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, dtype};

/// A finished tile of sums.
pub struct Sums {
    /// The sums, row by row.
    pub place: Place,
    /// The tile's first row and column.
    pub from: (Reg, Reg),
    /// How many rows and columns are there.
    pub count: (Reg, Reg),
}

/// Writes the outputs of a tile.
pub fn finish(
    w: &mut Writer,
    e: &mut Exprs,
    (problem, blocks): (&Problem, &Blocks),
    base: &Env,
    sums: &Sums,
    outputs: &[(NodeId, Place, Layout)],
) {
    let zero = w.int(0);
    let roots: Vec<NodeId> = outputs.iter().map(|o| o.0).collect();
    e.hoist(w, &roots, base);
    w.repeat((zero, sums.count.0, 1), &[], |w, row, _| {
        let mut env = base.clone();
        let at = w.add(sums.from.0, row);
        problem.rows.at(w, e, &mut env, at);
        e.hoist(w, &roots, &env);
        let start = place(w, row, blocks.nc, zero);
        vectors(w, blocks.lanes, sums.count.1, problem.columns.is_whole(blocks.lanes), |w, column, mask| {
            let mut env = env.clone();
            env.mask = mask;
            let at = w.add(sums.from.1, column);
            problem.columns.lanes(w, e, &mut env, at);
            let index = w.add(start, column);
            let sum = w.load(sums.place, index, blocks.lanes, mask);
            e.preset(w, problem.node, &env, sum);
            // All values before the first store: an output may lie where an operand does.
            let values: Vec<Reg> = roots.iter().map(|&root| e.eval_as(w, root, &env, dtype(&e.body[root].ty))).collect();
            for ((_, to, layout), value) in outputs.iter().zip(values) {
                e.store(w, *to, layout, &env, value);
            }
        });
        Vec::new()
    });
}
