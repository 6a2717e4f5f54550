//! A connected pair of sockets that another thread writes to, to end a wait.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::sys::process::generation;

/// Ends every wait that watches it. Once set, it stays set: nothing reads the byte.
#[derive(Debug)]
pub(crate) struct Waker {
    reader: UnixStream,
    writer: UnixStream,
    /// A forked child shares the pair but must not wake the parent's waiters.
    generation: u32,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        Ok(Self { reader, writer, generation: generation() })
    }

    /// Whether a parent process made it. If so, only the parent may set it.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }

    pub(crate) fn wake(&self) {
        if !self.is_inherited() {
            // One byte to a peer that is open cannot fail; it is written once or twice in total.
            let _ = (&self.writer).write(&[1]);
        }
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}
