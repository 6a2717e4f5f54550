//! The content of a ring and its policy: datagrams in order, within two limits, and a count of every dropped one.
//!
//! There is no thread, lock or clock here; `shared_queue` adds those.

use std::collections::VecDeque;
use std::mem;

use crate::net::batch::Batch;
use crate::net::config::{RingConfig, RingPolicy};
use crate::net::datagram::DatagramRef;
use crate::net::storage::reserve_headroom;

/// Payload bytes that a ring holds for each datagram of its capacity. Longer datagrams fill it earlier.
const BYTES_EACH: usize = 2048;
/// The least payload limit in bytes, so that the longest datagrams fit a small ring.
const MIN_BYTES: usize = 1024 * 1024;

/// Counted datagrams, in the categories of [`crate::net::ReceiverStats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) complete: u64,
    /// Payload bytes of the complete ones.
    pub(super) bytes: u64,
    pub(super) truncated: u64,
}

impl Tally {
    fn add(&mut self, datagram: DatagramRef<'_>) {
        if datagram.origin.truncated {
            self.truncated += 1;
        } else {
            self.complete += 1;
            self.bytes += datagram.data.len() as u64;
        }
    }

    fn add_all(&mut self, batch: &Batch) {
        batch.iter().for_each(|datagram| self.add(datagram));
    }

    /// Subtract some of them.
    fn without(self, some: Self) -> Self {
        Self {
            complete: self.complete - some.complete,
            bytes: self.bytes - some.bytes,
            truncated: self.truncated - some.truncated,
        }
    }

    pub(super) fn datagrams(&self) -> u64 {
        self.complete + self.truncated
    }
}

/// Datagrams in order, copied close together: a few hundred share one piece of memory.
#[derive(Debug)]
pub(super) struct Queue {
    chunks: VecDeque<Batch>,
    policy: RingPolicy,
    datagrams: Fill,
    bytes: Fill,
    high_water: usize,
    offered: Tally,
    dropped: Tally,
    /// A datagram was dropped for lack of memory.
    lacks_memory: bool,
}

/// An amount and its limit.
#[derive(Debug)]
struct Fill {
    now: usize,
    limit: usize,
}

impl Queue {
    pub(super) fn new(config: RingConfig) -> Self {
        Self {
            chunks: VecDeque::new(),
            policy: config.policy,
            datagrams: Fill { now: 0, limit: config.capacity },
            bytes: Fill { now: 0, limit: config.capacity.saturating_mul(BYTES_EACH).max(MIN_BYTES) },
            high_water: 0,
            offered: Tally::default(),
            dropped: Tally::default(),
            lacks_memory: false,
        }
    }

