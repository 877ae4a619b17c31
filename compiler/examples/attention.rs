//! Speed of attention in the ways that users write it, and of its derivatives, on one thread, interleaved: `cargo run --release -p
//! weft --example attention [SIZE [VARIANT …]] [--json FILE]`. A variant's rate counts the work that its mask leaves: of a window its band, of
//! a prefix its bounds; documents count as causal. `share` is
//! the rate by that of plain causal attention.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result};
use weft_compiler::graph::{Builder, Form, Fused, Graph, Kind, NodeId, Value};
use weft_compiler::kernel::STATUS_BYTES;
use weft_compiler::passes::attention::find;
use weft_compiler::passes::canonical::canonicalise;
use weft_compiler::passes::differentiate::gradient;
use weft_compiler::schedule::{Layout, schedule};
use weft_compiler::target::cpu::{Cpu, Loaded, compile};
use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::emit::Emit;
use weft_dsl::op::{Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

/// Batch, heads, positions, the size of a key.
struct Case {
    batch: i64,
    heads: i64,
    time: i64,
    key: i64,
}

const CASES: &[Case] = &[
    Case { batch: 8, heads: 12, time: 256, key: 64 },
    Case { batch: 4, heads: 12, time: 1024, key: 64 },
    Case { batch: 12, heads: 4, time: 64, key: 32 },
];

/// Query heads that share keys where they are grouped.
const MEMBERS: i64 = 4;
/// Buckets of distances.
const BUCKETS: i64 = 32;
/// Rounds at least, and milliseconds for each variant.
const ROUNDS: (usize, u128) = (5, 1000);

const VARIANTS: &[&str] = &[
    "causal",
    "unmasked",
    "scaled query",
    "added mask",
    "soft cap",
    "ALiBi",
    "learned slope",
    "T5 bias",
    "window",
    "prefix",
    "documents",
    "grouped",
];

impl Case {
    fn name(&self) -> String {
        format!("{}x{}x{}x{}", self.batch, self.heads, self.time, self.key)
    }

    fn near(&self) -> i64 {
        self.time / 4
    }

    /// Scores of a head that the mask leaves.
    fn pairs(&self, variant: &str) -> i64 {
        let seen = |row: i64| match variant {
            "unmasked" => self.time,
            "window" => (row + 1).min(self.near()),
            "prefix" => (row + 1).max(self.near()),
            _ => row + 1,
        };
        (0..self.time).map(seen).sum()
    }

    fn known(&self) -> HashMap<&str, i64> {
        HashMap::from([("batch", self.batch), ("time", self.time)])
    }

    fn value(&self, size: &Size) -> Result<i64> {
        let known = self.known();
        let size = size.substitute(&|name| known.get(name).map(|&n| Size::of(n))).ok().and_then(|s| s.known());
        size.context("a size is not known")
    }
}

fn main() -> Result<()> {
    let (mut filters, mut json) = (Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--json" {
            json = arguments.next();
        } else {
            filters.push(argument);
        }
    }
    let wanted = |filters: &[String], name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let (sizes, named) = filters.split_at(filters.len().min(1));
    let variants: Vec<&str> = VARIANTS.iter().copied().filter(|v| wanted(named, v)).collect();
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|c| wanted(sizes, &c.name())) {
        measure(case, &variants, &mut rows)?;
    }
    if let Some(path) = json {
        std::fs::write(path, format!("[\n{}\n]\n", rows.join(",\n")))?;
    }
    Ok(())
}

/// A writer of one variant.
struct Writing {
    b: Builder,
    time: Axis,
    source: Axis,
}

impl Writing {
    fn map(&mut self, op: E, operands: &[Value]) -> Value {
        self.b.op(Op::Map(op), operands)
    }

    fn number(&mut self, x: f64, elem: Elem) -> Value {
        self.b.op(Op::Constant(Number(x), elem, Vec::new()), &[])
    }

    fn index(&mut self, axis: Axis) -> Value {
        self.b.op(Op::Index(axis), &[])
    }

