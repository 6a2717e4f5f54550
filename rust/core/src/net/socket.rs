//! One socket of a receiver: its options, its memberships and its filter.
//!
//! A receiver has several sockets if one cannot hold all of its groups.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use super::binding::{domain_of, wildcard};
use super::config::ReceiverConfig;
use super::fork::ForkSafeMutex;
use super::stats::{DropTotal, SocketFigures};
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::needs_zone;
use crate::pure::filter::{Filter, Membership, Sources};
use crate::pure::senders::RecentSenders;
use crate::sys::{self, Arrival, SourceCall};

/// Make a socket that shares the kernel's socket with a descriptor (on Windows: a handle) of the caller.
pub fn duplicate(descriptor: i64) -> Result<Socket> {
    sys::duplicate(descriptor).map_err(|e| Error::system("duplicate a socket", e))
}

/// A bound socket that groups are joined on.
#[derive(Debug)]
pub(super) struct GroupSocket {
    socket: Socket,
    domain: Domain,
    /// The bound address; unspecified for the wildcard, which receives every group.
    bound: IpAddr,
    /// The interface it is bound to, if its group requires one.
    zone: Option<u32>,
    /// The kernel delivers only the groups that are joined on this socket.
    is_filtered_by_kernel: bool,
    rules: ForkSafeMutex<Rules>,
    /// It refused one more group.
    full: AtomicBool,
    /// The kernel reports the destination of each datagram.
    reports_destination: AtomicBool,
    drops: ForkSafeMutex<DropTotal>,
}

/// The datagrams that a socket delivers.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) filter: Filter,
    /// The group and the interface of every datagram, if there can be only one. The kernel then does not have to report
    /// them, which saves about 50 ns a datagram.
    sole: Option<(IpAddr, u32)>,
    /// What `sole` was before the kernel had to report them. Datagrams that were queued then have no interface.
    was_sole: Option<(IpAddr, u32)>,
    /// The senders to stay open for while a membership is refreshed.
    pub(super) senders: RecentSenders,
}

impl Rules {
    /// Whether to deliver a received buffer. Completes its destination if the kernel does not report it.
    #[inline]
    pub(super) fn admit(&mut self, arrival: &mut Arrival, strict: bool) -> bool {
        let metadata = &mut arrival.metadata;
        let unreported = if metadata.interface == 0 { self.was_sole } else { None };
        let sender = arrival.sender.ip();
        if let Some((group, interface)) = self.sole.or(unreported) {
            (metadata.destination, metadata.interface) = (Some(group), interface);
        } else if strict && metadata.destination.is_some_and(|to| !self.filter.admit(to, metadata.interface, sender)) {
            return false;
        }
        if let Some(group) = metadata.destination {
            self.senders.add(group, metadata.interface, sender);
        }
        true
    }
}

impl AsRef<Socket> for GroupSocket {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl GroupSocket {
    /// Open a socket that is bound to `address` and the configured port.
    pub(super) fn open(config: &ReceiverConfig, address: IpAddr, zone: u32) -> Result<Self> {
        let socket = Socket::new(domain_of(address), Type::DGRAM, Some(Protocol::UDP))
            .map_err(|e| Error::system(format!("open a socket for port {}", config.port), e))?;
        let opened = Self::configured(config, socket, address, zone)?;
        opened.bind(config, zone)?;
        Ok(opened)
    }

    /// Open an unbound socket. It can hold memberships and receives nothing.
    pub(super) fn open_holder(group: IpAddr) -> Result<Self> {
        let socket = Socket::new(domain_of(group), Type::DGRAM, Some(Protocol::UDP))
            .map_err(|e| Error::system(format!("open a socket to join {group} on"), e))?;
        Self::from_socket(socket, wildcard(group), 0)
    }

