//! The packet sockets of a receiver, and what this host sends itself.
//!
//! A packet socket does not see what this host sends through a real interface: the kernel passes a copy, which was
//! never on the interface, to the UDP sockets of this host. So a bound UDP socket joins the same groups with the
//! addresses of this host as their only sources. It also reserves the port.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::net::binding::wildcard;
use crate::net::config::{Engine, GroupSpec, ReceiverConfig};
use crate::net::events::Level;
use crate::net::inlet::Inlet;
use crate::net::journal::Journal;
use crate::net::membership::Memberships;
use crate::net::packet::own::OwnSources;
use crate::net::packet::socket::PacketSocket;
use crate::net::socket::GroupSocket;
use crate::net::socket_set::{Occasion, SocketSet};
use crate::pure::address::needs_zone;
use crate::pure::filter::{Membership, Sources};
use crate::pure::links::Links;

/// The most sources of a group that a socket takes with the system's default settings (`igmp_max_msf`, `mld_max_msf`).
const MAX_SOURCES_V4: usize = 10;
const MAX_SOURCES_V6: usize = 64;

/// The packet sockets of one receiver.
#[derive(Debug, Default)]
pub(in crate::net) struct PacketEngine {
    packets: Vec<Arc<PacketSocket>>,
    /// The memberships for the datagrams of this host, by group and interface.
    own: HashMap<(IpAddr, u32), OwnMembership>,
}

#[derive(Debug)]
struct OwnMembership {
    membership: Membership,
    socket: Arc<GroupSocket>,
}

impl OwnMembership {
    /// Take the sources that are wanted now, without a gap for those that stay. Returns false if that is not possible.
    fn change_to(&mut self, wanted: &Membership) -> bool {
        let changed = *wanted == self.membership || self.socket.replace_sources(&self.membership, wanted).is_ok();
        if changed {
            self.membership.clone_from(wanted);
        }
        changed
    }
}

impl PacketEngine {
    /// Decide between packet sockets and UDP sockets, if that is left open, and report the choice.
    pub(in crate::net) fn choose(config: &mut ReceiverConfig, groups: &[GroupSpec], journal: &Journal) {
        if config.engine != Engine::Auto {
            return;
        }
        let obstacle = config.packet_obstacle().map(|setting| format!("{setting} was given"));
        let is_ipv4 = groups.first().is_none_or(|spec| spec.group.is_ipv4());
        // The smallest ring is enough to find out whether packet sockets are permitted.
        let trial = ReceiverConfig { recv_buffer: Some(1), ..config.clone() };
        let obstacle = obstacle.or_else(|| PacketSocket::open(&trial, is_ipv4).err().map(|e| e.to_string()));
        config.engine = if obstacle.is_none() { Engine::Packet } else { Engine::Socket };
        let text = match obstacle {
            None => "packet sockets receive the groups".to_owned(),
            Some(reason) => format!("UDP sockets receive the groups: {reason}"),
        };
        journal.push(Level::Info, text);
    }

    /// Remember which packet sockets there are.
    pub(in crate::net) fn mark(&self) -> usize {
        self.packets.len()
    }

    /// Forget the packet sockets that were opened after the mark.
    pub(in crate::net) fn roll_back(&mut self, mark: usize) {
        self.packets.truncate(mark);
    }

    /// Open the sockets that these groups need in addition. After an error, some of them can be open.
    pub(in crate::net) fn prepare(&mut self, groups: &[GroupSpec], sockets: &mut SocketSet) -> Result<()> {
        for is_ipv4 in [true, false] {
            let mut same = groups.iter().filter(|spec| spec.group.is_ipv4() == is_ipv4);
            let has_socket = self.packets.iter().any(|packets| packets.is_ipv4() == is_ipv4);
            let (Some(first), false) = (same.next(), has_socket) else { continue };
            let is_single = same.all(|spec| spec.group == first.group) && sockets.config.share;
            let is_linked = matches!(first.group, IpAddr::V6(ip) if needs_zone(&ip));
            let address = if is_single && !is_linked { first.group } else { wildcard(first.group) };
            let bound = GroupSocket::open(&sockets.config, address, 0)?;
            // The filter needs it to reject what is sent to this host alone, even while the socket has no membership.
            bound.request_destination().map_err(|e| Error::system("set up a receiving socket", e))?;
            // The bound socket determines the port.
            let port = bound.port().map_err(|e| Error::system("read the port of a socket", e))?;
            let config = ReceiverConfig { port, ..sockets.config.clone() };
            let packets = Arc::new(PacketSocket::open(&config, is_ipv4)?);
            sockets.add(bound)?;
            sockets.add_inlet(Inlet::Packet(Arc::clone(&packets)), port)?;
            self.packets.push(packets);
        }
        Ok(())
    }

    /// Deliver the datagrams of the current memberships. Does nothing if UDP sockets do that.
    pub(in crate::net) fn follow(&mut self, memberships: &Memberships, sockets: &mut SocketSet) -> Result<()> {
        if self.packets.is_empty() {
            return Ok(());
        }
        self.packets.iter().try_for_each(|packets| packets.set_memberships(memberships.iter()))?;
        let mut wanted: HashMap<(IpAddr, u32), Membership> = HashMap::new();
        // Every receiver that shares the datagrams of a group would get those of this host.
        let shares = sockets.config.fanout.is_some();
        for membership in memberships.iter().filter(|_| !shares) {
            if let Some(own) = own_membership(membership, &memberships.links) {
                wanted.insert((own.group, own.interface), own);
            }
        }
        // A source that the bound socket leaves or joins is received twice for a moment rather than not at all.
        self.leave_out(self.own.iter().filter_map(|(place, own)| Some(in_both(&own.membership, wanted.get(place)?))))?;
        self.own.retain(|place, own| {
            let stays = wanted.get(place).is_some_and(|wanted| own.change_to(wanted));
            if !stays {
                own.socket.forget(&own.membership);
            }
            stays
        });
        for (place, membership) in wanted {
            if self.own.contains_key(&place) {
                continue;
            }
            match sockets.join_to_read(
                &membership,
                &format!("receive what this host sends to {}", place.0),
                Occasion::OneOfSeveral,
            ) {
                Ok(socket) => _ = self.own.insert(place, OwnMembership { membership, socket }),
                Err(e @ Error::Closed(_)) => return Err(e),
                Err(e) => memberships.journal.push(Level::Warning, e.to_string()),
            }
        }
        self.leave_out(self.own.values().map(|own| own.membership.clone()))
    }

