//! The sockets of a receiver: which one takes a group, and one descriptor that represents them all.
//!
//! A socket can hold a limited number of groups (20 over IPv4 on Linux). Past that, further sockets on the same port
//! are opened.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use socket2::Socket;

use super::binding::wildcard;
use super::config::{Engine, ReceiverConfig};
use super::fork::ForkSafeMutex;
use super::inlet::Inlet;
use super::links::route_advice;
use super::socket::GroupSocket;
use super::stats::SocketFigures;
use crate::errno;
use crate::error::{Error, Result};
use crate::pure::filter::{Membership, Sources};
use crate::sys::{self, Monitor, ReadySet, Waker};

/// The sockets that a receiver reads from and waits on at one moment. The table is replaced as a whole, so that a
/// reader or a waiter can keep using the one it started with.
#[derive(Debug)]
pub(super) struct SocketTable {
    /// The order never changes: an index identifies a socket.
    pub(super) sockets: Vec<Arc<Inlet>>,
    /// Represents all sockets and the monitor. Made when there are several sockets, or when its descriptor is needed.
    pub(super) set: Option<Arc<ReadySet>>,
    /// Reports changes of the network.
    pub(super) monitor: Arc<Monitor>,
    /// Ends every wait once the receiver is closed.
    pub(super) waker: Arc<Waker>,
}

impl SocketTable {
    /// Ask the kernel about the sockets.
    pub(super) fn figures(&self) -> io::Result<SocketFigures> {
        let sockets = self.sockets.len();
        let mut figures = SocketFigures { sockets, recv_buffer: usize::MAX, ..SocketFigures::default() };
        let has_packets = self.has_packets();
        for socket in &self.sockets {
            let of_one = socket.figures()?;
            if let Some(count) = of_one.kernel_drops {
                figures.kernel_drops = Some(figures.kernel_drops.unwrap_or(0) + count);
            }
            figures.unassembled += of_one.unassembled;
            // Beside packet sockets, a UDP socket receives only what this host sends.
            if socket.is_packet() == has_packets {
                figures.recv_buffer = figures.recv_buffer.min(of_one.recv_buffer);
            }
        }
        Ok(figures)
    }

    /// Whether it reads packet sockets.
    pub(super) fn has_packets(&self) -> bool {
        self.sockets.iter().any(|socket| socket.is_packet())
    }

    /// The only socket, to hand over to code that does not know of this crate.
    pub(super) fn only_socket(&self) -> Result<&Socket> {
        match self.sockets.as_slice() {
            _ if self.has_packets() => Err(Error::Invalid(
                "cannot detach a receiver of the packet engine: it has no socket to hand over".into(),
            )),
            [socket] => Ok((**socket).as_ref()),
            sockets => Err(Error::Invalid(format!(
                "cannot detach a receiver with {} sockets: its groups must fit on one socket",
                sockets.len()
            ))),
        }
    }
}

/// The current table, or `None` once closed. Locked only to copy or to replace the pointer.
#[derive(Debug)]
pub(super) struct CurrentTable(ForkSafeMutex<Option<Arc<SocketTable>>>);

impl CurrentTable {
    /// Return the current table; `None` once closed.
    pub(super) fn get(&self) -> Result<Option<Arc<SocketTable>>> {
        Ok(self.0.lock_or_refuse()?.clone())
    }

    /// Close it, and return the last table; `None` if it was closed before.
    pub(super) fn close(&self) -> Option<Arc<SocketTable>> {
        self.0.lock()?.take()
    }

    /// Replace the table. Returns false once closed.
    fn replace(&self, table: &Arc<SocketTable>) -> Result<bool> {
        let mut current = self.0.lock_or_refuse()?;
        let is_open = current.is_some();
        if is_open {
            *current = Some(Arc::clone(table));
        }
        Ok(is_open)
    }
}

/// When a group is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The receiver is opened, and this is the only group of its IP version: a new socket can be bound to it.
    OnlyGroup,
    OneOfSeveral,
    /// A forked process, which shares the sockets, may have joined it already.
    Repair,
}

