//! How much of a product one tile, one pass and one register block take: functions of sizes and of the kind of processor alone.

use weft_dsl::types::Axes;

use super::group::Group;
use super::problem::{Along, Problem};
use crate::kernel::tiles::{SIDE, SQUARE};
use crate::kernel::{Reg, Writer};
use crate::schedule::{Machine, Unit};

/// What a free size (tokens of a batch) is taken to be where blocks are chosen and no recipe says: they must do for both.
const TYPICAL: [u64; 2] = [128, 768];

/// Elements of scratch memory that a tile may use: somewhat more than the usual second-level cache, of which a part is
/// touched once a pass.
const MOST_SCRATCH: u64 = 10 << 15;
/// The same for a matrix unit's operands, which are larger: as much as such processors have.
const MOST_TILES: u64 = 15 << 15;
/// Elements of the columns' operand that all rows of a tile meet: they stay in the second-level cache while rows pass by.
const MOST_COLUMNS: u64 = 5 << 15;
/// The same where they lie packed, and so cost little to begin anew: soon rows meet what was fetched meanwhile.
const MOST_READY: u64 = 5 << 13;

/// Hundredths of a vector operation for each vector of a block that is copied while it is packed; most of it is waiting for memory.
const COPY: u64 = 1600;
/// The same where squares are transposed.
const TRANSPOSE: u64 = 1850;
/// Both are a quarter of that where the whole operand stays in the second-level cache from tile to tile.
const NEAR: u64 = 4;
/// Where it need not be packed and is fetched while it is used.
const FETCH: u64 = 150;
/// What making three parts of each number adds for a matrix unit, and writing them where much comes from memory.
const PARTS: u64 = 1000;
/// How many times less it costs to pack between the steps of a matrix unit: rows …
const ROWS_BETWEEN: u64 = 4;
/// … and columns, which are packed beside the first rows alone.
const COLUMNS_BETWEEN: u64 = 2;
/// For each vector of results.
const FINISH: u64 = 1000;
/// For each vector of sums that is fetched and put back in a pass; twice that where a matrix unit waits for it.
const PASS: u64 = 900;

/// Elements of the columns' operand that a tile of few rows reads: as much as the first-level cache holds.
const FEW_READ: u64 = 8192;
/// The same where it lies packed: a tile of this many is large enough …
const FEW_PACKED: u64 = 49152;
/// … and there are at least so many tiles, so that threads of unequal speed end together.
const FEW_TILES: u64 = 48;

/// Block sizes, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Lanes of a vector.
    pub lanes: u16,
    /// Whether a multiplication and an addition are one instruction; otherwise they round one after the other.
    pub fuses: bool,
    /// Whether a matrix unit computes the sums, see [`super::tiles`]: register blocks are its blocks.
    pub tiles: bool,
    /// Rows of a register block; divides the lanes, save those of a matrix unit.
    pub mr: u32,
    /// Vectors of a register block.
    pub nr: u32,
    /// Rows of a tile; a multiple of `mr`, and of the lanes where `a` is read along its rows.
    pub mc: u32,
    /// Columns of a tile; a multiple of the lanes.
    pub nc: u32,
    /// Places of the summed dimension taken at a time; a multiple of the lanes.
    pub kc: u32,
}

impl Blocks {
    /// Blocks for a product; `ready` says that the columns' operand lies packed in memory.
    pub fn choose(problem: &Problem, axes: &Axes, machine: &Machine, ready: bool) -> Self {
        let (time, vectors) = Self::of(problem, axes, machine, (ready, false));
        let (_, m, n, k) = estimate(problem, axes, 1);
        let fits = u32::from(machine.lanes) == SQUARE && problem.few().is_none() && m.min(n).min(k) >= u64::from(SIDE);
        if machine.unit != Unit::Absent && fits {
            let (less, tiles) = Self::of(problem, axes, machine, (ready, true));
            if less < time || machine.unit == Unit::Always {
                return tiles;
            }
        }
        vectors
    }

    /// The same blocks for vectors, where the rows turn out to be fewer than those of a block of a matrix unit.
    pub fn for_vectors(&self, problem: &Problem, axes: &Axes, machine: &Machine) -> Self {
        let (_, vectors) = Self::of(problem, axes, machine, (true, false));
        Self { mc: self.mc, nc: self.nc, ..vectors }
    }

