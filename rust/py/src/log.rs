//! Membership events of the core, as records of Python's logger `multicast`.

use multicast_core::net::{Event, Level};
use pyo3::prelude::*;

/// Logs each event as one record, at debug, info or warning level.
pub(crate) fn write(py: Python<'_>, events: Vec<Event>) -> PyResult<()> {
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
