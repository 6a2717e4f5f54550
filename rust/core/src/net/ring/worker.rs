//! The background thread of a ring, and what it shares with the receiver.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::shared_queue::SharedQueue;
use crate::error::{Error, Result};
use crate::net::batch::Batch;
use crate::net::config::RingConfig;
use crate::net::fork::lock;
use crate::net::receiver::Receiver;
use crate::net::storage::SLOTS;
use crate::sys;

/// The longest wait of the thread. A group that is joined during a wait can need another socket, which this wait does
/// not know of.
const TICK: Duration = Duration::from_millis(50);

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
}

impl RingShared {
    /// Start the thread. It starts here and not at the first receive, so that nothing is lost before that.
    pub(super) fn start(core: Receiver, config: RingConfig) -> Result<Self> {
        let failed = |e| Error::system(format!("start the thread of a ring for port {}", core.port()), e);
        let generation = sys::fork_generation().map_err(failed)?;
        let worker = Arc::new(Worker { queue: SharedQueue::new(config, core.port()), core });
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
        loop {
            let goes_on = match self.receive() {
                Ok(Some(batch)) => self.queue.put(&batch),
                Ok(None) => true,
                Err(Error::Closed(_)) => false,
                Err(e) => self.queue.fail(e),
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
        let batch = self.core.take_to_copy(SLOTS)?;
        if batch.is_none() && !self.core.is_drained() {
            self.core.wait(Some(TICK))?;
        }
        Ok(batch)
    }
}

/// Closes the queue at the end of the thread, even after a panic, so that no consumer waits for it any longer.
struct CloseAtEnd<'a>(&'a SharedQueue);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
