//! Copying datagrams into a storage one after the other, for an engine that does not receive into slots.

use std::collections::TryReserveError;
use std::io;
use std::iter::repeat_n;

use super::datagram::Origin;
use super::storage::{Buffer, LONG, STRIDE, Storage};
use crate::pure::coalesce::{Split, split};

/// Writes datagrams behind those that a storage has.
pub(super) struct Packer<'a> {
    buffer: &'a mut [u8],
    offsets: &'a mut Vec<u32>,
    lengths: &'a mut Vec<u32>,
    origin_of: &'a mut Vec<u32>,
    origins: &'a mut Vec<Origin>,
    packed: &'a mut (usize, usize),
    long_bytes: &'a mut usize,
    /// All datagrams of the storage are packed, so the next ones can follow them directly.
    is_packed: bool,
    start: usize,
    end: usize,
}

impl Storage {
    /// Return a packer that writes into the slots from `first` up to `end`, and into the rest of the slot before
    /// `first` if all datagrams so far are packed.
    pub(super) fn packer(&mut self, first: usize, end: usize) -> io::Result<Packer<'_>> {
        let is_packed = self.packed.0 == self.len();
        let start = if is_packed { self.packed.1 } else { first * STRIDE };
        let Buffer::Slots(buffer) = &mut self.buffer else {
            return Err(io::Error::other("a compact buffer has no slots"));
        };
        Ok(Packer {
            buffer: &mut buffer[..end * STRIDE],
            offsets: &mut self.offsets,
            lengths: &mut self.lengths,
            origin_of: &mut self.origin_of,
            origins: &mut self.origins,
            packed: &mut self.packed,
            long_bytes: &mut self.long_bytes,
            is_packed,
            start,
            end: start,
        })
    }
}

impl Packer<'_> {
    /// The datagrams of the storage.
    #[inline]
    pub(super) fn rows(&self) -> usize {
        self.offsets.len()
    }

    /// The bytes that are free.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// Copy a buffer of one or more datagrams, all of `segment` bytes but the last; 0 means one. It must fit in the
    /// room. Returns the number of datagrams.
    #[inline]
    pub(super) fn pack(&mut self, data: &[u8], segment: usize, origin: Origin) -> Result<usize, TryReserveError> {
        let Split { count, size, last } = split(data.len(), segment);
        self.offsets.try_reserve(count)?;
        self.lengths.try_reserve(count)?;
        self.origin_of.try_reserve(count)?;
        self.origins.try_reserve(1)?;
        let start = self.end;
        self.buffer[start..start + data.len()].copy_from_slice(data);
        self.end += data.len();
        // All these numbers are below SLOTS * STRIDE, some four million.
        let at = self.origins.len() as u32;
        self.origins.push(origin);
        if count == 1 {
            self.offsets.push(start as u32);
            self.lengths.push(last as u32);
            self.origin_of.push(at);
            return Ok(1);
        }
        self.offsets.extend((0..count).map(|part| (start + part * size) as u32));
        self.lengths.extend(repeat_n(size as u32, count - 1));
        self.lengths.push(last as u32);
        self.origin_of.extend(repeat_n(at, count));
        Ok(count)
    }

    /// Return the first slot that is free now.
    pub(super) fn finish(self) -> usize {
        if self.is_packed {
            *self.packed = (self.offsets.len(), self.end);
        }
        if self.end - self.start > LONG {
            *self.long_bytes += self.end - self.start;
        }
        self.end.div_ceil(STRIDE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::SLOTS;
    use super::super::storage::samples::arrival;
    use super::*;

    fn origin() -> Origin {
        Origin {
            sender: "10.0.0.1:7".parse().unwrap(),
            group: None,
            interface: 3,
            timestamp_ns: None,
            ttl: None,
            truncated: false,
        }
    }

    fn payloads(storage: &Storage) -> Vec<&[u8]> {
        (0..storage.len()).map(|row| storage.row(row).data).collect()
    }

    #[test]
    fn packer_goes_on_where_the_last_one_stopped() {
        let mut storage = Storage::new().unwrap();
        let mut packer = storage.packer(0, SLOTS).unwrap();
        assert_eq!(packer.pack(b"one", 0, origin()).unwrap(), 1);
        assert_eq!(packer.pack(b"aabbc", 2, origin()).unwrap(), 3);
        assert_eq!(packer.finish(), 1);
        assert_eq!(storage.pack(), 1);
        let mut packer = storage.packer(1, SLOTS).unwrap();
        assert_eq!(packer.pack(b"", 0, origin()).unwrap(), 1);
        assert_eq!(packer.finish(), 1);
        assert_eq!(payloads(&storage), [&b"one"[..], b"aa", b"bb", b"c", b""]);
        assert_eq!((storage.packed, storage.origin_of.as_slice()), ((5, 8), &[0, 1, 1, 1, 2][..]));
    }

    #[test]
    fn packer_behind_slots_uses_free_slots() {
        let mut storage = Storage::new().unwrap();
        let (buffer, mut recorder) = storage.fill(0, 1).unwrap();
        buffer[..4].copy_from_slice(b"slot");
        recorder.record(0, &arrival(4, 0));
        let mut packer = storage.packer(1, 2).unwrap();
        assert_eq!(packer.room(), STRIDE);
        packer.pack(&[7; 65_535], 0, origin()).unwrap();
        assert_eq!(packer.finish(), 2);
        assert_eq!((payloads(&storage)[0], storage.row(1).data), (&b"slot"[..], &[7; 65_535][..]));
    }
}
