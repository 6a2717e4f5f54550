//! Waiting for sockets, the monitor and the waker with poll(2).

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use crate::pure::wake::Wake;
use crate::sys::{Monitor, ReadySet, Waker};

/// Waits until one of the sockets is readable.
pub(crate) fn wait_readable(
    sockets: &[Arc<impl AsRef<Socket>>],
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<Option<Wake>> {
    let mut entries = poll_entries(sockets, libc::POLLIN);
    entries.push(entry(waker.as_raw_fd(), libc::POLLIN));
    wait(&mut entries, timeout)
}

/// Waits until the socket accepts more to send.
pub(crate) fn wait_writable(socket: &Socket, waker: &Waker, timeout: Option<Duration>) -> io::Result<Option<Wake>> {
    let mut entries = [entry(socket.as_raw_fd(), libc::POLLOUT), entry(waker.as_raw_fd(), libc::POLLIN)];
    wait(&mut entries, timeout)
}

/// Waits until one of the sockets is readable, or the monitor is ready. A set stands for all of them. Without a set,
/// the second value is whether the monitor is ready.
pub(crate) fn wait_receiving(
    sockets: &[Arc<impl AsRef<Socket>>],
    set: Option<&ReadySet>,
    monitor: &Monitor,
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<(Option<Wake>, bool)> {
    let mut entries = match set {
        Some(set) => vec![entry(set.raw(), libc::POLLIN)],
        None => poll_entries(sockets, libc::POLLIN),
    };
    // poll(2) skips a negative descriptor.
    let monitor = if set.is_some() { None } else { monitor.descriptor() };
    entries.push(entry(monitor.unwrap_or(-1), libc::POLLIN));
    entries.push(entry(waker.as_raw_fd(), libc::POLLIN));
    let wake = wait(&mut entries, timeout)?;
    Ok((wake, entries[entries.len() - 2].revents != 0))
}

fn poll_entries(sockets: &[Arc<impl AsRef<Socket>>], events: i16) -> Vec<libc::pollfd> {
    sockets.iter().map(|socket| entry((**socket).as_ref().as_raw_fd(), events)).collect()
}

fn entry(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Waits for any of the entries. The last one is the waker's, which takes precedence (`None`): a flood must not hide a
/// close.
fn wait(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<Option<Wake>> {
    match poll(entries, timeout) {
        Ok(0) => Ok(Some(Wake::TimedOut)),
        Ok(_) if entries.last().is_some_and(|waker| waker.revents != 0) => Ok(None),
        Ok(_) => Ok(Some(Wake::Ready)),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Some(Wake::Interrupted)),
        Err(e) => Err(e),
    }
}

fn poll(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let millis = timeout.map_or(-1, |t| c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    let count = libc::nfds_t::try_from(entries.len()).map_err(io::Error::other)?;
    // SAFETY: `entries` is a live, exclusively borrowed slice of `count` initialised pollfd; poll(2) writes only their
    // `revents`.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), count, millis) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}
