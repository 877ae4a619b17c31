//! What registers are assigned, save for memory.

use anyhow::{Result, bail, ensure};
use weft_dsl::op::Monoid;

use super::emit::Emit;
use super::map::map;
use super::philox::philox;
use super::text::{Elem, Ty, Value};
use crate::kernel::{Dtype, Inst, Reg, Shape};

impl Emit<'_, '_> {
    /// The value of an instruction whose result has a shape.
    pub fn instruction(&mut self, shape: Shape, inst: &Inst) -> Result<Value> {
        let ty = Ty::of(shape);
        Ok(match inst {
            Inst::Tile => "%tile.index".to_string(),
            Inst::Size(number) => {
                ensure!(*number < self.kernel.sizes, "there is no such size");
                format!("%size{number}")
            }
            Inst::Constant(number) => ty.number(number.0),
            Inst::Iota => ty.iota(),
            Inst::Map(op, operands) => {
                let values = operands.iter().map(|&r| self.operand(r)).collect::<Result<Vec<_>>>()?;
                map(&mut self.code, *op, &values)?
            }
            Inst::Fma(a, b, c) => {
                let (a, b, c) = (self.value(*a)?, self.value(*b)?, self.value(*c)?);
                self.code.intrinsic("fma", ty, &[&a, &b, &c])
            }
            Inst::Convert(from) => {
                let (value, from) = self.operand(*from)?;
                self.convert(&value, from.dtype, shape)
            }
            Inst::Splat(scalar) => {
                let (value, from) = self.operand(*scalar)?;
                self.splat(Ty::of(from), &value, shape.lanes)
            }
            Inst::Load(place, index, mask) => {
                self.known(*place)?;
                self.load(shape, *place, *index, *mask)?
            }
            Inst::Gather(place, index, mask) => {
                self.known(*place)?;
                self.gather(shape, *place, *index, *mask)?
            }
            Inst::Extract(from, lane) => {
                let (value, from) = self.operand(*from)?;
                ensure!(*lane < from.lanes, "there is no such lane");
                if from.lanes == 1 {
                    return Ok(value);
                }
                self.code.let_(format_args!("extractelement {} {value}, i64 {lane}", Ty::of(from)))
            }
            Inst::Shuffle(a, b, lanes) => self.shuffle(*a, *b, lanes)?,
            Inst::Fold(monoid, value) => {
                let (value, from) = self.operand(*value)?;
                self.fold(*monoid, value, from)?
            }
            Inst::Upper(value) => {
                let (value, bits) = (self.bits(*value)?, ty.with(Elem::I32));
                let more = self.code.binary("add", bits, &value, &bits.int(0x8000));
                let upper = self.code.binary("and", bits, &more, &bits.int(-0x1_0000));
                self.code.cast("bitcast", bits, &upper, ty)
            }
            Inst::Uppers(below, above) => {
                let (below, above) = (self.bits(*below)?, self.bits(*above)?);
                let below = self.code.binary("lshr", ty, &below, &ty.int(16));
                let above = self.code.binary("and", ty, &above, &ty.int(-0x1_0000));
                self.code.binary("or", ty, &below, &above)
            }
            Inst::Philox(key, counter, word) => {
                let key = [self.value(key[0])?, self.value(key[1])?];
                let counter =
                    [self.value(counter[0])?, self.value(counter[1])?, self.value(counter[2])?, self.value(counter[3])?];
                ensure!(*word < 4, "a result has four words");
                philox(&mut self.code, ty, key, counter)[usize::from(*word)].clone()
            }
        })
    }

    /// The bits of an F32.
    fn bits(&mut self, reg: Reg) -> Result<Value> {
        let (value, shape) = self.operand(reg)?;
        ensure!(shape.dtype == Dtype::F32, "{reg:?} is not F32");
        let ty = Ty::of(shape);
        Ok(self.code.cast("bitcast", ty, &value, ty.with(Elem::I32)))
    }

    fn operand(&self, reg: Reg) -> Result<(Value, Shape)> {
        Ok((self.value(reg)?, self.shape(reg)))
    }

