//! Interfaces: what the system reports about each, and how to read the lists that Linux provides.
//!
//! Linux answers a netlink dump (rtnetlink(7)). If a sandbox forbids netlink, there are files under `/proc/net`. This
//! module only reads and writes bytes; the sockets and files are in `sys`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::bytes_at;
use super::netlink::{Attributes, Message, Messages, NLM_F_REQUEST, NLMSG_ERROR, request};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_DONE: u16 = 3;
/// The kernel returns the whole table.
const NLM_F_DUMP: u16 = 0x300;
/// The table changed while the kernel copied it.
const NLM_F_DUMP_INTR: u16 = 0x10;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
/// The kernel leaves the counters out, which are most of a link's message.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;

/// Flags of an interface (netdevice(7)).
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_RUNNING: u32 = 1 << 6;
const IFF_MULTICAST: u32 = 1 << 12;

/// One interface of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index, from 1.
    pub index: u32,
    /// Its alternative names (ip-link(8), `altname`).
    pub alternative_names: Vec<String>,
    /// Its addresses, of both IP versions.
    pub addresses: Vec<IpAddr>,
    /// Addresses that have a label, such as `eth0:1`, which is not the interface's name (ip-address(8), `label`).
    pub labels: Vec<(String, IpAddr)>,
    /// The largest packet that it transmits, in bytes; `None` if it has no limit or the system does not say.
    pub mtu: Option<u32>,
    /// It is up.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// The system allows multicast on it.
    pub multicast: bool,
    /// It is the loopback interface.
    pub loopback: bool,
}

impl Interface {
    /// Make an interface without addresses from its flags (netdevice(7)).
    pub fn new(index: u32, name: String, flags: u32) -> Self {
        let has = |flag| flags & flag != 0;
        Self {
            name,
            index,
            up: has(IFF_UP),
            running: has(IFF_RUNNING),
            multicast: has(IFF_MULTICAST),
            loopback: has(IFF_LOOPBACK),
            ..Self::default()
        }
    }

    /// Add an address, and its label unless that is only the interface's name.
    pub fn add_address(&mut self, address: IpAddr, label: Option<String>) {
        self.addresses.push(address);
        if let Some(label) = label.filter(|label| *label != self.name) {
            self.labels.push((label, address));
        }
    }
}

/// The interfaces at one moment, by index.
pub type Links = BTreeMap<u32, Interface>;

/// Find the interface that has this name, this alternative name, or an address with this label. A name takes precedence
/// over an alternative name, and that over a label.
pub fn find_named<'a>(links: &'a Links, text: &str) -> Option<&'a Interface> {
    let by = |is_it: &dyn Fn(&Interface) -> bool| links.values().find(|interface| is_it(interface));
    by(&|interface| interface.name == text)
        .or_else(|| by(&|interface| interface.alternative_names.iter().any(|name| name == text)))
        .or_else(|| by(&|interface| interface.labels.iter().any(|(label, _)| label == text)))
}

/// Build the request for all links.
pub fn links_request(sequence: u32) -> Vec<u8> {
    let mut body = vec![0; LINK_BODY];
    body.extend(8u16.to_ne_bytes());
    body.extend(IFLA_EXT_MASK.to_ne_bytes());
    body.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence, &body)
}

/// Build the request for all addresses.
pub fn addresses_request(sequence: u32) -> Vec<u8> {
    request(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence, &[0; ADDRESS_BODY])
}

/// The progress of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More datagrams follow.
    Unfinished,
    /// The table is complete.
    Complete,
    /// The table is complete but changed while the kernel copied it: ask again.
    Inconsistent,
    /// The kernel refused, with this error code.
    Failed(i32),
}

/// Reads the datagrams that answer one dump request.
#[derive(Debug)]
pub struct Dump {
    sequence: u32,
    inconsistent: bool,
}

impl Dump {
    /// Start to read the answer to the request numbered `sequence`.
    pub fn new(sequence: u32) -> Self {
        Self { sequence, inconsistent: false }
    }

    /// Add what one datagram says to `links`. Addresses of an unknown interface are ignored: it appeared after the
    /// links were read.
    pub fn read(&mut self, datagram: &[u8], links: &mut Links) -> Progress {
        for message in Messages(datagram).filter(|message| message.sequence == self.sequence) {
            self.inconsistent |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                RTM_NEWLINK => drop(read_link(&message, links)),
                RTM_NEWADDR => drop(read_address(&message, links)),
                NLMSG_DONE | NLMSG_ERROR => return self.ended(&message),
                _ => {}
            }
        }
        Progress::Unfinished
    }

    /// The last message holds a negative error code, or 0.
    fn ended(&self, message: &Message<'_>) -> Progress {
        match bytes_at(message.body, 0).map_or(0, i32::from_ne_bytes) {
            code if code < 0 => Progress::Failed(code.saturating_neg()),
            _ if self.inconsistent => Progress::Inconsistent,
            _ => Progress::Complete,
        }
    }
}

