//! An open sender: sends without the GIL, and receives what is sent to its socket.

use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use multicast_core::Error;
use multicast_core::net::{self, Wake};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::message;
use crate::errors::{ClosedError, to_python};
use crate::receiver::Receiver;
use crate::receiving::OpenReceiver;
use crate::wait::{self, Deadline};

/// An open sender.
pub(crate) struct OpenSender {
    pub(crate) core: net::Sender,
    pub(crate) group: IpAddr,
    pub(crate) port: u16,
    /// Whether it sends at a rate.
    pub(crate) is_paced: bool,
    /// Receive buffer to request for answers, in bytes.
    pub(crate) recv_buffer: Option<usize>,
    /// Receives what is sent to the socket. Empty until the first call that needs it.
    pub(crate) answers: OnceLock<Py<Receiver>>,
}

impl OpenSender {
    /// Reads a message, which must fit into a datagram.
    pub(crate) fn message<'py>(&self, given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let message = message(given)?;
        self.core.check_size(message.as_bytes().len()).map_err(to_python)?;
        Ok(message)
    }

    /// The first half of the message of a `TimeoutError`.
    fn failure(&self) -> String {
        match self.core.pause() {
            Some(_) => "the rate did not allow the next datagram".to_owned(),
            None => "the send buffer stayed full".to_owned(),
        }
    }

    /// Sends the messages that the rate allows now, and returns how many they were.
    ///
    /// This keeps the GIL. If other Python threads compute, releasing it costs 5 ms or more each time, so a sender of
    /// single messages, or one in an event loop, could not catch up.
    pub(crate) fn send_due(&self, messages: &[IoSlice<'_>]) -> PyResult<usize> {
        self.core.send(messages).map_err(to_python)
    }

    fn timed_out_at_once(&self) -> PyErr {
        to_python(Error::TimedOut { operation: self.failure(), after: Duration::ZERO })
    }

    /// Sends from the first message on, and returns how many were sent. At a rate, this continues with those that
    /// become due within `limit`, so that waiting for the GIL in between does not delay them.
    fn send_for(&self, messages: &[IoSlice<'_>], limit: Duration) -> multicast_core::Result<usize> {
        if !self.is_paced {
            return self.core.send(messages);
        }
        let begun = Instant::now();
        let mut done = self.core.send(messages)?;
        while 0 < done && done < messages.len() {
            let remaining = limit.saturating_sub(begun.elapsed());
            // Without a pause, the kernel's buffer is full.
            match self.core.pause() {
                Some(pause) if pause < remaining => {}
                _ => break,
            }
            // The next call meets an error again, after these messages are reported as sent.
            match self.core.wait(Some(remaining)) {
                Ok(Wake::Ready | Wake::TimedOut) => {}
                Ok(Wake::Interrupted) | Err(_) => break,
            }
            match self.core.send(&messages[done..]) {
                Ok(sent) => done += sent,
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Sends all messages, waiting as often as the kernel's buffer is full.
    pub(crate) fn send_all(&self, py: Python<'_>, messages: &[IoSlice<'_>], seconds: Option<f64>) -> PyResult<()> {
        if self.is_paced && seconds == Some(0.0) {
            return if self.send_due(messages)? == messages.len() { Ok(()) } else { Err(self.timed_out_at_once()) };
        }
        let mut done = 0;
        while done < messages.len() {
            let rest = &messages[done..];
            let deadline = Deadline::new(seconds)?;
            done += wait::until(
                py,
                deadline,
                false,
                || {
                    let limit = deadline.remaining().map_or(wait::TICK, |remaining| remaining.min(wait::TICK));
                    self.send_for(rest, limit).map(|sent| (sent > 0).then_some(sent))
                },
                |limit| self.core.wait(Some(limit)),
                |_| Ok(()),
                || self.failure(),
            )?;
            // Check even if no call had to wait: an endless iterable must not block Ctrl-C.
            py.check_signals()?;
        }
        Ok(())
    }

    /// Returns the receiver of what is sent to the socket. Opens it if necessary.
    pub(crate) fn answers(&self, py: Python<'_>) -> PyResult<&Py<Receiver>> {
        if let Some(answers) = self.answers.get() {
            return Ok(answers);
        }
        let core = py.detach(|| self.core.answers(self.recv_buffer)).map_err(to_python)?;
        let made = Py::new(py, Receiver::from_core(core))?;
        if let Err(second) = self.answers.set(made) {
            // Another thread was faster.
            second.get().close(py);
        }
        let answers = self.answers.get().ok_or_else(|| to_python(self.core.closed()))?;
        if self.core.is_closed() {
            // Another thread closed it, and did not see the new receiver.
            answers.get().close(py);
        }
        Ok(answers)
    }

    /// Calls `receive` with the receiver of answers. After closing, the error is that of the sender.
    pub(crate) fn receiving<T>(
        &self,
        py: Python<'_>,
        receive: impl FnOnce(&OpenReceiver) -> PyResult<T>,
    ) -> PyResult<T> {
        if self.core.is_closed() {
            return Err(to_python(self.core.closed()));
        }
        receive(self.answers(py)?.get().opened()?).map_err(|error| {
            if error.is_instance_of::<ClosedError>(py) { to_python(self.core.closed()) } else { error }
        })
    }
}
