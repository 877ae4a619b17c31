//! The training loop: steps, evaluations, checkpoints, an orderly end.
//!
//! A run that is interrupted, or killed, and resumed gives the same bits as an unbroken one: a checkpoint holds all state, and
//! what is drawn by chance is a function of seed and step.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::checkpoint;
use crate::curve;
use crate::data::{self, Source};
use crate::evaluate::evaluate;
use crate::exec::Machine;
use crate::interrupt;
use crate::metrics::Metrics;
use crate::plan::Recipe;
use crate::progress::Progress;
use crate::step::{self, Outcome};
use crate::weights;

/// What a run is asked to do beyond its recipe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Steps in all, those before a resumed checkpoint included.
    pub steps: u64,
    /// Seed of everything drawn by chance.
    pub seed: u64,
    /// Where files go.
    pub out: PathBuf,
    /// Where the run goes on; `None`: at the beginning.
    pub resumed: Option<checkpoint::Progress>,
    /// Say nothing.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Finished,
    /// Ctrl-C; the state is saved.
    Interrupted,
}

/// The files of a run, in its folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// Everything that resuming needs.
    pub checkpoint: PathBuf,
    /// The checkpoint of an earlier run in the folder, put aside when this one's first was written.
    pub earlier: PathBuf,
    /// The parameters, once training is over or interrupted.
    pub weights: PathBuf,
    /// One line a step.
    pub metrics: PathBuf,
    /// The loss curve.
    pub curve: PathBuf,
}

/// Where a recipe's files go where nobody says it.
pub fn usual_folder(name: &str) -> PathBuf {
    Path::new("runs").join(name)
}

impl Files {
    /// The names in a folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            checkpoint: folder.join("checkpoint.safetensors"),
            earlier: folder.join("checkpoint.earlier.safetensors"),
            weights: folder.join("weights.safetensors"),
            metrics: folder.join("metrics.jsonl"),
            curve: folder.join("loss.svg"),
        }
    }
}

/// Trains. Parameters hold their start, or the resumed state.
///
/// # Errors
/// Data that does not fit, files that cannot be written, a loss that is no number.
pub fn train(machine: &mut Machine, source: &Source, recipe: &Recipe, settings: &Settings) -> Result<End> {
    // What does not fit is found before any file is touched.
    let evaluates = evaluates(machine, source, recipe)?;
    let files = Files::of(&settings.out);
    std::fs::create_dir_all(&settings.out)
        .with_context(|| format!("the folder {} cannot be made", settings.out.display()))?;
    let done = settings.resumed.as_ref().map_or(0, |progress| progress.step);
    let progress = Progress::new(done, settings.steps, settings.quiet);
    let mut run = Run {
        metrics: Metrics::open(&files.metrics, done)?,
        progress,
        evaluates,
        saved: settings.resumed.as_ref().map(|progress| progress.step),
        files,
        machine,
        source,
        recipe,
        settings,
    };
    let end = run.steps(settings.resumed.as_ref().map_or(0, |progress| progress.cursor), done);
    run.progress.finish();
    end
}

/// A run that starts anew in the folder of an earlier one keeps that one's checkpoint beside its own. The file has both names
/// until the new checkpoint takes the first over, so that a run that ends in between leaves it where it was.
fn put_aside(files: &Files, progress: &Progress) -> Result<()> {
    let (from, to) = (&files.checkpoint, &files.earlier);
    if !from.exists() {
        return Ok(());
    }
    let _ = std::fs::remove_file(to);
    // Not every file system gives a file two names.
    std::fs::hard_link(from, to)
        .or_else(|_| std::fs::rename(from, to))
        .with_context(|| format!("{} cannot be put aside", from.display()))?;
    progress.say(&format!("an earlier run's checkpoint is now {}", to.display()));
    Ok(())
}

/// Whether the run evaluates; checks at the start what would else fail after many steps.
fn evaluates(machine: &Machine, source: &Source, recipe: &Recipe) -> Result<bool> {
    let programs: &[&str] = if recipe.accumulate > 1 { &["weigh", "accumulate"] } else { &["train_step"] };
    let batch = source.batch(0, 0)?;
    source.named(step::check_needed(machine, programs, &batch))?;
    // A text gives all of its fields whether they are needed or not; what is given on purpose should be.
    if let Source::Given { .. } = source {
        source.named(step::check_idle(machine, programs, &batch))?;
    }
    let text = source.evaluated_text();
    if recipe.evaluate_every == 0 || text.is_none_or(|(text, _)| text.held_out.is_empty()) {
        return Ok(false);
    }
    source.held_out_batches(recipe.evaluate_batches, 1)?;
    for batch in source.held_out_batch(0, recipe.evaluate_batches, 1, 0)? {
        step::check_needed(machine, &["loss"], &batch)?;
    }
    Ok(true)
}

struct Run<'a> {
    machine: &'a mut Machine,
    source: &'a Source,
    recipe: &'a Recipe,
    settings: &'a Settings,
    files: Files,
    metrics: Metrics,
    progress: Progress,
    evaluates: bool,
    /// Step of the last checkpoint.
    saved: Option<u64>,
}

