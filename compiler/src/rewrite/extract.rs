//! Which node of each class is taken: extraction on the DAG, where a value that is read twice is paid once.
//!
//! Two starts are improved and the better is taken: the region as it was written, so that the result is never worse than it; and
//! the choice that is best for each class by itself. The improvement turns one class at a time to another of its nodes, or turns
//! together all classes that have a node over one class (as the slices of a joined product are), and keeps what lowers the whole
//! price. Every bound is a count.

use std::collections::HashMap;

use egg::Id;

use super::analysis::Space;
use super::language::ENode;
use super::region::node_seconds;

/// A node for each class that is needed.
pub type Choice = HashMap<Id, ENode>;

/// Rounds of looking for what is best for each class.
const ROUNDS: usize = 12;
/// Rounds of improving the whole.
const IMPROVEMENTS: usize = 6;
/// The share of the price that an improvement is worth: less is noise of adding floats.
const WORTH: f64 = 1e-9;

/// A node of a class, over classes by position.
struct Candidate {
    node: ENode,
    price: f64,
    children: Vec<usize>,
}

/// All candidates of an e-graph, classes being numbered.
struct Market {
    classes: Vec<Id>,
    candidates: Vec<Vec<Candidate>>,
    outputs: Vec<usize>,
}

/// The best choice that was found, and its price in seconds. `source` are the region's own nodes, each after its operands.
pub fn extract(space: &Space, outputs: &[Id], source: &[ENode]) -> Option<(Choice, f64)> {
    let market = Market::new(space, outputs);
    let separate = market.separate();
    let written = market.written(space, source, &separate);
    let best = [written, separate]
        .into_iter()
        .filter_map(|mut picks| {
            let price = market.improve(&mut picks)?;
            Some((picks, price))
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut order = Vec::new();
    let price = market.price(&best.0, &mut order)?;
    let choice =
        |class: &usize| Some((market.classes[*class], market.candidates[*class].get(best.0[*class]?)?.node.clone()));
    Some((order.iter().filter_map(choice).collect(), price))
}

/// For each class the position of its node.
type Picks = Vec<Option<usize>>;

impl Market {
    fn new(space: &Space, outputs: &[Id]) -> Self {
        let mut classes: Vec<Id> = space.classes().map(|c| c.id).collect();
        classes.sort();
        let place: HashMap<Id, usize> = classes.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let at = |id: Id| place[&space.find(id)];
        let candidates = classes
            .iter()
            .map(|&id| {
                let mut nodes: Vec<Candidate> = space[id]
                    .nodes
                    .iter()
                    .map(|node| Candidate {
                        node: node.clone(),
                        price: node_seconds(space, node, id),
                        children: node.children.iter().map(|&c| at(c)).collect(),
                    })
                    .collect();
                nodes.sort_by(|a, b| a.price.total_cmp(&b.price).then_with(|| a.node.cmp(&b.node)));
                nodes
            })
            .collect();
        Self { candidates, outputs: outputs.iter().map(|&o| at(o)).collect(), classes }
    }

    /// What is best for each class by itself: the price of a node is that of the set of classes beneath it.
    fn separate(&self) -> Picks {
        let words = self.classes.len().div_ceil(64);
        let mut picks: Picks = vec![None; self.classes.len()];
        let mut beneath: Vec<Vec<u64>> = vec![vec![0; words]; self.classes.len()];
        let mut own = vec![0.0; self.classes.len()];
        let mut total = vec![f64::INFINITY; self.classes.len()];
        let mut set = vec![0u64; words];
        for _ in 0..ROUNDS {
            let mut moved = false;
            for class in 0..self.classes.len() {
                for (i, candidate) in self.candidates[class].iter().enumerate() {
                    if candidate.children.iter().any(|&c| picks[c].is_none()) {
                        continue;
                    }
                    set.fill(0);
                    for &child in &candidate.children {
                        set.iter_mut().zip(&beneath[child]).for_each(|(s, b)| *s |= b);
                    }
                    if set[class / 64] >> (class % 64) & 1 == 1 {
                        continue;
                    }
                    let price = candidate.price + members(&set).map(|c| own[c]).sum::<f64>();
                    if price < total[class] * (1.0 - WORTH) || picks[class].is_none() {
                        moved = true;
                        (picks[class], total[class], own[class]) = (Some(i), price, candidate.price);
                        beneath[class].copy_from_slice(&set);
                        beneath[class][class / 64] |= 1 << (class % 64);
                    }
                }
            }
            if !moved {
                break;
            }
        }
        picks
    }

    /// The region as it was written: of each class the first of its nodes there, so that none needs itself; other classes as
    /// elsewhere.
    fn written(&self, space: &Space, source: &[ENode], others: &Picks) -> Picks {
        let mut picks: Picks = vec![None; self.classes.len()];
        for node in source {
            let mut node = node.clone();
            let Some(id) = space.lookup(&mut node) else { continue };
            let Ok(class) = self.classes.binary_search(&space.find(id)) else { continue };
            if picks[class].is_none() {
                picks[class] = self.candidates[class].iter().position(|c| same(space, &c.node, &node));
            }
        }
        picks.iter().zip(others).map(|(own, other)| own.or(*other)).collect()
    }

    /// What the classes that the outputs need cost, each once, and which they are, each after what it needs. `None` where one
    /// has no node or needs itself.
    fn price(&self, picks: &Picks, order: &mut Vec<usize>) -> Option<f64> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        order.clear();
        let mut mark = vec![Mark::New; self.classes.len()];
        let mut open: Vec<usize> = self.outputs.clone();
        let mut price = 0.0;
        while let Some(&class) = open.last() {
            let candidate = &self.candidates[class][picks[class]?];
            match mark[class] {
                Mark::New => {
                    mark[class] = Mark::Open;
                    for &child in &candidate.children {
                        match mark[child] {
                            Mark::New => open.push(child),
                            Mark::Open => return None,
                            Mark::Done => {}
                        }
                    }
                }
                Mark::Open => {
                    mark[class] = Mark::Done;
                    price += candidate.price;
                    order.push(class);
                    open.pop();
                }
                Mark::Done => {
                    open.pop();
                }
            }
        }
        Some(price)
    }

    /// Turns classes to other nodes while that lowers the whole price, and gives it.
    fn improve(&self, picks: &mut Picks) -> Option<f64> {
        let mut order = Vec::new();
        let mut best = self.price(picks, &mut order)?;
        for _ in 0..IMPROVEMENTS {
            let before = best;
            let reached = order.clone();
            for turns in self.turns(&reached) {
                let old: Vec<_> = turns.iter().map(|&(class, to)| (class, picks[class].replace(to))).collect();
                match self.price(picks, &mut order) {
                    Some(price) if price < best * (1.0 - WORTH) => best = price,
                    _ => old.into_iter().for_each(|(class, to)| picks[class] = to),
                }
            }
            self.price(picks, &mut order)?;
            if best >= before {
                break;
            }
        }
        Some(best)
    }

    /// Sets of classes to turn together: each class alone, and all that have a node over one class that nothing reads yet.
    fn turns(&self, reached: &[usize]) -> Vec<Vec<(usize, usize)>> {
        let mut needed = vec![false; self.classes.len()];
        reached.iter().for_each(|&class| needed[class] = true);
        let mut alone = Vec::new();
        let mut over: std::collections::BTreeMap<usize, Vec<(usize, usize)>> = std::collections::BTreeMap::new();
        for &class in reached {
            for (i, candidate) in self.candidates[class].iter().enumerate().filter(|_| self.candidates[class].len() > 1) {
                alone.push(vec![(class, i)]);
                for &child in candidate.children.iter().filter(|&&c| !needed[c]) {
                    let turned = over.entry(child).or_default();
                    if turned.iter().all(|&(other, _)| other != class) {
                        turned.push((class, i));
                    }
                }
            }
        }
        alone.extend(over.into_values().filter(|turned| turned.len() > 1));
        alone
    }
}

/// The classes of a set, in order.
fn members(set: &[u64]) -> impl Iterator<Item = usize> {
    set.iter()
        .enumerate()
        .flat_map(|(word, &bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit))
}

/// Whether two nodes are the same but for unions since.
fn same(space: &Space, a: &ENode, b: &ENode) -> bool {
    a.symbol == b.symbol && a.children.iter().map(|&c| space.find(c)).eq(b.children.iter().map(|&c| space.find(c)))
}
