//! The senders that a receiver has heard lately, for each group and interface.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The most senders to remember for a group: as many as Linux lets a socket name as sources (`igmp_max_msf`).
const CAPACITY: usize = 10;

/// The number of streams that are recognized without looking them up.
const CACHED: usize = 32;

/// A group, an interface and a sender.
type Stream = (IpAddr, u32, IpAddr);

/// Remembers the last senders of each group on each interface.
#[derive(Debug, Default)]
pub struct RecentSenders {
    /// The last stream of each slot: a few streams repeat themselves.
    cache: [Option<Stream>; CACHED],
    senders: HashMap<(IpAddr, u32), VecDeque<IpAddr>>,
}

impl RecentSenders {
    /// Remember a sender. Past the capacity, the one that appeared first is forgotten.
    #[inline]
    pub fn add(&mut self, group: IpAddr, interface: u32, sender: IpAddr) {
        let slot = &mut self.cache[usize::from(last_byte(group) ^ last_byte(sender)) % CACHED];
        if *slot != Some((group, interface, sender)) {
            *slot = Some((group, interface, sender));
            self.add_new(group, interface, sender);
        }
    }

    fn add_new(&mut self, group: IpAddr, interface: u32, sender: IpAddr) {
        // Only groups are refreshed, and this host may have millions of other addresses (127.0.0.0/8).
        if !group.is_multicast() {
            return;
        }
        let senders = self.senders.entry((group, interface)).or_default();
        if !senders.contains(&sender) {
            if senders.len() == CAPACITY {
                senders.pop_front();
            }
            senders.push_back(sender);
        }
    }

    /// The senders of a group on an interface.
    pub fn of(&self, group: IpAddr, interface: u32) -> Vec<IpAddr> {
        self.senders.get(&(group, interface)).map_or_else(Vec::new, |senders| senders.iter().copied().collect())
    }

    /// Forget a group on an interface.
    pub fn remove(&mut self, group: IpAddr, interface: u32) {
        self.cache = [None; CACHED];
        self.senders.remove(&(group, interface));
    }
}

#[inline]
fn last_byte(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_past_the_capacity_forget_the_first() {
        let group = [239, 1, 2, 3].into();
        let mut recent = RecentSenders::default();
        for last in 0..=CAPACITY as u8 {
            for _ in 0..2 {
                recent.add(group, 1, [10, 0, 0, last].into());
            }
        }
        let found = recent.of(group, 1);
        assert_eq!((found.len(), found[0]), (CAPACITY, [10, 0, 0, 1].into()));
        assert_eq!(recent.of(group, 2), [] as [IpAddr; 0]);
        recent.remove(group, 1);
        assert_eq!(recent.of(group, 1), [] as [IpAddr; 0]);
        // A stream that was recognized before is remembered again.
        recent.add(group, 1, found[9]);
        assert_eq!(recent.of(group, 1), [found[9]]);
    }

    #[test]
    fn senders_to_this_host_alone_are_not_remembered() {
        let mut recent = RecentSenders::default();
        recent.add([127, 1, 2, 3].into(), 1, [127, 0, 0, 1].into());
        assert!(recent.senders.is_empty());
    }

    #[test]
    fn senders_of_alternating_streams_are_remembered_apart() {
        let groups: [IpAddr; 2] = [[239, 1, 2, 3].into(), "ff15::3".parse().unwrap()];
        let sender = |group: usize, last: u8| [IpAddr::from([10, 0, group as u8, last])];
        let mut recent = RecentSenders::default();
        for last in [1, 1 + CACHED as u8, 1] {
            for (number, group) in groups.into_iter().enumerate() {
                recent.add(group, 1, sender(number, last)[0]);
                recent.add(group, 2, sender(number, last)[0]);
            }
        }
        for (number, group) in groups.into_iter().enumerate() {
            let both = [sender(number, 1), sender(number, 1 + CACHED as u8)].concat();
            assert_eq!((recent.of(group, 1), recent.of(group, 2)), (both.clone(), both));
        }
    }
}
