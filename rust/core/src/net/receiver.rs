//! The receiver: joined groups, one wait for all of them, batches out.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::batch::{Pool, SLOTS, STRIDE, Storage};
use super::channel::{Channel, domain_of, wildcard};
use super::interfaces::{Chosen, choose};
use super::{Batch, DatagramRef, Wake, lock};
use crate::pure::address::{InterfaceName, check_group, is_source_specific, needs_zone};
use crate::pure::filter::{Filter, Membership, Sources};
use crate::pure::plan::segments;
use crate::sys::{self, ReceiveQueue, Waker, errno};
use crate::{Error, Result};

/// A group to join.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// The group.
    pub group: IpAddr,
    /// The interface to join it on.
    pub interface: InterfaceName,
    /// Which senders are wanted.
    pub sources: Sources,
}

/// How a receiver is opened.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// The UDP port; 0 takes a free one.
    pub port: u16,
    /// Where to bind, if not to the group (one group) or the wildcard (several, or a system that needs it).
    pub bind: Option<IpAddr>,
    /// Others on this machine may listen on the same port.
    pub share: bool,
    /// Deliver only what was joined.
    pub strict: bool,
    /// Hear what this machine sends (decided by the receiver on Windows, by the sender elsewhere).
    pub loopback: bool,
    /// Octets of receive buffer to ask for; `None` leaves the system's default.
    pub recv_buffer: Option<usize>,
    /// Ask the kernel when each datagram came.
    pub timestamps: bool,
    /// Ask the kernel how many hops each datagram has left.
    pub ttl: bool,
    /// Let the kernel hand over several datagrams in one buffer, where it can.
    pub coalesce: bool,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            port: 0,
            bind: None,
            share: true,
            strict: true,
            loopback: true,
            recv_buffer: None,
            timestamps: true,
            ttl: true,
            coalesce: true,
        }
    }
}

/// What became of the datagrams that reached a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Whole datagrams taken from the kernel and wanted.
    pub received: u64,
    /// Their octets.
    pub bytes: u64,
    /// Datagrams the kernel dropped for want of buffer space, where it counts them.
    pub kernel_drops: Option<u64>,
    /// Datagrams longer than any may be, delivered without their end.
    pub truncated: u64,
    /// Datagrams of groups, interfaces or sources that were not asked for.
    pub filtered: u64,
    /// Octets of receive buffer asked for, where any were.
    pub buffer_asked: Option<usize>,
    /// Octets of receive buffer granted, of the smallest socket.
    pub buffer_granted: usize,
    /// Sockets in use.
    pub sockets: usize,
}

/// Receives the datagrams of one or more groups on one port.
///
/// All methods may be called from any thread at once. None blocks but [`Receiver::wait`].
pub struct Receiver {
    port: u16,
    config: ReceiverConfig,
    waker: Waker,
    state: Mutex<State>,
}

/// Everything that changes. Locked for no longer than one kernel call that does not block.
struct State {
    /// Empty once closed. Replaced as a whole, so that a waiter can hold on to what it waits for.
    channels: Arc<Vec<Arc<Channel>>>,
    joined: Vec<(Membership, Arc<Channel>)>,
    filter: Filter,
    queue: ReceiveQueue,
    pool: Pool,
    /// What was received and not yet taken: the rows that remain of a storage.
    pending: Option<(Arc<Storage>, Range<usize>)>,
    /// Channels that had something to read when last asked, by position; the last is next.
    ready: Vec<usize>,
    stats: ReceiverStats,
    drops: Vec<DropCount>,
}

/// Kernel calls of one fill that bring nothing wanted, before the caller gets to look at its signals and its time.
const ROUNDS: usize = 16;

/// The running total of a socket's 32-bit drop counter.
#[derive(Debug, Clone, Copy, Default)]
struct DropCount {
    seen: u32,
    total: u64,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("port", &self.port).field("groups", &self.groups()).finish()
    }
}

impl Receiver {
    /// Opens the sockets and joins the groups: all of it, or an error and nothing left behind.
    pub fn open(config: ReceiverConfig, groups: &[GroupSpec]) -> Result<Self> {
        Self::build(config, groups, None)
    }

