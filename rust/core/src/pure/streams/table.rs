//! All streams, by sender and group.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};

use super::stream::{Arrival, Stream};

/// The most streams. Datagrams of further streams are only counted, so that a flood of forged senders does not fill the
/// memory.
pub const MAX_STREAMS: usize = 65_536;

/// The identity of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The sender.
    pub sender: SocketAddr,
    /// The group that it is sent to, if the system says it.
    pub group: Option<IpAddr>,
    /// The port that it is sent to.
    pub port: u16,
}

/// The streams, in the order in which they began.
#[derive(Debug, Default)]
pub struct Streams {
    places: HashMap<Key, usize>,
    streams: Vec<(Key, Stream)>,
    /// The stream of the last datagram, which the next one usually belongs to.
    last: usize,
    unlisted: u64,
}

impl Streams {
    /// Account for a datagram.
    #[inline]
    pub fn add(&mut self, key: &Key, payload: &[u8], arrival: Arrival) {
        if let Some((_, stream)) = self.streams.get_mut(self.last).filter(|(known, _)| known == key) {
            return stream.add(payload, arrival);
        }
        match self.places.entry(*key) {
            Entry::Occupied(place) => {
                self.last = *place.get();
                self.streams[self.last].1.add(payload, arrival);
            }
            Entry::Vacant(_) if self.streams.len() >= MAX_STREAMS => self.unlisted += 1,
            Entry::Vacant(place) => {
                self.last = *place.insert(self.streams.len());
                self.streams.push((*key, Stream::begin(payload, arrival)));
            }
        }
    }

    /// The streams.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(Key, Stream)> {
        self.streams.iter()
    }

    /// One stream, by its number from 0.
    pub fn get(&self, number: usize) -> Option<&Stream> {
        self.streams.get(number).map(|(_, stream)| stream)
    }

    /// Datagrams of streams beyond [`MAX_STREAMS`].
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let sender = SocketAddr::from((number.to_be_bytes(), 9));
        Key { sender, group: Some(IpAddr::from([239, 1, 2, 3])), port: 5000 }
    }

    #[test]
    fn streams_are_distinguished_and_limited() {
        let arrival = Arrival { time_ns: 1, interface: 0, ttl: None, dscp: None };
        let mut streams = Streams::default();
        for number in (0..MAX_STREAMS as u32 + 3).chain([0, 0, 1]) {
            streams.add(&key(number), b"x", arrival);
        }
        assert_eq!((streams.iter().len(), streams.unlisted()), (MAX_STREAMS, 3));
        let first: Vec<_> = streams.iter().take(3).map(|(key, stream)| (*key, stream.received)).collect();
        assert_eq!(first, [(key(0), 3), (key(1), 2), (key(2), 1)]);
        assert!(streams.get(MAX_STREAMS).is_none());
    }
}
