//! Matrix products, after Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008).
//!
//! A tile is a block of rows by a block of columns. For each block of the summed dimension columns are packed into scratch memory
//! ([`pack`]), which is where their expressions are evaluated, unless they were packed before ([`ready`]); rows are packed too
//! where they do not lie along the sum. The rows of a register block ([`micro`]) meet all columns of the tile, and then their
//! outputs are evaluated ([`epilogue`]), while sums and what they need lie in the first-level cache; what is read next is asked for
//! meanwhile ([`ahead`]). A product of a few rows packs those alone ([`skinny`]). Sums run over the summed dimension in order, one
//! rounding for each `a · b + c`, so that neither blocks nor where they are packed change a bit. Nor do they on a matrix unit ([`tiles`]),
//! which takes a step of many places at once.

mod ahead;
mod blocks;
mod epilogue;
pub(super) mod group;
mod micro;
mod pack;
mod problem;
mod ready;
mod skinny;
#[cfg(test)]
mod spelled;
#[cfg(test)]
mod tests;
mod transpose;
mod tiles;
pub mod tuning;

pub use ready::{Ready, ready};
pub(super) use transpose::transposed;

use weft_dsl::elementwise::Elementwise;
use weft_dsl::types::Axes;

use self::ahead::{Ahead, At};
use self::blocks::Blocks;
use self::group::least;
use self::problem::{Along, Problem};
use super::{Env, Exprs, Layout, Machine, Scheduled, Unschedulable, dtype};
use crate::graph::{Fused, NodeId};
use crate::kernel::{Dtype, Place, Reg, Writer};

/// The kernel of a body with one contraction: `Σ a · b` of two expressions, and outputs that are expressions of it over its axes.
/// `inputs` and `outputs` say how the fused node's operands and results lie in memory.
///
/// # Errors
/// Where the body is not of this form.
pub fn schedule(
    fused: &Fused,
    axes: &Axes,
    inputs: &[Layout],
    outputs: &[Layout],
    machine: &Machine,
) -> Result<Scheduled, Unschedulable> {
    let problem = problem::analyse(&fused.body, axes, inputs, outputs)?;
    written(fused, axes, (inputs, outputs), machine, &problem, None)
}

/// The kernel of a product; where `ready` is given, the columns' operand lies so.
fn written(
    fused: &Fused,
    axes: &Axes,
    (inputs, outputs): (&[Layout], &[Layout]),
    machine: &Machine,
    problem: &Problem,
    ready: Option<&Ready>,
) -> Result<Scheduled, Unschedulable> {
    let model = Blocks::choose(problem, axes, machine, ready.is_some());
    let with =
        |problem: &Problem, blocks: &Blocks| with_blocks(fused, axes, (inputs, outputs), machine, (problem, blocks), ready);
    let mut scheduled = with(problem, &model)?;
    if machine.tuning.is_needed() {
        let name = tuning::name(problem, axes, &scheduled.kernel);
        let mut product = machine.tuning.product(name, tuning::Choice::of(problem, &model));
        let mut problem = problem.clone();
        problem.a_plain = problem.a_plain.filter(|_| product.choice.in_place);
        let blocks = product.choice.blocks(&problem, &model);
        product.choice = tuning::Choice::of(&problem, &blocks);
        scheduled = with(&problem, &blocks)?;
        scheduled.kernel.product = Some(product);
    }
    Ok(scheduled)
}

