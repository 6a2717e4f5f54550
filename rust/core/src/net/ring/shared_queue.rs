//! A queue between one thread that puts datagrams in and any number of consumers: locks, sleeping and waking.
//!
//! There are two locks. `ring` guards what both sides use. It is held while at most [`MAX_COPY`] bytes are copied, and
//! no thread waits for anything else while it holds it. `hand` guards what a consumer took out to return singly, so
//! that a datagram costs no more than without a ring. `hand` is locked before `ring`.
//!
//! Loom checks this module. Its model has no timeouts, so no wake-up can depend on one.

#[cfg(all(loom, test))]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(all(loom, test)))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::queue::{Queue, Tally};
use super::ready_flag::ReadyFlag;
use crate::error::{Error, Result};
use crate::net::batch::Batch;
use crate::net::config::RingConfig;
use crate::net::datagram::DatagramRef;
use crate::pure::wake::Wake;

/// Datagrams that are taken out together to be returned singly. A ring holds this many more than its capacity.
const HAND_SIZE: usize = 64;
/// Payload bytes that are copied in before the consumers get the lock.
const MAX_COPY: usize = 65_536;

pub(super) struct SharedQueue {
    port: u16,
    hand: Mutex<Option<Batch>>,
    ring: Mutex<Ring>,
    /// Signals that something was put in, that an error occurred, or that the queue was closed.
    arrived: Condvar,
    /// Signals that something was taken out, that the last datagram was, or that the queue was closed.
    room: Condvar,
}

struct Ring {
    queue: Queue,
    /// An error of the thread, for the next consumer that finds nothing else.
    failure: Option<Error>,
    closed: bool,
    /// How many consumers sleep.
    waiting: usize,
    /// The thread sleeps until there is room, or until its error is collected.
    stalled: bool,
    /// The thread sleeps for a moment while consumers have enough to take.
    napping: bool,
    ready_flag: Option<ReadyFlag>,
    flag_is_set: bool,
}

/// The fate of the datagrams that were put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) kept: Tally,
    pub(super) dropped: Tally,
    pub(super) high_water: usize,
}

impl SharedQueue {
    pub(super) fn new(config: RingConfig, port: u16) -> Self {
        let ring = Ring {
            queue: Queue::new(config),
            failure: None,
            closed: false,
            waiting: 0,
            stalled: false,
            napping: false,
            ready_flag: None,
            flag_is_set: false,
        };
        Self { port, hand: Mutex::new(None), ring: Mutex::new(ring), arrived: Condvar::new(), room: Condvar::new() }
    }

    /// Put in copies of all datagrams, and sleep if the policy requires it. Returns false once closed: the rest counts
    /// as dropped.
    pub(super) fn put(&self, batch: &Batch) -> bool {
        let mut next = 0;
        while next < batch.len() {
            let mut ring = lock(&self.ring);
            if ring.closed {
                ring.queue.refuse(&batch.slice(next..batch.len()));
                return false;
            }
            let before = next;
            let mut bytes = 0;
            let mut full = false;
            while let Some(datagram) = batch.get(next).filter(|_| bytes < MAX_COPY) {
                full = !ring.queue.offer(datagram);
                if full {
                    break;
                }
                bytes += datagram.data.len();
                next += 1;
            }
            if next > before {
                if ring.queue.take_lack_of_memory() {
                    ring.failure = Some(Error::NoMemory("put a datagram into the ring"));
                }
                ring.set_flag();
                if ring.waiting > 0 {
                    self.arrived.notify_all();
                }
            }
            if full {
                drop(self.stall(ring));
            }
        }
        true
    }

    /// Leave an error for a consumer, and sleep until one has collected it. Returns false once closed.
    pub(super) fn fail(&self, error: Error) -> bool {
        let mut ring = lock(&self.ring);
        if !ring.closed {
            ring.failure = Some(error);
            ring.set_flag();
            self.arrived.notify_all();
        }
        while ring.failure.is_some() {
            ring = self.stall(ring);
        }
        !ring.closed
    }

