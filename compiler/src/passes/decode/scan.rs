//! Repetitions: what a repeated block keeps is kept once for each repetition, as slices that come in and go out.

use weft_dsl::types::Type;

use super::cut::Cache;
use super::value::{Beyond, Value, View};
use super::walk::{Frame, node};
use crate::graph::{Kind, NodeId, Region, Scan, results};

impl Frame<'_> {
    /// The values of a scan's results.
    pub fn scan(&mut self, id: NodeId, scan: &Scan) -> Result<Vec<Value>, String> {
        if self.time.is_new(scan.axis) {
            return self.recurrent(id, scan);
        }
        if self.time.is_source(scan.axis) {
            return Err(self.refused(id, "it walks along all places that another one sees"));
        }
        let reader = self.describe(id);
        let values: Vec<Value> = self.region[id].operands.iter().map(|&o| self.value(o)).collect();
        let mut inner = Frame::empty(&scan.body, self.axes, self.time);
        let (mut moving, mut shared) = (Vec::new(), Vec::new());
        // What follows from what is given with the prompt: whether there is any, and where each step's share of it stands.
        let (mut is_given, mut places) = (false, Vec::new());
        let is_sliced = |at: usize| (scan.carried..scan.carried + scan.sliced).contains(&at);
        for (at, value) in values.iter().enumerate() {
            if let (Value::View(view), false) = (value, at < scan.carried + scan.sliced)
                && let Some(whole) = view.whole
            {
                // Positions are not kept within either.
                shared.extend([view.twin, whole]);
                let nodes = [view.twin, whole].map(|outer| inner.out.argument(self.out.ty(outer).clone()));
                let view = View { twin: nodes[0], whole: Some(nodes[1]), elements: 0.0, again: None, source: view.source };
                inner.arguments.push(Value::View(view.into()));
                continue;
            }
            let value = self.cut(value, &reader)?;
            let outer = node(&value);
            let given = matches!(value, Value::Fixed(_)) && self.given.contains(&outer);
            is_given |= given;
            if at < scan.carried + scan.sliced {
                moving.push(outer)
            } else {
                shared.push(outer)
            }
            let ty = self.out.ty(outer);
            let ty = if is_sliced(at) { ty.without(&[scan.axis]) } else { ty.clone() };
            let argument = inner.out.argument(ty);
            if given {
                inner.given.insert(argument);
            }
            if given && at >= scan.carried + scan.sliced {
                inner.shared.insert(argument, false);
                places.push((argument, shared.len() - 1));
            }
            if let Some(label) = self.labels.get(&outer) {
                inner.labels.insert(argument, label.clone());
            }
            // What is carried may become another.
            let beyond = if at < scan.carried { Beyond::default() } else { value.beyond() };
            let value = inner.by_type(argument, beyond);
            inner.arguments.push(value);
        }
        if let Some(start) = self.start {
            shared.push(start);
            inner.start = Some(inner.out.argument(self.out.ty(start).clone()));
        }
        let within = |why: String| format!("{why}, repeated over `{}`", self.axes[scan.axis].name);
        inner.walk().map_err(within)?;
        let mut outputs = Vec::new();
        let mut beyond = Vec::new();
        for &output in &scan.body.outputs {
            let value = inner.value(output);
            let value = inner.cut(&value, &reader)?;
            outputs.push(node(&value));
            beyond.push(value.beyond());
        }
        for (argument, place) in places.into_iter().filter(|(argument, _)| inner.shared[argument]) {
            debug_assert!(inner.given.contains(&argument));
            shared[place] = node(&self.held(id, Value::Fixed(shared[place]))?);
        }
        let caches = std::mem::take(&mut inner.caches);
        outputs.extend(caches.iter().filter_map(|c| c.updated));
        let body = ordered(inner.out.finish(outputs), moving.len(), caches.len());
        let fits = (0..scan.carried).all(|i| body.results()[i] == body.arguments[i]);
        if !fits {
            return Err(self.refused(id, "what it carries becomes another kind of value"));
        }
        let own: Vec<Cache> = caches
            .into_iter()
            .map(|cache| {
                let axes = [&[scan.axis], cache.axes.as_slice()].concat();
                let argument = self.out.argument(Type::new(cache.elem, axes.iter().copied()));
                Cache { axes, argument, ..cache }
            })
            .collect();
        let operands = moving.into_iter().chain(own.iter().map(|c| c.argument)).chain(shared).collect();
        let kind = Kind::Scan(Box::new(Scan { sliced: scan.sliced + own.len(), body, ..scan.clone() }));
        let types = results(&kind).unwrap_or_default();
        let nodes = self.out.several(kind, operands, &types);
        let (values, updated) = nodes.split_at(beyond.len());
        let mut updated = updated.iter().copied();
        self.caches
            .extend(own.into_iter().map(|cache| Cache { updated: cache.updated.and_then(|_| updated.next()), ..cache }));
        let is_fixed = values.iter().all(|&v| matches!(self.by_type(v, Beyond::default()), Value::Fixed(_)));
        if is_given && is_fixed {
            self.given.extend(values);
        }
        let carried = |at: usize, beyond: Beyond| if at < scan.carried { Beyond::default() } else { beyond };
        Ok(values.iter().zip(beyond).enumerate().map(|(at, (&v, b))| self.by_type(v, carried(at, b))).collect())
    }
}

/// Puts the arguments of what is kept, which came last, behind those that move.
fn ordered(mut body: Region, moving: usize, kept: usize) -> Region {
    let shared = body.arguments.len() - moving - kept;
    body.arguments[moving..].rotate_right(kept);
    for node in &mut body.nodes {
        if let Kind::Argument(number) = &mut node.kind {
            let at = *number as usize;
            if at >= moving {
                *number = (moving + (at - moving + kept) % (shared + kept)) as u32;
            }
        }
    }
    body
}
