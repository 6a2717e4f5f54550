//! Reassembly of fragmented datagrams within bounds: how many, how large, how long.

use std::collections::HashMap;

use super::envelope::Envelope;
use super::ip::{Fragment, FragmentKey, Packet, UDP, parse_assembled};
use crate::pure::bytes::bytes_at;

/// The most datagrams that wait for their fragments, and the most bytes of them together.
const MAX_DATAGRAMS: usize = 64;
const MAX_BYTES: usize = 4 << 20;

/// How long a datagram waits for its fragments, in nanoseconds, as long as in Linux (`net.ipv4.ipfrag_time`).
const PATIENCE_NS: i64 = 30_000_000_000;

/// The most bytes of the UDP header and payload of one datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A datagram that waits for fragments.
#[derive(Debug)]
struct Partial {
    data: Vec<u8>,
    /// The parts that are there: start and end, in order. Only the last one grows. As in the system, a copy that
    /// reaches beyond one part counts as a contradiction.
    parts: Vec<(usize, usize)>,
    /// The length, once the last fragment is there.
    length: Option<usize>,
    /// The header that it starts with.
    kind: u8,
    hops: u8,
    since_ns: i64,
}

/// A datagram that was put together.
#[derive(Debug, PartialEq, Eq)]
pub struct Assembled {
    envelope: Envelope,
    kind: u8,
    data: Vec<u8>,
}

impl Assembled {
    /// Read it.
    pub fn parse(&self) -> Packet<'_> {
        parse_assembled(self.kind, &self.data, &self.envelope)
    }
}

/// The fragments of the datagrams of one receiver.
#[derive(Debug, Default)]
pub struct Reassembly {
    partials: HashMap<(u32, FragmentKey), Partial>,
    bytes: usize,
    /// Only datagrams to this port count as lost, if their port is known.
    port: Option<u16>,
    lost: u64,
}

impl Reassembly {
    /// Put together the datagrams to one port, among fragments of datagrams to other ports.
    pub fn for_port(port: u16) -> Self {
        Self { port: Some(port), ..Self::default() }
    }

    /// Datagrams that were given up: a fragment was late, or contradicted another one, or there were too many.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Add a fragment that arrived on this interface. Returns the datagram if it is complete.
    pub fn add(&mut self, interface: u32, fragment: &Fragment<'_>, now_ns: i64) -> Option<Assembled> {
        self.expire(now_ns);
        let key = (interface, fragment.key);
        let end = fragment.offset + fragment.data.len();
        if end > MAX_DATAGRAM || fragment.data.is_empty() {
            self.give_up(key);
            return None;
        }
        if !self.partials.contains_key(&key) {
            self.make_room();
            let Fragment { kind, hops, .. } = *fragment;
            let partial = Partial { data: Vec::new(), parts: Vec::new(), length: None, kind, hops, since_ns: now_ns };
            self.partials.insert(key, partial);
        }
        let partial = self.partials.get_mut(&key)?;
        let before = partial.data.len();
        let added = partial.add(fragment, end);
        self.bytes += partial.data.len() - before;
        match added {
            Some(true) => {
                let Partial { data, kind, hops, .. } = self.partials.remove(&key)?;
                self.bytes -= data.len();
                let FragmentKey { source, group, .. } = fragment.key;
                Some(Assembled { envelope: Envelope { source, group, hops }, kind, data })
            }
            Some(false) => None,
            None => {
                self.give_up(key);
                None
            }
        }
    }

    /// Give up the datagrams that have waited too long.
    pub fn expire(&mut self, now_ns: i64) {
        let late = |partial: &Partial| now_ns.saturating_sub(partial.since_ns) > PATIENCE_NS;
        let keys: Vec<_> = self.partials.iter().filter(|(_, partial)| late(partial)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.give_up(key));
    }

    fn make_room(&mut self) {
        while self.partials.len() >= MAX_DATAGRAMS || self.bytes > MAX_BYTES {
            let oldest = self.partials.iter().min_by_key(|(_, partial)| partial.since_ns).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.give_up(oldest);
        }
    }

