//! A register tile of a matrix product, timed; run by hand: `cargo test --release -p weft --lib speed -- --ignored --nocapture`.

use std::time::Instant;

use super::super::{Cpu, compile};
use super::{Data, Ready};
use crate::kernel::{Dtype, Kernel, Place, Writer};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Monoid;

/// `c[i, j] = Σ_k a[k, i] b[k, j]` for some rows and two vectors: `a` is packed as `[k, i]`, or as it is, `[i, k]`; `b` is
/// packed as `[k, j]`.
fn tile(lanes: u16, rows: u16, packed: bool) -> Kernel {
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
        let b = [w.load(Place::Arg(1), column, lanes, None), w.load(Place::Arg(1), second, lanes, None)];
        let mut next = Vec::new();
        for i in 0..rows {
            let offset = w.int(i64::from(i));
            let at = if packed {
                w.add(row, offset)
            } else {
                let start = w.mul(offset, depth);
                w.add(start, k)
            };
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
    for packed in [true, false] {
        let ready = Ready::new(&tile(lanes, rows, packed), false);
        let (depth, times, width) = (384, 20_000, 2 * usize::from(lanes));
        let mut args = [
            Data::F32(vec![0.5; depth * usize::from(rows)]),
            Data::F32(vec![0.25; depth * width]),
            Data::F32(vec![0.0; usize::from(rows) * width]),
        ];
        let best = (0..10)
            .map(|_| {
                let start = Instant::now();
                ready.run(&mut args, &[depth as i64], times);
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        let operations = 2.0 * depth as f64 * f64::from(rows) * width as f64 * times as f64;
        println!("packed {packed}: {:.1} GFLOP/s", operations / best / 1e9);
        assert_eq!(args[2].values()[0], 0.125 * depth as f64);
    }
}

/// A row's softmax in three passes, the tail masked.
fn softmax(lanes: u16) -> Kernel {
    let (a, b) = (Place::Arg(0), Place::Arg(1));
    let mut w = Writer::new(vec![Dtype::F32; 2], 1);
    let (zero, size, row) = (w.int(0), w.size(0), w.tile());
    let start = w.mul(row, size);
    let each = |w: &mut Writer, at| {
        let iota = w.iota(Dtype::I64, lanes);
        let place = w.add(at, iota);
        let mask = w.map(Elementwise::LT, &[place, size]);
        (w.add(start, at), mask)
    };
    let low = w.constant(Dtype::F32, lanes, f64::NEG_INFINITY);
    let most = w.repeat((zero, size, u32::from(lanes)), &[low], |w, at, inside| {
        let (at, mask) = each(w, at);
        let value = w.load(a, at, lanes, Some(mask));
        let value = w.map(Elementwise::SELECT, &[mask, value, low]);
        vec![w.map(Elementwise::MAX, &[inside[0], value])]
    });
    let most = w.fold(Monoid::Max, most[0]);
    let nothing = w.constant(Dtype::F32, lanes, 0.0);
    let sum = w.repeat((zero, size, u32::from(lanes)), &[nothing], |w, at, inside| {
        let (at, mask) = each(w, at);
        let value = w.load(a, at, lanes, Some(mask));
        let value = w.sub(value, most);
        let value = w.map(Elementwise::EXP, &[value]);
        w.store(b, at, value, Some(mask));
        let value = w.map(Elementwise::SELECT, &[mask, value, nothing]);
        vec![w.add(inside[0], value)]
    });
    let sum = w.fold(Monoid::Sum, sum[0]);
    w.repeat((zero, size, u32::from(lanes)), &[], |w, at, _| {
        let (at, mask) = each(w, at);
        let value = w.load(b, at, lanes, Some(mask));
        let value = w.map(Elementwise::DIV, &[value, sum]);
        w.store(b, at, value, Some(mask));
        Vec::new()
    });
    w.finish()
}

#[test]
fn a_softmax_sums_to_one() {
    let size = 37;
    let values: Vec<f64> = (0..2 * size).map(|i| f64::from((i * 7) % 11) - 100.0).collect();
    for lanes in [1, 8, 16] {
        let mut args = [Data::new(Dtype::F32, &values), Data::F32(vec![0.0; 2 * size as usize])];
        super::run(&softmax(lanes), &mut args, &[i64::from(size)], 2);
        let result = args[1].values();
        for (row, given) in result.chunks(size as usize).zip(values.chunks(size as usize)) {
            let total: f64 = given.iter().map(|v| v.exp()).sum();
            assert!(row.iter().zip(given).all(|(got, v)| (got - v.exp() / total).abs() < 1e-7));
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn softmax_and_compile_times() {
    let lanes = Cpu::host().machine().lanes;
    let ready = Ready::new(&softmax(lanes), false);
    let (rows, size) = (16, 1000);
    let mut args = [Data::F32(vec![0.5; rows * size]), Data::F32(vec![0.0; rows * size])];
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            ready.run(&mut args, &[size as i64], rows as i64);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("softmax: {:.2} ns an element", best * 1e9 / (rows * size) as f64);
    for (name, kernel) in [("softmax", softmax(lanes)), ("tile", tile(lanes, 14, true))] {
        for checked in [false, true] {
            for count in [1, 4, 16] {
                let kernels: Vec<(String, &Kernel)> = (0..count).map(|i| (format!("k{i}"), &kernel)).collect();
                let start = Instant::now();
                let objects = compile(&kernels, &Cpu::host(), checked).unwrap();
                let compiled = start.elapsed().as_secs_f64() * 1e3;
                let names: Vec<String> = kernels.iter().map(|(name, _)| name.clone()).collect();
                let start = Instant::now();
                super::Loaded::new(&objects, &names).unwrap();
                let loaded = start.elapsed().as_secs_f64() * 1e3;
                println!("{name} x{count}, checked {checked}: {compiled:.1} ms, loading {loaded:.1} ms");
            }
        }
    }
}
