//! What the core has to tell of memberships goes to Python's logger `multicast`, in the thread that uses the receiver.

use multicast_core::net::{Event, Level};
use pyo3::prelude::*;

/// Logs the events, each as a record of its own: at debug, info or warning level.
pub(crate) fn log(py: Python<'_>, events: Vec<Event>) -> PyResult<()> {
    let logging = py.import("logging")?;
    let logger = logging.call_method1("getLogger", ("multicast",))?;
    for event in events {
        let level = logging.getattr(match event.level {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
        })?;
        logger.call_method1("log", (level, "%s", event.text))?;
    }
    Ok(())
}
