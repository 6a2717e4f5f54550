//! A batch of received datagrams: a sequence that makes each `Datagram` when it is accessed, and columns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use multicast_core::net::{self, DatagramRef, Origin};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyMemoryView, PySlice, PyTuple};

use crate::column::{Column, Content};
use crate::convert;
use crate::datagram::Datagram;
use crate::interner::Interner;

/// A sequence of received datagrams, in the order the socket received them.
///
/// ::
///
///     batch = rx.recv_batch(256)
///     for msg in batch:
///         print(msg.sender, msg.data)
///     payloads = batch.payloads()
///     lengths = numpy.asarray(batch.lengths)
///
/// A `Datagram` is created when you access it. The columns (`data`,
/// `offsets`, `lengths`, ...) are memoryviews that NumPy reads without
/// copying. A batch and its columns share one buffer, which takes a few
/// megabytes of address space. The receiver reuses it as soon as you keep
/// neither the batch nor a column. To keep datagrams for a long time, keep
/// their `bytes`.
#[pyclass(frozen, sequence, module = "multicast")]
pub(crate) struct Batch {
    core: net::Batch,
    interner: Arc<Interner>,
}

impl Batch {
    pub(crate) fn new(core: net::Batch, interner: Arc<Interner>) -> Self {
        Self { core, interner }
    }

    pub(crate) fn core(&self) -> &net::Batch {
        &self.core
    }

    fn datagram(&self, py: Python<'_>, at: usize) -> Option<PyResult<Py<Datagram>>> {
        let DatagramRef { data, origin } = self.core.get(at)?;
        Some(self.interner.datagram(py, PyBytes::new(py, data).unbind(), origin))
    }

    fn equals(&self, py: Python<'_>, at: usize, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.datagram(py, at).map_or(Ok(false), |datagram| datagram?.bind(py).as_any().eq(value))
    }

    /// Returns the different keys, in the order they first appear, and for each
    /// datagram the position of its key there.
    fn distinct<K: Hash + Eq + Copy>(&self, key: impl Fn(&Origin) -> K) -> (Vec<u32>, Vec<K>) {
        let mut positions: HashMap<K, u32> = HashMap::new();
        let mut keys = Vec::new();
        // Usually a datagram has the key of one of the two datagrams before it. Computing a hash would cost as long as
        // receiving a coalesced datagram.
        let mut recent: [Option<(K, u32)>; 2] = [None; 2];
        let references = self
            .core
            .iter()
            .map(|datagram| {
                let key = key(datagram.origin);
                for known in recent.into_iter().flatten() {
                    if known.0 == key {
                        return known.1;
                    }
                }
                let position = match positions.entry(key) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        keys.push(key);
                        // A batch holds a few thousand datagrams at most.
                        *new.insert(keys.len() as u32 - 1)
                    }
                };
                recent = [Some((key, position)), recent[0]];
                position
            })
            .collect();
        (references, keys)
    }
}

fn view<'py>(py: Python<'py>, content: Content) -> PyResult<Bound<'py, PyMemoryView>> {
    PyMemoryView::from(&Bound::new(py, Column::new(content))?.into_any())
}

