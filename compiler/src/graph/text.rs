//! A graph as text that people read and that reads back to the same graph.
//!
//! ```text
//! graph
//! axes {
//!   time = seq outer
//!   feature = 4 * heads
//! }
//! inputs {
//!   "x" [time, feature] port
//! }
//! body ([time, feature]) {
//!   %0 = argument 0 : [time, feature]
//!   %1 = reduce sum [feature] %0 : [time]
//!   give %1
//! }
//! outputs {
//!   "y" [time] port
//! }
//! ```
//!
//! An axis whose name is not its own is written with its number: `time#1`. Spaces and line ends mean the same.

mod read;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt::Write;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::emit::Start;
use weft_dsl::op::{Distribution, Number, Op};
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::{Form, Graph, Input, Kind, Region, Sink, Source};

pub use read::parse;

/// Words that an axis of that name would be mistaken for.
const RESERVED: [&str; 4] = ["float", "int", "bool", "outer"];

/// The forms of kernel by name.
const FORMS: [(Form, &str); 6] = [
    (Form::Loops, "loops"),
    (Form::Product, "product"),
    (Form::Attention, "attention"),
    (Form::AttentionBackward, "attention_backward"),
    (Form::Scatter, "scatter"),
    (Form::Order, "order"),
];

/// The graph as text.
pub fn print(graph: &Graph) -> String {
    let mut out = Printer { axes: &graph.axes, text: "graph\naxes {\n".into() };
    for (axis, info) in graph.axes.iter() {
        out.add(format_args!("  {} = {}{}\n", out.axis(axis), info.size, if info.outer { " outer" } else { "" }));
    }
    out.text.push_str("}\ninputs {\n");
    for input in &graph.inputs {
        let within = input.within.map_or(String::new(), |(axis, or)| format!(" within {} {or}", out.axis(axis)));
        out.add(format_args!("  {:?} {} {}{within}\n", input.name, out.holds(input.elem, &input.axes), out.source(input)));
    }
    out.text.push_str("}\nbody ");
    out.region(&graph.body, 0);
    out.text.push_str("\noutputs {\n");
    for output in &graph.outputs {
        let sink = match output.sink {
            Sink::Port => "port".into(),
            Sink::Update(number) => format!("update {number}"),
        };
        out.add(format_args!("  {:?} {} {sink}\n", output.name, out.list(&output.axes)));
    }
    out.text.push_str("}\n");
    out.text
}

/// One region as text, for messages and snapshots of a part.
pub fn print_region(axes: &Axes, region: &Region) -> String {
    let mut out = Printer { axes, text: String::new() };
    out.region(region, 0);
    out.text
}

struct Printer<'a> {
    axes: &'a Axes,
    text: String,
}

