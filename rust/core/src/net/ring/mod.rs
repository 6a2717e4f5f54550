//! A receiver whose kernel buffer is emptied by a thread of its own into a bounded ring, whatever its user is doing.
//!
//! * here: the thread and its life, from opening to closing, the end of the process, or a fork;
//! * `queue`: what is in the ring, its limits, who is dropped;
//! * `handover`: locks, sleeping and waking between the thread and the consumers;
//! * `bell`: a descriptor for event loops;
//! * `exit`: the end of the process.
//!
//! The thread calls nothing of its user's: no callback, no Python.

mod bell;
mod exit;
mod handover;
mod queue;
#[cfg(test)]
mod samples;

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use self::handover::Handover;
use super::batch::SLOTS;
use super::{Batch, DatagramRef, Receiver, ReceiverStats, Wake, lock};
use crate::sys;
use crate::{Error, Result};

pub use exit::close_rings;

/// A group that is joined meanwhile may need one more socket, which a wait that has begun does not know of; so none
/// lasts longer than this.
const TICK: Duration = Duration::from_millis(50);

/// The largest capacity. Such a ring's payloads may take 32 GiB: a larger number is a slip, and as good as no bound.
pub const RING_MOST: usize = 1 << 24;

/// Who has to go when a ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingPolicy {
    /// The datagrams that have waited longest.
    DropOldest,
    /// Those that come.
    DropNewest,
    /// Nobody: the thread stops reading, and the kernel's buffer fills, and then drops.
    Block,
}

/// How large a ring is, and what happens when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingConfig {
    /// Datagrams that it holds at most, from 1 to [`RING_MOST`]. Their payloads together may have 2,048 octets for each datagram of the
    /// capacity, and 1 MiB where that is more: longer datagrams fill it earlier.
    pub capacity: usize,
    /// What happens when it is full.
    pub policy: RingPolicy,
}

/// What a ring did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Datagrams that were dropped for want of room, and those that were in it when it was closed.
    pub drops: u64,
    /// The most datagrams that were in it at once.
    pub high_water: usize,
}

/// A [`Receiver`] with a ring and the thread that fills it.
///
/// All methods may be called from any thread at once. None blocks but [`RingReceiver::wait`]. In a process that was
/// forked off the one that opened it, where the thread does not exist, they refuse; there [`RingReceiver::close`] leaves
/// the child's descriptors open until it ends, as the thread may have been using them at the fork.
#[derive(Debug)]
pub struct RingReceiver {
    body: Arc<Body>,
}

/// What a ring receiver is; apart from it, so that the end of the process finds it too.
struct Body {
    /// How many forks led to the process that opened it.
    generation: u32,
    worker: Arc<Worker>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed in a forked child, which touches no lock: a thread that is not here may have held it at the fork.
    given_up: AtomicBool,
}

/// What the thread works with.
struct Worker {
    core: Receiver,
    handover: Handover,
}

impl RingReceiver {
    /// Puts a ring behind a receiver and starts its thread.
    ///
    /// The thread starts here and not at the first receive, so that nothing is lost while the user is still busy with
    /// something else.
    pub fn start(core: Receiver, config: RingConfig) -> Result<Self> {
        if !(1..=RING_MOST).contains(&config.capacity) {
            return Err(Error::Invalid(format!(
                "a ring has room for 1 to {RING_MOST} datagrams, not {}",
                config.capacity
            )));
        }
        let failed = |e| Error::system(format!("start the thread of a ring for port {}", core.port()), e);
        let generation = sys::fork_generation().map_err(failed)?;
        let worker = Arc::new(Worker { handover: Handover::new(config, core.port()), core });
        let work = Arc::clone(&worker);
        let thread = sys::with_signals_blocked(|| {
            thread::Builder::new().name("multicast-ring".into()).spawn(move || work.run())
        })
        .map_err(|e| Error::system(format!("start the thread of a ring for port {}", worker.core.port()), e))?;
        let (thread, given_up) = (Mutex::new(Some(thread)), AtomicBool::new(false));
        let body = Arc::new(Body { generation, worker, thread, given_up });
        exit::remember(&body);
        Ok(Self { body })
    }

    /// The receiver behind the ring: its port, its groups. What it receives is the ring's.
    pub fn receiver(&self) -> Result<&Receiver> {
        Ok(&self.worker()?.core)
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.body.worker.core.port()
    }