/// The kernel of a product in given blocks.
fn with_blocks(
    fused: &Fused,
    axes: &Axes,
    (inputs, outputs): (&[Layout], &[Layout]),
    machine: &Machine,
    (problem, blocks): (&Problem, &Blocks),
    ready: Option<&Ready>,
) -> Result<Scheduled, Unschedulable> {
    let body = &fused.body;
    let dtypes: Vec<Dtype> = body.arguments.iter().map(dtype).chain(body.results().iter().map(dtype)).collect();
    let mut w = Writer::new(dtypes, 0);
    let mut e = Exprs::new(body, axes, inputs, machine.lanes);
    let first = body.arguments.len() as u32;
    let results: Vec<_> = (first..)
        .zip(body.outputs.iter().zip(outputs))
        .map(|(number, (&node, layout))| (node, Place::Arg(number), layout.clone()))
        .collect();

    let of_rows = problem.segment.is_some_and(|s| s.of_rows);
    let tile = Tile::new(&mut w, &mut e, problem, blocks);
    let mut write = |w: &mut Writer, tile: &Tile, blocks: &Blocks| tile.write(w, &mut e, (problem, blocks), ready, &results);
    if of_rows {
        // All of a segment, block after block: another tile would not know how many there are.
        w.repeat((tile.m0, tile.m, blocks.mc), &[], |w, m0, _| {
            let rows = part(w, tile.m, m0, blocks.mc);
            write(w, &Tile { m0, rows, ..tile.clone() }, blocks);
            Vec::new()
        });
    } else if let (true, Some(_), None) = (blocks.tiles, ready, problem.rows.volume().known()) {
        // Few rows, such as a token of each of some texts, do not fill a matrix unit.
        let vectors = blocks.for_vectors(problem, axes, machine);
        let least = w.int(i64::from(blocks.mr));
        let (few, many) = (w.map(Elementwise::LT, &[tile.m, least]), w.map(Elementwise::GE, &[tile.m, least]));
        w.when(many, |w| write(w, &tile, blocks));
        w.when(few, |w| write(w, &tile, &vectors));
    } else {
        write(&mut w, &tile, blocks);
    }

    let length = problem.sum.volume().known().unwrap_or(1024).max(1) as f64;
    let mut tiles = vec![
        (problem.batch.volume(), 1),
        (problem.rows.volume(), u64::from(blocks.mc)),
        (problem.columns.volume(), u64::from(blocks.nc)),
    ];
    if of_rows {
        tiles.remove(1);
    }
    // Each slot is in one segment.
    let groups = |s: problem::Segment| axes.volume(&body[s.from].ty.axes).known().unwrap_or(1).max(1);
    let share = problem.segment.map_or(1.0, |s| 1.0 / groups(s) as f64);
    Ok(Scheduled {
        kernel: w.finish(),
        sizes: e.finish()?.into_sizes(),
        tiles,
        cost: 2.0 * f64::from(blocks.mc) * f64::from(blocks.nc) * length,
        share,
    })
}

/// Where a tile is.
#[derive(Clone)]
struct Tile {
    /// Positions of the batch axes.
    env: Env,
    /// First row.
    m0: Reg,
    /// First column.
    n0: Reg,
    /// How many rows.
    rows: Reg,
    /// How many columns.
    columns: Reg,
    /// Where rows end.
    m: Reg,
    /// Where columns end.
    n: Reg,
    /// The part of the summed dimension that is there.
    sum: (Reg, Reg),
}

/// Where the last part of the sum is added, writes the outputs of rows (where their sums are, the first of the tile's rows, how
/// many) if they are done, and otherwise asks for what the outputs read.
type Finish<'a> = dyn FnMut(&mut Writer, &mut Exprs, (Reg, Reg, Reg), bool) + 'a;

