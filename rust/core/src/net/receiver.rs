//! The receiver: joined groups, one wait for all of them, batches out.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::batch::{Pool, SLOTS, STRIDE, Storage};
use super::channel::{Channel, wildcard};
use super::events::{Event, Events};
use super::guarded::Guarded;
use super::interfaces::choose;
use super::roster::{Roster, Touched};
use super::sockets::Sockets;
use super::{Batch, DatagramRef, Wake};
use crate::pure::address::{InterfaceName, Interfaces, check_group, is_source_specific, needs_zone};
use crate::pure::filter::{Membership, Sources};
use crate::pure::plan::cut;
use crate::sys::{self, ReceiveQueue, Waker};
use crate::{Error, Result};

/// A group to join.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// The group.
    pub group: IpAddr,
    /// Where to join it.
    pub interface: Interfaces,
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
    /// Leave and join everything each time this is over, so that switches without a querier do not forget.
    pub rejoin: Option<Duration>,
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
            rejoin: None,
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
    /// Datagrams longer than any may be, delivered without their end, or without all that the kernel told of them.
    pub truncated: u64,
    /// Datagrams of groups, interfaces or sources that were not asked for.
    pub filtered: u64,
    /// Octets of receive buffer asked for, where any were.
    pub buffer_asked: Option<usize>,
    /// Octets of receive buffer granted, of the smallest socket.
    pub buffer_granted: usize,
    /// Sockets in use.
    pub sockets: usize,
    /// Memberships that were joined anew, or on an interface that came later.
    pub rejoins: u64,
    /// Changes of interfaces that groups are joined on.
    pub interface_events: u64,
    /// How long some group had no working interface.
    pub interrupted: Duration,
}

/// Receives the datagrams of one or more groups on one port.
///
/// All methods may be called from any thread at once. None blocks but [`Receiver::wait`].
pub struct Receiver {
    port: u16,
    strict: bool,
    state: Guarded<State>,
    /// There are events to take.
    news: AtomicBool,
    /// The last kernel call on the only socket took all there was.
    drained: AtomicBool,
}

/// Everything that changes. Locked for no longer than a few kernel calls that do not block.
struct State {
    sockets: Sockets,
    roster: Roster,
    events: Events,
    /// Ends every wait on this receiver; `None` once closed.
    waker: Option<Arc<Waker>>,
    queue: ReceiveQueue,
    pool: Pool,
    /// What was received and not yet taken: the rows that remain of a storage.
    pending: Option<(Arc<Storage>, Range<usize>)>,
    /// Channels that had something to read when last asked, by position; the last is next.
    ready: Vec<usize>,
    /// Slots that the next kernel call gets: as many again as the last one filled. Preparing all of them for a single
    /// datagram costs a tenth of its whole way.
    reach: usize,
    stats: ReceiverStats,
    /// The monitor has something to tell, or the timer ran out.
    sign: bool,
    /// How often the kernel was asked for datagrams since the monitor was.
    fetches: u32,
    next_rejoin: Option<Instant>,
    /// What the monitor told and could not be mended yet, and when to try again.
    untended: Option<Touched>,
    retry: Option<Instant>,
}

/// Kernel calls of one fill, before others get the lock and the caller gets to look at its signals and its time.
const ROUNDS: usize = 16;

/// How long after a failure to look at the interfaces it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Slots of a kernel call after a silence.
const REACH: usize = 4;

/// Octets of receive buffer that a datagram takes up at least, with the kernel's bookkeeping; less than any system's.
const SMALLEST_QUEUED: usize = 256;

