//! The programs of a recipe: a training step, or its parts over micro-batches; the held-out loss; gradients to look at.
//!
//! Whatever is measured over several batches goes through sums and weights: one program gives those of a batch (`loss`,
//! `weigh` and `accumulate`), another takes their totals and reports (`score`, `update`).

use weft_dsl::diagnostic::Diagnostic;
use weft_dsl::elaborate::{Host, LayoutOut, Objective, Program, Recipe, Session, Setting, Settings};
use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::{Emit, Parameter};
use weft_dsl::op::{Monoid, Number, Op};
use weft_dsl::span::Span;
use weft_dsl::types::{Axes, Axis, Elem};

use super::decode::decoding;
use super::{Lowered, Result, SizeLimit, called, functions, limits, parameters};
use crate::graph::{Builder, Graph, Kind, Mean, NodeId, Source, Value};
use crate::passes::differentiate::gradient_keeping;
use crate::passes::{BEFORE_GRADIENT, Options, run_passes};

/// A recipe with its programs.
pub struct Training {
    /// The recipe's plain values.
    pub settings: Settings,
    /// The model that is trained.
    pub model: String,
    /// A graph whose inputs are all its parameters.
    pub parameters: Graph,
    /// Other people's names for its parameters.
    pub layouts: Vec<LayoutOut>,
    /// Names of the objective's metrics.
    pub metrics: Vec<String>,
    /// The programs.
    pub programs: Vec<Lowered>,
    /// Why the programs that write texts could not be derived, where they could not.
    pub no_decode: Option<String>,
}

/// What is to be lowered of a recipe.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    program: &'a Program,
    recipe: &'a str,
    settings: &'a [(String, Setting)],
    host: &'a dyn Host,
    /// Passes before differentiation.
    options: &'a Options,
    /// The model's parameters as they are where nothing is trained.
    parameters: &'a [String],
}

/// What tells a model's parameters from those of another.
fn described(parameters: &[Parameter], axes: &Axes) -> Vec<String> {
    let sizes = |list: &[Axis]| list.iter().map(|&axis| axes.size(axis).to_string()).collect::<Vec<_>>().join(", ");
    parameters.iter().map(|p| format!("{} × [{}] [{}]", p.path, sizes(&p.stack), sizes(&p.axes))).collect()
}

/// Lowers a recipe. `inspect` adds the program `gradients`.
pub fn training(
    program: &Program,
    recipe: &str,
    settings: &[(String, Setting)],
    host: &dyn Host,
    options: &Options,
    inspect: bool,
) -> Result<Training> {
    let mut session = Session::new(program, Builder::new(Axes::default()), false, host);
    let made = session.recipe(recipe, settings)?;
    let known = described(&made.parameters, session.emit().axes());
    let request = Request { program, recipe, settings, host, options, parameters: &known };
    let parameters = parameters(&made.parameters, session.emit());
    let (_, model) = &made.models[0];
    let layouts = session.weights(model)?;
    let (mut programs, metrics) = request.evaluation()?;
    if made.settings.accumulate > 1 {
        programs.extend([request.weigh()?, request.accumulate()?, request.update()?]);
    } else {
        programs.push(request.step()?);
    }
    if inspect {
        programs.push(request.gradients()?);
    }
    programs.extend(functions(&session, model, &|_| true, &mut |function, options| request.function(function, options))?);
    let (derived, no_decode) = decoding(&programs);
    programs.extend(derived);
    let (settings, model) = (made.settings.clone(), model.name.clone());
    Ok(Training { settings, model, parameters, layouts, metrics, programs, no_decode })
}

