//! The commands of an executable, one file each; the `weft` command runs the same on what it has just compiled.

mod bench;
mod evaluate;
mod generate;
mod info;
mod run;
mod texts;
mod train;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub use bench::{Bench, BenchArgs, bench};
pub use evaluate::{EvaluateArgs, evaluate};
pub use generate::{GenerateArgs, generate};
pub use info::{info, text as info_text};
pub use run::{RunArgs, run};
pub use train::{TrainArgs, gradients, train};

use crate::console::{self, Color};
use crate::data::Source;
use crate::exec::{Compiled, Machine};
use crate::interrupt;
use crate::plan::{self, Plan, Recipe};
use crate::pool::choose_threads;
use crate::text::Text;
use crate::tokenizer::Tokenizer;
use crate::train::{Files, usual_folder};
use crate::weights;

/// What a tokenizer's file is called beside others' weights.
const TOKENIZER: &str = "tokenizer.json";

/// How a command that came through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// Ctrl-C; what was done is saved.
    Interrupted,
}

impl Exit {
    /// What the process returns.
    pub fn code(self) -> i32 {
        match self {
            Exit::Done => 0,
            Exit::Interrupted => interrupt::EXIT_CODE,
        }
    }
}

/// Options of every command that computes.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Number of threads [default: one for each core; the results do not depend on it]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Fill memory with NaN before use, to find what reads what it should not
    #[arg(long)]
    pub checked: bool,
    /// Print how long each kernel took and what it reached; into FOLDER go the same numbers
    /// (kernels.json), a trace (for ui.perfetto.dev) and a picture of the roofline
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Option<PathBuf>>,
    /// Say only what was asked for, and errors
    #[arg(long, short)]
    pub quiet: bool,
    /// Colours in what is printed: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true, value_name = "WHEN")]
    pub color: Color,
}

impl Common {
    /// A machine as these options want it.
    fn machine(&self, compiled: Compiled) -> Result<Machine> {
        console::set_color(self.color);
        if let Some(Some(folder)) = &self.profile {
            std::fs::create_dir_all(folder).with_context(|| format!("no folder {} for the profile", folder.display()))?;
        }
        let threads = choose_threads(self.threads.map(usize::from))?;
        let mut machine = Machine::new(compiled, threads, self.checked)?;
        machine.set_profile(self.profile.is_some());
        Ok(machine)
    }

    /// Prints and writes what was measured, where that was asked for.
    fn report(&self, machine: &mut Machine) -> Result<()> {
        let (Some(folder), Some(report)) = (&self.profile, machine.profile()) else { return Ok(()) };
        let ceilings = machine.ceilings()?;
        eprint!("{}", report.table(&ceilings));
        if let Some(folder) = folder {
            report.write(folder, &ceilings).with_context(|| format!("the profile in {}", folder.display()))?;
            self.say(&format!("profile: {0}/kernels.json, {0}/trace.json, {0}/roofline.svg", folder.display()));
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }
}

/// Reads a count from the command line.
fn count<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "a whole number is needed, 0 or more".into())
}

/// Where a run's files go where `--out` does not say.
fn default_folder(plan: &Plan) -> PathBuf {
    usual_folder(&plan.name)
}

/// Fills the parameters from the file that was named, or from what training left in its usual place.
fn load_weights(machine: &mut Machine, named: Option<&Path>, common: &Common) -> Result<()> {
    if machine.plan().params.is_empty() {
        return Ok(());
    }
    let usual = Files::of(&default_folder(machine.plan())).weights;
    let said = machine.plan().weights.clone();
    match (named, said) {
        (Some(path), _) => weights::load(machine, path, None),
        (None, _) if usual.exists() => {
            common.say(&format!("weights: {}", usual.display()));
            weights::load(machine, &usual, None)
        }
        (None, Some((layout, path))) => {
            common.say(&format!("weights: {path}"));
            weights::load(machine, Path::new(&path), Some(&layout))
        }
        (None, None) => {
            bail!("the model has no weights yet: pass --weights FILE, or train it first ({} is not there)", usual.display())
        }
    }
}

