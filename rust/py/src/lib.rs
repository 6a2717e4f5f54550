//! The compiled module `multicast._core`: conversion, the GIL and errors around `multicast-core`.
//!
//! No networking is decided here, and no policy: that is the core's business below and Python's above. The only
//! unsafe code is in `column`, where the buffer protocol is unsafe by its nature, and in `exit`.

#![deny(unsafe_code)]

mod batch;
mod column;
mod convert;
mod datagram;
mod errors;
mod events;
mod exit;
mod receiver;
mod sender;
mod source;
mod wait;

use pyo3::prelude::*;

/// The compiled core of `multicast`. Import `multicast` instead.
#[pymodule(gil_used = false)]
mod _core {
    use super::{PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::batch::{Batch, BatchIterator};
    #[pymodule_export]
    use super::column::Column;
    #[pymodule_export]
    use super::convert::{interfaces, receive_buffer_setting};
    #[pymodule_export]
    use super::datagram::Datagram;
    #[pymodule_export]
    use super::errors::{ClosedError, UnsupportedError};
    #[pymodule_export]
    use super::receiver::Receiver;
    #[pymodule_export]
    use super::sender::Sender;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, PyModule>) -> PyResult<()> {
        super::exit::install()?;
        module.add("__version__", super::version())
    }
}

/// Returns the version of the workspace in Python's spelling (PEP 440): 3.0.0-beta.1.dev.0 is 3.0.0b1.dev0.
fn version() -> String {
    let cargo = env!("CARGO_PKG_VERSION");
    let (release, stages) = cargo.split_once('-').unwrap_or((cargo, ""));
    let mut version = release.to_owned();
    let mut parts = stages.split('.');
    while let Some(name) = parts.next().filter(|name| !name.is_empty()) {
        version.push_str(match name {
            "alpha" => "a",
            "beta" => "b",
            "dev" => ".dev",
            other => other,
        });
        version.push_str(parts.next().unwrap_or("0"));
    }
    version
}