    /// As [`Receiver::open`], on a socket that somebody else opened. It is bound if it is not yet; all groups are
    /// joined on it.
    pub fn adopt(socket: Socket, config: ReceiverConfig, groups: &[GroupSpec]) -> Result<Self> {
        Self::build(config, groups, Some(socket))
    }

    fn build(mut config: ReceiverConfig, groups: &[GroupSpec], socket: Option<Socket>) -> Result<Self> {
        if config.recv_buffer == Some(0) {
            return Err(Error::Invalid("a receive buffer needs at least 1 octet".into()));
        }
        for spec in groups {
            check(spec)?;
        }
        let chosen = groups.iter().map(|spec| choose(&spec.interface)).collect::<Result<Vec<_>>>()?;
        let mut first = Vec::new();
        if let Some(socket) = socket {
            let (address, zone) = bind_address(&config, groups, &chosen)?;
            first.push(Arc::new(Channel::adopt(&config, socket, address, zone)?));
        } else if groups.is_empty() || config.bind.is_some() {
            let (address, zone) = bind_address(&config, groups, &chosen)?;
            first.push(Arc::new(Channel::open(&config, address, zone)?));
        }
        if let Some(channel) = first.first() {
            config.port = channel.port().map_err(|e| Error::system("read the port of a socket", e))?;
        }
        let receiver = Self {
            port: config.port,
            waker: Waker::new().map_err(|e| Error::system("open a receiver's wake-up descriptor", e))?,
            state: Mutex::new(State {
                drops: vec![DropCount::default(); first.len()],
                channels: Arc::new(first),
                joined: Vec::new(),
                filter: Filter::default(),
                queue: ReceiveQueue::new(SLOTS),
                pool: Pool::default(),
                pending: None,
                ready: Vec::new(),
                stats: ReceiverStats { buffer_asked: config.recv_buffer, ..ReceiverStats::default() },
            }),
            config,
        };
        receiver.join_first(groups, &chosen)
    }

    /// Joins what the receiver is opened with. A port of 0 is settled by the first socket.
    fn join_first(mut self, groups: &[GroupSpec], chosen: &[Chosen]) -> Result<Self> {
        // One group is bound to; several share the wildcard.
        let single = |spec: &GroupSpec| {
            groups.iter().all(|g| g.group == spec.group || domain_of(g.group) != domain_of(spec.group))
        };
        for (spec, on) in groups.iter().zip(chosen) {
            let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            state.join(&mut self.config, spec, on, single(spec))?;
            self.port = self.config.port;
        }
        Ok(self)
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Joins one more group.
    pub fn join(&self, spec: &GroupSpec) -> Result<()> {
        check(spec)?;
        let mut state = self.open_state()?;
        let on = choose(&spec.interface)?;
        state.join(&mut self.config.clone(), spec, &on, false)
    }

    /// Leaves a group: on the interface given, or wherever it was joined where none is.
    pub fn leave(&self, group: IpAddr, interface: &InterfaceName) -> Result<()> {
        check_group(group)?;
        let mut state = self.open_state()?;
        let on = choose(interface)?;
        let matches = |m: &Membership| m.group == group && (on.index == 0 || m.interface == on.index);
        if !state.joined.iter().any(|(m, _)| matches(m)) {
            return Err(Error::Invalid(format!("{group} is not joined{}, so it cannot be left", on.phrase())));
        }
        let mut kept = Vec::with_capacity(state.joined.len());
        let mut result = Ok(());
        for (membership, channel) in std::mem::take(&mut state.joined) {
            if matches(&membership) {
                let left =
                    channel.leave(&membership).map_err(|e| Error::system(format!("leave {group}{}", on.phrase()), e));
                if left.is_ok() {
                    continue;
                }
                result = result.and(left);
            }
            kept.push((membership, channel));
        }
        state.joined = kept;
        state.rebuild_filter();
        result
    }

    /// What is joined now.
    pub fn groups(&self) -> Vec<Membership> {
        lock(&self.state).joined.iter().map(|(membership, _)| membership.clone()).collect()
    }

    /// The next datagrams that were received before, at most `max` of them; `None` where there are none.
    pub fn take_pending(&self, max: usize) -> Result<Option<Batch>> {
        Ok(self.open_state()?.take_pending(max))
    }

    /// Hands the next datagram that was received before to `use_it`, which must not call back into the receiver. The
    /// fast way to take one at a time.
    #[inline]
    pub fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        let mut state = self.open_state()?;
        let Some((storage, rows)) = &mut state.pending else { return Ok(None) };
        let taken = use_it(storage.row(rows.start));
        rows.start += 1;
        if rows.start == rows.end {
            state.recycle();
        }
        Ok(Some(taken))
    }

