//! `multicast._core.Recorder`: the base of `multicast.capture.Recorder`.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use multicast_core::capture::{self, Drops, Progress, RecorderConfig};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::Batch;
use crate::errors::to_python;
use crate::fields::set_fields;
use crate::wait;

/// Writes batches into pcapng files. `multicast.capture.Recorder` is the class for users.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct Recorder {
    /// Only locked without the GIL, because the lock is held while a file is written.
    core: Mutex<capture::Recorder>,
}

impl Recorder {
    /// A thread that panicked leaves counters that are still right.
    fn lock(&self) -> MutexGuard<'_, capture::Recorder> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Recorder {
    /// Create the first file. The arguments were checked in Python.
    #[new]
    #[pyo3(signature = (path, *, interfaces, application, comment, overwrite, rotate_bytes, rotate_seconds, max_files,
                        max_bytes, max_datagrams, max_rate, kernel_drops, ring_drops))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword in Python")]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        interfaces: Vec<u32>,
        application: String,
        comment: String,
        overwrite: bool,
        rotate_bytes: Option<u64>,
        rotate_seconds: Option<f64>,
        max_files: Option<usize>,
        max_bytes: Option<u64>,
        max_datagrams: Option<u64>,
        max_rate: Option<f64>,
        kernel_drops: u64,
        ring_drops: u64,
    ) -> PyResult<Self> {
        let rotate_after =
            rotate_seconds.map(|seconds| wait::duration("rotate_seconds", seconds)).transpose()?.flatten();
        let config = RecorderConfig {
            path,
            application,
            comment,
            overwrite,
            rotate_bytes,
            rotate_after,
            max_files,
            max_bytes,
            max_datagrams,
            max_rate,
        };
        let drops = Drops { kernel: kernel_drops, ring: ring_drops };
        let core = py.detach(|| capture::Recorder::create(config, &interfaces, drops)).map_err(to_python)?;
        Ok(Self { core: Mutex::new(core) })
    }

    /// Write the datagrams of a batch. Returns whether more can be written.
    fn write(&self, py: Python<'_>, batch: &Batch, port: u16, kernel_drops: u64, ring_drops: u64) -> PyResult<bool> {
        let drops = Drops { kernel: kernel_drops, ring: ring_drops };
        let progress = py.detach(|| self.lock().write(batch.core(), port, drops)).map_err(to_python)?;
        Ok(progress == Progress::Continues)
    }

    /// Do what is due while nothing is received.
    fn tick(&self, py: Python<'_>, kernel_drops: u64, ring_drops: u64) -> PyResult<()> {
        let drops = Drops { kernel: kernel_drops, ring: ring_drops };
        py.detach(|| self.lock().tick(drops)).map_err(to_python)
    }

    /// Write what is in memory, with the final counters, and close the file.
    fn close(&self, py: Python<'_>, kernel_drops: u64, ring_drops: u64) -> PyResult<()> {
        let drops = Drops { kernel: kernel_drops, ring: ring_drops };
        py.detach(|| self.lock().close(drops)).map_err(to_python)
    }

    /// The file that is written now, or was written last.
    #[getter]
    fn path(&self, py: Python<'_>) -> PathBuf {
        py.detach(|| self.lock().path())
    }

    /// Return the fields of `multicast.capture.RecorderStats`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.lock().stats());
        let dict = PyDict::new(py);
        set_fields!(dict, stats, written, payload_bytes, file_bytes, files, over_rate, unwritten);
        Ok(dict)
    }
}
