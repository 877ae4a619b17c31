//! What follows the sums of some rows: the outputs, evaluated row by row in vectors along the columns.

use weft_dsl::types::Type;

use super::blocks::Blocks;
use super::group::{place, vectors};
use super::problem::Problem;
use crate::graph::{Kind, NodeId};
use crate::kernel::{Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, dtype};

/// Finished sums.
pub struct Sums {
    /// Where they are, row by row.
    pub place: Place,
    /// The row there that is the first.
    pub at: Reg,
    /// The first row and column.
    pub from: (Reg, Reg),
    /// How many rows and columns are there.
    pub count: (Reg, Reg),
}

/// Asks for what the outputs of some rows will read, so that it comes while their sums are computed.
pub fn fetch(w: &mut Writer, e: &mut Exprs, (problem, blocks): (&Problem, &Blocks), base: &Env, sums: &Sums) {
    let (Some(row), Some(column)) = (problem.rows.inner(), problem.columns.inner()) else { return };
    let is_read = |ty: &Type| ty.has(row) && ty.has(column);
    let read: Vec<NodeId> =
        e.body.iter().filter(|(_, n)| matches!(n.kind, Kind::Argument(_)) && is_read(&n.ty)).map(|(id, _)| id).collect();
    if read.is_empty() {
        return;
    }
    let zero = w.int(0);
    w.repeat((zero, sums.count.0, 1), &[], |w, row, _| {
        let mut env = base.clone();
        let at = w.add(sums.from.0, row);
        problem.rows.at(w, e, &mut env, at);
        w.repeat((zero, sums.count.1, u32::from(blocks.lanes)), &[], |w, column, _| {
            let mut env = env.clone();
            let at = w.add(sums.from.1, column);
            problem.columns.lanes(w, e, &mut env, at);
            read.iter().for_each(|&node| e.fetch(w, node, env.clone()));
            Vec::new()
        });
        Vec::new()
    });
}

/// Writes the outputs of some rows.
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
    w.repeat((zero, sums.count.0, 1), &[], |w, row, _| {
        let mut env = base.clone();
        let at = w.add(sums.from.0, row);
        problem.rows.at(w, e, &mut env, at);
        e.hoist(w, &roots, &env);
        let start = w.add(sums.at, row);
        let start = place(w, start, blocks.nc, zero);
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
