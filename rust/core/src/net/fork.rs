//! A lock that a fork cannot leave locked.
//!
//! A child process has only the thread that forked. If another thread held a lock at that moment, the lock stays locked
//! in the child. A thread of the child that waits for it would hang, even if it only closes an inherited object.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys;

/// How long a forked process waits for a lock. Its own threads never hold one for longer than a few system calls.
const INHERITED_TIMEOUT: Duration = Duration::from_millis(100);

/// A mutex for the process that made it and for processes that are forked from it.
#[derive(Debug)]
pub(super) struct ForkSafeMutex<T> {
    state: Mutex<T>,
    /// How many forks led to the process that made it.
    generation: u32,
}

impl<T> ForkSafeMutex<T> {
    /// Make a mutex. Fails if the system cannot report forks to this process.
    pub(super) fn new(state: T) -> Result<Self> {
        let generation = sys::fork_generation().map_err(|e| Error::system("register a handler for forks", e))?;
        Ok(Self { state: Mutex::new(state), generation })
    }

    /// Whether the process that made it was forked, and this is the child.
    #[inline]
    pub(super) fn is_inherited(&self) -> bool {
        self.generation != sys::generation()
    }

    /// Lock it. Returns `None` in a forked process if a thread that does not exist here holds it.
    #[inline]
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        if self.is_inherited() { self.lock_inherited() } else { Some(lock(&self.state)) }
    }

    /// Lock it as [`ForkSafeMutex::lock`] does, with an error instead of `None`.
    #[inline]
    pub(super) fn lock_or_refuse(&self) -> Result<MutexGuard<'_, T>> {
        self.lock().ok_or_else(held_at_fork)
    }

    /// Lock it if no thread holds it.
    #[inline]
    pub(super) fn lock_if_free(&self) -> Option<MutexGuard<'_, T>> {
        match self.state.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[cold]
    fn lock_inherited(&self) -> Option<MutexGuard<'_, T>> {
        let deadline = Instant::now() + INHERITED_TIMEOUT;
        loop {
            let guard = self.lock_if_free();
            if guard.is_some() || Instant::now() >= deadline {
                return guard;
            }
            thread::sleep(INHERITED_TIMEOUT / 100);
        }
    }
}

fn held_at_fork() -> Error {
    Error::Unsupported(
        "cannot use an inherited object: another thread was using it when this process was forked (open a new one here)"
            .into(),
    )
}

/// Lock a mutex even if a thread panicked while it held the lock: all states here are valid between two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
