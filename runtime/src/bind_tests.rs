//! Tests of binding: solved sizes, and every message that a user may meet.

use super::*;
use crate::plan::Limit;

fn size(terms: &[(i64, &[u32])]) -> Size {
    Size { terms: terms.iter().map(|(c, v)| (*c, v.to_vec())).collect() }
}

fn port(name: &str, axes: &[(&str, Size)], bound: Option<Size>) -> Port {
    Port {
        name: name.into(),
        axes: axes.iter().map(|(n, s)| (n.to_string(), s.clone())).collect(),
        bound,
        or: None,
        buffer: 0,
    }
}

fn program() -> Program {
    let (batch, time) = (size(&[(1, &[0])]), size(&[(1, &[1])]));
    Program {
        name: "forward".into(),
        sizes: vec!["batch".into(), "time".into()],
        inputs: vec![
            port("pairs", &[("pair", size(&[(2, &[1]), (1, &[])]))], None),
            port("ids", &[("batch", batch.clone()), ("time", time.clone())], Some(size(&[(65, &[])]))),
            port("square", &[("all", size(&[(1, &[0, 1])]))], None),
        ],
        limits: vec![
            Limit { size: time.clone(), at_most: size(&[(64, &[])]), why: "axis `position` has 64 places".into() },
            Limit { size: size(&[(1, &[])]), at_most: batch, why: "`argmax` needs a place on the axis `batch`".into() },
            Limit { size: time, at_most: size(&[(32, &[0])]), why: "each row has 32 tokens".into() },
        ],
        ..Program::default()
    }
}

fn bind(pairs: usize, ids: &[usize], square: usize) -> Result<Vec<i64>> {
    let tensor = |shape: &[usize]| Tensor::f32(shape, vec![0.0; shape.iter().product()]).unwrap();
    sizes(&program(), &[&tensor(&[pairs]), &tensor(ids), &tensor(&[square])], &[])
}

#[test]
fn sizes_are_solved_and_checked() {
    assert_eq!(bind(7, &[2, 3], 6).unwrap(), [2, 3]);
    assert_eq!(bind(1, &[2, 0], 0).unwrap(), [2, 0]);
    let message = |result: Result<Vec<i64>>| result.unwrap_err().to_string();
    assert_eq!(
        message(bind(8, &[2, 3], 6)),
        "input `pairs`, axis `pair`: expected 7, found 8 (`time` is 3 in axis `time` of `ids`)"
    );
    assert_eq!(
        message(bind(7, &[2, 3], 5)),
        "input `square`, axis `all`: expected 6, found 5 (`batch` is 2 in axis `batch` of `ids`)"
    );
    assert_eq!(message(bind(7, &[6], 6)), "input `ids` has the axes [batch, time], found a tensor of shape [6]");
    assert_eq!(message(bind(131, &[1, 65], 65)), "`time` is 65, at most 64 is possible: axis `position` has 64 places");
    assert_eq!(message(bind(67, &[1, 33], 33)), "`time` is 33, at most 32 is possible: each row has 32 tokens");
    assert_eq!(
        message(bind(7, &[0, 3], 0)),
        "`batch` is 0, at least 1 is needed: `argmax` needs a place on the axis `batch`"
    );
}

#[test]
fn a_multiple_alone_tells_its_variable() {
    let mut program = program();
    program.inputs.truncate(1);
    program.sizes = vec!["unused".into(), "time".into()];
    let tensor = Tensor::f32(&[9], vec![0.0; 9]).unwrap();
    let error = sizes(&program, &[&tensor], &[]).unwrap_err();
    assert_eq!(error.to_string(), "no input of `forward` tells the size `unused`");
    program.inputs[0].axes[0].1 = size(&[(2, &[0]), (1, &[])]);
    program.sizes = vec!["time".into()];
    program.limits.clear();
    assert_eq!(sizes(&program, &[&tensor], &[]).unwrap(), [4]);
}

#[test]
fn sizes_that_overflow_are_errors() {
    assert!(value(&size(&[(1, &[0, 0, 0])]), &[1 << 40]).is_err());
    assert!(value(&size(&[(-1, &[0])]), &[1]).is_err());
    assert!(value(&size(&[(1, &[3])]), &[1]).is_err());
    assert_eq!(signed(&size(&[(-1, &[0])]), &[2]).unwrap(), -2);
    assert_eq!(value(&Size::default(), &[]).unwrap(), 0);
}

#[test]
fn indices_are_checked_and_named() {
    let port = &program().inputs[1];
    let mut out = [0; 16];
    let ids = Tensor::i64(&[2, 2], vec![0, 1, 64, 3]).unwrap();
    write_input(port, Some(65), Dtype::I32, &ids, &mut out).unwrap();
    assert_eq!(get(&out, i32::from_le_bytes), [0, 1, 64, 3]);
    let message = |t: Tensor| write_input(port, Some(65), Dtype::I32, &t, &mut [0; 16]).unwrap_err().to_string();
    let ids = Tensor::i32(&[2, 2], vec![0, 1, 65, 3]).unwrap();
    assert_eq!(message(ids), "input `ids` at [1, 0]: the index 65 is outside 0..65");
    let ids = Tensor::i64(&[2, 2], vec![0, -1, 65, 3]).unwrap();
    assert_eq!(message(ids), "input `ids` at [0, 1]: the index -1 is outside 0..65");
    let labels = Port { or: Some(-100), ..port.clone() };
    let ids = Tensor::i64(&[2, 2], vec![0, -100, 64, 3]).unwrap();
    write_input(&labels, Some(65), Dtype::I32, &ids, &mut out).unwrap();
    let ids = Tensor::i64(&[2, 2], vec![0, -1, 64, 3]).unwrap();
    let error = write_input(&labels, Some(65), Dtype::I32, &ids, &mut out).unwrap_err().to_string();
    assert_eq!(error, "input `ids` at [0, 1]: the index -1 is outside 0..65 and is not -100");
    let ids = Tensor::f32(&[2, 2], vec![0.0; 4]).unwrap();
    assert_eq!(message(ids), "input `ids` takes integers (i64 or i32), found f32");
    let free = &program().inputs[0];
    let wide = Tensor::i64(&[1], vec![1 << 31]).unwrap();
    let error = write_input(free, None, Dtype::I32, &wide, &mut [0; 4]).unwrap_err();
    assert_eq!(error.to_string(), "input `pairs` at [0]: 2147483648 exceeds 32 bits");
}

#[test]
fn booleans_are_zero_or_one() {
    let mut out = [9; 3];
    let mask = Tensor::i64(&[3], vec![0, -4, 1]).unwrap();
    write_input(&program().inputs[0], None, Dtype::Bool, &mask, &mut out).unwrap();
    assert_eq!(out, [0, 1, 1]);
}

#[test]
fn a_ring_has_no_more_room_than_there_is() {
    use crate::plan::{of_ring, room, turn};
    let of = |window, past| [room(window), turn(window)].map(|name| of_ring(&name, past, 10).unwrap());
    assert_eq!([of(4, 3), of(4, 4), of(4, 9), of(40, 9)], [[4, 3], [4, 0], [4, 1], [10, 9]]);
    assert!(of_ring("kept.past", 3, 10).is_none() && of_ring("time", 3, 10).is_none());
}