impl<'a> Request<'a> {
    /// The objective in a session of its own, in training or not.
    fn objective(&self, training: bool) -> Result<Measured> {
        let mut builder = Builder::new(Axes::default());
        builder.guard_means();
        let mut session = Session::new(self.program, builder, training, self.host);
        let recipe = session.recipe(self.recipe, self.settings)?;
        if described(&recipe.parameters, session.emit().axes()) != self.parameters {
            let model = &recipe.models[0].1;
            let message = format!("`{}` has other parameters while it is trained", model.name);
            let d = Diagnostic::error("W0505", message, model.span(), "what it is made of asks whether it is `training`");
            return Err(vec![d.help("ask in its functions, where values are computed, and not where blocks are made")]);
        }
        let Objective { loss, metrics, limits: within, .. } = session.objective(&recipe)?;
        let mut builder = session.into_emit();
        let metrics = metrics.into_iter().map(|(name, value)| (format!("metric.{name}"), value));
        let (names, values): (Vec<_>, Vec<_>) = std::iter::once(("loss".into(), loss)).chain(metrics).unzip();
        let means = builder.measured(&values);
        Ok(Measured { builder, names, values, means, limits: limits(&within) })
    }

    /// What evaluating takes: the sums and weights of a batch, and the loss and metrics of their totals. With the metrics' names.
    fn evaluation(&self) -> Result<(Vec<Lowered>, Vec<String>)> {
        let mut measured = self.objective(false)?;
        let mut score = Builder::new(measured.builder.axes().clone());
        score.guard_means();
        measured.report_totals(&mut score);
        measured.sums();
        measured.weights();
        let metrics = measured.names.iter().filter_map(|name| name.strip_prefix("metric.")).map(str::to_string).collect();
        let score = Lowered { name: "score".into(), graph: score.finish(Vec::new()), limits: Vec::new() };
        let loss = Lowered { name: "loss".into(), graph: measured.builder.finish(Vec::new()), limits: measured.limits };
        Ok((vec![loss, score], metrics))
    }

    /// A function of the recipe's model, in a session of its own.
    fn function(&self, name: Option<&str>, options: bool) -> Result<Lowered> {
        let mut session = Session::new(self.program, Builder::new(Axes::default()), false, self.host);
        let recipe = session.recipe(self.recipe, self.settings)?;
        called(session, &recipe.models[0].1, name, options)
    }

    /// The weights of the objective's means over a micro-batch.
    fn weigh(&self) -> Result<Lowered> {
        let mut measured = self.objective(true)?;
        measured.weights();
        Ok(Lowered { name: "weigh".into(), graph: measured.builder.finish(Vec::new()), limits: measured.limits })
    }

    /// A program with the gradients of its first output for all parameters that it reads.
    fn differentiated(&self, builder: Builder, limits: Vec<SizeLimit>) -> Differentiated {
        let mut graph = builder.finish(Vec::new());
        let passes = if self.options.optimise { BEFORE_GRADIENT } else { &[] };
        run_passes(&mut graph, passes, self.options, &mut |_, _, _| {}).expect("passes keep graphs valid");
        let loss = graph.body.outputs[0];
        let trained: Vec<(Parameter, NodeId)> = trained(&graph);
        let wrt: Vec<NodeId> = trained.iter().map(|(_, node)| *node).collect();
        let gradients = gradient_keeping(&mut graph, loss, &wrt, self.options.keep);
        let trained =
            trained.into_iter().zip(gradients).map(|((parameter, at), gradient)| Trained { parameter, at, gradient });
        let trained = trained.collect();
        Differentiated { graph, trained, limits }
    }

    /// The loss of a batch with its gradients.
    fn whole(&self) -> Result<Differentiated> {
        let mut measured = self.objective(true)?;
        measured.report();
        Ok(self.differentiated(measured.builder, measured.limits))
    }

    /// A micro-batch's share of the loss with its gradients, and its sums.
    fn shared(&self) -> Result<Differentiated> {
        let mut measured = self.objective(true)?;
        let Some(share) = measured.builder.share(&measured.values[0]) else {
            let message = format!("the recipe `{}` cannot take its batch in micro-batches", self.recipe);
            let fault = Diagnostic::error("W0508", message, Span::default(), "")
                .note(
                    "the loss is not a sum of means over the batch and of terms that do not depend on it, so the shares of \
                     micro-batches would not add up to it",
                )
                .help("leave `accumulate` out");
            return Err(vec![fault]);
        };
        measured.builder.output("share", &[], &share);
        measured.sums();
        Ok(self.differentiated(measured.builder, measured.limits))
    }

