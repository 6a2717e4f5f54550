//! The counters of receivers, senders and rings.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The fate of the datagrams that reached a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Complete datagrams that were received for joined groups.
    pub received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full, if the system counts them.
    pub kernel_drops: Option<u64>,
    /// Datagrams that were delivered without their end, or without all of their control messages.
    pub truncated: u64,
    /// Datagrams that were discarded because their group, interface or source is not joined.
    pub filtered: u64,
    /// Datagrams that the packet engine discarded because a header or a checksum was wrong.
    pub invalid: u64,
    /// Datagrams that the packet engine gave up because not all of their fragments arrived in time and within the
    /// limits.
    pub unassembled: u64,
    /// Requested receive buffer in bytes, if any was requested.
    pub recv_buffer_requested: Option<usize>,
    /// Actual receive buffer in bytes, of the smallest socket.
    pub recv_buffer_actual: usize,
    /// Sockets in use.
    pub sockets: usize,
    /// Memberships that were joined again, or on an interface that appeared later.
    pub rejoins: u64,
    /// Changes of interfaces that groups are joined on.
    pub interface_events: u64,
    /// How long at least one group had no working interface.
    pub outage: Duration,
}

/// The counters of a sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Messages that the kernel accepted.
    pub sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Of the messages, those that were coalesced with others.
    pub coalesced: u64,
}

/// The counters of a ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Datagrams that were dropped because the ring was full or memory was short, and those that were in it when it was
    /// closed.
    pub drops: u64,
    /// The most datagrams that were in it at once.
    pub high_water: usize,
}

/// Counters that one reader at a time changes, and any thread reads without a lock.
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: AtomicU64,
    bytes_received: AtomicU64,
    truncated: AtomicU64,
    filtered: AtomicU64,
    invalid: AtomicU64,
    /// Datagrams that were received and not yet taken.
    pending: AtomicUsize,
}

/// The result of one kernel call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Received {
    pub(super) received: u64,
    pub(super) bytes: u64,
    pub(super) truncated: u64,
    pub(super) filtered: u64,
    pub(super) invalid: u64,
}

impl Counters {
    /// Add what one kernel call brought. Only one thread at a time may call this.
    pub(super) fn add(&self, new: &Received) {
        raise(&self.received, new.received);
        raise(&self.bytes_received, new.bytes);
        raise(&self.truncated, new.truncated);
        raise(&self.filtered, new.filtered);
        raise(&self.invalid, new.invalid);
    }

    /// Say how many datagrams were received and not yet taken.
    #[inline]
    pub(super) fn set_pending(&self, pending: usize) {
        self.pending.store(pending, Ordering::Relaxed);
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Write the counters into `stats`.
    pub(super) fn write(&self, stats: &mut ReceiverStats) {
        stats.received = self.received.load(Ordering::Relaxed);
        stats.bytes_received = self.bytes_received.load(Ordering::Relaxed);
        stats.truncated = self.truncated.load(Ordering::Relaxed);
        stats.filtered = self.filtered.load(Ordering::Relaxed);
        stats.invalid = self.invalid.load(Ordering::Relaxed);
    }
}

/// Counters that one sender at a time changes, and any thread reads without a lock.
#[derive(Debug, Default)]
pub(super) struct SenderCounters {
    sent: AtomicU64,
    bytes_sent: AtomicU64,
    coalesced: AtomicU64,
}

impl SenderCounters {
    /// Add what one kernel call took. Only one thread at a time may call this.
    pub(super) fn add(&self, new: &SenderStats) {
        raise(&self.sent, new.sent);
        raise(&self.bytes_sent, new.bytes_sent);
        raise(&self.coalesced, new.coalesced);
    }

    pub(super) fn read(&self) -> SenderStats {
        SenderStats {
            sent: self.sent.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            coalesced: self.coalesced.load(Ordering::Relaxed),
        }
    }
}

/// Add to a counter that no other thread changes. This is cheaper than an atomic addition, which would lock the bus.
fn raise(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// The kernel's figures of the sockets of a receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SocketFigures {
    pub(super) kernel_drops: Option<u64>,
    pub(super) unassembled: u64,
    /// In bytes, of the smallest socket.
    pub(super) recv_buffer: usize,
    pub(super) sockets: usize,
}

/// How often memberships changed, and how long groups were not received.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MembershipCounts {
    pub(super) rejoins: u64,
    pub(super) interface_events: u64,
    /// The total length of the outages that have ended.
    outage: Duration,
    /// The start of the current outage, if there is one.
    outage_since: Option<Instant>,
}

impl MembershipCounts {
    /// Record whether some group has no working interface now.
    pub(super) fn set_outage(&mut self, is_out: bool) {
        match (is_out, self.outage_since) {
            (true, None) => self.outage_since = Some(Instant::now()),
            (false, Some(_)) => {
                self.outage = self.outage();
                self.outage_since = None;
            }
            _ => {}
        }
    }

    /// How long in total some group has had no working interface.
    pub(super) fn outage(&self) -> Duration {
        self.outage + self.outage_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// The running total of a 32-bit drop counter of the kernel. It is right if fewer than 2^32 datagrams are dropped
/// between two calls of [`DropTotal::update`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DropTotal {
    last: u32,
    total: u64,
}

impl DropTotal {
    /// Count what is dropped from now on; the counter has this value.
    pub(super) fn starting_at(now: u32) -> Self {
        Self { last: now, total: 0 }
    }

    /// Add what the counter gained since the last call, and return the total.
    pub(super) fn update(&mut self, now: u32) -> u64 {
        self.total += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_total_survives_a_wrap_of_the_counter() {
        let mut total = DropTotal::default();
        assert_eq!(total.update(u32::MAX), u64::from(u32::MAX));
        assert_eq!(total.update(4), u64::from(u32::MAX) + 5);
    }

    #[test]
    fn drop_total_of_an_adopted_socket_counts_later_drops_only() {
        let mut total = DropTotal::starting_at(u32::MAX - 1);
        assert_eq!(total.update(u32::MAX - 1), 0);
        assert_eq!(total.update(3), 5);
    }

    #[test]
    fn outage_counts_only_while_it_lasts() {
        let mut counts = MembershipCounts::default();
        counts.set_outage(false);
        assert_eq!(counts.outage(), Duration::ZERO);
        counts.set_outage(true);
        counts.set_outage(false);
        let over = counts.outage();
        counts.set_outage(false);
        assert_eq!(counts.outage(), over);
    }
}
