//! Linux routing messages (netlink(7), rtnetlink(7)): changes of interfaces, and the interface that a route selects.
//!
//! This module only reads and writes bytes; the socket is in `sys`.

use std::fmt;
use std::net::IpAddr;

use super::bytes::bytes_at;

const HEADER: usize = 16;
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_CACHEINFO: u16 = 12;
/// Where `struct rta_cacheinfo` has its error.
const CACHEINFO_ERROR: usize = 12;
/// The errors by which the kernel reports a route that refuses (errno(3) of Linux).
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const EHOSTUNREACH: i32 = 113;
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 1 << 6;
const RT_SCOPE_LINK: u8 = 253;
/// The route types that deliver a datagram: unicast, local, broadcast, multicast.
const DELIVERING: [u8; 4] = [1, 2, 3, 5];
const LINK_BODY: usize = 16;
const ROUTE_BODY: usize = 12;
const IFLA_MTU: u16 = 4;
/// The least MTU of a link that carries IPv6 (RFC 8200, section 5).
const MIN_IPV6_MTU: u32 = 1280;

/// A change that can affect memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetlinkEvent {
    /// The state of an interface.
    Link {
        /// Its index.
        index: u32,
        /// It is up and has a carrier.
        ready: bool,
        /// Its MTU is large enough for IPv6 (RFC 8200, section 5). If not, Linux drops its IPv6 memberships.
        has_room_for_ipv6: bool,
    },
    /// An interface was deleted. The system may use its index again.
    Removed {
        /// Its index.
        index: u32,
    },
    /// IPv6 was switched off on an interface, at least for a moment. The kernel keeps its memberships, unless
    /// `has_room_for_ipv6` was false.
    Ipv6Removed {
        /// Its index.
        index: u32,
    },
    /// A default route, or a route for multicast, was added or removed.
    Route,
    /// An address was added or removed, or anything may have changed.
    Other,
}

/// Call `visit` with each event in one datagram, in order.
pub fn for_each_event(datagram: &[u8], mut visit: impl FnMut(NetlinkEvent)) {
    for message in Messages(datagram) {
        if let Some(event) = event(message.kind, message.body) {
            visit(event);
        }
    }
}

fn event(kind: u16, body: &[u8]) -> Option<NetlinkEvent> {
    let family = *body.first()?;
    let index = || bytes_at(body, 4).map(u32::from_ne_bytes);
    Some(match kind {
        // A bridge reports its ports under its own address family: those messages say nothing about the interface.
        RTM_NEWLINK if family == AF_UNSPEC => {
            let flags = u32::from_ne_bytes(bytes_at(body, 8)?);
            let mtu = attribute(body.get(LINK_BODY..)?, IFLA_MTU).and_then(|mtu| bytes_at(mtu, 0));
            NetlinkEvent::Link {
                index: index()?,
                ready: flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING,
                has_room_for_ipv6: mtu.is_none_or(|mtu| u32::from_ne_bytes(mtu) >= MIN_IPV6_MTU),
            }
        }
        RTM_DELLINK if family == AF_UNSPEC => NetlinkEvent::Removed { index: index()? },
        // The kernel removes the link-local address when it switches IPv6 off on the interface.
        RTM_DELADDR if family == AF_INET6 && *body.get(3)? == RT_SCOPE_LINK => {
            NetlinkEvent::Ipv6Removed { index: index()? }
        }
        RTM_NEWADDR | RTM_DELADDR => NetlinkEvent::Other,
        RTM_NEWROUTE | RTM_DELROUTE if concerns_multicast(body) => NetlinkEvent::Route,
        _ => return None,
    })
}

/// Whether this is a default route or a route for multicast addresses.
fn concerns_multicast(route: &[u8]) -> bool {
    let (Some(&family), Some(&bits)) = (route.first(), route.get(1)) else { return false };
    if bits == 0 {
        return true;
    }
    let first = attribute(route.get(ROUTE_BODY..).unwrap_or_default(), RTA_DST).and_then(<[u8]>::first);
    match family {
        AF_INET => first.is_some_and(|byte| byte & 0xf0 == 0xe0),
        AF_INET6 => first == Some(&0xff),
        _ => false,
    }
}

/// Build the request for the route to `destination`.
pub fn route_request(destination: IpAddr, sequence: u32) -> Vec<u8> {
    let (family, address) = match destination {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    };
    let mut body = vec![0; ROUTE_BODY];
    // All sizes here are below 64.
    (body[0], body[1]) = (family, (address.len() * 8) as u8);
    body.extend((4 + address.len() as u16).to_ne_bytes());
    body.extend(RTA_DST.to_ne_bytes());
    body.extend(address);
    request(RTM_GETROUTE, NLM_F_REQUEST, sequence, &body)
}

