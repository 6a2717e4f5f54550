//! Sockets, memberships and schedules of one receiver. They are under one lock, which readers never take: joining,
//! leaving and repairing memberships do not hold up receiving.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::binding::wildcard;
use super::changes::LinkChanges;
use super::config::{Engine, GroupSpec, ReceiverConfig, missing_group_error};
use super::events::Level;
use super::heal::Healed;
use super::journal::Journal;
use super::links::choose;
use super::membership::Memberships;
use super::packet::engine::PacketEngine;
use super::socket::GroupSocket;
use super::socket_set::SocketSet;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, Interfaces};
use crate::sys;

/// How long to wait before a repair that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Everything about a receiver that changes rarely.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) sockets: SocketSet,
    pub(super) memberships: Memberships,
    /// Empty if UDP sockets receive the groups.
    packets: PacketEngine,
    next_rejoin: Option<Instant>,
    /// Changes that could not be repaired yet, and when to try again.
    deferred_changes: Option<LinkChanges>,
    retry_at: Option<Instant>,
    /// The failure that was reported last, until a repair succeeds.
    last_failure: Option<String>,
}

impl Control {
    /// Open the sockets and join the groups, or return an error and leave nothing behind.
    pub(super) fn open(
        config: ReceiverConfig,
        groups: &[GroupSpec],
        socket: Option<Socket>,
        journal: Arc<Journal>,
    ) -> Result<Self> {
        config.check(groups)?;
        let mut config = match &socket {
            Some(socket) => adopted_config(config, socket)?,
            None => config,
        };
        PacketEngine::choose(&mut config, groups, &journal);
        let mut packets = PacketEngine::default();
        let mut sockets = SocketSet::new(config.clone())?;
        let mut memberships = Memberships::new(journal)?;
        if let Some(socket) = socket {
            let (address, zone) = bind_address(&config, groups)?;
            sockets.add(GroupSocket::adopt(&config, socket, address, zone)?)?;
        } else if groups.is_empty() || config.bind.is_some() {
            let (address, zone) = bind_address(&config, groups)?;
            sockets.add(GroupSocket::open(&config, address, zone)?)?;
        }
        if config.engine == Engine::Packet {
            packets.prepare(groups, &mut sockets)?;
        }
        // If an IP version has a single group, its socket is bound to the group; several groups share the wildcard
        // address.
        let is_single = |group: IpAddr| groups.iter().all(|g| g.group == group || g.group.is_ipv4() != group.is_ipv4());
        let first = |v4: bool| groups.iter().map(|spec| spec.group).find(|group| group.is_ipv4() == v4);
        let (v4, v6) = (first(true).is_some_and(is_single), first(false).is_some_and(is_single));
        let is_single = |spec: &GroupSpec| if spec.group.is_ipv4() { v4 } else { v6 };
        memberships
            .join(groups, &mut sockets, is_single, |memberships, sockets| packets.follow(memberships, sockets))?;
        Ok(Self {
            // A time too far away to be represented is never reached.
            next_rejoin: config.rejoin.and_then(|period| Instant::now().checked_add(period)),
            sockets,
            memberships,
            packets,
            deferred_changes: None,
            retry_at: None,
            last_failure: None,
        })
    }

    /// Join more groups: all of them or none.
    pub(super) fn join(&mut self, groups: &[GroupSpec]) -> Result<()> {
        self.sockets.table()?;
        // The join looks at the current interfaces. Pending changes are repaired first, so that the next repair does
        // not miss them.
        self.attend();
        let Self { sockets, memberships, packets, .. } = self;
        if sockets.config.engine != Engine::Packet {
            return memberships.join(groups, sockets, |_| false, |_, _| Ok(()));
        }
        let (sockets_before, packets_before) = (sockets.mark()?, packets.mark());
        let joined = packets.prepare(groups, sockets).and_then(|()| {
            memberships.join(groups, sockets, |_| false, |memberships, sockets| packets.follow(memberships, sockets))
        });
        if joined.is_err() {
            packets.roll_back(packets_before);
            let undone = sockets.roll_back(&sockets_before).and_then(|()| packets.follow(memberships, sockets));
            if let Err(e) = undone {
                // The caller gets the error of the join.
                memberships.journal.push(Level::Warning, e.to_string());
            }
        }
        joined
    }

    /// Leave groups on one interface, or everywhere for the default interface; if there are sources, only these. If one
    /// of them is not joined there, none is left.
    pub(super) fn leave(&mut self, groups: &[IpAddr], interface: &InterfaceName, sources: &[IpAddr]) -> Result<()> {
        let is_whole = sources.is_empty() && self.sockets.config.engine == Engine::Packet;
        if let (true, Ok(on)) = (is_whole, choose(interface)) {
            self.packets.forget(&groups.iter().copied().collect(), (on.index != 0).then_some(on.index));
        }
        let left = self.memberships.leave_sources(groups, interface, sources);
        left.and(self.packets.follow(&self.memberships, &mut self.sockets))
    }

