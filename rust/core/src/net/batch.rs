//! What was received at once, by a few kernel calls: one buffer, and columns that say where each datagram lies in it.

use std::iter::repeat_n;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use crate::pure::plan::{Cut, cut};
use crate::sys::Arrival;

/// Octets of a slot: any UDP datagram, and any buffer that the kernel coalesces (65,535 octets at most).
const SLOT: usize = 65_536;
/// Slots that all start on a page boundary fall into the same cache sets; three lines more spread them.
const STAGGER: usize = 192;
/// Distance from one slot to the next.
pub(super) const STRIDE: usize = SLOT + STAGGER;
/// Slots that one kernel call can fill.
pub(super) const SLOTS: usize = 64;

/// What is known of a received buffer; all datagrams that the kernel coalesced into it share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who sent it.
    pub sender: SocketAddr,
    /// The group it was sent to, where the system tells.
    pub group: Option<IpAddr>,
    /// Index of the interface it came in by; 0 where the system does not tell.
    pub interface: u32,
    /// When the kernel received it, in nanoseconds since the Unix epoch, where it tells.
    pub timestamp_ns: Option<i64>,
    /// Its remaining hops, where the system tells.
    pub ttl: Option<u8>,
    /// Longer than any datagram may be: the end is missing.
    pub truncated: bool,
}

/// Octets that are moved together at most to make room: 512 for each slot on average. Longer datagrams are handed over as
/// they lie, since copying them would cost more than a larger batch saves.
const PACKED_OCTETS: usize = SLOTS * 512;

/// Payload octets and datagrams that a compact storage takes at most, unless a single datagram is longer.
const COMPACT_OCTETS: usize = 65_536;
const COMPACT_ROWS: usize = 1024;

/// The memory of a few kernel calls, or of datagrams that were copied together. Written while nobody else holds it,
/// read-only after.
#[derive(Debug)]
pub(super) struct Storage {
    buffer: Vec<u8>,
    offsets: Vec<u32>,
    lengths: Vec<u32>,
    /// For each datagram its place in `origins`.
    origin_of: Vec<u32>,
    origins: Vec<Origin>,
    /// This many of the first datagrams lie together at the front of the buffer, in so many octets.
    packed: (usize, usize),
}

impl Storage {
    pub(super) fn new() -> Self {
        Self {
            // Zeroed memory of this size comes from the system untouched: it costs address space until it is used.
            buffer: vec![0; SLOTS * STRIDE],
            offsets: Vec::with_capacity(SLOTS),
            lengths: Vec::with_capacity(SLOTS),
            origin_of: Vec::with_capacity(SLOTS),
            origins: Vec::with_capacity(SLOTS),
            packed: (0, 0),
        }
    }

    /// Without room yet: it grows with what is copied to it.
    fn compact() -> Self {
        Self {
            buffer: Vec::new(),
            offsets: Vec::new(),
            lengths: Vec::new(),
            origin_of: Vec::new(),
            origins: Vec::new(),
            packed: (0, 0),
        }
    }

    /// Copies one datagram to the end of a compact storage; false where it is full.
    fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        let start = self.buffer.len();
        let end = start + datagram.data.len();
        if !self.offsets.is_empty() && (end > COMPACT_OCTETS || self.offsets.len() == COMPACT_ROWS) {
            return false;
        }
        if end > self.buffer.capacity() {
            // Twice as much each time, but never more than it may take.
            let wanted = end.max((2 * self.buffer.capacity()).min(COMPACT_OCTETS));
            self.buffer.reserve_exact(wanted - start);
        }
        self.buffer.extend_from_slice(datagram.data);
        if self.origins.last() != Some(datagram.origin) {
            self.origins.push(*datagram.origin);
        }
        // All of these are below 2^17: the longest datagram, or one that fits behind others.
        self.offsets.push(start as u32);
        self.lengths.push(datagram.data.len() as u32);
        self.origin_of.push(self.origins.len() as u32 - 1);
        true
    }

    /// Forgets what was received before.
    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.lengths.clear();
        self.origin_of.clear();
        self.origins.clear();
        self.packed = (0, 0);
    }

    /// Moves what was received together at the front, and returns the first slot that is free then; `SLOTS` where
    /// nothing was moved, because it is too much.
    pub(super) fn pack(&mut self) -> usize {
        let (rows, mut end) = self.packed;
        let octets: usize = self.lengths[rows..].iter().map(|&length| length as usize).sum();
        if octets > PACKED_OCTETS {
            return SLOTS;
        }
        for (offset, &length) in self.offsets[rows..].iter_mut().zip(&self.lengths[rows..]) {
            let (start, length) = (*offset as usize, length as usize);
            self.buffer.copy_within(start..start + length, end);
            // Below what it was before.
            *offset = end as u32;
            end += length;
        }
        self.packed = (self.offsets.len(), end);
        end.div_ceil(STRIDE)
    }

    /// The slots from `first` on to be filled, together with a recorder of what comes into them.
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

    /// One datagram, by its row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> DatagramRef<'_> {
        let start = self.offsets[row] as usize;
        DatagramRef {
            data: &self.buffer[start..start + self.lengths[row] as usize],
            origin: &self.origins[self.origin_of[row] as usize],
        }
    }
}