/// Who never waits, because there is always something to receive, asks the monitor every so many times.
const LOOK_EVERY: u32 = 256;

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

    fn build(config: ReceiverConfig, groups: &[GroupSpec], socket: Option<Socket>) -> Result<Self> {
        if config.recv_buffer == Some(0) {
            return Err(Error::Invalid("a receive buffer needs at least 1 octet".into()));
        }
        if config.rejoin == Some(Duration::ZERO) {
            return Err(Error::Invalid("groups are joined anew after some time, not after none".into()));
        }
        if groups.is_empty() && config.bind.is_none() {
            return Err(nowhere());
        }
        groups.iter().try_for_each(check)?;
        let config = match &socket {
            Some(socket) => for_a_socket_of_somebody_elses(config, socket)?,
            None => config,
        };
        let mut sockets = Sockets::new(config.clone())?;
        let mut roster = Roster::new()?;
        let mut events = Events::default();
        if let Some(socket) = socket {
            let (address, zone) = bind_address(&config, groups)?;
            sockets.add(Channel::adopt(&config, socket, address, zone)?)?;
        } else if groups.is_empty() || config.bind.is_some() {
            let (address, zone) = bind_address(&config, groups)?;
            sockets.add(Channel::open(&config, address, zone)?)?;
        }
        // One group is bound to; several share the wildcard.
        let alone = |group: IpAddr| groups.iter().all(|g| g.group == group || g.group.is_ipv4() != group.is_ipv4());
        let first = |v4: bool| groups.iter().map(|spec| spec.group).find(|group| group.is_ipv4() == v4);
        let (v4, v6) = (first(true).is_some_and(alone), first(false).is_some_and(alone));
        roster.join(groups, &mut sockets, &mut events, |spec| if spec.group.is_ipv4() { v4 } else { v6 })?;
        let waker = Waker::new().map_err(|e| Error::system("open a receiver's wake-up descriptor", e))?;
        Ok(Self {
            port: sockets.config.port,
            strict: config.strict,
            news: AtomicBool::new(!events.is_empty()),
            drained: AtomicBool::new(true),
            state: Guarded::new(State {
                next_rejoin: config.rejoin.map(|period| Instant::now() + period),
                stats: ReceiverStats { buffer_asked: config.recv_buffer, ..ReceiverStats::default() },
                sockets,
                roster,
                events,
                waker: Some(Arc::new(waker)),
                queue: ReceiveQueue::new(SLOTS),
                pool: Pool::default(),
                pending: None,
                ready: Vec::new(),
                reach: REACH,
                sign: false,
                fetches: 0,
                untended: None,
                retry: None,
            })
            .map_err(|e| Error::system("count forks", e))?,
        })
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Joins more groups: all of them, or none.
    pub fn join(&self, groups: &[GroupSpec]) -> Result<()> {
        groups.iter().try_for_each(check)?;
        let mut state = self.open_state()?;
        let State { roster, sockets, events, .. } = &mut *state;
        let result = roster.join(groups, sockets, events, |_| false);
        self.note_news(&state);
        result
    }

    /// Leaves groups: on the interface given, or wherever they were joined where none is. None is left where one of
    /// them is not joined.
    pub fn leave(&self, groups: &[IpAddr], interface: &InterfaceName) -> Result<()> {
        groups.iter().try_for_each(|group| check_group(*group))?;
        self.open_state()?.roster.leave(groups, interface)
    }

    /// What is joined now.
    pub fn groups(&self) -> Vec<Membership> {
        self.state.lock().map_or_else(Vec::new, |state| state.roster.memberships().cloned().collect())
    }

    /// Whether there are events to take.
    #[inline]
    pub fn has_events(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    /// What happened to the memberships since the last call, the oldest first; of very many only the latest.
    pub fn take_events(&self) -> Vec<Event> {
        self.news.store(false, Ordering::Relaxed);
        self.state.lock().map_or_else(Vec::new, |mut state| state.events.take())
    }

    fn note_news(&self, state: &State) {
        if !state.events.is_empty() {
            self.news.store(true, Ordering::Relaxed);
        }
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

    /// Whether whoever has the time to wait should do that first: nothing was there a moment ago, and to ask for it again
    /// would most likely be a kernel call in vain.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Receives where nothing is left from before, until there are `fetch` datagrams or nothing more is there now. Returns
    /// whether there is something to take.
    pub fn fetch(&self, fetch: usize) -> Result<bool> {
        let mut state = self.open_state()?;
        if state.pending.is_none() {
            self.fill(&mut state, fetch)?;
        }
        Ok(state.pending.is_some())
    }

    /// The next datagrams, at most `max` of them; `None` where nothing is there now. Receives as [`Receiver::fetch`] does
    /// where nothing is left from before.
    pub fn take(&self, max: usize, fetch: usize) -> Result<Option<Batch>> {
        let mut state = self.open_state()?;
        if let Some(batch) = state.take_pending(max) {
            return Ok(Some(batch));
        }
        self.fill(&mut state, fetch)?;
        Ok(state.take_pending(max))
    }

    fn fill(&self, state: &mut State, fetch: usize) -> Result<()> {
        let filled = state.fill(fetch, self.strict);
        self.drained.store(matches!(filled, Ok(true)), Ordering::Relaxed);
        state.fetches += 1;
        if state.sign || state.fetches >= LOOK_EVERY {
            self.attend(state)?;
        }
        filled.map(|_| ()).map_err(|e| Error::system(format!("receive on port {}", self.port), e))
    }

    /// Mends what the network did to the memberships, and joins them anew when it is time.
    fn attend(&self, state: &mut State) -> Result<()> {
        let attended = state.attend();
        self.note_news(state);
        attended
    }

    /// How many datagrams were taken from the kernel and not yet from here.
    pub fn pending(&self) -> usize {
        let rows = |state: MutexGuard<'_, State>| state.pending.as_ref().map_or(0, |(_, rows)| rows.len());
        self.state.lock().map_or(0, rows)
    }

    /// Sleeps until there is something to take, at most as long as given; returns at once where there is.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let (channels, set, monitor, waker, most) = {
            let mut state = self.open_state()?;
            if state.pending.is_some() || !state.ready.is_empty() {
                return Ok(Wake::Ready);
            }
            if state.due().is_some_and(|due| due.is_zero()) {
                self.attend(&mut state)?;
            }
            let most = [timeout, state.due()].into_iter().flatten().min();
            if state.waker.as_ref().is_some_and(|waker| waker.is_inherited()) {
                state.settle_in()?;
            }
            let waker = state.waker.clone().ok_or_else(|| self.closed())?;
            let Sockets { channels, set, monitor, .. } = &state.sockets;
            let monitor = monitor.clone().ok_or_else(|| self.closed())?;
            (Arc::clone(channels), set.clone(), monitor, waker, most)
        };
        let (wake, changed) = sys::wait_receiving(&channels, set.as_deref(), &monitor, &waker, most)
            .map_err(|e| Error::system(format!("wait on port {}", self.port), e))?;
        if changed && wake == sys::Wake::Ready {
            self.attend(&mut *self.open_state()?)?;
        }
        match wake {
            sys::Wake::Ready => Ok(Wake::Ready),
            sys::Wake::Interrupted => Ok(Wake::Interrupted),
            // Earlier than the caller's time is over there is something to do here.
            sys::Wake::TimedOut if most != timeout => Ok(Wake::Ready),
            sys::Wake::TimedOut => Ok(Wake::TimedOut),
            sys::Wake::Woken => Err(self.closed()),
        }
    }

    /// The counters. After closing they stay as they were then.
    pub fn stats(&self) -> Result<ReceiverStats> {
        let mut state = self.state.try_lock()?;
        if !state.sockets.channels.is_empty() {
            self.attend(&mut state)?;
        }
        state.count().map_err(|e| Error::system("read the drop counter", e))?;
        Ok(state.stats)
    }

    /// The first socket, for what this crate has no word for.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let channel = self.open_state()?.sockets.channels.first().map(Arc::clone);
        match channel {
            Some(channel) => Ok(use_it((*channel).as_ref())),
            None => Err(self.closed()),
        }
    }

    /// A descriptor that is ready when [`Receiver::fetch`] has something to do, whatever the number of sockets; the
    /// same one until it is closed. `None` where the system has no such thing.
    pub fn descriptor(&self) -> Result<Option<i64>> {
        Ok(self.open_state()?.sockets.gather()?.descriptor())
    }

    /// A duplicate of the one socket, joined and bound, for code that does not know of this crate; the receiver is
    /// closed. What was received and not taken goes with it.
    pub fn detach(&self) -> Result<Socket> {
        let duplicate = {
            let mut state = self.open_state()?;
            let [channel] = state.sockets.channels.as_slice() else {
                return Err(Error::Invalid(format!(
                    "these groups need {} sockets; only a receiver with one socket can be detached",
                    state.sockets.channels.len()
                )));
            };
            let channel = Arc::clone(channel);
            let socket: &Socket = (*channel).as_ref();
            sys::stop_coalescing(socket)
                .and_then(|()| if state.sockets.config.coalesce { state.discard(socket) } else { Ok(()) })
                .and_then(|()| socket.try_clone())
                .map_err(|e| Error::system("duplicate a socket", e))?
        };
        self.close();
        Ok(duplicate)
    }

    /// Closes the sockets, wakes who waits, and drops what was not taken. Closing again does nothing. In a forked
    /// process where a thread that stayed in the other one was using it, its descriptors stay open until the end.
    pub fn close(&self) {
        let Some(mut state) = self.state.lock() else { return };
        if state.sockets.channels.is_empty() {
            return;
        }
        // The figures of the last moment; a socket that cannot tell any more keeps what it told before.
        let _ = state.count();
        state.pending = None;
        state.ready.clear();
        state.roster.clear();
        state.sockets.clear();
        let waker = state.waker.take();
        drop(state);
        // Who waits holds it still; the last one closes its descriptor.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().is_none_or(|state| state.sockets.channels.is_empty())
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.try_lock()?;
        if state.sockets.channels.is_empty() { Err(self.closed()) } else { Ok(state) }
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the receiver on port {} is closed", self.port))
    }
}

