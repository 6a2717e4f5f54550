//! An open receiver: returns what is available, and otherwise waits for it without the GIL.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use multicast_core::Result;
use multicast_core::net;
use pyo3::prelude::*;

use crate::backend::Backend;
use crate::batch::Batch;
use crate::datagram::Datagram;
use crate::errors::to_python;
use crate::interner::Interner;
use crate::log;
use crate::memberships::Memberships;
use crate::wait::{self, Deadline};

/// How long a lingering call sleeps before it first checks whether it has gathered enough. Each sleep is twice as long
/// as the one before.
const FIRST_NAP: Duration = Duration::from_micros(200);

/// The longest sleep of a lingering call, after which it checks for signals.
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// An open receiver.
pub(crate) struct OpenReceiver {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) port: u16,
    pub(crate) interner: Arc<Interner>,
    pub(crate) memberships: Memberships,
}

impl OpenReceiver {
    /// Waits for the next datagram.
    pub(crate) fn one(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
        let deadline = Deadline::new(timeout)?;
        loop {
            let mut taken = None;
            self.backend.next_datagram(py, &self.interner, &mut taken).map_err(to_python)?;
            if let Some(taken) = taken {
                return taken.into_object(py, &self.interner);
            }
            // Another thread may take what is fetched here; then the loop starts over.
            self.wait_for(py, deadline, || Ok(self.backend.fetch()?.then_some(())))?;
        }
    }

    /// Waits for a batch of at most `limit` datagrams, and then continues to gather for the time of `linger`; `None`
    /// continues until there are `limit` of them.
    pub(crate) fn batch(
        &self,
        py: Python<'_>,
        limit: usize,
        timeout: Option<f64>,
        linger: Option<Duration>,
    ) -> PyResult<Batch> {
        let batch = if linger == Some(Duration::ZERO) {
            match self.backend.take_pending(limit).map_err(to_python)? {
                Some(batch) => batch,
                None => self.wait_for(py, Deadline::new(timeout)?, || self.backend.take(limit))?,
            }
        } else {
            self.gathered(py, limit, timeout, linger)?
        };
        // A ring may have received it after a name changed, without a wait here.
        self.refresh_names(py);
        Ok(Batch::new(batch, Arc::clone(&self.interner)))
    }

    /// Returns what is there now, at most `limit` datagrams; `None` if there is nothing.
    pub(crate) fn now(&self, py: Python<'_>, limit: usize) -> PyResult<Option<net::Batch>> {
        let found = py.detach(|| self.backend.take(limit)).map_err(to_python)?;
        self.log_events(py)?;
        Ok(found)
    }

    fn gathered(
        &self,
        py: Python<'_>,
        limit: usize,
        timeout: Option<f64>,
        linger: Option<Duration>,
    ) -> PyResult<net::Batch> {
        let deadline = Deadline::new(timeout)?;
        // When a wait ends, there is most likely something to receive, so the first look can be at the end of the first
        // nap.
        let mut trusting = timeout != Some(0.0) && self.backend.is_drained();
        loop {
            let held = self.wait_for(py, deadline, || {
                let held = if trusting { 0 } else { self.backend.gather(limit)? };
                Ok((trusting || held > 0).then_some(held))
            })?;
            self.linger(py, limit, held, Deadline::after(linger))?;
            // Another thread may have taken what was gathered here; then the loop starts over.
            if let Some(batch) = self.backend.take_pending(limit).map_err(to_python)? {
                return Ok(batch);
            }
            trusting = false;
        }
    }

    /// Gathers until there are `limit` datagrams in hand, nothing more fits the batch, or the time has passed.
    fn linger(&self, py: Python<'_>, limit: usize, mut held: usize, end: Deadline) -> PyResult<()> {
        let mut nap = FIRST_NAP;
        while held < limit {
            let remaining = end.remaining().unwrap_or(LONGEST_NAP);
            if remaining.is_zero() {
                break;
            }
            held = py
                .detach(|| {
                    thread::sleep(nap.min(remaining));
                    self.backend.gather(limit)
                })
                .map_err(to_python)?;
            py.check_signals()?;
            if held == 0 {
                // The wait ended for another reason, or another thread has taken everything.
                break;
            }
            nap = (2 * nap).min(LONGEST_NAP);
        }
        Ok(())
    }

    fn wait_for<T: Send>(
        &self,
        py: Python<'_>,
        deadline: Deadline,
        attempt: impl Fn() -> Result<Option<T>> + Sync,
    ) -> PyResult<T> {
        let found = wait::until(
            py,
            deadline,
            self.backend.is_drained(),
            attempt,
            |limit| self.backend.wait(limit),
            |py| self.log_events(py),
            || format!("nothing was received on port {}", self.port),
        )?;
        // The datagram may have arrived on an interface that got its name during the wait.
        self.refresh_names(py);
        Ok(found)
    }

    fn refresh_names(&self, py: Python<'_>) {
        if let Ok(receiver) = self.backend.receiver() {
            self.interner.refresh(py, receiver.link_changes());
        }
    }

    /// Logs what happened to the memberships, and forgets the names of interfaces, if anything changed.
    pub(crate) fn log_events(&self, py: Python<'_>) -> PyResult<()> {
        // In a forked child, the parent logs the events of a ring.
        let Ok(receiver) = self.backend.receiver() else { return Ok(()) };
        self.refresh_names(py);
        if receiver.has_events() { log::write(py, receiver.take_events()) } else { Ok(()) }
    }
}
