//! Socket options, descriptors, and questions about an interface.

use std::ffi::{c_char, c_int, c_ulong};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use socket2::{Domain, Socket};

/// Sets one socket option of plain-data type.
pub(crate) fn set_option<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and size describe `value`, which outlives the call; setsockopt(2) only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads one socket option of plain-data type.
pub(crate) fn option<T: Copy + Default>(socket: &Socket, level: c_int, name: c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut size = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointers describe `value` and its size; getsockopt(2) writes at most that. Every caller asks for an
    // integer, for which any bytes are valid.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut size) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel report the remaining hops of each datagram.
pub(crate) fn report_ttl(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
    }
}

/// The option with the class of traffic: its upper six bits are the DSCP (RFC 2474), the lower two the kernel's.
fn class_option(v4: bool) -> (c_int, c_int) {
    if v4 { (libc::IPPROTO_IP, libc::IP_TOS) } else { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) }
}

/// Sets the DSCP of what the socket sends.
pub(crate) fn set_dscp(socket: &Socket, v4: bool, dscp: u8) -> io::Result<()> {
    let (level, name) = class_option(v4);
    set_option(socket, level, name, c_int::from(dscp) << 2)
}

/// Returns the DSCP of what the socket sends.
pub(crate) fn dscp(socket: &Socket, v4: bool) -> io::Result<u8> {
    let (level, name) = class_option(v4);
    // A byte, of which two bits are dropped.
    option::<c_int>(socket, level, name).map(|class| (class >> 2) as u8 & 0x3f)
}

/// Does nothing: on these systems, no other socket can take a port that is not shared.
pub(crate) fn claim_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Sends IPv4 multicast through the interface with this index (`IP_MULTICAST_IF` takes an `ip_mreqn`: ip(7), ip(4)).
/// `source` selects one of its IPv4 addresses as the source address.
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32, source: Option<IpAddr>) -> io::Result<()> {
    let source = match source {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    };
    // macOS and FreeBSD look at the address only if there is no index.
    let by_index = cfg!(any(target_os = "linux", target_os = "android")) || source.is_none();
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: source.map_or(0, |address| u32::from(address).to_be()) },
        imr_ifindex: c_int::try_from(if by_index { interface } else { 0 }).map_err(io::Error::other)?,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, request)
}

/// Asks an ioctl(2) about the interface with this name, in the network namespace of the socket (netdevice(7)).
pub(crate) fn interface_request(socket: &Socket, question: c_ulong, name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: zero bytes are a valid ifreq (plain integers, and a pointer that is not followed).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero and ends the name.
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENXIO));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    // SAFETY: `request` is a live, exclusively borrowed ifreq with a terminated name; the call writes only to it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), question as _, &raw mut request) };
    if result == 0 { Ok(request) } else { Err(io::Error::last_os_error()) }
}

/// Returns a new `Socket` for the descriptor `raw`; both share the kernel's socket.
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
