//! How receivers, senders and rings are opened, and the checks that need no system call.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, Interfaces, check_group, is_source_specific, needs_zone, other_ip_version};
use crate::pure::filter::Sources;
use crate::pure::pace::Rate;

/// A group to join.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// The group.
    pub group: IpAddr,
    /// Where to join it.
    pub interface: Interfaces,
    /// The senders to receive from.
    pub sources: Sources,
}

/// The shortest interval between rejoins. Faster ones would keep the network and the kernel busy with reports.
const MIN_REJOIN: Duration = Duration::from_millis(10);

/// The range of `packet_delay`: the kernel counts it in milliseconds.
const MIN_PACKET_DELAY: Duration = Duration::from_millis(1);
const MAX_PACKET_DELAY: Duration = Duration::from_secs(1);

/// How datagrams get from the kernel to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// UDP sockets.
    #[default]
    Socket,
    /// Packet sockets with a ring in memory that is shared with the kernel (Linux, with `CAP_NET_RAW`).
    Packet,
    /// Packet sockets if they are permitted and the other settings allow them, else UDP sockets.
    Auto,
}

/// The longest time of busy polling.
const MAX_SPIN: Duration = Duration::from_secs(10);

/// The largest number of a fanout. The kernel's number has one more bit, which holds the IP version here.
pub const MAX_FANOUT: u16 = 0x7fff;

/// Several receivers, usually in different processes, that share the datagrams of their groups: each datagram goes to
/// one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fanout {
    /// The number that the receivers have in common, up to [`MAX_FANOUT`].
    pub id: u16,
    /// Give each receiver the next datagram in turn, instead of all datagrams of a sender and port to the same one.
    pub round_robin: bool,
}

/// How a receiver is opened.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// How datagrams get from the kernel to this receiver.
    pub engine: Engine,
    /// How long packet sockets may hold datagrams back to hand them over together, from 1 ms to 1 s.
    pub packet_delay: Duration,
    /// Share the datagrams with other receivers; packet sockets only.
    pub fanout: Option<Fanout>,
    /// How long to poll for datagrams before sleeping, up to 10 s.
    pub spin: Duration,
    /// The UDP port; 0 takes a free one.
    pub port: u16,
    /// The address to bind to. By default the group, if there is only one and the system allows it, else the wildcard.
    pub bind: Option<IpAddr>,
    /// Let other sockets on this host use the same port.
    pub share: bool,
    /// Deliver only datagrams of joined groups, interfaces and sources.
    pub strict: bool,
    /// Also deliver what is sent to an address of this host, even with `strict`.
    pub unicast: bool,
    /// Receive what this host sends (decided by the receiver on Windows, by the sender elsewhere); `None` leaves the
    /// option as the socket has it.
    pub loopback: Option<bool>,
    /// Receive buffer to request, in bytes; `None` leaves the system's default.
    pub recv_buffer: Option<usize>,
    /// Request the receive time of each datagram from the kernel.
    pub timestamps: bool,
    /// Request the remaining hops of each datagram from the kernel.
    pub ttl: bool,
    /// Let the kernel coalesce datagrams into one buffer, if it can.
    pub coalesce: bool,
    /// Rejoin all groups at this interval, from 10 ms, so that switches without a querier do not forget them.
    pub rejoin: Option<Duration>,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            engine: Engine::Socket,
            packet_delay: Duration::from_millis(4),
            fanout: None,
            spin: Duration::ZERO,
            port: 0,
            bind: None,
            share: true,
            strict: true,
            unicast: false,
            loopback: Some(true),
            recv_buffer: None,
            timestamps: true,
            ttl: true,
            coalesce: true,
            rejoin: None,
        }
    }
}

