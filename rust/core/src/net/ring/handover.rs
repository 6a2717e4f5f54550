//! From one thread that puts datagrams in to any number that take them out: locks, sleeping and waking.
//!
//! Two locks. Under `ring` lies what both sides use; it is held for the copy of [`AT_ONCE`] octets at most, and never by
//! who waits for anything else. Under `hand` lies what a consumer took out to give away singly, so that a datagram costs
//! no more than with a receiver that has no ring. `hand` is locked before `ring`.
//!
//! Checked by loom (`scripts/check-ring.sh`), where a time out never comes: so no wake-up is left to one.

#[cfg(all(loom, test))]
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::sync::PoisonError;
#[cfg(not(all(loom, test)))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::RingConfig;
use super::bell::Bell;
use super::queue::{Queue, Tally};
use crate::net::{Batch, DatagramRef, Wake};
use crate::{Error, Result};

/// Datagrams taken out at once when they are handed out singly. A ring holds so many more than its capacity.
const SINGLY: usize = 64;
/// Payload octets that are copied in without a break for the other side.
const AT_ONCE: usize = 65_536;

pub(super) struct Handover {
    port: u16,
    hand: Mutex<Option<Batch>>,
    ring: Mutex<Ring>,
    /// Something was put in, or went wrong, or it was closed.
    arrived: Condvar,
    /// Something was taken out, or it was closed.
    room: Condvar,
}

struct Ring {
    queue: Queue,
    /// An error of the thread's receiving, for the next consumer who finds nothing else.
    failure: Option<Error>,
    closed: bool,
    /// Consumers asleep.
    waiting: usize,
    /// The thread sleeps until there is room, or until its error was collected.
    stalled: bool,
    bell: Option<Bell>,
    rung: bool,
}

/// What became of what was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) kept: Tally,
    pub(super) dropped: Tally,
    pub(super) high_water: usize,
}

impl Handover {
    pub(super) fn new(config: RingConfig, port: u16) -> Self {
        let ring = Ring {
            queue: Queue::new(config),
            failure: None,
            closed: false,
            waiting: 0,
            stalled: false,
            bell: None,
            rung: false,
        };
        Self { port, hand: Mutex::new(None), ring: Mutex::new(ring), arrived: Condvar::new(), room: Condvar::new() }
    }