    /// Receives where nothing is left from before: up to `fetch` buffers from the kernel. Returns whether there is
    /// something to take now.
    pub fn fetch(&self, fetch: usize) -> Result<bool> {
        let mut state = self.open_state()?;
        if state.pending.is_none() {
            state.fill(fetch, &self.config).map_err(|e| Error::system(format!("receive on port {}", self.port), e))?;
        }
        Ok(state.pending.is_some())
    }

    /// The next datagrams, at most `max` of them; `None` where nothing is there now. Takes up to `fetch` buffers from
    /// the kernel where nothing is left from before.
    pub fn take(&self, max: usize, fetch: usize) -> Result<Option<Batch>> {
        let mut state = self.open_state()?;
        if let Some(batch) = state.take_pending(max) {
            return Ok(Some(batch));
        }
        state.fill(fetch, &self.config).map_err(|e| Error::system(format!("receive on port {}", self.port), e))?;
        Ok(state.take_pending(max))
    }

    /// How many datagrams were taken from the kernel and not yet from here.
    pub fn pending(&self) -> usize {
        lock(&self.state).pending.as_ref().map_or(0, |(_, rows)| rows.len())
    }

    /// Sleeps until there is something to take, at most as long as given; returns at once where there is.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let channels = {
            let state = self.open_state()?;
            if state.pending.is_some() || !state.ready.is_empty() {
                return Ok(Wake::Ready);
            }
            Arc::clone(&state.channels)
        };
        match sys::wait_readable(&channels, &self.waker, timeout) {
            Ok(sys::Wake::Ready) => Ok(Wake::Ready),
            Ok(sys::Wake::Interrupted) => Ok(Wake::Interrupted),
            Ok(sys::Wake::TimedOut) => Ok(Wake::TimedOut),
            Ok(sys::Wake::Woken) => Err(self.closed()),
            Err(e) => Err(Error::system(format!("wait on port {}", self.port), e)),
        }
    }

    /// The counters. After closing they stay as they were then.
    pub fn stats(&self) -> Result<ReceiverStats> {
        let mut state = lock(&self.state);
        state.count_drops().map_err(|e| Error::system("read the drop counter", e))?;
        Ok(state.stats)
    }

    /// The first socket, for what this crate has no word for. Readiness of it tells of all groups as long as
    /// [`ReceiverStats::sockets`] is 1.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let channel = self.open_state()?.channels.first().map(Arc::clone);
        match channel {
            Some(channel) => Ok(use_it((*channel).as_ref())),
            None => Err(self.closed()),
        }
    }

    /// A duplicate of the one socket, joined and bound, for code that does not know of this crate; the receiver is
    /// closed. What was received and not taken goes with it.
    pub fn detach(&self) -> Result<Socket> {
        let duplicate = {
            let state = self.open_state()?;
            let [channel] = state.channels.as_slice() else {
                return Err(Error::Invalid(format!(
                    "these groups need {} sockets; only a receiver with one socket can be detached",
                    state.channels.len()
                )));
            };
            let socket: &Socket = (**channel).as_ref();
            sys::stop_coalescing(socket)
                .and_then(|()| socket.try_clone())
                .map_err(|e| Error::system("duplicate a socket", e))?
        };
        self.close();
        Ok(duplicate)
    }

    /// Closes the sockets, wakes who waits, and drops what was not taken. Closing again does nothing.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        if state.channels.is_empty() {
            return;
        }
        // The figures of the last moment; a socket that cannot tell any more keeps what it told before.
        let _ = state.count_drops();
        state.pending = None;
        state.ready.clear();
        state.joined.clear();
        state.filter = Filter::default();
        state.channels = Arc::default();
        drop(state);
        self.waker.wake();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).channels.is_empty()
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        if state.channels.is_empty() { Err(self.closed()) } else { Ok(state) }
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the receiver on port {} is closed", self.port))
    }
}

