//! Loops, conditions, masks, gathers, folds, shuffles, conversions, random words.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Monoid;

use super::{Data, run};
use crate::kernel::{Dtype, Inst, Kernel, Place, Reg, Shape, Stmt, Writer};

const A: Place = Place::Arg(0);
const B: Place = Place::Arg(1);

#[test]
fn a_loop_hands_values_on() {
    // Fibonacci numbers: two values that take turns; nothing is done for a bound that is not above the start.
    let mut w = Writer::new(vec![Dtype::I64], 1);
    let (zero, one, count) = (w.int(0), w.int(1), w.size(0));
    let last = w.repeat((zero, count, 1), &[zero, one], |w, _, inside| {
        let sum = w.add(inside[0], inside[1]);
        vec![inside[1], sum]
    });
    let tile = w.tile();
    w.store(A, tile, last[0], None);
    let kernel = w.finish();
    for (count, want) in [(10, 55), (1, 1), (0, 0), (-3, 0)] {
        let mut args = [Data::I64(vec![-1; 3])];
        run(&kernel, &mut args, &[count], 2);
        assert_eq!(args[0], Data::I64(vec![want, want, -1]));
    }
}

#[test]
fn loops_nest_and_step() {
    // Σ i·j over i in 0..5 by 2, j in i..4
    let mut w = Writer::new(vec![Dtype::I64], 0);
    let (zero, five, four) = (w.int(0), w.int(5), w.int(4));
    let total = w.repeat((zero, five, 2), &[zero], |w, i, outer| {
        w.repeat((i, four, 1), &[outer[0]], |w, j, inner| {
            let product = w.mul(i, j);
            vec![w.add(inner[0], product)]
        })
    });
    w.store(A, zero, total[0], None);
    let mut args = [Data::I64(vec![0])];
    run(&w.finish(), &mut args, &[], 1);
    assert_eq!(args[0], Data::I64(vec![2 * (2 + 3)]));
}

#[test]
fn a_condition_chooses() {
    let shape = Shape { dtype: Dtype::I64, lanes: 1 };
    let truth = Shape { dtype: Dtype::Bool, lanes: 1 };
    let number = |v: f64| Inst::Constant(weft_dsl::op::Number(v));
    let body = vec![
        Stmt::Let(Reg(0), Inst::Tile),
        Stmt::Let(Reg(1), number(2.0)),
        Stmt::Let(Reg(2), Inst::Map(Elementwise::LT, vec![Reg(0), Reg(1)])),
        Stmt::If {
            cond: Reg(2),
            then: vec![Stmt::Store(A, Reg(0), Reg(1), None)],
            otherwise: vec![Stmt::Store(A, Reg(0), Reg(0), None)],
        },
    ];
    let registers = vec![shape, shape, truth];
    let kernel = Kernel { args: vec![Dtype::I64], sizes: 0, scratch: 64, registers, body, far: Vec::new(), product: None };
    let mut args = [Data::I64(vec![-1; 5])];
    run(&kernel, &mut args, &[], 4);
    assert_eq!(args[0], Data::I64(vec![2, 2, 2, 3, -1]));
}

/// Copies `count` elements, the last vector masked.
fn copy(dtype: Dtype, lanes: u16) -> Kernel {
    let mut w = Writer::new(vec![dtype, dtype], 1);
    let (zero, count) = (w.int(0), w.size(0));
    w.repeat((zero, count, u32::from(lanes)), &[], |w, at, _| {
        let iota = w.iota(Dtype::I64, lanes);
        let each = w.add(at, iota);
        let mask = w.map(Elementwise::LT, &[each, count]);
        let value = w.load(A, at, lanes, Some(mask));
        w.store(B, at, value, Some(mask));
        Vec::new()
    });
    w.finish()
}

