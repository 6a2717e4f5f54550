//! Packets for the tests of this folder.

use super::envelope::Envelope;

/// The same numbers on every run.
pub(in crate::pure) struct Noise(u64);

impl Default for Noise {
    fn default() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }
}

impl Noise {
    /// A number below `limit`, which is at least 1.
    pub(in crate::pure) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// The Internet checksum, computed word by word.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut bytes = parts.concat();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    let mut total = 0u32;
    for pair in bytes.chunks(2) {
        total += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// A UDP datagram from port 7 to port 5000, with its checksum.
pub(super) fn udp(envelope: &Envelope, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = vec![0, 7, 0x13, 0x88];
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let mut pseudo = match (envelope.source, envelope.group) {
        (std::net::IpAddr::V4(source), std::net::IpAddr::V4(group)) => [source.octets(), group.octets()].concat(),
        (std::net::IpAddr::V6(source), std::net::IpAddr::V6(group)) => [source.octets(), group.octets()].concat(),
        _ => panic!("two IP versions"),
    };
    pseudo.extend([0, 17]);
    pseudo.extend(length.to_be_bytes());
    let right = checksum(&[&pseudo, &datagram]);
    datagram[6..8].copy_from_slice(&right.to_be_bytes());
    datagram
}

/// A packet from 10.0.0.1 to 239.1.2.3 with 9 hops.
pub(super) fn packet_v4(payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope { source: [10, 0, 0, 1].into(), group: [239, 1, 2, 3].into(), hops: 9 };
    let mut packet = vec![0x45, 0];
    packet.extend(((28 + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 239, 1, 2, 3]);
    let right = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&right.to_be_bytes());
    packet.extend(udp(&envelope, payload));
    packet
}

/// A packet from fd00::1 to ff15::114 with 9 hops.
pub(super) fn packet_v6(payload: &[u8]) -> Vec<u8> {
    let source: std::net::Ipv6Addr = "fd00::1".parse().unwrap();
    let group: std::net::Ipv6Addr = "ff15::114".parse().unwrap();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(((8 + payload.len()) as u16).to_be_bytes());
    packet.extend([17, 9]);
    packet.extend(source.octets());
    packet.extend(group.octets());
    packet.extend(udp(&Envelope { source: source.into(), group: group.into(), hops: 9 }, payload));
    packet
}
