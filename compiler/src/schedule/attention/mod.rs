//! Attention in tiles, without its scores in memory (Dao et al., 2022; the online softmax is Milakov and Gimelshein's, 2018).
//!
//! Scores of a block of rows by a block of sources lie in scratch memory; what the body does to them is evaluated there, a vector
//! of sources at a time. Blocks are functions of the processor alone, so the same bits come out for any number of threads.

mod backward;
mod bounds;
mod forward;
mod gather;
mod micro;
mod pack;
mod problem;
#[cfg(test)]
mod tests;

use weft_dsl::types::Axes;

use super::{Layout, Machine, Scheduled, Unschedulable};
use crate::graph::{Form, Fused};
use problem::Problem;

/// The kernel of an attention or of its derivative.
///
/// # Errors
/// Where the body is not one that [`crate::passes::attention`] or its derivative writes, or where the size of its keys or values
/// is known only at run time.
pub fn schedule(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    match fused.form {
        Form::AttentionBackward => {
            let (problem, roles) = Problem::backward(&fused.body, axes, outputs, machine)?;
            backward::schedule(&problem, &roles, inputs, outputs)
        }
        Form::Attention | Form::Loops | Form::Product | Form::Scatter | Form::Order => {
            let problem = Problem::forward(&fused.body, axes, outputs, machine)?;
            forward::schedule(&problem, inputs, outputs)
        }
    }
}
