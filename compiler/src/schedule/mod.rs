//! From a fused node to a kernel: which loops, which tiles, what is kept in registers and scratch memory.
//!
//! A schedule reads sizes and layouts alone, so tiles, chunks and vector borders are functions of sizes: the same bits come out
//! for any number of threads.

mod sizes;
mod position;
mod expr;
mod structure;
mod simplify;
pub mod loops;
pub mod product;
pub mod scatter;
pub mod order;
pub mod attention;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod native;
#[cfg(test)]
mod random_tests;

pub use expr::{Exprs, is_reduction};
pub use position::{Address, Env, Position, address, load, store, strides};
pub use sizes::SizeTable;

use std::sync::Arc;

use self::product::tuning::Tuning;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use crate::graph::{Form, Fused};
use crate::kernel::{Dtype, Kernel};

/// The order of a buffer's axes in memory, outermost first; contiguous.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout(pub Vec<Axis>);

/// What a schedule knows of the processor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// 32-bit lanes of a vector register: 16, 8 or 4.
    pub lanes: u16,
    /// Vector registers.
    pub registers: u16,
    /// Its matrix unit.
    pub unit: Unit,
    /// Bytes of first-level data cache.
    pub l1: u32,
    /// Bytes of second-level cache of one core.
    pub l2: u32,
    /// What was measured on it.
    pub tuning: Arc<Tuning>,
}

/// What a matrix unit is used for, see [`crate::kernel::tiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// There is none.
    Absent,
    /// Products that it is estimated to compute faster.
    Chosen,
    /// All products that fill a block: what tests want.
    Always,
}

impl Machine {
    /// Whether it has an instruction for `a · b + c` rounded once. All have that come with longer vectors or more registers than
    /// the first x86-64; there the operation is a slow call.
    pub fn fuses(&self) -> bool {
        self.lanes > 4 || self.registers > 16
    }
}

/// A kernel with how to launch it.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The code. Arguments are the fused node's operands, then its results.
    pub kernel: Kernel,
    /// Values of the kernel's size parameters.
    pub sizes: Vec<Size>,
    /// The number of tiles is the product of `⌈size / block⌉`.
    pub tiles: Vec<(Size, u64)>,
    /// Rough operations of one tile, to keep small work on one thread.
    pub cost: f64,
    /// Share of the body's operations that is done: an affine mask leaves others out.
    pub share: f64,
}

/// Why a fused node cannot be scheduled in its form. The fuser makes nothing of this kind: a fault of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable(pub String);

impl std::fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot be scheduled: {}", self.0)
    }
}

impl std::error::Error for Unschedulable {}

/// How a value of a type is stored. A float without axes is 64-bit: losses, norms, rates, bias corrections.
pub fn dtype(ty: &Type) -> Dtype {
    match ty.elem {
        Elem::Float if ty.axes.is_empty() => Dtype::F64,
        Elem::Float => Dtype::F32,
        Elem::Int | Elem::Index(_) => Dtype::I32,
        Elem::Bool => Dtype::Bool,
    }
}

/// The kernel of a fused node, given how its operands and results lie.
///
/// # Errors
/// [`Unschedulable`] where the body does not fit its form.
pub fn schedule(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    match fused.form {
        Form::Loops => loops::schedule(fused, axes, inputs, outputs, machine),
        Form::Scatter => scatter::schedule(fused, axes, inputs, outputs, machine),
        Form::Order => order::schedule(fused, axes, inputs, outputs, machine),
        Form::Product => product::schedule(fused, axes, inputs, outputs, machine),
        Form::Attention | Form::AttentionBackward => attention::schedule(fused, axes, inputs, outputs, machine),
    }
}
