//! The receiver: joined groups, one wait for all of them, batches out.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::batch::Batch;
use super::config::{GroupSpec, ReceiverConfig};
use super::control::Control;
use super::datagram::DatagramRef;
use super::events::Event;
use super::fetch::{Fetch, Filled};
use super::fork::ForkSafeMutex;
use super::journal::Journal;
use super::socket_set::{CurrentTable, SocketTable};
use super::stats::ReceiverStats;
use super::wake::Wake;
use crate::error::{Error, Result};
use crate::pure::address::{InterfaceName, check_group};
use crate::pure::filter::Membership;
use crate::sys;

/// A caller that never waits, because there is always something to receive, reads the monitor after this many fetches.
const FETCHES_PER_LOOK: u32 = 256;

/// The longest wait while another thread repairs memberships.
const REPAIR_TICK: Duration = Duration::from_millis(10);

/// Receives the datagrams of one or more groups on one port.
///
/// Any thread can call any method at any time. Only [`Receiver::wait`] blocks.
///
/// Locks, in the order in which a thread takes them: `control` (sockets and memberships; held while they are repaired)
/// or `fetch` (datagrams; held for a few kernel calls), never both; then the table, the journal, and the rules of a
/// socket, each held for a few instructions or one kernel call.
pub struct Receiver {
    port: u16,
    strict: bool,
    control: ForkSafeMutex<Control>,
    fetch: ForkSafeMutex<Fetch>,
    table: Arc<CurrentTable>,
    journal: Arc<Journal>,
    /// The last kernel call on the only socket took everything.
    drained: AtomicBool,
    /// Fetches since the monitor was last read.
    fetches: AtomicU32,
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
        Ok(Self {
            port: config.port,
            strict,
            fetch: ForkSafeMutex::new(Fetch::new(config.recv_buffer))?,
            table: control.sockets.current(),
            control: ForkSafeMutex::new(control)?,
            journal,
            drained: AtomicBool::new(true),
            fetches: AtomicU32::new(0),
        })
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Join more groups: all of them or none.
    pub fn join(&self, groups: &[GroupSpec]) -> Result<()> {
        groups.iter().try_for_each(GroupSpec::check)?;
        self.open_control()?.join(groups)
    }

    /// Leave groups on one interface, or everywhere for the default interface. If one of them is not joined there, none
    /// is left.
    pub fn leave(&self, groups: &[IpAddr], interface: &InterfaceName) -> Result<()> {
        groups.iter().try_for_each(|group| check_group(*group))?;
        self.open_control()?.memberships.leave(groups, interface)
    }

    /// The active memberships.
    pub fn groups(&self) -> Vec<Membership> {
        self.control.lock().map_or_else(Vec::new, |control| control.memberships.iter().cloned().collect())
    }

    /// Whether there are events to take.
    #[inline]
    pub fn has_events(&self) -> bool {
        self.journal.has_events()
    }

    /// Take the events about memberships since the last call, the oldest first. Of very many, only the latest are kept.
    pub fn take_events(&self) -> Vec<Event> {
        self.journal.take_events()
    }

    /// Take up to `max` datagrams of what was received before; `None` if there are none.
    pub fn take_pending(&self, max: usize) -> Result<Option<Batch>> {
        Ok(self.fetch.lock_or_refuse()?.take_pending(max))
    }

