//! Reading datagrams from the sockets into memory, under a lock of its own.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use socket2::Socket;

use super::batch::Batch;
use super::datagram::DatagramRef;
use super::journal::Journal;
use super::socket_set::SocketTable;
use super::stats::ReceiverStats;
use super::storage::{Pool, SLOTS, STRIDE, Storage};
use crate::error::{Error, Result};
use crate::pure::coalesce::split;
use crate::sys::ReceiveQueue;

/// Kernel calls of one fill. After these, other threads get the lock and the caller can check its signals and timeout.
const MAX_CALLS: usize = 16;

/// Slots of a kernel call after a pause in the traffic.
const MIN_SLOT_COUNT: usize = 4;

/// The least memory that a queued datagram takes, with the kernel's bookkeeping, on any system. In bytes.
const MIN_QUEUED_BYTES: usize = 256;

/// What receiving needs. Locked for no longer than a few kernel calls that do not block.
pub(super) struct Fetch {
    queue: ReceiveQueue,
    pool: Pool,
    /// What was received and not yet taken: the remaining rows of a storage.
    pending: Option<(Arc<Storage>, Range<usize>)>,
    /// Indexes of the sockets that had something to read when last asked. The last one is read next.
    ready: Vec<usize>,
    /// Slots of the next kernel call: twice as many as the last one filled. Preparing all slots for a single datagram
    /// costs a tenth of its processing time.
    next_slot_count: usize,
    pub(super) stats: ReceiverStats,
}

/// The result of one fill, apart from the datagrams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filled {
    /// The only socket is known to have nothing more to read.
    pub(super) drained: bool,
    /// The monitor has something to report, or the timer of the set expired.
    pub(super) monitor_ready: bool,
}

impl Fetch {
    pub(super) fn new(recv_buffer_requested: Option<usize>) -> Self {
        Self {
            queue: ReceiveQueue::new(SLOTS),
            pool: Pool::default(),
            pending: None,
            ready: Vec::new(),
            next_slot_count: MIN_SLOT_COUNT,
            stats: ReceiverStats { recv_buffer_requested, ..ReceiverStats::default() },
        }
    }

