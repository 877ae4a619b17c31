//! Attention: for each block of rows, a walk along the sources that keeps the largest score, `Σ exp` and `Σ exp · v` so far.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Monoid;

use super::micro::{Begin, Block, Left, Tile};
use super::pack::{Rows, vectors};
use super::problem::{Problem, ROWS};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, Position, Scheduled, Unschedulable};

/// Scratch memory of a tile.
struct Tiles {
    /// Queries.
    q: Tile,
    /// Keys, transposed.
    k: Tile,
    /// Values.
    v: Tile,
    /// Scores, then their exponentials.
    s: Tile,
    /// `Σ exp · v`
    o: Tile,
    /// The largest score of each row so far.
    largest: Place,
    /// `Σ exp`
    sum: Place,
    /// What the sums so far are to be multiplied by.
    fade: Place,
}

/// The kernel.
pub fn schedule(p: &Problem, inputs: &[Layout], outputs: &[Layout]) -> Result<Scheduled, Unschedulable> {
    let mut w = Writer::new(p.arguments(), 0);
    let mut e = Exprs::new(p.body, p.axes, inputs, p.lanes);
    let heads: Vec<_> = p.outer.iter().chain(&p.members).copied().collect();
    let (volume, length) = (p.volume(&heads), p.axes.size(p.time).clone());
    let mut tile = |elements: u32, stride: u32| Tile { place: w.scratch(Dtype::F32, elements), stride };
    let (columns, keys, values) = (p.columns(), p.whole(p.key.1), p.whole(p.value.1));
    let tiles = Tiles {
        q: tile(ROWS * keys, keys),
        k: tile(p.key.1 * columns, columns),
        v: tile(columns * values, values),
        s: tile(ROWS * columns, columns),
        o: tile(ROWS * values, values),
        largest: tile(ROWS, 1).place,
        sum: tile(ROWS, 1).place,
        fade: tile(ROWS, 1).place,
    };

    // Blocks of rows of one head follow one another.
    let (most, unit) = (w.int(i64::from(ROWS - 1)), w.int(i64::from(ROWS)));
    let time = e.extent(&mut w, p.time);
    let up = w.add(time, most);
    let blocks = w.map(E::IDIV, &[up, unit]);
    let number = w.tile();
    let head = w.map(E::IDIV, &[number, blocks]);
    let block = w.map(E::MOD, &[number, blocks]);
    let first = w.mul(block, unit);
    let env = p.located(&mut w, &mut e, &heads, head, &Env::new());
    let left = w.sub(time, first);
    let rows = w.map(E::MIN, &[left, unit]);
    Forward { p, inputs, outputs, tiles, first, rows }.write(&mut w, &mut e, &env);

    let size = |axis| p.axes.size(axis).known().unwrap_or(256) as f64;
    let cost = f64::from(ROWS) * size(p.source) * 2.0 * f64::from(p.key.1 + p.value.1 + 8);
    Ok(Scheduled {
        kernel: w.finish(),
        sizes: e.finish()?.into_sizes(),
        tiles: vec![(volume, 1), (length, u64::from(ROWS))],
        cost,
        share: p.bounds.share(),
    })
}

struct Forward<'a> {
    p: &'a Problem<'a>,
    inputs: &'a [Layout],
    outputs: &'a [Layout],
    tiles: Tiles,
    /// The first row of the tile.
    first: Reg,
    /// How many rows it has.
    rows: Reg,
}

