//! `info`: what an executable holds: parameters, programs, recipe. Reads the plan alone: no memory, no threads, no files.

use std::fmt::Write;

use anyhow::Result;

use super::Exit;
use crate::console::{heading, thousands};
use crate::effort;
use crate::optional::optional_ports;
use crate::peak;
use crate::plan::{Data, Dtype, Param, Plan, Port, Program, Recipe, Size, Tokenizer};
use crate::pool::choose_threads;

/// Prints what a plan holds.
///
/// # Errors
/// None.
pub fn info(plan: &Plan) -> Result<Exit> {
    print!("{}", text(plan));
    Ok(Exit::Done)
}

/// What [`info`] prints.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let features = if plan.target.features.is_empty() { "nothing special".into() } else { plan.target.features.join(" ") };
    line(&mut out, &format!("{}  for {}, needs {features}", heading(&plan.name), plan.target.triple));
    line(&mut out, "");
    parameters(&mut out, plan);
    line(&mut out, &heading("programs"));
    for program in plan.programs.iter().filter(|program| !Program::takes_options(&program.name)) {
        let with_options = Program::with_options(&program.name);
        let open = plan.programs.iter().find(|other| other.name == with_options);
        line(&mut out, &format!("  {}", signature(program, open)));
    }
    operations(&mut out, plan);
    if let Some(recipe) = &plan.recipe {
        line(&mut out, "");
        line(&mut out, &heading("training"));
        line(&mut out, &format!("  {}", training(recipe)));
        // A plan that contradicts itself is refused where it runs.
        if let Ok(Some(peak)) = peak::of_training(plan, choose_threads(None).unwrap_or(1)) {
            let text = if matches!(recipe.data, Data::Text { .. }) { " and 4 bytes for each token of the text" } else { "" };
            line(&mut out, &format!("  memory {}{text}", peak.here()));
        }
    }
    if let Some(tokenizer) = &plan.tokenizer {
        let kind = match tokenizer {
            Tokenizer::Characters(characters) => {
                format!("one token a character, {} of them", characters.len())
            }
            Tokenizer::Bytes => "one token a byte".into(),
            Tokenizer::Json(_) => "tokenizer.json".into(),
        };
        line(&mut out, &format!("  {kind}"));
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// A folder of the parameter tree, or a parameter.
#[derive(Default)]
struct Node<'a> {
    name: String,
    children: Vec<Node<'a>>,
    param: Option<&'a Param>,
}

fn parameters(out: &mut String, plan: &Plan) {
    let mut root = Node::default();
    for param in &plan.params {
        let mut node = &mut root;
        let mut repeats = param.stack.iter();
        for part in param.path.split('.') {
            if part == "{}" {
                // A repetition stands behind the name it repeats, not as a level of its own.
                let _ = write!(node.name, " × {}", repeats.next().copied().unwrap_or(1));
                continue;
            }
            let plain = |child: &Node| child.name.split(" × ").next() == Some(part) && child.param.is_none();
            let index = node.children.iter().position(plain).unwrap_or_else(|| {
                node.children.push(Node { name: part.into(), ..Node::default() });
                node.children.len() - 1
            });
            node = &mut node.children[index];
            node.name = part.into();
        }
        node.param = Some(param);
    }
    let total: u64 = plan.params.iter().map(count).sum();
    line(out, &heading(&format!("parameters: {}", thousands(total))));
    let mut rows = Vec::new();
    root.children.iter().for_each(|child| rows_of(child, 1, &mut rows));
    let width = |column: fn(&[String; 3]) -> &String| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let (names, shapes, counts) = (width(|r| &r[0]), width(|r| &r[1]), width(|r| &r[2]));
    for [name, shape, count] in &rows {
        line(out, &format!("{name:<names$}  {shape:<shapes$}  {count:>counts$}"));
    }
    line(out, "");
}

