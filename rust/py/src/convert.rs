//! What crosses the border: interfaces, sources and groups from Python; senders, groups and addresses to it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use multicast_core::net::{self, GroupSpec, Origin};
use multicast_core::pure::address::{InterfaceName, Interfaces, parse_group, parse_source};
use multicast_core::pure::filter::{Membership, Sources};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::datagram::Datagram;
use crate::errors::raise;

/// An interface by name, index or address; `None` leaves it to the system.
pub(crate) fn interface(given: Option<&Bound<'_, PyAny>>) -> PyResult<InterfaceName> {
    let Some(given) = given else { return Ok(InterfaceName::Default) };
    if let Ok(text) = given.cast::<PyString>() {
        return InterfaceName::parse(text.to_str()?).map_err(raise);
    }
    if given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyBool>() {
        let index = given.extract().map_err(|_| {
            PyValueError::new_err(format!("interface must be an index from 1 to {}, got {given}", i32::MAX))
        })?;
        return InterfaceName::from_index(index).map_err(raise);
    }
    Err(PyTypeError::new_err(format!(
        "an interface is a name or address (str), an index (int) or None, not {}",
        given.get_type().name()?
    )))
}

/// Where to join: `"all"`, a list or tuple of interfaces, or one of them.
fn interfaces_of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Interfaces> {
    let Some(given) = given else { return Ok(InterfaceName::Default.into()) };
    if let Ok(text) = given.cast::<PyString>() {
        return Interfaces::parse(text.to_str()?).map_err(raise);
    }
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let names = given.try_iter()?.map(|item| interface(Some(&item?))).collect::<PyResult<Vec<_>>>()?;
        return Ok(Interfaces::Several(names));
    }
    interface(Some(given)).map(Interfaces::One)
}

/// A group with its interface and sources, as Python's side passes it.
pub(crate) type GroupArgument<'py> = (String, Option<Bound<'py, PyAny>>, Vec<String>, Vec<String>);

pub(crate) fn group_spec((group, on, only, except): GroupArgument<'_>) -> PyResult<GroupSpec> {
    let group = parse_group(&group).map_err(raise)?;
    // Each once, however it is spelled: no source can be joined twice.
    let read = |list: Vec<String>| -> PyResult<Vec<IpAddr>> {
        let mut addresses = Vec::with_capacity(list.len());
        for text in list {
            let address = parse_source(&text, group).map_err(raise)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    };
    let sources = match (only.is_empty(), except.is_empty()) {
        (true, true) => Sources::Any,
        (false, true) => Sources::Only(read(only)?),
        (true, false) => Sources::Except(read(except)?),
        (false, false) => {
            return Err(PyValueError::new_err(format!("{group} is joined for some sources or without some, not both")));
        }
    };
    Ok(GroupSpec { group, interface: interfaces_of(on.as_ref())?, sources })
}

/// A membership as Python is told: group, index of the interface or `None`, sources, excluded.
pub(crate) type Joined = (String, Option<u32>, Vec<String>, Vec<String>);

pub(crate) fn membership(m: Membership) -> Joined {
    let list = |addresses: Vec<IpAddr>| addresses.iter().map(ToString::to_string).collect();
    let (only, except) = match m.sources {
        Sources::Any => (Vec::new(), Vec::new()),
        Sources::Only(addresses) => (list(addresses), Vec::new()),
        Sources::Except(addresses) => (Vec::new(), list(addresses)),
    };
    (m.group.to_string(), (m.interface != 0).then_some(m.interface), only, except)
}

/// A message to send: `bytes` are read in place, other buffers are copied, so that nobody can change them on the way.
pub(crate) fn message<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    match given.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => {
            let view = PyMemoryView::from(given).map_err(|_| {
                let name = given.get_type().name().map_or_else(|_| "this".to_owned(), |name| name.to_string());
                PyTypeError::new_err(format!("a message is bytes or another buffer, not {name}"))
            })?;
            Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
        }
    }
}

/// Every interface of this machine, each as a dict: name, index, addresses, up, multicast, loopback, MTU, why it is not
/// usable.
#[pyfunction]
pub(crate) fn interfaces(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let list = py.detach(net::interfaces).map_err(raise)?;
    list.into_iter()
        .map(|interface| {
            let dict = PyDict::new(py);
            dict.set_item("name", &interface.name)?;
            dict.set_item("index", interface.index)?;
            let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
            dict.set_item("addresses", PyTuple::new(py, addresses)?)?;
            dict.set_item("up", interface.up)?;
            dict.set_item("multicast", interface.multicast)?;
            dict.set_item("loopback", interface.loopback)?;
            dict.set_item("mtu", net::interface_mtu(&interface).map_err(raise)?)?;
            dict.set_item("unusable", interface.unusable_reason())?;
            Ok(dict)
        })
        .collect()
}

