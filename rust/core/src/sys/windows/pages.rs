//! Memory that is allocated with an error instead of an abort.

use std::io;
use std::ops::{Deref, DerefMut};

/// Initialised memory.
#[derive(Debug)]
pub(crate) struct Pages(Vec<u8>);

impl Pages {
    /// Allocates this many bytes, from 1. Fails if there is not enough memory.
    pub(crate) fn map(length: usize) -> io::Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        Ok(Self(bytes))
    }

    /// Does nothing: the allocator cannot give back a part of its memory.
    pub(crate) fn release(&mut self) {}
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
