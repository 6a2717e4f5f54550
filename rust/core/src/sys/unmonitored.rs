//! Systems whose routing messages this crate does not read: changes are found by polling, and routes are unknown.

use std::io;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use getifaddrs::{Address, InterfaceFlags};
use socket2::Socket;

use super::platform::fill_mtus;
use super::polling::Polling;
use crate::pure::links::{Interface, Links};
use crate::pure::netlink::{NetlinkEvent, Refusal};

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

    /// Calls `visit` if the period is over. Returns true: polling misses nothing. Never blocks.
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

    /// Returns `None`: the route is unknown.
    pub(crate) fn refusal(&mut self, _destination: IpAddr) -> io::Result<Option<Refusal>> {
        Ok(None)
    }
}

/// Returns the index of the interface with this name; `None` if there is none.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    getifaddrs::if_nametoindex(name).ok()
}

/// Returns the index of the interface with this name; `None` if there is none. There are no network namespaces.
pub(crate) fn interface_index_at(_socket: &Socket, name: &str) -> Option<u32> {
    interface_index(name)
}

/// Returns every interface. There are no network namespaces.
pub(crate) fn links_at(_socket: &Socket) -> io::Result<Links> {
    Network::open()?.links()
}

/// Returns a number that changes every second: interfaces are looked up by name no more often than that.
pub(crate) fn tick() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Enough for 292 billion years.
    START.get_or_init(Instant::now).elapsed().as_secs() as i64
}

/// Returns the name of the interface with this index; `None` if there is none.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    getifaddrs::if_indextoname(index).ok()
}
