//! How training goes, for a person: a bar on a terminal, a few plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::thousands;
use crate::step::Outcome;

/// Says on standard error how training goes.
pub struct Progress {
    bar: ProgressBar,
    /// Plain lines: neither a terminal nor quiet.
    plain: bool,
    quiet: bool,
    steps: u64,
    loss: Smooth,
    speed: Smooth,
    last: Instant,
}

/// A mean that forgets (each new value counts `share`), without a bias towards its start.
#[derive(Clone, Debug)]
pub struct Smooth {
    share: f64,
    sum: f64,
    weight: f64,
}

impl Smooth {
    /// An empty mean.
    pub fn new(share: f64) -> Self {
        Self { share, sum: 0.0, weight: 0.0 }
    }

    /// Takes a value in and gives the mean.
    pub fn push(&mut self, value: f64) -> f64 {
        self.sum += self.share * (value - self.sum);
        self.weight += self.share * (1.0 - self.weight);
        self.sum / self.weight
    }
}

/// A bar on standard error with the time that is left, where that is a terminal.
pub fn bar(done: u64, of: u64, quiet: bool) -> ProgressBar {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(of), target).with_position(done);
    let template = "{bar:28.cyan/dim} {pos}/{len}  {msg}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.reset_eta();
    bar
}

impl Progress {
    /// Begins at step `done` of `steps`.
    pub fn new(done: u64, steps: u64, quiet: bool) -> Self {
        Self {
            bar: bar(done, steps, quiet),
            plain: !std::io::stderr().is_terminal() && !quiet,
            quiet,
            steps,
            loss: Smooth::new(0.1),
            speed: Smooth::new(0.05),
            last: Instant::now(),
        }
    }

    /// A step is done; gives tokens per second, smoothed.
    pub fn step(&mut self, step: u64, outcome: &Outcome, tokens: u64) -> f64 {
        let seconds = self.lap().as_secs_f64().max(1e-9);
        let speed = self.speed.push(tokens as f64 / seconds);
        let loss = match outcome.get("loss") {
            Some(loss) => format!("loss {:.4}", self.loss.push(loss)),
            None => "no loss: the batch counts nothing".into(),
        };
        self.bar.set_message(format!("{loss}  {} tokens/s", thousands(speed as u64)));
        self.bar.set_position(step);
        let every = self.steps.div_ceil(10).max(1);
        if self.plain && (step.is_multiple_of(every) || step == 1) {
            eprintln!("step {step}/{}  {loss}  {} tokens/s", self.steps, thousands(speed as u64));
        }
        speed
    }

    /// A batch of an evaluation is done.
    pub fn evaluating(&self, done: u64, of: u64) {
        self.bar.set_message(format!("evaluating {done}/{of}"));
    }

    /// Time since the last step or pause.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        std::mem::replace(&mut self.last, now).elapsed()
    }

    /// What was done since the last step is no training: it does not count as such.
    pub fn pause_over(&mut self) {
        self.lap();
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if self.plain {
            eprintln!("{line}");
        } else if !self.quiet {
            self.bar.println(line);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smooth_mean_has_no_start() {
        let mut mean = Smooth::new(0.1);
        assert!((mean.push(4.0) - 4.0).abs() < 1e-12);
        assert!((mean.push(4.0) - 4.0).abs() < 1e-12);
        let next = mean.push(0.0);
        assert!(next > 2.0 && next < 4.0, "{next}");
    }
}
