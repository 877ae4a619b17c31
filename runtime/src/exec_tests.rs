//! Tests of execution: loops, turns, stacked strides, threads, checked runs, and what wrong inputs are told.

use super::*;
use crate::plan::{Count, Launch, Packing, Port, Program, Size, Slot, Step, Work};
use crate::tensor::Data;
use crate::testing::{LAYERS, WIDTH, arg, batches, buffer, compiled, constant, rows, walked};

fn machine(threads: usize, checked: bool) -> Machine {
    let mut machine = Machine::new(compiled(), threads, checked).unwrap();
    machine.initialise(3).unwrap();
    machine
}

fn input(batch: usize) -> Tensor {
    Tensor::f32(&[batch, WIDTH], (0..batch * WIDTH).map(|i| (i as f32).sin()).collect()).unwrap()
}

/// What `forward` (or `backward`) should give: the output and the history by layer.
fn expected(machine: &Machine, x: &Tensor, reverse: bool) -> (Vec<f32>, Vec<f32>) {
    let weights = machine.slot_f32(0).unwrap();
    let mut values = x.to_f32();
    let mut history = vec![0.0; LAYERS * values.len()];
    for done in 0..LAYERS {
        let layer = if reverse { LAYERS - 1 - done } else { done };
        for (i, value) in values.iter_mut().enumerate() {
            *value = *value * weights[layer * WIDTH + i % WIDTH] + 1.0;
        }
        history[layer * values.len()..(layer + 1) * values.len()].copy_from_slice(&values);
    }
    (values, history)
}

#[test]
fn loops_walk_both_ways_and_carried_values_take_turns() {
    for checked in [false, true] {
        let mut machine = machine(2, checked);
        // The second batch is larger: the arena grows. The third uses what is bound already.
        for batch in [2, 7, 2, 0] {
            for (name, reverse) in [("forward", false), ("backward", true)] {
                let x = input(batch);
                let outputs = machine.run(name, &[("x", &x)]).unwrap();
                let (values, history) = expected(&machine, &x, reverse);
                assert_eq!(outputs[0], ("output".into(), Tensor::f32(&[batch, WIDTH], values).unwrap()));
                assert_eq!(outputs[1], ("history".into(), Tensor::f32(&[LAYERS, batch, WIDTH], history).unwrap()));
            }
        }
    }
}

#[test]
fn inputs_are_read_where_they_lie_or_converted() {
    let mut machine = machine(2, false);
    for batch in [1, 2, 3, 7, 300] {
        let x = input(batch);
        let Data::F32(values) = &x.data else { panic!("inputs are floats") };
        let wide = Tensor::new(x.shape.clone(), Data::F64(values.iter().map(|&v| v.into()).collect())).unwrap();
        let outputs = machine.run("forward", &[("x", &x)]).unwrap();
        assert_eq!(machine.runner.bases[0].cast_const(), values.as_ptr().cast());
        assert_eq!(machine.run("forward", &[("x", &wide)]).unwrap(), outputs);
        assert!(machine.arena.bytes().as_ptr_range().contains(&machine.runner.bases[0].cast_const()));
        assert_eq!(outputs[0].1.to_f32(), expected(&machine, &x, false).0);
    }
}

/// `show` gives a prepared copy of the scales, `write` writes the scales; `show` may be alone.
fn with_copy(alone: bool) -> Machine {
    let mut compiled = compiled();
    let (plan, all) = (&mut compiled.plan, constant(LAYERS * WIDTH));
    let copy = plan.slots.len() as u32;
    let packing = Packing { columns: (LAYERS * WIDTH) as u64, sum: 1, lanes: 1, along_columns: true };
    plan.slots.push(Slot { name: "copy".into(), role: Role::Prepared { of: 0, packing }, ..plan.slots[0].clone() });
    let launch = |from: u32, to: u32| Launch {
        kernel: 0,
        args: vec![arg(from), arg(to)],
        sizes: vec![constant(WIDTH)],
        tiles: vec![(constant(LAYERS), 1)],
        scratch: 0,
        cost: 0.0,
        work: Work::default(),
        beside: false,
    };
    let port =
        |name: &str| Port { name: name.into(), axes: vec![("all".into(), all.clone())], bound: None, or: None, buffer: 0 };
    let buffer = |place| buffer(Dtype::F32, all.clone(), place);
    plan.programs.push(Program {
        name: "show".into(),
        outputs: vec![port("copy")],
        buffers: vec![buffer(Place::Output), buffer(Place::Slot(0)), buffer(Place::Slot(copy))],
        steps: vec![Step::Prepare { slot: copy, launch: launch(1, 2) }, Step::Launch(launch(2, 0))],
        ..Program::default()
    });
    plan.programs.push(Program {
        name: "write".into(),
        inputs: vec![port("scales")],
        writes: vec![0],
        buffers: vec![buffer(Place::Input), buffer(Place::Slot(0))],
        steps: vec![Step::Launch(launch(0, 1))],
        ..Program::default()
    });
    plan.programs.retain(|program| !alone || program.name == "show");
    let mut machine = Machine::new(compiled, 2, true).unwrap();
    machine.initialise(3).unwrap();
    machine
}

