//! Walks a region and writes the derived one.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::cut::Cache;
use super::entry::Entry;
use super::time::Time;
use super::value::{Beyond, Value, View};
use super::{PAST, names, number, room};
use crate::graph::{Graph, Kind, NodeId, Region, RegionBuilder, Source};

/// An operation that users do not write.
const MOVE: &str = "a move";

/// A region on its way.
pub struct Frame<'a> {
    /// The axes of the derived program.
    pub axes: &'a Axes,
    /// Those as long as the text.
    pub time: &'a Time,
    /// The region as it was.
    pub region: &'a Region,
    /// The derived one.
    pub out: RegionBuilder,
    /// The outputs that are derived.
    pub wanted: Vec<NodeId>,
    /// Whether they need a node.
    pub live: Vec<bool>,
    /// What its arguments become.
    pub arguments: Vec<Value>,
    /// Where the text begins in each row.
    pub start: Option<NodeId>,
    /// What arguments of the derived region hold, for messages.
    pub labels: HashMap<NodeId, String>,
    /// What is kept, in the order of its arguments.
    pub caches: Vec<Cache>,
    /// For each twin that is kept, and how many places of it, all of them.
    pub inserted: HashMap<(NodeId, Option<i64>), NodeId>,
    /// Fixed values that follow from what is given with the prompt: what new places read of them is kept.
    pub given: HashSet<NodeId>,
    /// For each of those that is read, how.
    pub held: HashMap<NodeId, NodeId>,
    /// Arguments of a repetition's step that each step shares, and whether they are read: they are kept outside.
    pub shared: HashMap<NodeId, bool>,
    /// What each node becomes; of one with several results, each.
    values: HashMap<NodeId, Vec<Value>>,
}

impl<'a> Frame<'a> {
    /// The region of a program.
    pub fn program(graph: &'a Graph, entry: &Entry, axes: &'a Axes, time: &'a Time) -> Self {
        let mut frame = Self::empty(&graph.body, axes, time);
        frame.wanted = vec![graph.body.outputs[entry.logits]];
        for input in &graph.inputs {
            let node = frame.out.argument(Type::new(input.elem, input.axes.iter().copied()));
            if let Source::Parameter(parameter) = &input.source {
                frame.labels.insert(node, parameter.path.clone());
            }
            if entry.is_given(input) {
                frame.given.insert(node);
                frame.labels.insert(node, input.name.clone());
            }
            let value = frame.by_type(node, Beyond::default());
            frame.arguments.push(value);
        }
        if time.which.rows {
            frame.start = Some(frame.out.argument(Type::new(Elem::Int, entry.batch.iter().copied())));
        }
        frame
    }

    /// A region without arguments.
    pub fn empty(region: &'a Region, axes: &'a Axes, time: &'a Time) -> Self {
        Self {
            axes,
            time,
            region,
            wanted: region.outputs.clone(),
            live: vec![false; region.nodes.len()],
            out: RegionBuilder::new(),
            arguments: Vec::new(),
            start: None,
            labels: HashMap::new(),
            caches: Vec::new(),
            inserted: HashMap::new(),
            given: HashSet::new(),
            held: HashMap::new(),
            shared: HashMap::new(),
            values: HashMap::new(),
        }
    }

    /// Derives every node that an output needs.
    pub fn walk(&mut self) -> Result<(), String> {
        self.wanted.iter().for_each(|o| self.live[o.0 as usize] = true);
        for (id, node) in self.region.iter().rev() {
            if self.live[id.0 as usize] {
                node.operands.iter().for_each(|o| self.live[o.0 as usize] = true);
            }
        }
        for (id, node) in self.region.iter() {
            if !self.live[id.0 as usize] {
                continue;
            }
            let values = match &node.kind {
                Kind::Argument(n) => vec![self.arguments[*n as usize].clone()],
                Kind::Project(n) => vec![self.values[&node.operands[0]][*n as usize].clone()],
                Kind::Scan(scan) => self.scan(id, scan)?,
                Kind::Fused(_) => return Err("kernels have been found before".into()),
                Kind::Op(op) => vec![self.op(id, op)?],
            };
            self.values.insert(id, values);
        }
        Ok(())
    }

