//! Receiving: many datagrams, each with its control messages, in one `recvmmsg`.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::Socket;

use super::caps::LAYOUT;
use crate::pure::bytes::bytes_at;
use crate::pure::cmsg;
use crate::sys::{Arrival, Metadata};

/// Room for the packet info, hop limit, timestamp and segment size of either family (about 130 bytes), and for
/// everything else that the owner of an adopted socket may have enabled (ip(7), ipv6(7), socket(7): about 350 bytes).
const CONTROL_BYTES: usize = 512;

/// `struct in_pktinfo`: index, local address, destination (ip(7)).
const IN_PKTINFO_INDEX: usize = 0;
const IN_PKTINFO_DESTINATION: usize = 8;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Receives many datagrams in one `recvmmsg`.
pub(crate) struct ReceiveQueue {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
}

// SAFETY: the raw pointers in `headers` and `vectors` are stale between two calls and are never followed then.
// `prepare` sets those that the next system call follows.
unsafe impl Send for ReceiveQueue {}

impl ReceiveQueue {
    /// Makes a queue for at most this many buffers per call.
    pub(crate) fn new(slots: usize) -> Self {
        // SAFETY: zero bytes are valid for these plain C structures (integers and null pointers).
        let (header, vector, name): (libc::mmsghdr, libc::iovec, libc::sockaddr_storage) =
            unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            headers: vec![header; slots].into_boxed_slice(),
            vectors: vec![vector; slots].into_boxed_slice(),
            names: vec![name; slots].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); slots].into_boxed_slice(),
        }
    }

    /// Receives what is available, at most one datagram or coalesced buffer per slot of `stride` bytes, and passes each
    /// to `visit` with its slot. Returns how many; 0 if nothing is available. Never blocks.
    #[allow(clippy::unnecessary_cast, reason = "msg_controllen has 32 bits with musl")]
    pub(crate) fn receive(
        &mut self,
        socket: &Socket,
        buffer: &mut [u8],
        stride: usize,
        mut visit: impl FnMut(usize, Arrival),
    ) -> io::Result<usize> {
        let slots = self.prepare(buffer, stride);
        let received = self.call(socket, slots)?;
        for slot in 0..received {
            let header = &self.headers[slot];
            let control = &self.controls[slot].0[..(header.msg_hdr.msg_controllen as usize).min(CONTROL_BYTES)];
            visit(
                slot,
                Arrival {
                    length: (header.msg_len as usize).min(stride),
                    // Without all control messages, a coalesced buffer could pass for a single datagram.
                    truncated: header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
                    sender: sender(&self.names[slot]),
                    metadata: metadata(control),
                },
            );
        }
        Ok(received)
    }

    /// Points the headers at the buffer's slots and at the other arrays. Returns how many headers are ready.
    ///
    /// Every call sets every pointer: one that is kept from an earlier call may no longer be followed once the box it
    /// leads into was moved or borrowed. The kernel overwrites the lengths and flags, so these are set as well.
    fn prepare(&mut self, buffer: &mut [u8], stride: usize) -> usize {
        let arrays = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.names).zip(&mut self.controls);
        let mut slots = 0;
        for (chunk, (((header, vector), name), control)) in buffer.chunks_exact_mut(stride).zip(arrays) {
            *vector = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut *control).cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
            slots += 1;
        }
        slots
    }

    /// Fills the first `slots` headers, which [`Self::prepare`] has just set. Returns how many; 0 if nothing is
    /// available.
    fn call(&mut self, socket: &Socket, slots: usize) -> io::Result<usize> {
        loop {
            // SAFETY: `prepare` has pointed the first `slots` headers at memory of the lengths they give: vectors,
            // names and controls of this queue, and chunks of the buffer that the caller borrows exclusively. No
            // timeout is passed (recvmmsg(2), BUGS).
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    slots as _,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            if let Ok(count) = usize::try_from(count) {
                return Ok(count);
            }
            match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                e => return Err(e),
            }
        }
    }
}

fn sender(name: &libc::sockaddr_storage) -> SocketAddr {
    let name: *const libc::sockaddr_storage = name;
    // SAFETY: a sockaddr_storage is large enough and aligned for every socket address, all its bytes are initialised,
    // and both structures are plain integers; the family says which one the kernel wrote.
    unsafe {
        if c_int::from((*name).ss_family) == libc::AF_INET6 {
            let address = &*name.cast::<libc::sockaddr_in6>();
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let flow = u32::from_be(address.sin6_flowinfo);
            SocketAddrV6::new(ip, u16::from_be(address.sin6_port), flow, address.sin6_scope_id).into()
        } else {
            let address = &*name.cast::<libc::sockaddr_in>();
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into()
        }
    }
}

/// Reads the control messages of one buffer.
fn metadata(control: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                metadata.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION)
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => metadata.packet_info_v6(data),
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => metadata.hops(data),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => metadata.timestamp_ns = timestamp(data),
            (libc::SOL_UDP, libc::UDP_GRO) => {
                metadata.segment = bytes_at(data, 0).map_or(0, |size| c_int::from_ne_bytes(size).max(0) as usize);
            }
            _ => {}
        }
    }
    metadata
}

/// Reads a `struct timespec`: two 64-bit fields, or two 32-bit fields on old 32-bit systems.
fn timestamp(data: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match data.len() {
        16 => (i64::from_ne_bytes(bytes_at(data, 0)?), i64::from_ne_bytes(bytes_at(data, 8)?)),
        _ => (i32::from_ne_bytes(bytes_at(data, 0)?).into(), i32::from_ne_bytes(bytes_at(data, 4)?).into()),
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_of_either_width_is_nanoseconds_since_the_epoch() {
        let mut wide = 3i64.to_ne_bytes().to_vec();
        wide.extend(5i64.to_ne_bytes());
        assert_eq!(timestamp(&wide), Some(3_000_000_005));
        let mut narrow = 3i32.to_ne_bytes().to_vec();
        narrow.extend(5i32.to_ne_bytes());
        assert_eq!(timestamp(&narrow), Some(3_000_000_005));
        assert_eq!(timestamp(&[0; 7]), None);
        assert_eq!(timestamp(&[0x7f; 16]), None);
    }

    /// Follows the pointers as the kernel does. Miri reports one that is no longer valid.
    #[test]
    fn queue_moved_after_use_points_at_its_own_arrays() {
        let mut buffer = [0u8; 64];
        let mut first = ReceiveQueue::new(4);
        assert_eq!(first.prepare(&mut buffer, 16), 4);
        let mut moved = Box::new(first);
        assert_eq!(moved.prepare(&mut buffer[..40], 16), 2);
        let headers = moved.headers.as_ptr();
        for slot in 0..2u8 {
            // SAFETY: `prepare` has just set this header and its pointers, and nothing was borrowed since.
            unsafe {
                let header = (*headers.add(slot.into())).msg_hdr;
                (*header.msg_iov).iov_base.cast::<u8>().write(slot + 1);
                (*header.msg_name.cast::<libc::sockaddr_storage>()).ss_family = slot.into();
                header.msg_control.cast::<u8>().write(slot + 10);
            }
        }
        assert_eq!((buffer[0], buffer[16], buffer[32]), (1, 2, 0));
        assert_eq!((moved.names[0].ss_family, moved.names[1].ss_family), (0, 1));
        assert_eq!((moved.controls[0].0[0], moved.controls[1].0[0]), (10, 11));
    }
}
