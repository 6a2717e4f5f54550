//! The datagrams that a bound UDP socket receives instead of the packet sockets: those that this host itself sends.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::pure::filter::{Membership, Sources};

/// The memberships of the bound socket, each for some addresses of this host.
///
/// A network can bring back what this host sends, for example through another interface on the same switch. The kernel
/// decides for the bound socket whether that is delivered, so a packet socket leaves it out.
#[derive(Debug, Default)]
pub(super) struct OwnSources {
    by_place: HashMap<(IpAddr, u32), Vec<IpAddr>>,
    /// The sources of all places. Most senders are not among them.
    all: Vec<IpAddr>,
}

impl OwnSources {
    pub(super) fn new(memberships: impl Iterator<Item = Membership>) -> Self {
        let mut own = Self::default();
        for Membership { group, interface, sources } in memberships {
            let Sources::Only(sources) = sources else { continue };
            own.all.extend(&sources);
            own.by_place.insert((group, interface), sources);
        }
        own.all.sort_unstable();
        own.all.dedup();
        own
    }

    /// Whether the bound socket receives what this source sends to the group on the interface.
    #[inline]
    pub(super) fn have(&self, group: IpAddr, interface: u32, source: IpAddr) -> bool {
        let is_there = |sources: &Vec<IpAddr>| sources.contains(&source);
        is_there(&self.all) && self.by_place.get(&(group, interface)).is_some_and(is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn own_sources_are_those_of_their_group_and_interface() {
        let membership = |interface, sources: &[&str]| Membership {
            group: ip("239.1.2.3"),
            interface,
            sources: Sources::Only(sources.iter().map(|text| ip(text)).collect()),
        };
        let own = OwnSources::new([membership(2, &["10.0.0.1", "10.0.1.1"]), membership(3, &["10.0.1.1"])].into_iter());
        assert!(own.have(ip("239.1.2.3"), 2, ip("10.0.0.1")));
        assert!(own.have(ip("239.1.2.3"), 3, ip("10.0.1.1")));
        assert!(!own.have(ip("239.1.2.3"), 3, ip("10.0.0.1")));
        assert!(!own.have(ip("239.1.2.4"), 2, ip("10.0.0.1")));
        assert!(!own.have(ip("239.1.2.3"), 2, ip("10.0.0.2")));
    }
}
