//! Blocks of sums on the matrix unit of x86-64 (AMX): four squares of sums, two of each operand.
//!
//! Registers 0 to 3 are the sums, 4 and 5 rows, 6 and 7 columns; each has 16 rows of 64 bytes.

use anyhow::{Result, ensure};

use super::emit::Emit;
use super::text::{Elem, Ty, Value};
use crate::kernel::tiles::{PAIRS, PLANE, SIDE, SQUARE, VOLUME, Work};
use crate::kernel::{Place, Reg};

const SHAPE: &str = "weft.tiles.shape";

impl Emit<'_, '_> {
    /// Makes the unit ready for a kernel.
    pub fn ready_unit(&mut self) -> Result<()> {
        ensure!(self.is_amx, "the processor has no matrix unit");
        if !self.code.shared.has_helper(SHAPE) {
            // The palette; bytes of a row, two each, from byte 16; rows, a byte each, from byte 48.
            let shape: String = (0..64)
                .map(|byte| match byte {
                    0 => "\\01",
                    16..32 if byte % 2 == 0 => "\\40",
                    48..56 => "\\10",
                    _ => "\\00",
                })
                .collect();
            let text = format!("@{SHAPE} = internal constant [64 x i8] c\"{shape}\", align 64\n");
            self.code.shared.set_helper(SHAPE, text);
        }
        self.code.call("void", "llvm.x86.ldtilecfg", &[("ptr".to_string(), &format!("@{SHAPE}"))]);
        Ok(())
    }

    /// Gives the unit back.
    pub fn release_unit(&mut self) {
        self.code.call("void", "llvm.x86.tilerelease", &[]);
    }

    /// Work for the unit; none where an operand's last element is beyond its memory.
    pub fn unit(&mut self, work: &Work) -> Result<()> {
        let block = |stride: u32| (SIDE - 1) * stride + SIDE;
        let operands = match work {
            Work::Begin { sums, stride, .. } | Work::End { sums, stride } => vec![(*sums, block(*stride))],
            Work::Step { rows, columns } => vec![(*rows, VOLUME), (*columns, VOLUME)],
        };
        operands.iter().try_for_each(|((place, _), _)| self.known(*place))?;
        let on = if self.checked { Some(self.check_unit(&operands)?) } else { None };
        let mut at = Vec::new();
        for ((place, index), _) in operands {
            let index = self.value(index)?;
            at.push(self.element(place, &index, Ty::new(Elem::I64, 1), "inbounds "));
        }
        match work {
            Work::Begin { stride, goes_on, .. } => match goes_on {
                None => self.nothing(),
                Some(goes_on) => {
                    let goes_on = self.value(*goes_on)?;
                    let [there, none, begun] = ["there", "nothing", "begun"].map(|stem| self.code.label(stem));
                    self.code.line(format_args!("br i1 {goes_on}, label %{there}, label %{none}"));
                    self.code.start(&there);
                    self.squares("tileloadd64", &at[0], *stride);
                    self.code.line(format_args!("br label %{begun}"));
                    self.code.start(&none);
                    self.nothing();
                    self.code.line(format_args!("br label %{begun}"));
                    self.code.start(&begun);
                }
            },
            Work::Step { .. } => self.step(&at[0], &at[1]),
            Work::End { stride, .. } => self.squares("tilestored64", &at[0], *stride),
        }
        if let Some(on) = on {
            self.code.line(format_args!("br label %{on}"));
            self.code.start(&on);
        }
        Ok(())
    }

    fn nothing(&mut self) {
        (0..4).for_each(|square| self.tile("tilezero", &[square], &[]));
    }

    /// Loads or stores the four squares of the sums.
    fn squares(&mut self, name: &str, sums: &str, stride: u32) {
        for square in 0..4 {
            let at = self.bytes(sums, (square / 2 * SQUARE * stride + square % 2 * SQUARE) * 4);
            self.tile(name, &[square], &[("ptr", &at), ("i64", &(stride * 4).to_string())]);
        }
    }

    fn step(&mut self, rows: &str, columns: &str) {
        let mut held = [u32::MAX; 2];
        for (row, column) in PAIRS {
            for (operand, (base, part)) in (0..).zip([(rows, row), (columns, column)]) {
                if std::mem::replace(&mut held[operand as usize], part) == part {
                    continue;
                }
                for half in 0..2 {
                    let at = self.bytes(base, (part * PLANE + half * SQUARE * SQUARE) * 4);
                    self.tile("tileloadd64", &[4 + 2 * operand + half], &[("ptr", &at), ("i64", "64")]);
                }
            }
            for registers in [[0, 4, 6], [1, 4, 7], [2, 5, 6], [3, 5, 7]] {
                self.tile("tdpbf16ps", &registers, &[]);
            }
        }
    }

    /// An instruction of the unit, of its registers and other operands.
    fn tile(&mut self, name: &str, registers: &[u32], operands: &[(&str, &str)]) {
        let registers: Vec<Value> = registers.iter().map(u32::to_string).collect();
        let registers = registers.iter().map(|register| ("i8", register.as_str()));
        let args: Vec<(String, &str)> =
            registers.chain(operands.iter().copied()).map(|(ty, value)| (ty.to_string(), value)).collect();
        self.code.call("void", &format!("llvm.x86.{name}"), &args);
    }

    /// So many bytes further.
    fn bytes(&mut self, base: &str, offset: u32) -> Value {
        self.code.let_(format_args!("getelementptr inbounds i8, ptr {base}, i64 {offset}"))
    }

    /// Goes on at the label that is given where the last element of an operand is beyond its memory.
    fn check_unit(&mut self, operands: &[((Place, Reg), u32)]) -> Result<Value> {
        let place = Ty::new(Elem::I64, 1);
        let mut all = "true".to_string();
        for &((operand, index), length) in operands {
            let index = self.value(index)?;
            let last = self.code.binary("add", place, &index, &(length - 1).to_string());
            let within = self.is_within(operand, last);
            all = self.code.binary("and", Ty::new(Elem::I1, 1), &all, &within);
        }
        let [work, on] = ["work", "on"].map(|stem| self.code.label(stem));
        self.code.line(format_args!("br i1 {all}, label %{work}, label %{on}"));
        self.code.start(&work);
        Ok(on)
    }
}