/// How a sender is opened.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The group to send to.
    pub group: IpAddr,
    /// The UDP port to send to, from 1.
    pub port: u16,
    /// The interface to send through.
    pub interface: InterfaceName,
    /// The address and port to send from, where answers arrive. Without an address, the system chooses one.
    pub local: Option<(Option<IpAddr>, u16)>,
    /// One more than the number of routers that a datagram can cross: with 1, it stays on the link (RFC 1112 section
    /// 6.1); with 0, on this host, if the system guarantees that.
    pub ttl: u8,
    /// The class of traffic (RFC 2474), from 0 to 63; `None` leaves the system's default.
    pub dscp: Option<u8>,
    /// Let this host receive what it sends (decided by the sender on Unix, by the receiver on Windows).
    pub loopback: bool,
    /// Send buffer to request, in bytes; `None` leaves the system's default.
    pub send_buffer: Option<usize>,
    /// Pass several messages of equal size to the kernel as one buffer, if it can split them.
    pub coalesce: bool,
    /// The fastest rate to send at; `None` sends as fast as the kernel accepts.
    pub rate: Option<Rate>,
}

/// The options of a sender that can be changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderOptions {
    /// As in [`SenderConfig`].
    pub ttl: u8,
    /// The class of traffic (RFC 2474), from 0 to 63; 0 if the system does not say.
    pub dscp: u8,
    /// As in [`SenderConfig`].
    pub loopback: bool,
}

/// The largest capacity of a ring, in datagrams. The payloads of such a ring can take 32 GiB.
pub const MAX_RING_CAPACITY: usize = 1 << 24;

/// The reaction of a full ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingPolicy {
    /// Drop the datagrams that have waited longest.
    DropOldest,
    /// Drop the datagrams that arrive.
    DropNewest,
    /// Drop nothing: the thread stops reading, so the kernel's buffer fills and then drops.
    Block,
}

/// The capacity of a ring, and its policy when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingConfig {
    /// The most datagrams it holds, from 1 to [`MAX_RING_CAPACITY`]. Their payloads together can take 2,048 bytes for
    /// each datagram of the capacity, and at least 1 MiB: longer datagrams fill the ring earlier.
    pub capacity: usize,
    /// The reaction of a full ring.
    pub policy: RingPolicy,
}

impl ReceiverConfig {
    /// Refuse settings that cannot work with these groups.
    pub(super) fn check(&self, groups: &[GroupSpec]) -> Result<()> {
        if self.recv_buffer == Some(0) {
            return Err(Error::Invalid("recv_buffer must be at least 1 byte, got 0".into()));
        }
        if let Some(period) = self.rejoin.filter(|period| *period < MIN_REJOIN) {
            let (least, period) = (MIN_REJOIN.as_secs_f64(), period.as_secs_f64());
            return Err(Error::Invalid(format!("rejoin must be at least {least} seconds, got {period}")));
        }
        if !(MIN_PACKET_DELAY..=MAX_PACKET_DELAY).contains(&self.packet_delay) {
            let delay = self.packet_delay.as_secs_f64();
            return Err(Error::Invalid(format!("packet_delay must be from 0.001 to 1 seconds, got {delay}")));
        }
        if self.spin > MAX_SPIN {
            return Err(Error::Invalid(format!("spin must be from 0 to 10 seconds, got {}", self.spin.as_secs_f64())));
        }
        if let Some(fanout) = self.fanout {
            fanout.check(self.engine)?;
        }
        if groups.is_empty() && self.bind.is_none() {
            return Err(missing_group_error());
        }
        if let (Engine::Packet, Some(obstacle)) = (self.engine, self.packet_obstacle()) {
            return Err(Error::Invalid(format!(
                "engine must be \"socket\" or \"auto\" with {obstacle}, got \"packet\""
            )));
        }
        groups.iter().try_for_each(GroupSpec::check)
    }

    /// The setting that packet sockets cannot honor, if there is one.
    pub(super) fn packet_obstacle(&self) -> Option<&'static str> {
        if self.bind.is_some() {
            Some("bind")
        } else if !self.strict {
            Some("strict=False")
        } else {
            None
        }
    }
}

