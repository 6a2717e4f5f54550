//! The memory that datagrams are received into: one buffer, and columns that say where each datagram is.

use std::collections::TryReserveError;
use std::hint::black_box;
use std::io;
use std::iter::repeat_n;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::datagram::{DatagramRef, Origin};
use crate::pure::coalesce::{Split, split};
use crate::sys::{Arrival, Pages};

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

/// Bytes of a datagram that uses more than the first page of its slot.
pub(super) const LONG: usize = 4096 - STAGGER;
/// Bytes of long datagrams that an idle receiver does not give back.
const MAX_IDLE_BYTES: usize = 131_072;

/// The most datagrams that a kernel call puts into one slot.
const MAX_IN_SLOT: usize = 128;

/// Small allocations that abort the process if they fail take less than this in total until the next
/// [`reserve_headroom`].
const HEADROOM: usize = 65_536;

/// Fail if there is not enough memory for the small allocations that follow. A failure of theirs would abort the
/// process.
pub(super) fn reserve_headroom() -> Result<(), TryReserveError> {
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(HEADROOM)?;
    // Freed at once, and the allocator keeps it for the allocations that follow. The compiler must not leave it out.
    drop(black_box(room));
    Ok(())
}

/// The bytes of a storage.
#[derive(Debug)]
pub(super) enum Buffer {
    /// All slots.
    Slots(Pages),
    /// Only what was copied.
    Compact(Vec<u8>),
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Slots(pages) => pages,
            Self::Compact(bytes) => bytes,
        }
    }
}

/// The memory of a few kernel calls, or of datagrams that were copied together. It is written while it has one owner
/// and read-only afterwards.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) buffer: Buffer,
    pub(super) offsets: Vec<u32>,
    pub(super) lengths: Vec<u32>,
    /// For each datagram its index in `origins`.
    pub(super) origin_of: Vec<u32>,
    pub(super) origins: Vec<Origin>,
    /// This many of the first datagrams are packed at the front of the buffer, in this many bytes.
    pub(super) packed: (usize, usize),
    /// Bytes of long datagrams that were received since the memory was last given back.
    pub(super) long_bytes: usize,
}

impl Storage {
    /// Make a storage with all slots.
    pub(super) fn new() -> io::Result<Self> {
        reserve_headroom()?;
        let buffer = Buffer::Slots(Pages::map(SLOTS * STRIDE)?);
        Ok(Self { buffer, ..Self::compact() })
    }

    /// Make a storage without room. It grows with the datagrams that are copied to it.
    pub(super) fn compact() -> Self {
        Self {
            buffer: Buffer::Compact(Vec::new()),
            offsets: Vec::new(),
            lengths: Vec::new(),
            origin_of: Vec::new(),
            origins: Vec::new(),
            packed: (0, 0),
            long_bytes: 0,
        }
    }

    /// Copy some rows into a storage of their size.
    pub(super) fn copy(&self, rows: Range<usize>) -> Result<Self, TryReserveError> {
        let mut copy = Self::compact();
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(self.payload_bytes(&rows))?;
        copy.offsets.try_reserve_exact(rows.len())?;
        copy.lengths.try_reserve_exact(rows.len())?;
        copy.origin_of.try_reserve_exact(rows.len())?;
        let origins = match (self.origin_of.get(rows.start), self.origin_of[rows.clone()].last()) {
            (Some(&first), Some(&last)) => first..last + 1,
            _ => 0..0,
        };
        let first = origins.start;
        copy.origins.try_reserve_exact(origins.len())?;
        copy.origins.extend_from_slice(&self.origins[origins.start as usize..origins.end as usize]);
        copy.origin_of.extend(self.origin_of[rows.clone()].iter().map(|origin| origin - first));
        copy.lengths.extend_from_slice(&self.lengths[rows.clone()]);
        // Datagrams that the kernel coalesced are next to each other, and are copied together.
        let mut run = 0..0;
        for (&offset, &length) in self.offsets[rows.clone()].iter().zip(&self.lengths[rows]) {
            copy.offsets.push((buffer.len() + run.len()) as u32);
            let start = offset as usize;
            if start != run.end {
                buffer.extend_from_slice(&self.buffer[run]);
                run = start..start;
            }
            run.end += length as usize;
        }
        buffer.extend_from_slice(&self.buffer[run]);
        copy.buffer = Buffer::Compact(buffer);
        Ok(copy)
    }

    /// The payload bytes of some rows.
    pub(super) fn payload_bytes(&self, rows: &Range<usize>) -> usize {
        self.lengths[rows.clone()].iter().map(|&length| length as usize).sum()
    }

