//! The derivative of attention: for each head of keys, a walk over blocks of sources, and within over all rows that see them.
//!
//! Weights come again from the scores and their log-sum-exp. The gradients of a block of keys and values stay in scratch memory
//! until all rows have been seen, those of the members that share the keys included; the gradients of queries are added up
//! where they are to lie.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::Op;

use super::micro::{Begin, Block, Left, Tile, scaled};
use super::pack::{Rows, vectors};
use super::problem::{LEAST, Problem, ROWS, Roles, runs};
use crate::graph::Kind;
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, Position, Scheduled, Unschedulable, address, load, store};

/// Elements of a line of the caches.
const LINE: u16 = 16;

/// Scratch memory of a tile.
pub(super) struct Tiles {
    /// Queries.
    q: Tile,
    /// The result's cotangent.
    g: Tile,
    /// Keys.
    k: Tile,
    /// Keys, transposed.
    kt: Tile,
    /// Values, transposed.
    vt: Tile,
    /// Products, then weights.
    s: Tile,
    /// Cotangent times values, then cotangents of the products.
    d: Tile,
    /// Gradients of queries, keys and values.
    dq: Tile,
    dk: Tile,
    dv: Tile,
    /// Of the rows of a band: parts of the result's cotangent times the result, one of each lane, and their sums.
    deltas: Tile,
    delta: Place,
    /// What is added up for results that neither rows nor sources have, a vector for each.
    pub(super) parts: Place,
}

/// The kernel.
pub fn schedule(p: &Problem, roles: &Roles, inputs: &[Layout], outputs: &[Layout]) -> Result<Scheduled, Unschedulable> {
    let mut w = Writer::new(p.arguments(), 0);
    let mut e = Exprs::new(p.body, p.axes, inputs, p.lanes);
    let mut tile = |elements: u32, stride: u32| Tile { place: w.scratch(Dtype::F32, elements), stride, streams: None };
    let (columns, keys, values) = (p.wide(), p.whole(p.key.1), p.whole(p.value.1));
    let tiles = Tiles {
        q: tile(ROWS * keys, keys),
        g: tile(ROWS * values, values),
        k: tile(columns * keys, keys),
        kt: tile(p.key.1 * columns, columns),
        vt: tile(p.value.1 * columns, columns),
        s: tile(ROWS * columns, columns),
        d: tile(ROWS * columns, columns),
        dq: tile(ROWS * keys, keys),
        dk: tile(columns * keys, keys),
        dv: tile(columns * values, values),
        deltas: tile(p.band() * u32::from(p.lanes), u32::from(p.lanes)),
        delta: tile(p.band(), 1).place,
        parts: tile(roles.gathered.len().max(1) as u32 * u32::from(p.lanes), 1).place,
    };
    let head = w.tile();
    let env = p.located(&mut w, &mut e, &p.outer, head, &Env::new());
    Backward { p, roles, inputs, outputs, tiles }.write(&mut w, &mut e, &env);
    let size = |axis| p.axes.size(axis).known().unwrap_or(256) as f64;
    let members = p.volume(&p.members).known().unwrap_or(1) as f64;
    let cost = members * size(p.time) * size(p.source) * f64::from(3 * p.key.1 + 2 * p.value.1 + 16) * 2.0;
    let (sizes, tiles) = (e.finish()?.into_sizes(), vec![(p.volume(&p.outer), 1)]);
    Ok(Scheduled { kernel: w.finish(), sizes, tiles, cost, share: p.bounds.share() })
}

pub(super) struct Backward<'a> {
    pub(super) p: &'a Problem<'a>,
    pub(super) roles: &'a Roles,
    inputs: &'a [Layout],
    pub(super) outputs: &'a [Layout],
    pub(super) tiles: Tiles,
}

/// A block of sources.
#[derive(Clone, Copy)]
struct Sources {
    from: Reg,
    count: Reg,
}

