//! `multicast._core.Receiver`: the base class of `multicast.Receiver`.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use multicast_core::net::{self, Fanout, ReceiverConfig, RingConfig};
use multicast_core::pure::address::parse_group;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::backend;
use crate::batch::Batch;
use crate::convert::{self, GroupArgument, group_spec};
use crate::datagram::Datagram;
use crate::descriptor;
use crate::errors::{ClosedError, to_python};
use crate::fields::set_fields;
use crate::memberships::Memberships;
use crate::receiving::OpenReceiver;
use crate::wait::{self, Deadline};

/// Receives the datagrams of one or more groups on one port. `multicast.Receiver` is the class for users.
#[pyclass(frozen, subclass, module = "multicast._core")]
pub(crate) struct Receiver {
    /// Empty until `__init__` of the Python class calls `_open`.
    opened: OnceLock<OpenReceiver>,
}

impl Receiver {
    /// Wraps a receiver that is open already, without a ring.
    pub(crate) fn from_core(core: net::Receiver) -> Self {
        let port = core.port();
        let (interner, memberships) = (Arc::default(), Memberships::default());
        let opened = OpenReceiver { backend: Box::new(core), port, interner, memberships };
        Self { opened: OnceLock::from(opened) }
    }

    #[inline]
    pub(crate) fn opened(&self) -> PyResult<&OpenReceiver> {
        self.opened.get().ok_or_else(|| PyRuntimeError::new_err("Receiver.__init__() was not called"))
    }
}

