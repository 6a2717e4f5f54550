//! The ring's content and its policy: datagrams in order, within two limits, and a count of every one that was dropped.
//!
//! No thread, no lock, no clock: [`super::handover`] puts those around it.

use std::collections::VecDeque;

use super::{RingConfig, RingPolicy};
use crate::net::{Batch, DatagramRef};

/// Payload octets that a ring has room for, for each datagram of its capacity. Longer datagrams fill it earlier.
const OCTETS_EACH: usize = 2048;
/// Even a ring for a few datagrams takes this much payload, so that the longest ones fit.
const OCTETS_AT_LEAST: usize = 1024 * 1024;

/// Datagrams, as [`crate::net::ReceiverStats`] sorts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) whole: u64,
    /// Octets of the whole ones.
    pub(super) octets: u64,
    pub(super) truncated: u64,
}

impl Tally {
    fn add(&mut self, datagram: DatagramRef<'_>) {
        if datagram.origin.truncated {
            self.truncated += 1;
        } else {
            self.whole += 1;
            self.octets += datagram.data.len() as u64;
        }
    }

    fn add_all(&mut self, batch: &Batch) {
        batch.iter().for_each(|datagram| self.add(datagram));
    }

    /// What is left of these without some of them.
    fn without(self, some: Self) -> Self {
        Self {
            whole: self.whole - some.whole,
            octets: self.octets - some.octets,
            truncated: self.truncated - some.truncated,
        }
    }

    pub(super) fn datagrams(&self) -> u64 {
        self.whole + self.truncated
    }
}

/// Datagrams in the order they were put in, copied close together: a few hundred share one piece of memory.
#[derive(Debug)]
pub(super) struct Queue {
    chunks: VecDeque<Batch>,
    policy: RingPolicy,
    datagrams: Level,
    octets: Level,
    high_water: usize,
    offered: Tally,
    dropped: Tally,
}

/// How much of something there is, and may be.
#[derive(Debug)]
struct Level {
    now: usize,
    most: usize,
}

impl Queue {
    pub(super) fn new(config: RingConfig) -> Self {
        Self {
            chunks: VecDeque::new(),
            policy: config.policy,
            datagrams: Level { now: 0, most: config.capacity },
            octets: Level { now: 0, most: config.capacity.saturating_mul(OCTETS_EACH).max(OCTETS_AT_LEAST) },
            high_water: 0,
            offered: Tally::default(),
            dropped: Tally::default(),
        }
    }

    /// Puts a copy of one datagram in, or drops one, as the policy has it. False where it has to wait for room.
    pub(super) fn offer(&mut self, datagram: DatagramRef<'_>) -> bool {
        while !self.fits(datagram.data.len()) {
            match self.policy {
                RingPolicy::Block => return false,
                RingPolicy::DropNewest => {
                    self.offered.add(datagram);
                    self.dropped.add(datagram);
                    return true;
                }
                RingPolicy::DropOldest => self.drop_first(),
            }
        }
        self.offered.add(datagram);
        self.append(datagram);
        true
    }

    /// A single datagram fits an empty ring, however long it is.
    fn fits(&self, octets: usize) -> bool {
        self.chunks.is_empty()
            || (self.datagrams.now < self.datagrams.most && self.octets.now + octets <= self.octets.most)
    }

    fn append(&mut self, datagram: DatagramRef<'_>) {
        self.datagrams.now += 1;
        self.octets.now += datagram.data.len();
        self.high_water = self.high_water.max(self.datagrams.now);
        if self.chunks.back_mut().is_some_and(|last| last.append(datagram)) {
            return;
        }
        let mut chunk = Batch::compact();
        chunk.append(datagram);
        self.chunks.push_back(chunk);
    }

