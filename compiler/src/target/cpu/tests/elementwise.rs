//! Every row of the operator table in every type that it takes, against the row's own value.

use weft_dsl::elementwise::{Elementwise, Signature};

use super::super::{Cpu, compile};
use super::{Data, Loaded, run};
use crate::kernel::{Dtype, Kernel, Place, Writer};

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.75,
    2.0,
    3.0,
    -3.0,
    1e-3,
    0.1,
    7.25,
    -12.5,
    80.0,
    -80.0,
    1e-40,
    -1e-40,
    1e30,
    -1e30,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1.17e-38,
    16_777_216.0,
];
const INTEGERS: &[f64] = &[0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 7.0, -7.0, 100.0, -100.0, 40_000.0, -12_345.0];
const TRUTHS: &[f64] = &[0.0, 1.0];

fn takes(op: Elementwise, dtype: Dtype) -> bool {
    match op.row().signature {
        Signature::Number => dtype != Dtype::Bool,
        Signature::Real => dtype.is_float(),
        Signature::Integer => matches!(dtype, Dtype::I32 | Dtype::I64),
        Signature::Logic => dtype == Dtype::Bool,
        Signature::Compare | Signature::Select => true,
    }
}

/// The element of each operand, then of the result.
fn elements(op: Elementwise, dtype: Dtype) -> Vec<Dtype> {
    let row = op.row();
    let mut elements = vec![dtype; row.arity + 1];
    match row.signature {
        Signature::Select => elements[0] = Dtype::Bool,
        Signature::Compare => elements[row.arity] = Dtype::Bool,
        _ => {}
    }
    elements
}

fn kernel(op: Elementwise, dtype: Dtype, lanes: u16) -> Kernel {
    let elements = elements(op, dtype);
    let mut w = Writer::new(elements.clone(), 1);
    let (zero, count) = (w.int(0), w.size(0));
    w.repeat((zero, count, u32::from(lanes)), &[], |w, at, _| {
        let operands: Vec<_> = (0..op.row().arity as u32).map(|i| w.load(Place::Arg(i), at, lanes, None)).collect();
        let value = w.map(op, &operands);
        w.store(Place::Arg(op.row().arity as u32), at, value, None);
        Vec::new()
    });
    w.finish()
}

/// All combinations of values, a column for each operand.
fn columns(op: Elementwise, dtype: Dtype) -> Vec<Vec<f64>> {
    let elements = elements(op, dtype);
    let mut rows: Vec<Vec<f64>> = vec![Vec::new()];
    for element in &elements[..op.row().arity] {
        let values = match element {
            Dtype::F32 | Dtype::F64 => FLOATS,
            Dtype::I32 | Dtype::I64 => INTEGERS,
            Dtype::Bool => TRUTHS,
        };
        rows = rows.iter().flat_map(|row| values.iter().map(move |&v| [row.as_slice(), &[v]].concat())).collect();
    }
    if matches!(op, Elementwise::SIN | Elementwise::COS) {
        // Beyond what the functions of F32 know.
        rows.retain(|row| !row[0].is_finite() || row[0].abs() < 1e12);
    }
    if op.row().signature == Signature::Integer {
        rows.retain(|row| row[1] != 0.0);
    }
    while !rows.len().is_multiple_of(16) {
        rows.push(rows[0].clone());
    }
    (0..op.row().arity).map(|i| rows.iter().map(|row| row[i]).collect()).collect()
}

fn close(op: Elementwise, dtype: Dtype, got: f64, want: f64) -> bool {
    let approximate = matches!(op.name(), "exp" | "log" | "log1p" | "sin" | "cos" | "tanh" | "erf" | "pow");
    if got.is_nan() || want.is_nan() {
        return got.is_nan() && want.is_nan();
    }
    match dtype {
        Dtype::F32 if approximate => super::functions::ulps(got as f32, want) <= 4.0,
        Dtype::F32 => (got as f32).to_bits() == (want as f32).to_bits(),
        Dtype::F64 if approximate => got == want || (got - want).abs() <= 1e-14 * want.abs(),
        Dtype::F64 => got.to_bits() == want.to_bits(),
        _ => got == want,
    }
}

#[test]
fn every_row_has_its_value() {
    let mut cases = Vec::new();
    for op in Elementwise::all() {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::I32, Dtype::I64, Dtype::Bool] {
            if takes(op, dtype) {
                cases.extend([1, 4, 16].map(|lanes| (op, dtype, lanes, kernel(op, dtype, lanes))));
            }
        }
    }
    let name = |i: usize| format!("k{i}");
    let kernels: Vec<(String, &Kernel)> = cases.iter().enumerate().map(|(i, case)| (name(i), &case.3)).collect();
    let names: Vec<String> = (0..cases.len()).map(name).collect();
    let loaded = Loaded::new(&compile(&kernels, &Cpu::host(), false).unwrap(), &names).unwrap();
    for (i, (op, dtype, lanes, _)) in cases.iter().enumerate() {
        let columns = columns(*op, *dtype);
        let elements = elements(*op, *dtype);
        let count = columns[0].len();
        let mut data: Vec<Data> = columns.iter().zip(&elements).map(|(column, &e)| Data::new(e, column)).collect();
        data.push(Data::new(elements[op.row().arity], &vec![0.0; count]));
        let pointers: Vec<*mut u8> = data.iter_mut().map(|d| d.raw().0).collect();
        let entry = loaded.kernel(&name(i)).unwrap();
        // SAFETY: the buffers hold `count` elements, a multiple of the lanes.
        unsafe { entry(pointers.as_ptr(), [count as i64].as_ptr(), 0, 1, std::ptr::null_mut()) };
        let stored: Vec<Vec<f64>> = data.iter().map(Data::values).collect();
        for at in 0..count {
            let operands: Vec<f64> = stored[..op.row().arity].iter().map(|column| column[at]).collect();
            let (got, want) = (stored[op.row().arity][at], (op.row().eval)(&operands));
            assert!(close(*op, *dtype, got, want), "{op:?} {dtype:?}x{lanes} of {operands:?}: {got:e}, not {want:e}");
        }
    }
}

#[test]
fn division_never_traps() {
    for lanes in [1, 4] {
        for (op, wants) in [(Elementwise::IDIV, [0, i32::MIN, -4, 0]), (Elementwise::MOD, [5, 0, 1, 0])] {
            let mut args = vec![Data::I32(vec![5, i32::MIN, -7, 0]), Data::I32(vec![0, -1, 2, -1]), Data::I32(vec![9; 4])];
            run(&kernel(op, Dtype::I32, lanes), &mut args, &[4], 1);
            assert_eq!(args[2], Data::I32(wants.to_vec()), "{op:?}");
        }
    }
}

#[test]
fn an_operator_refuses_other_types() {
    for (op, dtype) in [(Elementwise::EXP, Dtype::I32), (Elementwise::ADD, Dtype::Bool), (Elementwise::AND, Dtype::F32)] {
        let kernel = kernel(op, dtype, 4);
        let error = compile(&[("k".to_string(), &kernel)], &Cpu::host(), false).unwrap_err();
        assert!(format!("{error:#}").contains("is not of"), "{error:#}");
    }
}
