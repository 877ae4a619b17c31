//! Loads and stores, masked or not, and their checks.

use anyhow::Result;

use super::emit::Emit;
use super::text::{Code, Elem, Ty, Value};
use crate::kernel::{Dtype, Place, Reg, STATUS_BYTES, Shape};

/// Writes to the status what went wrong first.
const FAULT: &str = "define internal void @weft.fault(ptr %scratch, i64 %place, i64 %index) cold noinline nounwind {
  %seen = load i64, ptr %scratch, align 8
  %first = icmp eq i64 %seen, 0
  br i1 %first, label %write, label %done
write:
  store i64 %place, ptr %scratch, align 8
  %second = getelementptr inbounds i8, ptr %scratch, i64 8
  store i64 %index, ptr %second, align 8
  br label %done
done:
  ret void
}
";

/// Which elements an access touches.
struct Access {
    place: Place,
    /// The index register's value and shape.
    index: Value,
    shape: Shape,
    lanes: u16,
    mask: Option<Value>,
}

/// Indices as values.
enum Indices<'a> {
    /// The first of a run.
    Run(&'a str),
    /// Each lane's.
    Each(&'a str),
}

impl Access {
    /// Whether each lane has its own index.
    fn scattered(&self) -> bool {
        self.shape.lanes > 1
    }
}

impl Emit<'_, '_> {
    fn access(&mut self, place: Place, index: Reg, lanes: u16, mask: Option<Reg>) -> Result<Access> {
        let mask = mask.map(|mask| self.value(mask)).transpose()?;
        let mut access = Access { place, index: self.value(index)?, shape: self.shape(index), lanes, mask };
        if self.checked {
            access.mask = Some(self.check(&access));
        }
        Ok(access)
    }

    /// Lanes that follow one another.
    pub fn load(&mut self, result: Shape, place: Place, index: Reg, mask: Option<Reg>) -> Result<Value> {
        let access = self.access(place, index, result.lanes, mask)?;
        let ty = Ty::new(Elem::stored(result.dtype), result.lanes);
        let (at, align) = (self.address(&access), ty.elem.bytes());
        let value = match &access.mask {
            None => self.code.let_(format_args!("load {ty}, ptr {at}, align {align}")),
            Some(mask) => {
                let mask = self.as_vector(ty.with(Elem::I1), mask);
                let name = format!("llvm.masked.load.{}.p0", ty.vector_suffix());
                let args = [
                    (format!("ptr align {align}"), at.as_str()),
                    (ty.with(Elem::I1).vector(), mask.as_str()),
                    (ty.vector(), "zeroinitializer"),
                ];
                let loaded = self.code.call(&ty.vector(), &name, &args);
                self.as_scalar(ty, loaded)
            }
        };
        Ok(self.in_register(result.dtype, ty, value))
    }

    /// Lanes from an index each.
    pub fn gather(&mut self, result: Shape, place: Place, index: Reg, mask: Option<Reg>) -> Result<Value> {
        if result.lanes == 1 {
            return self.load(result, place, index, mask);
        }
        let access = self.access(place, index, result.lanes, mask)?;
        let ty = Ty::new(Elem::stored(result.dtype), result.lanes);
        let at = self.address(&access);
        let mask = access.mask.unwrap_or_else(|| ty.with(Elem::I1).int(1));
        let pointers = ty.with(Elem::Ptr);
        let args = [
            (format!("{pointers} align {}", ty.elem.bytes()), at.as_str()),
            (ty.with(Elem::I1).to_string(), mask.as_str()),
            (ty.to_string(), "zeroinitializer"),
        ];
        let name = format!("llvm.masked.gather.{}.{}", ty.suffix(), pointers.suffix());
        let value = self.code.call(&ty.to_string(), &name, &args);
        Ok(self.in_register(result.dtype, ty, value))
    }

    /// Stores lanes that follow one another, or each at its own index.
    pub fn store(&mut self, place: Place, index: Reg, value: Reg, mask: Option<Reg>) -> Result<()> {
        let (value, shape) = (self.value(value)?, self.shape(value));
        let ty = Ty::new(Elem::stored(shape.dtype), shape.lanes);
        let value = if shape.dtype == Dtype::Bool { self.code.cast("zext", ty.with(Elem::I1), &value, ty) } else { value };
        let access = self.access(place, index, shape.lanes, mask)?;
        let (at, align) = (self.address(&access), ty.elem.bytes());
        let bits = ty.with(Elem::I1);
        if access.scattered() {
            let mask = access.mask.unwrap_or_else(|| bits.int(1));
            let pointers = ty.with(Elem::Ptr);
            let args = [
                (ty.to_string(), value.as_str()),
                (format!("{pointers} align {align}"), at.as_str()),
                (bits.to_string(), mask.as_str()),
            ];
            self.code.call("void", &format!("llvm.masked.scatter.{}.{}", ty.suffix(), pointers.suffix()), &args);
        } else if let Some(mask) = &access.mask {
            let (value, mask) = (self.as_vector(ty, &value), self.as_vector(bits, mask));
            let args =
                [(ty.vector(), value.as_str()), (format!("ptr align {align}"), at.as_str()), (bits.vector(), mask.as_str())];
            self.code.call("void", &format!("llvm.masked.store.{}.p0", ty.vector_suffix()), &args);
        } else {
            let vector = u64::from(ty.lanes);
            let far = matches!(place, Place::Arg(number) if self.kernel.far.contains(&number));
            let align = if far && vector > 1 && self.multiples[index.0 as usize] >= vector {
                format!("{}, !nontemporal !{{i32 1}}", align * u32::from(ty.lanes))
            } else {
                align.to_string()
            };
            self.code.line(format_args!("store {ty} {value}, ptr {at}, align {align}"));
        }
        Ok(())
    }

    /// Asks for a line to the second level of cache: a hint, which no address makes fail.
    pub fn fetch(&mut self, place: Place, index: Reg) -> Result<()> {
        let at = self.element(place, &self.value(index)?, Ty::of(self.shape(index)), "");
        let args = [("ptr".into(), at.as_str()), ("i32".into(), "0"), ("i32".into(), "2"), ("i32".into(), "1")];
        self.code.call("void", "llvm.prefetch.p0", &args);
        Ok(())
    }

    /// The address, or each lane's. Only accesses that surely happen say that they stay within the buffer.
    fn address(&mut self, access: &Access) -> Value {
        let inbounds = if access.mask.is_none() { "inbounds " } else { "" };
        self.element(access.place, &access.index, Ty::of(access.shape), inbounds)
    }

    /// Whether an element is within its buffer; one that is not is reported.
    pub fn is_within(&mut self, place: Place, index: Value) -> Value {
        let shape = Shape { dtype: Dtype::I64, lanes: 1 };
        self.check(&Access { place, index, shape, lanes: 1, mask: None })
    }

    /// The address of an element, or of several.
    pub fn element(&mut self, place: Place, index: &str, ty: Ty, inbounds: &str) -> Value {
        let (base, dtype) = match place {
            Place::Arg(number) => (format!("%arg{number}"), self.kernel.args[number as usize]),
            Place::Scratch(at, dtype) => {
                (self.code.let_(format_args!("getelementptr inbounds i8, ptr %scratch, i64 {at}")), dtype)
            }
        };
        let element = Ty::new(Elem::stored(dtype), 1);
        self.code.let_(format_args!("getelementptr {inbounds}{element}, ptr {base}, {ty} {index}"))
    }

    /// Masked intrinsics know vectors only.
    fn as_vector(&mut self, ty: Ty, value: &str) -> Value {
        if ty.lanes > 1 {
            return value.to_string();
        }
        self.code.let_(format_args!("insertelement {} poison, {ty} {value}, i64 0", ty.vector()))
    }

    fn as_scalar(&mut self, ty: Ty, value: Value) -> Value {
        if ty.lanes > 1 {
            return value;
        }
        self.code.let_(format_args!("extractelement {} {value}, i64 0", ty.vector()))
    }

    fn in_register(&mut self, dtype: Dtype, ty: Ty, value: Value) -> Value {
        if dtype == Dtype::Bool { self.code.binary("icmp ne", ty, &value, &ty.int(0)) } else { value }
    }

    /// Reports the first lane out of bounds; gives the lanes that may be touched.
    fn check(&mut self, access: &Access) -> Value {
        if !self.code.shared.has_helper("weft.fault") {
            self.code.shared.set_helper("weft.fault", FAULT.to_string());
        }
        let wide = Ty::new(Elem::I64, access.lanes);
        let scalar = Ty::new(Elem::I64, 1);
        let index = match access.shape.dtype {
            Dtype::I64 => access.index.clone(),
            _ => self.code.cast("sext", Ty::of(access.shape), &access.index, Ty::of(access.shape).with(Elem::I64)),
        };
        let run = access.lanes > 1 && !access.scattered();
        let each = if run {
            let first = self.splat(scalar, &index, access.lanes);
            self.code.binary("add", wide, &first, &wide.iota())
        } else {
            index.clone()
        };
        let (number, length) = match access.place {
            Place::Arg(number) => (u64::from(number) + 1, format!("%len{number}")),
            Place::Scratch(at, dtype) => {
                let bytes = self.kernel.scratch.max(STATUS_BYTES) - at.min(self.kernel.scratch);
                (self.kernel.args.len() as u64 + 1, (bytes / dtype.bytes()).to_string())
            }
        };
        let length = self.splat(scalar, &length, access.lanes);
        let bits = wide.with(Elem::I1);
        // Without sign, so that negative indices are too large as well.
        let within = self.code.binary("icmp ult", wide, &each, &length);
        let beyond = self.code.binary("xor", bits, &within, &bits.int(1));
        let (beyond, allowed) = match &access.mask {
            None => (beyond, within),
            Some(mask) => (self.code.binary("and", bits, &beyond, mask), self.code.binary("and", bits, &within, mask)),
        };
        self.report(wide, if run { Indices::Run(&index) } else { Indices::Each(&each) }, &beyond, number);
        allowed
    }

    /// Calls the fault's function if a lane is beyond.
    fn report(&mut self, wide: Ty, indices: Indices, beyond: &str, number: u64) {
        let (fault, on) = (self.code.label("fault"), self.code.label("on"));
        let lanes = wide.lanes;
        let word = format!("i{lanes}");
        let bits = self.code.let_(format_args!("bitcast {} {beyond} to {word}", wide.with(Elem::I1)));
        let any = self.code.let_(format_args!("icmp ne {word} {bits}, 0"));
        self.code.line(format_args!("br i1 {any}, label %{fault}, label %{on}"));
        self.code.start(&fault);
        let lane = |code: &mut Code| {
            code.call(&word, &format!("llvm.cttz.{word}"), &[(word.clone(), &bits), ("i1".into(), "true")])
        };
        let index = match indices {
            Indices::Each(each) if lanes == 1 => each.to_string(),
            Indices::Each(each) => {
                let lane = lane(&mut self.code);
                self.code.let_(format_args!("extractelement {wide} {each}, {word} {lane}"))
            }
            Indices::Run(first) => {
                let lane = lane(&mut self.code);
                let lane = self.code.let_(format_args!("zext {word} {lane} to i64"));
                self.code.binary("add", Ty::new(Elem::I64, 1), first, &lane)
            }
        };
        let number = number.to_string();
        let args = [("ptr".to_string(), "%scratch"), ("i64".to_string(), &*number), ("i64".to_string(), &*index)];
        self.code.call_known("void", "weft.fault", &args);
        self.code.line(format_args!("br label %{on}"));
        self.code.start(&on);
    }
}
