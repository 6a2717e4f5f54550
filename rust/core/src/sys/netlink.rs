//! Linux's routing socket: which interface the routes choose, and what changes. The messages are in `pure::netlink`.

use std::ffi::c_int;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use super::polling::Polling;
use super::unix::set_option;
use crate::pure::netlink::{News, news, route_answer, route_request};

/// Interfaces and addresses of both families.
const GROUPS: c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
/// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE` of linux/rtnetlink.h.
const ROUTE_GROUPS: [u32; 2] = [7, 11];
/// `NETLINK_ADD_MEMBERSHIP` of linux/netlink.h.
const ADD_MEMBERSHIP: c_int = 1;
/// The kernel never sends more in one datagram (linux/netlink.h, `NLMSG_GOODSIZE`).
const LONGEST: usize = 32_768;

fn open(groups: c_int) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_nonblocking(true)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_nl is a socket address of this platform, of plain integers, for which zero octets are valid.
    let name = unsafe { storage.view_as::<libc::sockaddr_nl>() };
    name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    name.nl_groups = groups as u32;
    let length = std::mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `storage` holds a whole sockaddr_nl, of that length.
    socket.bind(&unsafe { SockAddr::new(storage, length) })?;
    Ok(socket)
}

/// Tells of changes: by the kernel's messages, or by looking now and then where the kernel does not let us listen.
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

    /// From now on tells of routes too.
    pub(crate) fn watch_routes(&self) -> io::Result<()> {
        match self {
            Self::Messages(socket) => {
                ROUTE_GROUPS.iter().try_for_each(|group| set_option(socket, libc::SOL_NETLINK, ADD_MEMBERSHIP, *group))
            }
            Self::Looks(_) => Ok(()),
        }
    }

    /// Shows what has happened since the last call. Returns whether nothing was missed. Never blocks.
    pub(crate) fn drain(&self, mut visit: impl FnMut(News)) -> io::Result<bool> {
        let mut complete = true;
        match self {
            Self::Looks(polling) => polling.drain(visit),
            Self::Messages(socket) => {
                let mut buffer = [0; LONGEST];
                loop {
                    match (&mut &*socket).read(&mut buffer) {
                        Ok(length) => news(&buffer[..length], &mut visit),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => complete = false,
                        Err(e) => return Err(e),
                    }
                }
            }
        }
        Ok(complete)
    }

    /// After what time it has to be asked although it gave no sign; `None` where it always gives one.
    pub(crate) fn due(&self) -> Option<std::time::Duration> {
        match self {
            Self::Messages(_) => None,
            Self::Looks(polling) => Some(polling.due()),
        }
    }

    /// What to wait on for a sign.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Messages(socket) => Some(socket.as_raw_fd()),
            Self::Looks(_) => None,
        }
    }
}

/// Answers by which interface the system would send.
#[derive(Debug)]
pub(crate) struct Routes(Option<Socket>);

impl Routes {
    /// Where the kernel does not answer (a sandbox), nothing is known.
    pub(crate) fn open() -> Self {
        Self(open(0).ok())
    }

    /// The interface that the routes choose for a destination; `None` where no route leads there, or it is not known.
    pub(crate) fn interface(&self, destination: IpAddr) -> io::Result<Option<u32>> {
        let Some(socket) = &self.0 else { return Ok(None) };
        let sequence = 1;
        socket.send(&route_request(destination, sequence))?;
        let mut buffer = [0; 4096];
        // The kernel has answered by the time that the question is sent.
        match (&mut &*socket).read(&mut buffer) {
            Ok(length) => Ok(route_answer(&buffer[..length], sequence).flatten()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}
