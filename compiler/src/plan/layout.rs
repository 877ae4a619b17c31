//! The layouts of a program's own buffers.

use weft_dsl::types::{Axes, Axis, Type};

use crate::graph::{Graph, Orders};
use crate::schedule::Layout;

/// Chooses layouts: axes in the order that the graph tells.
pub struct Layouts(Orders);

impl Layouts {
    /// For a program.
    pub fn of(graph: &Graph) -> Self {
        Self(Orders::of(graph))
    }

    /// The layout of a buffer of this type.
    pub fn choose(&self, axes: &Axes, ty: &Type) -> Layout {
        Layout(self.0.axes(axes, ty))
    }
}

impl Layout {
    /// With one axis called otherwise.
    pub fn renamed(&self, from: Axis, to: Axis) -> Layout {
        Layout(self.0.iter().map(|&a| if a == from { to } else { a }).collect())
    }
}
