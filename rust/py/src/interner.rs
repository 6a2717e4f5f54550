//! Python objects for senders, groups and interfaces, each created once: a feed repeats the same few of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use multicast_core::net::{self, DatagramRef, Origin};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::datagram::Datagram;

/// The cache of one receiver and its batches.
#[derive(Default)]
pub(crate) struct Interner {
    known: Mutex<Known>,
    /// The core's count when the names were looked up.
    link_changes: AtomicU32,
}

#[derive(Default)]
struct Known {
    /// How often names were forgotten. A name that was looked up before that must not be inserted after it.
    refreshes: u32,
    /// The names of the last datagram, which are usually those of the next one too.
    last: Option<(Key, Names)>,
    senders: HashMap<SocketAddr, Py<PyTuple>>,
    groups: HashMap<IpAddr, Py<PyString>>,
    /// `None` for an index that the system has no name for.
    interfaces: HashMap<u32, Option<Py<PyString>>>,
}

type Key = (SocketAddr, Option<IpAddr>, u32);

/// The sender, group and interface of a datagram.
type Names = (Py<PyTuple>, Option<Py<PyString>>, Option<Py<PyString>>);

/// A datagram that was taken under the lock of a receiver. It becomes an object without the lock.
pub(crate) enum Taken {
    /// All its names were in the cache.
    Known(Datagram),
    /// A name was not in the cache.
    Unknown(Py<PyBytes>, Origin),
}

/// The most entries of a cache, which is then emptied: a flood of forged senders must not fill the memory.
const CAPACITY: usize = 4096;

impl Interner {
    /// Makes the `Datagram` for a payload and its origin.
    pub(crate) fn datagram(&self, py: Python<'_>, data: Py<PyBytes>, origin: &Origin) -> PyResult<Py<Datagram>> {
        let known = self.lock().names(py, origin);
        let names = match known {
            Some(names) => names,
            None => (
                self.sender(py, &origin.sender)?,
                origin.group.map(|group| self.group(py, group)).transpose()?,
                self.interface(py, origin.interface),
            ),
        };
        Py::new(py, assembled(data, names, origin))
    }

    /// Takes a datagram, with its names if all of them are in the cache.
    ///
    /// This may run under the lock of a receiver: it creates only a `bytes` object, which cannot start the garbage
    /// collector. A new `Datagram` can (Python 3.10 and 3.11), and the collector can run any code, even code that uses
    /// that receiver. The result is written to a place of the caller, because returning it costs more than the
    /// datagram.
    #[inline]
    pub(crate) fn take(&self, py: Python<'_>, datagram: DatagramRef<'_>, taken: &mut Option<Taken>) {
        let data = PyBytes::new(py, datagram.data).unbind();
        let names = self.lock().names(py, datagram.origin);
        *taken = Some(match names {
            Some(names) => Taken::Known(assembled(data, names, datagram.origin)),
            None => Taken::Unknown(data, *datagram.origin),
        });
    }

    /// Returns `(host, port)`; the host of a link-local IPv6 sender with its zone.
    pub(crate) fn sender(&self, py: Python<'_>, sender: &SocketAddr) -> PyResult<Py<PyTuple>> {
        let refreshes = {
            let known = self.lock();
            if let Some(sender) = known.senders.get(sender) {
                return Ok(sender.clone_ref(py));
            }
            known.refreshes
        };
        // Made without the lock: a new tuple can start the garbage collector, and with it any code.
        let made = (host(sender, net::interface_name), sender.port()).into_pyobject(py)?.unbind();
        let mut known = self.lock();
        if known.refreshes == refreshes {
            insert(&mut known.senders, *sender, made.clone_ref(py));
        }
        drop(known);
        Ok(made)
    }

    /// Returns the group as text.
    pub(crate) fn group(&self, py: Python<'_>, group: IpAddr) -> PyResult<Py<PyString>> {
        if let Some(known) = self.lock().groups.get(&group) {
            return Ok(known.clone_ref(py));
        }
        let made = PyString::new(py, &group.to_string()).unbind();
        insert(&mut self.lock().groups, group, made.clone_ref(py));
        Ok(made)
    }

