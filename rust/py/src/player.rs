//! `multicast._core.Player`: the base of `multicast.capture.Player`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multicast_core::capture::{self, PlayerConfig, Selector, Step, Timing};
use multicast_core::net;
use multicast_core::pure::address::parse_group;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::to_python;
use crate::fields::set_fields;
use crate::sender::Sender;

/// How long one call sends before it returns, so that Python can check for signals and whether to stop.
const SLICE: Duration = Duration::from_millis(50);

/// Sends the datagrams of files. `multicast.capture.Player` is the class for users.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct Player {
    /// Only locked without the GIL, because the lock is held while datagrams are sent.
    state: Mutex<State>,
}

struct State {
    core: capture::Player,
    senders: HashMap<SocketAddr, Py<Sender>>,
}

/// A group and a port as Python passes them.
type SelectorArgument = (String, Option<u16>);

fn selector((group, port): SelectorArgument) -> PyResult<Selector> {
    Ok((parse_group(&group).map_err(to_python)?, port))
}

/// A destination in the file may be any address.
fn destination(argument: &str, (address, port): SelectorArgument) -> PyResult<Selector> {
    let parsed: Result<IpAddr, _> = address.parse();
    let parsed =
        parsed.map_err(|_| PyValueError::new_err(format!("{argument} must have addresses, got '{address}'")))?;
    Ok((parsed, port))
}

impl Player {
    /// A thread that panicked leaves counters that are still right.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Player {
    /// Open the files. Without a speed and a rate, they are sent as fast as the system takes them.
    #[new]
    #[pyo3(signature = (paths, *, speed, rate, loops, groups, mapping))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        speed: Option<f64>,
        rate: Option<f64>,
        loops: Option<u64>,
        groups: Vec<SelectorArgument>,
        mapping: Vec<(SelectorArgument, SelectorArgument)>,
    ) -> PyResult<Self> {
        let timing = match (rate, speed) {
            (Some(rate), _) => Timing::Rate(rate),
            (None, Some(speed)) => Timing::Original(speed),
            (None, None) => Timing::FlatOut,
        };
        let groups = groups.into_iter().map(|group| destination("groups", group)).collect::<PyResult<_>>()?;
        let map = mapping
            .into_iter()
            .map(|(from, to)| Ok((destination("map", from)?, selector(to)?)))
            .collect::<PyResult<_>>()?;
        let config = PlayerConfig { paths, timing, loops, groups, map };
        let core = py.detach(|| capture::Player::open(config)).map_err(to_python)?;
        Ok(Self { state: Mutex::new(State { core, senders: HashMap::new() }) })
    }

    /// Send what is due within a slice of time. Returns whether everything has been sent, and the destination (address
    /// and port) for which a sender is missing, or None.
    fn step(&self, py: Python<'_>) -> PyResult<(bool, Option<(String, u16)>)> {
        let step = py.detach(|| {
            let State { core, senders } = &mut *self.lock();
            let cores: HashMap<SocketAddr, &net::Sender> =
                senders.iter().filter_map(|(to, sender)| sender.get().core().map(|core| (*to, core))).collect();
            core.step(&cores, SLICE)
        });
        Ok(match step.map_err(to_python)? {
            Step::Ended => (true, None),
            Step::Paused => (false, None),
            Step::Needs(to) => (false, Some((to.ip().to_string(), to.port()))),
        })
    }

    /// Use an open sender for its group and port.
    fn add_sender(&self, py: Python<'_>, sender: Py<Sender>) -> PyResult<()> {
        let to = sender.get().destination()?;
        let replaced = py.detach(|| self.lock().senders.insert(to, sender));
        drop(replaced);
        Ok(())
    }

    /// The share of the work that is done, from 0 to 1; None if it has no end.
    #[getter]
    fn progress(&self, py: Python<'_>) -> Option<f64> {
        py.detach(|| self.lock().core.progress())
    }

    /// Return the fields of `multicast.capture.PlayerStats`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.lock().core.stats());
        let dict = PyDict::new(py);
        set_fields!(
            dict,
            stats,
            packets,
            sent,
            bytes_sent,
            other,
            filtered,
            cut,
            incomplete,
            unsent,
            loops,
            is_file_cut
        );
        Ok(dict)
    }
}
