//! The receiver: joined groups, one wait for all of them, batches out.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::batch::Batch;
use super::config::{GroupSpec, ReceiverConfig};
use super::control::Control;
use super::datagram::DatagramRef;
use super::events::Event;
use super::fetch::{Fetch, Filled};
use super::fork::ForkSafeMutex;
use super::gauges::Gauges;
use super::journal::Journal;
use super::socket_set::{CurrentTable, SocketTable};
use super::spin::Spin;
use super::stats::ReceiverStats;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, check_group};
use crate::pure::filter::Membership;
use crate::pure::wake::Wake;
use crate::sys;

/// A caller that never waits, because there is always something to receive, reads the monitor after this many fetches.
const FETCHES_PER_LOOK: u32 = 256;

/// A caller that polls reads the monitor after this time at the latest, or after the interval of the rejoins.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The longest wait while another thread repairs memberships.
const REPAIR_TICK: Duration = Duration::from_millis(10);

/// Receives the datagrams of one or more groups on one port.
///
/// Any thread can call any method at any time. Only [`Receiver::wait`] blocks.
///
/// Locks, in the order in which a thread takes them: `control` (sockets and memberships; held while they are repaired)
/// or `fetch` (datagrams; held for a few kernel calls), never both; then short locks of the parts.
///
/// These never wait for `control` or `fetch`, so that a thread can call them while it holds a global lock: `port`,
/// `groups`, `has_events`, `take_events`, `take_pending`, `next_pending`, `is_drained`, `pending`, `stats_at_once` and
/// `is_closed`.
pub struct Receiver {
    port: u16,
    strict: bool,
    control: ForkSafeMutex<Control>,
    fetch: ForkSafeMutex<Fetch>,
    table: Arc<CurrentTable>,
    journal: Arc<Journal>,
    gauges: Gauges,
    /// The last kernel call on the only socket took everything.
    drained: AtomicBool,
    /// Fetches since the monitor was last read.
    fetches: AtomicU32,
    /// When the monitor was last read, in nanoseconds since `opened`.
    looked: AtomicU64,
    look_interval: Duration,
    spin: Spin,
    opened: Instant,
    /// How many times the monitor reported changes of links or addresses.
    link_changes: AtomicU32,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("port", &self.port).field("groups", &self.groups()).finish()
    }
}

impl Receiver {
    /// Open the sockets and join the groups, or return an error and leave nothing behind.
    pub fn open(config: ReceiverConfig, groups: &[GroupSpec]) -> Result<Self> {
        Self::build(config, groups, None)
    }

    /// Open on a socket of the caller. The socket is bound unless it is bound already; all groups are joined on it.
    pub fn adopt(socket: Socket, config: ReceiverConfig, groups: &[GroupSpec]) -> Result<Self> {
        Self::build(config, groups, Some(socket))
    }

