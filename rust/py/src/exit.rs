//! The end of the interpreter: no thread of ours outlives it.
//!
//! With unsafe code, because pyo3 has no safe way to the hook.
#![allow(unsafe_code)]

use multicast_core::net::close_rings;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Has the background threads ended when Python has.
///
/// Later than the module `atexit` would: by then no Python code runs any more, so no thread that still waits on a
/// receiver can raise (and print) that it was closed.
pub(crate) fn install() -> PyResult<()> {
    extern "C" fn at_exit() {
        close_rings();
    }
    // SAFETY: `at_exit` lives as long as this library, which Python never unloads, and calls no Python.
    match unsafe { ffi::Py_AtExit(Some(at_exit)) } {
        0 => Ok(()),
        _ => Err(PyRuntimeError::new_err("Python has no room for one more function to call at exit")),
    }
}
