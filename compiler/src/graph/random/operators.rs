//! One random operator of each kind, over values that the pool has.

use weft_dsl::elementwise::Elementwise;
use weft_dsl::op::{Direction, Distribution, Monoid, Number, Op};
use weft_dsl::size::Size;
use weft_dsl::types::{Axis, Elem, Type};

use super::{Known, Maker, Pool};

impl Maker {
    pub(super) fn unary(&mut self, pool: &mut Pool) -> Option<Known> {
        use Elementwise as E;
        let x = self.float(pool)?;
        let op = self.dice.pick(&[
            E::NEG,
            E::ABS,
            E::EXP,
            E::LOG,
            E::LOG1P,
            E::SQRT,
            E::SIN,
            E::COS,
            E::TANH,
            E::ERF,
            E::SIGN,
            E::FLOOR,
        ])?;
        match op {
            E::NEG | E::ABS => self.map(pool, op, &[x], x.most, x.exact),
            E::SIGN | E::FLOOR if x.exact => self.map(pool, op, &[x], x.most + 1.0, true),
            E::EXP => {
                let small = self.map(pool, E::TANH, &[x], 1.0, false)?;
                self.map(pool, op, &[small], 3.0, false)
            }
            E::LOG => {
                let positive = self.positive(pool, x)?;
                self.map(pool, op, &[positive], positive.most, false)
            }
            E::LOG1P | E::SQRT => {
                let size = self.map(pool, E::ABS, &[x], x.most, x.exact)?;
                self.map(pool, op, &[size], x.most + 1.0, false)
            }
            E::SIN | E::COS | E::TANH | E::ERF => self.map(pool, op, &[x], 1.0, false),
            _ => None,
        }
    }

    /// `|x| + 0.5`
    fn positive(&mut self, pool: &mut Pool, x: Known) -> Option<Known> {
        let half = self.number(pool, 0.5, Elem::Float, Vec::new())?;
        let size = self.map(pool, Elementwise::ABS, &[x], x.most, x.exact)?;
        self.map(pool, Elementwise::ADD, &[size, half], x.most + 0.5, false)
    }

    pub(super) fn binary(&mut self, pool: &mut Pool) -> Option<Known> {
        use Elementwise as E;
        let (a, b) = (self.float(pool)?, self.find(pool, |ty, _| ty.elem != Elem::Bool)?);
        let op = self.dice.pick(&[E::ADD, E::SUB, E::MUL, E::MAX, E::MIN, E::DIV, E::POW, E::IDIV, E::MOD])?;
        match op {
            E::ADD | E::SUB => self.map(pool, op, &[a, b], a.most + b.most, false),
            E::MUL => self.map(pool, op, &[a, b], a.most * b.most, false),
            E::MAX | E::MIN => self.map(pool, op, &[a, b], a.most.max(b.most), a.exact && b.exact),
            E::DIV => {
                let positive = self.positive(pool, b)?;
                self.map(pool, op, &[a, positive], a.most * 2.0, false)
            }
            E::POW => {
                let base = self.positive(pool, a)?;
                let power = self.map(pool, E::TANH, &[b], 1.0, false)?;
                self.map(pool, op, &[base, power], base.most + 2.0, false)
            }
            _ => {
                let whole = self.find(pool, |ty, _| ty.elem.is_integer())?;
                let divisor = self.number(pool, 3.0, Elem::Int, Vec::new())?;
                self.map(pool, op, &[whole, divisor], whole.most + 3.0, true)
            }
        }
    }

