//! A bigram model with its plan and kernels written by hand: a table of logits for the next character behind each character,
//! trained by gradient descent with momentum. Index 0 is padding and is not counted.

use std::path::Path;
use weft_runtime::exec::{Compiled, Kernel};
use weft_runtime::plan::{
    Arg, Buffer, Data, Dtype, FORMAT, Init, Launch, Limit, Param, Place, Plan, Port, Program, Recipe, Role, Size, Slot,
    Step, Tokenizer, Work,
};

/// The vocabulary; the first one counts for nothing.
pub const CHARACTERS: &str = "_ abcdefgh";
const V: usize = CHARACTERS.len();

const RATE: f64 = 0.5;

fn number(n: i64) -> Size {
    Size { terms: vec![(n, vec![])] }
}

fn product(variables: &[u32], factor: i64) -> Size {
    Size { terms: vec![(factor, variables.to_vec())] }
}

/// A program of one kernel with one tile: its arguments are the inputs, the slots, and the outputs, in this order.
fn program(name: &str, kernel: u32, inputs: &[&str], slots: &[u32], outputs: &[(&str, bool)]) -> Program {
    let mut program = Program { name: name.into(), ..Program::default() };
    let has_fields = inputs.iter().any(|name| !name.starts_with('$'));
    if has_fields {
        program.sizes = vec!["batch".into(), "time".into()];
    }
    let axes = || vec![("batch".to_owned(), product(&[0], 1)), ("time".to_owned(), product(&[1], 1))];
    let mut add = |dtype, len, place| {
        program.buffers.push(Buffer { dtype, len, place });
        program.buffers.len() as u32 - 1
    };
    for input in inputs {
        let scalar = input.starts_with('$');
        let (dtype, len) = if scalar { (Dtype::F64, number(1)) } else { (Dtype::I32, product(&[0, 1], 1)) };
        let buffer = add(dtype, len, Place::Input);
        program.inputs.push(Port {
            name: (*input).into(),
            axes: if scalar { vec![] } else { axes() },
            bound: (!scalar).then_some(number(V as i64)),
            or: None,
            buffer,
        });
    }
    for slot in slots {
        add(Dtype::F32, number((V * V) as i64), Place::Slot(*slot));
    }
    for (output, scalar) in outputs {
        let (dtype, len) = if *scalar { (Dtype::F64, number(1)) } else { (Dtype::F32, product(&[0, 1], V as i64)) };
        let buffer = add(dtype, len, Place::Output);
        let mut axes = if *scalar { vec![] } else { axes() };
        if !scalar {
            axes.push(("vocab".into(), number(V as i64)));
        }
        program.outputs.push(Port { name: (*output).into(), axes, bound: None, or: None, buffer });
    }
    let args = (0..program.buffers.len() as u32).map(|buffer| Arg { buffer, offset: Size::default(), strides: vec![] });
    program.steps = vec![Step::Launch(Launch {
        kernel,
        args: args.collect(),
        sizes: if has_fields { vec![product(&[0, 1], 1)] } else { vec![] },
        tiles: vec![(number(1), 1)],
        scratch: 64,
        cost: 100.0,
        work: Work::default(),
        beside: false,
    })];
    if has_fields {
        program.limits =
            vec![Limit { size: product(&[1], 1), at_most: number(8), why: "axis `position` has 8 places".into() }];
    }
    program
}

/// The model with a recipe: 8 sequences of 6 characters a step.
pub fn compiled(text: &Path, steps: u64, accumulate: u64) -> Compiled {
    let slot = |name: &str, role| Slot { name: name.into(), dtype: Dtype::F32, len: (V * V) as u64, role };
    let state = Role::State { param: 0, start: 0.0 };
    let scored = [("loss", true), ("weight.loss", true), ("metric.accuracy", true)];
    let stepped = [scored.as_slice(), &[("grad_norm", true), ("rate", true)]].concat();
    let fields = ["ids", "next"];
    let mut programs = vec![
        program("forward", 0, &["ids"], &[0], &[("output", false)]),
        program("loss", 1, &fields, &[0], &[("sum.0", true), ("weight.0", true), ("sum.1", true)]),
        program("score", 2, &["$sum.0", "$weight.0", "$sum.1"], &[], &scored),
    ];
    if accumulate > 1 {
        programs.extend([
            program("weigh", 3, &fields, &[], &[("weight.0", true)]),
            program("accumulate", 4, &["ids", "next", "$weight.0"], &[0, 2], &[("sum.0", true), ("sum.1", true)]),
            program("update", 5, &["$step", "$sum.0", "$weight.0", "$sum.1"], &[0, 1, 2], &stepped),
        ]);
    } else {
        programs.push(program("train_step", 6, &["ids", "next", "$step"], &[0, 1], &stepped));
    }
    let names = ["logits", "loss", "score", "weigh", "accumulate", "update", "train_step"];
    Compiled {
        plan: Plan {
            format: FORMAT,
            name: "Bigram".into(),
            fingerprint: 7,
            slots: vec![slot("table", Role::Param(0)), slot("table/m", state), slot("table/gradient", Role::Accumulator)],
            params: vec![Param {
                path: "table".into(),
                stack: vec![],
                axes: vec![("from".into(), V as u64), ("vocab".into(), V as u64)],
                init: Init::Normal { std: 0.02 },
                trainable: true,
            }],
            programs,
            kernels: names.map(String::from).to_vec(),
            recipe: Some(Recipe {
                name: "bigram".into(),
                data: Data::Text { paths: vec![text.display().to_string()], held_out: 0.1 },
                batch: 8,
                time: 6,
                steps,
                accumulate,
                seed: 3,
                evaluate_every: 10,
                checkpoint_every: 7,
                metrics: vec!["accuracy".into()],
                ..Recipe::default()
            }),
            tokenizer: Some(Tokenizer::Characters(CHARACTERS.chars().collect())),
            ..Plan::default()
        },
        kernels: vec![
            logits as Kernel,
            loss as Kernel,
            score as Kernel,
            weigh as Kernel,
            accumulate_gradients as Kernel,
            update as Kernel,
            train_step as Kernel,
        ],
    }
}

