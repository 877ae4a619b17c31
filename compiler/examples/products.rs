//! Speed of matrix products on one thread, packing included, and whether they are right:
//! `cargo run --release -p weft --example products [FILTER [PROCESSOR]]`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weft_compiler::graph::{Form, Fused, RegionBuilder};
use weft_compiler::kernel::STATUS_BYTES;
use weft_compiler::schedule::product::ready;
use weft_compiler::schedule::{Layout, Machine, schedule};
use weft_compiler::target::cpu::{Cpu, Loaded, compile};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};
use weft_runtime::memory::Region;

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
    /// Whether the columns' operand is a parameter that was packed before.
    packed: bool,
}

const fn shape(name: &'static str, (rows, columns, sum): (i64, i64, i64), lie: Lie) -> Shape {
    Shape { name, rows, columns, sum, lie, free: true, epilogue: false, packed: false }
}

const SHAPES: &[Shape] = &[
    Shape { packed: true, ..shape("1024 cubed, packed", (1024, 1024, 1024), Lie::Forward) },
    shape("1024 cubed", (1024, 1024, 1024), Lie::Forward),
    Shape { packed: true, ..shape("BERT projection, 128 tokens, packed", (128, 768, 768), Lie::Forward) },
    Shape { packed: true, ..shape("BERT widen, 128 tokens, packed", (128, 3072, 768), Lie::Forward) },
    Shape { packed: true, ..shape("BERT narrow, 128 tokens, packed", (128, 768, 3072), Lie::Forward) },
    Shape { packed: true, ..shape("BERT projection, 1024 tokens, packed", (1024, 768, 768), Lie::Forward) },
    Shape { packed: true, ..shape("BERT widen, 1024 tokens, packed", (1024, 3072, 768), Lie::Forward) },
    Shape { packed: true, ..shape("BERT narrow, 1024 tokens, packed", (1024, 768, 3072), Lie::Forward) },
    Shape { packed: true, ..shape("GPT-2 logits, 64 tokens, packed", (64, 50257, 768), Lie::Forward) },
    shape("GPT-2 widen, 512 tokens", (512, 3072, 768), Lie::Forward),
    shape("GPT-2 widen, 512 tokens, d input", (512, 768, 3072), Lie::Backward),
    shape("GPT-2 widen, 512 tokens, d weight", (3072, 768, 512), Lie::Weights),
    shape("GPT-2 logits, 512 tokens", (512, 50257, 768), Lie::Forward),
    shape("GPT-2 logits, 512 tokens, d input", (512, 768, 50257), Lie::Backward),
    shape("GPT-2 logits, 512 tokens, d weight", (50257, 768, 512), Lie::Weights),
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
    let (ready, scheduled) = if shape.packed {
        let (ready, scheduled) = ready(&fused, &axes, &inputs, &outputs, &machine)?.context("it can be packed")?;
        (Some(ready), scheduled)
    } else {
        (None, schedule(&fused, &axes, &inputs, &outputs, &machine)?)
    };
    let pack = ready.as_ref().map(|ready| ready.pack(1));
    let begin = Instant::now();
    let mut kernels = vec![("product".to_string(), &scheduled.kernel)];
    kernels.extend(pack.as_ref().map(|pack| ("pack".to_string(), &pack.kernel)));
    let names: Vec<String> = kernels.iter().map(|(name, _)| name.clone()).collect();
    let objects = compile(&kernels, cpu, false)?;
    let compiled = begin.elapsed();
    if let Ok(path) = std::env::var("OBJECT") {
        std::fs::write(path, &objects[0])?;
    }
    let loaded = Loaded::new(&objects, &names)?;
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
        let values: Vec<u8> = (0..length(layout)?).flat_map(|i| fill(i).to_le_bytes()).collect();
        let mut region = Region::new(values.len())?;
        region.bytes_mut().copy_from_slice(&values);
        buffers.push(region);
    }
    let scratch = Region::new(scheduled.kernel.scratch.max(STATUS_BYTES) as usize)?;
    let scratch = scratch.start();
    let mut args: Vec<*mut u8> = buffers.iter().map(Region::start).collect();
    let place = Region::new(ready.as_ref().map_or(0, |ready| ready.packed_volume() as usize * 4))?;
    if let (Some(pack), Some(ready)) = (&pack, &ready) {
        let entry = loaded.kernel("pack").context("the kernel is there")?;
        let from = args[ready.argument as usize];
        // SAFETY: the second buffer has the packed form's length.
        unsafe { entry([from, place.start()].as_ptr(), [0; 2].as_ptr(), 0, value(&pack.tiles[0].0)?, scratch) };
        args[ready.argument as usize] = place.start();
    }
    let mut sizes = scheduled.sizes.iter().map(value).collect::<Result<Vec<i64>>>()?;
    for buffer in &buffers {
        sizes.push(buffer.len() as i64 / 4);
    }
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
fn verify(shape: &Shape, buffers: &[Region]) -> Result<()> {
    let (rows, columns, sum) = (shape.rows as usize, shape.columns as usize, shape.sum as usize);
    let last = buffers.len() - 1;
    let read = |buffer: usize, at: usize| {
        let bytes = &buffers[buffer].bytes()[at * 4..at * 4 + 4];
        f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
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
            read(0, x) * read(1, y)
        };
        let mut want: f64 = (0..sum).map(term).sum();
        let size = (0..sum).map(term).map(f64::abs).sum::<f64>() + 1.0;
        if last == 3 {
            want = (want + read(2, c)).tanh();
        }
        let got = read(last, r * columns + c);
        ensure!((got - want).abs() < 1e-5 * size, "{}: at {r}, {c} is {got}, not {want}", shape.name);
    }
    Ok(())
}