fn rows_of(node: &Node, depth: usize, rows: &mut Vec<[String; 3]>) {
    let (mut node, mut name) = (node, node.name.clone());
    // A folder of one thing is no level of its own.
    while let (None, [only]) = (node.param, node.children.as_slice()) {
        node = only;
        name = format!("{name}.{}", only.name);
    }
    let name = format!("{:1$}{name}", "", depth * 2);
    match node.param {
        Some(param) => {
            let axes: Vec<String> = param.axes.iter().map(|(name, size)| format!("{name} {size}")).collect();
            let frozen = if param.trainable { "" } else { "  frozen" };
            let times: String = param.stack.iter().map(|n| format!("{n} × ")).collect();
            let each: u64 = param.axes.iter().map(|(_, size)| size).product();
            rows.push([name, format!("[{}]{frozen}", axes.join(", ")), times + &thousands(each)]);
        }
        None => rows.push([name, String::new(), String::new()]),
    }
    node.children.iter().for_each(|child| rows_of(child, depth + 1, rows));
}

fn count(param: &Param) -> u64 {
    param.stack.iter().chain(param.axes.iter().map(|(_, size)| size)).product()
}

/// What each program takes for a token, in texts as the recipe has them.
fn operations(out: &mut String, plan: &Plan) {
    let size = |name| plan.recipe.as_ref().and_then(|recipe| recipe.size(name));
    let (batch, time) = (size(Recipe::BATCH).unwrap_or(1), size(Recipe::TIME).unwrap_or(128));
    let programs = plan.programs.iter().filter(|program| !Program::takes_options(&program.name));
    let takes = |program| effort::for_each_token(program, (batch, time)).ok().flatten();
    let rows: Vec<(&str, f64)> = programs.filter_map(|program| Some((program.name.as_str(), takes(program)?))).collect();
    if rows.is_empty() {
        return;
    }
    line(out, "");
    line(out, &heading(&format!("operations for each token of {batch} × {time}")));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, each) in rows {
        line(out, &format!("  {name:<width$}  {}", scaled(each)));
    }
}

/// `2.41 billion`
fn scaled(number: f64) -> String {
    let units = [(1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1.0, "")];
    let (unit, name) = units.into_iter().find(|(unit, _)| number >= *unit).unwrap_or((1.0, ""));
    let digits = if unit > 1.0 { 2 } else { 0 };
    format!("{:.digits$}{name}", number / unit)
}

/// A program; `open` is the one that takes its optional arguments too.
fn signature(program: &Program, open: Option<&Program>) -> String {
    let shown = |program: &Program, ports: &[Port]| -> Vec<String> {
        ports.iter().filter(|port| !port.name.starts_with('$')).map(|port| show_port(program, port)).collect()
    };
    let mut inputs = shown(program, &program.inputs);
    let optional = open.map_or_else(Vec::new, |open| shown(open, &optional_ports(program, open)));
    inputs.extend(optional.into_iter().map(|port| format!("{port} (optional)")));
    format!("{}({}) -> {}", program.name, inputs.join(", "), shown(program, &program.outputs).join(", "))
}

fn show_port(program: &Program, port: &Port) -> String {
    if port.axes.is_empty() {
        return port.name.clone();
    }
    let axes: Vec<String> = port
        .axes
        .iter()
        .map(|(name, size)| match show_size(program, size) {
            shown if shown == *name => shown,
            shown => format!("{name} {shown}"),
        })
        .collect();
    let kind = match program.buffers.get(port.buffer as usize).map(|buffer| buffer.dtype) {
        Some(Dtype::I32) => match &port.bound {
            Some(bound) => {
                let besides = port.or.map_or(String::new(), |other| format!(" or {other}"));
                format!(": 0..{}{besides}", show_size(program, bound))
            }
            None => ": int".into(),
        },
        Some(Dtype::Bool) => ": bool".into(),
        _ => String::new(),
    };
    format!("{} [{}]{kind}", port.name, axes.join(", "))
}

