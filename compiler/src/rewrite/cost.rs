//! What a node is predicted to cost: a roofline of operations and bytes against the rates of one core.
//!
//! Elementwise work and what only moves values is computed where it is read (fusion), and so costs operations alone; what makes
//! memory (contractions, reductions, scatters) pays for its operands and its result too, and for starting a kernel. The rates are
//! those measured on a server core with AVX-512; rules are decided by their ratios, which travel better than their values.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::{Atom, Size};
use weft_dsl::types::{Axes, Axis, Type};

/// Simple elementwise operations a second, from registers.
const ELEMENTWISE: f64 = 2e10;
/// Floating operations a second within a packed matrix product: two thirds of the peak of 157e9.
const PRODUCT: f64 = 1e11;
/// Bytes a second to and from memory.
const MEMORY: f64 = 1e10;
/// Seconds to start a kernel.
const START: f64 = 2e-6;
/// Bytes of an element.
const ELEMENT: f64 = 4.0;
/// What a free size (batch, time) is taken to be where nothing says.
pub const FREE: f64 = 256.0;

/// About how long a size is, free sizes being typical ones.
pub fn estimate(size: &Size) -> f64 {
    let atom = |atom: &Atom| match atom {
        Atom::Var(_) => FREE,
        Atom::Quotient(q) => estimate(&q.0) / estimate(&q.1).max(1.0),
    };
    size.terms().map(|(monomial, c)| c as f64 * monomial.iter().map(atom).product::<f64>()).sum::<f64>().max(0.0)
}

/// About how many elements a value over these axes has.
pub fn volume(axes: &Axes, over: &[Axis]) -> f64 {
    over.iter().map(|&a| estimate(axes.size(a))).product()
}

/// Whether a sum over these axes is of something. A free size is at least 1.
pub fn nonempty(axes: &Axes, over: &[Axis]) -> bool {
    over.iter().all(|&a| axes.size(a).known() != Some(0))
}

/// Seconds that an operator takes on one core for operands and a result of these types.
pub fn seconds(axes: &Axes, op: &Op, operands: &[&Type], result: &Type) -> f64 {
    let elements = |ty: &Type| volume(axes, &ty.axes);
    let moved = || (operands.iter().map(|t| elements(t)).sum::<f64>() + elements(result)) * ELEMENT / MEMORY;
    let work = |weight: f64| operands.first().map_or(0.0, |t| elements(t)) * weight / ELEMENTWISE;
    match op {
        Op::Constant(..) | Op::Index(_) | Op::Extent(_) | Op::StopGradient | Op::Rename(..) => 0.0,
        Op::Split(..) | Op::Merge(..) => 0.0,
        Op::Map(op) => elements(result) * weight(*op) / ELEMENTWISE,
        Op::Cast(_) => elements(result) / ELEMENTWISE,
        Op::Random(..) => elements(result) * 30.0 / ELEMENTWISE,
        // A copy, unless what reads it takes it in; the price of the copy keeps rules honest.
        Op::Slice(..) | Op::Pad(..) | Op::Insert(..) | Op::Concat(..) => 2.0 * elements(result) * ELEMENT / MEMORY,
        Op::Lookup(_) => 2.0 * elements(result) * ELEMENT / MEMORY,
        Op::Reduce(..) | Op::ArgMax(_) | Op::Order(..) => START + work(1.0).max(moved()),
        Op::Softmax(_) => START + work(14.0).max(moved()),
        Op::LogSumExp(_) => START + work(12.0).max(moved()),
        Op::ScatterAdd(..) => START + work(4.0).max(2.0 * moved()),
        Op::Contract(over) => {
            let (a, b) = (operands[0], operands[1]);
            let all = elements(&a.with(&b.axes));
            let shared = over.iter().all(|&k| a.has(k) && b.has(k));
            let product = shared && a.axes.iter().any(|&x| !b.has(x)) && b.axes.iter().any(|&x| !a.has(x));
            let operations = if product { 2.0 * all / PRODUCT } else { 2.0 * all / ELEMENTWISE };
            START + operations.max(moved())
        }
    }
}

/// What an elementwise operator costs, an addition being 1.
fn weight(op: Elementwise) -> f64 {
    match op {
        Elementwise::EXP | Elementwise::LOG | Elementwise::LOG1P | Elementwise::TANH | Elementwise::ERF => 10.0,
        Elementwise::SIN | Elementwise::COS => 15.0,
        Elementwise::POW => 30.0,
        Elementwise::DIV | Elementwise::SQRT | Elementwise::IDIV | Elementwise::MOD => 4.0,
        _ => 1.0,
    }
}
