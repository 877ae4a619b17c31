//! When each buffer of the arena holds a value.
//!
//! Steps are numbered in pre-order, a loop counting as one and then its body. A buffer made outside a loop and touched within is
//! held for the whole loop; one made and used within an iteration only between its own steps. Launches that run beside one another
//! all touch their buffers from the first of them to the last.

use weft_runtime::plan::{Buffer, Place, Step};

/// Fills in the lifetimes of the arena's buffers. `homes` names the loops (by number of opening) that each buffer was made in.
pub fn assign(buffers: &mut [Buffer], homes: &[Vec<u32>], steps: &[Step]) {
    let mut walk = Walk { buffers, homes, number: 0, opened: 0, loops: Vec::new() };
    walk.steps(steps);
}

struct Walk<'a> {
    buffers: &'a mut [Buffer],
    homes: &'a [Vec<u32>],
    number: u32,
    /// Loops opened so far.
    opened: u32,
    /// Loops that are open: their name, their own number, the number of their last step.
    loops: Vec<(u32, u32, u32)>,
}

impl Walk<'_> {
    fn steps(&mut self, steps: &[Step]) {
        let beside = |step: &Step| matches!(step, Step::Launch(launch) if launch.beside);
        let mut first = self.number;
        for (at, step) in steps.iter().enumerate() {
            let own = self.number;
            self.number += 1;
            first = if beside(step) { first } else { own };
            match step {
                Step::Launch(launch) | Step::Prepare { launch, .. } => {
                    let last = own + steps[at + 1..].iter().take_while(|step| beside(step)).count() as u32;
                    launch.args.iter().for_each(|arg| self.touch(arg.buffer as usize, first, last))
                }
                Step::Loop { body, .. } => {
                    let name = self.opened;
                    self.opened += 1;
                    self.loops.push((name, own, own + count(body)));
                    self.steps(body);
                    self.loops.pop();
                }
            }
        }
    }

    fn touch(&mut self, buffer: usize, first: u32, last: u32) {
        // The first open loop that the buffer was not made in, if any.
        let within = self.loops.iter().find(|(name, ..)| !self.homes[buffer].contains(name));
        let (from, to) = within.map_or((first, last), |&(_, from, to)| (from, to));
        if let Place::Arena { first, last } = &mut self.buffers[buffer].place {
            *first = (*first).min(from);
            *last = (*last).max(to);
        }
    }
}

/// Steps in all, loops counting as one more.
fn count(steps: &[Step]) -> u32 {
    steps
        .iter()
        .map(|step| match step {
            Step::Launch(_) | Step::Prepare { .. } => 1,
            Step::Loop { body, .. } => 1 + count(body),
        })
        .sum()
}
