//! The interfaces of this host, and how a user's name for one becomes an index.

use std::io;
use std::net::IpAddr;

use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::InterfaceName;
pub use crate::pure::links::Interface;
use crate::pure::links::{Links, find_named};
use crate::sys::{self, Network};

impl Interface {
    /// Why no group can be received on it, or `None` if it is usable.
    ///
    /// The loopback interface of Linux has no MULTICAST flag, but groups can be joined on it all the same.
    pub fn unusable_reason(&self) -> Option<&'static str> {
        match self {
            Self { up: false, .. } => Some("it is down"),
            Self { multicast: false, loopback: false, .. } => Some("it does not support multicast"),
            _ => None,
        }
    }

    /// It is up and has a carrier.
    pub(super) fn ready(&self) -> bool {
        self.up && self.running
    }

    /// Its addresses of the same IP version as `other`.
    pub(super) fn same_version(&self, other: IpAddr) -> impl Iterator<Item = &IpAddr> {
        self.addresses.iter().filter(move |address| address.is_ipv4() == other.is_ipv4())
    }
}

/// Return every interface of this host, ordered by index.
pub fn interfaces() -> Result<Vec<Interface>> {
    Ok(snapshot()?.into_values().collect())
}

/// Return the interfaces of the calling thread's network namespace.
pub(super) fn snapshot() -> Result<Links> {
    Network::open().and_then(|mut network| network.links()).map_err(|e| Error::system("list the interfaces", e))
}

/// Return the name of the interface with this index; `None` if there is none.
pub fn interface_name(index: u32) -> Option<String> {
    sys::interface_name(index)
}

/// Return the index of the interface that a user named; `None` if there is none, or it is the default interface.
pub fn interface_index(name: &InterfaceName) -> Result<Option<u32>> {
    Ok(find(name, &snapshot()?).map(|found| found.index))
}

/// An interface that exists, or the system's choice (index 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) index: u32,
    pub(super) name: String,
    /// The address that the user named it by, directly or by the address's label.
    pub(super) address: Option<IpAddr>,
}

impl Chosen {
    /// The words for a message: " on eth0"; empty for the system's choice.
    pub(super) fn phrase(&self) -> String {
        if self.index == 0 { String::new() } else { format!(" on {}", self.name) }
    }
}

/// Find the interface that a user named. The default interface has index 0.
pub(super) fn choose(name: &InterfaceName) -> Result<Chosen> {
    let index = match name {
        InterfaceName::Default => return Ok(Chosen { index: 0, name: String::new(), address: None }),
        InterfaceName::Index(index) => Some(*index),
        InterfaceName::Name(text) => sys::interface_index(text),
        InterfaceName::Address(_) => None,
    };
    match index.and_then(|index| Some(Chosen { index, name: sys::interface_name(index)?, address: None })) {
        Some(found) => Ok(found),
        // A list of all of them takes longer, but has every name and address.
        None => find(name, &snapshot()?).ok_or_else(|| unknown(name)),
    }
}

/// Find the interface that a user named in a snapshot. The default interface is not in it.
pub(super) fn find(name: &InterfaceName, links: &Links) -> Option<Chosen> {
    let (interface, address) = match name {
        InterfaceName::Default => return None,
        InterfaceName::Index(index) => (links.get(index)?, None),
        InterfaceName::Name(name) => {
            let interface = find_named(links, name)?;
            let labelled = interface.labels.iter().find(|(label, _)| label == name);
            (interface, labelled.map(|(_, address)| *address))
        }
        InterfaceName::Address(address) => {
            (links.values().find(|interface| interface.addresses.contains(address))?, Some(*address))
        }
    };
    Some(Chosen { address, ..Chosen::from(interface) })
}

impl From<&Interface> for Chosen {
    fn from(interface: &Interface) -> Self {
        Self { index: interface.index, name: interface.name.clone(), address: None }
    }
}

/// Advice for a group that a route refuses; `None` if none does.
///
/// Only the codes that the system uses to report such a route are considered.
pub(super) fn route_advice(group: IpAddr, code: i32) -> Option<String> {
    if !errno::ROUTE_REFUSES.contains(&code) {
        return None;
    }
    let refusal = Network::open().and_then(|mut network| network.refusal(group)).ok()??;
    let ip = if group.is_ipv4() { "ip" } else { "ip -6" };
    Some(format!(
        "a route of type '{refusal}' refuses the group: name an interface, or delete that route \
         ('{ip} route show type {refusal}' shows it)"
    ))
}

/// The error for an interface that does not exist. It lists the ones that do.
fn unknown(name: &InterfaceName) -> Error {
    let code = match name {
        InterfaceName::Address(_) => errno::ADDRESS_NOT_AVAILABLE,
        _ => errno::NO_DEVICE,
    };
    Error::system(format!("use {name}"), io::Error::from_raw_os_error(code)).advise(|_| {
        let names: Vec<String> = interfaces().ok()?.into_iter().map(described).collect();
        Some(format!("interfaces here: {}", names.join(", ")))
    })
}

fn described(interface: Interface) -> String {
    match interface.addresses.first() {
        Some(address) => format!("{} ({address})", interface.name),
        None => interface.name,
    }
}