#[pymethods]
impl Receiver {
    /// Takes any arguments, so that a subclass is free to choose those of its `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self { opened: OnceLock::new() }
    }

    /// Open the sockets and join the groups. `fd` is the descriptor of a socket to adopt; only then `port` may be None,
    /// and only if the socket is bound.
    #[pyo3(signature = (groups, port, *, bind=None, fd=None, share=true, strict=true, loopback=None,
                        recv_buffer=None, timestamps=true, receive_ttl=true, gro=true, rejoin=None,
                        ring=None, ring_policy="drop-oldest", engine="socket", packet_delay=0.004, fanout=None, spin=0.0))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn _open(
        &self,
        py: Python<'_>,
        groups: Vec<GroupArgument<'_>>,
        port: Option<u16>,
        bind: Option<&str>,
        fd: Option<i64>,
        share: bool,
        strict: bool,
        loopback: Option<bool>,
        recv_buffer: Option<usize>,
        timestamps: bool,
        receive_ttl: bool,
        gro: bool,
        rejoin: Option<f64>,
        ring: Option<usize>,
        ring_policy: &str,
        engine: &str,
        packet_delay: f64,
        fanout: Option<(u16, bool)>,
        spin: f64,
    ) -> PyResult<()> {
        if self.opened.get().is_some() {
            return Err(already_open());
        }
        let groups = groups.into_iter().map(group_spec).collect::<PyResult<Vec<_>>>()?;
        let config = ReceiverConfig {
            engine: backend::engine(engine).map_err(to_python)?,
            packet_delay: convert::seconds_in("packet_delay", "from 0.001 to 1", packet_delay)?,
            fanout: fanout.map(|(id, round_robin)| Fanout { id, round_robin }),
            spin: convert::seconds_in("spin", "from 0 to 10", spin)?,
            port: port.unwrap_or(0),
            bind: bind.map(convert::bind_address).transpose()?,
            share,
            strict,
            unicast: false,
            loopback,
            recv_buffer,
            timestamps,
            ttl: receive_ttl,
            coalesce: gro,
            rejoin: rejoin.map(convert::rejoin_period).transpose()?,
        };
        let policy = backend::ring_policy(ring_policy).map_err(to_python)?;
        let ring = ring.map(|capacity| RingConfig { capacity, policy });
        let (backend, port) = py
            .detach(|| -> multicast_core::Result<_> {
                let core = match fd {
                    Some(fd) => net::Receiver::adopt(to_adopt(fd, port)?, config, &groups)?,
                    None => net::Receiver::open(config, &groups)?,
                };
                let port = core.port();
                Ok((backend::start(core, ring)?, port))
            })
            .map_err(to_python)?;
        let (interner, memberships) = (Arc::default(), Memberships::default());
        let opened = OpenReceiver { backend, port, interner, memberships };
        opened.log_events(py)?;
        self.opened.set(opened).map_err(|_| already_open())
    }

    /// Return the next datagram.
    ///
    /// Args:
    ///     timeout: Seconds to wait, at least 0. 0 polls; None waits without a
    ///         limit.
    ///
    /// Raises:
    ///     TimeoutError: No datagram arrived in that time.
    ///     ClosedError: The receiver is closed, or was closed during the call.
    #[pyo3(signature = (timeout=None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
        self.opened()?.one(py, timeout)
    }

    /// Wait for a datagram, then return everything already queued.
    ///
    /// Args:
    ///     limit: Maximum number of datagrams to return, at least 1.
    ///     timeout: Seconds to wait for the first datagram, at least 0. 0
    ///         polls; None waits without a limit.
    ///     linger: Seconds to keep collecting after the first datagram, until
    ///         there are `limit` of them or no more fit. Fewer, larger batches
    ///         cost less CPU time.
    ///
    /// Raises:
    ///     TimeoutError: No datagram arrived in that time.
    ///     ClosedError: The receiver is closed, or was closed during the call.
    #[pyo3(signature = (limit=256, timeout=None, linger=0.0))]
    fn recv_batch(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = convert::limit)] limit: usize,
        timeout: Option<f64>,
        linger: f64,
    ) -> PyResult<Batch> {
        self.opened()?.batch(py, limit, timeout, wait::duration("linger", linger)?)
    }

    /// Iterate over batches until the receiver is closed; see `recv_batch` for
    /// the arguments.
    ///
    /// Raises:
    ///     TimeoutError: No datagram arrived within `timeout`.
    #[pyo3(signature = (limit=256, timeout=None, linger=0.0))]
    fn batches(
        slf: Bound<'_, Self>,
        #[pyo3(from_py_with = convert::limit)] limit: usize,
        timeout: Option<f64>,
        linger: f64,
    ) -> PyResult<BatchStream> {
        // Invalid arguments are refused here, not at the first step.
        Deadline::new(timeout)?;
        let linger = wait::duration("linger", linger)?;
        Ok(BatchStream { receiver: slf.unbind(), limit, timeout, linger })
    }

    /// Send a reply to the sender of a datagram. It comes from the port of this
    /// receiver, and leaves through the interface on which the datagram
    /// arrived.
    ///
    /// Args:
    ///     msg: A datagram that this receiver returned.
    ///     data: The payload, in any buffer: at most 65,507 bytes over IPv4 and
    ///         65,527 over IPv6.
    ///     timeout: Seconds to wait while the kernel's send buffer is full;
    ///         None waits without a limit.
    ///
    /// Returns:
    ///     The number of bytes sent.
    ///
    /// Raises:
    ///     ValueError: The payload is too long for a datagram, or the receiver
    ///         has no socket of that IP version.
    ///     TimeoutError: The datagram could not be sent in that time.
    ///     ClosedError: The receiver is closed, or was closed during the call.
    ///     OSError: The system refused; `errno` says why.
    #[pyo3(signature = (msg, data, timeout=None))]
    fn reply(
        &self,
        py: Python<'_>,
        msg: &Bound<'_, Datagram>,
        data: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let opened = self.opened()?;
        let (to, interface) = convert::origin(py, msg.get())?;
        let payload = convert::message(data)?;
        let payload = payload.as_bytes();
        wait::until(
            py,
            Deadline::new(timeout)?,
            false,
            || Ok(opened.backend.receiver()?.reply(to, interface, payload)?.then_some(())),
            |limit| opened.backend.receiver()?.wait_to_reply(to, interface, Some(limit)),
            |_| Ok(()),
            || "the send buffer stayed full".to_owned(),
        )?;
        Ok(payload.len())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let Some(opened) = slf.get().opened.get() else { return Ok(format!("<{name}, not opened>")) };
        let state = match opened.backend.receiver() {
            _ if opened.backend.is_closed() => "closed".to_owned(),
            Ok(receiver) => shortened(receiver.groups().iter().map(|membership| membership.group)),
            Err(_) => "inherited by a fork".to_owned(),
        };
        Ok(format!("<{name} on port {}: {state}>", opened.port))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        until_closed(py, self.opened()?.one(py, None))
    }

    /// Take from the kernel until `limit` datagrams are pending or there is no more room. Return how many are pending,
    /// or `limit` if nothing that arrives can be in the next batch.
    fn _gather(&self, py: Python<'_>, #[pyo3(from_py_with = convert::limit)] limit: usize) -> PyResult<usize> {
        let opened = self.opened()?;
        py.detach(|| opened.backend.gather(limit)).map_err(to_python)
    }

    /// With a ring, wait for a moment until it has everything that the kernel had `age` seconds ago.
    fn _settle(&self, py: Python<'_>, age: f64) -> PyResult<()> {
        let age = convert::seconds_in("age", "0 or more", age)?;
        let opened = self.opened()?;
        py.detach(|| opened.backend.settle(age)).map_err(to_python)
    }

    /// Join more groups, all or none of them.
    fn _join_groups(&self, py: Python<'_>, groups: Vec<GroupArgument<'_>>) -> PyResult<()> {
        let groups = groups.into_iter().map(group_spec).collect::<PyResult<Vec<_>>>()?;
        let opened = self.opened()?;
        py.detach(|| opened.backend.receiver()?.join(&groups)).map_err(to_python)?;
        opened.log_events(py)
    }

    /// Leave groups on an interface, or wherever they are joined; if there are
    /// sources, only these.
    #[pyo3(signature = (groups, interface=None, sources=Vec::new()))]
    fn _leave_groups(
        &self,
        py: Python<'_>,
        groups: Vec<String>,
        interface: Option<&Bound<'_, PyAny>>,
        sources: Vec<String>,
    ) -> PyResult<()> {
        let groups = groups.iter().map(|text| parse_group(text).map_err(to_python)).collect::<PyResult<Vec<_>>>()?;
        let on = convert::interface(interface)?;
        let sources = match groups.first() {
            Some(group) => convert::addresses(sources, *group)?,
            None => Vec::new(),
        };
        let opened = self.opened()?;
        py.detach(|| opened.backend.receiver()?.leave(&groups, &on, &sources)).map_err(to_python)
    }

    /// Return what is joined: for each membership, the fields of `multicast.Membership`. This is the same object as
    /// last time if nothing has changed.
    fn _joined(&self, py: Python<'_>) -> PyResult<Py<PyTuple>> {
        let opened = self.opened()?;
        let memberships = opened.backend.receiver().map_err(to_python)?.groups();
        opened.memberships.fields(py, memberships, &opened.interner)
    }

    /// Return the fields of `multicast.ReceiverStats`.
    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.opened()?;
        // This usually takes microseconds, so it keeps the GIL: a thread that releases it may wait 5 ms to get it back.
        let (stats, ring) = match opened.backend.stats_at_once().map_err(to_python)? {
            Some(counters) => counters,
            None => py.detach(|| opened.backend.stats()).map_err(to_python)?,
        };
        opened.log_events(py)?;
        let dict = PyDict::new(py);
        set_fields!(
            dict,
            stats,
            received,
            bytes_received,
            kernel_drops,
            truncated,
            filtered,
            invalid,
            unassembled,
            recv_buffer_requested,
            recv_buffer_actual,
            sockets,
            rejoins,
            interface_events
        );
        dict.set_item("ring_drops", ring.drops)?;
        dict.set_item("ring_high_water", ring.high_water)?;
        dict.set_item("outage_seconds", stats.outage.as_secs_f64())?;
        Ok(dict)
    }

    /// The UDP port that the receiver listens on.
    #[getter]
    fn port(&self) -> PyResult<u16> {
        Ok(self.opened()?.port)
    }

    /// Number of datagrams that were taken from the kernel but not yet
    /// returned. Without a ring, the descriptor does not become readable for
    /// them.
    #[getter]
    fn pending(&self) -> PyResult<usize> {
        self.opened()?.backend.pending().map_err(to_python)
    }

    /// Whether the receiver is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.opened.get().is_none_or(|opened| opened.backend.is_closed())
    }

    /// Return the descriptor to wait on, one for all sockets. Do not read from
    /// it.
    ///
    /// Raises:
    ///     UnsupportedError: On Windows, if the groups need several sockets.
    ///     ClosedError: The receiver is closed.
    fn fileno(&self, py: Python<'_>) -> PyResult<i64> {
        let opened = self.opened()?;
        py.detach(|| opened.backend.descriptor()).map_err(to_python)
    }

    /// Close the receiver and return a descriptor of its socket, which stays
    /// bound and joined. You must close that descriptor.
    ///
    /// Raises:
    ///     ValueError: The groups need several sockets.
    ///     ClosedError: The receiver is closed.
    fn detach(&self, py: Python<'_>) -> PyResult<i64> {
        let opened = self.opened()?;
        py.detach(|| opened.backend.detach()).map(descriptor::owned).map_err(to_python)
    }

    /// Leave all groups and close the sockets. Blocked calls raise ClosedError.
    /// Closing again does nothing.
    pub(crate) fn close(&self, py: Python<'_>) {
        if let Some(opened) = self.opened.get() {
            py.detach(|| opened.backend.close());
        }
    }
}

