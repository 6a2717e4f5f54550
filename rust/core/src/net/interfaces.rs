//! The interfaces of this machine, and how a user's name for one becomes an index.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use getifaddrs::{Address, InterfaceFlags};

use crate::pure::address::InterfaceName;
use crate::sys::errno;
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
    /// Can do multicast, as the system sees it.
    pub multicast: bool,
    /// The loopback interface.
    pub loopback: bool,
}

/// Every interface of this machine, by index.
pub fn interfaces() -> Result<Vec<Interface>> {
    let entries = getifaddrs::getifaddrs().map_err(|e| Error::system("list the interfaces", e))?;
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    for entry in entries {
        let Some(index) = entry.index else { continue };
        let interface = found.entry(index).or_insert_with(|| Interface {
            name: entry.name.clone(),
            index,
            addresses: Vec::new(),
            up: entry.flags.contains(InterfaceFlags::UP),
            multicast: entry.flags.contains(InterfaceFlags::MULTICAST),
            loopback: entry.flags.contains(InterfaceFlags::LOOPBACK),
        });
        if let Address::V4(_) | Address::V6(_) = entry.address {
            interface.addresses.extend(entry.address.ip_addr());
        }
    }
    Ok(found.into_values().collect())
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
        InterfaceName::Address(address) => interfaces()?
            .into_iter()
            .find(|interface| interface.addresses.contains(address))
            .map(|interface| Chosen { index: interface.index, name: interface.name })
            .ok_or_else(|| unknown(name)),
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