/// Writes the columns while the buffer is being filled.
pub(super) struct Recorder<'a> {
    first: usize,
    offsets: &'a mut Vec<u32>,
    lengths: &'a mut Vec<u32>,
    origin_of: &'a mut Vec<u32>,
    origins: &'a mut Vec<Origin>,
}

impl Recorder<'_> {
    /// Notes what arrived in a slot, counted from the first of these; returns how many datagrams it was.
    pub(super) fn note(&mut self, slot: usize, arrival: &Arrival) -> usize {
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
        let Cut { count, size, last } = cut(arrival.length, arrival.told.segment);
        // All offsets are below SLOTS * STRIDE, some four million.
        self.offsets.extend((0..count).map(|part| (start + part * size) as u32));
        self.lengths.extend(repeat_n(size as u32, count - 1));
        self.lengths.push(last as u32);
        self.origin_of.extend(repeat_n(origin, count));
        count
    }
}

/// Some datagrams in the order the socket received them. Cheap to clone and to slice; immutable, so it may be read
/// from any thread for as long as anyone holds it.
#[derive(Debug, Clone)]
pub struct Batch {
    storage: Arc<Storage>,
    rows: Range<usize>,
}

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub struct DatagramRef<'a> {
    /// The payload.
    pub data: &'a [u8],
    /// Where it came from.
    pub origin: &'a Origin,
}

impl Batch {
    pub(super) fn new(storage: Arc<Storage>, rows: Range<usize>) -> Self {
        debug_assert!(rows.end <= storage.len());
        Self { storage, rows }
    }

    /// An empty batch with a storage of its own that is just as large as what is copied to it.
    pub(super) fn compact() -> Self {
        Self::new(Arc::new(Storage::compact()), 0..0)
    }

    /// Copies one datagram to the end of a compact storage; false where somebody else holds it too, or it is full.
    pub(super) fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        let appended = Arc::get_mut(&mut self.storage).is_some_and(|storage| storage.append(datagram));
        self.rows.end += usize::from(appended);
        appended
    }

    /// Takes the first `count` off, or all there are.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let front = self.slice(0..count);
        self.advance(front.len());
        front
    }

    /// Forgets the first `count`, or all there are.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.rows.start += count.min(self.rows.len());
    }

    /// Octets that the storage has room for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn reserved(&self) -> usize {
        self.storage.buffer.capacity()
    }

    /// How many datagrams it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One datagram, by its place from 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<DatagramRef<'_>> {
        (index < self.rows.len()).then(|| self.storage.row(self.rows.start + index))
    }

    /// All datagrams, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DatagramRef<'_>> {
        self.rows.clone().map(|row| self.storage.row(row))
    }

    /// A part of it, sharing the memory; clamped to what there is.
    pub fn slice(&self, part: Range<usize>) -> Self {
        let clamp = |at: usize| (self.rows.start + at.min(self.rows.len())).min(self.rows.end);
        let (start, end) = (clamp(part.start), clamp(part.end));
        Self { storage: Arc::clone(&self.storage), rows: start..end.max(start) }
    }

    /// The buffer that [`Batch::offsets`] lead into. What lies between the datagrams has no meaning.
    pub fn data(&self) -> &[u8] {
        &self.storage.buffer
    }

    /// Where each datagram starts in [`Batch::data`].
    pub fn offsets(&self) -> &[u32] {
        &self.storage.offsets[self.rows.clone()]
    }

    /// Octets of each datagram.
    pub fn lengths(&self) -> &[u32] {
        &self.storage.lengths[self.rows.clone()]
    }

    /// For each datagram its place in [`Batch::origins`].
    pub fn origin_of(&self) -> &[u32] {
        &self.storage.origin_of[self.rows.clone()]
    }

    /// Where the datagrams came from; the ones that the kernel coalesced share an entry.
    pub fn origins(&self) -> &[Origin] {
        &self.storage.origins
    }
}

/// Storages to be used again once nobody holds a view of them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    storages: Vec<Arc<Storage>>,
}

