//! `multicast._core._InterfaceWatch`: changes of the interfaces, for `multicast.watch_interfaces`.

use multicast_core::net::{InterfaceChange, InterfaceWatch};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::interface_fields;
use crate::errors::to_python;
use crate::wait::{self, Deadline};

/// Watches the interfaces. Reports all changes since its creation.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct _InterfaceWatch {
    core: InterfaceWatch,
}

/// The kind of a change, and the fields of `multicast.Interface` if it concerns one.
type Event<'py> = (&'static str, Option<Bound<'py, PyDict>>);

#[pymethods]
impl _InterfaceWatch {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { core: py.detach(InterfaceWatch::open).map_err(to_python)? })
    }

    /// Wait until something has changed, and return all changes since the last call.
    fn wait<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Vec<Event<'py>>> {
        let attempt = || {
            let changes = self.core.poll()?;
            Ok((!changes.is_empty()).then_some(changes))
        };
        let sleep = |limit| self.core.wait(Some(limit));
        let failure = || "no interface has changed".to_owned();
        let changes = wait::until(py, Deadline::new(timeout)?, false, attempt, sleep, |_| Ok(()), failure)?;
        changes.into_iter().map(|change| event(py, change)).collect()
    }

    /// Return the changes since the last call, without waiting.
    fn poll<'py>(&self, py: Python<'py>) -> PyResult<Vec<Event<'py>>> {
        let changes = py.detach(|| self.core.poll()).map_err(to_python)?;
        changes.into_iter().map(|change| event(py, change)).collect()
    }

    /// Return the descriptor to wait on; None if the system reports nothing, and `poll` must be called once a second.
    fn fileno(&self) -> PyResult<Option<i64>> {
        self.core.descriptor().map_err(to_python)
    }

    /// End every wait with ClosedError.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.core.close());
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        py.detach(|| self.core.is_closed())
    }
}

fn event(py: Python<'_>, change: InterfaceChange) -> PyResult<Event<'_>> {
    let (kind, interface) = match change {
        InterfaceChange::Added(interface) => ("added", Some(interface)),
        InterfaceChange::Removed(interface) => ("removed", Some(interface)),
        InterfaceChange::Up(interface) => ("up", Some(interface)),
        InterfaceChange::Down(interface) => ("down", Some(interface)),
        InterfaceChange::Addresses(interface) => ("addresses", Some(interface)),
        InterfaceChange::Routes => ("routes", None),
        InterfaceChange::Resync => ("resync", None),
    };
    Ok((kind, interface.map(|interface| interface_fields(py, &interface)).transpose()?))
}
