//! Text reads back, and text that is wrong says where.

use super::super::random::random_graph;
use super::super::{eval, validate};
use super::*;

#[test]
fn random_graphs_are_well_formed_and_read_back() {
    for seed in 0..200 {
        let (graph, bindings) = random_graph(seed, 25);
        validate(&graph).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{}", print(&graph)));
        let text = print(&graph);
        assert_eq!(parse(&text).as_ref(), Ok(&graph), "seed {seed}\n{text}");
        let values = eval(&graph, &bindings).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
        for (output, value) in graph.outputs.iter().zip(values) {
            assert!(value.data.iter().all(|x| x.is_finite()), "seed {seed}: {} is not finite\n{text}", output.name);
        }
    }
}

#[test]
fn random_graphs_have_everything() {
    let text: String = (0..200).map(|seed| print(&random_graph(seed, 25).0)).collect();
    let structural = "argument project scan fused constant index extent random cast stop_gradient reduce argmax contract rename \
                      split merge slice pad concat lookup scatter_add softmax logsumexp";
    for name in structural.split_whitespace().chain(Elementwise::all().map(Elementwise::name)) {
        assert!(text.contains(&format!(" = {name} ")), "no graph has {name}");
    }
}

#[test]
fn faults_have_a_line() {
    let text = "graph\naxes { a = 3 }\ninputs {\n \"x\" [a] port }\nbody ([a]) {\n %0 = argument 0 : [a]\n %1 = exp %0 : [a]\n give %1 }\noutputs { \"y\" [a] port }";
    parse(text).unwrap();
    for (from, to, why) in [
        ("exp", "expp", "line 7: `expp` is no operator"),
        ("%1 = exp", "%2 = exp", "line 7: node %2 is number 1"),
        ("exp %0 : [a]", "exp %0 : [b]", "line 7: there is no axis `b`"),
        ("exp %0 : [a]", "exp %0 : []", "body: %1: has the type [] where the operator gives [a]"),
        ("exp %0", "exp %1", "body: %1: reads %1, which is not earlier"),
        ("([a])", "()", "the body's arguments are not the inputs"),
        ("give %1", "give %7", "body: output %7 is not there"),
        ("\"y\" [a]", "\"y\" []", "output `y`: axis `a` has no place"),
        ("port }\nbody", "port\nbody", "line 5: expected a text in quotes, found Word(\"body\")"),
        ("\"x\"", "\"x", "line 4: a text without end"),
    ] {
        assert_eq!(parse(&text.replacen(from, to, 1)), Err(why.to_string()));
    }
    assert!(parse(&format!("graph axes {{ a = {}1", "(".repeat(100_000))).is_err());
    assert!(parse("").is_err());
}

/// Words of a text changed for others of it: an error or a graph that can be evaluated, never a panic.
#[test]
fn damaged_texts_do_no_harm() {
    let mut read = 0;
    for seed in 0..2000u64 {
        let (graph, bindings) = random_graph(seed % 50, 15);
        let text = print(&graph);
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
        let at =
            |salt: u64| (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ salt.wrapping_mul(0xD1B5_4A32)) as usize;
        let (from, to) = (at(1) % words.len(), at(2) % words.len());
        words[to] = words[from];
        if let Ok(graph) = parse(&words.concat()) {
            read += 1;
            let _ = eval(&graph, &bindings);
        }
    }
    assert!(read > 20, "only {read} damaged texts still were graphs");
}
