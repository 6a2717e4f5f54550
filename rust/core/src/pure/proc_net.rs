//! Parsing `/proc/net/igmp` and `/proc/net/igmp6`: the groups that a Linux kernel has joined on each interface.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The groups that the kernel has joined.
#[derive(Debug, Default)]
pub struct KernelGroups {
    joined: HashSet<(u32, IpAddr)>,
    /// Whether an interface speaks IGMPv3, by its index.
    igmp_v3: HashMap<u32, bool>,
}

impl KernelGroups {
    /// Parse the two files. A line that cannot be parsed is skipped.
    pub fn parse(igmp: &str, igmp6: &str) -> Self {
        let mut found = Self::default();
        let mut interface = None;
        for line in igmp.lines() {
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            if !line.starts_with('\t') {
                interface = first.parse().ok();
                found.igmp_v3.extend(interface.map(|index| (index, line.ends_with("V3"))));
            } else if let (Some(index), Ok(group)) = (interface, u32::from_str_radix(first, 16)) {
                // The kernel prints the number that the four bytes make on this machine.
                found.joined.insert((index, Ipv4Addr::from(group.to_ne_bytes()).into()));
            }
        }
        for line in igmp6.lines() {
            let mut words = line.split_whitespace();
            let (index, group) = (words.next(), words.nth(1));
            if let (Some(Ok(index)), Some(Ok(group))) =
                (index.map(str::parse), group.map(|group| u128::from_str_radix(group, 16)))
            {
                found.joined.insert((index, Ipv6Addr::from(group).into()));
            }
        }
        found
    }

    /// Whether anything is known. Every interface that is up has joined a group.
    pub fn is_known(&self) -> bool {
        !self.joined.is_empty()
    }

    /// Whether some socket of the host has joined this group on this interface.
    pub fn has_joined(&self, group: IpAddr, interface: u32) -> bool {
        self.joined.contains(&(interface, group))
    }

    /// Whether this interface speaks IGMPv3 now, and not an older version for the sake of an older querier. `None` if
    /// that is unknown.
    pub fn speaks_igmp_v3(&self, interface: u32) -> Option<bool> {
        self.igmp_v3.get(&interface).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_parsed() {
        let number = u32::from_ne_bytes([239, 1, 2, 3]);
        let igmp = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             1\tlo        :     1      V3\n\t\t\t\t{number:08X}     1 0:00000000\t\t0\n\
             4\teth0      :     1      V2\n\t\t\t\tjunk     1 0:00000000\t\t0\n"
        );
        let igmp6 = "4    eth0            ff150000000000000000000000090009     1 00000004 0\nx y z\n";
        let found = KernelGroups::parse(&igmp, igmp6);
        assert!(found.is_known() && !KernelGroups::default().is_known());
        assert!(found.has_joined([239, 1, 2, 3].into(), 1));
        assert!(!found.has_joined([239, 1, 2, 3].into(), 4));
        assert!(found.has_joined("ff15::9:9".parse().unwrap(), 4));
        assert_eq!([1, 4, 0].map(|index| found.speaks_igmp_v3(index)), [Some(true), Some(false), None]);
    }
}
