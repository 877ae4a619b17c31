//! What is kept of each place, and how all places are read.

use std::rc::Rc;

use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis, Elem, Type};

use super::value::{Value, View};
use super::walk::{Frame, node};
use super::{Kept, PAST};
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
    /// With the new places.
    pub updated: NodeId,
}

impl Cache {
    /// For a report.
    pub fn described(&self, axes: &Axes, places: Axis, name: String) -> Kept {
        let sizes = self.axes.iter().filter(|&&a| a != places);
        let axes = sizes.map(|&a| (axes[a].name.clone(), axes[a].size.clone())).collect();
        let every_place = self.axes.contains(&places);
        Kept { name, of: self.of.clone(), reader: self.reader.clone(), axes, elem: self.elem, every_place }
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
            return Ok(Value::Seen(whole, None));
        }
        if let Some((op, operands)) = &view.again {
            let operands: Vec<NodeId> =
                operands.iter().map(|o| self.cut(o, reader).map(|v| node(&v))).collect::<Result<_, _>>()?;
            return Ok(Value::Seen(self.emit(op.clone(), &operands)?, None));
        }
        self.all_of(view, reader).map(|node| Value::Seen(node, None))
    }

    /// Keeps the new places of a view, and gives all of them.
    fn all_of(&mut self, view: &Rc<View>, reader: &str) -> Result<NodeId, String> {
        let time = self.time;
        let goes_on = time.which.goes_on;
        let inserted = match self.inserted.get(&view.twin) {
            Some(&inserted) => inserted,
            None => {
                let ty = self.out.ty(view.twin).without(&[time.axis]);
                let (outer, inner): (Vec<Axis>, Vec<Axis>) = ty.axes.iter().partition(|&&a| self.axes[a].outer);
                let axes: Vec<Axis> = [time.places].into_iter().chain(outer).chain(inner).collect();
                let argument = self.out.argument(Type::new(ty.elem, axes.iter().copied()));
                let from = if goes_on { Size::var(PAST) } else { Size::of(0) };
                let updated = self.emit(Op::Insert(time.axis, from, time.places), &[argument, view.twin])?;
                let (of, reader) = (self.made_with(view.twin), reader.to_string());
                self.caches.push(Cache { axes, elem: ty.elem, of, reader, argument, updated });
                self.inserted.insert(view.twin, updated);
                updated
            }
        };
        // The places of a prompt are all new.
        match goes_on {
            true => self.emit(Op::Slice(time.places, Size::of(0), view.source), &[inserted]),
            false => self.emit(Op::Rename(time.axis, view.source), &[view.twin]),
        }
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
