//! What elaboration makes values with: the border between the language and the graph.
//!
//! The elaborator walks a specification once and asks an [`Emit`] for each operation. The checker's answer is the type alone; the
//! compiler's is a node of the graph. So there is one definition of what the language means.

use crate::op::Op;
use crate::types::{Axes, Axis, Elem, Type};

/// How a parameter starts; sizes are known when a model is built, symbolic when it is checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Every element the same.
    Constant(f64),
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform on `[-bound, bound)`.
    Uniform {
        /// The bound.
        bound: f64,
    },
}

/// A parameter as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its path from the model; `{}` for the index in each repetition.
    pub path: String,
    /// The axes of the repetitions around it, outermost first: one parameter stands for all of them.
    pub stack: Vec<Axis>,
    /// Its own axes, in declared order.
    pub axes: Vec<Axis>,
    /// How it starts.
    pub start: Start,
}

/// Makes values.
pub trait Emit {
    /// A value: something with a type.
    type Value: Clone + std::fmt::Debug;

    /// The axes of the program being made.
    fn axes(&mut self) -> &mut Axes;

    /// The type of a value.
    fn type_of(&self, value: &Self::Value) -> Type;

    /// An operation. The elaborator has asked [`Op::infer`] already, so operands fit.
    fn op(&mut self, op: Op, operands: &[Self::Value]) -> Self::Value;

    /// An argument of an entry function or a field of a batch, by name; axes in written order.
    fn input(&mut self, name: &str, elem: Elem, axes: &[Axis]) -> Self::Value;

    /// Says of an input that it holds places on an axis, or this number.
    fn keep_within(&mut self, name: &str, axis: Axis, or: i64) {
        let _ = (name, axis, or);
    }

    /// A parameter, with the axes of its repetitions and its own. Asking twice for one path gives the same parameter.
    fn parameter(&mut self, parameter: &Parameter) -> Self::Value;

    /// Opens a loop over an axis (a repeated block's, or a scan's). Gives the carried values as the body sees them.
    fn begin_loop(&mut self, axis: Axis, carried: &[Self::Value]) -> Vec<Self::Value>;

    /// Within the loop over this axis: this step's slice, without the axis, of a value from outside that loop.
    fn slice(&mut self, value: &Self::Value, axis: Axis) -> Self::Value;

    /// Closes the innermost loop: `next` are the carried values for the next step, `yields` are joined along the loop's axis.
    /// Gives the last carried values, then the joined ones.
    fn end_loop(&mut self, next: &[Self::Value], yields: &[Self::Value]) -> Vec<Self::Value>;

    /// `sum / weight`: a mean over items. Kept apart so that a mean over a batch may be taken in parts.
    fn mean(&mut self, sum: &Self::Value, weight: &Self::Value) -> Self::Value;

    /// A scalar that the run supplies: `seed`, `step`, `micro`.
    fn supplied(&mut self, name: &str, elem: Elem) -> Self::Value;
}
