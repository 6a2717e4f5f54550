//! The interfaces of this machine, and how a user's name for one becomes an index.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use getifaddrs::{Address, InterfaceFlags};

use crate::pure::address::InterfaceName;
use crate::sys::{self, errno};
use crate::{Error, Result};

/// One interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The system's name for it.
    pub name: String,
    /// Its index, from 1.
    pub index: u32,
    /// Its addresses, of both families.
    pub addresses: Vec<IpAddr>,
    /// Switched on.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// Can do multicast, as the system sees it.
    pub multicast: bool,
    /// The loopback interface.
    pub loopback: bool,
}

impl Interface {
    /// Why no group can be heard on it, where that is so.
    pub fn unusable(&self) -> Option<&'static str> {
        match self {
            Self { up: false, .. } => Some("it is down"),
            Self { multicast: false, .. } => Some("the system does no multicast on it"),
            _ => None,
        }
    }

    /// Switched on, with a carrier.
    pub(super) fn ready(&self) -> bool {
        self.up && self.running
    }

    /// Its addresses of the family of this one.
    pub(super) fn family(&self, of: IpAddr) -> impl Iterator<Item = &IpAddr> {
        self.addresses.iter().filter(move |address| address.is_ipv4() == of.is_ipv4())
    }
}

/// The interfaces at one moment, by index.
pub(super) type Snapshot = BTreeMap<u32, Interface>;

/// Every interface of this machine.
pub(super) fn snapshot() -> Result<Snapshot> {
    let entries = getifaddrs::getifaddrs().map_err(|e| Error::system("list the interfaces", e))?;
    let mut found = Snapshot::new();
    for entry in entries {
        // One that was deleted meanwhile has no index any more.
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

/// Every interface of this machine, by index.
pub fn interfaces() -> Result<Vec<Interface>> {
    Ok(snapshot()?.into_values().collect())
}

/// The largest packet that goes through an interface, in octets; `None` where it is gone or has no limit.
pub fn interface_mtu(interface: &Interface) -> Result<Option<u32>> {
    sys::interface_mtu(&interface.name, interface.index)
        .map(|mtu| mtu.filter(|&octets| octets != u32::MAX))
        .map_err(|e| Error::system(format!("read the MTU of {}", interface.name), e))
}

/// The name of the interface with this index, while there is one.
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
    /// How it reads in a message: " on eth0".
    pub(super) fn phrase(&self) -> String {
        if self.index == 0 { String::new() } else { format!(" on {}", self.name) }
    }
}

/// Finds the interface that a user named.
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

/// Finds the interface that a user named among these; the system's choice is none of them.
pub(super) fn find(name: &InterfaceName, here: &Snapshot) -> Option<Chosen> {
    let is_it = |interface: &&Interface| match name {
        InterfaceName::Default => false,
        InterfaceName::Index(index) => interface.index == *index,
        InterfaceName::Name(name) => interface.name == *name,
        InterfaceName::Address(address) => interface.addresses.contains(address),
    };
    here.values().find(is_it).map(Chosen::from)
}

impl From<&Interface> for Chosen {
    fn from(interface: &Interface) -> Self {
        Self { index: interface.index, name: interface.name.clone() }
    }
}

/// The error for an interface that is not there; lists what is.
fn unknown(name: &InterfaceName) -> Error {
    let code = match name {
        InterfaceName::Address(_) => errno::ADDRESS_NOT_AVAILABLE,
        _ => errno::NO_DEVICE,
    };
    Error::system(format!("use {name}"), io::Error::from_raw_os_error(code)).advise(|_| {
        let here: Vec<String> = interfaces().ok()?.into_iter().map(described).collect();
        Some(format!("interfaces here: {}", here.join(", ")))
    })
}

fn described(interface: Interface) -> String {
    match interface.addresses.first() {
        Some(address) => format!("{} ({address})", interface.name),
        None => interface.name,
    }
}
