//! Memory straight from the system (mmap(2)), which can be given back while it stays reserved.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

/// Zeroed memory. It costs address space at once, and memory when it is first written.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to this value alone, and is reached through its borrows only.
unsafe impl Send for Pages {}
// SAFETY: a shared borrow only reads.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps this many bytes, from 1. Fails if there is not enough memory or address space.
    pub(crate) fn map(length: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address that the system chooses replaces no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { start, length })
    }

    /// Gives the memory back to the system. The content is unspecified afterwards.
    pub(crate) fn release(&mut self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let advice = libc::MADV_DONTNEED;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let advice = libc::MADV_FREE;
        // SAFETY: the range is this mapping, which is borrowed exclusively. It stays mapped, and reads as zeros or as
        // before. A failure leaves it as it was.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, advice) };
    }
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has this length, is initialised by the system, and lives as long as the borrow.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped exactly this range, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_released_can_be_written_again() {
        let mut pages = Pages::map(100_000).unwrap();
        assert!(pages.iter().all(|&byte| byte == 0));
        pages.fill(7);
        pages.release();
        pages[99_999] = 1;
        assert_eq!((pages.len(), pages[99_999]), (100_000, 1));
    }

    #[test]
    fn pages_beyond_the_address_space_are_an_error() {
        assert_eq!(Pages::map(usize::MAX / 2).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }
}