    /// `index(time) - index(source)`
    fn back(&mut self) -> Value {
        let (t, s) = (self.index(self.time), self.index(self.source));
        self.map(E::SUB, &[t, s])
    }
}

/// `[batch, time, head, key]`, as projections give them; the sizes of batch and time are free.
fn program(case: &Case, variant: &str) -> Graph {
    let mut axes = Axes::default();
    let batch = axes.fresh("batch", Size::var("batch"), true);
    let time = axes.fresh("time", Size::var("time"), true);
    let members = if variant == "grouped" { MEMBERS } else { 1 };
    let head = axes.fresh("head", Size::of(case.heads / members), false);
    let member = axes.fresh("member", Size::of(members), false);
    let key = axes.fresh("key", Size::of(case.key), false);
    let value = axes.fresh("value", Size::of(case.key), false);
    let bucket = axes.fresh("bucket", Size::of(BUCKETS), false);
    let source = axes.fresh("source", Size::var("time"), true);
    let heads = if members == 1 { vec![batch, time, head] } else { vec![batch, time, head, member] };
    let mut w = Writing { b: Builder::new(axes), time, source };
    let mut q = w.b.input("q", Elem::Float, &[heads.clone(), vec![key]].concat());
    let [k, v] = [key, value].map(|last| {
        let x = w.b.input(if last == key { "k" } else { "v" }, Elem::Float, &[batch, time, head, last]);
        w.b.op(Op::Rename(time, source), &[x])
    });
    let root = w.number((case.key as f64).sqrt(), Elem::Float);
    if variant == "scaled query" {
        q = w.map(E::DIV, &[q, root]);
    }
    let mut score = w.b.op(Op::Contract(vec![key]), &[q, k]);
    if variant != "scaled query" {
        score = w.map(E::DIV, &[score, root]);
    }
    let (t, s) = (w.index(time), w.index(source));
    let mut mask = w.map(E::LE, &[s, t]);
    let bias = match variant {
        "soft cap" => {
            let cap = w.number(30.0, Elem::Float);
            let part = w.map(E::DIV, &[score, cap]);
            let part = w.map(E::TANH, &[part]);
            score = w.map(E::MUL, &[part, cap]);
            None
        }
        "ALiBi" | "learned slope" => {
            let slope = if variant == "ALiBi" {
                let (half, head) = (w.number(0.5, Elem::Float), w.index(head));
                w.map(E::POW, &[half, head])
            } else {
                w.b.input("slope", Elem::Float, &[head])
            };
            let back = w.back();
            let ahead = w.map(E::NEG, &[back]);
            Some(w.map(E::MUL, &[slope, ahead]))
        }
        // Half of the buckets for single distances, half for what grows with the logarithm (Raffel et al., 2020).
        "T5 bias" => {
            let table = w.b.input("table", Elem::Float, &[bucket, head]);
            let (zero, exact) = (w.number(0.0, Elem::Int), w.number(BUCKETS as f64 / 2.0, Elem::Int));
            let back = w.back();
            let back = w.map(E::MAX, &[back, zero]);
            let (near, last) = (w.map(E::LT, &[back, exact]), w.number(BUCKETS as f64 - 1.0, Elem::Int));
            let float = w.b.op(Op::Cast(Elem::Float), &[back]);
            let (one, by) = (w.number(1.0, Elem::Float), w.number(7.7, Elem::Float));
            let float = w.map(E::MAX, &[float, one]);
            let log = w.map(E::LOG, &[float]);
            let far = w.map(E::MUL, &[log, by]);
            let far = w.map(E::FLOOR, &[far]);
            let far = w.b.op(Op::Cast(Elem::Int), &[far]);
            let far = w.map(E::MIN, &[far, last]);
            let at = w.map(E::SELECT, &[near, back, far]);
            let at = w.b.op(Op::Cast(Elem::Index(bucket)), &[at]);
            Some(w.b.op(Op::Lookup(bucket), &[table, at]))
        }
        "window" => {
            let (back, near) = (w.back(), w.number(case.near() as f64, Elem::Int));
            let near = w.map(E::LT, &[back, near]);
            mask = w.map(E::AND, &[mask, near]);
            None
        }
        "prefix" => {
            let length = w.b.input("length", Elem::Int, &[batch]);
            let early = w.map(E::LT, &[s, length]);
            mask = w.map(E::OR, &[mask, early]);
            None
        }
        "documents" => {
            let of = w.b.input("document", Elem::Int, &[batch, time]);
            let also = w.b.op(Op::Rename(time, source), &[of]);
            let same = w.map(E::EQ, &[of, also]);
            mask = w.map(E::AND, &[mask, same]);
            None
        }
        _ => None,
    };
    if let Some(bias) = bias {
        score = w.map(E::ADD, &[score, bias]);
    }
    let nothing = w.number(f64::NEG_INFINITY, Elem::Float);
    score = match variant {
        "unmasked" => score,
        "added mask" => {
            let zero = w.number(0.0, Elem::Float);
            let added = w.map(E::SELECT, &[mask, zero, nothing]);
            w.map(E::ADD, &[score, added])
        }
        _ => w.map(E::SELECT, &[mask, score, nothing]),
    };
    let weights = w.b.op(Op::Softmax(vec![source]), &[score]);
    let out = w.b.op(Op::Contract(vec![source]), &[weights, v]);
    let mut graph = w.b.finish(vec![("out".into(), [heads, vec![value]].concat(), out)]);
    canonicalise(&mut graph);
    find(&mut graph);
    let float = |kind: &Kind| matches!(kind, Kind::Argument(_));
    let of = graph.body.iter().filter(|(_, n)| float(&n.kind) && n.ty.elem == Elem::Float).map(|(id, _)| id);
    let (inputs, loss): (Vec<NodeId>, NodeId) = (of.collect(), graph.body.outputs[0]);
    gradient(&mut graph, loss, &inputs);
    graph
}