    fn shuffle(&mut self, a: Reg, b: Reg, lanes: &[u16]) -> Result<Value> {
        let ((a, from), (b, other)) = (self.operand(a)?, self.operand(b)?);
        ensure!(from == other && lanes.iter().all(|&l| l < 2 * from.lanes), "there are no such lanes");
        let ty = Ty::of(from);
        if from.lanes == 1 || lanes.len() == 1 {
            bail!("a shuffle is of vectors");
        }
        let lanes: Vec<String> = lanes.iter().map(|lane| format!("i32 {lane}")).collect();
        let mask = format!("<{} x i32> <{}>", lanes.len(), lanes.join(", "));
        Ok(self.code.let_(format_args!("shufflevector {ty} {a}, {ty} {b}, {mask}")))
    }

    /// Halves against halves: lane `i` with lane `i + n/2`, until one is left.
    fn fold(&mut self, monoid: Monoid, mut value: Value, mut shape: Shape) -> Result<Value> {
        ensure!(shape.lanes.is_power_of_two(), "a fold is of 1, 2, 4, … lanes");
        while shape.lanes > 1 {
            let (ty, half) = (Ty::of(shape), shape.lanes / 2);
            let part = |emit: &mut Self, from: u16| {
                if half == 1 {
                    return emit.code.let_(format_args!("extractelement {ty} {value}, i64 {from}"));
                }
                let lanes: Vec<String> = (from..from + half).map(|lane| format!("i32 {lane}")).collect();
                let mask = format!("<{half} x i32> <{}>", lanes.join(", "));
                emit.code.let_(format_args!("shufflevector {ty} {value}, {ty} poison, {mask}"))
            };
            let (low, high) = (part(self, 0), part(self, half));
            shape.lanes = half;
            value = map(&mut self.code, monoid.join(), &[(low, shape), (high, shape)])?;
        }
        Ok(value)
    }

    /// Integers of truth values are 0 and 1; a float becomes the integer next to it towards zero, the nearest where there is
    /// none so large, and 0 for NaN; another number is true unless it is 0.
    fn convert(&mut self, value: &str, from: Dtype, to: Shape) -> Value {
        let target = Ty::of(to);
        let source = target.with(Elem::of(from));
        let code = &mut self.code;
        match (from, to.dtype) {
            (a, b) if a == b => value.to_string(),
            (Dtype::F32 | Dtype::F64, Dtype::Bool) => code.binary("fcmp une", source, value, &source.float(0.0)),
            (_, Dtype::Bool) => code.binary("icmp ne", source, value, &source.int(0)),
            (Dtype::Bool, Dtype::F32 | Dtype::F64) => code.cast("uitofp", source, value, target),
            (Dtype::Bool, _) => code.cast("zext", source, value, target),
            (Dtype::F32, Dtype::F64) => code.cast("fpext", source, value, target),
            (Dtype::F64, Dtype::F32) => code.cast("fptrunc", source, value, target),
            (Dtype::I32, Dtype::I64) => code.cast("sext", source, value, target),
            (Dtype::I64, Dtype::I32) => code.cast("trunc", source, value, target),
            (_, Dtype::F32 | Dtype::F64) => code.cast("sitofp", source, value, target),
            (Dtype::F32 | Dtype::F64, _) => {
                // `llvm.fptosi.sat` is the same, but of vectors it makes scalar code.
                let bits = to.dtype.bytes() * 8 - 1;
                let (low, high) = (source.float(-(bits as f64).exp2()), source.float((bits as f64).exp2()));
                let largest = target.int(if bits == 31 { i64::from(i32::MAX) } else { i64::MAX });
                let number = code.binary("fcmp ord", source, value, value);
                let number = code.select(source, &number, value, &source.float(0.0));
                let less = code.binary("fcmp olt", source, &number, &low);
                let bounded = code.select(source, &less, &low, &number);
                let more = code.binary("fcmp oge", source, &bounded, &high);
                let bounded = code.select(source, &more, &source.float(0.0), &bounded);
                let integer = code.cast("fptosi", source, &bounded, target);
                code.select(target, &more, &largest, &integer)
            }
            (a, b) => unreachable!("{a:?} to {b:?} is one of the above"),
        }
    }
}
