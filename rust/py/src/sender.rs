//! `multicast._core.Sender`: the base class of `multicast.Sender`.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::OnceLock;

use multicast_core::net::{self, SenderConfig};
use multicast_core::pure::address::parse_group;
use multicast_core::pure::pace::Rate;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::answers::Answers;
use crate::batch::Batch;
use crate::convert::{self, interface};
use crate::datagram::Datagram;
use crate::descriptor;
use crate::errors::to_python;
use crate::fields::set_fields;
use crate::receiver::{Receiver, until_closed};
use crate::sending::OpenSender;
use crate::wait::{self, Deadline};

/// Sends datagrams to one group. `multicast.Sender` is the class for users.
#[pyclass(frozen, subclass, module = "multicast._core")]
pub(crate) struct Sender {
    /// Empty until `__init__` of the Python class calls `_open`.
    opened: OnceLock<OpenSender>,
}

/// Messages taken from an iterable before they are sent together.
const CHUNK: usize = 1024;

impl Sender {
    #[inline]
    fn opened(&self) -> PyResult<&OpenSender> {
        self.opened.get().ok_or_else(|| PyRuntimeError::new_err("Sender.__init__() was not called"))
    }

    /// The sender of the core; `None` if it was not opened.
    pub(crate) fn core(&self) -> Option<&net::Sender> {
        self.opened.get().map(|opened| &opened.core)
    }

    /// The group and the port.
    pub(crate) fn destination(&self) -> PyResult<SocketAddr> {
        self.opened().map(|opened| SocketAddr::new(opened.group, opened.port))
    }
}

