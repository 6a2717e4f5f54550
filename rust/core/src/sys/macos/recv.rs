//! Receiving: one datagram, with its control messages, in one `recvmsg`.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use socket2::{SockAddr, SockAddrStorage, Socket};

use super::caps::LAYOUT;
use crate::pure::bytes::bytes_at;
use crate::pure::cmsg;
use crate::sys::{Arrival, Metadata, socket_addr};

const CONTROL_BYTES: usize = 256;

/// `struct in_pktinfo`: index, local address, destination (ip(4)).
#[cfg(any(target_os = "macos", target_os = "ios"))]
const IN_PKTINFO_INDEX: usize = 0;
#[cfg(any(target_os = "macos", target_os = "ios"))]
const IN_PKTINFO_DESTINATION: usize = 8;

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Receives one datagram in one `recvmsg`.
pub(crate) struct ReceiveQueue {
    slots: usize,
    control: Box<Control>,
}

impl ReceiveQueue {
    /// Makes a queue for at most this many buffers per call.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, control: Box::new(Control([0; CONTROL_BYTES])) }
    }

    /// Receives what is available, at most one datagram per slot of `stride` bytes, and passes each to `visit` with its
    /// slot. Returns how many; 0 if nothing is available. Never blocks.
    pub(crate) fn receive(
        &mut self,
        socket: &Socket,
        buffer: &mut [u8],
        stride: usize,
        mut visit: impl FnMut(usize, Arrival),
    ) -> io::Result<usize> {
        for (slot, chunk) in buffer.chunks_exact_mut(stride).take(self.slots).enumerate() {
            match self.receive_one(socket, chunk) {
                Ok(arrival) => visit(slot, arrival),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(slot),
                // Deliver what was received first; the error stays with the socket, or has passed.
                Err(_) if slot > 0 => return Ok(slot),
                Err(e) => return Err(e),
            }
        }
        Ok(self.slots.min(buffer.len() / stride))
    }

    fn receive_one(&mut self, socket: &Socket, chunk: &mut [u8]) -> io::Result<Arrival> {
        let mut name = SockAddrStorage::zeroed();
        let mut vector = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
        // SAFETY: zero bytes are a valid msghdr (integers and null pointers).
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        let length = loop {
            // Set before each call, because recvmsg(2) overwrites the lengths and the flags.
            header.msg_name = (&raw mut name).cast();
            header.msg_namelen = name.size_of();
            header.msg_iov = &raw mut vector;
            header.msg_iovlen = 1;
            header.msg_control = self.control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
            // SAFETY: the header points at live, exclusively borrowed memory of the lengths it gives.
            let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
            match usize::try_from(received) {
                Ok(length) => break length,
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e),
                },
            }
        };
        // SAFETY: recvmsg(2) has written an address of this length to the storage.
        let sender = unsafe { SockAddr::new(name, header.msg_namelen) };
        let control = &self.control.0[..(header.msg_controllen as usize).min(CONTROL_BYTES)];
        Ok(Arrival {
            length: length.min(chunk.len()),
            truncated: header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
            sender: socket_addr(&sender),
            metadata: metadata(control),
        })
    }
}

/// Reads the control messages of one datagram.
fn metadata(control: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            #[cfg(any(target_os = "macos", target_os = "ios"))]
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                metadata.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION)
            }
            #[cfg(target_os = "freebsd")]
            (libc::IPPROTO_IP, libc::IP_RECVDSTADDR) => {
                metadata.destination = bytes_at::<4>(data, 0).map(|a| std::net::Ipv4Addr::from(a).into());
            }
            // `struct sockaddr_dl`: length, family, index.
            #[cfg(target_os = "freebsd")]
            (libc::IPPROTO_IP, libc::IP_RECVIF) => {
                metadata.interface = bytes_at(data, 2).map_or(0, |index| u16::from_ne_bytes(index).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => metadata.packet_info_v6(data),
            (libc::IPPROTO_IP, libc::IP_RECVTTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => metadata.hops(data),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMP) => metadata.timestamp_ns = timestamp(data),
            _ => {}
        }
    }
    metadata
}

/// Reads a `struct timeval`: 64-bit seconds, and microseconds of 32 or 64 bits.
fn timestamp(data: &[u8]) -> Option<i64> {
    let seconds = i64::from_ne_bytes(bytes_at(data, 0)?);
    let micros = i64::from(i32::from_ne_bytes(bytes_at(data, 8)?));
    seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)
}
