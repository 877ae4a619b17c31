//! Speed of attention and of its derivative on one thread: `cargo run --release -p weft --example attention [FILTER]`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weft_compiler::graph::{Builder, Form, Fused, Graph, Kind, NodeId};
use weft_compiler::kernel::STATUS_BYTES;
use weft_compiler::passes::attention::find;
use weft_compiler::passes::canonical::canonicalise;
use weft_compiler::passes::differentiate::gradient;
use weft_compiler::schedule::{Layout, Machine, schedule};
use weft_compiler::target::cpu::{Cpu, Loaded, compile};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Elem, Type};

struct Case {
    name: &'static str,
    batch: i64,
    heads: i64,
    time: i64,
    key: i64,
}

const CASES: &[Case] = &[
    Case { name: "nanoGPT", batch: 12, heads: 4, time: 64, key: 32 },
    Case { name: "BERT", batch: 1, heads: 12, time: 128, key: 64 },
    Case { name: "GPT-2", batch: 1, heads: 12, time: 1024, key: 64 },
];

fn main() -> Result<()> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let cpu = Cpu::named(&std::env::args().nth(2).unwrap_or("native".into()))?;
    for case in CASES.iter().filter(|c| c.name.contains(&filter)) {
        for causal in [false, true] {
            measure(case, causal, &cpu)?;
        }
    }
    Ok(())
}

/// `[batch, time, head, key]`, as projections give them; the sizes of batch and time are free.
fn program(case: &Case, causal: bool) -> Graph {
    let mut axes = Axes::default();
    let batch = axes.fresh("batch", Size::var("batch"), true);
    let time = axes.fresh("time", Size::var("time"), true);
    let head = axes.fresh("head", Size::of(case.heads), false);
    let key = axes.fresh("key", Size::of(case.key), false);
    let value = axes.fresh("value", Size::of(case.key), false);
    let source = axes.fresh("source", Size::var("time"), true);
    let mut b = Builder::new(axes);
    let q = b.input("q", Elem::Float, &[batch, time, head, key]);
    let k = b.input("k", Elem::Float, &[batch, time, head, key]);
    let v = b.input("v", Elem::Float, &[batch, time, head, value]);
    let [k, v] = [k, v].map(|x| b.op(Op::Rename(time, source), &[x]));
    let constant = |b: &mut Builder, x: f64| b.op(Op::Constant(Number(x), Elem::Float, Vec::new()), &[]);
    let product = b.op(Op::Contract(vec![key]), &[q, k]);
    let scale = constant(&mut b, (case.key as f64).sqrt());
    let mut score = b.op(Op::Map(Elementwise::DIV), &[product, scale]);
    if causal {
        let (s, t) = (b.op(Op::Index(source), &[]), b.op(Op::Index(time), &[]));
        let seen = b.op(Op::Map(Elementwise::LE), &[s, t]);
        let nothing = constant(&mut b, f64::NEG_INFINITY);
        score = b.op(Op::Map(Elementwise::SELECT), &[seen, score, nothing]);
    }
    let weights = b.op(Op::Softmax(vec![source]), &[score]);
    let out = b.op(Op::Contract(vec![source]), &[weights, v]);
    let mut graph = b.finish(vec![("out".into(), vec![batch, time, head, value], out)]);
    canonicalise(&mut graph);
    find(&mut graph);
    let inputs: Vec<NodeId> =
        graph.body.iter().filter(|(_, n)| matches!(n.kind, Kind::Argument(_))).map(|(id, _)| id).collect();
    let loss = graph.body.outputs[0];
    gradient(&mut graph, loss, &inputs);
    graph
}

