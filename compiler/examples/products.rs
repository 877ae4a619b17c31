//! Speed of matrix products on one thread, packing included, and whether they are right:
//! `cargo run --release -p weft --example products [FILTER [PROCESSOR]]`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weft_compiler::graph::{Form, Fused, RegionBuilder};
use weft_compiler::kernel::STATUS_BYTES;
use weft_compiler::schedule::{Layout, Machine, schedule};
use weft_compiler::target::cpu::{Cpu, Loaded, compile};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

/// How the operands lie: rows or columns first, or the summed axis.
#[derive(Clone, Copy)]
enum Lie {
    /// `x · Wᵀ`: the sum is innermost in both.
    Forward,
    /// `dy · W`: the columns are innermost.
    Backward,
    /// `dyᵀ · x`: rows and columns are innermost.
    Weights,
}

struct Shape {
    name: &'static str,
    rows: i64,
    columns: i64,
    sum: i64,
    lie: Lie,
    /// Whether the number of rows (of a weight's gradient: of what is summed) is known only when it runs.
    free: bool,
    /// Whether a bias and an activation follow.
    epilogue: bool,
}

const fn shape(name: &'static str, (rows, columns, sum): (i64, i64, i64), lie: Lie) -> Shape {
    Shape { name, rows, columns, sum, lie, free: true, epilogue: false }
}

const SHAPES: &[Shape] = &[
    shape("nanoGPT projection", (768, 128, 128), Lie::Forward),
    shape("nanoGPT widen", (768, 512, 128), Lie::Forward),
    Shape { epilogue: true, ..shape("nanoGPT widen, tanh", (768, 512, 128), Lie::Forward) },
    shape("nanoGPT narrow", (768, 128, 512), Lie::Forward),
    shape("nanoGPT logits", (768, 66, 128), Lie::Forward),
    shape("nanoGPT widen, d input", (768, 128, 512), Lie::Backward),
    shape("nanoGPT narrow, d input", (768, 512, 128), Lie::Backward),
    shape("nanoGPT projection, d weight", (128, 128, 768), Lie::Weights),
    shape("nanoGPT widen, d weight", (512, 128, 768), Lie::Weights),
    shape("nanoGPT logits, d weight", (66, 128, 768), Lie::Weights),
    shape("BERT projection, 128 tokens", (128, 768, 768), Lie::Forward),
    shape("BERT widen, 128 tokens", (128, 3072, 768), Lie::Forward),
    shape("BERT narrow, 128 tokens", (128, 768, 3072), Lie::Forward),
    shape("BERT projection, 1024 tokens", (1024, 768, 768), Lie::Forward),
    shape("BERT widen, 1024 tokens", (1024, 3072, 768), Lie::Forward),
    shape("BERT narrow, 1024 tokens", (1024, 768, 3072), Lie::Forward),
    shape("BERT widen, d input", (1024, 768, 3072), Lie::Backward),
    shape("BERT widen, d weight", (3072, 768, 1024), Lie::Weights),
    Shape { free: false, ..shape("GPT-2 logits, 64 tokens", (64, 50257, 768), Lie::Forward) },
    Shape { free: false, ..shape("BERT widen, 1 token", (1, 3072, 768), Lie::Forward) },
    Shape { free: false, ..shape("BERT widen, 4 tokens", (4, 3072, 768), Lie::Forward) },
    Shape { free: false, ..shape("BERT widen, 1 token, columns first", (1, 3072, 768), Lie::Backward) },
];

fn main() -> Result<()> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let cpu = Cpu::named(&std::env::args().nth(2).unwrap_or("native".into()))?;
    for shape in SHAPES.iter().filter(|s| s.name.contains(&filter)) {
        measure(shape, &cpu)?;
    }
    Ok(())
}

/// The fused node of a shape, with the layouts of its operands and its result.
fn problem(shape: &Shape) -> (Fused, Axes, Vec<Layout>, Vec<Layout>) {
    let mut axes = Axes::default();
    let mut axis =
        |name: &str, size: i64, free: bool| axes.fresh(name, if free { Size::var(name) } else { Size::of(size) }, free);
    let sums = matches!(shape.lie, Lie::Weights);
    let (r, c, s) = (
        axis("row", shape.rows, shape.free && !sums),
        axis("column", shape.columns, false),
        axis("sum", shape.sum, shape.free && sums),
    );
    let mut b = RegionBuilder::new();
    let float = |axes: &[Axis]| Type::new(Elem::Float, axes.iter().copied());
    let (x, y) = (b.argument(float(&[r, s])), b.argument(float(&[c, s])));
    let mut z = b.op(&axes, Op::Contract(vec![s]), &[x, y]);
    let mut inputs = match shape.lie {
        Lie::Forward => vec![Layout(vec![r, s]), Layout(vec![c, s])],
        Lie::Backward => vec![Layout(vec![r, s]), Layout(vec![s, c])],
        Lie::Weights => vec![Layout(vec![s, r]), Layout(vec![s, c])],
    };
    if shape.epilogue {
        let bias = b.argument(float(&[c]));
        z = b.map(&axes, Elementwise::ADD, &[z, bias]);
        z = b.map(&axes, Elementwise::TANH, &[z]);
        inputs.push(Layout(vec![c]));
    }
    let fused = Fused { form: Form::Product, body: b.finish(vec![z]) };
    (fused, axes, inputs, vec![Layout(vec![r, c])])
}

