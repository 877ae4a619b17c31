//! Programs that write texts, by the interpreter, held against the program over whole texts.

use std::collections::HashMap;

use weft_compiler::graph::{Array, Bindings, Graph, Sink, Sizes, Source, eval, validate};
use weft_compiler::lower::{Lowered, model};
use weft_compiler::passes::decode::derive_all;
use weft_compiler::passes::{Options, PIPELINE, run_passes};
use weft_dsl::elaborate::{NoData, Program, Setting};
use weft_dsl::types::Elem;
use weft_runtime::plan::{CAPACITY, PAST, of_ring, room, turn};

/// Room for more places than any test has, so that strides differ from what is used of them.
const ROOM: i64 = 23;
/// Tokens that a model knows.
const TOKENS: usize = 11;

/// The programs of a specification's first model, and why those that write texts are none. The model knows 11 tokens.
pub fn programs(text: &str) -> (Vec<Lowered>, Option<String>) {
    let small = [("vocab", TOKENS), ("context", 20), ("width", 8), ("depth", 3), ("heads", 4)];
    let settings = small.map(|(name, n)| (name.to_string(), Setting::Int(n as i64)));
    let (program, faults) = Program::load("test.weft", text, &|_| None);
    let faults = if faults.is_empty() { program.check() } else { faults };
    assert!(faults.is_empty(), "{faults:?}");
    let name = program.models()[0].to_owned();
    let settings = if text.contains("model Decoder") { &[] } else { settings.as_slice() };
    let made = model(&program, &name, settings, &NoData, Some(None)).expect("a model");
    (made.functions, made.no_decode)
}

