//! Linux: `recvmmsg` and `sendmmsg`, coalescing (`UDP_GRO`, `UDP_SEGMENT`), the counters of a socket.

use std::ffi::{c_int, c_void};
use std::io::{self, IoSlice};
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use socket2::{Domain, SockAddr, Socket};

use super::process::generation;
use super::unix::set_option;
use super::{Arrival, Sent, Told, Wanted};
use crate::pure::cmsg::{self, Layout, octets};
use crate::pure::plan::{Coalescing, run_length};

pub(crate) use super::epoll::ReadySet;
pub(crate) use super::netlink::{Monitor, Routes};
pub(crate) use super::unix::{
    SourceCall, duplicate, interface_mtu, source_call, wait_readable, wait_receiving, wait_writable,
};

/// Where the limit on groups of one socket is set (ip(7): 20 by default; socket(7): the memory that options may take).
pub(crate) const MEMBERSHIP_LIMIT: &str = "the system's limit of groups on one socket is reached; raise it with \
     'sysctl -w net.ipv4.igmp_max_memberships=N', or for IPv6 'net.core.optmem_max=N'";
/// Where the limit on sources of one group is set (ip(7); 10 and 64 by default).
pub(crate) const SOURCE_LIMIT: &str = "the system's limit of sources of one group is reached; raise it with \
     'sysctl -w net.ipv4.igmp_max_msf=N' or 'net.ipv6.mld_max_msf=N'";
/// What grants a larger receive buffer to a user without `CAP_NET_ADMIN` (socket(7)).
pub(crate) const BUFFER_SETTING: &str = "net.core.rmem_max";
/// Whether a socket may be bound to a group, so that the kernel sorts out other destinations.
pub(crate) const BINDS_TO_GROUP: bool = true;
/// Whether a socket that is not strict hears every group that anybody on this machine has joined (`IP_MULTICAST_ALL`,
/// ip(7)).
pub(crate) const HEARS_ALL: bool = true;

/// `getsockopt(SOL_SOCKET, SO_MEMINFO)`: the socket's memory figures and drops (sock_diag(7)); Linux 4.12.
const SO_MEMINFO: c_int = 55;
const SK_MEMINFO_VARS: usize = 9;
const SK_MEMINFO_DROPS: usize = 8;

const LAYOUT: Layout = Layout { length_octets: mem::size_of::<usize>(), alignment: mem::size_of::<usize>() };

/// Room for packet info, hop limit, timestamp and segment size of either family (some 130 octets), and for all else that
/// the owner of an adopted socket can have asked for (ip(7), ipv6(7), socket(7): some 350).
const CONTROL_OCTETS: usize = 512;

/// `struct in_pktinfo`: index, local address, destination (ip(7), ip(4)).
const IN_PKTINFO_INDEX: usize = 0;
const IN_PKTINFO_DESTINATION: usize = 8;

/// Something to wait on that is set once, for good. An eventfd: one descriptor, and not a socket.
#[derive(Debug)]
pub(crate) struct Waker {
    event: OwnedFd,
    /// A child process shares the eventfd; it must not wake the parent's waiters.
    generation: u32,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: eventfd(2) just returned this descriptor, and nobody else owns it.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event, generation: generation() })
    }

    /// Whether it was made by the process that this one was forked off: then it is that one's to set.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }

    pub(crate) fn wake(&self) {
        if self.is_inherited() {
            return;
        }
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is 8 readable octets, which is what an eventfd takes. It can only fail when the counter is
        // at its limit, and then the waker is set already.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

/// Asks for what is wanted. Returns whether the kernel delivers nothing but what was joined on this socket.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    let (ttl, all) = (c_int::from(wanted.ttl), c_int::from(!wanted.strict));
    let filters = if domain == Domain::IPV4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, ttl)?;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, all)?;
        wanted.strict
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, ttl)?;
        // Linux 4.20; before it the filter above does the sorting.
        try_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, all)? && wanted.strict
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, c_int::from(wanted.timestamps))?;
    // Linux 5.0; before it every datagram comes by itself.
    try_option(socket, libc::SOL_UDP, libc::UDP_GRO, c_int::from(wanted.coalesce))?;
    Ok(filters)
}

