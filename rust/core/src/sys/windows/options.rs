//! Socket options that `socket2` lacks, handles, and the MTUs of interfaces.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::windows::io::{AsRawSocket, BorrowedSocket, RawSocket};
use std::ptr;

use socket2::{Domain, SockAddr, Socket};
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetIfEntry2, MIB_IF_ROW2};
use windows_sys::Win32::Networking::WinSock as ws;

use crate::pure::links::Links;
use crate::sys::{SocketMemory, Wanted};

/// Sets one socket option of plain-data type.
pub(crate) fn set_option<T: Copy>(socket: &Socket, level: i32, name: i32, value: T) -> io::Result<()> {
    let size = i32::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and size describe `value`, which outlives the call; setsockopt only reads it.
    let result =
        unsafe { ws::setsockopt(socket.as_raw_socket() as ws::SOCKET, level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds a socket to a port that others may use too.
pub(crate) fn bind_shared(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.bind(address)
}

/// Sets the receiving options, and turns reports of ICMP errors off (WSAECONNRESET would end a receiver). Returns
/// false: the receiver's own filter discards what was not joined. An unwanted option is off on a new socket; on an
/// adopted one, it stays as its owner set it.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    ignore_resets(socket)?;
    if wanted.ttl {
        if domain == Domain::IPV4 {
            set_option(socket, ws::IPPROTO_IP, ws::IP_RECVTTL, 1u32)?;
        } else {
            set_option(socket, ws::IPPROTO_IPV6, ws::IPV6_HOPLIMIT, 1u32)?;
        }
    }
    Ok(false)
}

fn ignore_resets(socket: &Socket) -> io::Result<()> {
    let off = 0u32;
    let mut returned = 0u32;
    // SAFETY: the input pointer and size describe `off`; the only output is the count.
    let result = unsafe {
        ws::WSAIoctl(
            socket.as_raw_socket() as ws::SOCKET,
            ws::SIO_UDP_CONNRESET,
            (&raw const off).cast(),
            mem::size_of_val(&off) as u32,
            ptr::null_mut(),
            0,
            &raw mut returned,
            ptr::null_mut(),
            None,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the system report the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        set_option(socket, ws::IPPROTO_IP, ws::IP_PKTINFO, 1u32)
    } else {
        set_option(socket, ws::IPPROTO_IPV6, ws::IPV6_PKTINFO, 1u32)
    }
}

/// Returns false: a socket receives only the groups that were joined on it.
pub(crate) fn receive_all_groups(_socket: &Socket, _domain: Domain, _all: bool) -> io::Result<bool> {
    Ok(false)
}

/// Does nothing: there is no coalescing.
pub(crate) fn stop_coalescing(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Does nothing: Windows grants every size.
pub(crate) fn exceed_buffer_limit(_socket: &Socket, _bytes: usize) -> io::Result<()> {
    Ok(())
}

/// Returns the size as it is: the system reports what it grants.
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported
}

/// Asks about the memory of a socket. Windows does not count drops per socket.
pub(crate) fn socket_memory(socket: &Socket) -> io::Result<SocketMemory> {
    Ok(SocketMemory { recv_buffer: usable_buffer(socket.recv_buffer_size()?), drops: None })
}

/// Refuses: programs cannot mark their datagrams here (`IP_TOS` is ignored; qWAVE is for flows between two hosts).
pub(crate) fn set_dscp(_socket: &Socket, _v4: bool, _dscp: u8) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(ws::WSAEOPNOTSUPP))
}

/// Returns 0: nothing else can be set.
pub(crate) fn dscp(_socket: &Socket, _v4: bool) -> io::Result<u8> {
    Ok(0)
}

/// Keeps other sockets off the port. Without this, a socket that requests sharing can always take it.
pub(crate) fn claim_port(socket: &Socket) -> io::Result<()> {
    set_option(socket, ws::SOL_SOCKET, ws::SO_EXCLUSIVEADDRUSE, 1u32)
}

/// Sends IPv4 multicast through the interface with this index: `IP_MULTICAST_IF` takes 0.x.x.x as an index, in network
/// order. `source` selects one of its IPv4 addresses as the source address, which stands for the interface as well.
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32, source: Option<IpAddr>) -> io::Result<()> {
    let value = match source {
        Some(IpAddr::V4(address)) => u32::from(address),
        _ => interface,
    };
    set_option(socket, ws::IPPROTO_IP, ws::IP_MULTICAST_IF, value.to_be())
}

/// Sets the MTU of each interface that still exists. The loopback interface has no limit.
pub(crate) fn fill_mtus(links: &mut Links) -> io::Result<()> {
    for interface in links.values_mut() {
        let mut row = MIB_IF_ROW2 { InterfaceIndex: interface.index, ..Default::default() };
        // SAFETY: `row` is a live, exclusively borrowed MIB_IF_ROW2 with the index that selects the row.
        match unsafe { GetIfEntry2(&raw mut row) } {
            NO_ERROR => interface.mtu = (row.Mtu != u32::MAX).then_some(row.Mtu),
            ERROR_FILE_NOT_FOUND => {}
            code => return Err(io::Error::from_raw_os_error(code as i32)),
        }
    }
    Ok(())
}

/// Returns a new `Socket` for the handle `raw`; both share the kernel's socket.
pub(crate) fn duplicate(raw: i64) -> io::Result<Socket> {
    let raw = RawSocket::try_from(raw).map_err(|_| io::Error::from_raw_os_error(ws::WSAENOTSOCK))?;
    // SAFETY: the handle is used only for WSADuplicateSocketW within this call, which refuses anything but a socket.
    let borrowed = unsafe { BorrowedSocket::borrow_raw(raw) };
    Ok(borrowed.try_clone_to_owned()?.into())
}
