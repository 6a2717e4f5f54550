//! Arguments from Python to the core: interfaces, groups, sources, messages; memberships and interfaces back.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use multicast_core::net::{self, GroupSpec};
use multicast_core::pure::address::{InterfaceName, Interfaces, parse_group, parse_source};
use multicast_core::pure::filter::Sources;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::datagram::Datagram;
use crate::errors::to_python;

/// Reads an interface: a name, an address or an index. `None` leaves the choice to the system.
pub(crate) fn interface(given: Option<&Bound<'_, PyAny>>) -> PyResult<InterfaceName> {
    let Some(given) = given else { return Ok(InterfaceName::Default) };
    if let Ok(text) = given.cast::<PyString>() {
        return InterfaceName::parse(text.to_str()?).map_err(to_python);
    }
    if given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyBool>() {
        let index = given.extract().map_err(|_| {
            PyValueError::new_err(format!("interface must be an index from 1 to 2147483647, got {given}"))
        })?;
        return InterfaceName::from_index(index).map_err(to_python);
    }
    Err(PyTypeError::new_err(format!(
        "interface must be a name or address (str), an index (int), an ipaddress object, an Interface or None, got {}",
        type_name(given)
    )))
}

/// Reads where to join: `"all"`, a list or tuple of interfaces, or one of them.
fn interfaces_to_join(given: Option<&Bound<'_, PyAny>>) -> PyResult<Interfaces> {
    let Some(given) = given else { return Ok(InterfaceName::Default.into()) };
    if let Ok(text) = given.cast::<PyString>() {
        return Interfaces::parse(text.to_str()?).map_err(to_python);
    }
    if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() {
        let names = given.try_iter()?.map(|item| interface(Some(&item?))).collect::<PyResult<Vec<_>>>()?;
        return Ok(Interfaces::Several(names));
    }
    interface(Some(given)).map(Interfaces::One)
}

/// A group as `multicast.sync` passes it: its address, where to join it, its sources, and the excluded ones.
pub(crate) type GroupArgument<'py> = (String, Option<Bound<'py, PyAny>>, Vec<String>, Vec<String>);

pub(crate) fn group_spec((group, on, sources, excluded): GroupArgument<'_>) -> PyResult<GroupSpec> {
    let group = parse_group(&group).map_err(to_python)?;
    let sources = match (sources.is_empty(), excluded.is_empty()) {
        (true, true) => Sources::Any,
        (false, true) => Sources::Only(addresses(sources, group)?),
        (true, false) => Sources::Except(addresses(excluded, group)?),
        (false, false) => {
            return Err(PyValueError::new_err(format!("source and exclude must not both be given, for group {group}")));
        }
    };
    Ok(GroupSpec { group, interface: interfaces_to_join(on.as_ref())?, sources })
}

/// Reads sources. One that is given twice, even in another spelling, counts once: the kernel refuses to join it twice.
pub(crate) fn addresses(list: Vec<String>, group: IpAddr) -> PyResult<Vec<IpAddr>> {
    let mut addresses = Vec::with_capacity(list.len());
    for text in list {
        let address = parse_source(&text, group).map_err(to_python)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Reads the address to bind to.
pub(crate) fn bind_address(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("bind must be an IPv4 or IPv6 address, got '{text}'")))
}

/// Reads the address and the port to send from.
pub(crate) fn local_address((address, port): (Option<String>, u16)) -> PyResult<(Option<IpAddr>, u16)> {
    let parsed = address.map(|text| {
        text.parse()
            .map_err(|_| PyValueError::new_err(format!("local must have an IPv4 or IPv6 address, got '{text}'")))
    });
    Ok((parsed.transpose()?, port))
}

/// Reads the time between two rejoins.
pub(crate) fn rejoin_period(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("rejoin must be a number of seconds above 0, or None, got {seconds}"))
    })
}

/// Reads a number of seconds whose range the core checks.
pub(crate) fn seconds_in(argument: &str, range: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("{argument} must be {range} seconds, got {seconds}")))
}

