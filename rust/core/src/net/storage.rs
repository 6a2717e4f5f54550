//! The memory that datagrams are received into: one buffer, and columns that say where each datagram is.

use std::iter::repeat_n;
use std::sync::Arc;

use super::datagram::{DatagramRef, Origin};
use crate::pure::coalesce::{Split, split};
use crate::sys::Arrival;

/// Bytes of a slot: it holds any UDP datagram, and any buffer that the kernel coalesces (65,535 bytes at most).
const SLOT: usize = 65_536;
/// Slots that all start on a page boundary share a few cache sets; three more cache lines spread them.
const STAGGER: usize = 192;
/// Distance from one slot to the next, in bytes.
pub(super) const STRIDE: usize = SLOT + STAGGER;
/// Slots that one kernel call can fill.
pub(super) const SLOTS: usize = 64;

/// The most bytes that [`Storage::pack`] moves: 512 for each slot on average. Copying longer datagrams would cost more
/// than a larger batch saves.
const MAX_PACKED_BYTES: usize = SLOTS * 512;

/// The most payload bytes and datagrams in a compact storage, unless a single datagram is longer.
const MAX_COMPACT_BYTES: usize = 65_536;
const MAX_COMPACT_ROWS: usize = 1024;

/// The memory of a few kernel calls, or of datagrams that were copied together. It is written while it has one owner
/// and read-only afterwards.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) buffer: Vec<u8>,
    pub(super) offsets: Vec<u32>,
    pub(super) lengths: Vec<u32>,
    /// For each datagram its index in `origins`.
    pub(super) origin_of: Vec<u32>,
    pub(super) origins: Vec<Origin>,
    /// This many of the first datagrams are packed at the front of the buffer, in this many bytes.
    packed: (usize, usize),
}

impl Storage {
    /// Make a storage with all slots.
    pub(super) fn new() -> Self {
        Self {
            // The system maps zeroed memory of this size only when it is used: until then it costs address space.
            buffer: vec![0; SLOTS * STRIDE],
            offsets: Vec::with_capacity(SLOTS),
            lengths: Vec::with_capacity(SLOTS),
            origin_of: Vec::with_capacity(SLOTS),
            origins: Vec::with_capacity(SLOTS),
            packed: (0, 0),
        }
    }

    /// Make a storage without room. It grows with the datagrams that are copied to it.
    pub(super) fn compact() -> Self {
        Self {
            buffer: Vec::new(),
            offsets: Vec::new(),
            lengths: Vec::new(),
            origin_of: Vec::new(),
            origins: Vec::new(),
            packed: (0, 0),
        }
    }

    /// Copy one datagram to the end of a compact storage. Returns false if the storage is full.
    pub(super) fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        let start = self.buffer.len();
        let end = start + datagram.data.len();
        if !self.offsets.is_empty() && (end > MAX_COMPACT_BYTES || self.offsets.len() == MAX_COMPACT_ROWS) {
            return false;
        }
        if end > self.buffer.capacity() {
            // Double the capacity each time, up to the limit.
            let wanted = end.max((2 * self.buffer.capacity()).min(MAX_COMPACT_BYTES));
            self.buffer.reserve_exact(wanted - start);
        }
        self.buffer.extend_from_slice(datagram.data);
        if self.origins.last() != Some(datagram.origin) {
            self.origins.push(*datagram.origin);
        }
        // All these numbers are below 2^17.
        self.offsets.push(start as u32);
        self.lengths.push(datagram.data.len() as u32);
        self.origin_of.push(self.origins.len() as u32 - 1);
        true
    }

    /// Remove all datagrams.
    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.lengths.clear();
        self.origin_of.clear();
        self.origins.clear();
        self.packed = (0, 0);
    }

    /// Move the datagrams together at the front, and return the first slot that is free afterwards. Returns `SLOTS`
    /// without moving anything if that would be too many bytes.
    pub(super) fn pack(&mut self) -> usize {
        let (rows, mut end) = self.packed;
        let bytes: usize = self.lengths[rows..].iter().map(|&length| length as usize).sum();
        if bytes > MAX_PACKED_BYTES {
            return SLOTS;
        }
        for (offset, &length) in self.offsets[rows..].iter_mut().zip(&self.lengths[rows..]) {
            let (start, length) = (*offset as usize, length as usize);
            self.buffer.copy_within(start..start + length, end);
            // Smaller than the old offset.
            *offset = end as u32;
            end += length;
        }
        self.packed = (self.offsets.len(), end);
        end.div_ceil(STRIDE)
    }

    /// Return the `slots` slots from `first` on, and a recorder of what is received into them.
    pub(super) fn fill(&mut self, first: usize, slots: usize) -> (&mut [u8], Recorder<'_>) {
        let recorder = Recorder {
            first,
            offsets: &mut self.offsets,
            lengths: &mut self.lengths,
            origin_of: &mut self.origin_of,
            origins: &mut self.origins,
        };
        (&mut self.buffer[first * STRIDE..(first + slots) * STRIDE], recorder)
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Return one datagram by its row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> DatagramRef<'_> {
        let start = self.offsets[row] as usize;
        DatagramRef {
            data: &self.buffer[start..start + self.lengths[row] as usize],
            origin: &self.origins[self.origin_of[row] as usize],
        }
    }
}

