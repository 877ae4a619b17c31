//! A kernel as an LLVM function: the loop over tiles, statements, control flow.

use anyhow::{Context, Result, ensure};
use std::fmt::Write;

use super::processor::Cpu;
use super::text::{Code, Elem, Shared, Ty, Value};
use crate::kernel::tiles::is_used;
use crate::kernel::{Carried, Kernel, Place, Reg, Shape, Stmt, multiples};
use crate::schedule::Unit;

/// What is being written.
pub(super) struct Emit<'k, 'm> {
    /// The kernel.
    pub kernel: &'k Kernel,
    /// Its code so far.
    pub code: Code<'m>,
    /// Whether accesses are checked.
    pub checked: bool,
    /// Whether the processor has a matrix unit.
    pub is_amx: bool,
    /// Of which power of two each register is a multiple, where some results lie far.
    pub multiples: Vec<u64>,
    /// What each register is called.
    values: Vec<Option<Value>>,
}

/// The function of a kernel, as text; `shared` collects what it calls.
///
/// # Errors
/// When the kernel is not well formed; the statement is named.
pub(super) fn function(name: &str, kernel: &Kernel, cpu: &Cpu, checked: bool, shared: &mut Shared) -> Result<String> {
    ensure!(
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.$".contains(c)),
        "`{name}` is not a symbol"
    );
    let far = !kernel.far.is_empty();
    let multiples = if far { multiples(kernel) } else { Vec::new() };
    let (code, values) = (Code::new(shared), vec![None; kernel.registers.len()]);
    let mut emit = Emit { kernel, code, checked, is_amx: cpu.machine().unit != Unit::Absent, multiples, values };
    emit.arguments();
    let uses_unit = is_used(&kernel.body);
    if uses_unit {
        emit.ready_unit()?;
    }
    let from = emit.code.block();
    let (head, body, done) = ("tiles", "tile", "done");
    emit.code.line(format_args!("br label %{head}"));
    let before = emit.code.set_aside();
    emit.code.start(body);
    emit.block(&kernel.body)?;
    let latch = emit.code.block();
    let text = emit.code.take_up(before);
    emit.code.start(head);
    emit.code.line(format_args!("%tile.index = phi i64 [ %begin, %{from} ], [ %tile.next, %{latch} ]"));
    emit.code.line("%tile.more = icmp slt i64 %tile.index, %end");
    emit.code.line(format_args!("br i1 %tile.more, label %{body}, label %{done}"));
    emit.code.append(&text);
    emit.code.line("%tile.next = add nsw i64 %tile.index, 1");
    emit.code.line(format_args!("br label %{head}"));
    emit.code.start(done);
    if uses_unit {
        emit.release_unit();
    }
    if far {
        // What went past the caches is not ordered by a store that others wait for.
        emit.code.line("fence seq_cst");
    }
    emit.code.line("ret void");
    let body = emit.code.finish();
    // An argument may be given twice (in place), so only the tables and the scratch memory are known to lie apart.
    Ok(format!(
        "define void @{name}(ptr noalias readonly %args, ptr noalias readonly %sizes, i64 %begin, i64 %end, \
         ptr noalias align 64 %scratch) #0 {{\n{body}}}\n"
    ))
}

impl Emit<'_, '_> {
    /// Reads the tables once.
    fn arguments(&mut self) {
        let mut lines = String::new();
        for number in 0..self.kernel.args.len() {
            let _ = writeln!(lines, "  %arg{number}.at = getelementptr inbounds ptr, ptr %args, i64 {number}");
            let _ = writeln!(lines, "  %arg{number} = load ptr, ptr %arg{number}.at, align 8");
            if self.checked {
                let at = u64::from(self.kernel.sizes) + number as u64;
                let _ = writeln!(lines, "  %len{number}.at = getelementptr inbounds i64, ptr %sizes, i64 {at}");
                let _ = writeln!(lines, "  %len{number} = load i64, ptr %len{number}.at, align 8");
            }
        }
        for number in 0..self.kernel.sizes {
            let _ = writeln!(lines, "  %size{number}.at = getelementptr inbounds i64, ptr %sizes, i64 {number}");
            let _ = writeln!(lines, "  %size{number} = load i64, ptr %size{number}.at, align 8");
        }
        self.code.append(&lines);
    }

    /// What a register is called.
    pub fn value(&self, reg: Reg) -> Result<Value> {
        let value = self.values.get(reg.0 as usize).and_then(Option::as_ref);
        value.cloned().with_context(|| format!("{reg:?} is used before it is assigned"))
    }

    /// A register's shape; one that does not exist has no value either.
    pub fn shape(&self, reg: Reg) -> Shape {
        self.kernel.registers[reg.0 as usize]
    }