fn measure(case: &Case, causal: bool, cpu: &Cpu) -> Result<()> {
    let graph = program(case, causal);
    let form = |form: Form| {
        let of = |kind: &Kind| match kind {
            Kind::Fused(fused) if fused.form == form => Some((**fused).clone()),
            _ => None,
        };
        graph.body.nodes.iter().find_map(|n| of(&n.kind)).context("the attention is found")
    };
    let (forward, backward) = (form(Form::Attention)?, form(Form::AttentionBackward)?);
    let pairs = if causal { case.time * (case.time + 1) / 2 } else { case.time * case.time };
    let flops = 2.0 * (case.batch * case.heads * pairs * case.key) as f64;
    let mut buffers = Vec::new();
    for (at, count) in [(0, 3), (3, 2), (5, 1)] {
        let types = if at == 3 { forward.body.results() } else { backward.body.arguments[at..at + count].to_vec() };
        for ty in types {
            let length = value(case, &graph.axes.volume(&ty.axes))? as usize;
            let fill = |i: usize| (i.wrapping_mul(2_654_435_761).wrapping_add(at) % 1024) as f32 / 512.0 - 1.0;
            buffers.push((0..length).map(fill).collect::<Vec<f32>>());
        }
    }
    let name = format!("{}{}", case.name, if causal { ", causal" } else { "" });
    let mut order = vec![0, 1, 2, 3, 4];
    run(case, &graph.axes, cpu, &forward, &mut buffers, &order, (&format!("{name}, forward"), flops * 2.0))?;
    for i in 0..3 {
        buffers.push(vec![0.0; buffers[i].len()]);
    }
    order.extend([5, 6, 7, 8]);
    run(case, &graph.axes, cpu, &backward, &mut buffers, &order, (&format!("{name}, backward"), flops * 5.0))
}

fn value(case: &Case, size: &Size) -> Result<i64> {
    let known = HashMap::from([("batch", case.batch), ("time", case.time)]);
    let size = size.substitute(&|name| known.get(name).map(|&n| Size::of(n))).ok().and_then(|s| s.known());
    size.context("a size is not known")
}

fn run(
    case: &Case,
    axes: &Axes,
    cpu: &Cpu,
    fused: &Fused,
    buffers: &mut [Vec<f32>],
    order: &[usize],
    (name, flops): (&str, f64),
) -> Result<()> {
    let layouts = |types: &[Type]| -> Vec<Layout> { types.iter().map(|t| Layout(t.axes.clone())).collect() };
    let machine: Machine = cpu.machine();
    let (inputs, outputs) = (layouts(&fused.body.arguments), layouts(&fused.body.results()));
    let scheduled = schedule(fused, axes, &inputs, &outputs, &machine)?;
    let begin = Instant::now();
    let objects = compile(&[("attention".into(), &scheduled.kernel)], cpu, false)?;
    let compiled = begin.elapsed();
    if let Ok(path) = std::env::var("OBJECT") {
        std::fs::write(format!("{path}/{}.o", name.replace([' ', ','], "_")), &objects[0])?;
    }
    let loaded = Loaded::new(&objects, &["attention".into()])?;
    let entry = loaded.kernel("attention").context("the kernel is there")?;
    let args: Vec<*mut u8> = order.iter().map(|&i| buffers[i].as_mut_ptr().cast()).collect();
    let mut sizes = scheduled.sizes.iter().map(|s| value(case, s)).collect::<Result<Vec<i64>>>()?;
    sizes.extend(order.iter().map(|&i| buffers[i].len() as i64));
    let mut scratch = vec![0u64; (scheduled.kernel.scratch.max(STATUS_BYTES) as usize).div_ceil(8) + 8];
    let scratch = scratch.as_mut_ptr().cast::<u8>();
    let scratch = scratch.wrapping_add(scratch.align_offset(64));
    let mut tiles = 1;
    for (size, block) in &scheduled.tiles {
        tiles *= (value(case, size)? as u64).div_ceil(*block) as i64;
    }
    // SAFETY: the buffers have the lengths of their layouts, and the scratch memory the kernel's.
    let run = || unsafe { entry(args.as_ptr(), sizes.as_ptr(), 0, tiles, scratch) };
    run();
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed());
    }
    println!(
        "{name:28} {:>7.1} GFLOP/s  {:>8.3} ms  tiles {tiles:>3}  scratch {:>3} KiB  compiled in {:.0} ms",
        flops / best.as_secs_f64() / 1e9,
        best.as_secs_f64() * 1e3,
        scheduled.kernel.scratch >> 10,
        compiled.as_secs_f64() * 1e3,
    );
    if std::env::var_os("CHECK").is_some() {
        println!("  sums {:?}", buffers.iter().map(|b| b.iter().map(|&x| f64::from(x)).sum::<f64>()).collect::<Vec<_>>());
    }
    Ok(())
}
