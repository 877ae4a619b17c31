//! A session: one elaboration of a program with one [`Emit`].

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::emit::{Emit, Parameter};
use crate::op::{Misfit, Number, Op};
use crate::size::Size;
use crate::span::{FileId, Span};
use crate::types::{Axis, Elem, Type};

use super::outcome::{Claim, Host, Limit, Setting};
use super::program::Program;
use super::value::{Scope, Tensor, Value};

/// How deep expressions and calls may nest before it is taken for a mistake.
const DEPTH: usize = 400;

/// An error that has been reported already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported;

/// The result of a step that reports its own errors.
pub(crate) type Done<T> = Result<T, Reported>;

/// The value of an expression in a session.
pub(crate) type Val<'p, E> = Value<'p, <E as Emit>::Value>;

/// A scope in a session.
pub(crate) type Names<'p, E> = Rc<Scope<'p, <E as Emit>::Value>>;

/// One elaboration of a program.
pub struct Session<'p, E: Emit> {
    pub(crate) program: &'p Program,
    pub(crate) emit: E,
    /// Configuration is symbolic and bodies are walked once.
    pub(crate) checking: bool,
    /// The value of `training`.
    pub(crate) training: Option<bool>,
    pub(crate) host: &'p dyn Host,
    pub(crate) roots: Vec<Names<'p, E>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// For each body being walked: where each axis first came in.
    pub(crate) origins: Vec<HashMap<Axis, Span>>,
    /// The axes of the open loops, outermost first.
    pub(crate) loops: Vec<Axis>,
    /// Repetitions around the block being made.
    pub(crate) stack: Vec<Axis>,
    /// Path of the member being made; `None` where no block can be made.
    pub(crate) member: Option<String>,
    /// Configuration set from outside, for the block that is made next.
    pub(crate) overrides: Vec<(String, Setting)>,
    /// All parameters in order of making.
    pub(crate) parameters: Vec<Parameter>,
    /// With how many axes each parameter is declared: a product that a block was given as one axis counts once.
    pub(crate) written_axes: HashMap<String, usize>,
    /// Functions being walked: text and scope.
    pub(crate) calls: Vec<(*const ast::Fn, usize)>,
    /// Blocks being made.
    pub(crate) making: Vec<&'p ast::Block>,
    /// Places in the specification that led here, innermost last.
    pub(crate) trace: Vec<Span>,
    /// Places of the specification that faults within the library were put down to: see [`Session::is_said`].
    pub(crate) blamed: Vec<Span>,
    pub(crate) limits: Vec<Limit>,
    /// Call sites of random numbers so far.
    pub(crate) sites: u32,
    /// Axes whose size a body may find out (generic axes while checking).
    pub(crate) open_sizes: HashSet<Axis>,
    /// How many values were like nothing else while blocks were compared.
    pub(crate) unlike: usize,
    /// How many values lists made so far.
    pub(crate) listed: usize,
    /// The item that is checked by itself.
    pub(crate) item: Option<Span>,
    /// While one is: what its conditions are taken to be, and those that were not known.
    pub(crate) assumed: Vec<(&'p ast::Expr, bool)>,
    pub(crate) undecided: Vec<&'p ast::Expr>,
    pub(crate) metrics: Vec<(String, E::Value)>,
    /// What the test that is walked has asserted so far; `None` outside tests.
    pub(crate) claims: Option<Vec<Claim<E::Value>>>,
    /// What an earlier step was refused for: a later one that builds on it is refused for the same.
    refused: Vec<Diagnostic>,
    depth: usize,
}

impl<'p, E: Emit> Session<'p, E> {
    /// A session that makes values with `emit`. `training` is the value of `training` in the program.
    pub fn new(program: &'p Program, emit: E, training: bool, host: &'p dyn Host) -> Self {
        Self::start(program, emit, Some(training), host, false)
    }

