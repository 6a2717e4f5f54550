//! IP packets with one UDP datagram: built from what is known of a datagram, with right checksums, and taken apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The protocol number of UDP.
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Forbids fragments, in the field that also has the offset.
const DONT_FRAGMENT: u16 = 0x4000;

/// Add up bytes as the checksum of RFC 1071 needs it, in the byte order of this machine.
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut total: u64 =
        words.by_ref().map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))).sum();
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    total += u64::from(u32::from_ne_bytes(last));
    total
}

/// The checksum of bytes that were added up, as they stand in a header.
fn checksum(mut total: u64) -> [u8; 2] {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    (!(total as u16)).to_ne_bytes()
}

/// Append an IP packet with this datagram. Both addresses must have the same IP version, and the payload must fit into
/// a datagram.
pub fn append_packet(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr, ttl: u8, payload: &[u8]) {
    let length = (UDP_HEADER + payload.len()) as u16;
    let start = out.len();
    let addresses = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(group)) => {
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&(IPV4_HEADER as u16 + length).to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&DONT_FRAGMENT.to_be_bytes());
            out.extend_from_slice(&[ttl, UDP, 0, 0]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&group.octets());
            let check = checksum(sum(&out[start..]));
            out[start + 10..start + 12].copy_from_slice(&check);
            start + 12
        }
        (source, group) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[UDP, ttl]);
            out.extend_from_slice(&as_v6(source).octets());
            out.extend_from_slice(&as_v6(group).octets());
            start + 8
        }
    };
    let pseudo = sum(&out[addresses..]) + sum(&[0, UDP]) + sum(&length.to_be_bytes());
    let header = out.len();
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    let check = checksum(pseudo + sum(&out[header..]) + sum(payload));
    // 0 means that there is no checksum; the sum is the same with all bits set.
    let check = if check == [0, 0] { [0xff, 0xff] } else { check };
    out[header + 6..header + 8].copy_from_slice(&check);
    out.extend_from_slice(payload);
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A part of a fragmented IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The parts of one packet have these in common: source, destination and identification.
    pub key: (IpAddr, IpAddr, u32),
    /// The position of the part in the payload of the packet, in bytes.
    pub offset: usize,
    /// Whether this is the last part.
    pub is_last: bool,
    /// The remaining hops of the packet.
    pub ttl: u8,
    /// The part.
    pub data: &'a [u8],
}

/// A UDP datagram in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub from: SocketAddr,
    /// The destination.
    pub to: SocketAddr,
    /// The remaining hops.
    pub ttl: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// The contents of an IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// A whole UDP datagram.
    Datagram(Datagram<'a>),
    /// A part of one.
    Fragment(Fragment<'a>),
    /// The end of the datagram was not captured.
    Cut,
    /// Another protocol.
    Other,
}

/// Take an IP packet apart. Bytes after its end, as Ethernet pads short packets, are ignored.
pub fn parse(packet: &[u8]) -> Content<'_> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => parse_v4(packet),
        Some(6) => parse_v6(packet),
        _ => Content::Other,
    }
}

fn parse_v4(packet: &[u8]) -> Content<'_> {
    let Some(header) = packet.first_chunk::<IPV4_HEADER>() else { return Content::Other };
    let start = usize::from(header[0] & 0x0f) * 4;
    if header[9] != UDP || start < IPV4_HEADER {
        return Content::Other;
    }
    // A packet that was captured before the network adapter split it has no length (0).
    let total = match u16_at(header, 2) {
        0 => packet.len(),
        total => usize::from(total),
    };
    if total < start {
        return Content::Other;
    }
    let Some(data) = packet.get(start..total) else { return Content::Cut };
    let source = IpAddr::V4(Ipv4Addr::new(header[12], header[13], header[14], header[15]));
    let group = IpAddr::V4(Ipv4Addr::new(header[16], header[17], header[18], header[19]));
    let field = u16_at(header, 6);
    let (offset, has_more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
    if offset > 0 || has_more {
        let key = (source, group, u32::from(u16_at(header, 4)));
        return Content::Fragment(Fragment { key, offset, is_last: !has_more, ttl: header[8], data });
    }
    datagram(source, group, header[8], data)
}

