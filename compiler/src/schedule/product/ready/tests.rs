//! Packed columns against columns that are packed while they are multiplied.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::Axis;

use super::ready;
use crate::graph::{Array, Form, Fused, Sizes};
use crate::kernel::interpret;
use crate::schedule::product::schedule;
use crate::schedule::testing::{Case, Chance};
use crate::schedule::{Layout, Machine, Scheduled, Unit};

fn machine(lanes: u16, tiles: bool) -> Machine {
    let unit = if tiles { Unit::Always } else { Unit::Absent };
    Machine { lanes, registers: 32, unit, l1: 32 << 10, l2: 1 << 20, tuning: Default::default() }
}

/// Rows, both column axes, sum.
type Shape = (i64, i64, i64, i64);

/// `time × in` by `head × key × in`, a bias and a sum after it; the rows are free or known.
fn case((rows, heads, keys, sum): Shape, known: bool) -> (crate::schedule::testing::Ready, [Axis; 4]) {
    let mut c = Case::default();
    let t = if known { c.axis("time", rows) } else { c.free("time", rows) };
    let (h, o, i) = (c.axis("head", heads), c.axis("key", keys), c.axis("in", sum));
    let (x, y, bias) = (c.float(&[t, i]), c.float(&[h, o, i]), c.float(&[h, o]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    let z = c.map(E::ADD, &[z, bias]);
    (c.finish(vec![z]), [t, h, o, i])
}

#[test]
fn packed_columns_give_the_same_bits() {
    let shapes = [(5, 1, 37, 32), (33, 3, 8, 48), (7, 1, 1, 16), (130, 2, 100, 272), (0, 2, 3, 16), (9, 1, 200, 528)];
    both(&shapes, false, &|plain, packed| plain.to_bits() == packed.to_bits());
}

/// Their sums are in another order.
#[test]
fn few_rows_of_packed_columns() {
    let shapes = [(1, 1, 37, 32), (2, 3, 8, 48), (3, 1, 1, 16), (4, 2, 100, 272), (1, 1, 40, 4160)];
    both(&shapes, true, &|plain, packed| (plain - packed).abs() < 1e-3);
}

/// Computes products from plain columns and from packed ones; each pair of results must be alike.
fn both(shapes: &[Shape], known: bool, alike: &dyn Fn(f64, f64) -> bool) {
    for (seed, &shape) in (1..).zip(shapes) {
        for (lanes, tiles) in [(16, true), (16, false), (8, false), (4, false)] {
            let (body, [t, h, o, i]) = case(shape, known);
            for columns in [vec![h, o, i], vec![i, h, o]] {
                let inputs = [vec![t, i], columns, vec![h, o]].map(Layout);
                let output = Layout(vec![t, h, o]);
                let fused = Fused { form: Form::Product, body: body.body.clone() };
                let layouts = (&inputs[..], std::slice::from_ref(&output));
                let plain = schedule(&fused, &body.axes, layouts.0, layouts.1, &machine(lanes, tiles)).unwrap();
                let (ready, packed) = ready(&fused, &body.axes, layouts.0, layouts.1, &machine(lanes, tiles))
                    .unwrap()
                    .expect("it can be packed");
                assert_eq!(ready.argument, 1);

                let sizes = Sizes::new(&body.axes, &body.bound);
                let laid = |a: &Array, l: &Layout| a.in_order(&sizes.dims(&l.0).unwrap()).unwrap();
                let arguments = body.arguments(&mut Chance(seed));
                let mut memory: Vec<Vec<f64>> = arguments.iter().zip(&inputs).map(|(a, l)| laid(a, l)).collect();
                memory.push(vec![f64::NAN; sizes.dims(&output.0).unwrap().iter().map(|d| d.1).product()]);
                let run = |scheduled: &Scheduled, memory: &mut Vec<Vec<f64>>| {
                    let value = |size: &Size| sizes.value(size).unwrap();
                    let values: Vec<i64> = scheduled.sizes.iter().map(value).collect();
                    let count = |(size, block): &(Size, u64)| (value(size) as u64).div_ceil(*block) as i64;
                    let tiles = scheduled.tiles.iter().map(count).product();
                    interpret::run(&scheduled.kernel, memory, &values, tiles, false).unwrap();
                };
                // Two matrices one after another; the second is the product's.
                let mut both = vec![
                    [vec![7.0; memory[1].len()], memory[1].clone()].concat(),
                    vec![f64::NAN; 2 * ready.packed_volume() as usize],
                ];
                run(&ready.pack(2), &mut both);
                let mut packed_memory = memory.clone();
                packed_memory[1] = both[1].split_off(ready.packed_volume() as usize);
                run(&plain, &mut memory);
                run(&packed, &mut packed_memory);
                // Few rows of a product of packed columns take vectors.
                let close = |plain: f64, packed: f64| tiles && shape.0 < 32 && (plain - packed).abs() < 1e-3;
                let mut pairs = memory[3].iter().zip(&packed_memory[3]);
                let same = pairs.all(|(&plain, &packed)| alike(plain, packed) || close(plain, packed));
                assert!(same, "{shape:?} {lanes} {inputs:?}");
            }
        }
    }
}

#[test]
fn what_is_not_packed() {
    let none = |case: Case, outputs, inputs: &[Vec<Axis>], output: Vec<Axis>| {
        let body = case.finish(outputs);
        let fused = Fused { form: Form::Product, body: body.body.clone() };
        let inputs: Vec<Layout> = inputs.iter().cloned().map(Layout).collect();
        assert!(ready(&fused, &body.axes, &inputs, &[Layout(output)], &machine(16, false)).unwrap().is_none());
    };
    // Rows, columns and places of the sum; whether the columns' operand is scaled, read a second time, of the batch.
    for (rows, sum, scaled, twice) in [(50, 17, false, false), (50, 16, true, false), (40, 16, false, true)] {
        let mut c = Case::default();
        let (t, o, i) = (c.axis("time", rows), c.axis("out", 40), c.axis("in", sum));
        let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
        let factor = if scaled { c.map(E::NEG, &[y]) } else { y };
        let x = if twice { c.op(Op::Rename(o, t), &[y]) } else { x };
        let z = c.op(Op::Contract(vec![i]), &[x, factor]);
        none(c, vec![z], &[vec![t, i], vec![o, i]], vec![t, o]);
    }
    let mut c = Case::default();
    let (b, t, o, i) = (c.axis("batch", 2), c.axis("time", 50), c.axis("out", 40), c.axis("in", 16));
    let (x, y) = (c.float(&[b, t, i]), c.float(&[b, o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    none(c, vec![z], &[vec![b, t, i], vec![b, o, i]], vec![b, t, o]);
}