/// The sockets at one moment, to return to.
pub(super) struct Mark {
    sockets: usize,
    has_set: bool,
    holders: usize,
}

/// Opens sockets and keeps the current table up to date.
#[derive(Debug)]
pub(super) struct SocketSet {
    /// The first socket determines the port.
    pub(super) config: ReceiverConfig,
    /// The table that was last published in `current`; `None` once closed.
    table: Option<Arc<SocketTable>>,
    current: Arc<CurrentTable>,
    /// Unbound sockets that only hold memberships. If one socket receives all groups of the host, or packet sockets
    /// receive them, another bound socket would receive them a second time.
    holders: Vec<Arc<GroupSocket>>,
}

impl SocketSet {
    pub(super) fn new(config: ReceiverConfig) -> Result<Self> {
        let table = Arc::new(SocketTable {
            sockets: Vec::new(),
            set: None,
            monitor: Arc::new(open_monitor()?),
            waker: Arc::new(open_waker()?),
        });
        let current = Arc::new(CurrentTable(ForkSafeMutex::new(Some(Arc::clone(&table)))?));
        Ok(Self { config, table: Some(table), current, holders: Vec::new() })
    }

    /// The cell that always holds the current table.
    pub(super) fn current(&self) -> Arc<CurrentTable> {
        Arc::clone(&self.current)
    }

    /// The current table, or the error for a closed receiver.
    pub(super) fn table(&self) -> Result<&Arc<SocketTable>> {
        self.table.as_ref().ok_or_else(|| self.closed())
    }

    /// The senders that were heard in a group on an interface. The socket that heard them need not hold the membership.
    pub(super) fn senders(&self, group: IpAddr, interface: u32) -> io::Result<Vec<IpAddr>> {
        let Some(table) = &self.table else { return Ok(Vec::new()) };
        let mut senders = Vec::new();
        for socket in table.sockets.iter().filter_map(|socket| socket.udp()) {
            senders.extend(socket.rules()?.senders.of(group, interface));
        }
        // Without a filter, several sockets receive the same.
        senders.sort_unstable();
        senders.dedup();
        Ok(senders)
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed(format!("the receiver on port {} is closed", self.config.port))
    }

    fn publish(&mut self, table: SocketTable) -> Result<()> {
        let table = Arc::new(table);
        if !self.current.replace(&table)? {
            return Err(self.closed());
        }
        self.table = Some(table);
        Ok(())
    }

    /// Replace everything that a forked process must not share with its parent: both would read the same events, and a
    /// wait here must not end when the parent closes the receiver.
    pub(super) fn renew_after_fork(&mut self) -> Result<()> {
        let (monitor, waker) = (open_monitor()?, open_waker()?);
        let old = self.table()?;
        let sockets = old.sockets.clone();
        let set = match old.set {
            Some(_) => Some(Arc::new(ready_set(&sockets, &monitor, &self.config)?)),
            None => None,
        };
        self.publish(SocketTable { sockets, set, monitor: Arc::new(monitor), waker: Arc::new(waker) })
    }

    /// Add a bound socket.
    pub(super) fn add(&mut self, socket: GroupSocket) -> Result<Arc<GroupSocket>> {
        let socket = Arc::new(socket);
        let port = socket.port().map_err(|e| Error::system("read the port of a socket", e))?;
        self.add_inlet(Inlet::Udp(Arc::clone(&socket)), port)?;
        Ok(socket)
    }

    /// Add a socket that is read; the receiver's port is then `port`.
    pub(super) fn add_inlet(&mut self, socket: Inlet, port: u16) -> Result<()> {
        let socket = Arc::new(socket);
        // Every step that can fail comes first, so that the socket is added completely or not at all.
        let old = self.table()?;
        let set = if old.sockets.is_empty() { old.set.clone() } else { Some(self.find_or_make_set()?) };
        if let Some(set) = &set {
            set.add((*socket).as_ref(), old.sockets.len()).map_err(cannot_watch)?;
        }
        let table = SocketTable {
            sockets: old.sockets.iter().chain([&socket]).map(Arc::clone).collect(),
            set,
            monitor: Arc::clone(&old.monitor),
            waker: Arc::clone(&old.waker),
        };
        self.config.port = port;
        self.publish(table)
    }