/// What programs read of another form alone comes back from there, and is written there.
#[test]
fn what_nothing_reads_is_there_once() {
    let mut machine = with_copy(true);
    let copy = machine.slot_index("copy").unwrap();
    let drawn = machine.slot_f32(0).unwrap().to_vec();
    assert_eq!(machine.run("show", &[]).unwrap()[0].1.to_f32(), drawn);
    // Had it stayed, it would not show what happens to its other form.
    machine.slot_mut(copy).fill(0);
    assert!(machine.slot_f32(0).unwrap().iter().all(|&x| x == 0.0));
    machine.slot_mut(0)[..4].copy_from_slice(&5.0f32.to_le_bytes());
    assert_eq!(machine.run("show", &[]).unwrap()[0].1.to_f32()[..2], [5.0, 0.0]);
    assert_eq!(machine.slot_f32(0).unwrap()[..2], [5.0, 0.0]);
}

#[test]
fn what_is_prepared_follows_what_it_is_made_of() {
    let mut machine = with_copy(false);
    let copy = machine.slot_index("copy").unwrap();
    let show = |machine: &mut Machine| machine.run("show", &[]).unwrap().remove(0).1.to_f32();
    let scales = |machine: &Machine| machine.slot_f32(0).unwrap().to_vec();
    let drawn = scales(&machine);
    assert_eq!(show(&mut machine), drawn);
    // It is not made again where nothing has changed.
    machine.slot_mut(copy).fill(0);
    assert!(show(&mut machine).iter().all(|&x| x == 0.0));
    // Whoever writes the parameter makes it stale: from outside, by a program, by drawing it anew.
    machine.slot_mut(0)[..4].copy_from_slice(&5.0f32.to_le_bytes());
    let written = scales(&machine);
    assert_eq!((show(&mut machine), written[0]), (written, 5.0));
    let ones = Tensor::f32(&[LAYERS * WIDTH], vec![1.0; LAYERS * WIDTH]).unwrap();
    machine.run("write", &[("scales", &ones)]).unwrap();
    assert_eq!(show(&mut machine), ones.to_f32());
    machine.initialise(3).unwrap();
    assert_eq!(show(&mut machine), drawn);
}

