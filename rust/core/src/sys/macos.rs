//! macOS (and FreeBSD): one `recvmsg` or `sendto` a datagram; no coalescing, no drop counter.

use std::ffi::c_int;
use std::io::{self, PipeReader, PipeWriter, Write};
#[cfg(target_os = "freebsd")]
use std::mem;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, SockAddr, Socket};

use super::process::generation;
use super::unix::set_option;
use super::{Arrival, Told, Wanted, socket_addr};
use crate::pure::cmsg::{self, Layout, octets};

pub(crate) use super::kqueue::ReadySet;
pub(crate) use super::portable::SendQueue;
pub(crate) use super::unix::{
    SourceCall, duplicate, interface_mtu, source_call, wait_readable, wait_receiving, wait_writable,
};
pub(crate) use super::unmonitored::{Monitor, Routes};

/// Where the limit on groups of one socket is set.
pub(crate) const MEMBERSHIP_LIMIT: &str = "the system's limit of groups on one socket is reached";
/// Where the limit on sources of one group is set.
pub(crate) const SOURCE_LIMIT: &str = "the system's limit of sources of one group is reached; see \
     'sysctl net.inet.ip.mcast.maxsocksrc'";
/// What grants a larger receive buffer.
pub(crate) const BUFFER_SETTING: &str = "kern.ipc.maxsockbuf";
/// Whether a socket may be bound to a group, so that the kernel sorts out other destinations.
pub(crate) const BINDS_TO_GROUP: bool = true;
/// A socket hears only the groups that were joined on it, whatever others joined.
pub(crate) const HEARS_ALL: bool = false;

/// `struct cmsghdr` has a 32-bit length, and `CMSG_ALIGN` is to 4 octets.
#[cfg(any(target_os = "macos", target_os = "ios"))]
const LAYOUT: Layout = Layout { length_octets: 4, alignment: 4 };
/// `struct cmsghdr` has a 32-bit length, and `CMSG_ALIGN` is to the width of a register.
#[cfg(target_os = "freebsd")]
const LAYOUT: Layout = Layout { length_octets: 4, alignment: mem::size_of::<usize>() };

const CONTROL_OCTETS: usize = 256;

/// `struct in_pktinfo`: index, local address, destination (ip(7), ip(4)).
const IN_PKTINFO_INDEX: usize = 0;
const IN_PKTINFO_DESTINATION: usize = 8;

/// No call of ours blocks, whatever mode the socket is in.
pub(super) const SEND_FLAGS: c_int = libc::MSG_DONTWAIT;

/// Something to wait on that is set once, for good: a pipe with an octet in it.
#[derive(Debug)]
pub(crate) struct Waker {
    reader: PipeReader,
    writer: PipeWriter,
    /// A child process shares the pipe; it must not wake the parent's waiters.
    generation: u32,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer, generation: generation() })
    }

    /// Whether it was made by the process that this one was forked off: then it is that one's to set.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }

    pub(crate) fn wake(&self) {
        if !self.is_inherited() {
            // One octet into a pipe whose reading end is ours cannot fail, and is written once or twice in its life.
            let _ = (&self.writer).write(&[1]);
        }
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// Asks for what is wanted. Sorting out what was not joined is left to the filter.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    let ttl = c_int::from(wanted.ttl);
    if domain == Domain::IPV4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, ttl)?;
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, ttl)?;
    }
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMP, c_int::from(wanted.timestamps))?;
    Ok(false)
}

/// Asks for the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        receive_packet_info_v4(socket)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn receive_packet_info_v4(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
}

#[cfg(target_os = "freebsd")]
fn receive_packet_info_v4(socket: &Socket) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, 1)?;
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVIF, 1)
}

/// There is no coalescing to turn off.
pub(crate) fn stop_coalescing(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// There is no way past the limit: what `SO_RCVBUF` refused stays refused.
pub(crate) fn force_receive_buffer(socket: &Socket, octets: usize) -> io::Result<()> {
    socket.set_recv_buffer_size(octets)
}

/// The system reports what it grants.
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported
}

/// These systems do not count drops by socket.
pub(crate) fn kernel_drops(_socket: &Socket) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Sends IPv4 multicast by the interface with this index (`IP_MULTICAST_IF` takes an `ip_mreqn`, ip(4)).
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: c_int::try_from(interface).map_err(io::Error::other)?,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, request)
}

#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; CONTROL_OCTETS]);

/// Receives one datagram by one `recvmsg`.
pub(crate) struct ReceiveQueue {
    slots: usize,
    control: Box<Control>,
}

impl ReceiveQueue {
    /// A queue for up to this many buffers a call.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, control: Box::new(Control([MaybeUninit::new(0); CONTROL_OCTETS])) }
    }

    /// Receives what is there, at most one datagram a slot of `stride` octets, and shows each to `visit` with its
    /// slot. Returns how many; 0 where nothing is there. Never blocks.
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
                // What was received is delivered first; the error stays with the socket, or has passed.
                Err(_) if slot > 0 => return Ok(slot),
                Err(e) => return Err(e),
            }
        }
        Ok(self.slots.min(buffer.len() / stride))
    }

    fn receive_one(&mut self, socket: &Socket, chunk: &mut [u8]) -> io::Result<Arrival> {
        let room = chunk.len();
        // SAFETY: u8 and MaybeUninit<u8> have the same layout, the slice stays exclusively borrowed, and recvmsg(2)
        // writes only initialised octets to it.
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
        let control_octets = header.control_len().min(CONTROL_OCTETS);
        // SAFETY: `control` was initialised when it was made, and recvmsg(2) writes only initialised octets.
        let control = unsafe { &*(&raw const self.control.0[..control_octets] as *const [u8]) };
        Ok(Arrival { length: length.min(room), truncated, sender: socket_addr(&name), told: told(control) })
    }
}

/// Reads the control messages of one datagram.
fn told(control: &[u8]) -> Told {
    let mut told = Told::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            #[cfg(any(target_os = "macos", target_os = "ios"))]
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => told.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION),
            #[cfg(target_os = "freebsd")]
            (libc::IPPROTO_IP, libc::IP_RECVDSTADDR) => {
                told.destination = octets::<4>(data, 0).map(|a| std::net::Ipv4Addr::from(a).into());
            }
            // `struct sockaddr_dl`: length, family, index.
            #[cfg(target_os = "freebsd")]
            (libc::IPPROTO_IP, libc::IP_RECVIF) => {
                told.interface = octets(data, 2).map_or(0, |index| u16::from_ne_bytes(index).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => told.packet_info_v6(data),
            (libc::IPPROTO_IP, libc::IP_RECVTTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => told.hops(data),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMP) => told.timestamp_ns = timestamp(data),
            _ => {}
        }
    }
    told
}

/// `struct timeval`: 64-bit seconds, and microseconds of 32 or 64 bits.
fn timestamp(data: &[u8]) -> Option<i64> {
    let seconds = i64::from_ne_bytes(octets(data, 0)?);
    let micros = i64::from(i32::from_ne_bytes(octets(data, 8)?));
    seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)
}
