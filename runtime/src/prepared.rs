//! A program bound to sizes: what is left to do when it runs is to compute addresses.

use crate::plan::{Count, Dtype};

/// Bytes at the start of scratch memory where a kernel that checks itself tells of an access out of bounds.
pub const STATUS: usize = 64;

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At this byte of the arena. Inputs and outputs lie there too, for the whole run, so that kernels find them aligned.
    Arena(usize),
    /// In this slot.
    Slot(usize),
    /// In the constant of this buffer.
    Constant,
}

/// A launch or a border of a loop.
#[derive(Clone, Debug)]
pub enum Op {
    /// Run a kernel.
    Launch {
        /// Index into the plan's kernels.
        kernel: usize,
        /// Range of [`Prepared::args`].
        args: (usize, usize),
        /// Range of [`Prepared::kernel_sizes`].
        sizes: (usize, usize),
        /// Number of tiles.
        tiles: usize,
        /// Bytes of scratch memory for each thread.
        scratch: usize,
        /// Whether it is worth a hand-over to other threads.
        parallel: bool,
        /// Operations and bytes, for profiles.
        work: (f64, f64),
        /// Whether the next operation is a launch that may run beside this one.
        more: bool,
    },
    /// Start of a loop.
    Enter {
        /// How often.
        count: i64,
        /// From the last index to the first.
        reverse: bool,
        /// The operation after the loop.
        exit: usize,
    },
    /// Skip what makes a slot that is fresh; it is fresh afterwards.
    Unless {
        /// The slot.
        slot: usize,
        /// The operation after what makes it.
        exit: usize,
    },
    /// End of a loop's body.
    Leave {
        /// The first operation of the body.
        body: usize,
    },
}

/// An argument: its address is the buffer's plus `offset` plus what the loops add, in bytes.
#[derive(Clone, Debug)]
pub struct PreparedArg {
    /// Index into the program's buffers.
    pub buffer: usize,
    /// Bytes of an element.
    pub width: i64,
    /// Bytes from the buffer's start.
    pub offset: i64,
    /// Range of [`Prepared::strides`].
    pub strides: (usize, usize),
}

/// What a loop adds to an argument's address.
#[derive(Clone, Debug)]
pub struct PreparedStride {
    /// Which enclosing loop, outermost 0.
    pub depth: usize,
    /// What is counted.
    pub by: Count,
    /// Bytes for each count.
    pub step: i64,
}

/// A buffer of the arena whose value begins at an operation; a checked run fills it with [`poison`] there.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The operation.
    pub op: usize,
    /// The buffer.
    pub buffer: usize,
    /// The loops from this depth on do not contain the whole lifetime: only their first iteration begins a new value.
    pub depth: usize,
}

/// A program bound to sizes.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// Where each buffer lies.
    pub spots: Vec<Spot>,
    /// Bytes of each buffer.
    pub bytes: Vec<usize>,
    /// Bytes of the arena.
    pub arena: usize,
    /// Bytes of scratch memory that a thread needs at most; the status is the first [`STATUS`] of them.
    pub scratch: usize,
    /// What to do, in order.
    pub ops: Vec<Op>,
    /// Arguments of all launches.
    pub args: Vec<PreparedArg>,
    /// Strides of all arguments.
    pub strides: Vec<PreparedStride>,
    /// Sizes of all launches.
    pub kernel_sizes: Vec<i64>,
    /// Where values begin, by operation.
    pub births: Vec<Birth>,
    /// Shapes of the outputs.
    pub outputs: Vec<Vec<usize>>,
    /// Arguments of the launch that has the most.
    pub widest: usize,
    /// Sizes and arguments of the launch that has the most.
    pub most_sizes: usize,
    /// Deepest nesting of loops.
    pub depth: usize,
}

/// What a checked run puts where no value is yet: a NaN, or an integer far out of bounds.
pub fn poison(dtype: Dtype, bytes: &mut [u8]) {
    let pattern: &[u8] = match dtype {
        Dtype::F32 | Dtype::I32 => &0x7fc0_dead_u32.to_le_bytes(),
        Dtype::F64 => &0x7ff8_dead_dead_dead_u64.to_le_bytes(),
        Dtype::Bool => &[0xad],
    };
    for chunk in bytes.chunks_exact_mut(pattern.len()) {
        chunk.copy_from_slice(pattern);
    }
}

/// The place that is whose turn after some iterations.
pub fn turn(done: i64, add: u32, modulus: u32) -> i64 {
    (done + i64::from(add)) % i64::from(modulus)
}