/// What grants a larger receive buffer on this system.
#[pyfunction]
pub(crate) fn receive_buffer_setting() -> &'static str {
    net::RECEIVE_BUFFER_SETTING
}

/// Python objects for senders and groups, made once each: a feed names the same few over and over.
#[derive(Default)]
pub(crate) struct Interner {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Of the last datagram: mostly the next one's too.
    last: Option<(SocketAddr, Option<IpAddr>, Names)>,
    senders: HashMap<SocketAddr, Py<PyTuple>>,
    groups: HashMap<IpAddr, Py<PyString>>,
}

/// What a datagram says of where it came from and where to.
type Names = (Py<PyTuple>, Option<Py<PyString>>);

/// More than this many different ones are forgotten: a flood of forged senders must not fill the memory.
const INTERNED: usize = 4096;

impl Interner {
    /// The `Datagram` for a payload and its origin.
    pub(crate) fn datagram(&self, py: Python<'_>, data: Py<PyBytes>, origin: &Origin) -> PyResult<Py<Datagram>> {
        let names = self.lock().names(py, origin);
        let names = match names {
            Some(known) => known,
            None => (self.sender(py, &origin.sender)?, origin.group.map(|group| self.group(py, group)).transpose()?),
        };
        assemble(py, data, names, origin)
    }

    /// As [`Interner::datagram`], where sender and group were seen before: makes nothing that the garbage collector looks
    /// at, so it may be called under a lock. `None` where they were not, or there is no memory.
    #[inline]
    pub(crate) fn known_datagram(&self, py: Python<'_>, data: &Py<PyBytes>, origin: &Origin) -> Option<Py<Datagram>> {
        let names = self.lock().names(py, origin)?;
        assemble(py, data.clone_ref(py), names, origin).ok()
    }

    /// `(host, port)`; the host of a link-local IPv6 sender with its zone.
    pub(crate) fn sender(&self, py: Python<'_>, sender: &SocketAddr) -> PyResult<Py<PyTuple>> {
        if let Some(known) = self.lock().senders.get(sender) {
            return Ok(known.clone_ref(py));
        }
        // Made without the lock: a new tuple can start the garbage collector, and with it any code.
        let made = (host(sender), sender.port()).into_pyobject(py)?.unbind();
        keep(&mut self.lock().senders, *sender, made.clone_ref(py));
        Ok(made)
    }

    /// The group as text.
    pub(crate) fn group(&self, py: Python<'_>, group: IpAddr) -> PyResult<Py<PyString>> {
        if let Some(known) = self.lock().groups.get(&group) {
            return Ok(known.clone_ref(py));
        }
        let made = PyString::new(py, &group.to_string()).unbind();
        keep(&mut self.lock().groups, group, made.clone_ref(py));
        Ok(made)
    }

    /// Nothing under this lock runs Python code but the release of strings and tuples of strings.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    #[inline]
    fn names(&mut self, py: Python<'_>, origin: &Origin) -> Option<Names> {
        match &self.last {
            Some((sender, group, names)) if *sender == origin.sender && *group == origin.group => {
                Some((names.0.clone_ref(py), names.1.as_ref().map(|name| name.clone_ref(py))))
            }
            _ => self.look_up(py, origin),
        }
    }

    fn look_up(&mut self, py: Python<'_>, origin: &Origin) -> Option<Names> {
        let sender = self.senders.get(&origin.sender)?;
        let group = match &origin.group {
            Some(group) => Some(self.groups.get(group)?.clone_ref(py)),
            None => None,
        };
        let again = group.as_ref().map(|name| name.clone_ref(py));
        self.last = Some((origin.sender, origin.group, (sender.clone_ref(py), again)));
        Some((sender.clone_ref(py), group))
    }
}

fn keep<K: Hash + Eq, V>(all: &mut HashMap<K, V>, key: K, value: V) {
    if all.len() >= INTERNED {
        all.clear();
    }
    all.insert(key, value);
}

#[inline]
fn assemble(py: Python<'_>, data: Py<PyBytes>, (sender, group): Names, origin: &Origin) -> PyResult<Py<Datagram>> {
    let datagram = Datagram {
        data,
        sender,
        group,
        interface: (origin.interface != 0).then_some(origin.interface),
        timestamp_ns: origin.timestamp_ns,
        ttl: origin.ttl,
        truncated: origin.truncated,
    };
    Py::new(py, datagram)
}

fn host(sender: &SocketAddr) -> String {
    match sender {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            let zone = net::interface_name(v6.scope_id()).unwrap_or_else(|| v6.scope_id().to_string());
            format!("{}%{zone}", v6.ip())
        }
        _ => sender.ip().to_string(),
    }
}
