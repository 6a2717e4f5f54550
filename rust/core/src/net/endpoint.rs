//! Support for datagram endpoints of event loops: reading a socket that the caller opened, and sending on the socket of
//! a receiver.

use std::fmt;
use std::io;
use std::sync::Arc;

use socket2::Socket;

use super::batch::Batch;
use super::fork::ForkSafeMutex;
use super::receiver::Receiver;
use super::socket::duplicate;
use super::storage::{Pool, SLOTS, STRIDE};
use crate::errno;
use crate::error::{Error, Result};
use crate::sys::{self, ReceiveQueue};

/// Slots of a kernel call after a pause in the traffic.
const MIN_SLOT_COUNT: usize = 4;

/// Reads a socket of the caller as it is: it changes no option and filters nothing.
pub struct SocketReader {
    state: ForkSafeMutex<State>,
}

struct State {
    /// `None` once closed.
    socket: Option<Socket>,
    queue: ReceiveQueue,
    pool: Pool,
    /// Slots of the next kernel call: twice as many as the last one filled.
    slot_count: usize,
}

impl fmt::Debug for SocketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketReader").finish_non_exhaustive()
    }
}

impl SocketReader {
    /// Read a duplicate of this descriptor, which must be an IPv4 or IPv6 datagram socket; both share the kernel's
    /// socket.
    pub fn open(descriptor: i64) -> Result<Self> {
        let state = State {
            socket: Some(duplicate(descriptor)?),
            queue: ReceiveQueue::new(SLOTS),
            pool: Pool::default(),
            slot_count: MIN_SLOT_COUNT,
        };
        Ok(Self { state: ForkSafeMutex::new(state)? })
    }

    /// Read with one kernel call: at most `limit` datagrams, or more if the kernel coalesced some. Returns the
    /// datagrams, and whether there were no more. Never blocks.
    pub fn read(&self, limit: usize) -> Result<(Batch, bool)> {
        let mut state = self.state.lock_or_refuse()?;
        state.read(limit).map_err(|e| match e.kind() {
            io::ErrorKind::OutOfMemory => Error::NoMemory("receive"),
            _ => Error::system("receive", e),
        })
    }

    /// Close the duplicate. Closing again does nothing.
    pub fn close(&self) {
        if let Some(mut state) = self.state.lock() {
            state.socket = None;
        }
    }
}

impl State {
    fn read(&mut self, limit: usize) -> io::Result<(Batch, bool)> {
        let Self { socket: Some(socket), queue, pool, slot_count } = self else {
            return Err(io::Error::from_raw_os_error(errno::BAD_DESCRIPTOR));
        };
        let mut storage = pool.take()?;
        let own = Arc::get_mut(&mut storage).ok_or_else(|| io::Error::other("a pooled buffer is in use"))?;
        own.clear();
        let asked = limit.clamp(1, *slot_count);
        let (buffer, mut recorder) = own.fill(0, asked)?;
        let received = queue.receive(socket, buffer, STRIDE, |slot, arrival| _ = recorder.record(slot, &arrival));
        pool.keep(Arc::clone(&storage));
        let received = received?;
        *slot_count = (2 * received).clamp(MIN_SLOT_COUNT, SLOTS);
        let rows = 0..storage.len();
        Ok((Batch::new(storage, rows), received < asked))
    }
}

/// Return a duplicate of the first socket of a receiver, for sending. If the receiver has joined its groups on a single
/// interface, the duplicate sends to groups through that interface.
pub fn sending_socket(receiver: &Receiver) -> Result<Socket> {
    let failed = |e| Error::system(format!("set up port {} for sending", receiver.port()), e);
    let socket = receiver.with_socket(Socket::try_clone)?.map_err(failed)?;
    let groups = receiver.groups();
    if let [first, rest @ ..] = &*groups {
        let index = first.interface;
        if index != 0 && rest.iter().all(|other| other.interface == index) {
            let selected = match first.group.is_ipv4() {
                true => sys::set_send_interface_v4(&socket, index, None),
                false => socket.set_multicast_if_v6(index),
            };
            selected.map_err(failed)?;
        }
    }
    Ok(socket)
}
