//! How far the functions of F32 are from the true values, over arguments of all sizes.

use weft_dsl::elementwise::Elementwise;

use super::super::Cpu;
use super::{Data, Ready};
use crate::kernel::{Dtype, Kernel, Place, Writer};

/// How far a float is from the true value, in units of its last place.
pub fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if (got.is_nan() && want.is_nan()) || (got == rounded && !got.is_finite()) {
        return 0.0;
    }
    if got.is_infinite() && !rounded.is_infinite() || got.is_nan() || want.is_nan() {
        return f64::INFINITY;
    }
    // As if there were numbers beyond the largest.
    let got = if got.is_infinite() { f64::from(f32::MAX) } else { f64::from(got) };
    let exponent = want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (got - want).abs() / (exponent.min(127.0) - 23.0).exp2()
}

fn kernel(op: Elementwise, lanes: u16) -> Kernel {
    let arity = op.row().arity as u32;
    let mut w = Writer::new(vec![Dtype::F32; arity as usize + 1], 1);
    let (zero, count) = (w.int(0), w.size(0));
    w.repeat((zero, count, u32::from(lanes)), &[], |w, at, _| {
        let operands: Vec<_> = (0..arity).map(|i| w.load(Place::Arg(i), at, lanes, None)).collect();
        let value = w.map(op, &operands);
        w.store(Place::Arg(arity), at, value, None);
        Vec::new()
    });
    w.finish()
}

fn apply(op: Elementwise, lanes: u16, columns: &[Vec<f32>]) -> Vec<f32> {
    apply_on(&Cpu::host(), op, lanes, columns)
}

fn apply_on(cpu: &Cpu, op: Elementwise, lanes: u16, columns: &[Vec<f32>]) -> Vec<f32> {
    let mut args: Vec<Data> = columns.iter().map(|column| Data::F32(column.clone())).collect();
    args.push(Data::F32(vec![0.0; columns[0].len()]));
    Ready::on(cpu, &kernel(op, lanes), false).run(&mut args, &[columns[0].len() as i64], 1);
    match args.pop() {
        Some(Data::F32(values)) => values,
        _ => unreachable!("the last was just added"),
    }
}

/// The largest error over arguments, and where.
fn worst(op: Elementwise, columns: &[Vec<f32>], lanes: u16) -> (f64, Vec<f32>) {
    let results = apply(op, lanes, columns);
    let mut worst = (0.0, Vec::new());
    for (at, &got) in results.iter().enumerate() {
        let operands: Vec<f64> = columns.iter().map(|column| f64::from(column[at])).collect();
        let want = (op.row().eval)(&operands);
        // Of `exp`, what is no normal number is 0.
        if op == Elementwise::EXP && want < f64::from(f32::MIN_POSITIVE) && got == 0.0 {
            continue;
        }
        let error = ulps(got, want);
        if error > worst.0 {
            worst = (error, columns.iter().map(|column| column[at]).collect());
        }
    }
    worst
}

/// Every `stride`-th float.
fn floats(stride: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..=u32::MAX).step_by(stride).map(f32::from_bits).collect();
    values.truncate(values.len() / 16 * 16);
    values
}

/// Evenly spaced.
fn grid(from: f64, to: f64) -> Vec<f32> {
    (0..1 << 19).map(|i| (from + (to - from) * f64::from(i) / f64::from(1 << 19)) as f32).collect()
}

#[test]
fn errors_are_small() {
    let mut report = String::new();
    let mut good = true;
    for (op, from, to, bound) in [
        (Elementwise::EXP, -104.0, 89.0, 0.9),
        (Elementwise::LOG, 0.0, 4.0, 0.9),
        (Elementwise::LOG1P, -1.0, 4.0, 0.9),
        (Elementwise::TANH, -10.0, 10.0, 2.6),
        (Elementwise::ERF, -4.5, 4.5, 1.4),
        (Elementwise::SIN, -1e4, 1e4, 1.6),
        (Elementwise::COS, -1e4, 1e4, 1.6),
    ] {
        let everywhere: Vec<f32> = floats(4099)
            .into_iter()
            .filter(|v| !matches!(op, Elementwise::SIN | Elementwise::COS) || v.abs() < 40f32.exp2() || !v.is_finite())
            .collect();
        let everywhere = everywhere[..everywhere.len() / 16 * 16].to_vec();
        for values in [everywhere, grid(from, to), grid(-0.5, 0.5)] {
            let (error, at) = worst(op, &[values], 16);
            report += &format!("{op:?} {error:.3} at {at:?}\n");
            good &= error <= bound;
        }
    }
    assert!(good, "{report}");
}