impl State {
    /// Throws away what the kernel coalesced before it was told not to: nobody could tell it apart any more.
    fn discard(&mut self, socket: &Socket) -> io::Result<()> {
        let mut storage = self.pool.take();
        let Some(own) = Arc::get_mut(&mut storage) else {
            return Err(io::Error::other("a pooled buffer is in use"));
        };
        own.clear();
        // As many as the buffer can have held then: who sends faster than this reads must not keep it here for ever.
        let mut left = socket.recv_buffer_size()? / SMALLEST_QUEUED;
        let (buffer, _) = own.fill(0, SLOTS);
        loop {
            let count = self.queue.receive(socket, buffer, STRIDE, |_, _| {})?;
            left = left.saturating_sub(count);
            if count < SLOTS || left == 0 {
                return Ok(());
            }
        }
    }

    /// After what time there is something to do although nothing gives a sign.
    fn due(&self) -> Option<Duration> {
        let retry = self.retry.map(|at| at.saturating_duration_since(Instant::now()));
        let rejoin = self.next_rejoin.map(|at| at.saturating_duration_since(Instant::now()));
        let look = self.sockets.monitor.as_ref().and_then(|monitor| monitor.due());
        [look, rejoin, retry].into_iter().flatten().min()
    }

    /// Makes what a forked process cannot share with the one it came from: both would read the same news, of which each
    /// needs all, and a wait here must not end when the receiver is closed there.
    fn settle_in(&mut self) -> Result<()> {
        let waker = Waker::new().map_err(|e| Error::system("open a receiver's wake-up descriptor", e))?;
        self.sockets.renew()?;
        self.roster.watch_again(&self.sockets)?;
        self.untended.get_or_insert_default().merge(Touched::everything());
        self.waker = Some(Arc::new(waker));
        Ok(())
    }

