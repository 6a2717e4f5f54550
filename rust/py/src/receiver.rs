//! `multicast._core.Receiver`: the base class of `multicast.Receiver`.

use std::sync::Arc;

use multicast_core::net::{self, ReceiverConfig};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::batch::Batch;
use crate::convert::{GroupArgument, Interner, Joined, group_spec, interface, membership};
use crate::datagram::Datagram;
use crate::errors::raise;
use crate::wait::{self, Deadline};

/// Receives the datagrams of one or more groups on one port. `multicast.Receiver` is the class for users.
#[pyclass(frozen, subclass, module = "multicast._core")]
pub(crate) struct Receiver {
    core: net::Receiver,
    interner: Arc<Interner>,
}

/// Datagrams taken from the kernel at once when they are handed out singly.
const SINGLY: usize = 64;

impl Receiver {
    fn receive(&self, py: Python<'_>, max: usize, seconds: Option<f64>, fetch: usize) -> PyResult<net::Batch> {
        if let Some(batch) = self.core.take_pending(max).map_err(raise)? {
            return Ok(batch);
        }
        wait::until(
            py,
            Deadline::new(seconds)?,
            || self.core.take(max, fetch),
            |most| self.core.wait(Some(most)),
            || self.nothing(),
        )
    }

    fn one(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Datagram> {
        let deadline = Deadline::new(seconds)?;
        loop {
            // Only the payload is copied under the receiver's lock: whatever else is made could run the garbage
            // collector, and with it code that uses this receiver.
            let next = self
                .core
                .next_pending(|datagram| (PyBytes::new(py, datagram.data), *datagram.origin))
                .map_err(raise)?;
            if let Some((data, origin)) = next {
                return self.interner.datagram(py, data.unbind(), &origin);
            }
            // Another thread may take what is fetched here; then it begins again.
            wait::until(
                py,
                deadline,
                || Ok(self.core.fetch(SINGLY)?.then_some(())),
                |most| self.core.wait(Some(most)),
                || self.nothing(),
            )?;
        }
    }

    fn nothing(&self) -> String {
        format!("nothing was received on port {}", self.core.port())
    }
}

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (groups, port, *, bind=None, fd=None, share=true, strict=true, loopback=true,
                        recv_buffer=None, timestamps=true, ttl=true, gro=true))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        py: Python<'_>,
        groups: Vec<GroupArgument<'_>>,
        port: u16,
        bind: Option<&str>,
        fd: Option<i64>,
        share: bool,
        strict: bool,
        loopback: bool,
        recv_buffer: Option<usize>,
        timestamps: bool,
        ttl: bool,
        gro: bool,
    ) -> PyResult<Self> {
        let groups = groups.into_iter().map(group_spec).collect::<PyResult<Vec<_>>>()?;
        let bind = bind
            .map(|text| {
                text.parse().map_err(|_| PyValueError::new_err(format!("{text:?} is not an IPv4 or IPv6 address")))
            })
            .transpose()?;
        let config =
            ReceiverConfig { port, bind, share, strict, loopback, recv_buffer, timestamps, ttl, coalesce: gro };
        let core = py
            .detach(|| match fd {
                Some(fd) => net::Receiver::adopt(net::duplicate(fd)?, config, &groups),
                None => net::Receiver::open(config, &groups),
            })
            .map_err(raise)?;
        Ok(Self { core, interner: Arc::default() })
    }

    /// The next datagram.
    ///
    /// Args:
    ///     timeout: seconds to wait; 0 takes what is there, None waits for ever.
    ///
    /// Raises:
    ///     TimeoutError: nothing came in that time.
    ///     ClosedError: the receiver is closed, or was closed meanwhile.
    #[pyo3(signature = (timeout=None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Datagram> {
        self.one(py, timeout)
    }

    /// The next datagrams: waits for one, then takes what is there.
    ///
    /// Args:
    ///     max: the most to take, from 1.
    ///     timeout: seconds to wait for the first; 0 takes what is there, None waits for ever.
    ///
    /// Raises:
    ///     TimeoutError: nothing came in that time.
    ///     ClosedError: the receiver is closed, or was closed meanwhile.
    #[pyo3(signature = (max=256, timeout=None))]
    fn recv_batch(&self, py: Python<'_>, max: i64, timeout: Option<f64>) -> PyResult<Batch> {
        let max = usize::try_from(max)
            .ok()
            .filter(|&max| max > 0)
            .ok_or_else(|| PyValueError::new_err(format!("a batch holds at least 1 datagram, not {max}")))?;
        Ok(Batch::new(self.receive(py, max, timeout, max)?, Arc::clone(&self.interner)))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Datagram> {
        self.one(py, None)
    }

    /// Joins one more group: its text, interface, sources wanted, sources refused.
    fn join_group(&self, py: Python<'_>, group: GroupArgument<'_>) -> PyResult<()> {
        let spec = group_spec(group)?;
        py.detach(|| self.core.join(&spec)).map_err(raise)
    }

    /// Leaves a group on an interface, or wherever it was joined.
    #[pyo3(signature = (group, interface=None))]
    fn leave_group(&self, py: Python<'_>, group: &str, interface: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let group = multicast_core::pure::address::parse_group(group).map_err(raise)?;
        let on = self::interface(interface)?;
        py.detach(|| self.core.leave(group, &on)).map_err(raise)
    }

    /// What is joined: (group, index of the interface or None, sources wanted, sources refused) each.
    fn joined(&self) -> Vec<Joined> {
        self.core.groups().into_iter().map(membership).collect()
    }

    /// The counters by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.core.stats()).map_err(raise)?;
        let dict = PyDict::new(py);
        dict.set_item("received", stats.received)?;
        dict.set_item("bytes", stats.bytes)?;
        dict.set_item("kernel_drops", stats.kernel_drops)?;
        dict.set_item("truncated", stats.truncated)?;
        dict.set_item("filtered", stats.filtered)?;
        dict.set_item("buffer_asked", stats.buffer_asked)?;
        dict.set_item("buffer_granted", stats.buffer_granted)?;
        dict.set_item("sockets", stats.sockets)?;
        Ok(dict)
    }

    /// The UDP port it listens on.
    #[getter]
    fn port(&self) -> u16 {
        self.core.port()
    }

    /// Datagrams taken from the kernel and not yet from here; readiness of the descriptor does not show them.
    #[getter]
    fn pending(&self) -> usize {
        self.core.pending()
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// The descriptor of the first socket, to wait on.
    fn fileno(&self) -> PyResult<i64> {
        self.core.with_socket(descriptor).map_err(raise)
    }

    /// Closes the receiver and gives a descriptor of its socket, joined and bound, that is the caller's to close.
    fn detach(&self) -> PyResult<i64> {
        self.core.detach().map(into_descriptor).map_err(raise)
    }

    /// Leaves all groups and closes. Closing again does nothing. Whoever waits gets a ClosedError.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.core.close());
    }
}

#[cfg(unix)]
pub(crate) fn descriptor(socket: &multicast_core::Socket) -> i64 {
    use std::os::fd::AsRawFd;
    socket.as_raw_fd().into()
}

#[cfg(unix)]
fn into_descriptor(socket: multicast_core::Socket) -> i64 {
    use std::os::fd::IntoRawFd;
    socket.into_raw_fd().into()
}

#[cfg(windows)]
pub(crate) fn descriptor(socket: &multicast_core::Socket) -> i64 {
    use std::os::windows::io::AsRawSocket;
    socket.as_raw_socket() as i64
}

#[cfg(windows)]
fn into_descriptor(socket: multicast_core::Socket) -> i64 {
    use std::os::windows::io::IntoRawSocket;
    socket.into_raw_socket() as i64
}