#[test]
fn powers_are_close() {
    let bases = floats(4099);
    let mut state = 1u32;
    let mut draw = |scale: f32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32 * scale
    };
    for scale in [1.0, 3.0, 40.0] {
        let exponents: Vec<f32> = bases.iter().map(|_| draw(scale)).collect();
        let (error, at) = worst(Elementwise::POW, &[bases.clone(), exponents.clone()], 16);
        assert!(error <= 0.6, "{error} at {at:?}");
        let (error, at) = worst(Elementwise::POW, &[bases.clone(), exponents.iter().map(|b| b.round()).collect()], 16);
        assert!(error <= 0.6, "{error} at {at:?}");
    }
    let near: Vec<f32> = bases.iter().map(|_| 1.0 + draw(0.01)).collect();
    let large: Vec<f32> = bases.iter().map(|_| draw(8000.0)).collect();
    let (error, at) = worst(Elementwise::POW, &[near, large], 16);
    assert!(error <= 0.6, "{error} at {at:?}");
}

#[test]
fn scalars_and_lower_levels_have_the_same_bits() {
    let values: Vec<f32> = floats(70_001).into_iter().chain(grid(-8.0, 8.0).into_iter().step_by(64)).collect();
    let values = values[..values.len() / 16 * 16].to_vec();
    let host = Cpu::host();
    // Without `fma` instructions the C library's function is called.
    let levels = ["x86-64", "x86-64-v2", "x86-64-v3"].map(|name| Cpu::named(name).expect("a level"));
    let levels = levels.into_iter().filter(|level| level.triple == host.triple && level.name <= host.name);
    let levels: Vec<Cpu> = levels.chain([host.clone()]).collect();
    for name in ["exp", "log", "log1p", "tanh", "erf", "sin", "cos", "pow"] {
        let op = Elementwise::named(name).expect("a row");
        let mut columns = vec![values.clone()];
        if op.row().arity == 2 {
            columns.push(values.iter().rev().copied().collect());
        }
        let bits = |cpu: &Cpu, lanes| -> Vec<u32> {
            apply_on(cpu, op, lanes, &columns).iter().map(|v| if v.is_nan() { 1 } else { v.to_bits() }).collect()
        };
        let scalar = bits(&host, 1);
        for level in &levels {
            assert!([4, 8, 16].iter().all(|&lanes| bits(level, lanes) == scalar), "{name} on {}", level.name);
        }
    }
}

#[test]
fn special_values_are_exact() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for (name, a, b, want) in [
        ("exp", -inf, 0.0, 0.0),
        ("exp", inf, 0.0, inf),
        ("exp", 0.0, 0.0, 1.0),
        ("exp", 89.0, 0.0, inf),
        ("exp", -110.0, 0.0, 0.0),
        ("log", 1.0, 0.0, 0.0),
        ("log", 0.0, 0.0, -inf),
        ("log", inf, 0.0, inf),
        ("log", -1.0, 0.0, nan),
        ("log1p", -1.0, 0.0, -inf),
        ("log1p", inf, 0.0, inf),
        ("log1p", -0.0, 0.0, -0.0),
        ("log1p", -2.0, 0.0, nan),
        ("tanh", inf, 0.0, 1.0),
        ("tanh", -inf, 0.0, -1.0),
        ("tanh", -0.0, 0.0, -0.0),
        ("erf", inf, 0.0, 1.0),
        ("erf", -0.0, 0.0, -0.0),
        ("sin", -0.0, 0.0, -0.0),
        ("sin", inf, 0.0, nan),
        ("cos", 0.0, 0.0, 1.0),
        ("pow", nan, 0.0, 1.0),
        ("pow", 1.0, nan, 1.0),
        ("pow", -1.0, inf, 1.0),
        ("pow", 0.5, inf, 0.0),
        ("pow", 2.0, -inf, 0.0),
        ("pow", -2.0, 3.0, -8.0),
        ("pow", -2.0, 2.0, 4.0),
        ("pow", -2.0, 0.5, nan),
        ("pow", -0.0, 3.0, -0.0),
        ("pow", -0.0, -3.0, -inf),
        ("pow", 0.0, -2.0, inf),
        ("pow", -inf, 3.0, -inf),
        ("pow", -inf, -2.0, 0.0),
        ("pow", inf, 0.5, inf),
        ("pow", 2.0, 1000.0, inf),
        ("pow", 3.0, 2.0, 9.0),
    ] {
        let op = Elementwise::named(name).expect("a row");
        let columns = [vec![a; 16], vec![b; 16]][..op.row().arity].to_vec();
        for got in apply(op, 16, &columns) {
            assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{name} {a} {b}: {got}, not {want}");
        }
    }
}

#[test]
fn exp_never_falls() {
    let values = grid(-104.5, 89.5);
    let results = apply(Elementwise::EXP, 16, std::slice::from_ref(&values));
    for i in 1..values.len() {
        assert!(results[i] >= results[i - 1], "exp {} > exp {}", values[i - 1], values[i]);
    }
}
