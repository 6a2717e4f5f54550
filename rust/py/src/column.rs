//! A column of a batch, as a buffer that `memoryview` and NumPy read without copying.
//!
//! Needs unsafe code: pyo3 declares the slots of the buffer protocol unsafe.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};

use multicast_core::net::Batch;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// One column of a batch: read-only memory that does not change while a view of it exists.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct Column {
    content: Content,
    /// Number of items, and bytes of one: `Py_buffer` points here.
    shape: ffi::Py_ssize_t,
    stride: ffi::Py_ssize_t,
}

/// The owner of the memory.
pub(crate) enum Content {
    /// The buffer with the payloads.
    Data(Batch),
    /// The position of each datagram in it.
    Offsets(Batch),
    /// The length of each datagram.
    Lengths(Batch),
    /// A timestamp for each datagram.
    Times(Vec<i64>),
    /// For each datagram, a position in the list of senders or of groups.
    Ids(Vec<u32>),
}

impl Column {
    pub(crate) fn new(content: Content) -> Self {
        let mut column = Self { content, shape: 0, stride: 0 };
        let (_, length, size, _) = column.memory();
        // No column is larger than memory, whose size fits into Py_ssize_t.
        column.shape = length as ffi::Py_ssize_t;
        column.stride = size as ffi::Py_ssize_t;
        column
    }

    /// Returns the start, the number of items, the bytes of one, and its format (as in the module `struct`).
    fn memory(&self) -> (*const c_void, usize, usize, &'static CStr) {
        fn of<T>(slice: &[T], format: &'static CStr) -> (*const c_void, usize, usize, &'static CStr) {
            (slice.as_ptr().cast(), slice.len(), size_of::<T>(), format)
        }
        match &self.content {
            Content::Data(batch) => of(batch.data(), c"B"),
            Content::Offsets(batch) => of(batch.offsets(), c"I"),
            Content::Lengths(batch) => of(batch.lengths(), c"I"),
            Content::Times(times) => of(times, c"q"),
            Content::Ids(ids) => of(ids, c"I"),
        }
    }
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.memory().1
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("a column of a batch is read-only"));
        }
        let column = slf.get();
        let (start, length, size, format) = column.memory();
        let wants = |flag: c_int| flags & flag == flag;
        // SAFETY: Python passes a valid `view` to fill. The memory, the shape and the stride belong to this object. It
        // is frozen, so nothing in it changes or moves, and the view keeps it alive through `obj`. The format is
        // static. The consumer gets the memory read-only.
        unsafe {
            (*view).buf = start.cast_mut();
            (*view).len = (length * size) as ffi::Py_ssize_t;
            (*view).readonly = 1;
            (*view).itemsize = size as ffi::Py_ssize_t;
            (*view).format = if wants(ffi::PyBUF_FORMAT) { format.as_ptr().cast_mut() } else { std::ptr::null_mut() };
            (*view).ndim = 1;
            (*view).shape =
                if wants(ffi::PyBUF_ND) { (&raw const column.shape).cast_mut() } else { std::ptr::null_mut() };
            (*view).strides =
                if wants(ffi::PyBUF_STRIDES) { (&raw const column.stride).cast_mut() } else { std::ptr::null_mut() };
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = std::ptr::null_mut();
            (*view).obj = slf.into_any().into_ptr();
        }
        Ok(())
    }
}
