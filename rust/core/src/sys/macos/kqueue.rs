//! One descriptor that is ready when any of many is, and periodically (kqueue(2)).

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, ptr};

use socket2::Socket;

use crate::sys::polling::PERIOD;
use crate::sys::process::generation;
use crate::sys::unmonitored::Monitor;

/// Sockets that one call can report. The next call reports the others.
const MAX_EVENTS: usize = 64;

/// Many sockets and a timer behind one descriptor.
#[derive(Debug)]
pub(crate) struct ReadySet {
    kqueue: ManuallyDrop<OwnedFd>,
    /// How many forks led to the process that has the kqueue.
    generation: u32,
}

impl ReadySet {
    /// Makes a set that is ready once per `period`, and as often as the monitor must be polled.
    pub(crate) fn new(_: &Monitor, period: Option<Duration>) -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let kqueue = unsafe { libc::kqueue() };
        if kqueue < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: kqueue(2) has just returned this descriptor, and nothing else owns it. fork(2) does not pass it on.
        let kqueue = unsafe { OwnedFd::from_raw_fd(kqueue) };
        let set = Self { kqueue: ManuallyDrop::new(kqueue), generation: generation() };
        let period = period.map_or(PERIOD, |period| period.min(PERIOD));
        let millis = isize::try_from(period.as_millis()).unwrap_or(isize::MAX).max(1);
        set.watch(0, libc::EVFILT_TIMER, millis, 0)?;
        Ok(set)
    }

    /// Adds a socket, which [`Self::ready`] reports by its place.
    pub(crate) fn add(&self, socket: &Socket, place: usize) -> io::Result<()> {
        let descriptor = usize::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
        self.watch(descriptor, libc::EVFILT_READ, 0, place)
    }

    fn watch(&self, ident: usize, filter: i16, data: isize, place: usize) -> io::Result<()> {
        // SAFETY: zero bytes are a valid kevent (integers, and a pointer that is never followed).
        let mut change: libc::kevent = unsafe { mem::zeroed() };
        change.ident = ident;
        change.filter = filter;
        change.flags = libc::EV_ADD;
        change.data = data as _;
        change.udata = ptr::without_provenance_mut(place);
        // SAFETY: the call reads one live change and writes no events.
        let result =
            unsafe { libc::kevent(self.kqueue.as_raw_fd(), &raw const change, 1, ptr::null_mut(), 0, ptr::null()) };
        if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Adds the places of readable sockets to `found`. Returns whether the timer has expired, and restarts it. Never
    /// blocks.
    pub(crate) fn ready(&self, _: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        // SAFETY: zero bytes are a valid kevent (integers, and a pointer that is never followed) and a valid timespec.
        let (mut events, now): ([libc::kevent; MAX_EVENTS], libc::timespec) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let count = loop {
            // SAFETY: `events` is a live, exclusively borrowed array of MAX_EVENTS entries; `now` is only read.
            let count = unsafe {
                libc::kevent(
                    self.kqueue.as_raw_fd(),
                    ptr::null(),
                    0,
                    events.as_mut_ptr(),
                    MAX_EVENTS as i32,
                    &raw const now,
                )
            };
            match usize::try_from(count) {
                Ok(count) => break count,
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e),
                },
            }
        };
        let mut expired = false;
        for event in &events[..count] {
            // Copied, because the structure is packed on some of these systems.
            let (filter, place) = (event.filter, event.udata);
            if filter == libc::EVFILT_TIMER {
                expired = true;
            } else {
                found.push(place.addr());
            }
        }
        Ok(expired)
    }

    /// Returns the descriptor for an event loop to wait on.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        Some(self.raw().into())
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.kqueue.as_raw_fd()
    }
}

impl Drop for ReadySet {
    /// Closes the kqueue, except in a forked child, which did not inherit it: there the number is free, or already that
    /// of another file.
    fn drop(&mut self) {
        if self.generation == generation() {
            // SAFETY: nothing uses the field after this, because the set is dropped.
            unsafe { ManuallyDrop::drop(&mut self.kqueue) };
        }
    }
}
