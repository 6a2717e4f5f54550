//! Socket options of macOS and FreeBSD that `socket2` lacks.

use std::ffi::c_ulong;
use std::io;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::pure::links::Links;
use crate::sys::unix::{interface_request, report_ttl, set_option};
use crate::sys::{SocketMemory, Wanted};

/// `_IOWR('i', 51, struct ifreq)` of sys/sockio.h.
const SIOCGIFMTU: c_ulong = 0xc020_6933;

/// Sets the receiving options. Returns false: the receiver's own filter discards what was not joined. An unwanted
/// option is off on a new socket; on an adopted one, it stays as its owner set it.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    if wanted.ttl {
        report_ttl(socket, domain)?;
    }
    if wanted.timestamps {
        set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1)?;
    }
    Ok(false)
}

/// Binds a socket to a port that others may use too, whichever option they set for that.
pub(crate) fn bind_shared(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(address)
}

/// Makes the kernel report the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        receive_packet_info_v4(socket)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn receive_packet_info_v4(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
}

#[cfg(target_os = "freebsd")]
fn receive_packet_info_v4(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, 1)?;
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVIF, 1)
}

/// Returns false: a socket receives only the groups that were joined on it.
pub(crate) fn receive_all_groups(_socket: &Socket, _domain: Domain, _all: bool) -> io::Result<bool> {
    Ok(false)
}

/// Does nothing: there is no coalescing.
pub(crate) fn stop_coalescing(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Does nothing: no privilege exceeds the limit here.
pub(crate) fn exceed_buffer_limit(_socket: &Socket, _bytes: usize) -> io::Result<()> {
    Ok(())
}

/// Returns the size as it is: the system reports what it grants.
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported
}

/// Asks about the memory of a socket. These systems do not count drops per socket.
pub(crate) fn socket_memory(socket: &Socket) -> io::Result<SocketMemory> {
    Ok(SocketMemory { recv_buffer: usable_buffer(socket.recv_buffer_size()?), drops: None })
}

/// Sets the MTU of each interface that still exists.
pub(crate) fn fill_mtus(links: &mut Links) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    for interface in links.values_mut() {
        match interface_request(&socket, SIOCGIFMTU, &interface.name) {
            // SAFETY: the call has just written this field, a plain integer.
            Ok(request) => interface.mtu = u32::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok(),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
