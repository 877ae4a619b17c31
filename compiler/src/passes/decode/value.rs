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
    /// Over all places, and perhaps over the new ones too.
    Seen(NodeId, Beyond),
}

/// What a value over sources is at those that a new place does not see, where that is the same known number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beyond {
    /// Behind the new place, and outside of the text.
    pub after: Option<f64>,
    /// So many places or more before the new one.
    pub before: Option<(f64, i64)>,
}

impl Beyond {
    /// Of what is one number wherever.
    pub fn number(value: f64) -> Self {
        Self { after: Some(value), before: Some((value, 0)) }
    }
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
    /// What it is where new places do not see it.
    pub fn beyond(&self) -> Beyond {
        match self {
            Value::Seen(_, beyond) => *beyond,
            _ => Beyond::default(),
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
