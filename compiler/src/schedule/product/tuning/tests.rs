//! Products in blocks that were told.

use weft_dsl::op::Op;

use super::*;
use crate::graph::{Form, Fused};
use crate::schedule::product::schedule;
use crate::schedule::testing::{Case, Ready};
use crate::schedule::{Layout, Machine, Scheduled, Unit, Unschedulable};

/// A schedule in the given blocks: small ones, so that small products have several.
fn told<const ROWS: u32, const COLUMNS: u32, const SUM: u32, const PLAIN: bool>(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    let with = |tuning: Arc<Tuning>| schedule(fused, axes, inputs, outputs, &Machine { tuning, ..machine.clone() });
    let model = with(Tuning::default().trying(None))?.kernel.product.expect("it is named");
    let choice = Choice { rows: ROWS, columns: COLUMNS, sum: SUM, in_place: PLAIN };
    let chosen = BTreeMap::from([(model.name.clone(), choice)]);
    let scheduled = with(Arc::new(Tuning { chosen, ..Tuning::default() }))?;
    let product = scheduled.kernel.product.as_ref().expect("it is named");
    assert!(product.tuned && product.name == model.name && !model.tuned);
    Ok(scheduled)
}

fn check(ready: &Ready) {
    for (seed, lanes) in [(1, 16), (2, 4), (3, 8)] {
        ready.check(told::<0, 0, 0, true>, Form::Product, lanes, seed);
        ready.check(told::<8, 16, 5, false>, Form::Product, lanes, seed);
        ready.check(told::<24, 17, 16, true>, Form::Product, lanes, seed);
        ready.check(told::<{ u32::MAX }, { u32::MAX }, { u32::MAX }, false>, Form::Product, lanes, seed);
    }
}

#[test]
fn any_blocks_are_right() {
    for (rows, columns, sum) in [(1, 1, 1), (31, 66, 13), (19, 50, 40), (0, 5, 3), (5, 3, 0)] {
        let mut c = Case::default();
        let (t, o, i) = (c.free("time", rows), c.axis("out", columns), c.axis("in", sum));
        let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
        let z = c.op(Op::Contract(vec![i]), &[x, y]);
        check(&c.finish(vec![z]));
    }
}

#[test]
fn of_few_rows_and_of_many_batches() {
    for (batch, rows, columns, sum) in [(1, 2, 40, 33), (3, 17, 21, 9)] {
        let mut c = Case::default();
        let (b, t) = (c.axis("batch", batch), c.axis("time", rows));
        let (o, i) = (c.axis("out", columns), c.axis("in", sum));
        let (x, y) = (c.float(&[b, t, i]), c.float(&[b, o, i]));
        let z = c.op(Op::Contract(vec![i]), &[x, y]);
        check(&c.finish(vec![z]));
    }
}

/// A product of so many rows, columns and places of the sum in plain layouts, made behind some other axes; its kernel.
fn kernel(axes: i64, [rows, columns, sum]: [i64; 3], tuning: Arc<Tuning>) -> Kernel {
    let mut c = Case::default();
    for _ in 0..axes {
        c.axis("another", 3);
    }
    let (t, o, i) = (c.axis("time", rows), c.axis("out", columns), c.axis("in", sum));
    let (x, y) = (c.float(&[t, i]), c.float(&[o, i]));
    let z = c.op(Op::Contract(vec![i]), &[x, y]);
    let ready = c.finish(vec![z]);
    let fused = Fused { form: Form::Product, body: ready.body };
    let layouts = [vec![t, i], vec![o, i], vec![t, o]].map(Layout);
    let machine = Machine { lanes: 16, registers: 32, unit: Unit::Absent, l1: 32 << 10, l2: 1 << 20, tuning };
    schedule(&fused, &ready.axes, &layouts[..2], &layouts[2..], &machine).unwrap().kernel
}

/// What the kernel of a product of 64 rows says that it is.
fn product(axes: i64, tuning: Arc<Tuning>) -> Product {
    kernel(axes, [64, 48, 96], tuning).product.expect("it is named")
}

#[test]
fn a_name_says_what_a_product_is_and_not_where_it_stands() {
    let model = product(0, Tuning::default().trying(None));
    assert!(model.name.starts_with("64 x 48 by 96, "), "{}", model.name);
    assert_eq!(model, product(5, Tuning::default().trying(None)));
    // Neither what was chosen nor what is tried changes it.
    let other = Choice { rows: 16, columns: 32, sum: 48, ..model.choice };
    let chosen = Tuning { chosen: BTreeMap::from([(model.name.clone(), other)]), ..Tuning::default() };
    assert_eq!(product(0, Arc::new(chosen.clone())), Product { choice: other, tuned: true, name: model.name.clone() });
    for (number, (_, vary)) in VARIATIONS.iter().enumerate() {
        let (found, mut varied) = (product(0, chosen.trying(Some(number))), other);
        vary(&mut varied);
        varied.rows = varied.rows.min(64);
        varied.columns = varied.columns.min(48).next_multiple_of(16);
        varied.sum = varied.sum.next_multiple_of(16);
        assert_eq!(found, Product { choice: varied, tuned: true, name: model.name.clone() }, "{number}");
    }
}

#[test]
fn far_too_large_blocks_are_the_models() {
    let (sizes, all) = ([20, 9000, 9000], u32::MAX);
    let model = kernel(0, sizes, Tuning::default().trying(None));
    let Product { name, choice, .. } = model.product.expect("it is named");
    let told = Choice { rows: all, columns: all, sum: all, ..choice };
    let found = kernel(0, sizes, Arc::new(Tuning { chosen: BTreeMap::from([(name, told)]), ..Tuning::default() }));
    assert_eq!((found.product.expect("it is named").choice, found.scratch), (choice, model.scratch));
}
