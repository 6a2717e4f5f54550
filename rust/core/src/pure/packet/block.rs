//! Blocks of a packet ring, version 3 (`struct tpacket_block_desc` and `struct tpacket3_hdr`, packet(7)).
//!
//! The kernel writes them in the byte order of the machine. A frame has the link-layer header, the packet, and before
//! both a header that describes how the packet was coalesced and checked (`struct virtio_net_hdr`).

use crate::pure::bytes::bytes_at;

/// Positions in the description of a block.
const NUM_PKTS: usize = 12;
const FIRST_PKT: usize = 16;

/// Positions in the header of a frame. The link-layer address of the sender follows it (`struct sockaddr_ll`).
const NEXT: usize = 0;
const SECONDS: usize = 4;
const NANOSECONDS: usize = 8;
const KEPT_BYTES: usize = 12;
const STATUS: usize = 20;
const LINK_AT: usize = 24;
const NETWORK_AT: usize = 26;
const INTERFACE: usize = 52;
const LINK_TYPE: usize = 56;

/// The type of the loopback interface (`ARPHRD_LOOPBACK`).
const LOOPBACK: u16 = 772;

/// The checksum is left to the interface, because the packet never left this machine.
const CHECKSUM_NOT_READY: u32 = 1 << 3;
/// The kernel or the interface has checked it.
const CHECKSUM_VALID: u32 = 1 << 7;

/// Bytes of the header that describes coalescing, and the positions in it.
const COALESCED_HEADER: usize = 10;
const KIND: usize = 1;
const SEGMENT: usize = 4;
/// UDP datagrams of equal size (`VIRTIO_NET_HDR_GSO_UDP_L4`).
const COALESCED_UDP: u8 = 5;

/// One packet of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The packet, from its IP header on.
    pub packet: &'a [u8],
    /// Its UDP checksum needs no check.
    pub vouched: bool,
    /// Bytes in each coalesced datagram; 0 if nothing was coalesced.
    pub segment: usize,
    /// Index of the interface that it arrived on.
    pub interface: u32,
    /// Whether that is the loopback interface.
    pub is_loopback: bool,
    /// When it arrived, in nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
}

/// A position in a block that the kernel has handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    at: usize,
    remaining: u32,
}

impl Cursor {
    /// The position of the first frame.
    pub fn start(block: &[u8]) -> Self {
        let number = |at| bytes_at(block, at).map_or(0, u32::from_ne_bytes);
        Self { at: number(FIRST_PKT) as usize, remaining: number(NUM_PKTS) }
    }

    /// Whether all frames were taken.
    pub fn is_at_end(&self) -> bool {
        self.remaining == 0
    }

    /// Return the next frame, and step over it. A frame that does not fit the block ends the block.
    #[inline]
    pub fn next<'a>(&mut self, block: &'a [u8]) -> Option<Frame<'a>> {
        if self.remaining == 0 {
            return None;
        }
        let found =
            block.get(self.at..).and_then(|rest| Some((frame(rest)?, u32::from_ne_bytes(bytes_at(rest, NEXT)?))));
        match found {
            Some((frame, next)) => {
                self.remaining = if next == 0 { 0 } else { self.remaining - 1 };
                self.at += next as usize;
                Some(frame)
            }
            None => {
                self.remaining = 0;
                None
            }
        }
    }
}