    pub(crate) fn start(program: &'p Program, emit: E, training: Option<bool>, host: &'p dyn Host, checking: bool) -> Self {
        Self {
            program,
            emit,
            checking,
            training,
            host,
            roots: (0..program.file_count()).map(|i| Scope::root(FileId(i as u32))).collect(),
            diagnostics: Vec::new(),
            origins: vec![HashMap::new()],
            loops: Vec::new(),
            stack: Vec::new(),
            member: None,
            overrides: Vec::new(),
            parameters: Vec::new(),
            written_axes: HashMap::new(),
            calls: Vec::new(),
            making: Vec::new(),
            trace: Vec::new(),
            blamed: Vec::new(),
            limits: Vec::new(),
            sites: 0,
            open_sizes: HashSet::new(),
            unlike: 0,
            listed: 0,
            item: None,
            assumed: Vec::new(),
            undecided: Vec::new(),
            metrics: Vec::new(),
            claims: None,
            refused: Vec::new(),
            depth: 0,
        }
    }

    /// What makes the values.
    pub fn emit(&mut self) -> &mut E {
        &mut self.emit
    }

    /// Ends the session.
    pub fn into_emit(self) -> E {
        self.emit
    }

    /// Reports. A fault within the library is shown where the user's own text led to it, once for each place; one in another
    /// of their files also says which line of the specification did.
    pub(crate) fn report(&mut self, mut diagnostic: Diagnostic) -> Reported {
        let program = self.program;
        let place = |own: &dyn Fn(FileId) -> bool| self.trace.iter().rev().find(|span| own(span.file)).copied();
        let file = |diagnostic: &Diagnostic| diagnostic.labels.first().map(|label| label.span.file);
        if file(&diagnostic).is_some_and(|file| program.is_library(file))
            && let Some(place) = place(&|file| !program.is_library(file))
        {
            if self.blamed.contains(&place) {
                return Reported;
            }
            self.blamed.push(place);
            diagnostic.led_to_by(place);
        }
        if file(&diagnostic).is_some_and(|file| file != FileId(0))
            && let Some(place) = place(&|file| file == FileId(0))
        {
            diagnostic = diagnostic.label(place, "in what is made or called here");
        }
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
        Reported
    }

    /// Takes a step that a place of the text leads to.
    pub(crate) fn led_by<T>(&mut self, place: Span, step: impl FnOnce(&mut Self) -> T) -> T {
        self.trace.push(place);
        let result = step(self);
        self.trace.pop();
        result
    }