/// A block of rows.
#[derive(Clone, Copy)]
struct Queries {
    first: Reg,
    rows: Reg,
}

/// A band of rows with a block of sources.
struct Band {
    /// Its first row.
    first: Reg,
    /// The same, counted from the block's.
    row: Reg,
    /// How many rows it has.
    rows: Reg,
    /// The first source.
    from: Reg,
    /// The vectors of sources that it sees, counted from the block's first.
    seen: (Reg, Reg),
}

impl Backward<'_> {
    fn write(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let [_, keys, values] = p.qkv;
        self.clear(w, e, env);
        self.clear_gathered(w, e, env);
        let zero = w.int(0);
        let (lanes, parts) = (u32::from(p.lanes), self.roles.gathered.len() as u32);
        let filled = [
            (t.s.place, ROWS * t.s.stride),
            (t.d.place, ROWS * t.d.stride),
            (t.deltas.place, p.band() * lanes),
            (t.parts, parts * lanes),
        ];
        for (place, volume) in filled {
            let volume = w.int(i64::from(volume));
            p.fill(w, place, volume, 0.0);
        }
        let (size, unit) = (e.extent(w, p.source), w.int(i64::from(p.wide())));
        w.repeat((zero, size, p.wide()), &[], |w, from, _| {
            let left = w.sub(size, from);
            let count = w.map(E::MIN, &[left, unit]);
            let (_, all) = runs(w, p.mr, (zero, count));
            let whole = scaled(w, all, p.mr);
            let k = Rows { node: keys, along: p.source, from, count, within: p.key };
            let v = Rows { node: values, within: p.value, ..k };
            p.pack(w, e, env, &k, t.k);
            p.transpose(w, e, env, &k, &self.inputs[1], t.kt);
            p.transpose(w, e, env, &v, &self.inputs[2], t.vt);
            for tile in [t.dk, t.dv] {
                let volume = scaled(w, whole, tile.stride);
                p.fill(w, tile.place, volume, 0.0);
            }
            self.queries(w, e, env, Sources { from, count });
            for (number, tile, within) in [(1, t.dk, p.key), (2, t.dv, p.value)] {
                w.repeat((zero, count, 1), &[], |w, j, _| {
                    let at = w.add(from, j);
                    let env = env.with(p.source, Position::Scalar(at));
                    let stride = w.int(i64::from(tile.stride));
                    let start = w.mul(j, stride);
                    vectors(w, p.lanes, within.1, |w, v, mask| {
                        let mut env = env.with(within.0, Position::Lanes(v));
                        env.mask = mask;
                        let index = w.add(start, v);
                        let value = w.load(tile.place, index, p.lanes, None);
                        let env = self.outside(number, &env);
                        e.store(w, self.result(number), &self.outputs[number], &env, value);
                    });
                    Vec::new()
                });
            }
            Vec::new()
        });
    }

    pub(super) fn result(&self, number: usize) -> Place {
        Place::Arg((self.p.body.arguments.len() + number) as u32)
    }

    /// Positions by the names of a result, from those by the names within.
    pub(super) fn outside(&self, number: usize, env: &Env) -> Env {
        let body = self.p.body;
        let mut node = body.outputs[number];
        let mut names: Vec<_> = body[node].ty.axes.iter().map(|&a| (a, a)).collect();
        while let Kind::Op(Op::Rename(from, to)) = body[node].kind {
            names.iter_mut().filter(|n| n.1 == to).for_each(|n| n.1 = from);
            node = body[node].operands[0];
        }
        let mut out = Env::guarded_by(env.guard);
        out.mask = env.mask;
        for (outer, inner) in names {
            if let Some(at) = env.get(inner) {
                out.set(outer, at);
            }
        }
        out
    }

    /// Gradients of queries that see no sources: nothing else is written there.
    fn clear(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let p = self.p;
        let nothing = w.constant(Dtype::F32, p.lanes, 0.0);
        self.members(w, e, env, |w, e, env| {
            let (zero, size) = (w.int(0), e.extent(w, p.source));
            self.row_blocks(w, e, env, size, |w, e, queries, (start, end)| {
                let none = w.map(E::LE, &[end, start]);
                w.when(none, |w| {
                    w.repeat((zero, queries.rows, 1), &[], |w, i, _| {
                        let env = env.with(p.time, Position::Scalar(w.add(queries.first, i)));
                        vectors(w, p.lanes, p.key.1, |w, v, mask| {
                            let mut env = env.with(p.key.0, Position::Lanes(v));
                            env.mask = mask;
                            let env = self.outside(0, &env);
                            e.store(w, self.result(0), &self.outputs[0], &env, nothing);
                        });
                        Vec::new()
                    });
                });
            });
        });
    }

    /// Blocks of rows, with the first source that one of theirs sees, and the first beyond, at most `size`.
    fn row_blocks(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        env: &Env,
        size: Reg,
        each: impl FnOnce(&mut Writer, &mut Exprs, Queries, (Reg, Reg)),
    ) {
        let p = self.p;
        let (zero, one, unit) = (w.int(0), w.int(1), w.int(i64::from(ROWS)));
        let time = e.extent(w, p.time);
        w.repeat((zero, time, ROWS), &[], |w, first, _| {
            let left = w.sub(time, first);
            let rows = w.map(E::MIN, &[left, unit]);
            let last = w.add(first, rows);
            let last = w.sub(last, one);
            let seen = (p.bounds.start(w, e, env, first), p.bounds.end(w, e, env, last, size));
            each(w, e, Queries { first, rows }, seen);
            Vec::new()
        });
    }

    /// For each of the members that share keys.
    fn members(&self, w: &mut Writer, e: &mut Exprs, env: &Env, each: impl FnOnce(&mut Writer, &mut Exprs, &Env)) {
        let p = self.p;
        if p.members.is_empty() {
            return each(w, e, env);
        }
        let (zero, volume) = (w.int(0), p.volume(&p.members));
        let count = e.sizes.reg(w, &volume);
        w.repeat((zero, count, 1), &[], |w, member, _| {
            let env = p.located(w, e, &p.members, member, env);
            each(w, e, &env);
            Vec::new()
        });
    }

    /// All rows that see a block of sources.
    fn queries(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sources: Sources) {
        self.members(w, e, env, |w, e, env| {
            e.hoist(w, &self.roles.roots(), env);
            let zero = w.int(0);
            let to = w.add(sources.from, sources.count);
            self.row_blocks(w, e, env, to, |w, e, queries, (start, to)| {
                let count = w.sub(to, sources.from);
                let (some, reached) = (w.map(E::GT, &[count, zero]), w.map(E::LT, &[start, to]));
                let seen = w.map(E::AND, &[some, reached]);
                let before = w.map(E::LT, &[start, sources.from]);
                w.when(seen, |w| self.block(w, e, env, Sources { count, ..sources }, queries, before));
            });
        });
    }

    /// A block of rows with a block of sources; whether the rows have been with others before.
    fn block(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sources: Sources, queries: Queries, before: Reg) {
        let (p, t) = (self.p, &self.tiles);
        let (zero, most) = (w.int(0), w.int(i64::from(p.mr - 1)));
        let (_, all) = runs(w, p.mr, (zero, queries.rows));
        let count = scaled(w, all, p.mr);
        let q = Rows { node: p.qkv[0], along: p.time, from: queries.first, count, within: p.key };
        p.pack(w, e, env, &q, t.q);
        p.pack(w, e, env, &Rows { node: self.roles.cotangent, within: p.value, ..q }, t.g);

        let range = (sources.from, sources.count);
        let product = |a: Tile, b: Tile, c: Tile| Block {
            a: Left { place: a.place, row: a.stride, step: 1 },
            b,
            from: zero,
            c,
            begin: Begin::Zero,
            mr: p.mr,
            lanes: p.lanes,
        };
        p.bands(w, queries.rows, |w, row, rows| {
            let first = w.add(queries.first, row);
            let seen = p.seen_by_band(w, e, env, first, range);
            let columns = (scaled(w, seen.0, p.lanes.into()), scaled(w, seen.1, p.lanes.into()));
            for (a, b, c, depth) in [(t.q, t.kt, t.s, p.key.1), (t.g, t.vt, t.d, p.value.1)] {
                let depth = w.int(i64::from(depth));
                w.repeat((zero, rows, p.mr), &[], |w, i, _| {
                    let row = w.add(row, i);
                    product(a, b, c).columns(w, [row; 2], columns, (zero, depth));
                    Vec::new()
                });
            }
            self.slopes(w, e, env, &Band { first, row, rows, from: sources.from, seen });
        });
        self.gather_parts(w, e, env);

        // Gradients of keys and values: the rows of the tiles are what is summed.
        let every = (queries.first, w.add(queries.first, queries.rows));
        w.repeat((zero, sources.count, p.mr), &[], |w, j, _| {
            let first = w.add(sources.from, j);
            let last = w.add(first, most);
            let (from, to) = p.bounds.rows(w, e, env, (first, last), every);
            let rows = (w.sub(from, queries.first), w.sub(to, queries.first));
            for (a, b, c) in [(t.s, t.g, t.dv), (t.d, t.q, t.dk)] {
                let a = Left { place: a.place, row: 1, step: a.stride };
                let block = Block { a, begin: Begin::There, ..product(b, b, c) };
                block.known(w, [j; 2], c.stride / u32::from(p.lanes), rows);
            }
            Vec::new()
        });
        w.repeat((zero, queries.rows, p.mr), &[], |w, row, _| {
            let at = w.add(queries.first, row);
            let seen = p.seen(w, e, env, (at, p.mr), range);
            product(t.d, t.k, t.dq).known(w, [row; 2], t.dq.stride / u32::from(p.lanes), seen);
            Vec::new()
        });
        w.repeat((zero, queries.rows, 1), &[], |w, i, _| {
            let at = w.add(queries.first, i);
            let env = env.with(p.time, Position::Scalar(at));
            let stride = w.int(i64::from(t.dq.stride));
            let start = w.mul(i, stride);
            let before = w.splat(before, p.lanes);
            vectors(w, p.lanes, p.key.1, |w, v, mask| {
                let mut env = env.with(p.key.0, Position::Lanes(v));
                env.mask = mask;
                let env = self.outside(0, &env);
                let index = w.add(start, v);
                let part = w.load(t.dq.place, index, p.lanes, None);
                if let Some(at) = address(w, &mut e.sizes, p.axes, &self.outputs[0], &env, p.lanes) {
                    let summed = env.masked(w, Some(before));
                    let sum = load(w, self.result(0), at, &summed, p.lanes);
                    let sum = w.add(sum, part);
                    store(w, self.result(0), at, sum, &env, p.lanes);
                }
            });
            Vec::new()
        });
    }

    /// Weights and cotangents of the products, in place.
    fn slopes(&self, w: &mut Writer, e: &mut Exprs, env: &Env, band: &Band) {
        let (p, t, roles) = (self.p, &self.tiles, self.roles);
        let (zero, none) = (w.int(0), w.constant(Dtype::F32, p.lanes, 0.0));
        let least = w.constant(Dtype::F32, p.lanes, LEAST);
        let roots = roles.roots();
        self.deltas(w, e, env, band);
        let sums = vec![none; self.summed().len()];
        w.repeat((zero, band.rows, 1), &[], |w, i, _| {
            let at = w.add(band.first, i);
            self.fetch(w, e, env, at, band);
            let row = env.with(p.time, Position::Scalar(at));
            let delta = w.load(t.delta, i, 1, None);
            e.preset(w, roles.delta, &row, delta);
            e.hoist(w, &roots, &row);
            let place = w.add(band.row, i);
            let start = scaled(w, place, t.s.stride);
            let sums = w.repeat((band.seen.0, band.seen.1, 1), &sums, |w, v, sums| {
                let by = scaled(w, v, p.lanes.into());
                let (at, index) = (w.add(band.from, by), w.add(start, by));
                let env = p.sources(w, e, at, &row);
                let product = w.load(t.s.place, index, p.lanes, None);
                let rise = w.load(t.d.place, index, p.lanes, None);
                e.preset(w, p.product, &env, product);
                e.preset(w, roles.rise, &env, rise);
                let weights = e.eval_as(w, roles.weights, &env, Dtype::F32);
                let nothing = w.map(E::LT, &[weights, least]);
                let weights = w.map(E::SELECT, &[nothing, none, weights]);
                e.preset(w, roles.weights, &env, weights);
                for (node, tile) in [(roles.weights, t.s), (roles.slope, t.d)] {
                    let value = e.eval_as(w, node, &env, Dtype::F32);
                    let value = w.splat(value, p.lanes);
                    let value = match env.mask {
                        Some(mask) => w.map(E::SELECT, &[mask, value, none]),
                        None => value,
                    };
                    w.store(tile.place, index, value, None);
                }
                let mut sums = sums.to_vec();
                self.gather(w, e, &env, &mut sums);
                sums
            });
            self.gather_row(w, e, &row, &sums);
            Vec::new()
        });
    }

    /// Brings nearer where the gradients of the source at a row's own position are to lie.
    fn fetch(&self, w: &mut Writer, e: &mut Exprs, env: &Env, at: Reg, band: &Band) {
        let p = self.p;
        let columns = w.int(i64::from(p.wide()));
        let to = w.add(band.from, columns);
        let (after, within) = (w.map(E::GE, &[at, band.from]), w.map(E::LT, &[at, to]));
        let own = w.map(E::AND, &[after, within]);
        w.when(own, |w| {
            for (number, within) in [(1, p.key), (2, p.value)] {
                let env = env.with(p.source, Position::Scalar(at));
                vectors(w, LINE, within.1, |w, v, _| {
                    let env = self.outside(number, &env.with(within.0, Position::Scalar(v)));
                    e.fetch_from(w, self.result(number), &self.outputs[number], &env);
                });
            }
        });
    }

    /// `Σ dO · O` of the rows of a band.
    fn deltas(&self, w: &mut Writer, e: &mut Exprs, env: &Env, band: &Band) {
        let (p, t) = (self.p, &self.tiles);
        let lanes = u32::from(p.lanes);
        let zero = w.int(0);
        w.repeat((zero, band.rows, 1), &[], |w, i, _| {
            let row = env.with(p.time, Position::Scalar(w.add(band.first, i)));
            let at = w.add(band.row, i);
            let start = scaled(w, at, t.g.stride);
            let mut sum = w.constant(Dtype::F32, p.lanes, 0.0);
            for v in 0..t.g.stride / lanes {
                let at = w.int(i64::from(v * lanes));
                let mut env = row.with(p.value.0, Position::Lanes(at));
                if (v + 1) * lanes > p.value.1 {
                    let (places, size) = (Position::Lanes(at).places(w, p.lanes), w.int(i64::from(p.value.1)));
                    env.mask = Some(w.map(E::LT, &[places, size]));
                }
                let output = e.eval_as(w, self.roles.output, &env, Dtype::F32);
                let output = w.splat(output, p.lanes);
                let index = w.add(start, at);
                let g = w.load(t.g.place, index, p.lanes, None);
                sum = w.fma(output, g, sum);
            }
            let at = scaled(w, i, t.deltas.stride);
            w.store(t.deltas.place, at, sum, None);
            Vec::new()
        });
        p.joined(w, Writer::add, (t.deltas, zero), |w, i, sum| w.store(t.delta, i, sum, None));
    }
}
