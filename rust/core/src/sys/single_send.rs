//! Sending on systems without a batched call: one `sendto` per message.

use std::io::{self, IoSlice};

use socket2::{SockAddr, Socket};

use super::Sent;
use super::platform::SEND_FLAGS;
use crate::errno;

/// Sends each message with its own `sendto`.
pub(crate) struct SendQueue;

impl SendQueue {
    pub(crate) fn new(_socket: &Socket, _coalesce: bool) -> Self {
        Self
    }

    /// Sends from the first message on. Returns what the system took: nothing if the socket's buffer is full. Never
    /// blocks.
    pub(crate) fn send(
        &mut self,
        socket: &Socket,
        destination: &SockAddr,
        messages: &[IoSlice<'_>],
    ) -> io::Result<Sent> {
        for (done, message) in messages.iter().enumerate() {
            let sent = Ok(Sent { messages: done, ..Sent::default() });
            loop {
                match socket.send_to_with_flags(message, destination, SEND_FLAGS) {
                    Ok(_) => break,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return sent,
                    // The queue of the interface is full (macOS, FreeBSD).
                    Err(e) if e.raw_os_error() == Some(errno::NO_BUFFERS) && done == 0 => return Ok(Sent::CONGESTED),
                    // Report what was sent first; the next call meets the error again.
                    Err(_) if done > 0 => return sent,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(Sent { messages: messages.len(), ..Sent::default() })
    }
}
