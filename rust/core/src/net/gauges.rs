//! Figures of a receiver that any thread can read at any time, without waiting for the threads that receive or repair.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::fork::ForkSafeMutex;
use super::journal::Journal;
use super::socket_set::SocketTable;
use super::stats::{Counters, ReceiverStats, SocketFigures};
use crate::error::{Error, Result};
use crate::pure::filter::Membership;

/// The longest time between two looks at the kernel's drop counter while a thread receives, in milliseconds. The kernel
/// counts them in 32 bits: a total would be short if 2^32 were dropped between two looks, which takes minutes at any
/// rate.
const LOOK_MILLIS: u64 = 10_000;

/// A thread that received within this time, in milliseconds, most likely continues to receive.
const READING_MILLIS: u64 = 200;

/// Counters, figures and groups. The locks are held for a few instructions.
#[derive(Debug)]
pub(super) struct Gauges {
    pub(super) counters: Arc<Counters>,
    recv_buffer_requested: Option<usize>,
    /// The active memberships after the last change.
    groups: ForkSafeMutex<Arc<[Membership]>>,
    /// The kernel's figures of the sockets at the last look.
    figures: ForkSafeMutex<SocketFigures>,
    opened_at: Instant,
    /// When the kernel was last asked about the sockets, in milliseconds since `opened_at`.
    looked_at: AtomicU64,
    /// When a thread last received or waited, likewise.
    read_at: AtomicU64,
    /// How many threads are waiting.
    waiting: AtomicU32,
}

impl Gauges {
    pub(super) fn new(recv_buffer_requested: Option<usize>) -> Result<Self> {
        Ok(Self {
            counters: Arc::default(),
            recv_buffer_requested,
            groups: ForkSafeMutex::new(Arc::from([]))?,
            figures: ForkSafeMutex::new(SocketFigures::default())?,
            opened_at: Instant::now(),
            looked_at: AtomicU64::new(0),
            read_at: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
        })
    }

    /// The memberships that were last published. As long as they do not change, it is the same object.
    pub(super) fn groups(&self) -> Arc<[Membership]> {
        self.groups.lock().map_or_else(|| Arc::from([]), |groups| Arc::clone(&groups))
    }

    pub(super) fn publish_groups<'a>(&self, memberships: impl Iterator<Item = &'a Membership>) {
        let current: Arc<[Membership]> = memberships.cloned().collect();
        if current == self.groups() {
            return;
        }
        // In a forked process that cannot get the lock, no thread can read the groups either.
        let last = self.groups.lock().map(|mut groups| mem::replace(&mut *groups, current));
        // Not under the lock: freeing thousands of memberships takes a while.
        drop(last);
    }

    /// Count a thread that waits.
    pub(super) fn begin_wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_wait(&self) {
        self.read_at.store(self.millis(), Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Forget the threads that waited: they are in the parent process.
    pub(super) fn settle_after_fork(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Note that a thread has received.
    pub(super) fn note_read(&self, table: &SocketTable) {
        let now = self.millis();
        self.read_at.store(now, Ordering::Relaxed);
        if now.saturating_sub(self.looked_at.load(Ordering::Relaxed)) >= LOOK_MILLIS {
            // `Receiver::stats` looks again and reports an error.
            let _ = self.look_at_sockets(table);
        }
    }

    /// Whether a thread waits, or has just received. Such a thread also reads the monitor, so the caller that reads the
    /// counters does not have to repair memberships.
    pub(super) fn is_read(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
            || self.millis().saturating_sub(self.read_at.load(Ordering::Relaxed)) < READING_MILLIS
    }

    fn millis(&self) -> u64 {
        // Enough for 500 million years.
        self.opened_at.elapsed().as_millis() as u64
    }

    /// Ask the kernel about the sockets, unless they are those of a parent process: reading the drop counter of a
    /// packet socket resets it.
    pub(super) fn look_at_sockets(&self, table: &SocketTable) -> io::Result<()> {
        if table.waker.is_inherited() {
            return Ok(());
        }
        self.looked_at.store(self.millis(), Ordering::Relaxed);
        let figures = table.figures()?;
        if let Some(mut last) = self.figures.lock() {
            *last = figures;
        }
        Ok(())
    }

    /// All counters, with what the kernel says now, or said last if there is no table any more.
    pub(super) fn stats(&self, table: Option<&SocketTable>, journal: &Journal) -> Result<ReceiverStats> {
        if let Some(table) = table {
            self.look_at_sockets(table).map_err(|e| Error::system("read the drop counter", e))?;
        }
        let SocketFigures { kernel_drops, unassembled, recv_buffer, sockets } = *self.figures.lock_or_refuse()?;
        let counts = journal.counts()?;
        let mut stats = ReceiverStats {
            kernel_drops,
            unassembled,
            recv_buffer_requested: self.recv_buffer_requested,
            recv_buffer_actual: recv_buffer,
            sockets,
            rejoins: counts.rejoins,
            interface_events: counts.interface_events,
            outage: counts.outage(),
            ..ReceiverStats::default()
        };
        self.counters.write(&mut stats);
        Ok(stats)
    }
}