    /// What a node becomes.
    pub fn value(&self, id: NodeId) -> Value {
        self.values[&id][0].clone()
    }

    /// The node of a result over the new places.
    pub fn result(&mut self, id: NodeId) -> Result<NodeId, String> {
        match self.value(id) {
            Value::New(node) | Value::Fixed(node) => Ok(node),
            Value::View(_) | Value::Seen(..) => Err("a result is over another axis than the text's own".into()),
        }
    }

    /// A value that is no view, by its type.
    pub fn by_type(&self, node: NodeId, beyond: Beyond) -> Value {
        let axes = &self.out.ty(node).axes;
        if axes.iter().any(|&a| self.time.is_source(a)) {
            Value::Seen(node, beyond)
        } else if axes.iter().any(|&a| self.time.is_new(a)) {
            Value::New(node)
        } else {
            Value::Fixed(node)
        }
    }

    /// Adds an operation; sizes in it become those of the derived program.
    pub fn emit(&mut self, op: Op, operands: &[NodeId]) -> Result<NodeId, String> {
        let sizes = &self.time.sizes;
        let op = match op {
            Op::Extent(size) => Op::Extent(sizes.of(&size)),
            Op::Slice(from, at, to) => Op::Slice(from, sizes.of(&at), to),
            Op::Pad(from, at, to, value) => Op::Pad(from, sizes.of(&at), to, value),
            op => op,
        };
        let shown = format!("{op:?}");
        self.out.try_op(self.axes, op, operands).map_err(|_| format!("`{shown}` does not fit the derived program"))
    }

    fn op(&mut self, id: NodeId, op: &Op) -> Result<Value, String> {
        let mut values: Vec<Value> = self.region[id].operands.iter().map(|&o| self.value(o)).collect();
        let ty = &self.region[id].ty;
        let is_fixed = values.iter().all(|v| matches!(v, Value::Fixed(_)));
        if !is_fixed {
            values = values.into_iter().map(|v| self.held(id, v)).collect::<Result<_, _>>()?;
        }
        match op {
            Op::Index(axis) if self.time.is_new(*axis) || self.time.is_source(*axis) => return self.index(*axis),
            Op::Extent(size) if self.time.speaks(size) => {
                let axis = &self.axes[self.time.axis].name;
                return Err(self.refused(id, &format!("the length of `{axis}` is used, which every new place changes")));
            }
            Op::Random(..) if self.timely(&ty.axes) => return Err(self.refused(id, "it is drawn by chance for each place")),
            Op::Constant(value, elem, over) => {
                let whole = self.emit(op.clone(), &[])?;
                let source = over.iter().copied().find(|&a| self.time.is_source(a));
                let Some(source) = source.filter(|_| !over.iter().any(|&a| self.time.is_new(a))) else {
                    return Ok(self.by_type(whole, Beyond::number(value.0)));
                };
                let over = over.iter().map(|&a| if a == source { self.time.axis } else { a }).collect();
                let twin = self.emit(Op::Constant(*value, *elem, over), &[])?;
                return Ok(view(View { twin, source, whole: Some(whole), elements: 0.0, again: None }));
            }
            Op::Rename(from, to) if self.timely(&[*from, *to]) => return self.rename(id, *from, *to, values.swap_remove(0)),
            _ => {}
        }
        if values.iter().any(|v| v.view().is_some()) {
            if let Some(value) = self.on_views(op, &values)? {
                return Ok(value);
            }
            let reader = self.describe(id);
            values = values.iter().map(|v| self.cut(v, &reader)).collect::<Result<_, _>>()?;
        }
        self.along_time(id, op, &values)?;
        let mut nodes: Vec<NodeId> = values.iter().map(node).collect();
        if let (Op::Cast(Elem::Index(_)), true) = (op, self.start.is_some() || self.time.any_turns())
            && self.out.ty(nodes[0]).elem == Elem::Int
        {
            // Places before the text have negative positions, and so have those of a ring that are not filled.
            let zero = self.emit(Op::Constant(number(0.0), Elem::Int, Vec::new()), &[])?;
            nodes[0] = self.emit(Op::Map(Elementwise::MAX), &[nodes[0], zero])?;
        }
        let beyond = self.beyond(id, op, &values);
        let made = match self.within_text(id)? {
            Some(made) => made,
            None => self.emit(op.clone(), &nodes)?,
        };
        if is_fixed && nodes.iter().any(|n| self.given.contains(n)) {
            self.given.insert(made);
        }
        Ok(self.by_type(made, beyond))
    }

