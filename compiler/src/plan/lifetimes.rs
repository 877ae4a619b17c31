//! When each buffer of the arena holds a value.
//!
//! Steps are numbered in pre-order, a loop counting as one and then its body. A buffer made outside a loop and touched within is
//! held for the whole loop; one made and used within an iteration only between its own steps.

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
        for step in steps {
            let own = self.number;
            self.number += 1;
            match step {
                Step::Launch(launch) | Step::Prepare { launch, .. } => {
                    launch.args.iter().for_each(|arg| self.touch(arg.buffer as usize, own))
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

    fn touch(&mut self, buffer: usize, number: u32) {
        // The first open loop that the buffer was not made in, if any.
        let within = self.loops.iter().find(|(name, ..)| !self.homes[buffer].contains(name));
        let (from, to) = within.map_or((number, number), |&(_, from, to)| (from, to));
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
