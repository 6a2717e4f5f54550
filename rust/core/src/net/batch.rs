//! Batches: views of a storage that can be shared, sliced and read from any thread.

use std::ops::Range;
use std::sync::Arc;

use super::datagram::{DatagramRef, Origin};
#[cfg(all(test, not(loom)))]
use super::storage::Buffer;
use super::storage::Storage;

/// Some datagrams in the order in which the socket received them.
///
/// A batch is cheap to clone and to slice. It is immutable, so any thread can read it for as long as it holds it.
#[derive(Debug, Clone)]
pub struct Batch {
    storage: Arc<Storage>,
    rows: Range<usize>,
}

impl Batch {
    pub(super) fn new(storage: Arc<Storage>, rows: Range<usize>) -> Self {
        debug_assert!(rows.end <= storage.len());
        Self { storage, rows }
    }

    /// Make an empty batch with a storage of its own that grows with the datagrams that are copied to it.
    pub(super) fn compact() -> Self {
        Self::new(Arc::new(Storage::compact()), 0..0)
    }

    /// Copy one datagram to the end of a compact storage. Returns false if the storage is shared or full.
    pub(super) fn append(&mut self, datagram: DatagramRef<'_>) -> bool {
        let appended = Arc::get_mut(&mut self.storage).is_some_and(|storage| storage.append(datagram));
        self.rows.end += usize::from(appended);
        appended
    }

    /// Split off the first `count` datagrams, or all if there are fewer.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let front = self.slice(0..count);
        self.advance(front.len());
        front
    }

    /// Drop the first `count` datagrams, or all if there are fewer.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.rows.start += count.min(self.rows.len());
    }

    /// The capacity of the storage in bytes.
    #[cfg(all(test, not(loom)))]
    pub(super) fn reserved(&self) -> usize {
        match &self.storage.buffer {
            Buffer::Compact(bytes) => bytes.capacity(),
            Buffer::Slots(pages) => pages.len(),
        }
    }

    /// The number of datagrams.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no datagrams.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Return one datagram by its index from 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<DatagramRef<'_>> {
        (index < self.rows.len()).then(|| self.storage.row(self.rows.start + index))
    }

    /// Iterate over all datagrams in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DatagramRef<'_>> {
        self.rows.clone().map(|row| self.storage.row(row))
    }

    /// Return a part that shares the memory. The range is clamped to the datagrams that exist.
    pub fn slice(&self, part: Range<usize>) -> Self {
        let clamp = |at: usize| (self.rows.start + at.min(self.rows.len())).min(self.rows.end);
        let (start, end) = (clamp(part.start), clamp(part.end));
        Self { storage: Arc::clone(&self.storage), rows: start..end.max(start) }
    }

    /// The buffer that [`Batch::offsets`] index. The bytes between datagrams are unspecified.
    pub fn data(&self) -> &[u8] {
        &self.storage.buffer
    }

    /// The start of each datagram in [`Batch::data`].
    pub fn offsets(&self) -> &[u32] {
        &self.storage.offsets[self.rows.clone()]
    }

    /// The length of each datagram in bytes.
    pub fn lengths(&self) -> &[u32] {
        &self.storage.lengths[self.rows.clone()]
    }

    /// For each datagram its index in [`Batch::origins`].
    pub fn origin_of(&self) -> &[u32] {
        &self.storage.origin_of[self.rows.clone()]
    }

    /// The origins of the datagrams. Datagrams that the kernel coalesced share one.
    pub fn origins(&self) -> &[Origin] {
        &self.storage.origins
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::samples::arrival;
    use super::super::storage::{SLOTS, STRIDE};
    use super::*;

    fn filled(arrivals: &[(usize, usize)]) -> Batch {
        let mut storage = Storage::new().unwrap();
        let (buffer, mut recorder) = storage.fill(0, SLOTS).unwrap();
        for (slot, &(length, segment)) in arrivals.iter().enumerate() {
            for (i, byte) in buffer[slot * STRIDE..][..length].iter_mut().enumerate() {
                *byte = (slot + i / segment.max(1)) as u8;
            }
            recorder.record(slot, &arrival(length, segment));
        }
        let rows = 0..storage.len();
        Batch::new(Arc::new(storage), rows)
    }

    #[test]
    fn batch_of_coalesced_buffers_is_split_and_shares_origins() {
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
    fn slice_is_clamped_to_the_batch() {
        let batch = filled(&[(250, 50)]);
        assert_eq!(batch.len(), 5);
        let middle = batch.slice(1..3);
        assert_eq!((middle.len(), middle.get(0).unwrap().data[0]), (2, 1));
        assert_eq!(middle.slice(1..99).len(), 1);
        assert_eq!(middle.slice(7..9).len(), 0);
        assert!(middle.slice(2..2).is_empty());
    }
}