#[test]
fn same_bits_at_any_number_of_threads() {
    let x = input(123);
    let results: Vec<_> = [1, 2, 3, 7]
        .map(|threads| {
            let mut machine = machine(threads, false);
            assert_eq!(machine.threads(), threads);
            let bits: Vec<u32> = machine.slot_f32(0).unwrap().iter().map(|x| x.to_bits()).collect();
            (bits, machine.run("forward", &[("x", &x)]).unwrap())
        })
        .into();
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn more_bindings_than_are_kept() {
    let mut machine = machine(1, false);
    for batch in (1..2 * KEPT).chain(1..4) {
        let x = input(batch);
        let outputs = machine.run("forward", &[("x", &x)]).unwrap();
        assert_eq!(outputs[0].1.to_f32(), expected(&machine, &x, false).0);
    }
    assert_eq!(machine.bound.len(), KEPT);
}

#[test]
fn slots_keep_sums_until_they_are_cleared() {
    let mut machine = machine(2, true);
    let x = Tensor::new(vec![3], Data::F64(vec![1.0, 2.0, 3.0])).unwrap();
    assert_eq!(machine.run("gather", &[("x", &x)]).unwrap()[0].1, Tensor::scalar(6.75));
    assert_eq!(machine.run("gather", &[("x", &x)]).unwrap()[0].1, Tensor::scalar(13.5));
    assert_eq!(machine.slot_f64(3).unwrap(), [13.5]);
    machine.clear_accumulators();
    assert_eq!(machine.slot_f64(3).unwrap(), [0.0]);
    assert_eq!((machine.slot_f32(3), machine.slot_f64(0)), (None, None));
    assert_eq!(machine.slot_index("sum"), Some(3));
}

#[test]
fn an_access_out_of_bounds_is_told_once() {
    let mut compiled = compiled();
    let Step::Launch(launch) = &mut compiled.plan.programs[2].steps[0] else { panic!("the first step is a launch") };
    // Starts at the second element but goes on for as many as there are.
    launch.args[0].offset = constant(1);
    let mut machine = Machine::new(compiled, 2, true).unwrap();
    let x = Tensor::f32(&[3], vec![1.0; 3]).unwrap();
    for _ in 0..2 {
        let error = machine.run("gather", &[("x", &x)]).unwrap_err();
        assert_eq!(error.to_string(), "kernel `sum` of `gather`: the index 2 of argument 0 (`x`) is out of bounds");
        machine.run("forward", &[("x", &input(300))]).unwrap();
    }
}

#[test]
fn initial_values() {
    let one = machine(1, false);
    assert!(one.slot_f32(1).unwrap().iter().all(|&x| x == 0.25));
    assert!(one.slot_f32(2).unwrap().iter().all(|&x| x != 0.0 && x.abs() <= 0.1));
    let scale = one.slot_f32(0).unwrap();
    // Each repetition has draws of its own, which another number of repetitions would not change.
    let stream = crate::random::Stream::new(3, "layers.1.scale");
    assert_eq!(scale[WIDTH + 2], (stream.normal(2) * 0.5) as f32);
    let mut other = Machine::new(compiled(), 1, false).unwrap();
    assert!(other.slot_f32(0).unwrap().iter().all(|&x| x == 0.0));
    other.initialise(4).unwrap();
    assert_ne!(scale, other.slot_f32(0).unwrap());
}

#[test]
fn long_parameters_are_drawn_by_several_threads() {
    const LEN: usize = 10_001;
    let draw = |threads| {
        let mut compiled = compiled();
        let plan = &mut compiled.plan;
        plan.params[1].axes = vec![("long".into(), LEN as u64)];
        plan.params[1].init = crate::plan::Init::Normal { std: 1.0 };
        plan.slots[2].len = LEN as u64;
        let mut machine = Machine::new(compiled, threads, false).unwrap();
        machine.initialise(3).unwrap();
        machine.slot_f32(2).unwrap().to_vec()
    };
    let one = draw(1);
    let stream = crate::random::Stream::new(3, "head.weight");
    assert!(one.iter().enumerate().all(|(i, &x)| x == stream.normal(i as u64) as f32));
    assert_eq!(one, draw(3));
}

#[test]
fn wrong_inputs_are_named() {
    let mut machine = machine(1, false);
    let x = input(2);
    let mut message = |program: &str, inputs: &[(&str, &Tensor)]| machine.run(program, inputs).unwrap_err().to_string();
    assert_eq!(
        message("forwrad", &[]),
        "`tiny` has no program `forwrad`; did you mean `forward`? (it has `forward`, `backward`, `gather`)"
    );
    assert_eq!(message("forward", &[]), "`forward` needs the input `x` with the axes [batch, width 4]; it is not given");
    assert_eq!(message("forward", &[("y", &x)]), "`forward` has no input `y`; did you mean `x`? (it takes `x`)");
    assert_eq!(message("forward", &[("x", &x), ("x", &x)]), "input `x` is given twice");
    let narrow = Tensor::f32(&[2, 3], vec![0.0; 6]).unwrap();
    assert_eq!(message("forward", &[("x", &narrow)]), "input `x`, axis `width`: expected 4, found 3");
    assert_eq!(message("forward", &[("x", &input(1001))]), "`batch` is 1001, at most 1000 is possible: this is a test");
    let ids = Tensor::i64(&[1, 4], vec![0; 4]).unwrap();
    assert_eq!(message("forward", &[("x", &ids)]), "input `x` takes floats (f32 or f64), found i64");
}

#[test]
fn times_by_kernel() {
    let mut machine = machine(1, false);
    assert!(machine.profile().is_none());
    machine.set_profile(true);
    machine.run("forward", &[("x", &input(2))]).unwrap();
    let report = machine.profile().unwrap();
    let calls = |kernel: &str| report.kernels.iter().filter(|k| k.name == kernel).map(|k| k.calls).sum::<u64>();
    assert_eq!((calls("copy"), calls("layer")), (5, 3));
}

/// A plan whose `forward` has other buffers and steps.
fn changed(change: impl FnOnce(&mut Program)) -> Compiled {
    let mut compiled = compiled();
    change(&mut compiled.plan.programs[0]);
    compiled
}

#[test]
fn a_checked_run_shows_memory_without_a_value() {
    // Step 2, in the loop, copies a buffer that lives there only and that nothing has written, to the output.
    let compiled = || {
        changed(|program| {
            program.buffers.push(buffer(Dtype::F32, batches(WIDTH), Place::Arena { first: 2, last: 2 }));
            let Step::Loop { body, .. } = &mut program.steps[1] else { panic!("the second step is the loop") };
            body[0] = rows(0, vec![arg(5), walked(1, Count::Turn { add: 1, modulus: 2 }, batches(WIDTH))]);
        })
    };
    let run = |checked| {
        let mut machine = Machine::new(compiled(), 1, checked).unwrap();
        machine.run("forward", &[("x", &input(2))]).unwrap()[0].1.to_f32()
    };
    assert!(run(false).iter().all(|x| !x.is_nan()));
    assert!(run(true).iter().all(|x| x.to_bits() == 0x7fc0_dead));
}

#[test]
fn a_checked_run_poisons_anew_in_each_iteration() {
    // In the loop: the output of each iteration is what the last one left in a buffer that does not outlive an iteration.
    let compiled = |last| {
        changed(|program| {
            program.buffers.push(buffer(Dtype::F32, batches(WIDTH), Place::Arena { first: 2, last }));
            program.steps[1] = Step::Loop {
                count: constant(LAYERS),
                reverse: false,
                body: vec![rows(0, vec![arg(5), walked(4, Count::Index, batches(WIDTH))]), rows(0, vec![arg(0), arg(5)])],
            };
        })
    };
    let history = |last| {
        let mut machine = Machine::new(compiled(last), 1, true).unwrap();
        machine.run("forward", &[("x", &input(1))]).unwrap()[1].1.to_f32()
    };
    assert!(history(3).iter().all(|x| x.is_nan()));
    // One that outlives the loop begins once.
    assert_eq!(history(4).iter().filter(|x| x.is_nan()).count(), WIDTH);
}

#[test]
fn plans_that_contradict_themselves_are_errors() {
    let complaint = |compiled: Compiled| {
        let run = Machine::new(compiled, 1, false).and_then(|mut machine| machine.run("forward", &[("x", &input(2))]));
        format!("{:#}", run.unwrap_err())
    };
    let message = complaint(changed(|p| p.steps[0] = rows(0, vec![arg(0), arg(9)])));
    assert_eq!(
        message,
        "the plan of `forward` is inconsistent (for batch = 2): step 0: argument 1 of kernel `copy`: there is no buffer 9"
    );
    let message = complaint(changed(|p| p.steps[0] = rows(7, vec![])));
    assert!(message.ends_with("step 0: there is no kernel 7"), "{message}");
    let message = complaint(changed(|p| p.steps[0] = rows(0, vec![walked(0, Count::Index, constant(1))])));
    assert!(message.ends_with("there is no loop of depth 0 around it"), "{message}");
    let message = complaint(changed(|p| {
        p.steps[0] = rows(0, vec![crate::plan::Arg { offset: constant(9), ..arg(0) }]);
    }));
    assert!(message.ends_with("it starts at byte 36 to 36 of buffer 0, which has 32 bytes"), "{message}");
    let message = complaint(changed(|p| p.buffers[0].len = Size::default()));
    assert!(message.ends_with("port `x` has 8 elements, its buffer 0"), "{message}");
    let message = complaint(changed(|p| p.buffers[2].len = constant(13)));
    assert!(message.ends_with("buffer 2 does not fit into its slot `layers.{}.scale`"), "{message}");
    let mut wrong = compiled();
    wrong.plan.slots[0].len = 11;
    assert_eq!(complaint(wrong), "slot `layers.{}.scale` has 11 elements, its parameter Some(12)");
    let mut wrong = compiled();
    wrong.kernels.pop();
    assert_eq!(complaint(wrong), "the plan has 3 kernels, the code 2");
}
