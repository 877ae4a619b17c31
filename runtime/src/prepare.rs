//! Binding a program to sizes: every polynomial is solved and every buffer placed, once for each binding.

use crate::arena::{Lifetime, place};
use crate::bind::{signed, value, width};
use crate::plan::{Arg, Count, Launch, MOST_BESIDE, Place, Plan, Program, Role, Step};
use crate::prepared::{Birth, Op, Prepared, PreparedArg, PreparedStride, STATUS, Spot, turn};
use anyhow::{Context, Result, bail, ensure};

/// Less work than this, in nanoseconds, is done where it is: a hand-over costs some microseconds.
const WORTH_SHARING: f64 = 10_000.0;

/// Binds a program to the values of its sizes.
///
/// # Errors
/// When the plan contradicts itself: a reference to nothing, an argument outside its buffer.
pub fn prepare(plan: &Plan, program: &Program, values: &[i64]) -> Result<Prepared> {
    let mut builder = Builder {
        plan,
        program,
        values,
        loops: Vec::new(),
        step: 0,
        marks: Vec::new(),
        beside: 0,
        out: Prepared::default(),
    };
    builder.buffers().and_then(|()| builder.steps(&program.steps)).with_context(|| {
        let sizes: Vec<String> = program.sizes.iter().zip(values).map(|(n, v)| format!("{n} = {v}")).collect();
        format!("the plan of `{}` is inconsistent (for {})", program.name, sizes.join(", "))
    })?;
    builder.births();
    Ok(builder.out)
}

struct Builder<'a> {
    plan: &'a Plan,
    program: &'a Program,
    values: &'a [i64],
    /// Counts of the enclosing loops.
    loops: Vec<i64>,
    /// Number of the next step.
    step: u32,
    /// For each step: its operation, and first and last step of each enclosing loop's body (last filled in at its end).
    marks: Vec<(usize, Vec<usize>)>,
    /// How many launches run beside one another, the last one among them.
    beside: usize,
    out: Prepared,
}

