//! The compiled module `multicast._core`: conversion, the GIL and errors around `multicast-core`.
//!
//! Networking is decided in the core below, and policy in Python above. The only unsafe code is in `column`, because
//! pyo3 declares the buffer protocol unsafe, and in `exit`, because pyo3 has no `Py_AtExit`. Doc comments of classes
//! and methods are docstrings of Python.

#![deny(unsafe_code)]
#![allow(rustdoc::invalid_rust_codeblocks, reason = "the examples are Python")]

mod answers;
mod backend;
mod batch;
mod column;
mod convert;
mod datagram;
mod descriptor;
mod endpoint;
mod errors;
mod exit;
mod fields;
mod interner;
mod log;
mod memberships;
mod player;
mod receiver;
mod receiving;
mod recorder;
mod sender;
mod sending;
mod streams;
mod wait;
mod watch;

use pyo3::prelude::*;

/// The compiled core of `multicast`. Import `multicast` instead.
#[pymodule(gil_used = false)]
mod _core {
    use super::{PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::answers::Answers;
    #[pymodule_export]
    use super::batch::{Batch, BatchIterator};
    #[pymodule_export]
    use super::column::Column;
    #[pymodule_export]
    use super::convert::{_interface_index, _interfaces, _receive_buffer_setting};
    #[pymodule_export]
    use super::datagram::Datagram;
    #[pymodule_export]
    use super::endpoint::{_EndpointReader, _sending_socket};
    #[pymodule_export]
    use super::player::Player;
    #[pymodule_export]
    use super::receiver::{BatchStream, Receiver};
    #[pymodule_export]
    use super::recorder::Recorder;
    #[pymodule_export]
    use super::sender::Sender;
    #[pymodule_export]
    use super::streams::{_Streams, _Wire};
    #[pymodule_export]
    use super::watch::_InterfaceWatch;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, PyModule>) -> PyResult<()> {
        super::exit::install()?;
        super::batch::register_as_sequence(module.py())?;
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
