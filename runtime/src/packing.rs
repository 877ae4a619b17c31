//! How matrices lie packed for products, and how they come back from there.
//!
//! A matrix of which programs read the packed form alone need not lie in memory twice: what it takes is given back to the
//! system as soon as it is packed, and filled again from the packed form when somebody asks for it ([`Standing`]).

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};

use crate::plan::{Packing, Place, Plan, Role, Slot, Step};

impl Packing {
    /// Elements of a packed matrix; none where there are more than can be counted, or none at all.
    fn volume(&self) -> Option<u64> {
        let whole = self.columns.checked_next_multiple_of(self.lanes)?.checked_mul(self.sum)?;
        (self.lanes > 0 && whole > 0).then_some(whole)
    }

    /// Whether a slot holds what another holds, packed so.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, slot: &Slot, of: &Slot) -> Result<()> {
        let matrices = self.columns.checked_mul(self.sum).filter(|&n| n > 0).map_or(0, |n| of.len / n);
        let whole = |volume: Option<u64>| volume.and_then(|n| n.checked_mul(matrices));
        ensure!(
            self.lanes > 0
                && whole(self.columns.checked_mul(self.sum)) == Some(of.len)
                && whole(self.volume()) == Some(slot.len),
            "slot `{}` does not hold `{}` packed",
            slot.name,
            of.name
        );
        ensure!(slot.dtype == of.dtype, "slot `{}` holds other elements than `{}`", slot.name, of.name);
        Ok(())
    }

    /// Writes the plain matrices. Elements have `width` bytes.
    pub fn unpack(&self, packed: &[u8], plain: &mut [u8], width: usize) {
        let [columns, sum, lanes] = [self.columns, self.sum, self.lanes].map(|n| n as usize);
        let streams = columns.div_ceil(lanes);
        let matrices = plain.chunks_exact_mut(columns * sum * width).zip(packed.chunks_exact(streams * lanes * sum * width));
        for (plain, packed) in matrices {
            for (number, element) in packed.chunks_exact(width).enumerate() {
                let (row, lane) = (number / lanes, number % lanes);
                let (column, k) = (row / sum * lanes + lane, row % sum);
                if column < columns {
                    let at = if self.along_columns { k * columns + column } else { column * sum + k };
                    plain[at * width..(at + 1) * width].copy_from_slice(element);
                }
            }
        }
    }
}

/// Which slots another one stands for, and which of those are not in memory.
pub(crate) struct Standing {
    /// For each slot that no program reads: where it lies packed.
    packed: Vec<Option<usize>>,
    /// Whether its memory was given back.
    away: Mutex<Vec<bool>>,
}

impl Standing {
    /// Finds those of a plan whose slots are checked.
    pub fn of(plan: &Plan) -> Self {
        let mut forms: Vec<Vec<usize>> = vec![Vec::new(); plan.slots.len()];
        for (number, slot) in plan.slots.iter().enumerate() {
            if let Role::Prepared { of, .. } = slot.role {
                forms[of as usize].push(number);
            }
        }
        let mut read = vec![false; plan.slots.len()];
        for program in &plan.programs {
            let mut see = |buffer: u32| {
                if let Some(Place::Slot(slot)) = program.buffers.get(buffer as usize).map(|buffer| &buffer.place) {
                    read[*slot as usize] = true;
                }
            };
            program.inputs.iter().chain(&program.outputs).for_each(|port| see(port.buffer));
            readers(&program.steps, &mut see);
        }
        let one = |(forms, read): (Vec<usize>, bool)| forms.first().copied().filter(|_| forms.len() == 1 && !read);
        let packed: Vec<_> = forms.into_iter().zip(read).map(one).collect();
        Self { away: Mutex::new(vec![false; packed.len()]), packed }
    }

    fn away(&self) -> MutexGuard<'_, Vec<bool>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot that a newly packed one stands for from now on.
    pub fn leaves(&self, packed: usize) -> Option<usize> {
        let slot = self.packed.iter().position(|&form| form == Some(packed))?;
        self.away()[slot] = true;
        Some(slot)
    }

    /// Fills a slot that is away by `fill`, which gets the number of the packed one.
    pub fn come_back(&self, slot: usize, fill: impl FnOnce(usize)) {
        let mut away = self.away();
        if let Some(packed) = self.packed[slot].filter(|_| away[slot]) {
            fill(packed);
            away[slot] = false;
        }
    }

    /// Whether a slot is all that there is of another.
    pub fn is_last(&self, packed: usize) -> bool {
        let away = self.away();
        self.packed.iter().zip(away.iter()).any(|(&form, &away)| away && form == Some(packed))
    }
}

/// Each buffer that steps other than preparations use.
fn readers(steps: &[Step], see: &mut impl FnMut(u32)) {
    for step in steps {
        match step {
            Step::Launch(launch) => launch.args.iter().for_each(|arg| see(arg.buffer)),
            Step::Loop { body, .. } => readers(body, see),
            Step::Prepare { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_come_back() {
        // Two matrices of 3 columns and 2 places, streams of 2 columns; element = 10 · column + place, and 100 for the second.
        let value = |matrix: u8, column: u8, k: u8| 100 * matrix + 10 * column + k;
        let place = |at: u8| (at / 8, at / 4 % 2 * 2 + at % 2, at / 2 % 2);
        let packed: Vec<u8> =
            (0..16).map(place).map(|(m, column, k)| if column < 3 { value(m, column, k) } else { 255 }).collect();
        for along_columns in [false, true] {
            let packing = Packing { columns: 3, sum: 2, lanes: 2, along_columns };
            let mut plain = vec![0; 12];
            packing.unpack(&packed, &mut plain, 1);
            for (at, &found) in plain.iter().enumerate() {
                let (matrix, rest) = (at / 6, at % 6);
                let (column, k) = if along_columns { (rest % 3, rest / 3) } else { (rest / 2, rest % 2) };
                assert_eq!(found, value(matrix as u8, column as u8, k as u8), "{along_columns} {at}");
            }
        }
    }
}
