//! One socket of a receiver. A receiver has several where one cannot hold all its groups.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use super::lock;
use super::receiver::ReceiverConfig;
use crate::pure::address::needs_zone;
use crate::pure::filter::{Membership, Sources};
use crate::sys::{self, SourceCall};
use crate::{Error, Result};

/// A bound socket that groups are joined on.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    domain: Domain,
    /// Where it is bound; unspecified for the wildcard, which takes every group.
    bound: IpAddr,
    /// The interface it is bound to, by a group that means nothing without one.
    zone: Option<u32>,
    /// Whether the kernel lets nothing through but what was joined on this very socket.
    filters: bool,
    /// The group and the interface of everything that comes, where there can be no other: then the kernel is spared
    /// the work of telling, some 50 ns a datagram.
    only: Mutex<Option<(IpAddr, u32)>>,
    /// It was asked for one more group in vain.
    full: AtomicBool,
    /// The kernel was asked to tell the destination of each datagram.
    tells: AtomicBool,
}

impl AsRef<Socket> for Channel {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl Channel {
    /// Opens a socket, bound to `address` and the configured port.
    pub(super) fn open(config: &ReceiverConfig, address: IpAddr, zone: u32) -> Result<Self> {
        let domain = domain_of(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))
            .map_err(|e| Error::system(format!("open a socket for port {}", config.port), e))?;
        let channel = Self::prepared(config, socket, address, zone)?;
        channel.bind(config, zone)?;
        Ok(channel)
    }

    /// Opens a socket that memberships can be held on, and that hears nothing: it is not bound.
    pub(super) fn holder(group: IpAddr) -> Result<Self> {
        let socket = Socket::new(domain_of(group), Type::DGRAM, Some(Protocol::UDP))
            .map_err(|e| Error::system(format!("open a socket to join {group} on"), e))?;
        Ok(Self::around(socket, wildcard(group), 0))
    }

