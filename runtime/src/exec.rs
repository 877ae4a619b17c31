//! Running a plan: a machine is its kernels, its memory and its threads.

use crate::bind;
use crate::launch::{Bases, Runner};
use crate::memory::{Region, aligned, roomy};
use crate::packing::Standing;
use crate::params;
use crate::plan::{Dtype, FORMAT, Place, Plan, Role};
use crate::pool::Pool;
use crate::prepare::prepare;
use crate::prepared::{Prepared, STATUS, Spot};
use crate::profile::{Ceilings, Profile, Report, bandwidth};
use crate::tensor::Tensor;
use anyhow::{Context, Result, ensure};

pub use crate::launch::Kernel;

/// How many bindings of sizes a machine keeps; the least recently used goes first.
const KEPT: usize = 64;

/// A plan and its machine code.
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// One for each of [`Plan::kernels`]. Their code must stay loaded as long as a [`Machine`] has them.
    pub kernels: Vec<Kernel>,
}

/// A plan with memory and threads.
pub struct Machine {
    compiled: Compiled,
    pool: Pool,
    /// Slots, then the constants of all programs.
    fixed: Region,
    /// Start and length in `fixed`, in bytes.
    slots: Vec<(usize, usize)>,
    /// For each slot: whether it was prepared since what it is made of was last written.
    fresh: Vec<bool>,
    /// The slots that lie in memory packed alone.
    standing: Standing,
    /// Where constants start in `fixed`, by program and buffer.
    constants: Vec<Vec<usize>>,
    /// One for each slot: what is kept of a text's places; nothing for other slots.
    kept: Vec<Region>,
    /// One for all programs: they run one at a time.
    arena: Region,
    /// One part for each thread. The parts stay where they are from program to program, so that the status at the start of each
    /// (see [`crate::plan::Launch`]) stays zero unless a kernel writes it.
    scratch: Region,
    scratch_stride: usize,
    bound: Vec<Bound>,
    clock: u64,
    runner: Runner,
    profile: Option<Profile>,
    checked: bool,
    /// How long the last run took, from its inputs to its outputs where they lie.
    pub(crate) took: std::time::Duration,
}

/// A program bound to sizes, kept.
struct Bound {
    program: usize,
    sizes: Vec<i64>,
    prepared: Prepared,
    used: u64,
}

