//! Large zeroed memory on huge pages: a weight matrix on 4 KiB pages misses the translation cache on every few cache lines.

use anyhow::{Result, bail};
use std::ptr::NonNull;

/// Every buffer starts at a multiple of this many bytes: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

const HUGE_PAGE: usize = 2 << 20;
const PAGE: usize = 4096;

/// Zeroed memory of this process, aligned to 2 MiB where it is that large.
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    /// The mapping that `start` lies in; its length is 0 where there is none.
    mapping: (*mut libc::c_void, usize),
}

// SAFETY: a region is exclusively owned memory, like a `Vec<u8>`.
unsafe impl Send for Region {}
// SAFETY: through a shared reference nothing can be written.
unsafe impl Sync for Region {}

impl Region {
    /// Memory for `len` bytes.
    ///
    /// # Errors
    /// When the system refuses so much.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 {
            // A valid address for no bytes, aligned as promised.
            let start = NonNull::new(std::ptr::without_provenance_mut(HUGE_PAGE)).expect("an address other than 0");
            return Ok(Self { start, len, mapping: (std::ptr::null_mut(), 0) });
        }
        let align = if len >= HUGE_PAGE { HUGE_PAGE } else { PAGE };
        let Some(mapped) = len.checked_add(align) else { bail!("{len} bytes of memory are more than there can be") };
        // SAFETY: an anonymous mapping at an address of the system's choice touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            bail!("the system refuses {:.1} MiB of memory: {}", len as f64 / 1048576.0, std::io::Error::last_os_error());
        }
        let skip = base.align_offset(align);
        // SAFETY: `skip < align`, so start and the `len` bytes after it lie in the mapping.
        let start = unsafe { base.cast::<u8>().add(skip) };
        if align == HUGE_PAGE {
            // SAFETY: advice about our own mapping. A refusal only costs speed.
            unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
        }
        let Some(start) = NonNull::new(start) else { bail!("the system gave no memory") };
        Ok(Self { start, len, mapping: (base, mapped) })
    }

    /// Gives the pages of a part back to the system; what is read there afterwards is zero or what was there.
    ///
    /// # Panics
    /// When the region does not hold the part.
    pub fn give_back(&mut self, from: usize, len: usize) {
        assert!(from <= self.len && len <= self.len - from, "a part lies in its region");
        // The region begins with a page.
        let (first, end) = (from.next_multiple_of(PAGE), (from + len) / PAGE * PAGE);
        if first < end {
            // SAFETY: whole pages of our own mapping, which nobody borrows. A refusal only costs memory.
            unsafe { libc::madvise(self.start.as_ptr().add(first).cast(), end - first, libc::MADV_DONTNEED) };
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it starts, for kernels. Writing through it needs exclusive use of the region.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped and were zeroed by the system.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// All of it, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.mapping.1 > 0 {
            // SAFETY: the mapping is ours and nothing borrows it any more.
            unsafe { libc::munmap(self.mapping.0, self.mapping.1) };
        }
    }
}

/// Bytes of a region in which `used` bytes are used, and soon perhaps more: a text that grows by a place needs a little more each
/// time.
pub fn roomy(used: usize) -> usize {
    used.saturating_add((used / 4).min(1 << 20))
}

/// Bytes of a [`roomy`] region that lie in memory once those `used` are written: whole large pages, as far as it has any.
pub fn written(used: usize) -> usize {
    let pages = used.checked_next_multiple_of(HUGE_PAGE).filter(|&pages| pages <= roomy(used));
    pages.unwrap_or(used)
}

/// Bytes of this process that lie in memory; 0 where the system does not tell.
pub fn resident() -> u64 {
    // Sizes in pages; the second is what is resident.
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: Option<u64> = pages.and_then(|sizes| sizes.split_whitespace().nth(1)?.parse().ok());
    // SAFETY: it asks the system for a constant.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
    pages.unwrap_or(0).saturating_mul(page)
}

/// The next multiple of [`ALIGN`], unless it exceeds `usize`.
pub fn aligned(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_writable() {
        for len in [0, 1, 4096, (2 << 20) + 3] {
            let mut region = Region::new(len).unwrap();
            assert_eq!(region.start() as usize % if len >= HUGE_PAGE { HUGE_PAGE } else { ALIGN }, 0);
            assert!(region.len() == len && region.bytes().iter().all(|&b| b == 0));
            region.bytes_mut().fill(7);
            assert!(region.bytes().iter().all(|&b| b == 7));
        }
        let mut region = Region::new(4 * 4096).unwrap();
        region.bytes_mut().fill(7);
        region.give_back(10, 2 * 4096);
        let zeros = region.bytes().iter().filter(|&&b| b == 0).count();
        assert!(region.bytes()[..4096].iter().all(|&b| b == 7) && (zeros == 4096 || zeros == 0));
        assert!(Region::new(usize::MAX).is_err());
        assert!(Region::new(1 << 60).is_err());
    }
}
