//! Which launches may run beside one another: a thread that has done its part of one begins with the next, and nobody waits.

use weft_runtime::plan::{MOST_BESIDE, Program, Step};

use super::steps::Ref;

/// Launches one behind another of which none touches what another writes.
#[derive(Default)]
pub struct Beside {
    read: Vec<u32>,
    written: Vec<u32>,
    count: usize,
}

impl Beside {
    /// Takes a launch that reads and writes these; says whether it may run beside those before, which it otherwise replaces.
    pub fn take(&mut self, reads: &[Ref], writes: &[Ref]) -> bool {
        let free = |own: &[Ref], others: &[u32]| own.iter().all(|r| !others.contains(&r.buffer));
        let beside = (1..MOST_BESIDE).contains(&self.count)
            && free(reads, &self.written)
            && free(writes, &self.written)
            && free(writes, &self.read);
        if !beside {
            *self = Self::default();
        }
        self.count += 1;
        self.read.extend(reads.iter().map(|r| r.buffer));
        self.written.extend(writes.iter().map(|r| r.buffer));
        beside
    }
}

/// The program with each launch alone: code that checks itself says which argument was wrong, but not whose.
pub fn apart(mut program: Program) -> Program {
    fn alone(steps: &mut [Step]) {
        for step in steps {
            match step {
                Step::Launch(launch) => launch.beside = false,
                Step::Prepare { .. } => {}
                Step::Loop { body, .. } => alone(body),
            }
        }
    }
    alone(&mut program.steps);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Layout;

    /// Which of some launches, by the buffers that they read and write, run beside the one before.
    fn beside(launches: &[(&[u32], &[u32])]) -> Vec<bool> {
        let refs = |buffers: &[u32]| buffers.iter().map(|&b| Ref::whole(b, Layout(Vec::new()))).collect::<Vec<_>>();
        let mut all = Beside::default();
        launches.iter().map(|(reads, writes)| all.take(&refs(reads), &refs(writes))).collect()
    }

    #[test]
    fn what_reads_the_same_runs_side_by_side() {
        assert_eq!(beside(&[(&[0, 1], &[5]), (&[0, 2], &[6]), (&[0, 3], &[7])]), [false, true, true]);
    }

    #[test]
    fn there_are_not_too_many() {
        let found = beside(&[(&[0][..], &[][..]); 2 * MOST_BESIDE]);
        assert!(found.iter().enumerate().all(|(at, &beside)| beside == (at % MOST_BESIDE > 0)));
    }

    #[test]
    fn what_one_writes_another_touches_only_later() {
        assert_eq!(beside(&[(&[0], &[1]), (&[1], &[2]), (&[0], &[3])]), [false, false, true], "read after write");
        assert_eq!(beside(&[(&[0], &[1]), (&[2], &[1])]), [false, false], "written twice");
        assert_eq!(beside(&[(&[0], &[1]), (&[2], &[3]), (&[4], &[0])]), [false, true, false], "written after read");
    }
}
