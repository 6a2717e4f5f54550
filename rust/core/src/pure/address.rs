//! Group and interface addresses: what is multicast, what is source-specific, what a user typed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, Result};

/// The largest UDP payload over IPv4: 65,535 less 20 octets of IP and 8 of UDP header (RFC 768, RFC 791).
pub const MAX_PAYLOAD_V4: usize = 65_507;
/// The largest UDP payload over IPv6 without jumbograms: 65,535 less 8 octets of UDP header (RFC 8200).
pub const MAX_PAYLOAD_V6: usize = 65_527;

/// What stands for every interface.
const ALL: &str = "all";

/// An interface as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InterfaceName {
    /// The system chooses, by its routes.
    Default,
    /// By index, from 1.
    Index(u32),
    /// By one of its addresses.
    Address(IpAddr),
    /// By name.
    Name(String),
}

impl InterfaceName {
    /// Reads what a user typed: digits are an index, an IP address is an address, the rest is a name.
    pub fn parse(text: &str) -> Result<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            if address.is_multicast() {
                return Err(Error::Invalid(format!("{address} is a group, not an address of an interface")));
            }
            return Ok(if address.is_unspecified() { Self::Default } else { Self::Address(address) });
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|index| i32::try_from(*index).is_ok())
                .ok_or_else(|| Error::Invalid(format!("interface index {text} is out of range")))
                .and_then(Self::from_index);
        }
        if text == ALL {
            return Err(Error::Invalid(format!("{ALL:?} means every interface, so it stands alone")));
        }
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '\0' || c == '/') {
            return Err(Error::Invalid(format!("{text:?} cannot be the name of an interface")));
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// An index as the kernel counts them.
    pub fn from_index(index: u32) -> Result<Self> {
        if index == 0 {
            return Err(Error::Invalid(
                "interface index 0 names no interface; give none to let the system choose".into(),
            ));
        }
        Ok(Self::Index(index))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the system's choice of interface"),
            Self::Index(index) => write!(f, "interface {index}"),
            Self::Address(address) => write!(f, "the interface with address {address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Where a group is joined, as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interfaces {
    /// On this one, which has to be there.
    One(InterfaceName),
    /// On those of these that are usable, now or later.
    Several(Vec<InterfaceName>),
    /// On every one that is usable, now or later.
    All,
}

impl Interfaces {
    /// Reads what a user typed: `all`, or one interface.
    pub fn parse(text: &str) -> Result<Self> {
        if text == ALL { Ok(Self::All) } else { InterfaceName::parse(text).map(Self::One) }
    }

    /// Whether it is left to the system.
    pub fn is_default(&self) -> bool {
        *self == Self::One(InterfaceName::Default)
    }
}

impl From<InterfaceName> for Interfaces {
    fn from(name: InterfaceName) -> Self {
        Self::One(name)
    }
}

/// Refuses what is not a multicast address (RFC 5771: 224.0.0.0/4; RFC 4291 section 2.7: ff00::/8).
pub fn check_group(group: IpAddr) -> Result<()> {
    if group.is_multicast() {
        return Ok(());
    }
    let range = match group {
        IpAddr::V4(_) => "224.0.0.0 to 239.255.255.255",
        IpAddr::V6(_) => "ff00::/8",
    };
    Err(Error::Invalid(format!("{group} is not a multicast address ({range})")))
}

/// Reads a group, refusing anything that is not one.
pub fn parse_group(text: &str) -> Result<IpAddr> {
    let group = text.parse().map_err(|_| Error::Invalid(format!("{text:?} is not an IPv4 or IPv6 address")))?;
    check_group(group).map(|()| group)
}

/// Reads the address of a source of a group: any unicast address of the group's family.
pub fn parse_source(text: &str, group: IpAddr) -> Result<IpAddr> {
    let source: IpAddr =
        text.parse().map_err(|_| Error::Invalid(format!("{text:?} is not an IPv4 or IPv6 address")))?;
    // An IPv4 address that is written as one of IPv6 (RFC 4291 section 2.5.5.2) sends nothing over IPv6.
    if source.to_canonical().is_ipv4() != group.is_ipv4() {
        return Err(Error::Invalid(format!("source {source} and group {group} are of different IP versions")));
    }
    if source.is_multicast() || source.is_unspecified() || source == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Error::Invalid(format!("{source} cannot be the source of a datagram")));
    }
    Ok(source)
}

/// Whether a group is source-specific by its range (RFC 4607: 232.0.0.0/8, ff3x::/32).
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => group.segments()[0] & 0xfff0 == 0xff30 && group.segments()[1] == 0,
    }
}

/// Whether an IPv6 group means nothing without an interface: interface-local and link-local scope
/// (RFC 4291 section 2.7).
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
    fn an_interface_is_read_as_index_address_or_name() {
        let read = |text| InterfaceName::parse(text).unwrap();
        assert_eq!(read("2"), InterfaceName::Index(2));
        assert_eq!(read("eth0"), InterfaceName::Name("eth0".into()));
        assert_eq!(read("enp3s0.100"), InterfaceName::Name("enp3s0.100".into()));
        assert_eq!(read("10.0.0.1"), InterfaceName::Address([10, 0, 0, 1].into()));
        assert_eq!(read("0.0.0.0"), InterfaceName::Default);
        assert_eq!(read("fd00::1"), InterfaceName::Address("fd00::1".parse().unwrap()));
    }

    #[test]
    fn what_cannot_be_an_interface_is_refused() {
        for text in ["", "0", "all", "99999999999", "a b", "224.0.0.1", "ff02::1", "e\0h"] {
            assert!(matches!(InterfaceName::parse(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn all_is_every_interface() {
        assert_eq!(Interfaces::parse("all").unwrap(), Interfaces::All);
        assert_eq!(Interfaces::parse("eth0").unwrap(), Interfaces::One(InterfaceName::Name("eth0".into())));
        assert!(Interfaces::parse("0.0.0.0").unwrap().is_default());
        assert!(Interfaces::parse("a b").is_err());
    }

    #[test]
    fn only_multicast_addresses_are_groups() {
        for text in ["224.0.0.0", "239.255.255.255", "ff02::1", "ff3e::8000:1"] {
            assert_eq!(parse_group(text).unwrap(), text.parse::<IpAddr>().unwrap());
        }
        for text in ["223.255.255.255", "240.0.0.0", "fe80::1", "::", "239.1.2", "group", ""] {
            assert!(matches!(parse_group(text), Err(Error::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn a_source_is_unicast_and_of_the_groups_family() {
        let group = "232.1.1.1".parse().unwrap();
        assert!(parse_source("10.0.0.1", group).is_ok());
        for text in ["fd00::1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "x"] {
            assert!(matches!(parse_source(text, group), Err(Error::Invalid(_))), "{text:?}");
        }
        let group = "ff35::1".parse().unwrap();
        assert!(parse_source("fd00::1", group).is_ok());
        for text in ["10.0.0.1", "::ffff:10.0.0.1", "::", "ff02::1"] {
            assert!(matches!(parse_source(text, group), Err(Error::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn source_specific_ranges_are_those_of_rfc_4607() {
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