    /// Call `use_it` with the next datagram of what was received before; it must not call back into the receiver. This
    /// is the fast way to take one datagram at a time.
    #[inline]
    pub fn next_pending<T>(&self, use_it: impl FnOnce(DatagramRef<'_>) -> T) -> Result<Option<T>> {
        Ok(self.fetch.lock_or_refuse()?.next_pending(use_it))
    }

    /// Whether a caller that can wait should do so first: there was nothing to receive a moment ago, so that trying
    /// again would most likely be a wasted kernel call.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Receive up to `limit` datagrams of what is there now, unless something is left from before. Returns whether there
    /// is something to take.
    pub fn fetch(&self, limit: usize) -> Result<bool> {
        let mut fetch = self.fetch.lock_or_refuse()?;
        let attention_due = !fetch.has_pending() && self.fill(&mut fetch, limit)?;
        let has_pending = fetch.has_pending();
        drop(fetch);
        if attention_due {
            self.attend();
        }
        Ok(has_pending)
    }

    /// Receive more of what is there now, until `limit` datagrams can be taken or there is no more room for them. Returns
    /// how many can be taken.
    pub fn gather(&self, limit: usize) -> Result<usize> {
        let mut fetch = self.fetch.lock_or_refuse()?;
        let attention_due = fetch.pending() < limit
            && self.fill_by(&mut fetch, |fetch, table| fetch.extend(table, limit, self.strict))?;
        let pending = fetch.pending();
        drop(fetch);
        if attention_due {
            self.attend();
        }
        Ok(pending)
    }

    /// Take up to `max` datagrams; `None` if there are none now. Receives as [`Receiver::fetch`] does.
    pub fn take(&self, max: usize, limit: usize) -> Result<Option<Batch>> {
        let mut fetch = self.fetch.lock_or_refuse()?;
        if let Some(batch) = fetch.take_pending(max) {
            return Ok(Some(batch));
        }
        let attention_due = self.fill(&mut fetch, limit)?;
        let batch = fetch.take_pending(max);
        drop(fetch);
        if attention_due {
            self.attend();
        }
        Ok(batch)
    }

    /// Receive. Returns whether the memberships need attention, which the caller gives them without the lock.
    fn fill(&self, fetch: &mut Fetch, limit: usize) -> Result<bool> {
        self.fill_by(fetch, |fetch, table| fetch.fill(table, limit, self.strict))
    }

    fn fill_by(
        &self,
        fetch: &mut Fetch,
        fill: impl FnOnce(&mut Fetch, &SocketTable) -> io::Result<Filled>,
    ) -> Result<bool> {
        let table = self.open_table()?;
        let filled = fill(fetch, &table);
        self.drained.store(matches!(&filled, Ok(filled) if filled.drained), Ordering::Relaxed);
        let fetches = self.fetches.fetch_add(1, Ordering::Relaxed);
        match filled {
            Ok(filled) => Ok(filled.monitor_ready || fetches >= FETCHES_PER_LOOK),
            Err(e) => {
                // The next fetch looks for the cause.
                self.fetches.store(FETCHES_PER_LOOK, Ordering::Relaxed);
                Err(Error::system(format!("receive on port {}", self.port), e))
            }
        }
    }

    /// Repair what the network did to the memberships, and rejoin them if that is due. Does nothing if another thread
    /// is at it.
    fn attend(&self) {
        if let Some(mut control) = self.control.lock_if_free() {
            self.fetches.store(0, Ordering::Relaxed);
            control.attend();
        }
    }

    /// How many datagrams were received and not yet taken.
    pub fn pending(&self) -> usize {
        self.fetch.lock().map_or(0, |fetch| fetch.pending())
    }

    /// Sleep until there is something to take, or until the timeout. Returns at once if there is something.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        if self.fetch.lock_or_refuse()?.has_work() {
            return Ok(Wake::Ready);
        }
        if self.open_table()?.waker.is_inherited() {
            self.open_control()?.settle_after_fork()?;
        }
        let Some(due) = self.due() else {
            return self.wait_without_monitor(timeout);
        };
        let table = self.open_table()?;
        let limit = [timeout, due].into_iter().flatten().min();
        let (wake, changed) =
            sys::wait_receiving(&table.sockets, table.set.as_deref(), &table.monitor, &table.waker, limit)
                .map_err(|e| self.cannot_wait(e))?;
        if changed && wake == sys::Wake::Ready {
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

    /// Wait for datagrams alone while another thread repairs memberships: it has read the monitor, or will.
    fn wait_without_monitor(&self, timeout: Option<Duration>) -> Result<Wake> {
        let table = self.open_table()?;
        let limit = timeout.map_or(REPAIR_TICK, |timeout| timeout.min(REPAIR_TICK));
        let wake = sys::wait_readable(&table.sockets, &table.waker, Some(limit)).map_err(|e| self.cannot_wait(e))?;
        self.woken(wake, Some(limit) != timeout)
    }

    fn woken(&self, wake: sys::Wake, is_early: bool) -> Result<Wake> {
        match wake {
            sys::Wake::Ready => Ok(Wake::Ready),
            sys::Wake::Interrupted => Ok(Wake::Interrupted),
            sys::Wake::TimedOut if is_early => Ok(Wake::Ready),
            sys::Wake::TimedOut => Ok(Wake::TimedOut),
            sys::Wake::Woken => Err(self.closed()),
        }
    }

    fn cannot_wait(&self, e: std::io::Error) -> Error {
        Error::system(format!("wait on port {}", self.port), e)
    }

    /// The counters. After closing they stay as they were.
    pub fn stats(&self) -> Result<ReceiverStats> {
        if self.table.get()?.is_some() {
            self.attend();
        }
        let mut fetch = self.fetch.lock_or_refuse()?;
        if let Some(table) = self.table.get()? {
            fetch.update_stats(&table, &self.journal)?;
        }
        Ok(fetch.stats)
    }

    /// Call `use_it` with the first socket, for operations that this crate does not offer.
    pub fn with_socket<T>(&self, use_it: impl FnOnce(&Socket) -> T) -> Result<T> {
        let table = self.open_table()?;
        let socket = table.sockets.first().ok_or_else(|| self.closed())?;
        Ok(use_it((**socket).as_ref()))
    }

    /// A descriptor that is ready when [`Receiver::fetch`] has something to do, for any number of sockets. It stays the
    /// same until the receiver is closed. `None` if the system has no such thing.
    pub fn descriptor(&self) -> Result<Option<i64>> {
        Ok(self.open_control()?.sockets.gather()?.descriptor())
    }

    /// Close the receiver and return a duplicate of its only socket, joined and bound, for code that does not know of
    /// this crate. What was received and not taken is lost.
    pub fn detach(&self) -> Result<Socket> {
        let duplicate = {
            let coalesce = self.open_control()?.sockets.config.coalesce;
            let table = self.open_table()?;
            let [socket] = table.sockets.as_slice() else {
                return Err(Error::Invalid(format!(
                    "cannot detach a receiver with {} sockets: its groups must fit on one socket",
                    table.sockets.len()
                )));
            };
            let socket: &Socket = (**socket).as_ref();
            let mut fetch = self.fetch.lock_or_refuse()?;
            sys::stop_coalescing(socket)
                .and_then(|()| if coalesce { fetch.discard_coalesced(socket) } else { Ok(()) })
                .and_then(|()| socket.try_clone())
                .map_err(|e| Error::system("duplicate a socket", e))?
        };
        self.close();
        Ok(duplicate)
    }

    /// Close the sockets, end every wait, and drop what was not taken. Closing again does nothing. In a forked process
    /// where a thread of the parent holds a lock, the descriptors stay open until the process ends.
    pub fn close(&self) {
        let Some(table) = self.table.close() else { return };
        table.waker.wake();
        if let Some(mut fetch) = self.fetch.lock() {
            // A counter that cannot be read any more keeps its last value.
            let _ = fetch.update_stats(&table, &self.journal);
            fetch.clear();
        }
        if let Some(mut control) = self.control.lock() {
            control.clear();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.table.get().map_or(true, |table| table.is_none())
    }

    fn open_table(&self) -> Result<Arc<SocketTable>> {
        self.table.get()?.ok_or_else(|| self.closed())
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
