//! What the builder makes of loops, means, numbers and updates.

use weft_dsl::emit::Start;
use weft_dsl::op::Monoid;
use weft_dsl::size::Size;

use super::super::{Array, Bindings, eval, print, validate};
use super::*;

fn add(builder: &mut Builder, a: &Value, b: &Value) -> Value {
    builder.op(Op::Map(Elementwise::ADD), &[*a, *b])
}

fn number(builder: &mut Builder, x: f64) -> Value {
    builder.op(Op::Constant(Number(x), Elem::Float, Vec::new()), &[])
}

/// Layers around time: the inner loop slices and captures values from two frames out.
#[test]
fn nested_loops_capture_through_each_frame() {
    let mut axes = Axes::default();
    let (layer, time) = (axes.fresh("layer", Size::of(2), false), axes.fresh("time", Size::var("seq"), true));
    let mut b = Builder::new(axes);
    let x = b.input("x", Elem::Float, &[time]);
    let offset = b.input("offset", Elem::Float, &[]);
    let parameter =
        Parameter { path: "layers.{}.bias".into(), stack: vec![layer], axes: vec![], start: Start::Constant(0.0) };
    let half = number(&mut b, 0.5);
    let outer = b.begin_loop(layer, &[x]);
    let bias = b.parameter(&parameter);
    assert_eq!(b.parameter(&parameter), bias);
    let bias = b.slice(&bias, layer);
    let start = number(&mut b, 0.0);
    let inner = b.begin_loop(time, &[start]);
    let here = b.slice(&outer[0], time);
    let mut sum = add(&mut b, &inner[0], &here);
    for term in [&bias, &offset, &half] {
        sum = add(&mut b, &sum, term);
    }
    let sums = b.end_loop(&[sum], &[sum]);
    let done = b.end_loop(&[sums[1]], &[sums[0]]);
    let graph = b.finish(vec![("y".into(), vec![time], done[0]), ("last".into(), vec![layer], done[1])]);
    validate(&graph).unwrap();
    insta::assert_snapshot!(print(&graph), @r#"
    graph
    axes {
      layer = 2
      time = seq outer
    }
    inputs {
      "x" [time] port
      "offset" [] port
      "layers.{}.bias" [layer] parameter "layers.{}.bias" [layer] [] constant 0.0
    }
    body ([time], [], [layer]) {
      %0 = argument 0 : [time]
      %1 = argument 1 : []
      %2 = constant 0.5 float [] : []
      %3 = argument 2 : [layer]
      %4 = scan layer carried 1 sliced 1 %0 %3 %1 : [time] ([time], [], []) {
        %0 = argument 0 : [time]
        %1 = argument 1 : []
        %2 = constant 0.0 float [] : []
        %3 = argument 2 : []
        %4 = scan time carried 1 sliced 1 %2 %0 %1 %3 : [] ([], [], [], []) {
          %0 = argument 0 : []
          %1 = argument 1 : []
          %2 = add %0 %1 : []
          %3 = argument 2 : []
          %4 = add %2 %3 : []
          %5 = argument 3 : []
          %6 = add %4 %5 : []
          %7 = constant 0.5 float [] : []
          %8 = add %6 %7 : []
          give %8 %8
        }
        %5 = project 0 %4 : []
        %6 = project 1 %4 : [time]
        give %6 %5
      }
      %5 = project 0 %4 : [time]
      %6 = project 1 %4 : [layer]
      give %5 %6
    }
    outputs {
      "y" [time] port
      "last" [layer] port
    }
    "#);
    let dims = [(time, 3)];
    let inputs = [
        ("x".to_string(), Array::from_order(&dims, vec![1.0, 2.0, 3.0]).unwrap()),
        ("offset".to_string(), Array::scalar(10.0)),
        ("layers.{}.bias".to_string(), Array::from_order(&[(layer, 2)], vec![0.5, 1.5]).unwrap()),
    ];
    let bindings = Bindings { sizes: [("seq".to_string(), 3)].into(), inputs: inputs.into() };
    let values = eval(&graph, &bindings).unwrap();
    // Layer 0 adds 11 a step: 12, 25, 39. Layer 1 adds 12 a step: 24, 61, 112.
    assert_eq!(values[0].data, [24.0, 61.0, 112.0]);
    assert_eq!(values[1].data, [39.0, 112.0]);
}

#[test]
fn carried_values_keep_their_axes() {
    let mut axes = Axes::default();
    let (step, a) = (axes.fresh("step", Size::of(3), false), axes.fresh("a", Size::of(2), false));
    let mut b = Builder::new(axes);
    let x = b.input("x", Elem::Float, &[a]);
    b.begin_loop(step, &[x]);
    let one = number(&mut b, 1.0);
    let done = b.end_loop(&[one], &[]);
    assert_eq!(b.type_of(&done[0]), Type::new(Elem::Float, [a]));
    let graph = b.finish(vec![("y".into(), vec![a], done[0])]);
    validate(&graph).unwrap();
    let inputs = [("x".to_string(), Array::from_order(&[(a, 2)], vec![5.0, 6.0]).unwrap())].into();
    assert_eq!(eval(&graph, &Bindings { inputs, ..Bindings::default() }).unwrap()[0].data, [1.0, 1.0]);
}

#[test]
fn written_numbers_are_folded() {
    let mut b = Builder::new(Axes::default());
    let (two, three) = (number(&mut b, 2.0), number(&mut b, 3.0));
    let sum = add(&mut b, &two, &three);
    let less = b.op(Op::Map(Elementwise::LT), &[two, three]);
    assert_eq!(b.type_of(&less).elem, Elem::Bool);
    let graph = b.finish(vec![("sum".into(), vec![], sum), ("less".into(), vec![], less)]);
    assert!(graph.body.nodes.iter().all(|n| matches!(n.kind, Kind::Op(Op::Constant(..)))));
    let values = eval(&graph, &Bindings::default()).unwrap();
    assert_eq!((values[0].data[0], values[1].data[0]), (5.0, 1.0));
}

#[test]
fn means_states_and_updates() {
    let mut axes = Axes::default();
    let (item, feature) = (axes.fresh("item", Size::var("n"), true), axes.fresh("feature", Size::of(4), false));
    let mut b = Builder::new(axes);
    let x = b.input("x", Elem::Float, &[item]);
    let sum = b.op(Op::Reduce(Monoid::Sum, vec![item]), &[x]);
    let count = b.op(Op::Extent(Size::var("n")), &[]);
    let mean = b.mean(&sum, &count);
    assert_eq!(b.means(), [Mean { sum: sum.node, weight: count.node, result: mean.node }]);
    let parameter = Parameter { path: "scale".into(), stack: vec![], axes: vec![feature], start: Start::Constant(1.0) };
    let (scale, state) = (b.parameter(&parameter), b.state(&parameter, "m", Number(0.0)));
    let total = b.accumulator("total.0", Elem::Float, &[]);
    let more = add(&mut b, &state, &mean);
    b.update(&state, &more);
    b.update(&scale, &more);
    b.update(&total, &sum);
    let graph = b.finish(vec![("loss".into(), vec![], mean)]);
    validate(&graph).unwrap();
    let sinks: Vec<_> = graph.outputs.iter().map(|o| (o.name.as_str(), o.sink)).collect();
    let update = |name, number| (name, Sink::Update(number));
    assert_eq!(sinks, [update("scale/m", 2), update("scale", 1), update("total.0", 3), ("loss", Sink::Port)]);

    // A graph that is gone on from keeps its numbers.
    let mut again = Builder::resume(graph.clone());
    assert_eq!(again.parameter(&parameter), scale);
    assert_eq!(again.finish(Vec::new()), graph);
}