    pub(super) fn decision(&mut self, pool: &mut Pool) -> Option<Known> {
        use Elementwise as E;
        let truth = self.find(pool, |ty, _| ty.elem == Elem::Bool);
        match (self.dice.below(6), truth) {
            (0, Some(a)) => self.map(pool, E::NOT, &[a], 1.0, true),
            (1, Some(a)) => {
                let b = self.find(pool, |ty, _| ty.elem == Elem::Bool)?;
                let op = self.dice.pick(&[E::AND, E::OR])?;
                self.map(pool, op, &[a, b], 1.0, true)
            }
            (2, Some(a)) => {
                let axis = self.axis_of(pool, a)?;
                let monoid = self.dice.pick(&[Monoid::All, Monoid::Any])?;
                self.put(pool, Op::Reduce(monoid, vec![axis]), &[a], 1.0, true)
            }
            (3, Some(c)) => {
                let (a, b) = (self.float(pool)?, self.float(pool)?);
                self.map(pool, E::SELECT, &[c, a, b], a.most.max(b.most), a.exact && b.exact)
            }
            (4, _) => {
                let x = self.find(pool, |_, known| known.exact)?;
                let elem = self.dice.pick(&[Elem::Float, Elem::Int, Elem::Bool])?;
                self.put(pool, Op::Cast(elem), &[x], x.most, true)
            }
            _ => {
                let exact = |ty: &Type, known: Known| known.exact && ty.elem != Elem::Bool;
                let (a, b) = (self.find(pool, exact)?, self.find(pool, exact)?);
                let op = self.dice.pick(&[E::EQ, E::NE, E::LT, E::LE, E::GT, E::GE])?;
                self.map(pool, op, &[a, b], 1.0, true)
            }
        }
    }

    pub(super) fn reduction(&mut self, pool: &mut Pool) -> Option<Known> {
        let x = self.find(pool, |ty, _| ty.elem != Elem::Bool)?;
        let axis = self.axis_of(pool, x)?;
        let n = self.length(&[axis]);
        match self.dice.below(6) {
            0 => self.put(pool, Op::Reduce(Monoid::Sum, vec![axis]), &[x], x.most * n as f64, false),
            1 if x.most <= 2.0 => {
                self.put(pool, Op::Reduce(Monoid::Product, vec![axis]), &[x], x.most.powi(n as i32), false)
            }
            // Over nothing they are infinite.
            2 if n > 0 => {
                let monoid = self.dice.pick(&[Monoid::Max, Monoid::Min])?;
                self.put(pool, Op::Reduce(monoid, vec![axis]), &[x], x.most, x.exact)
            }
            3 if n > 0 && x.exact => self.put(pool, Op::ArgMax(axis), &[x], n as f64, true),
            4 if x.exact => {
                let way = self.dice.pick(&[Direction::Falling, Direction::Rising])?;
                let to = self.first_of(axis, n);
                self.put(pool, Op::Order(axis, to, way), &[x], n as f64, true)
            }
            5 => {
                let (a, b) = (self.float(pool)?, self.float(pool)?);
                let axes = pool.ty(a).with(&pool.ty(b).axes).axes;
                let over: Vec<_> = axes.into_iter().filter(|_| self.dice.below(2) == 0).collect();
                let most = a.most * b.most * self.length(&over) as f64;
                self.put(pool, Op::Contract(over), &[a, b], most, false)
            }
            _ => None,
        }
    }

    pub(super) fn relabelled(&mut self, pool: &mut Pool) -> Option<Known> {
        let x = self.find(pool, |ty, _| !ty.axes.is_empty())?;
        let axis = self.axis_of(pool, x)?;
        let size = self.axes.size(axis).clone();
        let name = self.axes[axis].name.clone();
        let op = match self.dice.below(4) {
            0 => Op::Rename(axis, self.axes.like(axis, &name)),
            1 => {
                let other = self.axis_of(pool, x).filter(|&other| other != axis)?;
                let volume = self.axes.volume(&[axis, other]);
                Op::Merge(vec![axis, other], self.fresh("merged", volume))
            }
            2 => {
                let inner = match size.known() {
                    Some(n) if n % 3 == 0 => Size::of(3),
                    Some(_) => Size::of(1),
                    None if size == Size::var("width") => Size::var("heads"),
                    None => size.clone(),
                };
                let parts = [size.divide(&inner).ok()?, inner].map(|size| self.fresh("part", size));
                Op::Split(axis, parts.to_vec())
            }
            _ => Op::StopGradient,
        };
        self.put(pool, op, &[x], x.most, x.exact)
    }