impl Run<'_> {
    fn steps(&mut self, mut cursor: u64, mut done: u64) -> Result<End> {
        let due = |every: u64, step: u64| every > 0 && step.is_multiple_of(every);
        let mut last = Outcome::default();
        // The evaluation that Ctrl-C came into.
        if done > 0 && self.evaluates && due(self.recipe.evaluate_every, done) && !self.evaluated(done) {
            self.evaluate(done)?;
        }
        while done < self.settings.steps && !interrupt::asked() {
            let batch = self.source.batch(self.settings.seed, cursor)?;
            let outcome = step::step(self.machine, &batch, done + 1, self.settings.seed, self.recipe.accumulate);
            let outcome = self.source.named(outcome).with_context(|| format!("in step {}", done + 1))?;
            self.check(done + 1, &outcome)?;
            (cursor, done, last) = (cursor + 1, done + 1, outcome);
            let speed = self.progress.step(done, &last, data::tokens(&batch));
            self.metrics.step(done, &last, speed)?;
            if self.evaluates && due(self.recipe.evaluate_every, done) {
                self.evaluate(done)?;
            }
            if due(self.recipe.checkpoint_every, done) && done < self.settings.steps {
                self.save(done, cursor, &last)?;
            }
            self.progress.pause_over();
        }
        let finished = done >= self.settings.steps;
        if finished && self.evaluates && !self.evaluated(done) {
            self.evaluate(done)?;
        }
        let all = self.settings.steps;
        if !finished && done == 0 {
            // Nothing was learnt that would be worth an earlier run's files.
            self.progress.say(&format!("interrupted before step 1 of {all}; nothing was written"));
            return Ok(End::Interrupted);
        }
        if self.saved != Some(done) {
            self.save(done, cursor, &last)?;
        }
        weights::save(self.machine, &self.files.weights, None)?;
        if finished {
            return Ok(End::Finished);
        }
        let (path, weights) = (self.files.checkpoint.display(), self.files.weights.display());
        self.progress.say(&format!(
            "interrupted after step {done} of {all}; --resume goes on from {path}, the weights so far are in {weights}"
        ));
        Ok(End::Interrupted)
    }

    fn check(&self, step: u64, outcome: &Outcome) -> Result<()> {
        // A batch that counts nothing has no loss.
        let loss = outcome.get("loss").unwrap_or(0.0);
        let norm = outcome.get("grad_norm").unwrap_or(0.0);
        if loss.is_finite() && norm.is_finite() {
            return Ok(());
        }
        let (what, value) = if loss.is_finite() { ("norm of the gradients", norm) } else { ("loss", loss) };
        let kept = match self.saved {
            Some(saved) => format!("the state after step {saved} is in {}", self.files.checkpoint.display()),
            None => "no checkpoint had been written yet".into(),
        };
        bail!(
            "the {what} is {value} at step {step}: training has run away (a smaller rate, a warm-up or clipping may help); {kept}"
        )
    }

    fn evaluated(&self, step: u64) -> bool {
        self.metrics.held_out.last().is_some_and(|(last, _)| *last == step)
    }

    fn evaluate(&mut self, step: u64) -> Result<()> {
        let (machine, progress) = (&mut *self.machine, &self.progress);
        let mut tick = |done, of| progress.evaluating(done, of);
        let score = evaluate(machine, self.source, self.recipe, &mut tick)?;
        // Interrupted: the step is done, the evaluation is not.
        let Some(score) = score else { return Ok(()) };
        let loss = score.mean.loss()?;
        self.metrics.held_out(step, &score.mean)?;
        self.progress.say(&format!("step {step}/{}  held-out loss {loss:.4}", self.settings.steps));
        Ok(())
    }

    fn save(&mut self, step: u64, cursor: u64, last: &Outcome) -> Result<()> {
        let metrics = json!({
            "loss": last.get("loss"),
            "held_out_loss": self.metrics.held_out.last().map(|(_, loss)| *loss),
            "data": self.source.fingerprint(),
        });
        let progress = checkpoint::Progress { step, cursor, seed: self.settings.seed, metrics };
        if self.saved.is_none() {
            put_aside(&self.files, &self.progress)?;
        }
        checkpoint::save(self.machine, &progress, &self.files.checkpoint)?;
        self.saved = Some(step);
        let title = format!("{}: loss", self.machine.plan().name);
        curve::write(&self.files.curve, &title, &self.metrics.losses, &self.metrics.held_out)
    }
}

/// Takes a checkpoint up again.
///
/// # Errors
/// A checkpoint of something else: another specification, another seed, another text.
pub fn resume(machine: &mut Machine, source: &Source, path: &Path, seed: Option<u64>) -> Result<checkpoint::Progress> {
    let progress = checkpoint::load(machine, path)?;
    let name = path.display();
    if let Some(seed) = seed {
        ensure!(
            seed == progress.seed,
            "{name} was trained with seed {}, and --seed {seed} asks for another: leave --seed away",
            progress.seed
        );
    }
    let (then, now) = (progress.metrics.get("data").and_then(serde_json::Value::as_str), source.fingerprint());
    if let (Some(then), Some(now)) = (then, now) {
        ensure!(
            then == now,
            "{name} was trained on another text: resume with the same --data, or start from its parameters with --weights"
        );
    }
    Ok(progress)
}
