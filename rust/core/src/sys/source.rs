//! Source-specific calls (RFC 3678 section 5), which have the same shape on every platform.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{SockAddr, Socket};

use super::platform::set_option;

#[cfg(unix)]
use libc::{
    IPPROTO_IP, IPPROTO_IPV6, MCAST_BLOCK_SOURCE, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP,
    group_source_req as Request, sockaddr_storage as Storage,
};
#[cfg(windows)]
use windows_sys::Win32::Networking::WinSock::{
    GROUP_SOURCE_REQ as Request, IPPROTO_IP, IPPROTO_IPV6, MCAST_BLOCK_SOURCE, MCAST_JOIN_SOURCE_GROUP,
    MCAST_LEAVE_SOURCE_GROUP, SOCKADDR_STORAGE as Storage,
};

/// The effect of a source-specific call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceCall {
    Join,
    Leave,
    Block,
}

/// Joins, leaves or blocks one source of a group on an interface. If the interface is 0, the system chooses one.
#[allow(clippy::unnecessary_cast, reason = "Windows declares the names of the options as unsigned")]
pub(crate) fn source_call(
    socket: &Socket,
    call: SourceCall,
    group: IpAddr,
    interface: u32,
    source: IpAddr,
) -> io::Result<()> {
    let name = match call {
        SourceCall::Join => MCAST_JOIN_SOURCE_GROUP,
        SourceCall::Leave => MCAST_LEAVE_SOURCE_GROUP,
        SourceCall::Block => MCAST_BLOCK_SOURCE,
    };
    let request = Request { gsr_interface: interface, gsr_group: storage(group), gsr_source: storage(source) };
    let level = if group.is_ipv4() { IPPROTO_IP } else { IPPROTO_IPV6 };
    set_option(socket, level, name as i32, request)
}

fn storage(address: IpAddr) -> Storage {
    let mut storage = SockAddr::from(SocketAddr::new(address, 0)).as_storage();
    // SAFETY: this is the platform's own storage type for socket addresses.
    *unsafe { storage.view_as::<Storage>() }
}
