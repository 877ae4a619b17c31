//! From a checked specification to the graphs of its programs.

mod decode;
mod test;
mod train;

pub use test::{Claim, Test, test};
pub use train::{Training, training};

use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{Entry, Host, LayoutOut, Limit, ModelRef, Program, Session, Setting};
use weft_dsl::emit::{Emit, Parameter};
use weft_dsl::size::Size;
use weft_dsl::types::Axes;
use weft_runtime::plan;

use crate::graph::{Builder, Graph, Input, Value};

/// What the sizes of a run must keep to: a size, its largest value, and why.
pub type SizeLimit = (Size, Size, String);

/// Diagnostics or a value.
pub type Result<T> = std::result::Result<T, Vec<Diagnostic>>;

/// A program of a specification.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// Its name: see [`weft_runtime::plan::Program::name`].
    pub name: String,
    /// What it computes.
    pub graph: Graph,
    /// What its sizes must keep to.
    pub limits: Vec<SizeLimit>,
}

/// A model with its functions as programs.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// A graph whose inputs are all its parameters, in declared order.
    pub parameters: Graph,
    /// Its functions, and what is derived from them.
    pub functions: Vec<Lowered>,
    /// Why the programs that write texts could not be derived, where they could not.
    pub no_decode: Option<String>,
    /// Other people's names for its parameters.
    pub layouts: Vec<LayoutOut>,
}

/// Lowers every function of a model, or the one that is asked for (`None` of `Some`: the nameless one).
pub fn model(
    program: &Program,
    name: &str,
    settings: &[(String, Setting)],
    host: &dyn Host,
    only: Option<Option<&str>>,
) -> Result<Model> {
    let mut whole = parameters_of(program, name, settings, host)?;
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let model = session.model(name, settings)?;
    let wanted = |function: Option<&str>| only.is_none_or(|only| only == function);
    whole.functions = functions(&session, &model, &wanted, &mut |function, options| {
        let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
        let model = session.model(name, settings)?;
        called(session, &model, function, options)
    })?;
    let (derived, no_decode) = decode::decoding(&whole.functions);
    whole.functions.extend(derived);
    Ok(Model { no_decode, ..whole })
}

/// A model, or the one that a recipe trains.
pub fn made<'p, E: Emit>(
    session: &mut Session<'p, E>,
    program: &Program,
    name: &str,
    settings: &[(String, Setting)],
) -> Result<ModelRef<'p, E::Value>> {
    if !program.recipes().contains(&name) {
        return session.model(name, settings);
    }
    let models = session.recipe(name, settings)?.models;
    // A recipe without a model is refused before.
    models.into_iter().next().map(|(_, model)| model).ok_or_else(Vec::new)
}

/// A model, or the one that a recipe trains, with its parameters alone.
pub fn parameters_of(program: &Program, name: &str, settings: &[(String, Setting)], host: &dyn Host) -> Result<Model> {
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let model = made(&mut session, program, name, settings)?;
    let parameters = parameters(&model.parameters, session.emit());
    let layouts = session.weights(&model)?;
    Ok(Model { name: name.into(), parameters, functions: Vec::new(), no_decode: None, layouts })
}

/// Lowers the wanted functions of a model, each in a session of its own; one with optional arguments once more with these.
fn functions<'p>(
    session: &Session<'p, Builder>,
    model: &ModelRef<'p, Value>,
    wanted: &dyn Fn(Option<&str>) -> bool,
    lower: &mut dyn FnMut(Option<&str>, bool) -> Result<Lowered>,
) -> Result<Vec<Lowered>> {
    let mut programs = Vec::new();
    for function in session.functions(model).iter().map(Option::as_deref).filter(|function| wanted(*function)) {
        programs.push(lower(function, false)?);
        if session.has_options(model, function) {
            programs.push(lower(function, true)?);
        }
    }
    Ok(programs)
}

/// Calls a function of a model, as a program; `options`: with its optional arguments.
fn called<'p>(
    mut session: Session<'p, Builder>,
    model: &ModelRef<'p, Value>,
    function: Option<&str>,
    options: bool,
) -> Result<Lowered> {
    let Entry { name, outputs, limits: found, .. } = match options {
        true => session.call_with_options(model, function)?,
        false => session.call(model, function)?,
    };
    let name = if options { plan::Program::with_options(&name) } else { name };
    let outputs = outputs.into_iter().map(|o| (o.name, o.axes, o.value)).collect();
    Ok(Lowered { name, graph: session.into_emit().finish(outputs), limits: limits(&found) })
}

/// A graph whose inputs are these parameters.
fn parameters(parameters: &[Parameter], builder: &mut Builder) -> Graph {
    let axes = weft_dsl::emit::Emit::axes(builder).clone();
    Graph { axes, inputs: parameters.iter().map(Input::parameter).collect(), ..Graph::default() }
}

/// What an entry demands of its sizes.
fn limits(limits: &[Limit]) -> Vec<SizeLimit> {
    limits.iter().map(|l| (l.size.clone(), l.at_most.clone(), l.why.clone())).collect()
}
