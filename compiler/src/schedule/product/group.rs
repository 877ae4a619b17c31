//! Axes of one role walked as one dimension: mixed-radix numbers, decoded only where that is needed.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::size::Size;
use weft_dsl::types::{Axes, Axis};

use crate::kernel::{Dtype, Reg, Writer};
use crate::schedule::{Env, Exprs, Position};

/// Axes that lie side by side in every buffer, outermost first: one number walks all of them, without a division.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The axes.
    pub axes: Vec<Axis>,
    /// The product of their sizes.
    pub size: Size,
}

impl Run {
    /// Puts a position on the innermost axis, beyond its end where need be; the axes around it stay at 0.
    fn set(&self, w: &mut Writer, env: &mut Env, position: Position) {
        if let Some((&inner, outer)) = self.axes.split_last() {
            for &axis in outer {
                let zero = w.int(0);
                env.set(axis, Position::Scalar(zero));
            }
            env.set(inner, position);
        }
    }
}

/// A dimension of the product (batch, rows, columns or the summed one): runs, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The runs.
    pub runs: Vec<Run>,
}

impl Group {
    /// A dimension over axes in this order; neighbours for which `joined` holds become one run.
    pub fn new(axes: &Axes, order: &[Axis], mut joined: impl FnMut(Axis, Axis) -> bool) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for &axis in order {
            let size = axes.size(axis).clone();
            match runs.last_mut() {
                Some(run) if run.axes.last().is_some_and(|&outer| joined(outer, axis)) => {
                    run.axes.push(axis);
                    run.size = run.size.clone() * size;
                }
                _ => runs.push(Run { axes: vec![axis], size }),
            }
        }
        Self { runs }
    }

    /// How many places it has.
    pub fn volume(&self) -> Size {
        self.runs.iter().map(|r| r.size.clone()).product()
    }

    /// The axis that moves fastest.
    pub fn inner(&self) -> Option<Axis> {
        self.runs.last()?.axes.last().copied()
    }

    /// Whether its places are a whole number of vectors.
    pub fn is_whole(&self, lanes: u16) -> bool {
        self.volume().known().is_some_and(|n| n % i64::from(lanes) == 0)
    }

    /// Positions of one place.
    pub fn at(&self, w: &mut Writer, e: &mut Exprs, env: &mut Env, place: Reg) {
        let mut rest = place;
        for (i, run) in self.runs.iter().enumerate().rev() {
            if i == 0 {
                run.set(w, env, Position::Scalar(rest));
                break;
            }
            let size = e.sizes.reg(w, &run.size);
            let (outer, inner) = (w.map(Elementwise::IDIV, &[rest, size]), w.map(Elementwise::MOD, &[rest, size]));
            run.set(w, env, Position::Scalar(inner));
            rest = outer;
        }
    }

    /// Positions of places that follow one another from a multiple of the lanes.
    pub fn lanes(&self, w: &mut Writer, e: &mut Exprs, env: &mut Env, base: Reg) {
        let Some((last, outer)) = self.runs.split_last() else { return };
        if outer.is_empty() {
            return last.set(w, env, Position::Lanes(base));
        }
        let size = e.sizes.reg(w, &last.size);
        if last.size.known().is_some_and(|n| n > 0 && n % i64::from(e.lanes) == 0) {
            // No vector crosses the border of the innermost run.
            let (rest, inner) = (w.map(Elementwise::IDIV, &[base, size]), w.map(Elementwise::MOD, &[base, size]));
            last.set(w, env, Position::Lanes(inner));
            return Group { runs: outer.to_vec() }.at(w, e, env, rest);
        }
        let iota = w.iota(Dtype::I64, e.lanes);
        let mut rest = w.add(base, iota);
        for (i, run) in self.runs.iter().enumerate().rev() {
            if i == 0 {
                run.set(w, env, Position::Vector(rest));
                break;
            }
            let size = e.sizes.reg(w, &run.size);
            let (outer, inner) = (w.map(Elementwise::IDIV, &[rest, size]), w.map(Elementwise::MOD, &[rest, size]));
            run.set(w, env, Position::Vector(inner));
            rest = outer;
        }
    }
}

/// Walks `count` elements in vectors: `body` gets where a vector begins, and the mask of the last one where that is not full.
/// `whole` says that there is no such last one.
pub fn vectors(w: &mut Writer, lanes: u16, count: Reg, whole: bool, mut body: impl FnMut(&mut Writer, Reg, Option<Reg>)) {
    let zero = w.int(0);
    let mut full = count;
    if !whole {
        let width = w.int(i64::from(lanes));
        let number = w.map(Elementwise::IDIV, &[count, width]);
        full = w.mul(number, width);
    }
    w.repeat((zero, full, u32::from(lanes)), &[], |w, at, _| {
        body(w, at, None);
        Vec::new()
    });
    if !whole {
        let rest = w.map(Elementwise::LT, &[full, count]);
        w.when(rest, |w| {
            let iota = w.iota(Dtype::I64, lanes);
            let place = w.add(full, iota);
            let mask = w.map(Elementwise::LT, &[place, count]);
            body(w, full, Some(mask));
        });
    }
}

/// The smaller.
pub fn least(w: &mut Writer, a: Reg, b: Reg) -> Reg {
    w.map(Elementwise::MIN, &[a, b])
}

/// `⌈a / b⌉`
pub fn blocks(w: &mut Writer, a: Reg, b: u32) -> Reg {
    let (less, by) = (w.int(i64::from(b) - 1), w.int(i64::from(b)));
    let sum = w.add(a, less);
    w.map(Elementwise::IDIV, &[sum, by])
}

/// `a · b + c`, of places.
pub fn place(w: &mut Writer, a: Reg, b: u32, c: Reg) -> Reg {
    let by = w.int(i64::from(b));
    let scaled = w.mul(a, by);
    w.add(scaled, c)
}
