//! Attention: a tile of rows walks along the sources, chunk by chunk, and keeps each row's largest score, `Σ exp` and `Σ exp · v` so
//! far. Keys and values of a chunk are packed for all of the tile's bands; each band takes blocks of the vectors of sources that it
//! sees. A vector holds one number of each row of a band, so that joining a row's lanes is a square transposed.

use weft_dsl::elementwise::Elementwise as E;

use super::micro::{Begin, Block, Left, Tile, scaled};
use super::pack::{Rows, vectors};
use super::problem::{LEAST, Problem, VECTORS};
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, Position, Scheduled, Unschedulable};

/// Scratch memory of a tile.
struct Tiles {
    /// Queries.
    q: Tile,
    /// Keys of a chunk, transposed.
    k: Tile,
    /// Values of a chunk.
    v: Tile,
    /// Scores of a band, then their exponentials.
    s: Tile,
    /// `Σ exp · v`
    o: Tile,
    /// `Σ exp`, in as many parts as a vector has lanes.
    sum: Tile,
    /// The largest scores of a band in a block, one of each lane.
    top: Tile,
    /// The largest score of each row so far.
    largest: Place,
    /// Of the rows of a band: what is subtracted from scores.
    shift: Place,
    /// Of the rows of a band: what the sums so far are to be multiplied by.
    fade: Place,
}

