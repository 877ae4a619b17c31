//! Matrices that a program does not change are packed for its products once, into slots of their own.
//!
//! The packed form stands beside the parameter, which stays as files have it: whatever writes the parameter makes the packed
//! form stale, and the next program that reads it makes it anew ([`Step::Prepare`]). The memory of a parameter of which no program
//! reads the plain form goes back to the system meanwhile. A program that changes its parameters packs while it multiplies.

use anyhow::Result;
use weft_dsl::op::Op;
use weft_dsl::size::Size;
use weft_runtime::plan::{self, Buffer, Place, Role, Step};

use super::steps::{Planner, Ref};
use crate::graph::{Form, Fused, Kind, Region};
use crate::schedule::product::{Ready, ready};
use crate::schedule::{Layout, Scheduled};

impl Planner<'_> {
    /// The slot that a value lies in.
    pub(super) fn slot(&self, place: &Ref) -> Option<u32> {
        match self.buffers[place.buffer as usize].place {
            Place::Slot(slot) => Some(slot),
            Place::Arena { .. } | Place::Input | Place::Output | Place::Constant(_) => None,
        }
    }

    /// The parameter that an operand is (part of), where the program does not write it and reads it in products alone: one that
    /// is also looked up would lie there twice.
    fn constant(&self, operand: &Ref) -> Option<u32> {
        let is_param = |slot: &u32| matches!(self.slots.list[*slot as usize].role, Role::Param(_));
        let only = |slot: &u32| !self.writes.contains(slot) && !self.plain.contains(slot);
        self.slot(operand).filter(is_param).filter(only)
    }

    /// The slots among arguments that a region reads otherwise than in products.
    pub(super) fn read_plain(region: &Region, arguments: &[Option<u32>], found: &mut Vec<u32>) {
        let mut slots: Vec<Option<u32>> = Vec::new();
        for (_, node) in region.iter() {
            let of: Vec<Option<u32>> = node.operands.iter().map(|o| slots[o.0 as usize]).collect();
            slots.push(match &node.kind {
                Kind::Argument(number) => arguments[*number as usize],
                Kind::Op(Op::Rename(..)) => of[0],
                Kind::Scan(scan) => {
                    Self::read_plain(&scan.body, &of, found);
                    None
                }
                Kind::Fused(fused) if fused.form == Form::Product => None,
                Kind::Fused(_) | Kind::Op(_) | Kind::Project(_) => {
                    found.extend(of.into_iter().flatten());
                    None
                }
            });
        }
        found.extend(region.outputs.iter().filter_map(|o| slots[o.0 as usize]));
    }

    /// For a product of a constant matrix: which operand that is, where it lies packed, and the product's kernel.
    pub(super) fn packed(
        &mut self,
        fused: &Fused,
        operands: &[Ref],
        (inputs, outputs): (&[Layout], &[Layout]),
    ) -> Result<Option<(usize, Ref, Scheduled)>> {
        if fused.form != Form::Product || operands.iter().all(|operand| self.constant(operand).is_none()) {
            return Ok(None);
        }
        let Some((ready, scheduled)) = ready(fused, self.axes, inputs, outputs, self.machine)? else { return Ok(None) };
        let number = ready.argument as usize;
        let place = self.pack(&operands[number], &ready)?;
        Ok(place.map(|place| (number, place, scheduled)))
    }

    /// Where a matrix lies packed; all of its parameter is packed before the program's own steps.
    fn pack(&mut self, from: &Ref, ready: &Ready) -> Result<Option<Ref>> {
        let Some(slot) = self.constant(from) else { return Ok(None) };
        let (volume, packed) = (ready.volume() as i64, ready.packed_volume() as i64);
        // What steps over whole matrices steps over whole packed ones.
        let moved = |size: &Size| size.known().filter(|n| n % volume == 0).map(|n| Size::of(n / volume * packed));
        let strides = from.strides.iter().map(|(depth, by, step)| Some((*depth, *by, moved(step)?)));
        let (Some(offset), Some(strides)) = (moved(&from.offset), strides.collect::<Option<Vec<_>>>()) else {
            return Ok(None);
        };
        let matrices = self.slots.list[slot as usize].len / ready.volume();
        let scheduled = ready.pack(matrices);
        let kernel = self.kernels.number(scheduled.kernel.clone(), PACK);
        let name = format!("{} packed by {kernel}", self.slots.list[slot as usize].name);
        let len = matrices * ready.packed_volume();
        let role = Role::Prepared { of: slot, packing: ready.packing() };
        let number = self.slots.prepared(plan::Slot { name, dtype: plan::Dtype::F32, len, role });
        let known = self.buffers.iter().position(|buffer| buffer.place == Place::Slot(number));
        let buffer = match known {
            Some(buffer) => buffer as u32,
            None => {
                let len = self.sizes.convert(&Size::of(len as i64))?;
                self.buffers.push(Buffer { dtype: plan::Dtype::F32, len, place: Place::Slot(number) });
                self.homes.push(Vec::new());
                let buffer = self.buffers.len() as u32 - 1;
                let whole = |buffer| Ref::whole(buffer, Layout::default());
                let moved = (Size::of(0), Size::of(4 * matrices as i64 * (volume + packed)));
                let launch = self.launched(scheduled, &[whole(from.buffer), whole(buffer)], PACK, moved)?;
                self.prepares.push(Step::Prepare { slot: number, launch });
                buffer
            }
        };
        Ok(Some(Ref { offset, strides, ..Ref::whole(buffer, from.layout.clone()) }))
    }
}

/// What kernels that pack are called.
const PACK: &str = "pack";