impl State {
    /// Joins on a channel that takes the group and has room, or on a new one.
    fn join(&mut self, config: &mut ReceiverConfig, spec: &GroupSpec, on: &Chosen, bind_to_group: bool) -> Result<()> {
        let membership = Membership { group: spec.group, interface: on.index, sources: spec.sources.clone() };
        let what = format!("join {}{}", spec.group, on.phrase());
        let same = |(m, _): &(Membership, _)| m.group == spec.group && m.interface == on.index;
        if self.joined.iter().any(same) {
            return Err(Error::Invalid(format!("{} is joined already{}", spec.group, on.phrase())));
        }
        let mut full = None;
        for channel in self.channels.iter().filter(|channel| channel.takes(spec.group)) {
            match channel.join(&membership) {
                Ok(()) => {
                    let channel = Arc::clone(channel);
                    self.note_joined(membership, channel);
                    return Ok(());
                }
                Err(e) if e.raw_os_error() == Some(errno::NO_BUFFERS) => full = Some(e),
                Err(e) => return Err(Error::system(what, e)),
            }
        }
        if let (Some(e), false) = (full, config.share && config.bind.is_none()) {
            return Err(Error::system(what, e).advise(|_| Some(sys::MEMBERSHIP_LIMIT.into())));
        }
        let to_group = bind_to_group && sys::BINDS_TO_GROUP && config.strict && config.share;
        let address = if to_group { spec.group } else { wildcard(spec.group) };
        let channel = Arc::new(Channel::open(config, address, on.index)?);
        channel.join_first(&membership).map_err(|e| Error::system(what, e))?;
        config.port = channel.port().map_err(|e| Error::system("read the port of a socket", e))?;
        self.channels = Arc::new(self.channels.iter().chain([&channel]).map(Arc::clone).collect());
        self.drops.push(DropCount::default());
        self.note_joined(membership, channel);
        Ok(())
    }

    fn note_joined(&mut self, membership: Membership, channel: Arc<Channel>) {
        self.joined.push((membership, channel));
        self.rebuild_filter();
    }

    fn rebuild_filter(&mut self) {
        self.filter = Filter::new(self.joined.iter().map(|(membership, _)| membership));
    }

    /// The next rows of what was received before.
    fn take_pending(&mut self, max: usize) -> Option<Batch> {
        let (storage, rows) = self.pending.take()?;
        let end = rows.end.min(rows.start.saturating_add(max));
        let batch = Batch::new(Arc::clone(&storage), rows.start..end);
        if end < rows.end {
            self.pending = Some((storage, end..rows.end));
        } else {
            self.pool.keep(storage);
        }
        Some(batch)
    }

    /// Gives the storage that nothing is left in to be used again.
    fn recycle(&mut self) {
        if let Some((storage, _)) = self.pending.take() {
            self.pool.keep(storage);
        }
    }

    /// Receives into a fresh storage until there is something wanted, or nothing left to read.
    fn fill(&mut self, max: usize, config: &ReceiverConfig) -> io::Result<()> {
        let mut storage = self.pool.take();
        let result = match Arc::get_mut(&mut storage) {
            Some(own) => self.receive(own, max.clamp(1, SLOTS), config.strict),
            None => Err(io::Error::other("a pooled buffer is in use")),
        };
        if storage.len() > 0 {
            let rows = 0..storage.len();
            self.pending = Some((storage, rows));
        } else {
            self.pool.keep(storage);
        }
        result
    }