    fn give_up(&mut self, key: (u32, FragmentKey)) {
        let partial = self.partials.remove(&key);
        self.bytes -= partial.as_ref().map_or(0, |partial| partial.data.len());
        let to = partial.and_then(|partial| partial.port());
        if self.port.is_none() || to.is_none() || to == self.port {
            self.lost += 1;
        }
    }
}

impl Partial {
    /// The port that the datagram is for, if the UDP header is there.
    fn port(&self) -> Option<u16> {
        let has_start = self.kind == UDP && self.parts.first().is_some_and(|part| part.0 == 0);
        has_start.then(|| bytes_at(&self.data, 2).map(u16::from_be_bytes)).flatten()
    }

    /// Add a part. Returns whether the datagram is complete; `None` if the part contradicts an earlier one (RFC 5722).
    fn add(&mut self, fragment: &Fragment<'_>, end: usize) -> Option<bool> {
        let start = fragment.offset;
        let at = self.parts.partition_point(|part| part.0 < start);
        if self.parts.iter().any(|part| part.0 <= start && end <= part.1) {
            // A copy. As the system does, this takes what arrived first.
            return Some(self.is_complete());
        }
        let overlaps = |part: &(usize, usize)| part.0 < end && start < part.1;
        let is_last = !fragment.more;
        let too_long = self.length.is_some_and(|length| end > length || is_last);
        let known_end = self.parts.last().map_or(0, |part| part.1);
        if self.parts.iter().any(overlaps) || too_long || (is_last && known_end > end) || (!is_last && end % 8 != 0) {
            return None;
        }
        if is_last {
            self.length = Some(end);
        }
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[start..end].copy_from_slice(fragment.data);
        match self.parts.last_mut().filter(|last| last.1 == start) {
            Some(last) => last.1 = end,
            None => self.parts.insert(at, (start, end)),
        }
        Some(self.is_complete())
    }