    fn set(&mut self, reg: Reg, value: Value) -> Result<()> {
        let place = self.values.get_mut(reg.0 as usize).with_context(|| format!("{reg:?} has no shape"))?;
        *place = Some(value);
        Ok(())
    }

    /// A scalar in every lane.
    pub fn splat(&mut self, scalar: Ty, value: &str, lanes: u16) -> Value {
        if lanes == 1 {
            return value.to_string();
        }
        let ty = Ty::new(scalar.elem, lanes);
        let one = self.code.let_(format_args!("insertelement {ty} poison, {scalar} {value}, i64 0"));
        let zeros = Ty::new(Elem::I32, lanes);
        self.code.let_(format_args!("shufflevector {ty} {one}, {ty} poison, {zeros} zeroinitializer"))
    }

    fn block(&mut self, body: &[Stmt]) -> Result<()> {
        body.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<()> {
        match stmt {
            Stmt::Let(reg, inst) => {
                ensure!((reg.0 as usize) < self.kernel.registers.len(), "{reg:?} has no shape");
                let value = self.instruction(self.shape(*reg), inst).with_context(|| format!("{reg:?} = {inst:?}"))?;
                self.set(*reg, value)
            }
            Stmt::Store(place, index, value, mask) | Stmt::Scatter(place, index, value, mask) => {
                self.known(*place).and_then(|()| self.store(*place, *index, *value, *mask))
            }
            Stmt::Fetch(place, index) => self.known(*place).and_then(|()| self.fetch(*place, *index)),
            Stmt::Tiles(work) => self.unit(work),
            Stmt::For { var, from, to, step, carried, body } => self.repeat(*var, (*from, *to, *step), carried, body),
            Stmt::If { cond, then, otherwise } => self.when(*cond, then, otherwise),
        }
    }

    /// Whether a place exists.
    pub fn known(&self, place: Place) -> Result<()> {
        match place {
            Place::Arg(number) => ensure!((number as usize) < self.kernel.args.len(), "there is no argument {number}"),
            Place::Scratch(at, _) => ensure!(at < self.kernel.scratch, "there is no scratch memory at {at}"),
        }
        Ok(())
    }

    /// Phis are written after the body, because they name what it hands on.
    fn repeat(&mut self, var: Reg, (from, to, step): (Reg, Reg, u32), carried: &[Carried], body: &[Stmt]) -> Result<()> {
        let (from, to) = (self.value(from)?, self.value(to)?);
        let init = carried.iter().map(|c| self.value(c.init)).collect::<Result<Vec<_>>>()?;
        let [head, inside, done] = ["head", "body", "exit"].map(|stem| self.code.label(stem));
        let entered = self.code.block();
        self.code.line(format_args!("br label %{head}"));
        let counter = format!("%r{}", var.0);
        self.set(var, counter.clone())?;
        for c in carried {
            self.set(c.inside, format!("%r{}", c.inside.0))?;
        }
        let before = self.code.set_aside();
        self.code.start(&inside);
        self.block(body)?;
        self.code.line(format_args!("{counter}.next = add nsw i64 {counter}, {step}"));
        self.code.line(format_args!("br label %{head}"));
        let latch = self.code.block();
        let text = self.code.take_up(before);
        self.code.start(&head);
        self.code.line(format_args!("{counter} = phi i64 [ {from}, %{entered} ], [ {counter}.next, %{latch} ]"));
        for (c, init) in carried.iter().zip(init) {
            let (ty, next) = (Ty::of(self.shape(c.inside)), self.value(c.next)?);
            self.code.line(format_args!("%r{} = phi {ty} [ {init}, %{entered} ], [ {next}, %{latch} ]", c.inside.0));
        }
        let more = self.code.let_(format_args!("icmp slt i64 {counter}, {to}"));
        self.code.line(format_args!("br i1 {more}, label %{inside}, label %{done}"));
        self.code.append(&text);
        self.code.start(&done);
        carried.iter().try_for_each(|c| self.set(c.result, format!("%r{}", c.inside.0)))
    }

    fn when(&mut self, cond: Reg, then: &[Stmt], otherwise: &[Stmt]) -> Result<()> {
        let cond = self.value(cond)?;
        let [yes, no, on] = ["then", "else", "on"].map(|stem| self.code.label(stem));
        self.code.line(format_args!("br i1 {cond}, label %{yes}, label %{no}"));
        for (label, body) in [(yes, then), (no, otherwise)] {
            self.code.start(&label);
            self.block(body)?;
            self.code.line(format_args!("br label %{on}"));
        }
        self.code.start(&on);
        Ok(())
    }
}
