//! Waiting without the GIL: signals are looked at, time outs kept, a close from another thread noticed.

use std::time::{Duration, Instant};

use multicast_core::net::Wake;
use multicast_core::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raise;

/// A signal that comes between the last look at Python's handlers and the system call does not interrupt it; so no
/// system call lasts longer than this.
const TICK: Duration = Duration::from_millis(50);

/// Until when somebody waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// How long was allowed in all; `None` waits for ever.
    after: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    /// From seconds as Python gives them; `None` waits for ever.
    pub(crate) fn new(seconds: Option<f64>) -> PyResult<Self> {
        let after = match seconds {
            None => None,
            // Near what a Duration can hold, 5e11 years, is for ever; so is infinity.
            Some(seconds) if seconds > 1e19 => None,
            Some(seconds) => Some(Duration::try_from_secs_f64(seconds).map_err(|_| {
                PyValueError::new_err(format!("a timeout is a number of seconds from 0, not {seconds}"))
            })?),
        };
        // A time too far off to be told from for ever is for ever.
        Ok(Self { after, at: after.and_then(|after| Instant::now().checked_add(after)) })
    }

    fn remaining(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Tries, and where that gives nothing sleeps and tries again, until it gives something or the time is over.
///
/// `attempt` and `sleep` run without the GIL and must not touch Python; `meanwhile` runs with it, first and after each
/// attempt that gave nothing. A time of zero tries once. Where it is `idle`, the first try is left out: it would cost a
/// kernel call and most likely give nothing.
pub(crate) fn until<T: Send>(
    py: Python<'_>,
    deadline: Deadline,
    idle: bool,
    attempt: impl Fn() -> Result<Option<T>> + Sync,
    sleep: impl Fn(Duration) -> Result<Wake> + Sync,
    meanwhile: impl Fn(Python<'_>) -> PyResult<()>,
    what: impl Fn() -> String,
) -> PyResult<T> {
    meanwhile(py)?;
    loop {
        let remaining = deadline.remaining();
        let first = || if idle && remaining != Some(Duration::ZERO) { Ok(None) } else { attempt() };
        let found = py
            .detach(|| match first()? {
                Some(found) => Ok(Some(found)),
                None if remaining == Some(Duration::ZERO) => Ok(None),
                None => match sleep(remaining.map_or(TICK, |remaining| remaining.min(TICK)))? {
                    Wake::Ready => attempt(),
                    Wake::Interrupted | Wake::TimedOut => Ok(None),
                },
            })
            .map_err(raise)?;
        if let Some(found) = found {
            return Ok(found);
        }
        py.check_signals()?;
        meanwhile(py)?;
        if let (Some(after), Some(Duration::ZERO)) = (deadline.after, remaining) {
            return Err(raise(Error::TimedOut { operation: what(), after }));
        }
    }
}