    fn build(config: ReceiverConfig, groups: &[GroupSpec], socket: Option<Socket>) -> Result<Self> {
        let strict = config.strict;
        let journal = Arc::new(Journal::new()?);
        let control = Control::open(config, groups, socket, Arc::clone(&journal))?;
        let config = &control.sockets.config;
        let gauges = Gauges::new(config.recv_buffer)?;
        gauges.publish_groups(control.memberships.iter());
        Ok(Self {
            port: config.port,
            strict,
            look_interval: config.rejoin.map_or(LOOK_INTERVAL, |period| period.min(LOOK_INTERVAL)),
            spin: Spin::new(config.spin),
            fetch: ForkSafeMutex::new(Fetch::new(Arc::clone(&gauges.counters)))?,
            gauges,
            table: control.sockets.current(),
            control: ForkSafeMutex::new(control)?,
            journal,
            drained: AtomicBool::new(true),
            fetches: AtomicU32::new(0),
            looked: AtomicU64::new(0),
            opened: Instant::now(),
            link_changes: AtomicU32::new(0),
        })
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Join more groups: all of them or none.
    pub fn join(&self, groups: &[GroupSpec]) -> Result<()> {
        groups.iter().try_for_each(GroupSpec::check)?;
        let mut control = self.open_control()?;
        let result = control.join(groups);
        self.gauges.publish_groups(control.memberships.iter());
        result
    }

    /// Leave groups on one interface, or everywhere for the default interface; if there are sources, only these. If one
    /// of them is not joined there, none is left.
    pub fn leave(&self, groups: &[IpAddr], interface: &InterfaceName, sources: &[IpAddr]) -> Result<()> {
        groups.iter().try_for_each(|group| check_group(*group))?;
        let mut control = self.open_control()?;
        let result = control.leave(groups, interface, sources);
        self.gauges.publish_groups(control.memberships.iter());
        result
    }

    /// The active memberships after the last completed join, leave or repair: the same object until they change.
    pub fn groups(&self) -> Arc<[Membership]> {
        self.gauges.groups()
    }

    /// A number that changes whenever links or addresses change. Names of interfaces should then be looked up again.
    #[inline]
    pub fn link_changes(&self) -> u32 {
        self.link_changes.load(Ordering::Relaxed)
    }

    /// Whether there are events to take.
    #[inline]
    pub fn has_events(&self) -> bool {
        self.journal.has_events()
    }

    /// Take the events about memberships since the last call, the oldest first. Only the latest 64 are kept.
    pub fn take_events(&self) -> Vec<Event> {
        self.journal.take_events()
    }

    /// Take up to `max` datagrams of what was received before; `None` if there are none, or if another thread is
    /// receiving: [`Receiver::take`] waits for that.
    pub fn take_pending(&self, max: usize) -> Result<Option<Batch>> {
        match self.fetch.lock_if_free() {
            Some(mut fetch) => fetch.take_pending(max).map_err(|e| self.cannot_receive(e)),
            None => Ok(None),
        }
    }

    /// The fast way to take one datagram: call `use_it` with the next one of what was received before. It must not call
    /// back into the receiver. `None` if there is none, or if another thread is receiving: [`Receiver::fetch`] waits.
    #[inline]
    pub fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        Ok(self.fetch.lock_if_free().and_then(|mut fetch| fetch.next_pending(use_it)))
    }

    /// Whether a caller that can wait should do so first: there was nothing to receive a moment ago, so that trying
    /// again would most likely be a wasted kernel call.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Receive up to `limit` datagrams of what is there now, unless something is left from before. Returns whether
    /// there is something to take.
    pub fn fetch(&self, limit: usize) -> Result<bool> {
        let table = self.open_table()?;
        let mut fetch = self.fetch.lock_or_refuse()?;
        let attention_due = !fetch.has_pending() && self.fill(&mut fetch, &table, limit, Fetch::fill_for_singles)?;
        let has_pending = fetch.has_pending();
        drop(fetch);
        if attention_due {
            self.attend();
        }
        Ok(has_pending)
    }

    /// Receive more of what is there now, until `limit` datagrams can be taken or there is no more room for them.
    /// Returns how many can be taken, or `limit` if there is no more room.
    pub fn gather(&self, limit: usize) -> Result<usize> {
        let table = self.open_table()?;
        let mut fetch = self.fetch.lock_or_refuse()?;
        let attention_due = fetch.pending() < limit && self.fill(&mut fetch, &table, limit, Fetch::extend)?;
        let gathered = fetch.gathered(limit);
        drop(fetch);
        if attention_due {
            self.attend();
        }
        Ok(gathered)
    }

    /// Take up to `max` datagrams; `None` if there are none now. Receives as [`Receiver::fetch`] does.
    pub fn take(&self, max: usize, limit: usize) -> Result<Option<Batch>> {
        self.take_by(limit, |fetch| fetch.take_pending(max))
    }

    /// Take all datagrams, for a caller that copies them at once. Also returns whether no socket has older ones.
    pub(super) fn take_to_copy(&self, limit: usize) -> Result<(Option<Batch>, bool)> {
        self.take_by(limit, |fetch| Ok((fetch.take_rows(usize::MAX), fetch.has_all())))
    }

    fn take_by<T>(&self, limit: usize, take: impl FnOnce(&mut Fetch) -> io::Result<T>) -> Result<T> {
        let table = self.open_table()?;
        let mut fetch = self.fetch.lock_or_refuse()?;
        let attention_due = !fetch.has_pending() && self.fill(&mut fetch, &table, limit, Fetch::fill)?;
        let batch = take(&mut fetch).map_err(|e| self.cannot_receive(e));
        drop(fetch);
        if attention_due {
            self.attend();
        }
        batch
    }

