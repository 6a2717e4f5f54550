//! Group, source and interface addresses: their ranges, and how to parse them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::invalid::Invalid;

/// The largest UDP payload over IPv4: 65,535 bytes less 20 of IP header and 8 of UDP header (RFC 768, RFC 791).
pub const MAX_PAYLOAD_V4: usize = 65_507;
/// The largest UDP payload over IPv6 without jumbograms: 65,535 bytes less 8 of UDP header (RFC 8200).
pub const MAX_PAYLOAD_V6: usize = 65_527;

/// The word for every interface.
const ALL: &str = "all";

/// An interface as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InterfaceName {
    /// The system chooses by its routing table.
    Default,
    /// By index, from 1.
    Index(u32),
    /// By one of its addresses.
    Address(IpAddr),
    /// By name.
    Name(String),
}

impl InterfaceName {
    /// Parse an interface: digits are an index, an IP address is an address, anything else is a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Ok(address) = text.parse::<IpAddr>() {
            if address.is_multicast() {
                return Err(Invalid(format!("interface must be the address of an interface, got the group {address}")));
            }
            return Ok(if address.is_unspecified() { Self::Default } else { Self::Address(address) });
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|index| i32::try_from(*index).is_ok())
                .ok_or_else(|| Invalid(format!("interface must be an index from 1 to {}, got {text}", i32::MAX)))
                .and_then(Self::from_index);
        }
        if text == ALL {
            return Err(Invalid(format!("interface must name a single interface here, got {ALL:?}")));
        }
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '\0' || c == '/') {
            return Err(Invalid(format!("interface must be the name, index or address of an interface, got {text:?}")));
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// Make an interface from its index.
    pub fn from_index(index: u32) -> Result<Self, Invalid> {
        if index == 0 {
            return Err(Invalid(format!("interface must be an index from 1 to {}, got 0", i32::MAX)));
        }
        Ok(Self::Index(index))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default interface"),
            Self::Index(index) => write!(f, "interface {index}"),
            Self::Address(address) => write!(f, "the interface with address {address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Where to join a group, as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interfaces {
    /// On this one, which must exist.
    One(InterfaceName),
    /// On each of these that is usable, now or later.
    Several(Vec<InterfaceName>),
    /// On every interface that is usable, now or later.
    All,
}

impl Interfaces {
    /// Parse `all` or one interface.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text == ALL { Ok(Self::All) } else { InterfaceName::parse(text).map(Self::One) }
    }

    /// Whether the system chooses.
    pub fn is_default(&self) -> bool {
        *self == Self::One(InterfaceName::Default)
    }
}

impl From<InterfaceName> for Interfaces {
    fn from(name: InterfaceName) -> Self {
        Self::One(name)
    }
}

/// Refuse an address that is not multicast (RFC 5771: 224.0.0.0/4; RFC 4291 section 2.7: ff00::/8).
pub fn check_group(group: IpAddr) -> Result<(), Invalid> {
    if group.is_multicast() {
        return Ok(());
    }
    let range = match group {
        IpAddr::V4(_) => "224.0.0.0 to 239.255.255.255",
        IpAddr::V6(_) => "ff00::/8",
    };
    Err(Invalid(format!("group must be a multicast address ({range}), got {group}")))
}

/// Parse a group, and refuse an address that is not multicast.
pub fn parse_group(text: &str) -> Result<IpAddr, Invalid> {
    let group = text.parse().map_err(|_| Invalid(format!("group must be an IPv4 or IPv6 address, got {text:?}")))?;
    check_group(group).map(|()| group)
}

/// Parse the address of a source of `group`: a unicast address of the same IP version.
pub fn parse_source(text: &str, group: IpAddr) -> Result<IpAddr, Invalid> {
    let source: IpAddr =
        text.parse().map_err(|_| Invalid(format!("source must be an IPv4 or IPv6 address, got {text:?}")))?;
    // An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is an IPv4 source.
    if source.to_canonical().is_ipv4() != group.is_ipv4() {
        return Err(other_ip_version(source, group));
    }
    if source.is_multicast() || source.is_unspecified() || source == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Invalid(format!("source must be a unicast address, got {source}")));
    }
    Ok(source)
}

