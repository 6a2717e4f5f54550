//! Waiting without the GIL, while honouring signals, timeouts and a close from another thread.

use std::time::{Duration, Instant};

use multicast_core::net::Wake;
use multicast_core::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// The longest system call. A signal that arrives between Python's last check and the system call does not interrupt
/// it, so Ctrl-C is delayed by at most this much.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The end of a wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// The whole time allowed; `None` waits without a limit.
    after: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    /// Starts counting now. `None` means no limit; so does a time too long for the clock.
    pub(crate) fn new(seconds: Option<f64>) -> PyResult<Self> {
        Ok(Self::after(seconds.map(|seconds| duration("timeout", seconds)).transpose()?.flatten()))
    }

    pub(crate) fn after(after: Option<Duration>) -> Self {
        Self { after, at: after.and_then(|after| Instant::now().checked_add(after)) }
    }

    pub(crate) fn remaining(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Reads a number of seconds; `None` if it is too long for a `Duration`, as infinity is.
pub(crate) fn duration(argument: &str, seconds: f64) -> PyResult<Option<Duration>> {
    // A Duration holds up to 1.8e19 seconds.
    if seconds > 1e19 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(seconds)
        .map(Some)
        .map_err(|_| PyValueError::new_err(format!("{argument} must be a number of seconds from 0, got {seconds}")))
}

/// Attempts until something is found or the timeout expires, and sleeps in between. With a timeout of zero, it attempts
/// once.
///
/// `attempt` and `sleep` run without the GIL and must not touch Python. `between` runs with it, at the start and after
/// each attempt that found nothing. `idle` skips the attempt before each sleep, which would cost a system call and most
/// likely find nothing. `failure` is the first half of the message of a `TimeoutError`: "nothing was received on port
/// 5000".
pub(crate) fn until<T: Send>(
    py: Python<'_>,
    deadline: Deadline,
    idle: bool,
    attempt: impl Fn() -> Result<Option<T>> + Sync,
    sleep: impl Fn(Duration) -> Result<Wake> + Sync,
    between: impl Fn(Python<'_>) -> PyResult<()>,
    failure: impl Fn() -> String,
) -> PyResult<T> {
    between(py)?;
    loop {
        let remaining = deadline.remaining();
        let sleeps_first = idle && remaining != Some(Duration::ZERO);
        let found = py
            .detach(|| match if sleeps_first { None } else { attempt()? } {
                Some(found) => Ok(Some(found)),
                None if remaining == Some(Duration::ZERO) => Ok(None),
                None => match sleep(remaining.map_or(TICK, |remaining| remaining.min(TICK)))? {
                    Wake::Ready => attempt(),
                    Wake::Interrupted | Wake::TimedOut => Ok(None),
                },
            })
            .map_err(to_python)?;
        if let Some(found) = found {
            return Ok(found);
        }
        py.check_signals()?;
        between(py)?;
        if let (Some(after), Some(Duration::ZERO)) = (deadline.after, remaining) {
            return Err(to_python(Error::TimedOut { operation: failure(), after }));
        }
    }
}