    /// Sleep until something is taken out, or until the queue is closed.
    fn stall<'a>(&self, mut ring: MutexGuard<'a, Ring>) -> MutexGuard<'a, Ring> {
        ring.stalled = true;
        let mut ring = self.room.wait(ring).unwrap_or_else(PoisonError::into_inner);
        ring.stalled = false;
        ring
    }

    /// Sleep for this time, but only as long as there is something to take, and no consumer is sleeping until there is.
    pub(super) fn nap(&self, time: Duration) {
        let mut ring = lock(&self.ring);
        if ring.closed || ring.waiting > 0 || ring.queue.is_empty() {
            return;
        }
        ring.napping = true;
        let (mut ring, _) = self.room.wait_timeout(ring, time).unwrap_or_else(PoisonError::into_inner);
        ring.napping = false;
    }

    /// Call `use_it` with the next datagram that was taken out before; it must not call back.
    #[inline]
    pub(super) fn next<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Option<T> {
        let mut hand = lock(&self.hand);
        let batch = hand.as_mut()?;
        let taken = batch.get(0).map(use_it);
        batch.advance(1);
        if batch.is_empty() {
            *hand = None;
            lock(&self.ring).clear_flag_if_empty();
        }
        taken
    }

    /// Take datagrams out for [`SharedQueue::next`], unless some are left. Returns whether there are any.
    pub(super) fn fetch(&self) -> Result<bool> {
        let mut hand = lock(&self.hand);
        if hand.is_none() {
            *hand = self.take_out(HAND_SIZE)?;
        }
        let found = hand.is_some();
        if !found {
            lock(&self.ring).clear_flag_if_empty();
        }
        Ok(found)
    }

    /// Take up to `max` datagrams; `None` if there are none now.
    pub(super) fn take(&self, max: usize) -> Result<Option<Batch>> {
        let mut hand = lock(&self.hand);
        let taken = match hand.as_mut() {
            Some(batch) if max < batch.len() => return Ok(Some(batch.split_front(max))),
            Some(_) => hand.take(),
            None => self.take_out(max)?,
        };
        lock(&self.ring).clear_flag_if_empty();
        Ok(taken)
    }

    /// Take from the ring. The caller holds the lock of `hand`, which is empty: a consumer that goes to sleep sees what
    /// is taken out here either in the ring or in the hand.
    fn take_out(&self, max: usize) -> Result<Option<Batch>> {
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        let taken = ring.queue.take(max);
        if taken.is_none() {
            self.collect_failure(&mut ring)?;
        }
        if ring.stalled || (ring.napping && ring.queue.is_empty()) {
            self.room.notify_one();
        }
        Ok(taken)
    }

    /// Fail with the error of the thread, if it left one.
    fn collect_failure(&self, ring: &mut Ring) -> Result<()> {
        let Some(error) = ring.failure.take() else { return Ok(()) };
        self.room.notify_one();
        ring.clear_flag_if_empty();
        Err(error)
    }

    /// How many datagrams can be taken; `limit` if nothing that arrives can be in the batch that is taken next.
    pub(super) fn gathered(&self, limit: usize) -> Result<usize> {
        // Datagrams that were taken out to be returned singly are a batch of their own.
        let hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        match ring.queue.len() {
            _ if hand.is_some() || ring.queue.has_complete_batch() => Ok(limit),
            0 => self.collect_failure(&mut ring).map(|()| 0),
            count => Ok(count),
        }
    }

    /// Sleep once until there can be something to take, or until the timeout.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        if hand.is_some() || ring.has_content() {
            return Ok(Wake::Ready);
        }
        ring.waiting += 1;
        drop(hand);
        let (mut ring, in_time) = match timeout {
            None => (self.arrived.wait(ring).unwrap_or_else(PoisonError::into_inner), true),
            Some(timeout) => {
                let (ring, result) = self.arrived.wait_timeout(ring, timeout).unwrap_or_else(PoisonError::into_inner);
                (ring, !result.timed_out())
            }
        };
        ring.waiting -= 1;
        if ring.closed {
            return Err(self.closed());
        }
        Ok(if in_time || ring.has_content() { Wake::Ready } else { Wake::TimedOut })
    }

    /// Call `use_it` with a socket that is readable while there is something to take.
    pub(super) fn with_ready_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        if ring.ready_flag.is_none() {
            let flag = ReadyFlag::new().map_err(|e| Error::system("open a descriptor to wait on a ring", e))?;
            ring.ready_flag = Some(flag);
            if hand.is_some() || ring.has_content() {
                ring.set_flag();
            }
        }
        ring.ready_flag.as_ref().map(|flag| use_it(&flag.reader)).ok_or_else(|| self.closed())
    }

    /// How many datagrams can be taken out without waiting.
    pub(super) fn pending(&self) -> usize {
        let hand = lock(&self.hand);
        let ring = lock(&self.ring);
        hand.as_ref().map_or(0, Batch::len) + ring.queue.len()
    }

    pub(super) fn totals(&self) -> Totals {
        let ring = lock(&self.ring);
        Totals { kept: ring.queue.kept(), dropped: ring.queue.dropped(), high_water: ring.queue.high_water() }
    }

    /// Drop what is left, which counts as dropped, and end every sleep.
    pub(super) fn close(&self) {
        let mut hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        ring.closed = true;
        if let Some(batch) = hand.take() {
            ring.queue.discard(&batch);
        }
        ring.queue.discard_all();
        ring.failure = None;
        // A thread that polls the socket finds it readable, tries to receive, and gets the error.
        ring.set_flag();
        ring.ready_flag = None;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.ring).closed
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed(format!("the receiver on port {} is closed", self.port))
    }
}

impl Ring {
    fn has_content(&self) -> bool {
        !self.queue.is_empty() || self.failure.is_some()
    }

    /// Set the flag for event loops.
    fn set_flag(&mut self) {
        if let (Some(flag), false) = (&self.ready_flag, self.flag_is_set) {
            // A byte into an empty pair of sockets. If this fails, the next call tries again.
            self.flag_is_set = flag.set().is_ok();
        }
    }

    /// Clear the flag for event loops if the ring is empty. The caller knows that the hand is.
    fn clear_flag_if_empty(&mut self) {
        if let (Some(flag), true, false) = (&self.ready_flag, self.flag_is_set, self.has_content()) {
            // If this fails, the next call that finds nothing tries again.
            self.flag_is_set = flag.clear().is_err();
        }
    }
}

/// Lock a mutex even if a thread panicked while it held the lock: the state is valid between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
