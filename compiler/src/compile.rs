//! Compiling a specification: all stages in order, from a file to a plan and machine code.

mod fingerprint;
mod fits;
mod outputs;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{self, Host, LayoutOut, Program, Setting, Settings};
use weft_dsl::sources::Sources;
use weft_runtime::plan::{self, Plan};
use weft_runtime::tokenizer::{Tokenizer, characters_of};

use self::fingerprint::fingerprint;
use self::fits::Thrift;
use self::outputs::complete_outputs;
use crate::fuse::fuse;
use crate::graph::{Graph, print};
use crate::lower::{self, Lowered};
use crate::passes::decode::{Kept, Which, derive};
use crate::passes::differentiate::Keep;
use crate::passes::{self, run_passes};
use crate::plan::{Kernels, Slots};
use crate::schedule::Machine;
use crate::schedule::product::tuning::{Product, Tuning};
use crate::stored::layout;
use crate::target::cpu::{self, Cpu};

/// What is compiled of a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A recipe: training, evaluation, and the functions of its model.
    Recipe(String),
    /// A model: all its functions, or one (`Some(None)`: the nameless one).
    Model(String, Option<Option<String>>),
}

/// How it is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Configuration given from outside.
    pub settings: Vec<(String, Setting)>,
    /// Rewrite and fuse.
    pub optimise: bool,
    /// Bounds-checked code.
    pub checked: bool,
    /// Check the graph after each pass.
    pub validate: bool,
    /// Bytes that training may take.
    pub memory: Option<u64>,
    /// Add the program `gradients`.
    pub gradients: bool,
    /// Leave out a set of rewrite rules, by its number: see [`crate::rewrite::sets`].
    pub without: Option<usize>,
    /// The processor.
    pub cpu: Cpu,
    /// What was measured on it.
    pub tuning: Arc<Tuning>,
}

impl Options {
    /// Everything is done that makes code for a processor faster, and nothing else.
    pub fn of(cpu: Cpu) -> Self {
        Self {
            settings: Vec::new(),
            optimise: true,
            checked: false,
            validate: false,
            memory: None,
            gradients: false,
            without: None,
            cpu,
            tuning: Arc::default(),
        }
    }
}

/// A compiled specification.
pub struct Output {
    /// All but the code.
    pub plan: Plan,
    /// Relocatable object files with the kernels.
    pub objects: Vec<Vec<u8>>,
    /// For each kernel: which product it is, where that was asked for or told: see [`Tuning`].
    pub products: Vec<Option<Product>>,
}

impl Output {
    fn new(plan: Plan, kernels: &Kernels, options: &Options, watch: Watch) -> Result<Self> {
        let products = kernels.list.iter().map(|(_, kernel)| kernel.product.clone()).collect();
        Ok(Self { plan, objects: code(kernels, options, watch)?, products })
    }
}

/// Why a specification was not compiled.
#[derive(Debug)]
pub enum Failure {
    /// Faults in it.
    Faults(Vec<Diagnostic>, Sources),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(error)
    }
}

/// Sees each stage as it ends: its name, its text (made only where asked for), how long it took.
pub type Watch<'a> = &'a mut dyn FnMut(&str, &dyn Fn() -> String, Duration);

