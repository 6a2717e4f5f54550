//! UDP datagrams in IP packets: headers, checksums and fragments (RFC 791, 768, 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::envelope::Envelope;
use super::options::{are_options_right, behind_options};
use crate::pure::bytes::bytes_at;

pub(super) const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
/// Extension headers of options: for every hop, which can only come first, and for the destination. The system discards
/// packets to a group that have a routing header.
const HOP_OPTIONS: u8 = 0;
const OPTIONS: u8 = 60;
const UDP_HEADER: usize = 8;

/// A complete UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp<'a> {
    /// The sender, with the zone 0.
    pub sender: SocketAddr,
    /// The destination.
    pub group: IpAddr,
    /// The destination port.
    pub port: u16,
    /// The remaining hops.
    pub hops: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// The datagram that a fragment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// The sender.
    pub source: IpAddr,
    /// The destination.
    pub group: IpAddr,
    /// The number that the sender gave the datagram.
    pub id: u32,
}

/// A part of the UDP header and payload of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The datagram that it belongs to.
    pub key: FragmentKey,
    /// The position of `data` in the datagram.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
    /// The header that the datagram starts with: that of UDP, or options.
    pub kind: u8,
    /// The remaining hops.
    pub hops: u8,
    /// The part.
    pub data: &'a [u8],
}

/// The content of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A complete UDP datagram.
    Whole(Udp<'a>),
    /// A part of one.
    Part(Fragment<'a>),
    /// Another protocol.
    Other,
    /// A wrong header or checksum: the system would discard it.
    Invalid,
}

/// Read a packet of either IP version. `vouched` means that its UDP checksum needs no check.
#[inline]
pub fn parse(packet: &[u8], vouched: bool) -> Packet<'_> {
    let parsed = match packet.first().map(|first| first >> 4) {
        Some(4) => parse_v4(packet, vouched),
        Some(6) => parse_v6(packet, vouched),
        _ => None,
    };
    parsed.unwrap_or(Packet::Invalid)
}

/// Whether the system delivers packets with these addresses (RFC 1122, section 3.2.1.3; RFC 4291, sections 2.5 and
/// 2.7).
#[inline]
pub fn can_have(source: IpAddr, group: IpAddr, is_loopback: bool) -> bool {
    match (source, group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => match source.octets() {
            [0, 0, 0, 0] => matches!(group.octets(), [224, 0, 0, _]),
            [127, ..] => is_loopback,
            [first, ..] => first < 224 || !(source.is_multicast() || source.is_broadcast()),
        },
        (IpAddr::V6(source), IpAddr::V6(group)) => {
            let scope = group.octets()[1] & 0xf;
            !source.is_multicast() && scope != 0 && (is_loopback || !source.is_loopback() && scope != 1)
        }
        _ => false,
    }
}

/// Read the class of traffic of a packet of either IP version (RFC 2474).
pub fn dscp(packet: &[u8]) -> Option<u8> {
    let &[first, second, ..] = packet else { return None };
    match first >> 4 {
        4 => Some(second >> 2),
        6 => Some((first & 0x0f) << 2 | second >> 6),
        _ => None,
    }
}

#[inline]
fn parse_v4(packet: &[u8], vouched: bool) -> Option<Packet<'_>> {
    let fixed: &[u8; 20] = packet.first_chunk()?;
    let header = packet.get(..usize::from(fixed[0] & 0xf) * 4).filter(|header| header.len() >= 20)?;
    // The bytes after the packet are padding of the link.
    let body = packet.get(header.len()..u16::from_be_bytes([fixed[2], fixed[3]]).into())?;
    let is_right = match &header[20..] {
        [] => is_header_intact(fixed),
        options => checksum(header, 0) == 0 && are_options_right(options),
    };
    if !is_right {
        return None;
    }
    let source = Ipv4Addr::from([fixed[12], fixed[13], fixed[14], fixed[15]]).into();
    let group = Ipv4Addr::from([fixed[16], fixed[17], fixed[18], fixed[19]]).into();
    let envelope = Envelope { source, group, hops: fixed[8] };
    if fixed[9] != UDP {
        return Some(Packet::Other);
    }
    let place = u16::from_be_bytes([fixed[6], fixed[7]]);
    let (offset, more) = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
    if offset == 0 && !more {
        return udp(body, &envelope, vouched).map(Packet::Whole);
    }
    let id = u16::from_be_bytes([fixed[4], fixed[5]]).into();
    Some(Packet::Part(Fragment {
        key: FragmentKey { source, group, id },
        offset,
        more,
        kind: UDP,
        hops: envelope.hops,
        data: body,
    }))
}

