//! Linux: one descriptor that is ready when any of many is (epoll(7)), and now and then by itself (timerfd_create(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, ptr};

use socket2::Socket;

use super::netlink::Monitor;

/// Sockets that one look can tell of; the kernel tells of the others at the next.
const MOST: usize = 64;
const MONITOR: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Many sockets, a monitor and perhaps a timer behind one descriptor.
#[derive(Debug)]
pub(crate) struct ReadySet {
    epoll: OwnedFd,
    timer: Option<OwnedFd>,
}

impl ReadySet {
    /// A set of the monitor alone, that is ready every `period` too, where one is given.
    pub(crate) fn new(monitor: &Monitor, period: Option<Duration>) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
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

    /// Adds a socket, which `ready` is going to call by its place.
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

    /// Adds the places of sockets that can be read now to `found`. Returns whether the monitor or the timer is ready,
    /// which ends the timer's sign. Never blocks.
    pub(crate) fn ready(&self, _: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        let count = loop {
            // SAFETY: `events` is a live, exclusively borrowed array of MOST entries.
            let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), MOST as i32, 0) };
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
            match event.u64 {
                MONITOR => sign = true,
                TIMER => {
                    sign = true;
                    self.settle_timer();
                }
                place => found.push(place as usize),
            }
        }
        Ok(sign)
    }

    fn settle_timer(&self) {
        if let Some(timer) = &self.timer {
            let mut expirations = [0u8; 8];
            // SAFETY: the buffer has the 8 octets that read(2) of a timerfd gives. It fails where another thread was
            // first, and then there is nothing left to do.
            unsafe { libc::read(timer.as_raw_fd(), expirations.as_mut_ptr().cast(), expirations.len()) };
        }
    }

    /// The descriptor for others to wait on.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        Some(self.raw().into())
    }

    pub(super) fn raw(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

fn timer(period: Duration) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })?;
    // SAFETY: zero octets are a valid itimerspec (integers).
    let mut times: libc::itimerspec = unsafe { mem::zeroed() };
    // Not by the field's own type: libc calls its name deprecated on musl, whose time_t is about to change.
    times.it_interval.tv_sec = i32::try_from(period.as_secs()).unwrap_or(i32::MAX).into();
    // Below a thousand million, which any c_long holds.
    times.it_interval.tv_nsec = period.subsec_nanos() as _;
    times.it_value = times.it_interval;
    // SAFETY: `times` is a live itimerspec, which timerfd_settime(2) only reads; the old value is not asked for.
    let result = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const times, ptr::null_mut()) };
    if result == 0 { Ok(timer) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that a system call has just returned.
fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller passes the result of a call that makes a descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_places_and_time() {
        let monitor = Monitor::new().unwrap();
        let set = ReadySet::new(&monitor, Some(Duration::from_nanos(1))).unwrap();
        let here = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        here.send_to(b"one", here.local_addr().unwrap()).unwrap();
        set.add(&here.try_clone().unwrap().into(), 7).unwrap();
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
