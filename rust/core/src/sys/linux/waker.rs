//! An eventfd that another thread sets to end a wait. It takes one descriptor, which is not a socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::sys::process::generation;

/// Ends every wait that watches it. Once set, it stays set.
#[derive(Debug)]
pub(crate) struct Waker {
    event: OwnedFd,
    /// A forked child shares the eventfd but must not wake the parent's waiters.
    generation: u32,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: eventfd(2) has just returned this descriptor, and nothing else owns it.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event, generation: generation() })
    }

    /// Whether a parent process made it. If so, only the parent may set it.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }

    pub(crate) fn wake(&self) {
        if self.is_inherited() {
            return;
        }
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is 8 readable bytes, which is what an eventfd takes. The write can fail only if the counter is
        // at its maximum, and then the eventfd is already set.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use socket2::Socket;

    use super::*;
    use crate::pure::wake::Wake;
    use crate::sys::wait_readable;

    #[test]
    fn waker_set_once_ends_every_later_wait() {
        let waker = Waker::new().unwrap();
        let none: [Arc<Held>; 0] = [];
        let now = Some(Duration::ZERO);
        assert_eq!(wait_readable(&none, &waker, now).unwrap(), Some(Wake::TimedOut));
        waker.wake();
        waker.wake();
        for _ in 0..2 {
            assert_eq!(wait_readable(&none, &waker, now).unwrap(), None);
        }
    }

    struct Held(Socket);

    impl AsRef<Socket> for Held {
        fn as_ref(&self) -> &Socket {
            &self.0
        }
    }
}
