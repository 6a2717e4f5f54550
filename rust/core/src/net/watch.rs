//! Changes of the interfaces and routes, for programs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fork::ForkSafeMutex;
use super::socket::GroupSocket;
use crate::error::{Error, Result};
use crate::pure::changes::{Change, changes};
use crate::pure::links::Links;
use crate::pure::netlink::NetlinkEvent;
use crate::pure::wake::Wake;
use crate::sys::{self, Monitor, Network, Waker};

/// Reports changes of the interfaces of the network namespace where it was opened.
pub struct InterfaceWatch {
    /// `None` once closed.
    state: ForkSafeMutex<Option<State>>,
}

/// Shared with the threads that wait.
struct Handles {
    monitor: Monitor,
    waker: Waker,
}

struct State {
    handles: Arc<Handles>,
    network: Network,
    /// The interfaces as the last changes left them.
    links: Links,
    /// Events of the monitor that are not reported yet, because the interfaces could not be listed.
    seen: Vec<NetlinkEvent>,
    /// The monitor lost messages.
    overrun: bool,
}

impl fmt::Debug for InterfaceWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterfaceWatch").finish_non_exhaustive()
    }
}

impl InterfaceWatch {
    /// Report all changes from now on.
    pub fn open() -> Result<Self> {
        let failed = |e| Error::system("watch the interfaces", e);
        // The monitor comes first, so that no change is missed.
        let monitor = Monitor::new().map_err(failed)?;
        monitor.watch_routes().map_err(failed)?;
        let waker = Waker::new().map_err(failed)?;
        let mut network = Network::open().map_err(failed)?;
        let links = network.links().map_err(failed)?;
        let handles = Arc::new(Handles { monitor, waker });
        let state = State { handles, network, links, seen: Vec::new(), overrun: false };
        Ok(Self { state: ForkSafeMutex::new(Some(state))? })
    }

    /// Return the changes since the last call, in order. Never blocks.
    pub fn poll(&self) -> Result<Vec<Change>> {
        let mut guard = self.state.lock_or_refuse()?;
        let State { handles, network, links, seen, overrun } = guard.as_mut().ok_or_else(closed)?;
        if handles.waker.is_inherited() {
            return Err(Error::Unsupported("cannot watch the interfaces after a fork (open a new watch here)".into()));
        }
        let failed = |e| Error::system("watch the interfaces", e);
        *overrun |= !handles.monitor.drain(|event| seen.push(event)).map_err(failed)?;
        if seen.is_empty() && !*overrun {
            return Ok(Vec::new());
        }
        let now = network.links().map_err(failed)?;
        let found = changes(links, &now, seen, *overrun);
        *links = now;
        seen.clear();
        *overrun = false;
        Ok(found)
    }

    /// Sleep until [`InterfaceWatch::poll`] may have something, or until the timeout.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let handles = self.handles()?;
        let Handles { monitor, waker } = &*handles;
        let limit = [timeout, monitor.due()].into_iter().flatten().min();
        let no_sockets: [Arc<GroupSocket>; 0] = [];
        let (wake, _) = sys::wait_receiving(&no_sockets, None, monitor, waker, limit)
            .map_err(|e| Error::system("wait for changes of the interfaces", e))?;
        let wake = wake.ok_or_else(closed)?;
        // If the limit was shorter than the timeout, it is time to look.
        Ok(if limit == timeout { wake } else { wake.or_ready() })
    }

    /// The descriptor that is readable when something changed; `None` if the system reports nothing, so that
    /// [`InterfaceWatch::poll`] must be called once a second.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<Option<i64>> {
        Ok(self.handles()?.monitor.descriptor().map(i64::from))
    }

    /// As on other systems; `None`, because Windows reports nothing.
    #[cfg(windows)]
    pub fn descriptor(&self) -> Result<Option<i64>> {
        self.handles().map(|_| None)
    }

    /// End every wait. Closing again does nothing.
    pub fn close(&self) {
        if let Some(state) = self.state.lock().and_then(|mut state| state.take()) {
            state.handles.waker.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().is_none_or(|state| state.is_none())
    }

    fn handles(&self) -> Result<Arc<Handles>> {
        self.state.lock_or_refuse()?.as_ref().map(|state| Arc::clone(&state.handles)).ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::Closed("the watch of the interfaces is closed".into())
}
