//! A plain interpreter of kernels: what each instruction means, checked as it runs. Schedules are tested with it, and targets
//! can be measured against it.

use std::collections::HashMap;

use weft_dsl::elementwise::{Elementwise, Signature};

use super::tiles::{self, Work};
use super::{Dtype, Inst, Kernel, Place, Reg, Shape, Stmt};
use crate::graph::philox::philox;

/// What went wrong: a register read before it was assigned, shapes that do not fit, a place outside its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

/// Runs the tiles from 0 to `tiles`. Arguments hold an element each place, truth values as 0 and 1. Where `wide`, 32-bit floats
/// are not rounded, so that what is left is the kernel's logic.
pub fn run(kernel: &Kernel, args: &mut [Vec<f64>], sizes: &[i64], tiles: i64, wide: bool) -> Result<(), Fault> {
    for tile in 0..tiles {
        let mut machine = Machine {
            kernel,
            wide,
            args,
            sizes,
            tile,
            registers: vec![None; kernel.registers.len()],
            assigned: Vec::new(),
            scratch: HashMap::new(),
            sums: Vec::new(),
        };
        machine.block(&kernel.body)?;
    }
    Ok(())
}

struct Machine<'a> {
    kernel: &'a Kernel,
    wide: bool,
    args: &'a mut [Vec<f64>],
    sizes: &'a [i64],
    tile: i64,
    registers: Vec<Option<Vec<f64>>>,
    /// Registers in the order of their assignment, so that a block's are forgotten at its end.
    assigned: Vec<Reg>,
    scratch: HashMap<(u32, i64), f64>,
    /// What a matrix unit holds.
    sums: Vec<f64>,
}

fn fault<T>(text: String) -> Result<T, Fault> {
    Err(Fault(text))
}