/// The groups, each once; of more than four, only the first three.
fn shortened(groups: impl Iterator<Item = IpAddr>) -> String {
    let mut seen = HashSet::new();
    let mut first: Vec<IpAddr> = Vec::new();
    for group in groups {
        if seen.insert(group) && first.len() < 4 {
            first.push(group);
        }
    }
    if first.is_empty() {
        return "nothing".to_owned();
    }
    let shown = if seen.len() > 4 { 3 } else { first.len() };
    let mut each: Vec<String> = first[..shown].iter().map(ToString::to_string).collect();
    if seen.len() > shown {
        each.push(format!("{} more", seen.len() - shown));
    }
    each.join(", ")
}

/// Iterates over the batches of a receiver until it is closed.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct BatchStream {
    receiver: Py<Receiver>,
    limit: usize,
    timeout: Option<f64>,
    linger: Option<Duration>,
}

#[pymethods]
impl BatchStream {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let opened = self.receiver.get().opened()?;
        until_closed(py, opened.batch(py, self.limit, self.timeout, self.linger))
    }
}

/// Ends an iteration when the receiver is closed.
pub(crate) fn until_closed<T>(py: Python<'_>, received: PyResult<T>) -> PyResult<Option<T>> {
    match received {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_instance_of::<ClosedError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A duplicate of the socket with this descriptor.
fn to_adopt(fd: i64, port: Option<u16>) -> multicast_core::Result<multicast_core::Socket> {
    let socket = net::duplicate(fd)?;
    let local = socket.local_addr().ok().and_then(|address| address.as_socket());
    if port.is_none() && local.is_some_and(|address| address.port() == 0) {
        return Err(multicast_core::Error::Invalid(
            "port must be given for a socket that is not bound (0 takes a free one)".into(),
        ));
    }
    Ok(socket)
}

fn already_open() -> PyErr {
    PyRuntimeError::new_err("the receiver is already open: Receiver.__init__() was called twice")
}
