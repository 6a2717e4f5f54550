//! Socket options, descriptors, and the MTU of an interface.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use socket2::{Domain, Socket, Type};

/// `_IOWR('i', 51, struct ifreq)` of sys/sockio.h.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
const SIOCGIFMTU: std::ffi::c_ulong = 0xc020_6933;
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::SIOCGIFMTU;

/// Sets one socket option of plain-data type.
pub(crate) fn set_option<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and size describe `value`, which outlives the call; setsockopt(2) only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends IPv4 multicast through the interface with this index (`IP_MULTICAST_IF` takes an `ip_mreqn`: ip(7), ip(4)).
/// With 0, the system chooses.
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: c_int::try_from(interface).map_err(io::Error::other)?,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, request)
}

/// Returns the MTU of an interface, in bytes (netdevice(7)); `None` if the interface is gone.
pub(crate) fn interface_mtu(name: &str, _index: u32) -> io::Result<Option<u32>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: zero bytes are a valid ifreq (plain integers, and a pointer that is not followed).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero and ends the name.
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *place = byte as std::ffi::c_char;
    }
    // SAFETY: `request` is a live, exclusively borrowed ifreq with a terminated name; the call writes only to it.
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

/// Returns an own `Socket` for the descriptor `raw`; both share the kernel's socket.
pub(crate) fn duplicate(raw: i64) -> io::Result<Socket> {
    let raw = c_int::try_from(raw).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the call takes no pointers; a number that is not an open descriptor gives EBADF.
    let fd = unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fcntl(2) has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}