/// Asks for the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Sets an option and tells whether the kernel knows it.
fn try_option<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<bool> {
    match set_option(socket, level, name, value) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Turns coalescing off, for a socket that is handed to code which does not know of it.
pub(crate) fn stop_coalescing(socket: &Socket) -> io::Result<()> {
    try_option(socket, libc::SOL_UDP, libc::UDP_GRO, 0).map(|_| ())
}

/// Sets the receive buffer past `net.core.rmem_max`, where the process may (`CAP_NET_ADMIN`).
pub(crate) fn force_receive_buffer(socket: &Socket, octets: usize) -> io::Result<()> {
    let octets = c_int::try_from(octets).unwrap_or(c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
}

/// The buffer as the user counts it: the kernel doubles what is asked, for its bookkeeping (socket(7)).
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported / 2
}

/// Datagrams that the kernel dropped at this socket since it was opened; wraps at 2^32.
pub(crate) fn kernel_drops(socket: &Socket) -> io::Result<Option<u32>> {
    let mut figures = [0u32; SK_MEMINFO_VARS];
    let mut size = mem::size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the pointer and size describe `figures`; getsockopt(2) writes at most `size` octets to it.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_MEMINFO, figures.as_mut_ptr().cast(), &raw mut size)
    };
    if result == 0 {
        return Ok((size as usize == mem::size_of_val(&figures)).then_some(figures[SK_MEMINFO_DROPS]));
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
        e => Err(e),
    }
}

/// Sends IPv4 multicast by the interface with this index (`IP_MULTICAST_IF`, ip(7)); 0: the system chooses.
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: c_int::try_from(interface).map_err(io::Error::other)?,
    };
    set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, request)
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_OCTETS]);

/// Receives many datagrams by one `recvmmsg`.
///
/// The headers point into the other arrays, which are boxed and never move or change length, and into the
/// caller's buffer, which is set anew at every call.
pub(crate) struct ReceiveQueue {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
}

// SAFETY: the raw pointers in `headers` lead only into the boxes that the queue owns (and into a buffer that each
// call sets anew), so they stay valid wherever the queue is moved, and every use needs `&mut self`.
unsafe impl Send for ReceiveQueue {}

impl ReceiveQueue {
    /// A queue for up to this many buffers a call.
    pub(crate) fn new(slots: usize) -> Self {
        // SAFETY: all-zero octets are valid for these plain C structures (integers and null pointers).
        let (header, vector, name): (libc::mmsghdr, libc::iovec, libc::sockaddr_storage) =
            unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut queue = Self {
            headers: vec![header; slots].into_boxed_slice(),
            vectors: vec![vector; slots].into_boxed_slice(),
            names: vec![name; slots].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_OCTETS]); slots].into_boxed_slice(),
        };
        for slot in 0..slots {
            let header = &mut queue.headers[slot].msg_hdr;
            header.msg_name = (&raw mut queue.names[slot]).cast();
            header.msg_iov = &raw mut queue.vectors[slot];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut queue.controls[slot]).cast();
        }
        queue
    }

    /// Receives what is there, at most one datagram or coalesced buffer a slot of `stride` octets, and shows each
    /// to `visit` with its slot. Returns how many; 0 where nothing is there. Never blocks.
    #[allow(clippy::unnecessary_cast, reason = "msg_controllen has 32 bits with musl")]
    pub(crate) fn receive(
        &mut self,
        socket: &Socket,
        buffer: &mut [u8],
        stride: usize,
        mut visit: impl FnMut(usize, Arrival),
    ) -> io::Result<usize> {
        let slots = (buffer.len() / stride).min(self.headers.len());
        for (slot, chunk) in buffer.chunks_exact_mut(stride).take(slots).enumerate() {
            self.vectors[slot] = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            let header = &mut self.headers[slot].msg_hdr;
            // The kernel overwrites these three at every call.
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_controllen = CONTROL_OCTETS as _;
            header.msg_flags = 0;
        }
        let received = loop {
            // SAFETY: the first `slots` headers point to live, exclusively borrowed memory of the lengths they
            // give: names, vectors and controls of this queue, and chunks of `buffer`. No timeout is passed
            // (recvmmsg(2), BUGS).
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    slots as _,
                    libc::MSG_DONTWAIT as _,
                    ptr::null_mut(),
                )
            };
            match usize::try_from(count) {
                Ok(count) => break count,
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                    e => return Err(e),
                },
            }
        };
        for slot in 0..received {
            let header = &self.headers[slot];
            let control = &self.controls[slot].0[..(header.msg_hdr.msg_controllen as usize).min(CONTROL_OCTETS)];
            visit(
                slot,
                Arrival {
                    length: (header.msg_len as usize).min(stride),
                    // Without all that the kernel told, it may be several datagrams taken for one.
                    truncated: header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
                    sender: sender(&self.names[slot]),
                    told: told(control),
                },
            );
        }
        Ok(received)
    }
}