#[test]
fn masked_lanes_are_left_alone() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::I32, Dtype::I64, Dtype::Bool] {
        for lanes in [1, 4, 8, 16] {
            let values: Vec<f64> = (0..21).map(|i| f64::from(i % 2)).collect();
            let mut args = [Data::new(dtype, &values), Data::new(dtype, &[vec![0.0; 21], vec![1.0; 11]].concat())];
            run(&copy(dtype, lanes), &mut args, &[21], 1);
            assert_eq!(args[1], Data::new(dtype, &[values, vec![1.0; 11]].concat()), "{dtype:?}x{lanes}");
        }
    }
}

#[test]
fn gathers_and_scatters_take_an_index_each() {
    for lanes in [1, 8, 16] {
        for index in [Dtype::I32, Dtype::I64] {
            for dtype in [Dtype::F32, Dtype::I32, Dtype::F64, Dtype::Bool] {
                let mut w = Writer::new(vec![dtype, dtype, index], 0);
                let (zero, tile) = (w.int(0), w.tile());
                let lane = w.int(i64::from(lanes));
                let at = w.mul(tile, lane);
                let places = w.load(Place::Arg(2), at, lanes, None);
                let limit = w.constant(index, lanes, 12.0);
                let mask = w.map(Elementwise::LT, &[places, limit]);
                let values = w.gather(A, places, Some(mask));
                w.scatter(B, places, values, None);
                let _ = zero;
                let order: Vec<f64> = (0..16).map(|i| f64::from((i * 5) % 16)).collect();
                let values: Vec<f64> = (0..16).map(|i| f64::from(i % 3 % 2)).collect();
                let want: Vec<f64> = values.iter().enumerate().map(|(i, &v)| if i < 12 { v } else { 0.0 }).collect();
                let mut args = [Data::new(dtype, &values), Data::new(dtype, &[1.0; 16]), Data::new(index, &order)];
                run(&w.finish(), &mut args, &[], 16 / i64::from(lanes));
                assert_eq!(args[1], Data::new(dtype, &want), "{dtype:?} by {index:?}x{lanes}");
            }
        }
    }
}

#[test]
fn folds_join_halves() {
    // In this order the sum is exact; any other loses the ones.
    let values = [1e8, 1.0, 0.0, 0.0, -1e8, 2.0, 0.0, 4.0];
    for (monoid, want) in [(Monoid::Sum, 7.0), (Monoid::Max, 1e8), (Monoid::Min, -1e8), (Monoid::Product, 0.0)] {
        let mut w = Writer::new(vec![Dtype::F32; 2], 0);
        let zero = w.int(0);
        let vector = w.load(A, zero, 8, None);
        let folded = w.fold(monoid, vector);
        w.store(B, zero, folded, None);
        let mut args = [Data::new(Dtype::F32, &values), Data::F32(vec![9.0])];
        run(&w.finish(), &mut args, &[], 1);
        assert_eq!(args[1].values(), [want], "{monoid:?}");
    }
    for (monoid, want) in [(Monoid::All, 0), (Monoid::Any, 1)] {
        let mut w = Writer::new(vec![Dtype::Bool; 2], 0);
        let zero = w.int(0);
        let vector = w.load(A, zero, 4, None);
        let folded = w.fold(monoid, vector);
        w.store(B, zero, folded, None);
        let mut args = [Data::Bool(vec![0, 1, 0, 1]), Data::Bool(vec![9])];
        run(&w.finish(), &mut args, &[], 1);
        assert_eq!(args[1], Data::Bool(vec![want]));
    }
}

#[test]
fn lanes_move() {
    let mut w = Writer::new(vec![Dtype::I32; 2], 0);
    let (zero, four) = (w.int(0), w.int(4));
    let (a, b) = (w.load(A, zero, 4, None), w.load(A, four, 4, None));
    let mixed = w.shuffle(a, b, vec![7, 0, 4, 3]);
    let third = w.extract(mixed, 2);
    let everywhere = w.splat(third, 4);
    w.store(B, zero, mixed, None);
    w.store(B, four, everywhere, None);
    let mut args = [Data::I32((10..18).collect()), Data::I32(vec![0; 8])];
    run(&w.finish(), &mut args, &[], 1);
    assert_eq!(args[1], Data::I32(vec![17, 10, 14, 13, 14, 14, 14, 14]));
}

