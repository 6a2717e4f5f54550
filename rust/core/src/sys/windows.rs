//! Windows: one `WSARecvMsg` or `sendto` a datagram; no coalescing, no drop counter, no receive time.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::windows::io::{AsRawSocket, BorrowedSocket, RawSocket};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket};
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetIfEntry2, MIB_IF_ROW2};
use windows_sys::Win32::Networking::WinSock as ws;

use super::{Arrival, Told, Wake, Wanted, socket_addr};
use crate::pure::cmsg::{self, Layout};

pub(crate) use super::portable::SendQueue;
pub(crate) use super::unmonitored::{Monitor, Routes};

/// Where the limit on groups of one socket is set.
pub(crate) const MEMBERSHIP_LIMIT: &str = "the system's limit of groups on one socket is reached";
/// Where the limit on sources of one group is set.
pub(crate) const SOURCE_LIMIT: &str = "the system's limit of sources of one group is reached";
/// What grants a larger receive buffer: Windows grants what is asked.
pub(crate) const BUFFER_SETTING: &str = "SO_RCVBUF";
/// Binding to a group fails here (WSAEADDRNOTAVAIL); the socket is bound to the wildcard and filters.
pub(crate) const BINDS_TO_GROUP: bool = false;
/// A socket hears only the groups that were joined on it, whatever others joined.
pub(crate) const HEARS_ALL: bool = false;

/// `WSACMSGHDR`: a length and an alignment of the width of a register.
const LAYOUT: Layout = Layout { length_octets: mem::size_of::<usize>(), alignment: mem::size_of::<usize>() };

const CONTROL_OCTETS: usize = 256;

/// `IN_PKTINFO`: destination, index.
const IN_PKTINFO_INDEX: usize = 4;
const IN_PKTINFO_DESTINATION: usize = 0;

/// The sockets are non-blocking here; there is no flag for one call.
pub(super) const SEND_FLAGS: i32 = 0;

/// Something to wait on that is set once, for good: a socket of the loopback interface that is its own peer, with
/// a datagram in it. `WSAPoll` waits on nothing but sockets.
#[derive(Debug)]
pub(crate) struct Waker {
    socket: UdpSocket,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        Ok(Self { socket })
    }

    /// There are no forks.
    pub(crate) fn is_inherited(&self) -> bool {
        false
    }

    pub(crate) fn wake(&self) {
        // A datagram to itself over loopback fits the empty buffer of this socket; a second one changes nothing.
        let _ = self.socket.send(&[1]);
    }
}

/// Sleeps until one of the sockets can be read.
pub(crate) fn wait_readable(
    sockets: &[Arc<impl AsRef<Socket>>],
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<Wake> {
    let mut entries = poll_entries(sockets, ws::POLLRDNORM);
    entries.push(entry(waker.socket.as_raw_socket(), ws::POLLRDNORM));
    wait(&mut entries, timeout)
}

/// Sleeps until the socket takes more to send.
pub(crate) fn wait_writable(socket: &Socket, waker: &Waker, timeout: Option<Duration>) -> io::Result<Wake> {
    let mut entries =
        [entry(socket.as_raw_socket(), ws::POLLWRNORM), entry(waker.socket.as_raw_socket(), ws::POLLRDNORM)];
    wait(&mut entries, timeout)
}

/// Sleeps until one of the sockets can be read. The monitor gives no sign here: it has to be asked.
pub(crate) fn wait_receiving(
    sockets: &[Arc<impl AsRef<Socket>>],
    _: Option<&ReadySet>,
    _: &Monitor,
    waker: &Waker,
    timeout: Option<Duration>,
) -> io::Result<(Wake, bool)> {
    Ok((wait_readable(sockets, waker, timeout)?, false))
}

/// Many sockets, each of which is asked: no descriptor stands for them.
#[derive(Debug)]
pub(crate) struct ReadySet;

impl ReadySet {
    pub(crate) fn new(_: &Monitor, _period: Option<Duration>) -> io::Result<Self> {
        Ok(Self)
    }

    /// Every socket is shown to `ready` again.
    pub(crate) fn add(&self, _socket: &Socket, _place: usize) -> io::Result<()> {
        Ok(())
    }

    /// Adds the places of sockets that can be read now to `found`. Returns that there was no sign. Never blocks.
    pub(crate) fn ready(&self, sockets: &[Arc<impl AsRef<Socket>>], found: &mut Vec<usize>) -> io::Result<bool> {
        let mut entries = poll_entries(sockets, ws::POLLRDNORM);
        poll(&mut entries, Some(Duration::ZERO))?;
        found.extend(entries.iter().enumerate().filter(|(_, e)| e.revents != 0).map(|(i, _)| i));
        Ok(false)
    }

    /// There is none.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        None
    }
}

