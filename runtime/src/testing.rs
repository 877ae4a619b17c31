//! A small plan with kernels in Rust, for the tests of this crate.

use crate::exec::{Compiled, Kernel};
use crate::plan::{
    Arg, Buffer, Count, Dtype, FORMAT, Init, Launch, Layout, Limit, Param, Place, Plan, Port, Program, Role, Size, Slot,
    Step, Stored, Stride, Work,
};

/// Elements of a row.
pub const WIDTH: usize = 4;

/// Repetitions of the stacked parameter.
pub const LAYERS: usize = 3;

/// `out[r, j] = in[r, j]`: arguments in, out; a tile is a row.
unsafe extern "C" fn copy(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64, _: *mut u8) {
    unsafe {
        let width = *sizes;
        let (from, to) = ((*args).cast::<f32>(), (*args.add(1)).cast::<f32>());
        for i in begin * width..end * width {
            *to.offset(i as isize) = *from.offset(i as isize);
        }
    }
}

/// `out[r, j] = in[r, j] · w[j] + 1`: arguments w, in, out.
unsafe extern "C" fn layer(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64, _: *mut u8) {
    unsafe {
        let width = *sizes;
        let (w, from, to) = ((*args).cast::<f32>(), (*args.add(1)).cast::<f32>(), (*args.add(2)).cast::<f32>());
        for i in begin * width..end * width {
            *to.offset(i as isize) = *from.offset(i as isize) * *w.offset((i % width) as isize) + 1.0;
        }
    }
}

/// `sum += Σ x` in f64 and scratch memory: arguments x, sum (f64 scalar); one tile. Tells of an access out of bounds.
unsafe extern "C" fn sum(args: *const *mut u8, sizes: *const i64, _: i64, _: i64, scratch: *mut u8) {
    unsafe {
        let (x, sum) = ((*args).cast::<f32>(), (*args.add(1)).cast::<f64>());
        let (status, scratch) = (scratch.cast::<i64>(), scratch.add(64).cast::<f64>());
        *scratch = 0.0;
        for i in 0..*sizes {
            // After the sizes: the elements of each argument.
            if i >= *sizes.add(1) {
                *status = 1;
                *status.add(1) = i;
                return;
            }
            *scratch += f64::from(*x.offset(i as isize));
        }
        *sum += *scratch;
    }
}

/// A sum of products of variables.
pub fn size(terms: &[(i64, &[u32])]) -> Size {
    Size { terms: terms.iter().map(|(c, v)| (*c, v.to_vec())).collect() }
}

/// A size known at compile time.
pub fn constant(n: usize) -> Size {
    size(&[(n as i64, &[])])
}

/// `n · batch`.
pub fn batches(n: usize) -> Size {
    size(&[(n as i64, &[0])])
}

/// A buffer.
pub fn buffer(dtype: Dtype, len: Size, place: Place) -> Buffer {
    Buffer { dtype, len, place }
}

/// A buffer from its start.
pub fn arg(buffer: u32) -> Arg {
    Arg { buffer, offset: Size::default(), strides: Vec::new() }
}

/// A buffer that the outermost loop walks through.
pub fn walked(buffer: u32, by: Count, step: Size) -> Arg {
    Arg { buffer, offset: Size::default(), strides: vec![Stride { depth: 0, by, step }] }
}

/// A launch over the rows of a batch, always shared among threads.
pub fn rows(kernel: u32, args: Vec<Arg>) -> Step {
    let sizes = vec![constant(WIDTH)];
    Step::Launch(Launch {
        kernel,
        args,
        sizes,
        tiles: vec![(batches(1), 1)],
        scratch: 0,
        cost: 0.0,
        work: Work::default(),
        beside: false,
    })
}

fn port(name: &str, axes: &[(&str, Size)], buffer: u32) -> Port {
    let axes = axes.iter().map(|(n, s)| (n.to_string(), s.clone())).collect();
    Port { name: name.into(), axes, bound: None, or: None, buffer }
}