fn measure(shape: &Shape, cpu: &Cpu) -> Result<()> {
    let (fused, axes, inputs, outputs) = problem(shape);
    let machine: Machine = cpu.machine();
    let scheduled = schedule(&fused, &axes, &inputs, &outputs, &machine)?;
    let begin = Instant::now();
    let objects = compile(&[("product".into(), &scheduled.kernel)], cpu, false)?;
    let compiled = begin.elapsed();
    if let Ok(path) = std::env::var("OBJECT") {
        std::fs::write(path, &objects[0])?;
    }
    let loaded = Loaded::new(&objects, &["product".into()])?;
    let entry = loaded.kernel("product").context("the kernel is there")?;

    let value = |size: &Size| -> Result<i64> {
        let known = |name: &str| Some(Size::of(if name == "sum" { shape.sum } else { shape.rows }));
        let size = size.substitute(&known).ok().and_then(|s| s.known());
        size.context("a size is not known")
    };
    let length = |layout: &Layout| -> Result<usize> { Ok(value(&axes.volume(&layout.0))? as usize) };
    let mut buffers = Vec::new();
    for layout in inputs.iter().chain(&outputs) {
        let salt = buffers.len() * 7919 + 1;
        let fill = |i: usize| ((i + salt).wrapping_mul(2_654_435_761) % 1_000_003) as f32 / 500_000.0 - 1.0;
        buffers.push((0..length(layout)?).map(fill).collect::<Vec<f32>>());
    }
    let args: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
    let mut sizes = scheduled.sizes.iter().map(value).collect::<Result<Vec<i64>>>()?;
    for buffer in &buffers {
        sizes.push(buffer.len() as i64);
    }
    let mut scratch = vec![0u64; (scheduled.kernel.scratch.max(STATUS_BYTES) as usize).div_ceil(8) + 8];
    let scratch = scratch.as_mut_ptr().cast::<u8>();
    let scratch = scratch.wrapping_add(scratch.align_offset(64));
    let mut tiles = 1;
    for (size, block) in &scheduled.tiles {
        tiles *= (value(size)? as u64).div_ceil(*block) as i64;
    }
    // SAFETY: the buffers have the lengths of their layouts, and the scratch memory the kernel's.
    let run = || unsafe { entry(args.as_ptr(), sizes.as_ptr(), 0, tiles, scratch) };
    run();
    verify(shape, &buffers)?;
    let flops = 2.0 * (shape.rows * shape.columns * shape.sum) as f64;
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed());
    }
    println!(
        "{:36} {:>5}x{:<5}x{:<5} {:>7.1} GFLOP/s  {:>8.3} ms  tiles {tiles:>3} {:?}  scratch {} KiB  compiled in {:.0} ms",
        shape.name,
        shape.rows,
        shape.columns,
        shape.sum,
        flops / best.as_secs_f64() / 1e9,
        best.as_secs_f64() * 1e3,
        scheduled.tiles[1..].iter().map(|t| t.1).collect::<Vec<_>>(),
        scheduled.kernel.scratch >> 10,
        compiled.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// Compares some places of the result with sums in f64.
fn verify(shape: &Shape, buffers: &[Vec<f32>]) -> Result<()> {
    let (rows, columns, sum) = (shape.rows as usize, shape.columns as usize, shape.sum as usize);
    let (last, result) = (buffers.len() - 1, &buffers[buffers.len() - 1]);
    for i in 0..500 {
        let (r, c) = match i {
            0 => (rows - 1, columns - 1),
            _ => (i * 7919 % rows, i * 104_729 % columns),
        };
        let term = |k: usize| {
            let (x, y) = match shape.lie {
                Lie::Forward => (r * sum + k, c * sum + k),
                Lie::Backward => (r * sum + k, k * columns + c),
                Lie::Weights => (k * rows + r, k * columns + c),
            };
            f64::from(buffers[0][x]) * f64::from(buffers[1][y])
        };
        let mut want: f64 = (0..sum).map(term).sum();
        let size = (0..sum).map(term).map(f64::abs).sum::<f64>() + 1.0;
        if last == 3 {
            want = (want + f64::from(buffers[2][c])).tanh();
        }
        let got = f64::from(result[r * columns + c]);
        ensure!((got - want).abs() < 1e-5 * size, "{}: at {r}, {c} is {got}, not {want}", shape.name);
    }
    Ok(())
}
