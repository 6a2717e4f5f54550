//! The end of the interpreter: no background thread outlives it.
//!
//! Needs unsafe code, because pyo3 has no safe way to `Py_AtExit`.
#![allow(unsafe_code)]

use multicast_core::net::close_rings;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Ends the background threads when the interpreter ends.
///
/// `Py_AtExit` runs later than the module `atexit`: no Python code runs any more at that point, so no thread that still
/// waits on a receiver can raise (and print) that the receiver was closed.
pub(crate) fn install() -> PyResult<()> {
    extern "C" fn at_exit() {
        close_rings();
    }
    // SAFETY: `at_exit` lives as long as this library, which Python never unloads, and calls no Python.
    match unsafe { ffi::Py_AtExit(Some(at_exit)) } {
        0 => Ok(()),
        _ => Err(PyRuntimeError::new_err("cannot register the function that ends background threads at exit")),
    }
}