fn read_link(message: &Message<'_>, links: &mut Links) -> Option<()> {
    let index = u32::from_ne_bytes(bytes_at(message.body, 4)?);
    let flags = u32::from_ne_bytes(bytes_at(message.body, 8)?);
    let attributes = Attributes(message.body.get(LINK_BODY..)?);
    let mut interface = Interface::new(index, String::new(), flags);
    for (kind, value) in attributes {
        match kind {
            IFLA_IFNAME => interface.name = text(value),
            IFLA_MTU => interface.mtu = bytes_at(value, 0).map(u32::from_ne_bytes),
            IFLA_PROP_LIST => {
                let names = Attributes(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                interface.alternative_names.extend(names.map(|(_, name)| text(name)));
            }
            _ => {}
        }
    }
    links.insert(index, interface);
    Some(())
}

fn read_address(message: &Message<'_>, links: &mut Links) -> Option<()> {
    let index = u32::from_ne_bytes(bytes_at(message.body, 4)?);
    let interface = links.get_mut(&index)?;
    let (mut local, mut peer, mut label) = (None, None, None);
    for (kind, value) in Attributes(message.body.get(ADDRESS_BODY..)?) {
        match kind {
            IFA_LOCAL => local = ip_address(value),
            IFA_ADDRESS => peer = ip_address(value),
            IFA_LABEL => label = Some(text(value)),
            _ => {}
        }
    }
    // On a point-to-point link, IFA_ADDRESS is the other end. IPv6 sets IFA_LOCAL only then.
    interface.add_address(local.or(peer)?, label);
    Some(())
}

fn ip_address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => bytes_at::<4>(value, 0).map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => bytes_at::<16>(value, 0).map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// A string that ends at its first zero byte, or at the end.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Return the names in `/proc/net/dev` (proc(5)).
pub fn device_names(file: &str) -> impl Iterator<Item = &str> {
    // The two lines of the heading have no colon.
    file.lines().filter_map(|line| Some(line.rsplit_once(':')?.0.trim()))
}

/// Return the index, the name and the address in each line of `/proc/net/if_inet6` (proc(5)).
pub fn inet6_addresses(file: &str) -> impl Iterator<Item = (u32, &str, Ipv6Addr)> {
    file.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        Some((index, fields.nth(3)?, Ipv6Addr::from(address)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: u32 = 5;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; LINK_BODY];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body.extend(attributes.concat());
        request(RTM_NEWLINK, 0, SEQUENCE, &body)
    }

    fn address(index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; ADDRESS_BODY];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body.extend(attributes.concat());
        request(RTM_NEWADDR, 0, SEQUENCE, &body)
    }

    fn done(flags: u16, code: i32) -> Vec<u8> {
        request(NLMSG_DONE, flags, SEQUENCE, &code.to_ne_bytes())
    }

    fn example() -> Links {
        let alternatives =
            [attribute(IFLA_ALT_IFNAME, b"lan0\0"), attribute(IFLA_ALT_IFNAME, b"the-uplink-of-this-host\0")].concat();
        let links = [
            link(1, IFF_UP | IFF_RUNNING | IFF_LOOPBACK, &[attribute(IFLA_IFNAME, b"lo\0")]),
            link(
                7,
                IFF_UP | IFF_MULTICAST,
                &[
                    attribute(IFLA_IFNAME, b"eth0\0"),
                    attribute(IFLA_MTU, &1500u32.to_ne_bytes()),
                    // The kernel marks an attribute that holds others (NLA_F_NESTED).
                    attribute(IFLA_PROP_LIST | 0x8000, &alternatives),
                ],
            ),
            done(0, 0),
        ];
        let addresses = [
            address(
                7,
                &[
                    attribute(IFA_ADDRESS, &[10, 0, 0, 1]),
                    attribute(IFA_LOCAL, &[10, 0, 0, 9]),
                    attribute(IFA_LABEL, b"eth0:1\0"),
                ],
            ),
            address(7, &[attribute(IFA_ADDRESS, &[192, 0, 2, 2]), attribute(IFA_LABEL, b"eth0\0")]),
            address(1, &[attribute(IFA_ADDRESS, &Ipv6Addr::LOCALHOST.octets())]),
            address(9, &[attribute(IFA_ADDRESS, &[10, 0, 0, 7])]),
            done(0, 0),
        ];
        let mut found = Links::new();
        assert_eq!(Dump::new(SEQUENCE).read(&links.concat(), &mut found), Progress::Complete);
        assert_eq!(Dump::new(SEQUENCE).read(&addresses.concat(), &mut found), Progress::Complete);
        found
    }

    #[test]
    fn dump_of_links_and_addresses_is_read_whole() {
        let links = example();
        assert_eq!(links.keys().copied().collect::<Vec<_>>(), [1, 7]);
        let (lo, eth0) = (&links[&1], &links[&7]);
        assert!(lo.up && lo.running && lo.loopback && !lo.multicast && lo.mtu.is_none());
        assert_eq!(lo.addresses, [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert!(eth0.up && !eth0.running && !eth0.loopback && eth0.multicast);
        assert_eq!((eth0.name.as_str(), eth0.mtu), ("eth0", Some(1500)));
        assert_eq!(eth0.alternative_names, ["lan0", "the-uplink-of-this-host"]);
        // The own end of a point-to-point link, and a label that differs from the name.
        assert_eq!(eth0.addresses, [IpAddr::from([10, 0, 0, 9]), [192, 0, 2, 2].into()]);
        assert_eq!(eth0.labels, [("eth0:1".to_owned(), IpAddr::from([10, 0, 0, 9]))]);
    }

    #[test]
    fn interface_is_found_by_every_name_it_has() {
        let mut links = example();
        let index = |links: &Links, text| find_named(links, text).map(|interface| interface.index);
        for text in ["eth0", "lan0", "the-uplink-of-this-host", "eth0:1"] {
            assert_eq!(index(&links, text), Some(7), "{text}");
        }
        assert_eq!(index(&links, "eth0:2"), None);
        links.insert(3, Interface::new(3, "eth0:1".into(), 0));
        links.insert(8, Interface::new(8, "lan0".into(), 0));
        assert_eq!((index(&links, "eth0:1"), index(&links, "lan0")), (Some(3), Some(8)));
    }

    #[test]
    fn dump_that_changed_meanwhile_or_failed_says_so() {
        let mut links = Links::new();
        let mut dump = Dump::new(SEQUENCE);
        assert_eq!(dump.read(&request(RTM_NEWLINK, NLM_F_DUMP_INTR, SEQUENCE, &[0; 16]), &mut links), {
            Progress::Unfinished
        });
        assert_eq!(dump.read(&done(0, 0), &mut links), Progress::Inconsistent);
        assert_eq!(Dump::new(SEQUENCE).read(&done(0, -13), &mut links), Progress::Failed(13));
        let refused = request(NLMSG_ERROR, 0, SEQUENCE, &(-1i32).to_ne_bytes());
        assert_eq!(Dump::new(SEQUENCE).read(&refused, &mut links), Progress::Failed(1));
        // The answer to an earlier request that was given up.
        assert_eq!(Dump::new(SEQUENCE + 1).read(&refused, &mut links), Progress::Unfinished);
    }

    #[test]
    fn dump_of_truncated_or_arbitrary_bytes_is_ignored() {
        let whole = link(7, IFF_UP, &[attribute(IFLA_IFNAME, b"eth0\0")]);
        for end in 0..whole.len() {
            let mut links = Links::new();
            assert_eq!(Dump::new(SEQUENCE).read(&whole[..end], &mut links), Progress::Unfinished);
            assert!(links.is_empty(), "{end}");
        }
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..20_000usize {
            let mut bytes = whole.clone();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let length = bytes.len();
            bytes[(seed >> 33) as usize % length] = (seed >> 56) as u8;
            bytes.truncate(length - round % 7);
            Dump::new(SEQUENCE).read(&bytes, &mut Links::new());
        }
    }

    #[test]
    fn files_of_proc_net_are_read() {
        let dev = "Inter-|   Receive          |  Transmit\n face |bytes packets|bytes packets\n    lo: 1 2 3\neth0.7: 0 0 0\n";
        assert_eq!(device_names(dev).collect::<Vec<_>>(), ["lo", "eth0.7"]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     20010db8000000000000000000000002 1f 40 00 80    veth0\n\
                     nonsense\n";
        let found: Vec<_> = inet6_addresses(inet6).collect();
        assert_eq!(found, [(1, "lo", Ipv6Addr::LOCALHOST), (31, "veth0", "2001:db8::2".parse().unwrap())]);
    }
}
