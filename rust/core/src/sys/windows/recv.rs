//! Receiving: one datagram, with its control messages, in one `WSARecvMsg`.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::windows::io::AsRawSocket;
use std::ptr;

use socket2::{SockAddr, SockAddrStorage, Socket};
use windows_sys::Win32::Networking::WinSock as ws;
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::caps::LAYOUT;
use crate::pure::cmsg;
use crate::sys::{Arrival, Metadata, socket_addr};

const CONTROL_BYTES: usize = 256;

/// `IN_PKTINFO`: destination, index.
const IN_PKTINFO_INDEX: usize = 4;
const IN_PKTINFO_DESTINATION: usize = 0;

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

type ReceiveMessage = unsafe extern "system" fn(
    ws::SOCKET,
    *mut ws::WSAMSG,
    *mut u32,
    *mut OVERLAPPED,
    ws::LPWSAOVERLAPPED_COMPLETION_ROUTINE,
) -> i32;

/// Receives one datagram in one `WSARecvMsg`.
pub(crate) struct ReceiveQueue {
    slots: usize,
    control: Box<Control>,
    name: Box<ws::SOCKADDR_STORAGE>,
    receive_message: Option<ReceiveMessage>,
}

impl ReceiveQueue {
    /// Makes a queue for at most this many buffers per call.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, control: Box::new(Control([0; CONTROL_BYTES])), name: Box::default(), receive_message: None }
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
        let receive_message = match self.receive_message {
            Some(function) => function,
            None => *self.receive_message.insert(find_receive_message(socket)?),
        };
        for (slot, chunk) in buffer.chunks_exact_mut(stride).take(self.slots).enumerate() {
            match self.receive_one(receive_message, socket, chunk) {
                Ok(arrival) => visit(slot, arrival),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(slot),
                // Deliver what was received first; the error stays with the socket, or has passed.
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
                Control: ws::WSABUF { len: CONTROL_BYTES as u32, buf: self.control.0.as_mut_ptr() },
                dwFlags: 0,
            };
            let mut received = 0u32;
            // SAFETY: `message` points at live, exclusively borrowed memory of the lengths it gives. The socket is
            // non-blocking and no OVERLAPPED is passed, so nothing is written after the call returns.
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
                    // An ICMP error caused by an earlier send; it is not about a received datagram.
                    e if matches!(e.raw_os_error(), Some(ws::WSAECONNRESET | ws::WSAENETRESET)) => continue,
                    e => return Err(e),
                }
            }
            let control = &self.control.0[..(message.Control.len as usize).min(CONTROL_BYTES)];
            return Ok(Arrival {
                length: (received as usize).min(room),
                truncated,
                sender: self.sender(),
                metadata: metadata(control),
            });
        }
    }

    fn sender(&self) -> SocketAddr {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: this is the platform's own storage type for socket addresses.
        *unsafe { storage.view_as::<ws::SOCKADDR_STORAGE>() } = *self.name;
        let length = storage.size_of();
        // SAFETY: the storage is initialised, and its full length is valid for every socket address.
        socket_addr(&unsafe { SockAddr::new(storage, length) })
    }
}

/// Looks `WSARecvMsg` up: Winsock does not export it.
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
fn metadata(control: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    for message in cmsg::messages(control, LAYOUT) {
        let data = message.data;
        match (message.level, message.kind) {
            (ws::IPPROTO_IP, ws::IP_PKTINFO) => metadata.packet_info_v4(data, IN_PKTINFO_INDEX, IN_PKTINFO_DESTINATION),
            (ws::IPPROTO_IPV6, ws::IPV6_PKTINFO) => metadata.packet_info_v6(data),
            (ws::IPPROTO_IP, ws::IP_HOPLIMIT | ws::IP_TTL) | (ws::IPPROTO_IPV6, ws::IPV6_HOPLIMIT) => {
                metadata.hops(data);
            }
            _ => {}
        }
    }
    metadata
}
