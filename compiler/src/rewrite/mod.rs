//! Rewriting with an e-graph (egg: Willsey et al., POPL 2021), region by region.
//!
//! Each region — a program's body, a scan's body — becomes an e-graph of its own ([`region`]), grows by staged sets of rules
//! ([`rules`]) under bounds that are counts, never times, and comes back as the choice of nodes that is predicted to be fastest
//! ([`extract`], [`cost`]). A region is replaced only where the prediction improves, so a graph never gets worse by it, and the
//! same graph always gives the same result.

mod analysis;
mod cost;
mod extract;
mod language;
mod region;
mod report;
mod rules;
#[cfg(test)]
mod tests;

use std::time::Duration;

use egg::{Runner, SimpleScheduler, StopReason};
use weft_dsl::types::{Axes, Type};

pub use self::cost::FREE;
pub use self::cost::volume as elements;
pub use self::region::predicted;
pub use self::report::{RegionReport, Report};
use self::rules::{SETS, STAGES, Stage};
use crate::graph::{Graph, Kind, Region};

/// An e-graph may have so many nodes for each of its region's …
const GROWTH: usize = 8;
/// … and this many more.
const SPARE: usize = 500;
/// What an improvement must be worth: less than a thousandth of a region's time is within what a prediction cannot tell.
const WORTH: f64 = 1e-3;

/// Rewrites a program where that is predicted to make it faster.
pub fn rewrite(graph: &mut Graph) {
    rewritten(graph, &STAGES);
}

/// What [`rewrite`] would do.
pub fn report(graph: &Graph) -> Report {
    rewritten(&mut graph.clone(), &STAGES)
}

/// The names of the sets of rules.
pub fn sets() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|set| set.name)
}

/// The names of the rules of the set with a number.
pub fn rules_of(set: usize) -> impl Iterator<Item = &'static str> {
    SETS[set].rules.iter().map(|rule| rule.name)
}

/// As [`rewrite`], without the set of a number: for measuring what it is good for.
pub fn without(set: usize) -> fn(&mut Graph) {
    fn rewrite<const SET: usize>(graph: &mut Graph) {
        rewritten(graph, &rules::stages(Some(SET)));
    }
    // As many as there are sets: a pass is a function, which remembers nothing.
    const EACH: [fn(&mut Graph); SETS.len()] =
        [rewrite::<0>, rewrite::<1>, rewrite::<2>, rewrite::<3>, rewrite::<4>, rewrite::<5>];
    EACH[set]
}

fn rewritten(graph: &mut Graph, stages: &[Stage]) -> Report {
    let mut report = Report::default();
    improve(&mut graph.axes, &mut graph.body, "body", stages, &mut report);
    report
}

/// Rewrites the regions within a region, then the region.
fn improve(axes: &mut Axes, region: &mut Region, place: &str, stages: &[Stage], report: &mut Report) {
    for (at, node) in region.nodes.iter_mut().enumerate() {
        if let Kind::Scan(scan) = &mut node.kind {
            let place = format!("{place} > {} {at}", axes[scan.axis].name);
            improve(axes, &mut scan.body, &place, stages, report);
        }
    }
    let before = region::seconds(axes, region);
    let mut entered = region::enter(axes.clone(), region);
    let own = entered.nodes.len();
    let fired = saturate(&mut entered.space, stages, GROWTH * own + SPARE);
    let space = &entered.space;
    let mut done = RegionReport {
        place: place.into(),
        size: (own, space.number_of_classes(), space.total_number_of_nodes()),
        seconds: (before, before),
        taken: false,
        fired,
        fault: space.analysis.fault.clone(),
    };
    if done.fault.is_none()
        && let Some((choice, _)) = extract::extract(space, &entered.outputs, &entered.nodes)
        && let Some(better) = region::leave(space, &choice, &entered.outputs, region)
    {
        let after = region::seconds(&space.analysis.axes, &better);
        if after < before * (1.0 - WORTH) {
            (done.seconds.1, done.taken) = (after, true);
            // Axes that rules made stay only where they are used.
            let made = |ty: &Type| ty.axes.last().is_some_and(|a| a.0 as usize >= axes.len());
            if better.nodes.iter().any(|node| made(&node.ty)) {
                *axes = entered.space.analysis.axes;
            }
            *region = better;
        }
    }
    report.regions.push(done);
}

/// Grows an e-graph by all stages; gives which rules made something new, and how often.
fn saturate(space: &mut analysis::Space, stages: &[Stage], nodes: usize) -> Vec<(&'static str, rules::Sort, usize)> {
    let mut fired: Vec<_> = rules::all().map(|rule| (rule.name, rule.sort, 0)).collect();
    for stage in stages {
        let grown = std::mem::take(space);
        let runner = Runner::<_, _, ()>::new(analysis::Knowledge::default())
            .with_egraph(grown)
            .with_scheduler(SimpleScheduler)
            .with_iter_limit(stage.rounds)
            .with_node_limit(nodes)
            .with_time_limit(Duration::MAX)
            .run(&stage.rewrites);
        for iteration in &runner.iterations {
            for (name, times) in &iteration.applied {
                if let Some(entry) = fired.iter_mut().find(|f| f.0 == rules::rule_of(name.as_str())) {
                    entry.2 += times;
                }
            }
        }
        *space = runner.egraph;
        if matches!(runner.stop_reason, Some(StopReason::NodeLimit(_))) {
            break;
        }
    }
    fired.retain(|f| f.2 > 0);
    fired
}