/// Build a message. `body` is shorter than 4 GiB.
pub(super) fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Find the reply to the request numbered `sequence` in a datagram.
///
/// The outer `Option` is `None` if the datagram has no such reply; the inner one is `None` if no route leads there.
pub fn route_answer(datagram: &[u8], sequence: u32) -> Option<Option<u32>> {
    let message = Messages(datagram).find(|message| message.sequence == sequence)?;
    match message.kind {
        RTM_NEWROUTE => {
            let delivers = message.body.get(7).is_some_and(|kind| DELIVERING.contains(kind));
            let interface = attribute(message.body.get(ROUTE_BODY..)?, RTA_OIF).and_then(|index| bytes_at(index, 0));
            Some(interface.map(u32::from_ne_bytes).filter(|_| delivers))
        }
        NLMSG_ERROR => Some(None),
        _ => None,
    }
}

/// Why the routes refuse a destination: the type of the route that leads there (ip-route(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An `unreachable` route.
    Unreachable,
    /// A `prohibit` route.
    Prohibit,
    /// A `blackhole` route.
    Blackhole,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
            Self::Blackhole => "blackhole",
        })
    }
}

/// Find the reply to the request numbered `sequence` in a datagram, and why it refuses the destination.
///
/// The outer `Option` is `None` if the datagram has no such reply; the inner one is `None` if no route refuses.
pub fn route_refusal(datagram: &[u8], sequence: u32) -> Option<Option<Refusal>> {
    let message = Messages(datagram).find(|message| message.sequence == sequence)?;
    let code = match message.kind {
        // IPv4 says so by an error.
        NLMSG_ERROR => bytes_at(message.body, 0).map(i32::from_ne_bytes),
        // IPv6 answers with the route. One that does not exist has the type of an unreachable one, and another error.
        RTM_NEWROUTE => attribute(message.body.get(ROUTE_BODY..)?, RTA_CACHEINFO)
            .and_then(|info| bytes_at(info, CACHEINFO_ERROR))
            .map(i32::from_ne_bytes),
        _ => return None,
    };
    Some(match code.map(i32::saturating_neg) {
        Some(EHOSTUNREACH) => Some(Refusal::Unreachable),
        Some(EACCES) => Some(Refusal::Prohibit),
        Some(EINVAL) => Some(Refusal::Blackhole),
        _ => None,
    })
}

pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// Iterator over the messages of a datagram. It ends at the first message that does not fit.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32::from_ne_bytes(bytes_at(self.0, 0)?) as usize;
        let message = Message {
            kind: u16::from_ne_bytes(bytes_at(self.0, 4)?),
            flags: u16::from_ne_bytes(bytes_at(self.0, 6)?),
            sequence: u32::from_ne_bytes(bytes_at(self.0, 8)?),
            body: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Iterator over the kinds and values of attributes. It ends at the first attribute that does not fit.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

/// The bits of an attribute's kind that are not flags (`NLA_TYPE_MASK`).
const KIND_MASK: u16 = 0x3fff;

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16::from_ne_bytes(bytes_at(self.0, 0)?));
        let kind = u16::from_ne_bytes(bytes_at(self.0, 2)?) & KIND_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The value of the first attribute of this kind.
fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    Attributes(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        request(kind, 0, sequence, body)
    }

    fn link(family: u8, index: u32, flags: u32) -> [u8; LINK_BODY] {
        let mut body = [0; LINK_BODY];
        body[0] = family;
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body
    }

    fn route(family: u8, bits: u8, kind: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![family, bits, 0, 0, 0, 0, 0, kind, 0, 0, 0, 0];
        for (name, value) in attributes {
            body.extend(((4 + value.len()) as u16).to_ne_bytes());
            body.extend(name.to_ne_bytes());
            body.extend(*value);
        }
        body
    }

    fn events(datagram: &[u8]) -> Vec<NetlinkEvent> {
        let mut found = Vec::new();
        for_each_event(datagram, |event| found.push(event));
        found
    }

    #[test]
    fn events_of_links_keep_their_order() {
        let mut datagram = message(RTM_NEWLINK, 0, &link(AF_UNSPEC, 7, IFF_UP | IFF_RUNNING));
        datagram.extend(message(RTM_NEWLINK, 0, &link(AF_UNSPEC, 7, IFF_UP)));
        datagram.extend(message(RTM_DELLINK, 0, &link(AF_UNSPEC, 7, 0)));
        // A port leaves its bridge.
        datagram.extend(message(RTM_DELLINK, 0, &link(7, 7, 0)));
        assert_eq!(
            events(&datagram),
            [
                NetlinkEvent::Link { index: 7, ready: true, has_room_for_ipv6: true },
                NetlinkEvent::Link { index: 7, ready: false, has_room_for_ipv6: true },
                NetlinkEvent::Removed { index: 7 }
            ]
        );
    }

    #[test]
    fn events_of_links_show_whether_ipv6_fits() {
        for (mtu, expected) in [(1279u32, false), (1280, true), (u32::MAX, true)] {
            let mut body = link(AF_UNSPEC, 7, IFF_UP | IFF_RUNNING).to_vec();
            body.extend(8u16.to_ne_bytes());
            body.extend(IFLA_MTU.to_ne_bytes());
            body.extend(mtu.to_ne_bytes());
            let expected = NetlinkEvent::Link { index: 7, ready: true, has_room_for_ipv6: expected };
            assert_eq!(events(&message(RTM_NEWLINK, 0, &body)), [expected], "{mtu}");
        }
    }

    #[test]
    fn events_of_addresses_and_multicast_routes_are_reported() {
        assert_eq!(events(&message(RTM_NEWADDR, 0, &[AF_INET, 24, 0, 0, 3, 0, 0, 0])), [NetlinkEvent::Other]);
        let link_local = [AF_INET6, 64, 0, RT_SCOPE_LINK, 3, 0, 0, 0];
        assert_eq!(events(&message(RTM_DELADDR, 0, &link_local)), [NetlinkEvent::Ipv6Removed { index: 3 }]);
        for (family, bits, first, expected) in [
            (AF_INET, 0, 0, 1),
            (AF_INET, 4, 224, 1),
            (AF_INET, 8, 10, 0),
            (AF_INET6, 8, 255, 1),
            (AF_INET6, 64, 32, 0),
        ] {
            let body = route(family, bits, 1, &[(RTA_DST, &[first, 0, 0, 0])]);
            let found = events(&message(RTM_NEWROUTE, 0, &body));
            assert_eq!(found, vec![NetlinkEvent::Route; expected], "{family} {bits} {first}");
        }
    }

    #[test]
    fn route_answer_with_a_route_returns_its_interface() {
        let asked = route_request("239.1.2.3".parse().unwrap(), 5);
        assert_eq!(asked.len(), HEADER + ROUTE_BODY + 8);
        assert_eq!(asked[HEADER..HEADER + 2], [AF_INET, 32]);
        assert!(asked.ends_with(&[239, 1, 2, 3]));
        let index = 4u32.to_ne_bytes();
        let attributes: &[(u16, &[u8])] = &[(RTA_DST, &[239, 1, 2, 3]), (RTA_OIF, &index)];
        let answer = message(RTM_NEWROUTE, 5, &route(AF_INET, 32, 5, attributes));
        assert_eq!(route_answer(&answer, 5), Some(Some(4)));
        assert_eq!(route_answer(&answer, 6), None);
        // Unreachable: by a route of that type, or by an error.
        assert_eq!(route_answer(&message(RTM_NEWROUTE, 5, &route(AF_INET6, 128, 7, attributes)), 5), Some(None));
        assert_eq!(route_answer(&message(NLMSG_ERROR, 5, &[0; 20]), 5), Some(None));
    }

    #[test]
    fn route_refusal_names_the_type_of_the_route() {
        for (code, expected) in [
            (-113, Some(Refusal::Unreachable)),
            (-13, Some(Refusal::Prohibit)),
            (-22, Some(Refusal::Blackhole)),
            // ENETUNREACH: there is no route.
            (-101, None),
            (0, None),
        ] {
            let code: i32 = code;
            let by_error = message(NLMSG_ERROR, 5, &code.to_ne_bytes());
            assert_eq!(route_refusal(&by_error, 5), Some(expected), "{code}");
            let mut info = [0; 32];
            info[12..16].copy_from_slice(&code.to_ne_bytes());
            let by_route = message(RTM_NEWROUTE, 5, &route(AF_INET6, 128, 7, &[(RTA_CACHEINFO, &info)]));
            assert_eq!(route_refusal(&by_route, 5), Some(expected), "{code}");
        }
        assert_eq!(route_refusal(&message(RTM_NEWROUTE, 5, &route(AF_INET, 32, 5, &[])), 5), Some(None));
        assert_eq!(route_refusal(&message(RTM_NEWROUTE, 5, &route(AF_INET, 32, 5, &[])), 6), None);
        assert_eq!(Refusal::Prohibit.to_string(), "prohibit");
    }

    #[test]
    fn events_of_truncated_or_arbitrary_bytes_are_none() {
        let whole = message(RTM_NEWLINK, 1, &link(AF_UNSPEC, 7, IFF_UP));
        for end in 0..whole.len() {
            assert_eq!(events(&whole[..end]), [], "{end}");
            assert_eq!(route_answer(&whole[..end], 1), None);
        }
        for filling in [0u8, 1, 0xff] {
            assert_eq!(events(&[filling; 64]), []);
            assert_eq!(route_answer(&[filling; 64], 1), None);
        }
        assert_eq!(attribute(&[0, 0, 1, 0, 9], 1), None);
    }
}