#[pymethods]
impl Batch {
    /// Copy the payloads into a list of `bytes`.
    fn payloads<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.core.iter().map(|datagram| PyBytes::new(py, datagram.data)))
    }

    /// The buffer that `offsets` point into, as unsigned bytes. Ignore the
    /// bytes between datagrams.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Data(self.core.clone()))
    }

    /// Position of each datagram in `data`, in bytes, as 32-bit unsigned
    /// integers.
    #[getter]
    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Offsets(self.core.clone()))
    }

    /// Length of each datagram in bytes, as 32-bit unsigned integers.
    #[getter]
    fn lengths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Lengths(self.core.clone()))
    }

    /// When the kernel received each datagram, in nanoseconds since the Unix
    /// epoch, as 64-bit signed integers; `None` if a timestamp is missing.
    #[getter]
    fn timestamps_ns<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let times: Option<Vec<i64>> = self.core.iter().map(|datagram| datagram.origin.timestamp_ns).collect();
        times.map(|times| view(py, Content::Times(times))).transpose()
    }

    /// Position of each datagram's sender in `senders`, as 32-bit unsigned
    /// integers.
    #[getter]
    fn sender_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Ids(self.distinct(|origin| origin.sender).0))
    }

    /// The different senders, `(host, port)`, in the order they first appear.
    #[getter]
    fn senders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let senders = self.distinct(|origin| origin.sender).1;
        let senders: Vec<_> = senders.iter().map(|sender| self.interner.sender(py, sender)).collect::<PyResult<_>>()?;
        PyTuple::new(py, senders)
    }

    /// Position of each datagram's group in `groups`, as 32-bit unsigned
    /// integers.
    #[getter]
    fn group_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Ids(self.distinct(|origin| origin.group).0))
    }

    /// The different groups, as text or `None`, in the order they first appear.
    #[getter]
    fn groups<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let groups = self.distinct(|origin| origin.group).1;
        let groups: Vec<_> = groups
            .into_iter()
            .map(|group| group.map(|group| self.interner.group(py, group)).transpose())
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, groups)
    }

    /// Return the position of the first datagram that equals `value`, from
    /// `start` up to `stop`.
    ///
    /// Raises:
    ///     ValueError: There is none.
    #[pyo3(signature = (value, start=0, stop=isize::MAX))]
    fn index(&self, py: Python<'_>, value: &Bound<'_, PyAny>, start: isize, stop: isize) -> PyResult<usize> {
        let length = self.core.len();
        // As with a list: a negative bound counts from the end.
        let bound = |at: isize| match usize::try_from(at) {
            Ok(at) => at.min(length),
            Err(_) => length.saturating_sub(at.unsigned_abs()),
        };
        for at in bound(start)..bound(stop) {
            if self.equals(py, at, value)? {
                return Ok(at);
            }
        }
        Err(PyValueError::new_err(format!("{} is not in the batch", value.repr()?)))
    }

    /// Return how many datagrams equal `value`.
    fn count(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut count = 0;
        for at in 0..self.core.len() {
            count += usize::from(self.equals(py, at, value)?);
        }
        Ok(count)
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        for at in 0..self.core.len() {
            if self.equals(py, at, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.__getitem__(py, PySlice::new(py, isize::MAX, isize::MIN, -1).as_any())?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.core.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let length = self.core.len();
        if let Ok(slice) = at.cast::<PySlice>() {
            let range = slice.indices(length as isize)?;
            if range.step == 1 {
                let part = self.core.slice(range.start as usize..range.stop as usize);
                return Ok(Bound::new(py, Self::new(part, Arc::clone(&self.interner)))?.into_any());
            }
            let list = PyList::empty(py);
            for n in 0..range.slicelength as isize {
                if let Some(datagram) = self.datagram(py, (range.start + n * range.step) as usize) {
                    list.append(datagram?)?;
                }
            }
            return Ok(list.into_any());
        }
        let index: isize = at.extract()?;
        let position = if index < 0 { index + length as isize } else { index };
        let datagram = usize::try_from(position).ok().and_then(|position| self.datagram(py, position));
        let datagram =
            datagram.ok_or_else(|| PyIndexError::new_err(format!("index {index} of a batch of {length} datagrams")))?;
        Ok(datagram?.into_bound(py).into_any())
    }

    fn __iter__(slf: Py<Self>) -> BatchIterator {
        let length = slf.get().core.len();
        BatchIterator { batch: Some(slf), length, taken: 0.into() }
    }

    fn __repr__(&self) -> String {
        let bytes: u64 = self.core.lengths().iter().map(|&length| u64::from(length)).sum();
        let count = self.core.len();
        format!("<Batch of {count} {}, {bytes} bytes>", if count == 1 { "datagram" } else { "datagrams" })
    }
}

/// Iterates over a batch. Any thread may use it; each datagram goes to one
/// of them.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct BatchIterator {
    batch: Option<Py<Batch>>,
    length: usize,
    taken: AtomicUsize,
}

impl BatchIterator {
    /// Takes at most `limit` datagrams; the range is empty if nothing is left.
    fn advance(&self, limit: usize) -> Range<usize> {
        let step = |taken: usize| Some(taken.saturating_add(limit).min(self.length));
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) {
            Ok(taken) | Err(taken) => taken..taken.saturating_add(limit).min(self.length),
        }
    }
}

#[pymethods]
impl BatchIterator {
    /// Return an iterator over nothing.
    #[new]
    fn new() -> Self {
        Self { batch: None, length: 0, taken: 0.into() }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<PyResult<Py<Datagram>>> {
        let next = self.advance(1);
        if next.is_empty() { None } else { self.batch.as_ref()?.get().datagram(py, next.start) }
    }

    fn __length_hint__(&self) -> usize {
        self.length - self.taken.load(Ordering::Relaxed)
    }

    /// Take at most `limit` datagrams as a batch; None if nothing is left.
    fn _take(&self, #[pyo3(from_py_with = convert::limit)] limit: usize) -> Option<Batch> {
        let next = self.advance(limit);
        let batch = self.batch.as_ref().filter(|_| !next.is_empty())?.get();
        Some(Batch::new(batch.core.slice(next), Arc::clone(&batch.interner)))
    }
}

/// Makes `isinstance(batch, collections.abc.Sequence)` true.
pub(crate) fn register_as_sequence(py: Python<'_>) -> PyResult<()> {
    py.import("collections.abc")?.getattr("Sequence")?.call_method1("register", (py.get_type::<Batch>(),))?;
    Ok(())
}