fn parse_v6(packet: &[u8], vouched: bool) -> Option<Packet<'_>> {
    let fixed: &[u8; 40] = packet.first_chunk()?;
    let end = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let source = Ipv6Addr::from(bytes_at::<16>(fixed, 8)?).into();
    let group = Ipv6Addr::from(bytes_at::<16>(fixed, 24)?).into();
    let envelope = Envelope { source, group, hops: fixed[7] };
    let (kind, body) = match (fixed[6], packet.get(40..end)?) {
        (HOP_OPTIONS, body) => behind_options(body)?,
        first => first,
    };
    content(kind, body, &envelope, vouched, true)
}

/// Read what follows the IP header and the options for every hop; `None` if it is invalid.
fn content<'a>(
    mut kind: u8,
    mut body: &'a [u8],
    envelope: &Envelope,
    vouched: bool,
    mut can_be_part: bool,
) -> Option<Packet<'a>> {
    loop {
        match kind {
            UDP => return udp(body, envelope, vouched).map(Packet::Whole),
            OPTIONS => (kind, body) = behind_options(body)?,
            // A second fragment header.
            FRAGMENT if !can_be_part => return None,
            FRAGMENT => {
                can_be_part = false;
                let head: &[u8; 8] = body.first_chunk()?;
                let place = u16::from_be_bytes([head[2], head[3]]);
                let (offset, more) = (usize::from(place & !7), place & 1 != 0);
                (kind, body) = (head[0], &body[8..]);
                if offset == 0 && !more {
                    continue;
                }
                if ![UDP, OPTIONS].contains(&kind) {
                    return Some(Packet::Other);
                }
                let Envelope { source, group, hops } = *envelope;
                let key = FragmentKey { source, group, id: u32::from_be_bytes([head[4], head[5], head[6], head[7]]) };
                return Some(Packet::Part(Fragment { key, offset, more, kind, hops, data: body }));
            }
            _ => return Some(Packet::Other),
        }
    }
}

/// Read what was put together from fragments that start with a header of this kind.
pub(super) fn parse_assembled<'a>(kind: u8, body: &'a [u8], envelope: &Envelope) -> Packet<'a> {
    content(kind, body, envelope, false, false).unwrap_or(Packet::Invalid)
}

/// Read a UDP header and its payload. Returns `None` if a length or the checksum is wrong.
#[inline]
fn udp<'a>(body: &'a [u8], envelope: &Envelope, vouched: bool) -> Option<Udp<'a>> {
    let header: &[u8; UDP_HEADER] = body.first_chunk()?;
    let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let length = match (short(4), envelope.group) {
        // The length does not fit the field (RFC 2675): the datagram fills the packet.
        (0, IpAddr::V6(_)) => body.len(),
        (length, _) => length.into(),
    };
    let datagram = body.get(..length)?;
    let payload = datagram.get(UDP_HEADER..)?;
    let is_right = match (short(6), envelope.group) {
        // IPv4 allows none.
        (0, group) => group.is_ipv4(),
        _ => vouched || is_intact(datagram, envelope),
    };
    if !is_right {
        return None;
    }
    let Envelope { source, group, hops } = *envelope;
    Some(Udp { sender: SocketAddr::new(source, short(0)), group, port: short(2), hops, payload })
}