#[pymethods]
impl Sender {
    /// Takes any arguments, so that a subclass is free to choose those of its `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self { opened: OnceLock::new() }
    }

    /// Open the socket.
    #[pyo3(signature = (group, port, *, interface=None, local=None, ttl=1, dscp=None, loopback=true, send_buffer=None,
                        recv_buffer=None, gso=true, rate=None, bit_rate=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn _open(
        &self,
        py: Python<'_>,
        group: &str,
        port: u16,
        interface: Option<&Bound<'_, PyAny>>,
        local: Option<(Option<String>, u16)>,
        ttl: u8,
        dscp: Option<u8>,
        loopback: bool,
        send_buffer: Option<usize>,
        recv_buffer: Option<usize>,
        gso: bool,
        rate: Option<f64>,
        bit_rate: Option<f64>,
    ) -> PyResult<()> {
        if self.opened.get().is_some() {
            return Err(already_open());
        }
        if rate.is_some() && bit_rate.is_some() {
            return Err(PyValueError::new_err("rate and bit_rate must not both be given"));
        }
        let is_paced = rate.is_some() || bit_rate.is_some();
        let group = parse_group(group).map_err(to_python)?;
        let local = local.map(convert::local_address).transpose()?;
        let config = SenderConfig {
            group,
            port,
            interface: self::interface(interface)?,
            local,
            ttl,
            dscp,
            loopback,
            send_buffer,
            coalesce: gso,
            rate: rate.map(Rate::Datagrams).or(bit_rate.map(Rate::Bits)),
        };
        let core = py.detach(|| net::Sender::open(&config)).map_err(to_python)?;
        let opened = OpenSender { core, group, port, is_paced, recv_buffer, answers: OnceLock::new() };
        self.opened.set(opened).map_err(|_| already_open())
    }

    /// Send one datagram.
    ///
    /// With a `rate`, the call may wait before it sends. A timestamp inside
    /// `data` is then older than the datagram by that time.
    ///
    /// Args:
    ///     data: The payload, in any buffer: at most 65,507 bytes over IPv4 and
    ///         65,527 over IPv6.
    ///     timeout: Seconds to wait while the kernel's send buffer is full or
    ///         the rate limit is reached. None waits without a limit.
    ///
    /// Returns:
    ///     The number of bytes sent.
    ///
    /// Raises:
    ///     ValueError: The payload is too long for a datagram.
    ///     TimeoutError: The datagram could not be sent in that time.
    ///     ClosedError: The sender is closed, or was closed during the call.
    ///     OSError: The system refused; `errno` says why.
    #[pyo3(signature = (data, timeout=None))]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let opened = self.opened()?;
        Deadline::new(timeout)?;
        let message = opened.message(data)?;
        let slice = [IoSlice::new(message.as_bytes())];
        if !opened.is_paced || opened.send_due(&slice)? == 0 {
            opened.send_all(py, &slice, timeout)?;
        }
        Ok(message.as_bytes().len())
    }

    /// Send many datagrams, in order, in as few system calls as possible.
    ///
    /// Takes payloads from the iterable 1,024 at a time. The kernel coalesces
    /// consecutive datagrams of equal size if it can. If the iterable raises an
    /// error or a payload is invalid, the payloads before it are sent first,
    /// and then the error is raised.
    ///
    /// Args:
    ///     messages: An iterable of payloads.
    ///     timeout: Seconds to wait each time the kernel's send buffer is full
    ///         or the rate limit is reached. None waits without a limit.
    ///
    /// Returns:
    ///     The number of datagrams sent, which is all of them.
    ///
    /// Raises:
    ///     ValueError: A payload is too long for a datagram.
    ///     TimeoutError: The datagrams could not be sent in that time.
    ///     ClosedError: The sender is closed, or was closed during the call.
    ///     OSError: The system refused; `errno` says why.
    #[pyo3(signature = (messages, timeout=None))]
    fn send_many(&self, py: Python<'_>, messages: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let opened = self.opened()?;
        Deadline::new(timeout)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut total = 0;
        for item in messages.try_iter()? {
            match item.and_then(|item| opened.message(&item)) {
                Ok(message) => chunk.push(message),
                // The iterable has failed, or the message is invalid: send the messages before it.
                Err(error) => return opened.send_all(py, &slices(&chunk), timeout).and(Err(error)),
            }
            if chunk.len() == CHUNK {
                opened.send_all(py, &slices(&chunk), timeout)?;
                total += chunk.len();
                chunk.clear();
            }
        }
        opened.send_all(py, &slices(&chunk), timeout)?;
        Ok(total + chunk.len())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let Some(opened) = slf.get().opened.get() else { return Ok(format!("<{name}, not opened>")) };
        let destination = SocketAddr::new(opened.group, opened.port);
        Ok(format!("<{name} to {destination}{}>", if opened.core.is_closed() { ", closed" } else { "" }))
    }

    /// Return the fields of `multicast.SenderStats`.
    fn _counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.opened()?;
        let stats = opened.core.stats_at_once().unwrap_or_else(|| py.detach(|| opened.core.stats()));
        let dict = PyDict::new(py);
        set_fields!(dict, stats, sent, bytes_sent, coalesced);
        Ok(dict)
    }

    /// Return the next answer: a datagram that was sent to this sender's own
    /// address and port.
    ///
    /// Args:
    ///     timeout: Seconds to wait, at least 0. 0 polls; None waits without a
    ///         limit.
    ///
    /// Raises:
    ///     TimeoutError: No answer arrived in that time.
    ///     ClosedError: The sender is closed, or was closed during the call.
    #[pyo3(signature = (timeout=None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<Datagram>> {
        self.opened()?.receiving(py, |answers| answers.one(py, timeout))
    }

    /// Wait for an answer, then return everything already queued.
    ///
    /// Args:
    ///     limit: Maximum number of answers to return, at least 1.
    ///     timeout: Seconds to wait for the first answer, at least 0. 0 polls;
    ///         None waits without a limit.
    ///     linger: Seconds to keep collecting after the first answer, until
    ///         there are `limit` of them.
    ///
    /// Raises:
    ///     TimeoutError: No answer arrived in that time.
    ///     ClosedError: The sender is closed, or was closed during the call.
    #[pyo3(signature = (limit=256, timeout=None, linger=0.0))]
    fn recv_batch(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = convert::limit)] limit: usize,
        timeout: Option<f64>,
        linger: f64,
    ) -> PyResult<Batch> {
        let linger = wait::duration("linger", linger)?;
        self.opened()?.receiving(py, |answers| answers.batch(py, limit, timeout, linger))
    }

    /// Send one datagram, then iterate over the answers until the timeout
    /// expires or the sender is closed.
    ///
    /// This call itself sends the datagram. An answer that arrives too late is
    /// returned by the next receiving call.
    ///
    /// Args:
    ///     data: The payload, as for `send`.
    ///     timeout: Seconds to collect answers, at least 0. None collects until
    ///         the sender is closed.
    ///
    /// Raises:
    ///     ValueError: The payload is too long for a datagram.
    ///     TimeoutError: The datagram could not be sent in that time.
    ///     ClosedError: The sender is closed.
    ///     OSError: The system refused; `errno` says why.
    fn query(slf: Bound<'_, Self>, data: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<Answers> {
        let py = slf.py();
        let opened = slf.get().opened()?;
        let message = opened.message(data)?;
        let deadline = Deadline::new(timeout)?;
        // Before the datagram is sent, so that the first answer has its receive time.
        opened.receiving(py, |_| Ok(()))?;
        opened.send_all(py, &[IoSlice::new(message.as_bytes())], timeout)?;
        Ok(Answers::new(opened.answers(py)?.clone_ref(py), deadline))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Datagram>>> {
        until_closed(py, self.recv(py, None))
    }

    /// Number of answers that were taken from the kernel but not yet returned.
    /// The descriptor does not become readable for them.
    #[getter]
    fn pending(&self) -> PyResult<usize> {
        match self.opened()?.answers.get() {
            Some(answers) => answers.get().opened()?.backend.pending().map_err(to_python),
            None => Ok(0),
        }
    }

    /// Return the receiver of the answers, for an event loop.
    fn _answers(&self, py: Python<'_>) -> PyResult<Py<Receiver>> {
        let opened = self.opened()?;
        opened.receiving(py, |_| Ok(()))?;
        Ok(opened.answers(py)?.clone_ref(py))
    }

    /// The group's address.
    #[getter]
    fn group(&self) -> PyResult<String> {
        Ok(self.opened()?.group.to_string())
    }

    /// The UDP port that the sender sends to.
    #[getter]
    fn port(&self) -> PyResult<u16> {
        Ok(self.opened()?.port)
    }

    /// Time to live: `ttl=n` allows up to n - 1 router hops. It can be set.
    #[getter]
    fn ttl(&self) -> PyResult<u8> {
        Ok(self.opened()?.core.options().map_err(to_python)?.ttl)
    }

    fn _set_ttl(&self, py: Python<'_>, ttl: u8) -> PyResult<()> {
        let opened = self.opened()?;
        py.detach(|| opened.core.set_ttl(ttl)).map_err(to_python)
    }

    /// Traffic class (DSCP) of the datagrams, from 0 to 63. It can be set.
    #[getter]
    fn dscp(&self) -> PyResult<u8> {
        Ok(self.opened()?.core.options().map_err(to_python)?.dscp)
    }

    fn _set_dscp(&self, dscp: u8) -> PyResult<()> {
        self.opened()?.core.set_dscp(dscp).map_err(to_python)
    }

    /// Whether this machine receives what it sends. It can be set.
    #[getter]
    fn loopback(&self) -> PyResult<bool> {
        Ok(self.opened()?.core.options().map_err(to_python)?.loopback)
    }

    fn _set_loopback(&self, loopback: bool) -> PyResult<()> {
        self.opened()?.core.set_loopback(loopback).map_err(to_python)
    }

    /// `(address, port)` that datagrams are sent from and answers are sent to.
    /// The address is unspecified if the system chooses it for each datagram.
    /// The port is 0 until the first datagram, unless `local` named it.
    #[getter]
    fn local(&self) -> PyResult<(String, u16)> {
        let local = self.opened()?.core.local().map_err(to_python)?;
        Ok((local.ip().to_string(), local.port()))
    }

    /// Whether the sender is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.opened.get().is_none_or(|opened| opened.core.is_closed())
    }

    /// Return the descriptor of the socket.
    ///
    /// Raises:
    ///     ClosedError: The sender is closed.
    fn fileno(&self) -> PyResult<i64> {
        self.opened()?.core.with_socket(descriptor::borrowed).map_err(to_python)
    }

    /// Seconds until the rate allows the next message; 0 if it does now.
    #[getter]
    fn _pause(&self) -> PyResult<f64> {
        Ok(self.opened()?.core.pause().map_or(0.0, |pause| pause.as_secs_f64()))
    }

    /// Seconds to wait before the next attempt although the socket is writable; 0 if there is no reason to.
    #[getter]
    fn _congestion(&self) -> PyResult<f64> {
        Ok(self.opened()?.core.congestion().map_or(0.0, |pause| pause.as_secs_f64()))
    }

    /// Close the socket. Blocked calls raise ClosedError. Closing again does
    /// nothing.
    fn close(&self, py: Python<'_>) {
        if let Some(opened) = self.opened.get() {
            py.detach(|| opened.core.close());
            if let Some(answers) = opened.answers.get() {
                answers.get().close(py);
            }
        }
    }
}

fn slices<'a>(messages: &'a [Bound<'_, PyBytes>]) -> Vec<IoSlice<'a>> {
    messages.iter().map(|message| IoSlice::new(message.as_bytes())).collect()
}

fn already_open() -> PyErr {
    PyRuntimeError::new_err("the sender is already open: Sender.__init__() was called twice")
}