    /// Copy one datagram to the end of a compact storage. Returns false if the storage is full, or memory is scarce.
    pub(super) fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        self.try_append(datagram).unwrap_or(false)
    }

    fn try_append(&mut self, datagram: DatagramRef<'_>) -> Result<bool, TryReserveError> {
        let Buffer::Compact(buffer) = &mut self.buffer else { return Ok(false) };
        let start = buffer.len();
        let end = start + datagram.data.len();
        if !self.offsets.is_empty() && (end > MAX_COMPACT_BYTES || self.offsets.len() == MAX_COMPACT_ROWS) {
            return Ok(false);
        }
        if end > buffer.capacity() {
            // Double the capacity each time, up to the limit.
            let wanted = end.max((2 * buffer.capacity()).min(MAX_COMPACT_BYTES));
            buffer.try_reserve_exact(wanted - start)?;
        }
        self.offsets.try_reserve(1)?;
        self.lengths.try_reserve(1)?;
        self.origin_of.try_reserve(1)?;
        self.origins.try_reserve(1)?;
        buffer.extend_from_slice(datagram.data);
        if self.origins.last() != Some(datagram.origin) {
            self.origins.push(*datagram.origin);
        }
        // All these numbers are below 2^17.
        self.offsets.push(start as u32);
        self.lengths.push(datagram.data.len() as u32);
        self.origin_of.push(self.origins.len() as u32 - 1);
        Ok(true)
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
        if self.payload_bytes(&(rows..self.len())) > MAX_PACKED_BYTES {
            return SLOTS;
        }
        let Buffer::Slots(buffer) = &mut self.buffer else { return SLOTS };
        for (offset, &length) in self.offsets[rows..].iter_mut().zip(&self.lengths[rows..]) {
            let (start, length) = (*offset as usize, length as usize);
            buffer.copy_within(start..start + length, end);
            // Smaller than the old offset.
            *offset = end as u32;
            end += length;
        }
        self.packed = (self.offsets.len(), end);
        end.div_ceil(STRIDE)
    }

    /// Return the first free slot, after moving the datagrams together if there is none; `SLOTS` if there is none even
    /// so.
    pub(super) fn make_room(&mut self) -> usize {
        let ends = self.offsets.last().zip(self.lengths.last());
        let free = ends.map_or(0, |(&offset, &length)| (offset + length) as usize).div_ceil(STRIDE);
        if free < SLOTS { free } else { self.pack() }
    }

    /// Return the `slots` slots from `first` on, and a recorder of what is received into them. Fails if there is not
    /// enough memory for the columns of all that these slots can hold.
    pub(super) fn fill(&mut self, first: usize, slots: usize) -> io::Result<(&mut [u8], Recorder<'_>)> {
        let Buffer::Slots(buffer) = &mut self.buffer else {
            return Err(io::Error::other("a compact buffer has no slots"));
        };
        self.offsets.try_reserve(slots * MAX_IN_SLOT)?;
        self.lengths.try_reserve(slots * MAX_IN_SLOT)?;
        self.origin_of.try_reserve(slots * MAX_IN_SLOT)?;
        self.origins.try_reserve(slots)?;
        let recorder = Recorder {
            first,
            offsets: &mut self.offsets,
            lengths: &mut self.lengths,
            origin_of: &mut self.origin_of,
            origins: &mut self.origins,
            long_bytes: &mut self.long_bytes,
        };
        Ok((&mut buffer[first * STRIDE..(first + slots) * STRIDE], recorder))
    }

    /// Give the memory back to the system if long datagrams have used much of it.
    fn release(&mut self) {
        if let (Buffer::Slots(pages), true) = (&mut self.buffer, self.long_bytes > MAX_IDLE_BYTES) {
            pages.release();
            self.long_bytes = 0;
        }
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
    long_bytes: &'a mut usize,
}

impl Recorder<'_> {
    /// Record the buffer received into a slot, counted from the first of these slots. Returns the number of datagrams.
    pub(super) fn record(&mut self, slot: usize, arrival: &Arrival) -> usize {
        let origin = self.origins.len() as u32;
        self.origins.push(Origin {
            sender: arrival.sender,
            group: arrival.metadata.destination,
            interface: arrival.metadata.interface,
            timestamp_ns: arrival.metadata.timestamp_ns,
            ttl: arrival.metadata.ttl,
            truncated: arrival.truncated,
        });
        if arrival.length > LONG {
            *self.long_bytes += arrival.length;
        }
        let start = (self.first + slot) * STRIDE;
        let Split { count, size, last } = split(arrival.length, arrival.metadata.segment);
        // All offsets are below SLOTS * STRIDE, some four million.
        self.offsets.extend((0..count).map(|part| (start + part * size) as u32));
        self.lengths.extend(repeat_n(size as u32, count - 1));
        self.lengths.push(last as u32);
        self.origin_of.extend(repeat_n(origin, count));
        count
    }
}

/// Storages to reuse once nothing else holds them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    storages: Vec<Arc<Storage>>,
}

