//! Whether a graph is well formed: run after each pass in tests, and on every graph that is read from text.

use std::collections::HashSet;

use weft_dsl::op::Op;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::{Graph, Input, Kind, Node, NodeId, Region, Scan, Sink, Source, results};

/// Checks that operands come earlier, that types are what [`Op::infer`] gives, and that loops, kernels, inputs and outputs fit.
///
/// # Errors
/// The first fault, with the node at which it lies.
pub fn validate(graph: &Graph) -> Result<(), String> {
    let axes = &graph.axes;
    let mut names = HashSet::new();
    for input in &graph.inputs {
        let all = match &input.source {
            Source::Parameter(parameter) => [input.axes.as_slice(), &parameter.stack, &parameter.axes].concat(),
            _ => input.axes.clone(),
        };
        known(axes, &all).and(distinct(&input.axes)).map_err(|why| format!("input `{}`: {why}", input.name))?;
        if !names.insert(&input.name) {
            return Err(format!("input `{}` is there twice", input.name));
        }
    }
    let reads = |(argument, input): (&Type, &Input)| {
        let whole = Type::new(input.elem, input.axes.iter().copied());
        let lacking = whole.without(&argument.axes).axes;
        *argument == whole.without(&lacking) && lacking.iter().all(|&a| axes.is_unit(a))
    };
    let arguments = &graph.body.arguments;
    if arguments.len() != graph.inputs.len() || !arguments.iter().zip(&graph.inputs).all(reads) {
        return Err("the body's arguments are not the inputs".into());
    }
    region(axes, &graph.body).map_err(|why| format!("body: {why}"))?;
    if graph.body.outputs.len() != graph.outputs.len() {
        return Err(format!("{} outputs are declared, {} are computed", graph.outputs.len(), graph.body.outputs.len()));
    }
    for (output, ty) in graph.outputs.iter().zip(graph.body.results()) {
        let fault = |why: String| format!("output `{}`: {why}", output.name);
        known(axes, &output.axes).and(distinct(&output.axes)).map_err(fault)?;
        if let Some(&axis) = ty.axes.iter().find(|a| !output.axes.contains(a)) {
            return Err(fault(format!("axis `{}` has no place", axes[axis].name)));
        }
        let Sink::Update(number) = output.sink else { continue };
        let target = graph.inputs.get(number as usize).ok_or_else(|| fault(format!("there is no input {number}")))?;
        if target.axes != output.axes || target.elem != ty.elem {
            return Err(fault(format!("it does not fit the storage of `{}`", target.name)));
        }
    }
    Ok(())
}

/// Checks a region and those within.
fn region(axes: &Axes, region: &Region) -> Result<(), String> {
    for ty in &region.arguments {
        fits(axes, ty)?;
    }
    let mut seen = HashSet::new();
    for (id, node) in region.iter() {
        let fault = |why: String| format!("%{}: {why}", id.0);
        if let Some(late) = node.operands.iter().find(|&&o| o >= id) {
            return Err(fault(format!("reads %{}, which is not earlier", late.0)));
        }
        fits(axes, &node.ty).map_err(fault)?;
        if !matches!(node.kind, Kind::Project(_)) {
            single(region, &node.operands).map_err(fault)?;
        }
        if let Kind::Argument(number) = node.kind
            && !seen.insert(number)
        {
            return Err(fault(format!("argument {number} is there twice")));
        }
        check(axes, region, node).map_err(fault)?;
    }
    if let Some(missing) = region.outputs.iter().find(|o| o.0 as usize >= region.nodes.len()) {
        return Err(format!("output %{} is not there", missing.0));
    }
    single(region, &region.outputs).map_err(|why| format!("outputs: {why}"))
}

/// Nodes with several results are read by projections alone.
fn single(region: &Region, ids: &[NodeId]) -> Result<(), String> {
    match ids.iter().find(|&&o| matches!(region[o].kind, Kind::Scan(_) | Kind::Fused(_))) {
        Some(several) => Err(format!("reads %{} without a projection", several.0)),
        None => Ok(()),
    }
}