fn sender(name: &libc::sockaddr_storage) -> SocketAddr {
    let name: *const libc::sockaddr_storage = name;
    // SAFETY: a sockaddr_storage is large enough and aligned for every socket address, all octets of it are
    // initialised, and both structures are plain integers; the family says which one the kernel wrote.
    unsafe {
        if c_int::from((*name).ss_family) == libc::AF_INET6 {
            let address = &*name.cast::<libc::sockaddr_in6>();
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(address.sin6_port), 0, address.sin6_scope_id).into()
        } else {
            let address = &*name.cast::<libc::sockaddr_in>();
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into()
        }
    }
}

/// Reads the control messages of one buffer.
fn told(control: &[u8]) -> Told {
    let mut told = Told::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => told.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => told.packet_info_v6(data),
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => told.hops(data),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => told.timestamp_ns = timestamp(data),
            (libc::SOL_UDP, libc::UDP_GRO) => {
                told.segment = octets(data, 0).map_or(0, |size| c_int::from_ne_bytes(size).max(0) as usize);
            }
            _ => {}
        }
    }
    told
}

/// `struct timespec`, of two 64-bit or, on old 32-bit systems, two 32-bit fields.
fn timestamp(data: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match data.len() {
        16 => (i64::from_ne_bytes(octets(data, 0)?), i64::from_ne_bytes(octets(data, 8)?)),
        _ => (i32::from_ne_bytes(octets(data, 0)?).into(), i32::from_ne_bytes(octets(data, 4)?).into()),
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Sends many messages to one destination by one `sendmmsg`, equal sizes coalesced by `UDP_SEGMENT`.
pub(crate) struct SendQueue {
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[SegmentControl]>,
    /// What may be coalesced; lowered when the kernel or the interface refuses.
    coalescing: Coalescing,
}

// SAFETY: the raw pointers in `headers` are only read within `send`, which sets those it uses to the queue's own
// boxes and to its arguments first.
unsafe impl Send for SendQueue {}

/// One `UDP_SEGMENT` control message: header and a 16-bit size, padded.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct SegmentControl([u8; LAYOUT.space(2)]);

/// Sends of one call; a few hundred kilobytes at most, so that a full send buffer is noticed soon.
const SEND_RUNS: usize = 64;
/// `UDP_MAX_SEGMENTS` was 64 until Linux 6.9 and is 128 since; 64 works everywhere.
const SEGMENTS: usize = 64;

impl SendQueue {
    pub(crate) fn new(coalesce: bool) -> Self {
        // SAFETY: all-zero octets are a valid mmsghdr (integers and null pointers).
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        let coalescing = if coalesce {
            Coalescing {
                messages: SEGMENTS,
                octets: crate::pure::address::MAX_PAYLOAD_V4,
                longest: crate::pure::address::MAX_PAYLOAD_V4,
            }
        } else {
            Coalescing::OFF
        };
        Self {
            headers: vec![header; SEND_RUNS].into_boxed_slice(),
            controls: vec![SegmentControl([0; LAYOUT.space(2)]); SEND_RUNS].into_boxed_slice(),
            coalescing,
        }
    }

    /// Sends from the first message on, as much as one call takes. Returns what was taken: nothing where the
    /// socket's buffer is full. Never blocks.
    #[allow(clippy::unnecessary_cast, reason = "msg_iovlen has 32 bits with musl")]
    pub(crate) fn send(
        &mut self,
        socket: &Socket,
        destination: &SockAddr,
        messages: &[IoSlice<'_>],
    ) -> io::Result<Sent> {
        loop {
            let runs = self.fill(destination, messages);
            // SAFETY: the first `runs` headers point to `destination`, to slices of `messages` and to controls of
            // this queue, which all outlive the call and which sendmmsg(2) only reads. An IoSlice has the layout
            // of an iovec on Unix, as std guarantees.
            let sent = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), runs as _, libc::MSG_DONTWAIT as _)
            };
            let Ok(sent) = usize::try_from(sent) else {
                match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => continue,
                    e if e.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::default()),
                    // A run was refused, not a message: this size does not go coalesced through this interface.
                    e if self.headers[0].msg_hdr.msg_iovlen > 1 && refuses_coalescing(&e) => {
                        self.coalescing.longest = messages[0].len() - 1;
                        continue;
                    }
                    e => return Err(e),
                }
            };
            let taken = |header: &libc::mmsghdr| header.msg_hdr.msg_iovlen as usize;
            let messages = self.headers[..sent].iter().map(taken).sum();
            let coalesced = self.headers[..sent].iter().map(taken).filter(|&n| n > 1).sum();
            return Ok(Sent { messages, coalesced });
        }
    }

    /// Sets up the headers for the first runs of the messages; returns how many.
    fn fill(&mut self, destination: &SockAddr, messages: &[IoSlice<'_>]) -> usize {
        let mut next = 0;
        let mut runs = 0;
        while next < messages.len() && runs < self.headers.len() {
            let rest = &messages[next..];
            let count = run_length(rest.iter().map(|m| m.len()), self.coalescing);
            let header = &mut self.headers[runs].msg_hdr;
            header.msg_name = destination.as_ptr().cast_mut().cast::<c_void>();
            header.msg_namelen = destination.len();
            header.msg_iov = rest.as_ptr().cast_mut().cast::<libc::iovec>();
            header.msg_iovlen = count as _;
            if count > 1 {
                let control = &mut self.controls[runs];
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

/// What the kernel answers to a segment size over the MTU, or where it or the card cannot do checksums (udp(7)).
fn refuses_coalescing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EMSGSIZE | libc::EIO | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
    )
}

impl SegmentControl {
    fn set(&mut self, size: usize) {
        // A run never holds more than 65,507 octets.
        let size = size as u16;
        let length = LAYOUT.header() + mem::size_of_val(&size);
        let wide = mem::size_of::<usize>();
        self.0[..wide].copy_from_slice(&length.to_ne_bytes());
        self.0[wide..wide + 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        self.0[wide + 4..wide + 8].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
        self.0[LAYOUT.header()..length].copy_from_slice(&size.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_control_message_reads_back() {
        let mut control = SegmentControl([0; LAYOUT.space(2)]);
        control.set(1316);
        let found: Vec<_> = cmsg::messages(&control.0, LAYOUT).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].kind), (libc::SOL_UDP, libc::UDP_SEGMENT));
        assert_eq!(found[0].data, 1316u16.to_ne_bytes());
    }

    #[test]
    fn a_timestamp_is_nanoseconds_since_the_epoch() {
        let mut wide = 3i64.to_ne_bytes().to_vec();
        wide.extend(5i64.to_ne_bytes());
        assert_eq!(timestamp(&wide), Some(3_000_000_005));
        let mut narrow = 3i32.to_ne_bytes().to_vec();
        narrow.extend(5i32.to_ne_bytes());
        assert_eq!(timestamp(&narrow), Some(3_000_000_005));
        assert_eq!(timestamp(&[0; 7]), None);
        assert_eq!(timestamp(&[0x7f; 16]), None);
    }

    #[test]
    fn the_waker_wakes_for_good() {
        let waker = Waker::new().unwrap();
        let none: [std::sync::Arc<Held>; 0] = [];
        let now = Some(std::time::Duration::ZERO);
        assert_eq!(wait_readable(&none, &waker, now).unwrap(), super::super::Wake::TimedOut);
        waker.wake();
        waker.wake();
        for _ in 0..2 {
            assert_eq!(wait_readable(&none, &waker, now).unwrap(), super::super::Wake::Woken);
        }
    }

    struct Held(Socket);

    impl AsRef<Socket> for Held {
        fn as_ref(&self) -> &Socket {
            &self.0
        }
    }
}
