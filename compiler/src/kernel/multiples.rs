//! Which places of memory are surely multiples of a power of two: aligned stores need to know.

use weft_dsl::elementwise::Elementwise;

use super::{Dtype, Inst, Kernel, Reg, Shape, Stmt};

/// No more is asked for than this.
const MOST: u64 = 1 << 12;

/// For each register that holds a scalar I64, a power of two of which it is a multiple, at most [`MOST`]; 1 for all others.
pub fn multiples(kernel: &Kernel) -> Vec<u64> {
    let mut found = vec![1; kernel.registers.len()];
    block(kernel, &kernel.body, &mut found);
    found
}

fn block(kernel: &Kernel, body: &[Stmt], found: &mut [u64]) {
    for stmt in body {
        match stmt {
            Stmt::Let(reg, inst) if kernel.registers[reg.0 as usize] == (Shape { dtype: Dtype::I64, lanes: 1 }) => {
                found[reg.0 as usize] = of(inst, found);
            }
            Stmt::Let(..) | Stmt::Store(..) | Stmt::Scatter(..) | Stmt::Fetch(..) | Stmt::Tiles(..) => {}
            Stmt::For { var, from, step, body, .. } => {
                found[var.0 as usize] = found[from.0 as usize].min(power(i64::from(*step)));
                block(kernel, body, found);
            }
            Stmt::If { then, otherwise, .. } => {
                block(kernel, then, found);
                block(kernel, otherwise, found);
            }
        }
    }
}

fn of(inst: &Inst, found: &[u64]) -> u64 {
    let at = |reg: &Reg| found[reg.0 as usize];
    match inst {
        Inst::Constant(number) => power(number.0 as i64),
        Inst::Map(Elementwise::MUL, operands) => operands.iter().map(at).product::<u64>().min(MOST),
        Inst::Map(Elementwise::SELECT, operands) => operands[1..].iter().map(at).min().unwrap_or(1),
        // The remainder of division by zero is what the dividend is.
        Inst::Map(
            Elementwise::ADD | Elementwise::SUB | Elementwise::MIN | Elementwise::MAX | Elementwise::MOD,
            operands,
        ) => operands.iter().map(at).min().unwrap_or(1),
        _ => 1,
    }
}

/// The largest power of two that divides a number.
fn power(n: i64) -> u64 {
    if n == 0 { MOST } else { (1 << n.trailing_zeros().min(12)).min(MOST) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Writer;

    #[test]
    fn rows_of_whole_vectors_begin_at_multiples() {
        let mut w = Writer::new(vec![Dtype::F32], 1);
        let (tile, size, zero) = (w.tile(), w.size(0), w.int(0));
        let (whole, odd) = (w.int(48), w.int(7));
        let row = w.mul(tile, whole);
        let other = w.mul(size, odd);
        let mut inner = zero;
        w.repeat((zero, size, 16), &[], |w, column, _| {
            inner = w.add(row, column);
            Vec::new()
        });
        let rest = w.map(Elementwise::MOD, &[row, whole]);
        let kernel = w.finish();
        let found = multiples(&kernel);
        let of = |reg: Reg| found[reg.0 as usize];
        assert_eq!([of(tile), of(size), of(zero), of(row), of(other), of(inner), of(rest)], [1, 1, MOST, 16, 1, 16, 16]);
    }
}