fn check(axes: &Axes, around: &Region, node: &Node) -> Result<(), String> {
    let operands: Vec<&Type> = node.operands.iter().map(|&o| &around[o].ty).collect();
    let same = |ty: &Type, what: &str| {
        let (have, want) = (axes.show(&node.ty), axes.show(ty));
        if node.ty == *ty { Ok(()) } else { Err(format!("has the type {have} where {what} {want}")) }
    };
    match &node.kind {
        Kind::Op(op) => {
            operator(axes, op, &operands)?;
            let ty = op.infer(&operands, axes).map_err(|misfit| format!("{op:?} does not fit its operands: {misfit:?}"))?;
            same(&ty, "the operator gives")
        }
        Kind::Argument(number) => {
            let ty = around.arguments.get(*number as usize).ok_or_else(|| format!("there is no argument {number}"))?;
            let reads = if node.operands.is_empty() { Ok(()) } else { Err("an argument reads nothing".into()) };
            reads.and(same(ty, "the argument has"))
        }
        Kind::Project(number) => {
            let [several] = node.operands[..] else { return Err("a projection reads one node".into()) };
            let types = results(&around[several].kind).ok_or("a projection of a node with one result")?;
            same(types.get(*number as usize).ok_or_else(|| format!("there is no result {number}"))?, "the result has")
        }
        Kind::Scan(scan) => {
            known(axes, &[scan.axis])?;
            region(axes, &scan.body).map_err(|why| format!("scan: {why}"))?;
            loop_fits(axes, scan, &operands)?;
            several(axes, &node.kind).and_then(|ty| same(&ty, "the first result has"))
        }
        Kind::Fused(fused) => {
            region(axes, &fused.body).map_err(|why| format!("fused: {why}"))?;
            if !operands.iter().copied().eq(&fused.body.arguments) {
                return Err("a kernel's operands are not its arguments".into());
            }
            several(axes, &node.kind).and_then(|ty| same(&ty, "the first result has"))
        }
    }
}

/// The type of the first of several results.
fn several(axes: &Axes, kind: &Kind) -> Result<Type, String> {
    let first = results(kind).and_then(|types| types.into_iter().next()).ok_or("a node without results")?;
    fits(axes, &first).map(|()| first)
}

/// What [`Op::infer`] takes for granted: axes that exist, each named once, places within their axis.
fn operator(axes: &Axes, op: &Op, operands: &[&Type]) -> Result<(), String> {
    known(axes, &named(op))?;
    match op {
        Op::Constant(_, _, list) | Op::Random(_, list, _) | Op::Reduce(_, list) | Op::Contract(list) => distinct(list)?,
        Op::Softmax(list) | Op::LogSumExp(list) | Op::Split(_, list) | Op::Merge(list, _) => distinct(list)?,
        Op::ScatterAdd(axis, list) => {
            distinct(list)?;
            match operands {
                [_, index] if index.has(*axis) => return Err("the index has the axis that is scattered to".into()),
                [_, Type { elem: Elem::Index(of), .. }] if axes.size(*of) == axes.size(*axis) => {}
                _ => return Err("a scatter takes values and an index into its axis".into()),
            }
        }
        // The parts are of different operands, and may be one axis.
        Op::Concat(..) => {}
        Op::Order(axis, to, _) => within(axes, *to, &weft_dsl::size::Size::of(0), *axis)?,
        Op::Slice(from, start, to) => within(axes, *to, start, *from)?,
        Op::Pad(from, start, to, _) | Op::Insert(from, start, to) => within(axes, *from, start, *to)?,
        Op::Index(_) | Op::Extent(_) | Op::Map(_) | Op::Cast(_) | Op::StopGradient | Op::ArgMax(_) => {}
        Op::Rename(..) | Op::Lookup(_) => {}
    }
    if let Op::Random(..) = op {
        let scalars = operands.iter().all(|ty| ty.axes.is_empty() && ty.elem != Elem::Bool);
        if !scalars || !(3..=4).contains(&operands.len()) {
            return Err("a random number takes a seed, a step, a micro-batch and perhaps a key: scalars".into());
        }
    }
    Ok(())
}

