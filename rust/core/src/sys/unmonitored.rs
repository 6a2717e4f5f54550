//! Systems whose messages about interfaces and routes are not read: a look now and then, and no word on routes.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::polling::Polling;
use crate::pure::netlink::News;

/// Tells of changes, by looking now and then.
#[derive(Debug)]
pub(crate) struct Monitor(Polling);

impl Monitor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Polling::default()))
    }

    /// Routes are not looked at.
    pub(crate) fn watch_routes(&self) -> io::Result<()> {
        Ok(())
    }

    /// Says whether it is time for a look. Returns whether nothing was missed, which a look cannot tell. Never blocks.
    pub(crate) fn drain(&self, visit: impl FnMut(News)) -> io::Result<bool> {
        self.0.drain(visit);
        Ok(true)
    }

    /// After what time it has to be asked.
    pub(crate) fn due(&self) -> Option<Duration> {
        Some(self.0.due())
    }

    /// There is nothing to wait on for a sign.
    #[cfg(unix)]
    pub(super) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
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
