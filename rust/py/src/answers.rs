//! `multicast._core.Answers`: the answers to one query, until the timeout expires.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;

use crate::datagram::Datagram;
use crate::receiver::{Receiver, until_closed};
use crate::wait::Deadline;

/// The most answers that are returned after the timeout has expired: those that arrived earlier and were not taken yet.
/// Without this limit, an endless flow of datagrams would keep a query from ending.
const MOST_LATE: usize = 65_536;

/// Iterates over the answers to a query until the timeout expires.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct Answers {
    receiver: Py<Receiver>,
    deadline: Deadline,
    /// How many answers were returned after the timeout had expired.
    late: AtomicUsize,
}

impl Answers {
    pub(crate) fn new(receiver: Py<Receiver>, deadline: Deadline) -> Self {
        Self { receiver, deadline, late: AtomicUsize::new(0) }
    }
}

#[pymethods]
impl Answers {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        let remaining = self.deadline.remaining();
        if remaining == Some(Duration::ZERO) && self.late.fetch_add(1, Ordering::Relaxed) >= MOST_LATE {
            return Ok(None);
        }
        let seconds = remaining.map(|remaining| remaining.as_secs_f64());
        match until_closed(py, self.receiver.get().opened()?.one(py, seconds)) {
            Err(error) if error.is_instance_of::<PyTimeoutError>(py) => Ok(None),
            answer => answer,
        }
    }
}
