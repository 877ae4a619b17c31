//! What the register block becomes on each kind of processor: multiply-adds of whole vectors, and nothing that lies on the stack.

use weft_dsl::op::Op;

use super::schedule;
use crate::graph::{Form, Fused};
use crate::schedule::Layout;
use crate::schedule::testing::Case;
use crate::target::cpu::{Cpu, assembly};

/// The instructions of the longest run without a label or a jump that holds multiply-adds: the body of the innermost loop.
fn innermost(processor: &str, multiply_add: &str) -> Vec<String> {
    let mut c = Case::default();
    let (t, o, i) = (c.free("time", 64), c.axis("out", 768), c.axis("in", 768));
    let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    let ready = c.finish(vec![z]);
    let cpu = Cpu::named(processor).unwrap();
    let fused = Fused { form: Form::Product, body: ready.body.clone() };
    let inputs = [vec![t, i], vec![o, i]].map(Layout);
    let scheduled = schedule(&fused, &ready.axes, &inputs, &[Layout(vec![t, o])], &cpu.machine()).unwrap();
    let text = assembly(&[("product".to_string(), &scheduled.kernel)], &cpu).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '/'])).collect();
    let pieces = lines.split(|line| line.ends_with(':') || line.starts_with('.') || line.starts_with(['j', 'b']));
    let count = |piece: &[&str]| piece.iter().filter(|line| line.starts_with(multiply_add)).count();
    let best = pieces.max_by_key(|piece| count(piece)).unwrap_or_default();
    best.iter().map(|line| line.to_string()).collect()
}

#[test]
fn the_innermost_loop_stays_in_registers() {
    // Sums in registers: rows by vectors of the register block.
    for (processor, multiply_add, register, sums) in [
        // Four blocks of sums, six pairs of parts.
        ("x86-64-v4-amx", "tdpbf16ps", "tmm", 24),
        ("x86-64-v4", "vfmadd", "zmm", 24),
        ("x86-64-v3", "vfmadd", "ymm", 12),
        ("aarch64", "fmla\tv", ".4s", 16),
        ("x86-64", "addps", "xmm", 8),
    ] {
        let lines = innermost(processor, multiply_add);
        let found = lines.iter().filter(|line| line.starts_with(multiply_add) && line.contains(register)).count();
        assert_eq!(found, sums, "{processor}: {lines:#?}");
        // Addresses of a matrix unit's operands may lie there: it takes long enough.
        let is_data = |line: &str| register != "tmm" || line.contains("mm");
        let stack = |line: &&String| (line.contains("(%rsp)") || line.contains("[sp")) && is_data(line);
        let spills = lines.iter().filter(stack).count();
        assert!(spills == 0, "{processor}: {spills} of {lines:#?}");
    }
}