/// Writes the columns while the buffer is borrowed for receiving.
pub(super) struct Recorder<'a> {
    first: usize,
    offsets: &'a mut Vec<u32>,
    lengths: &'a mut Vec<u32>,
    origin_of: &'a mut Vec<u32>,
    origins: &'a mut Vec<Origin>,
}

impl Recorder<'_> {
    /// Record the buffer received into a slot, counted from the first of these slots. Returns the number of datagrams.
    pub(super) fn record(&mut self, slot: usize, arrival: &Arrival) -> usize {
        let origin = self.origins.len() as u32;
        self.origins.push(Origin {
            sender: arrival.sender,
            group: arrival.told.destination,
            interface: arrival.told.interface,
            timestamp_ns: arrival.told.timestamp_ns,
            ttl: arrival.told.ttl,
            truncated: arrival.truncated,
        });
        let start = (self.first + slot) * STRIDE;
        let Split { count, size, last } = split(arrival.length, arrival.told.segment);
        // All offsets are below SLOTS * STRIDE, some four million.
        self.offsets.extend((0..count).map(|part| (start + part * size) as u32));
        self.lengths.extend(repeat_n(size as u32, count - 1));
        self.lengths.push(last as u32);
        self.origin_of.extend(repeat_n(origin, count));
        count
    }
}

/// Storages to use again once nobody else holds them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    storages: Vec<Arc<Storage>>,
}

/// The most storages that the pool keeps.
const MAX_POOLED: usize = 4;

impl Pool {
    /// Return a storage that nobody else holds: `Arc::get_mut` on it succeeds.
    pub(super) fn take(&mut self) -> Arc<Storage> {
        match self.storages.iter_mut().position(|storage| Arc::get_mut(storage).is_some()) {
            Some(free) => self.storages.swap_remove(free),
            None => Arc::new(Storage::new()),
        }
    }

    /// Keep a storage that others can still hold.
    pub(super) fn keep(&mut self, storage: Arc<Storage>) {
        if self.storages.len() < MAX_POOLED {
            self.storages.push(storage);
        }
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::sys::Told;

    /// A buffer of this length and segment size, as the kernel would report it.
    pub(crate) fn arrival(length: usize, segment: usize) -> Arrival {
        Arrival {
            length,
            truncated: false,
            sender: "10.0.0.1:7".parse().unwrap(),
            told: Told { segment, interface: 3, ..Told::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::arrival;
    use super::*;

    #[test]
    fn storage_packed_keeps_every_datagram() {
        let mut storage = Storage::new();
        let mut expected = Vec::new();
        let mut first = 0;
        for round in 0..3u8 {
            let (buffer, mut recorder) = storage.fill(first, 3);
            for (slot, (length, segment)) in [(700, 300), (0, 0), (30_000, 0)].into_iter().enumerate() {
                let filling = round * 3 + slot as u8;
                buffer[slot * STRIDE..][..length].fill(filling);
                recorder.record(slot, &arrival(length, segment));
                let parts: &[usize] = if segment == 0 { &[length] } else { &[300, 300, 100] };
                expected.extend(parts.iter().map(|&part| vec![filling; part]));
            }
            first = storage.pack();
            assert_eq!(first, ((usize::from(round) + 1) * 30_700).div_ceil(STRIDE));
        }
        assert_eq!(storage.len(), expected.len());
        assert!((0..storage.len()).all(|row| storage.row(row).data == expected[row]));
    }

    #[test]
    fn storage_with_long_datagrams_is_not_packed() {
        let mut storage = Storage::new();
        let (_, mut recorder) = storage.fill(0, SLOTS);
        for slot in 0..SLOTS {
            recorder.record(slot, &arrival(513, 0));
        }
        let before = storage.offsets.clone();
        assert_eq!(storage.pack(), SLOTS);
        assert_eq!(storage.offsets, before);
    }

    #[test]
    fn pool_reuses_memory_only_if_nobody_holds_it() {
        let mut pool = Pool::default();
        let first = pool.take();
        let address = Arc::as_ptr(&first);
        let held = Arc::clone(&first);
        pool.keep(first);
        let second = pool.take();
        assert_ne!(Arc::as_ptr(&second), address);
        pool.keep(second);
        drop(held);
        let again = [pool.take(), pool.take()];
        assert!(again.iter().any(|storage| Arc::as_ptr(storage) == address));
    }
}