fn parse_v6(packet: &[u8]) -> Content<'_> {
    let Some(header) = packet.first_chunk::<IPV6_HEADER>() else { return Content::Other };
    let total = match u16_at(header, 4) {
        0 => packet.len(),
        length => IPV6_HEADER + usize::from(length),
    };
    let address = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&header[at..at + 16]);
        IpAddr::V6(bytes.into())
    };
    let (source, group) = (address(8), address(24));
    let (mut next, mut at) = (header[6], IPV6_HEADER);
    loop {
        match next {
            UDP => {
                let Some(data) = packet.get(at..total) else { return Content::Cut };
                return datagram(source, group, header[7], data);
            }
            // Options for every hop, routing, options for the destination.
            0 | 43 | 60 => {
                let Some(&[following, length]) = packet.get(at..at + 2) else { return Content::Other };
                (next, at) = (following, at + (usize::from(length) + 1) * 8);
            }
            44 => {
                let Some(&[following, _, high, low, a, b, c, d]) = packet.get(at..at + 8) else {
                    return Content::Other;
                };
                if following != UDP {
                    return Content::Other;
                }
                let Some(data) = packet.get(at + 8..total) else { return Content::Cut };
                let field = u16::from_be_bytes([high, low]);
                let (offset, is_last) = (usize::from(field & !7), field & 1 == 0);
                if offset == 0 && is_last {
                    return datagram(source, group, header[7], data);
                }
                let key = (source, group, u32::from_be_bytes([a, b, c, d]));
                return Content::Fragment(Fragment { key, offset, is_last, ttl: header[7], data });
            }
            _ => return Content::Other,
        }
    }
}

/// Read the payload of an IP packet as a UDP datagram.
pub fn datagram(source: IpAddr, group: IpAddr, ttl: u8, data: &[u8]) -> Content<'_> {
    let Some(header) = data.first_chunk::<UDP_HEADER>() else { return Content::Cut };
    let length = match u16_at(header, 4) {
        0 => data.len(),
        length => usize::from(length),
    };
    if length < UDP_HEADER {
        return Content::Other;
    }
    let Some(payload) = data.get(UDP_HEADER..length) else { return Content::Cut };
    let from = SocketAddr::new(source, u16_at(header, 0));
    let to = SocketAddr::new(group, u16_at(header, 2));
    Content::Datagram(Datagram { from, to, ttl, payload })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0xaa; 3];
        append_packet(&mut out, from.parse().unwrap(), to.parse().unwrap(), 7, payload);
        out.split_off(3)
    }

    #[test]
    fn packet_has_the_headers_of_its_datagram() {
        // Checksums as Wireshark computes them.
        let expected = [
            0x45, 0, 0, 30, 0, 0, 0x40, 0, 7, 17, 0x78, 0xca, 10, 0, 0, 1, 239, 1, 2, 3, 0x9c, 0x40, 0x13, 0x88, 0, 10,
            0xec, 0xa2, b'h', b'i',
        ];
        assert_eq!(packet("10.0.0.1:40000", "239.1.2.3:5000", b"hi"), expected);
    }

    #[test]
    fn packet_of_any_length_sums_to_all_ones() {
        for length in [0, 1, 2, 3, 4, 5, 1316, 65_507] {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            for (from, to, start) in
                [("10.0.0.1:40000", "239.1.2.3:5000", 20), ("[fe80::1]:40000", "[ff15::1]:5000", 40)]
            {
                let packet = packet(from, to, &payload);
                let pseudo = if start == 20 { sum(&packet[12..20]) } else { sum(&packet[8..40]) };
                let length = (packet.len() - start) as u16;
                let total = pseudo + sum(&[0, UDP]) + sum(&length.to_be_bytes()) + sum(&packet[start..]);
                assert_eq!(checksum(total), [0, 0], "{from} {length}");
                if start == 20 {
                    assert_eq!(checksum(sum(&packet[..20])), [0, 0]);
                }
                let Content::Datagram(found) = parse(&packet) else { panic!("{:?}", parse(&packet)) };
                assert_eq!((found.from, found.to), (from.parse().unwrap(), to.parse().unwrap()));
                assert_eq!((found.ttl, found.payload), (7, &payload[..]));
            }
        }
    }

    #[test]
    fn parse_ignores_padding_and_other_protocols_and_finds_cut_datagrams() {
        let whole = packet("10.0.0.1:1", "239.1.2.3:2", b"hello");
        let padded = [&whole[..], &[0; 13]].concat();
        assert_eq!(parse(&padded), parse(&whole));
        assert_eq!(parse(&whole[..whole.len() - 1]), Content::Cut);
        assert_eq!(parse(&whole[..10]), Content::Other);
        assert_eq!(parse(&[]), Content::Other);
        let mut tcp = whole.clone();
        tcp[9] = 6;
        assert_eq!(parse(&tcp), Content::Other);
    }

    #[test]
    fn parse_of_random_bytes_never_panics() {
        let mut state = 1_u32;
        for length in (0..80).cycle().take(200_000) {
            let bytes: Vec<u8> = (0..length)
                .map(|n| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Mostly headers that are nearly right.
                    match n {
                        0 => [0x45, 0x60, 0x4f, 0x41][state as usize >> 30],
                        6 | 9 => [UDP, 0, 44, 60][state as usize >> 30],
                        _ => (state >> 24) as u8,
                    }
                })
                .collect();
            _ = parse(&bytes);
        }
    }
}
