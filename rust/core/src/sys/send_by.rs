//! Sending one datagram by an interface that is chosen for it alone (RFC 3542 section 6.2; ip(7), `IP_PKTINFO`).

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use socket2::{MsgHdr, SockAddr, Socket};

use super::platform::{LAYOUT, SEND_FLAGS};
use crate::pure::cmsg;

/// Room for the packet info of either IP version, on every system.
const CONTROL_BYTES: usize = 64;

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Sends one datagram by the interface with this index (0: the routes choose), from `source` if the system is not to
/// choose the address. Returns false if the send buffer is full. Never blocks.
pub(crate) fn send_by(
    socket: &Socket,
    interface: u32,
    source: Option<IpAddr>,
    destination: SocketAddr,
    payload: &[u8],
) -> io::Result<bool> {
    let mut control = Control([0; CONTROL_BYTES]);
    let length = match destination {
        _ if interface == 0 && source.is_none() => 0,
        SocketAddr::V4(_) => packet_info_v4(&mut control.0, interface, source),
        SocketAddr::V6(_) => packet_info_v6(&mut control.0, interface, source),
    };
    let destination = SockAddr::from(destination);
    let payload = [IoSlice::new(payload)];
    let message = MsgHdr::new().with_addr(&destination).with_buffers(&payload);
    let message = if length == 0 { message } else { message.with_control(&control.0[..length]) };
    loop {
        match socket.sendmsg(&message, SEND_FLAGS) {
            Ok(_) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

/// Writes a `struct in_pktinfo`: index, source, destination (ip(7), ip(4)).
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios"))]
fn packet_info_v4(control: &mut [u8], interface: u32, source: Option<IpAddr>) -> usize {
    let mut info = [0; 12];
    info[..4].copy_from_slice(&interface.to_ne_bytes());
    if let Some(IpAddr::V4(source)) = source {
        info[4..8].copy_from_slice(&source.octets());
    }
    cmsg::write(control, LAYOUT, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
}

/// Writes an `IN_PKTINFO`: source, index.
#[cfg(windows)]
fn packet_info_v4(control: &mut [u8], interface: u32, source: Option<IpAddr>) -> usize {
    use windows_sys::Win32::Networking::WinSock as ws;

    let mut info = [0; 8];
    if let Some(IpAddr::V4(source)) = source {
        info[..4].copy_from_slice(&source.octets());
    }
    info[4..].copy_from_slice(&interface.to_ne_bytes());
    cmsg::write(control, LAYOUT, ws::IPPROTO_IP, ws::IP_PKTINFO, &info)
}

/// Writes nothing: FreeBSD has no such message, and its routes choose.
#[cfg(target_os = "freebsd")]
fn packet_info_v4(_control: &mut [u8], _interface: u32, _source: Option<IpAddr>) -> usize {
    0
}

/// Writes a `struct in6_pktinfo`: source, index.
fn packet_info_v6(control: &mut [u8], interface: u32, source: Option<IpAddr>) -> usize {
    #[cfg(unix)]
    use libc::{IPPROTO_IPV6, IPV6_PKTINFO};
    #[cfg(windows)]
    use windows_sys::Win32::Networking::WinSock::{IPPROTO_IPV6, IPV6_PKTINFO};

    let mut info = [0; 20];
    if let Some(IpAddr::V6(source)) = source {
        info[..16].copy_from_slice(&source.octets());
    }
    info[16..].copy_from_slice(&interface.to_ne_bytes());
    cmsg::write(control, LAYOUT, IPPROTO_IPV6, IPV6_PKTINFO, &info)
}
