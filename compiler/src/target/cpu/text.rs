//! Writing LLVM's assembly text: types, constants, and instructions that number their results.
//!
//! Text lets a row of the operator table spell its own instruction, treats scalars and vectors alike, and can be read in tests;
//! LLVM parses a kernel in a fraction of the time that it spends on optimising it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::kernel::{Dtype, Shape};

/// An element as LLVM sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elem {
    /// `float`
    F32,
    /// `double`
    F64,
    /// A truth value in a register.
    I1,
    /// A truth value in memory.
    I8,
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// A pointer.
    Ptr,
}

/// A type: one lane is a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ty {
    /// The element.
    pub elem: Elem,
    /// Lanes.
    pub lanes: u16,
}

/// The name of a value, or a constant; without its type.
pub(super) type Value = String;

impl Elem {
    fn text(self) -> &'static str {
        match self {
            Elem::F32 => "float",
            Elem::F64 => "double",
            Elem::I1 => "i1",
            Elem::I8 => "i8",
            Elem::I32 => "i32",
            Elem::I64 => "i64",
            Elem::Ptr => "ptr",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Elem::F32 => "f32",
            Elem::F64 => "f64",
            Elem::Ptr => "p0",
            _ => self.text(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(self) -> u32 {
        match self {
            Elem::I1 | Elem::I8 => 1,
            Elem::F32 | Elem::I32 => 4,
            Elem::F64 | Elem::I64 | Elem::Ptr => 8,
        }
    }

    /// In a register.
    pub fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Elem::F32,
            Dtype::F64 => Elem::F64,
            Dtype::I32 => Elem::I32,
            Dtype::I64 => Elem::I64,
            Dtype::Bool => Elem::I1,
        }
    }

    /// In memory.
    pub fn stored(dtype: Dtype) -> Self {
        if dtype == Dtype::Bool { Elem::I8 } else { Self::of(dtype) }
    }
}

impl Ty {
    /// Some lanes of an element.
    pub fn new(elem: Elem, lanes: u16) -> Self {
        Self { elem, lanes }
    }

    /// A register's type.
    pub fn of(shape: Shape) -> Self {
        Self::new(Elem::of(shape.dtype), shape.lanes)
    }

    /// As many lanes of another element.
    pub fn with(self, elem: Elem) -> Self {
        Self { elem, ..self }
    }

    /// As intrinsics' names have it: `v16f32`.
    pub fn suffix(self) -> String {
        if self.lanes == 1 { self.elem.short().to_string() } else { self.vector_suffix() }
    }

    /// As [`Ty::suffix`], one lane being a vector too.
    pub fn vector_suffix(self) -> String {
        format!("v{}{}", self.lanes, self.elem.short())
    }

    /// As text, one lane being a vector too.
    pub fn vector(self) -> String {
        format!("<{} x {}>", self.lanes, self.elem.text())
    }

    fn everywhere(self, scalar: impl Display) -> Value {
        if self.lanes == 1 { scalar.to_string() } else { format!("splat ({} {scalar})", self.elem.text()) }
    }

    /// A float in every lane, rounded to the element.
    pub fn float(self, value: f64) -> Value {
        let value = if self.elem == Elem::F32 { f64::from(value as f32) } else { value };
        self.everywhere(format_args!("0x{:016X}", value.to_bits()))
    }

    /// An integer in every lane; for one bit, `true` or `false`.
    pub fn int(self, value: i64) -> Value {
        match self.elem {
            Elem::I1 => self.everywhere(value != 0),
            Elem::I32 => self.everywhere(value as i32),
            _ => self.everywhere(value),
        }
    }

    /// A number of the language in every lane: integers beyond their range saturate if infinite and wrap otherwise, because
    /// keys of random numbers are written as 32 bits without sign.
    pub fn number(self, value: f64) -> Value {
        match self.elem {
            Elem::F32 | Elem::F64 => self.float(value),
            Elem::I32 if value.is_infinite() => self.int(i64::from(value as i32)),
            Elem::I1 => self.int(i64::from(value != 0.0)),
            _ => self.int(value as i64),
        }
    }

    /// 0, 1, 2, …
    pub fn iota(self) -> Value {
        if self.lanes == 1 {
            return "0".to_string();
        }
        let lanes: Vec<String> = (0..self.lanes).map(|lane| format!("{} {lane}", self.elem.text())).collect();
        format!("<{}>", lanes.join(", "))
    }
}