impl Machine {
    /// Memory for the slots and threads for the kernels. Slots are zero until [`Machine::initialise`] or weights fill them.
    /// A checked machine fills memory without a value with NaN.
    ///
    /// # Errors
    /// When the plan contradicts itself, or memory or threads are refused.
    pub fn new(compiled: Compiled, threads: usize, checked: bool) -> Result<Self> {
        let plan = &compiled.plan;
        ensure!(plan.format == FORMAT, "this is a plan of format {}, expected {FORMAT}", plan.format);
        ensure!(
            plan.kernels.len() == compiled.kernels.len(),
            "the plan has {} kernels, the code {}",
            plan.kernels.len(),
            compiled.kernels.len()
        );
        params::check_slots(plan)?;
        let mut end = 0usize;
        let mut reserve = |bytes: usize| {
            let start = end;
            end = aligned(bytes)
                .and_then(|b| end.checked_add(b))
                .context("the plan needs more memory than can be addressed")?;
            anyhow::Ok(start)
        };
        let mut slots = Vec::new();
        for slot in &plan.slots {
            let bytes = usize::try_from(slot.len).ok().and_then(|len| len.checked_mul(bind::width(slot.dtype)));
            let bytes = bytes.with_context(|| format!("slot `{}` is too large", slot.name))?;
            slots.push((reserve(bytes)?, bytes));
        }
        let mut constants = Vec::new();
        for program in &plan.programs {
            let starts = program.buffers.iter().map(|buffer| match &buffer.place {
                Place::Constant(data) => reserve(data.len()),
                Place::Arena { .. } | Place::Slot(_) | Place::Input | Place::Output => Ok(0),
            });
            constants.push(starts.collect::<Result<Vec<usize>>>()?);
        }
        let mut fixed = Region::new(end).context("memory for the parameters")?;
        for (program, starts) in plan.programs.iter().zip(&constants) {
            for (buffer, &start) in program.buffers.iter().zip(starts) {
                if let Place::Constant(data) = &buffer.place {
                    fixed.bytes_mut()[start..start + data.len()].copy_from_slice(data);
                }
            }
        }
        Ok(Self {
            pool: Pool::new(threads)?,
            kept: slots.iter().map(|_| Region::new(0)).collect::<Result<_>>()?,
            fixed,
            fresh: vec![false; slots.len()],
            standing: Standing::of(plan),
            slots,
            constants,
            arena: Region::new(0)?,
            scratch: Region::new(0)?,
            scratch_stride: 0,
            bound: Vec::new(),
            clock: 0,
            runner: Runner::default(),
            profile: None,
            checked,
            took: Default::default(),
            compiled,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.compiled.plan
    }

    /// Runs other code from here on, in the memory that is there and with what it holds; gives the code before. The plans may differ
    /// in kernels, tiles and scratch memory alone.
    ///
    /// # Errors
    /// When they differ otherwise, as far as memory is concerned.
    pub fn exchange(&mut self, compiled: Compiled) -> Result<Compiled> {
        ensure!(compiled.plan.kernels.len() == compiled.kernels.len(), "the other plan does not fit its code");
        let memory = |plan: &Plan| {
            let slots = plan.slots.iter().map(|slot| (slot.dtype, slot.len)).collect::<Vec<_>>();
            let buffers = plan.programs.iter().map(|program| program.buffers.clone()).collect::<Vec<_>>();
            (plan.format, slots, buffers)
        };
        ensure!(memory(&compiled.plan) == memory(self.plan()), "the other plan's memory is another");
        self.bound.clear();
        Ok(std::mem::replace(&mut self.compiled, compiled))
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs a program: inputs by name, in any order; outputs by name in the program's order. Slots change in place.
    ///
    /// # Errors
    /// When an input is missing, unknown or does not fit; nothing has changed then. When code that was compiled to check itself
    /// meets an access out of bounds; slots may have changed then.
    pub fn run(&mut self, program: &str, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        self.run_sized(program, inputs, &[])
    }

    /// As [`Machine::run`], with the values of sizes that no input tells.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_sized(
        &mut self,
        program: &str,
        inputs: &[(&str, &Tensor)],
        sizes: &[(&str, i64)],
    ) -> Result<Vec<(String, Tensor)>> {
        let (start, index) = (std::time::Instant::now(), self.program_index(program)?);
        let inputs = bind::in_order(&self.compiled.plan.programs[index], inputs)?;
        let sizes = bind::sizes(&self.compiled.plan.programs[index], &inputs, sizes)?;
        let at = self.bind(index, sizes)?;
        let Self {
            compiled,
            pool,
            fixed,
            slots,
            fresh,
            standing,
            constants,
            kept,
            arena,
            scratch,
            scratch_stride,
            bound,
            runner,
            profile,
            checked,
            took,
            ..
        } = self;
        let program = &compiled.plan.programs[index];
        let prepared = &bound[at].prepared;
        if let Some(profile) = profile {
            profile.enter(index);
        }
        runner.bases.clear();
        runner.bases.resize(prepared.spots.len(), std::ptr::null_mut());
        for (port, tensor) in program.inputs.iter().zip(inputs) {
            let buffer = port.buffer as usize;
            let dtype = program.buffers[buffer].dtype;
            match (prepared.spots[buffer], bind::lying(dtype, tensor)) {
                (Spot::Arena(_), Some(start)) => runner.bases[buffer] = start,
                (Spot::Arena(start), None) => {
                    let bytes = &mut arena.bytes_mut()[start..start + prepared.bytes[buffer]];
                    let most = port.bound.as_ref().map(|size| bind::value(size, &bound[at].sizes)).transpose()?;
                    bind::write_input(port, most, dtype, tensor, bytes)?;
                }
                _ => {}
            }
        }
        let others = runner.bases.iter_mut().enumerate().filter(|(_, base)| base.is_null());
        others.for_each(|(buffer, base)| {
            let (region, start) = match prepared.spots[buffer] {
                Spot::Arena(start) => (&*arena, start),
                Spot::Slot(slot) if compiled.plan.slots[slot].role == Role::Kept => (&kept[slot], 0),
                Spot::Slot(slot) => (&*fixed, slots[slot].0),
                Spot::Constant => (&*fixed, constants[index][buffer]),
            };
            debug_assert!(start + prepared.bytes[buffer] <= region.len());
            *base = region.start().wrapping_add(start);
        });
        let memory = Bases { scratch: scratch.start(), scratch_stride: *scratch_stride, poisoned: *checked };
        let mut packed = |slot: usize| {
            if let Some(plain) = standing.leaves(slot) {
                fixed.give_back(slots[plain].0, slots[plain].1);
            }
        };
        let fresh_and = (&mut fresh[..], &mut packed as &mut dyn FnMut(usize));
        // SAFETY: `bind` has checked every argument against its buffer and made the regions as large as `prepared` says; the
        // regions are exclusively ours during this call, and inputs that lie elsewhere are read alone. What a kernel does within
        // its buffers is the compiler's promise.
        let done = unsafe { runner.run(program, prepared, &compiled.kernels, pool, (memory, fresh_and), profile.as_mut()) };
        *took = start.elapsed();
        for &slot in &program.writes {
            grow_stale(&compiled.plan, fresh, slot as usize);
        }
        if let Err(fault) = done {
            for (slot, fresh) in fresh.iter_mut().enumerate() {
                *fresh &= standing.is_last(slot);
            }
            return Err(crate::fault::describe(&compiled.plan, program, prepared, fault));
        }
        let mut outputs = Vec::with_capacity(program.outputs.len());
        for (port, shape) in program.outputs.iter().zip(&prepared.outputs) {
            let buffer = port.buffer as usize;
            let (region, start) = match prepared.spots[buffer] {
                Spot::Arena(start) => (&*arena, start),
                Spot::Slot(slot) => (&*fixed, slots[slot].0),
                Spot::Constant => (&*fixed, constants[index][buffer]),
            };
            let bytes = &region.bytes()[start..start + prepared.bytes[buffer]];
            outputs.push((port.name.clone(), bind::read_output(program.buffers[buffer].dtype, shape, bytes)?));
        }
        Ok(outputs)
    }

    /// The place in `bound` of a program with those sizes, with memory large enough for it.
    fn bind(&mut self, program: usize, sizes: Vec<i64>) -> Result<usize> {
        self.clock += 1;
        if let Some(at) = self.bound.iter().position(|b| b.program == program && b.sizes == sizes) {
            self.bound[at].used = self.clock;
            return Ok(at);
        }
        let plan = &self.compiled.plan;
        let prepared = prepare(plan, &plan.programs[program], &sizes)?;
        let wanted = || format!("memory for `{}`", plan.programs[program].name);
        let stride = aligned(prepared.scratch.max(STATUS)).with_context(wanted)?;
        if stride > self.scratch_stride {
            let scratch = stride.checked_mul(self.pool.threads()).with_context(wanted)?;
            self.scratch = Region::new(scratch).with_context(wanted)?;
            self.scratch_stride = stride;
        }
        if prepared.arena > self.arena.len() {
            // The old one goes first, so that both need not fit.
            self.arena = Region::new(0)?;
            self.arena = Region::new(roomy(prepared.arena)).with_context(wanted)?;
        }
        for (spot, &bytes) in prepared.spots.iter().zip(&prepared.bytes) {
            // What was kept in a smaller one is of another text.
            if let Spot::Slot(slot) = *spot
                && self.compiled.plan.slots[slot].role == Role::Kept
                && bytes > self.kept[slot].len()
            {
                self.kept[slot] = Region::new(0)?;
                self.kept[slot] = Region::new(bytes).with_context(wanted)?;
            }
        }
        self.runner.reserve(&prepared);
        if self.bound.len() >= KEPT
            && let Some(oldest) = (0..self.bound.len()).min_by_key(|&i| self.bound[i].used)
        {
            self.bound.swap_remove(oldest);
        }
        self.bound.push(Bound { program, sizes, prepared, used: self.clock });
        Ok(self.bound.len() - 1)
    }

    /// A slot's bytes, little endian.
    ///
    /// # Panics
    /// When the plan has no such slot.
    pub fn slot(&self, slot: usize) -> &[u8] {
        self.come_back(slot);
        let (start, len) = self.slots[slot];
        &self.fixed.bytes()[start..start + len]
    }

    /// Fills a slot again that lies in memory packed alone.
    fn come_back(&self, slot: usize) {
        self.standing.come_back(slot, |packed| {
            let ((start, len), (from, packed_len)) = (self.slots[slot], self.slots[packed]);
            let at = |from: usize| self.fixed.start().wrapping_add(from);
            // SAFETY: nobody borrows what is away: it left while the machine was borrowed exclusively, and who asks for it waits
            // for us. The packed slot lies elsewhere, and nobody writes it while the machine is shared.
            let (plain, held) = unsafe {
                (std::slice::from_raw_parts_mut(at(start), len), std::slice::from_raw_parts(at(from), packed_len))
            };
            let form = &self.plan().slots[packed];
            if let Role::Prepared { packing, .. } = form.role {
                packing.unpack(held, plain, bind::width(form.dtype));
            }
        });
    }

    /// A slot's bytes, to be written.
    ///
    /// # Panics
    /// When the plan has no such slot.
    pub fn slot_mut(&mut self, slot: usize) -> &mut [u8] {
        self.come_back(slot);
        grow_stale(&self.compiled.plan, &mut self.fresh, slot);
        let (start, len) = self.slots[slot];
        &mut self.fixed.bytes_mut()[start..start + len]
    }

    /// A slot's elements, where they are 32-bit floats.
    ///
    /// # Panics
    /// When the plan has no such slot.
    pub fn slot_f32(&self, slot: usize) -> Option<&[f32]> {
        if self.plan().slots[slot].dtype != Dtype::F32 {
            return None;
        }
        // SAFETY: every pattern of bits is an `f32`, and slots are aligned to 64 bytes, so nothing is left before or after.
        let (before, elements, after) = unsafe { self.slot(slot).align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(elements)
    }

    /// A slot's elements, where they are 64-bit floats.
    ///
    /// # Panics
    /// When the plan has no such slot.
    pub fn slot_f64(&self, slot: usize) -> Option<&[f64]> {
        if self.plan().slots[slot].dtype != Dtype::F64 {
            return None;
        }
        // SAFETY: as for `slot_f32`.
        let (before, elements, after) = unsafe { self.slot(slot).align_to::<f64>() };
        (before.is_empty() && after.is_empty()).then_some(elements)
    }

    /// The number of the slot of that name.
    pub fn slot_index(&self, name: &str) -> Option<usize> {
        self.plan().slots.iter().position(|slot| slot.name == name)
    }

    /// The start of a slot for writing from several threads, and those threads.
    pub(crate) fn slot_and_pool(&mut self, slot: usize) -> (&mut [u8], &mut Pool) {
        self.come_back(slot);
        grow_stale(&self.compiled.plan, &mut self.fresh, slot);
        let (start, len) = self.slots[slot];
        (&mut self.fixed.bytes_mut()[start..start + len], &mut self.pool)
    }

    /// Zeroes every accumulator slot.
    pub fn clear_accumulators(&mut self) {
        for slot in 0..self.slots.len() {
            if self.compiled.plan.slots[slot].role == Role::Accumulator {
                self.slot_mut(slot).fill(0);
            }
        }
    }

    /// Starts (from zero) or stops measuring each launch.
    pub fn set_profile(&mut self, on: bool) {
        self.profile = on.then(Profile::new);
    }

    /// What was measured since [`Machine::set_profile`].
    pub fn profile(&self) -> Option<Report> {
        self.profile.as_ref().map(|profile| profile.report(self.plan()))
    }

    /// Bytes a second that the machine's threads read at most of memory that no cache holds.
    ///
    /// # Errors
    /// When the system refuses memory for the measurement.
    pub fn read_speed(&mut self) -> Result<f64> {
        bandwidth(&mut self.pool)
    }

    /// What the machine's threads can do at most.
    ///
    /// # Errors
    /// When the system refuses memory for the measurement.
    pub fn ceilings(&mut self) -> Result<Ceilings> {
        Ceilings::measure(&mut self.pool, crate::capability::uses_tiles(&self.compiled.plan.target))
    }
}

/// What was prepared of a slot no longer holds: the slot is written.
fn grow_stale(plan: &Plan, fresh: &mut [bool], written: usize) {
    for (fresh, slot) in fresh.iter_mut().zip(&plan.slots) {
        *fresh &= !matches!(slot.role, Role::Prepared { of, .. } if of as usize == written);
    }
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;
