//! Products on a matrix unit; all other tests of products run them there too where they fit.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::Type;

use crate::graph::{Form, Fused, Sizes};
use crate::kernel::Dtype;
use crate::schedule::native::{Buffer, Native};
use crate::schedule::product::schedule;
use crate::schedule::product::tests::{check, product};
use crate::schedule::testing::{Case, Chance, With};
use crate::schedule::{Layout, Machine, Unit};
use crate::target::cpu::Cpu;

/// Sizes that a matrix unit's blocks fit, and not.
#[test]
fn blocks_of_a_matrix_unit() {
    for shape in [(32, 32, 32), (33, 40, 50), (1, 33, 32), (0, 32, 64), (70, 65, 97), (5, 100, 33), (31, 34, 800)] {
        let mut c = Case::default();
        let (_, _, z) = product(&mut c, shape);
        let ready = c.finish(vec![z]);
        for (seed, with) in [(1, With::Interpreter), (2, With::Machine), (3, With::Machine), (4, With::Machine)] {
            ready.check_with(schedule, Form::Product, 16, seed, with);
        }
    }
}

/// Strips of rows take turns, pass after pass over the sum; and a tile with fewer columns than others.
#[test]
fn strips_take_turns() {
    for shape in [(130, 70, 900), (70, 800, 40), (100, 33, 64)] {
        let mut c = Case::default();
        let (_, _, z) = product(&mut c, shape);
        let ready = c.finish(vec![z]);
        for seed in 1..5 {
            ready.check_with(schedule, Form::Product, 16, seed, With::Machine);
        }
    }
    let mut c = Case::default();
    let (t, o, i) = (c.axis("time", 70), c.free("out", 40), c.axis("in", 96));
    let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    let ready = c.finish(vec![z]);
    ready.check_plain(schedule, Form::Product, 16, &ready.arguments(&mut Chance(3)));
}

/// The second half of a step of the sum may begin behind its end, where other operands have no place.
#[test]
fn half_steps_of_several_axes() {
    let mut c = Case::default();
    let (t, o, h, d) = (c.free("time", 64), c.axis("out", 64), c.axis("head", 3), c.axis("key", 16));
    let (x, gate, y) = (c.float(&[t, h, d]), c.float(&[t, h]), c.float(&[o, h, d]));
    let gated = c.map(E::MUL, &[x, gate]);
    let z = c.op(Op::Contract(vec![h, d]), &[gated, y]);
    let ready = c.finish(vec![z]);
    let arguments = ready.arguments(&mut Chance(1));
    ready.check_plain(schedule, Form::Product, 16, &arguments);
    check(&ready);
}

/// Sums of three parts of each number lie as close to the exact ones as those of fused multiplications and additions.
#[test]
fn parts_lose_nothing() {
    if Cpu::host().machine().unit == Unit::Absent {
        return;
    }
    let (rows, columns, sum) = (64, 96, 1024);
    let mut c = Case::default();
    let (_, _, z) = product(&mut c, (rows, columns, sum));
    let ready = c.finish(vec![z]);
    let fused = Fused { form: Form::Product, body: ready.body.clone() };
    let mut chance = Chance(7);
    // Of all sizes, so that small ones meet large ones.
    let mut draw = |count: i64| -> Vec<f64> {
        let one = |chance: &mut Chance| f64::from((chance.float() * 10f64.powi(chance.below(7) as i32 - 3)) as f32);
        (0..count).map(|_| one(&mut chance)).collect()
    };
    let (x, y) = (draw(rows * sum), draw(columns * sum));
    let error = |unit: Unit| {
        let machine = Machine { unit, ..Cpu::host().machine() };
        let layouts = |types: &[Type]| types.iter().map(|ty| Layout(ty.axes.clone())).collect::<Vec<_>>();
        let (inputs, outputs) = (layouts(&ready.body.arguments), layouts(&ready.body.results()));
        let scheduled = schedule(&fused, &ready.axes, &inputs, &outputs, &machine).unwrap();
        assert_eq!(format!("{:?}", scheduled.kernel.body).contains("Tiles"), unit == Unit::Always);
        let sizes = Sizes::new(&ready.axes, &ready.bound);
        let values: Vec<i64> = scheduled.sizes.iter().map(|s| sizes.value(s).unwrap()).collect();
        let count = |(size, block): &(Size, u64)| (sizes.value(size).unwrap() as u64).div_ceil(*block) as i64;
        let all = scheduled.tiles.iter().map(count).product();
        let given = [x.clone(), y.clone(), vec![0.0; (rows * columns) as usize]];
        let mut buffers = given.map(|values| Buffer::new(Dtype::F32, &values)).to_vec();
        assert_eq!(Native::new(&scheduled.kernel, false).run(&mut buffers, &values, all), (0, 0));
        let found = buffers[2].values();
        let at = |i: i64, j: i64| {
            let pairs = (0..sum).map(|k| x[(i * sum + k) as usize] * y[(j * sum + k) as usize]);
            let (exact, size) = pairs.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            (found[(i * columns + j) as usize] - exact).abs() / size
        };
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| at(i, j)).fold(0.0, f64::max)
    };
    let (parts, fused) = (error(Unit::Always), error(Unit::Absent));
    assert!(parts < fused && fused < 1e-6, "{parts:e} with parts, {fused:e} without");
}