    fn is_complete(&self) -> bool {
        self.length == Some(self.parts.iter().map(|part| part.1 - part.0).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::ip::parse;
    use crate::pure::packet::samples::{Noise, packet_v6};

    const DATAGRAM: [u8; 100] = {
        let mut bytes = [0; 100];
        let mut at = 0;
        while at < 100 {
            bytes[at] = at as u8;
            at += 1;
        }
        bytes
    };

    fn key(id: u32) -> FragmentKey {
        FragmentKey { source: "10.0.0.1".parse().unwrap(), group: "239.1.2.3".parse().unwrap(), id }
    }

    fn part(id: u32, start: usize, end: usize) -> Fragment<'static> {
        let more = end < DATAGRAM.len();
        Fragment { key: key(id), offset: start, more, kind: UDP, hops: 9, data: &DATAGRAM[start..end] }
    }

    fn parts(id: u32) -> [Fragment<'static>; 4] {
        [part(id, 0, 24), part(id, 24, 48), part(id, 48, 80), part(id, 80, 100)]
    }

    #[test]
    fn fragments_in_any_order_make_the_datagram() {
        let mut noise = Noise::default();
        for id in 0..200 {
            let mut all = parts(id).to_vec();
            for last in (1..all.len()).rev() {
                all.swap(last, noise.below(last + 1));
            }
            // A copy of one of them changes nothing.
            all.insert(2, all[0]);
            let mut reassembly = Reassembly::default();
            let (last, before) = all.split_last().unwrap();
            assert!(before.iter().all(|part| reassembly.add(1, part, 0).is_none()));
            let Assembled { envelope, kind, data } = reassembly.add(1, last, 0).unwrap();
            assert_eq!((data.as_slice(), envelope.hops, kind), (&DATAGRAM[..], 9, UDP));
            assert_eq!((reassembly.bytes, reassembly.lost, reassembly.partials.len()), (0, 0, 0));
        }
    }

    #[test]
    fn fragments_of_other_datagrams_and_interfaces_stay_apart() {
        let mut reassembly = Reassembly::default();
        for (interface, id) in [(1, 1), (1, 2), (2, 1)] {
            assert!(parts(id)[..3].iter().all(|part| reassembly.add(interface, part, 0).is_none()));
        }
        for (interface, id) in [(1, 1), (1, 2), (2, 1)] {
            assert!(reassembly.add(interface, &parts(id)[3], 0).is_some());
        }
    }

    #[test]
    fn fragments_that_overlap_are_given_up() {
        let mut reassembly = Reassembly::default();
        assert!(reassembly.add(1, &part(1, 0, 24), 0).is_none());
        assert!(reassembly.add(1, &part(1, 16, 40), 0).is_none());
        assert_eq!((reassembly.lost(), reassembly.bytes, reassembly.partials.len()), (1, 0, 0));
    }

    #[test]
    fn fragments_within_earlier_ones_change_nothing() {
        let mut reassembly = Reassembly::default();
        assert!(parts(1)[..3].iter().all(|part| reassembly.add(1, part, 0).is_none()));
        assert!(reassembly.add(1, &Fragment { data: &[0xee; 16], ..part(1, 8, 24) }, 0).is_none());
        assert_eq!(reassembly.add(1, &parts(1)[3], 0).unwrap().data, DATAGRAM);
    }

    #[test]
    fn fragments_of_other_ports_are_not_lost() {
        // The port of these is 0x0203.
        for (port, lost) in [(0x0203, 2), (0x0204, 1)] {
            let mut reassembly = Reassembly::for_port(port);
            assert!(reassembly.add(1, &part(1, 0, 24), 0).is_none());
            // The port of this one is not known.
            assert!(reassembly.add(1, &part(2, 24, 48), 0).is_none());
            reassembly.expire(PATIENCE_NS + 1);
            assert_eq!((reassembly.lost(), reassembly.bytes), (lost, 0));
        }
    }

    #[test]
    fn fragments_that_start_with_options_are_put_together() {
        let plain = packet_v6(b"payload");
        let body = [&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &plain[40..]].concat();
        let Packet::Whole(expected) = parse(&plain, false) else { panic!("invalid") };
        let key = FragmentKey { source: expected.sender.ip(), group: expected.group, id: 7 };
        let mut reassembly = Reassembly::default();
        let mut assembled = None;
        for (offset, data) in [(0, &body[..16]), (16, &body[16..])] {
            let mut packet = plain[..40].to_vec();
            packet[6] = 44;
            packet[5] = 8 + data.len() as u8;
            packet.extend([60, 0, 0, offset | u8::from(offset == 0), 0, 0, 0, 7]);
            packet.extend(data);
            let Packet::Part(fragment) = parse(&packet, false) else { panic!("{packet:?}") };
            assert_eq!(fragment.key, key);
            assembled = reassembly.add(1, &fragment, 0);
        }
        assert_eq!(assembled.unwrap().parse(), Packet::Whole(expected));
    }

    #[test]
    fn fragments_past_the_longest_datagram_are_given_up() {
        let mut reassembly = Reassembly::default();
        assert!(reassembly.add(1, &Fragment { offset: 65_528, ..part(1, 0, 24) }, 0).is_none());
        assert_eq!((reassembly.lost(), reassembly.partials.len()), (1, 0));
    }

    #[test]
    fn fragments_that_wait_too_long_are_counted_once() {
        let mut reassembly = Reassembly::default();
        assert!(reassembly.add(1, &parts(1)[0], 0).is_none());
        reassembly.expire(PATIENCE_NS);
        assert_eq!(reassembly.lost(), 0);
        reassembly.expire(PATIENCE_NS + 1);
        reassembly.expire(PATIENCE_NS + 2);
        assert_eq!((reassembly.lost(), reassembly.bytes), (1, 0));
    }

    #[test]
    fn fragments_of_many_datagrams_stay_within_bounds() {
        let mut reassembly = Reassembly::default();
        for id in 0..1000 {
            let far = Fragment { offset: 65_000, ..part(id, 0, 24) };
            assert!(reassembly.add(1, &far, id.into()).is_none());
            assert!(reassembly.partials.len() <= MAX_DATAGRAMS && reassembly.bytes <= MAX_BYTES + MAX_DATAGRAM);
        }
        assert_eq!(reassembly.lost() + reassembly.partials.len() as u64, 1000);
    }
}