/// Whether the checksum of a datagram is right.
fn is_intact(datagram: &[u8], envelope: &Envelope) -> bool {
    let addresses = match (envelope.source, envelope.group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => sum(&source.octets()) + sum(&group.octets()),
        (IpAddr::V6(source), IpAddr::V6(group)) => sum(&source.octets()) + sum(&group.octets()),
        _ => return false,
    };
    checksum(datagram, addresses + u64::from(UDP) + datagram.len() as u64) == 0
}

/// Whether the checksum of a header without options is right.
#[inline]
fn is_header_intact(header: &[u8; 20]) -> bool {
    // All ones is the same in either byte order, and so is what words of 32 bits add up to.
    let word = |at: usize| u64::from(u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let total = word(0) + word(4) + word(8) + word(12) + word(16);
    let total = (total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16);
    // The sum is not 0: the version is not.
    (total & 0xffff) + (total >> 16) == 0xffff
}

/// The Internet checksum (RFC 1071) of these bytes after those that gave `before`; 0 if it includes a right checksum.
fn checksum(bytes: &[u8], before: u64) -> u16 {
    let mut total = before + sum(bytes);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// The sum of the 16-bit words. It cannot overflow: a packet has at most 65,535 bytes.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    // 2^16 is 1 in this arithmetic, so words of 32 bits have the same sum, and zeros at the end change nothing.
    let words = bytes.chunks_exact(4);
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    let word = |word: &[u8]| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    words.map(word).sum::<u64>() + word(&last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::{Noise, packet_v4, packet_v6};

    #[test]
    fn packet_of_either_version_gives_the_datagram() {
        for (packet, sender, group) in
            [(packet_v4(b"payload"), "10.0.0.1:7", "239.1.2.3"), (packet_v6(b"payload"), "[fd00::1]:7", "ff15::114")]
        {
            let Packet::Whole(udp) = parse(&packet, false) else { panic!("{packet:?}") };
            assert_eq!((udp.sender, udp.group), (sender.parse().unwrap(), group.parse().unwrap()));
            assert_eq!((udp.port, udp.hops, udp.payload), (5000, 9, &b"payload"[..]));
        }
    }

    #[test]
    fn packet_with_padding_or_odd_length_is_read_whole() {
        for payload in [&b""[..], b"1", b"12", b"123", b"1234567"] {
            for mut packet in [packet_v4(payload), packet_v6(payload)] {
                packet.extend([0xee; 5]);
                let Packet::Whole(udp) = parse(&packet, false) else { panic!("{packet:?}") };
                assert_eq!(udp.payload, payload);
            }
        }
    }

    #[test]
    fn packet_with_a_flipped_bit_is_invalid_or_something_else() {
        for packet in [packet_v4(b"payload"), packet_v6(b"payload")] {
            let whole = parse(&packet, false);
            for bit in 0..packet.len() * 8 {
                let mut flipped = packet.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // The checksum of IPv6 does not protect the traffic class, the flow label and the hops.
                if flipped[0] >> 4 == 6 && (bit / 8 < 4 || bit / 8 == 7) {
                    continue;
                }
                assert_ne!(parse(&flipped, false), whole, "bit {bit}");
                assert!(!matches!(parse(&flipped, false), Packet::Whole(_)), "bit {bit}");
            }
        }
    }

    #[test]
    fn packet_that_is_vouched_for_needs_no_checksum() {
        for (mut packet, at) in [(packet_v4(b"payload"), 26), (packet_v6(b"payload"), 46)] {
            packet[at] ^= 0xff;
            assert_eq!(parse(&packet, false), Packet::Invalid);
            assert!(matches!(parse(&packet, true), Packet::Whole(_)));
        }
    }

    #[test]
    fn packet_without_checksum_is_read_only_with_ipv4() {
        let mut packet = packet_v4(b"payload");
        packet[26..28].fill(0);
        assert!(matches!(parse(&packet, false), Packet::Whole(_)));
        let mut packet = packet_v6(b"payload");
        packet[46..48].fill(0);
        assert_eq!([parse(&packet, false), parse(&packet, true)], [Packet::Invalid; 2]);
    }

    #[test]
    fn packet_v6_with_extension_headers_is_read() {
        let plain = packet_v6(b"payload");
        let mut packet = plain[..40].to_vec();
        packet[5] += 24;
        packet[6] = 0;
        packet.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([UDP, 1, 5, 2, 0, 0, 1, 4, 0, 0, 0, 0, 0x1e, 2, 0, 0]);
        packet.extend(&plain[40..]);
        assert!(matches!(parse(&packet, false), Packet::Whole(udp) if udp.payload == b"payload"));
        // Options for every hop come first, and a group has no route.
        for (at, kind) in [(40, 0), (6, 43)] {
            let mut wrong = packet.clone();
            wrong[at] = kind;
            assert_eq!(parse(&wrong, false), Packet::Other);
        }
    }

    #[test]
    fn packet_v6_whose_udp_header_has_no_length_is_as_long_as_it_says() {
        let mut packet = packet_v6(b"payload");
        packet[44..46].fill(0);
        // The checksum covers the length twice: here, and as a part of the pseudo header, which stays.
        let sum = u16::from_be_bytes([packet[46], packet[47]]);
        let total = u32::from(sum) + 15;
        packet[46..48].copy_from_slice(&((total + (total >> 16)) as u16).to_be_bytes());
        packet.extend([0xee; 5]);
        assert!(matches!(parse(&packet, false), Packet::Whole(udp) if udp.payload == b"payload"));
        let mut packet = packet_v4(b"payload");
        packet[24..26].fill(0);
        assert_eq!(parse(&packet, true), Packet::Invalid);
    }

    #[test]
    fn addresses_that_the_system_discards_are_recognized() {
        let check = |source: &str, group: &str, is_loopback| {
            can_have(source.parse().unwrap(), group.parse().unwrap(), is_loopback)
        };
        for (source, group, on_wire, on_loopback) in [
            ("10.0.0.1", "239.1.2.3", true, true),
            ("250.0.0.1", "239.1.2.3", true, true),
            ("0.0.0.1", "239.1.2.3", true, true),
            ("0.0.0.0", "239.1.2.3", false, false),
            ("0.0.0.0", "224.0.0.1", true, true),
            ("127.0.0.1", "239.1.2.3", false, true),
            ("239.1.2.3", "239.1.2.3", false, false),
            ("255.255.255.255", "239.1.2.3", false, false),
            ("fd00::1", "ff15::114", true, true),
            ("::1", "ff15::114", false, true),
            ("fd00::1", "ff11::114", false, true),
            ("fd00::1", "ff10::114", false, false),
            ("ff15::1", "ff15::114", false, false),
            ("::ffff:10.0.0.1", "ff15::114", true, true),
        ] {
            let found = (check(source, group, false), check(source, group, true));
            assert_eq!(found, (on_wire, on_loopback), "{source} {group}");
        }
    }

    #[test]
    fn packet_of_another_protocol_is_neither_read_nor_invalid() {
        let mut packet = packet_v6(b"payload");
        packet[6] = 58;
        assert_eq!(parse(&packet, false), Packet::Other);
    }

    #[test]
    fn packet_of_arbitrary_bytes_does_not_panic() {
        let mut noise = Noise::default();
        for _ in 0..20_000 {
            let mut packet = if noise.below(2) == 0 { packet_v4(b"payload") } else { packet_v6(b"payload") };
            for _ in 0..noise.below(6) {
                let at = noise.below(packet.len());
                packet[at] = noise.below(256) as u8;
            }
            packet.truncate(packet.len() - noise.below(packet.len()));
            if let Packet::Whole(udp) = parse(&packet, true) {
                assert!(udp.payload.len() <= packet.len());
            }
        }
        assert_eq!(parse(&[], false), Packet::Invalid);
    }
}
