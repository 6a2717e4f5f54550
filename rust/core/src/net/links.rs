//! The interfaces of this host, and how a user's name for one becomes an index.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use getifaddrs::{Address, InterfaceFlags};

use crate::errno;
use crate::error::{Error, Result};
use crate::pure::address::InterfaceName;
use crate::sys;

/// One interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index, from 1.
    pub index: u32,
    /// Its addresses, of both IP versions.
    pub addresses: Vec<IpAddr>,
    /// It is up.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// The system allows multicast on it.
    pub multicast: bool,
    /// It is the loopback interface.
    pub loopback: bool,
}

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

/// The interfaces at one moment, by index.
pub(super) type Snapshot = BTreeMap<u32, Interface>;

/// Return every interface of this host.
pub(super) fn snapshot() -> Result<Snapshot> {
    let entries = getifaddrs::getifaddrs().map_err(|e| Error::system("list the interfaces", e))?;
    let mut found = Snapshot::new();
    for entry in entries {
        // An interface that was deleted in the meantime has no index.
        let Some(index) = entry.index else { continue };
        let interface = found.entry(index).or_insert_with(|| Interface {
            name: entry.name.clone(),
            index,
            addresses: Vec::new(),
            up: entry.flags.contains(InterfaceFlags::UP),
            running: entry.flags.contains(InterfaceFlags::RUNNING),
            multicast: entry.flags.contains(InterfaceFlags::MULTICAST),
            loopback: entry.flags.contains(InterfaceFlags::LOOPBACK),
        });
        if let Address::V4(_) | Address::V6(_) = entry.address {
            interface.addresses.extend(entry.address.ip_addr());
        }
    }
    Ok(found)
}

/// Return every interface of this host, ordered by index.
pub fn interfaces() -> Result<Vec<Interface>> {
    Ok(snapshot()?.into_values().collect())
}

/// Return the MTU of an interface in bytes; `None` if the interface is gone or has no limit.
pub fn interface_mtu(interface: &Interface) -> Result<Option<u32>> {
    sys::interface_mtu(&interface.name, interface.index)
        .map(|mtu| mtu.filter(|&mtu| mtu != u32::MAX))
        .map_err(|e| Error::system(format!("read the MTU of {}", interface.name), e))
}

/// Return the name of the interface with this index; `None` if there is none.
pub fn interface_name(index: u32) -> Option<String> {
    getifaddrs::if_indextoname(index).ok()
}

/// An interface that exists, or the system's choice (index 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) index: u32,
    pub(super) name: String,
}

impl Chosen {
    /// The words for a message: " on eth0"; empty for the system's choice.
    pub(super) fn phrase(&self) -> String {
        if self.index == 0 { String::new() } else { format!(" on {}", self.name) }
    }
}

/// Find the interface that a user named. The default interface has index 0.
pub(super) fn choose(name: &InterfaceName) -> Result<Chosen> {
    match name {
        InterfaceName::Default => Ok(Chosen { index: 0, name: String::new() }),
        InterfaceName::Index(index) => match getifaddrs::if_indextoname(*index) {
            Ok(name) => Ok(Chosen { index: *index, name }),
            Err(_) => Err(unknown(name)),
        },
        InterfaceName::Name(text) => match getifaddrs::if_nametoindex(text) {
            Ok(index) => Ok(Chosen { index, name: text.clone() }),
            Err(_) => Err(unknown(name)),
        },
        InterfaceName::Address(_) => find(name, &snapshot()?).ok_or_else(|| unknown(name)),
    }
}

/// Find the interface that a user named in a snapshot. The default interface is not in it.
pub(super) fn find(name: &InterfaceName, links: &Snapshot) -> Option<Chosen> {
    let is_it = |interface: &&Interface| match name {
        InterfaceName::Default => false,
        InterfaceName::Index(index) => interface.index == *index,
        InterfaceName::Name(name) => interface.name == *name,
        InterfaceName::Address(address) => interface.addresses.contains(address),
    };
    links.values().find(is_it).map(Chosen::from)
}

impl From<&Interface> for Chosen {
    fn from(interface: &Interface) -> Self {
        Self { index: interface.index, name: interface.name.clone() }
    }
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
