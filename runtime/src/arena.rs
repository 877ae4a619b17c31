//! Where buffers lie in a program's arena: two may share memory when no step needs both.

use crate::memory::aligned;
use anyhow::{Result, bail};

/// A buffer to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// First step that touches it.
    pub first: u32,
    /// Last step that touches it.
    pub last: u32,
    /// Its size.
    pub bytes: usize,
}

/// Offsets of buffers and the bytes they need together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// One for each buffer, a multiple of [`crate::memory::ALIGN`].
    pub offsets: Vec<usize>,
    /// Bytes of the arena.
    pub bytes: usize,
}

/// Places buffers: the largest first, each into the smallest gap that holds it among those alive with it ("greedy by size" of
/// Pisarchyk and Lee 2020, *Efficient Memory Management for Deep Neural Net Inference*). Deterministic.
///
/// # Errors
/// When the sizes exceed what can be addressed.
pub fn place(buffers: &[Lifetime]) -> Result<Placement> {
    let mut sizes = Vec::with_capacity(buffers.len());
    let mut sum = 0usize;
    for buffer in buffers {
        let size = aligned(buffer.bytes);
        let Some((size, total)) = size.and_then(|size| Some((size, sum.checked_add(size)?))) else {
            bail!("the buffers need more memory than can be addressed");
        };
        sizes.push(size);
        sum = total;
    }
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(sizes[i]), buffers[i].first, i));
    let mut offsets = vec![0; buffers.len()];
    // Those placed so far, by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    let mut bytes = 0;
    for &i in &order {
        if sizes[i] == 0 {
            continue;
        }
        let mut best: Option<(usize, usize)> = None;
        let mut free = 0;
        for &j in placed.iter().filter(|&&j| meet(&buffers[i], &buffers[j])) {
            if offsets[j] > free {
                let gap = offsets[j] - free;
                if gap >= sizes[i] && best.is_none_or(|(smallest, _)| gap < smallest) {
                    best = Some((gap, free));
                }
            }
            free = free.max(offsets[j] + sizes[j]);
        }
        offsets[i] = best.map_or(free, |(_, offset)| offset);
        bytes = bytes.max(offsets[i] + sizes[i]);
        let at = placed.partition_point(|&j| offsets[j] <= offsets[i]);
        placed.insert(at, i);
    }
    Ok(Placement { offsets, bytes })
}

fn meet(a: &Lifetime, b: &Lifetime) -> bool {
    a.first <= b.last && b.first <= a.last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn buffers_alive_together_never_overlap() {
        for case in 0..300 {
            let stream = Stream::new(case, "arena");
            let buffers: Vec<Lifetime> = (0..1 + stream.below(0, 40))
                .map(|i| {
                    let first = stream.below(3 * i + 1, 20) as u32;
                    let last = first + stream.below(3 * i + 2, 8) as u32;
                    Lifetime { first, last, bytes: stream.below(3 * i + 3, 1000) as usize }
                })
                .collect();
            let placement = place(&buffers).unwrap();
            for (i, a) in buffers.iter().enumerate() {
                assert_eq!(placement.offsets[i] % 64, 0);
                assert!(placement.offsets[i] + a.bytes <= placement.bytes || a.bytes == 0);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = placement.offsets[i] + a.bytes <= placement.offsets[j]
                        || placement.offsets[j] + b.bytes <= placement.offsets[i];
                    assert!(apart || !meet(a, b) || a.bytes == 0 || b.bytes == 0, "{a:?} {b:?}");
                }
            }
            // Never less than any one step needs, nor more than all of them.
            let needed = (0..30).map(|step| {
                let alive = buffers.iter().filter(|b| b.first <= step && step <= b.last);
                alive.map(|b| b.bytes.next_multiple_of(64)).sum::<usize>()
            });
            assert!(placement.bytes >= needed.max().unwrap());
            assert!(placement.bytes <= buffers.iter().map(|b| b.bytes.next_multiple_of(64)).sum());
        }
    }

    #[test]
    fn memory_is_shared() {
        let chain: Vec<Lifetime> = (0..10).map(|i| Lifetime { first: i, last: i + 1, bytes: 100 }).collect();
        assert_eq!(place(&chain).unwrap().bytes, 256);
        let huge = [Lifetime { first: 0, last: 0, bytes: usize::MAX }];
        assert!(place(&huge).is_err());
    }
}