    /// Whether one of the axes is as long as the text.
    fn timely(&self, axes: &[Axis]) -> bool {
        axes.iter().any(|&a| self.time.is_new(a) || self.time.is_source(a))
    }

    /// Positions: of new places after those of the past, all from where the text begins.
    fn index(&mut self, axis: Axis) -> Result<Value, String> {
        if self.time.is_new(axis) {
            let index = self.position(axis)?;
            return Ok(Value::New(self.since_start(index)?));
        }
        let (twin, whole) = (self.position(self.time.axis)?, self.position(axis)?);
        let (twin, whole) = (self.since_start(twin)?, self.since_start(whole)?);
        Ok(view(View { twin, source: axis, whole: Some(whole), elements: 0.0, again: None }))
    }

    /// The place in memory: of new places after those of the past; in a ring, the last place that lies there.
    pub fn position(&mut self, axis: Axis) -> Result<NodeId, String> {
        let index = self.emit(Op::Index(axis), &[])?;
        let index = self.emit(Op::Cast(Elem::Int), &[index])?;
        if let Some(window) = self.time.turns(axis) {
            return self.in_ring(index, Size::var(PAST), window);
        }
        if !self.time.is_new(axis) || !self.time.which.goes_on {
            return Ok(index);
        }
        let past = self.emit(Op::Extent(Size::var(PAST)), &[])?;
        self.emit(Op::Map(Elementwise::ADD), &[index, past])
    }

    /// The last place up to one that lies at an index of a ring; negative where none does yet.
    pub fn in_ring(&mut self, index: NodeId, last: Size, window: i64) -> Result<NodeId, String> {
        let last = self.emit(Op::Extent(last), &[])?;
        let room = self.emit(Op::Extent(Size::var(&room(window))), &[])?;
        let behind = self.emit(Op::Map(Elementwise::SUB), &[last, index])?;
        let behind = self.emit(Op::Map(Elementwise::MOD), &[behind, room])?;
        self.emit(Op::Map(Elementwise::SUB), &[last, behind])
    }

    /// A position counted from where the text begins.
    pub fn since_start(&mut self, index: NodeId) -> Result<NodeId, String> {
        match self.start {
            Some(start) => self.emit(Op::Map(Elementwise::SUB), &[index, start]),
            None => Ok(index),
        }
    }

    fn rename(&mut self, id: NodeId, from: Axis, to: Axis, value: Value) -> Result<Value, String> {
        let time = self.time;
        if time.is_source(from) && time.is_source(to) {
            // Both are read in one order.
            time.reads(from, None);
            time.reads(to, None);
        }
        match value {
            Value::New(x) if time.is_source(to) => {
                let twin = if from == time.axis { x } else { self.emit(Op::Rename(from, time.axis), &[x])? };
                let elements = self.elements(twin);
                Ok(view(View { twin, source: to, whole: None, elements, again: None }))
            }
            Value::View(v) if v.source == from && time.is_source(to) => {
                let whole = v.whole.map(|x| self.emit(Op::Rename(from, to), &[x])).transpose()?;
                Ok(view(View { twin: v.twin, source: to, whole, elements: v.elements, again: None }))
            }
            Value::View(v) if v.source == from && time.is_new(to) => {
                let own = time.axis == to;
                Ok(Value::New(if own { v.twin } else { self.emit(Op::Rename(time.axis, to), &[v.twin])? }))
            }
            Value::New(x) if time.is_new(to) => Ok(Value::New(self.emit(Op::Rename(from, to), &[x])?)),
            Value::Seen(x, beyond) if time.is_source(from) == time.is_source(to) => {
                Ok(Value::Seen(self.emit(Op::Rename(from, to), &[x])?, beyond))
            }
            _ => Err(self.refused(id, "what all places see is taken for one value of each place")),
        }
    }

