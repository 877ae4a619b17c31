//! Scans, and layers as models have them.

use super::*;

pub(super) fn scans(graph: &Graph) -> Vec<crate::graph::Scan> {
    let scan = |kind: &Kind| match kind {
        Kind::Scan(scan) => Some((**scan).clone()),
        _ => None,
    };
    graph.body.nodes.iter().filter_map(|n| scan(&n.kind)).collect()
}

fn derived(case: Case, value: Value) -> Graph {
    with_gradients(&case.b.finish(vec![("loss".into(), vec![], value)])).0
}

/// `h ← tanh(h · W[layer] + u · x)`: parameters sliced, parameters shared, what is yielded used too.
fn block(case: &mut Case, layers: Axis, [i, j, k]: [Axis; 3]) -> Vec<Value> {
    let twin = case.b.axes().like(j, "twin");
    let (x, weights, shared) = (case.float(&[i, j]), case.float(&[layers, j, twin]), case.float(&[twin, k]));
    let scale = case.float(&[layers]);
    let h = case.b.begin_loop(layers, &[x])[0];
    let w = case.b.slice(&weights, layers);
    let s = case.b.slice(&scale, layers);
    let y = case.op(Op::Contract(vec![j]), &[h, w]);
    let wide = case.op(Op::Contract(vec![twin]), &[y, shared]);
    let wide = case.map(Elementwise::TANH, &[wide]);
    let back = case.op(Op::Contract(vec![k]), &[wide, shared]);
    let back = case.op(Op::Rename(twin, j), &[back]);
    let scaled = case.map(Elementwise::MUL, &[back, s]);
    let next = case.map(Elementwise::ADD, &[h, scaled]);
    case.b.end_loop(&[next], &[wide])
}

#[test]
fn a_repeated_block() {
    for shape in SHAPES {
        for layers in [3, 1, 0] {
            let mut case = Case::new(9);
            let layers = case.axis("layers", layers);
            let axes = [case.axis("i", shape[0]), case.axis("j", shape[1]), case.axis("k", shape[2])];
            let results = block(&mut case, layers, axes);
            case.check(&format!("block on {shape:?}"), &results);
        }
    }
}

/// What a scan within gives is the same for each layer: it is not kept, but made again.
#[test]
fn a_scan_within_that_is_the_same_for_each_layer() {
    let mut case = Case::new(5);
    let (layers, time, j) = (case.axis("layers", 3), case.axis("time", 4), case.axis("j", 2));
    let (x, start, steps) = (case.float(&[time, j]), case.float(&[j]), case.float(&[time, j]));
    let scale = case.float(&[layers]);
    let h = case.b.begin_loop(layers, &[x])[0];
    let s = case.b.slice(&scale, layers);
    let c = case.b.begin_loop(time, &[start])[0];
    let step = case.b.slice(&steps, time);
    let next = case.map(Elementwise::ADD, &[c, step]);
    let sums = case.b.end_loop(&[next], &[next])[1];
    let scaled = case.map(Elementwise::MUL, &[h, sums]);
    let scaled = case.map(Elementwise::MUL, &[scaled, s]);
    let next = case.map(Elementwise::ADD, &[h, scaled]);
    let results = case.b.end_loop(&[next], &[]);
    case.check("a scan within", &results);
}

#[test]
fn the_other_direction() {
    let mut case = Case::new(21);
    let layers = case.axis("layers", 4);
    let axes = [case.axis("i", 2), case.axis("j", 3), case.axis("k", 2)];
    let results = block(&mut case, layers, axes);
    let mut loss = case.number(0.0);
    for value in &results {
        let part = case.weighed(value);
        loss = case.map(Elementwise::ADD, &[loss, part]);
    }
    let mut graph = case.b.finish(vec![("loss".into(), vec![], loss)]);
    for node in &mut graph.body.nodes {
        if let Kind::Scan(scan) = &mut node.kind {
            scan.reverse = true;
        }
    }
    check("reversed block", &graph, &case.bindings);
}