/// A kernel in memory with what it runs on.
struct Ready {
    _loaded: Loaded,
    entry: weft_runtime::launch::Kernel,
    args: Vec<*mut u8>,
    sizes: Vec<i64>,
    tiles: i64,
    scratch: Vec<u64>,
    flops: f64,
    times: Vec<f64>,
}

impl Ready {
    fn new(case: &Case, axes: &Axes, fused: &Fused, buffers: &mut [Vec<u32>], flops: f64) -> Result<Self> {
        let layouts = |types: &[Type]| -> Vec<Layout> { types.iter().map(|t| Layout(t.axes.clone())).collect() };
        let cpu = Cpu::named("native")?;
        let (inputs, outputs) = (layouts(&fused.body.arguments), layouts(&fused.body.results()));
        let scheduled = schedule(fused, axes, &inputs, &outputs, &cpu.machine())?;
        let objects = compile(&[("attention".into(), &scheduled.kernel)], &cpu, false)?;
        let loaded = Loaded::new(&objects, &["attention".into()])?;
        let entry = loaded.kernel("attention").context("the kernel is there")?;
        let mut sizes = scheduled.sizes.iter().map(|s| case.value(s)).collect::<Result<Vec<i64>>>()?;
        sizes.extend(buffers.iter().map(|b| b.len() as i64));
        let mut tiles = 1;
        for (size, block) in &scheduled.tiles {
            tiles *= (case.value(size)? as u64).div_ceil(*block) as i64;
        }
        let scratch = vec![0u64; (scheduled.kernel.scratch.max(STATUS_BYTES) as usize).div_ceil(8) + 8];
        let args = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
        Ok(Self { _loaded: loaded, entry, args, sizes, tiles, scratch, flops, times: Vec::new() })
    }

    fn run(&mut self) {
        let scratch = self.scratch.as_mut_ptr().cast::<u8>();
        let scratch = scratch.wrapping_add(scratch.align_offset(64));
        let begin = Instant::now();
        // SAFETY: the buffers have the lengths of their layouts, and the scratch memory the kernel's.
        unsafe { (self.entry)(self.args.as_ptr(), self.sizes.as_ptr(), 0, self.tiles, scratch) };
        self.times.push(begin.elapsed().as_secs_f64());
    }
}