#[test]
fn scratch_memory_holds_values() {
    let mut w = Writer::new(vec![Dtype::F32], 0);
    let place = w.scratch(Dtype::F32, 20);
    let other = w.scratch(Dtype::F32, 4);
    let (zero, three) = (w.int(0), w.int(3));
    let values = w.load(A, zero, 8, None);
    w.store(place, three, values, None);
    w.store(other, zero, zero_of(values), None);
    let back = w.load(place, three, 8, None);
    let twice = w.add(back, values);
    w.store(A, zero, twice, None);
    let mut args = [Data::F32((0u8..8).map(f32::from).collect())];
    run(&w.finish(), &mut args, &[], 1);
    assert_eq!(args[0], Data::F32((0u8..8).map(|v| f32::from(v) * 2.0).collect()));
}

/// The same register: what the other place holds does not matter.
fn zero_of(reg: Reg) -> Reg {
    reg
}

#[test]
fn conversions_truncate_and_saturate() {
    let values = [0.0, -0.5, 1.9, -1.9, 3e9, -3e9, f64::NAN, f64::INFINITY];
    for lanes in [1, 8] {
        for (from, to) in [
            (Dtype::F32, Dtype::I32),
            (Dtype::F32, Dtype::I64),
            (Dtype::F64, Dtype::I32),
            (Dtype::F64, Dtype::F32),
            (Dtype::F32, Dtype::F64),
            (Dtype::F32, Dtype::Bool),
            (Dtype::F64, Dtype::Bool),
            (Dtype::I32, Dtype::F32),
            (Dtype::I32, Dtype::I64),
            (Dtype::I64, Dtype::I32),
            (Dtype::I64, Dtype::F64),
            (Dtype::I32, Dtype::Bool),
            (Dtype::Bool, Dtype::F32),
            (Dtype::Bool, Dtype::I32),
        ] {
            let mut w = Writer::new(vec![from, to], 0);
            let (tile, count) = (w.tile(), w.int(i64::from(lanes)));
            let at = w.mul(tile, count);
            let value = w.load(A, at, lanes, None);
            let converted = w.convert(value, to);
            w.store(B, at, converted, None);
            let given = Data::new(from, &values);
            let mut args = [given.clone(), Data::new(to, &[0.0; 8])];
            run(&w.finish(), &mut args, &[], 8 / i64::from(lanes));
            let want = match (from, to) {
                (Dtype::I64, Dtype::I32) => Data::I32(given.values().iter().map(|&v| v as i64 as i32).collect()),
                _ => Data::new(to, &given.values()),
            };
            let same = want.values().iter().zip(args[1].values()).all(|(a, b)| *a == b || (a.is_nan() && b.is_nan()));
            assert!(same, "{from:?} to {to:?}x{lanes}: {:?}, not {want:?}", args[1]);
        }
    }
}

#[test]
fn philox_gives_the_known_answers() {
    // From the tests of Random123, the authors' library.
    let cases: [([u32; 2], [u32; 4], [u32; 4]); 3] = [
        ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([!0; 2], [!0; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0xa409_3822, 0x299f_31d0],
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for lanes in [1, 16] {
        for (key, counter, want) in cases {
            let mut w = Writer::new(vec![Dtype::I32], 0);
            let key = key.map(|k| w.constant(Dtype::I32, lanes, f64::from(k)));
            let counter = counter.map(|c| w.constant(Dtype::I32, lanes, f64::from(c)));
            for word in 0..4u8 {
                let value = w.philox(key, counter, word);
                let first = if lanes == 1 { value } else { w.extract(value, lanes - 1) };
                let at = w.int(i64::from(word));
                w.store(A, at, first, None);
            }
            let mut args = [Data::I32(vec![0; 4])];
            run(&w.finish(), &mut args, &[], 1);
            assert_eq!(args[0], Data::I32(want.map(|v| v as i32).to_vec()));
        }
    }
}