    /// An operation on views of one axis is done to the new places and is a view again.
    fn on_views(&mut self, op: &Op, values: &[Value]) -> Result<Option<Value>, String> {
        let views: Vec<&Rc<View>> = values.iter().filter_map(Value::view).collect();
        let source = views[0].source;
        let plain = |v: &Value| matches!(v, Value::Fixed(_)) || v.view().is_some_and(|v| v.source == source);
        if !values.iter().all(plain) || touched(op).iter().any(|&a| self.timely(&[a])) {
            return Ok(None);
        }
        let twins: Vec<NodeId> = values.iter().map(|v| v.view().map_or_else(|| node(v), |v| v.twin)).collect();
        let twin = self.emit(op.clone(), &twins)?;
        let cheap = matches!(
            op,
            Op::Map(_) | Op::Cast(_) | Op::StopGradient | Op::Rename(..) | Op::Split(..) | Op::Merge(..) | Op::Lookup(_)
        );
        let mut whole = None;
        if cheap && views.iter().all(|v| v.whole.is_some()) {
            let wholes: Vec<NodeId> =
                values.iter().map(|v| v.view().and_then(|v| v.whole).unwrap_or_else(|| node(v))).collect();
            whole = Some(self.emit(op.clone(), &wholes)?);
        }
        let mut distinct: Vec<(NodeId, f64)> = views.iter().map(|v| (v.twin, v.elements)).collect();
        distinct.sort_by_key(|v| v.0);
        distinct.dedup_by_key(|v| v.0);
        let before: f64 = distinct.iter().map(|v| v.1).sum();
        let own = self.elements(twin);
        let again = (cheap && before < own).then(|| (op.clone(), values.to_vec()));
        let elements = match (&whole, &again) {
            (Some(_), _) => 0.0,
            (None, Some(_)) => before,
            (None, None) => own,
        };
        Ok(Some(view(View { twin, source, whole, elements, again })))
    }

    /// Refuses what looks along the text in a way that has no part for each new place.
    fn along_time(&self, id: NodeId, op: &Op, values: &[Value]) -> Result<(), String> {
        let along: Vec<Axis> = touched(op).into_iter().filter(|&a| self.timely(&[a])).collect();
        if along.is_empty() {
            return Ok(());
        }
        let shown = names(self.axes, &along);
        if along.iter().any(|&a| self.time.is_new(a)) {
            return Err(self.refused(id, &format!("it needs all of {shown} at once")));
        }
        let beyond = |i: usize| values[i].beyond();
        let nothing = |is: &dyn Fn(Beyond) -> bool| match op {
            Op::Contract(_) => (0..values.len()).map(beyond).find(|&b| is(b)),
            _ => Some(beyond(0)).filter(|&b| is(b)),
        };
        let identity = match op {
            Op::Reduce(monoid, _) => monoid.identity(),
            Op::Softmax(_) | Op::LogSumExp(_) => f64::NEG_INFINITY,
            Op::Contract(_) => 0.0,
            _ => return Err(self.refused(id, &format!("it moves values along {shown}"))),
        };
        for &axis in &along {
            let window = nothing(&|b| b.before.is_some_and(|b| b.0 == identity)).and_then(|b| b.before);
            self.time.reads(axis, window.map(|b| b.1));
        }
        let nothing = nothing(&|b| b.after == Some(identity)).is_some();
        let time = &self.axes[self.time.axis].name;
        nothing.then_some(()).ok_or_else(|| {
            let why = format!(
                "places see what comes after them: no mask says that the index on {shown} is at most that on `{time}`"
            );
            self.refused(id, &why)
        })
    }