    /// Put in a copy of one datagram, or drop one according to the policy. If there is no memory for it, it is dropped.
    /// Returns false if the datagram has to wait for room.
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
        if !self.append(datagram) {
            self.dropped.add(datagram);
            self.lacks_memory = true;
        }
        true
    }

    /// Whether a datagram fits. A single one fits an empty ring, however long it is.
    fn fits(&self, bytes: usize) -> bool {
        self.chunks.is_empty()
            || (self.datagrams.now < self.datagrams.limit && self.bytes.now + bytes <= self.bytes.limit)
    }

    /// Return whether a datagram was dropped for lack of memory since the last call.
    pub(super) fn take_lack_of_memory(&mut self) -> bool {
        mem::take(&mut self.lacks_memory)
    }

    /// Copy one datagram to the end. Returns false if there is not enough memory.
    fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        if !self.chunks.back_mut().is_some_and(|last| last.append(datagram)) {
            if reserve_headroom().is_err() || self.chunks.try_reserve(1).is_err() {
                return false;
            }
            let mut chunk = Batch::compact();
            if !chunk.append(datagram) {
                return false;
            }
            self.chunks.push_back(chunk);
        }
        self.datagrams.now += 1;
        self.bytes.now += datagram.data.len();
        self.high_water = self.high_water.max(self.datagrams.now);
        true
    }

    fn drop_first(&mut self) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        if let Some(first) = chunk.get(0) {
            self.dropped.add(first);
            self.datagrams.now -= 1;
            self.bytes.now -= first.data.len();
        }
        chunk.advance(1);
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
    }

    /// Take up to `max` of the first datagrams, all from one piece of memory.
    pub(super) fn take(&mut self, max: usize) -> Option<Batch> {
        let first = self.chunks.front_mut()?;
        let taken = if first.len() <= max { self.chunks.pop_front()? } else { first.split_front(max) };
        self.datagrams.now -= taken.len();
        self.bytes.now -= taken.lengths().iter().map(|&length| length as usize).sum::<usize>();
        Some(taken)
    }

    /// Count a batch that was not offered as dropped.
    pub(super) fn refuse(&mut self, batch: &Batch) {
        self.offered.add_all(batch);
        self.dropped.add_all(batch);
    }

    /// Count a batch that was taken out, but not delivered, as dropped.
    pub(super) fn discard(&mut self, batch: &Batch) {
        self.dropped.add_all(batch);
    }

    /// Drop everything.
    pub(super) fn discard_all(&mut self) {
        while let Some(chunk) = self.take(usize::MAX) {
            self.discard(&chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.now
    }

    /// Whether nothing that arrives can be in the batch that is taken next.
    pub(super) fn has_complete_batch(&self) -> bool {
        self.chunks.len() > 1 || self.datagrams.now >= self.datagrams.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Datagrams offered and not dropped: they were taken out, or can be taken out.
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
    fn queue_when_full_follows_its_policy() {
        let mut oldest = queue(2, RingPolicy::DropOldest);
        put(&mut oldest, &[b"a", b"bb", b"ccc"]);
        assert_eq!(oldest.dropped(), Tally { complete: 1, bytes: 1, truncated: 0 });
        assert_eq!(drain(&mut oldest), [b"bb".to_vec(), b"ccc".to_vec()]);

        let mut newest = queue(2, RingPolicy::DropNewest);
        put(&mut newest, &[b"a", b"bb", b"ccc"]);
        assert_eq!(newest.dropped(), Tally { complete: 1, bytes: 3, truncated: 0 });
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
    fn queue_of_long_datagrams_is_limited_by_bytes() {
        let mut ring = queue(100, RingPolicy::DropNewest);
        let long = vec![7; 60_000];
        for _ in 0..100 {
            put(&mut ring, &[&long]);
        }
        assert_eq!(ring.len(), MIN_BYTES / 60_000);
        assert_eq!(ring.dropped().complete, 100 - ring.len() as u64);
        // A short one fits the room that is left, and one longer than the limit fits an empty ring.
        put(&mut ring, &[b"short"]);
        assert_eq!(drain(&mut ring).last().unwrap(), b"short");
        let mut small = Queue { bytes: Fill { now: 0, limit: 10 }, ..queue(1, RingPolicy::DropOldest) };
        put(&mut small, &[&long]);
        assert_eq!(drain(&mut small), [long]);
    }

    #[test]
    fn queue_counts_truncated_datagrams_separately() {
        let mut ring = queue(1, RingPolicy::DropOldest);
        put(&mut ring, &[b"whole"]);
        let cut = samples::truncated(b"cut");
        assert!(ring.offer(cut.get(0).unwrap()));
        put(&mut ring, &[b"whole"]);
        assert_eq!(ring.dropped(), Tally { complete: 1, bytes: 5, truncated: 1 });
        assert_eq!(ring.kept(), Tally { complete: 1, bytes: 5, truncated: 0 });
        ring.discard_all();
        assert_eq!(ring.dropped(), Tally { complete: 2, bytes: 10, truncated: 1 });
        assert_eq!(ring.kept(), Tally::default());
        ring.refuse(&batch(&[b"late"]));
        assert_eq!((ring.dropped().complete, ring.kept().complete), (3, 0));
        assert_eq!((ring.len(), ring.bytes.now), (0, 0));
    }

    #[test]
    fn batch_taken_from_the_queue_never_changes() {
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
    fn queue_memory_is_close_to_the_payload_size() {
        let mut ring = queue(10_000, RingPolicy::DropNewest);
        for _ in 0..10_000 {
            put(&mut ring, &[&[1; 100]]);
        }
        let reserved: usize = ring.chunks.iter().map(Batch::reserved).sum();
        assert!(reserved <= 1_100_000, "{reserved} bytes for 1,000,000");
    }

    /// Random operations on a queue and on a plain list.
    #[test]
    fn queue_with_random_operations_matches_a_list() {
        for seed in 1..60 {
            let mut random = samples::Random(seed);
            let capacity = random.below(40) + 1;
            let policy = [RingPolicy::DropOldest, RingPolicy::DropNewest, RingPolicy::Block][random.below(3)];
            let bytes = 20_000 + random.below(100_000);
            let mut ring = Queue { bytes: Fill { now: 0, limit: bytes }, ..queue(capacity, policy) };
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
                        model.is_empty() || (model.len() < capacity && sum + length <= bytes)
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
                    // Some batches are held for a while.
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
