//! What a value of the text's function becomes.

use std::rc::Rc;

use weft_dsl::op::Op;
use weft_dsl::types::Axis;

use crate::graph::NodeId;

/// What a value becomes: nodes of the derived program.
#[derive(Clone, Debug)]
pub enum Value {
    /// The same wherever in the text.
    Fixed(NodeId),
    /// One for each new place.
    New(NodeId),
    /// One for each place, seen by others.
    View(Rc<View>),
    /// Over all places, and perhaps over the new ones too. Where it has the same known value at every source behind the new
    /// place (or outside of the text), that value.
    Seen(NodeId, Option<f64>),
}

/// Values of places, seen by others.
#[derive(Debug)]
pub struct View {
    /// The values at the new places.
    pub twin: NodeId,
    /// The axis that they are seen along.
    pub source: Axis,
    /// The values at all places, where they follow from positions alone: those are computed again, never kept.
    pub whole: Option<NodeId>,
    /// Elements that must be kept of each place.
    pub elements: f64,
    /// How it is computed again from views of which less must be kept.
    pub again: Option<(Op, Vec<Value>)>,
}

impl Value {
    /// Its value behind the new place, where it is known.
    pub fn beyond(&self) -> Option<f64> {
        match self {
            Value::Seen(_, beyond) => *beyond,
            _ => None,
        }
    }

    /// The view that it is.
    pub fn view(&self) -> Option<&Rc<View>> {
        match self {
            Value::View(view) => Some(view),
            _ => None,
        }
    }
}