/// A recurrence over time within a repetition of layers, with a state that only the recurrence sees.
#[test]
fn a_recurrence_in_layers() {
    for (layers, time) in [(2, 3), (3, 1), (1, 0)] {
        let mut case = Case::new(33);
        let (layers, time) = (case.axis("layers", layers), case.axis("time", time));
        let (i, j) = (case.axis("i", 2), case.axis("j", 3));
        let twin = case.b.axes().like(j, "twin");
        let (x, start) = (case.float(&[time, i, j]), case.float(&[i, j]));
        let (weights, gates) = (case.float(&[layers, j, twin]), case.float(&[j]));
        let outer = case.b.begin_loop(layers, &[x])[0];
        let w = case.b.slice(&weights, layers);
        let inner = case.b.begin_loop(time, &[start, start]);
        let at = case.b.slice(&outer, time);
        let h = case.op(Op::Contract(vec![j]), &[inner[0], w]);
        let h = case.op(Op::Rename(twin, j), &[h]);
        let h = case.map(Elementwise::ADD, &[h, at]);
        let h = case.map(Elementwise::TANH, &[h]);
        let gated = case.map(Elementwise::MUL, &[inner[1], gates]);
        let c = case.map(Elementwise::ADD, &[gated, h]);
        let results = case.b.end_loop(&[h, c], &[c]);
        let sum = case.map(Elementwise::ADD, &[outer, results[2]]);
        let results = case.b.end_loop(&[sum], &[results[0]]);
        case.check("recurrence in layers", &results);
    }
}

/// What is saved has the loop's own axis: it is kept under another.
#[test]
fn a_body_that_sees_all_places() {
    let mut case = Case::new(41);
    let (time, j) = (case.axis("time", 3), case.axis("j", 2));
    let (x, start) = (case.float(&[time, j]), case.float(&[j]));
    let h = case.b.begin_loop(time, &[start])[0];
    let score = case.op(Op::Contract(vec![j]), &[h, x]);
    let weight = case.op(Op::Softmax(vec![time]), &[score]);
    let read = case.op(Op::Contract(vec![time]), &[weight, x]);
    let at = case.b.slice(&x, time);
    let next = case.map(Elementwise::ADD, &[read, at]);
    let results = case.b.end_loop(&[next], &[]);
    case.check("attention in a scan", &results);
}

#[test]
fn what_no_one_asked_for_costs_nothing() {
    let mut case = Case::new(2);
    let (layers, i) = (case.axis("layers", 3), case.axis("i", 2));
    let (x, w) = (case.float(&[i]), case.float(&[layers, i]));
    let h = case.b.begin_loop(layers, &[x])[0];
    let w = case.b.slice(&w, layers);
    let still = case.op(Op::StopGradient, &[h]);
    let next = case.map(Elementwise::ADD, &[still, w]);
    let last = case.b.end_loop(&[next], &[])[0];
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i]), &[last]);
    let graph = derived(case, loss);
    let mut simple = graph.clone();
    canonicalise(&mut simple);
    // The sum of all but the last goes nowhere; nothing of the forward scan is saved.
    let all = scans(&simple);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].body.outputs.len(), 1, "{}", crate::graph::print(&simple));
}

#[test]
fn cheap_chains_are_computed_again() {
    let mut case = Case::new(2);
    let (layers, i) = (case.axis("layers", 3), case.axis("i", 2));
    let (x, w) = (case.float(&[i]), case.float(&[layers, i]));
    let h = case.b.begin_loop(layers, &[x])[0];
    let w = case.b.slice(&w, layers);
    let a = case.map(Elementwise::TANH, &[h]);
    let b = case.map(Elementwise::EXP, &[a]);
    let c = case.map(Elementwise::MUL, &[b, w]);
    let last = case.b.end_loop(&[c], &[])[0];
    let loss = case.op(Op::Reduce(Monoid::Sum, vec![i]), &[last]);
    let graph = derived(case, loss);
    let all = scans(&graph);
    // The carried value alone is kept: it and the final one are the forward scan's outputs.
    assert_eq!(all[0].body.outputs.len(), 2, "{}", crate::graph::print(&graph));
    let mut simple = graph.clone();
    canonicalise(&mut simple);
    insta::assert_snapshot!(crate::graph::print(&simple));
}