    /// Adopt a socket of the caller, and bind it unless it is bound.
    pub(super) fn adopt(config: &ReceiverConfig, socket: Socket, address: IpAddr, zone: u32) -> Result<Self> {
        let failed = |e| Error::system("adopt a socket", e);
        if socket.r#type().map_err(failed)? != Type::DGRAM {
            return Err(Error::Invalid("sock must be a datagram socket, got another type".into()));
        }
        let local = socket
            .local_addr()
            .map_err(failed)?
            .as_socket()
            .ok_or_else(|| Error::Invalid("sock must be an IPv4 or IPv6 socket, got another family".into()))?;
        if let Some(protocol) = sys::foreign_protocol(&socket).map_err(failed)? {
            return Err(Error::Invalid(format!("sock must be a UDP socket, got one of protocol {protocol}")));
        }
        if local.is_ipv4() != address.is_ipv4() {
            let version = if local.is_ipv4() { 4 } else { 6 };
            return Err(Error::Invalid(format!(
                "sock must be of the same IP version as {address}, got an IPv{version} socket"
            )));
        }
        let is_bound = local.port() != 0;
        let bound = if is_bound { local.ip() } else { address };
        let memory = sys::socket_memory(&socket).map_err(failed)?;
        let drops = memory.drops.map_or_else(DropTotal::default, DropTotal::starting_at);
        let mut adopted = Self::configured(config, socket, bound, zone)?;
        adopted.drops = ForkSafeMutex::new(drops)?;
        if !is_bound {
            adopted.bind(config, zone)?;
        }
        // The owner holds the socket too, and can join any group on it.
        adopted.request_destination().map_err(failed)?;
        Ok(adopted)
    }

    fn bind(&self, config: &ReceiverConfig, zone: u32) -> Result<()> {
        let place = format!("port {} ({})", config.port, self.bound);
        if !config.share {
            sys::claim_port(&self.socket).map_err(|e| Error::system(format!("claim {place}"), e))?;
        }
        if self.domain == Domain::IPV6 {
            // The IPv4 groups of a receiver have a socket of their own.
            self.socket.set_only_v6(true).map_err(|e| Error::system(format!("keep IPv4 off {place}"), e))?;
        }
        let address = match self.bound {
            IpAddr::V4(_) => SocketAddr::new(self.bound, config.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, config.port, 0, zone).into(),
        };
        let address = SockAddr::from(address);
        let result = if config.share { sys::bind_shared(&self.socket, &address) } else { self.socket.bind(&address) };
        result.map_err(|e| Error::system(format!("bind to {place}"), e))
    }

    /// Take a socket and set its options.
    fn configured(config: &ReceiverConfig, socket: Socket, bound: IpAddr, zone: u32) -> Result<Self> {
        let mut configured = Self::from_socket(socket, bound, zone)?;
        if config.unicast {
            configured.rules.lock_or_refuse()?.filter.add_unicast();
        }
        configured.is_filtered_by_kernel =
            configured.set_options(config).map_err(|e| Error::system("set up a receiving socket", e))?;
        Ok(configured)
    }

    fn from_socket(socket: Socket, bound: IpAddr, zone: u32) -> Result<Self> {
        Ok(Self {
            socket,
            domain: domain_of(bound),
            bound,
            zone: matches!(bound, IpAddr::V6(ip) if ip.is_multicast() && needs_zone(&ip)).then_some(zone),
            is_filtered_by_kernel: false,
            rules: ForkSafeMutex::new(Rules::default())?,
            full: AtomicBool::new(false),
            reports_destination: AtomicBool::new(false),
            drops: ForkSafeMutex::new(DropTotal::default())?,
        })
    }

    fn set_options(&self, config: &ReceiverConfig) -> io::Result<bool> {
        if let Some(loopback) = config.loopback {
            if self.domain == Domain::IPV6 {
                self.socket.set_multicast_loop_v6(loopback)?;
            } else {
                self.socket.set_multicast_loop_v4(loopback)?;
            }
        }
        if let Some(bytes) = config.recv_buffer {
            // A smaller buffer is not an error: `buffer` returns the actual size.
            sys::request_receive_buffer(&self.socket, bytes)?;
        }
        let wanted = sys::Wanted {
            strict: config.strict,
            timestamps: config.timestamps,
            ttl: config.ttl,
            coalesce: config.coalesce,
            spin: config.spin,
        };
        sys::prepare_receiver(&self.socket, self.domain, wanted)
    }

    /// Whether datagrams of this group can reach the socket.
    pub(super) fn accepts(&self, membership: &Membership) -> bool {
        self.domain == domain_of(membership.group)
            && (self.bound.is_unspecified() || self.bound == membership.group)
            && self.zone.is_none_or(|zone| zone == membership.interface)
    }

    /// Whether it can send to this address by this interface (0: any).
    pub(super) fn can_send(&self, to: IpAddr, interface: u32) -> bool {
        self.domain == domain_of(to) && self.zone.is_none_or(|zone| interface == 0 || zone == interface)
    }

    /// Whether the kernel could not keep this membership apart from one that the socket has. Linux finds the sources of
    /// an IPv6 group by the group alone, whatever the interface.
    pub(super) fn conflicts_with(&self, membership: &Membership) -> io::Result<bool> {
        Ok(membership.group.is_ipv6() && !self.rules()?.filter.of_group(membership.group).is_empty())
    }