/// The most storages that the pool keeps.
const MAX_POOLED: usize = 4;

impl Pool {
    /// Return a storage that nothing else holds: `Arc::get_mut` on it succeeds.
    pub(super) fn take(&mut self) -> io::Result<Arc<Storage>> {
        match self.storages.iter_mut().position(|storage| Arc::get_mut(storage).is_some()) {
            Some(free) => Ok(self.storages.swap_remove(free)),
            None => Ok(Arc::new(Storage::new()?)),
        }
    }

    /// Keep a storage that others can still hold.
    pub(super) fn keep(&mut self, storage: Arc<Storage>) {
        if self.storages.len() < MAX_POOLED {
            self.storages.push(storage);
        }
    }

    /// Whether the user holds batches, beyond the last one that a loop still has while it takes the next.
    pub(super) fn is_held(&self) -> bool {
        self.storages.iter().filter(|storage| Arc::strong_count(storage) > 1).count() > 1
    }

    /// Whether long datagrams have used much memory.
    pub(super) fn has_long(&self) -> bool {
        self.storages.iter().any(|storage| storage.long_bytes > MAX_IDLE_BYTES)
    }

    /// Give that memory back to the system, unless something else holds it.
    pub(super) fn release(&mut self) {
        self.storages.iter_mut().filter_map(Arc::get_mut).for_each(Storage::release);
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::sys::Metadata;

    /// A buffer of this length and segment size, as the kernel would report it.
    pub(crate) fn arrival(length: usize, segment: usize) -> Arrival {
        Arrival {
            length,
            truncated: false,
            sender: "10.0.0.1:7".parse().unwrap(),
            metadata: Metadata { segment, interface: 3, ..Metadata::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::arrival;
    use super::*;

    #[test]
    fn storage_packed_keeps_every_datagram() {
        let mut storage = Storage::new().unwrap();
        let mut expected = Vec::new();
        let mut first = 0;
        for round in 0..3u8 {
            let (buffer, mut recorder) = storage.fill(first, 3).unwrap();
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
        let mut storage = Storage::new().unwrap();
        let (_, mut recorder) = storage.fill(0, SLOTS).unwrap();
        for slot in 0..SLOTS {
            recorder.record(slot, &arrival(513, 0));
        }
        let before = storage.offsets.clone();
        assert_eq!(storage.pack(), SLOTS);
        assert_eq!(storage.offsets, before);
    }

    #[test]
    fn storage_with_free_slots_has_room_without_packing() {
        let mut storage = Storage::new().unwrap();
        assert_eq!(storage.make_room(), 0);
        for (slots, length, room) in [(2, 40_000, 2), (SLOTS - 2, 100, SLOTS)] {
            let first = storage.make_room();
            let (_, mut recorder) = storage.fill(first, slots).unwrap();
            (0..slots).for_each(|slot| _ = recorder.record(slot, &arrival(length, 0)));
            assert_eq!(storage.make_room(), room);
        }
        storage.clear();
        let (_, mut recorder) = storage.fill(0, SLOTS).unwrap();
        (0..SLOTS).for_each(|slot| _ = recorder.record(slot, &arrival(100, 0)));
        assert_eq!(storage.make_room(), 1);
    }

    #[test]
    fn storage_copied_has_the_size_of_its_rows() {
        let mut storage = Storage::new().unwrap();
        let (buffer, mut recorder) = storage.fill(0, 4).unwrap();
        for (slot, (length, segment)) in [(5, 0), (700, 300), (0, 0), (30_000, 0)].into_iter().enumerate() {
            buffer[slot * STRIDE..][..length].iter_mut().enumerate().for_each(|(at, byte)| *byte = (slot + at) as u8);
            recorder.record(slot, &arrival(length, segment));
        }
        for (start, end) in [(0, 6), (0, 0), (2, 5), (1, 2), (5, 6), (6, 6)] {
            let copy = storage.copy(start..end).unwrap();
            assert_eq!((copy.len(), copy.buffer.len()), (end - start, storage.payload_bytes(&(start..end))));
            for row in start..end {
                assert_eq!(copy.row(row - start).data, storage.row(row).data);
                assert_eq!(copy.row(row - start).origin, storage.row(row).origin);
            }
        }
    }

    #[test]
    fn pool_reuses_memory_only_if_nobody_holds_it() {
        let mut pool = Pool::default();
        let first = pool.take().unwrap();
        let address = Arc::as_ptr(&first);
        let held = Arc::clone(&first);
        pool.keep(first);
        let second = pool.take().unwrap();
        assert_ne!(Arc::as_ptr(&second), address);
        pool.keep(second);
        drop(held);
        let again = [pool.take().unwrap(), pool.take().unwrap()];
        assert!(again.iter().any(|storage| Arc::as_ptr(storage) == address));
    }
}