    /// Gradients of the loss, for inspection.
    fn gradients(&self) -> Result<Lowered> {
        let Differentiated { graph, trained, limits } = self.whole()?;
        let mut builder = Builder::resume(graph);
        for Trained { parameter, gradient, .. } in &trained {
            let axes = [parameter.stack.as_slice(), &parameter.axes].concat();
            let gradient = builder.root(*gradient);
            builder.output(&format!("grad.{}", parameter.path), &axes, &gradient);
        }
        Ok(Lowered { name: "gradients".into(), graph: builder.finish(Vec::new()), limits })
    }

    /// A whole training step.
    fn step(&self) -> Result<Lowered> {
        let Differentiated { graph, trained, limits } = self.whole()?;
        let builder = Builder::resume(graph);
        let graph = self.updated(builder, &trained, |builder, t| builder.root(t.gradient))?;
        Ok(Lowered { name: "train_step".into(), graph, limits })
    }

    /// A micro-batch's sums, and its share of the gradients, added to accumulators.
    fn accumulate(&self) -> Result<Lowered> {
        let Differentiated { graph, trained, limits } = self.shared()?;
        let mut builder = Builder::resume(graph);
        for t in &trained {
            let sum = accumulator(&mut builder, &t.parameter);
            let gradient = builder.root(t.gradient);
            let total = builder.op(Op::Map(Elementwise::ADD), &[sum, gradient]);
            builder.update(&sum, &total);
        }
        Ok(Lowered { name: "accumulate".into(), graph: builder.finish(Vec::new()), limits })
    }

    /// The loss and metrics of all micro-batches, and the optimizer's update from the accumulators.
    fn update(&self) -> Result<Lowered> {
        let Differentiated { graph, trained, .. } = self.shared()?;
        // Only axes and parameters are of use here.
        let mut builder = Builder::new(graph.axes);
        builder.guard_means();
        self.objective(true)?.report_totals(&mut builder);
        let trained: Vec<Trained> =
            trained.into_iter().map(|t| Trained { at: builder.parameter(&t.parameter).node, ..t }).collect();
        let graph = self.updated(builder, &trained, |builder, t| accumulator(builder, &t.parameter))?;
        Ok(Lowered { name: "update".into(), graph, limits: Vec::new() })
    }

    /// Adds the gradient's norm, clipping, the rate and the optimizer's update of each parameter.
    fn updated(
        &self,
        mut builder: Builder,
        trained: &[Trained],
        gradient: impl Fn(&mut Builder, &Trained) -> Value,
    ) -> Result<Graph> {
        let gradients: Vec<Value> = trained.iter().map(|t| gradient(&mut builder, t)).collect();
        let norm = norm(&mut builder, &gradients);
        builder.output("grad_norm", &[], &norm);
        let mut session = Session::new(self.program, builder, true, self.host);
        let recipe: Recipe<'_, Value> = session.recipe(self.recipe, self.settings)?;
        let factor = recipe.settings.clip.map(|clip| clip_factor(session.emit(), &norm, clip));
        let step = session.emit().supplied("step", Elem::Float);
        let rate = session.rate(&recipe, step)?;
        if let Some(rate) = rate {
            session.emit().output("rate", &[], &rate);
        }
        let states = session.states(&recipe)?;
        for (t, gradient) in trained.iter().zip(gradients) {
            let builder = session.emit();
            let p = builder.root(t.at);
            let gradient = match &factor {
                Some(factor) => builder.op(Op::Map(Elementwise::MUL), &[gradient, *factor]),
                None => gradient,
            };
            let before: Vec<(String, Value)> = states
                .iter()
                .map(|(name, start)| (name.clone(), builder.state(&t.parameter, name, Number(*start))))
                .collect();
            let update = session.update(&recipe, &t.parameter, p, gradient, step, &before)?;
            let builder = session.emit();
            builder.update(&p, &update.param);
            for ((_, old), (_, new)) in before.iter().zip(&update.states) {
                builder.update(old, new);
            }
        }
        Ok(session.into_emit().finish(Vec::new()))
    }
}