    pub(super) fn moved(&mut self, pool: &mut Pool) -> Option<Known> {
        let x = self.find(pool, |ty, _| !ty.axes.is_empty())?;
        let axis = self.axis_of(pool, x)?;
        let (n, size) = (self.length(&[axis]), self.axes.size(axis).clone());
        match self.dice.below(4) {
            0 => {
                let start = self.dice.below(n + 1);
                let run = self.dice.below(n - start + 1);
                let to = self.fresh("run", Size::of(run as i64));
                self.put(pool, Op::Slice(axis, Size::of(start as i64), to), &[x], x.most, x.exact)
            }
            1 if !matches!(pool.ty(x).elem, Elem::Index(_)) => {
                let (before, after) = (self.dice.below(3) as i64, self.dice.below(3) as i64);
                let to = self.fresh("padded", size + Size::of(before + after));
                let number = Number(if pool.ty(x).elem == Elem::Bool { 1.0 } else { 2.0 });
                self.put(pool, Op::Pad(axis, Size::of(before), to, number), &[x], x.most.max(2.0), x.exact)
            }
            2 if n > 0 => {
                let (elem, rest) = (pool.ty(x).elem, pool.ty(x).without(&[axis]));
                let start = self.dice.below(n);
                let run = self.dice.below(n - start) + 1;
                let part = self.fresh("part", Size::of(run as i64));
                let y = self.find(pool, |ty, _| ty.elem == elem && ty.axes.iter().all(|&a| rest.has(a)))?;
                let repeated = self.number(pool, 1.0, Elem::Bool, vec![part])?;
                let y = self.map(pool, Elementwise::SELECT, &[repeated, y, y], y.most, y.exact)?;
                let op = Op::Insert(part, Size::of(start as i64), axis);
                self.put(pool, op, &[x, y], x.most.max(y.most), x.exact && y.exact)
            }
            _ => {
                let elem = pool.ty(x).elem;
                let y = self.find(pool, |ty, _| ty.elem == elem && !ty.axes.is_empty())?;
                let part = self.axis_of(pool, y)?;
                let whole = self.fresh("joined", size + self.axes.size(part).clone());
                self.put(pool, Op::Concat(vec![axis, part], whole), &[x, y], x.most.max(y.most), x.exact && y.exact)
            }
        }
    }

    /// An axis of the first few places of another.
    fn first_of(&mut self, axis: Axis, n: usize) -> Axis {
        let all = self.dice.below(2) == 0;
        let size = if all { self.axes.size(axis).clone() } else { Size::of(self.dice.below(n + 1) as i64) };
        self.fresh("choice", size)
    }

    /// An index into an axis: computed from values, or different along another one.
    fn index_into(&mut self, pool: &mut Pool, axis: Axis) -> Option<Known> {
        let known = self.find(pool, |ty, known| known.exact && ty.elem == Elem::Index(axis) && !ty.has(axis));
        if self.dice.below(2) == 0 && known.is_some() {
            return known;
        }
        let along = self.dice.pick(&self.base.clone()).filter(|&a| a != axis)?;
        let places = self.put(pool, Op::Index(along), &[], 10.0, true)?;
        let shift = self.dice.below(5) as f64;
        let shift = self.number(pool, shift, Elem::Int, Vec::new())?;
        let moved = self.map(pool, Elementwise::ADD, &[places, shift], 20.0, true)?;
        let size = self.put(pool, Op::Extent(self.axes.size(axis).clone()), &[], 10.0, true)?;
        let within = self.map(pool, Elementwise::MOD, &[moved, size], 10.0, true)?;
        self.put(pool, Op::Cast(Elem::Index(axis)), &[within], 10.0, true)
    }

