//! Sending: many messages to one destination in one `sendmmsg`, messages of equal size coalesced by `UDP_SEGMENT`.

use std::ffi::{c_int, c_void};
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;

use socket2::{SockAddr, Socket};

use super::caps::LAYOUT;
use crate::pure::address::MAX_PAYLOAD_V4;
use crate::pure::cmsg;
use crate::pure::coalesce::{Coalescing, run_length};
use crate::sys::Sent;
use crate::sys::unix::option;

/// Runs per call: a few hundred kilobytes at most, so that a full send buffer is noticed soon.
const SEND_RUNS: usize = 64;
/// `UDP_MAX_SEGMENTS` was 64 before Linux 6.9 and is 128 since; 64 works on both.
const SEGMENTS: usize = 64;

/// Sends many messages to one destination in one `sendmmsg`. A run is one header: one message, or several of equal
/// size that the kernel cuts apart.
pub(crate) struct SendQueue {
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[SegmentControl]>,
    /// The limits of a run, lowered when the kernel or the interface refuses one.
    coalescing: Coalescing,
}

// SAFETY: the raw pointers in `headers` are stale between two calls and are never followed then. `fill` sets those that
// the next system call follows.
unsafe impl Send for SendQueue {}

/// One `UDP_SEGMENT` control message: a header and a 16-bit size, padded.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct SegmentControl([u8; LAYOUT.space(2)]);

impl SendQueue {
    /// Makes a queue for this socket. Coalesces if wanted and the kernel can.
    pub(crate) fn new(socket: &Socket, coalesce: bool) -> Self {
        // SAFETY: zero bytes are a valid mmsghdr (integers and null pointers).
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        let coalescing = if coalesce && kernel_cuts_segments(socket) {
            Coalescing { max_messages: SEGMENTS, max_bytes: MAX_PAYLOAD_V4, max_message: MAX_PAYLOAD_V4 }
        } else {
            Coalescing::OFF
        };
        Self {
            headers: vec![header; SEND_RUNS].into_boxed_slice(),
            controls: vec![SegmentControl([0; LAYOUT.space(2)]); SEND_RUNS].into_boxed_slice(),
            coalescing,
        }
    }

    /// Sends from the first message on, as many as one call takes. Returns what the kernel took: nothing if the
    /// socket's buffer is full. Never blocks.
    pub(crate) fn send(
        &mut self,
        socket: &Socket,
        destination: &SockAddr,
        messages: &[IoSlice<'_>],
    ) -> io::Result<Sent> {
        loop {
            let error = match self.call(socket, destination, messages) {
                Ok(sent) => return Ok(sent),
                Err(e) => e,
            };
            match error {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e if e.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::default()),
                // The fragments of one datagram may take twice the send buffer. Earlier datagrams that are still queued
                // count too. If there are any, this one can be sent once they are gone.
                e if e.raw_os_error() == Some(libc::ENOBUFS) && queued_bytes(socket)? > 0 => {
                    return Ok(Sent::CONGESTED);
                }
                // The kernel refused a run, not a message: this interface cannot coalesce messages of this size.
                e if messages.len() > 1 && self.headers[0].msg_hdr.msg_iovlen > 1 && refuses_coalescing(&e) => {
                    self.coalescing.max_message = messages[0].len() - 1;
                }
                e => return Err(e),
            }
        }
    }

    /// Calls the kernel once.
    #[allow(clippy::unnecessary_cast, reason = "msg_iovlen has 32 bits with musl")]
    fn call(&mut self, socket: &Socket, destination: &SockAddr, messages: &[IoSlice<'_>]) -> io::Result<Sent> {
        if let [message] = messages {
            // The kernel has less to copy and check, which saves a tenth of a microsecond.
            socket.send_to_with_flags(message, destination, libc::MSG_DONTWAIT)?;
            return Ok(Sent { messages: 1, ..Sent::default() });
        }
        let runs = self.fill(destination, messages);
        // SAFETY: `fill` has pointed the first `runs` headers at `destination`, at slices of `messages` and at controls
        // of this queue, which all outlive the call and which sendmmsg(2) only reads. An IoSlice has the layout of an
        // iovec on Unix, as std guarantees.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), runs as _, libc::MSG_DONTWAIT as _)
        };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        let taken = |header: &libc::mmsghdr| header.msg_hdr.msg_iovlen as usize;
        let messages = self.headers[..sent].iter().map(taken).sum();
        let coalesced = self.headers[..sent].iter().map(taken).filter(|&n| n > 1).sum();
        Ok(Sent { messages, coalesced, congested: false })
    }

    /// Sets the headers for the first runs of the messages. Returns how many.
    fn fill(&mut self, destination: &SockAddr, messages: &[IoSlice<'_>]) -> usize {
        let mut next = 0;
        let mut runs = 0;
        for (header, control) in self.headers.iter_mut().zip(&mut self.controls) {
            let rest = &messages[next..];
            if rest.is_empty() {
                break;
            }
            let count = run_length(rest.iter().map(|m| m.len()), self.coalescing);
            let header = &mut header.msg_hdr;
            header.msg_name = destination.as_ptr().cast_mut().cast::<c_void>();
            header.msg_namelen = destination.len();
            header.msg_iov = rest.as_ptr().cast_mut().cast::<libc::iovec>();
            header.msg_iovlen = count as _;
            if count > 1 {
                control.set(rest[0].len());
                header.msg_control = (&raw mut control.0).cast();
                header.msg_controllen = mem::size_of::<SegmentControl>() as _;
            } else {
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
            }
            next += count;
            runs += 1;
        }
        runs
    }
}

/// Bytes that the socket has sent and the interface has not taken yet, with the kernel's bookkeeping (udp(7)).
fn queued_bytes(socket: &Socket) -> io::Result<c_int> {
    let mut bytes: c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ by another name) writes one int, and `bytes` is a live, exclusively borrowed one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ as _, &raw mut bytes) };
    if result == 0 { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

/// Whether the kernel knows `UDP_SEGMENT` (Linux 4.18). An older one ignores the control message and sends a whole run
/// as a single datagram, so this reads the option of the same name, which came with it.
fn kernel_cuts_segments(socket: &Socket) -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| option::<c_int>(socket, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok())
}

/// Whether the error means that the segment size is beyond the MTU, or that the kernel or the interface cannot compute
/// checksums (udp(7)).
fn refuses_coalescing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EMSGSIZE | libc::EIO | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
    )
}

impl SegmentControl {
    fn set(&mut self, size: usize) {
        // A run never holds more than 65,507 bytes.
        cmsg::write(&mut self.0, LAYOUT, libc::SOL_UDP, libc::UDP_SEGMENT, &(size as u16).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_control_message_reads_back() {
        let mut control = SegmentControl([0; LAYOUT.space(2)]);
        control.set(1316);
        let found: Vec<_> = cmsg::messages(&control.0, LAYOUT).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].kind), (libc::SOL_UDP, libc::UDP_SEGMENT));
        assert_eq!(found[0].data, 1316u16.to_ne_bytes());
    }
}
