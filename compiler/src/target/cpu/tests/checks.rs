//! Checked code: an access beyond its buffer is left out and reported.

use weft_dsl::elementwise::Elementwise;

use super::{Data, Ready};
use crate::kernel::{Dtype, Kernel, Place, STATUS_BYTES, Writer};

const A: Place = Place::Arg(0);
const B: Place = Place::Arg(1);

/// Copies one vector from one index to another.
fn copy(lanes: u16, from: i64, to: i64) -> Kernel {
    let mut w = Writer::new(vec![Dtype::F32; 2], 0);
    let (from, to) = (w.int(from), w.int(to));
    let value = w.load(A, from, lanes, None);
    w.store(B, to, value, None);
    w.finish()
}

fn buffers() -> [Data; 2] {
    [Data::F32((1u8..=8).map(f32::from).collect()), Data::F32(vec![0.0; 8])]
}

#[test]
fn faults_are_reported_and_left_out() {
    for (lanes, from, to, status, want) in [
        (4, 0, 0, (0, 0), [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]),
        (4, 6, 0, (1, 8), [7.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        (4, -2, 0, (1, -2), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        (4, 0, 5, (2, 8), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]),
        (1, 0, 7, (0, 0), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        (1, 8, 0, (1, 8), [0.0; 8]),
        (1, 0, -1, (2, -1), [0.0; 8]),
        // The first fault is kept.
        (4, 7, 7, (1, 8), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0]),
    ] {
        let mut args = buffers();
        let found = Ready::new(&copy(lanes, from, to), true).run(&mut args, &[], 1);
        assert_eq!((found, &args[1]), (status, &Data::F32(want.to_vec())), "{lanes} lanes, {from} to {to}");
    }
}

#[test]
fn masked_lanes_are_not_checked() {
    let mut w = Writer::new(vec![Dtype::F32; 2], 1);
    let (six, zero, eight, size) = (w.int(6), w.int(0), w.int(8), w.size(0));
    let iota = w.iota(Dtype::I64, 4);
    let each = w.add(six, iota);
    let bound = w.add(eight, size);
    let mask = w.map(Elementwise::LT, &[each, bound]);
    let value = w.load(A, six, 4, Some(mask));
    w.store(B, zero, value, None);
    let ready = Ready::new(&w.finish(), true);
    assert_eq!(ready.run(&mut buffers(), &[0], 1), (0, 0));
    assert_eq!(ready.run(&mut buffers(), &[1], 1), (1, 8));
}

#[test]
fn gathers_report_the_lane_that_faults() {
    let mut w = Writer::new(vec![Dtype::F32, Dtype::F32, Dtype::I32], 0);
    let zero = w.int(0);
    let index = w.load(Place::Arg(2), zero, 4, None);
    let value = w.gather(A, index, None);
    w.scatter(B, index, value, None);
    let ready = Ready::new(&w.finish(), true);
    let [a, b] = buffers();
    let mut args = [a, b, Data::I32(vec![3, 0, 70, -1])];
    assert_eq!(ready.run(&mut args, &[], 1), (1, 70));
    assert_eq!(args[1].values(), [1.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn scratch_memory_is_the_argument_after_the_last() {
    let mut w = Writer::new(vec![Dtype::F32; 2], 0);
    let place = w.scratch(Dtype::F32, 16);
    let at = w.int(14);
    let value = w.load(A, at, 4, None);
    w.store(place, at, value, None);
    let kernel = w.finish();
    assert_eq!(kernel.scratch, STATUS_BYTES + 64);
    let mut args = [Data::F32(vec![1.0; 32]), Data::F32(vec![])];
    assert_eq!(Ready::new(&kernel, true).run(&mut args, &[], 1), (3, 16));
}
