//! Blocks of sums on a matrix unit that multiplies 16-bit numbers: 32-bit floats as sums of three bfloat16, in all their bits.
//!
//! A float has 24 significant bits, three bfloat16 of 8 each hold them: `x = x₀ + x₁ + x₂`, where `x₀` is x rounded, `x₁` what is
//! left rounded, `x₂` the rest. Of the nine products of two such sums six are computed, each exact, and added in 32 bits; the others
//! are less than 2⁻²⁶ of the product. Sums of them are as close as those of fused multiplications and additions, or closer,
//! because fewer are rounded one after another (Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for
//! higher-precision computations", 2019). What is infinite, or rounds to that, gives NaN; of numbers below 2⁻¹¹⁰ bits are lost.
//!
//! Both operands lie in scratch memory as I32: for each step of [`STEP`] places of the sum a plane for each of the three parts,
//! in each plane [`SIDE`] rows of 16 elements; element `(row, j)` holds places `j` and `j + 16` of the step, the first below. The
//! columns' operand is the same in squares of 16 × 16, each transposed. A unit is made ready for a kernel's run.

use super::{Place, Reg, Stmt};

/// Rows and columns of a block.
pub const SIDE: u32 = 32;
/// Places of the sum in a step.
pub const STEP: u32 = 32;
/// Rows and columns of a square, of I32.
pub const SQUARE: u32 = 16;
/// Elements of a plane.
pub const PLANE: u32 = SIDE * SQUARE;
/// Parts of a float.
pub const PARTS: u32 = 3;
/// Elements of a step.
pub const VOLUME: u32 = PARTS * PLANE;

/// Which parts of rows and columns are multiplied, in order: each shares one with the one before.
pub const PAIRS: [(u32, u32); 6] = [(2, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 2)];

/// What a unit does. It holds one block of sums at a time: a block is begun, steps are added to it, and it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Sums are what lies there, or nothing where `goes_on` is false or nothing is said.
    Begin {
        /// F32 sums: where the first is, in elements.
        sums: (Place, Reg),
        /// From a row of sums to the next.
        stride: u32,
        /// Whether the sums go on.
        goes_on: Option<Reg>,
    },
    /// `C += A · B`
    Step {
        /// A step of the rows' operand: its first element.
        rows: (Place, Reg),
        /// A step of the columns' operand.
        columns: (Place, Reg),
    },
    /// Writes the sums.
    End {
        /// Where the first is.
        sums: (Place, Reg),
        /// From a row of sums to the next.
        stride: u32,
    },
}

/// Whether statements have work for a unit.
pub fn is_used(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::Tiles(_) => true,
        Stmt::For { body, .. } => is_used(body),
        Stmt::If { then, otherwise, .. } => is_used(then) || is_used(otherwise),
        Stmt::Let(..) | Stmt::Store(..) | Stmt::Scatter(..) | Stmt::Fetch(..) => false,
    })
}

/// The two numbers of an element.
pub fn halves(element: i32) -> [f32; 2] {
    let bits = element as u32;
    [bits << 16, bits & 0xffff_0000].map(f32::from_bits)
}

/// A number rounded to its upper bits.
pub fn upper(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(0x8000) & 0xffff_0000)
}