    /// As [`Receiver::take`].
    pub fn take(&self, max: usize) -> Result<Option<Batch>> {
        self.worker()?.handover.take(max)
    }

    /// As [`Receiver::next_pending`].
    #[inline]
    pub fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        Ok(self.worker()?.handover.next(use_it))
    }

    /// As [`Receiver::fetch`].
    pub fn fetch(&self) -> Result<bool> {
        self.worker()?.handover.fetch()
    }

    /// As [`Receiver::wait`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        self.worker()?.handover.wait(timeout)
    }

    /// How many datagrams can be taken without waiting.
    pub fn pending(&self) -> Result<usize> {
        Ok(self.worker()?.handover.held())
    }

    /// A descriptor that can be read exactly while there is something to take, or an error to collect. It is the
    /// ring's: nobody else may read from it. It is closed with the receiver.
    pub fn with_bell<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        self.worker()?.handover.with_bell(use_it)
    }

    /// The counters. What the ring dropped does not count as received, nor does what the thread has in its hands. After
    /// closing they stay as they were then.
    pub fn stats(&self) -> Result<(ReceiverStats, RingStats)> {
        let Worker { core, handover } = self.worker()?;
        let ring = handover.account();
        let stats = ReceiverStats {
            received: ring.kept.whole,
            bytes: ring.kept.octets,
            truncated: ring.kept.truncated,
            ..core.stats()?
        };
        Ok((stats, RingStats { drops: ring.dropped.datagrams(), high_water: ring.high_water }))
    }

    /// As [`Receiver::detach`]. What is in the ring counts as dropped.
    pub fn detach(&self) -> Result<Socket> {
        let socket = self.worker()?.core.detach()?;
        self.body.close();
        Ok(socket)
    }

    /// Closes the sockets, wakes who waits, and ends the thread. What is in the ring counts as dropped. Closing again
    /// does nothing.
    pub fn close(&self) {
        self.body.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        match self.worker() {
            Ok(worker) => worker.handover.is_closed(),
            Err(_) => self.body.given_up.load(Ordering::Relaxed),
        }
    }

    /// What the thread works with, in the process that has the thread.
    #[inline]
    fn worker(&self) -> Result<&Worker> {
        if self.body.is_inherited() {
            return Err(Error::Unsupported(format!(
                "the receiver on port {} has a ring, whose thread stayed in the process that opened it and does not \
                 exist in this one, which was forked off: open a receiver here",
                self.port()
            )));
        }
        Ok(&self.body.worker)
    }
}

impl Body {
    /// Whether this process was forked off the one that opened it.
    #[inline]
    fn is_inherited(&self) -> bool {
        self.generation != sys::generation()
    }

    fn close(&self) {
        if self.is_inherited() {
            self.given_up.store(true, Ordering::Relaxed);
            return;
        }
        self.worker.handover.close();
        self.worker.core.close();
        // The thread has nothing to wait for any more. It catches its own panics, if there are any.
        if let Some(thread) = lock(&self.thread).take() {
            drop(thread.join());
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.close();
        if self.is_inherited() {
            // There is no such thread here; to the system, its handle may be that of another one by now.
            mem::forget(self.thread.get_mut().map_or(None, Option::take));
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("receiver", &self.worker.core).finish_non_exhaustive()
    }
}

impl Worker {
    /// The thread: receives until the receiver is closed.
    fn run(&self) {
        // However it ends, nobody waits for it in vain.
        let _end = End(&self.handover);
        loop {
            let goes_on = match self.receive() {
                Ok(Some(batch)) => self.handover.put(&batch),
                Ok(None) => true,
                Err(Error::Closed(_)) => false,
                Err(e) => self.handover.fail(e),
            };
            if !goes_on {
                return;
            }
        }
    }

    fn receive(&self) -> Result<Option<Batch>> {
        if self.core.is_drained() {
            self.core.wait(Some(TICK))?;
        }
        let batch = self.core.take(usize::MAX, SLOTS)?;
        if batch.is_none() && !self.core.is_drained() {
            self.core.wait(Some(TICK))?;
        }
        Ok(batch)
    }
}

struct End<'a>(&'a Handover);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(all(loom, test))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
