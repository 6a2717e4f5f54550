//! The background thread of a ring, and what it shares with the receiver.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::shared_queue::SharedQueue;
use crate::error::{Error, Result};
use crate::net::config::RingConfig;
use crate::net::fork::lock;
use crate::net::receiver::Receiver;
use crate::net::storage::SLOTS;
use crate::pure::wake::Wake;
use crate::sys;

/// The longest wait of the thread. A group that is joined during a wait can need another socket, which this wait does
/// not know of.
const TICK: Duration = Duration::from_millis(50);

/// How long the thread sleeps while consumers have enough to take, so that it receives several datagrams at once. The
/// kernel adds 50 µs. The smallest usual receive buffer, 416 KiB, lasts twice as long at 10 Gbit/s.
const NAP: Duration = Duration::from_micros(100);

/// Datagrams less than this time apart are worth a nap.
const CLOSE: Duration = Duration::from_micros(200);

/// After as many datagrams as this at once, the receive buffer fills too fast for a nap.
const MAX_BEFORE_NAP: usize = 32;

/// How often [`Worker::settle`] checks, and the longest time that it takes. The thread looks at least every [`TICK`].
const CHECK: Duration = Duration::from_millis(1);
const MAX_SETTLE: Duration = Duration::from_millis(250);

/// The receiver, the queue and the thread. The list of open rings refers to it too.
pub(super) struct RingShared {
    /// How many forks led to the process that opened it.
    generation: u32,
    worker: Arc<Worker>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// It was closed in a forked process, which takes no lock: a thread of the parent may have held it at the fork.
    closed_after_fork: AtomicBool,
}

/// The state of the thread.
pub(super) struct Worker {
    pub(super) core: Receiver,
    pub(super) queue: SharedQueue,
    opened: Instant,
    /// All that the kernel had to read at this time is in the queue; in nanoseconds since `opened`.
    caught_up: AtomicU64,
}

impl RingShared {
    /// Start the thread. It starts here and not at the first receive, so that nothing is lost before that.
    pub(super) fn start(core: Receiver, config: RingConfig) -> Result<Self> {
        let failed = |e| Error::system(format!("start the thread of a ring for port {}", core.port()), e);
        let generation = sys::fork_generation().map_err(failed)?;
        let queue = SharedQueue::new(config, core.port());
        let worker = Arc::new(Worker { core, queue, opened: Instant::now(), caught_up: AtomicU64::new(0) });
        let work = Arc::clone(&worker);
        let thread = sys::with_signals_blocked(|| {
            thread::Builder::new().name("multicast-ring".into()).spawn(move || work.run())
        })
        .map_err(|e| Error::system(format!("start the thread of a ring for port {}", worker.core.port()), e))?;
        let (thread, closed_after_fork) = (Mutex::new(Some(thread)), AtomicBool::new(false));
        Ok(Self { generation, worker, thread, closed_after_fork })
    }

    /// Whether the process that opened it was forked, and this is the child.
    #[inline]
    fn is_inherited(&self) -> bool {
        self.generation != sys::generation()
    }

    pub(super) fn port(&self) -> u16 {
        self.worker.core.port()
    }

    /// The state of the thread, or an error in a process that does not have the thread.
    #[inline]
    pub(super) fn worker(&self) -> Result<&Worker> {
        if self.is_inherited() {
            return Err(Error::Unsupported(format!(
                "cannot use the inherited receiver on port {}: its background thread is not in this forked process \
                 (open a new receiver here)",
                self.port()
            )));
        }
        Ok(&self.worker)
    }

    pub(super) fn is_closed(&self) -> bool {
        if self.is_inherited() {
            return self.closed_after_fork.load(Ordering::Relaxed);
        }
        self.worker.queue.is_closed()
    }

    pub(super) fn close(&self) {
        if self.is_inherited() {
            self.closed_after_fork.store(true, Ordering::Relaxed);
            return;
        }
        self.worker.queue.close();
        self.worker.core.close();
        // The thread has nothing left to wait for. If it panicked, it has closed the queue.
        if let Some(thread) = lock(&self.thread).take() {
            drop(thread.join());
        }
    }
}

impl Drop for RingShared {
    fn drop(&mut self) {
        self.close();
        if self.is_inherited() {
            // This process has no such thread, and another one may have its handle by now.
            mem::forget(self.thread.get_mut().map_or(None, Option::take));
        }
    }
}

impl fmt::Debug for RingShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("receiver", &self.worker.core).finish_non_exhaustive()
    }
}

impl Worker {
    /// The thread: receive until the receiver is closed.
    fn run(&self) {
        let _closes_at_end = CloseAtEnd(&self.queue);
        let mut received = Instant::now();
        loop {
            let goes_on = match self.receive(&mut received) {
                Ok(is_open) => is_open,
                Err(Error::Closed(_)) => false,
                Err(e) => self.queue.fail(e),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Wait, and receive what is there then. Returns whether the queue is open. `received` is when the thread last
    /// received something.
    fn receive(&self, received: &mut Instant) -> Result<bool> {
        let mut looked = self.opened.elapsed();
        if self.core.is_drained() && self.core.wait(Some(TICK))? != Wake::Ready {
            // A wait that finds something may receive it, with `spin`.
            looked = self.opened.elapsed();
        }
        let (batch, has_all) = self.core.take_to_copy(SLOTS)?;
        let is_open = batch.as_ref().is_none_or(|batch| self.queue.put(batch));
        if has_all {
            // The number is large enough for 584 years.
            self.caught_up.store(looked.as_nanos() as u64, Ordering::Release);
        }
        match batch {
            Some(batch) => {
                let before = mem::replace(received, Instant::now());
                if batch.len() <= MAX_BEFORE_NAP && *received - before < CLOSE {
                    self.queue.nap(NAP);
                }
            }
            None if self.core.is_drained() => {}
            None => drop(self.core.wait(Some(TICK))?),
        }
        Ok(is_open)
    }

    /// Wait until everything that the kernel had to read this long ago is in the queue. In a flood, the wait ends after
    /// [`MAX_SETTLE`].
    pub(super) fn settle(&self, age: Duration) {
        let since = self.opened.elapsed().saturating_sub(age);
        // One bound for all rings that settle for the same moment.
        let end = since + MAX_SETTLE;
        let is_behind = || self.caught_up.load(Ordering::Acquire) <= since.as_nanos() as u64;
        while is_behind() && !self.queue.is_closed() && self.opened.elapsed() < end {
            thread::sleep(CHECK);
        }
    }
}

/// Closes the queue at the end of the thread, even after a panic, so that no consumer waits for it any longer.
struct CloseAtEnd<'a>(&'a SharedQueue);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