    /// Takes over a socket that somebody else opened; binds it unless it is bound.
    pub(super) fn adopt(config: &ReceiverConfig, socket: Socket, address: IpAddr, zone: u32) -> Result<Self> {
        let refused = |e| Error::system("take over a socket", e);
        if socket.r#type().map_err(refused)? != Type::DGRAM {
            return Err(Error::Invalid("only a datagram socket can be taken over".into()));
        }
        let local = socket
            .local_addr()
            .map_err(refused)?
            .as_socket()
            .ok_or_else(|| Error::Invalid("only an IPv4 or IPv6 socket can be taken over".into()))?;
        if local.is_ipv4() != address.is_ipv4() {
            return Err(Error::Invalid(format!("the socket and {address} are of different IP versions")));
        }
        let is_bound = local.port() != 0;
        let bound = if is_bound { local.ip() } else { address };
        let channel = Self::prepared(config, socket, bound, zone)?;
        if !is_bound {
            channel.bind(config, zone)?;
        }
        // Somebody else holds the socket too, and may join what they like.
        channel.tell_destination().map_err(refused)?;
        Ok(channel)
    }

    fn bind(&self, config: &ReceiverConfig, zone: u32) -> Result<()> {
        let place = format!("port {} ({})", config.port, self.bound);
        if config.share {
            self.share().map_err(|e| Error::system(format!("share {place}"), e))?;
        }
        if self.domain == Domain::IPV6 {
            // The IPv4 groups of a receiver have a socket of their own.
            self.socket.set_only_v6(true).map_err(|e| Error::system(format!("keep IPv4 off {place}"), e))?;
        }
        let address = match self.bound {
            IpAddr::V4(_) => SocketAddr::new(self.bound, config.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, config.port, 0, zone).into(),
        };
        self.socket.bind(&SockAddr::from(address)).map_err(|e| Error::system(format!("bind to {place}"), e))
    }

    /// Around a socket on which everything is set but where it is bound.
    fn prepared(config: &ReceiverConfig, socket: Socket, bound: IpAddr, zone: u32) -> Result<Self> {
        let mut channel = Self::around(socket, bound, zone);
        match channel.set_options(config) {
            Ok(filters) => channel.filters = filters,
            Err(e) => return Err(Error::system("set up a receiving socket", e)),
        }
        Ok(channel)
    }

    fn around(socket: Socket, bound: IpAddr, zone: u32) -> Self {
        Self {
            socket,
            domain: domain_of(bound),
            bound,
            zone: matches!(bound, IpAddr::V6(ip) if ip.is_multicast() && needs_zone(&ip)).then_some(zone),
            filters: false,
            only: Mutex::new(None),
            full: AtomicBool::new(false),
            tells: AtomicBool::new(false),
        }
    }

    fn set_options(&self, config: &ReceiverConfig) -> io::Result<bool> {
        if self.domain == Domain::IPV6 {
            self.socket.set_multicast_loop_v6(config.loopback)?;
        } else {
            self.socket.set_multicast_loop_v4(config.loopback)?;
        }
        if let Some(octets) = config.recv_buffer {
            self.grow_buffer(octets)?;
        }
        let wanted = sys::Wanted {
            strict: config.strict,
            timestamps: config.timestamps,
            ttl: config.ttl,
            coalesce: config.coalesce,
        };
        sys::prepare_receiver(&self.socket, self.domain, wanted)
    }

    /// Asks for a receive buffer, by privilege where the ordinary way grants less. What is granted in the end is
    /// in [`Channel::buffer`]; less than asked is no error.
    fn grow_buffer(&self, octets: usize) -> io::Result<()> {
        self.socket.set_recv_buffer_size(octets)?;
        if self.buffer()? < octets {
            match sys::force_receive_buffer(&self.socket, octets) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Lets other sockets on this machine listen on the same port.
    fn share(&self) -> io::Result<()> {
        self.socket.set_reuse_address(true)?;
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        self.socket.set_reuse_port(true)?;
        Ok(())
    }

    /// Whether datagrams of this group can reach the socket at all.
    pub(super) fn takes(&self, membership: &Membership) -> bool {
        self.domain == domain_of(membership.group)
            && (self.bound.is_unspecified() || self.bound == membership.group)
            && self.zone.is_none_or(|zone| zone == membership.interface)
    }

    /// Whether it takes no more groups, as far as is known.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// The receive buffer as the user counts it, in octets.
    pub(super) fn buffer(&self) -> io::Result<usize> {
        Ok(sys::usable_buffer(self.socket.recv_buffer_size()?))
    }

    /// The port it is bound to.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.as_socket().map_or(0, |address| address.port()))
    }

    /// Joins the first group of a new channel, which may be the only one it can ever hear.
    pub(super) fn join_first(&self, membership: &Membership) -> io::Result<()> {
        // IPv6 is left out: there Linux compares the group alone, and lets other interfaces' copies through.
        if self.filters && self.domain == Domain::IPV4 && self.bound == membership.group && membership.interface != 0 {
            *lock(&self.only) = Some((membership.group, membership.interface));
        } else {
            self.tell_destination()?;
        }
        self.join_all(membership)
    }

    /// Joins; all of a membership or nothing.
    pub(super) fn join(&self, membership: &Membership) -> io::Result<()> {
        self.tell_destination()?;
        self.join_all(membership)
    }

    /// Joins anew what was joined before, on the same interface.
    pub(super) fn join_again(&self, membership: &Membership) -> io::Result<()> {
        self.forget(membership);
        self.join_all(membership)
    }

    /// Leaves without a look at the answer: the interface may be gone, and the kernel holds a place for it still.
    pub(super) fn forget(&self, membership: &Membership) {
        // What it does not know it need not forget; what it knows it forgets whatever it answers.
        let _ = self.leave_any(membership.group, membership.interface);
        self.set_full(false);
    }

    /// From now on the kernel tells the destination of each datagram.
    fn tell_destination(&self) -> io::Result<()> {
        if !self.tells.load(Ordering::Relaxed) {
            sys::tell_destination(&self.socket, self.domain)?;
            self.tells.store(true, Ordering::Relaxed);
            *lock(&self.only) = None;
        }
        Ok(())
    }

    /// The group and interface of everything that comes, where there can be no other.
    pub(super) fn only(&self) -> Option<(IpAddr, u32)> {
        *lock(&self.only)
    }

    fn join_all(&self, membership: &Membership) -> io::Result<()> {
        let Membership { group, interface, sources } = membership;
        match sources {
            Sources::Any => self.join_any(*group, *interface),
            // Where it stops half-way, what was joined is left again, and nothing else: a socket that was taken over may
            // be a member by its owner's doing. The error to tell is the one that stopped it, not one of tidying up.
            Sources::Only(list) => list.iter().enumerate().try_for_each(|(at, source)| {
                self.source_call(SourceCall::Join, membership, *source).inspect_err(|_| {
                    let _ = self.each_source(SourceCall::Leave, membership, &list[..at]);
                })
            }),
            Sources::Except(list) => {
                self.join_any(*group, *interface)?;
                self.each_source(SourceCall::Block, membership, list).inspect_err(|_| {
                    let _ = self.leave(membership);
                })
            }
        }
    }

    /// Leaves what [`Channel::join`] joined.
    pub(super) fn leave(&self, membership: &Membership) -> io::Result<()> {
        match &membership.sources {
            Sources::Only(list) => self.each_source(SourceCall::Leave, membership, list)?,
            Sources::Any | Sources::Except(_) => self.leave_any(membership.group, membership.interface)?,
        }
        self.set_full(false);
        Ok(())
    }

    fn leave_any(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match group {
            IpAddr::V4(ip) => self.socket.leave_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(ip) => self.socket.leave_multicast_v6(&ip, interface),
        }
    }

    fn join_any(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match group {
            IpAddr::V4(ip) => self.socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(ip) => self.socket.join_multicast_v6(&ip, interface),
        }
    }

    fn each_source(&self, call: SourceCall, membership: &Membership, list: &[IpAddr]) -> io::Result<()> {
        list.iter().try_for_each(|source| self.source_call(call, membership, *source))
    }

    fn source_call(&self, call: SourceCall, membership: &Membership, source: IpAddr) -> io::Result<()> {
        sys::source_call(&self.socket, call, membership.group, membership.interface, source)
    }
}

pub(super) fn domain_of(address: IpAddr) -> Domain {
    if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

/// The address that stands for all of a family.
pub(super) fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