/// Reads how many datagrams a batch may hold. A number too large for the address space means no limit.
pub(crate) fn limit(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    match given.extract::<isize>() {
        Ok(limit) if limit >= 1 => Ok(limit.unsigned_abs()),
        Err(error) if !error.is_instance_of::<PyOverflowError>(given.py()) => Err(error),
        Err(_) if given.gt(0)? => Ok(usize::MAX),
        _ => Err(PyValueError::new_err(format!("limit must be at least 1, got {given}"))),
    }
}

/// Sources and excluded sources, as text.
pub(crate) fn sources_as_text(sources: Sources) -> (Vec<String>, Vec<String>) {
    let text = |addresses: Vec<IpAddr>| addresses.iter().map(ToString::to_string).collect();
    match sources {
        Sources::Any => (Vec::new(), Vec::new()),
        Sources::Only(addresses) => (text(addresses), Vec::new()),
        Sources::Except(addresses) => (Vec::new(), text(addresses)),
    }
}

/// Reads a message to send. `bytes` are sent without a copy; other buffers are copied, so that they cannot change while
/// they are sent.
pub(crate) fn message<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let view = PyMemoryView::from(given).map_err(|_| {
        let hint = if given.is_instance_of::<PyString>() { "; encode text first: data.encode()" } else { "" };
        PyTypeError::new_err(format!("data must be bytes or another buffer, got {}{hint}", type_name(given)))
    })?;
    Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
}

/// Reads the origin of a datagram: the sender's address, and the index of the interface, or 0 if that is not known.
pub(crate) fn origin(py: Python<'_>, datagram: &Datagram) -> PyResult<(SocketAddr, u32)> {
    let (host, port): (String, u16) = datagram.sender.extract(py)?;
    let (address, zone) = host.split_once('%').map_or((host.as_str(), None), |(address, zone)| (address, Some(zone)));
    let address: IpAddr = address.parse().map_err(|_| {
        PyValueError::new_err(format!("msg must have the address of its sender as msg.sender, got '{host}'"))
    })?;
    let interface = match (datagram.interface_index, zone) {
        (Some(index), _) => index,
        (None, None) => 0,
        (None, Some(zone)) => {
            let named = InterfaceName::parse(zone).map_err(to_python)?;
            py.detach(|| net::interface_index(&named)).map_err(to_python)?.unwrap_or(0)
        }
    };
    Ok(match address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => (SocketAddrV6::new(ip, port, 0, interface).into(), interface),
        _ => (SocketAddr::new(address, port), interface),
    })
}

/// The name of an object's type, for an error message.
fn type_name(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "this object".to_owned(), |name| name.to_string())
}

/// List the interfaces of this machine, each as the keywords of `multicast.Interface`.
#[pyfunction]
pub(crate) fn _interfaces(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let list = py.detach(net::interfaces).map_err(to_python)?;
    list.iter().map(|interface| interface_fields(py, interface)).collect()
}

/// Returns the keywords of `multicast.Interface`.
pub(crate) fn interface_fields<'py>(py: Python<'py>, interface: &net::Interface) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &interface.name)?;
    dict.set_item("index", interface.index)?;
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    dict.set_item("addresses", PyTuple::new(py, addresses)?)?;
    dict.set_item("is_up", interface.up)?;
    dict.set_item("is_multicast", interface.multicast)?;
    dict.set_item("is_loopback", interface.loopback)?;
    dict.set_item("mtu", interface.mtu)?;
    dict.set_item("unusable_reason", interface.unusable_reason())?;
    Ok(dict)
}

/// Return the index of the interface that has this name, label, address or index; `None` if there is none.
#[pyfunction]
pub(crate) fn _interface_index(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    let name = interface(Some(given))?;
    py.detach(|| net::interface_index(&name)).map_err(to_python)
}

/// Return the name of the system setting that limits receive buffers.
#[pyfunction]
pub(crate) fn _receive_buffer_setting() -> &'static str {
    net::RECEIVE_BUFFER_SETTING
}
