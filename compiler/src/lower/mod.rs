//! From a checked specification to the graphs of its programs.

mod decode;
mod train;

pub use train::{Training, training};

use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{Entry, Host, LayoutOut, Limit, Program, Session, Setting};
use weft_dsl::emit::Parameter;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Elem};

use crate::graph::{Builder, Graph, Input, Source, Value};

/// Diagnostics or a value.
pub type Result<T> = std::result::Result<T, Vec<Diagnostic>>;

/// A program of a specification.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// Its name: see [`weft_runtime::plan::Program::name`].
    pub name: String,
    /// What it computes.
    pub graph: Graph,
    /// What its sizes must keep to: size, largest value, why.
    pub limits: Vec<(Size, i64, String)>,
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
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let model = session.model(name, settings)?;
    let parameters = parameters(&model.parameters, session.emit());
    let layouts = session.weights(&model)?;
    let mut functions = Vec::new();
    for function in session.functions(&model) {
        if only.is_none_or(|only| only == function.as_deref()) {
            functions.push(function_of(program, name, settings, host, function.as_deref())?);
        }
    }
    let (derived, no_decode) = decode::decoding(&functions);
    functions.extend(derived);
    Ok(Model { name: name.into(), parameters, functions, no_decode, layouts })
}

/// Lowers one function in a session of its own.
fn function_of(
    program: &Program,
    model: &str,
    settings: &[(String, Setting)],
    host: &dyn Host,
    function: Option<&str>,
) -> Result<Lowered> {
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let model = session.model(model, settings)?;
    let entry = session.call(&model, function)?;
    Ok(called(session, entry))
}

/// A function that was called, as a program.
fn called(session: Session<Builder>, entry: Entry<Value>) -> Lowered {
    let outputs = entry.outputs.into_iter().map(|o| (o.name, o.axes, o.value)).collect();
    let graph = session.into_emit().finish(outputs);
    Lowered { name: entry.name, graph, limits: limits(&entry.limits) }
}

/// A graph whose inputs are these parameters.
fn parameters(parameters: &[Parameter], builder: &mut Builder) -> Graph {
    let axes = weft_dsl::emit::Emit::axes(builder).clone();
    Graph { axes, inputs: parameters.iter().map(input).collect(), ..Graph::default() }
}

/// A parameter as an input.
fn input(parameter: &Parameter) -> Input {
    Input {
        name: parameter.path.clone(),
        elem: Elem::Float,
        axes: [parameter.stack.as_slice(), &parameter.axes].concat(),
        source: Source::Parameter(parameter.clone()),
    }
}

/// Limits whose largest value is known; the others hold by construction.
fn limits(limits: &[Limit]) -> Vec<(Size, i64, String)> {
    limits.iter().filter_map(|l| Some((l.size.clone(), l.at_most.known()?, l.why.clone()))).collect()
}
