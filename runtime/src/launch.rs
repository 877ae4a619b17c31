//! The inner loop: addresses of arguments, loops, kernels over the pool. Nothing here allocates once a program is bound.

use crate::plan::{Count, Dtype, MOST_BESIDE, Program};
use crate::pool::Pool;
use crate::prepared::{Op, Prepared, STATUS, poison, turn};
use crate::profile::Profile;

/// A kernel: does the tiles `begin..end`; see [`crate::plan::Launch`].
pub type Kernel = unsafe extern "C" fn(args: *const *mut u8, sizes: *const i64, begin: i64, end: i64, scratch: *mut u8);

/// Memory of a run besides its buffers.
#[derive(Clone, Copy)]
pub(crate) struct Bases {
    /// Scratch memory of the first thread.
    pub scratch: *mut u8,
    /// Bytes from one thread's scratch memory to the next's.
    pub scratch_stride: usize,
    /// Fill memory with NaN where a value begins.
    pub poisoned: bool,
}

impl Bases {
    fn scratch_of(&self, worker: usize) -> *mut u8 {
        self.scratch.wrapping_add(worker * self.scratch_stride)
    }

    /// The first access out of bounds that a worker's kernel tells of: argument and index. Clears what it reads.
    ///
    /// # Safety
    /// Scratch memory must be valid for a status of each worker, and nobody may use it meanwhile.
    unsafe fn status(&self, workers: usize) -> Option<(usize, i64)> {
        let mut first = None;
        for worker in 0..workers {
            // SAFETY: promised by the caller; strides are multiples of 64 bytes, so the pair is aligned.
            let status = unsafe { &mut *self.scratch_of(worker).cast::<[i64; 2]>() };
            if status[0] != 0 {
                first = first.or(Some(((status[0] - 1).max(0) as usize, status[1])));
                *status = [0; 2];
            }
        }
        first
    }
}

/// An access out of bounds that a kernel found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The launch's operation.
    pub op: usize,
    /// The argument.
    pub arg: usize,
    /// The index, in elements from the argument's start.
    pub index: i64,
}

/// Of each slot whether what was prepared there still holds, and what to do where it has been prepared anew.
pub(crate) type Standings<'a> = (&'a mut [bool], &'a mut dyn FnMut(usize));

/// Space that runs reuse.
#[derive(Default)]
pub(crate) struct Runner {
    /// Address of each buffer.
    pub bases: Vec<*mut u8>,
    args: Vec<*mut u8>,
    sizes: Vec<i64>,
    loops: Vec<Iteration>,
    /// The launches that run beside one another now, and the tiles of each.
    calls: Vec<Call>,
    tiles: Vec<usize>,
}

// SAFETY: the addresses are scratch of one run and are written anew by the next.
unsafe impl Send for Runner {}

struct Iteration {
    done: i64,
    count: i64,
    reverse: bool,
}

/// A launch: where its arguments and sizes begin in the runner's tables.
struct Call {
    kernel: Kernel,
    args: usize,
    sizes: usize,
}

/// Launches as threads share them.
struct Shared<'a> {
    calls: &'a [Call],
    args: &'a [*mut u8],
    sizes: &'a [i64],
    memory: Bases,
}

// SAFETY: the tables are only read while kernels run; kernels write disjoint tiles, and each thread its own scratch memory.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn tiles(&self, number: usize, begin: usize, end: usize, worker: usize) {
        let (call, scratch) = (&self.calls[number], self.memory.scratch_of(worker));
        let (args, sizes) = (self.args[call.args..].as_ptr(), self.sizes[call.sizes..].as_ptr());
        // SAFETY: promised by the caller of `Runner::run`.
        unsafe { (call.kernel)(args, sizes, begin as i64, end as i64, scratch) };
    }
}

impl Runner {
    /// Makes room, so that running allocates nothing.
    pub(crate) fn reserve(&mut self, prepared: &Prepared) {
        self.bases.clear();
        self.bases.reserve(prepared.spots.len());
        self.args.clear();
        self.args.reserve(prepared.widest * MOST_BESIDE);
        self.sizes.clear();
        self.sizes.reserve(prepared.most_sizes * MOST_BESIDE);
        self.loops.clear();
        self.loops.reserve(prepared.depth);
        self.calls.clear();
        self.calls.reserve(MOST_BESIDE);
        self.tiles.clear();
        self.tiles.reserve(MOST_BESIDE);
    }

