//! Reassembly of fragmented IP packets, with bounded memory.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::ip::Fragment;

/// Packets that can be incomplete at the same time. The oldest one is given up for another.
const MAX_PACKETS: usize = 64;
/// The largest payload of an IP packet.
const MAX_BYTES: usize = 65_535;
/// The most parts of a packet: those of the smallest MTU of IPv4 (68 bytes) that fit into the largest packet.
const MAX_PARTS: usize = 1_366;

type Key = (IpAddr, IpAddr, u32);

#[derive(Debug)]
struct Incomplete {
    key: Key,
    ttl: u8,
    /// The parts, sorted by their offset and without overlap.
    parts: Vec<(usize, Vec<u8>)>,
    /// The length of the payload, once the last part is there.
    total: Option<usize>,
}

/// A packet that was reassembled.
#[derive(Debug, PartialEq, Eq)]
pub struct Reassembled {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// The hops that its first part had left.
    pub ttl: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Packets whose parts have not all been seen.
#[derive(Debug, Default)]
pub struct Fragments {
    waiting: VecDeque<Incomplete>,
    given_up: u64,
}

impl Fragments {
    /// Add a part. Returns the packet if it is complete now.
    pub fn add(&mut self, part: &Fragment<'_>) -> Option<Reassembled> {
        let position = self.waiting.iter().position(|packet| packet.key == part.key).unwrap_or_else(|| {
            if self.waiting.len() == MAX_PACKETS {
                self.waiting.pop_front();
                self.given_up += 1;
            }
            self.waiting.push_back(Incomplete { key: part.key, ttl: part.ttl, parts: Vec::new(), total: None });
            self.waiting.len() - 1
        });
        let packet = &mut self.waiting[position];
        if !packet.add(part) {
            self.waiting.remove(position);
            self.given_up += 1;
            return None;
        }
        if !packet.is_complete() {
            return None;
        }
        let packet = self.waiting.remove(position)?;
        let (source, destination, _) = packet.key;
        let payload = packet.parts.into_iter().flat_map(|(_, data)| data).collect();
        Some(Reassembled { source, destination, ttl: packet.ttl, payload })
    }

    /// Packets that were never complete, with those that still wait.
    pub fn incomplete(&self) -> u64 {
        self.given_up + self.waiting.len() as u64
    }
}

impl Incomplete {
    /// Add a part. Returns false if it contradicts the others. A part that is repeated is ignored.
    fn add(&mut self, part: &Fragment<'_>) -> bool {
        let end = part.offset + part.data.len();
        if end > MAX_BYTES || self.total.is_some_and(|total| end > total || (part.is_last && end != total)) {
            return false;
        }
        let at = self.parts.partition_point(|(offset, _)| *offset < part.offset);
        if self.parts.get(at).is_some_and(|(offset, data)| *offset == part.offset && data == part.data) {
            return true;
        }
        let follows = at == 0 || self.parts[at - 1].0 + self.parts[at - 1].1.len() <= part.offset;
        let precedes = self.parts.get(at).is_none_or(|(offset, _)| end <= *offset);
        if !follows || !precedes || (part.is_last && at != self.parts.len()) || self.parts.len() == MAX_PARTS {
            return false;
        }
        self.parts.insert(at, (part.offset, part.data.to_vec()));
        if part.is_last {
            self.total = Some(end);
        }
        if part.offset == 0 {
            self.ttl = part.ttl;
        }
        true
    }

    fn is_complete(&self) -> bool {
        let held: usize = self.parts.iter().map(|(_, data)| data.len()).sum();
        self.total == Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u32, offset: usize, is_last: bool, data: &[u8]) -> Fragment<'_> {
        let key = ("10.0.0.1".parse().unwrap(), "239.1.2.3".parse().unwrap(), id);
        Fragment { key, offset, is_last, ttl: 3, data }
    }

    #[test]
    fn fragments_in_any_order_make_the_packet() {
        let parts = [part(1, 0, false, &[1; 8]), part(1, 8, false, &[2; 8]), part(1, 16, true, &[3; 3])];
        let expected = [&[1; 8][..], &[2; 8], &[3; 3]].concat();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut fragments = Fragments::default();
            let done: Vec<_> = order.iter().filter_map(|&n| fragments.add(&parts[n])).collect();
            assert_eq!(done.len(), 1);
            assert_eq!(done[0].payload, expected);
            assert_eq!(fragments.incomplete(), 0);
        }
    }

    #[test]
    fn fragments_that_are_repeated_are_ignored_and_those_that_overlap_give_up() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.add(&part(1, 0, false, &[1; 8])), None);
        assert_eq!(fragments.add(&part(1, 0, false, &[1; 8])), None);
        assert!(fragments.add(&part(1, 8, true, &[2; 8])).is_some());
        assert_eq!(fragments.add(&part(2, 0, false, &[1; 16])), None);
        assert_eq!(fragments.add(&part(2, 8, true, &[2; 16])), None);
        assert_eq!(fragments.incomplete(), 1);
    }

    #[test]
    fn fragments_without_their_rest_take_bounded_memory() {
        let mut fragments = Fragments::default();
        for id in 0..10_000 {
            assert_eq!(fragments.add(&part(id, 0, false, &[0; 1480])), None);
        }
        assert_eq!(fragments.waiting.len(), MAX_PACKETS);
        assert_eq!(fragments.incomplete(), 10_000);
        assert_eq!(fragments.add(&part(1, 65_528, true, &[0; 8])), None);
    }
}