    /// Puts copies of all datagrams in; sleeps where the policy says so. False once it is closed: what did not get in
    /// counts as dropped.
    pub(super) fn put(&self, batch: &Batch) -> bool {
        let mut next = 0;
        while next < batch.len() {
            let mut ring = lock(&self.ring);
            if ring.closed {
                ring.queue.refuse(&batch.slice(next..batch.len()));
                return false;
            }
            let before = next;
            let mut octets = 0;
            let mut full = false;
            while let Some(datagram) = batch.get(next).filter(|_| octets < AT_ONCE) {
                full = !ring.queue.offer(datagram);
                if full {
                    break;
                }
                octets += datagram.data.len();
                next += 1;
            }
            if next > before {
                ring.tell();
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

    /// Leaves an error for a consumer and sleeps until one has it. False once it is closed.
    pub(super) fn fail(&self, error: Error) -> bool {
        let mut ring = lock(&self.ring);
        if !ring.closed {
            ring.failure = Some(error);
            ring.tell();
            self.arrived.notify_all();
        }
        while ring.failure.is_some() {
            ring = self.stall(ring);
        }
        !ring.closed
    }

    /// The thread sleeps until something changes for it.
    fn stall<'a>(&self, mut ring: MutexGuard<'a, Ring>) -> MutexGuard<'a, Ring> {
        ring.stalled = true;
        let mut ring = self.room.wait(ring).unwrap_or_else(PoisonError::into_inner);
        ring.stalled = false;
        ring
    }

    /// Hands the next datagram that was taken out before to `use_it`, which must not call back.
    #[inline]
    pub(super) fn next<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Option<T> {
        let mut hand = lock(&self.hand);
        let batch = hand.as_mut()?;
        let taken = batch.get(0).map(use_it);
        batch.advance(1);
        if batch.is_empty() {
            *hand = None;
            lock(&self.ring).settle();
        }
        taken
    }

    /// Sees to it that there is something for [`Handover::next`]; tells whether there is.
    pub(super) fn fetch(&self) -> Result<bool> {
        let mut hand = lock(&self.hand);
        if hand.is_none() {
            *hand = self.take_out(SINGLY)?;
        }
        let found = hand.is_some();
        if !found {
            lock(&self.ring).settle();
        }
        Ok(found)
    }

    /// The next datagrams, at most `max` of them; `None` where nothing is there now.
    pub(super) fn take(&self, max: usize) -> Result<Option<Batch>> {
        let mut hand = lock(&self.hand);
        let taken = match hand.as_mut() {
            Some(batch) if max < batch.len() => return Ok(Some(batch.split_front(max))),
            Some(_) => hand.take(),
            None => self.take_out(max)?,
        };
        lock(&self.ring).settle();
        Ok(taken)
    }

    /// Takes from the ring. The caller holds the lock of `hand`, which is empty: so a consumer that goes to sleep sees
    /// what is taken out here either still in the ring or already in the hand.
    fn take_out(&self, max: usize) -> Result<Option<Batch>> {
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        let taken = ring.queue.take(max);
        let failure = if taken.is_none() { ring.failure.take() } else { None };
        if ring.stalled {
            self.room.notify_one();
        }
        match failure {
            Some(error) => {
                ring.settle();
                Err(error)
            }
            None => Ok(taken),
        }
    }

    /// Sleeps until there may be something to take, once, at most as long as given.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        if hand.is_some() || ring.has_news() {
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
        Ok(if in_time || ring.has_news() { Wake::Ready } else { Wake::TimedOut })
    }

    /// The descriptor that can be read while there is something to take.
    pub(super) fn with_bell<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        if ring.closed {
            return Err(self.closed());
        }
        if ring.bell.is_none() {
            ring.bell = Some(Bell::new().map_err(|e| Error::system("open a descriptor to wait on a ring", e))?);
            if hand.is_some() || ring.has_news() {
                ring.tell();
            }
        }
        ring.bell.as_ref().map(|bell| use_it(&bell.listener)).ok_or_else(|| self.closed())
    }

    /// Datagrams that can be taken out without waiting.
    pub(super) fn held(&self) -> usize {
        let hand = lock(&self.hand);
        let ring = lock(&self.ring);
        hand.as_ref().map_or(0, Batch::len) + ring.queue.len()
    }

    pub(super) fn account(&self) -> Account {
        let ring = lock(&self.ring);
        Account { kept: ring.queue.kept(), dropped: ring.queue.dropped(), high_water: ring.queue.high_water() }
    }

    /// Drops what is left, which counts as dropped, and wakes everybody.
    pub(super) fn close(&self) {
        let mut hand = lock(&self.hand);
        let mut ring = lock(&self.ring);
        ring.closed = true;
        if let Some(batch) = hand.take() {
            ring.queue.discard(&batch);
        }
        ring.queue.discard_all();
        ring.failure = None;
        // Who polls it in another thread finds it readable, tries, and is told.
        ring.tell();
        ring.bell = None;
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
    fn has_news(&self) -> bool {
        !self.queue.is_empty() || self.failure.is_some()
    }

    /// Makes the bell tell that there is something.
    fn tell(&mut self) {
        if let (Some(bell), false) = (&self.bell, self.rung) {
            // An octet into an empty pair of our own; did it fail, the next one would try again.
            self.rung = bell.ring().is_ok();
        }
    }

    /// Makes the bell tell that there is nothing, where the ring is empty. The caller knows that the hand is.
    fn settle(&mut self) {
        if let (Some(bell), true, false) = (&self.bell, self.rung, self.has_news()) {
            // What cannot be taken back yet is taken back the next time somebody finds nothing.
            self.rung = bell.hush().is_err();
        }
    }
}

/// Locks, also after a panic elsewhere: the state is sound between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