/// The kernels of a variant, forward and backward; their buffers.
fn ready(case: &Case, variant: &str) -> Result<(Vec<Ready>, Vec<Vec<u32>>)> {
    let graph = program(case, variant);
    let form = |form: Form| {
        let of = |kind: &Kind| match kind {
            Kind::Fused(fused) if fused.form == form => Some((**fused).clone()),
            _ => None,
        };
        graph.body.nodes.iter().find_map(|n| of(&n.kind)).with_context(|| format!("{variant}: {form:?} is not found"))
    };
    let (forward, backward) = (form(Form::Attention)?, form(Form::AttentionBackward)?);
    let flops = 2.0 * (case.batch * case.heads * case.pairs(variant) * case.key) as f64;
    let mut buffers = Vec::new();
    for ty in backward.body.arguments.iter().chain(&backward.body.results()) {
        let length = case.value(&graph.axes.volume(&ty.axes))? as usize;
        let mixed = |i: usize| (i.wrapping_mul(2_654_435_761) % 1024) as f32 / 512.0 - 1.0;
        let fill = |i: usize| match ty.elem {
            Elem::Float => mixed(i + buffers.len()).to_bits(),
            // Four documents, or lengths of a prefix.
            _ if ty.axes.len() > 1 => (i as i64 % case.time * 4 / case.time) as u32,
            _ => case.near() as u32,
        };
        buffers.push((0..length).map(fill).collect::<Vec<u32>>());
    }
    // The arguments of the derivative are those of the attention and its results, then the cotangent.
    let given = forward.body.arguments.len();
    let (count, results) = (backward.body.arguments.len(), forward.body.results().len());
    anyhow::ensure!(count == given + results + 1, "{variant}: the derivative has other arguments");
    let forward = Ready::new(case, &graph.axes, &forward, &mut buffers[..given + results], flops * 2.0)?;
    let backward = Ready::new(case, &graph.axes, &backward, &mut buffers, flops * 5.0)?;
    Ok((vec![forward, backward], buffers))
}

fn measure(case: &Case, variants: &[&str], rows: &mut Vec<String>) -> Result<()> {
    let mut all = variants.iter().map(|v| ready(case, v)).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    for round in 0.. {
        if round >= ROUNDS.0 && begin.elapsed().as_millis() > ROUNDS.1 * variants.len() as u128 {
            break;
        }
        // Once before it counts, so that caches hold of a variant what they can, whatever else takes turns with it.
        all.iter_mut().flat_map(|(kernels, _)| kernels).for_each(|k| {
            k.run();
            k.times.pop();
            k.run();
        });
    }
    println!(
        "{:14} {:14} {:>18} {:>7} {:>18} {:>7}",
        case.name(),
        "",
        "forward GFLOP/s",
        "share",
        "backward GFLOP/s",
        "share"
    );
    for (variant, (kernels, _)) in variants.iter().zip(&all) {
        let mut line = format!("{:14} {variant:14}", "");
        let mut fields = format!("  {{\"size\": \"{}\", \"variant\": \"{variant}\"", case.name());
        for (kernel, (plain, name)) in kernels.iter().zip(all[0].0.iter().zip(["forward", "backward"])) {
            // Of interleaved runs the fastest: what else runs on the machine only adds.
            let rate = |k: &Ready| k.flops / k.times.iter().copied().fold(f64::INFINITY, f64::min) / 1e9;
            let (share, rate) = (rate(kernel) / rate(plain), rate(kernel));
            line += &format!(" {rate:>18.1} {share:>7.2}");
            fields += &format!(", \"{name}_gflops\": {rate:.1}, \"{name}_share\": {share:.3}");
        }
        println!("{line}");
        rows.push(fields + "}");
    }
    Ok(())
}
