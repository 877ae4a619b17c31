//! Several codes of one program in turns, in the same memory, each product timed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use weft_compiler::compile::Output;
use weft_compiler::schedule::product::tuning::{Choice, Product};
use weft_compiler::target::cpu::Loaded;
use weft_runtime::cli::Bench;
use weft_runtime::exec::Compiled;
use weft_runtime::progress;

use super::{Better, SHARE};
use crate::commands::compiled::loaded;

/// A turn takes at least so many milliseconds, and all turns together about …
const TURN: f64 = 30.0;
const ALL: f64 = 20_000.0;
/// … but there are at least and at most so many rounds.
const ROUNDS: (f64, f64) = (6.0, 25.0);
/// The first code, which all others are compared with, has a turn before each so many of them.
const OTHERS: usize = 3;

/// One code of the program.
pub struct Candidate {
    /// While it does not run.
    compiled: Option<Compiled>,
    _code: Loaded,
    /// By kernel.
    products: Vec<Option<Product>>,
}

impl Candidate {
    pub fn new(mut output: Output) -> Result<Self> {
        let products = std::mem::take(&mut output.products);
        let (compiled, code) = loaded(output)?;
        Ok(Self { compiled: Some(compiled), _code: code, products })
    }
}

/// Codes that take turns in one machine. The first is the one that others are compared with.
pub struct Turns<'a> {
    // Goes before the code that it runs.
    bench: Bench<'a>,
    candidates: Vec<Candidate>,
}

/// Milliseconds of a run in a turn: of the products by name, and of all.
#[derive(Default)]
struct Turn {
    products: BTreeMap<String, f64>,
    whole: f64,
}

/// By round, by code.
pub struct Times(Vec<Vec<Turn>>);

impl<'a> Turns<'a> {
    /// `begin` makes a machine of the first code.
    pub fn new(mut candidates: Vec<Candidate>, begin: impl FnOnce(Compiled) -> Result<Bench<'a>>) -> Result<Self> {
        let first = candidates.first_mut().and_then(|first| first.compiled.take()).context("there is code to run")?;
        Ok(Self { bench: begin(first)?, candidates })
    }

    /// The choices of a code's products.
    pub fn products(&self, number: usize) -> BTreeMap<&str, Choice> {
        self.candidates[number].products.iter().flatten().map(|product| (product.name.as_str(), product.choice)).collect()
    }

    /// Has all codes take turns, who begins changing from round to round.
    pub fn times(&mut self, message: &str) -> Result<Times> {
        let count = self.candidates.len();
        // Memory is laid out in the first runs.
        for number in 0..count {
            self.turn(number, 1)?;
        }
        let run = self.turn(0, 1)?.whole;
        let runs = (TURN / run).ceil().max(1.0);
        let order = |round: usize| {
            let others = (1..count).map(move |at| 1 + (at + round) % (count - 1));
            others.enumerate().flat_map(|(at, other)| at.is_multiple_of(OTHERS).then_some(0).into_iter().chain([other]))
        };
        let turns = order(0).count();
        let rounds = (ALL / (run * runs * turns as f64)).ceil().clamp(ROUNDS.0, ROUNDS.1) as usize;
        let bar = progress::bar(0, (rounds * turns) as u64, false);
        bar.set_message(message.to_string());
        let mut all = Vec::new();
        for round in 0..rounds {
            let mut turns: Vec<Vec<Turn>> = (0..count).map(|_| Vec::new()).collect();
            for number in order(round) {
                turns[number].push(self.turn(number, runs as u64)?);
                bar.inc(1);
            }
            all.push(turns.into_iter().map(Turn::mean).collect());
        }
        bar.finish_and_clear();
        Ok(Times(all))
    }

    fn turn(&mut self, number: usize, runs: u64) -> Result<Turn> {
        self.enter(number)?;
        self.bench.machine.set_profile(true);
        let times = self.bench.times(runs)?;
        let report = self.bench.machine.profile().context("the machine measures")?;
        let mut products: BTreeMap<String, f64> = BTreeMap::new();
        for kernel in &report.kernels {
            if let Some(product) = &self.candidates[number].products[kernel.number as usize] {
                *products.entry(product.name.clone()).or_default() += kernel.time.as_secs_f64() * 1e3 / runs as f64;
            }
        }
        Ok(Turn { products, whole: times.iter().sum::<f64>() / runs as f64 })
    }

    /// Milliseconds of a whole run of the first two codes without a profile, under which launches run one by one: the medians of
    /// turns.
    pub fn whole(&mut self) -> Result<[f64; 2]> {
        self.bench.machine.set_profile(false);
        let mut all = [Vec::new(), Vec::new()];
        let mut spent = 0.0;
        while all[1].len() < ROUNDS.0 as usize || spent < ALL / 4.0 {
            for (number, times) in all.iter_mut().enumerate() {
                self.enter(number)?;
                // The first run after a change finds none of its own in the caches.
                times.extend(self.bench.times(3)?.into_iter().skip(1));
                spent += times.iter().rev().take(2).sum::<f64>();
            }
        }
        Ok(all.map(|times| median(times.into_iter())))
    }

    /// Has the machine run a code.
    fn enter(&mut self, number: usize) -> Result<()> {
        if let Some(compiled) = self.candidates[number].compiled.take() {
            let before = self.bench.machine.exchange(compiled)?;
            let left = self.candidates.iter_mut().enumerate().find(|(at, c)| *at != number && c.compiled.is_none());
            left.context("another code ran before")?.1.compiled = Some(before);
        }
        Ok(())
    }
}

impl Turn {
    fn mean(turns: Vec<Turn>) -> Turn {
        let (mut mean, share) = (Turn::default(), 1.0 / turns.len() as f64);
        for turn in turns {
            mean.whole += share * turn.whole;
            for (name, time) in turn.products {
                *mean.products.entry(name).or_default() += share * time;
            }
        }
        mean
    }
}

impl Times {
    /// The products that are faster by a share in another code than in the first, and faster at all in four rounds of five; each in
    /// its fastest.
    pub fn better(&self, turns: &Turns, gain: f64) -> BTreeMap<String, Better> {
        let mut found = BTreeMap::new();
        let whole = median(self.0.iter().map(|turns| turns[0].whole));
        for (name, choice) in turns.products(0) {
            let time =
                |number: usize| self.0.iter().map(move |turns| turns[number].products.get(name).copied().unwrap_or(0.0));
            let old = median(time(0));
            if old < SHARE * whole {
                continue;
            }
            let mut least = 1.0 - gain;
            for number in 1..turns.candidates.len() {
                let Some(other) = turns.products(number).get(name).copied().filter(|other| *other != choice) else {
                    continue;
                };
                let ratios: Vec<f64> = time(number).zip(time(0)).map(|(new, old)| new / old).collect();
                let ratio = median(ratios.iter().copied());
                let lost = ratios.iter().filter(|&&ratio| ratio >= 1.0).count();
                if ratio < least && 5 * lost <= ratios.len() {
                    least = ratio;
                    found.insert(name.to_string(), Better { choice: other, times: [old, old * ratio] });
                }
            }
        }
        found
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
