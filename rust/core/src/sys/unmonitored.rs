//! Systems whose routing messages this crate does not read: changes are found by polling, and routes are unknown.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::polling::Polling;
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

/// Knows no routes: the system chooses the interface, and does not say which.
#[derive(Debug)]
pub(crate) struct Routes;

impl Routes {
    pub(crate) fn open() -> Self {
        Self
    }

    pub(crate) fn interface(&self, _destination: IpAddr) -> io::Result<Option<u32>> {
        Ok(None)
    }
}
