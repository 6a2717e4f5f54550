//! macOS and FreeBSD: one descriptor that is ready when any of many is, and now and then by itself (kqueue(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, ptr};

use socket2::Socket;

use super::polling::PERIOD;
use super::unmonitored::Monitor;

/// Sockets that one look can tell of; the kernel tells of the others at the next.
const MOST: usize = 64;

/// Many sockets and a timer behind one descriptor.
#[derive(Debug)]
pub(crate) struct ReadySet {
    kqueue: OwnedFd,
}

impl ReadySet {
    /// A set that is ready every `wanted` period, and as often as the monitor has to be asked.
    pub(crate) fn new(_: &Monitor, wanted: Option<Duration>) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let kqueue = unsafe { libc::kqueue() };
        if kqueue < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: kqueue(2) has just returned this descriptor, and nobody else owns it. A child of fork(2) gets none.
        let set = Self { kqueue: unsafe { OwnedFd::from_raw_fd(kqueue) } };
        let every = wanted.map_or(PERIOD, |wanted| wanted.min(PERIOD));
        let millis = isize::try_from(every.as_millis()).unwrap_or(isize::MAX).max(1);
        set.watch(0, libc::EVFILT_TIMER, millis, 0)?;
        Ok(set)
    }

    /// Adds a socket, which `ready` is going to call by its place.
    pub(crate) fn add(&self, socket: &Socket, place: usize) -> io::Result<()> {
        let descriptor = usize::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
        self.watch(descriptor, libc::EVFILT_READ, 0, place)
    }

    fn watch(&self, what: usize, filter: i16, data: isize, place: usize) -> io::Result<()> {
        // SAFETY: zero octets are a valid kevent (integers and a pointer that is never followed).
        let mut change: libc::kevent = unsafe { mem::zeroed() };
        change.ident = what;
        change.filter = filter;
        change.flags = libc::EV_ADD;
        change.data = data as _;
        change.udata = ptr::without_provenance_mut(place);
        // SAFETY: one live change is read; no events are asked for.
        let result =
            unsafe { libc::kevent(self.kqueue.as_raw_fd(), &raw const change, 1, ptr::null_mut(), 0, ptr::null()) };
        if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Adds the places of sockets that can be read now to `found`. Returns whether the timer has run out, which starts
    /// it anew. Never blocks.
    pub(crate) fn ready(&self, _: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        // SAFETY: zero octets are a valid kevent (integers and a pointer that is never followed), and a valid timespec.
        let (mut events, now): ([libc::kevent; MOST], libc::timespec) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let count = loop {
            // SAFETY: `events` is a live, exclusively borrowed array of MOST entries; `now` is only read.
            let count = unsafe {
                libc::kevent(self.kqueue.as_raw_fd(), ptr::null(), 0, events.as_mut_ptr(), MOST as i32, &raw const now)
            };
            match usize::try_from(count) {
                Ok(count) => break count,
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e),
                },
            }
        };
        let mut sign = false;
        for event in &events[..count] {
            // Copied: on some of these systems the structure is packed.
            let (filter, place) = (event.filter, event.udata);
            if filter == libc::EVFILT_TIMER {
                sign = true;
            } else {
                found.push(place.addr());
            }
        }
        Ok(sign)
    }

    /// The descriptor for others to wait on.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        Some(self.raw().into())
    }

    pub(super) fn raw(&self) -> RawFd {
        self.kqueue.as_raw_fd()
    }
}
