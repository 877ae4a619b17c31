//! Where a value is wanted: a position on each axis, and the addresses that follow from it.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use super::Layout;
use super::sizes::SizeTable;
use crate::kernel::{Dtype, Place, Reg, Writer};

/// A position on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// One place (I64 scalar).
    Scalar(Reg),
    /// Lanes that follow one another from a base (I64 scalar) that is a multiple of the number of lanes.
    Lanes(Reg),
    /// Lanes that follow one another from any base (I64 scalar).
    Run(Reg),
    /// A place for each lane (I32 or I64 vector).
    Vector(Reg),
}

impl Position {
    /// Whether lanes differ.
    pub fn is_vector(self) -> bool {
        !matches!(self, Position::Scalar(_))
    }

    /// As a scalar or a vector of I64.
    pub fn places(self, w: &mut Writer, lanes: u16) -> Reg {
        match self {
            Position::Scalar(at) => at,
            Position::Lanes(base) | Position::Run(base) => {
                let iota = w.iota(Dtype::I64, lanes);
                w.add(base, iota)
            }
            Position::Vector(at) => w.convert(at, Dtype::I64),
        }
    }

    /// So many places further on; `aligned` says that the distance is a multiple of the lanes.
    pub fn shifted(self, w: &mut Writer, by: Reg, aligned: bool) -> Position {
        match self {
            Position::Scalar(at) => Position::Scalar(w.add(at, by)),
            Position::Lanes(base) if aligned => Position::Lanes(w.add(base, by)),
            Position::Lanes(base) | Position::Run(base) => Position::Run(w.add(base, by)),
            Position::Vector(at) => {
                let at = w.convert(at, Dtype::I64);
                Position::Vector(w.add(at, by))
            }
        }
    }
}

/// Positions on axes, and which of the places are really there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Env {
    /// Position on each axis that has one.
    at: Vec<(Axis, Position)>,
    /// Lanes that exist (Bool vector); the others are neither read nor written.
    pub mask: Option<Reg>,
    /// Whether the scalar positions exist (Bool scalar).
    pub guard: Option<Reg>,
}

impl Env {
    /// Nowhere yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nowhere yet, under a guard.
    pub fn guarded_by(guard: Option<Reg>) -> Self {
        Self { guard, ..Self::default() }
    }

    /// The position on an axis.
    pub fn get(&self, axis: Axis) -> Option<Position> {
        self.at.iter().find(|(a, _)| *a == axis).map(|(_, p)| *p)
    }

    /// Whether all of the axes have a position.
    pub fn covers(&self, axes: &[Axis]) -> bool {
        axes.iter().all(|&a| self.get(a).is_some())
    }

    /// Sets the position on an axis.
    pub fn set(&mut self, axis: Axis, position: Position) {
        match self.at.iter_mut().find(|(a, _)| *a == axis) {
            Some(slot) => slot.1 = position,
            None => self.at.push((axis, position)),
        }
    }

    /// Also at a position on an axis.
    pub fn with(&self, axis: Axis, position: Position) -> Env {
        let mut env = self.clone();
        env.set(axis, position);
        env
    }

    /// Without a position on an axis.
    pub fn without(&self, axis: Axis) -> Env {
        let mut env = self.clone();
        env.at.retain(|(a, _)| *a != axis);
        env
    }

    /// With a mask over lanes, further to the one it has.
    pub fn masked(&self, w: &mut Writer, mask: Option<Reg>) -> Env {
        let mut env = self.clone();
        env.mask = both(w, env.mask, mask);
        env
    }

    /// Where a condition on a position holds: a vector joins the mask, a scalar the guard.
    pub fn guarded(&self, w: &mut Writer, holds: Reg) -> Env {
        let mut env = self.clone();
        if w.shape(holds).lanes > 1 {
            env.mask = both(w, env.mask, Some(holds));
        } else {
            env.guard = both(w, env.guard, Some(holds));
        }
        env
    }
}

fn both(w: &mut Writer, a: Option<Reg>, b: Option<Reg>) -> Option<Reg> {
    match (a, b) {
        (Some(a), Some(b)) => Some(w.map(Elementwise::AND, &[a, b])),
        (one, None) | (None, one) => one,
    }
}