/// Probabilities of the next character, by softmax.
fn softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::MIN, f32::max);
    let all: Vec<f64> = row.iter().map(|x| f64::from(x - largest).exp()).collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|x| x / sum).collect()
}

/// Sums over counted places of losses and hits; adds the gradient of the sum of losses.
fn sums(ids: &[i32], next: &[i32], table: &[f32], gradient: &mut [f64]) -> (f64, f64, f64) {
    let (mut loss, mut hits, mut count) = (0.0, 0.0, 0.0);
    for (&from, &to) in ids.iter().zip(next) {
        let (from, to) = (from as usize, to as usize);
        if to == 0 {
            continue;
        }
        let row = softmax(&table[from * V..(from + 1) * V]);
        loss -= row[to].ln();
        hits += f64::from(u8::from(row.iter().all(|p| *p <= row[to])));
        count += 1.0;
        for (j, p) in row.iter().enumerate() {
            gradient[from * V + j] += p - f64::from(u8::from(j == to));
        }
    }
    (loss, hits, count)
}

/// One step of descent; gives the norm of the gradient.
fn descend(step: f64, table: &mut [f32], momentum: &mut [f32], gradient: &[f64]) -> (f64, f64) {
    let rate = RATE / step.sqrt();
    for ((x, m), g) in table.iter_mut().zip(momentum).zip(gradient) {
        *m = 0.9 * *m + *g as f32;
        *x -= rate as f32 * *m;
    }
    (gradient.iter().map(|g| g * g).sum::<f64>().sqrt(), rate)
}

/// What a kernel gets, read as what the plan says it is.
struct Args(*const *mut u8);

#[allow(clippy::mut_from_ref)]
impl Args {
    unsafe fn slice<T>(&self, at: usize, len: usize) -> &mut [T] {
        unsafe { std::slice::from_raw_parts_mut((*self.0.add(at)).cast(), len) }
    }
    unsafe fn scalar(&self, at: usize) -> &mut f64 {
        unsafe { &mut *(*self.0.add(at)).cast() }
    }
}

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, |$args:ident, $n:ident| $body:block) => {
        $(#[$doc])*
        unsafe extern "C" fn $name(args: *const *mut u8, sizes: *const i64, _: i64, _: i64, _: *mut u8) {
            let ($args, $n) = (Args(args), || unsafe { *sizes as usize });
            unsafe { $body }
        }
    };
}

kernel!(logits, |args, n| {
    let (ids, table) = (args.slice::<i32>(0, n()), args.slice::<f32>(1, V * V));
    let out = args.slice::<f32>(2, n() * V);
    for (out, &id) in out.chunks_mut(V).zip(ids.iter()) {
        out.copy_from_slice(&table[id as usize * V..(id as usize + 1) * V]);
    }
});

kernel!(loss, |args, n| {
    let table = args.slice::<f32>(2, V * V);
    let (sum, hits, count) = sums(args.slice(0, n()), args.slice(1, n()), table, &mut [0.0; V * V]);
    (*args.scalar(3), *args.scalar(4), *args.scalar(5)) = (sum, count, hits);
});

kernel!(score, |args, _n| {
    let (sum, count, hits) = (*args.scalar(0), *args.scalar(1), *args.scalar(2));
    (*args.scalar(3), *args.scalar(4), *args.scalar(5)) = (sum / count.max(1.0), count, hits / count.max(1.0));
});

kernel!(weigh, |args, n| {
    let next = args.slice::<i32>(1, n());
    *args.scalar(2) = next.iter().filter(|to| **to != 0).count() as f64;
});

kernel!(accumulate_gradients, |args, n| {
    let total = args.scalar(2).max(1.0);
    let mut gradient = [0.0; V * V];
    let table = args.slice::<f32>(3, V * V);
    let (sum, hits, _) = sums(args.slice(0, n()), args.slice(1, n()), table, &mut gradient);
    for (all, g) in args.slice::<f32>(4, V * V).iter_mut().zip(gradient) {
        *all += (g / total) as f32;
    }
    (*args.scalar(5), *args.scalar(6)) = (sum, hits);
});

kernel!(update, |args, _n| {
    let gradient: Vec<f64> = args.slice::<f32>(6, V * V).iter().map(|g| f64::from(*g)).collect();
    let (sum, count, hits) = (*args.scalar(1), *args.scalar(2), *args.scalar(3));
    (*args.scalar(7), *args.scalar(8), *args.scalar(9)) = (sum / count.max(1.0), count, hits / count.max(1.0));
    let (table, momentum) = (args.slice(4, V * V), args.slice(5, V * V));
    (*args.scalar(10), *args.scalar(11)) = descend(*args.scalar(0), table, momentum, &gradient);
});

kernel!(train_step, |args, n| {
    if std::env::var_os("BIGRAM_SLOW").is_some() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut gradient = [0.0; V * V];
    let (table, momentum) = (args.slice(3, V * V), args.slice(4, V * V));
    let (sum, hits, count) = sums(args.slice(0, n()), args.slice(1, n()), table, &mut gradient);
    gradient.iter_mut().for_each(|g| *g /= count.max(1.0));
    (*args.scalar(5), *args.scalar(6), *args.scalar(7)) = (sum / count.max(1.0), count, hits / count.max(1.0));
    (*args.scalar(8), *args.scalar(9)) = descend(*args.scalar(2), table, momentum, &gradient);
});
