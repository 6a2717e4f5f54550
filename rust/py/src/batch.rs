//! A batch of received datagrams: a lazy sequence of `Datagram`, and columns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use multicast_core::net::{self, DatagramRef, Origin};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PySlice, PyTuple};

use crate::column::{Column, Content};
use crate::convert::Interner;
use crate::datagram::Datagram;

/// Datagrams in the order the socket received them: a sequence of `Datagram`, made when asked for.
///
/// A batch and its columns share one buffer of a few megabytes of address space, which the receiver uses again when
/// nobody holds either. To keep datagrams for long, keep their `bytes`.
#[pyclass(frozen, sequence, module = "multicast")]
pub(crate) struct Batch {
    core: net::Batch,
    interner: Arc<Interner>,
}

impl Batch {
    pub(crate) fn new(core: net::Batch, interner: Arc<Interner>) -> Self {
        Self { core, interner }
    }

    fn datagram(&self, py: Python<'_>, at: usize) -> Option<PyResult<Py<Datagram>>> {
        let DatagramRef { data, origin } = self.core.get(at)?;
        Some(self.interner.datagram(py, PyBytes::new(py, data).unbind(), origin))
    }

    /// For each datagram the place of its key in the list of different keys, and that list.
    fn distinct<K: Hash + Eq + Copy>(&self, key: impl Fn(&Origin) -> K) -> (Vec<u32>, Vec<K>) {
        let mut places: HashMap<K, u32> = HashMap::new();
        let mut keys = Vec::new();
        let references = self
            .core
            .iter()
            .map(|datagram| match places.entry(key(datagram.origin)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    keys.push(*new.key());
                    // A batch holds some thousands of datagrams at most.
                    *new.insert(keys.len() as u32 - 1)
                }
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
    /// The payloads, copied: a list of `bytes`.
    fn payloads<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.core.iter().map(|datagram| PyBytes::new(py, datagram.data)))
    }

    /// The buffer that the offsets lead into, one octet an item; what lies between datagrams has no meaning.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Data(self.core.clone()))
    }

    /// Where each datagram starts in `data`, 32-bit unsigned.
    #[getter]
    fn offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Offsets(self.core.clone()))
    }

    /// Octets of each datagram, 32-bit unsigned.
    #[getter]
    fn lengths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::Lengths(self.core.clone()))
    }

    /// When the kernel received each datagram, nanoseconds since the Unix epoch, 64-bit signed; `None` where the
    /// system did not tell of all of them.
    #[getter]
    fn timestamps_ns<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let figures: Option<Vec<i64>> = self.core.iter().map(|datagram| datagram.origin.timestamp_ns).collect();
        figures.map(|figures| view(py, Content::Figures(figures))).transpose()
    }

    /// For each datagram the place of its sender in `senders`, 32-bit unsigned.
    #[getter]
    fn sender_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::References(self.distinct(|origin| origin.sender).0))
    }

    /// The different senders, `(host, port)`, in the order they first appear.
    #[getter]
    fn senders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let senders = self.distinct(|origin| origin.sender).1;
        let senders: Vec<_> = senders.iter().map(|sender| self.interner.sender(py, sender)).collect::<PyResult<_>>()?;
        PyTuple::new(py, senders)
    }

    /// For each datagram the place of its group in `groups`, 32-bit unsigned.
    #[getter]
    fn group_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        view(py, Content::References(self.distinct(|origin| origin.group).0))
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

    fn __len__(&self) -> usize {
        self.core.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let length = self.core.len();
        if let Ok(slice) = at.cast::<PySlice>() {
            let asked = slice.indices(length as isize)?;
            if asked.step == 1 {
                let part = self.core.slice(asked.start as usize..asked.stop as usize);
                return Ok(Bound::new(py, Self::new(part, Arc::clone(&self.interner)))?.into_any());
            }
            let list = PyList::empty(py);
            for n in 0..asked.slicelength as isize {
                if let Some(datagram) = self.datagram(py, (asked.start + n * asked.step) as usize) {
                    list.append(datagram?)?;
                }
            }
            return Ok(list.into_any());
        }
        let index: isize = at.extract()?;
        let place = if index < 0 { index + length as isize } else { index };
        let datagram = usize::try_from(place).ok().and_then(|place| self.datagram(py, place));
        let datagram =
            datagram.ok_or_else(|| PyIndexError::new_err(format!("index {index} of a batch of {length} datagrams")))?;
        Ok(datagram?.into_bound(py).into_any())
    }

    fn __iter__(slf: Py<Self>) -> BatchIterator {
        BatchIterator { batch: slf, next: 0.into() }
    }

    fn __repr__(&self) -> String {
        let octets: u64 = self.core.lengths().iter().map(|&length| u64::from(length)).sum();
        format!("<Batch of {} datagrams, {octets} octets>", self.core.len())
    }
}

/// Iterates over a batch.
#[pyclass(frozen, module = "multicast._core")]
pub(crate) struct BatchIterator {
    batch: Py<Batch>,
    next: std::sync::atomic::AtomicUsize,
}

#[pymethods]
impl BatchIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<PyResult<Py<Datagram>>> {
        let at = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.batch.get().datagram(py, at)
    }
}
