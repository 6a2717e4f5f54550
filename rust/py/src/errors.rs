//! The one mapping from the core's errors to Python's exceptions.

use multicast_core::Error;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

// Defined in Python, with the other exceptions of the package.
pyo3::import_exception!(multicast.exceptions, ClosedError);
pyo3::import_exception!(multicast.exceptions, UnsupportedError);

/// Returns the exception for an error. An `OSError` is made from its code, so that Python picks the subclass
/// (`PermissionError`, ...) and sets `errno`.
pub(crate) fn to_python(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let text = error.to_string();
    let code = error.os_error();
    match (&error, code) {
        (Error::Invalid(_), _) => PyValueError::new_err(text),
        (Error::NoMemory(_), _) => PyMemoryError::new_err(text),
        (Error::TimedOut { .. }, _) => PyTimeoutError::new_err(text),
        (Error::Closed(_), _) => ClosedError::new_err((code, text)),
        (Error::Unsupported(_), _) => UnsupportedError::new_err((code, text)),
        (_, Some(code)) => os_error(code, text),
        (_, None) => PyOSError::new_err(text),
    }
}

#[cfg(not(windows))]
fn os_error(code: i32, text: String) -> PyErr {
    PyOSError::new_err((code, text))
}

/// On Windows the code is Winsock's: Python derives `errno` from the fourth argument.
#[cfg(windows)]
fn os_error(code: i32, text: String) -> PyErr {
    PyOSError::new_err((code, text, None::<String>, code))
}