    fn attend(&mut self) -> Result<()> {
        (self.sign, self.fetches, self.retry) = (false, 0, None);
        if let Some(news) = Touched::by(&self.sockets)? {
            self.untended.get_or_insert_default().merge(news);
        }
        if let Some(touched) = self.untended.take() {
            if let Err(e) = self.roster.heal(&touched, &mut self.sockets, &mut self.events) {
                // The monitor will not tell it again.
                self.untended = Some(touched);
                self.retry = Some(Instant::now() + RETRY);
                return Err(e);
            }
        }
        if let (Some(at), Some(period)) = (self.next_rejoin, self.sockets.config.rejoin) {
            let now = Instant::now();
            if at <= now {
                self.next_rejoin = Some(now + period);
                self.roster.join_again(&mut self.events);
            }
        }
        Ok(())
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

    /// Receives into a fresh storage until there is something wanted, or nothing left to read. Returns whether the only
    /// socket is known to have nothing more.
    fn fill(&mut self, most: usize, strict: bool) -> io::Result<bool> {
        let mut storage = self.pool.take();
        let result = match Arc::get_mut(&mut storage) {
            Some(own) => self.receive(own, most.max(1), strict),
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

    fn receive(&mut self, storage: &mut Storage, most: usize, strict: bool) -> io::Result<bool> {
        let Self {
            sockets: Sockets { channels, set, .. },
            roster: Roster { filter, .. },
            queue,
            ready,
            reach,
            stats,
            ..
        } = self;
        storage.clear();
        // One socket is simply asked; of several, only those that have something.
        let alone = channels.len() == 1;
        let (mut looked, mut drained) = (false, false);
        let mut used = 0;
        // Bounded: a flood must not keep the lock from everybody else.
        for _ in 0..ROUNDS {
            if ready.is_empty() && !looked {
                // Also when all that were ready at an earlier look turned out empty: others may have something now.
                looked = true;
                match set {
                    Some(set) if !alone => {
                        self.sign |= set.ready(channels, ready)?;
                        ready.reverse();
                    }
                    _ => ready.push(0),
                }
            }
            let Some(&next) = ready.last() else { break };
            let Some(channel) = channels.get(next) else {
                ready.pop();
                continue;
            };
            let asked = (*reach).min(SLOTS - used).min(most.saturating_sub(storage.len()).max(1));
            let (buffer, mut recorder) = storage.fill(used, asked);
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
                    stats.filtered += cut(arrival.length, arrival.told.segment).count as u64;
                } else if arrival.truncated {
                    stats.truncated += recorder.note(slot, &arrival) as u64;
                } else {
                    stats.received += recorder.note(slot, &arrival) as u64;
                    stats.bytes += arrival.length as u64;
                }
            });
            let count = outcome.inspect_err(|_| {
                ready.pop();
            })?;
            *reach = (2 * count).clamp(REACH, SLOTS);
            used += count;
            if count < asked {
                // Nothing more is there now.
                ready.pop();
                drained = alone;
            }
            if storage.len() == 0 {
                used = 0;
                continue;
            }
            if count < asked || storage.len() >= most {
                return Ok(drained);
            }
            if used == SLOTS {
                // Short ones leave room for more when they lie together.
                used = storage.pack();
                if used == SLOTS {
                    return Ok(false);
                }
            }
        }
        if storage.len() > 0 {
            return Ok(false);
        }
        // Whoever waits on the set's descriptor was perhaps woken by something else.
        if let (Some(set), true) = (set, alone && ready.is_empty()) {
            self.sign |= set.ready(channels, ready)?;
        }
        Ok(drained)
    }

