//! The receiver with a ring.

use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use super::exit;
use super::shared_queue::Totals;
use super::worker::{RingShared, Worker};
use crate::error::Result;
use crate::net::batch::Batch;
use crate::net::config::RingConfig;
use crate::net::datagram::DatagramRef;
use crate::net::receiver::Receiver;
use crate::net::stats::{ReceiverStats, RingStats};
use crate::pure::wake::Wake;

/// A [`Receiver`] with a ring and the thread that fills it.
///
/// Any thread can call any method at any time. Only [`RingReceiver::wait`] blocks. A forked process does not have the
/// thread, so all methods fail there, and [`RingReceiver::close`] leaves the descriptors open until that process ends:
/// the thread may have been using them at the fork.
#[derive(Debug)]
pub struct RingReceiver {
    shared: Arc<RingShared>,
}

impl RingReceiver {
    /// Put a ring behind a receiver and start its thread.
    pub fn start(core: Receiver, config: RingConfig) -> Result<Self> {
        config.check()?;
        let shared = Arc::new(RingShared::start(core, config)?);
        exit::register(&shared);
        Ok(Self { shared })
    }

    /// The receiver behind the ring, for its port and its groups. The ring takes what it receives.
    pub fn receiver(&self) -> Result<&Receiver> {
        Ok(&self.worker()?.core)
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.shared.port()
    }

    /// As [`Receiver::take`].
    pub fn take(&self, max: usize) -> Result<Option<Batch>> {
        self.worker()?.queue.take(max)
    }

    /// As [`Receiver::next_pending`].
    #[inline]
    pub fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        Ok(self.worker()?.queue.next(use_it))
    }

    /// As [`Receiver::fetch`].
    pub fn fetch(&self) -> Result<bool> {
        self.worker()?.queue.fetch()
    }

    /// As [`Receiver::wait`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        self.worker()?.queue.wait(timeout)
    }

    /// How many datagrams can be taken without waiting.
    pub fn pending(&self) -> Result<usize> {
        Ok(self.worker()?.queue.pending())
    }

    /// Wait until everything that the kernel had to read this long ago can be taken, and at most until a quarter of a
    /// second after that moment.
    pub fn settle(&self, age: Duration) -> Result<()> {
        self.worker()?.settle(age);
        Ok(())
    }

    /// As [`Receiver::gather`], but the thread receives.
    pub fn gather(&self, limit: usize) -> Result<usize> {
        self.worker()?.queue.gathered(limit)
    }

    /// Call `use_it` with a socket that is readable exactly while there is something to take or an error to collect.
    /// The ring owns it: no other code may read from it. It is closed with the receiver.
    pub fn with_ready_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        self.worker()?.queue.with_ready_socket(use_it)
    }

    /// The counters. Datagrams that the ring dropped do not count as received, nor do those that the thread is putting
    /// in. After closing they stay as they were.
    pub fn stats(&self) -> Result<(ReceiverStats, RingStats)> {
        let worker = self.worker()?;
        Ok(with_ring(&worker.queue.totals(), worker.core.stats()?))
    }

    /// As [`Receiver::stats_at_once`].
    pub fn stats_at_once(&self) -> Result<Option<(ReceiverStats, RingStats)>> {
        let worker = self.worker()?;
        let totals = worker.queue.totals();
        Ok(worker.core.stats_at_once()?.map(|stats| with_ring(&totals, stats)))
    }

    /// As [`Receiver::detach`]. Datagrams in the ring count as dropped.
    pub fn detach(&self) -> Result<Socket> {
        let socket = self.worker()?.core.detach()?;
        self.shared.close();
        Ok(socket)
    }

    /// Close the sockets, end every wait, and end the thread. Datagrams in the ring count as dropped. Closing again
    /// does nothing.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    #[inline]
    fn worker(&self) -> Result<&Worker> {
        self.shared.worker()
    }
}

/// The counters of a receiver whose datagrams go through a ring.
fn with_ring(totals: &Totals, stats: ReceiverStats) -> (ReceiverStats, RingStats) {
    let stats = ReceiverStats {
        received: totals.kept.complete,
        bytes_received: totals.kept.bytes,
        truncated: totals.kept.truncated,
        ..stats
    };
    (stats, RingStats { drops: totals.dropped.datagrams(), high_water: totals.high_water })
}
