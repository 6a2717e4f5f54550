//! Which datagrams a receiver asked for: the strict filter.
//!
//! Linux filters in the kernel once `IP_MULTICAST_ALL` is off; other systems, and a socket bound to the
//! wildcard address, also see what other programs joined and what is sent to this host alone. The filter
//! decides by (group, interface, source), so that every platform delivers the same.

use std::collections::HashMap;
use std::net::IpAddr;

/// Which senders of a group are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sources {
    /// Everybody.
    Any,
    /// These alone (source-specific multicast, RFC 4607).
    Only(Vec<IpAddr>),
    /// Everybody but these.
    Except(Vec<IpAddr>),
}

impl Sources {
    /// Whether a datagram from this sender is wanted.
    pub fn admit(&self, sender: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(wanted) => wanted.contains(&sender),
            Self::Except(refused) => !refused.contains(&sender),
        }
    }
}

/// One joined group on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: IpAddr,
    /// Index of the interface; 0 where the system chose.
    pub interface: u32,
    /// Which senders are wanted.
    pub sources: Sources,
}

/// The memberships of a receiver, looked up by group.
#[derive(Debug, Default)]
pub struct Filter {
    groups: HashMap<IpAddr, Vec<Membership>>,
    /// The last (group, interface) that was admitted whoever sends: a feed repeats itself.
    admitted: Option<(IpAddr, u32)>,
}

impl Filter {
    /// Lets through what this membership brings.
    pub fn add(&mut self, membership: Membership) {
        self.admitted = None;
        self.groups.entry(membership.group).or_default().push(membership);
    }

    /// Takes back what [`Filter::add`] was given for this group on this interface.
    pub fn remove(&mut self, group: IpAddr, interface: u32) {
        self.admitted = None;
        if let Some(memberships) = self.groups.get_mut(&group) {
            memberships.retain(|membership| membership.interface != interface);
            if memberships.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// Whether the group is joined on this interface.
    pub fn contains(&self, group: IpAddr, interface: u32) -> bool {
        self.groups.get(&group).is_some_and(|joined| joined.iter().any(|m| m.interface == interface))
    }

    /// Whether a datagram to `destination`, that came in by `interface` (0: unknown), is wanted.
    #[inline]
    pub fn admit(&mut self, destination: IpAddr, interface: u32, sender: IpAddr) -> bool {
        if self.admitted == Some((destination, interface)) {
            return true;
        }
        self.look_up(destination, interface, sender)
    }

    fn look_up(&mut self, destination: IpAddr, interface: u32, sender: IpAddr) -> bool {
        let Some(memberships) = self.groups.get(&destination) else { return false };
        let on_it = |m: &&Membership| m.interface == 0 || interface == 0 || m.interface == interface;
        let mut here = memberships.iter().filter(on_it);
        let wanted = here.clone().any(|m| m.sources.admit(sender));
        if here.any(|m| m.sources == Sources::Any) {
            self.admitted = Some((destination, interface));
        }
        wanted
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
    fn what_was_removed_is_admitted_no_longer() {
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
    fn group_and_interface_must_both_match() {
        let mut filter = of([member("239.1.1.1", 2, Sources::Any)]);
        for _ in 0..2 {
            assert!(filter.admit(ip("239.1.1.1"), 2, ip("10.0.0.1")));
            assert!(!filter.admit(ip("239.1.1.1"), 3, ip("10.0.0.1")));
            assert!(!filter.admit(ip("239.1.1.2"), 2, ip("10.0.0.1")));
            assert!(!filter.admit(ip("10.0.0.9"), 2, ip("10.0.0.1")));
        }
    }

    #[test]
    fn an_interface_that_nobody_named_admits_any() {
        let mut filter = of([member("239.1.1.1", 0, Sources::Any)]);
        assert!(filter.admit(ip("239.1.1.1"), 7, ip("10.0.0.1")));
        let mut filter = of([member("239.1.1.1", 7, Sources::Any)]);
        assert!(filter.admit(ip("239.1.1.1"), 0, ip("10.0.0.1")));
    }

    #[test]
    fn sources_are_asked_for_every_datagram() {
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
    fn one_group_on_two_interfaces_is_two_memberships() {
        let mut filter = of([member("ff15::1", 2, Sources::Any), member("ff15::1", 3, Sources::Only(vec![]))]);
        assert!(filter.admit(ip("ff15::1"), 2, ip("fd00::1")));
        assert!(!filter.admit(ip("ff15::1"), 3, ip("fd00::1")));
    }
}
