//! How parameters and optimizer state start.

use crate::exec::Machine;
use crate::params;
use crate::plan::{Dtype, Init, Param, Role};
use crate::random::Stream;
use anyhow::{Result, bail};

/// Elements that a thread draws at a time.
const CHUNK: usize = 4096;

impl Machine {
    /// Draws parameters, sets optimizer state to its start and accumulators to zero.
    ///
    /// An element is a function of the seed, its repetition's path and its index there in the declared axes; neither threads nor
    /// storage nor the number of repetitions change it.
    ///
    /// # Errors
    /// When a slot is not of floats.
    pub fn initialise(&mut self, seed: u64) -> Result<()> {
        for slot in 0..self.plan().slots.len() {
            let held = self.plan().slots[slot].clone();
            let draws = match held.role {
                Role::Param(number) => {
                    let param = self.plan().params[number as usize].clone();
                    let elements = params::elements(&param)?;
                    (0..params::repetitions(&param)?)
                        .map(|index| (params::name_at(&param.path, &param.stack, index), elements, param.init.clone()))
                        .collect()
                }
                Role::State { start, .. } => {
                    vec![(held.name.clone(), held.len as usize, Init::Constant(start))]
                }
                // Written before it is read.
                Role::Prepared { .. } | Role::Kept => continue,
                Role::Accumulator => {
                    vec![(held.name.clone(), held.len as usize, Init::Constant(0.0))]
                }
            };
            if !matches!(held.dtype, Dtype::F32 | Dtype::F64) {
                bail!("`{}` cannot start: it holds no floats", held.name);
            }
            let (mut rest, pool) = self.slot_and_pool(slot);
            let width = crate::bind::width(held.dtype);
            for (name, elements, init) in draws {
                let (bytes, after) = rest.split_at_mut(elements * width);
                rest = after;
                let stream = Stream::new(seed, &name);
                let target = Target(bytes.as_mut_ptr());
                pool.run(elements.div_ceil(CHUNK), &|begin, end, _| {
                    let mut values = [0.0; CHUNK];
                    for chunk in begin..end {
                        let first = chunk * CHUNK;
                        let values = &mut values[..CHUNK.min(elements - first)];
                        draw(&stream, &init, first as u64, values);
                        // SAFETY: chunks are disjoint parts of `bytes`, each claimed once.
                        let out = unsafe { target.part(first * width, values.len() * width) };
                        store(held.dtype, values, out);
                    }
                });
            }
        }
        Ok(())
    }
}

/// What a parameter holds at its start, one repetition after the other: the same numbers as in a machine's storage.
///
/// # Errors
/// When it has more elements than can be addressed.
pub fn drawn(param: &Param, seed: u64) -> Result<Vec<f64>> {
    let elements = params::elements(param)?;
    let mut values = Vec::new();
    for index in 0..params::repetitions(param)? {
        let stream = Stream::new(seed, &params::name_at(&param.path, &param.stack, index));
        let first = values.len();
        values.resize(first + elements, 0.0);
        draw(&stream, &param.init, 0, &mut values[first..]);
    }
    values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
    Ok(values)
}

/// Memory that threads write disjoint parts of.
struct Target(*mut u8);

// SAFETY: `part` asks for disjointness.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// The part must lie in the memory and overlap no other that is in use.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts of one memory, promised by the caller")]
    unsafe fn part(&self, start: usize, len: usize) -> &mut [u8] {
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

fn draw(stream: &Stream, init: &Init, first: u64, out: &mut [f64]) {
    match *init {
        Init::Constant(value) => out.fill(value),
        Init::Normal { std } => {
            stream.fill_normal(first, out);
            out.iter_mut().for_each(|x| *x *= std);
        }
        Init::Uniform { bound } => {
            stream.fill_signed(first, out);
            out.iter_mut().for_each(|x| *x *= bound);
        }
    }
}

fn store(dtype: Dtype, values: &[f64], out: &mut [u8]) {
    if dtype == Dtype::F64 {
        for (place, value) in out.as_chunks_mut::<8>().0.iter_mut().zip(values) {
            *place = value.to_le_bytes();
        }
    } else {
        for (place, &value) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            *place = (value as f32).to_le_bytes();
        }
    }
}