    /// Whether this membership and all others of its group on this socket have the same sources: then it does not
    /// matter which of them the kernel finds.
    pub(super) fn has_same_sources(&self, membership: &Membership) -> io::Result<bool> {
        let rules = self.rules()?;
        let mut others = rules.filter.of_group(membership.group).iter();
        Ok(others.all(|other| other.sources == membership.sources))
    }

    /// Whether it refused one more group since a group was last left.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// The bound port.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.as_socket().map_or(0, |address| address.port()))
    }

    /// The figures that the kernel has of the socket.
    pub(super) fn figures(&self) -> io::Result<SocketFigures> {
        // Locked before the kernel is asked: of two threads, the later one must not have the older number.
        let mut drops = self.drops.lock().ok_or_else(held_at_fork)?;
        let memory = sys::socket_memory(&self.socket)?;
        let kernel_drops = memory.drops.map(|now| drops.update(now));
        Ok(SocketFigures { kernel_drops, unassembled: 0, recv_buffer: memory.recv_buffer, sockets: 1 })
    }

    /// The rules to apply to what is received.
    #[inline]
    pub(super) fn rules(&self) -> io::Result<MutexGuard<'_, Rules>> {
        self.rules.lock().ok_or_else(held_at_fork)
    }

    /// Join the first group of a new socket, which can stay its only one.
    pub(super) fn join_first(&self, membership: &Membership) -> io::Result<()> {
        // Not for IPv6: Linux compares the group alone there, and delivers copies from other interfaces too.
        let is_sole = self.is_filtered_by_kernel
            && self.domain == Domain::IPV4
            && self.bound == membership.group
            && membership.interface != 0;
        if is_sole {
            self.rules()?.sole = Some((membership.group, membership.interface));
        } else {
            self.request_destination()?;
        }
        self.admit_and(Self::join_in_kernel, membership)
    }

    /// Join a whole membership or nothing of it.
    pub(super) fn join(&self, membership: &Membership) -> io::Result<()> {
        self.request_destination()?;
        self.admit_and(Self::join_in_kernel, membership)
    }

    /// Join what a process that shares this socket has not joined yet.
    pub(super) fn join_rest(&self, membership: &Membership) -> io::Result<()> {
        self.request_destination()?;
        self.admit_and(Self::join_rest_in_kernel, membership)
    }

    /// Join, and admit its datagrams from the first one on.
    fn admit_and(&self, join: fn(&Self, &Membership) -> io::Result<()>, membership: &Membership) -> io::Result<()> {
        self.rules()?.filter.add(membership.clone());
        join(self, membership).inspect_err(|_| self.reject(membership))
    }

    /// Stop admitting the datagrams of a membership.
    fn reject(&self, membership: &Membership) {
        // Without the lock, in a forked process, nothing can be received from this socket either.
        if let Ok(mut rules) = self.rules() {
            rules.filter.remove(membership.group, membership.interface);
            rules.senders.remove(membership.group, membership.interface);
        }
    }

    /// Leave and join again on the same interface. Datagrams received before the call are still admitted.
    pub(super) fn rejoin(&self, membership: &Membership) -> io::Result<()> {
        self.leave_regardless(membership);
        self.join_rest_in_kernel(membership)
    }

    /// Join again on the interface that the system selects now, without leaving. The kernel refuses if that is still
    /// the interface where it is joined.
    pub(super) fn follow_default(&self, membership: &Membership) -> io::Result<()> {
        self.join_in_kernel(membership)
    }

    /// Let the kernel report a membership again, without a gap in what is received from these senders. The membership
    /// must be intact.
    ///
    /// The kernel reports a group when the first socket of the host joins it, and when the sources that the host wants
    /// change between some and all. So another socket, `holder`, takes these senders as sources for a moment, while
    /// this one leaves and joins; this one receives what the host receives even then. For a membership with sources it
    /// is the other way round: the other socket takes all senders for a moment.
    pub(super) fn refresh(&self, membership: &Membership, holder: &Self, senders: Vec<IpAddr>) -> io::Result<()> {
        let Membership { group, interface, sources } = membership;
        if matches!(sources, Sources::Only(_)) {
            holder.join_any(*group, *interface)?;
            return holder.leave_any(*group, *interface);
        }
        if senders.is_empty() {
            return self.rejoin(membership);
        }
        // The socket is about to receive the group from other interfaces too.
        self.request_destination()?;
        if !sys::receive_all_groups(&self.socket, self.domain, true)? {
            return self.rejoin(membership);
        }
        let known = Membership { group: *group, interface: *interface, sources: Sources::Only(senders) };
        // If the system allows fewer sources, none of them is held, and there is a gap.
        let held = holder.join_in_kernel(&known);
        let rejoined = self.rejoin(membership);
        // The rest is done even if one of them fails.
        let left = if held.is_ok() { holder.leave_any(*group, *interface) } else { Ok(()) };
        let restored = match self.is_filtered_by_kernel {
            true => sys::receive_all_groups(&self.socket, self.domain, false).map(|_| ()),
            false => Ok(()),
        };
        rejoined.and(left).and(restored)
    }

    /// Leave, and ignore errors: the interface may be gone while the kernel still holds the membership of the socket.
    pub(super) fn forget(&self, membership: &Membership) {
        self.leave_regardless(membership);
        self.reject(membership);
    }

    fn leave_regardless(&self, membership: &Membership) {
        // An error means that the kernel does not have the membership, or has removed it all the same.
        let _ = self.leave_any(membership.group, membership.interface);
        self.set_full(false);
    }

    /// Leave what [`GroupSocket::join`] joined.
    pub(super) fn leave(&self, membership: &Membership) -> io::Result<()> {
        self.leave_in_kernel(membership)?;
        self.reject(membership);
        self.set_full(false);
        Ok(())
    }

    /// Let the kernel report the destination of each datagram from now on.
    pub(super) fn request_destination(&self) -> io::Result<()> {
        if !self.reports_destination.load(Ordering::Relaxed) {
            sys::tell_destination(&self.socket, self.domain)?;
            self.reports_destination.store(true, Ordering::Relaxed);
            let mut rules = self.rules()?;
            rules.was_sole = rules.sole.take();
        }
        Ok(())
    }

    fn join_in_kernel(&self, membership: &Membership) -> io::Result<()> {
        let Membership { group, interface, sources } = membership;
        match sources {
            Sources::Any => self.join_any(*group, *interface),
            // If a source fails, only the sources before it are left: the owner of an adopted socket may have joined
            // others. The error to report is the one of the join.
            Sources::Only(list) => list.iter().enumerate().try_for_each(|(at, source)| {
                self.source_call(SourceCall::Join, membership, *source).inspect_err(|_| {
                    let _ = self.each_source(SourceCall::Leave, membership, &list[..at]);
                })
            }),
            Sources::Except(list) => {
                self.join_any(*group, *interface)?;
                self.each_source(SourceCall::Block, membership, list).inspect_err(|_| {
                    let _ = self.leave_in_kernel(membership);
                })
            }
        }
    }

    /// Join, and accept what is joined already: a process that was forked from this one shares the socket, and repairs
    /// its memberships too.
    fn join_rest_in_kernel(&self, membership: &Membership) -> io::Result<()> {
        let Membership { group, interface, sources } = membership;
        let join_any = || accept(errno::ADDRESS_IN_USE, self.join_any(*group, *interface));
        let call_each = |call, list: &[IpAddr]| {
            list.iter().try_for_each(|source| {
                accept(errno::ADDRESS_NOT_AVAILABLE, self.source_call(call, membership, *source))
            })
        };
        match sources {
            Sources::Any => join_any(),
            Sources::Only(list) => call_each(SourceCall::Join, list),
            Sources::Except(list) => join_any().and_then(|()| call_each(SourceCall::Block, list)),
        }
        .inspect_err(|_| self.leave_regardless(membership))
    }

    fn leave_in_kernel(&self, membership: &Membership) -> io::Result<()> {
        match &membership.sources {
            Sources::Only(list) => self.each_source(SourceCall::Leave, membership, list),
            Sources::Any | Sources::Except(_) => self.leave_any(membership.group, membership.interface),
        }
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

    pub(super) fn source_call(&self, call: SourceCall, membership: &Membership, source: IpAddr) -> io::Result<()> {
        sys::source_call(&self.socket, call, membership.group, membership.interface, source)
    }
}

fn accept(code: i32, result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| if e.raw_os_error() == Some(code) { Ok(()) } else { Err(e) })
}

/// The error in a forked process if a thread of the parent holds a lock of this socket.
pub(super) fn held_at_fork() -> io::Error {
    io::Error::from_raw_os_error(errno::NOT_SUPPORTED)
}
