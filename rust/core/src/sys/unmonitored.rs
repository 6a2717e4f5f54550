//! Systems whose routing messages this crate does not read: changes are found by polling, and routes are unknown.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use getifaddrs::{Address, InterfaceFlags};

use super::platform::fill_mtus;
use super::polling::Polling;
use crate::pure::links::{Interface, Links};
use crate::pure::netlink::NetlinkEvent;

/// Reports changes by polling.
#[derive(Debug)]
pub(crate) struct Monitor(Polling);

impl Monitor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Polling::default()))
    }

    /// Does nothing: changes of routes are not seen here.
    pub(crate) fn watch_routes(&self) -> io::Result<()> {
        Ok(())
    }

    /// Reports whether the period is over. Returns true: polling misses nothing. Never blocks.
    pub(crate) fn drain(&self, visit: impl FnMut(NetlinkEvent)) -> io::Result<bool> {
        self.0.drain(visit);
        Ok(true)
    }

    /// Returns the time until [`Self::drain`] must be called.
    pub(crate) fn due(&self) -> Option<Duration> {
        Some(self.0.due())
    }

    /// Returns `None`: there are no notifications to wait for.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        None
    }
}

/// The interfaces of this host. Routes are unknown: the system chooses the interface, and does not say which.
#[derive(Debug)]
pub(crate) struct Network(());

impl Network {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Returns every interface with its addresses. There are no alternative names and labels here.
    pub(crate) fn links(&mut self) -> io::Result<Links> {
        let mut links = Links::new();
        for entry in getifaddrs::getifaddrs()? {
            // An interface that was deleted in the meantime has no index.
            let Some(index) = entry.index else { continue };
            let interface = links.entry(index).or_insert_with(|| Interface {
                name: entry.name.clone(),
                index,
                up: entry.flags.contains(InterfaceFlags::UP),
                running: entry.flags.contains(InterfaceFlags::RUNNING),
                multicast: entry.flags.contains(InterfaceFlags::MULTICAST),
                loopback: entry.flags.contains(InterfaceFlags::LOOPBACK),
                ..Interface::default()
            });
            if let Address::V4(_) | Address::V6(_) = entry.address {
                interface.addresses.extend(entry.address.ip_addr());
            }
        }
        fill_mtus(&mut links)?;
        Ok(links)
    }

    /// Returns `None`: the route is unknown.
    pub(crate) fn route(&mut self, _destination: IpAddr) -> io::Result<Option<u32>> {
        Ok(None)
    }
}

/// Returns the index of the interface with this name; `None` if there is none.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    getifaddrs::if_nametoindex(name).ok()
}

/// Returns the name of the interface with this index; `None` if there is none.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    getifaddrs::if_indextoname(index).ok()
}
