//! The sender: one socket, one group, one message or many.

use std::fmt;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Protocol, SockAddr, Socket, Type};

use super::channel::domain_of;
use super::interfaces::choose;
use super::{Wake, lock};
use crate::pure::address::{InterfaceName, check_group, max_payload, needs_zone};
use crate::sys::{self, SendQueue, Waker};
use crate::{Error, Result};

/// How a sender is opened.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The group to send to.
    pub group: IpAddr,
    /// The UDP port to send to, from 1.
    pub port: u16,
    /// The interface to send by.
    pub interface: InterfaceName,
    /// Routers that a datagram may cross, and one more: 0 stays on this machine, 1 on the link (RFC 1112 section 6.1).
    pub ttl: u8,
    /// This machine hears what it sends (decided by the sender on Unix, by the receiver on Windows).
    pub loopback: bool,
    /// Octets of send buffer to ask for; `None` leaves the system's default.
    pub send_buffer: Option<usize>,
    /// Hand several messages of equal size to the kernel in one, where it can cut them apart.
    pub coalesce: bool,
}

/// What a sender did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Messages that the kernel took.
    pub sent: u64,
    /// Their octets.
    pub bytes: u64,
    /// Of the messages, how many went coalesced with others.
    pub coalesced: u64,
}

/// Sends datagrams to one group.
///
/// All methods may be called from any thread at once. None blocks but [`Sender::wait`].
pub struct Sender {
    label: String,
    longest: usize,
    destination: SockAddr,
    waker: Waker,
    state: Mutex<State>,
}

struct State {
    /// `None` once closed. Shared with who waits on it.
    socket: Option<Arc<Socket>>,
    queue: SendQueue,
    stats: SenderStats,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("to", &self.label).finish()
    }
}

impl Sender {
    /// Opens a socket that sends to the group.
    pub fn open(config: &SenderConfig) -> Result<Self> {
        check(config)?;
        let on = choose(&config.interface)?;
        let destination = match config.group {
            IpAddr::V4(_) => SocketAddr::new(config.group, config.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, config.port, 0, on.index).into(),
        };
        let label = format!("{}{}", SocketAddr::new(config.group, config.port), on.phrase());
        let failed = |what: &str| {
            let operation = format!("{what} {label}");
            move |e| Error::system(operation, e)
        };
        let socket = Socket::new(domain_of(config.group), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open a socket to send to"))?;
        prepare(&socket, config, on.index).map_err(failed("set up a socket to send to"))?;
        Ok(Self {
            waker: Waker::new().map_err(failed("open a wake-up descriptor to send to"))?,
            longest: max_payload(config.group),
            destination: destination.into(),
            state: Mutex::new(State {
                socket: Some(Arc::new(socket)),
                queue: SendQueue::new(config.coalesce),
                stats: SenderStats::default(),
            }),
            label,
        })
    }

    /// Refuses a message that no datagram can carry; call it before [`Sender::send`].
    pub fn check_size(&self, octets: usize) -> Result<()> {
        if octets <= self.longest {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "a message of {octets} octets is longer than a datagram to {} can carry ({} at most)",
            self.label, self.longest
        )))
    }

    /// Sends from the first message on. Returns how many the kernel took: fewer where its buffer is full, and then
    /// [`Sender::wait`] tells when to go on. Never blocks.
    pub fn send(&self, messages: &[IoSlice<'_>]) -> Result<usize> {
        let mut state = lock(&self.state);
        let State { socket, queue, stats } = &mut *state;
        let socket = socket.as_ref().ok_or_else(|| self.closed())?;
        let mut done = 0;
        while done < messages.len() {
            let sent = queue
                .send(socket, &self.destination, &messages[done..])
                .map_err(|e| Error::system(format!("send to {}", self.label), e));
            match sent {
                Ok(sent) if sent.messages == 0 => break,
                Ok(sent) => {
                    stats.sent += sent.messages as u64;
                    stats.coalesced += sent.coalesced as u64;
                    let taken = &messages[done..done + sent.messages];
                    stats.bytes += taken.iter().map(|message| message.len() as u64).sum::<u64>();
                    done += sent.messages;
                }
                // What went before is told first; the next call meets the error again.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Sleeps until the kernel takes more, at most as long as given.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let socket = self.socket()?;
        match sys::wait_writable(&socket, &self.waker, timeout) {
            Ok(sys::Wake::Ready) => Ok(Wake::Ready),
            Ok(sys::Wake::Interrupted) => Ok(Wake::Interrupted),
            Ok(sys::Wake::TimedOut) => Ok(Wake::TimedOut),
            Ok(sys::Wake::Woken) => Err(self.closed()),
            Err(e) => Err(Error::system(format!("wait to send to {}", self.label), e)),
        }
    }

    /// The counters.
    pub fn stats(&self) -> SenderStats {
        lock(&self.state).stats
    }

    /// The socket, for what this crate has no word for.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        Ok(use_it(&*self.socket()?))
    }

    /// Closes the socket and wakes who waits. Closing again does nothing.
    pub fn close(&self) {
        if lock(&self.state).socket.take().is_some() {
            self.waker.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).socket.is_none()
    }

    fn socket(&self) -> Result<Arc<Socket>> {
        lock(&self.state).socket.clone().ok_or_else(|| self.closed())
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the sender to {} is closed", self.label))
    }
}

fn check(config: &SenderConfig) -> Result<()> {
    let SenderConfig { group, .. } = config;
    check_group(*group)?;
    if config.port == 0 {
        return Err(Error::Invalid("port 0 is none to send to".into()));
    }
    match group {
        IpAddr::V6(ip) if needs_zone(ip) && config.interface == InterfaceName::Default => Err(Error::Invalid(format!(
            "{group} means a different group on every interface: name one, as in {group}%eth0"
        ))),
        _ => Ok(()),
    }
}

fn prepare(socket: &Socket, config: &SenderConfig, interface: u32) -> std::io::Result<()> {
    if let Some(octets) = config.send_buffer {
        socket.set_send_buffer_size(octets)?;
    }
    if config.group.is_ipv4() {
        socket.set_multicast_ttl_v4(config.ttl.into())?;
        socket.set_multicast_loop_v4(config.loopback)?;
        if interface != 0 {
            sys::set_send_interface_v4(socket, interface)?;
        }
    } else {
        socket.set_multicast_hops_v6(config.ttl.into())?;
        socket.set_multicast_loop_v6(config.loopback)?;
        if interface != 0 {
            socket.set_multicast_if_v6(interface)?;
        }
    }
    #[cfg(windows)]
    socket.set_nonblocking(true)?;
    Ok(())
}
