//! One socket of a receiver. A receiver has several where one cannot hold all its groups.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Mutex;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use super::lock;
use super::receiver::ReceiverConfig;
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
    /// Whether the kernel lets nothing through but what was joined on this very socket.
    filters: bool,
    /// The group and the interface of everything that comes, where there can be no other: then the kernel is spared
    /// the work of telling, some 50 ns a datagram.
    only: Mutex<Option<(IpAddr, u32)>>,
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
        let channel = Self::prepared(config, socket, address)?;
        channel.bind(config, zone)?;
        Ok(channel)
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
        let channel = Self::prepared(config, socket, bound)?;
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
        let address = match self.bound {
            IpAddr::V4(_) => SocketAddr::new(self.bound, config.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, config.port, 0, zone).into(),
        };
        self.socket.bind(&SockAddr::from(address)).map_err(|e| Error::system(format!("bind to {place}"), e))
    }

    /// Around a socket on which everything is set but where it is bound.
    fn prepared(config: &ReceiverConfig, socket: Socket, bound: IpAddr) -> Result<Self> {
        let mut channel = Self { socket, domain: domain_of(bound), bound, filters: false, only: Mutex::new(None) };
        match channel.set_options(config) {
            Ok(filters) => channel.filters = filters,
            Err(e) => return Err(Error::system("set up a receiving socket", e)),
        }
        Ok(channel)
    }

    fn set_options(&self, config: &ReceiverConfig) -> io::Result<bool> {
        if self.domain == Domain::IPV6 {
            // The IPv4 groups of a receiver have a socket of their own.
            self.socket.set_only_v6(true)?;
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
    pub(super) fn takes(&self, group: IpAddr) -> bool {
        self.domain == domain_of(group) && (self.bound.is_unspecified() || self.bound == group)
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
        if self.filters && self.bound == membership.group && membership.interface != 0 {
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

    /// From now on the kernel tells the destination of each datagram.
    fn tell_destination(&self) -> io::Result<()> {
        sys::tell_destination(&self.socket, self.domain)?;
        *lock(&self.only) = None;
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
            Sources::Only(list) => self.each_source(SourceCall::Join, membership, list),
            Sources::Except(list) => {
                self.join_any(*group, *interface)?;
                self.each_source(SourceCall::Block, membership, list)
            }
        }
        .inspect_err(|_| {
            // The kernel forgets what was half done, or never knew it: then this fails, which is as good.
            let _ = self.leave_all(*group, *interface, sources);
        })
    }

    /// Leaves what [`Channel::join`] joined.
    pub(super) fn leave(&self, membership: &Membership) -> io::Result<()> {
        self.leave_all(membership.group, membership.interface, &membership.sources)
    }

    fn leave_all(&self, group: IpAddr, interface: u32, sources: &Sources) -> io::Result<()> {
        match (sources, group) {
            (Sources::Only(list), _) => list
                .iter()
                .try_for_each(|source| sys::source_call(&self.socket, SourceCall::Leave, group, interface, *source)),
            (_, IpAddr::V4(ip)) => self.socket.leave_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface)),
            (_, IpAddr::V6(ip)) => self.socket.leave_multicast_v6(&ip, interface),
        }
    }

    fn join_any(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        match group {
            IpAddr::V4(ip) => self.socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface)),
            IpAddr::V6(ip) => self.socket.join_multicast_v6(&ip, interface),
        }
    }

    fn each_source(&self, call: SourceCall, membership: &Membership, list: &[IpAddr]) -> io::Result<()> {
        list.iter().try_for_each(|source| {
            sys::source_call(&self.socket, call, membership.group, membership.interface, *source)
        })
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