/// A number between −1 and 1 for each place of a named tensor.
fn drawn(name: &str, at: usize) -> f64 {
    let text = format!("{name}.{at}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// What is given besides the text: tokens, and which of them are there.
fn given(elem: Elem, at: usize) -> f64 {
    match elem {
        Elem::Bool => f64::from(at % READ == 0 || !at.is_multiple_of(3)),
        Elem::Index(_) | Elem::Int => ((7 * at + 3) % TOKENS) as f64,
        Elem::Float => drawn("given", at),
    }
}

/// Programs with what they keep.
struct Texts {
    programs: Vec<Lowered>,
    kept: HashMap<String, Array>,
}

/// What an encoder reads is so long.
const READ: usize = 4;

/// New places of some rows.
struct Step<'a> {
    tokens: &'a [Vec<usize>],
    /// The number of the first row: what is given besides belongs to a row.
    first: usize,
    start: &'a [usize],
    past: usize,
}

impl Texts {
    fn graph(&self, name: &str) -> &Graph {
        &self.programs.iter().find(|p| p.name == name).expect("a program").graph
    }

    /// The logits of the last place of each row.
    fn run(&mut self, name: &str, step: &Step) -> Vec<Vec<f64>> {
        let graph = self.graph(name).clone();
        let time = step.tokens[0].len();
        let rows = step.tokens.len();
        let bound = [("batch", rows), ("time", time), ("from", READ), (PAST, step.past), (CAPACITY, ROOM as usize)];
        let mut sizes: HashMap<String, i64> = bound.iter().map(|&(n, v)| (n.to_string(), v as i64)).collect();
        let of_rings = (1..2 * ROOM).flat_map(|window| [room(window), turn(window)]);
        sizes.extend(of_rings.filter_map(|name| Some((name.clone(), of_ring(&name, step.past as i64, ROOM)?))));
        let lengths = Sizes::new(&graph.axes, &sizes);
        let mut bindings = Bindings { sizes, inputs: HashMap::new() };
        for input in &graph.inputs {
            let dims = lengths.dims(&input.axes).expect("known sizes");
            let count: usize = dims.iter().map(|d| d.1).product();
            let is_given = input.axes.iter().any(|&a| graph.axes[a].name == "from");
            let data: Vec<f64> = match &input.source {
                Source::Port if is_given => (0..count).map(|i| given(input.elem, step.first * (count / rows) + i)).collect(),
                Source::Port if input.elem == Elem::Bool => vec![1.0; count],
                Source::Port => step.tokens.iter().flatten().map(|&t| t as f64).collect(),
                Source::Supplied => step.start.iter().map(|&s| s as f64).collect(),
                Source::Kept => match self.kept.get(&input.name) {
                    Some(kept) => kept.in_order(&dims).expect("the same axes"),
                    // What was never written is never read.
                    None => vec![if input.elem == Elem::Float { f64::NAN } else { 1.0 }; count],
                },
                _ => (0..count).map(|i| drawn(&input.name, i)).collect(),
            };
            bindings.inputs.insert(input.name.clone(), Array::from_order(&dims, data).expect("as many"));
        }
        let values = eval(&graph, &bindings).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut logits = Vec::new();
        for (value, output) in values.into_iter().zip(&graph.outputs) {
            if let Sink::Update(_) = output.sink {
                self.kept.insert(output.name.clone(), value);
            } else if output.axes.iter().any(|&a| graph.axes[a].name == "token") && logits.is_empty() {
                let rows = value.in_order(&lengths.dims(&output.axes).expect("known sizes")).expect("its axes");
                logits = rows.chunks(rows.len() / step.tokens.len()).map(|r| r[r.len() - TOKENS..].to_vec()).collect();
            }
        }
        logits
    }

    /// What the function over whole texts says of each row.
    fn whole(&mut self, rows: &[Vec<usize>]) -> Vec<Vec<f64>> {
        let one = |(first, row): (usize, &Vec<usize>)| {
            let step = Step { tokens: std::slice::from_ref(row), first, start: &[], past: 0 };
            self.run("forward", &step).swap_remove(0)
        };
        rows.iter().enumerate().map(one).collect()
    }

    /// Writes on behind prompts, and compares every step.
    fn writes(&mut self, prompts: &[Vec<usize>], steps: usize, programs: [&str; 2]) {
        self.kept.clear();
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let start: Vec<usize> = prompts.iter().map(|p| longest - p.len()).collect();
        let mut rows = prompts.to_vec();
        let padded: Vec<Vec<usize>> = prompts.iter().zip(&start).map(|(p, &s)| [vec![0; s], p.clone()].concat()).collect();
        let mut got = self.run(programs[0], &Step { tokens: &padded, first: 0, start: &start, past: 0 });
        for step in 0..=steps {
            let expected = self.whole(&rows);
            for (row, (got, expected)) in got.iter().zip(&expected).enumerate() {
                for (at, (g, e)) in got.iter().zip(expected).enumerate() {
                    assert!((g - e).abs() < 1e-9, "{}, step {step}, row {row}, token {at}: {g}, expected {e}", programs[1]);
                }
            }
            let next: Vec<Vec<usize>> = (0..rows.len()).map(|r| vec![(3 * step + 5 * r + 1) % TOKENS]).collect();
            rows.iter_mut().zip(&next).for_each(|(row, next)| row.extend(next));
            got = self.run(programs[1], &Step { tokens: &next, first: 0, start: &start, past: longest + step });
        }
    }
}

/// Checks a specification's first model: one row, rows of unequal length, before and after all passes.
pub fn check(text: &str) {
    let (programs, why) = programs(text);
    assert_eq!(why, None);
    for rewritten in [false, true] {
        let mut texts = Texts { programs: programs.clone(), kept: HashMap::new() };
        for program in texts.programs.iter_mut().filter(|p| p.name != "forward") {
            validate(&program.graph).unwrap_or_else(|fault| panic!("{}: {fault}", program.name));
            if rewritten {
                let options = Options { optimise: true, validate: true, ..Options::default() };
                run_passes(&mut program.graph, PIPELINE, &options, &mut |_, _, _| {}).expect("valid graphs");
            }
        }
        texts.writes(&[vec![4, 9, 2]], 5, ["prefill", "decode"]);
        texts.writes(&[vec![7]], 2, ["prefill", "decode"]);
        if texts.programs.iter().any(|p| p.name == "decode_rows") {
            texts.writes(&[vec![4, 9, 2, 8], vec![1], vec![3, 10, 5]], 4, ["prefill_rows", "decode_rows"]);
        }
    }
}

/// What is kept, a line each.
pub fn kept(text: &str) -> String {
    let (programs, _) = programs(text);
    let forward = &programs.iter().find(|p| p.name == "forward").expect("it").graph;
    let derived = derive_all(forward).expect("it is derived");
    let (_, decode) = derived.into_iter().find(|(name, _)| *name == "decode").expect("it");
    let lines = decode.kept.iter().map(|k| {
        let axes: Vec<String> = k.axes.iter().map(|(name, size)| format!("{name} {size}")).collect();
        let window = k.places.window().map_or(String::new(), |n| format!("the last {n} of "));
        format!("{}: {window}[{}] of {}, for {}\n", k.name, axes.join(", "), k.of, k.reader)
    });
    lines.collect()
}