impl Fanout {
    /// Refuse a number out of range, and an engine that would deliver all datagrams to each receiver.
    fn check(self, engine: Engine) -> Result<()> {
        if self.id > MAX_FANOUT {
            return Err(Error::Invalid(format!("fanout must be from 0 to {MAX_FANOUT}, got {}", self.id)));
        }
        match engine {
            Engine::Packet => Ok(()),
            Engine::Socket | Engine::Auto => {
                Err(Error::Invalid("fanout must be None unless engine is \"packet\", got a number".into()))
            }
        }
    }
}

/// The error for a receiver with neither a group nor an address.
pub(super) fn missing_group_error() -> Error {
    Error::Invalid("group must name at least one group unless bind is given, got none".into())
}

impl GroupSpec {
    /// Refuse a group that cannot be joined in this way.
    pub(super) fn check(&self) -> Result<()> {
        let Self { group, interface, sources } = self;
        check_group(*group)?;
        if interface.is_default() {
            check_zone(*group)?;
        }
        if let Interfaces::Several(names) = interface {
            if names.is_empty() {
                return Err(Error::Invalid(format!(
                    "interface must be a list of at least one interface for {group}, got an empty list"
                )));
            }
            if names.contains(&InterfaceName::Default) {
                return Err(Error::Invalid(format!(
                    "interface must be a list of names, indexes or addresses for {group}, got the default interface in it"
                )));
            }
        }
        match sources {
            Sources::Only(list) if list.is_empty() => {
                Err(Error::Invalid(format!("source must name at least one source of {group}, got none")))
            }
            Sources::Any | Sources::Except(_) if is_source_specific(*group) => Err(Error::Invalid(format!(
                "source must be given for the source-specific group {group} (RFC 4607), as in {}@{group}, got none",
                if group.is_ipv4() { "10.0.0.1" } else { "fd00::1" }
            ))),
            Sources::Only(list) | Sources::Except(list) => match list.iter().find(|s| s.is_ipv4() != group.is_ipv4()) {
                Some(other) => Err(other_ip_version(*other, *group).into()),
                None => Ok(()),
            },
            Sources::Any => Ok(()),
        }
    }
}

impl SenderConfig {
    /// Refuse settings that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        check_group(self.group)?;
        if self.port == 0 {
            return Err(Error::Invalid("port must be from 1 to 65535, got 0".into()));
        }
        if let Some(address) = self.local.and_then(|(address, _)| address) {
            if address.is_multicast() || address.is_ipv4() != self.group.is_ipv4() {
                return Err(Error::Invalid(format!(
                    "local must have a unicast address of the same IP version as group {}, got {address}",
                    self.group
                )));
            }
        }
        check_dscp(self.dscp.unwrap_or_default())?;
        if let Some(rate) = self.rate.filter(|rate| !rate.is_valid()) {
            let (Rate::Datagrams(number) | Rate::Bits(number)) = rate;
            return Err(Error::Invalid(format!("rate must be a finite number greater than 0, got {number}")));
        }
        if self.interface == InterfaceName::Default { check_zone(self.group) } else { Ok(()) }
    }
}

/// Refuse a class of traffic that does not fit its six bits.
pub(super) fn check_dscp(dscp: u8) -> Result<()> {
    if dscp < 64 { Ok(()) } else { Err(Error::Invalid(format!("dscp must be from 0 to 63, got {dscp}"))) }
}

impl RingConfig {
    /// Refuse a capacity out of range.
    pub(super) fn check(&self) -> Result<()> {
        if (1..=MAX_RING_CAPACITY).contains(&self.capacity) {
            return Ok(());
        }
        Err(Error::Invalid(format!("ring must be from 1 to {MAX_RING_CAPACITY} datagrams, got {}", self.capacity)))
    }
}

/// Refuse a group that is ambiguous without an interface.
fn check_zone(group: IpAddr) -> Result<()> {
    match group {
        IpAddr::V6(ip) if needs_zone(&ip) => Err(Error::Invalid(format!(
            "interface must be given for the link-local group {group}, as in {group}%eth0, got none"
        ))),
        _ => Ok(()),
    }
}
