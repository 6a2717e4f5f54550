//! The senders that a receiver has heard lately, for each group and interface.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The most senders to remember for a group: as many as Linux lets a socket name as sources (`igmp_max_msf`).
const CAPACITY: usize = 10;

/// Remembers the last senders of each group on each interface.
#[derive(Debug, Default)]
pub struct RecentSenders {
    /// The last (group, interface, sender): a feed repeats itself.
    last: Option<(IpAddr, u32, IpAddr)>,
    senders: HashMap<(IpAddr, u32), VecDeque<IpAddr>>,
}

impl RecentSenders {
    /// Remember a sender. Past the capacity, the one that appeared first is forgotten.
    #[inline]
    pub fn add(&mut self, group: IpAddr, interface: u32, sender: IpAddr) {
        if self.last != Some((group, interface, sender)) {
            self.add_new(group, interface, sender);
        }
    }

    fn add_new(&mut self, group: IpAddr, interface: u32, sender: IpAddr) {
        self.last = Some((group, interface, sender));
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
        self.last = None;
        self.senders.remove(&(group, interface));
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
    }
}