    /// Runs a bound program on the buffers at `self.bases`. `fresh` says of each slot whether what was prepared there still holds;
    /// `made` is told of each that has been prepared.
    ///
    /// # Errors
    /// When a kernel that checks itself met an access out of bounds.
    ///
    /// # Safety
    /// Each base must be valid for the bytes that `prepared` says, scratch memory for one stride a thread, nobody else may use
    /// them meanwhile, and the kernels must be those that the program was compiled with.
    pub(crate) unsafe fn run(
        &mut self,
        program: &Program,
        prepared: &Prepared,
        kernels: &[Kernel],
        pool: &mut Pool,
        (memory, (fresh, made)): (Bases, Standings<'_>),
        mut profile: Option<&mut Profile>,
    ) -> Result<(), Fault> {
        self.loops.clear();
        let mut at = 0;
        // What is being prepared, and where that ends.
        let mut making: Option<(usize, usize)> = None;
        while let Some(op) = prepared.ops.get(at) {
            if let Some((slot, _)) = making.take_if(|(_, exit)| *exit == at) {
                made(slot);
            }
            if memory.poisoned {
                // SAFETY: promised by the caller.
                unsafe { self.births(program, prepared, at) };
            }
            match *op {
                Op::Launch { work, .. } => {
                    // What is observed or checked runs alone, so that it is known who did it.
                    let alone = memory.poisoned || profile.is_some();
                    let (first, (parallel, scratch)) = (at, self.gather(prepared, kernels, &mut at, alone));
                    if memory.poisoned && scratch > STATUS {
                        for worker in 0..pool.threads() {
                            let start = memory.scratch_of(worker).wrapping_add(STATUS);
                            // SAFETY: promised by the caller: `scratch` is at most one stride.
                            let bytes = unsafe { std::slice::from_raw_parts_mut(start, scratch - STATUS) };
                            poison(Dtype::F32, bytes);
                        }
                    }
                    let shared = Shared { calls: &self.calls, args: &self.args, sizes: &self.sizes, memory };
                    let mut spread = |work: crate::pool::Work| {
                        if parallel {
                            return pool.run_jobs(&self.tiles, work);
                        }
                        self.tiles.iter().enumerate().for_each(|(number, &tiles)| work(number, 0, tiles, 0));
                    };
                    match profile.as_deref_mut() {
                        None => spread(&|number, begin, end, worker| shared.tiles(number, begin, end, worker)),
                        Some(profile) => {
                            let (from, observer) = (profile.now(), &*profile);
                            spread(&|number, begin, end, worker| {
                                let from = observer.now();
                                shared.tiles(number, begin, end, worker);
                                observer.span(first, worker, (begin, end), from);
                            });
                            profile.launch(first, from, work);
                        }
                    }
                    if scratch >= STATUS {
                        let workers = if parallel { pool.threads() } else { 1 };
                        // SAFETY: promised by the caller: each stride begins with a status, zero unless a kernel wrote it.
                        unsafe { memory.status(workers) }
                            .map_or(Ok(()), |(arg, index)| Err(Fault { op: first, arg, index }))?;
                    }
                }
                Op::Enter { count, reverse, exit } => {
                    if count > 0 {
                        self.loops.push(Iteration { done: 0, count, reverse });
                        at += 1;
                    } else {
                        at = exit;
                    }
                }
                Op::Unless { slot, exit } => {
                    let holds = std::mem::replace(&mut fresh[slot], true);
                    making = (!holds).then_some((slot, exit));
                    at = if holds { exit } else { at + 1 };
                }
                Op::Leave { body } => {
                    let again = self.loops.last_mut().is_some_and(|iteration| {
                        iteration.done += 1;
                        iteration.done < iteration.count
                    });
                    if again {
                        at = body;
                    } else {
                        self.loops.pop();
                        at += 1;
                    }
                }
            }
        }
        if let Some((slot, _)) = making {
            made(slot);
        }
        Ok(())
    }

    /// Poisons the buffers whose value begins at an operation.
    ///
    /// # Safety
    /// As for `run`.
    unsafe fn births(&self, program: &Program, prepared: &Prepared, op: usize) {
        let first = prepared.births.partition_point(|birth| birth.op < op);
        for birth in prepared.births[first..].iter().take_while(|birth| birth.op == op) {
            if self.loops.iter().skip(birth.depth).all(|iteration| iteration.done == 0) {
                let (start, len) = (self.bases[birth.buffer], prepared.bytes[birth.buffer]);
                // SAFETY: promised by the caller: the buffer's bytes are valid and ours.
                poison(program.buffers[birth.buffer].dtype, unsafe { std::slice::from_raw_parts_mut(start, len) });
            }
        }
    }

    /// The launch at an operation and, unless it is to run alone, those that may run beside it; moves on behind them. Gives
    /// whether they are worth a hand-over, and the bytes of scratch memory that they need.
    fn gather(&mut self, prepared: &Prepared, kernels: &[Kernel], at: &mut usize, alone: bool) -> (bool, usize) {
        self.calls.clear();
        self.tiles.clear();
        self.args.clear();
        self.sizes.clear();
        let mut all = (false, 0);
        while let Some(&Op::Launch { kernel, args, sizes, tiles, scratch, parallel, more, .. }) = prepared.ops.get(*at) {
            *at += 1;
            if tiles > 0 {
                self.calls.push(Call { kernel: kernels[kernel], args: self.args.len(), sizes: self.sizes.len() });
                self.tiles.push(tiles);
                self.addresses(prepared, args, sizes);
                all = (all.0 | parallel, all.1.max(scratch));
            }
            if alone || !more {
                break;
            }
        }
        all
    }

    /// The addresses of a launch's arguments in this iteration; its sizes, and after them what is left of each buffer.
    fn addresses(&mut self, prepared: &Prepared, args: (usize, usize), sizes: (usize, usize)) {
        self.sizes.extend_from_slice(&prepared.kernel_sizes[sizes.0..sizes.1]);
        for arg in &prepared.args[args.0..args.1] {
            let mut offset = arg.offset;
            for stride in &prepared.strides[arg.strides.0..arg.strides.1] {
                let iteration = &self.loops[stride.depth];
                let counted = match stride.by {
                    Count::Index if iteration.reverse => iteration.count - 1 - iteration.done,
                    Count::Index => iteration.done,
                    Count::Turn { add, modulus } => turn(iteration.done, add, modulus),
                };
                offset += counted * stride.step;
            }
            self.args.push(self.bases[arg.buffer].wrapping_offset(offset as isize));
            self.sizes.push((prepared.bytes[arg.buffer] as i64 - offset) / arg.width);
        }
    }
}
