//! Parsing `/proc/net/igmp`, `igmp6`, `mcfilter` and `mcfilter6`: the groups that a Linux kernel has joined on each
//! interface, and their sources.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::filter::{Membership, Sources};

/// The groups that the kernel has joined.
#[derive(Debug, Default)]
pub struct KernelGroups {
    joined: HashSet<(u32, IpAddr)>,
    /// The sources to receive from: (interface, group, source).
    sources: HashSet<(u32, IpAddr, IpAddr)>,
    /// Whether an interface speaks IGMPv3, by its index.
    igmp_v3: HashMap<u32, bool>,
}

/// The contents of the files, empty where there are none.
#[derive(Debug, Default)]
pub struct Files {
    /// The IPv4 groups.
    pub igmp: String,
    /// The IPv6 groups.
    pub igmp6: String,
    /// The sources of IPv4 groups.
    pub mcfilter: String,
    /// The sources of IPv6 groups.
    pub mcfilter6: String,
}

impl KernelGroups {
    /// Parse the files. A line that cannot be parsed is skipped.
    pub fn parse(files: &Files) -> Self {
        let mut found = Self::default();
        let mut interface = None;
        for line in files.igmp.lines() {
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
        found.joined.extend(files.igmp6.lines().filter_map(joined));
        found.sources.extend(files.mcfilter.lines().chain(files.mcfilter6.lines()).filter_map(source));
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

    /// Whether the kernel has this group, and all sources that it is joined for.
    pub fn has(&self, membership: &Membership) -> bool {
        let Membership { group, interface, sources } = membership;
        let listed = match sources {
            Sources::Only(listed) => listed.as_slice(),
            Sources::Any | Sources::Except(_) => &[],
        };
        self.has_joined(*group, *interface)
            && listed.iter().all(|source| self.sources.contains(&(*interface, *group, *source)))
    }

    /// Whether this interface speaks IGMPv3 now, and not an older version for the sake of an older querier. `None` if
    /// that is unknown.
    pub fn speaks_igmp_v3(&self, interface: u32) -> Option<bool> {
        self.igmp_v3.get(&interface).copied()
    }
}

/// Parse a line of `igmp6`: (interface, group).
fn joined(line: &str) -> Option<(u32, IpAddr)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, address(words.nth(1)?)?))
}

/// Parse a line of `mcfilter` or `mcfilter6`: (interface, group, source), if some socket receives from this source.
fn source(line: &str) -> Option<(u32, IpAddr, IpAddr)> {
    let mut words = line.split_whitespace();
    let (interface, group, source) = (words.next()?.parse().ok()?, address(words.nth(1)?)?, address(words.next()?)?);
    // How many sockets receive from it. The next number is how many exclude it.
    (words.next()? != "0").then_some((interface, group, source))
}

/// An address as `igmp6`, `mcfilter` and `mcfilter6` print it.
fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(|number| Ipv4Addr::from(number).into()),
        None => u128::from_str_radix(text, 16).ok().map(|number| Ipv6Addr::from(number).into()),
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
        let found = KernelGroups::parse(&Files { igmp, igmp6: igmp6.to_owned(), ..Files::default() });
        assert!(found.is_known() && !KernelGroups::default().is_known());
        assert!(found.has_joined([239, 1, 2, 3].into(), 1));
        assert!(!found.has_joined([239, 1, 2, 3].into(), 4));
        assert!(found.has_joined("ff15::9:9".parse().unwrap(), 4));
        assert_eq!([1, 4, 0].map(|index| found.speaks_igmp_v3(index)), [Some(true), Some(false), None]);
    }

    #[test]
    fn sources_of_both_versions_are_parsed() {
        let number = u32::from_ne_bytes([232, 9, 9, 9]);
        let found = KernelGroups::parse(&Files {
            igmp: format!("4\tmc0       :     1      V3\n\t\t\t\t{number:08X}     1 0:00000000\t\t0\n"),
            igmp6: "4    mc0             ff350000000000000000000000090009     1 00000004 0\n".into(),
            mcfilter: "Idx Device        MCA        SRC    INC    EXC\n  \
                       4    mc0 0xe8090909 0xc0000202      1      0\n  \
                       4    mc0 0xe8090909 0xc0000203      0      1\n"
                .into(),
            mcfilter6: "Idx Device                Multicast Address                   Source Address    INC    EXC\n  \
                        4    mc0 ff350000000000000000000000090009 20010db8000000000000000000000002      1      0\n"
                .into(),
        });
        let has = |group: &str, sources: &[&str]| {
            let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
            found.has(&Membership { group: group.parse().unwrap(), interface: 4, sources: Sources::Only(sources) })
        };
        assert!(has("232.9.9.9", &["192.0.2.2"]) && has("ff35::9:9", &["2001:db8::2"]));
        assert!(!has("232.9.9.9", &["192.0.2.2", "192.0.2.3"]) && !has("ff35::9:9", &["2001:db8::3"]));
        assert!(!has("232.9.9.8", &["192.0.2.2"]));
    }
}
