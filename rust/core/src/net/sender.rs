//! The sender: one socket, one group, one message or many.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Protocol, Socket, Type};

use super::binding::{domain_of, wildcard};
use super::config::{ReceiverConfig, SenderConfig, SenderOptions, check_dscp};
use super::destination::Destination;
use super::fork::ForkSafeMutex;
use super::receiver::Receiver;
use super::send_options::{self, bind, bind_if_unbound, local_address, prepare};
use super::socket::GroupSocket;
use super::stats::{SenderCounters, SenderStats};
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, max_payload};
use crate::pure::pace::Pace;
use crate::pure::wake::Wake;
use crate::sys::{self, SendQueue, Waker};

/// Sends datagrams to one group.
///
/// Any thread can call any method at any time. Only [`Sender::wait`] blocks. `send`, `pause`, `congestion`, `set_ttl`,
/// `stats` and `close` wait for another thread that sends; the others do not, so that a thread can call them while it
/// holds a global lock.
pub struct Sender {
    /// The group and the interface at the time of opening, for error messages.
    label: String,
    group: IpAddr,
    /// The times of the schedule count from here.
    opened: Instant,
    /// Locked while messages are sent. Take it before `handle`.
    state: ForkSafeMutex<State>,
    /// Locked for a few instructions.
    handle: ForkSafeMutex<Handle>,
    counters: SenderCounters,
}

/// The socket, or its last options and address once it is closed.
enum Handle {
    /// Shared with the threads that wait on it.
    Open(Arc<Open>),
    /// The options and the address that it had last.
    Closed(SenderOptions, SocketAddr),
}

/// The resources that a sender holds until it is closed and no thread waits on it any more.
struct Open {
    socket: Socket,
    waker: Waker,
}

