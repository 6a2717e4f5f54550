//! The routing socket that notifies of changes. `pure::netlink` reads the messages.

use std::ffi::c_int;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::pure::netlink::{NetlinkEvent, for_each_event};
use crate::sys::polling::Polling;
use crate::sys::unix::set_option;

/// Notifications about links, and about addresses of both families.
const GROUPS: c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
/// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE` of linux/rtnetlink.h.
const ROUTE_GROUPS: [u32; 2] = [7, 11];
/// `NETLINK_ADD_MEMBERSHIP` of linux/netlink.h.
const ADD_MEMBERSHIP: c_int = 1;
/// The longest datagram that the kernel sends (linux/netlink.h, `NLMSG_GOODSIZE`).
pub(super) const MAX_DATAGRAM: usize = 32_768;

/// Opens a routing socket that receives the notifications of these groups.
pub(super) fn open(groups: c_int) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_nonblocking(true)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_nl is a socket address of this platform; it holds plain integers, for which zero bytes are
    // valid.
    let name = unsafe { storage.view_as::<libc::sockaddr_nl>() };
    name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    name.nl_groups = groups as u32;
    let length = std::mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `storage` holds a whole sockaddr_nl, of that length.
    socket.bind(&unsafe { SockAddr::new(storage, length) })?;
    Ok(socket)
}

/// Whether the system is out of descriptors or memory. Any other failure to open a routing socket means a sandbox.
pub(super) fn is_scarcity(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Reports changes: by the kernel's notifications, or by polling if the kernel refuses those.
#[derive(Debug)]
pub(crate) enum Monitor {
    Messages(Socket),
    Looks(Polling),
}

impl Monitor {
    pub(crate) fn new() -> io::Result<Self> {
        match open(GROUPS) {
            Ok(socket) => Ok(Self::Messages(socket)),
            Err(e) if is_scarcity(&e) => Err(e),
            // A sandbox.
            Err(_) => Ok(Self::Looks(Polling::default())),
        }
    }

    /// Reports changes of routes too from now on.
    pub(crate) fn watch_routes(&self) -> io::Result<()> {
        match self {
            Self::Messages(socket) => {
                ROUTE_GROUPS.iter().try_for_each(|group| set_option(socket, libc::SOL_NETLINK, ADD_MEMBERSHIP, *group))
            }
            Self::Looks(_) => Ok(()),
        }
    }

    /// Passes everything that has happened since the last call to `visit`. Returns whether that is complete. Never
    /// blocks.
    pub(crate) fn drain(&self, mut visit: impl FnMut(NetlinkEvent)) -> io::Result<bool> {
        let socket = match self {
            Self::Looks(polling) => {
                polling.drain(visit);
                return Ok(true);
            }
            Self::Messages(socket) => socket,
        };
        let mut complete = true;
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            match (&mut &*socket).read(&mut buffer) {
                Ok(length) => for_each_event(&buffer[..length], &mut visit),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(complete),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => complete = false,
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns the time until [`Self::drain`] must be called without notification; `None` if one always comes.
    pub(crate) fn due(&self) -> Option<Duration> {
        match self {
            Self::Messages(_) => None,
            Self::Looks(polling) => Some(polling.due()),
        }
    }

    /// Returns the descriptor that notifications arrive on.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Messages(socket) => Some(socket.as_raw_fd()),
            Self::Looks(_) => None,
        }
    }
}
