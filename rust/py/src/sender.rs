//! `multicast._core.Sender`: the base class of `multicast.Sender`.

use std::io::IoSlice;

use multicast_core::net::{self, SenderConfig};
use multicast_core::pure::address::parse_group;
use multicast_core::pure::pace::Rate;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert::{interface, message};
use crate::errors::raise;
use crate::receiver::descriptor;
use crate::wait::{self, Deadline};

/// Sends datagrams to one group. `multicast.Sender` is the class for users.
#[pyclass(frozen, subclass, module = "multicast._core")]
pub(crate) struct Sender {
    core: net::Sender,
}

/// Messages that are gathered from an iterable before they are sent.
const GATHERED: usize = 1024;

impl Sender {
    /// Sends all, however often the kernel's buffer is full meanwhile.
    fn send_all(&self, py: Python<'_>, messages: &[Bound<'_, PyBytes>], seconds: Option<f64>) -> PyResult<()> {
        for message in messages {
            self.core.check_size(message.as_bytes().len()).map_err(raise)?;
        }
        let slices: Vec<IoSlice<'_>> = messages.iter().map(|message| IoSlice::new(message.as_bytes())).collect();
        let mut done = 0;
        while done < slices.len() {
            let rest = &slices[done..];
            done += wait::until(
                py,
                Deadline::new(seconds)?,
                false,
                || self.core.send(rest).map(|sent| (sent > 0).then_some(sent)),
                |most| self.core.wait(Some(most)),
                |_| Ok(()),
                || "the send buffer stayed full".to_owned(),
            )?;
            // However fast it goes: an endless iterable must not keep Ctrl-C out.
            py.check_signals()?;
        }
        Ok(())
    }
}

#[pymethods]
impl Sender {
    #[new]
    #[pyo3(signature = (group, port, *, interface=None, ttl=1, loopback=true, send_buffer=None, gso=true, rate=None, bit_rate=None))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        py: Python<'_>,
        group: &str,
        port: u16,
        interface: Option<&Bound<'_, PyAny>>,
        ttl: u8,
        loopback: bool,
        send_buffer: Option<usize>,
        gso: bool,
        rate: Option<f64>,
        bit_rate: Option<f64>,
    ) -> PyResult<Self> {
        if rate.is_some() && bit_rate.is_some() {
            return Err(PyValueError::new_err("a sender keeps a rate of datagrams or one of bits, not both"));
        }

        let config = SenderConfig {
            group: parse_group(group).map_err(raise)?,
            port,
            interface: self::interface(interface)?,
            ttl,
            loopback,
            send_buffer,
            coalesce: gso,
            rate: rate.map(Rate::Datagrams).or(bit_rate.map(Rate::Bits)),
        };
        let core = py.detach(|| net::Sender::open(&config)).map_err(raise)?;
        Ok(Self { core })
    }

    /// Sends one datagram.
    ///
    /// Args:
    ///     data: the payload, any buffer: 0 to 65,507 octets over IPv4, 65,527 over IPv6.
    ///     timeout: seconds to wait while the kernel's send buffer is full or the rate is reached; None waits for
    ///         ever.
    ///
    /// Returns:
    ///     The octets sent.
    ///
    /// Raises:
    ///     ValueError: the payload is too long for a datagram.
    ///     TimeoutError: the send buffer stayed full.
    ///     OSError: the system refused; `errno` says why.
    #[pyo3(signature = (data, timeout=None))]
    fn send(&self, py: Python<'_>, data: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let message = message(data)?;
        let octets = message.as_bytes().len();
        self.send_all(py, &[message], timeout)?;
        Ok(octets)
    }

    /// Sends many datagrams, in order, in as few system calls as can be (gathered by the 1,024); equal sizes in a row are coalesced by the
    /// kernel where it can.
    ///
    /// Args:
    ///     messages: an iterable of payloads.
    ///     timeout: seconds to wait each time the kernel's send buffer is full; None waits for ever.
    ///
    /// Returns:
    ///     How many were sent: all of them.
    ///
    /// Raises:
    ///     ValueError: a payload is too long for a datagram; of the messages up to 1,023 before it none may have been
    ///         sent (`stats().sent` tells).
    ///     TimeoutError: the send buffer stayed full.
    ///     OSError: the system refused; `errno` says why.
    #[pyo3(signature = (messages, timeout=None))]
    fn send_many(&self, py: Python<'_>, messages: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let mut gathered = Vec::with_capacity(GATHERED);
        let mut total = 0;
        for item in messages.try_iter()? {
            match item {
                Ok(item) => gathered.push(message(&item)?),
                // The feed has failed: what it gave before goes first.
                Err(error) => return self.send_all(py, &gathered, timeout).and(Err(error)),
            }
            if gathered.len() == GATHERED {
                self.send_all(py, &gathered, timeout)?;
                total += gathered.len();
                gathered.clear();
            }
        }
        self.send_all(py, &gathered, timeout)?;
        Ok(total + gathered.len())
    }

    /// The counters by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.core.stats();
        let dict = PyDict::new(py);
        dict.set_item("sent", stats.sent)?;
        dict.set_item("bytes", stats.bytes_sent)?;
        dict.set_item("coalesced", stats.coalesced)?;
        Ok(dict)
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// The descriptor of the socket.
    fn fileno(&self) -> PyResult<i64> {
        self.core.with_socket(descriptor).map_err(raise)
    }

    /// Seconds until the rate lets the next message go; 0 where none holds it up.
    #[getter]
    fn pause(&self) -> f64 {
        self.core.pause().map_or(0.0, |pause| pause.as_secs_f64())
    }

    /// Closes. Closing again does nothing. Whoever waits gets a ClosedError.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.core.close());
    }
}