impl Forward<'_> {
    fn write(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let [queries, keys, values] = p.qkv;
        e.hoist(w, &[p.score], env);
        let all = w.int(i64::from(ROWS));
        let q = Rows { node: queries, along: p.time, from: self.first, count: all, within: p.key };
        p.pack(w, e, env, &q, t.q);
        p.fill(w, t.largest, all, f64::NEG_INFINITY);
        p.fill(w, t.sum, all, 0.0);
        p.fill(w, t.fade, all, 1.0);
        let volume = w.int(i64::from(ROWS * t.o.stride));
        p.fill(w, t.o.place, volume, 0.0);
        // Scores beyond a row's bound or the last source are not computed, but what is there is looked at.
        let volume = w.int(i64::from(ROWS * t.s.stride));
        p.fill(w, t.s.place, volume, 0.0);

        let size = e.extent(w, p.source);
        let one = w.int(1);
        let last = w.add(self.first, self.rows);
        let last = w.sub(last, one);
        let end = p.bounds.end(w, e, env, last, size);
        let start = p.bounds.start(w, e, env, self.first);
        // Blocks begin at whole vectors.
        let (unit, lanes) = (w.int(i64::from(p.columns())), w.int(i64::from(p.lanes)));
        let start = w.map(E::IDIV, &[start, lanes]);
        let start = w.mul(start, lanes);
        w.repeat((start, end, p.columns()), &[], |w, from, _| {
            let left = w.sub(end, from);
            let count = w.map(E::MIN, &[left, unit]);
            let k = Rows { node: keys, along: p.source, from, count, within: p.key };
            p.transpose(w, e, env, &k, &self.inputs[1], t.k);
            p.pack(w, e, env, &Rows { node: values, within: p.value, ..k }, t.v);
            self.products(w, e, env, (from, count));
            self.exponentials(w, e, from, env);
            self.values(w, e, env, (from, count));
            Vec::new()
        });
        self.store(w, e, env);
    }

    /// Queries times keys.
    fn products(&self, w: &mut Writer, e: &mut Exprs, env: &Env, range: (Reg, Reg)) {
        let (p, t) = (self.p, &self.tiles);
        let a = Left { place: t.q.place, row: t.q.stride, step: 1 };
        let block = Block { a, b: t.k, c: t.s, begin: Begin::Zero, mr: p.mr, lanes: p.lanes };
        let (zero, depth) = (w.int(0), w.int(i64::from(p.key.1)));
        w.repeat((zero, self.rows, p.mr), &[], |w, row, _| {
            let at = w.add(self.first, row);
            let seen = p.seen(w, e, env, at, range);
            block.columns(w, row, seen, (zero, depth));
            Vec::new()
        });
    }

    /// Scores of the products, and their exponentials: a row at a time, in registers.
    fn exponentials(&self, w: &mut Writer, e: &mut Exprs, from: Reg, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let lanes = u32::from(p.lanes);
        let zero = w.int(0);
        let sources = p.sources(w, e, from, env);
        for env in &sources {
            e.hoist(w, &[p.score], env);
        }
        w.repeat((zero, self.rows, 1), &[], |w, i, _| {
            let at = Position::Scalar(w.add(self.first, i));
            e.hoist(w, &[p.score], &env.with(p.time, at));
            let stride = w.int(i64::from(t.s.stride));
            let start = w.mul(i, stride);
            let lowest = w.constant(Dtype::F32, p.lanes, f64::NEG_INFINITY);
            let mut places = Vec::new();
            let mut scores = Vec::new();
            for (v, env) in sources.iter().enumerate() {
                let by = w.int(v as i64 * i64::from(lanes));
                let index = w.add(start, by);
                let product = w.load(t.s.place, index, p.lanes, None);
                let env = env.with(p.time, at);
                e.preset(w, p.product, &env, product);
                let score = e.eval_as(w, p.score, &env, Dtype::F32);
                let score = w.splat(score, p.lanes);
                scores.push(match env.mask {
                    Some(mask) => w.map(E::SELECT, &[mask, score, lowest]),
                    None => score,
                });
                places.push(index);
            }
            let before = w.load(t.largest, i, 1, None);
            let block = joined(w, E::MAX, &scores);
            let block = w.fold(Monoid::Max, block);
            let largest = w.map(E::MAX, &[before, block]);
            // A row of nothing so far has no largest score to be subtracted.
            let (nothing, none) = (w.constant(Dtype::F32, 1, f64::NEG_INFINITY), w.constant(Dtype::F32, 1, 0.0));
            let empty = w.map(E::EQ, &[largest, nothing]);
            let shift = w.map(E::SELECT, &[empty, none, largest]);
            let mut exps = Vec::new();
            for (score, index) in scores.into_iter().zip(places) {
                let less = w.sub(score, shift);
                let exp = w.map(E::EXP, &[less]);
                w.store(t.s.place, index, exp, None);
                exps.push(exp);
            }
            let fade = w.sub(before, shift);
            let fade = w.map(E::EXP, &[fade]);
            let total = joined(w, E::ADD, &exps);
            let total = w.fold(Monoid::Sum, total);
            let sum = w.load(t.sum, i, 1, None);
            let sum = w.fma(sum, fade, total);
            w.store(t.largest, i, largest, None);
            w.store(t.sum, i, sum, None);
            w.store(t.fade, i, fade, None);
            Vec::new()
        });
    }

    /// Exponentials times values, added to what has faded.
    fn values(&self, w: &mut Writer, e: &mut Exprs, env: &Env, range: (Reg, Reg)) {
        let (p, t) = (self.p, &self.tiles);
        let a = Left { place: t.s.place, row: t.s.stride, step: 1 };
        let block = Block { a, b: t.v, c: t.o, begin: Begin::Scaled(t.fade), mr: p.mr, lanes: p.lanes };
        let (zero, width) = (w.int(0), t.o.stride / u32::from(p.lanes));
        w.repeat((zero, self.rows, p.mr), &[], |w, row, _| {
            let at = w.add(self.first, row);
            let seen = p.seen(w, e, env, at, range);
            block.known(w, row, width, seen);
            Vec::new()
        });
    }

    fn store(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let arguments = p.body.arguments.len() as u32;
        let zero = w.int(0);
        w.repeat((zero, self.rows, 1), &[], |w, i, _| {
            let at = w.add(self.first, i);
            let env = env.with(p.time, Position::Scalar(at));
            let sum = w.load(t.sum, i, 1, None);
            let (none, one) = (w.constant(Dtype::F32, 1, 0.0), w.constant(Dtype::F32, 1, 1.0));
            let empty = w.map(E::EQ, &[sum, none]);
            let by = w.map(E::SELECT, &[empty, one, sum]);
            let share = w.map(E::DIV, &[one, by]);
            let stride = w.int(i64::from(t.o.stride));
            let start = w.mul(i, stride);
            vectors(w, p.lanes, p.value.1, |w, v, mask| {
                let mut env = env.with(p.value.0, Position::Lanes(v));
                env.mask = mask;
                let index = w.add(start, v);
                let value = w.load(t.o.place, index, p.lanes, None);
                let value = w.mul(value, share);
                e.store(w, Place::Arg(arguments), &self.outputs[0], &env, value);
            });
            if let Some(layout) = self.outputs.get(1) {
                let largest = w.load(t.largest, i, 1, None);
                let log = w.map(E::LOG, &[by]);
                let total = w.add(largest, log);
                e.store(w, Place::Arg(arguments + 1), layout, &env, total);
            }
            Vec::new()
        });
    }
}

/// Vectors joined in pairs.
fn joined(w: &mut Writer, op: E, values: &[Reg]) -> Reg {
    let mut values = values.to_vec();
    while values.len() > 1 {
        values = values.chunks(2).map(|pair| if let [a, b] = *pair { w.map(op, &[a, b]) } else { pair[0] }).collect();
    }
    values[0]
}