/// The error for a source whose IP version is not the group's.
pub fn other_ip_version(source: IpAddr, group: IpAddr) -> Invalid {
    Invalid(format!("source must be of the same IP version as group {group}, got {source}"))
}

/// Whether a group is source-specific by its range (RFC 4607: 232.0.0.0/8, ff3x::/32).
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => group.segments()[0] & 0xfff0 == 0xff30 && group.segments()[1] == 0,
    }
}

/// Whether an IPv6 group is ambiguous without an interface: interface-local and link-local scope (RFC 4291
/// section 2.7).
pub fn needs_zone(group: &Ipv6Addr) -> bool {
    matches!(group.octets()[1] & 0x0f, 1 | 2)
}

/// The largest payload that one datagram to this address can carry.
pub fn max_payload(destination: IpAddr) -> usize {
    if destination.is_ipv4() { MAX_PAYLOAD_V4 } else { MAX_PAYLOAD_V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_name_parses_index_address_and_name() {
        let read = |text| InterfaceName::parse(text).unwrap();
        assert_eq!(read("2"), InterfaceName::Index(2));
        assert_eq!(read("eth0"), InterfaceName::Name("eth0".into()));
        assert_eq!(read("enp3s0.100"), InterfaceName::Name("enp3s0.100".into()));
        assert_eq!(read("10.0.0.1"), InterfaceName::Address([10, 0, 0, 1].into()));
        assert_eq!(read("0.0.0.0"), InterfaceName::Default);
        assert_eq!(read("fd00::1"), InterfaceName::Address("fd00::1".parse().unwrap()));
    }

    #[test]
    fn interface_name_refuses_other_text() {
        for text in ["", "0", "all", "99999999999", "a b", "224.0.0.1", "ff02::1", "e\0h"] {
            assert!(matches!(InterfaceName::parse(text), Err(Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn interfaces_parses_all() {
        assert_eq!(Interfaces::parse("all").unwrap(), Interfaces::All);
        assert_eq!(Interfaces::parse("eth0").unwrap(), Interfaces::One(InterfaceName::Name("eth0".into())));
        assert!(Interfaces::parse("0.0.0.0").unwrap().is_default());
        assert!(Interfaces::parse("a b").is_err());
    }

    #[test]
    fn parse_group_accepts_multicast_addresses_only() {
        for text in ["224.0.0.0", "239.255.255.255", "ff02::1", "ff3e::8000:1"] {
            assert_eq!(parse_group(text).unwrap(), text.parse::<IpAddr>().unwrap());
        }
        for text in ["223.255.255.255", "240.0.0.0", "fe80::1", "::", "239.1.2", "group", ""] {
            assert!(matches!(parse_group(text), Err(Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn parse_source_requires_a_unicast_address_of_the_groups_version() {
        let group = "232.1.1.1".parse().unwrap();
        assert!(parse_source("10.0.0.1", group).is_ok());
        for text in ["fd00::1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "x"] {
            assert!(matches!(parse_source(text, group), Err(Invalid(_))), "{text:?}");
        }
        let group = "ff35::1".parse().unwrap();
        assert!(parse_source("fd00::1", group).is_ok());
        for text in ["10.0.0.1", "::ffff:10.0.0.1", "::", "ff02::1"] {
            assert!(matches!(parse_source(text, group), Err(Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn is_source_specific_matches_rfc_4607() {
        for (text, expected) in [
            ("232.0.0.1", true),
            ("233.0.0.1", false),
            ("ff32::1", true),
            ("ff3e::8000:1", true),
            ("ff3e:30:fd00::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_source_specific(text.parse().unwrap()), expected, "{text}");
        }
    }
}
