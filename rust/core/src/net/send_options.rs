//! The options of a sender's socket.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::{SockAddr, Socket};

use super::binding::{domain_of, share, wildcard};
use super::config::{SenderConfig, SenderOptions};
use crate::error::{Error, Result};
use crate::sys;

/// Set all options of a new socket.
pub(super) fn prepare(socket: &Socket, config: &SenderConfig) -> io::Result<()> {
    if let Some(bytes) = config.send_buffer {
        sys::request_send_buffer(socket, bytes)?;
    }
    let v4 = config.group.is_ipv4();
    set_ttl(socket, v4, config.ttl)?;
    set_loopback(socket, v4, config.loopback)?;
    if let Some(dscp) = config.dscp {
        sys::set_dscp(socket, v4, dscp)?;
    }
    // Requested now, so that answers that arrive before the first receive call have their origin too. That call
    // requests receive times, because they cost CPU time in every program on this machine.
    let wanted = sys::Wanted { strict: true, timestamps: false, ttl: true, coalesce: false, spin: Duration::ZERO };
    let domain = domain_of(config.group);
    sys::prepare_receiver(socket, domain, wanted)?;
    sys::tell_destination(socket, domain)
}

/// Bind the socket to the address and port that the user named, for the interface with this index.
pub(super) fn bind(socket: &Socket, config: &SenderConfig, interface: u32) -> Result<()> {
    let Some((address, port)) = config.local else { return Ok(()) };
    let address = address.unwrap_or_else(|| wildcard(config.group));
    let failed = |e| Error::system(format!("bind to {}", SocketAddr::new(address, port)), e);
    if port != 0 {
        share(socket).map_err(failed)?;
    }
    bind_to(socket, address, port, interface).map_err(failed)
}

/// Bind a socket that has no port yet to a free one.
pub(super) fn bind_if_unbound(socket: &Socket, group: IpAddr) -> io::Result<()> {
    if local_address(socket)?.port() == 0 { bind_to(socket, wildcard(group), 0, 0) } else { Ok(()) }
}

fn bind_to(socket: &Socket, address: IpAddr, port: u16, interface: u32) -> io::Result<()> {
    let address = match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(ip) => {
            // The port of the other IP version stays free.
            socket.set_only_v6(true)?;
            let zone = if ip.is_unicast_link_local() { interface } else { 0 };
            SocketAddrV6::new(ip, port, 0, zone).into()
        }
    };
    socket.bind(&SockAddr::from(address))
}

/// The address that a socket is bound to.
pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
}

pub(super) fn set_ttl(socket: &Socket, v4: bool, ttl: u8) -> io::Result<()> {
    if v4 { socket.set_multicast_ttl_v4(ttl.into()) } else { socket.set_multicast_hops_v6(ttl.into()) }
}

pub(super) fn set_loopback(socket: &Socket, v4: bool, loopback: bool) -> io::Result<()> {
    if v4 { socket.set_multicast_loop_v4(loopback) } else { socket.set_multicast_loop_v6(loopback) }
}

/// Read the options that can be changed later, also by other owners of the socket.
pub(super) fn read(socket: &Socket, v4: bool) -> io::Result<SenderOptions> {
    let ttl = if v4 { socket.multicast_ttl_v4()? } else { socket.multicast_hops_v6()? };
    let loopback = if v4 { socket.multicast_loop_v4()? } else { socket.multicast_loop_v6()? };
    // The system keeps both in a byte.
    Ok(SenderOptions { ttl: ttl as u8, loopback, dscp: sys::dscp(socket, v4)? })
}