/// The place in a buffer that an [`Env`] means, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// One element.
    One(Reg),
    /// Lanes one after another.
    Run(Reg),
    /// An element for each lane (I64 vector).
    Each(Reg),
}

/// The distance in elements from one place on each axis to the next.
pub fn strides(axes: &Axes, layout: &Layout) -> Vec<(Axis, Size)> {
    let mut stride = Size::of(1);
    let mut out = Vec::with_capacity(layout.0.len());
    for &axis in layout.0.iter().rev() {
        out.push((axis, stride.clone()));
        stride = stride * axes.size(axis).clone();
    }
    out.reverse();
    out
}

/// The address of a position in a buffer; `None` where an axis of the layout has no position.
pub fn address(
    w: &mut Writer,
    sizes: &mut SizeTable,
    axes: &Axes,
    layout: &Layout,
    env: &Env,
    lanes: u16,
) -> Option<Address> {
    let strides = strides(axes, layout);
    let vectors = strides.iter().filter(|(a, _)| env.get(*a).is_some_and(Position::is_vector)).count();
    let mut scalar: Option<Reg> = None;
    let mut vector: Option<Reg> = None;
    let mut run = false;
    for (axis, stride) in &strides {
        let unit = stride.known() == Some(1);
        let mut scaled = |w: &mut Writer, reg: Reg| {
            if unit {
                return reg;
            }
            let stride = sizes.reg(w, stride);
            w.mul(reg, stride)
        };
        match env.get(*axis)? {
            Position::Scalar(at) => {
                let offset = scaled(w, at);
                scalar = sum(w, scalar, offset);
            }
            Position::Lanes(base) | Position::Run(base) => {
                let offset = scaled(w, base);
                scalar = sum(w, scalar, offset);
                if unit && vectors == 1 {
                    run = true;
                } else {
                    let iota = w.iota(Dtype::I64, lanes);
                    let offset = scaled(w, iota);
                    vector = sum(w, vector, offset);
                }
            }
            Position::Vector(at) => {
                let at = w.convert(at, Dtype::I64);
                let offset = scaled(w, at);
                vector = sum(w, vector, offset);
            }
        }
    }
    Some(match (scalar, vector) {
        (Some(s), Some(v)) => Address::Each(w.add(s, v)),
        (None, Some(v)) => Address::Each(v),
        (s, None) => {
            let at = s.unwrap_or_else(|| w.int(0));
            if run { Address::Run(at) } else { Address::One(at) }
        }
    })
}

fn sum(w: &mut Writer, a: Option<Reg>, b: Reg) -> Option<Reg> {
    Some(match a {
        Some(a) => w.add(a, b),
        None => b,
    })
}

/// Reads a place under the masks of an [`Env`].
pub fn load(w: &mut Writer, place: Place, address: Address, env: &Env, lanes: u16) -> Reg {
    match address {
        Address::One(at) => w.load(place, at, 1, env.guard),
        Address::Run(at) => {
            let mask = lane_mask(w, env, lanes);
            w.load(place, at, lanes, mask)
        }
        Address::Each(at) => {
            let mask = lane_mask(w, env, lanes);
            w.gather(place, at, mask)
        }
    }
}

/// Writes a place under the masks of an [`Env`]; a scalar goes to every lane.
pub fn store(w: &mut Writer, place: Place, address: Address, value: Reg, env: &Env, lanes: u16) {
    match address {
        Address::One(at) => w.store(place, at, value, env.guard),
        Address::Run(at) => {
            let (mask, value) = (lane_mask(w, env, lanes), w.splat(value, lanes));
            w.store(place, at, value, mask);
        }
        Address::Each(at) => {
            let (mask, value) = (lane_mask(w, env, lanes), w.splat(value, lanes));
            w.scatter(place, at, value, mask);
        }
    }
}

fn lane_mask(w: &mut Writer, env: &Env, lanes: u16) -> Option<Reg> {
    let mask = both(w, env.mask, env.guard)?;
    Some(w.splat(mask, lanes))
}