    /// The best blocks with or without a matrix unit, and an estimate of their time.
    fn of(problem: &Problem, axes: &Axes, machine: &Machine, (ready, tiles): (bool, bool)) -> (u128, Self) {
        let (lanes, fuses) = (machine.lanes, machine.fuses());
        // Registers: `mr · nr` sums, `nr` vectors of `b`, one of `a`.
        let (mr, nr) = match (lanes, machine.registers) {
            _ if tiles => (u64::from(SIDE), SIDE / u32::from(lanes)),
            (16, _) => (8, 3),
            (8, 32..) => (8, 3),
            (8, _) => (4, 3),
            (_, 32..) => (4, 4),
            // One more for what is multiplied before it is added.
            _ => (4, 2),
        };
        let [few, many] = [0, 1].map(|i| estimate(problem, axes, i));
        let (_, m, n, k) = many;
        // Columns are a whole number of vectors, or of blocks; so is the sum.
        let width = if tiles { u64::from(SIDE) } else { u64::from(lanes) };
        let step = if problem.a_along == Along::Own { width.max(mr) } else { mr };
        if problem.few().is_some() {
            // Tiles for several threads; each packs the rows anew. What is read of a tile should lie together: all of the sum
            // where it lies along that, else many columns.
            let passes = k.div_ceil(4096);
            // Places are taken up to eight at a time, and only the last block may have some over.
            let kc = k.div_ceil(passes).next_multiple_of((2 * width).max(8));
            let nc = match problem.b_along {
                Along::Own if !ready => n.div_ceil(4).clamp(384, 1024),
                // Small ones; packed columns some more at a time, because the rows are evaluated again and the outputs finished for
                // each tile, and memory waits meanwhile.
                _ if ready => (n / FEW_TILES).clamp(FEW_READ / k.max(1), FEW_PACKED / k.max(1)),
                _ => FEW_READ / k.max(1),
            };
            let nc = nc.clamp(1, n.max(1));
            // Columns are taken up to eight at a time.
            let nc = nc.next_multiple_of(width.max(8));
            return (0, Self { lanes, fuses, tiles, mr: mr as u32, nr, mc: m as u32, nc: nc as u32, kc: kc as u32 });
        }
        let packs = tiles || !ready;
        let most = if !packs { MOST_READY } else { MOST_COLUMNS };
        let longest: &[u64] = match problem.a_along {
            Along::Own if tiles => &[384, 192],
            Along::Own => &[192],
            Along::Sum if !packs => &[384],
            Along::Sum => &[768, 384],
        };
        let mut best = (u128::MAX, step, width, width);
        for &longest in longest {
            // Passes over the summed dimension of about equal length.
            let passes = k.div_ceil(longest);
            let kc = k.div_ceil(passes).next_multiple_of(width);
            for mc in candidates(m, step, 1024) {
                for nc in candidates(n, width, 768) {
                    let packed = if packs { nc * (kc + 1) } else { 0 };
                    let rows = match problem.a_along {
                        Along::Own => mc * (kc + 1),
                        Along::Sum if tiles => 2 * mr * (kc + width),
                        Along::Sum => mr * (kc + width),
                    };
                    let sums = nc * if passes == 1 { mr } else { mc };
                    // Parts of a number take half as much again.
                    let packed = if tiles { (packed + rows) * 3 / 2 } else { packed + rows };
                    if nc * kc > most.max(width * kc) || packed + sums > if tiles { MOST_TILES } else { MOST_SCRATCH } {
                        continue;
                    }
                    // Relative to the work that there is, so that both count alike.
                    let relative = |size: (u64, u64, u64, u64)| {
                        let work = u128::from(size.0) * u128::from(size.1) * u128::from(size.2) * u128::from(size.3);
                        let blocks = (mc, nc, size.3.div_ceil(kc));
                        let register = (mr, u64::from(nr), u64::from(lanes));
                        u128::from(time(problem, size, blocks, register, (ready, tiles, machine))) * 1_000_000 / work.max(1)
                    };
                    let time = relative(few) + relative(many);
                    if time < best.0 {
                        best = (time, mc, nc, kc);
                    }
                }
            }
        }
        let blocks =
            Self { lanes, fuses, tiles, mr: mr as u32, nr, mc: best.1 as u32, nc: best.2 as u32, kc: best.3 as u32 };
        (best.0, blocks)
    }

    /// Elements from one row of packed `a` to the next, where it lies along the sum; not a power of two.
    pub fn row_stride(&self) -> u32 {
        self.kc + u32::from(self.lanes)
    }

    /// `a · b + c`
    pub fn fma(&self, w: &mut Writer, a: Reg, b: Reg, c: Reg) -> Reg {
        if self.fuses {
            return w.fma(a, b, c);
        }
        let product = w.mul(a, b);
        w.add(product, c)
    }

