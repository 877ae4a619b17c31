//! Compiled: every way of compiling, against the program over whole texts compiled in the same way.

use weft_runtime::data::Batch;
use weft_runtime::generate::{Request, generate};
use weft_runtime::plan::{CAPACITY, PAST};
use weft_runtime::sample::Sampling;
use weft_runtime::step::Specials;
use weft_runtime::tensor::{Data, Tensor};
use weft_tests::compare::{Tolerance, close_values, floats};
use weft_tests::engine::{Engine, Task, Way, engine, specification};
use weft_tests::native::Native;
use weft_tests::reference::Case;

/// Rounding of 32-bit floats.
const SINGLE: Tolerance = Tolerance { rtol: 1e-4, atol: 1e-4 };

/// What an encoder reads is so long.
const READ: usize = 4;

/// What is given besides the text to the rows from one on: tokens, and which of them are there.
pub fn given(first: usize, rows: usize) -> Batch {
    let at = || first * READ..(first + rows) * READ;
    let read = Tensor::i32(&[rows, READ], at().map(|i| ((7 * i + 3) % 11) as i32).collect()).unwrap();
    let present = at().map(|i| u8::from(i % READ == 0 || !i.is_multiple_of(3))).collect();
    vec![("read".into(), read), ("present".into(), Tensor::new(vec![rows, READ], Data::Bool(present)).unwrap())]
}

/// The logits of the last place of each row.
fn logits(
    engine: &mut dyn Engine,
    program: &str,
    rows: &[Vec<i32>],
    mut inputs: Batch,
    specials: &Specials,
) -> Vec<Vec<f64>> {
    let shape = vec![rows.len(), rows[0].len()];
    let ids = Tensor::new(shape, Data::I32(rows.concat())).unwrap();
    inputs.push(("ids".into(), ids));
    let outputs = engine.run(program, &inputs, specials).unwrap_or_else(|e| panic!("{program}: {e:#}"));
    let (_, logits) = outputs.iter().find(|(name, _)| name == "logits").unwrap();
    let (all, tokens) = (floats(logits), logits.shape[2]);
    all.chunks(all.len() / rows.len()).map(|row| row[row.len() - tokens..].to_vec()).collect()
}

/// Writes on behind prompts and compares every step; a larger room than before must lose nothing. `reads` says that the model takes
/// [`given`].
pub fn writes(engine: &mut dyn Engine, prompts: &[Vec<i32>], steps: usize, programs: [&str; 2], room: i64, reads: bool) {
    let given = |first: usize, rows: usize| if reads { given(first, rows) } else { Batch::new() };
    let longest = prompts.iter().map(Vec::len).max().unwrap();
    let start: Vec<i32> = prompts.iter().map(|p| (longest - p.len()) as i32).collect();
    let mut rows = prompts.to_vec();
    let padded: Vec<Vec<i32>> =
        prompts.iter().zip(&start).map(|(p, &s)| [vec![0; s as usize], p.clone()].concat()).collect();
    let specials = |past: usize| Specials {
        start: start.clone(),
        sizes: vec![(PAST.into(), past as i64), (CAPACITY.into(), room), ("from".into(), READ as i64)],
        ..Specials::default()
    };
    let mut got = logits(engine, programs[0], &padded, given(0, rows.len()), &specials(0));
    for step in 0..=steps {
        for (row, got) in got.iter().enumerate() {
            let whole = logits(engine, "forward", &rows[row..=row], given(row, 1), &Specials::default());
            close_values(got, &whole[0], SINGLE).unwrap_or_else(|e| panic!("{}, step {step}, row {row}: {e}", programs[1]));
        }
        let next: Vec<Vec<i32>> = (0..rows.len()).map(|r| vec![((3 * step + 5 * r + 1) % 11) as i32]).collect();
        rows.iter_mut().zip(&next).for_each(|(row, next)| row.extend(next));
        got = logits(engine, programs[1], &next, Batch::new(), &specials(longest + step));
    }
}

/// Text behind prompts, as users have it written, by a model that takes [`given`]: each row's tokens are what the program over whole
/// texts says.
pub fn generates(native: &mut Native, prompts: &[Vec<i32>]) {
    let given = given(0, prompts.len());
    let request =
        Request { prompts, given, tokens: 5, sampling: Sampling::GREEDY, seed: 0, vocabulary: usize::MAX, end: None };
    let (mut rows, mut steps) = (prompts.to_vec(), Vec::new());
    generate(&mut native.machine, &request, &mut |added| {
        steps.push((rows.clone(), added.logits.clone()));
        rows.iter_mut().zip(added.tokens).for_each(|(row, token)| row.extend(token));
        Ok(true)
    })
    .unwrap();
    for (rows, got) in steps {
        for (row, got) in got.iter().enumerate() {
            let inputs = self::given(row, 1);
            let whole = logits(native, "forward", &rows[row..=row], inputs, &Specials::default());
            let got: Vec<f64> = got.iter().map(|&x| f64::from(x)).collect();
            close_values(&got, &whole[0], SINGLE).unwrap_or_else(|e| panic!("{rows:?}, row {row}: {e}"));
        }
    }
}

fn gpt2(way: Way) {
    let case = Case::open("decode-greedy-gpt2").unwrap();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/gpt2_own_head.weft");
    let specification = specification(&path).unwrap();
    let subject = weft_compiler::compile::Subject::Model("Gpt2".into(), Some(None));
    let mut engine = engine(way, &specification, &Task { subject, settings: &[], threads: 2 }).unwrap();
    engine.load(&case.path("model.safetensors"), "huggingface").unwrap();
    let engine = engine.as_mut();
    writes(engine, &[vec![4, 9, 2]], 5, ["prefill", "decode"], 17, false);
    writes(engine, &[vec![7]], 3, ["prefill", "decode"], 23, false);
    writes(engine, &[vec![4, 9, 2, 8, 20], vec![1], vec![3, 10, 5]], 4, ["prefill_rows", "decode_rows"], 19, false);
}

#[test]
fn gpt2_unoptimised() {
    gpt2(Way::Unoptimised { checked: false });
}

#[test]
fn gpt2_unoptimised_checked() {
    gpt2(Way::Unoptimised { checked: true });
}

#[test]
fn gpt2_optimised() {
    gpt2(Way::Optimised { checked: false });
}

#[test]
fn gpt2_optimised_checked() {
    gpt2(Way::Optimised { checked: true });
}
