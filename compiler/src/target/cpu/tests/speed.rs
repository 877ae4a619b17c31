//! A register tile of a matrix product, timed; run by hand: `cargo test --release -p weft --lib speed -- --ignored --nocapture`.

use std::time::Instant;

use super::super::{Cpu, compile};
use super::{Data, Ready};
use crate::kernel::{Dtype, Kernel, Place, Writer};

/// `c[i, j] = Σ_k a[k, i] b[k, j]` for 14 rows and two vectors: `a` is `[k, 14]`, `b` is `[k, 2 lanes]`, both packed.
fn tile(lanes: u16, rows: u16) -> Kernel {
    let columns = i64::from(lanes) * 2;
    let mut w = Writer::new(vec![Dtype::F32; 3], 1);
    let (zero, depth) = (w.int(0), w.size(0));
    let nothing = w.constant(Dtype::F32, lanes, 0.0);
    let start = vec![nothing; 2 * usize::from(rows)];
    let sums = w.repeat((zero, depth, 1), &start, |w, k, inside| {
        let (height, width) = (w.int(i64::from(rows)), w.int(columns));
        let (row, column) = (w.mul(k, height), w.mul(k, width));
        let second = w.int(i64::from(lanes));
        let second = w.add(column, second);
        let b = [
            w.load(Place::Arg(1), column, lanes, None),
            w.load(Place::Arg(1), second, lanes, None),
        ];
        let mut next = Vec::new();
        for i in 0..rows {
            let offset = w.int(i64::from(i));
            let at = w.add(row, offset);
            let scalar = w.load(Place::Arg(0), at, 1, None);
            for (j, &b) in b.iter().enumerate() {
                next.push(w.fma(scalar, b, inside[2 * usize::from(i) + j]));
            }
        }
        next
    });
    for (i, &sum) in sums.iter().enumerate() {
        let at = w.int(i as i64 * i64::from(lanes));
        w.store(Place::Arg(2), at, sum, None);
    }
    w.finish()
}

#[test]
#[ignore = "a measurement"]
fn register_tile() {
    let lanes = Cpu::host().machine().lanes;
    let rows = if lanes == 16 { 14 } else { 6 };
    let kernel = tile(lanes, rows);
    let start = Instant::now();
    let objects = compile(&[("kernel".to_string(), &kernel)], &Cpu::host(), false).unwrap();
    println!("compiled in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    std::fs::write(std::env::temp_dir().join("tile.o"), &objects[0]).unwrap();
    let ready = Ready::new(&kernel, false);
    let depth = 384;
    let width = 2 * usize::from(lanes);
    let mut args = [
        Data::F32(vec![0.5; depth * usize::from(rows)]),
        Data::F32(vec![0.25; depth * width]),
        Data::F32(vec![0.0; usize::from(rows) * width]),
    ];
    let times = 20_000;
    let best = (0..10)
        .map(|_| {
            let start = Instant::now();
            ready.run(&mut args, &[depth as i64], times);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    let flops = 2.0 * depth as f64 * f64::from(rows) * width as f64 * times as f64;
    println!("{:.1} GFLOP/s", flops / best / 1e9);
    assert_eq!(args[2].values()[0], 0.125 * depth as f64);
}
