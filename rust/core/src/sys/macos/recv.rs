//! Receiving: one datagram, with its control messages, in one `recvmsg`.

use std::io;
use std::mem::MaybeUninit;

use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, Socket};

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
struct Control([MaybeUninit<u8>; CONTROL_BYTES]);

/// Receives one datagram in one `recvmsg`.
pub(crate) struct ReceiveQueue {
    slots: usize,
    control: Box<Control>,
}

impl ReceiveQueue {
    /// Makes a queue for at most this many buffers per call.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, control: Box::new(Control([MaybeUninit::new(0); CONTROL_BYTES])) }
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
        let room = chunk.len();
        // SAFETY: u8 and MaybeUninit<u8> have the same layout, the slice stays exclusively borrowed, and recvmsg(2)
        // writes only initialised bytes to it.
        let chunk = unsafe { &mut *(chunk as *mut [u8] as *mut [MaybeUninit<u8>]) };
        let mut slices = [MaybeUninitSlice::new(chunk)];
        // SAFETY: the initialiser only has to leave a valid address; zeroed storage with its full length is one.
        let (_, mut name) = unsafe { SockAddr::try_init(|_, _| Ok(())) }?;
        let mut header =
            MsgHdrMut::new().with_addr(&mut name).with_buffers(&mut slices).with_control(&mut self.control.0);
        let length = loop {
            match socket.recvmsg(&mut header, libc::MSG_DONTWAIT) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let truncated = header.flags().is_truncated();
        let control_bytes = header.control_len().min(CONTROL_BYTES);
        // SAFETY: `control` was initialised when it was made, and recvmsg(2) writes only initialised bytes.
        let control = unsafe { &*(&raw const self.control.0[..control_bytes] as *const [u8]) };
        Ok(Arrival { length: length.min(room), truncated, sender: socket_addr(&name), metadata: metadata(control) })
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