    /// The time until something is due that no event reports.
    pub(super) fn due(&self) -> Option<Duration> {
        let until = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(Instant::now()));
        let look = self.sockets.table().ok().and_then(|table| table.monitor.due());
        [look, until(self.next_rejoin), until(self.retry_at)].into_iter().flatten().min()
    }

    /// Replace what a forked process cannot share with its parent. The memberships belong to both, so the parent
    /// repairs earlier changes. Differences from the parent's last look at the interfaces are repaired here too,
    /// because the parent may have ended.
    pub(super) fn settle_after_fork(&mut self) -> Result<()> {
        if self.sockets.table()?.has_packets() {
            return Err(Error::Unsupported(format!(
                "cannot use the inherited receiver on port {}: its packet ring belongs to the process that opened it \
                 (open a new receiver here)",
                self.sockets.config.port
            )));
        }
        self.sockets.renew_after_fork()?;
        self.memberships.renew_after_fork(&self.sockets)?;
        self.deferred_changes = Some(LinkChanges::default());
        self.retry_at = None;
        self.next_rejoin = self.sockets.config.rejoin.and_then(|period| Instant::now().checked_add(period));
        Ok(())
    }

    /// Repair the memberships after changes of the network, and rejoin them if that is due. A failure becomes an event,
    /// and the repair is tried again later. Returns whether the memberships may have changed.
    pub(super) fn attend(&mut self) -> bool {
        let mut repaired = false;
        match self.repair() {
            Ok(any) => {
                repaired = any;
                self.last_failure = None;
            }
            // The receiver was closed in the meantime.
            Err(Error::Closed(_)) => return false,
            Err(e) => {
                self.retry_at = Some(Instant::now() + RETRY);
                let text = e.to_string();
                if self.last_failure.as_ref() != Some(&text) {
                    self.memberships.journal.push(Level::Warning, text.clone());
                    self.last_failure = Some(text);
                }
            }
        }
        if let (Some(at), Some(period)) = (self.next_rejoin, self.sockets.config.rejoin) {
            let now = Instant::now();
            if at <= now {
                self.next_rejoin = next_on_grid(at, period, now);
                self.memberships.rejoin_all(&self.sockets);
            }
        }
        repaired
    }

    /// Repair the memberships. Returns whether anything had changed.
    fn repair(&mut self) -> Result<bool> {
        self.retry_at = None;
        if let Some(changes) = LinkChanges::read(&self.sockets.table()?.monitor)? {
            self.deferred_changes.get_or_insert_default().merge(changes);
        }
        let Some(changes) = self.deferred_changes.take() else { return Ok(false) };
        let healed = self.memberships.heal(&changes, &mut self.sockets);
        self.packets.restore();
        match healed.and_then(|healed| self.packets.follow(&self.memberships, &mut self.sockets).map(|()| healed)) {
            Ok(Healed::Completely) => Ok(true),
            // There are later changes only while interfaces are being renamed, so the recursion ends.
            Ok(Healed::Until(later)) => {
                self.deferred_changes = Some(later);
                self.repair().map(|_| true)
            }
            Ok(Healed::Partly) => {
                self.deferred_changes = Some(LinkChanges::default());
                self.retry_at = Some(Instant::now() + RETRY);
                Ok(true)
            }
            Err(e) => {
                // The monitor does not report these changes again.
                self.deferred_changes = Some(changes);
                Err(e)
            }
        }
    }

    /// Release everything.
    pub(super) fn clear(&mut self) {
        // A forked process shares the memberships with its parent.
        if self.sockets.table().is_ok_and(|table| !table.waker.is_inherited()) {
            self.packets.forget_all();
        }
        self.packets = PacketEngine::default();
        self.memberships.clear();
        self.sockets.clear();
    }
}

/// The first time after `now` that is a whole number of periods after `at`. A late rejoin does not delay the next one,
/// so the rate is kept on average.
fn next_on_grid(at: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let missed = now.duration_since(at).as_nanos() / period.as_nanos();
    let ahead = u32::try_from(missed + 1).ok().and_then(|periods| period.checked_mul(periods))?;
    at.checked_add(ahead)
}

/// The configuration for an adopted socket. Its owner may read from it later, and may have set a larger buffer.
fn adopted_config(mut config: ReceiverConfig, socket: &Socket) -> Result<ReceiverConfig> {
    let reported = socket.recv_buffer_size().map_err(|e| Error::system("adopt a socket", e))?;
    config.coalesce = false;
    config.recv_buffer = config.recv_buffer.filter(|requested| sys::usable_buffer(reported) < *requested);
    Ok(config)
}

/// The address and zone of the first socket if the caller gave an address, a socket, or no group.
fn bind_address(config: &ReceiverConfig, groups: &[GroupSpec]) -> Result<(IpAddr, u32)> {
    let zone = match groups.first().map(|spec| &spec.interface) {
        Some(Interfaces::One(name)) => choose(name)?.index,
        _ => 0,
    };
    if let Some(address) = config.bind {
        let address = if address.is_multicast() && !sys::BINDS_TO_GROUP { wildcard(address) } else { address };
        return Ok((address, zone));
    }
    let [first, rest @ ..] = groups else {
        return Err(missing_group_error());
    };
    let single = rest.iter().all(|spec| spec.group == first.group);
    let to_group = single && sys::BINDS_TO_GROUP && config.strict;
    Ok((if to_group { first.group } else { wildcard(first.group) }, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_rejoin_stays_on_the_grid() {
        let (at, period) = (Instant::now(), Duration::from_millis(100));
        let next = |late: u64| next_on_grid(at, period, at + Duration::from_micros(late)).unwrap() - at;
        assert_eq!(next(0), period);
        assert_eq!(next(30), period);
        assert_eq!(next(99_999), period);
        assert_eq!(next(250_000), 3 * period);
        assert_eq!(next_on_grid(at, Duration::MAX, at), None);
    }
}
