//! Linux socket options that `socket2` lacks.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket};

use crate::sys::unix::{report_ttl, set_option};
use crate::sys::{SocketMemory, Wanted};

/// `getsockopt(SOL_SOCKET, SO_MEMINFO)`, since Linux 4.12: memory figures and the drop counter (sock_diag(7)).
const SO_MEMINFO: c_int = 55;
const SK_MEMINFO_VARS: usize = 9;
const SK_MEMINFO_RCVBUF: usize = 1;
const SK_MEMINFO_DROPS: usize = 8;

/// Sets the receiving options. Returns whether the kernel delivers only what was joined on this socket. An unwanted
/// option is off on a new socket; on an adopted one, it stays as its owner set it.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    // On a kernel before 4.20, the receiver's own filter does this work for IPv6.
    let filters = receive_all_groups(socket, domain, !wanted.strict)? && wanted.strict;
    if wanted.ttl {
        report_ttl(socket, domain)?;
    }
    if wanted.timestamps {
        set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    }
    if wanted.coalesce {
        // Since Linux 5.0. Older kernels deliver each datagram separately.
        try_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    if !wanted.spin.is_zero() {
        poll_device(socket, wanted.spin)?;
    }
    Ok(filters)
}

/// Lets a receive call that finds nothing look at the queue of the device, if the kernel can and permits it (socket(7),
/// `SO_BUSY_POLL`, which needs CAP_NET_ADMIN). A call that must not block looks once.
fn poll_device(socket: &Socket, time: Duration) -> io::Result<()> {
    let micros = c_int::try_from(time.as_micros()).unwrap_or(c_int::MAX);
    match try_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, micros) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => Ok(()),
        result => result.map(drop),
    }
}

/// Makes the kernel report the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Lets a socket receive every group that the host has joined, or only its own. Returns whether the kernel can.
pub(crate) fn receive_all_groups(socket: &Socket, domain: Domain, all: bool) -> io::Result<bool> {
    let all = c_int::from(all);
    if domain == Domain::IPV4 {
        try_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, all)
    } else {
        // Since Linux 4.20.
        try_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, all)
    }
}

/// Binds a socket to a port that others may use too. They may have set `SO_REUSEADDR`, `SO_REUSEPORT` or both: the
/// kernel compares them option by option.
///
/// Sockets that are bound with `SO_REUSEPORT` become a group of which the kernel selects one, sometimes also for a
/// multicast datagram that only another one has joined (`inet_lookup_reuseport`, early demultiplexing). So the option
/// is set before the bind only if nothing else helps. Set afterwards, it lets others in, and makes no group.
pub(crate) fn bind_shared(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    match socket.bind(address) {
        Ok(()) => try_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map(|_| ()),
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {
            try_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
            socket.bind(address)
        }
        Err(e) => Err(e),
    }
}

/// Sets an option. Returns whether the kernel knows it.
fn try_option<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<bool> {
    match set_option(socket, level, name, value) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Turns coalescing off, for a socket that goes to code that cannot cut coalesced buffers apart.
pub(crate) fn stop_coalescing(socket: &Socket) -> io::Result<()> {
    try_option(socket, libc::SOL_UDP, libc::UDP_GRO, 0).map(|_| ())
}

/// Sets the receive buffer beyond `net.core.rmem_max`, if the process may (`CAP_NET_ADMIN`).
pub(crate) fn exceed_buffer_limit(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    match set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Converts a reported buffer size to the user's terms: the kernel doubles the requested size to make room for its
/// bookkeeping (socket(7)).
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported / 2
}

/// Asks about the memory of a socket, with a single call if the kernel can.
pub(crate) fn socket_memory(socket: &Socket) -> io::Result<SocketMemory> {
    let mut figures = [0u32; SK_MEMINFO_VARS];
    let mut size = mem::size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the pointer and size describe `figures`; getsockopt(2) writes at most `size` bytes to it.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_MEMINFO, figures.as_mut_ptr().cast(), &raw mut size)
    };
    if result == 0 && size as usize == mem::size_of_val(&figures) {
        let recv_buffer = usable_buffer(figures[SK_MEMINFO_RCVBUF] as usize);
        return Ok(SocketMemory { recv_buffer, drops: Some(figures[SK_MEMINFO_DROPS]) });
    }
    match io::Error::last_os_error() {
        e if result != 0 && e.raw_os_error() != Some(libc::ENOPROTOOPT) => Err(e),
        _ => Ok(SocketMemory { recv_buffer: usable_buffer(socket.recv_buffer_size()?), drops: None }),
    }
}
