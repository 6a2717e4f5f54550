//! `multicast._core.Receiver`: the base class of `multicast.Receiver`.

use std::sync::Arc;
use std::time::Duration;

use multicast_core::net::{self, ReceiverConfig, RingConfig};
use multicast_core::pure::address::parse_group;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::batch::Batch;
use crate::convert::{GroupArgument, Interner, Joined, group_spec, interface, membership};
use crate::datagram::Datagram;
use crate::errors::raise;
use crate::events;
use crate::source::{Source, policy};
use crate::wait::{self, Deadline};

/// Receives the datagrams of one or more groups on one port. `multicast.Receiver` is the class for users.
#[pyclass(frozen, subclass, module = "multicast._core")]
pub(crate) struct Receiver {
    core: Source,
    interner: Arc<Interner>,
}

impl Receiver {
    fn receive(&self, py: Python<'_>, max: usize, seconds: Option<f64>) -> PyResult<net::Batch> {
        if let Some(batch) = self.core.take_pending(max).map_err(raise)? {
            return Ok(batch);
        }
        wait::until(
            py,
            Deadline::new(seconds)?,
            self.core.is_drained(),
            || self.core.take(max),
            |most| self.core.wait(most),
            |py| self.tell(py),
            || self.nothing(),
        )
    }

    fn one(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Py<Datagram>> {
        let deadline = Deadline::new(seconds)?;
        loop {
            // Under the receiver's lock nothing is made that could run the garbage collector, and with it code that
            // uses this receiver. Only pointers come out: to move more costs more than to make a datagram.
            let mut strange = None;
            let next = self.core.next_pending(|datagram| {
                let data = PyBytes::new(py, datagram.data).unbind();
                let known = self.interner.known_datagram(py, &data, datagram.origin);
                if known.is_none() {
                    strange = Some((data, *datagram.origin));
                }
                known
            });
            if let Some(datagram) = next.map_err(raise)?.flatten() {
                return Ok(datagram);
            }
            if let Some((data, origin)) = strange {
                return self.interner.datagram(py, data, &origin);
            }
            // Another thread may take what is fetched here; then it begins again.
            wait::until(
                py,
                deadline,
                self.core.is_drained(),
                || Ok(self.core.fetch()?.then_some(())),
                |most| self.core.wait(most),
                |py| self.tell(py),
                || self.nothing(),
            )?;
        }
    }

    /// Logs what happened to the memberships, if anything did.
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        if self.core.has_events() { events::log(py, self.core.take_events()) } else { Ok(()) }
    }

    fn nothing(&self) -> String {
        format!("nothing was received on port {}", self.core.port())
    }
}

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (groups, port, *, bind=None, fd=None, share=true, strict=true, loopback=true,
                        recv_buffer=None, timestamps=true, ttl=true, gro=true, rejoin=None,
                        ring=None, ring_policy="drop-oldest"))]
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
        rejoin: Option<f64>,
        ring: Option<usize>,
        ring_policy: &str,
    ) -> PyResult<Self> {
        let groups = groups.into_iter().map(group_spec).collect::<PyResult<Vec<_>>>()?;
        let bind = bind
            .map(|text| {
                text.parse().map_err(|_| PyValueError::new_err(format!("{text:?} is not an IPv4 or IPv6 address")))
            })
            .transpose()?;
        let rejoin = rejoin
            .map(|seconds| {
                Duration::try_from_secs_f64(seconds).map_err(|_| {
                    PyValueError::new_err(format!("rejoin is a number of seconds above 0, or None, not {seconds}"))
                })
            })
            .transpose()?;
        let config =
            ReceiverConfig { port, bind, share, strict, loopback, recv_buffer, timestamps, ttl, coalesce: gro, rejoin };
        let policy = policy(ring_policy).map_err(raise)?;
        let ring = ring.map(|capacity| RingConfig { capacity, policy });
        let core = py
            .detach(|| {
                let core = match fd {
                    Some(fd) => net::Receiver::adopt(net::duplicate(fd)?, config, &groups),
                    None => net::Receiver::open(config, &groups),
                };
                Source::new(core?, ring)
            })
            .map_err(raise)?;
        let receiver = Self { core, interner: Arc::default() };
        receiver.tell(py)?;
        Ok(receiver)
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
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
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
        Ok(Batch::new(self.receive(py, max, timeout)?, Arc::clone(&self.interner)))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<Datagram>> {
        self.one(py, None)
    }

    /// Joins more groups, all or none: of each its text, interfaces, sources wanted, sources refused.
    fn join_groups(&self, py: Python<'_>, groups: Vec<GroupArgument<'_>>) -> PyResult<()> {
        let groups = groups.into_iter().map(group_spec).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.core.core()?.join(&groups)).map_err(raise)?;
        self.tell(py)
    }

    /// Leaves groups on an interface, or wherever they were joined.
    #[pyo3(signature = (groups, interface=None))]
    fn leave_groups(&self, py: Python<'_>, groups: Vec<String>, interface: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let groups = groups.iter().map(|text| parse_group(text).map_err(raise)).collect::<PyResult<Vec<_>>>()?;
        let on = self::interface(interface)?;
        py.detach(|| self.core.core()?.leave(&groups, &on)).map_err(raise)
    }

    /// What is joined: (group, index of the interface or None, sources wanted, sources refused) each.
    fn joined(&self) -> PyResult<Vec<Joined>> {
        Ok(self.core.core().map_err(raise)?.groups().into_iter().map(membership).collect())
    }

    /// The counters by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (stats, ring) = py.detach(|| self.core.stats()).map_err(raise)?;
        self.tell(py)?;
        let dict = PyDict::new(py);
        dict.set_item("received", stats.received)?;
        dict.set_item("bytes", stats.bytes_received)?;
        dict.set_item("kernel_drops", stats.kernel_drops)?;
        dict.set_item("ring_drops", ring.drops)?;
        dict.set_item("ring_high_water", ring.high_water)?;
        dict.set_item("truncated", stats.truncated)?;
        dict.set_item("filtered", stats.filtered)?;
        dict.set_item("buffer_asked", stats.recv_buffer_requested)?;
        dict.set_item("buffer_granted", stats.recv_buffer_actual)?;
        dict.set_item("sockets", stats.sockets)?;
        dict.set_item("rejoins", stats.rejoins)?;
        dict.set_item("interface_events", stats.interface_events)?;
        dict.set_item("interrupted", stats.outage.as_secs_f64())?;
        Ok(dict)
    }

    /// The UDP port it listens on.
    #[getter]
    fn port(&self) -> u16 {
        self.core.port()
    }

    /// Datagrams taken from the kernel and not yet from here. Without a ring, readiness of the descriptor does not show
    /// them.
    #[getter]
    fn pending(&self) -> PyResult<usize> {
        self.core.pending().map_err(raise)
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// The descriptor to wait on, whatever the number of sockets: nobody else may read from it. Where the system has no
    /// such thing (Windows) it is the one socket's, and an UnsupportedError where there are several.
    fn fileno(&self) -> PyResult<i64> {
        self.core.descriptor().map_err(raise)
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