impl Machine<'_> {
    fn shape(&self, reg: Reg) -> Shape {
        self.kernel.registers[reg.0 as usize]
    }

    fn get(&self, reg: Reg) -> Result<Vec<f64>, Fault> {
        self.registers[reg.0 as usize].clone().ok_or_else(|| Fault(format!("register {} is not assigned", reg.0)))
    }

    fn one(&self, reg: Reg) -> Result<i64, Fault> {
        let value = self.get(reg)?;
        if value.len() == 1 { Ok(value[0] as i64) } else { fault(format!("register {} is not a scalar", reg.0)) }
    }

    fn set(&mut self, reg: Reg, value: Vec<f64>) -> Result<(), Fault> {
        let shape = self.shape(reg);
        if value.len() != usize::from(shape.lanes) {
            return fault(format!("register {} has {} lanes, not {}", reg.0, shape.lanes, value.len()));
        }
        self.registers[reg.0 as usize] = Some(value.into_iter().map(|v| self.rounded(v, shape.dtype)).collect());
        self.assigned.push(reg);
        Ok(())
    }

    /// Runs statements.
    fn block(&mut self, stmts: &[Stmt]) -> Result<(), Fault> {
        for stmt in stmts {
            self.stmt(stmt)?;
        }
        Ok(())
    }

    /// Runs a block; what it assigned is forgotten at its end.
    fn inner(&mut self, stmts: &[Stmt], results: &[Reg]) -> Result<Vec<Vec<f64>>, Fault> {
        let before = self.assigned.len();
        self.block(stmts)?;
        let values = results.iter().map(|&r| self.get(r)).collect::<Result<_, _>>();
        for reg in self.assigned.drain(before..) {
            self.registers[reg.0 as usize] = None;
        }
        values
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), Fault> {
        match stmt {
            Stmt::Let(reg, inst) => {
                let value = self.inst(*reg, inst)?;
                self.set(*reg, value)
            }
            Stmt::Store(place, index, value, mask) => {
                let lanes = self.shape(*value).lanes;
                let at = self.one(*index)?;
                self.write(*place, (0..i64::from(lanes)).map(|i| at + i).collect(), *value, *mask)
            }
            Stmt::Scatter(place, index, value, mask) => {
                let at = self.get(*index)?.iter().map(|&i| i as i64).collect();
                self.write(*place, at, *value, *mask)
            }
            Stmt::Fetch(_, index) => self.one(*index).map(drop),
            Stmt::Tiles(work) => self.unit(work),
            Stmt::For { var, from, to, step, carried, body } => {
                let (from, to) = (self.one(*from)?, self.one(*to)?);
                let mut values = carried.iter().map(|c| self.get(c.init)).collect::<Result<Vec<_>, _>>()?;
                let next: Vec<Reg> = carried.iter().map(|c| c.next).collect();
                let mut at = from;
                while at < to {
                    self.set(*var, vec![at as f64])?;
                    for (c, value) in carried.iter().zip(values) {
                        self.set(c.inside, value)?;
                    }
                    values = self.inner(body, &next)?;
                    at += i64::from(*step);
                }
                carried.iter().zip(values).try_for_each(|(c, value)| self.set(c.result, value))
            }
            Stmt::If { cond, then, otherwise } => {
                let taken = if self.one(*cond)? != 0 { then } else { otherwise };
                self.inner(taken, &[]).map(drop)
            }
        }
    }

    fn mask(&self, mask: Option<Reg>, lanes: usize) -> Result<Vec<bool>, Fault> {
        let Some(mask) = mask else { return Ok(vec![true; lanes]) };
        let value = self.get(mask)?;
        if value.len() != lanes || self.shape(mask).dtype != Dtype::Bool {
            return fault(format!("register {} is no mask of {lanes} lanes", mask.0));
        }
        Ok(value.iter().map(|&v| v != 0.0).collect())
    }

    fn read(&self, place: Place, at: Vec<i64>, mask: Option<Reg>) -> Result<Vec<f64>, Fault> {
        let mask = self.mask(mask, at.len())?;
        at.iter()
            .zip(mask)
            .map(|(&at, there)| match (there, place) {
                (false, _) => Ok(0.0),
                (true, Place::Arg(number)) => {
                    let value = usize::try_from(at).ok().and_then(|i| self.args[number as usize].get(i));
                    value.copied().ok_or_else(|| Fault(format!("argument {number} is read at {at}")))
                }
                (true, Place::Scratch(from, _)) => {
                    let value = self.scratch.get(&(from, at));
                    value.copied().ok_or_else(|| Fault(format!("scratch {from} is read at {at} before it is written")))
                }
            })
            .collect()
    }

    fn write(&mut self, place: Place, at: Vec<i64>, value: Reg, mask: Option<Reg>) -> Result<(), Fault> {
        let (mask, values) = (self.mask(mask, at.len())?, self.get(value)?);
        let own = match place {
            Place::Arg(number) => self.kernel.args[number as usize],
            Place::Scratch(_, dtype) => dtype,
        };
        if values.len() != at.len() || own != self.shape(value).dtype {
            return fault(format!("register {} does not fit {place:?}", value.0));
        }
        for ((at, value), there) in at.into_iter().zip(values).zip(mask) {
            match (there, place) {
                (false, _) => {}
                (true, Place::Arg(number)) => {
                    match usize::try_from(at).ok().and_then(|i| self.args[number as usize].get_mut(i)) {
                        Some(slot) => *slot = value,
                        None => return fault(format!("argument {number} is written at {at}")),
                    }
                }
                (true, Place::Scratch(from, dtype)) => {
                    let end = i64::from(from) + (at + 1) * i64::from(dtype.bytes());
                    if at < 0 || end > i64::from(self.kernel.scratch) {
                        return fault(format!("scratch {from} is written at {at}"));
                    }
                    self.scratch.insert((from, at), value);
                }
            }
        }
        Ok(())
    }

    fn inst(&mut self, reg: Reg, inst: &Inst) -> Result<Vec<f64>, Fault> {
        let Shape { dtype, lanes } = self.shape(reg);
        Ok(match inst {
            Inst::Tile => vec![self.tile as f64],
            Inst::Size(number) => match self.sizes.get(*number as usize) {
                Some(&size) => vec![size as f64],
                None => return fault(format!("no size {number}")),
            },
            Inst::Constant(value) => vec![value.0; usize::from(lanes)],
            Inst::Map(op, operands) => self.map(*op, operands, lanes)?,
            Inst::Fma(a, b, c) => {
                for r in [a, b, c] {
                    if self.shape(*r) != (Shape { dtype, lanes }) {
                        return fault(format!("register {} is not of the shape of its fma", r.0));
                    }
                }
                let (a, b, c) = (self.get(*a)?, self.get(*b)?, self.get(*c)?);
                (0..a.len()).map(|i| a[i].mul_add(b[i], c[i])).collect()
            }
            Inst::Convert(value) => self.get(*value)?,
            Inst::Splat(value) => {
                let value = self.get(*value)?;
                if value.len() != 1 || self.shape(reg).dtype != dtype {
                    return fault("a splat of a vector".into());
                }
                vec![value[0]; usize::from(lanes)]
            }
            Inst::Iota => (0..lanes).map(f64::from).collect(),
            Inst::Load(place, index, mask) => {
                let at = self.one(*index)?;
                self.read(*place, (0..i64::from(lanes)).map(|i| at + i).collect(), *mask)?
            }
            Inst::Gather(place, index, mask) => {
                let at = self.get(*index)?.iter().map(|&i| i as i64).collect();
                self.read(*place, at, *mask)?
            }
            Inst::Extract(value, lane) => vec![self.get(*value)?[usize::from(*lane)]],
            Inst::Shuffle(a, b, lanes) => {
                let all = [self.get(*a)?, self.get(*b)?].concat();
                lanes.iter().map(|&l| all[usize::from(l)]).collect()
            }
            Inst::Fold(monoid, value) => {
                let own = self.shape(*value).dtype;
                let mut value = self.get(*value)?;
                while value.len() > 1 {
                    let upper = value.split_off(value.len() / 2);
                    let join = |(&a, &b): (&f64, &f64)| self.rounded((monoid.join().row().eval)(&[a, b]), own);
                    value = value.iter().zip(&upper).map(join).collect();
                }
                value
            }
            Inst::Upper(value) => self.get(*value)?.iter().map(|&v| f64::from(tiles::upper(v as f32))).collect(),
            Inst::Uppers(below, above) => {
                let upper = |v: f64| (v as f32).to_bits() >> 16;
                let pairs = self.get(*below)?.into_iter().zip(self.get(*above)?);
                pairs.map(|(b, a)| f64::from((upper(b) | upper(a) << 16) as i32)).collect()
            }
            Inst::Philox(key, counter, word) => {
                let lane = |r: &Reg, i: usize| -> Result<u32, Fault> { Ok(self.get(*r)?[i] as i64 as u32) };
                (0..usize::from(lanes))
                    .map(|i| {
                        let key = [lane(&key[0], i)?, lane(&key[1], i)?];
                        let counter =
                            [lane(&counter[0], i)?, lane(&counter[1], i)?, lane(&counter[2], i)?, lane(&counter[3], i)?];
                        Ok(f64::from(philox(counter, key)[usize::from(*word)] as i32))
                    })
                    .collect::<Result<_, Fault>>()?
            }
        })
    }

    /// What was never written is no number: of rows and columns beyond the operands', whose sums nobody reads.
    fn unit(&mut self, work: &Work) -> Result<(), Fault> {
        let [side, square] = [tiles::SIDE, tiles::SQUARE].map(i64::from);
        let place = |place: Place, of: Dtype| match place {
            Place::Scratch(from, dtype) if dtype == of => Ok(from),
            _ => fault("a matrix unit works in scratch memory".into()),
        };
        let each = (0..side).flat_map(|i| (0..side).map(move |j| (i, j)));
        match work {
            Work::Begin { sums, stride, goes_on } => {
                let (from, first) = (place(sums.0, Dtype::F32)?, self.one(sums.1)?);
                let goes_on = goes_on.map(|r| self.one(r)).transpose()? == Some(1);
                let there = |(i, j): (i64, i64)| self.scratch.get(&(from, first + i * i64::from(*stride) + j)).copied();
                self.sums = each.map(|at| there(at).filter(|_| goes_on).unwrap_or(0.0)).collect();
            }
            Work::Step { .. } | Work::End { .. } if self.sums.is_empty() => {
                return fault("no block of sums is begun".into());
            }
            Work::Step { rows, columns } => {
                let (of_rows, of_columns) = (place(rows.0, Dtype::I32)?, place(columns.0, Dtype::I32)?);
                let (left, right) = (self.one(rows.1)?, self.one(columns.1)?);
                let scratch = &self.scratch;
                let part = |from: u32, at: i64| {
                    let element = scratch.get(&(from, at));
                    element.map_or([f64::NAN; 2], |&element| tiles::halves(element as i32).map(f64::from))
                };
                for ((i, j), sum) in each.zip(&mut self.sums) {
                    for (p, q) in tiles::PAIRS.map(|(p, q)| [p, q].map(|part| i64::from(part * tiles::PLANE)).into()) {
                        for k in 0..square {
                            let (x, row) = (part(of_rows, left + p + i * square + k), j / square * square + k);
                            let y = part(of_columns, right + q + row * square + j % square);
                            *sum += x[0] * y[0] + x[1] * y[1];
                        }
                    }
                }
            }
            Work::End { sums, stride } => {
                let (from, first) = (place(sums.0, Dtype::F32)?, self.one(sums.1)?);
                for ((i, j), sum) in each.zip(std::mem::take(&mut self.sums)) {
                    let at = first + i * i64::from(*stride) + j;
                    if at < 0 || i64::from(from) + (at + 1) * 4 > i64::from(self.kernel.scratch) {
                        return fault(format!("scratch {from} is written at {at}"));
                    }
                    let sum = self.rounded(sum, Dtype::F32);
                    self.scratch.insert((from, at), sum);
                }
            }
        }
        Ok(())
    }

    fn map(&self, op: Elementwise, operands: &[Reg], lanes: u16) -> Result<Vec<f64>, Fault> {
        let shapes: Vec<Shape> = operands.iter().map(|&r| self.shape(r)).collect();
        let same = match op.row().signature {
            Signature::Select => shapes[0].dtype == Dtype::Bool && shapes[1] == shapes[2],
            Signature::Logic => shapes.iter().all(|s| s.dtype == Dtype::Bool),
            _ => shapes.iter().all(|s| *s == shapes[0]),
        };
        if !same || shapes.iter().any(|s| s.lanes != lanes) {
            return fault(format!("{op:?} of {shapes:?}"));
        }
        let values = operands.iter().map(|&r| self.get(r)).collect::<Result<Vec<_>, _>>()?;
        let at = |i: usize| -> Vec<f64> { values.iter().map(|v| v[i]).collect() };
        Ok((0..usize::from(lanes)).map(|i| (op.row().eval)(&at(i))).collect())
    }

    /// A number as a dtype holds it.
    fn rounded(&self, value: f64, dtype: Dtype) -> f64 {
        match dtype {
            Dtype::F32 if self.wide => value,
            Dtype::F32 => f64::from(value as f32),
            Dtype::F64 => value,
            Dtype::I32 => f64::from(value as i64 as i32),
            Dtype::I64 => value.trunc(),
            Dtype::Bool => f64::from(u8::from(value != 0.0)),
        }
    }
}
