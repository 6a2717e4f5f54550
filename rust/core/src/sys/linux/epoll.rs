//! One descriptor that is ready when any of many is (epoll(7)), and periodically (timerfd_create(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, ptr};

use socket2::Socket;

use super::rtnetlink::Monitor;

/// Sockets that one call can report. The next call reports the others.
const MAX_EVENTS: usize = 64;
const MONITOR: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Many sockets, a monitor and an optional timer behind one descriptor.
#[derive(Debug)]
pub(crate) struct ReadySet {
    epoll: OwnedFd,
    timer: Option<OwnedFd>,
}

impl ReadySet {
    /// Makes a set that holds the monitor only. With a `period`, it is also ready once per period.
    pub(crate) fn new(monitor: &Monitor, period: Option<Duration>) -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let set = Self { epoll, timer: period.map(timer).transpose()? };
        if let Some(descriptor) = monitor.descriptor() {
            set.watch(descriptor, MONITOR)?;
        }
        if let Some(timer) = &set.timer {
            set.watch(timer.as_raw_fd(), TIMER)?;
        }
        Ok(set)
    }

    /// Adds a socket, which [`Self::ready`] reports by its place.
    pub(crate) fn add(&self, socket: &Socket, place: usize) -> io::Result<()> {
        self.watch(socket.as_raw_fd(), place as u64)
    }

    fn watch(&self, descriptor: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` is a live epoll_event, which epoll_ctl(2) only reads.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Adds the places of readable sockets to `found`. Returns whether the monitor or the timer is ready, and resets
    /// the timer. Never blocks.
    pub(crate) fn ready(&self, _: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS];
        let count = loop {
            // SAFETY: `events` is a live, exclusively borrowed array of MAX_EVENTS entries.
            let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), MAX_EVENTS as i32, 0) };
            match usize::try_from(count) {
                Ok(count) => break count,
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e),
                },
            }
        };
        let mut monitor_ready = false;
        for event in &events[..count] {
            match event.u64 {
                MONITOR => monitor_ready = true,
                TIMER => {
                    monitor_ready = true;
                    self.reset_timer();
                }
                place => found.push(place as usize),
            }
        }
        Ok(monitor_ready)
    }

    fn reset_timer(&self) {
        if let Some(timer) = &self.timer {
            let mut expirations = [0u8; 8];
            // SAFETY: the buffer has the 8 bytes that read(2) of a timerfd returns. The read fails only if another
            // thread has just reset the timer.
            unsafe { libc::read(timer.as_raw_fd(), expirations.as_mut_ptr().cast(), expirations.len()) };
        }
    }

    /// Returns the descriptor for an event loop to wait on.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        Some(self.raw().into())
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

fn timer(period: Duration) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
    // SAFETY: zero bytes are a valid itimerspec (integers).
    let mut times: libc::itimerspec = unsafe { mem::zeroed() };
    // The field's own type, time_t, is deprecated in libc for musl, where its width is about to change.
    times.it_interval.tv_sec = i32::try_from(period.as_secs()).unwrap_or(i32::MAX).into();
    // Below 10^9, which every c_long holds.
    times.it_interval.tv_nsec = period.subsec_nanos() as _;
    times.it_value = times.it_interval;
    // SAFETY: `times` is a live itimerspec, which timerfd_settime(2) only reads; the null pointer declines the old
    // value.
    let result = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const times, ptr::null_mut()) };
    if result == 0 { Ok(timer) } else { Err(io::Error::last_os_error()) }
}

/// Takes ownership of a descriptor that a system call has just returned.
fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller passes the result of a call that makes a descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_with_readable_socket_and_timer_reports_both() {
        let monitor = Monitor::new().unwrap();
        let set = ReadySet::new(&monitor, Some(Duration::from_nanos(1))).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"one", socket.local_addr().unwrap()).unwrap();
        set.add(&socket.try_clone().unwrap().into(), 7).unwrap();
        let none: [Arc<Held>; 0] = [];
        let mut found = Vec::new();
        assert!(set.ready(&none, &mut found).unwrap());
        assert_eq!(found, [7]);
    }

    struct Held(Socket);

    impl AsRef<Socket> for Held {
        fn as_ref(&self) -> &Socket {
            &self.0
        }
    }
}