#[inline]
fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    // One check for the whole header.
    let header: &[u8; LINK_TYPE + 2] = bytes.first_chunk()?;
    let number = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let short = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    let (kept, status) = (number(KEPT_BYTES) as usize, number(STATUS));
    let (link, network) = (short(LINK_AT), short(NETWORK_AT));
    let described = bytes.get(link.checked_sub(COALESCED_HEADER)?..link)?;
    let is_coalesced = described[KIND] == COALESCED_UDP;
    let segment = if is_coalesced { u16::from_ne_bytes(bytes_at(described, SEGMENT)?).into() } else { 0 };
    Some(Frame {
        packet: bytes.get(network..link + kept)?,
        vouched: status & (CHECKSUM_NOT_READY | CHECKSUM_VALID) != 0,
        segment,
        interface: number(INTERFACE),
        is_loopback: short(LINK_TYPE) == LOOPBACK.into(),
        timestamp_ns: i64::from(number(SECONDS)) * 1_000_000_000 + i64::from(number(NANOSECONDS)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::Noise;

    /// A block with these packets, each after a link-layer header of 14 bytes.
    fn block(packets: &[&[u8]], status: u32, segment: u16) -> Vec<u8> {
        let mut block = vec![0u8; 48];
        block[NUM_PKTS..NUM_PKTS + 4].copy_from_slice(&(packets.len() as u32).to_ne_bytes());
        block[FIRST_PKT..FIRST_PKT + 4].copy_from_slice(&48u32.to_ne_bytes());
        for (at, packet) in packets.iter().enumerate() {
            let mut frame = vec![0u8; 96 + packet.len()];
            let next = frame.len().next_multiple_of(16);
            let mut put = |at: usize, value: u32| frame[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            put(NEXT, if at + 1 == packets.len() { 0 } else { next as u32 });
            put(SECONDS, 3);
            put(NANOSECONDS, at as u32);
            put(KEPT_BYTES, 14 + packet.len() as u32);
            put(STATUS, status);
            put(INTERFACE, 7);
            frame[LINK_AT..LINK_AT + 2].copy_from_slice(&82u16.to_ne_bytes());
            frame[NETWORK_AT..NETWORK_AT + 2].copy_from_slice(&96u16.to_ne_bytes());
            if segment > 0 {
                frame[72 + KIND] = COALESCED_UDP;
                frame[72 + SEGMENT..72 + SEGMENT + 2].copy_from_slice(&segment.to_ne_bytes());
            }
            frame[96..].copy_from_slice(packet);
            frame.resize(next, 0);
            block.extend(frame);
        }
        block
    }

    fn frames(block: &[u8]) -> Vec<Frame<'_>> {
        let mut cursor = Cursor::start(block);
        std::iter::from_fn(|| cursor.next(block)).collect()
    }

    #[test]
    fn block_of_frames_gives_each_packet_with_its_metadata() {
        let block = block(&[b"one", b"", b"three"], 0, 0);
        let found = frames(&block);
        assert_eq!(found.iter().map(|frame| frame.packet).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(found[2].timestamp_ns, 3_000_000_002);
        assert!(found.iter().all(|frame| frame.interface == 7 && !frame.vouched && !frame.is_loopback));
        assert!(found.iter().all(|frame| frame.segment == 0));
    }

    #[test]
    fn block_status_and_coalescing_are_read() {
        let checked = block(&[b"x"], CHECKSUM_VALID, 100);
        assert_eq!((frames(&checked)[0].vouched, frames(&checked)[0].segment), (true, 100));
        let local = block(&[b"x"], CHECKSUM_NOT_READY, 0);
        assert_eq!((frames(&local)[0].vouched, frames(&local)[0].segment), (true, 0));
    }

    #[test]
    fn block_that_lies_about_its_frames_ends_early() {
        let mut more = block(&[b"one", b"two"], 0, 0);
        more[NUM_PKTS..NUM_PKTS + 4].copy_from_slice(&9u32.to_ne_bytes());
        assert_eq!(frames(&more).len(), 2);
        let whole = block(&[b"one", b"two"], 0, 0);
        assert_eq!(frames(&whole[..whole.len() - 16]).len(), 1);
        assert_eq!(frames(&[]).len(), 0);
    }

    #[test]
    fn block_of_arbitrary_bytes_neither_panics_nor_loops() {
        let mut noise = Noise::default();
        for round in 0..5_000 {
            let mut block = block(&[b"one", b"two", b"three"], 0, 0);
            for _ in 0..round % 9 {
                let at = noise.below(block.len());
                block[at] = noise.below(256) as u8;
            }
            block.truncate(block.len() - noise.below(40));
            let mut cursor = Cursor::start(&block);
            cursor.remaining = cursor.remaining.min(1000);
            while cursor.next(&block).is_some() {}
            assert!(cursor.is_at_end());
        }
    }
}
