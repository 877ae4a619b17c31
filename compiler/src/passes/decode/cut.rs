//! What is kept of each place, and how all places are read.

use std::rc::Rc;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::time::Time;
use super::value::{Beyond, Value, View};
use super::walk::{Frame, node};
use super::{Kept, PAST, Places, number, turn};
use crate::graph::{Kind, NodeId};

/// Storage of what is kept, in one region.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Its axes: repetitions outermost, then places, the batch, and the rest, so that new places lie together.
    pub axes: Vec<Axis>,
    /// What it holds.
    pub elem: Elem,
    /// What it is made with.
    pub of: String,
    /// What reads it.
    pub reader: String,
    /// The argument that it comes in as.
    pub argument: NodeId,
    /// With the new places; none where nothing changes.
    pub updated: Option<NodeId>,
}

impl Cache {
    /// For a report.
    pub fn described(&self, axes: &Axes, time: &Time, name: String) -> Kept {
        let sizes = self.axes.iter().filter(|&&a| time.kept(a).is_none());
        let axes = sizes.map(|&a| (axes[a].name.clone(), axes[a].size.clone())).collect();
        let end = if self.updated.is_some() { Places::End } else { Places::Given };
        let places = self.axes.iter().find_map(|&a| time.kept(a)).unwrap_or(end);
        Kept { name, of: self.of.clone(), reader: self.reader.clone(), axes, elem: self.elem, places }
    }
}

impl Frame<'_> {
    /// Elements of a value at one new place of one row.
    pub fn elements(&self, twin: NodeId) -> f64 {
        let sizes = self.out.ty(twin).axes.iter().filter(|&&a| !self.time.is_new(a)).map(|&a| self.axes.size(a));
        sizes.map(|s| s.known().unwrap_or(1) as f64).product()
    }

    /// A value over all places; anything but a view is that already.
    pub fn cut(&mut self, value: &Value, reader: &str) -> Result<Value, String> {
        let Value::View(view) = value else { return Ok(value.clone()) };
        if let Some(whole) = view.whole {
            return Ok(Value::Seen(whole, Beyond::default()));
        }
        if let Some((op, operands)) = &view.again {
            let operands: Vec<NodeId> =
                operands.iter().map(|o| self.cut(o, reader).map(|v| node(&v))).collect::<Result<_, _>>()?;
            return Ok(Value::Seen(self.emit(op.clone(), &operands)?, Beyond::default()));
        }
        self.all_of(view, reader).map(|node| Value::Seen(node, Beyond::default()))
    }

    /// Keeps the new places of a view, and gives all of them.
    fn all_of(&mut self, view: &Rc<View>, reader: &str) -> Result<NodeId, String> {
        let time = self.time;
        let (goes_on, window) = (time.which.goes_on, time.window(view.source));
        let places = time.places(window);
        let inserted = match self.inserted.get(&(view.twin, window)) {
            Some(&inserted) => inserted,
            None => {
                let ty = self.out.ty(view.twin).without(&[time.axis]);
                let (outer, inner): (Vec<Axis>, Vec<Axis>) = ty.axes.iter().partition(|&&a| self.axes[a].outer);
                let axes: Vec<Axis> = [places].into_iter().chain(outer).chain(inner).collect();
                let argument = self.out.argument(Type::new(ty.elem, axes.iter().copied()));
                let updated = match window {
                    Some(window) if !goes_on => self.last_places(view.twin, places, window)?,
                    _ => {
                        let from = window.map_or(PAST.into(), turn);
                        let from = if goes_on { Size::var(&from) } else { Size::of(0) };
                        self.emit(Op::Insert(time.axis, from, places), &[argument, view.twin])?
                    }
                };
                let (of, reader) = (self.made_with(view.twin), reader.to_string());
                self.caches.push(Cache { axes, elem: ty.elem, of, reader, argument, updated: Some(updated) });
                self.inserted.insert((view.twin, window), updated);
                updated
            }
        };
        // The places of a prompt are all new.
        match goes_on {
            true => self.emit(Op::Slice(places, Size::of(0), view.source), &[inserted]),
            false => self.emit(Op::Rename(time.axis, view.source), &[view.twin]),
        }
    }

    /// What new places read of a fixed value: where that follows from what is given with the prompt, it is kept.
    pub fn held(&mut self, reader: NodeId, value: Value) -> Result<Value, String> {
        let Value::Fixed(node) = value else { return Ok(value) };
        if !self.given.contains(&node) {
            return Ok(value);
        }
        if let Some(read) = self.shared.get_mut(&node) {
            *read = true;
            return Ok(value);
        }
        if let Some(&held) = self.held.get(&node) {
            return Ok(Value::Fixed(held));
        }
        let ty = self.out.ty(node).clone();
        let (outer, inner): (Vec<Axis>, Vec<Axis>) = ty.axes.iter().partition(|&&a| self.axes[a].outer);
        let axes = [outer, inner].concat();
        let argument = self.out.argument(Type::new(ty.elem, axes.iter().copied()));
        let (held, updated) = if self.time.which.goes_on { (argument, None) } else { (node, Some(node)) };
        let (of, reader) = (self.made_with(node), self.describe(reader));
        self.caches.push(Cache { axes, elem: ty.elem, of, reader, argument, updated });
        self.held.insert(node, held);
        Ok(Value::Fixed(held))
    }

    /// Of a prompt's places the last ones, as they lie in a ring; the first one where there are fewer than it has room for.
    fn last_places(&mut self, twin: NodeId, places: Axis, window: i64) -> Result<NodeId, String> {
        let axis = self.time.axis;
        let index = self.emit(Op::Index(places), &[])?;
        let index = self.emit(Op::Cast(Elem::Int), &[index])?;
        let at = self.in_ring(index, self.axes.size(axis).clone() - Size::of(1), window)?;
        let zero = self.emit(Op::Constant(number(0.0), Elem::Int, Vec::new()), &[])?;
        let at = self.emit(Op::Map(Elementwise::MAX), &[at, zero])?;
        let at = self.emit(Op::Cast(Elem::Index(axis)), &[at])?;
        self.emit(Op::Lookup(axis), &[twin, at])
    }

    /// The parameter nearest to a value, on the way from it to what it is computed from.
    pub fn made_with(&self, from: NodeId) -> String {
        let region = self.out.region();
        let mut queue = std::collections::VecDeque::from([from]);
        let mut seen = vec![false; region.nodes.len()];
        while let Some(id) = queue.pop_front() {
            if let Some(label) = self.labels.get(&id) {
                return format!("`{label}`");
            }
            let further = !matches!(region[id].kind, Kind::Scan(_));
            for &operand in region[id].operands.iter().filter(|_| further) {
                if !std::mem::replace(&mut seen[operand.0 as usize], true) {
                    queue.push_back(operand);
                }
            }
        }
        "the text itself".into()
    }
}