impl Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lanes == 1 { f.write_str(self.elem.text()) } else { f.write_str(&self.vector()) }
    }
}

/// What the functions of a module share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    declarations: BTreeMap<String, String>,
    helpers: BTreeMap<String, String>,
}

impl Shared {
    /// Declares a function of elsewhere.
    pub fn declare(&mut self, name: &str, result: &str, params: &str) {
        if !self.declarations.contains_key(name) {
            self.declarations.insert(name.to_string(), format!("declare {result} @{name}({params})\n"));
        }
    }

    /// Whether a helper is written, or about to be.
    pub fn has_helper(&mut self, name: &str) -> bool {
        let known = self.helpers.contains_key(name);
        if !known {
            self.helpers.insert(name.to_string(), String::new());
        }
        known
    }

    /// The text of a helper that [`Shared::has_helper`] asked for.
    pub fn set_helper(&mut self, name: &str, text: String) {
        self.helpers.insert(name.to_string(), text);
    }

    /// Helpers, then declarations, in the order of their names.
    pub fn finish(self) -> String {
        self.helpers.into_values().chain(self.declarations.into_values()).collect()
    }
}

/// The body of a function, growing.
#[derive(Debug)]
pub(super) struct Code<'m> {
    /// The module's.
    pub shared: &'m mut Shared,
    text: String,
    next: u32,
    /// The label of the block that is being written.
    block: String,
}

impl<'m> Code<'m> {
    /// An empty body, in the block `entry`.
    pub fn new(shared: &'m mut Shared) -> Self {
        Self { shared, text: "entry:\n".to_string(), next: 0, block: "entry".to_string() }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// The label of the block that is being written.
    pub fn block(&self) -> String {
        self.block.clone()
    }

    /// A label that is not used yet.
    pub fn label(&mut self, stem: &str) -> String {
        self.next += 1;
        format!("{stem}{}", self.next)
    }

    /// Starts a block; the last one has ended.
    pub fn start(&mut self, label: &str) {
        let _ = writeln!(self.text, "{label}:");
        self.block = label.to_string();
    }

    /// Puts the text aside, to write what comes later first.
    pub fn set_aside(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Takes up text that was put aside; gives what was written since.
    pub fn take_up(&mut self, before: String) -> String {
        std::mem::replace(&mut self.text, before)
    }

    /// Adds written text.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A line without a result.
    pub fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.text, "  {line}");
    }

    /// An instruction with a result.
    pub fn let_(&mut self, instruction: impl Display) -> Value {
        self.next += 1;
        let name = format!("%t{}", self.next);
        let _ = writeln!(self.text, "  {name} = {instruction}");
        name
    }

    /// `operation type a, b`
    pub fn binary(&mut self, operation: &str, ty: Ty, a: &str, b: &str) -> Value {
        self.let_(format_args!("{operation} {ty} {a}, {b}"))
    }

    /// A conversion: `operation from a to to`.
    pub fn cast(&mut self, operation: &str, from: Ty, a: &str, to: Ty) -> Value {
        self.let_(format_args!("{operation} {from} {a} to {to}"))
    }

    /// `condition ? a : b`, lane by lane.
    pub fn select(&mut self, ty: Ty, condition: &str, a: &str, b: &str) -> Value {
        self.let_(format_args!("select {} {condition}, {ty} {a}, {ty} {b}", ty.with(Elem::I1)))
    }

    /// Calls a function after declaring it.
    pub fn call(&mut self, result: &str, name: &str, args: &[(String, &str)]) -> Value {
        let params: Vec<&str> = args.iter().map(|(ty, _)| ty.as_str()).collect();
        self.shared.declare(name, result, &params.join(", "));
        self.call_known(result, name, args)
    }

    /// Calls a function of this module.
    pub fn call_known(&mut self, result: &str, name: &str, args: &[(String, &str)]) -> Value {
        let args: Vec<String> = args.iter().map(|(ty, value)| format!("{ty} {value}")).collect();
        let call = format!("call {result} @{name}({})", args.join(", "));
        if result == "void" {
            self.line(call);
            Value::new()
        } else {
            self.let_(call)
        }
    }

    /// `llvm.NAME` over operands of one type.
    pub fn intrinsic(&mut self, name: &str, ty: Ty, args: &[&str]) -> Value {
        let args: Vec<(String, &str)> = args.iter().map(|&arg| (ty.to_string(), arg)).collect();
        self.call(&ty.to_string(), &format!("llvm.{name}.{}", ty.suffix()), &args)
    }
}
