//! Outputs as they are declared.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Number, Op};
use weft_dsl::types::{Axis, Elem};

use crate::graph::{Graph, RegionBuilder};

/// Gives each output all its declared axes: a value that is the same along some is written out. Those that are one long take no
/// place in memory, but a float without axes is stored otherwise than one with some.
pub fn complete_outputs(graph: &mut Graph) {
    let mut outputs = graph.body.outputs.clone();
    let mut builder = RegionBuilder::from(std::mem::take(&mut graph.body));
    for (node, output) in outputs.iter_mut().zip(&graph.outputs) {
        let ty = builder.ty(*node);
        let scalar = ty.axes.is_empty();
        let is_missing = |a: &Axis| !ty.has(*a) && (scalar || !graph.axes.is_unit(*a));
        let missing: Vec<_> = output.axes.iter().copied().filter(is_missing).collect();
        if !missing.is_empty() {
            let holds = builder.op(&graph.axes, Op::Constant(Number(1.0), Elem::Bool, missing), &[]);
            *node = builder.map(&graph.axes, Elementwise::SELECT, &[holds, *node, *node]);
        }
    }
    graph.body = builder.finish(outputs);
}
