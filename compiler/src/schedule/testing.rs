//! Schedules against the graph's interpreter: a fused body is scheduled, its kernel is run, and what it writes is compared with
//! what the body means.

use std::collections::HashMap;
use std::rc::Rc;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::native::{Buffer, Native};
use super::{Layout, Machine, Scheduled, Unit, Unschedulable, dtype};
use crate::graph::{Array, Form, Fused, NodeId, Region, RegionBuilder, Sizes, eval_region};
use crate::kernel::{Dtype, interpret};
use crate::target::cpu::Cpu;

/// A writer of kernels of one form.
pub type Schedule = fn(&Fused, &Axes, &[Layout], &[Layout], &Machine) -> Result<Scheduled, Unschedulable>;

/// What runs a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// The interpreter of kernels.
    Interpreter,
    /// The interpreter without the rounding of f32: the logic alone, whatever the sizes of numbers.
    Wide,
    /// Code for this processor; with 4 lanes and for a matrix unit it checks its indices.
    Machine,
}

/// Small numbers without a pattern.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }

    /// A number between −2 and 2 that f32 holds.
    pub fn float(&mut self) -> f64 {
        f64::from((self.below(1 << 20) as f32 / (1 << 18) as f32) - 2.0)
    }

    /// An order of axes.
    pub fn order(&mut self, axes: &[Axis]) -> Vec<Axis> {
        let mut axes = axes.to_vec();
        for i in (1..axes.len()).rev() {
            axes.swap(i, self.below(i + 1));
        }
        axes
    }
}

/// A body that is being built for a test.
#[derive(Debug, Default)]
pub struct Case {
    /// Axes.
    pub axes: Axes,
    /// The body.
    pub b: RegionBuilder,
    /// Values of free sizes.
    pub bound: HashMap<String, i64>,
}

impl Case {
    /// An axis of a known size.
    pub fn axis(&mut self, name: &str, size: i64) -> Axis {
        self.axes.fresh(name, Size::of(size), false)
    }

    /// An axis whose size is known only when the kernel runs.
    pub fn free(&mut self, name: &str, size: i64) -> Axis {
        self.bound.insert(name.into(), size);
        self.axes.fresh(name, Size::var(name), true)
    }

    /// An argument of floats.
    pub fn float(&mut self, axes: &[Axis]) -> NodeId {
        self.b.argument(Type::new(Elem::Float, axes.iter().copied()))
    }

    /// An argument of indices.
    pub fn index(&mut self, of: Axis, axes: &[Axis]) -> NodeId {
        self.b.argument(Type::new(Elem::Index(of), axes.iter().copied()))
    }

    /// An operation.
    pub fn op(&mut self, op: Op, operands: &[NodeId]) -> NodeId {
        self.b.op(&self.axes, op, operands)
    }

    /// An elementwise operation.
    pub fn map(&mut self, op: Elementwise, operands: &[NodeId]) -> NodeId {
        self.b.map(&self.axes, op, operands)
    }

    /// Ends the body.
    pub fn finish(self, outputs: Vec<NodeId>) -> Ready {
        Ready { body: self.b.finish(outputs), axes: self.axes, bound: self.bound }
    }
}

/// A body with sizes.
#[derive(Debug)]
pub struct Ready {
    /// The body.
    pub body: Region,
    /// Its axes.
    pub axes: Axes,
    /// Values of free sizes.
    pub bound: HashMap<String, i64>,
}

impl Ready {
    /// Random arguments, in the order of their sorted axes.
    pub fn arguments(&self, chance: &mut Chance) -> Vec<Rc<Array>> {
        let sizes = Sizes::new(&self.axes, &self.bound);
        let argument = |ty: &Type| {
            let dims = sizes.dims(&ty.axes).unwrap();
            let count = dims.iter().map(|d| d.1).product();
            let value = |chance: &mut Chance| match ty.elem {
                Elem::Float => chance.float(),
                Elem::Int => chance.below(7) as f64 - 3.0,
                Elem::Bool => chance.below(2) as f64,
                Elem::Index(of) => chance.below(sizes.axis(of).unwrap()) as f64,
            };
            let data = (0..count).map(|_| value(chance)).collect();
            Rc::new(Array::from_order(&dims, data).unwrap())
        };
        self.body.arguments.iter().map(argument).collect()
    }

    /// Schedules with random layouts and arguments, interprets and compares.
    pub fn check(&self, schedule: Schedule, form: Form, lanes: u16, seed: u64) -> Scheduled {
        self.check_with(schedule, form, lanes, seed, With::Interpreter)
    }

    /// Schedules with random layouts and arguments, runs and compares.
    pub fn check_with(&self, schedule: Schedule, form: Form, lanes: u16, seed: u64, with: With) -> Scheduled {
        let mut chance = Chance(seed);
        let arguments = self.arguments(&mut chance);
        self.check_on(schedule, form, lanes, chance.0, &arguments, with)
    }

