//! Reading for `multicast.aio.create_datagram_endpoint`: payloads and addresses in the form that asyncio protocols
//! expect.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use multicast_core::net::{self, Batch, SocketReader};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::descriptor;
use crate::errors::to_python;
use crate::receiver::Receiver;

/// The most addresses that a reader remembers. Beyond that it forgets them all: a flood of forged senders must not fill
/// the memory.
const CAPACITY: usize = 4096;

enum Source {
    Receiver(Py<Receiver>),
    Socket(SocketReader),
}

/// Reads a `Receiver`, or a socket that the caller opened, given by its descriptor.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct _EndpointReader {
    source: Source,
    /// The addresses made so far, because few senders send most datagrams.
    addresses: Mutex<HashMap<SocketAddr, Py<PyTuple>>>,
}

#[pymethods]
impl _EndpointReader {
    #[new]
    fn new(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let source = match source.cast::<Receiver>() {
            Ok(receiver) => Source::Receiver(receiver.clone().unbind()),
            Err(_) => Source::Socket(SocketReader::open(source.extract()?).map_err(to_python)?),
        };
        Ok(Self { source, addresses: Mutex::default() })
    }

    /// Return the payloads of the datagrams that are available now (at most `limit` unless the kernel coalesced some),
    /// the addresses of their senders, and whether there are no more.
    fn read<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>, bool)> {
        let (batch, drained) = match &self.source {
            Source::Receiver(receiver) => match receiver.get().opened()?.now(py, limit)? {
                Some(batch) => {
                    let drained = batch.len() < limit;
                    (batch, drained)
                }
                None => return Ok((PyList::empty(py), PyList::empty(py), true)),
            },
            Source::Socket(reader) => py.detach(|| reader.read(limit)).map_err(to_python)?,
        };
        let payloads = PyList::new(py, batch.iter().map(|datagram| PyBytes::new(py, datagram.data)))?;
        Ok((payloads, PyList::new(py, self.addresses_of(py, &batch)?)?, drained))
    }

    /// Release the socket. A receiver is closed by its owner.
    fn close(&self, py: Python<'_>) {
        if let Source::Socket(reader) = &self.source {
            py.detach(|| reader.close());
        }
    }
}

impl _EndpointReader {
    fn addresses_of(&self, py: Python<'_>, batch: &Batch) -> PyResult<Vec<Py<PyTuple>>> {
        let mut made = Vec::with_capacity(batch.len());
        let mut last: Option<(SocketAddr, Py<PyTuple>)> = None;
        for datagram in batch.iter() {
            let sender = datagram.origin.sender;
            let address = match last.take() {
                Some((known, address)) if known == sender => address,
                _ => self.address(py, sender)?,
            };
            made.push(address.clone_ref(py));
            last = Some((sender, address));
        }
        Ok(made)
    }

    fn address(&self, py: Python<'_>, sender: SocketAddr) -> PyResult<Py<PyTuple>> {
        if let Some(known) = self.known().get(&sender) {
            return Ok(known.clone_ref(py));
        }
        // Made without the lock: a new tuple can start the garbage collector, and with it any code.
        let host = sender.ip().to_string();
        let made = match sender {
            SocketAddr::V4(v4) => (host, v4.port()).into_pyobject(py)?,
            SocketAddr::V6(v6) => (host, v6.port(), v6.flowinfo(), v6.scope_id()).into_pyobject(py)?,
        };
        let mut known = self.known();
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(sender, made.clone().unbind());
        Ok(made.unbind())
    }

    /// While this lock is held, no Python code runs except the release of tuples of strings and numbers.
    fn known(&self) -> MutexGuard<'_, HashMap<SocketAddr, Py<PyTuple>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Return a descriptor of the socket of a receiver, to send on. You must close it.
#[pyfunction]
pub(crate) fn _sending_socket(py: Python<'_>, receiver: &Receiver) -> PyResult<i64> {
    let opened = receiver.opened()?;
    py.detach(|| opened.backend.receiver().and_then(net::sending_socket)).map(descriptor::owned).map_err(to_python)
}