/// The largest packet of an interface, in octets; `None` where it is gone.
pub(crate) fn interface_mtu(_name: &str, index: u32) -> io::Result<Option<u32>> {
    let mut row = MIB_IF_ROW2 { InterfaceIndex: index, ..Default::default() };
    // SAFETY: `row` is a live, exclusively borrowed MIB_IF_ROW2 with the index that chooses the row.
    match unsafe { GetIfEntry2(&raw mut row) } {
        NO_ERROR => Ok(Some(row.Mtu)),
        ERROR_FILE_NOT_FOUND => Ok(None),
        code => Err(io::Error::from_raw_os_error(code as i32)),
    }
}

fn poll_entries(sockets: &[Arc<impl AsRef<Socket>>], events: i16) -> Vec<ws::WSAPOLLFD> {
    sockets.iter().map(|socket| entry((**socket).as_ref().as_raw_socket(), events)).collect()
}

fn entry(socket: RawSocket, events: i16) -> ws::WSAPOLLFD {
    ws::WSAPOLLFD { fd: socket as ws::SOCKET, events, revents: 0 }
}

/// The last entry is the waker's: it goes before readiness, so that a flood cannot hide a close.
fn wait(entries: &mut [ws::WSAPOLLFD], timeout: Option<Duration>) -> io::Result<Wake> {
    match poll(entries, timeout)? {
        0 => Ok(Wake::TimedOut),
        _ if entries.last().is_some_and(|waker| waker.revents != 0) => Ok(Wake::Woken),
        _ => Ok(Wake::Ready),
    }
}