    /// Vectors from one stream of a packed operand to the next, where it lies along its own dimension.
    pub fn stream(&self) -> u32 {
        self.kc + 1
    }
}

/// Batch, rows, columns and places of the sum, each the smaller or the larger one that is expected.
fn estimate(problem: &Problem, axes: &Axes, which: usize) -> (u64, u64, u64, u64) {
    let at = |group: &Group| axes.typically(&group.volume()).map_or(TYPICAL, |n| [n.clamp(1, 1 << 32) as u64; 2])[which];
    // Segments are of uneven length: half as long again as they would be, were all alike.
    let uneven = |all: u64, segments: u64| (all * 3 / 2).div_ceil(segments);
    let (batch, m, n, k) = (at(&problem.batch), at(&problem.rows), at(&problem.columns), at(&problem.sum));
    match problem.segment {
        Some(segment) if segment.of_rows => (batch, uneven(m, batch), n, k),
        Some(_) => (batch, m, n, uneven(k, batch)),
        None => (batch, m, n, k),
    }
}

/// Block lengths to be tried: equal parts of a dimension, up to a most.
fn candidates(size: u64, step: u64, most: u64) -> Vec<u64> {
    let mut out: Vec<u64> = (1..=16)
        .map(|parts| size.div_ceil(parts).next_multiple_of(step))
        .chain([48, 64, 96, 128, 192, 256, 384].map(|n: u64| n.next_multiple_of(step)))
        .filter(|&n| n <= most.next_multiple_of(step) && n <= size.next_multiple_of(step))
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// An estimate of the time on two threads, in hundredths of a vector operation.
fn time(
    problem: &Problem,
    (batch, m, n, k): (u64, u64, u64, u64),
    (mc, nc, passes): (u64, u64, u64),
    (mr, nr, lanes): (u64, u64, u64),
    (ready, unit, machine): (bool, bool, &Machine),
) -> u64 {
    let packed = |own: u64, cost: u64| {
        let stays = own.saturating_mul(k).saturating_mul(4) <= u64::from(machine.l2);
        if stays { cost / NEAR } else { cost }
    };
    let of_b = match (problem.b_along, unit) {
        (_, false) if ready => FETCH,
        (_, true) if ready => PARTS,
        (Along::Sum, false) => packed(n, TRANSPOSE),
        (Along::Own, false) => packed(n, COPY),
        (_, true) => PARTS + packed(n, TRANSPOSE + 2 * PARTS),
    };
    let (tiles_m, tiles_n) = (m.div_ceil(mc), n.div_ceil(nc));
    let tiles = batch.saturating_mul(tiles_m).saturating_mul(tiles_n);
    let width = if unit { nr * lanes } else { lanes };
    let (rows, columns) = (mc.min(m).next_multiple_of(mr), nc.min(n).next_multiple_of(width));
    let vectors = columns / lanes;
    // A register block of few vectors waits for loads; see [`super::micro::multiply`] for how many there are.
    let narrow = match vectors % nr {
        1 if nr > 2 => (nr + 1).min(vectors),
        rest => rest,
    };
    let multiply = match vectors {
        _ if unit => rows * k * vectors * 24,
        1 => rows * k * 75,
        _ => rows * k * (54 * (vectors - narrow) + 60 * narrow),
    };
    let of_a = match problem.rows_in_place() {
        _ if unit => PARTS + packed(m, COPY + PARTS),
        Some(_) => FETCH,
        None => packed(m, COPY),
    };
    let packing = match unit {
        false => rows * of_a + columns * of_b,
        true => {
            let between = |all: u64, first: u64, by: u64| first + all.saturating_sub(first) / by;
            let a = if problem.a_along == Along::Own { rows } else { between(rows, mr, ROWS_BETWEEN) };
            let b = if problem.b_along == Along::Own && !ready { columns } else { between(columns, width, COLUMNS_BETWEEN) };
            a * of_a + b * of_b
        }
    };
    let packing = packing * k / lanes;
    let pass = if unit { 2 * PASS } else { PASS };
    let one =
        multiply.saturating_add(packing).saturating_add(rows * vectors * (FINISH + passes * pass)).saturating_add(20_000);
    // Small work stays on one thread; large work should divide among several.
    let large = batch.saturating_mul(m).saturating_mul(n).saturating_mul(k) >= 1 << 20;
    let rounds = if large { tiles.div_ceil(4) * 4 } else { tiles };
    one.saturating_mul(rounds)
}