impl Tile {
    fn new(w: &mut Writer, e: &mut Exprs, problem: &Problem, blocks: &Blocks) -> Self {
        let (m, n) = (e.sizes.reg(w, &problem.rows.volume()), e.sizes.reg(w, &problem.columns.volume()));
        let (down, across) = (group::blocks(w, m, blocks.mc), group::blocks(w, n, blocks.nc));
        let number = w.tile();
        let column = w.map(Elementwise::MOD, &[number, across]);
        let rest = w.map(Elementwise::IDIV, &[number, across]);
        let zero = w.int(0);
        let of_rows = problem.segment.is_some_and(|s| s.of_rows);
        let (row, batch) = match of_rows {
            true => (zero, rest),
            false => (w.map(Elementwise::MOD, &[rest, down]), w.map(Elementwise::IDIV, &[rest, down])),
        };
        let mut env = Env::new();
        problem.batch.at(w, e, &mut env, batch);
        let n0 = group::place(w, column, blocks.nc, zero);
        let columns = part(w, n, n0, blocks.nc);
        let k = e.sizes.reg(w, &problem.sum.volume());
        let segment = problem.segment.map(|s| [s.from, s.to].map(|bound| e.eval_as(w, bound, &env, Dtype::I64)));
        let (m0, m, sum) = match segment {
            Some([from, to]) if of_rows => (from, to, (zero, k)),
            other => (group::place(w, row, blocks.mc, zero), m, other.map_or((zero, k), |[from, to]| (from, to))),
        };
        let rows = part(w, m, m0, blocks.mc);
        Self { env, m0, n0, rows, columns, m, n, sum }
    }

    /// The tile's outputs. Rows are finished as soon as their sums are: a register block's at a time, unless they are few.
    fn write(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        (problem, blocks): (&Problem, &Blocks),
        ready: Option<&Ready>,
        results: &[(NodeId, Place, Layout)],
    ) {
        let (first, k) = self.sum;
        let known = problem.sum.volume().known().filter(|_| problem.segment.is_none_or(|s| s.of_rows));
        let once = known.is_some_and(|n| n <= i64::from(blocks.kc));
        let kept = if once && problem.few().is_none() { blocks.mr } else { blocks.mc };
        let sums = w.scratch(Dtype::F32, kept * blocks.nc);
        let mut packed = Packing::new(w, problem, blocks, sums, ready);
        let roots: Vec<NodeId> = results.iter().map(|r| r.0).chain([problem.a]).collect();
        e.hoist(w, &roots, &self.env);
        if ready.is_none() {
            e.hoist(w, &[problem.b], &self.env);
        }
        // A sum of nothing is one pass over nothing.
        let end = match known {
            Some(1..) => k,
            _ => {
                let one = w.int(1);
                let least = w.add(first, one);
                w.map(Elementwise::MAX, &[k, least])
            }
        };
        w.repeat((first, end, blocks.kc), &[], |w, k0, _| {
            let kc = part(w, k, k0, blocks.kc);
            let goes_on = (!once).then(|| w.map(Elementwise::GT, &[k0, first]));
            let sum = &problem.sum;
            let own = (&problem.rows, &problem.columns);
            let a = pack::Block { node: problem.a, own: own.0, from: self.m0, count: self.rows, bound: self.m, sum, k0, kc };
            let b =
                pack::Block { node: problem.b, own: own.1, from: self.n0, count: self.columns, bound: self.n, sum, k0, kc };
            if let Some(ready) = ready {
                packed.tile.b_from = ready.from(w, self.n0, k0);
            }
            let ends = (!once).then(|| {
                let next = w.add(k0, kc);
                w.map(Elementwise::GE, &[next, k])
            });
            let mut finish = |w: &mut Writer, e: &mut Exprs, (at, row, rows): (Reg, Reg, Reg), done: bool| {
                let from = w.add(self.m0, row);
                let sums = epilogue::Sums { place: sums, at, from: (from, self.n0), count: (rows, self.columns) };
                let mut finish = |w: &mut Writer| match done {
                    true => epilogue::finish(w, e, (problem, blocks), &self.env, &sums, results),
                    false => epilogue::fetch(w, e, (problem, blocks), &self.env, &sums),
                };
                match ends {
                    Some(ends) => w.when(ends, finish),
                    None => finish(w),
                }
            };
            match problem.few() {
                Some(count) => {
                    self.few(w, e, (problem, blocks), &packed, (&a, &b), (count, goes_on));
                    let zero = w.int(0);
                    finish(w, e, (zero, zero, self.rows), true);
                }
                None => {
                    let ahead =
                        ready.filter(|_| !blocks.tiles).map(|ready| Ahead::new(w, (problem, blocks), self, &a, ready, ends));
                    self.many(w, e, (problem, blocks), &packed, (&a, &b), (goes_on, ahead.as_ref(), &mut finish));
                }
            }
            Vec::new()
        });
    }