    fn count(&mut self) -> io::Result<()> {
        self.stats.rejoins = self.roster.figures.rejoins;
        self.stats.interface_events = self.roster.figures.interface_events;
        self.stats.interrupted = self.roster.interrupted();
        if !self.sockets.channels.is_empty() {
            (self.stats.kernel_drops, self.stats.buffer_granted) = self.sockets.count()?;
            self.stats.sockets = self.sockets.channels.len();
        }
        Ok(())
    }
}

/// The configuration for a socket that is taken over: its owner reads it afterwards, and perhaps gave it more buffer than
/// is asked for here.
fn for_a_socket_of_somebody_elses(mut config: ReceiverConfig, socket: &Socket) -> Result<ReceiverConfig> {
    let reported = socket.recv_buffer_size().map_err(|e| Error::system("take over a socket", e))?;
    config.coalesce = false;
    config.recv_buffer = config.recv_buffer.filter(|asked| sys::usable_buffer(reported) < *asked);
    Ok(config)
}

/// Refuses a group that cannot be joined as it is asked for.
fn check(spec: &GroupSpec) -> Result<()> {
    let GroupSpec { group, interface, sources } = spec;
    check_group(*group)?;
    if let IpAddr::V6(ip) = group {
        if needs_zone(ip) && interface.is_default() {
            return Err(Error::Invalid(format!(
                "{group} means a different group on every interface: name one, as in {group}%eth0"
            )));
        }
    }
    if let Interfaces::Several(names) = interface {
        if names.is_empty() || names.contains(&InterfaceName::Default) {
            return Err(Error::Invalid(format!("each of several interfaces to join {group} on has to be named")));
        }
    }
    match sources {
        Sources::Only(list) if list.is_empty() => {
            Err(Error::Invalid(format!("no source was given that {group} may come from")))
        }
        Sources::Any | Sources::Except(_) if is_source_specific(*group) => Err(Error::Invalid(format!(
            "{group} is a source-specific group (RFC 4607): name its source, as in {}@{group}",
            if group.is_ipv4() { "10.0.0.1" } else { "fd00::1" }
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
fn bind_address(config: &ReceiverConfig, groups: &[GroupSpec]) -> Result<(IpAddr, u32)> {
    let zone = match groups.first().map(|spec| &spec.interface) {
        Some(Interfaces::One(name)) => choose(name)?.index,
        _ => 0,
    };
    if let Some(address) = config.bind {
        let address = if address.is_multicast() && !sys::BINDS_TO_GROUP { wildcard(address) } else { address };
        return Ok((address, zone));
    }
    let [first, rest @ ..] = groups else {
        return Err(nowhere());
    };
    let single = rest.iter().all(|spec| spec.group == first.group);
    let to_group = single && sys::BINDS_TO_GROUP && config.strict;
    Ok((if to_group { first.group } else { wildcard(first.group) }, zone))
}

fn nowhere() -> Error {
    Error::Invalid("a receiver needs a group to join, or an address to bind to".into())
}