    /// Returns the name of an interface, by its index; `None` for index 0, and for one that has no name.
    pub(crate) fn interface(&self, py: Python<'_>, index: u32) -> Option<Py<PyString>> {
        if index == 0 {
            return None;
        }
        let refreshes = {
            let known = self.lock();
            if let Some(name) = known.interfaces.get(&index) {
                return name.as_ref().map(|name| name.clone_ref(py));
            }
            known.refreshes
        };
        // The kernel can be busy with changes of the network.
        let name = py.detach(|| net::interface_name(index));
        let made = name.map(|name| PyString::new(py, &name).unbind());
        let mut known = self.lock();
        if known.refreshes == refreshes {
            insert(&mut known.interfaces, index, made.as_ref().map(|name| name.clone_ref(py)));
        }
        drop(known);
        made
    }

    /// Forgets everything that contains the name of an interface if links have changed since the last call: an
    /// interface may have been renamed or replaced.
    pub(crate) fn refresh(&self, _py: Python<'_>, link_changes: u32) {
        if self.link_changes.swap(link_changes, Ordering::Relaxed) == link_changes {
            return;
        }
        let mut known = self.lock();
        known.refreshes = known.refreshes.wrapping_add(1);
        known.last = None;
        known.interfaces.clear();
        known.senders.retain(|sender, _| zone(sender) == 0);
    }

    /// While this lock is held, no Python code runs except the release of strings and of tuples of strings.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Makes the `Datagram`. The lock of the receiver must not be held.
    #[inline]
    pub(crate) fn into_object(self, py: Python<'_>, interner: &Interner) -> PyResult<Py<Datagram>> {
        match self {
            Self::Known(datagram) => Py::new(py, datagram),
            Self::Unknown(data, origin) => interner.datagram(py, data, &origin),
        }
    }
}

impl Known {
    #[inline]
    fn names(&mut self, py: Python<'_>, origin: &Origin) -> Option<Names> {
        match &self.last {
            Some((key, names)) if *key == (origin.sender, origin.group, origin.interface) => Some(cloned(py, names)),
            _ => self.look_up(py, origin),
        }
    }

    fn look_up(&mut self, py: Python<'_>, origin: &Origin) -> Option<Names> {
        let cloned_name = |name: &Py<PyString>| name.clone_ref(py);
        let sender = self.senders.get(&origin.sender)?.clone_ref(py);
        let group = match &origin.group {
            Some(group) => Some(cloned_name(self.groups.get(group)?)),
            None => None,
        };
        let interface = match origin.interface {
            0 => None,
            index => self.interfaces.get(&index)?.as_ref().map(cloned_name),
        };
        let names = (sender, group, interface);
        self.last = Some(((origin.sender, origin.group, origin.interface), cloned(py, &names)));
        Some(names)
    }
}

fn cloned(py: Python<'_>, (sender, group, interface): &Names) -> Names {
    let name = |name: &Option<Py<PyString>>| name.as_ref().map(|name| name.clone_ref(py));
    (sender.clone_ref(py), name(group), name(interface))
}

fn insert<K: Hash + Eq, V>(cache: &mut HashMap<K, V>, key: K, value: V) {
    if cache.len() >= CAPACITY {
        cache.clear();
    }
    cache.insert(key, value);
}

#[inline]
fn assembled(data: Py<PyBytes>, (sender, group, interface): Names, origin: &Origin) -> Datagram {
    Datagram {
        data,
        sender,
        group,
        interface,
        interface_index: (origin.interface != 0).then_some(origin.interface),
        timestamp_ns: origin.timestamp_ns,
        ttl: origin.ttl,
        truncated: origin.truncated,
    }
}

/// The interface that a link-local IPv6 address belongs to; 0 for all others.
fn zone(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// The address of a sender as text; of a link-local one with its zone, by name if `name_of` knows it.
pub(crate) fn host(sender: &SocketAddr, name_of: impl Fn(u32) -> Option<String>) -> String {
    match zone(sender) {
        0 => sender.ip().to_string(),
        index => {
            let name = name_of(index).unwrap_or_else(|| index.to_string());
            format!("{}%{name}", sender.ip())
        }
    }
}
