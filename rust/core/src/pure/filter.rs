//! The strict filter: it admits the datagrams of joined groups only.
//!
//! Linux filters IPv4 in the kernel once `IP_MULTICAST_ALL` is off. Other systems, and sockets bound to the wildcard
//! address, also receive groups that other programs joined and unicast datagrams. This filter decides by (group,
//! interface, source), so that every platform delivers the same.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// The senders of a group to receive from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sources {
    /// All senders.
    Any,
    /// Only these (source-specific multicast, RFC 4607).
    Only(Vec<IpAddr>),
    /// All senders except these.
    Except(Vec<IpAddr>),
}

impl Sources {
    /// Whether to deliver a datagram from this sender.
    pub fn admit(&self, sender: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(included) => included.contains(&sender),
            Self::Except(excluded) => !excluded.contains(&sender),
        }
    }
}

/// One group joined on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: IpAddr,
    /// Index of the interface; 0 if the system chose.
    pub interface: u32,
    /// The senders to receive from.
    pub sources: Sources,
}

/// A set of memberships, looked up by group.
#[derive(Debug, Default)]
pub struct Filter {
    groups: HashMap<IpAddr, Vec<Membership>>,
    /// The last (group, interface) that was admitted for all senders: a feed repeats itself.
    admitted: Option<(IpAddr, u32)>,
    /// Admit what was sent to one host too.
    unicast: bool,
}

impl Filter {
    /// Admit the datagrams of this membership.
    pub fn add(&mut self, membership: Membership) {
        self.admitted = None;
        self.groups.entry(membership.group).or_default().push(membership);
    }

    /// Put this membership in the place of the one of the same group on the same interface.
    pub fn replace(&mut self, membership: Membership) {
        self.remove(membership.group, membership.interface);
        self.add(membership);
    }

    /// Admit the datagrams that were sent to an address of this host, not to a group.
    pub fn add_unicast(&mut self) {
        self.unicast = true;
    }

    /// Remove the membership of this group on this interface.
    pub fn remove(&mut self, group: IpAddr, interface: u32) {
        self.admitted = None;
        if let Some(memberships) = self.groups.get_mut(&group) {
            memberships.retain(|membership| membership.interface != interface);
            if memberships.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// Whether the filter has a membership of this group on this interface.
    pub fn contains(&self, group: IpAddr, interface: u32) -> bool {
        self.groups.get(&group).is_some_and(|joined| joined.iter().any(|m| m.interface == interface))
    }

    /// The memberships of this group.
    pub fn of_group(&self, group: IpAddr) -> &[Membership] {
        self.groups.get(&group).map_or(&[], Vec::as_slice)
    }

    /// Whether to deliver a datagram to `destination` that arrived on `interface` (0 if unknown).
    #[inline]
    pub fn admit(&mut self, destination: IpAddr, interface: u32, sender: IpAddr) -> bool {
        if self.admitted == Some((destination, interface)) {
            return true;
        }
        self.look_up(destination, interface, sender)
    }

    fn look_up(&mut self, destination: IpAddr, interface: u32, sender: IpAddr) -> bool {
        let Some(memberships) = self.groups.get(&destination) else {
            return self.unicast && !destination.is_multicast() && destination != IpAddr::V4(Ipv4Addr::BROADCAST);
        };
        let matches = |m: &&Membership| m.interface == 0 || interface == 0 || m.interface == interface;
        let mut here = memberships.iter().filter(matches);
        let admitted = here.clone().any(|m| m.sources.admit(sender));
        if here.any(|m| m.sources == Sources::Any) {
            self.admitted = Some((destination, interface));
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn member(group: &str, interface: u32, sources: Sources) -> Membership {
        Membership { group: ip(group), interface, sources }
    }

    fn of<const N: usize>(memberships: [Membership; N]) -> Filter {
        let mut filter = Filter::default();
        memberships.into_iter().for_each(|membership| filter.add(membership));
        filter
    }

    #[test]
    fn filter_after_remove_rejects_the_group() {
        let mut filter = of([member("239.1.1.1", 2, Sources::Any), member("239.1.1.1", 3, Sources::Any)]);
        assert!(filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.1")));
        assert!(filter.contains(ip("239.1.1.1"), 2) && !filter.contains(ip("239.1.1.1"), 4));
        filter.remove(ip("239.1.1.1"), 2);
        assert!(!filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.1")));
        assert!(filter.admit(ip("239.1.1.1"), 3, ip("10.0.0.1")));
        filter.remove(ip("239.1.1.1"), 3);
        assert!(!filter.admit(ip("239.1.1.1"), 3, ip("10.0.0.1")));
    }

    #[test]
    fn filter_requires_group_and_interface_to_match() {
        let mut filter = of([member("239.1.1.1", 2, Sources::Any)]);
        for _ in 0..2 {
            assert!(filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.1")));
            assert!(!filter.admit(ip("239.1.1.1"), 3, ip("10.0.0.1")));
            assert!(!filter.admit(ip("239.1.1.2"), 2, ip("10.0.0.1")));
            assert!(!filter.admit(ip("10.0.0.9"), 2, ip("10.0.0.1")));
        }
    }

    #[test]
    fn filter_with_an_unknown_interface_admits_any() {
        let mut filter = of([member("239.1.1.1", 0, Sources::Any)]);
        assert!(filter.admit(ip("239.1.1.1"), 7, ip("10.0.0.1")));
        let mut filter = of([member("239.1.1.1", 7, Sources::Any)]);
        assert!(filter.admit(ip("239.1.1.1"), 0, ip("10.0.0.1")));
    }

    #[test]
    fn filter_with_sources_checks_every_datagram() {
        let only = Sources::Only(vec![ip("10.0.0.1")]);
        let except = Sources::Except(vec![ip("10.0.0.1")]);
        let mut filter = of([member("232.1.1.1", 2, only), member("239.1.1.1", 2, except)]);
        for _ in 0..2 {
            assert!(filter.admit(ip("232.1.1.1"), 2, ip("10.0.0.1")));
            assert!(!filter.admit(ip("232.1.1.1"), 2, ip("10.0.0.2")));
            assert!(!filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.1")));
            assert!(filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.2")));
        }
    }

    #[test]
    fn filter_keeps_one_group_on_two_interfaces_apart() {
        let mut filter = of([member("ff15::1", 2, Sources::Any), member("ff15::1", 3, Sources::Only(vec![]))]);
        assert!(filter.admit(ip("ff15::1"), 2, ip("fd00::1")));
        assert!(!filter.admit(ip("ff15::1"), 3, ip("fd00::1")));
    }
}
