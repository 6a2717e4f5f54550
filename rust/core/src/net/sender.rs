//! The sender: one socket, one group, one message or many.

use std::fmt;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Protocol, SockAddr, Socket, Type};

use super::config::SenderConfig;
use super::fork::ForkSafeMutex;
use super::links::{Chosen, choose, snapshot};
use super::socket::{GroupSocket, domain_of};
use super::stats::SenderStats;
use super::wake::Wake;
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::max_payload;
use crate::pure::pace::Pace;
use crate::sys::{self, SendQueue, Waker};

/// Sends datagrams to one group.
///
/// Any thread can call any method at any time. Only [`Sender::wait`] blocks.
pub struct Sender {
    label: String,
    longest: usize,
    destination: SockAddr,
    group: IpAddr,
    on: Chosen,
    /// The times of the schedule count from here.
    opened: Instant,
    state: ForkSafeMutex<State>,
}

/// The resources that a sender holds until it is closed and no thread waits on it any more.
struct Open {
    socket: Socket,
    waker: Waker,
}

struct State {
    /// `None` once closed. Shared with the threads that wait on it.
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
    /// Open a socket that sends to the group.
    pub fn open(config: &SenderConfig) -> Result<Self> {
        config.check()?;
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
        prepare(&socket, config, &on).map_err(failed("set up a socket to send to"))?;
        let waker = Waker::new().map_err(failed("open a wake-up descriptor to send to"))?;
        Ok(Self {
            longest: max_payload(config.group),
            destination: destination.into(),
            group: config.group,
            on,
            state: ForkSafeMutex::new(State {
                queue: SendQueue::new(&socket, config.coalesce),
                open: Some(Arc::new(Open { socket, waker })),
                pace: config.rate.map(Pace::new),
                stats: SenderStats::default(),
            })?,
            opened: Instant::now(),
            label,
        })
    }

    /// Refuse a message that is too long for a datagram. Call it before [`Sender::send`].
    pub fn check_size(&self, bytes: usize) -> Result<()> {
        if bytes <= self.longest {
            return Ok(());
        }
        Err(Error::Invalid(format!("data must be at most {} bytes to {}, got {bytes} bytes", self.longest, self.label)))
    }

    /// Send from the first message on. Returns how many the kernel accepted. These are fewer if its buffer is full or the
    /// rate is reached; then [`Sender::wait`] waits until more can be sent. Never blocks.
    pub fn send(&self, messages: &[IoSlice<'_>]) -> Result<usize> {
        let mut state = self.state.lock_or_refuse()?;
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
                .map_err(|e| Error::system(format!("send to {}", self.label), e).advise(|code| self.advice(code)));
            match sent {
                Ok(sent) if sent.messages == 0 => break,
                Ok(sent) => {
                    stats.sent += sent.messages as u64;
                    stats.coalesced += sent.coalesced as u64;
                    let taken = &messages[done..done + sent.messages];
                    stats.bytes_sent += taken.iter().map(|message| message.len() as u64).sum::<u64>();
                    if let Some(pace) = pace {
                        taken.iter().for_each(|message| pace.sent(message.len()));
                    }
                    done += sent.messages;
                }
                // Report what was sent first; the next call meets the error again.
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Advice for an error that means that there is no route to the group, or no address to send from.
    fn advice(&self, code: i32) -> Option<String> {
        if let errno::NETWORK_UNREACHABLE | errno::ADDRESS_NOT_AVAILABLE = code {
            let links = snapshot().ok()?;
            if links.get(&self.on.index).is_some_and(|interface| !interface.up) {
                return Some(format!("{} is down: bring it up, or name another interface", self.on.name));
            }
        }
        match code {
            // This is about the source address, which the user did not name.
            errno::ADDRESS_NOT_AVAILABLE => {
                Some("no address to send from: name an interface that is up and has one of this IP version".into())
            }
            errno::NETWORK_UNREACHABLE if self.group.is_ipv6() => {
                Some("no route to the group: name an interface that is up and has an IPv6 address".into())
            }
            _ => None,
        }
    }

    /// Sleep until the kernel accepts more, or until the timeout.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let open = self.open_parts()?;
        if let Some(pause) = self.pause() {
            let pause = timeout.map_or(pause, |timeout| pause.min(timeout));
            if pause <= FINE_PAUSE {
                thread::sleep(pause);
                return Ok(Wake::Ready);
            }
            let nothing: [Arc<GroupSocket>; 0] = [];
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

    /// How long the rate delays the next message; `None` if it does not.
    pub fn pause(&self) -> Option<Duration> {
        let state = self.state.lock()?;
        state.pace.as_ref().map(|pace| pace.wait(self.opened.elapsed())).filter(|pause| !pause.is_zero())
    }

    /// The counters.
    pub fn stats(&self) -> SenderStats {
        self.state.lock().map_or_else(SenderStats::default, |state| state.stats)
    }

    /// Call `use_it` with the socket, for operations that this crate does not offer.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        Ok(use_it(&self.open_parts()?.socket))
    }

    /// Close the socket and end every wait. Closing again does nothing.
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
        let mut state = self.state.lock_or_refuse()?;
        let open = state.open.as_ref().ok_or_else(|| self.closed())?;
        if open.waker.is_inherited() {
            // A wait in a forked process must not end when the parent closes the sender.
            let renewed = open.socket.try_clone().and_then(|socket| Ok(Open { socket, waker: Waker::new()? }));
            let renewed =
                renewed.map_err(|e| Error::system(format!("use the inherited sender to {}", self.label), e))?;
            state.open = Some(Arc::new(renewed));
        }
        state.open.clone().ok_or_else(|| self.closed())
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the sender to {} is closed", self.label))
    }
}

/// `poll` counts in milliseconds. The rest of a pause below this is slept; a close does not interrupt it.
const FINE_PAUSE: Duration = Duration::from_millis(2);

fn prepare(socket: &Socket, config: &SenderConfig, on: &Chosen) -> std::io::Result<()> {
    if let Some(bytes) = config.send_buffer {
        sys::request_send_buffer(socket, bytes)?;
    }
    if config.group.is_ipv4() {
        socket.set_multicast_ttl_v4(config.ttl.into())?;
        socket.set_multicast_loop_v4(config.loopback)?;
        if on.index != 0 {
            sys::set_send_interface_v4(socket, on.index, on.address)?;
        }
    } else {
        socket.set_multicast_hops_v6(config.ttl.into())?;
        socket.set_multicast_loop_v6(config.loopback)?;
        if on.index != 0 {
            socket.set_multicast_if_v6(on.index)?;
        }
    }
    #[cfg(windows)]
    socket.set_nonblocking(true)?;
    Ok(())
}
