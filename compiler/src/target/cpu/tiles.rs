//! Blocks of sums on the matrix unit of x86-64 (AMX): four squares of sums, two of each operand.

use std::fmt::Write;

use anyhow::{Result, ensure};

use super::emit::Emit;
use super::text::{Elem, Ty, Value};
use crate::kernel::tiles::{PAIRS, PLANE, SIDE, SQUARE, Strip, VOLUME};
use crate::kernel::{Place, Reg};

const NAME: &str = "weft.tiles";

impl Emit<'_, '_> {
    /// Calls the function that computes a strip of blocks.
    pub fn tiles(&mut self, strip: &Strip) -> Result<()> {
        let operands = [strip.sums, strip.rows, (strip.columns.0, strip.columns.1)];
        operands.iter().try_for_each(|(place, _)| self.known(*place))?;
        ensure!(self.is_amx, "the processor has no matrix unit");
        if !self.code.shared.has_helper(NAME) {
            self.code.shared.set_helper(NAME, function());
        }
        let (blocks, steps) = (self.value(strip.blocks)?, self.value(strip.steps)?);
        let on = if self.checked { Some(self.check_strip(strip, operands, [&blocks, &steps])?) } else { None };
        let mut addresses = Vec::new();
        for (place, index) in operands {
            let index = self.value(index)?;
            addresses.push(self.element(place, &index, Ty::new(Elem::I64, 1), "inbounds "));
        }
        let goes_on = strip.goes_on.map_or(Ok("false".into()), |reg| self.value(reg))?;
        let [stride, next] = [strip.stride, strip.columns.2].map(|elements| (elements * 4).to_string());
        let args = [
            ("ptr", &addresses[0]),
            ("i64", &stride),
            ("ptr", &addresses[1]),
            ("ptr", &addresses[2]),
            ("i64", &next),
            ("i64", &blocks),
            ("i64", &steps),
            ("i1", &goes_on),
        ];
        self.code.call_known("void", NAME, &args.map(|(ty, value)| (ty.to_string(), value.as_str())));
        if let Some(on) = on {
            self.code.line(format_args!("br label %{on}"));
            self.code.start(&on);
        }
        Ok(())
    }

    /// Goes on at the label that is given where the last element of an operand is beyond its memory, or there is no block.
    fn check_strip(&mut self, strip: &Strip, operands: [(Place, Reg); 3], [blocks, steps]: [&str; 2]) -> Result<Value> {
        let place = Ty::new(Elem::I64, 1);
        let last = self.code.binary("sub", place, blocks, "1");
        let row = self.code.binary("mul", place, blocks, &SIDE.to_string());
        let sums = self.code.binary("add", place, &row, &((SIDE - 1) * strip.stride).to_string());
        // There is always room for a step.
        let some = self.code.let_(format_args!("icmp sgt i64 {steps}, 0"));
        let steps = self.code.let_(format_args!("select i1 {some}, i64 {steps}, i64 1"));
        let rows = self.code.binary("mul", place, &steps, &VOLUME.to_string());
        let panels = self.code.binary("mul", place, &last, &strip.columns.2.to_string());
        let columns = self.code.binary("add", place, &panels, &rows);
        let mut all = self.code.let_(format_args!("icmp sgt i64 {blocks}, 0"));
        for ((operand, index), length) in operands.into_iter().zip([sums, rows, columns]) {
            let index = self.value(index)?;
            let end = self.code.binary("add", place, &index, &length);
            let last = self.code.binary("sub", place, &end, "1");
            let last = self.code.let_(format_args!("select i1 {all}, i64 {last}, i64 0"));
            let within = self.is_within(operand, last);
            all = self.code.binary("and", Ty::new(Elem::I1, 1), &all, &within);
        }
        let [call, on] = ["tiles", "on"].map(|stem| self.code.label(stem));
        self.code.line(format_args!("br i1 {all}, label %{call}, label %{on}"));
        self.code.start(&call);
        Ok(on)
    }
}

