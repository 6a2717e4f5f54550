//! A lock that a fork cannot leave locked for good.
//!
//! A child process has only the thread that forked. If another one held a lock at that moment, it is held for ever in
//! the child; waiting for it would hang whoever so much as closes an inherited object.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::lock;
use crate::{Error, Result, sys};

/// How long a forked process waits for a lock: threads of its own hold it no longer than a kernel call takes.
const PATIENCE: Duration = Duration::from_millis(100);

/// Something that is used by one thread at a time, in the process that made it and in those forked off it.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    state: Mutex<T>,
    /// How many forks led to the process that made it.
    generation: u32,
}

impl<T> Guarded<T> {
    pub(super) fn new(state: T) -> io::Result<Self> {
        Ok(Self { state: Mutex::new(state), generation: sys::fork_generation()? })
    }

    /// `None` in a forked process where a thread that does not exist holds it.
    #[inline]
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        if self.generation == sys::generation() { Some(lock(&self.state)) } else { self.lock_inherited() }
    }

    /// As [`Guarded::lock`], with the error for where there is none.
    #[inline]
    pub(super) fn try_lock(&self) -> Result<MutexGuard<'_, T>> {
        self.lock().ok_or_else(|| {
            Error::Unsupported(
                "this was in use by another thread when the process was forked off: open one of its own here".into(),
            )
        })
    }

    #[cold]
    fn lock_inherited(&self) -> Option<MutexGuard<'_, T>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.state.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(PoisonError::into_inner(poisoned)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(PATIENCE / 100),
            }
        }
    }
}