    /// Whether a wait is unnecessary.
    pub(super) fn has_work(&self) -> bool {
        self.pending.is_some() || !self.ready.is_empty()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// How many datagrams were received and not yet taken.
    pub(super) fn pending(&self) -> usize {
        self.pending.as_ref().map_or(0, |(_, rows)| rows.len())
    }

    /// Drop what was received and not yet taken.
    pub(super) fn clear(&mut self) {
        self.pending = None;
        self.ready.clear();
    }

    /// Take up to `max` datagrams of what was received before.
    pub(super) fn take_pending(&mut self, max: usize) -> Option<Batch> {
        let (storage, rows) = self.pending.take()?;
        let end = rows.end.min(rows.start.saturating_add(max));
        let batch = Batch::new(Arc::clone(&storage), rows.start..end);
        if end < rows.end {
            self.pending = Some((storage, end..rows.end));
        } else {
            self.pool.keep(storage);
        }
        Some(batch)
    }

    /// Call `use_it` with the next datagram of what was received before.
    #[inline]
    pub(super) fn next_pending<T>(&mut self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Option<T> {
        let (storage, rows) = self.pending.as_mut()?;
        let taken = use_it(storage.row(rows.start));
        rows.start += 1;
        if rows.start == rows.end {
            if let Some((storage, _)) = self.pending.take() {
                self.pool.keep(storage);
            }
        }
        Some(taken)
    }

    /// Receive into an unused storage until it has `limit` datagrams, or nothing more can be read.
    pub(super) fn fill(&mut self, table: &SocketTable, limit: usize, strict: bool) -> io::Result<Filled> {
        let mut storage = self.pool.take();
        let result = match Arc::get_mut(&mut storage) {
            Some(own) => {
                own.clear();
                self.receive(table, own, 0, limit.max(1), strict)
            }
            None => Err(io::Error::other("a pooled buffer is in use")),
        };
        if storage.len() > 0 {
            let rows = 0..storage.len();
            self.pending = Some((storage, rows));
        } else {
            self.pool.keep(storage);
        }
        result
    }

    /// Receive behind what was not taken yet, until that is `limit` datagrams or the storage is full. Does nothing if a
    /// batch shares the storage.
    pub(super) fn extend(&mut self, table: &SocketTable, limit: usize, strict: bool) -> io::Result<Filled> {
        let Some((mut storage, rows)) = self.pending.take() else {
            return self.fill(table, limit, strict);
        };
        let result = match Arc::get_mut(&mut storage) {
            Some(own) if rows.len() < limit => match own.pack() {
                SLOTS => Ok(Filled::default()),
                used => self.receive(table, own, used, limit.saturating_add(rows.start), strict),
            },
            _ => Ok(Filled::default()),
        };
        let rows = rows.start..storage.len();
        self.pending = Some((storage, rows));
        result
    }

    /// Receive into the slots from `used` on, until the storage has `limit` datagrams, or nothing more can be read.
    fn receive(
        &mut self,
        table: &SocketTable,
        storage: &mut Storage,
        mut used: usize,
        limit: usize,
        strict: bool,
    ) -> io::Result<Filled> {
        let alone = table.sockets.len() == 1;
        let mut filled = Filled::default();
        let mut looked = false;
        // Bounded, so that a flood does not keep the lock from other threads.
        for _ in 0..MAX_CALLS {
            if self.ready.is_empty() && !looked {
                // Also if all sockets of an earlier look were empty: others can have something now.
                looked = true;
                filled.monitor_ready |= self.look(table)?;
            }
            let Some(&next) = self.ready.last() else { break };
            if next >= table.sockets.len() {
                self.ready.pop();
                continue;
            }
            let asked = self.next_slot_count.min(SLOTS - used).min(limit.saturating_sub(storage.len()).max(1));
            let count = self.read_socket(table, next, storage, (used, asked), strict)?;
            used += count;
            filled.drained |= alone && count < asked;
            if storage.len() == 0 {
                used = 0;
                continue;
            }
            if count < asked || storage.len() >= limit {
                return Ok(filled);
            }
            if used == SLOTS {
                // Packing short datagrams makes room for more.
                used = storage.pack();
                if used == SLOTS {
                    return Ok(Filled { drained: false, ..filled });
                }
            }
        }
        if storage.len() > 0 {
            return Ok(Filled { drained: false, ..filled });
        }
        // A waiter on the descriptor of the set may have been woken by the monitor or the timer.
        if let (Some(set), true) = (&table.set, alone && self.ready.is_empty()) {
            filled.monitor_ready |= set.ready(&table.sockets, &mut self.ready)?;
        }
        Ok(filled)
    }

    /// Find the sockets to read. A single one is simply tried. Returns whether the monitor is ready.
    fn look(&mut self, table: &SocketTable) -> io::Result<bool> {
        match &table.set {
            Some(set) if table.sockets.len() != 1 => {
                let monitor_ready = set.ready(&table.sockets, &mut self.ready)?;
                self.ready.reverse();
                Ok(monitor_ready)
            }
            _ => {
                self.ready.push(0);
                Ok(false)
            }
        }
    }

    /// Read the socket with this index by one kernel call, into `slots.1` slots from `slots.0` on. Returns how many were
    /// filled. A socket that had less to read, or failed, is no longer ready.
    fn read_socket(
        &mut self,
        table: &SocketTable,
        index: usize,
        storage: &mut Storage,
        slots: (usize, usize),
        strict: bool,
    ) -> io::Result<usize> {
        let socket = &table.sockets[index];
        let mut rules = socket.rules()?;
        let (buffer, mut recorder) = storage.fill(slots.0, slots.1);
        let stats = &mut self.stats;
        let outcome = self.queue.receive((**socket).as_ref(), buffer, STRIDE, |slot, mut arrival| {
            if !rules.admit(&mut arrival, strict) {
                stats.filtered += split(arrival.length, arrival.told.segment).count as u64;
            } else if arrival.truncated {
                stats.truncated += recorder.record(slot, &arrival) as u64;
            } else {
                stats.received += recorder.record(slot, &arrival) as u64;
                stats.bytes_received += arrival.length as u64;
            }
        });
        if !matches!(outcome, Ok(count) if count == slots.1) {
            self.ready.pop();
        }
        let count = outcome?;
        self.next_slot_count = (2 * count).clamp(MIN_SLOT_COUNT, SLOTS);
        Ok(count)
    }

    /// Discard what the kernel coalesced before it was told to stop: code that does not know of coalescing could not
    /// split it.
    pub(super) fn discard_coalesced(&mut self, socket: &Socket) -> io::Result<()> {
        let mut storage = self.pool.take();
        let Some(own) = Arc::get_mut(&mut storage) else {
            return Err(io::Error::other("a pooled buffer is in use"));
        };
        own.clear();
        // As many as the buffer could hold then: a sender that is faster than this reader must not keep it here.
        let mut left = socket.recv_buffer_size()? / MIN_QUEUED_BYTES;
        let (buffer, _) = own.fill(0, SLOTS);
        loop {
            let count = self.queue.receive(socket, buffer, STRIDE, |_, _| {})?;
            left = left.saturating_sub(count);
            if count < SLOTS || left == 0 {
                return Ok(());
            }
        }
    }

    /// Update the counters that others keep.
    pub(super) fn update_stats(&mut self, table: &SocketTable, journal: &Journal) -> Result<()> {
        let counts = journal.counts()?;
        self.stats.rejoins = counts.rejoins;
        self.stats.interface_events = counts.interface_events;
        self.stats.outage = counts.outage();
        (self.stats.kernel_drops, self.stats.recv_buffer_actual) =
            table.count().map_err(|e| Error::system("read the drop counter", e))?;
        self.stats.sockets = table.sockets.len();
        Ok(())
    }
}