/// The kernel.
pub fn schedule(p: &Problem, inputs: &[Layout], outputs: &[Layout]) -> Result<Scheduled, Unschedulable> {
    let mut w = Writer::new(p.arguments(), 0);
    let mut e = Exprs::new(p.body, p.axes, inputs, p.lanes);
    let heads: Vec<_> = p.outer.iter().chain(&p.members).copied().collect();
    let (volume, length) = (p.volume(&heads), p.axes.size(p.time).clone());
    let mut tile = |rows: u32, stride: u32| Tile { place: w.scratch(Dtype::F32, rows * stride), stride, streams: None };
    let (all, band, lanes) = (p.rows(), p.band(), u32::from(p.lanes));
    let (columns, keys, values) = (p.columns(), p.whole(p.key.1), p.whole(p.value.1));
    let tiles = Tiles {
        q: tile(all, keys),
        k: Tile { streams: Some(p.key.1 * lanes), ..tile(p.key.1 * p.chunk() / lanes, lanes) },
        v: tile(p.chunk(), values),
        s: tile(band, columns),
        o: tile(all, values),
        sum: tile(all, lanes),
        top: tile(band, lanes),
        largest: tile(all, 1).place,
        shift: tile(band, 1).place,
        fade: tile(band, 1).place,
    };

    // Tiles of one head follow one another.
    let (most, unit) = (w.int(i64::from(all - 1)), w.int(i64::from(all)));
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
    let cost = f64::from(all) * size(p.source) * 2.0 * f64::from(p.key.1 + p.value.1 + 8);
    Ok(Scheduled {
        kernel: w.finish(),
        sizes: e.finish()?.into_sizes(),
        tiles: vec![(volume, 1), (length, u64::from(all))],
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

/// A band of rows with a block of sources.
#[derive(Clone, Copy)]
struct Band {
    /// Its first row, counted from the tile's.
    row: Reg,
    /// How many rows it has.
    rows: Reg,
    /// The block's first source, and how many it has.
    range: (Reg, Reg),
    /// The same first source, counted from the chunk's.
    block: Reg,
    /// How many vectors of sources it has.
    vectors: Reg,
}

impl Forward<'_> {
    fn write(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let [queries, keys, values] = p.qkv;
        e.hoist(w, &[p.score], env);
        // In whole bands: the last row is there again, so that nothing need be masked.
        let (band, lanes) = (w.int(i64::from(p.band())), w.int(i64::from(p.lanes)));
        let most = w.int(i64::from(p.band() - 1));
        let up = w.add(self.rows, most);
        let bands = w.map(E::IDIV, &[up, band]);
        let count = w.mul(bands, band);
        let q = Rows { node: queries, along: p.time, from: self.first, count, within: p.key };
        p.pack(w, e, env, &q, t.q);
        p.fill(w, t.largest, count, f64::NEG_INFINITY);
        // Scores beyond what a row sees are not computed, but what is there is looked at.
        for (tile, rows) in [(t.sum, count), (t.o, count), (t.s, band)] {
            let volume = scaled(w, rows, tile.stride);
            p.fill(w, tile.place, volume, 0.0);
        }

        let (size, one) = (e.extent(w, p.source), w.int(1));
        let last = w.add(self.first, self.rows);
        let last = w.sub(last, one);
        let end = p.bounds.end(w, e, env, last, size);
        let start = p.bounds.start(w, e, env, self.first);
        // Blocks begin at whole vectors.
        let start = w.map(E::IDIV, &[start, lanes]);
        let start = w.mul(start, lanes);
        let unit = w.int(i64::from(p.chunk()));
        // Once at least: a band is stored in the chunk where what it sees ends.
        let least = w.add(start, one);
        let to = w.map(E::MAX, &[end, least]);
        w.repeat((start, to, p.chunk()), &[], |w, from, _| {
            let left = w.sub(end, from);
            let count = w.map(E::MIN, &[left, unit]);
            let next = w.add(from, unit);
            let k = Rows { node: keys, along: p.source, from, count, within: p.key };
            p.transpose(w, e, env, &k, &self.inputs[1], t.k);
            p.pack(w, e, env, &Rows { node: values, within: p.value, ..k }, t.v);
            p.bands(w, self.rows, |w, row, rows| {
                let at = w.add(self.first, row);
                let (first, beyond) = p.seen_by_band(w, e, env, at, (from, count));
                w.repeat((first, beyond, VECTORS), &[], |w, vector, _| {
                    let (most, left) = (w.int(i64::from(VECTORS)), w.sub(beyond, vector));
                    let vectors = w.map(E::MIN, &[left, most]);
                    let (block, columns) = (w.mul(vector, lanes), w.int(i64::from(p.columns())));
                    let (source, left) = (w.add(from, block), w.sub(count, block));
                    let range = (source, w.map(E::MIN, &[left, columns]));
                    self.band(w, e, env, Band { row, rows, range, block, vectors });
                    Vec::new()
                });
                // While the next band is computed, what is stored of this one goes to memory.
                let last = w.add(at, rows);
                let last = w.sub(last, one);
                let ends = p.bounds.end(w, e, env, last, to);
                let ends = w.map(E::MAX, &[ends, least]);
                let (after, before) = (w.map(E::GT, &[ends, from]), w.map(E::LE, &[ends, next]));
                let here = w.map(E::AND, &[after, before]);
                w.when(here, |w| self.store(w, e, env, row, rows));
            });
            Vec::new()
        });
    }

    fn band(&self, w: &mut Writer, e: &mut Exprs, env: &Env, band: Band) {
        let (p, t) = (self.p, &self.tiles);
        let zero = w.int(0);
        let a = Left { place: t.q.place, row: t.q.stride, step: 1 };
        let from = t.k.across(w, band.block, p.lanes);
        let products = Block { a, b: t.k, from, c: t.s, begin: Begin::Zero, mr: p.mr, lanes: p.lanes };
        let depth = (zero, w.int(i64::from(p.key.1)));
        w.repeat((zero, band.rows, p.mr), &[], |w, i, _| {
            let row = w.add(band.row, i);
            let at = w.add(self.first, row);
            let seen = p.seen(w, e, env, (at, p.mr), band.range);
            products.columns(w, [row, i], seen, depth);
            Vec::new()
        });
        let volume = w.int(i64::from(p.band() * t.top.stride));
        p.fill(w, t.top.place, volume, f64::NEG_INFINITY);
        self.scores(w, e, env, &band);
        self.largest(w, &band);
        self.exponentials(w, &band);

        let a = Left { place: t.s.place, row: t.s.stride, step: 1 };
        let from = scaled(w, band.block, t.v.stride);
        let values = Block { a, b: t.v, from, c: t.o, begin: Begin::Scaled(t.fade), ..products };
        w.repeat((zero, band.rows, p.mr), &[], |w, i, _| {
            let row = w.add(band.row, i);
            let at = w.add(self.first, row);
            let seen = p.seen(w, e, env, (at, p.mr), band.range);
            values.known(w, [i, row], t.o.stride / u32::from(p.lanes), seen);
            Vec::new()
        });
    }

    /// For each row of a band its vectors of scores: their numbers, and where they lie.
    fn each_vector(
        &self,
        w: &mut Writer,
        band: &Band,
        row: Reg,
        init: Reg,
        mut each: impl FnMut(&mut Writer, Reg, Reg, Reg) -> Reg,
    ) -> Reg {
        let (lanes, stride) = (w.int(i64::from(self.p.lanes)), w.int(i64::from(self.tiles.s.stride)));
        let start = w.mul(row, stride);
        let zero = w.int(0);
        let done = w.repeat((zero, band.vectors, 1), &[init], |w, v, carried| {
            let by = w.mul(v, lanes);
            let index = w.add(start, by);
            vec![each(w, by, index, carried[0])]
        });
        done[0]
    }

    /// Scores of the products, and the largest in each lane.
    fn scores(&self, w: &mut Writer, e: &mut Exprs, env: &Env, band: &Band) {
        let (p, t) = (self.p, &self.tiles);
        let first = w.add(self.first, band.row);
        let zero = w.int(0);
        w.repeat((zero, band.rows, 1), &[], |w, i, _| {
            let at = w.add(first, i);
            let row = env.with(p.time, Position::Scalar(at));
            e.hoist(w, &[p.score], &row);
            self.fetch(w, e, env, at);
            let lowest = w.constant(Dtype::F32, p.lanes, f64::NEG_INFINITY);
            let top = self.each_vector(w, band, i, lowest, |w, by, index, top| {
                let at = w.add(band.range.0, by);
                let env = p.sources(w, e, at, &row);
                let product = w.load(t.s.place, index, p.lanes, None);
                e.preset(w, p.product, &env, product);
                let score = e.eval_as(w, p.score, &env, Dtype::F32);
                let score = w.splat(score, p.lanes);
                let score = match env.mask {
                    Some(mask) => w.map(E::SELECT, &[mask, score, lowest]),
                    None => score,
                };
                w.store(t.s.place, index, score, None);
                larger(w, score, top)
            });
            let at = scaled(w, i, t.top.stride);
            w.store(t.top.place, at, top, None);
            Vec::new()
        });
    }

    /// Asks for where the results of a row are to be written soon, and for what the tile behind this one reads first.
    fn fetch(&self, w: &mut Writer, e: &mut Exprs, env: &Env, row: Reg) {
        let p = self.p;
        let rows = w.int(i64::from(p.rows()));
        let next = Position::Scalar(w.add(row, rows));
        let own = env.with(p.time, Position::Scalar(row));
        let [_, keys, values] = p.qkv;
        for (node, along, (axis, size)) in [(keys, p.source, p.key), (values, p.source, p.value)] {
            vectors(w, p.lanes, size, |w, at, _| {
                e.fetch(w, node, env.with(along, next).with(axis, Position::Scalar(at)));
            });
        }
        vectors(w, p.lanes, p.value.1, |w, at, _| {
            let env = own.with(p.value.0, Position::Scalar(at));
            e.fetch_from(w, Place::Arg(p.body.arguments.len() as u32), &self.outputs[0], &env);
        });
    }

    /// The largest score of each row so far.
    fn largest(&self, w: &mut Writer, band: &Band) {
        let (p, t) = (self.p, &self.tiles);
        let zero = w.int(0);
        p.joined(w, larger, (t.top, zero), |w, i, block| {
            let at = w.add(band.row, i);
            let before = w.load(t.largest, at, p.lanes, None);
            let largest = larger(w, block, before);
            // A row of nothing so far has no largest score to be subtracted.
            let (nothing, none) = (w.constant(Dtype::F32, 1, f64::NEG_INFINITY), w.constant(Dtype::F32, 1, 0.0));
            let empty = w.map(E::EQ, &[largest, nothing]);
            let shift = w.map(E::SELECT, &[empty, none, largest]);
            let fade = w.sub(before, shift);
            let fade = w.map(E::EXP, &[fade]);
            w.store(t.largest, at, largest, None);
            w.store(t.shift, i, shift, None);
            w.store(t.fade, i, fade, None);
        });
    }

    /// Exponentials in place of scores, and their sums.
    fn exponentials(&self, w: &mut Writer, band: &Band) {
        let (p, t) = (self.p, &self.tiles);
        let zero = w.int(0);
        let [least, none] = [LEAST, 0.0].map(|number| w.constant(Dtype::F32, p.lanes, number));
        w.repeat((zero, band.rows, 1), &[], |w, i, _| {
            let row = w.add(band.row, i);
            let at = scaled(w, row, t.sum.stride);
            let before = w.load(t.sum.place, at, p.lanes, None);
            let (shift, fade) = (w.load(t.shift, i, 1, None), w.load(t.fade, i, 1, None));
            let before = w.mul(before, fade);
            let sum = self.each_vector(w, band, i, before, |w, _, index, sum| {
                let score = w.load(t.s.place, index, p.lanes, None);
                let less = w.sub(score, shift);
                let exp = w.map(E::EXP, &[less]);
                let nothing = w.map(E::LT, &[exp, least]);
                let exp = w.map(E::SELECT, &[nothing, none, exp]);
                w.store(t.s.place, index, exp, None);
                w.add(sum, exp)
            });
            w.store(t.sum.place, at, sum, None);
            Vec::new()
        });
    }

    /// The results of a band.
    fn store(&self, w: &mut Writer, e: &mut Exprs, env: &Env, row: Reg, rows: Reg) {
        let (p, t) = (self.p, &self.tiles);
        let arguments = p.body.arguments.len() as u32;
        p.joined(w, Writer::add, (t.sum, row), |w, i, sum| {
            let (none, one) = (w.constant(Dtype::F32, 1, 0.0), w.constant(Dtype::F32, p.lanes, 1.0));
            let empty = w.map(E::EQ, &[sum, none]);
            let by = w.map(E::SELECT, &[empty, one, sum]);
            let share = w.map(E::DIV, &[one, by]);
            w.store(t.fade, i, share, None);
            if let Some(layout) = self.outputs.get(1) {
                let row = w.add(row, i);
                let largest = w.load(t.largest, row, p.lanes, None);
                let log = w.map(E::LOG, &[by]);
                let total = w.add(largest, log);
                let at = Position::Lanes(w.add(self.first, row));
                let mut env = env.with(p.time, at);
                let (places, time) = (at.places(w, p.lanes), e.extent(w, p.time));
                env.mask = Some(w.map(E::LT, &[places, time]));
                e.store(w, Place::Arg(arguments + 1), layout, &env, total);
            }
        });
        let zero = w.int(0);
        w.repeat((zero, rows, 1), &[], |w, i, _| {
            let row = w.add(row, i);
            let at = w.add(self.first, row);
            let env = env.with(p.time, Position::Scalar(at));
            let share = w.load(t.fade, i, 1, None);
            let start = scaled(w, row, t.o.stride);
            vectors(w, p.lanes, p.value.1, |w, v, mask| {
                let mut env = env.with(p.value.0, Position::Lanes(v));
                env.mask = mask;
                let index = w.add(start, v);
                let value = w.load(t.o.place, index, p.lanes, None);
                let value = w.mul(value, share);
                e.store(w, Place::Arg(arguments), &self.outputs[0], &env, value);
            });
            Vec::new()
        });
    }
}

/// The larger of two, which is one instruction where a NaN need not come out: it does of the exponential.
fn larger(w: &mut Writer, a: Reg, b: Reg) -> Reg {
    let more = w.map(E::GT, &[a, b]);
    w.map(E::SELECT, &[more, a, b])
}