    /// Receive. Returns whether the memberships need attention, which the caller gives them without the lock.
    fn fill(
        &self,
        fetch: &mut Fetch,
        table: &SocketTable,
        limit: usize,
        how: impl Fn(&mut Fetch, &SocketTable, usize, bool) -> io::Result<Filled>,
    ) -> Result<bool> {
        fetch.is_open().then_some(()).ok_or_else(|| self.closed())?;
        let filled = how(fetch, table, limit, self.strict);
        self.gauges.note_read(table);
        self.drained.store(matches!(&filled, Ok(filled) if filled.drained), Ordering::Relaxed);
        let fetches = self.fetches.fetch_add(1, Ordering::Relaxed);
        match filled {
            Ok(filled) => Ok(filled.monitor_ready || fetches >= FETCHES_PER_LOOK || self.is_look_due()),
            Err(e) => {
                // The next fetch looks for the cause.
                self.fetches.store(FETCHES_PER_LOOK, Ordering::Relaxed);
                Err(self.cannot_receive(e))
            }
        }
    }

    fn is_look_due(&self) -> bool {
        let looked = Duration::from_nanos(self.looked.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(looked) >= self.look_interval
    }

    /// Repair the memberships after changes of the network, and rejoin them if due, unless another thread is doing so.
    fn attend(&self) {
        if let Some(mut control) = self.control.lock_if_free() {
            self.fetches.store(0, Ordering::Relaxed);
            // Enough for 584 years.
            self.looked.store(self.opened.elapsed().as_nanos() as u64, Ordering::Relaxed);
            if control.attend() {
                self.link_changes.fetch_add(1, Ordering::Relaxed);
                self.gauges.publish_groups(control.memberships.iter());
            }
        }
    }

    /// How many datagrams were received and not yet taken.
    pub fn pending(&self) -> usize {
        self.gauges.counters.pending()
    }

    /// Sleep until there is something to take, or until the timeout. Returns at once if there is something.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        if self.fetch.lock_or_refuse()?.has_work() {
            return Ok(Wake::Ready);
        }
        self.open_table()?;
        self.gauges.begin_wait();
        let wake = self.wait_once(timeout);
        self.gauges.end_wait();
        if let (Ok(Wake::TimedOut), Some(mut fetch)) = (&wake, self.fetch.lock_if_free()) {
            fetch.release_memory();
        }
        wake
    }

    fn wait_once(&self, timeout: Option<Duration>) -> Result<Wake> {
        let Some(spent) = self.spin.look(timeout, |limit| self.fetch(limit))? else { return Ok(Wake::Ready) };
        let timeout = timeout.map(|timeout| timeout.saturating_sub(spent));
        let Some(due) = self.due() else {
            return self.wait_without_monitor(timeout);
        };
        let table = self.open_table()?;
        let limit = [timeout, due].into_iter().flatten().min();
        let (wake, changed) =
            sys::wait_receiving(&table.sockets, table.set.as_deref(), &table.monitor, &table.waker, limit)
                .map_err(|e| self.cannot_wait(e))?;
        if changed && wake == Some(Wake::Ready) {
            self.attend();
        }
        // If the limit was shorter than the timeout, there is something to do here.
        self.woken(wake, limit != timeout)
    }

    /// The time until the memberships need attention. `None` if another thread is repairing them.
    fn due(&self) -> Option<Option<Duration>> {
        let due = self.control.lock_if_free().map(|control| control.due());
        if due.flatten().is_some_and(|due| due.is_zero()) {
            self.attend();
            return self.control.lock_if_free().map(|control| control.due());
        }
        due
    }

    /// Wait only for datagrams while another thread repairs memberships. That thread also reads the monitor.
    fn wait_without_monitor(&self, timeout: Option<Duration>) -> Result<Wake> {
        let table = self.open_table()?;
        let limit = timeout.map_or(REPAIR_TICK, |timeout| timeout.min(REPAIR_TICK));
        let wake = sys::wait_readable(&table.sockets, &table.waker, Some(limit)).map_err(|e| self.cannot_wait(e))?;
        self.woken(wake, Some(limit) != timeout)
    }

    pub(super) fn woken(&self, wake: Option<Wake>, is_early: bool) -> Result<Wake> {
        let wake = wake.ok_or_else(|| self.closed())?;
        self.spin.note(wake);
        Ok(if is_early { wake.or_ready() } else { wake })
    }

    fn cannot_receive(&self, e: io::Error) -> Error {
        match e.kind() {
            io::ErrorKind::OutOfMemory => Error::NoMemory("receive"),
            _ => Error::system(format!("receive on port {}", self.port), e),
        }
    }

    fn cannot_wait(&self, e: io::Error) -> Error {
        Error::system(format!("wait on port {}", self.port), e)
    }

    /// The counters. After closing they stay as they were.
    pub fn stats(&self) -> Result<ReceiverStats> {
        if let Some(stats) = self.stats_at_once()? {
            return Ok(stats);
        }
        self.open_table()?;
        self.attend();
        self.gauges.stats(self.table.get()?.as_deref(), &self.journal)
    }

    /// As [`Receiver::stats`], but `None` if it would repair memberships, because no other thread does.
    pub fn stats_at_once(&self) -> Result<Option<ReceiverStats>> {
        let table = self.table.get()?;
        if table.as_ref().is_some_and(|table| table.waker.is_inherited() || !self.gauges.is_read()) {
            return Ok(None);
        }
        self.gauges.stats(table.as_deref(), &self.journal).map(Some)
    }

    /// Call `use_it` with the first socket, for operations that this crate does not provide.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let table = self.open_table()?;
        let socket = table.sockets.first().ok_or_else(|| self.closed())?;
        Ok(use_it((**socket).as_ref()))
    }

    /// A descriptor that is ready when [`Receiver::fetch`] has something to do, for any number of sockets. It stays the
    /// same until the receiver is closed. `None` if the system has no such thing.
    pub fn descriptor(&self) -> Result<Option<i64>> {
        // Repairs keep the set: only its first use waits for the lock.
        if let Some(set) = &self.open_table()?.set {
            return Ok(set.descriptor());
        }
        Ok(self.open_control()?.sockets.gather()?.descriptor())
    }

    /// Close the receiver and return a duplicate of its only socket, joined and bound, for code that does not know of
    /// this crate. Datagrams that were received and not taken are lost.
    pub fn detach(&self) -> Result<Socket> {
        let duplicate = {
            let table = self.open_table()?;
            let coalesce = self.open_control()?.sockets.config.coalesce;
            let socket = table.only_socket()?;
            let mut fetch = self.fetch.lock_or_refuse()?;
            let ordinary = match coalesce {
                true => sys::stop_coalescing(socket).and_then(|()| fetch.discard_coalesced(socket)),
                // The owner of an adopted socket reads it as it was.
                false => Ok(()),
            };
            ordinary.and_then(|()| socket.try_clone()).map_err(|e| Error::system("duplicate a socket", e))?
        };
        self.close();
        Ok(duplicate)
    }

    /// Close the sockets, end every wait, and drop what was not taken. Closing again does nothing. In a forked process
    /// where a thread of the parent holds a lock, the descriptors stay open until the process ends.
    pub fn close(&self) {
        let Some(table) = self.table.close() else { return };
        table.waker.wake();
        // Figures that cannot be read any more keep their last values.
        let _ = self.gauges.look_at_sockets(&table);
        if let Some(mut fetch) = self.fetch.lock() {
            fetch.close();
        }
        if let Some(mut control) = self.control.lock() {
            control.clear();
            self.gauges.publish_groups(control.memberships.iter());
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.table.get().map_or(true, |table| table.is_none())
    }

    /// The current table. A forked process first replaces what it must not share with its parent, so the caller must
    /// not hold a lock.
    pub(super) fn open_table(&self) -> Result<Arc<SocketTable>> {
        let table = self.table.get()?.ok_or_else(|| self.closed())?;
        if !table.waker.is_inherited() {
            return Ok(table);
        }
        let mut control = self.open_control()?;
        // Another thread of this process may have done it in the meantime.
        if control.sockets.table()?.waker.is_inherited() {
            self.gauges.settle_after_fork();
            control.settle_after_fork()?;
        }
        Ok(Arc::clone(control.sockets.table()?))
    }

    fn open_control(&self) -> Result<MutexGuard<'_, Control>> {
        let control = self.control.lock_or_refuse()?;
        control.sockets.table()?;
        Ok(control)
    }

    fn closed(&self) -> Error {
        Error::Closed(format!("the receiver on port {} is closed", self.port))
    }
}