impl Printer<'_> {
    fn add(&mut self, piece: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(piece);
    }

    fn axis(&self, axis: Axis) -> String {
        let name = &self.axes[axis].name;
        let plain = is_word(name) && !RESERVED.contains(&name.as_str());
        let shown = if plain { name.clone() } else { format!("{name:?}") };
        let unique = self.axes.iter().filter(|(_, info)| info.name == *name).count() == 1;
        if unique { shown } else { format!("{shown}#{}", axis.0) }
    }

    fn list(&self, axes: &[Axis]) -> String {
        let names: Vec<_> = axes.iter().map(|&a| self.axis(a)).collect();
        format!("[{}]", names.join(", "))
    }

    fn elem(&self, elem: Elem) -> String {
        match elem {
            Elem::Float => "float".into(),
            Elem::Int => "int".into(),
            Elem::Bool => "bool".into(),
            Elem::Index(axis) => self.axis(axis),
        }
    }

    fn holds(&self, elem: Elem, axes: &[Axis]) -> String {
        match elem {
            Elem::Float => self.list(axes),
            Elem::Int | Elem::Bool | Elem::Index(_) => format!("{} of {}", self.list(axes), self.elem(elem)),
        }
    }

    fn ty(&self, ty: &Type) -> String {
        self.holds(ty.elem, &ty.axes)
    }

    fn source(&self, input: &Input) -> String {
        match &input.source {
            Source::Port => "port".into(),
            Source::Supplied => "supplied".into(),
            Source::Accumulator => "accumulator".into(),
            Source::Kept => "kept".into(),
            Source::State(path, start) => format!("state {path:?} {}", number(*start)),
            Source::Parameter(parameter) => {
                let start = match parameter.start {
                    Start::Constant(x) => format!("constant {}", number(Number(x))),
                    Start::Normal { std } => format!("normal {}", number(Number(std))),
                    Start::Uniform { bound } => format!("uniform {}", number(Number(bound))),
                };
                let (stack, own) = (self.list(&parameter.stack), self.list(&parameter.axes));
                format!("parameter {:?} {stack} {own} {start}", parameter.path)
            }
        }
    }

    fn region(&mut self, region: &Region, indent: usize) {
        let types: Vec<_> = region.arguments.iter().map(|ty| self.ty(ty)).collect();
        self.add(format_args!("({}) {{\n", types.join(", ")));
        let margin = "  ".repeat(indent + 1);
        for (id, node) in region.iter() {
            self.add(format_args!("{margin}%{} = {}", id.0, self.kind(&node.kind)));
            for operand in &node.operands {
                self.add(format_args!(" %{}", operand.0));
            }
            self.add(format_args!(" : {}", self.ty(&node.ty)));
            match &node.kind {
                Kind::Scan(scan) => self.nested(&scan.body, indent),
                Kind::Fused(fused) => self.nested(&fused.body, indent),
                Kind::Op(_) | Kind::Argument(_) | Kind::Project(_) => {}
            }
            self.text.push('\n');
        }
        let outputs: String = region.outputs.iter().map(|o| format!(" %{}", o.0)).collect();
        self.add(format_args!("{margin}give{outputs}\n{}}}", "  ".repeat(indent)));
    }

    fn nested(&mut self, region: &Region, indent: usize) {
        self.text.push(' ');
        self.region(region, indent + 1);
    }

    fn kind(&self, kind: &Kind) -> String {
        match kind {
            Kind::Op(op) => self.op(op),
            Kind::Argument(number) => format!("argument {number}"),
            Kind::Project(number) => format!("project {number}"),
            Kind::Scan(scan) => {
                let reverse = if scan.reverse { "reverse " } else { "" };
                format!("scan {} {reverse}carried {} sliced {}", self.axis(scan.axis), scan.carried, scan.sliced)
            }
            Kind::Fused(fused) => {
                let name = FORMS.iter().find(|(form, _)| *form == fused.form).map_or("", |(_, name)| name);
                format!("fused {name}")
            }
        }
    }

    fn op(&self, op: &Op) -> String {
        match op {
            Op::Constant(value, elem, axes) => {
                format!("constant {} {} {}", number(*value), self.elem(*elem), self.list(axes))
            }
            Op::Index(axis) => format!("index {}", self.axis(*axis)),
            Op::Extent(size) => format!("extent ({size})"),
            Op::Random(Distribution::Uniform, axes, site) => format!("random uniform {} site {site}", self.list(axes)),
            Op::Random(Distribution::Normal, axes, site) => format!("random normal {} site {site}", self.list(axes)),
            Op::Map(op) => op.name().into(),
            Op::Cast(elem) => format!("cast {}", self.elem(*elem)),
            Op::StopGradient => "stop_gradient".into(),
            Op::Reduce(monoid, axes) => format!("reduce {} {}", monoid.name(), self.list(axes)),
            Op::ArgMax(axis) => format!("argmax {}", self.axis(*axis)),
            Op::Order(axis, to, way) => format!("order {} {} -> {}", way.name(), self.axis(*axis), self.axis(*to)),
            Op::Contract(axes) => format!("contract {}", self.list(axes)),
            Op::Rename(from, to) => format!("rename {} -> {}", self.axis(*from), self.axis(*to)),
            Op::Split(whole, parts) => format!("split {} -> {}", self.axis(*whole), self.list(parts)),
            Op::Merge(parts, whole) => format!("merge {} -> {}", self.list(parts), self.axis(*whole)),
            Op::Slice(from, start, to) => format!("slice {} from ({start}) -> {}", self.axis(*from), self.axis(*to)),
            Op::Pad(from, start, to, value) => {
                format!("pad {} from ({start}) -> {} with {}", self.axis(*from), self.axis(*to), number(*value))
            }
            Op::Insert(part, start, whole) => {
                format!("insert {} from ({start}) -> {}", self.axis(*part), self.axis(*whole))
            }
            Op::Concat(parts, whole) => format!("concat {} -> {}", self.list(parts), self.axis(*whole)),
            Op::Lookup(axis) => format!("lookup {}", self.axis(*axis)),
            Op::ScatterAdd(axis, over) => format!("scatter_add {} over {}", self.axis(*axis), self.list(over)),
            Op::Softmax(axes) => format!("softmax {}", self.list(axes)),
            Op::LogSumExp(axes) => format!("logsumexp {}", self.list(axes)),
        }
    }
}

/// A number that reads back to the same bits.
fn number(Number(x): Number) -> String {
    if x.is_nan() { format!("bits {:#x}", x.to_bits()) } else { format!("{x:?}") }
}

/// Whether a name can stand without quotes.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(in_word)
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// An elementwise operator by name, where no structural one has it.
fn elementwise(name: &str) -> Option<Op> {
    Elementwise::named(name).map(Op::Map)
}
