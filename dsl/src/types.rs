//! Axes and types: what every value of a specification, and every node of the graph, has.

use std::collections::BTreeMap;

use crate::size::Size;

/// An axis: an identity with a name and a size, an index into an [`Axes`]. Axes of one name may be different axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Axis(pub u32);

/// What is known of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisInfo {
    /// The user's name.
    pub name: String,
    /// How long it is.
    pub size: Size,
    /// Comes from a batch (`batch`, `time`), and so lies outside the axes of the model in memory.
    pub outer: bool,
}

/// All axes of a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axes {
    list: Vec<AxisInfo>,
    /// What free sizes usually are, by name, where a recipe says: choices of tiles and chunks are made for them, of which results depend
    /// no more than on the order of sums.
    pub typical: BTreeMap<String, i64>,
}

impl Axes {
    /// A fresh axis.
    pub fn fresh(&mut self, name: &str, size: Size, outer: bool) -> Axis {
        self.list.push(AxisInfo { name: name.into(), size, outer });
        Axis(self.list.len() as u32 - 1)
    }

    /// A fresh axis of the same size.
    pub fn like(&mut self, axis: Axis, name: &str) -> Axis {
        let AxisInfo { size, outer, .. } = self[axis].clone();
        self.fresh(name, size, outer)
    }

    /// Its size.
    pub fn size(&self, axis: Axis) -> &Size {
        &self[axis].size
    }

    /// Whether its length is known to be 1.
    pub fn is_unit(&self, axis: Axis) -> bool {
        self.size(axis).known() == Some(1)
    }

    /// The product of the sizes.
    pub fn volume(&self, axes: &[Axis]) -> Size {
        axes.iter().map(|&a| self.size(a).clone()).product()
    }

    /// How much a size usually is; none where nobody says what a free size in it is.
    pub fn typically(&self, size: &Size) -> Option<i64> {
        let value = |name: &str| self.typical.get(name).copied().map(Size::of);
        size.known().or_else(|| size.substitute(&value).ok()?.known())
    }

    /// All of them, in order of making.
    pub fn iter(&self) -> impl Iterator<Item = (Axis, &AxisInfo)> {
        self.list.iter().enumerate().map(|(i, info)| (Axis(i as u32), info))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Replaces sizes, such as run-time ones that have become known.
    pub fn resize(&mut self, size: &mut dyn FnMut(&Size) -> Size) {
        for info in &mut self.list {
            info.size = size(&info.size);
        }
    }

    /// `[batch, time] of token`
    pub fn show(&self, ty: &Type) -> String {
        let names: Vec<_> = ty.axes.iter().map(|&a| self[a].name.as_str()).collect();
        let elem = match ty.elem {
            Elem::Float => String::new(),
            Elem::Int => " of int".into(),
            Elem::Bool => " of bool".into(),
            Elem::Index(axis) => format!(" of {}", self[axis].name),
        };
        format!("[{}]{elem}", names.join(", "))
    }
}

impl std::ops::Index<Axis> for Axes {
    type Output = AxisInfo;
    fn index(&self, axis: Axis) -> &AxisInfo {
        &self.list[axis.0 as usize]
    }
}

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    /// Real numbers; how precise is the recipe's choice.
    Float,
    /// Integers.
    Int,
    /// Truth values.
    Bool,
    /// Indices into an axis: `0 <= i < size`, known to hold.
    Index(Axis),
}

impl Elem {
    /// An integer or an index.
    pub fn is_integer(self) -> bool {
        matches!(self, Elem::Int | Elem::Index(_))
    }
}

/// The type of a value: an element type and a *set* of axes, which have no order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type {
    /// What it holds.
    pub elem: Elem,
    /// Its axes, sorted, each once.
    pub axes: Vec<Axis>,
}

impl Type {
    /// A type over a set of axes given in any order.
    pub fn new(elem: Elem, axes: impl IntoIterator<Item = Axis>) -> Self {
        let mut axes: Vec<_> = axes.into_iter().collect();
        axes.sort();
        axes.dedup();
        Self { elem, axes }
    }

    /// A value without axes.
    pub fn scalar(elem: Elem) -> Self {
        Self { elem, axes: Vec::new() }
    }

    /// Whether it has the axis.
    pub fn has(&self, axis: Axis) -> bool {
        self.axes.binary_search(&axis).is_ok()
    }

    /// The same axes holding something else.
    pub fn of(&self, elem: Elem) -> Self {
        Self { elem, axes: self.axes.clone() }
    }

    /// Without some axes.
    pub fn without(&self, axes: &[Axis]) -> Self {
        Self { elem: self.elem, axes: self.axes.iter().copied().filter(|a| !axes.contains(a)).collect() }
    }

    /// With some axes more.
    pub fn with(&self, axes: &[Axis]) -> Self {
        Self::new(self.elem, self.axes.iter().chain(axes).copied())
    }
}