    /// A block of the sum, both operands packed or read where they lie.
    fn many(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        (problem, blocks): (&Problem, &Blocks),
        packed: &Packing,
        (a, b): (&pack::Block, &pack::Block),
        (goes_on, ahead, finish): (Option<Reg>, Option<&Ahead>, &mut Finish),
    ) {
        let zero = w.int(0);
        if blocks.tiles {
            return self.strips(w, e, (problem, blocks), packed, (a, b), (goes_on, finish));
        }
        match problem.b_along {
            _ if packed.ready.is_some() => {}
            Along::Own => pack::streams(w, e, blocks, &self.env, b, (packed.tile.b, u32::from(blocks.lanes))),
            Along::Sum => pack::transposes(w, e, blocks, &self.env, b, (packed.tile.b, packed.staged)),
        }
        if problem.a_along == Along::Own {
            pack::streams(w, e, blocks, &self.env, a, (packed.tile.a, blocks.mr));
        }
        let lies = problem.rows_in_place();
        let goes_on_everywhere = goes_on.map(|g| w.splat(g, blocks.lanes));
        w.repeat((zero, self.rows, blocks.mr), &[], |w, row, _| {
            let starts = match lies {
                Some((_, layout)) => pack::starts(w, e, &self.env, (a, layout), row, blocks.mr),
                None => {
                    if problem.a_along == Along::Sum {
                        let (from, count) = (w.add(self.m0, row), w.int(i64::from(blocks.mr)));
                        pack::rows(w, e, blocks, &self.env, &pack::Block { from, count, ..*a }, packed.tile.a);
                    }
                    micro::packed_rows(w, blocks, problem.a_along, row, blocks.mr)
                }
            };
            let at = if goes_on.is_some() { row } else { zero };
            let rows = part(w, self.rows, row, blocks.mr);
            finish(w, e, (at, row, rows), false);
            let mut fetch = ahead.map(|ahead| |w: &mut Writer, vector, k| ahead.fetch(w, e, At { row, vector, k }));
            let fetch = fetch.as_mut().map(|fetch| fetch as &mut micro::Fetch);
            micro::multiply(w, blocks, &packed.tile, (&starts, at), (self.columns, b.kc), goes_on_everywhere, fetch);
            finish(w, e, (at, row, rows), true);
            Vec::new()
        });
    }

    /// A block of the sum for a matrix unit.
    fn strips(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        (problem, blocks): (&Problem, &Blocks),
        packed: &Packing,
        (a, b): (&pack::Block, &pack::Block),
        (goes_on, finish): (Option<Reg>, &mut Finish),
    ) {
        let zero = w.int(0);
        let lies = packed.ready.map_or(tiles::Lies::Along(problem.b_along), |r| tiles::Lies::Ready(r, packed.tile.b_from));
        let operand = |block, lies, is_rows, to| tiles::Operand { block, lies, is_rows, to };
        let a = operand(a, tiles::Lies::Along(problem.a_along), true, packed.tile.a);
        let b = operand(b, lies, false, packed.tile.b);
        tiles::begin(w, e, blocks, &self.env, (&a, &b));
        w.repeat((zero, self.rows, blocks.mr), &[], |w, row, _| {
            let (at, rows) = (if goes_on.is_some() { row } else { zero }, part(w, self.rows, row, blocks.mr));
            finish(w, e, (at, row, rows), false);
            tiles::multiply(w, e, blocks, &self.env, (&a, &b), packed.tile.c, &tiles::Strip { row, at, goes_on });
            finish(w, e, (at, row, rows), true);
            Vec::new()
        });
    }