/// Registers 0 to 3 are the sums, 4 and 5 rows, 6 and 7 columns; each has 16 rows of 64 bytes.
fn function() -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    // The palette; bytes of a row, two each, from byte 16; rows, a byte each, from byte 48.
    let shape: String = (0..64)
        .map(|byte| match byte {
            0 => "\\01",
            16..32 if byte % 2 == 0 => "\\40",
            48..56 => "\\10",
            _ => "\\00",
        })
        .collect();
    line(format!("@{NAME}.shape = internal constant [64 x i8] c\"{shape}\", align 64"));
    for (name, params) in [
        ("ldtilecfg", "ptr"),
        ("tilezero", "i8"),
        ("tileloadd64", "i8, ptr, i64"),
        ("tilestored64", "i8, ptr, i64"),
        ("tdpbf16ps", "i8, i8, i8"),
        ("tilerelease", ""),
    ] {
        line(format!("declare void @llvm.x86.{name}({params})"));
    }
    line(format!(
        "define internal void @{NAME}(ptr %sums, i64 %stride, ptr %a, ptr %columns, i64 %panel, i64 %blocks, i64 %steps, i1 %on) noinline #0 {{"
    ));
    line("entry:".into());
    line(format!("  call void @llvm.x86.ldtilecfg(ptr @{NAME}.shape)"));
    line(format!("  %down = mul i64 %stride, {SQUARE}"));
    line("  br label %strip\nstrip:".into());
    line("  %block = phi i64 [ 0, %entry ], [ %block.next, %done ]".into());
    line("  %left = icmp slt i64 %block, %blocks".into());
    line("  br i1 %left, label %begin, label %end\nbegin:".into());
    line(format!("  %c.of = mul nsw i64 %block, {}", SIDE * 4));
    line("  %c = getelementptr inbounds i8, ptr %sums, i64 %c.of".into());
    line("  %b.of = mul nsw i64 %block, %panel".into());
    line("  %b = getelementptr inbounds i8, ptr %columns, i64 %b.of".into());
    line("  %c1 = getelementptr inbounds i8, ptr %c, i64 64".into());
    line("  %c2 = getelementptr inbounds i8, ptr %c, i64 %down".into());
    line("  %c3 = getelementptr inbounds i8, ptr %c2, i64 64".into());
    line("  br i1 %on, label %there, label %nothing".into());
    let sums = [(0, "%c"), (1, "%c1"), (2, "%c2"), (3, "%c3")];
    line("there:".into());
    sums.iter().for_each(|(t, at)| line(format!("  call void @llvm.x86.tileloadd64(i8 {t}, ptr {at}, i64 %stride)")));
    line("  br label %head\nnothing:".into());
    sums.iter().for_each(|(t, _)| line(format!("  call void @llvm.x86.tilezero(i8 {t})")));
    line("  br label %head\nhead:".into());
    line("  %step = phi i64 [ 0, %there ], [ 0, %nothing ], [ %next, %body ]".into());
    line("  %more = icmp slt i64 %step, %steps".into());
    line("  br i1 %more, label %body, label %done\nbody:".into());
    line(format!("  %from = mul nsw i64 %step, {}", VOLUME * 4));
    let mut held = [u32::MAX; 2];
    for (number, (rows, columns)) in PAIRS.into_iter().enumerate() {
        for (operand, (base, part)) in [("%a", rows), ("%b", columns)].into_iter().enumerate() {
            if std::mem::replace(&mut held[operand], part) == part {
                continue;
            }
            for half in 0..2u32 {
                let name = format!("%p{number}.{operand}.{half}");
                let offset = (part * PLANE + half * SQUARE * SQUARE) * 4;
                line(format!("  {name}.of = add nsw i64 %from, {offset}"));
                line(format!("  {name} = getelementptr inbounds i8, ptr {base}, i64 {name}.of"));
                let register = 4 + 2 * operand as u32 + half;
                line(format!("  call void @llvm.x86.tileloadd64(i8 {register}, ptr {name}, i64 64)"));
            }
        }
        for (sum, row, column) in [(0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7)] {
            line(format!("  call void @llvm.x86.tdpbf16ps(i8 {sum}, i8 {row}, i8 {column})"));
        }
    }
    line("  %next = add nsw i64 %step, 1\n  br label %head\ndone:".into());
    sums.iter().for_each(|(t, at)| line(format!("  call void @llvm.x86.tilestored64(i8 {t}, ptr {at}, i64 %stride)")));
    line("  %block.next = add nsw i64 %block, 1\n  br label %strip\nend:".into());
    line("  call void @llvm.x86.tilerelease()\n  ret void\n}".into());
    text
}