fn show_size(program: &Program, size: &Size) -> String {
    let terms = size.terms.iter().map(|(factor, variables)| {
        let name = |index: &u32| program.sizes.get(*index as usize).cloned().unwrap_or_default();
        let names = variables.iter().map(name).collect::<Vec<_>>().join(" · ");
        match (*factor, names.is_empty()) {
            (factor, true) => factor.to_string(),
            (1, false) => names,
            (factor, false) => format!("{factor} · {names}"),
        }
    });
    let all: Vec<String> = terms.collect();
    if all.is_empty() { "0".into() } else { all.join(" + ") }
}

fn training(recipe: &Recipe) -> String {
    let mut text = format!("{}: {} steps of {}", recipe.name, thousands(recipe.steps), recipe.batch);
    if recipe.time > 0 {
        let _ = write!(text, " × {} tokens", recipe.time);
    }
    if recipe.accumulate > 1 {
        let _ = write!(text, " in {} micro-batches", recipe.accumulate);
    }
    if let Some(clip) = recipe.clip {
        let _ = write!(text, ", gradients clipped to {clip}");
    }
    if recipe.evaluate_every > 0 {
        let _ = write!(text, ", evaluated every {} steps", recipe.evaluate_every);
    }
    let _ = write!(text, ", seed {}", recipe.seed);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Buffer, Init, Place, Target};

    fn param(path: &str, stack: &[u64], axes: &[(&str, u64)]) -> Param {
        let axes = axes.iter().map(|(name, size)| ((*name).into(), *size)).collect();
        Param { path: path.into(), stack: stack.to_vec(), axes, init: Init::Constant(0.0), trainable: true }
    }

    #[test]
    fn info_shows_what_there_is() {
        let variable = |index| Size { terms: vec![(1, vec![index])] };
        let axis = |name: &str, size| (name.to_owned(), size);
        let ids = Port {
            name: "ids".into(),
            axes: vec![axis("batch", variable(0)), axis("time", variable(1))],
            bound: Some(Size { terms: vec![(65, vec![])] }),
            or: None,
            buffer: 0,
        };
        let logits = Port {
            name: "output".into(),
            axes: vec![axis("vocab", Size { terms: vec![(65, vec![])] })],
            bound: None,
            or: None,
            buffer: 1,
        };
        let buffer = |dtype, place| Buffer { dtype, len: Size::default(), place };
        let plan = Plan {
            name: "Tiny".into(),
            target: Target { triple: "x86_64-unknown-linux-gnu".into(), features: vec!["avx2".into(), "fma".into()] },
            params: vec![
                param("tokens.table", &[], &[("vocab", 65), ("width", 128)]),
                param("layers.{}.norm.scale", &[4], &[("width", 128)]),
                Param {
                    trainable: false,
                    ..param("layers.{}.attention.query.weight", &[4], &[("width", 128), ("query", 128)])
                },
            ],
            programs: vec![Program {
                name: "forward".into(),
                sizes: vec!["batch".into(), "time".into()],
                inputs: vec![ids],
                outputs: vec![logits],
                buffers: vec![buffer(Dtype::I32, Place::Input), buffer(Dtype::F32, Place::Output)],
                ..Program::default()
            }],
            recipe: Some(Recipe {
                name: "tiny".into(),
                batch: 12,
                time: 64,
                steps: 2000,
                accumulate: 1,
                ..Recipe::default()
            }),
            tokenizer: Some(Tokenizer::Bytes),
            ..Plan::default()
        };
        insta::assert_snapshot!(text(&plan), @"
        Tiny  for x86_64-unknown-linux-gnu, needs avx2 fma

        parameters: 74,368
          tokens.table              [vocab 65, width 128]                8,320
          layers × 4
            norm.scale              [width 128]                        4 × 128
            attention.query.weight  [width 128, query 128]  frozen  4 × 16,384

        programs
          forward(ids [batch, time]: 0..65) -> output [vocab 65]

        training
          tiny: 2,000 steps of 12 × 64 tokens, seed 0
          one token a byte
        ");
    }
}