/// A specification that has been read and checked.
pub struct Specification {
    /// Its program.
    pub program: Program,
    /// Its folder.
    pub folder: PathBuf,
    /// What is likely not meant, though it can be compiled.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and checks a specification with the files it uses.
pub fn load(path: &Path) -> std::result::Result<Specification, Failure> {
    if path.is_dir() {
        let shown = path.display();
        let imports = path.join(crate::import::CONFIG).is_file();
        let help = if imports { format!(": `weft import {shown}` writes one") } else { String::new() };
        return Err(anyhow::anyhow!("{shown} is a folder, not a specification{help}").into());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the specification `{}`", path.display()))?;
    specification(path, &text)
}

/// Checks a specification of this text, which lies or will lie at a path.
pub fn specification(path: &Path, text: &str) -> std::result::Result<Specification, Failure> {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let (program, mut faults) = Program::load(&path.display().to_string(), text, &read);
    if faults.is_empty() {
        faults = program.check();
    }
    if faults.iter().any(|d| d.severity == weft_dsl::diagnostic::Severity::Error) {
        return Err(Failure::Faults(faults, program.sources().clone()));
    }
    Ok(Specification { program, folder, warnings: faults })
}

impl Specification {
    /// What a command works on when the user does not say: the recipe, or else the model; several are an error.
    pub fn subject(&self, name: Option<&str>) -> Result<Subject> {
        let (recipes, models) = (self.program.recipes(), self.program.models());
        if let Some(name) = name {
            if recipes.contains(&name) {
                return Ok(Subject::Recipe(name.into()));
            }
            anyhow::ensure!(
                models.contains(&name),
                "the specification has no recipe or model `{name}`; it has {}",
                recipes.iter().chain(&models).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            );
            return Ok(Subject::Model(name.into(), None));
        }
        match (recipes.as_slice(), models.as_slice()) {
            ([recipe], _) => Ok(Subject::Recipe((*recipe).into())),
            ([], [model]) => Ok(Subject::Model((*model).into(), None)),
            ([], []) => anyhow::bail!("the specification has neither a recipe (`train`) nor a model"),
            _ => anyhow::bail!(
                "the specification has several: say which with `--item`: {}",
                recipes.iter().chain(&models).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// Compiles a subject.
    pub fn compile(&self, subject: &Subject, options: &Options, watch: Watch) -> std::result::Result<Output, Failure> {
        self.compile_only(subject, &|_| true, options, watch)
    }

    /// Compiles those programs of a subject whose names are wanted.
    pub fn compile_only(
        &self,
        subject: &Subject,
        wanted: &dyn Fn(&str) -> bool,
        options: &Options,
        watch: Watch,
    ) -> std::result::Result<Output, Failure> {
        let (plan, kernels) = self.plan(subject, wanted, options, watch)?;
        Ok(Output::new(plan, &kernels, options, watch)?)
    }

    /// Plans, with a choice of what is done for memory.
    fn plan_with(
        &self,
        subject: &Subject,
        wanted: &dyn Fn(&str) -> bool,
        options: &Options,
        thrift: Thrift,
        watch: Watch,
    ) -> std::result::Result<(Plan, Kernels), Failure> {
        let mut lowered = self.lower(subject, options, thrift.keep, watch)?;
        keep(&mut lowered.programs, wanted)?;
        let (mut plan, kernels) =
            planned(&lowered.name, &lowered.parameters, lowered.programs, options, thrift.chunks, watch)?;
        plan.no_decode = lowered.no_decode.clone();
        plan.layouts = lowered.layouts.iter().map(|l| layout(l, &plan.params)).collect::<Result<_>>()?;
        plan.weights = self.weights_place(&lowered.name);
        if let Some(settings) = &lowered.settings {
            plan.recipe = Some(self.recipe(&plan.name, settings, &lowered.metrics));
            plan.tokenizer = self.tokenizer(&settings.data)?;
        }
        plan.fingerprint = fingerprint(&plan);
        Ok((plan, kernels))
    }

    /// The wanted programs of a subject as graphs of kernels.
    pub fn graphs(
        &self,
        subject: &Subject,
        wanted: &dyn Fn(&str) -> bool,
        options: &Options,
        watch: Watch,
    ) -> std::result::Result<Vec<(String, Graph)>, Failure> {
        let mut programs = self.lower(subject, options, Keep::default(), watch)?.programs;
        keep(&mut programs, wanted)?;
        for lowered in &mut programs {
            optimised(lowered, options, false, watch)?;
        }
        Ok(programs.into_iter().map(|lowered| (lowered.name, lowered.graph)).collect())
    }

    /// What the model of a subject keeps of each place while a text is written, or why it cannot.
    pub fn kept(&self, subject: &Subject) -> std::result::Result<std::result::Result<Vec<Kept>, String>, Failure> {
        let options = Options::of(Cpu::host());
        let programs = self.lower(subject, &options, Keep::default(), &mut |_, _, _| {})?.programs;
        let forward = programs.iter().find(|p| p.name == "forward").context("the model has no nameless `fn`")?;
        Ok(derive(&forward.graph, Which { goes_on: true, rows: false }).map(|derived| derived.kept))
    }

    fn lower(&self, subject: &Subject, options: &Options, keep: Keep, watch: Watch) -> std::result::Result<Whole, Failure> {
        let start = Instant::now();
        let faults = |faults| Failure::Faults(faults, self.program.sources().clone());
        let mut whole = match subject {
            Subject::Recipe(name) => {
                let pass_options = passes::Options { optimise: options.optimise, validate: options.validate, keep };
                let made = lower::training(&self.program, name, &options.settings, self, &pass_options, options.gradients);
                let training = made.map_err(faults)?;
                Whole {
                    name: name.clone(),
                    parameters: training.parameters,
                    layouts: training.layouts,
                    programs: training.programs,
                    no_decode: training.no_decode,
                    settings: Some(training.settings),
                    metrics: training.metrics,
                }
            }
            Subject::Model(name, only) => {
                let only = only.as_ref().map(|o| o.as_deref());
                let model = lower::model(&self.program, name, &options.settings, self, only).map_err(faults)?;
                Whole {
                    name: name.clone(),
                    parameters: model.parameters,
                    layouts: model.layouts,
                    programs: model.functions,
                    no_decode: model.no_decode,
                    settings: None,
                    metrics: Vec::new(),
                }
            }
        };
        if let Some(settings) = &whole.settings {
            let rows = self.recipe(&whole.name, settings, &[]).rows() as i64;
            let typical = [("batch", rows), ("time", settings.time)].map(|(name, size)| (name.to_string(), size));
            for program in &mut whole.programs {
                program.graph.axes.typical.extend(typical.iter().filter(|(_, size)| *size > 0).cloned());
            }
        }
        watch(
            "lower",
            &|| whole.programs.iter().map(|p| format!("# {}\n{}", p.name, print(&p.graph))).collect(),
            start.elapsed(),
        );
        Ok(whole)
    }

    fn recipe(&self, name: &str, settings: &Settings, metrics: &[String]) -> plan::Recipe {
        let data = match &settings.data {
            elaborate::Data::Batches => plan::Data::Batches,
            elaborate::Data::Text { paths, .. } => plan::Data::Text {
                paths: paths.iter().map(|p| self.folder.join(p).display().to_string()).collect(),
                held_out: settings.held_out,
            },
        };
        plan::Recipe {
            name: name.into(),
            data,
            batch: settings.batch as u64,
            time: settings.time as u64,
            steps: settings.steps as u64,
            accumulate: settings.accumulate as u64,
            clip: settings.clip,
            seed: settings.seed as u64,
            evaluate_every: settings.evaluate_every as u64,
            evaluate_batches: settings.evaluate_batches as u64,
            checkpoint_every: settings.checkpoint_every as u64,
            metrics: metrics.to_vec(),
        }
    }

    fn tokenizer(&self, data: &elaborate::Data) -> Result<Option<plan::Tokenizer>> {
        match data {
            elaborate::Data::Batches => Ok(None),
            elaborate::Data::Text { paths, tokenizer } => self.read_tokenizer(paths, tokenizer).map(Some),
        }
    }

    /// What is wrong with the recipes once their data is read: see [`Program::check_data`].
    pub fn check_data(&self) -> Vec<Diagnostic> {
        self.program.check_data(self)
    }

    fn read_tokenizer(&self, paths: &[String], tokenizer: &elaborate::Tokenizer) -> Result<plan::Tokenizer> {
        let read = |path: &String| {
            let path = self.folder.join(path);
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            anyhow::ensure!(!text.is_empty(), "`{}` is empty", path.display());
            Ok(text)
        };
        Ok(match tokenizer {
            elaborate::Tokenizer::Characters => characters_of(&paths.iter().map(read).collect::<Result<Vec<_>>>()?.concat()),
            elaborate::Tokenizer::Bytes => plan::Tokenizer::Bytes,
            elaborate::Tokenizer::File(path) => plan::Tokenizer::Json(read(path)?),
        })
    }
}

impl Host for Specification {
    fn vocabulary(&self, paths: &[String], tokenizer: &elaborate::Tokenizer) -> std::result::Result<i64, String> {
        let size = || -> Result<usize> { Ok(Tokenizer::new(&self.read_tokenizer(paths, tokenizer)?)?.size()) };
        size().map(|n| n as i64).map_err(|error| format!("{error:#}"))
    }

    fn readable(&self, path: &str) -> std::result::Result<(), String> {
        // Not all data is UTF-8, and it may be large: whether it opens says enough.
        let path = self.folder.join(path);
        let size = std::fs::File::open(&path).and_then(|file| file.metadata());
        match size {
            Ok(found) if found.is_file() && found.len() > 0 => Ok(()),
            Ok(found) => Err(format!("`{}` is {}", path.display(), if found.is_file() { "empty" } else { "no file" })),
            Err(error) => Err(format!("cannot read `{}`: {error}", path.display())),
        }
    }
}

/// Compiles graphs that share parameters: every pass, kernels, memory, code. `parameters` has an input for each parameter; storage
/// that it lacks is made where a graph first reads it.
///
/// # Errors
/// A pass broke a graph (a fault of the compiler), or something in it is not compiled yet.
pub fn programs(name: &str, parameters: &Graph, programs: Vec<Lowered>, options: &Options, watch: Watch) -> Result<Output> {
    let (mut plan, kernels) = planned(name, parameters, programs, options, false, watch)?;
    plan.fingerprint = fingerprint(&plan);
    Output::new(plan, &kernels, options, watch)
}

/// Plans programs: all of the plan that follows from them, and their kernels. `chunks` is that of [`Thrift`].
fn planned(
    name: &str,
    parameters: &Graph,
    mut programs: Vec<Lowered>,
    options: &Options,
    chunks: bool,
    watch: Watch,
) -> Result<(Plan, Kernels)> {
    let mut plan = Plan { format: plan::FORMAT, name: name.into(), ..Plan::default() };
    let (mut kernels, mut slots) = (Kernels::default(), Slots::default());
    slots.declare(parameters)?;
    let machine = Machine { tuning: options.tuning.clone(), ..options.cpu.machine() };
    for program in &mut programs {
        optimised(program, options, chunks, watch)?;
    }
    for Lowered { name, graph, limits } in &programs {
        let start = Instant::now();
        let program = crate::plan::program(name, graph, limits, &machine, &mut kernels, &mut slots)?;
        watch(&format!("{name}.plan"), &|| format!("{program:#?}"), start.elapsed());
        plan.programs.push(if options.checked { crate::plan::apart(program) } else { program });
    }
    plan.slots = slots.list;
    plan.params = slots.params;
    plan.kernels = kernels.list.iter().map(|(name, _)| name.clone()).collect();
    plan.target = plan::Target { triple: options.cpu.triple.to_string(), features: options.cpu.features() };
    Ok((plan, kernels))
}

/// The machine code of kernels.
fn code(kernels: &Kernels, options: &Options, watch: Watch) -> Result<Vec<Vec<u8>>> {
    let start = Instant::now();
    let objects = cpu::compile(&kernels.list, &options.cpu, options.checked)?;
    watch("code", &|| format!("{:#?}", kernels.list), start.elapsed());
    Ok(objects)
}

/// Everything that was lowered.
struct Whole {
    name: String,
    parameters: Graph,
    layouts: Vec<LayoutOut>,
    programs: Vec<Lowered>,
    no_decode: Option<String>,
    settings: Option<Settings>,
    metrics: Vec<String>,
}

/// Leaves the wanted programs.
fn keep(programs: &mut Vec<Lowered>, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let own = programs.iter().filter(|p| !plan::Program::takes_options(&p.name));
    let names: Vec<String> = own.map(|p| format!("`{}`", p.name)).collect();
    programs.retain(|p| wanted(&p.name));
    anyhow::ensure!(!programs.is_empty(), "there is no such function; there are {}", names.join(", "));
    Ok(())
}

/// Runs the passes over a program and makes kernels of it. `chunks` is that of [`Thrift`].
fn optimised(lowered: &mut Lowered, options: &Options, chunks: bool, watch: Watch) -> Result<()> {
    let Lowered { name, graph, .. } = lowered;
    let pass_options = passes::Options { optimise: options.optimise, validate: options.validate, ..Default::default() };
    let pipeline = if options.optimise { passes::pipeline(options.without, chunks) } else { Vec::new() };
    run_passes(graph, &pipeline, &pass_options, &mut |pass, graph, time| {
        watch(&format!("{name}.{pass}"), &|| print(graph), time);
    })?;
    let start = Instant::now();
    complete_outputs(graph);
    fuse(graph, options.optimise);
    watch(&format!("{name}.fuse"), &|| print(graph), start.elapsed());
    Ok(())
}
