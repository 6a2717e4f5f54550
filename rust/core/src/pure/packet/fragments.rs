//! Reassembly of fragmented datagrams within bounds: how many, how large, how long.

use std::collections::HashMap;

use super::envelope::Envelope;
use super::ip::{Fragment, FragmentKey};

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
    /// The parts that are there: start and end, in order, not touching each other.
    parts: Vec<(usize, usize)>,
    /// The length, once the last fragment is there.
    length: Option<usize>,
    hops: u8,
    since_ns: i64,
}

/// The fragments of the datagrams of one receiver.
#[derive(Debug, Default)]
pub struct Reassembly {
    partials: HashMap<(u32, FragmentKey), Partial>,
    bytes: usize,
    lost: u64,
}

impl Reassembly {
    /// Datagrams that were given up: a fragment was late, or contradicted another one, or there were too many.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Add a fragment that arrived on this interface. Returns the datagram, from its UDP header on, if it is complete.
    pub fn add(&mut self, interface: u32, fragment: &Fragment<'_>, now_ns: i64) -> Option<(Envelope, Vec<u8>)> {
        self.expire(now_ns);
        let key = (interface, fragment.key);
        let end = fragment.offset + fragment.data.len();
        if end > MAX_DATAGRAM || fragment.data.is_empty() {
            self.give_up(key);
            return None;
        }
        if !self.partials.contains_key(&key) {
            self.make_room();
            let partial =
                Partial { data: Vec::new(), parts: Vec::new(), length: None, hops: fragment.hops, since_ns: now_ns };
            self.partials.insert(key, partial);
        }
        let partial = self.partials.get_mut(&key)?;
        let before = partial.data.len();
        let added = partial.add(fragment, end);
        self.bytes += partial.data.len() - before;
        match added {
            Some(true) => {
                let Partial { data, hops, .. } = self.partials.remove(&key)?;
                self.bytes -= data.len();
                let FragmentKey { source, group, .. } = fragment.key;
                Some((Envelope { source, group, hops }, data))
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
        if let Some(partial) = self.partials.remove(&key) {
            self.bytes -= partial.data.len();
        }
        self.lost += 1;
    }
}

impl Partial {
    /// Add a part. Returns whether the datagram is complete; `None` if the part contradicts an earlier one (RFC 5722).
    fn add(&mut self, fragment: &Fragment<'_>, end: usize) -> Option<bool> {
        let start = fragment.offset;
        let at = self.parts.partition_point(|part| part.0 < start);
        if self.parts.iter().any(|part| part.0 <= start && end <= part.1 && self.data[start..end] == *fragment.data) {
            // The network made a copy of it.
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
        self.parts.insert(at, (start, end));
        self.parts.dedup_by(|later, earlier| {
            let touches = earlier.1 == later.0;
            if touches {
                earlier.1 = later.1;
            }
            touches
        });
        Some(self.is_complete())
    }

    fn is_complete(&self) -> bool {
        self.length.is_some_and(|length| self.parts == [(0, length)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::packet::samples::Noise;

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
        Fragment { key: key(id), offset: start, more: end < DATAGRAM.len(), hops: 9, data: &DATAGRAM[start..end] }
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
            let (envelope, data) = reassembly.add(1, last, 0).unwrap();
            assert_eq!((data.as_slice(), envelope.hops), (&DATAGRAM[..], 9));
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
        let contradiction = Fragment { data: &[0xee; 16], ..part(1, 8, 24) };
        for second in [contradiction, part(1, 16, 40)] {
            let mut reassembly = Reassembly::default();
            assert!(reassembly.add(1, &part(1, 0, 24), 0).is_none());
            assert!(reassembly.add(1, &second, 0).is_none());
            assert_eq!((reassembly.lost(), reassembly.bytes, reassembly.partials.len()), (1, 0, 0));
        }
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
