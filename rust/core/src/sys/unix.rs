//! What Linux, macOS and the BSDs share: poll, socket options, source groups, the size of an interface's packets.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Wake;
use super::platform::{Monitor, ReadySet, Waker};

/// Sleeps until one of the sockets can be read.
pub(crate) fn wait_readable(
    sockets: &[Arc<impl AsRef<Socket>>],
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<Wake> {
    let mut entries = poll_entries(sockets, libc::POLLIN);
    entries.push(entry(waker.as_raw_fd(), libc::POLLIN));
    wait(&mut entries, timeout)
}

/// Sleeps until the socket takes more to send.
pub(crate) fn wait_writable(socket: &Socket, waker: &Waker, timeout: Option<Duration>) -> io::Result<Wake> {
    let mut entries = [entry(socket.as_raw_fd(), libc::POLLOUT), entry(waker.as_raw_fd(), libc::POLLIN)];
    wait(&mut entries, timeout)
}

/// Sleeps until one of the sockets can be read, or the monitor has something to tell. A set stands for all of them;
/// without one the answer says, too, whether it is the monitor.
pub(crate) fn wait_receiving(
    sockets: &[Arc<impl AsRef<Socket>>],
    set: Option<&ReadySet>,
    monitor: &Monitor,
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<(Wake, bool)> {
    let mut entries = match set {
        Some(set) => vec![entry(set.raw(), libc::POLLIN)],
        None => poll_entries(sockets, libc::POLLIN),
    };
    // A negative descriptor is passed over.
    let sign = if set.is_some() { None } else { monitor.descriptor() };
    entries.push(entry(sign.unwrap_or(-1), libc::POLLIN));
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

/// The last entry is the waker's: it goes before readiness, so that a flood cannot hide a close.
fn wait(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<Wake> {
    match poll(entries, timeout) {
        Ok(0) => Ok(Wake::TimedOut),
        Ok(_) if entries.last().is_some_and(|waker| waker.revents != 0) => Ok(Wake::Woken),
        Ok(_) => Ok(Wake::Ready),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Wake::Interrupted),
        Err(e) => Err(e),
    }
}

fn poll(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let millis = timeout.map_or(-1, |t| c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    let count = libc::nfds_t::try_from(entries.len()).map_err(io::Error::other)?;
    // SAFETY: `entries` is a live, exclusively borrowed slice of `count` initialised pollfd; poll(2) writes
    // only their `revents`.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), count, millis) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// `_IOWR('i', 51, struct ifreq)` of sys/sockio.h.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
const SIOCGIFMTU: std::ffi::c_ulong = 0xc020_6933;
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::SIOCGIFMTU;

/// The largest packet of an interface, in octets (netdevice(7)); `None` where it is gone.
pub(crate) fn interface_mtu(name: &str, _index: u32) -> io::Result<Option<u32>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: zero octets are a valid ifreq (plain integers, and a pointer that is not followed).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last place stays the closing zero.
    let room = request.ifr_name.len() - 1;
    for (place, octet) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *place = octet as std::ffi::c_char;
    }
    // SAFETY: `request` is a live, exclusively borrowed ifreq with a closed name; the call writes only to it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGIFMTU as _, &raw mut request) };
    if result == 0 {
        // SAFETY: the call has just written this field, a plain integer.
        return Ok(u32::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok());
    }
    match io::Error::last_os_error() {
        e if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => Ok(None),
        e => Err(e),
    }
}

/// A socket of one's own that shares the kernel's socket with the descriptor `raw`.
pub(crate) fn duplicate(raw: i64) -> io::Result<Socket> {
    let raw = c_int::try_from(raw).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: no pointers are passed; a number that is no open descriptor gives EBADF.
    let fd = unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fcntl(2) just returned this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Sets one socket option of plain-data type.
pub(super) fn set_option<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and size describe `value`, which lives through the call; setsockopt(2) only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a source-specific call does (RFC 3678 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceCall {
    Join,
    Leave,
    Block,
}

/// Joins, leaves or blocks one source of a group on an interface (0: the system chooses).
pub(crate) fn source_call(
    socket: &Socket,
    call: SourceCall,
    group: IpAddr,
    interface: u32,
    source: IpAddr,
) -> io::Result<()> {
    let name = match call {
        SourceCall::Join => libc::MCAST_JOIN_SOURCE_GROUP,
        SourceCall::Leave => libc::MCAST_LEAVE_SOURCE_GROUP,
        SourceCall::Block => libc::MCAST_BLOCK_SOURCE,
    };
    let request =
        libc::group_source_req { gsr_interface: interface, gsr_group: storage(group), gsr_source: storage(source) };
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    set_option(socket, level, name, request)
}

fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let address = SockAddr::from(std::net::SocketAddr::new(address, 0));
    // SAFETY: zero octets are a valid sockaddr_storage (plain integers).
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    // SAFETY: `address` holds `len()` initialised octets, at most the size of the storage, and the two do
    // not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            address.len() as usize,
        );
    }
    storage
}