    /// Reports an error at a place.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Reported {
        self.report(Diagnostic::error(code, message, span, label))
    }

    /// Runs a step one level deeper.
    pub(crate) fn deeper<T>(&mut self, span: Span, step: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.depth >= DEPTH {
            return Err(self.error(
                "W0111",
                "this is nested too deeply",
                span,
                "expressions and calls nest more than 400 deep here",
            ));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    /// What went wrong so far, if anything did.
    pub(crate) fn outcome<T>(&mut self, result: Done<T>) -> Result<T, Vec<Diagnostic>> {
        let diagnostics = std::mem::take(&mut self.diagnostics);
        match result {
            Ok(value) if diagnostics.is_empty() => Ok(value),
            Err(Reported) if diagnostics.is_empty() => Err(self.refused.clone()),
            _ => {
                self.refused.clone_from(&diagnostics);
                Err(diagnostics)
            }
        }
    }

    /// `[batch, time] of token`
    pub(crate) fn show(&mut self, ty: &Type) -> String {
        self.emit.axes().show(ty)
    }

    /// The names of axes, as a user writes them.
    pub(crate) fn show_axes(&mut self, axes: &[Axis]) -> String {
        let names: Vec<_> = axes.iter().map(|&a| self.emit.axes()[a].name.clone()).collect();
        format!("[{}]", names.join(", "))
    }

    pub(crate) fn name_of(&mut self, axis: Axis) -> String {
        self.emit.axes()[axis].name.clone()
    }

    pub(crate) fn size_of(&mut self, axes: &[Axis]) -> Size {
        self.emit.axes().volume(axes)
    }

    /// Where an axis first came into this body.
    pub(crate) fn origin(&self, axis: Axis) -> Option<Span> {
        self.origins.last()?.get(&axis).copied()
    }

    /// Remembers where axes came in.
    pub(crate) fn seen(&mut self, value: &E::Value, span: Span) {
        let ty = self.emit.type_of(value);
        if let Some(origins) = self.origins.last_mut() {
            for axis in ty.axes {
                origins.entry(axis).or_insert(span);
            }
        }
    }

    /// An operation whose operands are known to fit.
    pub(crate) fn sure(&mut self, op: Op, operands: &[E::Value]) -> E::Value {
        self.emit.op(op, operands)
    }

    /// An operation; reports operands that do not fit. `spans` are the operands' places, then the whole's.
    pub(crate) fn op(&mut self, op: Op, operands: &[E::Value], spans: &[Span]) -> Done<E::Value> {
        let types: Vec<_> = operands.iter().map(|v| self.emit.type_of(v)).collect();
        let whole = spans.last().copied().unwrap_or_default();
        let refs: Vec<_> = types.iter().collect();
        if let Err(misfit) = op.infer(&refs, self.emit.axes()) {
            return Err(self.misfit(&misfit, &types, spans));
        }
        let value = self.emit.op(op, operands);
        self.seen(&value, whole);
        Ok(value)
    }

    fn misfit(&mut self, misfit: &Misfit, types: &[Type], spans: &[Span]) -> Reported {
        let whole = spans.last().copied().unwrap_or_default();
        let at = |i: usize| spans.get(i).copied().unwrap_or(whole);
        let shown: Vec<_> = types.iter().map(|t| self.show(t)).collect();
        let diagnostic = match *misfit {
            Misfit::Elem(i, takes) => {
                let mut d =
                    Diagnostic::error("W0402", format!("this takes {takes}, not {}", shown[i]), at(i), shown[i].clone())
                        .expected(takes, &shown[i]);
                if types[i].elem == Elem::Bool {
                    let source = self.program.sources().text(at(i)).to_owned();
                    d = d.fix(at(i), format!("select({source}, 1, 0)"), "make numbers of the truth values");
                } else if takes == "an index" {
                    d = d.help("an index comes from a type such as `of token`, from `index`, or from `argmax`");
                }
                d
            }
            Misfit::Kinds(i, j) => Diagnostic::error("W0403", "the two hold different kinds of value", whole, "")
                .label(at(i), shown[i].clone())
                .label(at(j), shown[j].clone()),
            Misfit::Lacks(i, axis) => {
                let name = self.name_of(axis);
                Diagnostic::error(
                    "W0303",
                    format!("{} has no axis `{name}`", shown[i]),
                    at(i),
                    format!("has the axes {}", shown[i]),
                )
            }
            Misfit::Has(i, axis) => {
                let name = self.name_of(axis);
                Diagnostic::error("W0304", format!("{} has an axis `{name}` already", shown[i]), at(i), shown[i].clone())
                    .help("no tensor has an axis twice: rename one first, `x[time as source]`")
            }
            Misfit::Sizes(a, b) => return self.sizes_differ(a, b, whole),
            Misfit::Parts(axis, ref parts) => {
                let (name, size) = (self.name_of(axis), self.size_of(&[axis]));
                let (names, product) = (self.show_axes(parts), self.size_of(parts));
                Diagnostic::error("W0204", format!("the sizes of {names} do not make up `{name}`"), whole, "")
                    .note(format!("`{name}` has size {size}\n{names} have {product}"))
            }
            Misfit::Arity(n) => Diagnostic::error("W0108", format!("this takes {n} values, not {}", types.len()), whole, ""),
        };
        self.report(diagnostic)
    }

    pub(crate) fn sizes_differ(&mut self, a: Axis, b: Axis, span: Span) -> Reported {
        let (name_a, name_b) = (self.name_of(a), self.name_of(b));
        let (size_a, size_b) = (self.size_of(&[a]), self.size_of(&[b]));
        let mut d = Diagnostic::error("W0203", format!("`{name_a}` and `{name_b}` are not equally long"), span, "")
            .note(format!("`{name_a}` has size {size_a}\n`{name_b}` has size {size_b}"));
        for (axis, name) in [(a, name_a), (b, name_b)] {
            if let Some(place) = self.origin(axis).filter(|place| *place != span) {
                d = d.label(place, format!("`{name}` comes from here"));
            }
        }
        self.report(d)
    }

    /// Makes two axes equally long: while checking, a generic axis takes the other's size.
    pub(crate) fn same_size(&mut self, a: Axis, b: Axis, span: Span) -> Done<()> {
        let (size_a, size_b) = (self.size_of(&[a]), self.size_of(&[b]));
        if size_a == size_b {
            return Ok(());
        }
        for (axis, size, other) in [(b, &size_b, &size_a), (a, &size_a, &size_b)] {
            let variables = size.variables();
            if let ([variable], true) = (variables.as_slice(), self.open_sizes.contains(&axis))
                && *size == Size::var(variable)
                && !other.variables().contains(variable)
            {
                let (variable, other) = (variable.clone(), other.clone());
                let put = |name: &str| (*name == *variable).then(|| other.clone());
                self.emit.axes().resize(&mut |size| size.substitute(&put).unwrap_or_else(|_| size.clone()));
                return Ok(());
            }
        }
        Err(self.sizes_differ(a, b, span))
    }

    /// A number.
    pub(crate) fn number(&mut self, n: f64, elem: Elem) -> E::Value {
        self.sure(Op::Constant(Number(n), elem, Vec::new()), &[])
    }

    /// A value as a tensor without a mask, or with one.
    pub(crate) fn tensor(&mut self, value: &Val<'p, E>, span: Span) -> Done<Tensor<E::Value>> {
        let plain = match value {
            Value::Tensor(tensor) => return Ok(tensor.clone()),
            Value::Int(size) => match size.known() {
                Some(n) => self.number(n as f64, Elem::Int),
                None => self.sure(Op::Extent(size.clone()), &[]),
            },
            Value::Float(f) => self.number(f.unwrap_or(f64::NAN), Elem::Float),
            Value::Bool(b) => self.number(if b.unwrap_or(true) { 1.0 } else { 0.0 }, Elem::Bool),
            Value::Param(parameter, axes) => self.read(parameter, axes, span),
            other if self.is_said(other) => return Err(Reported),
            other => {
                let mut d =
                    Diagnostic::error("W0401", format!("a tensor is needed here, not {}", other.kind()), span, other.kind());
                if matches!(other, Value::Fn(_)) {
                    d = d.help("call it; if it is called already, an axis that it needs could not be found here by name");
                } else if matches!(other, Value::List(_)) {
                    d = d.help("values along an axis are `stack[pair](a, b)`");
                } else if matches!(other, Value::Axis(_)) {
                    d = d.help("`index(a)` is the tensor of an axis' positions, `size(a)` its length");
                }
                return Err(self.report(d));
            }
        };
        self.seen(&plain, span);
        Ok(Tensor { value: plain, mask: None })
    }

    /// A tensor whose every element counts.
    pub(crate) fn whole(&mut self, value: &Val<'p, E>, span: Span) -> Done<E::Value> {
        let tensor = self.tensor(value, span)?;
        match tensor.mask {
            None => Ok(tensor.value),
            Some(_) => Err(self.report(
                Diagnostic::error(
                    "W0404",
                    "a masked value is used where every element counts",
                    span,
                    "`where` leaves elements out of this",
                )
                .help("reduce it (`sum`, `mean`, `max` …), or say what the others are: `x where m otherwise 0`"),
            )),
        }
    }

    /// Reads a parameter: this step's slice of each open loop that repeats it.
    fn read(&mut self, parameter: &Parameter, axes: &[Axis], span: Span) -> E::Value {
        let mut value = self.emit.parameter(parameter);
        for &axis in &parameter.stack {
            if self.loops.contains(&axis) {
                value = self.emit.slice(&value, axis);
            }
        }
        for (&own, &here) in parameter.axes.iter().zip(axes) {
            if own != here {
                value = self.sure(Op::Rename(own, here), &[value]);
            }
        }
        self.seen(&value, span);
        value
    }

    /// Demands `size <= at_most`: checked now where both are known, left to the run otherwise.
    pub(crate) fn limit(&mut self, size: Size, at_most: Size, why: String, span: Span) -> Done<()> {
        let rest = at_most.clone() - size.clone();
        match rest.known() {
            Some(n) if n >= 0 => Ok(()),
            Some(_) => Err(self.report(
                Diagnostic::error(
                    "W0205",
                    "this goes past the end of an axis",
                    span,
                    format!("needs {size}, there are {at_most}"),
                )
                .note(why),
            )),
            None => {
                let limit = Limit { size, at_most, why, span };
                if !self.limits.contains(&limit) {
                    self.limits.push(limit);
                }
                Ok(())
            }
        }
    }
}
