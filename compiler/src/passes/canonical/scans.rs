//! A scan without what nobody reads: results, carried values that serve only themselves, operands. Carried values that never
//! change become what every step shares.

use weft_dsl::types::Type;

use crate::graph::{Kind, NodeId, Region, RegionBuilder, Scan};

/// Where a result of the scan as it was is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A result of the pruned scan.
    Result(usize),
    /// An operand of the scan as it was: a carried value that does not change.
    Operand(usize),
}

/// What is left of a scan.
pub struct Pruned {
    /// The scan.
    pub scan: Scan,
    /// Its operands, as numbers of operands before.
    pub operands: Vec<usize>,
    /// For each result before, its place; none where nothing reads it.
    pub results: Vec<Option<Place>>,
}

/// Takes out what is not read.
pub fn prune(scan: &Scan, used: &[bool]) -> Pruned {
    let body = &scan.body;
    let argument = arguments(body);
    let fixed: Vec<bool> = (0..scan.carried).map(|i| argument[i] == Some(body.outputs[i])).collect();
    let (live, needed) = liveness(scan, used, &argument, &fixed);
    let is_needed = |i: usize| argument[i].is_some_and(|at| needed[at.0 as usize]);

    let changing: Vec<usize> = (0..scan.carried).filter(|&i| live[i] && !fixed[i]).collect();
    let sliced: Vec<usize> = (scan.carried..scan.carried + scan.sliced).filter(|&i| is_needed(i)).collect();
    let shared = (0..scan.carried).filter(|&i| fixed[i]).chain(scan.carried + scan.sliced..body.arguments.len());
    let shared: Vec<usize> = shared.filter(|&i| is_needed(i)).collect();
    let operands: Vec<usize> = changing.iter().chain(&sliced).chain(&shared).copied().collect();

    let mut outputs: Vec<NodeId> = changing.iter().map(|&i| body.outputs[i]).collect();
    let mut results = vec![None; used.len()];
    for (place, &i) in changing.iter().enumerate() {
        results[i] = Some(Place::Result(place));
    }
    for i in (0..scan.carried).filter(|&i| fixed[i]) {
        results[i] = Some(Place::Operand(i));
    }
    for i in (scan.carried..used.len()).filter(|&i| used[i]) {
        let yields = outputs[changing.len()..].iter();
        let place = yields.clone().position(|&o| o == body.outputs[i]).map_or(outputs.len(), |at| at + changing.len());
        if place == outputs.len() {
            outputs.push(body.outputs[i]);
        }
        results[i] = Some(Place::Result(place));
    }
    let types: Vec<_> = operands.iter().map(|&i| (argument[i], body.arguments[i].clone())).collect();
    let body = cut(body, &types, &needed, &outputs);
    let scan = Scan { carried: changing.len(), sliced: sliced.len(), body, ..scan.clone() };
    Pruned { scan, operands, results }
}

/// Which results matter, and which nodes of the body they need.
fn liveness(scan: &Scan, used: &[bool], argument: &[Option<NodeId>], fixed: &[bool]) -> (Vec<bool>, Vec<bool>) {
    let mut live = used.to_vec();
    loop {
        let is_output = |i: &usize| live[*i] && !(*i < scan.carried && fixed[*i]);
        let ends: Vec<_> = (0..live.len()).filter(is_output).map(|i| scan.body.outputs[i]).collect();
        let needed = scan.body.read_by(&ends);
        let more: Vec<_> =
            (0..scan.carried).filter(|&i| !live[i] && argument[i].is_some_and(|at| needed[at.0 as usize])).collect();
        if more.is_empty() {
            return (live, needed);
        }
        more.into_iter().for_each(|i| live[i] = true);
    }
}

fn arguments(body: &Region) -> Vec<Option<NodeId>> {
    let mut out = vec![None; body.arguments.len()];
    for (id, node) in body.iter() {
        if let Kind::Argument(n) = node.kind {
            out[n as usize] = Some(id);
        }
    }
    out
}

/// A region of the needed nodes, its arguments in a new order.
fn cut(body: &Region, arguments: &[(Option<NodeId>, Type)], needed: &[bool], outputs: &[NodeId]) -> Region {
    let mut b = RegionBuilder::new();
    let mut copy = vec![None; body.nodes.len()];
    for (at, ty) in arguments {
        let argument = b.argument(ty.clone());
        if let Some(at) = at {
            copy[at.0 as usize] = Some(argument);
        }
    }
    for (id, node) in body.iter().filter(|(id, _)| needed[id.0 as usize]) {
        if copy[id.0 as usize].is_none() {
            let operands = node.operands.iter().filter_map(|o| copy[o.0 as usize]).collect();
            copy[id.0 as usize] = Some(b.node(node.kind.clone(), operands, node.ty.clone()));
        }
    }
    let outputs = outputs.iter().filter_map(|o| copy[o.0 as usize]).collect();
    b.finish(outputs)
}
