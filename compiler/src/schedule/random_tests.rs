//! Schedules of what fusion makes of random graphs.

use std::collections::HashMap;

use super::scatter;
use super::testing::{Chance, Ready, Schedule, With};
use super::{loops, order};
use crate::fuse::fuse;
use crate::graph::random::random_graph;
use crate::graph::{Form, Fused, Kind, Region};

fn kernels(region: &Region, found: &mut Vec<Fused>) {
    for node in &region.nodes {
        match &node.kind {
            Kind::Fused(fused) => found.push((**fused).clone()),
            Kind::Scan(scan) => kernels(&scan.body, found),
            Kind::Op(_) | Kind::Argument(_) | Kind::Project(_) => {}
        }
    }
}

#[test]
fn kernels_of_random_graphs() {
    let mut checked = HashMap::new();
    for seed in 0..400 {
        let (mut graph, bindings) = random_graph(seed, 60);
        // Graphs come with kernels made up at random, which no form fits.
        let mut made_up = Vec::new();
        kernels(&graph.body, &mut made_up);
        if !made_up.is_empty() {
            continue;
        }
        fuse(&mut graph, seed % 4 != 0);
        let mut found = Vec::new();
        kernels(&graph.body, &mut found);
        for fused in found {
            let schedule: Schedule = match fused.form {
                Form::Loops => loops::schedule,
                Form::Scatter => scatter::schedule,
                Form::Order => order::schedule,
                Form::Product | Form::Attention | Form::AttentionBackward => continue,
            };
            let ready = Ready { body: fused.body, axes: graph.axes.clone(), bound: bindings.sizes.clone() };
            if ready.has_value(&ready.arguments(&mut Chance(seed + 1))) {
                ready.check_with(schedule, fused.form, if seed % 2 == 0 { 4 } else { 8 }, seed + 1, With::Wide);
                *checked.entry(fused.form).or_insert(0) += 1;
            }
        }
    }
    assert!(checked.get(&Form::Loops).is_some_and(|&n| n > 300), "{checked:?}");
}