/// An objective, and the means that its loss and metrics are functions of.
struct Measured {
    builder: Builder,
    /// `loss`, then `metric.NAME`.
    names: Vec<String>,
    values: Vec<Value>,
    means: Vec<Mean>,
    limits: Vec<SizeLimit>,
}

impl Measured {
    /// Outputs `sum.0`, `sum.1`, …
    fn sums(&mut self) {
        for (number, mean) in self.means.iter().enumerate() {
            let sum = self.builder.root(mean.sum);
            self.builder.output(&format!("sum.{number}"), &[], &sum);
        }
    }

    /// Outputs `weight.0`, `weight.1`, …
    fn weights(&mut self) {
        for (number, mean) in self.means.iter().enumerate() {
            let weight = self.builder.root(mean.weight);
            self.builder.output(&format!("weight.{number}"), &[], &weight);
        }
    }

    /// Outputs the loss and metrics of this batch.
    fn report(&mut self) {
        report(&mut self.builder, &self.names, &self.values, &self.means);
    }

    /// Outputs in another program the loss and metrics of totals that the run supplies.
    fn report_totals(&self, to: &mut Builder) {
        let (values, means) = self.builder.with_totals(&self.values, &self.means, to);
        report(to, &self.names, &values, &means);
    }
}

/// Outputs values and for each how much it counts: `loss`, `weight.loss`, `metric.NAME`, `weight.metric.NAME`.
fn report(builder: &mut Builder, names: &[String], values: &[Value], means: &[Mean]) {
    for (name, value) in names.iter().zip(values) {
        builder.output(name, &[], value);
        let weight = builder.weight_of(value, means);
        builder.output(&format!("weight.{name}"), &[], &weight);
    }
}

/// An objective with gradients.
struct Differentiated {
    graph: Graph,
    trained: Vec<Trained>,
    limits: Vec<SizeLimit>,
}

/// A parameter that is trained.
struct Trained {
    parameter: Parameter,
    at: NodeId,
    gradient: NodeId,
}

/// The parameters among a graph's inputs, with their nodes.
fn trained(graph: &Graph) -> Vec<(Parameter, NodeId)> {
    let argument = |number: u32| graph.body.iter().find(|(_, n)| n.kind == Kind::Argument(number)).map(|(id, _)| id);
    let parameter = |(number, input): (usize, &crate::graph::Input)| match &input.source {
        Source::Parameter(parameter) => Some((parameter.clone(), argument(number as u32)?)),
        _ => None,
    };
    graph.inputs.iter().enumerate().filter_map(parameter).collect()
}

fn accumulator(builder: &mut Builder, parameter: &Parameter) -> Value {
    let axes = [parameter.stack.as_slice(), &parameter.axes].concat();
    builder.accumulator(&format!("{}/gradient", parameter.path), Elem::Float, &axes)
}

/// `√ Σ Σ g²` over all gradients.
fn norm(builder: &mut Builder, gradients: &[Value]) -> Value {
    let mut sum = builder.op(Op::Constant(Number(0.0), Elem::Float, Vec::new()), &[]);
    for gradient in gradients {
        let over = builder.type_of(gradient).axes;
        let square = builder.op(Op::Map(Elementwise::MUL), &[*gradient, *gradient]);
        let part = if over.is_empty() { square } else { builder.op(Op::Reduce(Monoid::Sum, over), &[square]) };
        sum = builder.op(Op::Map(Elementwise::ADD), &[sum, part]);
    }
    builder.op(Op::Map(Elementwise::SQRT), &[sum])
}

/// `min(1, clip / (norm + 1e-6))`, as PyTorch's `clip_grad_norm_`.
fn clip_factor(builder: &mut Builder, norm: &Value, clip: f64) -> Value {
    let mut number = |value: f64| builder.op(Op::Constant(Number(value), Elem::Float, Vec::new()), &[]);
    let (one, clip, small) = (number(1.0), number(clip), number(1e-6));
    let total = builder.op(Op::Map(Elementwise::ADD), &[*norm, small]);
    let factor = builder.op(Op::Map(Elementwise::DIV), &[clip, total]);
    builder.op(Op::Map(Elementwise::MIN), &[one, factor])
}