    /// Join again on interfaces that were created again with the same index.
    pub(in crate::net) fn restore(&self) {
        for own in self.own.values() {
            // An error means that the membership is still there, or that its interface is gone.
            let _ = own.socket.follow_default(&own.membership);
        }
    }

    /// Make the packet sockets leave these memberships to the bound socket.
    fn leave_out(&self, own: impl Iterator<Item = Membership>) -> Result<()> {
        let own: Vec<Membership> = own.collect();
        self.packets.iter().try_for_each(|packets| packets.leave_out(OwnSources::new(own.iter().cloned())))
    }

    /// Stop delivering what this host sends to groups that are about to be left, on one interface or on all. The system
    /// reports to routers that a group is left only if this membership is not the last one to go.
    pub(in crate::net) fn forget(&mut self, groups: &HashSet<IpAddr>, interface: Option<u32>) {
        self.own.retain(|(group, index), own| {
            let is_left = groups.contains(group) && interface.is_none_or(|interface| interface == *index);
            if is_left {
                own.socket.forget(&own.membership);
            }
            !is_left
        });
    }

    /// As [`Self::forget`] for all groups.
    pub(in crate::net) fn forget_all(&mut self) {
        self.own.drain().for_each(|(_, own)| own.socket.forget(&own.membership));
    }
}

/// A membership with the sources that another one has too.
fn in_both(one: &Membership, other: &Membership) -> Membership {
    let sources = match (&one.sources, &other.sources) {
        (Sources::Only(one), Sources::Only(other)) => one.iter().filter(|ip| other.contains(ip)).copied().collect(),
        _ => Vec::new(),
    };
    Membership { sources: Sources::Only(sources), ..one.clone() }
}

/// The membership for the datagrams that this host sends to a group; `None` if packet sockets see them, or none is
/// wanted.
fn own_membership(membership: &Membership, links: &Links) -> Option<Membership> {
    let on = links.get(&membership.interface).filter(|on| !on.loopback)?;
    let others = links.values().filter(|other| other.index != on.index);
    let is_sender = |address: &&IpAddr| {
        address.is_ipv4() == membership.group.is_ipv4() && !address.is_loopback() && membership.sources.admit(**address)
    };
    // The addresses of the interface come first: most senders use them.
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in [on].into_iter().chain(others).flat_map(|link| &link.addresses).filter(is_sender) {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    addresses.truncate(if membership.group.is_ipv4() { MAX_SOURCES_V4 } else { MAX_SOURCES_V6 });
    (!addresses.is_empty()).then(|| Membership { sources: Sources::Only(addresses), ..membership.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::links::Interface;

    fn links() -> Links {
        let link = |index, name: &str, loopback, addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            (index, Interface { index, name: name.into(), loopback, addresses, ..Interface::default() })
        };
        Links::from([
            link(1, "lo", true, &["127.0.0.1", "::1"]),
            link(2, "eth0", false, &["10.0.0.1", "fe80::1"]),
            link(3, "eth1", false, &["10.0.1.1", "10.0.0.1"]),
        ])
    }

    fn own(interface: u32, group: &str, sources: Sources) -> Option<Vec<IpAddr>> {
        let membership = Membership { group: group.parse().unwrap(), interface, sources };
        own_membership(&membership, &links()).map(|own| match own.sources {
            Sources::Only(list) => list,
            other => panic!("{other:?}"),
        })
    }

    fn ips(texts: &[&str]) -> Option<Vec<IpAddr>> {
        Some(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn own_membership_has_the_addresses_of_this_host_its_interface_first() {
        assert_eq!(own(3, "239.1.2.3", Sources::Any), ips(&["10.0.1.1", "10.0.0.1"]));
        assert_eq!(own(2, "239.1.2.3", Sources::Any), ips(&["10.0.0.1", "10.0.1.1"]));
        assert_eq!(own(3, "ff15::1", Sources::Any), ips(&["fe80::1"]));
    }

    #[test]
    fn own_membership_on_the_loopback_or_an_unknown_interface_is_none() {
        assert_eq!(own(1, "239.1.2.3", Sources::Any), None);
        assert_eq!(own(0, "239.1.2.3", Sources::Any), None);
        assert_eq!(own(9, "239.1.2.3", Sources::Any), None);
    }

    #[test]
    fn own_membership_respects_the_sources() {
        let list = |texts: &[&str]| ips(texts).unwrap();
        assert_eq!(own(2, "232.1.2.3", Sources::Only(list(&["10.9.9.9"]))), None);
        assert_eq!(own(2, "232.1.2.3", Sources::Only(list(&["10.9.9.9", "10.0.1.1"]))), ips(&["10.0.1.1"]));
        assert_eq!(own(2, "239.1.2.3", Sources::Except(list(&["10.0.0.1"]))), ips(&["10.0.1.1"]));
    }
}