/// Has a failure name the file that the inputs came from.
fn of_inputs<T>(result: Result<T>, file: Option<&Path>) -> Result<T> {
    match file {
        Some(file) => result.with_context(|| format!("with the inputs of {}", file.display())),
        None => result,
    }
}

/// The recipe of a plan.
fn recipe(plan: &Plan) -> Result<Recipe> {
    plan.recipe
        .clone()
        .with_context(|| format!("`{}` says nothing of training: its specification has no `train` item", plan.name))
}

/// How texts become tokens: by the file that was named, as the recipe says, or by the one beside the weights; and whether it is by a file,
/// whose tokenizer puts marks at the ends of texts.
fn tokenizer(plan: &Plan, named: Option<&Path>) -> Result<(Tokenizer, bool)> {
    let beside = plan.weights.as_ref().map(|(_, folder)| Path::new(folder).join(TOKENIZER)).filter(|path| path.exists());
    match (named.map(Path::to_path_buf), &plan.tokenizer, beside) {
        (Some(path), _, _) | (None, None, Some(path)) => {
            let json = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let tokenizer = Tokenizer::new(&plan::Tokenizer::Json(json)).with_context(|| path.display().to_string())?;
            Ok((tokenizer, true))
        }
        (None, Some(tokenizer), _) => Ok((Tokenizer::new(tokenizer)?, false)),
        (None, None, None) if plan.weights.as_ref().is_some_and(|(_, folder)| !Path::new(folder).exists()) => {
            let folder = plan.weights.as_ref().map_or("", |(_, folder)| folder);
            bail!("{folder}, where the weights and the {TOKENIZER} of `{}` were, is not there", plan.name)
        }
        (None, None, None) => bail!(
            "nothing says how texts become tokens: `{}` is not of a recipe on text, and there is no {TOKENIZER} beside its \
             weights: pass --tokenizer FILE",
            plan.name
        ),
    }
}

/// Batches as a recipe, `--batches` and `--data` say.
fn source(plan: &Plan, recipe: &Recipe, batches: Option<&Path>, data: &[PathBuf]) -> Result<Source> {
    let plan::Data::Text { .. } = &recipe.data else {
        ensure!(
            data.is_empty(),
            "`{}` trains on given tensors, not on text: pass --batches in place of --data",
            recipe.name
        );
        let path = batches
            .with_context(|| format!("`{}` trains on given tensors: pass --batches FILE.safetensors", recipe.name))?;
        return Source::given(path, None);
    };
    match batches {
        Some(path) => Source::given(path, None),
        None => Source::text(text(plan, recipe, data)?, recipe),
    }
}

/// As [`source`], but given batches are evaluated on the end of the recipe's text, where there is one.
fn training_source(plan: &Plan, recipe: &Recipe, batches: Option<&Path>, data: &[PathBuf]) -> Result<Source> {
    let (Some(path), plan::Data::Text { .. }) = (batches, &recipe.data) else {
        return source(plan, recipe, batches, data);
    };
    if recipe.evaluate_every == 0 {
        return Source::given(path, None);
    }
    let held_out = match text(plan, recipe, data) {
        Ok(text) => Some((text, usize::try_from(recipe.time)?)),
        Err(error) if data.is_empty() => {
            console::warning(&format!("no evaluations: {error:#}"));
            None
        }
        Err(error) => return Err(error),
    };
    Source::given(path, held_out)
}

/// The text of a recipe, or of `--data`.
fn text(plan: &Plan, recipe: &Recipe, data: &[PathBuf]) -> Result<Text> {
    let plan::Data::Text { paths, held_out } = &recipe.data else { bail!("`{}` has no text", recipe.name) };
    let written: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let paths = if data.is_empty() { &written } else { data };
    Text::read(paths, &tokenizer(plan, None)?.0, *held_out)
}