    /// A refusal: the operation, why, and the way from it to the result.
    pub fn refused(&self, id: NodeId, why: &str) -> String {
        let mut way = vec![self.describe(id)];
        let mut at = id;
        while way.len() < 8
            && let Some((reader, _)) = self.region.iter().find(|(_, n)| n.operands.contains(&at))
        {
            at = reader;
            way.push(self.describe(at));
        }
        way.dedup();
        let first = way[0].clone();
        way.retain(|step| step != MOVE);
        format!("{first}: {why} (on the way {})", way.join(" → "))
    }

    /// An operation in the user's words.
    pub fn describe(&self, id: NodeId) -> String {
        let over = |list: &[Axis]| names(self.axes, list);
        match &self.region[id].kind {
            Kind::Op(Op::Reduce(monoid, axes)) => format!("{} over {}", monoid.name(), over(axes)),
            Kind::Op(Op::Contract(axes)) => format!("dot over {}", over(axes)),
            Kind::Op(Op::Softmax(axes)) => format!("softmax over {}", over(axes)),
            Kind::Op(Op::LogSumExp(axes)) => format!("logsumexp over {}", over(axes)),
            Kind::Op(Op::ArgMax(axis)) => format!("argmax over {}", over(&[*axis])),
            Kind::Op(Op::Order(axis, ..)) => format!("the order along {}", over(&[*axis])),
            Kind::Op(Op::Map(op)) => format!("`{}`", op.name()),
            Kind::Op(Op::Extent(size)) => format!("the size {size}"),
            Kind::Op(Op::Slice(axis, ..)) => format!("a slice of {}", over(&[*axis])),
            Kind::Op(Op::Concat(_, axis)) => format!("concat along {}", over(&[*axis])),
            Kind::Op(Op::Lookup(axis)) => format!("a look-up along {}", over(&[*axis])),
            Kind::Op(Op::Rename(from, to)) => format!("{} as {}", over(&[*from]), over(&[*to])),
            Kind::Op(Op::Random(..)) => "a random number".into(),
            Kind::Scan(scan) => format!("the walk over {}", over(&[scan.axis])),
            Kind::Op(_) | Kind::Argument(_) | Kind::Fused(_) | Kind::Project(_) => MOVE.into(),
        }
    }
}

/// The node of a value that is no view.
pub fn node(value: &Value) -> NodeId {
    match value {
        Value::Fixed(node) | Value::New(node) | Value::Seen(node, _) => *node,
        Value::View(view) => view.twin,
    }
}

fn view(view: View) -> Value {
    Value::View(Rc::new(view))
}

/// The axes along which an operator's value at one place needs other places of its operands.
pub fn touched(op: &Op) -> Vec<Axis> {
    match op {
        Op::Reduce(_, over) | Op::Contract(over) | Op::Softmax(over) | Op::LogSumExp(over) => over.clone(),
        Op::ArgMax(axis) | Op::Lookup(axis) => vec![*axis],
        Op::Rename(from, to)
        | Op::Slice(from, _, to)
        | Op::Pad(from, _, to, _)
        | Op::Insert(from, _, to)
        | Op::Order(from, to, _) => vec![*from, *to],
        Op::Split(axis, list) | Op::Merge(list, axis) | Op::Concat(list, axis) | Op::ScatterAdd(axis, list) => {
            list.iter().copied().chain([*axis]).collect()
        }
        Op::Constant(..) | Op::Index(_) | Op::Extent(_) | Op::Random(..) | Op::Map(_) | Op::Cast(_) | Op::StopGradient => {
            Vec::new()
        }
    }
}
