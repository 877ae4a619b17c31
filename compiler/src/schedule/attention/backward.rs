//! The derivative of attention: for each head of keys, a walk over blocks of sources, and within over all rows that see them.
//!
//! Weights come again from the scores and their log-sum-exp. The gradients of a block of keys and values stay in scratch memory
//! until all rows have been seen, those of the members that share the keys included; the gradients of queries are added up
//! where they are to lie.

use weft_dsl::elementwise::Elementwise as E;
use weft_dsl::op::{Monoid, Op};

use super::micro::{Begin, Block, Left, Tile};
use super::pack::{Rows, vectors};
use super::problem::{Problem, ROWS, Roles, VECTORS};
use crate::graph::Kind;
use crate::kernel::{Dtype, Place, Reg, Writer};
use crate::schedule::{Env, Exprs, Layout, Position, Scheduled, Unschedulable, address, load, store};

/// Scratch memory of a tile.
struct Tiles {
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
}

/// The kernel.
pub fn schedule(p: &Problem, roles: &Roles, inputs: &[Layout], outputs: &[Layout]) -> Result<Scheduled, Unschedulable> {
    let mut w = Writer::new(p.arguments(), 0);
    let mut e = Exprs::new(p.body, p.axes, inputs, p.lanes);
    let mut tile = |elements: u32, stride: u32| Tile { place: w.scratch(Dtype::F32, elements), stride };
    let (columns, keys, values) = (p.columns(), p.whole(p.key.1), p.whole(p.value.1));
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
    tiles: Tiles,
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

impl Backward<'_> {
    fn write(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let (p, t) = (self.p, &self.tiles);
        let [_, keys, values] = p.qkv;
        self.clear(w, e, env);
        self.clear_gathered(w, e, env);
        let zero = w.int(0);
        for tile in [t.s, t.d] {
            let volume = w.int(i64::from(ROWS * tile.stride));
            p.fill(w, tile.place, volume, 0.0);
        }
        let (size, unit) = (e.extent(w, p.source), w.int(i64::from(p.columns())));
        w.repeat((zero, size, p.columns()), &[], |w, from, _| {
            let left = w.sub(size, from);
            let count = w.map(E::MIN, &[left, unit]);
            let k = Rows { node: keys, along: p.source, from, count, within: p.key };
            let v = Rows { node: values, within: p.value, ..k };
            p.pack(w, e, env, &k, t.k);
            p.transpose(w, e, env, &k, &self.inputs[1], t.kt);
            p.transpose(w, e, env, &v, &self.inputs[2], t.vt);
            for tile in [t.dk, t.dv] {
                let volume = w.int(i64::from(p.columns() * tile.stride));
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

    /// Gradients of queries before anything is added to them.
    fn clear(&self, w: &mut Writer, e: &mut Exprs, env: &Env) {
        let p = self.p;
        let nothing = w.constant(Dtype::F32, p.lanes, 0.0);
        self.members(w, e, env, |w, e, env| {
            let (zero, time) = (w.int(0), e.extent(w, p.time));
            w.repeat((zero, time, 1), &[], |w, t, _| {
                let env = env.with(p.time, Position::Scalar(t));
                vectors(w, p.lanes, p.key.1, |w, v, mask| {
                    let mut env = env.with(p.key.0, Position::Lanes(v));
                    env.mask = mask;
                    let env = self.outside(0, &env);
                    e.store(w, self.result(0), &self.outputs[0], &env, nothing);
                });
                Vec::new()
            });
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
        let p = self.p;
        self.members(w, e, env, |w, e, env| {
            e.hoist(w, &self.roles.roots(), env);
            let (zero, one, unit) = (w.int(0), w.int(1), w.int(i64::from(ROWS)));
            let (time, size) = (e.extent(w, p.time), e.extent(w, p.source));
            w.repeat((zero, time, ROWS), &[], |w, first, _| {
                let left = w.sub(time, first);
                let rows = w.map(E::MIN, &[left, unit]);
                let queries = Queries { first, rows };
                if p.bounds.is_empty() {
                    self.block(w, e, env, sources, queries);
                    return Vec::new();
                }
                let last = w.add(first, rows);
                let last = w.sub(last, one);
                let (start, end) = (p.bounds.start(w, e, env, first), p.bounds.end(w, e, env, last, size));
                let to = w.add(sources.from, sources.count);
                let to = w.map(E::MIN, &[to, end]);
                let count = w.sub(to, sources.from);
                let (some, reached) = (w.map(E::GT, &[count, zero]), w.map(E::LT, &[start, to]));
                let seen = w.map(E::AND, &[some, reached]);
                w.when(seen, |w| self.block(w, e, env, Sources { count, ..sources }, queries));
                Vec::new()
            });
        });
    }

    /// A block of rows with a block of sources.
    fn block(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sources: Sources, queries: Queries) {
        let (p, t) = (self.p, &self.tiles);
        let (zero, all) = (w.int(0), w.int(i64::from(ROWS)));
        let q = Rows { node: p.qkv[0], along: p.time, from: queries.first, count: all, within: p.key };
        p.pack(w, e, env, &q, t.q);
        p.pack(w, e, env, &Rows { node: self.roles.cotangent, within: p.value, ..q }, t.g);

        let range = (sources.from, sources.count);
        let product = |a: Tile, b: Tile, c: Tile| Block {
            a: Left { place: a.place, row: a.stride, step: 1 },
            b,
            c,
            begin: Begin::Zero,
            mr: p.mr,
            lanes: p.lanes,
        };
        for (a, b, c, depth) in [(t.q, t.kt, t.s, p.key.1), (t.g, t.vt, t.d, p.value.1)] {
            let depth = w.int(i64::from(depth));
            w.repeat((zero, queries.rows, p.mr), &[], |w, row, _| {
                let at = w.add(queries.first, row);
                let seen = p.seen(w, e, env, (at, p.mr), range);
                product(a, b, c).columns(w, [row; 2], seen, (zero, depth));
                Vec::new()
            });
        }
        self.slopes(w, e, env, sources, queries);

        // Gradients of keys and values: the rows of the tiles are what is summed.
        for (a, b, c) in [(t.s, t.g, t.dv), (t.d, t.q, t.dk)] {
            let a = Left { place: a.place, row: 1, step: a.stride };
            let block = Block { a, begin: Begin::There, ..product(b, b, c) };
            w.repeat((zero, sources.count, p.mr), &[], |w, j, _| {
                block.known(w, [j; 2], c.stride / u32::from(p.lanes), (zero, queries.rows));
                Vec::new()
            });
        }
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
            vectors(w, p.lanes, p.key.1, |w, v, mask| {
                let mut env = env.with(p.key.0, Position::Lanes(v));
                env.mask = mask;
                let env = self.outside(0, &env);
                let index = w.add(start, v);
                let part = w.load(t.dq.place, index, p.lanes, None);
                if let Some(at) = address(w, &mut e.sizes, p.axes, &self.outputs[0], &env, p.lanes) {
                    let before = load(w, self.result(0), at, &env, p.lanes);
                    let sum = w.add(before, part);
                    store(w, self.result(0), at, sum, &env, p.lanes);
                }
            });
            Vec::new()
        });
    }

    /// Weights and cotangents of the products, in place.
    fn slopes(&self, w: &mut Writer, e: &mut Exprs, env: &Env, sources: Sources, queries: Queries) {
        let (p, t, roles) = (self.p, &self.tiles, self.roles);
        let lanes = u32::from(p.lanes);
        let zero = w.int(0);
        let envs: Vec<Env> = (0..VECTORS)
            .map(|v| {
                let by = w.int(i64::from(v * lanes));
                let at = w.add(sources.from, by);
                p.sources(w, e, at, env)
            })
            .collect();
        let roots = roles.roots();
        for env in &envs {
            e.hoist(w, &roots, env);
        }
        w.repeat((zero, queries.rows, 1), &[], |w, i, _| {
            let at = Position::Scalar(w.add(queries.first, i));
            let row = env.with(p.time, at);
            let delta = self.delta(w, e, &row, i);
            e.preset(w, roles.delta, &row, delta);
            e.hoist(w, &roots, &row);
            let none = w.constant(Dtype::F32, p.lanes, 0.0);
            for (v, env) in envs.iter().enumerate() {
                let env = env.with(p.time, at);
                let stride = w.int(i64::from(t.s.stride));
                let start = w.mul(i, stride);
                let by = w.int(v as i64 * i64::from(lanes));
                let index = w.add(start, by);
                let product = w.load(t.s.place, index, p.lanes, None);
                let rise = w.load(t.d.place, index, p.lanes, None);
                e.preset(w, p.product, &env, product);
                e.preset(w, roles.rise, &env, rise);
                for (node, tile) in [(roles.weights, t.s), (roles.slope, t.d)] {
                    let value = e.eval_as(w, node, &env, Dtype::F32);
                    let value = w.splat(value, p.lanes);
                    let value = match env.mask {
                        Some(mask) => w.map(E::SELECT, &[mask, value, none]),
                        None => value,
                    };
                    w.store(tile.place, index, value, None);
                }
            }
            self.gather(w, e, at, &envs);
            Vec::new()
        });
    }

    /// `Σ dO · O` of a row.
    fn delta(&self, w: &mut Writer, e: &mut Exprs, row: &Env, i: Reg) -> Reg {
        let (p, t) = (self.p, &self.tiles);
        let lanes = u32::from(p.lanes);
        let stride = w.int(i64::from(t.g.stride));
        let start = w.mul(i, stride);
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
        w.fold(Monoid::Sum, sum)
    }
}