    /// Return the set that represents all sockets. Make it if there is none yet.
    pub(super) fn gather(&mut self) -> Result<Arc<ReadySet>> {
        let set = self.find_or_make_set()?;
        let old = self.table()?;
        if old.set.is_none() {
            let table = SocketTable {
                sockets: old.sockets.clone(),
                set: Some(Arc::clone(&set)),
                monitor: Arc::clone(&old.monitor),
                waker: Arc::clone(&old.waker),
            };
            self.publish(table)?;
        }
        Ok(set)
    }

    fn find_or_make_set(&self) -> Result<Arc<ReadySet>> {
        let SocketTable { set, sockets, monitor, .. } = &**self.table()?;
        match set {
            Some(set) => Ok(Arc::clone(set)),
            None => Ok(Arc::new(ready_set(sockets, monitor, &self.config)?)),
        }
    }

    /// Join on a socket that accepts the group and has room, or on a new one. `what` describes the operation in errors.
    /// If packet sockets receive the groups, the socket only holds the membership.
    pub(super) fn join(&mut self, membership: &Membership, what: &str, occasion: Occasion) -> Result<Arc<GroupSocket>> {
        match self.config.engine {
            Engine::Packet => self.hold(membership, what),
            Engine::Socket | Engine::Auto => self.join_to_read(membership, what, occasion),
        }
    }

    /// Join on an unbound socket that has room, or on a new one.
    fn hold(&mut self, membership: &Membership, what: &str) -> Result<Arc<GroupSocket>> {
        for holder in self.holders.iter().filter(|holder| holder.accepts(membership) && !holder.is_full()) {
            if holder.conflicts_with(membership).map_err(|e| Error::system(what, e))? {
                continue;
            }
            match holder.join(membership) {
                Ok(()) => return Ok(Arc::clone(holder)),
                // It can be the group that has too many sources: a new socket shows that.
                Err(e) if is_full(&e) => holder.set_full(matches!(membership.sources, Sources::Any)),
                Err(e) => return Err(Error::system(what, e)),
            }
        }
        self.join_on_new_holder(membership, what)
    }

    fn join_on_new_holder(&mut self, membership: &Membership, what: &str) -> Result<Arc<GroupSocket>> {
        let holder = Arc::new(GroupSocket::open_holder(membership.group)?);
        holder.join(membership).map_err(|e| cannot_join(what, e, membership))?;
        self.holders.push(Arc::clone(&holder));
        Ok(holder)
    }