    fn receive(&mut self, storage: &mut Storage, slots: usize, strict: bool) -> io::Result<()> {
        let Self { channels, filter, queue, ready, stats, .. } = self;
        storage.clear();
        // One socket is simply asked; of several, only those that have something.
        let alone = channels.len() == 1;
        if ready.is_empty() {
            if alone {
                ready.push(0);
            } else {
                sys::readable_now(channels, ready)?;
                ready.reverse();
            }
        }
        // Bounded: a flood of what nobody asked for must not keep the lock from everybody else.
        for _ in 0..ROUNDS {
            let Some(&next) = ready.last() else { break };
            let Some(channel) = channels.get(next) else {
                ready.pop();
                continue;
            };
            let (buffer, mut recorder) = storage.fill(slots);
            let only = channel.only();
            let outcome = queue.receive((**channel).as_ref(), buffer, STRIDE, |slot, mut arrival| {
                let told = &mut arrival.told;
                let wanted = if let Some((group, interface)) = only {
                    (told.destination, told.interface) = (Some(group), interface);
                    true
                } else {
                    !strict
                        || told
                            .destination
                            .is_none_or(|destination| filter.admit(destination, told.interface, arrival.sender.ip()))
                };
                if !wanted {
                    stats.filtered += segments(arrival.length, arrival.told.segment).count() as u64;
                } else if arrival.truncated {
                    stats.truncated += recorder.note(slot, &arrival) as u64;
                } else {
                    stats.received += recorder.note(slot, &arrival) as u64;
                    stats.bytes += arrival.length as u64;
                }
            });
            match outcome {
                // Less than was asked for: the socket is empty, or close to it.
                Ok(count) if count < slots => _ = ready.pop(),
                Ok(_) => {}
                Err(e) => {
                    ready.pop();
                    return Err(e);
                }
            }
            if storage.len() > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    fn count_drops(&mut self) -> io::Result<()> {
        if self.channels.is_empty() {
            return Ok(());
        }
        let mut counted = false;
        let mut granted = usize::MAX;
        for (channel, drops) in self.channels.iter().zip(&mut self.drops) {
            if let Some(now) = sys::kernel_drops((**channel).as_ref())? {
                drops.total += u64::from(now.wrapping_sub(drops.seen));
                drops.seen = now;
                counted = true;
            }
            granted = granted.min(channel.buffer()?);
        }
        self.stats.kernel_drops = counted.then(|| self.drops.iter().map(|drops| drops.total).sum());
        self.stats.buffer_granted = granted;
        self.stats.sockets = self.channels.len();
        Ok(())
    }
}

/// Refuses a group that cannot be joined as it is asked for.
fn check(spec: &GroupSpec) -> Result<()> {
    let GroupSpec { group, interface, sources } = spec;
    check_group(*group)?;
    if let IpAddr::V6(ip) = group {
        if needs_zone(ip) && *interface == InterfaceName::Default {
            return Err(Error::Invalid(format!(
                "{group} means a different group on every interface: name one, as in {group}%eth0"
            )));
        }
    }
    match sources {
        Sources::Only(list) if list.is_empty() => {
            Err(Error::Invalid(format!("no source was given that {group} may come from")))
        }
        Sources::Any | Sources::Except(_) if is_source_specific(*group) => Err(Error::Invalid(format!(
            "{group} is a source-specific group (RFC 4607): name its source, as in 10.0.0.1@{group}"
        ))),
        Sources::Only(list) | Sources::Except(list) => match list.iter().find(|s| s.is_ipv4() != group.is_ipv4()) {
            Some(other) => {
                Err(Error::Invalid(format!("source {other} and group {group} are of different IP versions")))
            }
            None => Ok(()),
        },
        Sources::Any => Ok(()),
    }
}

/// Where the first socket is bound when the caller decides, or gave no group or a socket of its own.
fn bind_address(config: &ReceiverConfig, groups: &[GroupSpec], chosen: &[Chosen]) -> Result<(IpAddr, u32)> {
    let zone = chosen.first().map_or(0, |on| on.index);
    if let Some(address) = config.bind {
        let address = if address.is_multicast() && !sys::BINDS_TO_GROUP { wildcard(address) } else { address };
        return Ok((address, zone));
    }
    let [first, rest @ ..] = groups else {
        return Err(Error::Invalid("a receiver needs a group to join, or an address to bind to".into()));
    };
    let single = rest.iter().all(|spec| spec.group == first.group);
    let to_group = single && sys::BINDS_TO_GROUP && config.strict;
    Ok((if to_group { first.group } else { wildcard(first.group) }, zone))
}
