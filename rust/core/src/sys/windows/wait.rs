//! Waiting for sockets and the waker with `WSAPoll`, which accepts nothing but sockets.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::windows::io::{AsRawSocket, RawSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock as ws;

use crate::pure::wake::Wake;
use crate::sys::unmonitored::Monitor;

/// Ends every wait that watches it. Once set, it stays set: a loopback socket, connected to itself, with a datagram
/// queued that nothing reads.
#[derive(Debug)]
pub(crate) struct Waker {
    socket: UdpSocket,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        Ok(Self { socket })
    }

    /// Returns false: there is no fork.
    pub(crate) fn is_inherited(&self) -> bool {
        false
    }

    pub(crate) fn wake(&self) {
        // The first datagram fits the socket's empty buffer; a second one changes nothing.
        let _ = self.socket.send(&[1]);
    }
}

/// Waits until one of the sockets is readable.
pub(crate) fn wait_readable(
    sockets: &[Arc<impl AsRef<Socket>>],
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<Option<Wake>> {
    let mut entries = poll_entries(sockets, ws::POLLRDNORM);
    entries.push(entry(waker.socket.as_raw_socket(), ws::POLLRDNORM));
    wait(&mut entries, timeout)
}

/// Waits until the socket accepts more to send.
pub(crate) fn wait_writable(socket: &Socket, waker: &Waker, timeout: Option<Duration>) -> io::Result<Option<Wake>> {
    let mut entries =
        [entry(socket.as_raw_socket(), ws::POLLWRNORM), entry(waker.socket.as_raw_socket(), ws::POLLRDNORM)];
    wait(&mut entries, timeout)
}

/// Waits until one of the sockets is readable. The monitor sends no notification here: it must be polled.
pub(crate) fn wait_receiving(
    sockets: &[Arc<impl AsRef<Socket>>],
    _: Option<&ReadySet>,
    _: &Monitor,
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<(Option<Wake>, bool)> {
    Ok((wait_readable(sockets, waker, timeout)?, false))
}

/// Polls every socket each time: no descriptor stands for several of them.
#[derive(Debug)]
pub(crate) struct ReadySet;

impl ReadySet {
    pub(crate) fn new(_: &Monitor, _period: Option<Duration>) -> io::Result<Self> {
        Ok(Self)
    }

    /// Does nothing: [`Self::ready`] gets every socket as an argument.
    pub(crate) fn add(&self, _socket: &Socket, _place: usize) -> io::Result<()> {
        Ok(())
    }

    /// Adds the places of readable sockets to `found`. Returns false: the monitor must be polled. Never blocks.
    pub(crate) fn ready(&self, sockets: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        let mut entries = poll_entries(sockets, ws::POLLRDNORM);
        poll(&mut entries, Some(Duration::ZERO))?;
        found.extend(entries.iter().enumerate().filter(|(_, e)| e.revents != 0).map(|(i, _)| i));
        Ok(false)
    }

    /// Returns `None`: there is no such descriptor.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        None
    }
}

fn poll_entries(sockets: &[Arc<impl AsRef<Socket>>], events: i16) -> Vec<ws::WSAPOLLFD> {
    sockets.iter().map(|socket| entry((**socket).as_ref().as_raw_socket(), events)).collect()
}

fn entry(socket: RawSocket, events: i16) -> ws::WSAPOLLFD {
    ws::WSAPOLLFD { fd: socket as ws::SOCKET, events, revents: 0 }
}

/// Waits for any of the entries. The last one is the waker's, which takes precedence (`None`): a flood must not hide a
/// close.
fn wait(entries: &mut [ws::WSAPOLLFD], timeout: Option<Duration>) -> io::Result<Option<Wake>> {
    match poll(entries, timeout)? {
        0 => Ok(Some(Wake::TimedOut)),
        _ if entries.last().is_some_and(|waker| waker.revents != 0) => Ok(None),
        _ => Ok(Some(Wake::Ready)),
    }
}

fn poll(entries: &mut [ws::WSAPOLLFD], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let millis = timeout.map_or(-1, |t| i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    let count = u32::try_from(entries.len()).map_err(io::Error::other)?;
    // SAFETY: `entries` is a live, exclusively borrowed slice of `count` initialised WSAPOLLFD.
    let ready = unsafe { ws::WSAPoll(entries.as_mut_ptr(), count, millis) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}