    fn drop_first(&mut self) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        if let Some(first) = chunk.get(0) {
            self.dropped.add(first);
            self.datagrams.now -= 1;
            self.octets.now -= first.data.len();
        }
        chunk.advance(1);
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
    }

    /// The first datagrams, at most `max` of them and those of one piece of memory.
    pub(super) fn take(&mut self, max: usize) -> Option<Batch> {
        let first = self.chunks.front_mut()?;
        let taken = if first.len() <= max { self.chunks.pop_front()? } else { first.split_front(max) };
        self.datagrams.now -= taken.len();
        self.octets.now -= taken.lengths().iter().map(|&octets| octets as usize).sum::<usize>();
        Some(taken)
    }

    /// Drops what was not offered yet.
    pub(super) fn refuse(&mut self, batch: &Batch) {
        self.offered.add_all(batch);
        self.dropped.add_all(batch);
    }

    /// Counts as dropped what was taken out for nobody.
    pub(super) fn discard(&mut self, batch: &Batch) {
        self.dropped.add_all(batch);
    }

    /// Drops everything.
    pub(super) fn discard_all(&mut self) {
        while let Some(chunk) = self.take(usize::MAX) {
            self.discard(&chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.now
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// What was offered and not dropped: it was taken out, or can be.
    pub(super) fn kept(&self) -> Tally {
        self.offered.without(self.dropped)
    }

    pub(super) fn dropped(&self) -> Tally {
        self.dropped
    }

    /// The most datagrams that were in it at once.
    pub(super) fn high_water(&self) -> usize {
        self.high_water
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::samples::{self, batch};
    use super::*;
    use std::collections::VecDeque;

    fn queue(capacity: usize, policy: RingPolicy) -> Queue {
        Queue::new(RingConfig { capacity, policy })
    }

    fn put(queue: &mut Queue, payloads: &[&[u8]]) {
        batch(payloads).iter().for_each(|datagram| assert!(queue.offer(datagram)));
    }

    fn drain(queue: &mut Queue) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(taken) = queue.take(usize::MAX) {
            all.extend(taken.iter().map(|datagram| datagram.data.to_vec()));
        }
        all
    }

    #[test]
    fn the_policy_says_who_has_to_go() {
        let mut oldest = queue(2, RingPolicy::DropOldest);
        put(&mut oldest, &[b"a", b"bb", b"ccc"]);
        assert_eq!(oldest.dropped(), Tally { whole: 1, octets: 1, truncated: 0 });
        assert_eq!(drain(&mut oldest), [b"bb".to_vec(), b"ccc".to_vec()]);

        let mut newest = queue(2, RingPolicy::DropNewest);
        put(&mut newest, &[b"a", b"bb", b"ccc"]);
        assert_eq!(newest.dropped(), Tally { whole: 1, octets: 3, truncated: 0 });
        assert_eq!(drain(&mut newest), [b"a".to_vec(), b"bb".to_vec()]);

        let mut block = queue(2, RingPolicy::Block);
        put(&mut block, &[b"a", b"bb"]);
        let third = batch(&[b"ccc"]);
        assert!(!block.offer(third.get(0).unwrap()));
        assert_eq!(block.dropped(), Tally::default());
        assert_eq!(block.take(1).unwrap().get(0).unwrap().data, b"a");
        assert!(block.offer(third.get(0).unwrap()));
        assert_eq!(block.high_water(), 2);
    }

    #[test]
    fn long_datagrams_fill_it_before_the_count_does() {
        let mut ring = queue(100, RingPolicy::DropNewest);
        let long = vec![7; 60_000];
        for _ in 0..100 {
            put(&mut ring, &[&long]);
        }
        assert_eq!(ring.len(), OCTETS_AT_LEAST / 60_000);
        assert_eq!(ring.dropped().whole, 100 - ring.len() as u64);
        // One short one more fits the room that is left, and one longer than all the room fits once it is empty.
        put(&mut ring, &[b"short"]);
        assert_eq!(drain(&mut ring).last().unwrap(), b"short");
        let mut small = Queue { octets: Level { now: 0, most: 10 }, ..queue(1, RingPolicy::DropOldest) };
        put(&mut small, &[&long]);
        assert_eq!(drain(&mut small), [long]);
    }

    #[test]
    fn truncated_ones_are_counted_apart() {
        let mut ring = queue(1, RingPolicy::DropOldest);
        put(&mut ring, &[b"whole"]);
        let cut = samples::truncated(b"cut");
        assert!(ring.offer(cut.get(0).unwrap()));
        put(&mut ring, &[b"whole"]);
        assert_eq!(ring.dropped(), Tally { whole: 1, octets: 5, truncated: 1 });
        assert_eq!(ring.kept(), Tally { whole: 1, octets: 5, truncated: 0 });
        ring.discard_all();
        assert_eq!(ring.dropped(), Tally { whole: 2, octets: 10, truncated: 1 });
        assert_eq!(ring.kept(), Tally::default());
        ring.refuse(&batch(&[b"late"]));
        assert_eq!((ring.dropped().whole, ring.kept().whole), (3, 0));
        assert_eq!((ring.len(), ring.octets.now), (0, 0));
    }

    #[test]
    fn what_is_held_stays_as_it_was() {
        let mut ring = queue(1000, RingPolicy::DropNewest);
        put(&mut ring, &[b"one", b"two", b"three"]);
        let held = ring.take(2).unwrap();
        let memory = held.data().as_ptr();
        put(&mut ring, &[&[9; 5000]]);
        assert_eq!(held.iter().map(|d| d.data).collect::<Vec<_>>(), [&b"one"[..], b"two"]);
        assert_eq!(held.data().as_ptr(), memory);
        assert_eq!(drain(&mut ring), [b"three".to_vec(), vec![9; 5000]]);
    }

    #[test]
    fn memory_is_close_to_what_the_payloads_need() {
        let mut ring = queue(10_000, RingPolicy::DropNewest);
        for _ in 0..10_000 {
            put(&mut ring, &[&[1; 100]]);
        }
        let reserved: usize = ring.chunks.iter().map(Batch::reserved).sum();
        assert!(reserved <= 1_100_000, "{reserved} octets for 1,000,000");
    }

    /// Random work on a ring and on the plainest thing that should do the same.
    #[test]
    fn it_does_what_a_plain_list_does() {
        for seed in 1..60 {
            let mut random = samples::Random(seed);
            let capacity = random.below(40) + 1;
            let policy = [RingPolicy::DropOldest, RingPolicy::DropNewest, RingPolicy::Block][random.below(3)];
            let octets = 20_000 + random.below(100_000);
            let mut ring = Queue { octets: Level { now: 0, most: octets }, ..queue(capacity, policy) };
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            let mut dropped = 0;
            let mut taken_out = 0;
            let mut held = Vec::new();
            for step in 0..400u64 {
                if random.below(5) < 3 {
                    let length = if random.below(4) == 0 { random.below(30_000) } else { random.below(50) };
                    let payload: Vec<u8> = step.to_ne_bytes().into_iter().cycle().take(length).collect();
                    let has_room = |model: &VecDeque<Vec<u8>>| {
                        let sum: usize = model.iter().map(Vec::len).sum();
                        model.is_empty() || (model.len() < capacity && sum + length <= octets)
                    };
                    let stored = ring.offer(batch(&[&payload]).get(0).unwrap());
                    assert_eq!(stored, policy != RingPolicy::Block || has_room(&model));
                    if policy == RingPolicy::DropOldest {
                        while !has_room(&model) {
                            model.pop_front();
                            dropped += 1;
                        }
                    }
                    if has_room(&model) {
                        model.push_back(payload);
                    } else if policy == RingPolicy::DropNewest {
                        dropped += 1;
                    }
                } else if let Some(taken) = ring.take(random.below(9) + 1) {
                    taken_out += taken.len();
                    let expected: Vec<Vec<u8>> = model.drain(..taken.len()).collect();
                    assert_eq!(taken.iter().map(|d| d.data.to_vec()).collect::<Vec<_>>(), expected);
                    // Somebody keeps some of it for a while.
                    held.push((taken, expected));
                    if random.below(3) == 0 {
                        held.clear();
                    }
                } else {
                    assert!(model.is_empty());
                }
                assert_eq!((ring.len(), ring.dropped().datagrams()), (model.len(), dropped));
                assert_eq!(ring.kept().datagrams(), (taken_out + model.len()) as u64);
                assert!(ring.high_water() <= capacity && ring.len() <= ring.high_water());
            }
            for (taken, expected) in held {
                assert_eq!(taken.iter().map(|d| d.data.to_vec()).collect::<Vec<_>>(), expected);
            }
        }
    }
}