    pub(super) fn looked_up(&mut self, pool: &mut Pool) -> Option<Known> {
        let x = self.float(pool)?;
        if self.dice.below(2) == 0 {
            let axis = self.axis_of(pool, x).filter(|&a| self.length(&[a]) > 0)?;
            let index = self.index_into(pool, axis)?;
            return self.put(pool, Op::Lookup(axis), &[x, index], x.most, x.exact);
        }
        let axis = self.dice.pick(&self.base.clone()).filter(|&a| self.length(&[a]) > 0 && !pool.ty(x).has(a))?;
        let index = self.index_into(pool, axis)?;
        let axes = pool.ty(x).with(&pool.ty(index).axes).axes;
        let over: Vec<_> = axes.into_iter().filter(|_| self.dice.below(3) > 0).collect();
        let most = x.most * self.length(&over) as f64;
        self.put(pool, Op::ScatterAdd(axis, over), &[x, index], most, false)
    }

    /// Rows each multiplied by one of several matrices, which is chosen by the largest of some scores.
    pub(super) fn chosen(&mut self, pool: &mut Pool) -> Option<Known> {
        let scores = self.find(pool, |ty, known| known.exact && ty.axes.len() > 1 && ty.elem == Elem::Float)?;
        let axis = self.axis_of(pool, scores).filter(|&a| self.length(&[a]) > 0)?;
        let to = self.first_of(axis, self.length(&[axis]));
        let index = self.put(pool, Op::Order(axis, to, Direction::Falling), &[scores], 10.0, true)?;
        let table = self.find(pool, |ty, _| ty.elem == Elem::Float && ty.has(axis) && ty.axes.len() > 1)?;
        let row = self.float(pool)?;
        let weights = self.put(pool, Op::Lookup(axis), &[table, index], table.most, table.exact)?;
        let ty = pool.ty(weights).clone();
        let over: Vec<Axis> = pool.ty(row).axes.iter().copied().filter(|&a| ty.has(a)).take(1).collect();
        let most = row.most * table.most * self.length(&over) as f64;
        self.put(pool, Op::Contract(over), &[row, weights], most, false)
    }

    /// Softmax and log-sum-exp, often of masked values.
    pub(super) fn normalised(&mut self, pool: &mut Pool) -> Option<Known> {
        let mut x = self.float(pool)?;
        let most = x.most;
        let axis = self.axis_of(pool, x)?;
        if let Some(mask) = self.find(pool, |ty, _| ty.elem == Elem::Bool) {
            let nothing = self.number(pool, f64::NEG_INFINITY, Elem::Float, Vec::new())?;
            x = self.map(pool, Elementwise::SELECT, &[mask, x, nothing], 0.0, false)?;
        }
        if self.dice.below(2) == 0 {
            return self.put(pool, Op::Softmax(vec![axis]), &[x], 1.0, false);
        }
        let sum = self.put(pool, Op::LogSumExp(vec![axis]), &[x], 0.0, false)?;
        let floor = self.number(pool, -50.0, Elem::Float, Vec::new())?;
        self.map(pool, Elementwise::MAX, &[sum, floor], most.max(50.0) + 10.0, false)
    }

    pub(super) fn source(&mut self, pool: &mut Pool) -> Option<Known> {
        let axes = self.some_axes(2);
        match self.dice.below(4) {
            0 => {
                let number = self.dice.below(9) as f64 / 4.0 - 1.0;
                self.number(pool, number, Elem::Float, axes)
            }
            1 => self.put(pool, Op::Index(*axes.first()?), &[], 10.0, true),
            2 => self.put(pool, Op::Extent(self.axes.volume(&axes)), &[], 64.0, true),
            _ if pool.keys.is_empty() => None,
            _ => {
                self.sites += 1;
                let mut operands: Vec<_> = pool.keys.iter().map(|&node| Known { node, most: 0.0, exact: true }).collect();
                if self.dice.below(2) == 0 {
                    operands.push(self.number(pool, 3.0, Elem::Int, Vec::new())?);
                }
                let distribution = self.dice.pick(&[Distribution::Uniform, Distribution::Normal])?;
                // A normal goes through a logarithm and a cosine; a uniform is exact.
                let exact = distribution == Distribution::Uniform;
                self.put(pool, Op::Random(distribution, axes, self.sites), &operands, 6.0, exact)
            }
        }
    }
}