struct State {
    /// `None` once closed.
    open: Option<Arc<Open>>,
    queue: SendQueue,
    /// The system refused the last message although the socket is writable.
    congested: bool,
    destination: Destination,
    pace: Option<Pace>,
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
        let mut config = config.clone();
        if let (InterfaceName::Default, Some((Some(address), _))) = (&config.interface, config.local) {
            // The address chooses the interface, on every system.
            config.interface =
                if address.is_unspecified() { InterfaceName::Default } else { InterfaceName::Address(address) };
        }
        let destination = Destination::new(&config)?;
        let label = destination.to_string();
        let failed = |what: &str| {
            let operation = format!("{what} {label}");
            move |e| Error::system(operation, e)
        };
        let socket = Socket::new(domain_of(config.group), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed("open a socket to send to"))?;
        destination.check_ttl(&socket, config.ttl)?;
        prepare(&socket, &config)
            .and_then(|()| destination.apply(&socket))
            .map_err(failed("set up a socket to send to"))?;
        bind(&socket, &config, destination.interface())?;
        let waker = Waker::new().map_err(failed("open a wake-up descriptor to send to"))?;
        let queue = SendQueue::new(&socket, config.coalesce);
        let open = Arc::new(Open { socket, waker });
        Ok(Self {
            group: config.group,
            handle: ForkSafeMutex::new(Handle::Open(Arc::clone(&open)))?,
            counters: SenderCounters::default(),
            state: ForkSafeMutex::new(State {
                queue,
                congested: false,
                destination,
                open: Some(open),
                pace: config.rate.map(Pace::new),
            })?,
            opened: Instant::now(),
            label,
        })
    }

    /// Refuse a message that is too long for a datagram. Call it before [`Sender::send`].
    pub fn check_size(&self, bytes: usize) -> Result<()> {
        check_size(self.group, bytes, &self.label)
    }

    /// Send from the first message on. Returns how many the kernel accepted. These are fewer if its buffer is full or
    /// the rate is reached; then [`Sender::wait`] waits until more can be sent. Never blocks.
    pub fn send(&self, messages: &[IoSlice<'_>]) -> Result<usize> {
        let mut state = self.state.lock_or_refuse()?;
        let State { open, queue, pace, destination, congested } = &mut *state;
        let socket = &open.as_ref().ok_or_else(|| self.closed())?.socket;
        let messages = match pace {
            Some(pace) => &messages[..pace.allow(self.opened.elapsed(), messages.iter().map(|m| m.len()))],
            None => messages,
        };
        destination.verify(socket)?;
        let mut done = 0;
        let mut healed = false;
        while done < messages.len() {
            match queue.send(socket, destination.address(), &messages[done..]) {
                Ok(sent) if sent.messages == 0 => {
                    *congested = sent.congested;
                    break;
                }
                Ok(sent) => {
                    *congested = false;
                    let taken = &messages[done..done + sent.messages];
                    self.counters.add(&SenderStats {
                        sent: sent.messages as u64,
                        bytes_sent: taken.iter().map(|message| message.len() as u64).sum(),
                        coalesced: sent.coalesced as u64,
                    });
                    if let Some(pace) = pace {
                        taken.iter().for_each(|message| pace.sent(message.len()));
                    }
                    done += sent.messages;
                }
                // Report what was sent first; the next call meets the error again.
                Err(_) if done > 0 => break,
                // The interface was deleted and created again, so it has another index now.
                Err(e) if !healed && destination.can_be_lost(&e) && destination.find_again(socket)? => healed = true,
                Err(e) => return Err(destination.explain(socket, e)),
            }
        }
        Ok(done)
    }

    /// Open a receiver of what is sent to this sender's own address: the answers to its messages. It shares the socket,
    /// so there should be only one such receiver.
    pub fn answers(&self, recv_buffer: Option<usize>) -> Result<Receiver> {
        let open = self.open_parts()?;
        let failed = |e| Error::system(format!("receive answers from {}", self.label), e);
        bind_if_unbound(&open.socket, self.group).map_err(failed)?;
        let socket = open.socket.try_clone().map_err(failed)?;
        let config = ReceiverConfig {
            bind: Some(wildcard(self.group)),
            unicast: true,
            loopback: None,
            recv_buffer,
            ..ReceiverConfig::default()
        };
        Receiver::adopt(socket, config, &[])
    }

    /// The options. Of an open sender, they are read from the system.
    pub fn options(&self) -> Result<SenderOptions> {
        match self.handle()? {
            Handle::Open(open) => self.options_of(&open).map_err(|e| self.cannot_read(e)),
            Handle::Closed(options, _) => Ok(options),
        }
    }

    /// The address that it sends from. It is unspecified if the system chooses one for each datagram; the port is 0
    /// until the socket has one.
    pub fn local(&self) -> Result<SocketAddr> {
        match self.handle()? {
            Handle::Open(open) => local_address(&open.socket).map_err(|e| self.cannot_read(e)),
            Handle::Closed(_, local) => Ok(local),
        }
    }

    fn handle(&self) -> Result<Handle> {
        Ok(match &*self.handle.lock_or_refuse()? {
            Handle::Open(open) => Handle::Open(Arc::clone(open)),
            Handle::Closed(options, local) => Handle::Closed(*options, *local),
        })
    }

    fn options_of(&self, open: &Open) -> io::Result<SenderOptions> {
        send_options::read(&open.socket, self.group.is_ipv4())
    }

    fn cannot_read(&self, e: io::Error) -> Error {
        Error::system(format!("read the options of the sender to {}", self.label), e)
    }

    /// Change the time to live, as in [`SenderConfig`].
    pub fn set_ttl(&self, ttl: u8) -> Result<()> {
        let mut state = self.state.lock_or_refuse()?;
        let State { open, destination, .. } = &mut *state;
        let socket = &open.as_ref().ok_or_else(|| self.closed())?.socket;
        destination.check_ttl(socket, ttl)?;
        send_options::set_ttl(socket, self.group.is_ipv4(), ttl).map_err(|e| self.cannot_set("ttl", e))
    }

    /// Change the class of traffic, as in [`SenderConfig`].
    pub fn set_dscp(&self, dscp: u8) -> Result<()> {
        check_dscp(dscp)?;
        let open = self.open_parts()?;
        sys::set_dscp(&open.socket, self.group.is_ipv4(), dscp).map_err(|e| self.cannot_set("dscp", e))
    }

    /// Change whether this host receives what it sends, as in [`SenderConfig`].
    pub fn set_loopback(&self, loopback: bool) -> Result<()> {
        let open = self.open_parts()?;
        send_options::set_loopback(&open.socket, self.group.is_ipv4(), loopback)
            .map_err(|e| self.cannot_set("loopback", e))
    }

    fn cannot_set(&self, what: &str, e: io::Error) -> Error {
        Error::system(format!("set {what} of the sender to {}", self.label), e)
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
            return self.doze(&open, pause - FINE_PAUSE);
        }
        if self.is_congested() {
            return self.doze(&open, timeout.map_or(CONGESTED_PAUSE, |timeout| CONGESTED_PAUSE.min(timeout)));
        }
        self.woken(sys::wait_writable(&open.socket, &open.waker, timeout))
    }

    /// Sleep for this time, unless the sender is closed.
    fn doze(&self, open: &Open, time: Duration) -> Result<Wake> {
        let nothing: [Arc<GroupSocket>; 0] = [];
        self.woken(sys::wait_readable(&nothing, &open.waker, Some(time))).map(|_| Wake::TimedOut)
    }

    fn woken(&self, wake: io::Result<Option<Wake>>) -> Result<Wake> {
        wake.map_err(|e| Error::system(format!("wait to send to {}", self.label), e))?.ok_or_else(|| self.closed())
    }

    fn is_congested(&self) -> bool {
        self.state.lock().is_some_and(|state| state.congested)
    }

    /// How long to wait before the next attempt although the socket is writable; `None` if there is no reason to.
    pub fn congestion(&self) -> Option<Duration> {
        self.is_congested().then_some(CONGESTED_PAUSE)
    }

    /// How long the rate delays the next message; `None` if it does not.
    pub fn pause(&self) -> Option<Duration> {
        let state = self.state.lock()?;
        state.pace.as_ref().map(|pace| pace.wait(self.opened.elapsed())).filter(|pause| !pause.is_zero())
    }

    /// The counters. Waits for a thread that is sending, so that everything that others have received is counted.
    pub fn stats(&self) -> SenderStats {
        let _sending = self.state.lock();
        self.counters.read()
    }

    /// As [`Sender::stats`], but `None` if it would wait.
    pub fn stats_at_once(&self) -> Option<SenderStats> {
        self.state.lock_if_free().map(|_sending| self.counters.read())
    }

    /// Call `use_it` with the socket, for operations that this crate does not provide.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        Ok(use_it(&self.open_parts()?.socket))
    }

    /// Close the socket and end every wait. Closing again does nothing. In a forked process where a thread of the
    /// parent was sending, the descriptor stays open until the process ends.
    pub fn close(&self) {
        let mut state = self.state.lock();
        let Some(mut handle) = self.handle.lock() else { return };
        let Handle::Open(open) = &*handle else { return };
        let open = Arc::clone(open);
        // A value that cannot be read any more is reported as the system's default.
        let options = self.options_of(&open).unwrap_or(SenderOptions { ttl: 1, dscp: 0, loopback: true });
        let local = local_address(&open.socket).unwrap_or(SocketAddr::new(wildcard(self.group), 0));
        *handle = Handle::Closed(options, local);
        if let Some(state) = &mut state {
            state.open = None;
        }
        drop((state, handle));
        open.waker.wake();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.handle.lock().is_none_or(|handle| matches!(*handle, Handle::Closed(..)))
    }

    fn open_parts(&self) -> Result<Arc<Open>> {
        let mut handle = self.handle.lock_or_refuse()?;
        let Handle::Open(open) = &*handle else { return Err(self.closed()) };
        if !open.waker.is_inherited() {
            return Ok(Arc::clone(open));
        }
        // A wait in a forked process must not end when the parent closes the sender.
        let renewed = open.socket.try_clone().and_then(|socket| Ok(Open { socket, waker: Waker::new()? }));
        let renewed = renewed.map_err(|e| Error::system(format!("use the inherited sender to {}", self.label), e))?;
        let renewed = Arc::new(renewed);
        *handle = Handle::Open(Arc::clone(&renewed));
        Ok(renewed)
    }

    /// The error for a use after closing.
    pub fn closed(&self) -> Error {
        Error::Closed(format!("the sender to {} is closed", self.label))
    }
}

/// `poll` counts in milliseconds. The last part of a pause, up to this long, is slept; closing the sender does not
/// interrupt it.
const FINE_PAUSE: Duration = Duration::from_millis(2);

/// How long to wait after the system refused a message although the socket is writable.
const CONGESTED_PAUSE: Duration = Duration::from_millis(1);

/// Refuse a message that is too long for a datagram. `label` says where it goes.
pub(super) fn check_size(to: IpAddr, bytes: usize, label: &str) -> Result<()> {
    let longest = max_payload(to);
    if bytes <= longest {
        return Ok(());
    }
    Err(Error::Invalid(format!("data must be at most {longest} bytes to {label}, got {bytes} bytes")))
}