/// More than this many held at once are not kept for later.
const POOLED: usize = 4;

impl Pool {
    /// A storage that nobody else holds: `Arc::get_mut` on it succeeds.
    pub(super) fn take(&mut self) -> Arc<Storage> {
        match self.storages.iter_mut().position(|storage| Arc::get_mut(storage).is_some()) {
            Some(free) => self.storages.swap_remove(free),
            None => Arc::new(Storage::new()),
        }
    }

    /// Remembers a storage that others may hold still.
    pub(super) fn keep(&mut self, storage: Arc<Storage>) {
        if self.storages.len() < POOLED {
            self.storages.push(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Told;

    fn arrival(length: usize, segment: usize) -> Arrival {
        Arrival {
            length,
            truncated: false,
            sender: "10.0.0.1:7".parse().unwrap(),
            told: Told { segment, interface: 3, ..Told::default() },
        }
    }

    fn filled(arrivals: &[(usize, usize)]) -> Batch {
        let mut storage = Storage::new();
        let (buffer, mut recorder) = storage.fill(0, SLOTS);
        for (slot, &(length, segment)) in arrivals.iter().enumerate() {
            for (i, octet) in buffer[slot * STRIDE..][..length].iter_mut().enumerate() {
                *octet = (slot + i / segment.max(1)) as u8;
            }
            recorder.note(slot, &arrival(length, segment));
        }
        let rows = 0..storage.len();
        Batch::new(Arc::new(storage), rows)
    }

    #[test]
    fn coalesced_buffers_are_cut_and_share_their_origin() {
        let batch = filled(&[(5, 0), (250, 100), (0, 0), (65_507, 0)]);
        let lengths: Vec<_> = batch.iter().map(|d| d.data.len()).collect();
        assert_eq!(lengths, [5, 100, 100, 50, 0, 65_507]);
        assert_eq!(batch.origin_of(), [0, 1, 1, 1, 2, 3]);
        assert_eq!(batch.get(2).unwrap().data, [2; 100]);
        assert!(batch.get(6).is_none());
        let at = batch.offsets()[3] as usize;
        assert_eq!(&batch.data()[at..at + 50], &[3; 50]);
    }

    #[test]
    fn a_slice_keeps_to_what_there_is() {
        let batch = filled(&[(250, 50)]);
        assert_eq!(batch.len(), 5);
        let middle = batch.slice(1..3);
        assert_eq!((middle.len(), middle.get(0).unwrap().data[0]), (2, 1));
        assert_eq!(middle.slice(1..99).len(), 1);
        assert_eq!(middle.slice(7..9).len(), 0);
        assert!(middle.slice(2..2).is_empty());
    }

    #[test]
    fn packing_moves_datagrams_and_changes_none() {
        let mut storage = Storage::new();
        let mut expected = Vec::new();
        let mut first = 0;
        for round in 0..3u8 {
            let (buffer, mut recorder) = storage.fill(first, 3);
            for (slot, (length, segment)) in [(700, 300), (0, 0), (30_000, 0)].into_iter().enumerate() {
                let filling = round * 3 + slot as u8;
                buffer[slot * STRIDE..][..length].fill(filling);
                recorder.note(slot, &arrival(length, segment));
                let parts: &[usize] = if segment == 0 { &[length] } else { &[300, 300, 100] };
                expected.extend(parts.iter().map(|&part| vec![filling; part]));
            }
            first = storage.pack();
            assert_eq!(first, ((usize::from(round) + 1) * 30_700).div_ceil(STRIDE));
        }
        let batch = Batch::new(Arc::new(storage), 0..expected.len());
        assert!(batch.iter().map(|datagram| datagram.data).eq(expected.iter().map(Vec::as_slice)));
    }

    #[test]
    fn what_is_too_long_to_move_stays_where_it_is() {
        let mut storage = Storage::new();
        let (_, mut recorder) = storage.fill(0, SLOTS);
        for slot in 0..SLOTS {
            recorder.note(slot, &arrival(513, 0));
        }
        let before = storage.offsets.clone();
        assert_eq!(storage.pack(), SLOTS);
        assert_eq!(storage.offsets, before);
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_holds_it() {
        let mut pool = Pool::default();
        let first = pool.take();
        let address = Arc::as_ptr(&first);
        let held = Batch::new(Arc::clone(&first), 0..0);
        pool.keep(first);
        let second = pool.take();
        assert_ne!(Arc::as_ptr(&second), address);
        pool.keep(second);
        drop(held);
        let again = [pool.take(), pool.take()];
        assert!(again.iter().any(|storage| Arc::as_ptr(storage) == address));
    }
}