    /// A block of the sum for a few rows.
    fn few(
        &self,
        w: &mut Writer,
        e: &mut Exprs,
        (problem, blocks): (&Problem, &Blocks),
        packed: &Packing,
        (a, b): (&pack::Block, &pack::Block),
        (count, goes_on): (u32, Option<Reg>),
    ) {
        let zero = w.int(0);
        let starts = match problem.rows_in_place() {
            Some((_, layout)) => pack::starts(w, e, &self.env, (a, layout), zero, count),
            None => {
                pack::rows(w, e, blocks, &self.env, a, packed.tile.a);
                micro::packed_rows(w, blocks, Along::Sum, zero, count)
            }
        };
        let rows = skinny::Rows { a: packed.tile.a, starts, c: packed.tile.c, goes_on };
        match problem.b_along {
            _ if packed.ready.is_some() => skinny::streams(w, blocks, b, &packed.tile, &rows),
            Along::Own => skinny::sweeps(w, e, blocks, &self.env, b, &rows),
            Along::Sum => skinny::dots(w, e, blocks, &self.env, b, &rows),
        }
        if problem.sum.volume().known().is_none_or(|n| n == 0) {
            let empty = w.map(Elementwise::EQ, &[b.kc, zero]);
            w.when(empty, |w| {
                let (all, lanes) = (w.int(i64::from(blocks.mc * blocks.nc)), blocks.lanes);
                let nothing = w.constant(Dtype::F32, lanes, 0.0);
                w.repeat((zero, all, u32::from(lanes)), &[], |w, at, _| {
                    w.store(packed.tile.c, at, nothing, None);
                    Vec::new()
                });
            });
        }
    }
}

/// Scratch memory of packed operands.
struct Packing<'a> {
    /// The tile.
    tile: micro::Packed,
    /// Rows of a square that are evaluated before they are transposed.
    staged: Option<Place>,
    /// Where the columns lie packed.
    ready: Option<&'a Ready>,
}

impl<'a> Packing<'a> {
    fn new(w: &mut Writer, problem: &Problem, blocks: &Blocks, c: Place, ready: Option<&'a Ready>) -> Self {
        if blocks.tiles {
            let own = if problem.a_along == Along::Own { blocks.mc } else { blocks.mc.min(2 * blocks.mr) };
            let (a, b) = (tiles::scratch(w, blocks, own), tiles::scratch(w, blocks, blocks.nc));
            let tile = micro::Packed { a, a_step: 0, b, b_from: w.int(0), b_stream: 0, c };
            return Self { tile, staged: None, ready };
        }
        let (a, a_step) = match (problem.rows_in_place(), problem.a_along) {
            (Some((argument, _)), _) => (Place::Arg(argument), 1),
            (None, Along::Sum) => (w.scratch(Dtype::F32, blocks.mr * blocks.row_stride()), 1),
            (None, Along::Own) => (w.scratch(Dtype::F32, blocks.mc * blocks.stream()), blocks.mr),
        };
        let packs = problem.few().is_none() && ready.is_none();
        let stages = packs && problem.b_along == Along::Sum && problem.b_heavy;
        let staged = stages.then(|| w.scratch(Dtype::F32, u32::from(blocks.lanes) * blocks.row_stride()));
        let (b, b_stream) = match ready {
            Some(ready) => (Place::Arg(ready.argument), ready.sum as u32),
            None => (w.scratch(Dtype::F32, if packs { blocks.nc * blocks.stream() } else { 0 }), blocks.stream()),
        };
        let b_from = w.int(0);
        let tile = micro::Packed { a, a_step, b, b_from, b_stream, c };
        Self { tile, staged, ready }
    }
}

/// How many of `all` places a block from `from` has.
fn part(w: &mut Writer, all: Reg, from: Reg, block: u32) -> Reg {
    let (rest, block) = (w.sub(all, from), w.int(i64::from(block)));
    least(w, rest, block)
}
