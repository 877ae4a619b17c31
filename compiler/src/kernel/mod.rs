//! Kernels: structured code over scalars and short vectors, with memory places and indices said outright.
//!
//! A schedule writes a kernel; a target only spells it. Values are registers assigned once; loops carry registers from step to
//! step. A kernel's body runs once for each tile that the runtime hands it; tiles are independent.
//!
//! Layout of the call: `fn(args, sizes, begin, end, scratch)`. After the `sizes` that the kernel declares lie the lengths of
//! its arguments, in elements from where each argument starts to the end of its buffer. The first [`STATUS_BYTES`] of the
//! scratch memory belong to checked code: a fault stores `argument + 1` and the index there, as two i64.

mod multiples;
mod write;
pub mod interpret;

pub mod tiles;

pub use multiples::multiples;
pub use write::{Block, Writer};

use crate::schedule::product::tuning::Product;
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Monoid, Number};

/// Bytes at the start of the scratch memory that a kernel does not use for itself.
pub const STATUS_BYTES: u32 = 64;

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit float; always scalar values of a specification.
    F64,
    /// 32-bit integer: integers and indices of a specification.
    I32,
    /// 64-bit integer: places in memory.
    I64,
    /// A truth value: a byte in memory, a bit in a register.
    Bool,
}

impl Dtype {
    /// Bytes in memory.
    pub fn bytes(self) -> u32 {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::Bool => 1,
        }
    }

    /// F32 or F64.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64)
    }
}

/// The type of a register: some lanes of an element; one lane is a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The element.
    pub dtype: Dtype,
    /// Lanes.
    pub lanes: u16,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u32);

/// Where memory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// An argument.
    Arg(u32),
    /// The thread's scratch memory from a byte (at least [`STATUS_BYTES`], a multiple of 64), of this element.
    Scratch(u32, Dtype),
}

/// What a register is assigned. Its [`Shape`] stands in [`Kernel::registers`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// The tile's number (I64).
    Tile,
    /// A size parameter (I64).
    Size(u32),
    /// The same number in every lane.
    Constant(Number),
    /// An elementwise operator; operands have one shape, save that `select`'s first is Bool and comparisons give Bool.
    /// Integer division and remainder round down. I64 is used for places: `add sub mul idiv mod min max` and comparisons.
    Map(Elementwise, Vec<Reg>),
    /// `a · b + c`, rounded once.
    Fma(Reg, Reg, Reg),
    /// To the register's dtype, lane by lane. Float to integer truncates; Bool gives 0 and 1.
    Convert(Reg),
    /// A scalar in every lane.
    Splat(Reg),
    /// 0, 1, 2, … (I32 or I64).
    Iota,
    /// Lanes that follow one another from an index (I64 scalar, in elements); a lane whose mask is false is not read and gives 0.
    Load(Place, Reg, Option<Reg>),
    /// Lanes from an index each (I32 or I64 vector).
    Gather(Place, Reg, Option<Reg>),
    /// One lane of a vector, as a scalar.
    Extract(Reg, u16),
    /// Lanes of two vectors of a shape by number, the second's after the first's.
    Shuffle(Reg, Reg, Vec<u16>),
    /// All lanes joined, in a fixed tree: halves against halves.
    Fold(Monoid, Reg),
    /// Philox 4x32-10 (Salmon et al., 2011): the register is I32, of any lanes; key and counter words are I32 of the same
    /// lanes: key 0, 1, counter 0 to 3, and which word of the result.
    Philox([Reg; 2], [Reg; 4], u8),
    /// F32 rounded to the 16 upper bits of its form (bfloat16), ties away from zero.
    Upper(Reg),
    /// The 16 upper bits of two F32 in an I32: the first's below, the second's above.
    Uppers(Reg, Reg),
}

/// A value that a loop hands from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Carried {
    /// Before the first step.
    pub init: Reg,
    /// As the body sees it.
    pub inside: Reg,
    /// What the body hands on.
    pub next: Reg,
    /// After the last step.
    pub result: Reg,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    /// Assigns a register.
    Let(Reg, Inst),
    /// Stores lanes one after another; a lane whose mask is false is not written. Bool is stored as 0 or 1.
    Store(Place, Reg, Reg, Option<Reg>),
    /// Stores each lane at its own index (distinct ones).
    Scatter(Place, Reg, Reg, Option<Reg>),
    /// What lies at an index will be read soon: brings its line nearer, and computes nothing. The index may lie beyond the end.
    Fetch(Place, Reg),
    /// Work for a matrix unit.
    Tiles(tiles::Work),
    /// `for var in (from..to).step_by(step)`
    For {
        /// I64 scalar.
        var: Reg,
        /// First value.
        from: Reg,
        /// Bound, excluded.
        to: Reg,
        /// Positive.
        step: u32,
        /// Values handed on.
        carried: Vec<Carried>,
        /// The body.
        body: Vec<Stmt>,
    },
    /// On a Bool scalar.
    If {
        /// The condition.
        cond: Reg,
        /// Where it holds.
        then: Vec<Stmt>,
        /// Where it does not.
        otherwise: Vec<Stmt>,
    },
}

/// A kernel. Two kernels that differ in name alone are one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Elements of the arguments.
    pub args: Vec<Dtype>,
    /// Number of size parameters.
    pub sizes: u32,
    /// Bytes of scratch memory, the status included.
    pub scratch: u32,
    /// The shape of each register.
    pub registers: Vec<Shape>,
    /// What runs for each tile.
    pub body: Vec<Stmt>,
    /// Arguments that are written and not read until long after, in order: whole vectors go past the caches where they are surely
    /// aligned. They begin at multiples of 16 elements, in buffers that begin at multiples of 64 bytes.
    pub far: Vec<u32>,
    /// Of a product whose blocks were not the cost model's to choose alone: which it is.
    pub product: Option<Product>,
}