    /// Schedules with random layouts and compares on given arguments.
    pub fn check_on(
        &self,
        schedule: Schedule,
        form: Form,
        lanes: u16,
        seed: u64,
        arguments: &[Rc<Array>],
        with: With,
    ) -> Scheduled {
        let mut chance = Chance(seed);
        let inputs: Vec<Layout> = self.body.arguments.iter().map(|ty| Layout(chance.order(&ty.axes))).collect();
        let outputs: Vec<Layout> = self.body.results().iter().map(|ty| Layout(chance.order(&ty.axes))).collect();
        self.compare(schedule, form, lanes, (&inputs, &outputs), arguments, with)
    }

    /// Whether the body has a value for arguments: an index made up at random may be out of range.
    pub fn has_value(&self, arguments: &[Rc<Array>]) -> bool {
        eval_region(&Sizes::new(&self.axes, &self.bound), &self.body, arguments).is_ok()
    }

    /// Schedules with axes in the order of memory in which they were made, and compares.
    pub fn check_plain(&self, schedule: Schedule, form: Form, lanes: u16, arguments: &[Rc<Array>]) -> Scheduled {
        let layouts = |types: &[Type]| types.iter().map(|ty| Layout(ty.axes.clone())).collect::<Vec<_>>();
        let (inputs, outputs) = (layouts(&self.body.arguments), layouts(&self.body.results()));
        self.compare(schedule, form, lanes, (&inputs, &outputs), arguments, With::Interpreter)
    }

    fn compare(
        &self,
        schedule: Schedule,
        form: Form,
        lanes: u16,
        (inputs, outputs): (&[Layout], &[Layout]),
        arguments: &[Rc<Array>],
        with: With,
    ) -> Scheduled {
        let machine =
            Machine { lanes, registers: 32, unit: Unit::Absent, l1: 32 << 10, l2: 1 << 20, tuning: Default::default() };
        let scheduled = self.compare_for(schedule, form, &machine, (inputs, outputs), arguments, with);
        if form == Form::Product && lanes == 16 {
            let machine = Machine { unit: Unit::Always, ..machine };
            let here = Cpu::host().machine().unit != Unit::Absent;
            let with = if with == With::Wide || !here { With::Interpreter } else { with };
            self.compare_for(schedule, form, &machine, (inputs, outputs), arguments, with);
        }
        scheduled
    }

    fn compare_for(
        &self,
        schedule: Schedule,
        form: Form,
        machine: &Machine,
        (inputs, outputs): (&[Layout], &[Layout]),
        arguments: &[Rc<Array>],
        with: With,
    ) -> Scheduled {
        let fused = Fused { form, body: self.body.clone() };
        let scheduled = schedule(&fused, &self.axes, inputs, outputs, machine).unwrap_or_else(|e| panic!("{e}\n{self:?}"));
        let sizes = Sizes::new(&self.axes, &self.bound);
        let laid = |array: &Array, layout: &Layout| array.in_order(&sizes.dims(&layout.0).unwrap()).unwrap();
        let mut memory: Vec<Vec<f64>> = arguments.iter().zip(inputs).map(|(a, l)| laid(a, l)).collect();
        let volume = |layout: &Layout| sizes.dims(&layout.0).unwrap().iter().map(|d| d.1).product::<usize>();
        memory.extend(outputs.iter().map(|l| vec![f64::NAN; volume(l)]));
        let values: Vec<i64> = scheduled.sizes.iter().map(|s| sizes.value(s).unwrap()).collect();
        let count = |(size, block): &(Size, u64)| (sizes.value(size).unwrap() as u64).div_ceil(*block) as i64;
        let tiles: i64 = scheduled.tiles.iter().map(count).product();
        let expected = eval_region(&sizes, &self.body, arguments).unwrap();
        if with == With::Machine {
            let mut buffers: Vec<Buffer> =
                scheduled.kernel.args.iter().zip(&memory).map(|(&d, values)| Buffer::new(d, values)).collect();
            let status = Native::new(&scheduled.kernel, machine.lanes == 4 || machine.unit != Unit::Absent).run(
                &mut buffers,
                &values,
                tiles,
            );
            assert_eq!(status, (0, 0), "a place outside its buffer: {inputs:?} {outputs:?}\n{self:?}");
            memory = buffers.iter().map(Buffer::values).collect();
        } else {
            interpret::run(&scheduled.kernel, &mut memory, &values, tiles, with == With::Wide)
                .unwrap_or_else(|f| panic!("{f:?} with {inputs:?} {outputs:?}\n{:?}\n{:?}", self.body, scheduled.kernel));
        }
        for (i, (value, layout)) in expected.iter().zip(outputs).enumerate() {
            let close = match dtype(&self.body.results()[i]) {
                Dtype::F32 | Dtype::F64 if with == With::Wide => 1e-9,
                Dtype::F32 | Dtype::F64 => 2e-5,
                Dtype::I32 | Dtype::I64 | Dtype::Bool => 0.0,
            };
            let (got, want) = (&memory[inputs.len() + i], laid(value, layout));
            let largest = want.iter().filter(|w| w.is_finite()).fold(1.0f64, |m, w| m.max(w.abs()));
            for (at, (&g, &w)) in got.iter().zip(&want).enumerate() {
                let same = g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= close * largest;
                assert!(same, "result {i} at {at} is {g}, not {w}: {inputs:?} {outputs:?}\n{self:?}");
            }
        }
        scheduled
    }
}