impl Builder<'_> {
    fn buffers(&mut self) -> Result<()> {
        let buffers = &self.program.buffers;
        let mut whole = vec![false; buffers.len()];
        for (port, input) in
            self.program.inputs.iter().map(|p| (p, true)).chain(self.program.outputs.iter().map(|p| (p, false)))
        {
            let buffer = buffers.get(port.buffer as usize).with_context(|| format!("port `{}` has no buffer", port.name))?;
            ensure!(!input || buffer.place == Place::Input, "input `{}` lies in a buffer that is none", port.name);
            // What a port shows must outlast the steps.
            whole[port.buffer as usize] = true;
            let mut len = 1usize;
            let mut shape = Vec::new();
            for (_, size) in &port.axes {
                shape.push(usize::try_from(value(size, self.values)?)?);
                len = len.checked_mul(shape[shape.len() - 1]).context("a port is too large")?;
            }
            let held = value(&buffer.len, self.values)?;
            ensure!(held as u64 == len as u64, "port `{}` has {len} elements, its buffer {held}", port.name);
            if !input {
                self.out.outputs.push(shape);
            }
        }
        let mut lifetimes = Vec::new();
        for (number, buffer) in buffers.iter().enumerate() {
            let len = usize::try_from(value(&buffer.len, self.values)?)?;
            let bytes = len.checked_mul(width(buffer.dtype)).filter(|&b| i64::try_from(b).is_ok());
            let bytes = bytes.with_context(|| format!("buffer {number} is too large"))?;
            let (mut first, mut last) = (0, u32::MAX);
            let spot = match &buffer.place {
                Place::Slot(slot) => {
                    let held =
                        self.plan.slots.get(*slot as usize).with_context(|| format!("buffer {number} has no slot"))?;
                    ensure!(
                        held.dtype == buffer.dtype && (held.len >= len as u64 || held.role == Role::Kept),
                        "buffer {number} does not fit into its slot `{}`",
                        held.name
                    );
                    Spot::Slot(*slot as usize)
                }
                Place::Constant(data) => {
                    ensure!(data.len() == bytes, "constant {number} has {} bytes, its buffer {bytes}", data.len());
                    Spot::Constant
                }
                Place::Input | Place::Output => Spot::Arena(lifetimes.len()),
                Place::Arena { first: from, last: to } => {
                    ensure!(from <= to, "buffer {number} ends before it begins");
                    if !whole[number] {
                        (first, last) = (*from, *to);
                    }
                    Spot::Arena(lifetimes.len())
                }
            };
            if let Spot::Arena(_) = spot {
                lifetimes.push(Lifetime { first, last, bytes });
            }
            self.out.spots.push(spot);
            self.out.bytes.push(bytes);
        }
        let placement = place(&lifetimes)?;
        self.out.arena = placement.bytes;
        for spot in &mut self.out.spots {
            if let Spot::Arena(index) = spot {
                *spot = Spot::Arena(placement.offsets[*index]);
            }
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            let number = self.step as usize;
            self.step += 1;
            self.marks.push((self.out.ops.len(), Vec::new()));
            match step {
                Step::Launch(launch) => self.launch(launch).with_context(|| format!("step {number}"))?,
                Step::Prepare { slot, launch } => {
                    let held = self.plan.slots.get(*slot as usize).map(|held| &held.role);
                    ensure!(matches!(held, Some(Role::Prepared { .. })), "step {number} prepares a slot that is none");
                    let exit = self.out.ops.len() + 2;
                    self.out.ops.push(Op::Unless { slot: *slot as usize, exit });
                    self.launch(launch).with_context(|| format!("step {number}"))?;
                }
                Step::Loop { count, reverse, body } => {
                    let count = value(count, self.values)?;
                    let enter = self.out.ops.len();
                    self.out.ops.push(Op::Enter { count, reverse: *reverse, exit: 0 });
                    self.loops.push(count);
                    self.out.depth = self.out.depth.max(self.loops.len());
                    let first = self.step as usize;
                    self.steps(body)?;
                    self.loops.pop();
                    self.out.ops.push(Op::Leave { body: enter + 1 });
                    let after = self.out.ops.len();
                    if let Op::Enter { exit, .. } = &mut self.out.ops[enter] {
                        *exit = after;
                    }
                    let last = self.step as usize;
                    for mark in &mut self.marks[first..last] {
                        // Inner loops end first: the ends are innermost first.
                        mark.1.push(last - 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn launch(&mut self, launch: &Launch) -> Result<()> {
        let kernel = launch.kernel as usize;
        ensure!(kernel < self.plan.kernels.len(), "there is no kernel {kernel}");
        let symbol = &self.plan.kernels[kernel];
        let first = self.out.args.len();
        for (number, arg) in launch.args.iter().enumerate() {
            self.arg(arg).with_context(|| format!("argument {number} of kernel `{symbol}`"))?;
        }
        self.out.widest = self.out.widest.max(launch.args.len());
        let sizes = self.out.kernel_sizes.len();
        for size in &launch.sizes {
            self.out.kernel_sizes.push(signed(size, self.values)?);
        }
        let sizes = (sizes, self.out.kernel_sizes.len());
        let numbers = launch.sizes.len() + launch.args.len();
        self.out.most_sizes = self.out.most_sizes.max(numbers);
        let mut tiles = Some(1u64);
        for (size, block) in &launch.tiles {
            ensure!(*block > 0, "kernel `{symbol}` has tiles of no size");
            let blocks = (value(size, self.values)? as u64).div_ceil(*block);
            tiles = tiles.and_then(|tiles| tiles.checked_mul(blocks));
        }
        // Kernels count tiles in `i64`.
        let tiles = tiles.and_then(|tiles| i64::try_from(tiles).ok());
        let tiles = usize::try_from(tiles.context("there are more tiles than 63 bits count")?)?;
        let scratch = usize::try_from(launch.scratch)?;
        ensure!(scratch == 0 || scratch >= STATUS, "kernel `{symbol}` has no room for its status");
        self.out.scratch = self.out.scratch.max(scratch);
        // A cost that nobody stated says nothing; sharing is then the safer guess.
        let parallel = tiles > 1 && (launch.cost <= 0.0 || launch.cost * tiles as f64 >= WORTH_SHARING);
        let args = (first, self.out.args.len());
        let amount = |size| anyhow::Ok(signed(size, self.values)? as f64);
        let work = (amount(&launch.work.operations)? * launch.work.share, amount(&launch.work.bytes)?);
        self.beside = if launch.beside { self.beside + 1 } else { 1 };
        ensure!(self.beside <= MOST_BESIDE, "{} launches are to run beside one another, {MOST_BESIDE} can", self.beside);
        if let Some(Op::Launch { more, .. }) = self.out.ops.last_mut().filter(|_| launch.beside) {
            *more = true;
        }
        self.out.ops.push(Op::Launch { kernel, args, sizes, tiles, scratch, parallel, work, more: false });
        Ok(())
    }

    fn arg(&mut self, arg: &Arg) -> Result<()> {
        let buffer = arg.buffer as usize;
        let held = self.program.buffers.get(buffer).with_context(|| format!("there is no buffer {buffer}"))?;
        let width = width(held.dtype) as i64;
        let bytes = |elements: i64| elements.checked_mul(width).context("an offset exceeds 64 bits");
        let offset = bytes(signed(&arg.offset, self.values)?)?;
        let first = self.out.strides.len();
        let (mut least, mut most) = (i128::from(offset), i128::from(offset));
        for stride in &arg.strides {
            let depth = stride.depth as usize;
            let Some(&count) = self.loops.get(depth) else { bail!("there is no loop of depth {depth} around it") };
            let step = bytes(signed(&stride.step, self.values)?)?;
            let (low, high) = match stride.by {
                Count::Index => (0, (count - 1).max(0)),
                Count::Turn { modulus: 0, .. } => bail!("turns among 0 places"),
                Count::Turn { add, modulus } => {
                    let turns = (0..count.min(i64::from(modulus))).map(|done| turn(done, add, modulus));
                    turns.fold((i64::MAX, 0), |(low, high), turn| (low.min(turn), high.max(turn)))
                }
            };
            let ends = [low, high].map(|turns| i128::from(step) * i128::from(turns));
            least += ends[0].min(ends[1]);
            most += ends[0].max(ends[1]);
            self.out.strides.push(PreparedStride { depth, by: stride.by, step });
        }
        let runs = self.loops.iter().all(|&count| count > 0);
        let held = self.out.bytes[buffer];
        ensure!(
            !runs || (least >= 0 && most <= held as i128),
            "it starts at byte {least} to {most} of buffer {buffer}, which has {held} bytes"
        );
        self.out.args.push(PreparedArg { buffer, width, offset, strides: (first, self.out.strides.len()) });
        Ok(())
    }

    /// Where the values of arena buffers begin. Ports live for the whole run and are no births.
    fn births(&mut self) {
        let whole: Vec<u32> = self.program.inputs.iter().map(|port| port.buffer).collect();
        for (number, buffer) in self.program.buffers.iter().enumerate() {
            let (first, last) = match buffer.place {
                Place::Arena { first, last } => (first as usize, last as usize),
                Place::Output => (0, usize::MAX),
                Place::Slot(_) | Place::Input | Place::Constant(_) => continue,
            };
            if whole.contains(&(number as u32)) {
                continue;
            }
            if let Some((op, ends)) = self.marks.get(first) {
                let depth = ends.iter().filter(|&&end| last <= end).count();
                self.out.births.push(Birth { op: *op, buffer: number, depth });
            }
        }
        self.out.births.sort_by_key(|birth| birth.op);
    }
}
