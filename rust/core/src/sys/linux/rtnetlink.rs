//! The routing socket: what changes, and which interface the routes choose. The messages are read in `pure::netlink`.

use std::ffi::c_int;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::pure::netlink::{NetlinkEvent, for_each_event, route_answer, route_request};
use crate::sys::polling::Polling;
use crate::sys::unix::set_option;

/// Notifications about links, and about addresses of both families.
const GROUPS: c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
/// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE` of linux/rtnetlink.h.
const ROUTE_GROUPS: [u32; 2] = [7, 11];
/// `NETLINK_ADD_MEMBERSHIP` of linux/netlink.h.
const ADD_MEMBERSHIP: c_int = 1;
/// The longest datagram that the kernel sends (linux/netlink.h, `NLMSG_GOODSIZE`).
const MAX_DATAGRAM: usize = 32_768;

fn open(groups: c_int) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_nonblocking(true)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_nl is a socket address of this platform; it holds plain integers, for which zero bytes are valid.
    let name = unsafe { storage.view_as::<libc::sockaddr_nl>() };
    name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    name.nl_groups = groups as u32;
    let length = std::mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `storage` holds a whole sockaddr_nl, of that length.
    socket.bind(&unsafe { SockAddr::new(storage, length) })?;
    Ok(socket)
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
            Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Err(e),
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

/// Looks up the interface through which the system would send.
#[derive(Debug)]
pub(crate) struct Routes(Option<Socket>);

impl Routes {
    /// Opens a routing socket. If the kernel refuses it (a sandbox), no route is known.
    pub(crate) fn open() -> Self {
        Self(open(0).ok())
    }

    /// Returns the interface that the routes choose for a destination; `None` if there is no route, or none is known.
    pub(crate) fn interface(&self, destination: IpAddr) -> io::Result<Option<u32>> {
        let Some(socket) = &self.0 else { return Ok(None) };
        let sequence = 1;
        socket.send(&route_request(destination, sequence))?;
        let mut buffer = [0; 4096];
        // The kernel answers before `send` returns.
        match (&mut &*socket).read(&mut buffer) {
            Ok(length) => Ok(route_answer(&buffer[..length], sequence).flatten()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}
