//! The sender: one socket, one group, one message or many.

use std::fmt;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Protocol, SockAddr, Socket, Type};

use super::Wake;
use super::channel::{Channel, domain_of};
use super::guarded::Guarded;
use super::interfaces::{Chosen, choose, snapshot};
use crate::pure::address::{InterfaceName, check_group, max_payload, needs_zone};
use crate::pure::pace::{Pace, Rate};
use crate::sys::{self, SendQueue, Waker, errno};
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
    /// How fast to send at most; `None` sends as fast as the kernel takes it.
    pub rate: Option<Rate>,
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
    group: IpAddr,
    on: Chosen,
    /// Where the times of the schedule count from.
    opened: Instant,
    state: Guarded<State>,
}

/// What is there until it is closed, and until nobody waits on it any more.
struct Open {
    socket: Socket,
    waker: Waker,
}

struct State {
    /// `None` once closed. Shared with who waits on it.
    open: Option<Arc<Open>>,
    queue: SendQueue,
    pace: Option<Pace>,
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
        let waker = Waker::new().map_err(failed("open a wake-up descriptor to send to"))?;
        Ok(Self {
            longest: max_payload(config.group),
            destination: destination.into(),
            group: config.group,
            on,
            state: Guarded::new(State {
                open: Some(Arc::new(Open { socket, waker })),
                queue: SendQueue::new(config.coalesce),
                pace: config.rate.map(Pace::new),
                stats: SenderStats::default(),
            })
            .map_err(failed("count forks to send to"))?,
            opened: Instant::now(),
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

    /// Sends from the first message on. Returns how many the kernel took: fewer where its buffer is full or the rate is
    /// reached, and then [`Sender::wait`] tells when to go on. Never blocks.
    pub fn send(&self, messages: &[IoSlice<'_>]) -> Result<usize> {
        let mut state = self.state.try_lock()?;
        let State { open, queue, pace, stats } = &mut *state;
        let socket = &open.as_ref().ok_or_else(|| self.closed())?.socket;
        let messages = match pace {
            Some(pace) => &messages[..pace.allow(self.opened.elapsed(), messages.iter().map(|m| m.len()))],
            None => messages,
        };
        let mut done = 0;
        while done < messages.len() {
            let sent = queue
                .send(socket, &self.destination, &messages[done..])
                .map_err(|e| Error::system(format!("send to {}", self.label), e).advise(|code| self.way_out(code)));
            match sent {
                Ok(sent) if sent.messages == 0 => break,
                Ok(sent) => {
                    stats.sent += sent.messages as u64;
                    stats.coalesced += sent.coalesced as u64;
                    let taken = &messages[done..done + sent.messages];
                    stats.bytes += taken.iter().map(|message| message.len() as u64).sum::<u64>();
                    if let Some(pace) = pace {
                        taken.iter().for_each(|message| pace.sent(message.len()));
                    }
                    done += sent.messages;
                }
                // What went before is told first; the next call meets the error again.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// What helps where the system finds no way to the group, or no address to send from.
    fn way_out(&self, code: i32) -> Option<String> {
        if let errno::NETWORK_UNREACHABLE | errno::ADDRESS_NOT_AVAILABLE = code {
            let here = snapshot().ok()?;
            if here.get(&self.on.index).is_some_and(|interface| !interface.up) {
                return Some(format!("{} is down: switch it on, or name another interface", self.on.name));
            }
        }
        match code {
            // It is about the source, which nobody named.
            errno::ADDRESS_NOT_AVAILABLE => {
                Some("no address to send from: name an interface that is up and has one of this IP version".into())
            }
            errno::NETWORK_UNREACHABLE if self.group.is_ipv6() => {
                Some("no route to the group: name an interface that is up and has an IPv6 address".into())
            }
            _ => None,
        }
    }

    /// Sleeps until the kernel takes more, at most as long as given.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let open = self.open_parts()?;
        if let Some(pause) = self.pause() {
            let pause = timeout.map_or(pause, |timeout| pause.min(timeout));
            if pause <= FINE_PAUSE {
                thread::sleep(pause);
                return Ok(Wake::Ready);
            }
            let nothing: [Arc<Channel>; 0] = [];
            return match sys::wait_readable(&nothing, &open.waker, Some(pause - FINE_PAUSE)) {
                Ok(sys::Wake::Woken) => Err(self.closed()),
                Ok(_) => Ok(Wake::TimedOut),
                Err(e) => Err(Error::system(format!("wait to send to {}", self.label), e)),
            };
        }
        match sys::wait_writable(&open.socket, &open.waker, timeout) {
            Ok(sys::Wake::Ready) => Ok(Wake::Ready),
            Ok(sys::Wake::Interrupted) => Ok(Wake::Interrupted),
            Ok(sys::Wake::TimedOut) => Ok(Wake::TimedOut),
            Ok(sys::Wake::Woken) => Err(self.closed()),
            Err(e) => Err(Error::system(format!("wait to send to {}", self.label), e)),
        }
    }

    /// How long the rate holds the next message up; `None` where it does not.
    pub fn pause(&self) -> Option<Duration> {
        let state = self.state.lock()?;
        state.pace.as_ref().map(|pace| pace.wait(self.opened.elapsed())).filter(|pause| !pause.is_zero())
    }

    /// The counters.
    pub fn stats(&self) -> SenderStats {
        self.state.lock().map_or_else(SenderStats::default, |state| state.stats)
    }

    /// The socket, for what this crate has no word for.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        Ok(use_it(&self.open_parts()?.socket))
    }

    /// Closes the socket and wakes who waits. Closing again does nothing.
    pub fn close(&self) {
        let open = self.state.lock().and_then(|mut state| state.open.take());
        if let Some(open) = open {
            open.waker.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().is_none_or(|state| state.open.is_none())
    }

    fn open_parts(&self) -> Result<Arc<Open>> {
        let mut state = self.state.try_lock()?;
        let open = state.open.as_ref().ok_or_else(|| self.closed())?;
        if open.waker.is_inherited() {
            // A wait in a forked process must not end when the sender is closed in the one it came from.
            let renewed = open.socket.try_clone().and_then(|socket| Ok(Open { socket, waker: Waker::new()? }));
            let renewed = renewed.map_err(|e| Error::system(format!("go on sending to {}", self.label), e))?;
            state.open = Some(Arc::new(renewed));
        }
        state.open.clone().ok_or_else(|| self.closed())
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the sender to {} is closed", self.label))
    }
}

/// `poll` counts in milliseconds; what is left of a pause below this is slept, which a close need not cut short.
const FINE_PAUSE: Duration = Duration::from_millis(2);

fn check(config: &SenderConfig) -> Result<()> {
    let SenderConfig { group, .. } = config;
    check_group(*group)?;
    if config.port == 0 {
        return Err(Error::Invalid("port 0 is none to send to".into()));
    }
    if config.rate.is_some_and(|rate| !rate.is_valid()) {
        return Err(Error::Invalid("a rate is a number above 0 of datagrams or bits a second".into()));
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
        match config.interface {
            // Named so, it is the source address as well: of several on the interface, or of the loopback's.
            InterfaceName::Address(IpAddr::V4(address)) => socket.set_multicast_if_v4(&address)?,
            _ if interface != 0 => sys::set_send_interface_v4(socket, interface)?,
            _ => {}
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
