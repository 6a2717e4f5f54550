//! Link layers of captured packets: where the IP packet begins.

/// Return the IP packet in a captured packet of this link type, or `None` if it contains another kind of packet. An
/// unknown link type is an error.
pub fn ip_packet(link_type: u32, packet: &[u8]) -> Result<Option<&[u8]>, UnknownLink> {
    let found = match link_type {
        // BSD loopback, with the address family in either byte order.
        0 | 108 => packet.get(4..),
        1 => packet.get(12..).and_then(after_ether_type),
        // Raw IP: LINKTYPE_RAW, and the numbers that some systems use for it.
        12 | 14 | 101 | 228 | 229 => Some(packet),
        // Linux cooked captures.
        113 => packet.get(14..).and_then(after_ether_type),
        276 => cooked_v2(packet),
        _ => return Err(UnknownLink(link_type)),
    };
    Ok(found)
}

/// A link type that this module cannot take apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLink(pub u32);

/// Skip the EtherType and VLAN tags before it.
fn after_ether_type(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match u16::from_be_bytes(*rest.first_chunk()?) {
            0x0800 | 0x86dd => return rest.get(2..),
            0x8100 | 0x88a8 | 0x9100 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
}

/// The header of the second version has 20 bytes, with the protocol first.
fn cooked_v2(packet: &[u8]) -> Option<&[u8]> {
    match u16::from_be_bytes(*packet.first_chunk()?) {
        0x0800 | 0x86dd => packet.get(20..),
        // The VLAN tag is a part of the packet.
        0x8100 | 0x88a8 | 0x9100 => packet.get(22..).and_then(after_ether_type),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip_packet_is_found_behind_each_link_layer() {
        let ip = [0x45, 1, 2, 3];
        let with = |header: &[u8]| [header, &ip].concat();
        let ethernet = [&[0; 12][..], &[8, 0]].concat();
        let tagged = [&[0; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd]].concat();
        let cooked = [&[0; 14][..], &[8, 0]].concat();
        let cooked_v2 = [&[8, 0][..], &[0; 18]].concat();
        let cooked_v2_tagged = [&[0x81, 0][..], &[0; 18], &[0, 5, 8, 0]].concat();
        for (link, header) in [
            (0, &[2, 0, 0, 0][..]),
            (108, &[0, 0, 0, 2]),
            (1, &ethernet),
            (1, &tagged),
            (113, &cooked),
            (276, &cooked_v2),
            (276, &cooked_v2_tagged),
            (101, &[]),
            (12, &[]),
        ] {
            let packet = with(header);
            assert_eq!(ip_packet(link, &packet), Ok(Some(&ip[..])), "{link} {header:?}");
            for length in 0..header.len() {
                assert_eq!(ip_packet(link, &packet[..length]).unwrap_or(None), None, "{link} {length}");
            }
        }
    }

    #[test]
    fn ip_packet_of_other_protocols_and_unknown_links_is_not_found() {
        let arp = [&[0; 12][..], &[8, 6], &[0; 40]].concat();
        assert_eq!(ip_packet(1, &arp), Ok(None));
        assert_eq!(ip_packet(105, &arp), Err(UnknownLink(105)));
    }
}
