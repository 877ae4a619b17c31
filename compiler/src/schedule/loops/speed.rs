//! How fast loops run, beside a plain copy of as many bytes in the same run: `cargo test --release -p weft speed -- --ignored
//! --nocapture`.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::{Monoid, Op};
use weft_dsl::types::Axes;

use super::schedule;
use crate::graph::{Form, Fused, NodeId, Region};
use crate::schedule::native::{Buffer, seconds};
use crate::schedule::testing::{Case, Chance};
use crate::schedule::{Layout, dtype};
use crate::target::cpu::Cpu;

fn measure(name: &str, body: Region, axes: &Axes, volumes: &[usize]) {
    let layouts = |types: &[weft_dsl::types::Type]| types.iter().map(|t| Layout(t.axes.clone())).collect::<Vec<_>>();
    let (inputs, outputs) = (layouts(&body.arguments), layouts(&body.results()));
    let types = [body.arguments.clone(), body.results()].concat();
    let fused = Fused { form: Form::Loops, body };
    let scheduled = schedule(&fused, axes, &inputs, &outputs, &Cpu::host().machine()).expect("loops");
    let count = |(size, block): &(weft_dsl::size::Size, u64)| (size.known().expect("known") as u64).div_ceil(*block) as i64;
    let mut chance = Chance(1);
    let mut args: Vec<Buffer> = types
        .iter()
        .zip(volumes)
        .map(|(ty, &n)| Buffer::new(dtype(ty), &(0..n).map(|_| chance.float().abs() + 0.1).collect::<Vec<_>>()))
        .collect();
    let bytes: usize = types.iter().zip(volumes).map(|(ty, &n)| n * dtype(ty).bytes() as usize).sum();
    let tiles = scheduled.tiles.iter().map(count).product();
    let taken = seconds(&scheduled, &mut args, &[], tiles);
    let from = vec![1u8; bytes / 2];
    let mut to = vec![0u8; bytes / 2];
    let copy = (0..20)
        .map(|_| {
            let start = std::time::Instant::now();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    let rate = |s: f64| bytes as f64 / s / 1e9;
    println!("{name}: {:.1} us, {:.1} GB/s; a copy of as many bytes {:.1} GB/s", taken * 1e6, rate(taken), rate(copy));
}

fn mean(c: &mut Case, x: NodeId, over: weft_dsl::types::Axis) -> NodeId {
    let sum = c.op(Op::Reduce(Monoid::Sum, vec![over]), &[x]);
    let scale = c.b.number(1.0 / 128.0);
    c.map(E::MUL, &[sum, scale])
}

#[test]
#[ignore = "measures"]
fn layer_norm() {
    for rows in [512usize, 65536] {
        let mut c = Case::default();
        let (t, f) = (c.axis("time", rows as i64), c.axis("feature", 128));
        let (x, scale, bias) = (c.float(&[t, f]), c.float(&[f]), c.float(&[f]));
        let mu = mean(&mut c, x, f);
        let centred = c.map(E::SUB, &[x, mu]);
        let square = c.map(E::MUL, &[centred, centred]);
        let var = mean(&mut c, square, f);
        let (eps, one) = (c.b.number(1e-5), c.b.number(1.0));
        let var = c.map(E::ADD, &[var, eps]);
        let deviation = c.map(E::SQRT, &[var]);
        let rstd = c.map(E::DIV, &[one, deviation]);
        let normed = c.map(E::MUL, &[centred, rstd]);
        let scaled = c.map(E::MUL, &[normed, scale]);
        let y = c.map(E::ADD, &[scaled, bias]);
        let body = c.b.finish(vec![y, mu, rstd]);
        measure(&format!("layer norm {rows}x128"), body, &c.axes, &[rows * 128, 128, 128, rows * 128, rows, rows]);
        let mut c = Case::default();
        let (t, f) = (c.axis("time", rows as i64), c.axis("feature", 128));
        let (x, g) = (c.float(&[t, f]), c.float(&[t, f]));
        let dscale = c.op(Op::Contract(vec![t]), &[x, g]);
        let dbias = c.op(Op::Reduce(Monoid::Sum, vec![t]), &[g]);
        let body = c.b.finish(vec![dscale, dbias]);
        measure(&format!("its columns {rows}x128"), body, &c.axes, &[rows * 128, rows * 128, 128, 128]);
        let mut c = Case::default();
        let (t, f) = (c.axis("time", rows as i64), c.axis("feature", 128));
        let x = c.float(&[t, f]);
        let y = c.op(Op::Softmax(vec![f]), &[x]);
        let body = c.b.finish(vec![y]);
        measure(&format!("softmax {rows}x128"), body, &c.axes, &[rows * 128, rows * 128]);
    }
}

#[test]
#[ignore = "measures"]
fn adam() {
    let mut c = Case::default();
    let (i, o) = (c.axis("in", 1000), c.axis("out", 1000));
    let args: Vec<NodeId> = (0..4).map(|_| c.float(&[i, o])).collect();
    let [p, g, m, v] = args[..] else { return };
    let (rate, step) = (c.float(&[]), c.float(&[]));
    let numbers: Vec<NodeId> = [0.9, 0.1, 0.95, 0.05, 1e-8, 0.01, 1.0].iter().map(|&x| c.b.number(x)).collect();
    let [b1, r1, b2, r2, eps, decay, one] = numbers[..] else { return };
    let (m, gm) = (c.map(E::MUL, &[m, b1]), c.map(E::MUL, &[g, r1]));
    let m = c.map(E::ADD, &[m, gm]);
    let gg = c.map(E::MUL, &[g, g]);
    let (v, gv) = (c.map(E::MUL, &[v, b2]), c.map(E::MUL, &[gg, r2]));
    let v = c.map(E::ADD, &[v, gv]);
    let (c1, c2) = (c.map(E::POW, &[b1, step]), c.map(E::POW, &[b2, step]));
    let (c1, c2) = (c.map(E::SUB, &[one, c1]), c.map(E::SUB, &[one, c2]));
    let (mh, vh) = (c.map(E::DIV, &[m, c1]), c.map(E::DIV, &[v, c2]));
    let root = c.map(E::SQRT, &[vh]);
    let root = c.map(E::ADD, &[root, eps]);
    let update = c.map(E::DIV, &[mh, root]);
    let old = c.map(E::MUL, &[p, decay]);
    let update = c.map(E::ADD, &[update, old]);
    let update = c.map(E::MUL, &[update, rate]);
    let new = c.map(E::SUB, &[p, update]);
    let body = c.b.finish(vec![new, m, v]);
    let n = 1_000_000;
    measure("AdamW of 1M", body, &c.axes, &[n, n, n, n, 1, 1, n, n, n]);
}
