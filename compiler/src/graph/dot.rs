//! A graph as a picture, in the language of Graphviz: kernels are boxes, repeated blocks are boxes around their step.

use std::fmt::Write;

use super::{Form, Graph, Kind, Node, NodeId, Region, Sink};
use weft_dsl::types::{Axes, Type};

/// The graph for `dot -Tsvg`. Values that only rename or pick a result are left out: arrows go past them.
pub fn dot(name: &str, graph: &Graph) -> String {
    let mut picture = Picture { axes: &graph.axes, text: String::new() };
    picture.line(0, &format!("digraph {} {{", quoted(name)));
    picture.line(1, "node [shape=box, fontname=\"Helvetica\", fontsize=10, style=rounded]");
    picture.line(1, "edge [fontname=\"Helvetica\", fontsize=9]");
    let arguments: Vec<Place> = graph.inputs.iter().enumerate().map(|(i, _)| Some(format!("input{i}"))).collect();
    let read = reads(&graph.body);
    for (number, input) in graph.inputs.iter().enumerate() {
        if read.contains(&(number as u32)) {
            let label = format!("{}\n{}", input.name, graph.axes.show(&Type::new(input.elem, input.axes.iter().copied())));
            picture.line(1, &format!("input{number} [label={}, shape=plaintext]", quoted(&label)));
        }
    }
    let outputs = picture.region(&graph.body, "n", &arguments, 1);
    for (number, (output, from)) in graph.outputs.iter().zip(&outputs).enumerate() {
        let label = match output.sink {
            Sink::Port => output.name.clone(),
            Sink::Update(_) => format!("{} (new)", output.name),
        };
        picture.line(1, &format!("output{number} [label={}, shape=plaintext]", quoted(&label)));
        picture.edge(1, from, &format!("output{number}"), "");
    }
    picture.line(0, "}");
    picture.text
}

/// The box that a value comes from; `None` for a constant, which is not drawn.
type Place = Option<String>;

struct Picture<'a> {
    axes: &'a Axes,
    text: String,
}

impl Picture<'_> {
    fn line(&mut self, indent: usize, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:1$}{text}", "", indent * 2);
    }

    fn edge(&mut self, indent: usize, from: &Place, to: &str, label: &str) {
        if let Some(from) = from {
            self.line(indent, &format!("{from} -> {to} [label={}]", quoted(label)));
        }
    }

    /// Draws a region's nodes with names that begin with `prefix`; gives where its outputs come from.
    fn region(&mut self, region: &Region, prefix: &str, arguments: &[Place], indent: usize) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::with_capacity(region.nodes.len());
        for (id, node) in region.iter() {
            let place = match &node.kind {
                Kind::Argument(number) => arguments.get(*number as usize).cloned().flatten(),
                Kind::Project(_) => node.operands.first().and_then(|operand| at(&places, *operand)),
                Kind::Op(_) if node.operands.is_empty() => None,
                Kind::Op(_) | Kind::Fused(_) | Kind::Scan(_) => {
                    let name = format!("{prefix}{}", id.0);
                    let end = self.node(node, &name, indent);
                    self.operands(region, node, &name, &places, indent);
                    Some(end)
                }
            };
            places.push(place);
        }
        region.outputs.iter().map(|output| at(&places, *output)).collect()
    }

    /// Draws a box, and what is inside; gives the name of the place that its results come from.
    fn node(&mut self, node: &Node, name: &str, indent: usize) -> String {
        match &node.kind {
            // Not drawn: see `region`.
            Kind::Argument(_) | Kind::Project(_) => {}
            Kind::Op(op) => {
                let title = format!("{op:?}");
                let title = title.split(['(', ' ']).next().unwrap_or_default().to_lowercase();
                self.line(indent, &format!("{name} [label={}]", quoted(&format!("{title}\n{}", self.axes.show(&node.ty)))));
            }
            Kind::Fused(fused) => {
                let work = fused.body.nodes.iter().filter(|n| n.kind.op().is_some() && !n.operands.is_empty()).count();
                let results: Vec<String> = fused.body.results().iter().map(|ty| self.axes.show(ty)).collect();
                let label = format!("{} of {work}\n{}", form(fused.form), results.join(" "));
                self.line(indent, &format!("{name} [label={}, style=filled, fillcolor=\"#e8eef7\"]", quoted(&label)));
            }
            Kind::Scan(scan) => {
                let axis = &self.axes[scan.axis];
                let back = if scan.reverse { ", last to first" } else { "" };
                self.line(indent, &format!("subgraph cluster_{name} {{"));
                self.line(indent + 1, &format!("label={}", quoted(&format!("{} × {}{back}", axis.name, axis.size))));
                self.line(indent + 1, "style=rounded");
                // The box has an anchor, from which its step reads and to which its results go.
                let label = "each step";
                self.line(indent + 1, &format!("{name} [label={}, shape=plaintext]", quoted(label)));
                let inside: Vec<Place> = vec![Some(name.to_owned()); scan.body.arguments.len()];
                let outputs = self.region(&scan.body, &format!("{name}_"), &inside, indent + 1);
                let end = format!("{name}_end");
                self.line(indent + 1, &format!("{end} [label=\"\", shape=point]"));
                let mut drawn = Vec::new();
                for output in outputs {
                    if !drawn.contains(&output) {
                        self.edge(indent + 1, &output, &end, "");
                        drawn.push(output);
                    }
                }
                self.line(indent, "}");
                return end;
            }
        }
        name.to_owned()
    }

    fn operands(&mut self, region: &Region, node: &Node, name: &str, places: &[Place], indent: usize) {
        let mut drawn = Vec::new();
        for operand in &node.operands {
            let from = at(places, *operand);
            // Parameters bring their axes along; between kernels the arrow says what is handed on.
            let label = if from.as_ref().is_some_and(|f| f.starts_with("input")) {
                String::new()
            } else {
                self.axes.show(&region[*operand].ty)
            };
            if !drawn.contains(&(from.clone(), label.clone())) {
                self.edge(indent, &from, name, &label);
                drawn.push((from, label));
            }
        }
    }
}

fn at(places: &[Place], node: NodeId) -> Place {
    places.get(node.0 as usize).cloned().flatten()
}

/// The arguments that a region's nodes or outputs read.
fn reads(region: &Region) -> Vec<u32> {
    let uses = region.uses();
    let read = region.iter().filter(|(id, _)| uses[id.0 as usize] > 0).filter_map(|(_, node)| match node.kind {
        Kind::Argument(number) => Some(number),
        Kind::Op(_) | Kind::Scan(_) | Kind::Fused(_) | Kind::Project(_) => None,
    });
    read.collect()
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Loops => "loops",
        Form::Product => "product",
        Form::Attention => "attention",
        Form::AttentionBackward => "attention, backward",
        Form::Scatter => "scatter",
        Form::Order => "order",
    }
}

/// A string of Graphviz's language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
