//! The sockets of a receiver: which one takes a group, and one descriptor for them all.
//!
//! A socket holds so many groups (20 over IPv4 on Linux); past that, further sockets on the same port are opened.

use std::io;
use std::sync::Arc;

use super::channel::{Channel, wildcard};
use super::receiver::ReceiverConfig;
use crate::pure::filter::{Membership, Sources};
use crate::sys::{self, Monitor, ReadySet, errno};
use crate::{Error, Result};

/// The running total of a socket's 32-bit drop counter.
#[derive(Debug, Clone, Copy, Default)]
struct DropCount {
    seen: u32,
    total: u64,
}

/// The sockets, their order never changing: a place in it names one.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The port is settled by the first socket.
    pub(super) config: ReceiverConfig,
    /// Empty once closed. Replaced as a whole, so that a waiter can hold on to what it waits for.
    pub(super) channels: Arc<Vec<Arc<Channel>>>,
    /// Stands for all sockets and the monitor; made when there are several, or somebody asks for its descriptor.
    pub(super) set: Option<Arc<ReadySet>>,
    /// Tells of changes; `None` once closed.
    pub(super) monitor: Option<Arc<Monitor>>,
    drops: Vec<DropCount>,
    /// Sockets that hold memberships and hear nothing: where one socket hears all groups of the machine, a second one
    /// would only hear them again.
    holders: Vec<Arc<Channel>>,
}

impl Sockets {
    pub(super) fn new(config: ReceiverConfig) -> Result<Self> {
        let monitor = Monitor::new().map_err(|e| Error::system("watch the interfaces", e))?;
        Ok(Self {
            config,
            channels: Arc::default(),
            set: None,
            monitor: Some(Arc::new(monitor)),
            drops: Vec::new(),
            holders: Vec::new(),
        })
    }

    /// Makes the monitor and the set anew, in a process that was forked off the one that made them.
    pub(super) fn renew(&mut self) -> Result<()> {
        self.monitor = Some(Arc::new(Monitor::new().map_err(|e| Error::system("watch the interfaces", e))?));
        if self.set.take().is_some() {
            self.gather()?;
        }
        Ok(())
    }

    /// Takes in a socket that is bound.
    pub(super) fn add(&mut self, channel: Channel) -> Result<Arc<Channel>> {
        let channel = Arc::new(channel);
        self.config.port = channel.port().map_err(|e| Error::system("read the port of a socket", e))?;
        // What can fail comes first, so that a socket is taken in whole or not at all.
        if !self.channels.is_empty() {
            self.gather()?;
        }
        if let Some(set) = &self.set {
            set.add((*channel).as_ref(), self.channels.len()).map_err(cannot_watch)?;
        }
        self.channels = Arc::new(self.channels.iter().chain([&channel]).map(Arc::clone).collect());
        self.drops.push(DropCount::default());
        Ok(channel)
    }

    /// The set, made where there is none yet.
    pub(super) fn gather(&mut self) -> Result<&ReadySet> {
        if let (None, Some(monitor)) = (&self.set, &self.monitor) {
            let set = ReadySet::new(monitor, self.config.rejoin).map_err(cannot_watch)?;
            for (place, channel) in self.channels.iter().enumerate() {
                set.add((**channel).as_ref(), place).map_err(cannot_watch)?;
            }
            self.set = Some(Arc::new(set));
        }
        self.set.as_deref().ok_or_else(|| Error::Closed("the receiver is closed".into()))
    }

    /// Joins on a socket that takes the group and has room, or on a new one; `what` says so in an error.
    pub(super) fn join(&mut self, membership: &Membership, what: &str, to_group: bool) -> Result<Arc<Channel>> {
        let config = &self.config;
        let mut full: Vec<(Arc<Channel>, io::Error)> = Vec::new();
        let hears_all = sys::HEARS_ALL && !config.strict;
        for channel in self.channels.iter().chain(&self.holders).filter(|c| c.takes(membership) && !c.is_full()) {
            match channel.join(membership) {
                Ok(()) => return Ok(Arc::clone(channel)),
                Err(e) if is_full(&e) => full.push((Arc::clone(channel), e)),
                // By the owner of a socket that was taken over, or on the interface that the routes chose.
                Err(e) if e.raw_os_error() == Some(errno::ADDRESS_IN_USE) => {
                    return Err(Error::Invalid(format!("{} is joined already on this socket", membership.group)));
                }
                Err(e) => return Err(Error::system(what, e)),
            }
        }
        if hears_all && !full.is_empty() {
            let holder = Channel::holder(membership.group)?;
            holder.join(membership).map_err(|e| refused(what, e, membership))?;
            full.iter().for_each(|(channel, _)| channel.set_full(true));
            self.holders.push(Arc::new(holder));
            return Ok(Arc::clone(&self.holders[self.holders.len() - 1]));
        }
        if !(config.share && config.bind.is_none()) {
            if let Some((_, e)) = full.pop() {
                return Err(refused(what, e, membership));
            }
        }
        let to_group = to_group && sys::BINDS_TO_GROUP && config.strict && config.share;
        let address = if to_group { membership.group } else { wildcard(membership.group) };
        let channel = Channel::open(config, address, membership.interface)?;
        channel.join_first(membership).map_err(|e| refused(what, e, membership))?;
        // Only now is it sure that it was the sockets which were full, and not the group that has too many sources.
        full.iter().for_each(|(channel, _)| channel.set_full(true));
        self.add(channel)
    }

    /// What the kernel dropped in all, where it counts, and the smallest receive buffer.
    pub(super) fn count(&mut self) -> io::Result<(Option<u64>, usize)> {
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
        Ok((counted.then(|| self.drops.iter().map(|drops| drops.total).sum()), granted))
    }

    /// Lets go of all of them; who waits on them holds them still.
    pub(super) fn clear(&mut self) {
        self.channels = Arc::default();
        self.set = None;
        self.monitor = None;
        self.holders.clear();
    }
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| errno::FULL.contains(&code))
}

fn refused(what: &str, error: io::Error, membership: &Membership) -> Error {
    let full = is_full(&error);
    let limit = match &membership.sources {
        Sources::Only(list) | Sources::Except(list) if list.len() > 1 => sys::SOURCE_LIMIT,
        _ => sys::MEMBERSHIP_LIMIT,
    };
    Error::system(what, error).advise(|_| full.then(|| limit.to_owned()))
}

fn cannot_watch(e: io::Error) -> Error {
    Error::system("watch a receiver's sockets", e)
}