fn poll(entries: &mut [ws::WSAPOLLFD], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let millis = timeout.map_or(-1, |t| i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    let count = u32::try_from(entries.len()).map_err(io::Error::other)?;
    // SAFETY: `entries` is a live, exclusively borrowed slice of `count` initialised WSAPOLLFD.
    let ready = unsafe { ws::WSAPoll(entries.as_mut_ptr(), count, millis) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// A socket of one's own that shares the kernel's socket with the handle `raw`.
pub(crate) fn duplicate(raw: i64) -> io::Result<Socket> {
    let raw = RawSocket::try_from(raw).map_err(|_| io::Error::from_raw_os_error(ws::WSAENOTSOCK))?;
    // SAFETY: the handle is only used for WSADuplicateSocketW within this call, which refuses what is no socket.
    let borrowed = unsafe { BorrowedSocket::borrow_raw(raw) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

/// Sets one socket option of plain-data type.
fn set_option<T: Copy>(socket: &Socket, level: i32, name: i32, value: T) -> io::Result<()> {
    let size = i32::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer and size describe `value`, which lives through the call; setsockopt only reads it.
    let result =
        unsafe { ws::setsockopt(socket.as_raw_socket() as ws::SOCKET, level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a source-specific call does (RFC 3678 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceCall {
    Join,
    Leave,
    Block,
}

/// Joins, leaves or blocks one source of a group on an interface (0: the system chooses).
pub(crate) fn source_call(
    socket: &Socket,
    call: SourceCall,
    group: IpAddr,
    interface: u32,
    source: IpAddr,
) -> io::Result<()> {
    let name = match call {
        SourceCall::Join => ws::MCAST_JOIN_SOURCE_GROUP,
        SourceCall::Leave => ws::MCAST_LEAVE_SOURCE_GROUP,
        SourceCall::Block => ws::MCAST_BLOCK_SOURCE,
    };
    let request =
        ws::GROUP_SOURCE_REQ { gsr_interface: interface, gsr_group: storage(group), gsr_source: storage(source) };
    let level = if group.is_ipv4() { ws::IPPROTO_IP } else { ws::IPPROTO_IPV6 };
    set_option(socket, level, name as i32, request)
}

fn storage(address: IpAddr) -> ws::SOCKADDR_STORAGE {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    let mut storage = ws::SOCKADDR_STORAGE::default();
    // SAFETY: `address` holds `len()` initialised octets, at most the size of the storage, and the two do not
    // overlap.
    unsafe {
        ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            address.len() as usize,
        );
    }
    storage
}

/// Asks for what is wanted, and not to be told of ICMP errors (WSAECONNRESET would end a receiver). Sorting out what
/// was not joined is left to the filter.
pub(crate) fn prepare_receiver(socket: &Socket, domain: Domain, wanted: Wanted) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    let off = 0u32;
    let mut returned = 0u32;
    // SAFETY: the input pointer and size describe `off`; there is no output but the count.
    let result = unsafe {
        ws::WSAIoctl(
            socket.as_raw_socket() as ws::SOCKET,
            ws::SIO_UDP_CONNRESET,
            (&raw const off).cast(),
            mem::size_of_val(&off) as u32,
            ptr::null_mut(),
            0,
            &raw mut returned,
            ptr::null_mut(),
            None,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let ttl = u32::from(wanted.ttl);
    if domain == Domain::IPV4 {
        set_option(socket, ws::IPPROTO_IP, ws::IP_RECVTTL, ttl)?;
    } else {
        set_option(socket, ws::IPPROTO_IPV6, ws::IPV6_HOPLIMIT, ttl)?;
    }
    Ok(false)
}

/// Asks for the destination and the interface of each datagram.
pub(crate) fn tell_destination(socket: &Socket, domain: Domain) -> io::Result<()> {
    if domain == Domain::IPV4 {
        set_option(socket, ws::IPPROTO_IP, ws::IP_PKTINFO, 1u32)
    } else {
        set_option(socket, ws::IPPROTO_IPV6, ws::IPV6_PKTINFO, 1u32)
    }
}

/// There is no coalescing to turn off.
pub(crate) fn stop_coalescing(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// There is no limit to go past.
pub(crate) fn force_receive_buffer(socket: &Socket, octets: usize) -> io::Result<()> {
    socket.set_recv_buffer_size(octets)
}

/// The system reports what it grants.
pub(crate) fn usable_buffer(reported: usize) -> usize {
    reported
}

/// Windows does not count drops by socket.
pub(crate) fn kernel_drops(_socket: &Socket) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Sends IPv4 multicast by the interface with this index: `IP_MULTICAST_IF` takes 0.x.x.x as an index, in network
/// order.
pub(crate) fn set_send_interface_v4(socket: &Socket, interface: u32) -> io::Result<()> {
    set_option(socket, ws::IPPROTO_IP, ws::IP_MULTICAST_IF, interface.to_be())
}

#[repr(C, align(8))]
struct Control([u8; CONTROL_OCTETS]);

type ReceiveMessage = unsafe extern "system" fn(
    ws::SOCKET,
    *mut ws::WSAMSG,
    *mut u32,
    *mut windows_sys::Win32::System::IO::OVERLAPPED,
    ws::LPWSAOVERLAPPED_COMPLETION_ROUTINE,
) -> i32;

/// Receives one datagram by one `WSARecvMsg`.
pub(crate) struct ReceiveQueue {
    slots: usize,
    control: Box<Control>,
    name: Box<ws::SOCKADDR_STORAGE>,
    receive_message: Option<ReceiveMessage>,
}

impl ReceiveQueue {
    /// A queue for up to this many buffers a call.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, control: Box::new(Control([0; CONTROL_OCTETS])), name: Box::default(), receive_message: None }
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
        let receive_message = match self.receive_message {
            Some(function) => function,
            None => *self.receive_message.insert(find_receive_message(socket)?),
        };
        for (slot, chunk) in buffer.chunks_exact_mut(stride).take(self.slots).enumerate() {
            match self.receive_one(receive_message, socket, chunk) {
                Ok(arrival) => visit(slot, arrival),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(slot),
                // What was received is delivered first; the error stays with the socket, or has passed.
                Err(_) if slot > 0 => return Ok(slot),
                Err(e) => return Err(e),
            }
        }
        Ok(self.slots.min(buffer.len() / stride))
    }

    fn receive_one(
        &mut self,
        receive_message: ReceiveMessage,
        socket: &Socket,
        chunk: &mut [u8],
    ) -> io::Result<Arrival> {
        let room = chunk.len();
        let mut buffer = ws::WSABUF { len: u32::try_from(room).unwrap_or(u32::MAX), buf: chunk.as_mut_ptr() };
        loop {
            let mut message = ws::WSAMSG {
                name: (&raw mut *self.name).cast(),
                namelen: mem::size_of::<ws::SOCKADDR_STORAGE>() as i32,
                lpBuffers: &raw mut buffer,
                dwBufferCount: 1,
                Control: ws::WSABUF { len: CONTROL_OCTETS as u32, buf: self.control.0.as_mut_ptr() },
                dwFlags: 0,
            };
            let mut received = 0u32;
            // SAFETY: `message` leads to live, exclusively borrowed memory of the lengths it gives, and the socket is
            // non-blocking without OVERLAPPED, so nothing is written after the call returns.
            let result = unsafe {
                receive_message(
                    socket.as_raw_socket() as ws::SOCKET,
                    &raw mut message,
                    &raw mut received,
                    ptr::null_mut(),
                    None,
                )
            };
            let mut truncated = message.dwFlags & (ws::MSG_TRUNC | ws::MSG_CTRUNC) != 0;
            if result != 0 {
                match io::Error::last_os_error() {
                    e if e.raw_os_error() == Some(ws::WSAEMSGSIZE) => {
                        truncated = true;
                        received = buffer.len;
                    }
                    // An ICMP error of some earlier send; it concerns no datagram of ours.
                    e if matches!(e.raw_os_error(), Some(ws::WSAECONNRESET | ws::WSAENETRESET)) => continue,
                    e => return Err(e),
                }
            }
            let control = &self.control.0[..(message.Control.len as usize).min(CONTROL_OCTETS)];
            return Ok(Arrival {
                length: (received as usize).min(room),
                truncated,
                sender: self.sender(),
                told: told(control),
            });
        }
    }

    fn sender(&self) -> SocketAddr {
        // SAFETY: the closure copies one initialised SOCKADDR_STORAGE into storage of the same size and leaves the
        // full length, which is valid for every socket address.
        let address = unsafe {
            SockAddr::try_init(|storage, _| {
                ptr::copy_nonoverlapping(
                    (&raw const *self.name).cast::<u8>(),
                    storage.cast::<u8>(),
                    mem::size_of::<ws::SOCKADDR_STORAGE>(),
                );
                Ok(())
            })
        };
        address.map_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into(), |((), address)| socket_addr(&address))
    }
}

/// `WSARecvMsg` has to be asked for.
fn find_receive_message(socket: &Socket) -> io::Result<ReceiveMessage> {
    let wanted = ws::WSAID_WSARECVMSG;
    let mut function: ws::LPFN_WSARECVMSG = None;
    let mut returned = 0u32;
    // SAFETY: the input describes a GUID, the output a function pointer of the type that belongs to it.
    let result = unsafe {
        ws::WSAIoctl(
            socket.as_raw_socket() as ws::SOCKET,
            ws::SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const wanted).cast(),
            mem::size_of_val(&wanted) as u32,
            (&raw mut function).cast::<c_void>(),
            mem::size_of_val(&function) as u32,
            &raw mut returned,
            ptr::null_mut(),
            None,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    function.ok_or_else(|| io::Error::from_raw_os_error(ws::WSAEOPNOTSUPP))
}

/// Reads the control messages of one datagram.
fn told(control: &[u8]) -> Told {
    let mut told = Told::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            (ws::IPPROTO_IP, ws::IP_PKTINFO) => told.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION),
            (ws::IPPROTO_IPV6, ws::IPV6_PKTINFO) => told.packet_info_v6(data),
            (ws::IPPROTO_IP, ws::IP_HOPLIMIT | ws::IP_TTL) | (ws::IPPROTO_IPV6, ws::IPV6_HOPLIMIT) => {
                told.hops(data);
            }
            _ => {}
        }
    }
    told
}