/// A pre-norm transformer of repeated layers, with its loss.
#[test]
fn a_small_transformer() {
    let mut case = Case::new(77);
    case.range = (-0.7, 0.7);
    let (layers, batch, time) = (case.axis("layers", 2), case.axis("batch", 2), case.axis("time", 3));
    let (feature, token) = (case.axis("feature", 4), case.axis("token", 5));
    let (head, key) = (case.sized("head", Size::of(2)), case.sized("key", Size::of(2)));
    case.bindings.sizes.insert("feature".into(), 4);
    let whole = case.sized("whole", Size::of(4));
    let source = case.b.axes().like(time, "source");
    let hidden = case.axis("hidden", 3);
    let (ids, next) = (case.index(token, &[batch, time]), case.index(token, &[batch, time]));
    let table = case.float(&[token, feature]);
    let projections: Vec<_> = (0..4).map(|_| case.float(&[layers, feature, whole])).collect();
    let (up, down) = (case.float(&[layers, feature, hidden]), case.float(&[layers, hidden, feature]));
    let gain = case.float(&[layers, feature]);

    let x = case.op(Op::Lookup(token), &[table, ids]);
    let x = case.b.begin_loop(layers, &[x])[0];
    let projections: Vec<_> = projections.iter().map(|p| case.b.slice(p, layers)).collect();
    let (up, down, gain) = (case.b.slice(&up, layers), case.b.slice(&down, layers), case.b.slice(&gain, layers));

    // Root mean square norm.
    let square = case.map(Elementwise::MUL, &[x, x]);
    let sum = case.op(Op::Reduce(Monoid::Sum, vec![feature]), &[square]);
    let (four, small) = (case.number(4.0), case.number(1e-5));
    let mean = case.map(Elementwise::DIV, &[sum, four]);
    let mean = case.map(Elementwise::ADD, &[mean, small]);
    let root = case.map(Elementwise::SQRT, &[mean]);
    let normed = case.map(Elementwise::DIV, &[x, root]);
    let normed = case.map(Elementwise::MUL, &[normed, gain]);

    let mut heads = Vec::new();
    for p in &projections[..3] {
        let y = case.op(Op::Contract(vec![feature]), &[normed, *p]);
        heads.push(case.op(Op::Split(whole, vec![head, key]), &[y]));
    }
    let k = case.op(Op::Rename(time, source), &[heads[1]]);
    let v = case.op(Op::Rename(time, source), &[heads[2]]);
    let score = case.op(Op::Contract(vec![key]), &[heads[0], k]);
    let (now, then) = (case.op(Op::Index(time), &[]), case.op(Op::Index(source), &[]));
    let visible = case.map(Elementwise::LE, &[then, now]);
    let nothing = case.number(f64::NEG_INFINITY);
    let score = case.map(Elementwise::SELECT, &[visible, score, nothing]);
    let weight = case.op(Op::Softmax(vec![source]), &[score]);
    let read = case.op(Op::Contract(vec![source]), &[weight, v]);
    let read = case.op(Op::Merge(vec![head, key], whole), &[read]);
    let out = case.op(Op::Contract(vec![whole]), &[read, projections[3]]);
    let x = case.map(Elementwise::ADD, &[x, out]);

    let h = case.op(Op::Contract(vec![feature]), &[x, up]);
    let h = case.map(Elementwise::TANH, &[h]);
    let y = case.op(Op::Contract(vec![hidden]), &[h, down]);
    let x = case.map(Elementwise::ADD, &[x, y]);
    let x = case.b.end_loop(&[x], &[])[0];

    let logits = case.op(Op::Contract(vec![feature]), &[x, table]);
    let sum = case.op(Op::LogSumExp(vec![token]), &[logits]);
    let picked = case.op(Op::Lookup(token), &[logits, next]);
    let loss = case.map(Elementwise::SUB, &[sum, picked]);
    case.check("transformer", &[loss]);
}

/// A gradient is a graph like any other: the derivative of its square, through both scans.
#[test]
fn a_gradient_of_a_gradient() {
    let mut case = Case::new(9);
    let layers = case.axis("layers", 3);
    let axes = [case.axis("i", 2), case.axis("j", 3), case.axis("k", 2)];
    let results = block(&mut case, layers, axes);
    let loss = case.weighed(&results[0]);
    let Case { b, bindings, .. } = case;
    let (mut graph, _) = with_gradients(&b.finish(vec![("loss".into(), vec![], loss)]));
    // The squared norm of the gradient with respect to the sliced weights.
    let mut builder = crate::graph::RegionBuilder::from(std::mem::take(&mut graph.body));
    let gradient = builder.region().outputs[2];
    let over = builder.ty(gradient).axes.clone();
    assert_eq!(over.len(), 3);
    let square = builder.map(&graph.axes, Elementwise::MUL, &[gradient, gradient]);
    let norm = builder.op(&graph.axes, Op::Reduce(Monoid::Sum, over), &[square]);
    graph.body = builder.finish(vec![norm]);
    graph.outputs.truncate(1);
    check("gradient of a gradient", &graph, &bindings);
}