/// `layers` applied to each row of `x`, forwards or backwards.
fn chain(name: &str, reverse: bool) -> Program {
    let turn = |add| Count::Turn { add, modulus: 2 };
    let last = Arg { offset: batches(WIDTH * (LAYERS % 2)), ..arg(1) };
    Program {
        name: name.into(),
        sizes: vec!["batch".into()],
        inputs: vec![port("x", &[("batch", batches(1)), ("width", constant(WIDTH))], 0)],
        outputs: vec![
            port("output", &[("batch", batches(1)), ("width", constant(WIDTH))], 3),
            port("history", &[("layer", constant(LAYERS)), ("batch", batches(1)), ("width", constant(WIDTH))], 4),
        ],
        limits: vec![Limit { size: batches(1), at_most: constant(1000), why: "this is a test".into() }],
        writes: Vec::new(),
        buffers: vec![
            buffer(Dtype::F32, batches(WIDTH), Place::Input),
            buffer(Dtype::F32, batches(2 * WIDTH), Place::Arena { first: 0, last: 4 }),
            buffer(Dtype::F32, constant(LAYERS * WIDTH), Place::Slot(0)),
            buffer(Dtype::F32, batches(WIDTH), Place::Output),
            buffer(Dtype::F32, batches(LAYERS * WIDTH), Place::Output),
        ],
        steps: vec![
            rows(0, vec![arg(0), arg(1)]),
            Step::Loop {
                count: constant(LAYERS),
                reverse,
                body: vec![
                    rows(
                        1,
                        vec![
                            walked(2, Count::Index, constant(WIDTH)),
                            walked(1, turn(0), batches(WIDTH)),
                            walked(1, turn(1), batches(WIDTH)),
                        ],
                    ),
                    rows(0, vec![walked(1, turn(1), batches(WIDTH)), walked(4, Count::Index, batches(WIDTH))]),
                ],
            },
            rows(0, vec![last, arg(3)]),
        ],
    }
}

/// Adds the sum of `x` and of a constant to the accumulator.
fn gather() -> Program {
    let add = |from: u32, len: Size| {
        let (tiles, scratch) = (vec![(constant(3), 4)], 72);
        let args = vec![arg(from), arg(1)];
        Step::Launch(Launch {
            kernel: 2,
            args,
            sizes: vec![len],
            tiles,
            scratch,
            cost: 1.0,
            work: Work::default(),
            beside: false,
        })
    };
    let numbers: Vec<u8> = [0.5f32, 0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
    Program {
        name: "gather".into(),
        sizes: vec!["batch".into()],
        inputs: vec![port("x", &[("batch", batches(1))], 0)],
        outputs: vec![port("total", &[], 1)],
        buffers: vec![
            buffer(Dtype::F32, batches(1), Place::Input),
            buffer(Dtype::F64, constant(1), Place::Slot(3)),
            buffer(Dtype::F32, constant(2), Place::Constant(numbers)),
        ],
        steps: vec![add(0, batches(1)), add(2, constant(2))],
        ..Program::default()
    }
}

/// Parameters `layers.{}.scale` and `head`, optimizer state of the first, an accumulator; the programs `forward`,
/// `backward` and `gather`; a layout `other` that keeps all layers of a parameter in one turned tensor.
pub fn compiled() -> Compiled {
    let slot = |name: &str, dtype, len, role| Slot { name: name.into(), dtype, len, role };
    let scale = Param {
        path: "layers.{}.scale".into(),
        stack: vec![LAYERS as u64],
        axes: vec![("width".into(), WIDTH as u64)],
        init: Init::Normal { std: 0.5 },
        trainable: true,
    };
    let head = Param {
        path: "head.weight".into(),
        stack: vec![],
        axes: vec![("out".into(), 2), ("in".into(), 3)],
        init: Init::Uniform { bound: 0.1 },
        trainable: true,
    };
    let mut tensors: Vec<Stored> = (0..LAYERS as u64)
        .map(|index| Stored {
            param: 0,
            index,
            name: "h.all".into(),
            shape: vec![WIDTH as u64, LAYERS as u64],
            offset: index,
            strides: vec![LAYERS as u64],
        })
        .collect();
    tensors.push(Stored {
        param: 1,
        index: 0,
        name: "lm_head.weight".into(),
        shape: vec![3, 2],
        offset: 0,
        strides: vec![1, 2],
    });
    let plan = Plan {
        format: FORMAT,
        name: "tiny".into(),
        fingerprint: 0xfeed,
        slots: vec![
            slot("layers.{}.scale", Dtype::F32, (LAYERS * WIDTH) as u64, Role::Param(0)),
            slot("layers.{}.scale/m", Dtype::F32, (LAYERS * WIDTH) as u64, Role::State { param: 0, start: 0.25 }),
            slot("head.weight", Dtype::F32, 6, Role::Param(1)),
            slot("sum", Dtype::F64, 1, Role::Accumulator),
        ],
        params: vec![scale, head],
        layouts: vec![Layout { name: "other".into(), tensors, ..Layout::default() }],
        weights: None,
        programs: vec![chain("forward", false), chain("backward", true), gather()],
        kernels: vec!["copy".into(), "layer".into(), "sum".into()],
        ..Plan::default()
    };
    Compiled { plan, kernels: vec![copy as Kernel, layer, sum] }
}
