//! Generating from a model written by hand, without files.

mod bigram;

use std::path::Path;

use weft_runtime::exec::Machine;
use weft_runtime::generate::{Added, Request, generate};
use weft_runtime::sample::Sampling;
use weft_runtime::step;
use weft_runtime::tensor::Tensor;
use weft_runtime::tokenizer::Tokenizer;

/// A machine that has learned the cycle `a b c d a …`.
fn cycle() -> (Machine, Tokenizer) {
    let compiled = bigram::compiled(Path::new("none"), 10, 1);
    let tokenizer = Tokenizer::new(compiled.plan.tokenizer.as_ref().unwrap()).unwrap();
    let mut machine = Machine::new(compiled, 1, true).unwrap();
    machine.initialise(1).unwrap();
    let text = tokenizer.encode("abcdabcda").unwrap();
    let part = |from: usize| Tensor::i32(&[1, 8], text[from..from + 8].to_vec()).unwrap();
    let batch = vec![("ids".to_owned(), part(0)), ("next".to_owned(), part(1))];
    for at in 1..=30 {
        step::step(&mut machine, &batch, at, 1, 1).unwrap();
    }
    (machine, tokenizer)
}

fn written(machine: &mut Machine, tokenizer: &Tokenizer, request: &Request) -> anyhow::Result<String> {
    let mut tokens = Vec::new();
    generate(machine, request, &mut |added| {
        tokens.extend(added.tokens.iter().flatten());
        Ok(true)
    })?;
    tokenizer.decode(&tokens)
}

#[test]
fn greedy_goes_on_beyond_the_context() {
    let (mut machine, tokenizer) = cycle();
    let prompts = [tokenizer.encode("dabcdabcdabc").unwrap()];
    let mut request = Request {
        prompts: &prompts,
        given: Vec::new(),
        end: None,
        tokens: 9,
        sampling: Sampling::GREEDY,
        seed: 0,
        vocabulary: 10,
    };
    assert_eq!(written(&mut machine, &tokenizer, &request).unwrap(), "dabcdabcd");
    // Tokens without text are never chosen.
    request.vocabulary = 4;
    assert!(!written(&mut machine, &tokenizer, &request).unwrap().contains('d'));
    let empty = [Vec::new()];
    request.prompts = &empty;
    assert!(written(&mut machine, &tokenizer, &request).unwrap_err().to_string().contains("no token"));
}

#[test]
fn draws_are_a_function_of_the_seed() {
    let (mut machine, tokenizer) = cycle();
    let prompts = [tokenizer.encode(" ").unwrap()];
    let sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };
    let mut with = |seed| {
        let request = Request {
            prompts: &prompts,
            given: Vec::new(),
            end: None,
            tokens: 30,
            sampling: sampling.clone(),
            seed,
            vocabulary: 10,
        };
        written(&mut machine, &tokenizer, &request).unwrap()
    };
    let first = with(1);
    assert_eq!(first, with(1));
    assert_ne!(first, with(2));
}

#[test]
fn it_ends_when_told() {
    let (mut machine, _) = cycle();
    let mut count = 0;
    let request = Request {
        prompts: &[vec![2]],
        given: Vec::new(),
        end: None,
        tokens: 100,
        sampling: Sampling::GREEDY,
        seed: 0,
        vocabulary: 10,
    };
    let mut emit = |_: &Added| {
        count += 1;
        Ok(count < 5)
    };
    generate(&mut machine, &request, &mut emit).unwrap();
    assert_eq!(count, 5);
}