    /// As [`SocketSet::join`], on a socket that is read.
    pub(super) fn join_to_read(
        &mut self,
        membership: &Membership,
        what: &str,
        occasion: Occasion,
    ) -> Result<Arc<GroupSocket>> {
        let mut full: Vec<(Arc<GroupSocket>, io::Error)> = Vec::new();
        let may_open = self.config.share && self.config.bind.is_none();
        let receives_all = sys::HEARS_ALL && !self.config.strict;
        let mut conflict = false;
        let holders = if receives_all { self.holders.as_slice() } else { &[] };
        let candidates = self.table()?.sockets.iter().filter_map(|socket| socket.udp()).chain(holders);
        for socket in candidates.filter(|socket| socket.accepts(membership) && !socket.is_full()) {
            if socket.conflicts_with(membership).map_err(|e| Error::system(what, e))? {
                let same = socket.has_same_sources(membership).map_err(|e| Error::system(what, e))?;
                if may_open || receives_all || !same {
                    conflict = true;
                    continue;
                }
            }
            let joined = match occasion {
                Occasion::Repair => socket.join_rest(membership),
                Occasion::OnlyGroup | Occasion::OneOfSeveral => socket.join(membership),
            };
            match joined {
                Ok(()) => return Ok(Arc::clone(socket)),
                Err(e) if is_full(&e) => full.push((Arc::clone(socket), e)),
                // The owner of an adopted socket joined it, or it is joined on the interface that the routes selected.
                Err(e) if e.raw_os_error() == Some(errno::ADDRESS_IN_USE) => {
                    return Err(Error::Invalid(format!("cannot {what}: already joined on this socket")));
                }
                Err(e) => return Err(Error::system(what, e)),
            }
        }
        let config = &self.config;
        let socket = if receives_all && (conflict || !full.is_empty()) {
            self.join_on_new_holder(membership, what)?
        } else {
            if !may_open && !full.is_empty() {
                return Err(cannot_join(what, full.swap_remove(0).1, membership));
            }
            if !may_open && conflict {
                return Err(Error::Invalid(format!(
                    "cannot {what}: this socket has the group on another interface for other sources (open the receiver \
                     with share=True and without bind, so that it can use several sockets)"
                )));
            }
            let to_group = occasion == Occasion::OnlyGroup && sys::BINDS_TO_GROUP && config.strict && config.share;
            let address = if to_group { membership.group } else { wildcard(membership.group) };
            let socket = GroupSocket::open(config, address, membership.interface)?;
            socket.join_first(membership).map_err(|e| cannot_join(what, e, membership))?;
            self.add(socket)?
        };
        // Only now is it certain that the sockets were full, and not that the group has too many sources.
        full.iter().for_each(|(socket, _)| socket.set_full(true));
        Ok(socket)
    }

    /// Remember which sockets there are.
    pub(super) fn mark(&self) -> Result<Mark> {
        let table = self.table()?;
        Ok(Mark { sockets: table.sockets.len(), has_set: table.set.is_some(), holders: self.holders.len() })
    }

    /// Close the sockets that were opened after the mark.
    pub(super) fn roll_back(&mut self, mark: &Mark) -> Result<()> {
        self.holders.truncate(mark.holders);
        let old = Arc::clone(self.table()?);
        if old.sockets.len() == mark.sockets {
            return Ok(());
        }
        self.publish(SocketTable {
            sockets: old.sockets[..mark.sockets].to_vec(),
            // The system removes a closed socket from the set.
            set: old.set.clone().filter(|_| mark.has_set),
            monitor: Arc::clone(&old.monitor),
            waker: Arc::clone(&old.waker),
        })
    }

    /// Release all sockets. Readers and waiters keep theirs until they return.
    pub(super) fn clear(&mut self) {
        self.holders.clear();
        self.table = None;
    }
}

fn ready_set(sockets: &[Arc<Inlet>], monitor: &Monitor, config: &ReceiverConfig) -> Result<ReadySet> {
    let set = ReadySet::new(monitor, config.rejoin).map_err(cannot_watch)?;
    for (index, socket) in sockets.iter().enumerate() {
        set.add((**socket).as_ref(), index).map_err(cannot_watch)?;
    }
    Ok(set)
}

fn open_monitor() -> Result<Monitor> {
    Monitor::new().map_err(|e| Error::system("watch the interfaces", e))
}

fn open_waker() -> Result<Waker> {
    Waker::new().map_err(|e| Error::system("open a receiver's wake-up descriptor", e))
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| errno::FULL.contains(&code))
}

fn cannot_join(what: &str, error: io::Error, membership: &Membership) -> Error {
    let full = is_full(&error);
    let limit = match &membership.sources {
        Sources::Only(list) | Sources::Except(list) if list.len() > 1 => sys::SOURCE_LIMIT,
        _ => sys::MEMBERSHIP_LIMIT,
    };
    Error::system(what, error).advise(|code| match membership.interface {
        _ if full => Some(limit.to_owned()),
        0 => route_advice(membership.group, code),
        _ => None,
    })
}

fn cannot_watch(e: io::Error) -> Error {
    Error::system("watch a receiver's sockets", e)
}