/// The axes that an operator names.
fn named(op: &Op) -> Vec<Axis> {
    match op {
        Op::Constant(_, elem, list) => list.iter().copied().chain(into(*elem)).collect(),
        Op::Cast(elem) => into(*elem).collect(),
        Op::Random(_, list, _) | Op::Reduce(_, list) | Op::Contract(list) | Op::Softmax(list) | Op::LogSumExp(list) => {
            list.clone()
        }
        Op::Split(axis, list) | Op::Merge(list, axis) | Op::Concat(list, axis) | Op::ScatterAdd(axis, list) => {
            list.iter().copied().chain([*axis]).collect()
        }
        Op::Rename(from, to)
        | Op::Slice(from, _, to)
        | Op::Pad(from, _, to, _)
        | Op::Insert(from, _, to)
        | Op::Order(from, to, _) => vec![*from, *to],
        Op::Index(axis) | Op::ArgMax(axis) | Op::Lookup(axis) => vec![*axis],
        Op::Extent(_) | Op::Map(_) | Op::StopGradient => Vec::new(),
    }
}

/// Whether a run as long as `part` from `start` lies within `whole`, as far as the sizes are known.
fn within(axes: &Axes, part: Axis, start: &weft_dsl::size::Size, whole: Axis) -> Result<(), String> {
    let after = axes.size(whole).clone() - start.clone() - axes.size(part).clone();
    if start.known().is_some_and(|n| n < 0) || after.known().is_some_and(|n| n < 0) {
        return Err(format!("`{}` from {start} is not within `{}`", axes[part].name, axes[whole].name));
    }
    Ok(())
}

fn loop_fits(axes: &Axes, scan: &Scan, operands: &[&Type]) -> Result<(), String> {
    let fixed = scan.carried.saturating_add(scan.sliced);
    if operands.len() < fixed || operands.len() != scan.body.arguments.len() || scan.body.outputs.len() < scan.carried {
        return Err("a scan has too few operands, arguments or outputs".into());
    }
    for (i, (operand, argument)) in operands.iter().zip(&scan.body.arguments).enumerate() {
        let sliced = (scan.carried..fixed).contains(&i);
        if sliced && !operand.has(scan.axis) {
            return Err(format!("sliced operand {i} lacks the scan's axis"));
        }
        if *argument != if sliced { operand.without(&[scan.axis]) } else { (*operand).clone() } {
            return Err(format!("argument {i} is {} for an operand {}", axes.show(argument), axes.show(operand)));
        }
    }
    for (i, result) in scan.body.results().iter().enumerate() {
        if i < scan.carried && *result != scan.body.arguments[i] {
            return Err(format!("carried value {i} changes to {}", axes.show(result)));
        }
        if i >= scan.carried && result.has(scan.axis) {
            return Err(format!("yield {i} has the scan's axis already"));
        }
    }
    Ok(())
}

/// Whether a type's axes exist and are in order.
fn fits(axes: &Axes, ty: &Type) -> Result<(), String> {
    known(axes, &ty.axes)?;
    known(axes, &into(ty.elem).collect::<Vec<_>>())?;
    if ty.axes.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err("a type's axes are sorted, each once".into()) }
}

/// The axis that an element is an index into.
fn into(elem: Elem) -> impl Iterator<Item = Axis> {
    let axis = match elem {
        Elem::Index(axis) => Some(axis),
        Elem::Float | Elem::Int | Elem::Bool => None,
    };
    axis.into_iter()
}

fn known(axes: &Axes, list: &[Axis]) -> Result<(), String> {
    match list.iter().find(|a| a.0 as usize >= axes.len()) {
        Some(axis) => Err(format!("there is no axis {}", axis.0)),
        None => Ok(()),
    }
}

fn distinct(list: &[Axis]) -> Result<(), String> {
    match list.iter().enumerate().find(|(i, axis)| list[..*i].contains(axis)) {
        Some((_, axis)) => Err(format!("axis {} is named twice", axis.0)),
        None => Ok(()),
    }
}
